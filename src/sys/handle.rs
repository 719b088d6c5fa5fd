//! File handles of namespaces (name_to_handle_at(2), since Linux 6.18 also for nsfs): a name that does not keep the
//! namespace alive, and that the kernel never gives to another one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;
use super::probe::Interface;
use crate::kind::NamespaceKind;

pub(crate) static HANDLE: Interface =
    Interface::new("nsfs file handles", "6.18", "a namespace that ended during the scan may be listed")
        .needing(super::nsfs::A_FILE);

/// `FD_NSFS_ROOT`: where handles of namespaces are looked up.
const FD_NSFS_ROOT: RawFd = -10003;
/// Longer than any handle the kernel makes (MAX_HANDLE_SZ).
const SPACE: usize = 128;

/// `struct file_handle`.
#[repr(C)]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    length: u32,
    kind: i32,
    bytes: [u8; SPACE],
}

impl Handle {
    /// Returns the handle of the namespace behind `fd`; `None` where the kernel has none for namespaces.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Option<io::Result<Self>> {
        let result = HANDLE.attempt(|| {
            let mut handle = Self { length: SPACE as u32, kind: 0, bytes: [0; SPACE] };
            let mut mount_id: libc::c_int = 0;
            // SAFETY: the path is a string that ends in NUL; the kernel writes at most `length` bytes behind the two
            // numbers of `handle`, which has room for as many, and one int to `mount_id`.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_name_to_handle_at,
                    fd.as_raw_fd(),
                    c"".as_ptr(),
                    &raw mut handle,
                    &raw mut mount_id,
                    libc::AT_EMPTY_PATH,
                )
            };
            check(result as libc::c_int).map(|_| handle)
        })?;
        // EOPNOTSUPP: an nsfs without handles.
        Some(result).filter(|result| !matches!(result, Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP)))
    }

    /// Makes the handle of the namespace with this id of NS_GET_ID, kind and inode (`struct nsfs_file_handle` of the kernel's
    /// `include/uapi/linux/nsfs.h`).
    pub(crate) fn compose(id: u64, kind: NamespaceKind, ino: u32) -> Self {
        /// `FILEID_NSFS`.
        const NSFS: i32 = 0xf1;
        let mut bytes = [0; SPACE];
        bytes[..8].copy_from_slice(&id.to_ne_bytes());
        bytes[8..12].copy_from_slice(&kind.clone_flag().to_ne_bytes());
        bytes[12..16].copy_from_slice(&ino.to_ne_bytes());
        Self { length: 16, kind: NSFS, bytes }
    }

    /// Makes the handle of the namespace with this unique id (`struct nsfs_file_handle`: id, kind and inode, of which the
    /// last two may be left out together since Linux 6.19).
    pub(crate) fn by_id(id: u64) -> Self {
        /// `FILEID_NSFS`.
        const FILEID_NSFS: i32 = 0xf1;
        let mut handle = Self { length: 16, kind: FILEID_NSFS, bytes: [0; SPACE] };
        handle.bytes[..8].copy_from_slice(&id.to_ne_bytes());
        handle
    }

    /// Opens the namespace. ESTALE: it is gone, or we have no right to open it this way.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: the kernel reads the handle, whose length stands in it.
        let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, FD_NSFS_ROOT, &raw const *self, flags) };
        let fd = check(fd as libc::c_int)?;
        // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Returns a descriptor of the same namespace that does not keep the mount busy through which `fd` was opened; where
/// the kernel has no handles of namespaces, or we no right to them, `fd` itself.
pub(crate) fn without_mount(fd: OwnedFd) -> OwnedFd {
    let handle = Handle::of(fd.as_fd()).and_then(Result::ok);
    handle.and_then(|handle| handle.open().ok()).unwrap_or(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_handle_leads_back_to_its_namespace() {
        let own = std::fs::File::open("/proc/self/ns/uts").unwrap();
        let Some(handle) = Handle::of(own.as_fd()) else { return };
        let ino = |fd: &OwnedFd| rustix::fs::fstat(fd).unwrap().st_ino;
        let own: OwnedFd = own.into();
        assert_eq!(ino(&handle.unwrap().open().unwrap()), ino(&own));
        let Some(id) = crate::sys::nsfs::unique_id(own.as_fd()) else { return };
        match Handle::by_id(id.unwrap()).open() {
            Ok(again) => assert_eq!(ino(&again), ino(&own)),
            // Linux 6.18 wants kind and inode too.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESTALE)),
        }
    }
}
