//! What is known of single processes and namespaces when they are compared or shown.

use super::{MountTable, Observed};
use crate::capability::CapabilitySet;
use crate::id::{NamespaceId, Pid};
use crate::kind::NamespaceKind;
use crate::proc::idmap::IdRange;

/// A user or pid namespace in the chain from a process's own up to the highest that we may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The namespace.
    pub id: NamespaceId,
    /// Who created a user namespace: the effective uid, in terms of our own user namespace. `None`: a pid namespace.
    pub creator: Option<u32>,
}

/// A namespace that a process is in, and what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The kind.
    pub kind: NamespaceKind,
    /// The namespace.
    pub id: Observed<NamespaceId>,
    /// The chain of user namespaces from its owner up; a user namespace's own chain begins with itself.
    pub owners: Vec<Level>,
}

/// The sets of capabilities of a process, in its own user namespace (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What counts now.
    pub effective: CapabilitySet,
    /// What it may make effective.
    pub permitted: CapabilitySet,
    /// What it can keep across execve(2) of a file that agrees.
    pub inheritable: CapabilitySet,
    /// What no execve(2) can exceed.
    pub bounding: CapabilitySet,
    /// What it keeps across execve(2) of any file.
    pub ambient: CapabilitySet,
}

/// The offset of a clock in a time namespace (time_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    /// Whole seconds.
    pub seconds: i64,
    /// And nanoseconds, from 0 to 999,999,999.
    pub nanoseconds: i64,
}

/// The offsets of a time namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffsets {
    /// Of CLOCK_MONOTONIC.
    pub monotonic: ClockOffset,
    /// Of CLOCK_BOOTTIME.
    pub boottime: ClockOffset,
}

/// The cgroup of a process in one hierarchy (cgroups(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupEntry {
    /// The controllers of a version 1 hierarchy, such as `cpu,cpuacct` or `name=systemd`; empty for version 2.
    pub controllers: Vec<u8>,
    /// The path, from the root of the reader's cgroup namespace.
    pub path: Vec<u8>,
}

/// What a control group that we can see does to the processes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupState {
    /// Where it is, as a path of ours.
    pub path: Vec<u8>,
    /// Whether its processes stand still until it is thawed.
    pub frozen: bool,
    /// How much memory it may use, where that is limited.
    pub memory_limit_bytes: Option<u64>,
    /// How much it uses.
    pub memory_used_bytes: Option<u64>,
    /// How many of its processes were killed because memory ran out.
    pub oom_kills: Option<u64>,
    /// How many processes and threads it may have, where that is limited.
    pub pids_limit: Option<u64>,
    /// How many it has.
    pub pids: Option<u64>,
}

/// A namespace of a thread that its process is not in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadNamespace {
    /// The thread.
    pub tid: Pid,
    /// The kind.
    pub kind: NamespaceKind,
    /// The inode.
    pub ino: u64,
}

/// What identifies and rules a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its id in our pid namespace.
    pub pid: Pid,
    /// The command line, or the name where there is none. Hostile bytes.
    pub command: Vec<u8>,
    /// The process that it is a thread of, where it does not lead that.
    pub thread_of: Option<Pid>,
    /// Whether it is ending: it let go of most namespaces already. An init does so before its processes have ended.
    pub ending: bool,
    /// Its children that ended and were not reaped; read by [`read_in_full`](Self::read_in_full) alone.
    pub zombies: Vec<Pid>,
    /// Where its threads are in other namespaces than it is itself; read by [`read_in_full`](Self::read_in_full) alone.
    pub threads_elsewhere: Vec<ThreadNamespace>,
    /// The threads that live on where the leader thread has ended; read by [`read_in_full`](Self::read_in_full) alone.
    pub living_threads: Vec<Pid>,
    /// Its state's letter, such as `S`.
    pub state: u8,
    /// The parent; 0 at the top of a pid namespace.
    pub parent: Pid,
    /// How many threads.
    pub threads: u32,
    /// Real, effective, saved and filesystem uid, in terms of our user namespace.
    pub uids: [u32; 4],
    /// The same of the gid.
    pub gids: [u32; 4],
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// Its ids from the pid namespace of our `/proc` down to its own.
    pub ns_pids: Vec<Pid>,
    /// The namespaces, in the order of [`NamespaceKind::ALL`].
    pub namespaces: Vec<Membership>,
    /// The pid namespaces from its own up.
    pub pid_levels: Vec<Level>,
    /// The capabilities.
    pub capabilities: Capabilities,
    /// Whether execve(2) can give it no more rights.
    pub no_new_privs: Option<bool>,
    /// 0: none, 1: strict, 2: a filter.
    pub seccomp: Option<u32>,
    /// Whether it lives in our own user namespace; then its maps lead to the parent of that, else to our own.
    pub shares_our_user_namespace: bool,
    /// How its user namespace's uids are called outside.
    pub uid_map: Observed<Vec<IdRange>>,
    /// How its user namespace's gids are called outside.
    pub gid_map: Observed<Vec<IdRange>>,
    /// Whether setgroups(2) is allowed there.
    pub setgroups: Observed<bool>,
    /// The offsets of its clocks.
    pub clocks: Observed<ClockOffsets>,
    /// Its cgroups, from the root of our cgroup namespace.
    pub cgroups: Vec<CgroupEntry>,
    /// What those do that we can see; read by [`read_in_full`](Self::read_in_full) alone.
    pub cgroup_states: Vec<CgroupState>,
    /// Root directory, working directory and executable, as their links read.
    pub root: Observed<Vec<u8>>,
    /// See [`root`](Self::root).
    pub cwd: Observed<Vec<u8>>,
    /// See [`root`](Self::root).
    pub executable: Observed<Vec<u8>>,
    /// The limits, as `/proc/PID/limits` words them: name, soft, hard, unit.
    pub limits: Vec<[String; 4]>,
}

impl ProcessFacts {
    /// Returns what is known of the process's namespace of one kind.
    pub fn membership(&self, kind: NamespaceKind) -> &Membership {
        &self.namespaces[kind as usize]
    }

    /// Returns the user namespaces from its own up.
    pub fn user_levels(&self) -> &[Level] {
        &self.membership(NamespaceKind::User).owners
    }

    /// Returns a map of the process's in terms of our own user namespace.
    pub fn in_our_terms(&self, map: &[IdRange]) -> Vec<IdRange> {
        let ours = self.shares_our_user_namespace;
        map.iter().map(|range| if ours { IdRange { outside: range.inside, ..*range } } else { *range }).collect()
    }

    /// Returns the process's id in a pid namespace; `None` where it has none, or that cannot be seen.
    pub fn pid_in(&self, namespace: NamespaceId) -> Option<Pid> {
        let depth = self.pid_levels.iter().position(|level| level.id == namespace)?;
        // The ids stand from the outermost to its own, the levels the other way round.
        self.ns_pids.iter().rev().nth(depth).copied()
    }
}

/// Two processes side by side: what must be asked of the kernel for them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairFacts {
    /// The cgroup of the second as the first sees it.
    pub cgroup_of_second: Option<Vec<CgroupEntry>>,
    /// The cgroup of the first as the second sees it.
    pub cgroup_of_first: Option<Vec<CgroupEntry>>,
    /// The mount tables of both, where they differ and can be read.
    pub mount_tables: Option<[MountTable; 2]>,
}
