//! Where a path leads in a mount namespace: which mount it lands on, as the kernel finds it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};

use super::reach;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Device;
use crate::printable;
use crate::proc::{self, Proc};

/// A file or directory, as the kernel found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The id of the mount it is on.
    pub mount_id: u32,
    /// Its path from the root of its mount namespace, without links.
    pub path: Vec<u8>,
    /// Whether it is a directory.
    pub directory: bool,
    /// The device, if it is a block device.
    pub block_device: Option<Device>,
}

/// Opens `path` below `root` by making that the root of a thread, for kernels without openat2(2). Only its place is
/// looked at, so it does no harm where a link of the target's /proc leads out of it.
fn open_chrooted(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    reach::apart(|| {
        rustix::process::fchdir(root)?;
        rustix::process::chroot(".")?;
        Ok(rustix::fs::open(OsStr::from_bytes(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    })
}

/// Finds `path` below a process's or namespace's root; `None` for our own root and working directory.
///
/// Links are followed, but never out of that root.
///
/// # Errors
/// It does not exist, or leads through a directory we may not search. Before Linux 5.6 (openat2(2)) following paths of
/// others wants CAP_SYS_CHROOT.
pub fn locate(root: Option<BorrowedFd<'_>>, path: &[u8]) -> Result<Located> {
    let shown = printable(path);
    let opened: io::Result<OwnedFd> = match root {
        None => rustix::fs::open(OsStr::from_bytes(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(io::Error::from),
        Some(root) => rustix::fs::openat2(
            root,
            OsStr::from_bytes(path),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
        .or_else(|errno| match errno {
            rustix::io::Errno::NOSYS => open_chrooted(root, path),
            errno => Err(errno.into()),
        }),
    };
    let fd = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => {
            Error::new(ErrorKind::NotFound, format!("{shown} does not exist in that mount namespace")).because(error)
        }
        _ => Error::system(format!("cannot open {shown}"), error),
    })?;
    examine(fd.as_fd()).map_err(|error| Error::system(format!("cannot examine {shown}"), error))
}

fn examine(fd: BorrowedFd<'_>) -> io::Result<Located> {
    use std::os::fd::AsRawFd;
    let stat = rustix::fs::fstat(fd)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let device = Device { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) };
    let proc = Proc::open().map_err(|error| io::Error::other(error.to_string()))?;
    let link = format!("self/fd/{}", fd.as_raw_fd());
    let path = rustix::fs::readlinkat(&proc, link, Vec::new())?.into_bytes();
    let mount_id = match mount_id_by_statx(fd) {
        Some(id) => id,
        None => mount_id_by_fdinfo(&proc, fd)?,
    };
    Ok(Located {
        mount_id,
        path,
        directory: kind == FileType::Directory,
        block_device: (kind == FileType::BlockDevice).then_some(device),
    })
}

/// `STATX_MNT_ID`, since Linux 5.8.
fn mount_id_by_statx(fd: BorrowedFd<'_>) -> Option<u32> {
    let statx = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    (statx.stx_mask & StatxFlags::MNT_ID.bits() != 0).then(|| u32::try_from(statx.stx_mnt_id).ok()).flatten()
}

/// The `mnt_id:` line of proc_pid_fdinfo(5), since Linux 3.15.
fn mount_id_by_fdinfo(proc: &Proc, fd: BorrowedFd<'_>) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    let path = format!("self/fdinfo/{}", fd.as_raw_fd());
    let file = rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    proc::read_to_end(file.as_fd(), &mut text)?;
    let field = proc::status::Status::new(&text).field("mnt_id").and_then(|field| std::str::from_utf8(field).ok());
    field.and_then(|field| field.parse().ok()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_ours_is_found_on_a_mount_of_ours() {
        let located = locate(None, b"/proc/self/../uptime").unwrap();
        assert_eq!((&located.path[..], located.directory), (&b"/proc/uptime"[..], false));
        let table = super::super::MountTables::own().unwrap();
        let mount = table.mounts.iter().find(|mount| mount.id == located.mount_id).unwrap();
        assert_eq!(mount.fs_type, b"proc");
        let file = std::fs::File::open("/proc/uptime").unwrap();
        let by_fdinfo = mount_id_by_fdinfo(&Proc::open().unwrap(), file.as_fd()).unwrap();
        assert_eq!(by_fdinfo, located.mount_id);
        assert_eq!(locate(None, b"/no/such").unwrap_err().kind(), ErrorKind::NotFound);
        let root = rustix::fs::open("/", OFlags::PATH, Mode::empty()).unwrap();
        assert_eq!(locate(Some(root.as_fd()), b"/proc/uptime").unwrap(), located);
        if rustix::process::geteuid().is_root() {
            let fd = open_chrooted(root.as_fd(), b"/proc/uptime").unwrap();
            assert_eq!(examine(fd.as_fd()).unwrap(), located);
        }
    }
}
