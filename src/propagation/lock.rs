//! Which mounts are locked: bound to their parent, because unmounting them would show a less privileged user namespace
//! what they cover (mount_namespaces(7), "Restrictions on mount namespaces").

use super::forest::Forest;
use crate::model::{MountTable, Observed};

/// The inode of the initial user namespace, the same on every kernel.
const INITIAL_USER: u64 = 0xEFFF_FFFD;

/// Whether a mount is locked. The kernel tells nobody, so it is inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// It can be unmounted by itself.
    No,
    /// It stays as long as its parent does.
    Yes,
    /// The tables do not tell.
    Maybe,
}

impl Forest<'_> {
    /// Infers what is locked.
    ///
    /// A namespace copied for another user namespace has all its mounts locked. They were made in one go, so their
    /// unique ids follow the root's without a gap. What came later onto one of these, by its own processes or as the top
    /// of a tree that propagated there, is not locked; what stands on that may be, if it came inside such a tree.
    pub(super) fn infer_locks(&mut self) {
        for (namespace, table) in self.tables.iter().enumerate() {
            let first = self.first[namespace];
            if !is_of_another(table) {
                continue;
            }
            let copied = copied_at_birth(table);
            for (place, mount) in table.mounts.iter().enumerate() {
                let node = &self.nodes[first + place];
                let Some(parent) = node.parent else { continue };
                let lock = match (&copied, mount.unique_id) {
                    (Some(copied), Some(id)) if copied.contains(&id) => Lock::Yes,
                    (Some(copied), Some(_)) => {
                        let below = table.mounts[parent.index() - first].unique_id;
                        if below.is_some_and(|id| copied.contains(&id)) { Lock::No } else { Lock::Maybe }
                    }
                    _ => Lock::Maybe,
                };
                self.nodes[first + place].lock = lock;
            }
        }
    }

    /// Replaces what was inferred about one mount, by somebody who knows.
    pub fn set_lock(&mut self, mount: super::MountRef, lock: Lock) {
        self.nodes[mount.index()].lock = lock;
    }
}

/// Tells whether the namespace may have been copied across user namespaces. One that belongs to the initial user
/// namespace was copied from its like, but for tricks of root.
fn is_of_another(table: &MountTable) -> bool {
    match table.owner {
        Observed::Known(owner) => owner.ino != INITIAL_USER,
        _ => true,
    }
}

/// Returns the unique ids of the mounts that were there when the namespace was made.
fn copied_at_birth(table: &MountTable) -> Option<std::ops::RangeInclusive<u64>> {
    let mut ids: Vec<u64> = table.mounts.iter().filter_map(|mount| mount.unique_id).collect();
    ids.sort_unstable();
    let first = *ids.first()?;
    let last = ids.windows(2).find(|pair| pair[1] != pair[0] + 1).map_or(*ids.last()?, |pair| pair[0]);
    Some(first..=last)
}
