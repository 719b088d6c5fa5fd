//! Whether a mount reaches a certain namespace, and if not, which link of the chain is broken.

use super::attach::Prediction;
use super::forest::{Forest, MountRef, Place};
use super::groups::Groups;
use super::path::is_within;
use crate::model::Observed;

/// Whether a mount reaches a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It appears there: the places among [`Prediction::arrivals`].
    Yes(Vec<usize>),
    /// It does not.
    No(Break),
}

/// Why a mount does not reach a namespace.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The mount it is made on is private, so it reaches nobody.
    Private,
    /// The mount it is made on only receives, and this mount there is what it receives from, directly or not.
    WrongWay {
        /// The mount there.
        there: MountRef,
        /// Whether the two namespaces belong to different user namespaces, which is why the copy only receives.
        across_owners: bool,
    },
    /// The mount it is made on only receives, and nothing there is above it.
    OnlyReceives,
    /// The mount there that shows the place is a private copy.
    PrivateCopy(MountRef),
    /// The mount there that shows the place belongs to another group, which does not receive from this one.
    OtherGroup(MountRef),
    /// A mount there receives, but shows another subtree of the filesystem.
    OtherSubtree(MountRef),
    /// No mount there shows this place of the filesystem.
    NotThere,
    /// Some group on the way has no visible member, so it may reach it all the same.
    Unknown,
}

impl Forest<'_> {
    /// Tells whether what [`attach`](Self::attach) predicted for `place` reaches a namespace.
    pub fn reaches(&self, groups: &Groups, place: &Place, prediction: &Prediction<'_>, namespace: usize) -> Reach {
        let there = |top: MountRef| prediction.after.node(top).namespace == namespace;
        let arrivals: Vec<usize> =
            (0..prediction.arrivals.len()).filter(|index| there(prediction.arrivals[*index].top)).collect();
        if arrivals.is_empty() { Reach::No(self.broken(groups, place, namespace)) } else { Reach::Yes(arrivals) }
    }

    fn broken(&self, groups: &Groups, place: &Place, namespace: usize) -> Break {
        let here = self.node(place.mount);
        let same_filesystem = |mount: &MountRef| self.node(*mount).device == here.device;
        let shows = |mount: &MountRef| is_within(&place.inside, &self.node(*mount).root);
        let candidates: Vec<MountRef> = self.mounts_of(namespace).filter(same_filesystem).collect();
        let Some(group) = here.shared else {
            let Some(master) = here.master else { return Break::Private };
            let above: Vec<_> = std::iter::once(master).chain(groups.ancestors(master)).collect();
            let upstream =
                candidates.iter().find(|mount| self.node(**mount).shared.is_some_and(|shared| above.contains(&shared)));
            return match upstream {
                Some(there) => {
                    let owner = |namespace: usize| self.tables()[namespace].owner;
                    let owners = (owner(here.namespace), owner(namespace));
                    let across_owners =
                        matches!(owners, (Observed::Known(one), Observed::Known(other)) if one != other);
                    Break::WrongWay { there: *there, across_owners }
                }
                None => Break::OnlyReceives,
            };
        };
        let receivers = groups.receivers(group);
        if let Some(receiver) = receivers.iter().find(|receiver| candidates.contains(&receiver.mount)) {
            return Break::OtherSubtree(receiver.mount);
        }
        if !groups.unseen().is_empty() {
            let receives_unseen =
                |mount: &&MountRef| self.node(**mount).master.is_some_and(|master| groups.unseen().contains(&master));
            if candidates.iter().any(|mount| receives_unseen(&mount)) {
                return Break::Unknown;
            }
        }
        // A shared mount can still be above this one.
        let above = groups.ancestors(group);
        let upstream =
            candidates.iter().find(|mount| self.node(**mount).shared.is_some_and(|shared| above.contains(&shared)));
        if let Some(there) = upstream {
            return Break::WrongWay { there: *there, across_owners: false };
        }
        match candidates.iter().find(|mount| shows(mount)) {
            Some(mount) if self.node(*mount).shared.is_none() && self.node(*mount).master.is_none() => {
                Break::PrivateCopy(*mount)
            }
            Some(mount) => Break::OtherGroup(*mount),
            None => Break::NotThere,
        }
    }
}
