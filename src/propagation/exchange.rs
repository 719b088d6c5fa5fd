//! With whom a mount exchanges events: the answer to "would what I mount here leak?".

use super::forest::{Forest, MountRef};
use super::groups::{GroupId, Groups};
use super::path::is_within;

/// Which way events go between a mount and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// What is mounted on either appears on the other.
    Both,
    /// What is mounted on it appears on the others alone.
    Sends,
    /// What is mounted on the others appears on it alone.
    Receives,
}

impl Direction {
    /// Returns how it is said.
    pub fn words(self) -> &'static str {
        match self {
            Self::Both => "both ways",
            Self::Sends => "sends only",
            Self::Receives => "receives only",
        }
    }

    /// Returns a short name that never changes, for JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Sends => "sends",
            Self::Receives => "receives",
        }
    }

    fn joined_with(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

/// A mount in another namespace that a mount exchanges events with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The other mount.
    pub mount: MountRef,
    /// Which way, seen from the first.
    pub direction: Direction,
}

/// A mount that exchanges events with other namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The mount.
    pub mount: MountRef,
    /// Which way, with all parties taken together.
    pub direction: Direction,
    /// With whom; peers first, then those it sends to, then those it receives from.
    pub parties: Vec<Party>,
}

/// A peer group that reaches into more than one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// The group.
    pub group: GroupId,
    /// Its members.
    pub members: Vec<MountRef>,
    /// The mounts that receive from it, directly or through other groups.
    pub receivers: Vec<MountRef>,
    /// In how many namespaces members and receivers stand.
    pub namespaces: usize,
}

impl Forest<'_> {
    /// Returns with whom a mount exchanges events outside its own namespace; `None`: with nobody.
    pub fn exchange(&self, groups: &Groups, mount: MountRef) -> Option<Exchange> {
        let node = self.node(mount);
        let mut parties = Vec::new();
        let elsewhere = |other: &MountRef| {
            let there = self.node(*other);
            // Only what both show of the filesystem matters; a bind of another subtree sees none of the other's events.
            there.namespace != node.namespace
                && (is_within(&there.root, &node.root) || is_within(&node.root, &there.root))
        };
        let mut add = |mounts: &mut dyn Iterator<Item = MountRef>, direction| {
            parties.extend(mounts.filter(elsewhere).map(|mount| Party { mount, direction }));
        };
        if let Some(group) = node.shared {
            for receiver in groups.receivers(group) {
                let direction = if receiver.group == Some(group) { Direction::Both } else { Direction::Sends };
                add(&mut std::iter::once(receiver.mount), direction);
            }
        }
        let above = node.master.into_iter().flat_map(|master| std::iter::once(master).chain(groups.ancestors(master)));
        for group in above {
            add(&mut groups.members(group).iter().copied(), Direction::Receives);
        }
        let direction = parties.iter().map(|party| party.direction).reduce(Direction::joined_with)?;
        Some(Exchange { mount, direction, parties })
    }

    /// Returns every mount of a namespace that exchanges events with another namespace.
    pub fn exchanges_of(&self, groups: &Groups, namespace: usize) -> Vec<Exchange> {
        self.mounts_of(namespace).filter_map(|mount| self.exchange(groups, mount)).collect()
    }

    /// Returns every group that reaches into more than one namespace: what all namespaces exchange, each group once.
    pub fn circles(&self, groups: &Groups) -> Vec<Circle> {
        // Marks a namespace with the number of the group that was there last, so that none is counted twice.
        let mut marks = vec![usize::MAX; self.tables().len()];
        let mut circles = Vec::new();
        for (number, group) in groups.all().into_iter().enumerate() {
            let members = groups.members(group).to_vec();
            let receivers: Vec<MountRef> = groups
                .receivers(group)
                .into_iter()
                .filter(|receiver| receiver.group != Some(group))
                .map(|receiver| receiver.mount)
                .collect();
            let mut namespaces = 0;
            for mount in members.iter().chain(&receivers) {
                let mark = &mut marks[self.node(*mount).namespace];
                namespaces += usize::from(*mark != number);
                *mark = number;
            }
            if namespaces > 1 {
                circles.push(Circle { group, members, receivers, namespaces });
            }
        }
        circles
    }
}
