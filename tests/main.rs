//! The suite: nstool against the kernel and against the programs people use today. One binary, so that it links once.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "what the helpers cannot do fails the test")]

mod common;
mod compare;
mod enter;
mod fit;
mod install;
mod ls;
mod mounts;
mod proc;
mod show;
mod unshare;
mod why;
