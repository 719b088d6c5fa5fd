//! See, explain, compare, enter and create Linux namespaces.

mod capability;
pub mod discover;
pub mod error;
mod id;
mod kind;
pub mod model;
mod printable;
pub mod proc;
pub mod propagation;
pub mod query;
mod sys;
pub mod target;

pub use capability::CapabilitySet;
pub use error::{Error, ErrorKind, Result};
pub use id::{NamespaceId, Pid};
pub use kind::{KindFacts, KindSet, NamespaceKind, NamespaceLink};
pub use printable::printable;
