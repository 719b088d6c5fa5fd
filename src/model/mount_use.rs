//! What processes use of mounted filesystems.

use std::fmt;
use std::os::fd::RawFd;

use crate::id::{NamespaceId, Pid};

/// A use of a mounted filesystem by a process. It keeps the mount and its device busy, but no namespace alive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountUse {
    /// The mount it goes through; `None`: which one is not known, only that the filesystem is used.
    pub mount: Option<MountPlace>,
    /// The process.
    pub pid: Pid,
    /// The thread that has it in a table of descriptors of its own.
    pub tid: Option<Pid>,
    /// What it has there.
    pub by: UsedBy,
    /// The path, as the process's link or map tells it; empty where it was not asked. Hostile bytes.
    pub path: Vec<u8>,
}

/// Where a mount is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountPlace {
    /// The mount namespace.
    pub namespace: NamespaceId,
    /// Where it is mounted there. Hostile bytes.
    pub mount_point: Vec<u8>,
}

/// By what a process uses a file.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsedBy {
    /// Its working directory is there.
    WorkingDirectory,
    /// Its root directory is there.
    Root,
    /// It runs a program from there.
    Executable,
    /// It has a file open there, under this number.
    Descriptor(RawFd),
    /// It has mapped a file from there.
    Mapping,
}

impl fmt::Display for UsedBy {
    /// Writes the short name, as below `/proc/PID`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkingDirectory => f.write_str("cwd"),
            Self::Root => f.write_str("root"),
            Self::Executable => f.write_str("exe"),
            Self::Descriptor(fd) => write!(f, "fd {fd}"),
            Self::Mapping => f.write_str("mapping"),
        }
    }
}
