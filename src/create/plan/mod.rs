//! What will be done, in which order, by whom: a pure value. `--dry-run` prints it, [`apply`](super::apply) follows it.

mod order;
#[cfg(test)]
mod tests;

use std::ffi::{CString, OsString};
use std::path::PathBuf;

pub(super) use self::order::setgroups;
use super::filesystem::{Operation, TargetPath};
use super::idmap::{IdKind, IdRange};
use super::request::{Capabilities, Propagation};
use crate::kind::{KindSet, NamespaceKind};

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// nstool, in the namespaces it was called in.
    Outside,
    /// The process that becomes the command or its init.
    Inside,
    /// The process that becomes the command.
    Command,
}

/// A clock that a time namespace has an offset for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// CLOCK_MONOTONIC.
    Monotonic,
    /// CLOCK_BOOTTIME.
    Boottime,
}

impl Clock {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Monotonic => "monotonic",
            Self::Boottime => "boottime",
        }
    }
}

/// Who writes a map of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapWriter {
    /// The process inside: its own id alone.
    Own,
    /// nstool from outside, with CAP_SETUID or CAP_SETGID there.
    Outside,
    /// newuidmap(1) or newgidmap(1).
    Helper,
}

/// One step.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes a control group, which goes with its last process.
    MakeCgroup(PathBuf),
    /// Moves the process into a control group.
    JoinCgroup(PathBuf),
    /// Takes on the ids that are to own the user namespace.
    BecomeOwner(u32, u32),
    /// Creates namespaces, with clone3(2) or, without a child, unshare(2).
    Create {
        /// The kinds.
        kinds: KindSet,
        /// Whether in a child.
        child: bool,
    },
    /// Writes the child's id and its new namespaces, of these kinds, to the descriptors that want them.
    TellChild(KindSet),
    /// Waits until somebody else has written the maps.
    AwaitMaps,
    /// Allows or denies setgroups(2).
    SetGroupsPolicy(bool),
    /// Writes a map of ids.
    WriteMap {
        /// Users or groups.
        kind: IdKind,
        /// The lines.
        map: Vec<IdRange>,
        /// Who writes it.
        writer: MapWriter,
    },
    /// Creates a namespace that cannot be created with the others.
    CreateLater(NamespaceKind),
    /// Creates the mount namespace anew if it is numbered below ours, for then it cannot be bound to a file of ours.
    OutrankMounts,
    /// Sets a clock's offset, in seconds.
    Offset(Clock, i64),
    /// Sets the propagation of all mounts.
    Propagate(Propagation),
    /// Sets the host name.
    Hostname(OsString),
    /// Sets the NIS domain name.
    Domainname(OsString),
    /// Brings the loopback device up.
    LoopbackUp,
    /// Opens the new root; bound on itself first if it is to be pivoted to.
    OpenRoot {
        /// The directory.
        dir: CString,
        /// Whether bound.
        bind: bool,
    },
    /// Carries out a building block.
    Operate(Operation),
    /// Mounts a procfs by a path.
    MountProc(CString),
    /// Mounts binfmt_misc.
    MountBinfmt(TargetPath),
    /// Changes the root.
    ChangeRoot {
        /// Whether the old one is detached.
        pivot: bool,
    },
    /// Registers an interpreter with the binfmt_misc mounted there.
    Register {
        /// The file that takes it, in the new root.
        file: CString,
        /// The line.
        line: CString,
    },
    /// Changes the working directory.
    ChangeDirectory(CString),
    /// Goes on as a child, for whom nstool waits in the new namespaces.
    Fork,
    /// Binds a namespace to a file.
    Persist(NamespaceKind, PathBuf),
    /// Starts the command as a child of an init.
    StartInit,
    /// Takes capabilities out of reach.
    Bound(Capabilities),
    /// Changes the group id.
    SetGroup {
        /// The new one.
        gid: u32,
        /// Whether the supplementary groups go, which a user namespace that denies setgroups(2) does not let them.
        drop_groups: bool,
    },
    /// Changes the user id.
    SetUser(u32),
    /// Sets what capabilities the exec keeps.
    Keep {
        /// The limits; `None` keeps all that the user namespace gives.
        capabilities: Option<Capabilities>,
    },
    /// Forbids gaining privileges.
    NoNewPrivileges,
    /// Becomes the command.
    Exec(Vec<OsString>),
}

/// A step and who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who.
    pub place: Place,
    /// What.
    pub action: Action,
}

/// All steps, checked as far as can be without doing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In the order of their doing.
    pub steps: Vec<Step>,
    /// Whether the command is a child that nstool waits for.
    pub forks: bool,
    /// What is worth saying beforehand.
    pub warnings: Vec<String>,
}
