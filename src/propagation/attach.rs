//! What a mount, a bind or a move does, in every namespace.

use std::collections::HashMap;
use std::fmt;

use super::forest::{Forest, MountRef, Node, Place};
use super::groups::{GroupId, Groups};
use super::lock::Lock;
use super::path::is_within;
use super::source::{Template, without_namespace_files};
use crate::model::Observed;

/// What is put somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A filesystem that is not mounted yet.
    New,
    /// `mount --bind`: what is seen at a place, without the mounts below it.
    Bind(Place),
    /// `mount --rbind`: the same with the mounts below it.
    BindTree(Place),
    /// `mount --move`: a mount with all that is on it.
    Move(MountRef),
}

/// Why the kernel will not do it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The source of a bind is unbindable.
    Unbindable,
    /// A mount below the source is locked onto it, so that a bind without it would show what it covers.
    CoversLocked,
    /// A mount below the source is both unbindable and locked onto it.
    UnbindableLocked,
    /// The mount to move is the root.
    MovesRoot,
    /// The mount is locked onto its parent.
    Locked,
    /// The mount to move stands on a shared mount.
    FromShared,
    /// A tree with an unbindable mount is moved onto a shared mount.
    UnbindableOntoShared,
    /// A mount is moved below itself.
    IntoItself,
    /// The file of a mount namespace is bound where the bind would propagate.
    NamespacePropagates,
    /// Something is mounted on it (EBUSY).
    Busy,
}

impl Refusal {
    /// Returns the errno.
    pub fn errno(self) -> i32 {
        match self {
            Self::UnbindableLocked => libc::EPERM,
            Self::IntoItself => libc::ELOOP,
            Self::Busy => libc::EBUSY,
            _ => libc::EINVAL,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbindable => "the source is unbindable",
            Self::CoversLocked => "a mount below the source is locked, and a bind without it would show what it covers",
            Self::UnbindableLocked => "a mount below the source is both locked and unbindable",
            Self::MovesRoot => "it is the root of its mount namespace",
            Self::Locked => {
                "it is locked: it covers something its user namespace may not see, and was there before that was made"
            }
            Self::FromShared => "it stands on a shared mount, and a move away from one is not defined",
            Self::UnbindableOntoShared => "it holds an unbindable mount, and the destination is shared",
            Self::IntoItself => "a mount cannot be moved below itself",
            Self::NamespacePropagates => "the file of a mount namespace cannot be bound where that would propagate",
            Self::Busy => "something is mounted on it",
        })
    }
}

/// What would happen.
#[derive(Clone, Debug)]
pub struct Prediction<'a> {
    /// The forest afterwards; its first mounts are those of the forest before, under the same references.
    pub after: Forest<'a>,
    /// The tops of the trees that appear, the one at the place itself first.
    pub arrivals: Vec<Arrival>,
}

/// A tree of mounts that appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its top, in [`Prediction::after`].
    pub top: MountRef,
    /// The mount it is put on.
    pub onto: MountRef,
    /// How many mounts it has.
    pub mounts: usize,
    /// A mount that already stood at the place, which is now on top of the new one.
    pub lifted: Option<MountRef>,
    /// What hides it; `None`: the path leads to it.
    pub covered_by: Option<MountRef>,
}

/// The copies made in one peer group: the group of each mount of the tree there.
type CopyGroups = Vec<Option<GroupId>>;

impl<'a> Forest<'a> {
    /// Predicts what putting `what` at `place` does. Where something is mounted at the place already, it goes on top.
    ///
    /// # Errors
    /// The kernel would refuse.
    pub fn attach(&self, groups: &Groups, what: &What, place: &Place) -> Result<Prediction<'a>, Refusal> {
        let mut place = place.clone();
        // A process's own root can be covered; what it mounts on "/" still goes on top.
        self.climb(&mut place, &mut |_| {});
        let place = &place;
        let mut tree = self.tree_of(what)?;
        let receiving = self.node(place.mount).shared;
        let mut new_groups = NewGroups(0);
        if receiving.is_some() {
            if matches!(what, What::Move(_)) && tree.iter().any(|mount| mount.unbindable) {
                return Err(Refusal::UnbindableOntoShared);
            }
            // What comes onto a shared mount is shared from then on.
            for mount in &mut tree {
                mount.shared = Some(mount.shared.unwrap_or_else(|| new_groups.next()));
            }
        }
        let own: CopyGroups = tree.iter().map(|mount| mount.shared).collect();
        let mut after = self.clone();
        let moved = match what {
            What::Move(top) => Some(self.subtree(*top)),
            _ => None,
        };
        if moved.as_ref().is_some_and(|moved| moved.contains(&place.mount)) {
            return Err(Refusal::IntoItself);
        }
        let mut tops = vec![match &moved {
            Some(moved) => after.put_moved(moved, &own, place),
            None => after.put(&tree, place, |index, mount| (own[index], mount.master)),
        }];
        if let Some(group) = receiving {
            let copies = self.copies(groups, group, place, &own, &mut new_groups);
            if !copies.is_empty() && tree.first().is_some_and(|top| top.namespace_file) {
                return Err(Refusal::NamespacePropagates);
            }
            // Copies leave out the files of mount namespaces.
            let tree = without_namespace_files(tree);
            for copy in copies {
                let at = Place { mount: copy.receiver, inside: place.inside.clone() };
                tops.push(after.put(&tree.mounts, &at, |index, mount| {
                    let original = tree.originals[index];
                    let shared = copy.shared.as_ref().and_then(|shared| shared[original]);
                    (shared, copy.master.as_ref().map_or(mount.master, |master| master[original]))
                }));
            }
        }
        self.lock_across_owners(&mut after, place, &tops);
        let lifted: Vec<Option<MountRef>> = self.lift(&mut after, &tops, moved.as_deref().unwrap_or_default());
        let sizes = tops.iter().enumerate().map(|(index, top)| match (&moved, index) {
            (Some(moved), 0) => moved.len(),
            _ => tops.get(index + 1).map_or(after.nodes.len(), |next| next.index()) - top.index(),
        });
        let sizes: Vec<usize> = sizes.collect();
        let arrivals = tops.iter().zip(lifted).zip(sizes).map(|((top, lifted), mounts)| Arrival {
            top: *top,
            onto: after.node(*top).parent.unwrap_or(*top),
            mounts,
            lifted,
            covered_by: after.covered_by(*top),
        });
        let arrivals = arrivals.collect();
        Ok(Prediction { after, arrivals })
    }

    /// Finds where copies are made, and in which groups they are.
    fn copies(
        &self,
        groups: &Groups,
        group: GroupId,
        place: &Place,
        own: &CopyGroups,
        new_groups: &mut NewGroups,
    ) -> Vec<Copied> {
        let device = self.node(place.mount).device;
        let takes = |mount: &MountRef| {
            let node = self.node(*mount);
            node.device == device && is_within(&place.inside, &node.root)
        };
        let mut copies = Vec::new();
        // The groups of the copies made in each group that took some; slaves hang on the nearest such group above.
        let mut made: HashMap<GroupId, CopyGroups> = HashMap::from([(group, own.clone())]);
        for receiver in groups.receivers(group) {
            if receiver.mount == place.mount || !takes(&receiver.mount) {
                continue;
            }
            let master = receiver.from.map(|from| {
                let mut nearest = from;
                while !made.contains_key(&nearest) {
                    nearest = groups.above(nearest).unwrap_or(group);
                }
                made[&nearest].clone()
            });
            let shared = receiver.group.map(|here| {
                made.entry(here).or_insert_with(|| own.iter().map(|_| Some(new_groups.next())).collect()).clone()
            });
            copies.push(Copied { receiver: receiver.mount, shared, master });
        }
        copies
    }

    /// Attaches a copy of the tree and returns its top.
    fn put(
        &mut self,
        tree: &[Template<'a>],
        place: &Place,
        groups_of: impl Fn(usize, &Template<'a>) -> (Option<GroupId>, Option<GroupId>),
    ) -> MountRef {
        let namespace = self.node(place.mount).namespace;
        let base = self.nodes.len();
        self.rearrange(|nodes| {
            for (index, mount) in tree.iter().enumerate() {
                let (shared, master) = groups_of(index, mount);
                let (parent, at) = match &mount.parent {
                    Some((parent, at)) => (MountRef::new(base + parent), at.clone()),
                    None => (place.mount, place.inside.clone().into()),
                };
                nodes.push(Node {
                    namespace,
                    parent: Some(parent),
                    at,
                    device: mount.device,
                    root: mount.root.clone(),
                    shared,
                    master,
                    unbindable: false,
                    lock: mount.lock,
                });
            }
        });
        MountRef::new(base)
    }

    /// Hangs a moved tree elsewhere.
    fn put_moved(&mut self, moved: &[MountRef], own: &CopyGroups, place: &Place) -> MountRef {
        let top = moved[0];
        let namespace = self.node(place.mount).namespace;
        self.rearrange(|nodes| {
            for (mount, shared) in moved.iter().zip(own) {
                nodes[mount.index()].shared = *shared;
                nodes[mount.index()].namespace = namespace;
            }
            nodes[top.index()].parent = Some(place.mount);
            nodes[top.index()].at = place.inside.clone().into();
        });
        top
    }

    /// Locks what comes inside a tree to a namespace of another user namespace than the one it is mounted in.
    fn lock_across_owners(&self, after: &mut Forest<'a>, place: &Place, tops: &[MountRef]) {
        let owner = |namespace: usize| self.tables[namespace].owner;
        let here = owner(self.node(place.mount).namespace);
        for (index, top) in tops.iter().enumerate().skip(1) {
            let there = owner(after.node(*top).namespace);
            let lock = match (here, there) {
                (Observed::Known(here), Observed::Known(there)) if here == there => continue,
                (Observed::Known(_), Observed::Known(_)) => Lock::Yes,
                _ => Lock::Maybe,
            };
            let end = tops.get(index + 1).map_or(after.nodes.len(), |next| next.index());
            for inner in top.index() + 1..end {
                after.nodes[inner].lock = lock;
            }
        }
    }

    /// Puts what already stood where a tree arrived on top of it.
    fn lift(&self, after: &mut Forest<'a>, tops: &[MountRef], moved: &[MountRef]) -> Vec<Option<MountRef>> {
        let mut lifted = Vec::with_capacity(tops.len());
        for top in tops {
            let node = after.node(*top);
            let Some(parent) = node.parent else {
                lifted.push(None);
                continue;
            };
            // What moves away stands there no longer.
            let before = if parent.index() < self.nodes.len() { self.child_at(parent, &node.at) } else { None };
            lifted.push(before.filter(|before| before != top && moved.first() != Some(before)));
        }
        let onto: Vec<MountRef> = tops.iter().map(|top| after.top_of_stack(*top)).collect();
        after.rearrange(|nodes| {
            for (lifted, onto) in lifted.iter().zip(&onto) {
                if let Some(lifted) = lifted {
                    nodes[lifted.index()].at = nodes[onto.index()].root.clone();
                    nodes[lifted.index()].parent = Some(*onto);
                }
            }
        });
        lifted
    }
}

/// A copy to be made.
struct Copied {
    receiver: MountRef,
    shared: Option<CopyGroups>,
    master: Option<CopyGroups>,
}

/// Counts new groups.
struct NewGroups(u32);

impl NewGroups {
    fn next(&mut self) -> GroupId {
        self.0 += 1;
        GroupId::New(self.0 - 1)
    }
}
