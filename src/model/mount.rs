//! A mount and the mount table of one namespace, as plain data.

use super::Observed;
use crate::id::{NamespaceId, Pid};

/// A device number as mountinfo prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// The major number; 0 for filesystems without a block device.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// One mount, as a line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)) or statmount(2) tells it. Paths and names are
/// bytes, with octal escapes undone; they come from whoever mounted and go through [`printable`](crate::printable()).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's id, unique while it exists.
    pub id: u32,
    /// The kernel's id of it that is never given twice, ascending with age; where statmount(2) told (Linux 6.8).
    pub unique_id: Option<u64>,
    /// The id of the mount it is attached to; its own id, or one that is not in the table, at the top.
    pub parent: u32,
    /// The device of its filesystem.
    pub device: Device,
    /// Which directory or file of the filesystem is its root.
    pub root: Vec<u8>,
    /// Where it is mounted, relative to the reader's root.
    pub mount_point: Vec<u8>,
    /// Its own options, such as `rw,nosuid`.
    pub options: Vec<u8>,
    /// The peer group it shares events with (`shared:N`).
    pub shared: Option<u32>,
    /// The peer group it receives events from (`master:N`).
    pub master: Option<u32>,
    /// The nearest group above `master` with a member under the reader's root (`propagate_from:N`).
    pub propagate_from: Option<u32>,
    /// Whether it refuses to be bind mounted.
    pub unbindable: bool,
    /// The filesystem's type, with a subtype after a dot (`fuse.sshfs`).
    pub fs_type: Vec<u8>,
    /// What is mounted, such as a device; the filesystem's own affair.
    pub source: Vec<u8>,
    /// The options of the filesystem.
    pub super_options: Vec<u8>,
}

impl Mount {
    /// Returns how it exchanges mount events: `shared`, `slave`, `shared,slave`, `private` or `unbindable`.
    pub fn propagation(&self) -> &'static str {
        match (self.shared, self.master) {
            (Some(_), Some(_)) => "shared,slave",
            (Some(_), None) => "shared",
            (None, Some(_)) => "slave",
            (None, None) if self.unbindable => "unbindable",
            (None, None) => "private",
        }
    }
}

/// The mounts of one mount namespace, in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountTable {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The user namespace that owns it, whose capabilities decide what may be unmounted there.
    pub owner: Observed<NamespaceId>,
    /// The processes that were seen in it, ascending.
    pub processes: Vec<Pid>,
    /// Its mounts; a parent stands before its children, but for mounts put beneath others.
    pub mounts: Vec<Mount>,
    /// Whether the table was read below a root that is not the namespace's own, so that mounts may be missing.
    pub partial: bool,
    /// How many lines could not be understood and were left out.
    pub malformed: usize,
}
