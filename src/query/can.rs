//! Which capabilities a process has over a namespace, and by which rule (user_namespaces(7), "Capabilities").

use crate::capability::CapabilitySet;
use crate::id::NamespaceId;
use crate::model::{Level, ProcessFacts};

/// What a process may do with a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Can {
    /// The capabilities that count there.
    pub capabilities: CapabilitySet,
    /// Why these.
    pub rule: Rule,
}

/// The rule that decides.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The namespace belongs to the process's own user namespace: its effective capabilities count.
    Own,
    /// The owner of the namespace descends from the process's user namespace: its effective capabilities count below too.
    Ancestor {
        /// How many levels below.
        distance: usize,
    },
    /// The process lives in the parent of this user namespace and its effective uid created it, which gives all
    /// capabilities in it and below.
    Creator {
        /// The user namespace that it created.
        namespace: NamespaceId,
    },
    /// The owner of the namespace is an ancestor of the process's user namespace: nothing counts upwards.
    Above,
    /// The owner of the namespace is neither below nor above the process's user namespace.
    Beside,
}

/// Judges a process against a namespace whose owner, and the user namespaces above that, are `owners`. `None`: the owner
/// or the process's own user namespace cannot be seen.
pub fn can(process: &ProcessFacts, owners: &[Level]) -> Option<Can> {
    let own = process.user_levels();
    let (mine, target) = (own.first()?.id, owners.first()?.id);
    let effective = process.capabilities.effective;
    let none = |rule| Can { capabilities: CapabilitySet(0), rule };
    Some(match owners.iter().position(|level| level.id == mine) {
        Some(0) => Can { capabilities: effective, rule: Rule::Own },
        Some(distance) => {
            // The kernel climbs from the namespace; the level just below the process's own decides about the creator
            // (cap_capable() in security/commoncap.c).
            let below = owners[distance - 1];
            if below.creator == Some(process.uids[1]) {
                Can { capabilities: CapabilitySet::ALL, rule: Rule::Creator { namespace: below.id } }
            } else {
                Can { capabilities: effective, rule: Rule::Ancestor { distance } }
            }
        }
        None if own.iter().any(|level| level.id == target) => none(Rule::Above),
        None => none(Rule::Beside),
    })
}

impl Rule {
    /// Words the rule, as the reason why.
    pub fn words(self, capabilities: CapabilitySet) -> String {
        match self {
            Self::Own => {
                "it belongs to the process's own user namespace, where its effective capabilities count".into()
            }
            Self::Ancestor { distance } if capabilities.is_empty() => {
                format!(
                    "its owner is {} below the process's user namespace, but the process has no effective capability",
                    levels(distance)
                )
            }
            Self::Ancestor { distance } => {
                format!(
                    "its owner is {} below the process's user namespace: effective capabilities count below too",
                    levels(distance)
                )
            }
            Self::Creator { namespace } => format!(
                "the process's effective uid created user namespace {namespace} and the process lives in its parent: all capabilities in it and below"
            ),
            Self::Above => {
                "its owner is above the process's user namespace, and capabilities do not count upwards".into()
            }
            Self::Beside => "its owner is neither the process's user namespace nor below it".into(),
        }
    }

    /// Returns a short name that never changes, for JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Ancestor { .. } => "ancestor",
            Self::Creator { .. } => "creator",
            Self::Above => "above",
            Self::Beside => "beside",
        }
    }
}

fn levels(distance: usize) -> String {
    if distance == 1 { "one level".to_owned() } else { format!("{distance} levels") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::NamespaceKind;
    use crate::model::{Capabilities, Membership, Observed, Why};

    fn level(ino: u64, creator: u32) -> Level {
        Level { id: NamespaceId { ino, dev: 4 }, creator: Some(creator) }
    }

    /// A process with this uid and these capabilities, whose user namespaces are `own` from its own up.
    fn process(uid: u32, effective: u64, own: &[Level]) -> ProcessFacts {
        let hidden = || Observed::Hidden(Why::NotAsked);
        let membership = |kind| Membership { kind, id: Observed::Known(own[0].id), owners: own.to_vec() };
        ProcessFacts {
            thread_of: None,
            ending: false,
            zombies: Vec::new(),
            living_threads: Vec::new(),
            threads_elsewhere: Vec::new(),
            cgroup_states: Vec::new(),
            pid: 7,
            command: Vec::new(),
            state: b'S',
            parent: 1,
            threads: 1,
            uids: [uid; 4],
            gids: [uid; 4],
            groups: Vec::new(),
            ns_pids: vec![7],
            namespaces: NamespaceKind::ALL.into_iter().map(membership).collect(),
            pid_levels: Vec::new(),
            capabilities: Capabilities { effective: CapabilitySet(effective), ..Capabilities::default() },
            no_new_privs: None,
            seccomp: None,
            shares_our_user_namespace: true,
            uid_map: Observed::Gone,
            gid_map: Observed::Gone,
            setgroups: Observed::Gone,
            clocks: Observed::Gone,
            cgroups: Vec::new(),
            root: hidden(),
            cwd: hidden(),
            executable: hidden(),
            limits: Vec::new(),
        }
    }

    #[test]
    fn each_rule_of_user_namespaces_7_decides_in_its_place() {
        let (top, middle, bottom) = (level(1, 0), level(2, 1000), level(3, 1000));
        let chain = [bottom, middle, top];
        let creator = Rule::Creator { namespace: middle.id };
        for (process, owners, capabilities, rule) in [
            (process(0, 6, &[top]), &chain[2..], CapabilitySet(6), Rule::Own),
            (process(0, 6, &[top]), &chain[1..], CapabilitySet(6), Rule::Ancestor { distance: 1 }),
            (process(0, 6, &[top]), &chain[..], CapabilitySet(6), Rule::Ancestor { distance: 2 }),
            (process(5, 0, &[top]), &chain[..], CapabilitySet(0), Rule::Ancestor { distance: 2 }),
            // Whoever made the one below has all capabilities there and further down, without any of its own.
            (process(1000, 0, &[top]), &chain[1..], CapabilitySet::ALL, creator),
            (process(1000, 0, &[top]), &chain[..], CapabilitySet::ALL, creator),
            (process(1000, 0, &[middle, top]), &chain[..], CapabilitySet::ALL, Rule::Creator { namespace: bottom.id }),
            (process(1000, 6, &[middle, top]), &chain[2..], CapabilitySet(0), Rule::Above),
            (process(0, 6, &[level(9, 0), top]), &chain[..], CapabilitySet(0), Rule::Beside),
        ] {
            assert_eq!(can(&process, owners), Some(Can { capabilities, rule }), "{owners:?}");
        }
        assert_eq!(can(&process(0, 6, &[top]), &[]), None);
    }
}
