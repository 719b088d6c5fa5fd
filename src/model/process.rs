//! A process as a scan saw it.

use super::{Observed, Why};
use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};

/// A process and the namespaces it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id in the reader's pid namespace.
    pub pid: Pid,
    /// Where its links lead, in the order of [`NamespaceLink::ALL`].
    pub(crate) links: [Observed<NamespaceId>; NamespaceLink::COUNT],
    /// How many threads it has, if the scope asked.
    pub threads: Observed<u32>,
    /// Where the leader thread has ended while others live: the first that lives. The process's namespaces are then its.
    pub living_thread: Option<Pid>,
    /// What else is known of it, if the scope asked.
    pub details: Observed<Box<Details>>,
    /// How it can be ended, and what ends with it; read by [`Snapshot::describe`](super::Snapshot::describe) alone.
    pub standing: Observed<Standing>,
}

/// How a process can be ended, and what ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is the init of a pid namespace, with which all processes there end.
    pub is_init: bool,
    /// Whether SIGTERM does nothing to it: it ignores it, or is an init without a handler for it (pid_namespaces(7)).
    pub survives_sigterm: bool,
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
    /// Whether it has ended and waits for its parent to ask how.
    pub zombie: bool,
}

impl Process {
    pub(crate) fn new(pid: Pid) -> Self {
        Self {
            pid,
            links: [Observed::Hidden(Why::NotAsked); NamespaceLink::COUNT],
            threads: Observed::Hidden(Why::NotAsked),
            living_thread: None,
            details: Observed::Hidden(Why::NotAsked),
            standing: Observed::Hidden(Why::NotAsked),
        }
    }

    /// Returns the directory below /proc that speaks for the process: its own, or that of the thread that still lives.
    pub(crate) fn proc_path(&self) -> String {
        match self.living_thread {
            None => self.pid.to_string(),
            Some(tid) => format!("{}/task/{tid}", self.pid),
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

    /// Tells whether it has ended and was not reaped: it has let go of all but its user and pid namespace.
    pub fn is_zombie(&self) -> bool {
        NamespaceKind::ALL
            .into_iter()
            .any(|kind| self.namespace(NamespaceLink::Own(kind)) == Observed::Hidden(Why::Zombie))
    }

    /// Tells whether it is an init that is ending and waits for the processes of its pid namespace to be reaped.
    pub fn is_ending(&self) -> bool {
        self.links.contains(&Observed::Hidden(Why::Ending))
    }

    /// Returns the namespace that a link leads to.
    pub fn namespace(&self, link: NamespaceLink) -> Observed<NamespaceId> {
        self.links[link.index()]
    }
}
