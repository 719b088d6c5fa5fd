//! Everything one scan saw.

use super::{Hidden, MountUse, Namespace, Process, Suspect};
use crate::id::{NamespaceId, Pid};

/// The namespaces and processes of the machine at one moment, as far as the [`Scope`](crate::discover::Scope) asked.
///
/// Made by [`Snapshot::capture`]. A namespace that is gone by the time it is read is still in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The namespaces, ascending by inode.
    pub(crate) namespaces: Vec<Namespace>,
    /// The processes, ascending by id.
    pub(crate) processes: Vec<Process>,
    /// What stayed out of sight.
    pub(crate) hidden: Hidden,
    /// What holds namespaces that cannot be told, sorted.
    pub(crate) suspects: Vec<Suspect>,
    /// Who uses mounts of a namespace they are not in, sorted.
    pub(crate) mount_uses: Vec<MountUse>,
    /// The namespace that was sought is not there, for sure.
    pub(crate) absent: bool,
}

impl Snapshot {
    /// Returns the namespaces, ascending by inode.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// Returns the processes, ascending by id.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Returns what stayed out of sight, and why.
    pub fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// Returns what holds some namespace without the kernel telling which, if the scope asked for rare holders.
    pub fn suspects(&self) -> &[Suspect] {
        &self.suspects
    }

    /// Returns who has files open on mounts of a mount namespace that they are not in, if the scope asked for rare
    /// holders.
    pub fn mount_uses(&self) -> &[MountUse] {
        &self.mount_uses
    }

    /// Tells whether the namespace that the scope named is certain not to be there: nothing leads to it, and the kernel
    /// knows none of its inode (since Linux 6.18).
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// Returns the namespace with this id, if it was seen.
    pub fn namespace(&self, id: NamespaceId) -> Option<&Namespace> {
        let found = self.namespaces.binary_search_by_key(&id, |namespace| namespace.id).ok()?;
        self.namespaces.get(found)
    }

    /// Returns the namespace with this inode, if it was seen.
    pub fn namespace_by_inode(&self, ino: u64) -> Option<&Namespace> {
        let found = self.namespaces.binary_search_by_key(&ino, |namespace| namespace.id.ino).ok()?;
        self.namespaces.get(found)
    }

    /// Returns the process with this id, if it was seen.
    pub fn process(&self, pid: Pid) -> Option<&Process> {
        let found = self.processes.binary_search_by_key(&pid, |process| process.pid).ok()?;
        self.processes.get(found)
    }
}
