//! A namespace as a scan saw it.

use super::{Holder, Observed};
use crate::id::{NamespaceId, Pid};
use crate::kind::NamespaceKind;

/// A namespace, what it belongs to, and all that keeps it alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its kind.
    pub kind: NamespaceKind,
    /// Device and inode.
    pub id: NamespaceId,
    /// The kernel's own id, never given twice (NS_GET_ID, since Linux 6.18).
    pub unique_id: Observed<u64>,
    /// The user namespace that owns it, whose capabilities count over it. `None`: it is the initial user namespace.
    pub owner: Option<Observed<NamespaceId>>,
    /// The parent of a pid or user namespace. `None`: the initial one, or a kind without parents.
    pub parent: Option<Observed<NamespaceId>>,
    /// Who created a user namespace: the effective uid, in terms of the reader's user namespace. `None`: another kind.
    pub creator: Option<Observed<u32>>,
    /// The number our own network namespace gives to a network namespace. `None`: another kind.
    pub net_id: Option<Observed<NetId>>,
    /// The processes in it, ascending.
    pub members: Vec<Pid>,
    /// What else keeps it alive.
    pub holders: Vec<Holder>,
}

/// The number by which one network namespace knows another (`ip netns list-id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetId {
    /// It has none.
    Unassigned,
    /// This one.
    Assigned(u32),
}

impl Namespace {
    /// Tells whether it is the machine's initial namespace of its kind. Sure on Linux 6.18; older kernels number the
    /// initial mnt and net namespaces as they come, and then it answers no.
    pub fn is_initial(&self) -> bool {
        self.id.ino == self.kind.facts().initial_inode
    }

    /// Returns the member with the lowest id, which stands for the namespace in listings.
    pub fn lead(&self) -> Option<Pid> {
        self.members.first().copied()
    }

    /// Returns the places in the reader's own mount namespace where its file is mounted.
    pub fn mount_points(&self) -> impl Iterator<Item = &[u8]> {
        self.holders.iter().filter_map(|holder| match holder {
            Holder::Mount { ours: true, mount_point, .. } => Some(mount_point.as_slice()),
            _ => None,
        })
    }

    /// Returns the names that `ip netns` knows it by: the files below `/run/netns` it is mounted on.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.mount_points().filter_map(|path| {
            // /var/run is a link to /run where both exist, and mountinfo shows the resolved path.
            let name = path.strip_prefix(b"/run/netns/").or_else(|| path.strip_prefix(b"/var/run/netns/"))?;
            (!name.is_empty() && !name.contains(&b'/')).then_some(name)
        })
    }
}
