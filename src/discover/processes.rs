//! The namespaces of each process: the links below `/proc/PID/ns`, through its pidfd where the kernel can.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::registry::Place;
use super::worker::{Visit, Worker};
use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Observed, Why};
use crate::proc::{numbers_in, stat, status::Status};
use crate::sys::pidfd;

/// Reads the links of one process.
pub(super) fn look(worker: &mut Worker<'_>, visit: &mut Visit) {
    let ended = match &visit.pidfd {
        Some(pidfd) => {
            let pidfd = pidfd.as_fd();
            read_by_pidfd(worker, pidfd, &mut visit.process.links, visit.process.pid)
        }
        None => read_by_path(worker, &format!("{}/ns", visit.process.pid), &mut visit.process.links),
    };
    if ended {
        after_the_leader(worker, visit);
    }
    visit.hidden = visit.process.hidden();
}

type Links = [Observed<NamespaceId>; NamespaceLink::COUNT];

fn wanted(worker: &Worker<'_>) -> impl DoubleEndedIterator<Item = NamespaceLink> + use<> {
    let kinds = worker.kinds;
    NamespaceLink::ALL.into_iter().filter(move |link| kinds.contains(link.kind()))
}

/// Fills `links` through the pidfd. Returns whether the leader thread has ended.
fn read_by_pidfd(worker: &mut Worker<'_>, pidfd: BorrowedFd<'_>, links: &mut Links, pid: Pid) -> bool {
    // From the last to the first, so that the links for children are read before those they may answer for.
    for link in wanted(worker).rev() {
        if let Observed::Known(_) = links[link.index()] {
            continue;
        }
        let Some(opened) = pidfd::namespace(pidfd, link) else {
            return read_by_path(worker, &format!("{pid}/ns"), links);
        };
        match opened.and_then(|fd| worker.adopt(fd, link.kind())) {
            Ok(place) => {
                links[link.index()] = Observed::Known(place.id);
                if answers_for_its_own(worker, link, place.id) {
                    links[link.kind() as usize] = Observed::Known(place.id);
                }
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::ESRCH) => return true,
                // No descriptor to be had; the links' texts need none.
                Some(libc::EMFILE | libc::ENFILE) => return read_by_path(worker, &format!("{pid}/ns"), links),
                // ptrace(2) rights are judged for the process, not for one link: the others are refused as well.
                Some(libc::EACCES | libc::EPERM) => {
                    wanted(worker).for_each(|link| links[link.index()] = Observed::Hidden(Why::NotPermitted));
                    return false;
                }
                errno => links[link.index()] = Observed::Hidden(Why::of_errno(errno.unwrap_or_default())),
            },
        }
    }
    false
}

/// Tells whether the namespace for a process's children must be its own as well, which spares reading that.
///
/// A pid namespace for children is the process's own or below it (pid_namespaces(7)), and all processes we see are in ours
/// or below: so if their children are born in ours, they are in ours. A time namespace for children differs from the
/// process's own only when unshare(2) has just made it (time_namespaces(7)), and the initial one was not made.
fn answers_for_its_own(worker: &Worker<'_>, link: NamespaceLink, id: NamespaceId) -> bool {
    match link {
        NamespaceLink::ForChildren(NamespaceKind::Pid) => worker.own_pid_namespace == Some(id.ino),
        NamespaceLink::ForChildren(kind) => id.ino == kind.facts().initial_inode,
        NamespaceLink::Own(_) => false,
    }
}

/// Fills `links` from a directory such as `42/ns`. Returns whether its task has ended.
fn read_by_path(worker: &mut Worker<'_>, directory: &str, links: &mut Links) -> bool {
    let open = || rustix::fs::openat(worker.proc, directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let directory = match open() {
        Ok(directory) => directory,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => return true,
        Err(errno) => {
            let why = Why::of_errno(errno.raw_os_error());
            wanted(worker).for_each(|link| links[link.index()] = Observed::Hidden(why));
            return false;
        }
    };
    let mut ended = false;
    for link in wanted(worker) {
        links[link.index()] = match read_link(worker, &directory, link) {
            Ok(place) => Observed::Known(place.id),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ESRCH) if is_missing(link) => Observed::Hidden(Why::Unsupported),
                Some(libc::ENOENT | libc::ESRCH) => {
                    ended |= matches!(link, NamespaceLink::Own(_));
                    Observed::Hidden(Why::Zombie)
                }
                errno => Observed::Hidden(Why::of_errno(errno.unwrap_or_default())),
            },
        };
    }
    ended
}

/// Tells whether this kernel has no such link at all, by looking for our own.
fn is_missing(link: NamespaceLink) -> bool {
    let path = format!("/proc/self/ns/{}", link.file_name());
    rustix::fs::readlink(path, Vec::new()).err() == Some(rustix::io::Errno::NOENT)
}

/// Reads one link below an open `ns` directory; opens the namespace only if it is new.
pub(super) fn read_link(worker: &mut Worker<'_>, directory: &OwnedFd, link: NamespaceLink) -> io::Result<Place> {
    let mut space = [0u8; 64];
    let length = rustix::fs::readlinkat_raw(directory, link.file_name(), &mut space)?;
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let (_, ino) = NamespaceKind::parse_link(&space[..length]).ok_or_else(invalid)?;
    if let Some(place) = worker.known(ino) {
        return Ok(place);
    }
    let fd = rustix::fs::openat(directory, link.file_name(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    worker.adopt(fd, link.kind())
}

/// The leader thread has ended: the process is gone, is a zombie (of which only the user and pid namespace can still be
/// read, and only below /proc), or lives on in its other threads, whose namespaces then count.
fn after_the_leader(worker: &mut Worker<'_>, visit: &mut Visit) {
    let pid = visit.process.pid;
    let mut buffer = std::mem::take(&mut worker.buffer);
    let read = worker.proc.read(pid, "stat", &mut buffer);
    let stat = read.ok().and_then(|()| stat::parse(&buffer));
    worker.buffer = buffer;
    // A process that can still be read and is no zombie is just being replaced by another of its number.
    let Some(stat) = stat.filter(|stat| stat.exiting || matches!(stat.state, b'Z' | b'X' | b'x')) else {
        visit.gone = true;
        return;
    };
    if !matches!(stat.state, b'Z' | b'X' | b'x') {
        return while_ending(worker, visit);
    }
    if stat.threads > 1 {
        for tid in other_threads(worker, pid).unwrap_or_default() {
            let mut links = [Observed::Hidden(Why::NotAsked); NamespaceLink::COUNT];
            if !read_by_path(worker, &format!("{pid}/task/{tid}/ns"), &mut links) {
                visit.process.links = links;
                visit.process.living_thread = Some(tid);
                visit.pidfd = pidfd::open_thread(tid).and_then(Result::ok);
                return;
            }
        }
    }
    let mut links = visit.process.links;
    read_by_path(worker, &format!("{pid}/ns"), &mut links);
    visit.process.links = links;
}

/// An init that is ending lets go of its namespaces, and then waits until every process of its pid namespace is reaped
/// (zap_pid_ns_processes() of the kernel): that can take for ever. Any other is gone in a moment.
fn while_ending(worker: &mut Worker<'_>, visit: &mut Visit) {
    let pid = visit.process.pid;
    let mut buffer = std::mem::take(&mut worker.buffer);
    let read = worker.proc.read(pid, "status", &mut buffer);
    let is_init = read.is_ok() && Status::new(&buffer).ns_pids().is_some_and(|pids| pids.last() == Some(&1));
    worker.buffer = buffer;
    let mut links = visit.process.links;
    if !is_init {
        visit.gone = true;
        return;
    }
    read_by_path(worker, &format!("{pid}/ns"), &mut links);
    visit.process.links = links.map(|link| match link {
        Observed::Hidden(Why::Zombie) => Observed::Hidden(Why::Ending),
        link => link,
    });
}

/// Returns the ids of a process's threads but for the leader.
pub(super) fn other_threads(worker: &Worker<'_>, pid: Pid) -> io::Result<Vec<Pid>> {
    let tasks = worker.proc.open_file(pid, "task", OFlags::RDONLY | OFlags::DIRECTORY)?;
    Ok(numbers_in(tasks.as_fd())?.into_iter().filter(|tid| *tid != pid).collect())
}
