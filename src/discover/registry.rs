//! The namespaces met so far, each pinned by a descriptor.
//!
//! The kernel gives the inode of a namespace that is gone to the next new one at once. As long as we hold a descriptor of
//! every namespace we list, an inode names one namespace only; it also spares the kernel making a new inode for each
//! look-up.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::id::NamespaceId;
use crate::kind::NamespaceKind;
use crate::model::{Observed, Why};
use crate::sys::nsfs;

/// Descriptors left free for the scan's own reading.
const SPARE_DESCRIPTORS: u64 = 64;

/// The table of namespaces; the threads of a scan share it.
pub(super) struct Registry {
    state: Mutex<State>,
    /// How many may be pinned.
    budget: usize,
    /// The device of the nsfs instance, by which its files are told from others.
    pub(super) nsfs_device: u64,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    by_unique_id: HashMap<u64, usize>,
    by_inode: HashMap<u64, usize>,
    pinned: usize,
}

/// A namespace that was met.
pub(super) struct Entry {
    pub(super) kind: NamespaceKind,
    pub(super) id: NamespaceId,
    pub(super) unique_id: Observed<u64>,
    /// `None`: no descriptor was left, or no path leads to it.
    pub(super) pin: Option<OwnedFd>,
}

impl Entry {
    /// Tells whether only a mount table has told of it.
    fn is_noted(&self) -> bool {
        self.unique_id == Observed::Hidden(Why::Unreachable)
    }
}

/// The threads that share a registry do not panic while they hold the lock, so a poisoned one is still whole.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one thread already knows, so that it asks the shared table only for namespaces new to it.
#[derive(Default)]
pub(super) struct Known {
    by_unique_id: HashMap<u64, Place>,
    by_inode: HashMap<u64, Place>,
}

/// Where a namespace stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) id: NamespaceId,
}

impl Registry {
    /// Makes an empty table for a process that has `inherited` descriptors already.
    pub(super) fn new(inherited: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let nsfs_device = rustix::fs::stat("/proc/self/ns/mnt").map_or(0, |stat| stat.st_dev);
        let budget = usize::try_from(limit.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX);
        let budget = budget.saturating_sub(inherited);
        Self { state: Mutex::default(), budget, nsfs_device }
    }

    /// Enters the namespace behind `fd` unless it is known, and returns where it stands.
    pub(super) fn adopt(&self, fd: OwnedFd, kind: NamespaceKind, known: &mut Known) -> io::Result<Place> {
        let unique_id = match nsfs::unique_id(fd.as_fd()) {
            Some(id) => Some(id?),
            None => None,
        };
        if let Some(place) = unique_id.and_then(|id| known.by_unique_id.get(&id)) {
            return Ok(*place);
        }
        let stat = rustix::fs::fstat(&fd)?;
        let id = NamespaceId { ino: stat.st_ino, dev: stat.st_dev };
        let place = match unique_id {
            None => match known.by_inode.get(&id.ino) {
                Some(place) => *place,
                None => self.enter(fd, kind, id, unique_id),
            },
            Some(_) => self.enter(fd, kind, id, unique_id),
        };
        if let Some(unique_id) = unique_id {
            known.by_unique_id.insert(unique_id, place);
        }
        known.by_inode.insert(id.ino, place);
        Ok(place)
    }

    fn enter(&self, fd: OwnedFd, kind: NamespaceKind, id: NamespaceId, unique_id: Option<u64>) -> Place {
        let mut state = lock(&self.state);
        let by_inode = state.by_inode.get(&id.ino).copied();
        // So far only a mount table had told of it.
        let noted = by_inode.filter(|index| state.entries[*index].is_noted());
        let found = match unique_id {
            Some(unique_id) => state.by_unique_id.get(&unique_id).copied(),
            None => by_inode.filter(|_| noted.is_none()),
        };
        if let Some(index) = found {
            return Place { index, id };
        }
        let pin = (state.pinned < self.budget).then_some(fd);
        state.pinned += usize::from(pin.is_some());
        let unique_id = unique_id.map_or(Observed::Hidden(Why::Unsupported), Observed::Known);
        let entry = Entry { kind, id, unique_id, pin };
        let index = match noted {
            Some(index) => {
                state.replace(index, entry);
                index
            }
            None => state.push(entry),
        };
        Place { index, id }
    }

    /// Enters a namespace of which only inode and kind are known, as a mount table tells them, and returns its index.
    pub(super) fn note(&self, kind: NamespaceKind, ino: u64) -> usize {
        let mut state = lock(&self.state);
        if let Some(index) = state.by_inode.get(&ino) {
            return *index;
        }
        let id = NamespaceId { ino, dev: self.nsfs_device };
        state.push(Entry { kind, id, unique_id: Observed::Hidden(Why::Unreachable), pin: None })
    }

    /// Returns the index of the namespace with this inode, if it was met and is pinned.
    pub(super) fn find_pinned(&self, ino: u64) -> Option<usize> {
        let state = lock(&self.state);
        state.by_inode.get(&ino).copied().filter(|index| state.entries[*index].pin.is_some())
    }

    /// Tells whether the namespace with this inode was met itself, not just told of by a mount table.
    pub(super) fn has_met(&self, ino: u64) -> bool {
        let state = lock(&self.state);
        state.by_inode.get(&ino).is_some_and(|index| !state.entries[*index].is_noted())
    }

    /// Returns inode and kind of those that only a mount table told of.
    pub(super) fn noted(&self) -> Vec<(u64, NamespaceKind)> {
        let state = lock(&self.state);
        state.entries.iter().filter(|entry| entry.is_noted()).map(|entry| (entry.id.ino, entry.kind)).collect()
    }

    /// Returns the highest of the kernel's own ids that was met.
    pub(super) fn highest_unique_id(&self) -> u64 {
        let state = lock(&self.state);
        state.entries.iter().filter_map(|entry| entry.unique_id.known()).max().unwrap_or_default()
    }

    /// Takes the pin of a namespace away, so that we do not keep it alive.
    pub(super) fn release(&self, index: usize) -> Option<OwnedFd> {
        lock(&self.state).entries[index].pin.take()
    }

    /// Pins a namespace again.
    pub(super) fn pin_again(&self, index: usize, pin: OwnedFd) {
        lock(&self.state).entries[index].pin = Some(pin);
    }

    /// Returns why a namespace is not pinned.
    pub(super) fn why_unpinned(&self) -> Why {
        if lock(&self.state).pinned < self.budget { Why::Unreachable } else { Why::NoDescriptors }
    }

    /// Returns how many namespaces were met.
    pub(super) fn len(&self) -> usize {
        lock(&self.state).entries.len()
    }

    /// Calls `look` with the kind, id and pin of one namespace. The pin is duplicated by the callee if it must last.
    pub(super) fn with<T>(
        &self,
        index: usize,
        look: impl FnOnce(NamespaceKind, NamespaceId, Option<BorrowedFd<'_>>) -> T,
    ) -> T {
        let state = lock(&self.state);
        let entry = &state.entries[index];
        look(entry.kind, entry.id, entry.pin.as_ref().map(AsFd::as_fd))
    }

    /// Takes out all namespaces, in the order they were met, and releases their pins.
    pub(super) fn entries(&self) -> Vec<Entry> {
        std::mem::take(&mut lock(&self.state).entries)
    }
}

impl State {
    fn push(&mut self, entry: Entry) -> usize {
        let index = self.entries.len();
        self.by_inode.insert(entry.id.ino, index);
        if let Observed::Known(unique_id) = entry.unique_id {
            self.by_unique_id.insert(unique_id, index);
        }
        self.entries.push(entry);
        index
    }

    fn replace(&mut self, index: usize, entry: Entry) {
        if let Observed::Known(unique_id) = entry.unique_id {
            self.by_unique_id.insert(unique_id, index);
        }
        self.entries[index] = entry;
    }
}

impl Known {
    pub(super) fn by_inode(&self, ino: u64) -> Option<Place> {
        self.by_inode.get(&ino).copied()
    }
}

/// Puts the soft limit of open files back when dropped; of several scans at a time, the last one.
pub(super) struct RaisedLimit(());

/// How many scans are under way, and what the limit was before the first.
static RAISED: Mutex<(usize, Option<Rlimit>)> = Mutex::new((0, None));

impl RaisedLimit {
    /// Raises the soft limit of open files to the hard one. Where that is refused the limit stays, and fewer
    /// namespaces can be pinned.
    pub(super) fn raise() -> Self {
        let mut raised = RAISED.lock().unwrap_or_else(PoisonError::into_inner);
        if raised.0 == 0 {
            let before = getrlimit(Resource::Nofile);
            let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
            raised.1 = Some(before);
        }
        raised.0 += 1;
        Self(())
    }
}

impl Drop for RaisedLimit {
    fn drop(&mut self) {
        let mut raised = RAISED.lock().unwrap_or_else(PoisonError::into_inner);
        raised.0 -= 1;
        if raised.0 == 0
            && let Some(before) = raised.1.take()
        {
            // It was allowed before, so lowering it back cannot be refused.
            let _ = setrlimit(Resource::Nofile, before);
        }
    }
}
