//! How the user and pid namespaces that are found stand to ours, and who owns the others.

use std::os::fd::AsFd;

use super::super::facts::{Owner, Stage, Way, capability};
use super::super::request::Request;
use crate::error::{Error, Result};
use crate::id::NamespaceId;
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::sys::nsfs;
use crate::target::{PinnedNamespace, PinnedProcess, Target};

/// Returns the id of our own namespace of a kind; `None` if the kernel lacks the kind.
pub(in crate::enter) fn own_id(kind: NamespaceKind) -> Option<NamespaceId> {
    let mut path = String::with_capacity(24);
    path.push_str("/proc/self/ns/");
    path.push_str(kind.name());
    if let Ok(stat) = rustix::fs::stat(&path) {
        return Some(NamespaceId { ino: stat.st_ino, dev: stat.st_dev });
    }
    // No /proc, or one of another pid namespace: pidfds do without it.
    let own = PinnedProcess::open(rustix::process::getpid().as_raw_nonzero().get(), None).ok()?;
    own.namespace(NamespaceLink::Own(kind)).ok().map(|namespace| namespace.id())
}

/// Climbs from the user namespace that was asked for up to ours, and keeps those passed.
pub(super) fn way(
    request: &Request,
    found: &[PinnedNamespace],
    own: Option<NamespaceId>,
    kept: &mut Vec<PinnedNamespace>,
) -> Result<Way> {
    let Some(goal) = found.iter().find(|namespace| namespace.kind() == NamespaceKind::User) else {
        return Ok(Way::Stay);
    };
    if Some(goal.id()) == own && !request.literal {
        return Ok(Way::Stay);
    }
    let mut passed = Vec::new();
    let mut next = goal.as_fd().try_clone_to_owned().and_then(PinnedNamespace::new);
    loop {
        let here = next.map_err(|error| Error::system("cannot climb the user namespaces of the target", error))?;
        let parent = match here.parent() {
            Ok(parent) if Some(here.id()) != own => parent,
            // The kernel refuses it, and has its own word for why.
            _ if request.literal => {
                passed.truncate(1);
                if passed.is_empty() {
                    passed.push(here);
                }
                break;
            }
            // EPERM: the parent is outside our own user namespace, or here is the top (ioctl_nsfs(2)).
            _ => return Ok(Way::Outside(goal.id())),
        };
        passed.push(here);
        if Some(parent.id()) == own {
            break;
        }
        next = Ok(parent);
    }
    let stages = passed.into_iter().rev().map(|namespace| {
        let stage = Stage { id: namespace.id(), creator: nsfs::owner_uid(namespace.as_fd()).ok(), handle: kept.len() };
        kept.push(namespace);
        stage
    });
    Ok(Way::Down(stages.collect()))
}

/// Finds the level of the user namespace that owns `namespace`.
pub(super) fn owner(namespace: &PinnedNamespace, own: Option<NamespaceId>, way: &Way) -> Owner {
    let stages = match way {
        Way::Down(stages) => stages.as_slice(),
        Way::Stay | Way::Outside(_) => &[],
    };
    let mut next = namespace.owner();
    let mut climbed = 0;
    while let Ok(here) = next {
        if Some(here.id()) == own {
            // Without a way, all that matters is whether it is ours or below.
            return Owner::Level(usize::from(climbed > 0 && stages.is_empty()));
        }
        if let Some(index) = stages.iter().position(|stage| stage.id == here.id()) {
            return Owner::Level(index + 1);
        }
        climbed += 1;
        next = here.parent();
    }
    Owner::Outside
}

pub(super) fn is_below_ours(namespace: &PinnedNamespace) -> bool {
    let own = own_id(NamespaceKind::Pid);
    let mut next = namespace.parent();
    while let Ok(here) = next {
        if Some(here.id()) == own {
            return true;
        }
        next = here.parent();
    }
    false
}

/// Tells whether a pid namespace is known to have had an init, and to have none now. A link in /proc is there from the
/// birth of its init on; only what was found by its inode can have come from a pidfd, which has it earlier.
pub(super) fn has_lost_init(request: &Request, namespace: &PinnedNamespace, remarks: &mut Vec<String>) -> bool {
    let lacks_init = nsfs::has_init(namespace.as_fd()) == Some(false);
    let by_inode = matches!(request.target, Some(Target::Namespace { .. }));
    if lacks_init && by_inode {
        remarks.push(format!(
            "pid namespace {} has no init (PID 1 inside): if that has ended, no process can be born there; if it was \
             never there, the command becomes it",
            namespace.id()
        ));
    }
    lacks_init && !by_inode
}

/// Tells whether every namespace is ours to join, as for root of the initial user namespace: all others are below it.
pub(super) fn rules_all(own_user: Option<NamespaceId>, capabilities: u64) -> bool {
    let initial = own_user.is_some_and(|own| own.ino == NamespaceKind::User.facts().initial_inode);
    let needed = [capability::SYS_ADMIN, capability::SYS_CHROOT];
    initial && needed.iter().all(|needed| capabilities & 1 << needed != 0)
}
