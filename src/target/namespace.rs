//! A namespace held by a descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::id::NamespaceId;
use crate::kind::NamespaceKind;
use crate::sys::nsfs;

/// A namespace that is held by a descriptor of ours: it stays alive, and its inode cannot be given to another.
#[derive(Debug)]
pub struct PinnedNamespace {
    kind: NamespaceKind,
    id: NamespaceId,
    fd: OwnedFd,
}

impl PinnedNamespace {
    /// Takes a descriptor of a namespace file.
    ///
    /// # Errors
    /// ENOTTY: it is no namespace file.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let kind = nsfs::kind(fd.as_fd())?;
        Self::of_kind(kind, fd)
    }

    /// Takes what the kernel gave for a namespace of this kind.
    pub(crate) fn of_kind(kind: NamespaceKind, fd: OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self { kind, id: NamespaceId { ino: stat.st_ino, dev: stat.st_dev }, fd })
    }

    /// Holds the same namespace once more.
    ///
    /// # Errors
    /// EMFILE: no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { kind: self.kind, id: self.id, fd: self.fd.try_clone()? })
    }

    /// Returns its kind.
    pub fn kind(&self) -> NamespaceKind {
        self.kind
    }

    /// Returns its id.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// Opens the user namespace that owns it.
    ///
    /// # Errors
    /// EPERM: that lies outside our own user namespace.
    pub fn owner(&self) -> io::Result<Self> {
        Self::of_kind(NamespaceKind::User, nsfs::owner(self.fd.as_fd())?)
    }

    /// Opens the parent of a user or pid namespace.
    ///
    /// # Errors
    /// EPERM: that lies outside our own, or there is none. EINVAL: another kind.
    pub fn parent(&self) -> io::Result<Self> {
        Self::of_kind(self.kind, nsfs::parent(self.fd.as_fd())?)
    }
}

impl AsFd for PinnedNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
