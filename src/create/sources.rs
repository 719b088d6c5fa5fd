//! What building blocks take from outside, taken before the first of them can cover it. Runs in the child, so nothing here
//! allocates once it is made.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::OpenTreeFlags;

use super::filesystem::Operation;
use super::place::errno;
use crate::sys::mounts::OPEN_TREE;

/// How many descriptors to leave for mounting.
const ROOM: usize = 16;

/// Something to be bound.
#[derive(Debug)]
pub(super) enum Source {
    /// A copy of the mounts, attached nowhere yet.
    Tree(OwnedFd),
    /// The place, before Linux 5.2.
    Place(OwnedFd),
}

impl Source {
    /// Takes it, with all mounts below it.
    pub(super) fn take(path: &CStr) -> Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        match OPEN_TREE.attempt(|| Ok(rustix::mount::open_tree(CWD, path, flags)?)) {
            Some(tree) => Ok(Self::Tree(tree.map_err(errno)?)),
            None => Ok(Self::Place(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tree(fd) | Self::Place(fd) => fd.as_fd(),
        }
    }
}

/// The sources of all building blocks, in their order.
#[derive(Debug, Default)]
pub(super) struct Sources {
    taken: Vec<Option<Result<Source>>>,
    next: usize,
}

impl Sources {
    /// Makes room.
    pub(super) fn with_room_for<'a>(operations: impl Iterator<Item = &'a Operation>) -> Self {
        Self { taken: Vec::with_capacity(operations.map(|operation| operation.sources().count()).sum()), next: 0 }
    }

    /// Takes them, unless that was done. What fails is told when its turn comes.
    pub(super) fn take_all<'a>(&mut self, operations: impl Iterator<Item = &'a Operation>) {
        if self.next > 0 || !self.taken.is_empty() {
            return;
        }
        for path in operations.flat_map(Operation::sources).take(self.taken.capacity()) {
            let source = Source::take(path);
            if matches!(source, Err(Errno::MFILE)) {
                // The rest has to wait until there are descriptors again, of which mounting needs some as well.
                self.taken.truncate(self.taken.len().saturating_sub(ROOM));
                break;
            }
            self.taken.push(Some(source));
        }
    }

    /// Returns the next one, which is at `path`.
    pub(super) fn next(&mut self, path: &CStr) -> Result<Source> {
        let source = self.taken.get_mut(self.next).and_then(Option::take);
        self.next += 1;
        source.unwrap_or_else(|| Source::take(path))
    }
}
