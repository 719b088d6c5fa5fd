//! See, explain, compare, enter and create Linux namespaces: what the command `nstool` does, as a library.
//!
//! A scan sees every namespace of the machine that the caller may see, and all that keeps each alive:
//!
//! ```
//! use nstool::discover::Scope;
//! use nstool::model::Snapshot;
//!
//! let snapshot = Snapshot::capture(&Scope::everything())?;
//! for namespace in snapshot.namespaces() {
//!     let (processes, others) = (namespace.members.len(), namespace.holders.len());
//!     println!("{} {}: {processes} processes, {others} other holders", namespace.kind, namespace.id);
//! }
//! # Ok::<(), nstool::Error>(())
//! ```
//!
//! **What cannot be seen.** Without privileges the kernel shows the namespaces of one's own processes alone. Whatever
//! stays out of sight is data: [`model::Observed`] says why, [`model::Snapshot::hidden`] counts it. From user space
//! nobody sees descriptors in flight between processes, nor what the kernel itself holds; and some open files that keep
//! a namespace do not tell which ([`model::Suspect`]).
//!
//! **Kernel and Rust.** Linux 4.18 and newer, on x86-64 and aarch64; newer interfaces are used where the kernel has them
//! ([`interfaces`]). Rust 1.88.
//!
//! **Stability.** Enums and structures that may grow are `#[non_exhaustive]`; an enum that is not is complete, so that a
//! `match` can handle every case. Versions follow Semantic Versioning; `public-api.txt` in the repository lists every
//! public item, so that no change of it goes unseen.
//!
//! **Features.** `cli` (default) builds the command and pulls its presentation crates; a library needs
//! `default-features = false`.

pub mod account;
mod capability;
pub mod create;
pub mod discover;
pub mod enter;
pub mod error;
pub mod exec;
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
pub use sys::probe::{Interface, interfaces, try_interfaces};
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use sys::startup::{begin, stdout_was_closed};

/// The example in README.md, compiled and run with the doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
