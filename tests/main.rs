//! The suite: nstool against the kernel and against the programs people use today. One binary, so that it links once.

mod common;
mod ls;
mod mounts;
mod why;
