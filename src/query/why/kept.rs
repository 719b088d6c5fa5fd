//! Which namespaces go away with a process.

use std::collections::HashMap;

use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Holder, Namespace, Observed, Snapshot};

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
