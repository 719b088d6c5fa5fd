//! The questions nstool asks rtnetlink(7): the number of another network namespace (RTM_GETNSID, since Linux 4.0), and
//! which interfaces and addresses the namespace of the socket has.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::model::{Interface, NetId};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
/// A dump that changed while it was made.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 0x1;
const IFF_RUNNING: u32 = 0x40;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct rtgenmsg`, padded to the alignment of attributes.
const GENMSG: usize = 4;
/// `struct ifinfomsg`.
const IFINFOMSG: usize = 16;
/// `struct ifaddrmsg`.
const IFADDRMSG: usize = 8;
/// More than the kernel puts into one answer of a dump (32 KiB).
const SPACE: usize = 64 * 1024;
/// How often a dump is asked for again that changed while it was made.
const PATIENCE: u32 = 10;

/// A socket to rtnetlink. It answers for the network namespace that it was made in.
pub(crate) struct Route {
    socket: OwnedFd,
}

/// Makes a socket for [`Route`]; it neither allocates nor locks, so a forked child may call it.
pub(crate) fn socket() -> rustix::io::Result<OwnedFd> {
    // NETLINK_ROUTE is protocol 0, the default.
    rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
}

impl Route {
    /// Opens one in our own network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: socket()? })
    }

    /// Takes a socket that was made elsewhere by [`socket`].
    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Returns the number our network namespace gives to the one behind `fd`.
    pub(crate) fn net_id(&self, fd: BorrowedFd<'_>) -> io::Result<NetId> {
        let mut body = vec![0; GENMSG];
        body.extend(8u16.to_ne_bytes());
        body.extend(NETNSA_FD.to_ne_bytes());
        body.extend(fd.as_raw_fd().to_ne_bytes());
        self.send(RTM_GETNSID, 0, &body)?;
        let mut space = vec![0u8; SPACE];
        parse_net_id(self.receive(&mut space)?)
    }

    /// Returns the interfaces with their addresses.
    pub(crate) fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let links = self.dump(RTM_GETLINK, IFINFOMSG)?;
        let mut found: Vec<(u32, Interface)> = links.iter().filter_map(|message| parse_link(message)).collect();
        for message in self.dump(RTM_GETADDR, IFADDRMSG)? {
            let Some((index, address, prefix)) = parse_address(&message) else { continue };
            // An interface that was made since is left out.
            if let Some((_, interface)) = found.iter_mut().find(|(of, _)| *of == index) {
                interface.addresses.push((address, prefix));
            }
        }
        found.sort_unstable_by_key(|(index, _)| *index);
        Ok(found.into_iter().map(|(_, interface)| interface).collect())
    }

    fn send(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        // Sequence and port.
        request.extend([0; 8]);
        request.extend(body);
        rustix::net::send(&self.socket, &request, SendFlags::empty())?;
        Ok(())
    }

    fn receive<'a>(&self, space: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let (_, length) = rustix::net::recv(&self.socket, &mut *space, RecvFlags::TRUNC)?;
        // Cut off, it would look complete.
        space.get(..length).ok_or_else(invalid)
    }

    /// Returns the bodies of all answers to a question for everything, which has a zeroed body of `length` bytes.
    fn dump(&self, kind: u16, length: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut space = vec![0u8; SPACE];
        for _ in 0..PATIENCE {
            self.send(kind, NLM_F_DUMP, &vec![0; length])?;
            let (mut bodies, mut changed, mut done) = (Vec::new(), false, false);
            while !done {
                for message in messages(self.receive(&mut space)?) {
                    let (kind, flags, body) = message?;
                    changed |= flags & NLM_F_DUMP_INTR != 0;
                    match kind {
                        NLMSG_DONE => done = true,
                        NLMSG_ERROR => return Err(error_of(body)),
                        _ => bodies.push([&kind.to_ne_bytes(), body].concat()),
                    }
                }
            }
            if !changed {
                return Ok(bodies);
            }
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADMSG)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn error_of(body: &[u8]) -> io::Error {
    word(body, 0).map_or_else(invalid, |errno| io::Error::from_raw_os_error((errno as i32).wrapping_neg()))
}

/// Takes an answer apart: kind, flags and body of each message.
fn messages(answer: &[u8]) -> impl Iterator<Item = io::Result<(u16, u16, &[u8])>> {
    let mut rest = answer;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut rest);
        let message = || {
            let length = word(whole, 0)? as usize;
            let body = whole.get(HEADER..length)?;
            Some((length, half(whole, 4)?, half(whole, 6)?, body))
        };
        Some(message().ok_or_else(invalid).map(|(length, kind, flags, body)| {
            rest = whole.get(length.next_multiple_of(4)..).unwrap_or_default();
            (kind, flags, body)
        }))
    })
}

/// Finds an attribute of a message behind its fixed part.
fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut at = 0;
    while let (Some(length), Some(kind)) = (half(attributes, at), half(attributes, at + 2)) {
        let length = usize::from(length.max(4));
        if kind == wanted {
            return attributes.get(at + 4..at + length);
        }
        at += length.next_multiple_of(4);
    }
    None
}

/// Reads an answer to RTM_GETNSID.
fn parse_net_id(answer: &[u8]) -> io::Result<NetId> {
    match messages(answer).next().ok_or_else(invalid)?? {
        (NLMSG_ERROR, _, body) => Err(error_of(body)),
        (RTM_NEWNSID, _, body) => {
            let id = attribute(body.get(GENMSG..).unwrap_or_default(), NETNSA_NSID).and_then(|id| word(id, 0));
            // NETNSA_NSID_NOT_ASSIGNED is -1.
            let assigned = |id: u32| if id as i32 == -1 { NetId::Unassigned } else { NetId::Assigned(id) };
            id.map(assigned).ok_or_else(invalid)
        }
        _ => Err(invalid()),
    }
}

/// Reads an interface and its number; the body has its kind before it.
fn parse_link(message: &[u8]) -> Option<(u32, Interface)> {
    let body = message.get(2..).filter(|_| half(message, 0) == Some(RTM_NEWLINK))?;
    let (index, flags) = (word(body, 4)?, word(body, 8)?);
    let name = attribute(body.get(IFINFOMSG..)?, IFLA_IFNAME)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let (up, running) = (flags & IFF_UP != 0, flags & IFF_RUNNING != 0);
    Some((index, Interface { name, up, running, addresses: Vec::new() }))
}

/// Reads an address: of which interface, and the length of the network's prefix.
fn parse_address(message: &[u8]) -> Option<(u32, IpAddr, u32)> {
    let body = message.get(2..).filter(|_| half(message, 0) == Some(RTM_NEWADDR))?;
    let (family, prefix, index) = (*body.first()?, *body.get(1)?, word(body, 4)?);
    let attributes = body.get(IFADDRMSG..)?;
    // Of a point-to-point link IFA_ADDRESS is the other end's.
    let bytes = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    let address = match i32::from(family) {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some((index, address, prefix.into()))
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

    #[test]
    fn interfaces_are_those_that_the_c_library_lists() {
        let ours = || Route::open().unwrap().interfaces().unwrap();
        // Other tests make interfaces elsewhere, and ours may change: until both agree.
        let agree = (0..50).any(|_| {
            let before = ours();
            let mut listed: Vec<_> = before.iter().map(|interface| interface.name.clone()).collect();
            let told = nix::net::if_::if_nameindex().unwrap();
            let mut told: Vec<_> = told.iter().map(|interface| interface.name().to_bytes().to_vec()).collect();
            listed.sort_unstable();
            told.sort_unstable();
            listed == told && ours() == before
        });
        assert!(agree, "{:?}", ours());
        let lo = ours().into_iter().find(|interface| interface.name == b"lo").unwrap();
        if lo.up {
            assert!(lo.addresses.contains(&(IpAddr::from([127, 0, 0, 1]), 8)), "{lo:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(answer: Vec<u8>, kind in 15u16..23) {
            let _ = parse_net_id(&answer);
            messages(&answer).for_each(drop);
            let body = [&kind.to_ne_bytes()[..], &answer].concat();
            let _ = (parse_link(&body), parse_address(&body));
        }
    }
}
