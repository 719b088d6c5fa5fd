//! How each holder is released.

use crate::id::{NamespaceId, Pid};
use crate::model::{Holder, Process, Snapshot};

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
        /// The mount namespace it is in; `None`: our own.
        mount_namespace: Option<NamespaceId>,
        /// A process that lives there, if one does.
        process: Option<Pid>,
        /// Whether its mount namespace ends with processes that are named as members of what is asked about, so that it
        /// need not be unmounted.
        with_members: bool,
        /// Where it is mounted.
        mount_point: Vec<u8>,
    },
    /// Release what keeps this holder: the reasons that have it for their parent.
    Below,
    /// Release the namespace that stands elsewhere among the reasons, or is the one that was asked about.
    Elsewhere,
}

/// Tells whether a process has ended and was not reaped.
pub(super) fn is_zombie(snapshot: &Snapshot, pid: Pid) -> bool {
    snapshot.process(pid).is_some_and(Process::is_zombie)
}

pub(super) fn release(snapshot: &Snapshot, holder: &Holder) -> Release {
    match holder {
        Holder::Mount { ours, mount_namespace, mount_point }
        | Holder::Filesystem { ours, mount_namespace, mount_point } => {
            let mount_point = mount_point.clone();
            if *ours {
                return Release::Unmount { mount_namespace: None, process: None, with_members: false, mount_point };
            }
            // Where no path leads there, it goes away with its mount namespace.
            entrance(snapshot, *mount_namespace).map_or(Release::Below, |process| Release::Unmount {
                mount_namespace: Some(*mount_namespace),
                process,
                with_members: false,
                mount_point,
            })
        }
        other => other.pid().map_or(Release::Below, Release::End),
    }
}

/// Returns a process by which a mount namespace can be entered, `Some(None)` if only something else leads there.
fn entrance(snapshot: &Snapshot, id: NamespaceId) -> Option<Option<Pid>> {
    let namespace = snapshot.namespace(id)?;
    if let Some(member) = namespace.members.iter().find(|pid| !is_zombie(snapshot, **pid)) {
        return Some(Some(*member));
    }
    let leads = |holder: &Holder| {
        matches!(holder, Holder::Thread { .. } | Holder::Descriptor { .. } | Holder::Mount { ours: true, .. })
    };
    namespace.holders.iter().any(leads).then_some(None)
}
