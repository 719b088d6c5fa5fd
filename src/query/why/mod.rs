//! What keeps a namespace alive, and what to release so that it goes away.
//!
//! [`explain`] lists every holder that a scan saw, with what holds those holders in turn: the owned namespace that keeps
//! a user namespace, the process-less mount namespace whose bind mount keeps a network namespace. The scan must have
//! asked for [`Scope::holders`](crate::discover::Scope::holders).

mod kept;
mod release;

pub use kept::{Kept, kept_by};
pub use release::Release;

use std::cmp::Ordering;
use std::collections::HashSet;

use release::{is_zombie, release};

use crate::id::{NamespaceId, Pid};
use crate::kind::NamespaceKind;
use crate::model::{Holder, MountUse, Namespace, Process, Snapshot};

/// Why a namespace is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The namespace.
    pub namespace: NamespaceId,
    /// Its kind.
    pub kind: NamespaceKind,
    /// Whether it is the machine's initial one, which the kernel itself keeps.
    pub initial: bool,
    /// Everything seen that keeps it, a holder's own holders behind it.
    pub reasons: Vec<Reason>,
    /// What holds some namespace of its kind without the kernel telling which.
    pub possible: Vec<Reason>,
    /// Who has files open on its mounts from outside. That keeps mounts and devices busy, but not the namespace alive.
    pub uses: Vec<MountUse>,
}

/// One thing that keeps a namespace alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The place among the reasons of the holder that this one keeps; `None` if it keeps the namespace that was asked
    /// about.
    pub parent: Option<usize>,
    /// What it is.
    pub cause: Cause,
    /// How to release it.
    pub release: Release,
}

/// What keeps a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A process that is in it.
    Member(Pid),
    /// A process that ended in it and was not reaped yet.
    Zombie(Pid),
    /// An init that is ending, and waits until the other processes of its pid namespace are reaped.
    Ending(Pid),
    /// Anything else.
    Holder(Holder),
}

impl Explanation {
    /// Tells whether anything seen explains that the namespace is there.
    pub fn is_explained(&self) -> bool {
        self.initial || !self.reasons.is_empty()
    }

    /// Tells whether a process lives in it: then there is little need to guess what else may keep it.
    pub fn has_members(&self) -> bool {
        self.reasons.iter().any(|reason| reason.parent.is_none() && matches!(reason.cause, Cause::Member(_)))
    }

    /// Returns what can keep a namespace of this kind alive without showing anywhere in user space.
    pub fn unseen(&self) -> &'static [&'static str] {
        match self.kind {
            NamespaceKind::User => &[
                "descriptors on their way between processes",
                "credentials kept by open files",
                "filesystems that were mounted in it",
                "keyrings",
            ],
            NamespaceKind::Net => &[
                "descriptors on their way between processes",
                "files registered with io_uring",
                "the kernel's own sockets, such as those of tunnels and network filesystems",
                "network devices that are still being dismantled",
            ],
            NamespaceKind::Ipc => &[
                "descriptors on their way between processes",
                "attached System V shared memory of a process that left",
                "open files below /proc/sysvipc",
            ],
            NamespaceKind::Pid => &[
                "descriptors on their way between processes",
                "terminals and descriptors that remember a process of it (TIOCSPGRP, F_SETOWN)",
            ],
            _ => &["descriptors on their way between processes", "files registered with io_uring"],
        }
    }

    /// Returns every process that is named, each once.
    pub fn pids(&self) -> Vec<Pid> {
        let causes = self.reasons.iter().chain(&self.possible).filter_map(|reason| reason.cause.pid());
        let mut pids: Vec<Pid> = causes.chain(self.uses.iter().map(|user| user.pid)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

impl Cause {
    /// Returns the process, where it is something of a process's.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Member(pid) | Self::Zombie(pid) | Self::Ending(pid) => Some(*pid),
            Self::Holder(holder) => holder.pid(),
        }
    }
}

/// Explains what keeps a namespace alive; `None` if the snapshot does not have it. Holders for which `ignore` answers
/// true are left out: the descriptors of whoever asks.
pub fn explain(snapshot: &Snapshot, id: NamespaceId, ignore: &dyn Fn(&Holder) -> bool) -> Option<Explanation> {
    let namespace = snapshot.namespace(id)?;
    let mut search = Search { snapshot, ignore, reasons: Vec::new(), met: HashSet::from([id]), named: HashSet::new() };
    search.reasons_of(namespace, None);
    let reasons = search.reasons;
    let suspects = snapshot.suspects().iter();
    let suspects = suspects.filter(|suspect| suspect.kind == namespace.kind && !ignore(&suspect.holder));
    let possible = suspects.map(|suspect| Reason {
        parent: None,
        release: release(snapshot, &suspect.holder),
        cause: Cause::Holder(suspect.holder.clone()),
    });
    Some(Explanation {
        namespace: id,
        kind: namespace.kind,
        initial: namespace.is_initial(),
        possible: possible.collect(),
        uses: snapshot
            .mount_uses()
            .iter()
            .filter(|user| user.mount.as_ref().is_some_and(|mount| mount.namespace == id))
            .cloned()
            .collect(),
        reasons,
    })
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    ignore: &'a dyn Fn(&Holder) -> bool,
    reasons: Vec<Reason>,
    /// The namespaces whose holders are listed.
    met: HashSet<NamespaceId>,
    /// The processes listed as members. One is named once, at the outermost namespace that it keeps.
    named: HashSet<Pid>,
}

impl Search<'_> {
    /// Orders mounts, ours first and those of others by who lives there, so that they can be unmounted one after the
    /// other: what lies below a path comes before it. All else stays where it is.
    fn unmounting(&self, one: &Holder, other: &Holder) -> Ordering {
        let place = |holder: &Holder| match holder {
            Holder::Mount { ours, mount_namespace, mount_point }
            | Holder::Filesystem { ours, mount_namespace, mount_point } => {
                let namespace = self.snapshot.namespace(*mount_namespace);
                let first = namespace.and_then(|namespace| namespace.members.first().copied());
                let below_first = std::cmp::Reverse(mount_point.clone());
                Some((!ours, first.unwrap_or(Pid::MAX), *mount_namespace, below_first))
            }
            _ => None,
        };
        match (place(one), place(other)) {
            (Some(first), Some(second)) if one.kind() == other.kind() => first.cmp(&second),
            _ => one.cmp(other),
        }
    }

    /// Tells whether a mount namespace ends with the processes that are named already, so that nothing in it need be
    /// unmounted.
    fn goes_with_the_named(&self, namespace: &Namespace) -> bool {
        namespace.kind == NamespaceKind::Mnt
            && !namespace.members.is_empty()
            && namespace.members.iter().all(|member| self.named.contains(member))
            && namespace
                .holders
                .iter()
                .filter(|holder| !(self.ignore)(holder))
                .all(|holder| holder.pid().is_some_and(|pid| self.named.contains(&pid)))
    }

    fn reasons_of(&mut self, namespace: &Namespace, parent: Option<usize>) {
        for pid in namespace.members.iter().copied().filter(|pid| self.named.insert(*pid)) {
            let (cause, release) = if is_zombie(self.snapshot, pid) {
                (Cause::Zombie(pid), Release::Reap(pid))
            } else if self.snapshot.process(pid).is_some_and(Process::is_ending) {
                (Cause::Ending(pid), Release::Elsewhere)
            } else {
                (Cause::Member(pid), Release::End(pid))
            };
            self.reasons.push(Reason { parent, cause, release });
        }
        let mut holders: Vec<&Holder> = namespace.holders.iter().filter(|holder| !(self.ignore)(holder)).collect();
        holders.sort_by(|one, other| self.unmounting(one, other));
        for holder in holders {
            let here = self.reasons.len();
            let mut release = release(self.snapshot, holder);
            let further = further(holder).and_then(|id| self.snapshot.namespace(id));
            if let (Some(further), Release::Unmount { with_members, .. }) = (further, &mut release) {
                *with_members = self.goes_with_the_named(further);
            }
            // A mount can be unmounted, so its namespace matters only where nobody lives to do it.
            let further = further.filter(|further| release == Release::Below || further.members.is_empty());
            let new = further.filter(|further| self.met.insert(further.id));
            if release == Release::Below && new.is_none() {
                release = Release::Elsewhere;
            }
            self.reasons.push(Reason { parent, cause: Cause::Holder(holder.clone()), release });
            if let Some(further) = new {
                self.reasons_of(further, Some(here));
                if self.reasons[here].release == Release::Below && self.reasons.len() == here + 1 {
                    // All that keeps it is listed already.
                    self.reasons[here].release = Release::Elsewhere;
                }
            }
        }
    }
}

/// Returns the namespace whose life a holder depends on.
fn further(holder: &Holder) -> Option<NamespaceId> {
    match holder {
        Holder::Child(id) | Holder::Owned(id) => Some(*id),
        Holder::Mount { ours: false, mount_namespace, .. }
        | Holder::Filesystem { ours: false, mount_namespace, .. } => Some(*mount_namespace),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
