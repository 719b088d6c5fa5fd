//! Creates namespaces, sets them up, and runs a command in them.
//!
//! A [`Request`] says what is wanted; [`Facts::gather`] reads what must be known of the machine; [`Plan::new`], pure,
//! settles every step and refuses what cannot work.

mod diagnose;
mod facts;
mod filesystem;
pub mod idmap;
mod inside;
mod mounts;
mod plan;
mod request;
mod scene;
mod usage;

pub use facts::{Facts, IdFacts};
pub use filesystem::{Operation, TargetPath};
pub use plan::{Action, Clock, MapWriter, Place, Plan, Step};
pub use request::{Capabilities, Ids, Propagation, Request, Root};
