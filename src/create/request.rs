//! What is asked for: plain data, filled by whoever reads the command line.

use std::ffi::{CString, OsString};
use std::fmt;
use std::os::fd::RawFd;
use std::path::PathBuf;

use super::filesystem::{Operation, TargetPath};
use super::idmap::MapSpec;
use crate::kind::{KindSet, NamespaceKind};

/// Namespaces to create, how to set them up, and the command to run in them.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The kinds to create.
    pub kinds: KindSet,
    /// Where to keep namespaces beyond the command's end: a file to bind each to, made if missing.
    pub persist: Vec<(NamespaceKind, PathBuf)>,
    /// Whether the command runs as a child even where nothing else wants that.
    pub fork: bool,
    /// Whether the command stays outside a new pid namespace, into which its first child is born.
    pub no_fork: bool,
    /// The signal the child gets when nstool dies; `None` lets it live on.
    pub parent_death_signal: Option<i32>,
    /// Whether a PID 1 of ours reaps and forwards, and the command is its child.
    pub init: bool,
    /// Whether each step is told when it is done, and each orphan that an init reaped.
    pub tell: bool,
    /// The map of user ids.
    pub users: Ids,
    /// The map of group ids.
    pub groups: Ids,
    /// Who owns the user namespace: user and group id.
    pub owner: Option<(u32, u32)>,
    /// Whether setgroups(2) is allowed in the user namespace; `None` leaves it to the map.
    pub setgroups: Option<bool>,
    /// Whether the capabilities of the user namespace survive the exec of an ordinary user.
    pub keep_capabilities: bool,
    /// What to add to CLOCK_MONOTONIC, in seconds.
    pub monotonic_seconds: Option<i64>,
    /// What to add to CLOCK_BOOTTIME, in seconds.
    pub boottime_seconds: Option<i64>,
    /// The propagation of all mounts in a new mount namespace; `None` makes them private.
    pub propagation: Option<Propagation>,
    /// The host name.
    pub hostname: Option<OsString>,
    /// The NIS domain name.
    pub domainname: Option<OsString>,
    /// Whether the loopback device comes up.
    pub loopback_up: bool,
    /// The new root.
    pub root: Option<Root>,
    /// What to mount and make below the root, in this order.
    pub operations: Vec<Operation>,
    /// Where a procfs is mounted last: a path that is there, seen from the new root and working directory.
    pub proc: Option<CString>,
    /// Where binfmt_misc is mounted: a place that is there.
    pub binfmt: Option<TargetPath>,
    /// What to register with binfmt_misc.
    pub interpreter: Option<CString>,
    /// The working directory, looked up in the new root.
    pub directory: Option<CString>,
    /// The user id the command runs as.
    pub user: Option<u32>,
    /// The group id the command runs as, with no supplementary groups.
    pub group: Option<u32>,
    /// Which capabilities the command may hold; `None` leaves them alone.
    pub capabilities: Option<Capabilities>,
    /// Whether no exec may gain privileges any more.
    pub no_new_privileges: bool,
    /// The directory of the control group to run in.
    pub cgroup: Option<PathBuf>,
    /// A descriptor that is read until it says or ends, before the maps are taken as written: somebody else writes them.
    pub userns_block_fd: Option<RawFd>,
    /// A descriptor that stays open as long as the command runs.
    pub sync_fd: Option<RawFd>,
    /// Where to write the child's id and namespaces, as bubblewrap does.
    pub info_fd: Option<RawFd>,
    /// Where to write those and, at the end, the exit status.
    pub json_status_fd: Option<RawFd>,
    /// Whether this process itself moves into the namespaces, as unshare(1) does: the command takes its place, or with
    /// `fork`, and only then, is its child. What has to be done from outside, a helper does meanwhile. The request is
    /// taken to the letter: the kernel judges, groups are dropped or that is a failure, and a file to bind a namespace to
    /// must be there, and stays bound whatever comes after.
    pub in_place: bool,
    /// Whether, in place and forked, SIGINT and SIGTERM go to the child; otherwise they have no effect.
    pub forward_signals: bool,
    /// The command, as the plan tells it.
    pub command: Vec<OsString>,
}

impl Request {
    /// Returns the propagation of all mounts in a new mount namespace.
    pub(super) fn mount_propagation(&self) -> Propagation {
        self.propagation.unwrap_or_default()
    }
}

/// Which ids to map.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    /// What our own effective id is inside.
    pub own_as: Option<u32>,
    /// What else is mapped.
    pub specs: Vec<MapSpec>,
}

impl Ids {
    /// Tells whether nothing is to be mapped.
    pub fn is_empty(&self) -> bool {
        self.own_as.is_none() && self.specs.is_empty()
    }
}

/// The propagation set on all mounts of a new mount namespace (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagation {
    /// No event comes in or goes out.
    #[default]
    Private,
    /// Events come in.
    Slave,
    /// Each is shared; a mount that was, stays a peer of the outer one.
    Shared,
    /// As it was copied.
    Unchanged,
}

impl Propagation {
    /// Returns the name, as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Slave => "slave",
            Self::Shared => "shared",
            Self::Unchanged => "unchanged",
        }
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A new root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The directory, seen from outside.
    pub dir: CString,
    /// Whether the old root is detached (pivot_root(2)), or stays behind (chroot(2)).
    pub pivot: bool,
}

/// Which capabilities the command may hold: bit N stands for capability N (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Those that stay in the bounding set, and with it in all others.
    pub bounding: u64,
    /// Those that an ordinary user holds as well (ambient capabilities); with every bit, all that can be had.
    pub ambient: u64,
}
