//! ioctls on a namespace's descriptor (ioctl_nsfs(2), the kernel's `include/uapi/linux/nsfs.h`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::probe::Interface;
use super::{check, ioctl_for_fd};
use crate::kind::NamespaceKind;

const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;
const NS_GET_PID_FROM_PIDNS: u32 = 0x8004_b706;
const NS_MNT_GET_INFO: u32 = 0x8010_b70a;
const NS_MNT_GET_NEXT: u32 = 0x8010_b70b;
const NS_MNT_GET_PREV: u32 = 0x8010_b70c;
const NS_GET_ID: u32 = 0x8008_b70d;

/// `NSFS_MAGIC` of statfs(2): the filesystem of namespace files.
pub(crate) const NSFS_MAGIC: u64 = 0x6e73_6673;

/// What shows a namespace to a call that asks about one.
pub(crate) const A_FILE: &str = "a namespace's file, which pidfds or /proc lead to";

pub(crate) static GET_ID: Interface = Interface::new("NS_GET_ID", "6.18", "the inode number").needing(A_FILE);
pub(crate) static MNT_GET_NEXT: Interface =
    Interface::new("NS_MNT_GET_NEXT", "6.12", "the mount namespaces of processes and descriptors").needing(A_FILE);

/// Returns a descriptor of the user namespace that owns `fd`'s namespace. EPERM: it lies outside ours.
pub(crate) fn owner(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ioctl_for_fd(fd, NS_GET_USERNS)
}

/// Returns a descriptor of the parent of a pid or user namespace. EPERM: it lies outside ours, or there is none.
pub(crate) fn parent(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ioctl_for_fd(fd, NS_GET_PARENT)
}

/// Returns the kind of `fd`'s namespace; ENOTTY if `fd` is not one.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<NamespaceKind> {
    // SAFETY: the request takes no pointer.
    let flag = check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _, 0) })?;
    NamespaceKind::from_clone_flag(flag as u32).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Returns the effective uid of whoever created the user namespace `fd`, in terms of our user namespace; the
/// overflow uid where it has no name there.
pub(crate) fn owner_uid(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t through the pointer, which lives until the call returns.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_OWNER_UID as _, &raw mut uid) })?;
    Ok(uid)
}

/// Returns the kernel's id of the namespace, which is never given twice; `None` before Linux 6.18.
pub(crate) fn unique_id(fd: BorrowedFd<'_>) -> Option<io::Result<u64>> {
    GET_ID.attempt(|| {
        let mut id: u64 = 0;
        // SAFETY: the kernel writes eight bytes through the pointer, which lives until the call returns.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_ID as _, &raw mut id) })?;
        Ok(id)
    })
}

/// Tells whether a pid namespace below ours has its init, process 1; `None` before Linux 6.11. It is missing once it has
/// ended and was reaped, or if it was not born yet.
pub(crate) fn has_init(fd: BorrowedFd<'_>) -> Option<bool> {
    // SAFETY: the request takes a number, no pointer.
    let result = check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_PID_FROM_PIDNS as _, 1) });
    match result {
        Ok(_) => Some(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Some(false),
        Err(_) => None,
    }
}

/// `struct mnt_ns_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MountNamespaceInfo {
    size: u32,
    pub(crate) mounts: u32,
    pub(crate) id: u64,
}

/// Returns id and number of mounts of the mount namespace `fd`; `None` before Linux 6.12.
pub(crate) fn mount_namespace_info(fd: BorrowedFd<'_>) -> Option<io::Result<MountNamespaceInfo>> {
    MNT_GET_NEXT.attempt(|| {
        let mut info = MountNamespaceInfo { size: size_of::<MountNamespaceInfo>() as u32, ..Default::default() };
        // SAFETY: the kernel writes at most `info.size` bytes, the structure's size.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_MNT_GET_INFO as _, &raw mut info) })?;
        Ok(info)
    })
}

/// Returns the mount namespace that follows `fd`'s in the kernel's order, with or without processes; ENOENT behind the
/// last. `None` before Linux 6.12. Wants CAP_SYS_ADMIN in the initial user and pid namespace (EPERM).
pub(crate) fn next_mount_namespace(fd: BorrowedFd<'_>) -> Option<io::Result<OwnedFd>> {
    MNT_GET_NEXT.attempt(|| ioctl_for_fd(fd, NS_MNT_GET_NEXT))
}

/// Returns the mount namespace before `fd`'s; otherwise as [`next_mount_namespace`].
pub(crate) fn previous_mount_namespace(fd: BorrowedFd<'_>) -> Option<io::Result<OwnedFd>> {
    MNT_GET_NEXT.attempt(|| ioctl_for_fd(fd, NS_MNT_GET_PREV))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn our_own_namespaces_answer() {
        for kind in NamespaceKind::ALL {
            let Ok(file) = File::open(format!("/proc/self/ns/{kind}")) else { continue };
            assert_eq!(super::kind(file.as_fd()).unwrap(), kind);
            if let Some(id) = unique_id(file.as_fd()) {
                assert_ne!(id.unwrap(), 0);
            }
        }
    }

    #[test]
    fn our_own_pid_namespace_has_its_init() {
        let file = File::open("/proc/self/ns/pid").unwrap();
        assert_ne!(has_init(file.as_fd()), Some(false));
    }

    #[test]
    fn what_is_no_namespace_says_so() {
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(kind(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
