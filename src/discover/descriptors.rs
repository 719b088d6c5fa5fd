//! Descriptors that hold a namespace: of its nsfs file, of a socket in it, of a process whose number lives in it.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, StatxFlags};

use super::worker::{Visit, Worker};
use super::{open_files, sockets};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Holder, Subject, Why};
use crate::proc::numbers_in;
use crate::sys::{nsfs, pidfd};

/// Returns the descriptors we have ourselves; asked for before a scan opens its own, which hold nothing of interest.
pub(super) fn of_ourselves() -> HashSet<RawFd> {
    let read = || -> io::Result<Vec<RawFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        numbers_in(rustix::fs::open("/proc/self/fd", flags, Mode::empty())?.as_fd())
    };
    read().unwrap_or_default().into_iter().collect()
}

/// Looks at every descriptor of one process.
pub(super) fn look(worker: &mut Worker<'_>, visit: &mut Visit) {
    let pid = visit.process.pid;
    let directory = match worker.proc.open_file(pid, "fd", OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(directory) => directory,
        Err(error) => {
            let why = Why::of_errno(error.raw_os_error().unwrap_or_default());
            // ENOENT, ESRCH: it is gone. Where its namespaces are hidden, that is counted already.
            if !matches!(why, Why::Failed(_)) && visit.hidden.is_none() {
                worker.hide(Subject::Descriptors, why);
            }
            return;
        }
    };
    let mut buffer = std::mem::take(&mut worker.buffer);
    buffer.clear();
    let mut entries = RawDir::new(&directory, buffer.spare_capacity_mut());
    while let Some(Ok(entry)) = entries.next() {
        let Some(fd) = entry.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if pid == worker.me && !worker.inherited.contains(&fd) {
            continue;
        }
        // The link's text can be "/" for a namespace in a detached mount, so the device decides. What the kernel has in
        // memory suffices: asking a network or FUSE filesystem that no longer answers would hang us.
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::TYPE | StatxFlags::INO;
        let Ok(stat) = rustix::fs::statx(&directory, entry.file_name(), flags, wanted) else { continue };
        let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
        if device == worker.registry.nsfs_device && worker.scope.descriptors {
            namespace_file(worker, visit, &directory, fd, stat.stx_ino);
        } else if worker.scope.sockets && sockets::is_one(&stat, worker.scope) {
            sockets::look(worker, visit, fd);
        } else if worker.pidfd_device == Some(device) && worker.scope.descriptors {
            process_descriptor(worker, visit, &directory, fd);
        }
    }
    worker.buffer = buffer;
}

fn namespace_file(worker: &mut Worker<'_>, visit: &Visit, directory: &OwnedFd, fd: RawFd, ino: u64) {
    let holder = Holder::Descriptor { pid: visit.process.pid, fd };
    if let Some(place) = worker.known(ino) {
        return worker.hold(place, holder);
    }
    // It may be closed by now, or be another file: it is judged again by what was really opened.
    let Ok(file) = open(visit, directory, fd) else { return };
    let Ok(kind) = nsfs::kind(file.as_fd()) else { return };
    if worker.scope.kinds.contains(kind)
        && let Ok(place) = worker.adopt(file, kind)
    {
        worker.hold(place, holder);
    }
}

/// A pidfd keeps the number of its process, and with it the pid namespace of that number. Which one can be told as long
/// as the process lives.
fn process_descriptor(worker: &mut Worker<'_>, visit: &Visit, directory: &OwnedFd, fd: RawFd) {
    if !worker.scope.kinds.contains(NamespaceKind::Pid) {
        return;
    }
    let Ok(file) = open(visit, directory, fd) else { return };
    match pidfd::namespace(file.as_fd(), NamespaceLink::Own(NamespaceKind::Pid)) {
        Some(Ok(namespace)) => {
            if let Ok(place) = worker.adopt(namespace, NamespaceKind::Pid) {
                worker.hold(place, Holder::Pidfd { pid: visit.process.pid, fd });
            }
        }
        Some(Err(error)) if error.raw_os_error() == Some(libc::ESRCH) && worker.scope.rare_holders => {
            open_files::pidfd_of_the_ended(worker, visit, fd);
        }
        _ => {}
    }
}

/// Opens a descriptor of the process in ours: a duplicate where the kernel can.
fn open(visit: &Visit, directory: &OwnedFd, fd: RawFd) -> io::Result<OwnedFd> {
    if let Some(pidfd) = &visit.pidfd
        && let Some(duplicate) = pidfd::getfd(pidfd.as_fd(), fd)
    {
        return duplicate;
    }
    // First without any effect on the file (opening a device or a FIFO has one), then for reading if it is an nsfs file.
    let path = rustix::fs::openat(directory, fd.to_string(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    reopen_namespace(path)
}

/// Turns a path descriptor of a namespace file into one that takes ioctls. EINVAL: it is no namespace file.
pub(super) fn reopen_namespace(path: OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    if rustix::fs::fstatfs(&path)?.f_type as u64 != nsfs::NSFS_MAGIC {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let link = format!("/proc/self/fd/{}", path.as_raw_fd());
    Ok(rustix::fs::open(link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}
