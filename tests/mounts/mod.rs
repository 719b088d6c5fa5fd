//! `nstool mounts`, and the propagation engine against the kernel.

mod lab;
mod oracle;
