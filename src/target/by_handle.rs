//! Finding a namespace that no path leads to, by trying the kernel's ids one after the other (since Linux 6.18).
//!
//! What keeps it may be a mounted procfs, an open file or a descriptor on its way between two processes. The file handle
//! of a namespace is made of its id (NS_GET_ID), its kind and its inode. The inode is what is looked for, and the ids are
//! counted from 1; so all of them can be tried, at about a microsecond each.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::CpuSet;

use crate::kind::NamespaceKind;
use crate::sys::handle::Handle;
use crate::sys::{self, nsfs};

/// A namespace that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) ino: u64,
    pub(crate) kind: Option<NamespaceKind>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each with the place of what it answers among those that were looked for.
    pub(crate) namespaces: Vec<(usize, OwnedFd, NamespaceKind)>,
    /// Whether every id was tried: what we have the right to open and was not found is not there.
    pub(crate) complete: bool,
}

/// Tries the ids from the highest down, for younger namespaces are the likelier to be looked for. Where it cannot be told
/// how far the kernel has counted, `highest_met` is where to begin. At most `tries` handles are opened.
///
/// Opening wants CAP_SYS_ADMIN over the namespace, or to live in it; otherwise it is not found.
pub(crate) fn find(wanted: &[Wanted], highest_met: u64, tries: u64) -> Found {
    let mut found = Found::default();
    if !handles_are_made_so() {
        return found;
    }
    let counted = highest_given();
    let mut open: Vec<(usize, Wanted)> = wanted.iter().copied().enumerate().collect();
    // Inodes of namespaces begin with the initial ones, which older kernels numbered from 0xF0000000 on.
    open.retain(|(_, wanted)| (0xefff_fff0..=u64::from(u32::MAX)).contains(&wanted.ino));
    let mut left = tries;
    for id in (1..=counted.unwrap_or(highest_met)).rev() {
        if open.is_empty() {
            break;
        }
        let mut failed = false;
        open.retain(|(place, wanted)| {
            for kind in NamespaceKind::ALL.into_iter().filter(|kind| wanted.kind.is_none_or(|wanted| wanted == *kind)) {
                if left == 0 || failed {
                    return true;
                }
                left -= 1;
                match Handle::compose(id, kind, wanted.ino as u32).open() {
                    Ok(fd) => {
                        found.namespaces.push((*place, fd, kind));
                        return false;
                    }
                    // No such namespace, or no right.
                    Err(error) if error.raw_os_error() == Some(libc::ESTALE) => {}
                    Err(_) => failed = true,
                }
            }
            true
        });
        if failed || left == 0 {
            return found;
        }
    }
    found.complete = counted.is_some();
    found
}

/// Returns an id that no namespace of before has passed; `None` where that cannot be found out.
///
/// What lives now does not tell: the youngest may be gone. So a namespace is made on each CPU, for each gives ids out of a
/// stock of its own, ascending (the kernel's `include/linux/cookie.h`). They are a thread's, and end with it. That wants
/// CAP_SYS_ADMIN, and leave to run on every CPU.
fn highest_given() -> Option<u64> {
    let draw = || -> io::Result<u64> {
        let mut highest = 0;
        for cpu in 0..sys::cpus() as usize {
            let mut only = CpuSet::new();
            if cpu >= CpuSet::MAX_CPU {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            only.set(cpu);
            rustix::thread::sched_setaffinity(None, &only)?;
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)?;
            let made = std::fs::File::open("/proc/thread-self/ns/uts")?;
            let id = nsfs::unique_id(made.as_fd()).ok_or(io::ErrorKind::Unsupported)??;
            highest = highest.max(id);
        }
        Ok(highest)
    };
    std::thread::scope(|scope| scope.spawn(draw).join().ok()?.ok())
}

/// Tells whether this kernel makes handles the way we do, by one of our own.
fn handles_are_made_so() -> bool {
    let check = || -> io::Result<bool> {
        let own = std::fs::File::open("/proc/self/ns/uts")?;
        let ino = std::os::unix::fs::MetadataExt::ino(&own.metadata()?);
        let (Some(id), Some(handle)) = (nsfs::unique_id(own.as_fd()), Handle::of(own.as_fd())) else {
            return Ok(false);
        };
        Ok(handle? == Handle::compose(id?, NamespaceKind::Uts, ino as u32))
    };
    check().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespaces_are_found_by_their_inodes() {
        if !handles_are_made_so() {
            return;
        }
        let ino =
            |kind| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(format!("/proc/self/ns/{kind}")).unwrap());
        let id = |kind| {
            let file = std::fs::File::open(format!("/proc/self/ns/{kind}")).unwrap();
            nsfs::unique_id(file.as_fd()).unwrap().unwrap()
        };
        let (uts, net) = (NamespaceKind::Uts, NamespaceKind::Net);
        let wanted = [
            Wanted { ino: ino(uts), kind: None },
            Wanted { ino: ino(uts), kind: Some(net) },
            Wanted { ino: 1, kind: None },
            Wanted { ino: ino(net), kind: Some(net) },
        ];
        let found = find(&wanted, id(uts).max(id(net)), u64::MAX);
        let mut places: Vec<_> = found.namespaces.iter().map(|(place, _, kind)| (*place, *kind)).collect();
        places.sort_unstable();
        assert_eq!(places, [(0, uts), (3, net)]);
        assert_eq!(found.complete, highest_given().is_some());
        let found = find(&wanted[1..2], 1 << 40, 100);
        assert!(found.namespaces.is_empty() && !found.complete);
    }

    #[test]
    fn no_namespace_has_an_id_above_the_highest_given() {
        let Some(before) = highest_given() else { return };
        // What was made since, on whichever CPU, lies above what that CPU gave before; and nothing is above what is given
        // afterwards, even though nothing of it lives any more.
        let made = std::thread::spawn(|| {
            let mut ids = Vec::new();
            for _ in 0..10_000 {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS).unwrap();
                let file = std::fs::File::open("/proc/thread-self/ns/uts").unwrap();
                ids.push(nsfs::unique_id(file.as_fd()).unwrap().unwrap());
            }
            ids.into_iter().max().unwrap()
        });
        let made = made.join().unwrap();
        assert!(made > before, "{made} {before}");
        assert!(highest_given().unwrap() > made);
    }
}
