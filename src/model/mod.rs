//! Plain data: what was seen, without I/O.

mod mount;
mod observed;

pub use mount::{Device, Mount, MountTable};
pub use observed::{Observed, Why};
