//! The tables of descriptors of a process: the one that its threads share, and those of threads that gave it up
//! (CLONE_FILES of unshare(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::OFlags;

use super::worker::{Visit, Worker};
use crate::id::Pid;
use crate::model::{Subject, Why};
use crate::proc::{Proc, numbers_in};
use crate::sys::{kcmp, pidfd};

/// One table of descriptors, open to be read.
pub(super) struct FdTable<'a> {
    /// Whose it is, where it is not the process's.
    pub(super) tid: Option<Pid>,
    /// The directory below /proc that lists it.
    pub(super) directory: OwnedFd,
    /// The descriptors in it.
    pub(super) numbers: Vec<RawFd>,
    pidfd: Option<Handle<'a>>,
}

/// A pidfd of whoever has the table; of a thread alone only since Linux 6.9.
enum Handle<'a> {
    Process(BorrowedFd<'a>),
    Thread(OwnedFd),
}

impl FdTable<'_> {
    /// Duplicates a descriptor of the table into ours; `None` where the kernel or our /proc does not allow it.
    pub(super) fn duplicate(&self, fd: RawFd) -> Option<io::Result<OwnedFd>> {
        let pidfd = match self.pidfd.as_ref()? {
            Handle::Process(pidfd) => *pidfd,
            Handle::Thread(pidfd) => pidfd.as_fd(),
        };
        pidfd::getfd(pidfd, fd)
    }
}

/// Opens the tables of a process, the shared one first; what cannot be opened comes as the error.
pub(super) fn open<'a>(proc: &'a Proc, visit: &'a Visit) -> impl Iterator<Item = io::Result<FdTable<'a>>> + use<'a> {
    let open = move |tid, path: String, pidfd| {
        let directory = proc.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let numbers = numbers_in(directory.as_fd())?;
        Ok(FdTable { tid, directory, numbers, pidfd })
    };
    let pidfd = visit.pidfd.as_ref().map(|pidfd| Handle::Process(pidfd.as_fd()));
    let shared = open(None, format!("{}/fd", visit.process.proc_path()), pidfd);
    let own = visit.own_tables.iter().map(move |tid| {
        // One at a time, for a process can have more threads than we may have descriptors.
        let pidfd = pidfd::open_thread(*tid).and_then(Result::ok).map(Handle::Thread);
        open(Some(*tid), format!("{}/task/{tid}/fd", visit.process.pid), pidfd)
    });
    std::iter::once(shared).chain(own)
}

/// Finds the threads with tables of their own, each table once. Comparing costs a system call or a few per thread, about
/// a microsecond each, where listing all tables would cost a descriptor's look-up for each descriptor and thread.
pub(super) fn find(worker: &mut Worker<'_>, visit: &mut Visit, tids: &[Pid]) {
    let leader = visit.process.living_thread.unwrap_or(visit.process.pid);
    let others = || tids.iter().copied().filter(move |tid| *tid != leader);
    if others().next().is_none() || visit.hidden.is_some() {
        return;
    }
    if !worker.proc.is_of_our_pid_namespace() {
        return worker.hide(Subject::ThreadDescriptors, Why::ForeignProc);
    }
    // In the kernel's order, so that a process of a thousand threads with as many tables takes ten thousand calls and no
    // million.
    let mut distinct = vec![leader];
    for tid in others() {
        let mut trouble = None;
        let place = distinct.binary_search_by(|known| match kcmp::descriptor_tables(*known, tid) {
            Some(Ok(order)) => order,
            Some(Err(error)) => {
                trouble.get_or_insert(Why::of_errno(error.raw_os_error().unwrap_or_default()));
                std::cmp::Ordering::Equal
            }
            None => {
                trouble.get_or_insert(Why::Unsupported);
                std::cmp::Ordering::Equal
            }
        });
        match (trouble, place) {
            (None, Ok(_)) => {}
            (None, Err(place)) => {
                distinct.insert(place, tid);
                visit.own_tables.push(tid);
            }
            // One of the two ended meanwhile; if it was not this one, its table must be looked at.
            (Some(Why::Failed(libc::ESRCH)), _) => visit.own_tables.push(tid),
            (Some(why), _) => return worker.hide(Subject::ThreadDescriptors, why),
        }
    }
}
