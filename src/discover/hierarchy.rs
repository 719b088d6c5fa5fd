//! Owners and parents of every namespace met, and the ancestors that no process is in.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Scan;
use super::registry::Known;
use crate::id::NamespaceId;
use crate::kind::NamespaceKind;
use crate::model::{Holder, Observed, Why};
use crate::sys::nsfs;

/// What a namespace belongs to.
pub(super) struct Lineage {
    pub(super) owner: Option<Observed<NamespaceId>>,
    pub(super) parent: Option<Observed<NamespaceId>>,
    pub(super) creator: Option<Observed<u32>>,
}

impl Lineage {
    pub(super) fn not_asked(kind: NamespaceKind) -> Self {
        Self::unseen(kind, Why::NotAsked)
    }

    fn unseen(kind: NamespaceKind, why: Why) -> Self {
        Self {
            owner: Some(Observed::Hidden(why)),
            parent: kind.facts().has_parent.then_some(Observed::Hidden(why)),
            creator: (kind == NamespaceKind::User).then_some(Observed::Hidden(why)),
        }
    }
}

/// What the kernel answers about one namespace.
struct Answers {
    owner: io::Result<OwnedFd>,
    parent: Option<io::Result<OwnedFd>>,
    creator: Option<io::Result<u32>>,
}

impl Answers {
    fn of(kind: NamespaceKind, fd: BorrowedFd<'_>) -> Self {
        Self {
            owner: nsfs::owner(fd),
            parent: kind.facts().has_parent.then(|| nsfs::parent(fd)),
            creator: (kind == NamespaceKind::User).then(|| nsfs::owner_uid(fd)),
        }
    }
}

/// Asks for owner and parent, once per namespace, of those that were not asked before; what is new among them is asked in its turn.
pub(super) fn look(scan: &mut Scan<'_>) {
    let mut known = Known::default();
    let mut next = 0;
    while next < scan.registry.len() {
        let index = next;
        next += 1;
        if scan.lineage.contains_key(&index) {
            continue;
        }
        let (kind, id, answers) =
            scan.registry.with(index, |kind, id, pin| (kind, id, pin.map(|fd| Answers::of(kind, fd))));
        let answers = answers.or_else(|| reopened(scan, kind, id));
        let lineage = match answers {
            None => Lineage::unseen(kind, scan.registry.why_unpinned()),
            Some(answers) => {
                let initial = id.ino == kind.facts().initial_inode;
                let parent = answers.parent.map(|parent| relative(scan, &mut known, parent, kind));
                let owner = relative(scan, &mut known, answers.owner, NamespaceKind::User);
                if let Some(Observed::Known((parent, _))) = parent {
                    scan.holders.push((parent, Holder::Child(id)));
                }
                // The owner of a user namespace is its parent, and counts once.
                if let (Observed::Known((owner, _)), false) = (owner, kind == NamespaceKind::User) {
                    scan.holders.push((owner, Holder::Owned(id)));
                }
                let creator = answers.creator.map(|creator| match creator {
                    Ok(uid) => Observed::Known(uid),
                    Err(error) => Observed::Hidden(Why::of_errno(error.raw_os_error().unwrap_or_default())),
                });
                Lineage {
                    owner: Some(owner.map(|(_, id)| id)).filter(|_| !(initial && kind == NamespaceKind::User)),
                    parent: parent.map(|parent| parent.map(|(_, id)| id)).filter(|_| !initial),
                    creator,
                }
            }
        };
        scan.lineage.insert(index, lineage);
    }
}

/// Enters an owner or parent that the kernel opened for us.
fn relative(
    scan: &Scan<'_>,
    known: &mut Known,
    opened: io::Result<OwnedFd>,
    kind: NamespaceKind,
) -> Observed<(usize, NamespaceId)> {
    match opened.and_then(|fd| scan.registry.adopt(fd, kind, known)) {
        Ok(place) => Observed::Known((place.index, place.id)),
        // EPERM: it lies outside our own namespace of that kind (ioctl_nsfs(2)).
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Observed::Hidden(Why::Outside),
        Err(error) => Observed::Hidden(Why::of_errno(error.raw_os_error().unwrap_or_default())),
    }
}

/// Asks a namespace that could not be pinned, through a process that is still in it.
fn reopened(scan: &Scan<'_>, kind: NamespaceKind, id: NamespaceId) -> Option<Answers> {
    let member = scan.processes.iter().find(|process| process.links[kind as usize] == Observed::Known(id))?;
    let path = format!("ns/{}", kind.name());
    let fd = scan.proc.open_file(member.pid, &path, rustix::fs::OFlags::RDONLY).ok()?;
    if rustix::fs::fstat(&fd).ok()?.st_ino != id.ino {
        return None;
    }
    Some(Answers::of(kind, fd.as_fd()))
}
