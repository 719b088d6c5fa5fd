//! Descriptors that hold a namespace: of its nsfs file, of a socket in it, of a process whose number lives in it.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::path::DecInt;

use super::fd_tables::{self, FdTable};
use super::worker::{Visit, Worker};
use super::{open_files, sockets};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Holder, Subject, Why};
use crate::proc::numbers_in;
use crate::sys::{handle, nsfs, pidfd};

/// Returns the descriptors we have ourselves; asked for before a scan opens its own, which hold nothing of interest.
pub(super) fn of_ourselves() -> HashSet<RawFd> {
    let read = || -> io::Result<Vec<RawFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        numbers_in(rustix::fs::open("/proc/self/fd", flags, Mode::empty())?.as_fd())
    };
    read().unwrap_or_default().into_iter().collect()
}

/// Looks at every descriptor of one process; of threads that gave up the table they shared (CLONE_FILES of unshare(2))
/// where threads are asked for.
pub(super) fn look(worker: &mut Worker<'_>, visit: &mut Visit) {
    for table in fd_tables::open(worker.proc, visit) {
        match table {
            Ok(table) => look_at(worker, visit, &table),
            Err(error) => hide(worker, visit, Subject::Descriptors, &error),
        }
    }
}

fn look_at(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>) {
    for &fd in &table.numbers {
        if Some(visit.process.pid) == worker.me && !worker.inherited.contains(&fd) {
            continue;
        }
        // The link's text can be "/" for a namespace in a detached mount, so the device decides. What the kernel has in
        // memory suffices: asking a network or FUSE filesystem that no longer answers would hang us.
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::TYPE | StatxFlags::INO;
        let Ok(stat) = rustix::fs::statx(&table.directory, DecInt::new(fd), flags, wanted) else { continue };
        let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
        if device == worker.registry.nsfs_device && worker.scope.descriptors {
            namespace_file(worker, visit, table, fd, stat.stx_ino);
        } else if worker.scope.sockets && sockets::is_one(&stat) {
            sockets::look(worker, visit, table, fd, &stat);
        } else if worker.pidfd_device == Some(device) && worker.scope.descriptors {
            process_descriptor(worker, visit, table, fd);
        }
    }
}

/// Counts what could not be read, unless it ended (ENOENT, ESRCH) or was closed (EBADF) meanwhile, or its process is
/// counted as hidden already.
pub(super) fn hide(worker: &mut Worker<'_>, visit: &Visit, subject: Subject, error: &io::Error) {
    let errno = error.raw_os_error().unwrap_or_default();
    if visit.hidden.is_none() && !matches!(errno, libc::ENOENT | libc::ESRCH | libc::EBADF) {
        worker.hide(subject, Why::of_errno(errno));
    }
}

fn namespace_file(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>, fd: RawFd, ino: u64) {
    let holder = Holder::Descriptor { pid: visit.process.pid, tid: table.tid, fd };
    if let Some(place) = worker.known(ino) {
        return worker.hold(place, holder);
    }
    // It may be closed by now, or be another file: it is judged again by what was really opened.
    let opened = open(table, fd).and_then(|file| {
        let kind = nsfs::kind(file.as_fd())?;
        Ok((file, kind))
    });
    match opened {
        Ok((file, kind)) if worker.kinds.contains(kind) => match worker.adopt(file, kind) {
            Ok(place) => worker.hold(place, holder),
            Err(error) => hide(worker, visit, Subject::Descriptors, &error),
        },
        Ok(_) => {}
        // EINVAL: it is another file by now.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        Err(error) => hide(worker, visit, Subject::Descriptors, &error),
    }
}

/// A pidfd keeps the number of its process, and with it the pid namespace of that number. Which one can be told as long
/// as the process lives.
fn process_descriptor(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>, fd: RawFd) {
    if !worker.kinds.contains(NamespaceKind::Pid) {
        return;
    }
    let duplicate = match table.duplicate(fd) {
        Some(Ok(duplicate)) if pidfd::is_pidfd(duplicate.as_fd()) => duplicate,
        // Closed meanwhile, or another file by now.
        Some(Ok(_)) => return,
        Some(Err(error)) => return hide(worker, visit, Subject::Descriptors, &error),
        None => return worker.hide(Subject::Descriptors, Why::Unsupported),
    };
    match pidfd::namespace(duplicate.as_fd(), NamespaceLink::Own(NamespaceKind::Pid)) {
        Some(Ok(namespace)) => {
            if let Ok(place) = worker.adopt(namespace, NamespaceKind::Pid) {
                worker.hold(place, Holder::Pidfd { pid: visit.process.pid, tid: table.tid, fd });
            }
        }
        Some(Err(error)) if error.raw_os_error() == Some(libc::ESRCH) && worker.scope.rare_holders => {
            open_files::pidfd_of_the_ended(worker, visit, table, fd);
        }
        _ => {}
    }
}

/// Opens the namespace behind a descriptor of the process: through a duplicate, else through its link, for which weaker
/// rights suffice (PTRACE_MODE_READ against PTRACE_MODE_ATTACH). EINVAL: it is no namespace.
fn open(table: &FdTable<'_>, fd: RawFd) -> io::Result<OwnedFd> {
    match table.duplicate(fd) {
        Some(Ok(duplicate)) => reopen_namespace(duplicate),
        Some(Err(error)) if matches!(error.raw_os_error(), Some(libc::EBADF | libc::ESRCH)) => Err(error),
        // First without any effect on the file (opening a device or a FIFO has one).
        _ => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            reopen_namespace(rustix::fs::openat(&table.directory, DecInt::new(fd), flags, Mode::empty())?)
        }
    }
}

/// Turns a descriptor of a namespace file, which may be a mere path (O_PATH), into one that takes ioctls. EINVAL: it is
/// no namespace file.
///
/// The scan keeps it to its end; through the bind mount it may have been opened by, that would be busy as long, and
/// somebody's umount fail.
pub(super) fn reopen_namespace(file: OwnedFd) -> io::Result<OwnedFd> {
    if rustix::fs::fstatfs(&file)?.f_type as u64 != nsfs::NSFS_MAGIC {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = rustix::fs::open(link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(handle::without_mount(opened))
}
