//! What is left of a process that has ended and was not reaped.

use std::process::ExitStatus;

use super::{Membership, Observed, Standing};
use crate::id::Pid;

/// A process that has ended, and whose parent has not asked how yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zombie {
    /// Its id in our pid namespace.
    pub pid: Pid,
    /// The name of its leader thread. Hostile bytes.
    pub name: Vec<u8>,
    /// How it ended; `None` without ptrace rights over it.
    pub ended: Option<ExitStatus>,
    /// The real uid that it ran as, in terms of our user namespace.
    pub uid: Option<u32>,
    /// Who must reap it; 0 outside our pid namespace.
    pub parent: Pid,
    /// The parent's name, where it is there. Hostile bytes.
    pub parent_name: Option<Vec<u8>>,
    /// Whether the parent stands still, and so cannot reap it.
    pub parent_stopped: bool,
    /// How the parent can be ended, and what would end with it.
    pub parent_standing: Observed<Standing>,
    /// Who traces it, and must let go of it before the parent can reap it.
    pub tracer: Option<Pid>,
    /// The namespaces that it still keeps: its user and its pid namespace.
    pub kept: Vec<Membership>,
}
