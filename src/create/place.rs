//! Places below the new root, opened and, where missing, made. Runs in the child, so nothing here allocates.
//!
//! A place is opened with the root as the end of the world (`RESOLVE_IN_ROOT`): a link in the tree cannot lead outside of
//! it. A kernel without that call gets each component opened by itself, and links in the way are refused.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};

use super::filesystem::TargetPath;
use super::trail::{Made, Trail};
use crate::sys::mounts::OPENAT2;

/// What to make where a place does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Directory,
    File,
}

impl Missing {
    /// Returns what `source` can be mounted on.
    pub(super) fn for_source(source: BorrowedFd<'_>) -> Result<Self> {
        let is_directory = FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode).is_dir();
        Ok(if is_directory { Self::Directory } else { Self::File })
    }
}

/// Where building blocks are put.
pub(super) struct Site<'a> {
    /// The new root.
    pub(super) root: BorrowedFd<'a>,
    /// What was made there.
    pub(super) trail: &'a mut Trail,
}

impl Site<'_> {
    /// Opens a place below the root; where it or a directory on the way is missing, makes it.
    pub(super) fn open_or_make(&mut self, target: &TargetPath, missing: Missing) -> Result<OwnedFd> {
        match open_below(self.root, target.whole()) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let steps = target.steps();
        let count = steps.len();
        let mut above = open_below(self.root, c".")?;
        for (index, (path, name)) in steps.enumerate() {
            above = match open_below(self.root, path) {
                Err(Errno::NOENT) => {
                    let made = if index + 1 == count && missing == Missing::File {
                        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                        rustix::fs::openat(&above, name, flags, Mode::from_raw_mode(0o644))?;
                        Made::File
                    } else {
                        rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755))?;
                        Made::Directory
                    };
                    self.trail.note(above, name, made)?;
                    open_below(self.root, path)?
                }
                result => result?,
            };
        }
        Ok(above)
    }
}

/// Opens `path` as if `root` were `/`.
pub(super) fn open_below(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was renamed meanwhile, so that the kernel cannot tell whether `..` stayed inside. openat2(2)
    // wants it tried again; whoever keeps renaming gets the error.
    let mut tries = 16;
    let opened = OPENAT2.attempt(|| {
        loop {
            tries -= 1;
            match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if tries > 0 => {}
                result => return Ok(result?),
            }
        }
    });
    match opened {
        Some(result) => result.map_err(errno),
        None => open_each(root, path),
    }
}

/// The same one component after the other; a symbolic link is refused (ELOOP) for want of a way to keep it inside.
fn open_each(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(root, c".", flags, Mode::empty())?;
    for name in path.to_bytes().split(|byte| *byte == b'/') {
        // NAME_MAX, and the NUL.
        let mut buffer = [0; 256];
        buffer.get_mut(..name.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(name);
        let name = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::NAMETOOLONG)?;
        let next = rustix::fs::openat(&at, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode).is_symlink() {
            return Err(Errno::LOOP);
        }
        at = next;
    }
    Ok(at)
}

pub(super) fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Tells whether both are the same file.
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
