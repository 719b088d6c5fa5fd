//! Finding a namespace by its inode: at processes, threads, descriptors, bind mounts, and among the owners and parents
//! of what is found there, and last by the kernel's ids.
//!
//! The cheap places come first. Every match is opened and its inode read again from the descriptor, so a place that
//! changes meanwhile is passed over and never mistaken.

use std::cell::Cell;
use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::by_handle::{self, Wanted};
use super::namespace::PinnedNamespace;
use crate::discover::reach;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::proc::{Proc, mountinfo, numbers_in};
use crate::sys::nsfs::{self, NSFS_MAGIC};

/// How many handles are tried: some seconds' worth at most.
const TRIES: u64 = 4_000_000;

/// Finds the namespace with inode `ino`, which must be of `kind` if that is told.
pub(super) fn find(ino: u64, kind: Option<NamespaceKind>) -> Result<PinnedNamespace> {
    let proc = Proc::open()?;
    let pids = proc.pids()?;
    let nsfs_device = rustix::fs::stat("/proc/self/ns/mnt").map_or(0, |stat| stat.st_dev);
    let mut search = Search { proc: &proc, ino, kind, hidden: 0, highest: Cell::new(0), nsfs_device };
    search
        .at_processes(&pids)
        .or_else(|| search.at_threads(&pids))
        .or_else(|| search.at_descriptors(&pids))
        .or_else(|| search.at_bind_mounts(&pids))
        .or_else(|| search.above(&pids))
        .or_else(|| search.by_handle())
        .ok_or_else(|| search.not_found())
}

struct Search<'a> {
    proc: &'a Proc,
    ino: u64,
    kind: Option<NamespaceKind>,
    /// How many processes refused to show their namespaces.
    hidden: usize,
    /// The highest of the kernel's ids among the namespaces that were opened.
    highest: Cell<u64>,
    /// The device of all namespace files.
    nsfs_device: u64,
}

impl Search<'_> {
    fn matches(&self, link: &[u8]) -> bool {
        NamespaceKind::parse_link(link)
            .is_some_and(|(kind, ino)| ino == self.ino && self.kind.is_none_or(|wanted| wanted == kind))
    }

    fn accept(&self, fd: OwnedFd) -> Option<PinnedNamespace> {
        PinnedNamespace::new(fd).ok().filter(|namespace| self.is_it(namespace))
    }

    fn is_it(&self, namespace: &PinnedNamespace) -> bool {
        namespace.id().ino == self.ino && self.kind.is_none_or(|kind| kind == namespace.kind())
    }

    fn links(&self) -> impl Iterator<Item = NamespaceLink> + use<> {
        let kind = self.kind;
        NamespaceLink::ALL.into_iter().filter(move |link| kind.is_none_or(|kind| kind == link.kind()))
    }

    fn at_processes(&mut self, pids: &[Pid]) -> Option<PinnedNamespace> {
        for &pid in pids {
            for link in self.links() {
                match self.at_link(pid, &format!("ns/{}", link.file_name())) {
                    Ok(Some(found)) => return Some(found),
                    Ok(None) => {}
                    Err(error) => {
                        self.hidden += usize::from(is_refusal(&error));
                        break;
                    }
                }
            }
        }
        None
    }

    fn at_link(&self, pid: Pid, name: &str) -> std::io::Result<Option<PinnedNamespace>> {
        if !self.matches(&self.proc.read_link(pid, name)?) {
            return Ok(None);
        }
        Ok(self.proc.open_file(pid, name, OFlags::RDONLY).ok().and_then(|fd| self.accept(fd)))
    }

    fn numbers(&self, pid: Pid, directory: &str) -> Vec<i32> {
        let opened = self.proc.open_file(pid, directory, OFlags::RDONLY | OFlags::DIRECTORY);
        opened.and_then(|directory| numbers_in(directory.as_fd())).unwrap_or_default()
    }

    fn at_threads(&self, pids: &[Pid]) -> Option<PinnedNamespace> {
        pids.iter().find_map(|&pid| {
            self.numbers(pid, "task").into_iter().filter(|thread| *thread != pid).find_map(|thread| {
                self.links().find_map(|link| {
                    self.at_link(pid, &format!("task/{thread}/ns/{}", link.file_name())).ok().flatten()
                })
            })
        })
    }

    fn at_descriptors(&self, pids: &[Pid]) -> Option<PinnedNamespace> {
        pids.iter().find_map(|&pid| {
            self.numbers(pid, "fd").into_iter().find_map(|fd| {
                let path = format!("{pid}/fd/{fd}");
                // DONT_SYNC: a descriptor on a dead network filesystem must not hang us. The link's text would not do:
                // a namespace opened through a bind mount reads as that path.
                let stat = rustix::fs::statx(self.proc, &path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
                // Nor is a file asked that only has the same number: its filesystem may not answer any more.
                let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
                if stat.stx_ino != self.ino || device != self.nsfs_device {
                    return None;
                }
                self.reopen(rustix::fs::openat(self.proc, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?)
            })
        })
    }

    /// Turns an O_PATH descriptor into one of the namespace, after seeing that it is one: opening anything else could
    /// have effects.
    fn reopen(&self, path_fd: OwnedFd) -> Option<PinnedNamespace> {
        if rustix::fs::fstatfs(&path_fd).ok()?.f_type as u64 != NSFS_MAGIC {
            return None;
        }
        let own = format!("self/fd/{}", path_fd.as_raw_fd());
        self.accept(rustix::fs::openat(self.proc, own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?)
    }

    fn at_bind_mounts(&self, pids: &[Pid]) -> Option<PinnedNamespace> {
        let mut seen = HashSet::new();
        let mut text = Vec::new();
        pids.iter().find_map(|&pid| {
            if !seen.insert(self.proc.read_link(pid, "ns/mnt").ok()?) {
                return None;
            }
            self.proc.read(pid, "mountinfo", &mut text).ok()?;
            let mounts = mountinfo::parse(&text).mounts;
            let place = mounts.into_iter().find(|mount| mount.fs_type == b"nsfs" && self.matches(&mount.root))?;
            let root = self.proc.open_file(pid, "root", OFlags::PATH | OFlags::DIRECTORY).ok()?;
            self.reopen(reach::open_below(&root, &place.mount_point).ok()?)
        })
    }

    /// Looks among the user namespaces that own what processes are in, and among the parents of user and pid
    /// namespaces: those may hold no process themselves.
    fn above(&self, pids: &[Pid]) -> Option<PinnedNamespace> {
        let mut seen: HashSet<NamespaceId> = HashSet::new();
        let mut seen_links = HashSet::new();
        for &pid in pids {
            for link in NamespaceLink::ALL {
                let name = format!("ns/{}", link.file_name());
                let Ok(text) = self.proc.read_link(pid, &name) else { continue };
                if !seen_links.insert(text) {
                    continue;
                }
                let Ok(fd) = self.proc.open_file(pid, &name, OFlags::RDONLY) else { continue };
                let Ok(namespace) = PinnedNamespace::new(fd) else { continue };
                if let Some(found) = self.climb(namespace, &mut seen) {
                    return Some(found);
                }
            }
        }
        None
    }

    fn climb(&self, start: PinnedNamespace, seen: &mut HashSet<NamespaceId>) -> Option<PinnedNamespace> {
        let mut waiting = vec![start];
        while let Some(namespace) = waiting.pop() {
            if self.is_it(&namespace) {
                return Some(namespace);
            }
            if let Some(Ok(id)) = nsfs::unique_id(namespace.as_fd()) {
                self.highest.set(self.highest.get().max(id));
            }
            if seen.insert(namespace.id()) {
                waiting.extend(namespace.owner());
                waiting.extend(namespace.parent());
            }
        }
        None
    }

    /// Tries the kernel's ids: what keeps a namespace need not lead to it.
    fn by_handle(&self) -> Option<PinnedNamespace> {
        let wanted = Wanted { ino: self.ino, kind: self.kind };
        let found = by_handle::find(&[wanted], self.highest.get(), TRIES);
        found.namespaces.into_iter().find_map(|(_, fd, _)| self.accept(fd))
    }

    fn not_found(&self) -> Error {
        let what = self.kind.map(|kind| format!("{kind} ")).unwrap_or_default();
        let error = Error::new(ErrorKind::NotFound, format!("no {what}namespace {} found", self.ino));
        if self.hidden > 0 {
            let advice = if rustix::process::geteuid().is_root() { "" } else { ": run as root to search them too" };
            let what = if self.hidden == 1 { "1 process".to_owned() } else { format!("{} processes", self.hidden) };
            error.with_hint(format!(
                "{what} could not be examined{advice}; `nstool ls` lists the namespaces that are there"
            ))
        } else {
            error.with_hint("`nstool ls` lists the namespaces that are there")
        }
    }
}

fn is_refusal(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}
