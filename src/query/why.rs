//! What keeps a namespace alive, and what to release so that it goes away.
//!
//! [`explain`] lists every holder that a scan saw, with what holds those holders in turn: the owned namespace that keeps
//! a user namespace, the process-less mount namespace whose bind mount keeps a network namespace. The scan must have
//! asked for [`Scope::holders`](crate::discover::Scope::holders).

use std::collections::{HashMap, HashSet};

use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Holder, MountUse, Namespace, Observed, Snapshot, Why};

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
    /// Anything else.
    Holder(Holder),
}

/// How a holder is released.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// End this process.
    End(Pid),
    /// Have this zombie reaped: end its parent, or make it wait.
    Reap(Pid),
    /// Unmount it.
    Unmount {
        /// The file by which the mount namespace can be joined; `None`: it is our own.
        namespace_file: Option<Vec<u8>>,
        /// Where it is mounted.
        mount_point: Vec<u8>,
    },
    /// Release what keeps this holder: the reasons that have it for their parent.
    Below,
    /// Release the namespace that stands elsewhere among the reasons, or is the one that was asked about.
    Elsewhere,
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
            Self::Member(pid) | Self::Zombie(pid) => Some(*pid),
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
    fn reasons_of(&mut self, namespace: &Namespace, parent: Option<usize>) {
        for pid in namespace.members.iter().copied().filter(|pid| self.named.insert(*pid)) {
            let (cause, release) = if is_zombie(self.snapshot, pid) {
                (Cause::Zombie(pid), Release::Reap(pid))
            } else {
                (Cause::Member(pid), Release::End(pid))
            };
            self.reasons.push(Reason { parent, cause, release });
        }
        for holder in namespace.holders.iter().filter(|holder| !(self.ignore)(holder)) {
            let here = self.reasons.len();
            let mut release = release(self.snapshot, holder);
            let further = further(holder).and_then(|id| self.snapshot.namespace(id)).filter(|further| {
                // A mount can be unmounted, so its namespace matters only where nobody lives to do it.
                release == Release::Below || further.members.is_empty()
            });
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

/// Tells whether a process has ended and was not reaped: it has let go of all but its user and pid namespace.
fn is_zombie(snapshot: &Snapshot, pid: Pid) -> bool {
    let zombie = Observed::Hidden(Why::Zombie);
    snapshot.process(pid).is_some_and(|process| {
        NamespaceKind::ALL.into_iter().any(|kind| process.namespace(NamespaceLink::Own(kind)) == zombie)
    })
}

fn release(snapshot: &Snapshot, holder: &Holder) -> Release {
    match holder {
        Holder::Mount { ours, mount_namespace, mount_point }
        | Holder::Filesystem { ours, mount_namespace, mount_point } => {
            let file = (!ours).then(|| file_of(snapshot, *mount_namespace));
            match file {
                // No path leads there: it goes away with its mount namespace.
                Some(None) => Release::Below,
                file => Release::Unmount { namespace_file: file.flatten(), mount_point: mount_point.clone() },
            }
        }
        other => other.pid().map_or(Release::Below, Release::End),
    }
}

/// Returns a path by which a namespace can be joined.
fn file_of(snapshot: &Snapshot, id: NamespaceId) -> Option<Vec<u8>> {
    let namespace = snapshot.namespace(id)?;
    let kind = namespace.kind;
    let mut members = namespace.members.iter().filter(|pid| !is_zombie(snapshot, **pid));
    if let Some(process) = members.find_map(|pid| snapshot.process(*pid)) {
        return Some(format!("/proc/{}/ns/{kind}", process.proc_path()).into_bytes());
    }
    namespace.holders.iter().find_map(|holder| match holder {
        Holder::Thread { pid, tid } => Some(format!("/proc/{pid}/task/{tid}/ns/{kind}").into_bytes()),
        Holder::Descriptor { pid, tid: None, fd } => Some(format!("/proc/{pid}/fd/{fd}").into_bytes()),
        Holder::Descriptor { pid, tid: Some(tid), fd } => Some(format!("/proc/{pid}/task/{tid}/fd/{fd}").into_bytes()),
        Holder::Mount { ours: true, mount_point, .. } => Some(mount_point.clone()),
        _ => None,
    })
}

/// A namespace that a process keeps, and whether anything else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The link of the process that leads to it.
    pub link: NamespaceLink,
    /// The namespace, where it could be read.
    pub namespace: Observed<NamespaceId>,
    /// Whether it goes away when this process ends, as far as was seen.
    pub alone: bool,
    /// Whether something that was seen holds some namespace of its kind without the kernel telling which.
    pub suspected: bool,
    /// How many other processes are in it.
    pub other_members: usize,
    /// How many other holders it has that would stay.
    pub other_holders: usize,
}

/// Returns the namespaces of a process, and for each whether only this process keeps it; `None` if the snapshot does not
/// have the process.
pub fn kept_by(snapshot: &Snapshot, pid: Pid, ignore: &dyn Fn(&Holder) -> bool) -> Option<Vec<Kept>> {
    let process = snapshot.process(pid)?;
    let mut alone = Alone { snapshot, pid, ignore, known: HashMap::new() };
    let kept = NamespaceLink::ALL.into_iter().filter_map(|link| {
        let id = process.namespace(link);
        // A `_for_children` link matters only where it differs.
        if let NamespaceLink::ForChildren(kind) = link
            && (id == process.namespace(NamespaceLink::Own(kind)) || id.known().is_none())
        {
            return None;
        }
        let namespace = id.known().and_then(|id| snapshot.namespace(id));
        Some(Kept {
            link,
            namespace: id,
            alone: namespace.is_some_and(|namespace| alone.goes(namespace)),
            suspected: alone.is_suspected(link.kind()),
            other_members: namespace
                .map_or(0, |namespace| namespace.members.iter().filter(|other| **other != pid).count()),
            other_holders: namespace.map_or(0, |namespace| alone.others(namespace)),
        })
    });
    Some(kept.collect())
}

/// Judges which namespaces go away with one process.
struct Alone<'a> {
    snapshot: &'a Snapshot,
    pid: Pid,
    ignore: &'a dyn Fn(&Holder) -> bool,
    known: HashMap<NamespaceId, bool>,
}

impl Alone<'_> {
    fn goes(&mut self, namespace: &Namespace) -> bool {
        if let Some(goes) = self.known.get(&namespace.id) {
            return *goes;
        }
        // Namespaces that hold one another in a circle go together.
        self.known.insert(namespace.id, true);
        let goes = !namespace.is_initial()
            && namespace.members.iter().all(|member| *member == self.pid)
            && self.others(namespace) == 0;
        self.known.insert(namespace.id, goes);
        goes
    }

    fn others(&mut self, namespace: &Namespace) -> usize {
        let holders = namespace.holders.iter().filter(|holder| !(self.ignore)(holder));
        let stays = |holder: &&Holder| match holder {
            Holder::Child(id) | Holder::Owned(id) => !self.goes_by_id(*id),
            Holder::Mount { mount_namespace, .. } | Holder::Filesystem { mount_namespace, .. } => {
                !self.goes_by_id(*mount_namespace)
            }
            other => other.pid() != Some(self.pid),
        };
        holders.filter(stays).count()
    }

    fn is_suspected(&self, kind: NamespaceKind) -> bool {
        let suspects = self.snapshot.suspects().iter().filter(|suspect| suspect.kind == kind);
        suspects.into_iter().any(|suspect| suspect.holder.pid() != Some(self.pid) && !(self.ignore)(&suspect.holder))
    }

    fn goes_by_id(&mut self, id: NamespaceId) -> bool {
        self.snapshot.namespace(id).is_some_and(|namespace| self.goes(namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Process, Suspect};

    fn id(ino: u64) -> NamespaceId {
        NamespaceId { ino, dev: 4 }
    }

    fn namespace(kind: NamespaceKind, ino: u64, members: &[Pid], holders: &[Holder]) -> Namespace {
        Namespace {
            kind,
            id: id(ino),
            unique_id: Observed::Known(ino),
            owner: None,
            parent: None,
            creator: None,
            net_id: None,
            members: members.to_vec(),
            holders: holders.to_vec(),
        }
    }

    fn snapshot(namespaces: Vec<Namespace>) -> Snapshot {
        let mut pids: Vec<Pid> = namespaces.iter().flat_map(|namespace| namespace.members.clone()).collect();
        pids.sort_unstable();
        pids.dedup();
        Snapshot { namespaces, processes: pids.into_iter().map(Process::new).collect(), ..Snapshot::default() }
    }

    fn explained(snapshot: &Snapshot, ino: u64) -> Explanation {
        explain(snapshot, id(ino), &|_| false).unwrap()
    }

    #[test]
    fn what_keeps_a_holder_stands_below_it_and_each_once() {
        let snapshot = snapshot(vec![
            namespace(
                NamespaceKind::User,
                1,
                &[10],
                &[Holder::Child(id(2)), Holder::Owned(id(3)), Holder::Owned(id(4))],
            ),
            namespace(NamespaceKind::User, 2, &[], &[Holder::Owned(id(3))]),
            namespace(NamespaceKind::Net, 3, &[10], &[Holder::Descriptor { pid: 11, tid: None, fd: 5 }]),
            namespace(NamespaceKind::Uts, 4, &[10], &[]),
        ]);
        let reasons = explained(&snapshot, 1).reasons;
        let found: Vec<_> = reasons.iter().map(|reason| (reason.parent, reason.release.clone())).collect();
        assert_eq!(
            found,
            [
                (None, Release::End(10)),
                (None, Release::Below),
                (Some(1), Release::Below),
                (Some(2), Release::End(11)),
                // Listed already, and kept by nothing but what is listed already.
                (None, Release::Elsewhere),
                (None, Release::Elsewhere),
            ]
        );
    }

    #[test]
    fn namespaces_that_hold_one_another_are_no_endless_tale() {
        let snapshot = snapshot(vec![
            namespace(NamespaceKind::User, 1, &[], &[Holder::Child(id(2))]),
            namespace(NamespaceKind::User, 2, &[], &[Holder::Child(id(1))]),
        ]);
        assert_eq!(explained(&snapshot, 1).reasons.len(), 2);
    }

    #[test]
    fn a_mount_is_unmounted_through_whatever_leads_there() {
        let mount = Holder::Mount { mount_namespace: id(8), ours: false, mount_point: b"/n".to_vec() };
        let net = namespace(NamespaceKind::Net, 3, &[], std::slice::from_ref(&mount));
        for (mnt, release) in [
            (namespace(NamespaceKind::Mnt, 8, &[12], &[]), Some("/proc/12/ns/mnt")),
            (
                namespace(NamespaceKind::Mnt, 8, &[], &[Holder::Descriptor { pid: 13, tid: None, fd: 4 }]),
                Some("/proc/13/fd/4"),
            ),
            (
                namespace(
                    NamespaceKind::Mnt,
                    8,
                    &[],
                    &[Holder::OpenFile { pid: 14, tid: None, fd: 4, path: Vec::new() }],
                ),
                None,
            ),
        ] {
            let snapshot = snapshot(vec![net.clone(), mnt]);
            let reasons = explained(&snapshot, 3).reasons;
            let expected = match release {
                Some(file) => {
                    Release::Unmount { namespace_file: Some(file.as_bytes().to_vec()), mount_point: b"/n".to_vec() }
                }
                None => Release::Below,
            };
            assert_eq!(reasons[0].release, expected);
            // Where nobody lives, what keeps the mount namespace is told too.
            assert_eq!(reasons.len(), if release == Some("/proc/12/ns/mnt") { 1 } else { 2 });
        }
    }

    #[test]
    fn what_cannot_be_told_is_possible_for_its_kind_alone() {
        let mut snapshot =
            snapshot(vec![namespace(NamespaceKind::Pid, 5, &[], &[]), namespace(NamespaceKind::Net, 6, &[], &[])]);
        snapshot.suspects =
            vec![Suspect { kind: NamespaceKind::Pid, holder: Holder::Pidfd { pid: 9, tid: None, fd: 3 } }];
        let explanation = explained(&snapshot, 5);
        assert!(!explanation.is_explained());
        assert_eq!((explanation.possible.len(), explanation.pids()), (1, vec![9]));
        assert_eq!(explained(&snapshot, 6).possible, []);
        let ours = |holder: &Holder| matches!(holder, Holder::Pidfd { .. });
        assert_eq!(explain(&snapshot, id(5), &ours).unwrap().possible, []);
        assert_eq!(explain(&snapshot, id(7), &ours), None);
    }
}
