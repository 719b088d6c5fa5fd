//! What a namespace contains.

use std::net::IpAddr;

use super::{ClockOffsets, NetId, Observed};
use crate::id::Pid;
use crate::proc::idmap::IdRange;

/// What a namespace contains, by kind.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Of a cgroup namespace: its root, from the root of our own; in the unified hierarchy where there is one.
    Cgroup {
        /// The path.
        root: Observed<Vec<u8>>,
    },
    /// Of an ipc namespace.
    Ipc(Observed<IpcObjects>),
    /// Of a mount namespace.
    Mnt(Observed<MountSummary>),
    /// Of a network namespace.
    Net {
        /// Its interfaces.
        interfaces: Observed<Vec<Interface>>,
        /// Its listening sockets.
        listening: Observed<Vec<Listener>>,
        /// The number that our network namespace gives to it.
        net_id: Observed<NetId>,
    },
    /// Of a pid namespace.
    Pid {
        /// Its init, by our number; `None`: it has ended, or cannot be seen.
        init: Option<Pid>,
    },
    /// Of a time namespace.
    Time(Observed<ClockOffsets>),
    /// Of a user namespace; the maps lead to its parent.
    User(Observed<UserSettings>),
    /// Of a uts namespace.
    Uts(Observed<Names>),
}

/// Host and domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The host name. Hostile bytes.
    pub host: Vec<u8>,
    /// The NIS domain name. Hostile bytes.
    pub domain: Vec<u8>,
}

/// The maps and limits of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSettings {
    /// How uids are called outside.
    pub uid_map: Vec<IdRange>,
    /// How gids are called outside.
    pub gid_map: Vec<IdRange>,
    /// Whether setgroups(2) is allowed.
    pub setgroups: Option<bool>,
    /// How many namespaces of each kind may be made in it.
    pub limits: Vec<NamespaceLimit>,
}

/// How many namespaces of a kind one user may have in a user namespace and below it (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceLimit {
    /// The kind, as `/proc/sys/user` calls it.
    pub name: &'static str,
    /// The limit, for each uid.
    pub most: u64,
    /// How many were seen there, of all uids together: the kernel tells neither who made them nor its own count.
    pub seen: usize,
}

/// How many mounts a mount namespace has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSummary {
    /// The filesystem at its root: type and source. Hostile bytes.
    pub root: Option<(Vec<u8>, Vec<u8>)>,
    /// How many mounts.
    pub mounts: usize,
    /// Whether these are only those below the root of a process that lives there.
    pub partial: bool,
    /// The mount points of those that share their events with others.
    pub shared: Vec<Vec<u8>>,
}

/// The objects of an ipc namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpcObjects {
    /// Keys and ids of System V shared memory segments.
    pub shared_memory: Vec<(i32, u32)>,
    /// Keys and ids of System V semaphore sets.
    pub semaphores: Vec<(i32, u32)>,
    /// Keys and ids of System V message queues.
    pub message_queues: Vec<(i32, u32)>,
    /// The names of POSIX message queues. `None`: they could not be listed.
    pub posix_queues: Option<Vec<Vec<u8>>>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name. Hostile bytes.
    pub name: Vec<u8>,
    /// Whether it was set up (IFF_UP).
    pub up: bool,
    /// Whether it can carry traffic (IFF_RUNNING).
    pub running: bool,
    /// Its addresses with the length of the network's prefix.
    pub addresses: Vec<(IpAddr, u32)>,
}

/// A socket that waits for peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The local address.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
}
