//! mount_setattr(2), the one call of the newer mount interface that rustix lacks, and which of them are there.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::OpenTreeFlags;

use super::check;
use super::probe::Interface;

pub(crate) static OPEN_TREE: Interface = Interface::new("open_tree(2), move_mount(2), fsopen(2)", "5.2", "mount(2)");
pub(crate) static SETATTR: Interface =
    Interface::new("mount_setattr(2)", "5.12", "a remount of each mount of a bound tree");
pub(crate) static OPENAT2: Interface = Interface::new("openat2(2)", "5.6", "opening each component by itself");

/// `struct mount_attr` (the kernel's `include/uapi/linux/mount.h`).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets `MOUNT_ATTR_*` flags on the mount `tree` and all below it, or on none of them; `None` before Linux 5.12.
pub(crate) fn set_attributes(tree: BorrowedFd<'_>, set: u64) -> Option<io::Result<()>> {
    let attributes = MountAttributes { set, clear: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    SETATTR.attempt(|| {
        // SAFETY: the path is a constant with its NUL; the kernel reads the structure, whose size is told, during the
        // call and keeps nothing.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_raw_fd(),
                c"".as_ptr(),
                flags,
                &raw const attributes,
                size_of::<MountAttributes>(),
            )
        };
        check(result as libc::c_int).map(drop)
    })
}

/// Finds out which of them there are, on our root, of which nothing changes.
pub(crate) fn try_on_root() {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let _ = OPENAT2.attempt(|| Ok(rustix::fs::openat2(CWD, c"/", flags, Mode::empty(), ResolveFlags::empty())?));
    let _ = OPEN_TREE.attempt(|| Ok(rustix::mount::open_tree(CWD, c"/", OpenTreeFlags::OPEN_TREE_CLOEXEC)?));
    if let Ok(root) = rustix::fs::open(c"/", flags, Mode::empty()) {
        let _ = set_attributes(root.as_fd(), 0);
    }
}
