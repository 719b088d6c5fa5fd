//! What identifies a namespace.

use std::fmt;

/// The device and inode of a namespace's nsfs file, by which two descriptors or links name the same namespace
/// (ioctl_nsfs(2)).
///
/// An inode number is given to a new namespace as soon as the old one is gone, so an id is sure only while something
/// keeps the namespace alive: a scan holds a descriptor of each namespace it lists. What stays unique is the kernel's
/// own 64-bit id, since Linux 6.18: [`crate::model::Namespace::unique_id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId {
    /// The inode number, as `/proc/PID/ns/*` and every tool print it.
    pub ino: u64,
    /// The device number of the nsfs instance; the kernel has only one.
    pub dev: u64,
}

impl fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ino.fmt(f)
    }
}

/// A process or thread id in the pid namespace of the reader; always above 0.
pub type Pid = i32;
