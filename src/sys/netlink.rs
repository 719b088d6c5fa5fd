//! The one question nstool asks rtnetlink(7): the number of another network namespace (RTM_GETNSID, since Linux 4.0).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::model::NetId;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct rtgenmsg`, padded to the alignment of attributes.
const GENMSG: usize = 4;

/// A socket to rtnetlink, in our own network namespace.
pub(crate) struct Route {
    socket: OwnedFd,
}

impl Route {
    pub(crate) fn open() -> io::Result<Self> {
        let family = AddressFamily::NETLINK;
        // NETLINK_ROUTE is protocol 0, the default.
        let socket = rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket })
    }

    /// Returns the number our network namespace gives to the one behind `fd`.
    pub(crate) fn net_id(&self, fd: BorrowedFd<'_>) -> io::Result<NetId> {
        let mut request = Vec::with_capacity(HEADER + GENMSG + 8);
        request.extend(((HEADER + GENMSG + 8) as u32).to_ne_bytes());
        request.extend(RTM_GETNSID.to_ne_bytes());
        request.extend(NLM_F_REQUEST.to_ne_bytes());
        // Sequence and port; then rtgenmsg: the family AF_UNSPEC.
        request.extend([0; 8 + GENMSG]);
        request.extend(8u16.to_ne_bytes());
        request.extend(NETNSA_FD.to_ne_bytes());
        request.extend(fd.as_raw_fd().to_ne_bytes());
        rustix::net::send(&self.socket, &request, SendFlags::empty())?;
        let mut answer = [0u8; 1024];
        let (length, _) = rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        parse(&answer[..length])
    }
}

/// Reads an answer to RTM_GETNSID.
fn parse(answer: &[u8]) -> io::Result<NetId> {
    let invalid = || io::Error::from_raw_os_error(libc::EBADMSG);
    let half = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(i32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    match half(4).ok_or_else(invalid)? {
        NLMSG_ERROR => Err(io::Error::from_raw_os_error(-word(HEADER).ok_or_else(invalid)?)),
        RTM_NEWNSID => {
            let mut at = HEADER + GENMSG;
            while let (Some(length), Some(kind)) = (half(at), half(at + 2)) {
                if kind == NETNSA_NSID {
                    // NETNSA_NSID_NOT_ASSIGNED is -1.
                    return Ok(
                        u32::try_from(word(at + 4).ok_or_else(invalid)?).map_or(NetId::Unassigned, NetId::Assigned)
                    );
                }
                at += usize::from(length.max(4)).next_multiple_of(4);
            }
            Err(invalid())
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn our_own_namespace_is_answered_for() {
        let own = std::fs::File::open("/proc/self/ns/net").unwrap();
        Route::open().unwrap().net_id(own.as_fd()).unwrap();
    }

    #[test]
    fn what_is_no_namespace_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Route::open().unwrap().net_id(file.as_fd()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(answer: Vec<u8>) {
            let _ = parse(&answer);
        }
    }
}
