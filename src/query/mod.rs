//! Questions to data already gathered: pure, no I/O.

pub mod can;
pub mod compare;
pub mod filter;
pub mod origin;
pub mod tree;
pub mod why;
