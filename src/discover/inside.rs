//! Asking from inside a namespace: from where we are if it is our own, else from a thread that joins it, else, where the
//! user namespace that owns it must be joined before, from a short-lived child.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::reach;
use crate::kind::NamespaceKind;
use crate::proc::{Proc, read_to_end};
use crate::sys::child;
use crate::target::PinnedNamespace;

/// Makes a descriptor that belongs to the namespace of whoever calls it.
type Make = fn() -> rustix::io::Result<OwnedFd>;

/// A namespace to be asked from inside.
pub(super) struct Inside<'a> {
    pub(super) namespace: &'a PinnedNamespace,
    pub(super) proc: &'a Proc,
}

impl Inside<'_> {
    /// Tells whether it is our own.
    pub(super) fn is_ours(&self) -> bool {
        let own = rustix::fs::stat(format!("/proc/thread-self/ns/{}", self.namespace.kind()));
        own.is_ok_and(|own| own.st_ino == self.namespace.id().ino)
    }

    /// Reads files of /proc that show the namespace of whoever opens them; `None` for one that is not there.
    pub(super) fn read<const COUNT: usize>(&self, files: [&CStr; COUNT]) -> io::Result<[Option<Vec<u8>>; COUNT]> {
        self.ask(
            || Ok(files.map(|file| read(self.proc, file).ok())),
            |namespaces| {
                let read = child::read_within(namespaces, self.proc.as_fd(), &files)?;
                read.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
            },
        )
    }

    /// Opens what belongs to the namespace that it was made in. `in_child` does the same in a forked child, where it may
    /// change more than the namespace joined, but neither allocate nor lock.
    pub(super) fn open(&self, make: Make, in_child: Make) -> io::Result<OwnedFd> {
        self.ask(|| Ok(make()?), |namespaces| child::open_within(namespaces, in_child))
    }

    fn ask<T: Send>(
        &self,
        here: impl FnOnce() -> io::Result<T> + Send,
        in_child: impl Fn(&[BorrowedFd<'_>]) -> io::Result<T>,
    ) -> io::Result<T> {
        let (fd, kind) = (self.namespace.as_fd(), self.namespace.kind());
        if self.is_ours() {
            return here();
        }
        let asked = match kind {
            // These are joined by processes of one thread alone.
            NamespaceKind::User | NamespaceKind::Time => in_child(&[fd]),
            kind => reach::within(fd, kind, here),
        };
        match (asked, self.namespace.owner()) {
            // An ordinary user has the right only after joining a user namespace of their own.
            (Err(error), Ok(owner)) if error.raw_os_error() == Some(libc::EPERM) && kind != NamespaceKind::User => {
                in_child(&[owner.as_fd(), fd]).map_err(|_| error)
            }
            (asked, _) => asked,
        }
    }
}

fn read(proc: &Proc, file: &CStr) -> io::Result<Vec<u8>> {
    let file = rustix::fs::openat(proc, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    read_to_end(file.as_fd(), &mut text)?;
    Ok(text)
}
