//! What tests need of system calls that no crate wraps; above all the kernel's own word on whether a namespace is still
//! there: its file handle (since Linux 6.18).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `FD_NSFS_ROOT`: stands for nsfs where open_by_handle_at(2) wants a mount.
const FD_NSFS_ROOT: libc::c_int = -10003;

#[repr(C)]
#[derive(Clone, Copy)]
struct FileHandle {
    length: libc::c_uint,
    kind: libc::c_int,
    bytes: [u8; 128],
}

/// A token of one namespace that does not keep it alive.
pub struct Handle(FileHandle);

impl Handle {
    /// Takes the handle of an open namespace file; `None` where the kernel has none.
    pub fn of(namespace: impl AsFd) -> Option<Self> {
        let mut handle = FileHandle { length: 128, kind: 0, bytes: [0; 128] };
        let mut mount = 0;
        let fd = namespace.as_fd().as_raw_fd();
        // SAFETY: the path is a C string, the handle has room for the length it tells, the mount id for an int.
        let result = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                fd,
                c"".as_ptr(),
                &raw mut handle,
                &raw mut mount,
                libc::AT_EMPTY_PATH,
            )
        };
        // Older kernels have no handles for nsfs (EOPNOTSUPP), or cannot open them.
        (result == 0).then_some(Self(handle)).filter(Self::is_alive)
    }

    /// Tells whether the kernel still has the namespace.
    pub fn is_alive(&self) -> bool {
        let mut handle = self.0;
        // SAFETY: the kernel only reads the handle, whose length it was told.
        let fd = unsafe {
            libc::syscall(libc::SYS_open_by_handle_at, FD_NSFS_ROOT, &raw mut handle, libc::O_RDONLY | libc::O_CLOEXEC)
        };
        if fd < 0 {
            let errno = io::Error::last_os_error().raw_os_error();
            assert!(matches!(errno, Some(libc::ESTALE | libc::EBADF | libc::EOPNOTSUPP)), "{errno:?}");
            return false;
        }
        // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
        drop(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) });
        true
    }

    /// Waits until the namespace is gone; returns whether it went.
    pub fn wait_until_gone(&self) -> bool {
        super::try_eventually(|| (!self.is_alive()).then_some(())).is_some()
    }
}

/// Gives the calling thread a table of descriptors of its own that has only those below `first` (close_range(2)).
pub fn keep_descriptors_below(first: libc::c_uint) {
    // SAFETY: the call takes integers; what it leaves out of the new table stays open in the one the other threads share.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
