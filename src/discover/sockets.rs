//! Sockets keep the network namespace they were made in, also when their process has left it.

use std::os::fd::{AsFd, RawFd};

use rustix::fs::{FileType, Statx};

use super::Scope;
use super::worker::{Visit, Worker};
use crate::kind::NamespaceKind;
use crate::model::{Holder, Observed, Subject, Why};
use crate::sys::{pidfd, socket};

/// Tells whether a descriptor may answer for a network namespace: a socket, or where rare holders are asked for
/// /dev/net/tun, whose descriptors are sockets at heart.
pub(super) fn is_one(stat: &Statx, scope: &Scope) -> bool {
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Socket => true,
        FileType::CharacterDevice => scope.rare_holders && (stat.stx_rdev_major, stat.stx_rdev_minor) == (10, 200),
        _ => false,
    }
}

/// Asks a socket of a process for its network namespace, through a duplicate. One of the process's own is not entered:
/// there the process itself is what holds it.
pub(super) fn look(worker: &mut Worker<'_>, visit: &Visit, fd: RawFd) {
    if !worker.scope.kinds.contains(NamespaceKind::Net) {
        return;
    }
    // Nothing below /proc leads to a socket, so there is no other way.
    let duplicate = visit.pidfd.as_ref().and_then(|pidfd| pidfd::getfd(pidfd.as_fd(), fd));
    let Some(duplicate) = duplicate else { return worker.hide(Subject::Socket, Why::Unsupported) };
    let namespace = duplicate.and_then(|socket| socket::network_namespace(socket.as_fd()));
    let place = match namespace.and_then(|namespace| worker.adopt(namespace, NamespaceKind::Net)) {
        Ok(place) => place,
        Err(error) => {
            let why = Why::of_errno(error.raw_os_error().unwrap_or_default());
            // EBADF: closed meanwhile. ESRCH: the process ended.
            if !matches!(why, Why::Failed(_)) && visit.hidden.is_none() {
                worker.hide(Subject::Socket, why);
            }
            return;
        }
    };
    if visit.process.links[NamespaceKind::Net as usize] != Observed::Known(place.id) {
        worker.hold(place, Holder::Socket { pid: visit.process.pid, fd });
    }
}
