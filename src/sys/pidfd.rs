//! Descriptors of processes (pidfd_open(2), the kernel's `include/uapi/linux/pidfd.h`): what is read through one
//! cannot come from another process that was given the same number since.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::probe::Interface;
use super::{check, ioctl_for_fd};
use crate::id::Pid;
use crate::kind::NamespaceLink;

pub(crate) static OPEN: Interface = Interface::new("pidfd_open(2)", "5.3", "/proc/PID");
pub(crate) static GET_NAMESPACE: Interface =
    Interface::new("PIDFD_GET_*_NAMESPACE", "6.11", "/proc/PID/ns").needing(OPEN.name);
pub(crate) static GET_INFO: Interface = Interface::new("PIDFD_GET_INFO", "6.13", "/proc/PID/status").needing(OPEN.name);
pub(crate) static GETFD: Interface = Interface::new("pidfd_getfd(2)", "5.6", "/proc/PID/fd").needing(OPEN.name);

/// `PIDFD_GET_*_NAMESPACE`, in the order of [`NamespaceLink::ALL`].
const GET_NAMESPACE_REQUESTS: [u32; NamespaceLink::COUNT] =
    [0xff01, 0xff02, 0xff03, 0xff04, 0xff05, 0xff07, 0xff09, 0xff0a, 0xff06, 0xff08];
const PIDFD_GET_INFO: u32 = 0xc040_ff0b;

/// Opens a pidfd of process `pid`; `None` before Linux 5.3.
pub(crate) fn open(pid: Pid) -> Option<io::Result<OwnedFd>> {
    open_with(pid, 0)
}

/// Opens a pidfd of one thread, which may be another than its process's leader; `None` before Linux 5.3, EINVAL before
/// 6.9.
pub(crate) fn open_thread(tid: Pid) -> Option<io::Result<OwnedFd>> {
    // PIDFD_THREAD has the value of O_EXCL.
    open_with(tid, libc::O_EXCL)
}

fn open_with(pid: Pid, flags: libc::c_int) -> Option<io::Result<OwnedFd>> {
    OPEN.attempt(|| {
        // SAFETY: the call takes two integers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) };
        let fd = check(fd as libc::c_int)?;
        // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// Tells whether a descriptor is a pidfd of a kernel that gives pidfds a filesystem of their own (since Linux 6.9).
pub(crate) fn is_pidfd(fd: BorrowedFd<'_>) -> bool {
    /// `PID_FS_MAGIC` of statfs(2).
    const PIDFS_MAGIC: u64 = 0x5049_4446;
    rustix::fs::fstatfs(fd).is_ok_and(|fs| fs.f_type as u64 == PIDFS_MAGIC)
}

/// Opens the namespace that `link` of the process leads to; `None` before Linux 6.11. EACCES: no ptrace rights.
/// ESRCH: a zombie has no such namespace any more.
pub(crate) fn namespace(pidfd: BorrowedFd<'_>, link: NamespaceLink) -> Option<io::Result<OwnedFd>> {
    GET_NAMESPACE.attempt(|| ioctl_for_fd(pidfd, GET_NAMESPACE_REQUESTS[link.index()]))
}

/// `struct pidfd_info`, as of its first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Info {
    mask: u64,
    cgroup_id: u64,
    pid: u32,
    tgid: u32,
    pub(crate) parent: u32,
    real_uid: u32,
    real_gid: u32,
    pub(crate) effective_uid: u32,
    effective_gid: u32,
    saved_uid: u32,
    saved_gid: u32,
    fs_uid: u32,
    fs_gid: u32,
    exit_code: i32,
}

/// Returns parent and credentials of the process, in terms of our namespaces; `None` before Linux 6.13. Needs no
/// rights over it.
pub(crate) fn info(pidfd: BorrowedFd<'_>) -> Option<io::Result<Info>> {
    GET_INFO.attempt(|| {
        let mut info = Info::default();
        // SAFETY: the request encodes the structure's 64 bytes, which the kernel reads and writes during the call.
        check(unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) })?;
        Ok(info)
    })
}

/// Duplicates descriptor `fd` of the process into ours; `None` before Linux 5.6. EPERM: no ptrace rights.
pub(crate) fn getfd(pidfd: BorrowedFd<'_>, fd: RawFd) -> Option<io::Result<OwnedFd>> {
    GETFD.attempt(|| {
        // SAFETY: the call takes three integers.
        let new = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
        let new = check(new as libc::c_int)?;
        // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(new) })
    })
}

/// Sends a signal to the process, and to no other that was given its number since; Linux 5.1.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: with a null pointer the kernel fills in the information itself.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) };
    check(result as libc::c_int).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::NamespaceKind;
    use std::os::fd::AsFd;

    #[test]
    fn each_request_leads_to_a_namespace_of_its_kind() {
        let Some(pidfd) = open(std::process::id() as Pid) else { return };
        let pidfd = pidfd.unwrap();
        for link in NamespaceLink::ALL {
            let Some(fd) = namespace(pidfd.as_fd(), link) else { return };
            assert_eq!(super::super::nsfs::kind(fd.unwrap().as_fd()).unwrap(), link.kind(), "{link:?}");
        }
        assert_eq!(NamespaceKind::COUNT + 2, GET_NAMESPACE_REQUESTS.len());
    }

    #[test]
    fn info_tells_our_own_parent() {
        let Some(pidfd) = open(std::process::id() as Pid) else { return };
        let Some(info) = info(pidfd.unwrap().as_fd()) else { return };
        assert_eq!(info.unwrap().parent, std::os::unix::process::parent_id());
    }
}
