//! How the user and pid namespaces that are found stand to ours, and who owns the others.

use std::io;
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
        let here = next.map_err(cannot_climb)?;
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
            Err(error) if !is_outside(&error) => return Err(cannot_climb(error)),
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

/// Tells whether the kernel says that a parent or owner is outside of our own user or pid namespace, or that there is none
/// (ioctl_nsfs(2)). No other error, such as a lack of descriptors, proves where it is.
fn is_outside(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

fn cannot_climb(error: io::Error) -> Error {
    Error::system("cannot climb the hierarchy of the target's namespaces", error)
}

/// Finds the level of the user namespace that owns `namespace`.
pub(super) fn owner(namespace: &PinnedNamespace, own: Option<NamespaceId>, way: &Way) -> Result<Owner> {
    let stages = match way {
        Way::Down(stages) => stages.as_slice(),
        Way::Stay | Way::Outside(_) => &[],
    };
    let mut next = namespace.owner();
    let mut climbed = 0;
    loop {
        let here = match next {
            Ok(here) => here,
            Err(error) if is_outside(&error) => return Ok(Owner::Outside),
            Err(error) => return Err(cannot_climb(error)),
        };
        if Some(here.id()) == own {
            // Without a way, all that matters is whether it is ours or below.
            return Ok(Owner::Level(usize::from(climbed > 0 && stages.is_empty())));
        }
        if let Some(index) = stages.iter().position(|stage| stage.id == here.id()) {
            return Ok(Owner::Level(index + 1));
        }
        climbed += 1;
        next = here.parent();
    }
}

pub(super) fn is_below_ours(namespace: &PinnedNamespace) -> Result<bool> {
    let own = own_id(NamespaceKind::Pid);
    let mut next = namespace.parent();
    loop {
        match next {
            Ok(here) if Some(here.id()) == own => return Ok(true),
            Ok(here) => next = here.parent(),
            Err(error) if is_outside(&error) => return Ok(false),
            Err(error) => return Err(cannot_climb(error)),
        }
    }
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
