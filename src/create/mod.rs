//! Creates namespaces, sets them up, and runs a command in them.
//!
//! A [`Request`] says what is wanted; [`Facts::gather`] reads what must be known of the machine; [`Plan::new`], pure,
//! settles every step and refuses what cannot work; [`apply`] follows the plan.
//!
//! Nothing stays behind of what fails: mounts live in the new namespaces, which end with their processes; the child ends
//! with us; what it has made to mount on it takes back; and what is to outlive it, a namespace bound to a file, is made
//! last by a process that takes it back unless it hears that the command runs. A control group made for the command is
//! removed by another.

mod apply;
mod attend;
mod capabilities;
mod cgroup;
mod child;
mod diagnose;
mod facts;
mod filesystem;
mod first;
pub mod idmap;
mod in_place;
mod init;
mod inside;
mod keeper;
mod mounts;
mod outline;
mod outside;
mod parent;
mod place;
mod plan;
mod prepare;
mod request;
mod scene;
mod sources;
mod talk;
mod trail;
mod usage;
mod warnings;

pub use apply::{Event, Stop, apply};
pub use capabilities::CapabilityFacts;
pub use facts::{Facts, IdFacts};
pub use filesystem::{Operation, TargetPath};
pub use plan::{Action, Clock, MapWriter, Place, Plan, Step};
pub use request::{Capabilities, Ids, Propagation, Request, Root};
