//! Questions to data already gathered: pure, no I/O.

pub mod filter;
pub mod tree;
pub mod why;
