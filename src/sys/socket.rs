//! ioctls on sockets.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::ioctl_for_fd;

const SIOCGSKNS: u32 = 0x894c;

/// Returns a descriptor of the network namespace a socket was made in (socket(7), since Linux 4.9). EPERM: wants
/// CAP_NET_ADMIN over that namespace. ENOTTY: a kind of socket that does not answer.
pub(crate) fn network_namespace(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ioctl_for_fd(socket, SIOCGSKNS)
}
