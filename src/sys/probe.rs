//! Which kernel interfaces are there: each tried where it is first needed, and remembered.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::kind::{NamespaceKind, NamespaceLink};

const UNTRIED: u8 = 0;
const PRESENT: u8 = 1;
const ABSENT: u8 = 2;

/// A kernel interface that older kernels, or a seccomp filter, lack.
///
/// Each is tried where it is first needed, and the answer is remembered for the life of the process.
#[derive(Debug)]
pub struct Interface {
    /// What it is called, such as `pidfd_open(2)`.
    pub name: &'static str,
    /// The Linux release that brought it.
    pub since: &'static str,
    /// What is used instead.
    pub fallback: &'static str,
    /// Without what it cannot be tried; empty where it needs nothing.
    pub needs: &'static str,
    state: AtomicU8,
}

impl Interface {
    pub(crate) const fn new(name: &'static str, since: &'static str, fallback: &'static str) -> Self {
        Self { name, since, fallback, needs: "", state: AtomicU8::new(UNTRIED) }
    }

    /// The same, but it cannot be tried without something.
    pub(crate) const fn needing(mut self, needs: &'static str) -> Self {
        self.needs = needs;
        self
    }

    /// Calls `attempt`; `None` if the kernel does not know the call, from then on without asking again.
    pub(crate) fn attempt<T>(&self, attempt: impl FnOnce() -> io::Result<T>) -> Option<io::Result<T>> {
        if self.state.load(Ordering::Relaxed) == ABSENT {
            return None;
        }
        let result = attempt();
        let absent = matches!(&result, Err(error) if is_absence(error));
        self.state.store(if absent { ABSENT } else { PRESENT }, Ordering::Relaxed);
        (!absent).then_some(result)
    }

    /// Tells whether the kernel has it; `None` as long as nothing has tried.
    pub fn present(&self) -> Option<bool> {
        match self.state.load(Ordering::Relaxed) {
            PRESENT => Some(true),
            ABSENT => Some(false),
            _ => None,
        }
    }
}

/// ENOSYS: no such call. ENOTTY: no such ioctl on this kind of file.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::ENOTTY))
}

/// Tries on ourselves what can be tried so; a scan tries the rest.
pub fn try_interfaces() {
    use super::{create, handle::Handle, kcmp, mounts, nsfs, pidfd, process, statmount};
    create::try_clone3();
    process::has_close_range();
    mounts::try_on_root();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let _ = kcmp::descriptor_tables(me, me);
    let own = pidfd::open(me).and_then(Result::ok);
    if let Some(own) = &own {
        let _ = (pidfd::info(own.as_fd()), pidfd::getfd(own.as_fd(), own.as_raw_fd()));
    }
    let by_pidfd = own.and_then(|own| pidfd::namespace(own.as_fd(), NamespaceLink::Own(NamespaceKind::Mnt))?.ok());
    let mounts = by_pidfd.or_else(|| std::fs::File::open("/proc/self/ns/mnt").ok().map(Into::into));
    let Some(mounts) = mounts else { return };
    let _ = (nsfs::unique_id(mounts.as_fd()), Handle::of(mounts.as_fd()));
    if let Some(Ok(info)) = nsfs::mount_namespace_info(mounts.as_fd()) {
        let _ = statmount::list(info.id);
    }
}

/// Returns the interfaces that not every kernel has, with what is used instead.
///
/// ```
/// let pidfd = nstool::interfaces().find(|interface| interface.name == "pidfd_open(2)").unwrap();
/// assert_eq!((pidfd.since, pidfd.fallback), ("5.3", "/proc/PID"));
/// ```
pub fn interfaces() -> impl Iterator<Item = &'static Interface> {
    use super::{create, handle, kcmp, mounts, nsfs, pidfd, process, statmount};
    let all: [&'static Interface; 14] = [
        &pidfd::OPEN,
        &pidfd::GET_NAMESPACE,
        &pidfd::GET_INFO,
        &pidfd::GETFD,
        &nsfs::GET_ID,
        &nsfs::MNT_GET_NEXT,
        &handle::HANDLE,
        &statmount::STATMOUNT,
        &kcmp::KCMP,
        &create::CLONE3,
        &mounts::OPEN_TREE,
        &mounts::SETATTR,
        &mounts::OPENAT2,
        &process::CLOSE_RANGE,
    ];
    all.into_iter()
}
