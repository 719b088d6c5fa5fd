//! In which order mounts are let go of, and which of them go by themselves when others do.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::attach::Refusal;
use super::forest::{Forest, MountRef};
use super::groups::{GroupId, Groups};
use super::lock::Lock;

/// A mount, and how to be rid of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The mount.
    pub mount: MountRef,
    /// How.
    pub by: By,
}

/// How to be rid of a mount.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By unmounting it.
    Unmounting,
    /// By nothing more: unmounting this one before has taken it along, as it propagates.
    Propagation(MountRef),
    /// By its namespace's end alone: it is the root there.
    RootOfNamespace,
    /// By its namespace's end alone: the kernel would refuse.
    Refused(Refusal),
}

impl Forest<'_> {
    /// Returns these mounts, and all that stands on them, in an order in which they can be unmounted: in each namespace
    /// the deepest first, and namespaces whose unmounts take others along before those. `here` comes first of its like.
    pub fn release(&self, groups: &Groups, mounts: &[MountRef], here: Option<usize>) -> Vec<Release> {
        let children = self.children_of_all();
        let mut wanted: HashSet<MountRef> = HashSet::new();
        let mut queue = mounts.to_vec();
        while let Some(mount) = queue.pop() {
            if wanted.insert(mount) {
                queue.extend(&children[mount.index()]);
            }
        }
        let mut tiers: HashMap<usize, u8> = HashMap::new();
        for mount in &wanted {
            let node = self.node(*mount);
            let parent = node.parent.map(|parent| self.node(parent));
            let tier = match parent.map(|parent| (parent.shared.is_some(), parent.master.is_some())) {
                Some((true, false)) => 0,
                Some((true, true)) => 1,
                _ => 2,
            };
            tiers.entry(node.namespace).and_modify(|least| *least = tier.min(*least)).or_insert(tier);
        }
        let mut ordered: Vec<MountRef> = wanted.into_iter().collect();
        ordered.sort_by_cached_key(|mount| {
            let namespace = self.node(*mount).namespace;
            (tiers.get(&namespace).copied(), Some(namespace) != here, namespace, Reverse(self.depth(*mount)), *mount)
        });
        self.foretell(groups, &ordered)
    }

    /// Unmounts one after the other, in thought.
    fn foretell(&self, groups: &Groups, ordered: &[MountRef]) -> Vec<Release> {
        let mut now = self.clone();
        let mut gone: HashMap<MountRef, MountRef> = HashMap::new();
        let mut reached: HashMap<GroupId, usize> = HashMap::new();
        let children = self.children_of_all();
        let occupied = |now: &Forest<'_>, mount: MountRef| {
            children[mount.index()].iter().any(|child| now.node(*child).parent == Some(mount))
        };
        let mut unmount = |mount: MountRef| {
            if let Some(before) = gone.get(&mount) {
                return By::Propagation(*before);
            }
            if now.node(mount).parent.is_none() {
                // In a table that was read below another root more mounts seem to stand on none.
                let is_root = self.mount(mount).is_none_or(|told| told.mount_point == b"/");
                return if is_root { By::RootOfNamespace } else { By::Unmounting };
            }
            // Most reach nobody else; then all that changes is that it stands nowhere, and nothing has to be copied.
            let parent = now.node(mount).parent;
            let sends = parent
                .and_then(|parent| now.node(parent).shared)
                .is_some_and(|group| *reached.entry(group).or_insert_with(|| groups.receivers(group).len()) > 1);
            if !sends && now.node(mount).lock != Lock::Yes && !occupied(&now, mount) {
                now.rearrange(|nodes| nodes[mount.index()].parent = None);
                return By::Unmounting;
            }
            match now.unmount(groups, mount, false) {
                Ok(prediction) => {
                    let sure = prediction.goes.iter().filter(|departure| !departure.maybe_locked);
                    gone.extend(sure.map(|departure| (departure.mount, mount)));
                    now = prediction.after;
                    By::Unmounting
                }
                Err(refusal) => By::Refused(refusal),
            }
        };
        ordered.iter().map(|mount| Release { mount: *mount, by: unmount(*mount) }).collect()
    }

    /// Returns on how many mounts a mount stands.
    fn depth(&self, mount: MountRef) -> usize {
        let above = std::iter::successors(Some(mount), |mount| self.node(*mount).parent);
        // The bound is for tables that contradict themselves.
        above.take(self.len()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NamespaceId;
    use crate::model::{MountTable, Observed};
    use crate::proc::mountinfo;

    fn table(ino: u64, lines: &str) -> MountTable {
        MountTable {
            namespace: NamespaceId { ino, dev: 4 },
            owner: Observed::Known(NamespaceId { ino: 0xEFFF_FFFD, dev: 4 }),
            processes: Vec::new(),
            mounts: mountinfo::parse(lines.as_bytes()).mounts,
            partial: false,
            malformed: 0,
        }
    }

    /// The ids of the mounts, in the order of their release, and how.
    fn released(tables: &[MountTable], ids: &[u32], here: usize) -> Vec<(u32, String)> {
        let forest = Forest::new(tables);
        let id = |mount: MountRef| forest.mount(mount).unwrap().id;
        let mounts: Vec<MountRef> = forest.mounts().filter(|mount| ids.contains(&id(*mount))).collect();
        let releases = forest.release(&Groups::of(&forest), &mounts, Some(here));
        let how = |by: By| match by {
            By::Unmounting => "unmount".to_owned(),
            By::Propagation(first) => format!("with {}", id(first)),
            other => format!("{other:?}"),
        };
        releases.into_iter().map(|release| (id(release.mount), how(release.by))).collect()
    }

    #[test]
    fn the_deepest_goes_first_and_copies_go_along() {
        // A slave, the sender, and a private copy; something stands on the mount in the sender's namespace.
        let slave = table(1, "1 1 0:1 / / rw master:1 - tmpfs r rw\n2 1 0:2 / /m rw - tmpfs m rw");
        let sender = table(
            2,
            "11 11 0:1 / / rw shared:1 - tmpfs r rw\n12 11 0:2 / /m rw - tmpfs m rw\n13 12 0:3 / /m/x rw - tmpfs x rw",
        );
        let apart = table(3, "21 21 0:1 / / rw - tmpfs r rw\n22 21 0:2 / /m rw - tmpfs m rw");
        let say = |id, how: &str| (id, how.to_owned());
        assert_eq!(
            released(&[slave, sender, apart], &[2, 12, 22], 0),
            [say(13, "unmount"), say(12, "unmount"), say(2, "with 12"), say(22, "unmount")]
        );
    }

    #[test]
    fn a_root_ends_with_its_namespace_and_our_own_comes_first() {
        let one = table(1, "1 1 0:1 / / rw - tmpfs r rw\n2 1 0:2 / /m rw - tmpfs m rw");
        let two = table(2, "11 11 0:2 / / rw - tmpfs m rw\n12 11 0:2 / /m rw - tmpfs m rw");
        let say = |id, how: &str| (id, how.to_owned());
        assert_eq!(
            released(&[one, two], &[2, 11, 12], 1),
            [say(12, "unmount"), say(11, "RootOfNamespace"), say(2, "unmount")]
        );
    }
}
