//! Looking at files below the target's root before anything is joined. Nothing there is trusted: no link leads outside,
//! and only regular files are opened.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::facts::Presence;
use crate::exec::lacking;
use crate::proc::Proc;

/// Reads a regular file below the target's root, so that no link in it leads outside. To open anything else there could
/// block or have effects: a device acts on the host.
pub(super) fn read_below(root: &OwnedFd, proc: Option<&Proc>, path: &str, limit: usize) -> io::Result<Vec<u8>> {
    let (file, size) = open_regular(&open_below(root, path)?, proc)?;
    let mut content = vec![0; limit.min(size)];
    let count = rustix::io::read(&file, &mut content[..])?;
    content.truncate(count);
    Ok(content)
}

fn open_below(root: &OwnedFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

fn open_regular(found: &OwnedFd, proc: Option<&Proc>) -> io::Result<(OwnedFd, usize)> {
    let stat = rustix::fs::fstat(found)?;
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    let proc = proc.filter(|_| regular).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let file = crate::proc::reopen(proc.as_fd(), found, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    Ok((file, stat.st_size.max(0) as usize))
}

/// Tells whether one of these files can be there, below the target's root, with the interpreter it wants. In doubt (an
/// older kernel, a filesystem closed to us) it can.
pub(super) fn presence(root: Option<&OwnedFd>, proc: Option<&Proc>, places: &[CString]) -> Presence {
    let Some(root) = root else { return Presence::Possible };
    let is_absent = |path: &CStr| {
        open_below(root, path).is_err_and(|error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)))
    };
    let mut presence = Presence::Absent;
    for (index, place) in places.iter().enumerate() {
        // A relative place is looked up in a working directory that is not there yet.
        if !place.as_bytes().starts_with(b"/") {
            return Presence::Possible;
        }
        let found = match open_below(root, place.as_c_str()) {
            Ok(found) => found,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => continue,
            Err(_) => return Presence::Possible,
        };
        let file = open_regular(&found, proc);
        let refusal = file.ok().and_then(|(file, _)| lacking(&file, index, |path| !is_absent(path)));
        match refusal.filter(|_| !has_foreign_formats(proc)) {
            Some(refusal) if presence == Presence::Absent => presence = Presence::Refused(Box::new(refusal)),
            Some(_) => {}
            None => return Presence::Possible,
        }
    }
    presence
}

/// Tells whether somebody registered interpreters with binfmt_misc: by those a file can be executed that lacks its own.
fn has_foreign_formats(proc: Option<&Proc>) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Some(Ok(dir)) = proc.map(|proc| proc.open_at("sys/fs/binfmt_misc", flags)) else { return false };
    let Ok(entries) = rustix::fs::Dir::new(dir) else { return true };
    let own = [c".", c"..", c"register", c"status"];
    entries.into_iter().any(|entry| !entry.is_ok_and(|entry| own.contains(&entry.file_name())))
}
