//! A process as a scan saw it.

use super::{Observed, Why};
use crate::id::{NamespaceId, Pid};
use crate::kind::NamespaceLink;

/// A process and the namespaces it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id in the reader's pid namespace.
    pub pid: Pid,
    /// Where its links lead, in the order of [`NamespaceLink::ALL`].
    pub(crate) links: [Observed<NamespaceId>; NamespaceLink::COUNT],
    /// How many threads it has, if the scope asked.
    pub threads: Observed<u32>,
    /// Whether the leader thread has ended while others live; its namespaces are then those of the first that lives.
    pub leader_ended: bool,
    /// What else is known of it, if the scope asked.
    pub details: Observed<Box<Details>>,
}

/// What is read of a process only where it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The parent; 0 at the top of a pid namespace.
    pub parent: Pid,
    /// The effective uid, in terms of the reader's user namespace.
    pub uid: u32,
    /// The command line, or where there is none (kernel threads, zombies) the thread's name. Hostile bytes.
    pub command: Vec<u8>,
}

impl Process {
    pub(crate) fn new(pid: Pid) -> Self {
        Self {
            pid,
            links: [Observed::Hidden(Why::NotAsked); NamespaceLink::COUNT],
            threads: Observed::Hidden(Why::NotAsked),
            leader_ended: false,
            details: Observed::Hidden(Why::NotAsked),
        }
    }

    /// Returns why its namespaces could not be read, where they could not. A namespace that a zombie let go of, or that
    /// the kernel does not have, is not hidden.
    pub fn hidden(&self) -> Option<Why> {
        self.links.iter().find_map(|link| match link {
            Observed::Hidden(why @ (Why::NotPermitted | Why::NoDescriptors | Why::Failed(_))) => Some(*why),
            _ => None,
        })
    }

    /// Returns the namespace that a link leads to.
    pub fn namespace(&self, link: NamespaceLink) -> Observed<NamespaceId> {
        self.links[link.index()]
    }
}
