//! What keeps a namespace alive, besides the processes in it.

use std::os::fd::RawFd;

use crate::id::{NamespaceId, Pid};
use crate::kind::NamespaceKind;

/// One thing that keeps a namespace alive. The processes in it are [`members`](super::Namespace::members).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A thread that is in it while its process's leader is not.
    Thread {
        /// The process.
        pid: Pid,
        /// The thread.
        tid: Pid,
    },
    /// A process whose future children will be in it (`pid_for_children`, `time_for_children`).
    ForChildren {
        /// The process.
        pid: Pid,
        /// The thread whose children they will be, where its process's own will not.
        tid: Option<Pid>,
    },
    /// A descriptor of the namespace's file.
    Descriptor {
        /// The process.
        pid: Pid,
        /// The thread that has it in a table of its own; `None`: it is in the table that the process's threads share.
        tid: Option<Pid>,
        /// The number of the descriptor.
        fd: RawFd,
    },
    /// A descriptor of a process: it pins the process's number, hence the pid namespace the number lives in.
    Pidfd {
        /// The process that has the descriptor.
        pid: Pid,
        /// The thread that has it in a table of its own.
        tid: Option<Pid>,
        /// The number of the descriptor.
        fd: RawFd,
    },
    /// A socket made in this network namespace, held by a process of another.
    Socket {
        /// The process.
        pid: Pid,
        /// The thread that has it in a table of its own.
        tid: Option<Pid>,
        /// The number of the descriptor.
        fd: RawFd,
    },
    /// A descriptor of a tun or tap device of this network namespace, which is a socket at heart.
    Tun {
        /// The process.
        pid: Pid,
        /// The thread that has it in a table of its own.
        tid: Option<Pid>,
        /// The number of the descriptor.
        fd: RawFd,
    },
    /// A socket with descriptors on their way to it (SCM_RIGHTS of unix(7)), which nothing leads to until they are
    /// received.
    InFlight {
        /// The process.
        pid: Pid,
        /// The thread that has it in a table of its own.
        tid: Option<Pid>,
        /// The number of the socket's descriptor.
        fd: RawFd,
        /// How many descriptors wait.
        waiting: u32,
    },
    /// A bind mount of the namespace's file.
    Mount {
        /// The mount namespace the mount is in.
        mount_namespace: NamespaceId,
        /// Whether that is the mount namespace of whoever scanned.
        ours: bool,
        /// Where it is mounted there.
        mount_point: Vec<u8>,
    },
    /// A mounted procfs that shows this pid namespace.
    Filesystem {
        /// The mount namespace the mount is in.
        mount_namespace: NamespaceId,
        /// Whether that is the mount namespace of whoever scanned.
        ours: bool,
        /// Where it is mounted there.
        mount_point: Vec<u8>,
    },
    /// An open file whose content is this namespace's: `/proc/PID/mountinfo` of a mount namespace, `/proc/PID/net/*` of
    /// a network namespace, a file of a control group.
    OpenFile {
        /// The process.
        pid: Pid,
        /// The thread that has it in a table of its own.
        tid: Option<Pid>,
        /// The number of the descriptor.
        fd: RawFd,
        /// The file, as the link of the descriptor reads.
        path: Vec<u8>,
    },
    /// A working directory below the directory of a process in a procfs: like an open file there it keeps the pid
    /// namespace of that process's number.
    WorkingDirectory {
        /// The process.
        pid: Pid,
        /// The directory, as the link reads.
        path: Vec<u8>,
    },
    /// A child of this pid or user namespace.
    Child(NamespaceId),
    /// A namespace that this user namespace owns.
    Owned(NamespaceId),
}

/// Something that holds some namespace of a kind; which one, the kernel does not tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suspect {
    /// The kind of the namespace.
    pub kind: NamespaceKind,
    /// What holds it.
    pub holder: Holder,
}

/// The sorts of [`Holder`], for counting.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are the variants of Holder")]
pub enum HolderKind {
    Thread,
    ForChildren,
    Descriptor,
    Pidfd,
    Socket,
    Tun,
    InFlight,
    Mount,
    Filesystem,
    OpenFile,
    WorkingDirectory,
    Child,
    Owned,
}

impl Holder {
    /// Returns the process, where it is something of a process's.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Thread { pid, .. }
            | Self::ForChildren { pid, .. }
            | Self::Descriptor { pid, .. }
            | Self::Pidfd { pid, .. }
            | Self::Socket { pid, .. }
            | Self::Tun { pid, .. }
            | Self::InFlight { pid, .. }
            | Self::WorkingDirectory { pid, .. }
            | Self::OpenFile { pid, .. } => Some(*pid),
            Self::Mount { .. } | Self::Filesystem { .. } | Self::Child(_) | Self::Owned(_) => None,
        }
    }

    /// Returns which sort it is.
    pub fn kind(&self) -> HolderKind {
        match self {
            Self::Thread { .. } => HolderKind::Thread,
            Self::ForChildren { .. } => HolderKind::ForChildren,
            Self::Descriptor { .. } => HolderKind::Descriptor,
            Self::Pidfd { .. } => HolderKind::Pidfd,
            Self::Socket { .. } => HolderKind::Socket,
            Self::Mount { .. } => HolderKind::Mount,
            Self::Filesystem { .. } => HolderKind::Filesystem,
            Self::OpenFile { .. } => HolderKind::OpenFile,
            Self::Tun { .. } => HolderKind::Tun,
            Self::InFlight { .. } => HolderKind::InFlight,
            Self::WorkingDirectory { .. } => HolderKind::WorkingDirectory,
            Self::Child(_) => HolderKind::Child,
            Self::Owned(_) => HolderKind::Owned,
        }
    }
}

impl HolderKind {
    /// Returns the word for one and for several: `fd`, `fds`.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Thread => ("thread", "threads"),
            Self::ForChildren => ("parent-to-be", "parents-to-be"),
            Self::Descriptor => ("fd", "fds"),
            Self::Pidfd => ("pidfd", "pidfds"),
            Self::Socket => ("socket", "sockets"),
            Self::Mount => ("mount", "mounts"),
            Self::Filesystem => ("procfs", "procfs"),
            Self::OpenFile => ("open file", "open files"),
            Self::Tun => ("tun", "tuns"),
            Self::InFlight => ("socket with descriptors on their way", "sockets with descriptors on their way"),
            Self::WorkingDirectory => ("working directory", "working directories"),
            Self::Child => ("child", "children"),
            Self::Owned => ("owned", "owned"),
        }
    }
}
