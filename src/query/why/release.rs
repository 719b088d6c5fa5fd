//! How each holder is released.

use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Holder, Observed, Snapshot, Why};

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

/// Tells whether a process has ended and was not reaped: it has let go of all but its user and pid namespace.
pub(super) fn is_zombie(snapshot: &Snapshot, pid: Pid) -> bool {
    let zombie = Observed::Hidden(Why::Zombie);
    snapshot.process(pid).is_some_and(|process| {
        NamespaceKind::ALL.into_iter().any(|kind| process.namespace(NamespaceLink::Own(kind)) == zombie)
    })
}

pub(super) fn release(snapshot: &Snapshot, holder: &Holder) -> Release {
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
