//! A mount and the mount table of one namespace, as plain data.

use crate::id::NamespaceId;

/// A device number as mountinfo prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// The major number; 0 for filesystems without a block device.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

/// One mount, as a line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)) or statmount(2) tells it. Paths and names are
/// bytes, with octal escapes undone; they come from whoever mounted and go through [`printable`](crate::printable()).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's id, unique while it exists.
    pub id: u32,
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

/// The mounts of one mount namespace, in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountTable {
    /// The namespace.
    pub namespace: NamespaceId,
    /// Its mounts; a parent stands before its children, but for mounts put beneath others.
    pub mounts: Vec<Mount>,
}
