//! Two mount tables compared. Ids, group numbers and device numbers are accidents and never make a difference.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::exchange::Direction;
use super::forest::{Forest, MountRef};
use super::groups::Groups;
use crate::model::{Device, Mount};

/// A difference between two mount tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only the first has it.
    OnlyInA(MountRef),
    /// Only the second has it.
    OnlyInB(MountRef),
    /// The same part of the same filesystem stands at different places.
    Moved {
        /// The mount in the first.
        a: MountRef,
        /// The mount in the second.
        b: MountRef,
        /// What differs besides.
        changes: Vec<Change>,
    },
    /// Both have a mount at this place, and they differ.
    Changed {
        /// The mount in the first.
        a: MountRef,
        /// The mount in the second.
        b: MountRef,
        /// In what.
        changes: Vec<Change>,
    },
}

/// In what two mounts differ.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The filesystem's type.
    FsType,
    /// What is mounted.
    Source,
    /// Which directory or file of the filesystem is shown.
    Root,
    /// The options of the mount.
    Options,
    /// The options of the filesystem.
    SuperOptions,
    /// Shared, slave, private or unbindable.
    Propagation,
}

impl Change {
    const ALL: [Self; 6] =
        [Self::FsType, Self::Source, Self::Root, Self::Options, Self::SuperOptions, Self::Propagation];

    /// Returns a short name that never changes.
    pub fn key(self) -> &'static str {
        match self {
            Self::FsType => "fstype",
            Self::Source => "source",
            Self::Root => "root",
            Self::Options => "options",
            Self::SuperOptions => "fs_options",
            Self::Propagation => "propagation",
        }
    }

    /// Returns what a mount says of this.
    pub fn of(self, mount: &Mount) -> &[u8] {
        match self {
            Self::FsType => &mount.fs_type,
            Self::Source => &mount.source,
            Self::Root => &mount.root,
            Self::Options => &mount.options,
            Self::SuperOptions => &mount.super_options,
            Self::Propagation => mount.propagation().as_bytes(),
        }
    }

    fn applies(self, a: &Mount, b: &Mount) -> bool {
        match self {
            Self::Options | Self::SuperOptions => normal(self.of(a)) != normal(self.of(b)),
            _ => self.of(a) != self.of(b),
        }
    }
}

/// Returns options in a form that neither order nor numbers of descriptors and pipes (autofs) change.
fn normal(options: &[u8]) -> BTreeSet<&[u8]> {
    let accidental =
        |option: &&[u8]| [&b"fd="[..], b"pgrp=", b"pipe_ino="].iter().any(|prefix| option.starts_with(prefix));
    options.split(|byte| *byte == b',').filter(|option| !accidental(option)).collect()
}

/// A group by which events go between two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The mount in the first.
    pub a: MountRef,
    /// The mount in the second.
    pub b: MountRef,
    /// Which way, seen from the first.
    pub direction: Direction,
}

/// Compares two namespaces of a forest; differences ascend by path.
pub fn diff(forest: &Forest<'_>, a: usize, b: usize) -> Vec<Difference> {
    let (mut by_path, mut only_a, mut only_b): (Vec<(MountRef, MountRef)>, Vec<MountRef>, Vec<MountRef>) =
        (Vec::new(), Vec::new(), Vec::new());
    let (stacks_a, stacks_b) = (stacks(forest, a), stacks(forest, b));
    let paths: BTreeSet<&[u8]> = stacks_a.keys().chain(stacks_b.keys()).copied().collect();
    for path in paths {
        let (mine, theirs) = (stacks_a.get(path), stacks_b.get(path));
        let pairs = pair(forest, mine.map_or(&[], Vec::as_slice), theirs.map_or(&[], Vec::as_slice));
        for (mine, theirs) in pairs {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => by_path.push((mine, theirs)),
                (Some(mine), None) => only_a.push(mine),
                (None, Some(theirs)) => only_b.push(theirs),
                (None, None) => {}
            }
        }
    }
    let mut differences: Vec<(Vec<u8>, Difference)> = Vec::new();
    for (a, b) in by_path {
        let changes = changes(forest, a, b);
        if !changes.is_empty() {
            differences.push((path(forest, a), Difference::Changed { a, b, changes }));
        }
    }
    // The same part of the same filesystem at another place.
    let mut by_content: HashMap<_, VecDeque<MountRef>> = HashMap::new();
    for b in only_b {
        by_content.entry(content(forest, b)).or_default().push_back(b);
    }
    for a in only_a {
        let moved = by_content.get_mut(&content(forest, a)).and_then(VecDeque::pop_front);
        let difference = match moved {
            Some(b) => Difference::Moved { a, b, changes: changes(forest, a, b) },
            None => Difference::OnlyInA(a),
        };
        differences.push((path(forest, a), difference));
    }
    let only_b = by_content.into_values().flatten();
    differences.extend(only_b.map(|b| (path(forest, b), Difference::OnlyInB(b))));
    differences.sort_by(|one, other| (&one.0, order(&one.1)).cmp(&(&other.0, order(&other.1))));
    differences.into_iter().map(|(_, difference)| difference).collect()
}

/// Where differences at one path stand among each other.
fn order(difference: &Difference) -> MountRef {
    match difference {
        Difference::OnlyInA(mount) | Difference::OnlyInB(mount) => *mount,
        Difference::Moved { a, .. } | Difference::Changed { a, .. } => *a,
    }
}

/// Returns the groups by which events go between two namespaces of a forest.
pub fn connections(forest: &Forest<'_>, groups: &Groups, a: usize, b: usize) -> Vec<Connection> {
    let mut found = Vec::new();
    for exchange in forest.exchanges_of(groups, a) {
        let there = exchange.parties.iter().filter(|party| forest.node(party.mount).namespace == b);
        found.extend(there.map(|party| Connection { a: exchange.mount, b: party.mount, direction: party.direction }));
    }
    found
}

fn stacks<'a>(forest: &Forest<'a>, namespace: usize) -> BTreeMap<&'a [u8], Vec<MountRef>> {
    let mut stacks: BTreeMap<&[u8], Vec<MountRef>> = BTreeMap::new();
    for mount in forest.mounts_of(namespace) {
        if let Some(told) = forest.mount(mount) {
            stacks.entry(&told.mount_point).or_default().push(mount);
        }
    }
    stacks
}

/// Pairs the mounts stacked at one path: first those that are the same, then in their order.
fn pair(forest: &Forest<'_>, a: &[MountRef], b: &[MountRef]) -> Vec<(Option<MountRef>, Option<MountRef>)> {
    let mut rest: Vec<MountRef> = b.to_vec();
    let mut left = Vec::new();
    let mut pairs = Vec::new();
    for mount in a {
        match rest.iter().position(|other| content(forest, *mount) == content(forest, *other)) {
            Some(index) => pairs.push((Some(*mount), Some(rest.remove(index)))),
            None => left.push(*mount),
        }
    }
    // What is left of a stack is compared only where nothing of it was the same: a mount over another is one more.
    let mut others = rest.into_iter();
    let compare = pairs.is_empty();
    for mount in left {
        let other = if compare { others.next() } else { None };
        pairs.push((Some(mount), other));
    }
    pairs.extend(others.map(|other| (None, Some(other))));
    pairs
}

/// Returns what a mount shows: which part of which filesystem.
fn content<'a>(forest: &'a Forest<'_>, mount: MountRef) -> (Option<Device>, &'a [u8]) {
    let node = forest.node(mount);
    (node.device, &node.root)
}

fn changes(forest: &Forest<'_>, a: MountRef, b: MountRef) -> Vec<Change> {
    let (Some(a), Some(b)) = (forest.mount(a), forest.mount(b)) else { return Vec::new() };
    Change::ALL.into_iter().filter(|change| change.applies(a, b)).collect()
}

fn path(forest: &Forest<'_>, mount: MountRef) -> Vec<u8> {
    forest.mount(mount).map(|mount| mount.mount_point.clone()).unwrap_or_default()
}
