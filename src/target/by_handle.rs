//! Finding a namespace that no path leads to, by trying the kernel's ids one after the other (since Linux 6.18).
//!
//! What keeps it may be a mounted procfs, an open file or a descriptor on its way between two processes. The file handle
//! of a namespace is made of its id (NS_GET_ID), its kind and its inode. The inode is what is looked for, and the ids are
//! counted from 1; so all of them can be tried, at about a microsecond each.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

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

/// How many ids a CPU takes at a time out of the common stock (`COOKIE_LOCAL_BATCH` of the kernel's
/// `include/linux/cookie.h`).
const STOCK: u64 = 4096;

/// Tries the ids from the highest down, for younger namespaces are the likelier to be looked for. `highest` is the highest
/// id that was met: what any CPU took since lies less than a stock each above it. At most `tries` handles are opened.
///
/// Opening wants CAP_SYS_ADMIN over the namespace, or to live in it; otherwise it is not found.
pub(crate) fn find(wanted: &[Wanted], highest: u64, tries: u64) -> Found {
    let mut found = Found::default();
    if !handles_are_made_so() {
        return found;
    }
    let cpus = sys::cpus();
    let mut open: Vec<(usize, Wanted)> = wanted.iter().copied().enumerate().collect();
    // Inodes of namespaces begin with the initial ones, which older kernels numbered from 0xF0000000 on.
    open.retain(|(_, wanted)| (0xefff_fff0..=u64::from(u32::MAX)).contains(&wanted.ino));
    let mut left = tries;
    for id in (1..=highest.saturating_add(STOCK * (cpus + 1))).rev() {
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
    found.complete = true;
    found
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
        assert!(found.complete);
        let found = find(&wanted[1..2], 1 << 40, 100);
        assert!(found.namespaces.is_empty() && !found.complete);
    }
}
