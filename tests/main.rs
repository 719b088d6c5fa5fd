//! The suite: nstool against the kernel and against the programs people use today. One binary, so that it links once.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "what the helpers cannot do fails the test")]

mod common;
mod ls;
