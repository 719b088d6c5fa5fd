//! What an unmount takes along, in every namespace (the kernel's `Documentation/filesystems/propagate_umount.txt`).

use std::collections::HashSet;

use super::attach::Refusal;
use super::forest::{Forest, MountRef};
use super::groups::Groups;
use super::lock::Lock;

/// What would happen.
#[derive(Clone, Debug)]
pub struct Unmounting<'a> {
    /// The forest afterwards. What goes is still in it, without a parent.
    pub after: Forest<'a>,
    /// What goes, the mount itself first.
    pub goes: Vec<Departure>,
    /// What would go with it, but stays.
    pub stays: Vec<(MountRef, Stay)>,
    /// What stood on a mount that goes, and now stands in its place.
    pub lowered: Vec<MountRef>,
}

/// A mount that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The mount.
    pub mount: MountRef,
    /// Whether it might be locked, and then stay.
    pub maybe_locked: bool,
}

/// Why a mount stays though what it is a copy of goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// This mount stands on it, or below it, and is not unmounted.
    Holds(MountRef),
    /// It is locked onto its parent, which stays.
    Locked,
}

impl<'a> Forest<'a> {
    /// Predicts what unmounting a mount does; `lazy` is `umount --lazy`, which takes all that is on it along.
    ///
    /// # Errors
    /// The kernel would refuse. That processes use it is not considered.
    pub fn unmount(&self, groups: &Groups, mount: MountRef, lazy: bool) -> Result<Unmounting<'a>, Refusal> {
        if self.node(mount).lock == Lock::Yes {
            return Err(Refusal::Locked);
        }
        let children = self.children_of_all();
        if !lazy && !children[mount.index()].is_empty() {
            return Err(Refusal::Busy);
        }
        let asked = if lazy { self.subtree(mount) } else { vec![mount] };
        let asked_set: HashSet<MountRef> = asked.iter().copied().collect();
        let mut candidates = Vec::new();
        // What stands where the mount itself stands is unlocked first, and remains so even if it stays: what it covers
        // is uncovered where it came from, so it is no secret.
        let mut unlocked: HashSet<MountRef> = HashSet::new();
        let mut seen = asked_set.clone();
        for gone in &asked {
            let node = self.node(*gone);
            let Some(parent) = node.parent else { continue };
            let Some(group) = self.node(parent).shared else { continue };
            for receiver in groups.receivers(group) {
                if receiver.mount != parent
                    && let Some(child) = self.child_at(receiver.mount, &node.at)
                {
                    if *gone == mount {
                        unlocked.insert(child);
                    }
                    if seen.insert(child) {
                        candidates.push(child);
                    }
                }
            }
        }
        let holders = self.holders_of_candidates(&candidates, &seen, &children);
        let mut stays: Vec<(MountRef, Stay)> = Vec::new();
        let mut going = seen;
        for (candidate, holder) in candidates.iter().zip(holders) {
            if let Some(holder) = holder {
                going.remove(candidate);
                stays.push((*candidate, Stay::Holds(holder)));
            }
        }
        // What is locked goes only with its parent, so each that stays can make its own children stay.
        loop {
            let is_held = |candidate: &&MountRef| {
                let node = self.node(**candidate);
                going.contains(candidate)
                    && node.lock == Lock::Yes
                    && !unlocked.contains(candidate)
                    && node.parent.is_none_or(|parent| !going.contains(&parent))
            };
            let held: Vec<MountRef> = candidates.iter().filter(is_held).copied().collect();
            if held.is_empty() {
                break;
            }
            for mount in held {
                going.remove(&mount);
                stays.push((mount, Stay::Locked));
            }
        }
        let goes: Vec<MountRef> =
            asked.iter().chain(&candidates).filter(|mount| going.contains(mount)).copied().collect();
        let (mut after, lowered) = self.without(&goes, &going, &children);
        unlocked.iter().for_each(|mount| after.set_lock(*mount, Lock::No));
        let maybe_locked = |mount: &MountRef| {
            let node = self.node(*mount);
            node.lock == Lock::Maybe
                && !asked_set.contains(mount)
                && !unlocked.contains(mount)
                && node.parent.is_none_or(|parent| !going.contains(&parent))
        };
        let goes = goes.iter().map(|mount| Departure { mount: *mount, maybe_locked: maybe_locked(mount) }).collect();
        Ok(Unmounting { after, goes, stays, lowered })
    }

    /// Returns for each candidate a mount strictly inside it that does not go, if there is one. What merely covers its
    /// root does not count: it is put in its place.
    fn holders_of_candidates(
        &self,
        candidates: &[MountRef],
        going: &HashSet<MountRef>,
        children: &[Vec<MountRef>],
    ) -> Vec<Option<MountRef>> {
        let find = |candidate: &MountRef| {
            let root = &self.node(*candidate).root;
            let mut queue: Vec<MountRef> =
                children[candidate.index()].iter().filter(|child| self.node(**child).at != *root).copied().collect();
            while let Some(inner) = queue.pop() {
                if !going.contains(&inner) {
                    return Some(inner);
                }
                queue.extend(&children[inner.index()]);
            }
            None
        };
        candidates.iter().map(find).collect()
    }

    /// Takes mounts out; what stood on the root of one is put in its place.
    fn without(
        &self,
        goes: &[MountRef],
        going: &HashSet<MountRef>,
        children: &[Vec<MountRef>],
    ) -> (Forest<'a>, Vec<MountRef>) {
        let mut after = self.clone();
        let mut lowered = Vec::new();
        for gone in goes {
            for over in &children[gone.index()] {
                if going.contains(over) {
                    continue;
                }
                let mut bottom = *gone;
                while let Some(parent) = self.node(bottom).parent.filter(|parent| going.contains(parent)) {
                    bottom = parent;
                }
                let (parent, at) = (self.node(bottom).parent, self.node(bottom).at.clone());
                after.rearrange(|nodes| {
                    nodes[over.index()].parent = parent;
                    nodes[over.index()].at = at;
                });
                lowered.push(*over);
            }
        }
        after.rearrange(|nodes| {
            for gone in goes {
                nodes[gone.index()].parent = None;
            }
        });
        (after, lowered)
    }
}
