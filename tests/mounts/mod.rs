//! `nstool mounts`, and the propagation engine against the kernel.

mod holders;
mod lab;
mod oracle;
mod stage;
mod tally;
mod verbs;
