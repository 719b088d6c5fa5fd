//! Loop devices (loop(4), the kernel's `include/uapi/linux/loop.h`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

const LOOP_GET_STATUS64: u32 = 0x4c05;

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rest: [u64; 27],
}

const _: () = assert!(size_of::<Info>() == 232);

/// Returns the device number, as stat(2) gives it, of the filesystem that the file behind an open loop device lies on.
/// ENXIO: there is no file behind it.
pub(crate) fn backing_device(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = Info { device: 0, inode: 0, rest: [0; 27] };
    // SAFETY: the kernel writes the structure's 232 bytes through the pointer, which lives until the call returns.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), LOOP_GET_STATUS64 as _, &raw mut info) })?;
    Ok(info.device)
}
