//! Which namespaces go away with a process.

use std::collections::{HashMap, HashSet};

use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Holder, Namespace, Observed, Process, Snapshot};

/// A namespace that a process keeps, and whether anything else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The link of the process that leads to it.
    pub link: NamespaceLink,
    /// The thread whose link it is, where the process itself is elsewhere.
    pub thread: Option<Pid>,
    /// The namespace, where it could be read.
    pub namespace: Observed<NamespaceId>,
    /// Whether it is the machine's initial one, which never goes away.
    pub initial: bool,
    /// Whether it goes away when this process ends, as far as was seen.
    pub alone: bool,
    /// Whether something that was seen holds some namespace of its kind without the kernel telling which.
    pub suspected: bool,
    /// How many other processes are in it that would stay.
    pub other_members: usize,
    /// How many are in it that end with this process, because it is the init of their pid namespace. They are counted
    /// where [`Snapshot::describe`] was asked for the process.
    pub ending_with_it: usize,
    /// How many other holders it has that would stay.
    pub other_holders: usize,
}

/// Returns the namespaces of a process, and for each whether only this process keeps it; `None` if the snapshot does not
/// have the process.
pub fn kept_by(snapshot: &Snapshot, pid: Pid, ignore: &dyn Fn(&Holder) -> bool) -> Option<Vec<Kept>> {
    let process = snapshot.process(pid)?;
    let mut alone = Alone { snapshot, ends: ends_with(snapshot, pid), ignore, known: HashMap::new() };
    let own = NamespaceLink::ALL.into_iter().map(|link| (link, None, process.namespace(link)));
    let of_threads = snapshot.namespaces().iter().flat_map(|namespace| {
        namespace.holders.iter().filter_map(move |holder| match holder {
            Holder::Thread { pid: of, tid } if *of == pid => {
                Some((NamespaceLink::Own(namespace.kind), Some(*tid), Observed::Known(namespace.id)))
            }
            _ => None,
        })
    });
    let kept = own.chain(of_threads).filter_map(|(link, thread, id)| {
        // A `_for_children` link matters only where it differs.
        if let NamespaceLink::ForChildren(kind) = link
            && (id == process.namespace(NamespaceLink::Own(kind)) || id.known().is_none())
        {
            return None;
        }
        let namespace = id.known().and_then(|id| snapshot.namespace(id));
        let members = namespace.map(|namespace| &namespace.members[..]).unwrap_or_default();
        let staying = members.iter().filter(|member| !alone.ends.contains(member)).count();
        Some(Kept {
            initial: namespace.is_some_and(Namespace::is_initial),
            link,
            thread,
            namespace: id,
            alone: namespace.is_some_and(|namespace| alone.goes(namespace)),
            suspected: alone.is_suspected(link.kind()),
            other_members: staying,
            ending_with_it: (members.len() - staying).saturating_sub(1),
            other_holders: namespace.map_or(0, |namespace| alone.others(namespace)),
        })
    });
    Some(kept.collect())
}

/// Returns a process and those that end with it: an init takes the processes of its pid namespace along, and those of the
/// namespaces below it (pid_namespaces(7)). A zombie is there until its parent reaps it, wherever that is.
fn ends_with(snapshot: &Snapshot, pid: Pid) -> HashSet<Pid> {
    let mut ends = HashSet::from([pid]);
    let process = snapshot.process(pid).filter(|process| process.standing.known().is_some_and(|told| told.is_init));
    let own = process.and_then(|process| process.namespace(NamespaceLink::Own(NamespaceKind::Pid)).known());
    let mut waiting: Vec<NamespaceId> = own.into_iter().collect();
    let mut met = HashSet::new();
    while let Some(namespace) = waiting.pop().and_then(|id| snapshot.namespace(id)) {
        if !namespace.is_initial() && met.insert(namespace.id) {
            ends.extend(&namespace.members);
            waiting.extend(namespace.holders.iter().filter_map(|holder| match holder {
                Holder::Child(id) => Some(*id),
                _ => None,
            }));
        }
    }
    let parent = |zombie: Pid| snapshot.process(zombie)?.details.as_ref().known().map(|details| details.parent);
    let unreaped = |member: &Pid| {
        snapshot.process(*member).is_some_and(Process::is_zombie)
            && parent(*member).is_some_and(|parent| parent > 0 && !ends.contains(&parent))
    };
    let stay: Vec<Pid> = ends.iter().copied().filter(unreaped).collect();
    ends.retain(|member| *member == pid || !stay.contains(member));
    ends
}

/// Judges which namespaces go away with one process.
struct Alone<'a> {
    snapshot: &'a Snapshot,
    /// The process, and what ends with it.
    ends: HashSet<Pid>,
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
            && namespace.members.iter().all(|member| self.ends.contains(member))
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
            other => other.pid().is_none_or(|pid| !self.ends.contains(&pid)),
        };
        holders.filter(stays).count()
    }

    fn is_suspected(&self, kind: NamespaceKind) -> bool {
        let suspects = self.snapshot.suspects().iter().filter(|suspect| suspect.kind == kind);
        let stays = |holder: &Holder| holder.pid().is_none_or(|pid| !self.ends.contains(&pid));
        suspects.into_iter().any(|suspect| stays(&suspect.holder) && !(self.ignore)(&suspect.holder))
    }

    fn goes_by_id(&mut self, id: NamespaceId) -> bool {
        self.snapshot.namespace(id).is_some_and(|namespace| self.goes(namespace))
    }
}
