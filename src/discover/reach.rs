//! Reaching into a namespace: a path in another mount namespace, a question asked from within.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::registry::Place;
use super::{Scan, bind_mounts};
use crate::kind::NamespaceKind;

/// Runs `ask` in a thread that has joined `namespace`, and waits for it; the rest of the process stays where it is. A
/// user or time namespace cannot be joined this way (setns(2): the process must have one thread alone).
pub(crate) fn within<T: Send>(
    namespace: BorrowedFd<'_>,
    kind: NamespaceKind,
    ask: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    apart(|| {
        nix::sched::setns(namespace, CloneFlags::from_bits_retain(kind.clone_flag() as i32))?;
        ask()
    })
}

/// Runs `act` in a thread whose root, working directory and namespaces it may change, and waits for it.
pub(super) fn apart<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("apart".into()).spawn_scoped(scope, || {
            // A mount namespace is joined with root and working directory, which must not be shared (setns(2): EINVAL).
            nix::sched::unshare(CloneFlags::CLONE_FS)?;
            act()
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Opens the root directory of a mount namespace by joining it, for namespaces no process of which leads there.
///
/// # Errors
/// EPERM: it wants CAP_SYS_ADMIN over the namespace, CAP_SYS_CHROOT and CAP_SYS_ADMIN over ours (setns(2)).
pub fn root_of_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    within(namespace, NamespaceKind::Mnt, || Ok(rustix::fs::open("/", flags, Mode::empty())?))
}

/// Opens a path of a mount namespace, as O_PATH, and returns what `accept` makes of it: through our own root, through
/// that of processes which live there (unless their own root is elsewhere), or where nobody does by joining it.
pub(super) fn open<T: Send>(
    scan: &Scan<'_>,
    place: Place,
    ours: bool,
    path: &[u8],
    accept: impl Fn(OwnedFd) -> Option<T>,
) -> Option<T> {
    let open = |root: OwnedFd| open_below(root, path).ok().and_then(&accept);
    if ours {
        return rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok().and_then(open);
    }
    let mut members = bind_mounts::members(scan, place.id).peekable();
    if members.peek().is_some() {
        let roots = members.map(|member| scan.proc.open_at(&format!("{member}/root"), OFlags::PATH));
        return roots.filter_map(Result::ok).find_map(open);
    }
    let root = scan.registry.with(place.index, |_, _, pin| root_of_namespace(pin?).ok());
    root.and_then(open)
}

/// Opens a path below a root. It is another's choice: it is resolved below the root whatever links stand in the way, and
/// only as far as the kernel has it in memory (RESOLVE_CACHED, since Linux 5.12), which mount points are. A component
/// that lies on a FUSE or network filesystem that no longer answers would hang us.
///
/// Kernels before that take what stands at the path; whoever asks examines what it gets.
pub(crate) fn open_below(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::CACHED;
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    // The root of the namespace itself may be what is looked for.
    let relative = if relative.is_empty() { b"." } else { relative };
    let relative = OsStr::from_bytes(relative);
    match rustix::fs::openat2(&root, relative, flags, Mode::empty(), resolve) {
        // EINVAL: no RESOLVE_CACHED.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {
            Ok(rustix::fs::openat(&root, relative, flags, Mode::empty())?)
        }
        opened => Ok(opened?),
    }
}
