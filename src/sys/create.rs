//! Making processes in new namespaces: clone3(2), unshare(2), and what is set up in them that no crate wraps.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;
use super::probe::Interface;
use crate::id::Pid;

pub(crate) static CLONE3: Interface = Interface::new("clone3(2)", "5.3", "clone(2)");

/// `struct clone_args`, as of its first version.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Which side of the cloning we are on.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The old one, with the number of the new.
    Parent(Pid),
}

/// Makes a child process, a copy of us, in new namespaces of the kinds that `flags` (`CLONE_NEW*`) name. As a
/// `sibling` it is a child of our parent instead.
pub(crate) fn clone(flags: u32, sibling: bool) -> io::Result<Cloned> {
    let sibling_flag = if sibling { libc::CLONE_PARENT as u32 } else { 0 };
    // A sibling's end is signalled as ours is.
    let exit_signal = if sibling { 0 } else { libc::SIGCHLD as u32 };
    let made = CLONE3.attempt(|| {
        let arguments = CloneArguments {
            flags: u64::from(flags | sibling_flag),
            exit_signal: exit_signal.into(),
            ..CloneArguments::default()
        };
        // SAFETY: without CLONE_VM the child has its own copy of our memory and runs on its copy of this stack, as after
        // a fork. The kernel reads the structure, whose size is told, during the call.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) };
        check(pid as libc::c_int)
    });
    let pid = match made {
        Some(pid) => pid?,
        None => {
            // SAFETY: as above. The kernel takes flags and exit signal in the first argument on every architecture nstool
            // is for, and the others, all zero, are unused.
            let pid = unsafe { libc::syscall(libc::SYS_clone, flags | sibling_flag | exit_signal, 0, 0, 0, 0) };
            check(pid as libc::c_int)?
        }
    };
    Ok(if pid == 0 { Cloned::Child } else { Cloned::Parent(pid) })
}

/// Finds out whether there is clone3(2), without a child.
pub(crate) fn try_clone3() {
    let _ = CLONE3.attempt(|| {
        let none = std::ptr::null::<CloneArguments>();
        // SAFETY: arguments of no size are refused (EINVAL) before anything is read or made.
        let result = unsafe { libc::syscall(libc::SYS_clone3, none, 0_usize) };
        check(result as libc::c_int)
    });
}

/// Moves us into new namespaces of the kinds that `flags` name; of pid and time, only our future children.
pub(crate) fn unshare(flags: u32) -> io::Result<()> {
    // SAFETY: only CLONE_NEW* flags come here. They change what names mean to us, not our memory or descriptors.
    check(unsafe { libc::unshare(flags as libc::c_int) }).map(drop)
}

/// Duplicates a descriptor of which only the number is known, as it comes on a command line. EBADF: there is none.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the request takes an integer; whatever the number means, it stays as it is.
    let new = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Closes a descriptor that came on the command line, if it is open.
pub(crate) fn close_inherited(fd: RawFd) {
    // SAFETY: 0 to 2 apart, the descriptors open when we were started are nobody's in this process; the callers pass
    // none that they use again.
    unsafe { libc::close(fd) };
}

/// Brings up the loopback device of our network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads the structure during the call and keeps nothing.
    check(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }).map(drop)
}
