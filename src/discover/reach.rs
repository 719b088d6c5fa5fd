//! Reaching into a namespace: a path in another mount namespace, a question asked from within.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::Scan;
use super::registry::Place;
use crate::kind::NamespaceKind;

/// Runs `ask` in a thread that has joined `namespace`, and waits for it; the rest of the process stays where it is. A
/// user or time namespace cannot be joined this way (setns(2): the process must have one thread alone).
pub(crate) fn within<T: Send>(
    namespace: BorrowedFd<'_>,
    kind: NamespaceKind,
    ask: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let asking = std::thread::Builder::new().name("ask".into()).spawn_scoped(scope, || {
            if kind == NamespaceKind::Mnt {
                // A mount namespace is joined with root and working directory, which must not be shared (setns(2)).
                nix::sched::unshare(CloneFlags::CLONE_FS)?;
            }
            nix::sched::setns(namespace, CloneFlags::from_bits_retain(kind.clone_flag() as i32))?;
            ask()
        })?;
        asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Opens a path of a mount namespace, as O_PATH: through our own root, that of a process which lives there, or from a
/// thread that joins it. No magic link is followed, and no other link out of the namespace.
pub(super) fn open(scan: &Scan<'_>, place: Place, ours: bool, path: &[u8]) -> io::Result<OwnedFd> {
    if ours {
        return open_in(rustix::fs::CWD, path, ResolveFlags::NO_MAGICLINKS);
    }
    let in_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let kind = NamespaceKind::Mnt as usize;
    let members = scan.processes.iter().filter(|process| process.links[kind].known() == Some(place.id));
    let mut roots = members.filter_map(|process| scan.proc.open_file(process.pid, "root", OFlags::PATH).ok());
    if let Some(root) = roots.next() {
        return open_in(root, path, in_root);
    }
    scan.registry.with(place.index, |_, _, pin| {
        let pin = pin.ok_or(io::ErrorKind::NotFound)?;
        within(pin, NamespaceKind::Mnt, || open_in(rustix::fs::CWD, path, ResolveFlags::NO_MAGICLINKS))
    })
}

fn open_in(directory: impl AsFd, path: &[u8], resolve: ResolveFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = OsStr::from_bytes(path);
    match rustix::fs::openat2(&directory, path, flags, Mode::empty(), resolve) {
        // Before Linux 5.6 only our own mounts can be opened without the target's links leading us astray.
        Err(rustix::io::Errno::NOSYS) if !resolve.contains(ResolveFlags::IN_ROOT) => {
            Ok(rustix::fs::openat(&directory, path, flags, Mode::empty())?)
        }
        result => Ok(result?),
    }
}
