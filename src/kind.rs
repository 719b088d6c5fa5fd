//! The eight kinds of namespace, and every fact about a kind, in one table.
//!
//! What differs from kind to kind stands in [`KindFacts`]; no other place compares names or flags. Sets of kinds are
//! [`KindSet`]. Nothing here asks the kernel.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// A kind of namespace (namespaces(7)).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NamespaceKind {
    /// The root of the control groups a process sees, since Linux 4.6 (cgroup_namespaces(7)).
    #[doc(alias = "CLONE_NEWCGROUP")]
    Cgroup,
    /// System V IPC objects and POSIX message queues, since Linux 2.6.19 (ipc_namespaces(7)).
    #[doc(alias = "CLONE_NEWIPC")]
    Ipc,
    /// The mounts, since Linux 2.4.19 (mount_namespaces(7)).
    #[doc(alias = "CLONE_NEWNS")]
    Mnt,
    /// Network devices, addresses, routes, ports, since Linux 2.6.24 (network_namespaces(7)).
    #[doc(alias = "CLONE_NEWNET")]
    Net,
    /// Process ids, since Linux 2.6.24 (pid_namespaces(7)).
    #[doc(alias = "CLONE_NEWPID")]
    Pid,
    /// Offsets of the monotonic and boot-time clocks, since Linux 5.6 (time_namespaces(7)).
    #[doc(alias = "CLONE_NEWTIME")]
    Time,
    /// User and group ids and capabilities, since Linux 3.8 (user_namespaces(7)).
    #[doc(alias = "CLONE_NEWUSER")]
    User,
    /// Host and domain name, since Linux 2.6.19 (uts_namespaces(7)).
    #[doc(alias = "CLONE_NEWUTS")]
    Uts,
}

/// What is fixed about one kind of namespace.
#[derive(Debug)]
#[non_exhaustive]
pub struct KindFacts {
    /// The kind itself.
    pub kind: NamespaceKind,
    /// Its name: the file below `/proc/PID/ns`, and what commands take and print.
    pub name: &'static str,
    /// The file below `/proc/PID/ns` that names the namespace future children are born in, for pid (since Linux 4.12)
    /// and time (since 5.6).
    pub for_children: Option<&'static str>,
    /// The flag of clone(2), unshare(2) and setns(2).
    pub clone_flag: u32,
    /// Whether NS_GET_PARENT answers for it (ioctl_nsfs(2)).
    pub has_parent: bool,
    /// The inode of the machine's initial namespace (the kernel's `include/uapi/linux/nsfs.h`). Constant since Linux
    /// 3.8, but for mnt and net, which older kernels than 6.18 number as they come.
    pub initial_inode: u64,
    /// The first Linux release that has it (user namespaces: that has them complete).
    pub since: &'static str,
    /// The manual page.
    pub man_page: &'static str,
    /// What it isolates, in a few words.
    pub isolates: &'static str,
}

const fn facts(
    kind: NamespaceKind,
    name: &'static str,
    clone_flag: u32,
    initial_inode: u64,
    since: &'static str,
    man_page: &'static str,
    isolates: &'static str,
) -> KindFacts {
    KindFacts {
        kind,
        name,
        for_children: None,
        clone_flag,
        has_parent: false,
        initial_inode,
        since,
        man_page,
        isolates,
    }
}

use NamespaceKind::{Cgroup, Ipc, Mnt, Net, Pid, Time, User, Uts};

/// The table, in the order of [`NamespaceKind`].
#[rustfmt::skip]
static FACTS: [KindFacts; NamespaceKind::COUNT] = [
    facts(Cgroup, "cgroup", 0x0200_0000, 0xEFFF_FFFB, "4.6", "cgroup_namespaces(7)", "control group root"),
    facts(Ipc, "ipc", 0x0800_0000, 0xEFFF_FFFF, "2.6.19", "ipc_namespaces(7)", "System V IPC, message queues"),
    facts(Mnt, "mnt", 0x0002_0000, 0xEFFF_FFF8, "2.4.19", "mount_namespaces(7)", "mounts"),
    facts(Net, "net", 0x4000_0000, 0xEFFF_FFF9, "2.6.24", "network_namespaces(7)", "network devices, addresses, ports"),
    KindFacts {
        for_children: Some("pid_for_children"),
        has_parent: true,
        ..facts(Pid, "pid", 0x2000_0000, 0xEFFF_FFFC, "2.6.24", "pid_namespaces(7)", "process ids")
    },
    KindFacts {
        for_children: Some("time_for_children"),
        ..facts(Time, "time", 0x0000_0080, 0xEFFF_FFFA, "5.6", "time_namespaces(7)", "clock offsets")
    },
    KindFacts {
        has_parent: true,
        ..facts(User, "user", 0x1000_0000, 0xEFFF_FFFD, "3.8", "user_namespaces(7)", "user and group ids, capabilities")
    },
    facts(Uts, "uts", 0x0400_0000, 0xEFFF_FFFE, "2.6.19", "uts_namespaces(7)", "host and domain name"),
];

impl NamespaceKind {
    /// How many kinds there are.
    pub const COUNT: usize = 8;

    /// Every kind, in alphabetical order.
    pub const ALL: [Self; Self::COUNT] = [Cgroup, Ipc, Mnt, Net, Pid, Time, User, Uts];

    /// Returns what is fixed about this kind.
    pub fn facts(self) -> &'static KindFacts {
        &FACTS[self as usize]
    }

    /// Returns the name, as below `/proc/PID/ns`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns the clone(2) flag.
    pub fn clone_flag(self) -> u32 {
        self.facts().clone_flag
    }

    /// Returns the kind that a clone(2) flag or an answer of NS_GET_NSTYPE stands for; `None` for anything else.
    pub fn from_clone_flag(flag: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.clone_flag() == flag)
    }

    /// Returns the kind and inode that the text of a namespace link names, such as `net:[4026531833]`: what
    /// readlink(2) of `/proc/PID/ns/net` and the root field of an nsfs line in mountinfo say.
    pub fn parse_link(text: &[u8]) -> Option<(Self, u64)> {
        let text = std::str::from_utf8(text).ok()?;
        let (name, rest) = text.split_once(":[")?;
        let inode = rest.strip_suffix(']')?.parse().ok()?;
        // A `_for_children` link reads `pid:[…]` as well, so the plain names suffice.
        Some((name.parse().ok()?, inode))
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for NamespaceKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::new(ErrorKind::Invalid, format!("unknown kind of namespace: {text:?}"))
                .with_hint(format!("the kinds are {known}"))
        })
    }
}

/// One of the ten links below `/proc/PID/ns`: the namespace a task is in, or the one its future children are born in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamespaceLink {
    /// The task's own namespace of this kind.
    Own(NamespaceKind),
    /// The one for its future children; pid and time alone have it.
    ForChildren(NamespaceKind),
}

impl NamespaceLink {
    /// How many links there are.
    pub const COUNT: usize = NamespaceKind::COUNT + 2;

    /// Every link: the eight kinds in their order, then `pid_for_children` and `time_for_children`.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Own(Cgroup),
        Self::Own(Ipc),
        Self::Own(Mnt),
        Self::Own(Net),
        Self::Own(Pid),
        Self::Own(Time),
        Self::Own(User),
        Self::Own(Uts),
        Self::ForChildren(Pid),
        Self::ForChildren(Time),
    ];

    /// Returns the link to what unshare(2) made: of pid and time that is for sure where the children are, not the task.
    pub(crate) const fn to_unshared(kind: NamespaceKind) -> Self {
        match kind {
            Pid | Time => Self::ForChildren(kind),
            kind => Self::Own(kind),
        }
    }

    /// Returns the kind of namespace the link leads to.
    pub const fn kind(self) -> NamespaceKind {
        match self {
            Self::Own(kind) | Self::ForChildren(kind) => kind,
        }
    }

    /// Returns the link's place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        match self {
            Self::Own(kind) => kind as usize,
            Self::ForChildren(Time) => NamespaceKind::COUNT + 1,
            Self::ForChildren(_) => NamespaceKind::COUNT,
        }
    }

    /// Returns the name of the file below `/proc/PID/ns`.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Own(kind) => kind.name(),
            Self::ForChildren(kind) => kind.facts().for_children.unwrap_or(kind.name()),
        }
    }
}

/// A set of namespace kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KindSet(u8);

impl KindSet {
    /// No kind.
    pub const EMPTY: Self = Self(0);
    /// All eight.
    pub const ALL: Self = Self(0xff);

    /// Returns the set with `kind` added.
    #[must_use]
    pub const fn with(self, kind: NamespaceKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Returns the set with `kind` taken out.
    #[must_use]
    pub const fn without(self, kind: NamespaceKind) -> Self {
        Self(self.0 & !(1 << kind as u8))
    }

    /// Tells whether `kind` is in the set.
    pub const fn contains(self, kind: NamespaceKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Tells whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members, in the order of [`NamespaceKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = NamespaceKind> + Clone {
        NamespaceKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// Returns the clone(2) flags of all members, or-ed together.
    pub fn clone_flags(self) -> u32 {
        self.iter().fold(0, |flags, kind| flags | kind.clone_flag())
    }
}

impl FromIterator<NamespaceKind> for KindSet {
    fn from_iter<I: IntoIterator<Item = NamespaceKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (index, kind) in NamespaceKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(kind.facts().kind, kind);
            assert_eq!(NamespaceKind::from_clone_flag(kind.clone_flag()), Some(kind));
            assert_eq!(kind.name().parse::<NamespaceKind>().unwrap(), kind);
        }
        for (index, link) in NamespaceLink::ALL.into_iter().enumerate() {
            assert_eq!(link.index(), index);
        }
        assert_eq!(NamespaceLink::ForChildren(Time).file_name(), "time_for_children");
    }

    #[test]
    fn a_link_gives_kind_and_inode_and_nothing_else_does() {
        let parsed = NamespaceKind::parse_link(b"net:[4026531833]");
        assert_eq!(parsed, Some((Net, 4_026_531_833)));
        for bad in ["net:[]", "net:[4026531833", "net:[-1]", "nat:[1]", "/", "socket:[7]"] {
            assert_eq!(NamespaceKind::parse_link(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(NamespaceKind::parse_link(b"\xffnet:[1]"), None);
    }

    #[test]
    fn a_set_keeps_what_is_put_in() {
        let set: KindSet = [Net, User].into_iter().collect();
        assert!(set.contains(Net) && set.contains(User) && !set.contains(Mnt));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Net, User]);
        assert_eq!(set.clone_flags(), 0x5000_0000);
        assert_eq!(set.without(Net).without(User), KindSet::EMPTY);
        assert_eq!(NamespaceKind::ALL.into_iter().collect::<KindSet>(), KindSet::ALL);
    }
}
