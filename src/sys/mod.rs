//! The system calls and ioctls that no crate wraps: the only unsafe code, each block argued.
//!
//! Nothing here decides or words anything: a call goes in, an `io::Result` comes out. What a kernel may lack is a
//! [`probe::Interface`], tried once and then remembered, and the callers have a fallback.
#![allow(unsafe_code)]

pub(crate) mod child;
pub(crate) mod create;
pub(crate) mod guard;
pub(crate) mod handle;
pub(crate) mod image;
pub(crate) mod job;
pub(crate) mod kcmp;
pub(crate) mod loop_device;
pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod nsfs;
pub(crate) mod pidfd;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod startup;
pub(crate) mod statmount;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Returns how many CPUs the machine can have, whichever of them we may use.
pub(crate) fn cpus() -> u64 {
    // SAFETY: the call takes an integer.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    u64::try_from(count).unwrap_or(1).max(1)
}

/// Turns the -1 of a C call into the errno.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Issues an ioctl that takes no argument and returns a new descriptor.
pub(crate) fn ioctl_for_fd(fd: BorrowedFd<'_>, request: u32) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no pointer, so the kernel touches no memory of ours.
    let new = check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, 0) })?;
    // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
