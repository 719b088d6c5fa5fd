//! Peer groups and who receives from them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use super::forest::{Forest, MountRef};

/// A peer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupId {
    /// One the kernel has numbered.
    Known(u32),
    /// One that a prediction adds; the numbers count its new groups.
    New(u32),
}

/// Who sends to whom.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    members: HashMap<GroupId, Vec<MountRef>>,
    /// The slaves of each group that are not shared themselves.
    slaves: HashMap<GroupId, Vec<MountRef>>,
    /// The groups that receive from each group.
    below: HashMap<GroupId, Vec<GroupId>>,
    /// The group that each group receives from.
    above: HashMap<GroupId, GroupId>,
    /// Groups that are named as a master and have no visible member, nor a known master.
    unseen: Vec<GroupId>,
}

/// A mount that events reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The mount.
    pub mount: MountRef,
    /// The group it was reached in, for a shared one.
    pub group: Option<GroupId>,
    /// The group that sends to it, or to its group; `None` for peers of the first.
    pub from: Option<GroupId>,
}

impl Groups {
    /// Finds the groups of a forest.
    pub fn of(forest: &Forest<'_>) -> Self {
        let mut groups = Self::default();
        let mut upper: HashMap<GroupId, GroupId> = HashMap::new();
        for mount in forest.mounts() {
            let node = forest.node(mount);
            if let Some(group) = node.shared {
                groups.members.entry(group).or_default().push(mount);
            }
            match (node.shared, node.master) {
                (None, Some(master)) => groups.slaves.entry(master).or_default().push(mount),
                // All members of a group have the same master; tables that say otherwise are not believed twice.
                (Some(group), Some(master)) => {
                    if let Entry::Vacant(above) = groups.above.entry(group) {
                        above.insert(master);
                        groups.below.entry(master).or_default().push(group);
                    }
                }
                _ => {}
            }
            // Where the master has no member that can be seen there, the kernel names the nearest group above it.
            if let (Some(master), Some(from)) =
                (node.master, forest.mount(mount).and_then(|mount| mount.propagate_from))
            {
                upper.entry(master).or_insert(GroupId::Known(from));
            }
        }
        let masters: HashSet<GroupId> = groups.slaves.keys().chain(groups.below.keys()).copied().collect();
        let mut masters: Vec<GroupId> = masters.into_iter().collect();
        masters.sort_unstable();
        for master in masters {
            if groups.members.contains_key(&master) {
                continue;
            }
            match upper.get(&master) {
                Some(from) if *from != master => {
                    groups.above.insert(master, *from);
                    groups.below.entry(*from).or_default().push(master);
                }
                _ => groups.unseen.push(master),
            }
        }
        groups
    }

    /// Returns all groups, ascending.
    pub fn all(&self) -> Vec<GroupId> {
        let named = self.members.keys().chain(self.slaves.keys()).chain(self.below.keys()).chain(self.above.keys());
        let mut all: Vec<GroupId> = named.copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Returns the members of a group.
    pub fn members(&self, group: GroupId) -> &[MountRef] {
        self.members.get(&group).map_or(&[], Vec::as_slice)
    }

    /// Returns the mounts that receive from a group and are in no group themselves.
    pub fn slaves(&self, group: GroupId) -> &[MountRef] {
        self.slaves.get(&group).map_or(&[], Vec::as_slice)
    }

    /// Returns the groups that receive from a group.
    pub fn below(&self, group: GroupId) -> &[GroupId] {
        self.below.get(&group).map_or(&[], Vec::as_slice)
    }

    /// Returns the group that a group receives from.
    pub fn above(&self, group: GroupId) -> Option<GroupId> {
        self.above.get(&group).copied()
    }

    /// Returns the groups that some mount receives from and of which no member can be seen, nor what is above them:
    /// about these an answer is incomplete.
    pub fn unseen(&self) -> &[GroupId] {
        &self.unseen
    }

    /// Returns every mount that an event on a member of `group` reaches, nearest first: its members, then those that
    /// receive from it, directly or through other groups.
    pub fn receivers(&self, group: GroupId) -> Vec<Receiver> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([group]);
        let mut queue = VecDeque::from([(group, None)]);
        while let Some((group, from)) = queue.pop_front() {
            let peers = self.members(group).iter();
            found.extend(peers.map(|mount| Receiver { mount: *mount, group: Some(group), from }));
            let slaves = self.slaves(group).iter();
            found.extend(slaves.map(|mount| Receiver { mount: *mount, group: None, from: Some(group) }));
            // Tables read at different moments can name a group twice; none is walked twice.
            queue.extend(
                self.below(group).iter().filter(|below| seen.insert(**below)).map(|below| (*below, Some(group))),
            );
        }
        found
    }

    /// Returns the groups above a group, nearest first.
    pub fn ancestors(&self, group: GroupId) -> Vec<GroupId> {
        let mut found = Vec::new();
        let mut here = group;
        while let Some(above) = self.above(here) {
            if above == group || found.contains(&above) {
                break;
            }
            found.push(above);
            here = above;
        }
        found
    }
}
