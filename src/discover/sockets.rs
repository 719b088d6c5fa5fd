//! Sockets keep the network namespace they were made in, also when their process has left it.

use std::os::fd::{AsFd, RawFd};

use rustix::fs::{FileType, Statx};

use super::descriptors::hide;
use super::fd_tables::FdTable;
use super::worker::{Visit, Worker};
use crate::kind::NamespaceKind;
use crate::model::{Holder, Observed, Subject, Why};
use crate::sys::socket;

/// Tells whether a descriptor may answer for a network namespace: a socket, or /dev/net/tun, whose descriptors are
/// sockets at heart.
pub(super) fn is_one(stat: &Statx) -> bool {
    FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Socket || is_tun(stat)
}

/// Tells whether it is of the device with the number that the kernel gives to /dev/net/tun alone.
fn is_tun(stat: &Statx) -> bool {
    FileType::from_raw_mode(stat.stx_mode.into()) == FileType::CharacterDevice
        && (stat.stx_rdev_major, stat.stx_rdev_minor) == (10, 200)
}

/// Asks a socket of a process for its network namespace, through a duplicate. One of the process's own is not entered:
/// there the process itself is what holds it.
pub(super) fn look(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>, fd: RawFd, stat: &Statx) {
    if !worker.kinds.contains(NamespaceKind::Net) {
        return;
    }
    // Nothing below /proc leads to a socket, so there is no other way than a duplicate.
    let duplicate = match table.duplicate(fd) {
        None if visit.hidden.is_some() => return,
        None if !worker.proc.is_of_our_pid_namespace() => return worker.hide(Subject::Socket, Why::ForeignProc),
        None => return worker.hide(Subject::Socket, Why::Unsupported),
        Some(duplicate) => duplicate,
    };
    // ENOTTY: it is another file by now, or a socket that does not answer.
    let namespace = duplicate.and_then(|socket| socket::network_namespace(socket.as_fd()));
    match namespace.and_then(|namespace| worker.adopt(namespace, NamespaceKind::Net)) {
        Ok(place) if visit.process.links[NamespaceKind::Net as usize] != Observed::Known(place.id) => {
            let (pid, tid) = (visit.process.pid, table.tid);
            let holder = if is_tun(stat) { Holder::Tun { pid, tid, fd } } else { Holder::Socket { pid, tid, fd } };
            worker.hold(place, holder);
        }
        Ok(_) => {}
        Err(error) => hide(worker, visit, Subject::Socket, &error),
    }
}
