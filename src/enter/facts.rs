//! What plan and preflight judge by: plain data, so that both are pure.

use super::label::Label;
use super::name::TargetName;
use crate::exec::Refusal;
use crate::id::NamespaceId;
use crate::kind::NamespaceKind;

/// CAP_SYS_ADMIN and the others that joining needs, by their numbers (capabilities(7)).
pub(super) mod capability {
    pub(crate) const SETGID: u32 = 6;
    pub(crate) const SETUID: u32 = 7;
    pub(crate) const SYS_CHROOT: u32 = 18;
    pub(crate) const SYS_ADMIN: u32 = 21;
}

/// A namespace that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) kind: NamespaceKind,
    pub(crate) id: NamespaceId,
    /// Whether it is the one we are in.
    pub(crate) ours: bool,
    pub(crate) owner: Owner,
    /// Which descriptor it is held by.
    pub(crate) handle: usize,
    /// For a pid namespace: whether it is ours or below it; nothing else can be joined.
    pub(crate) below: bool,
    /// For a pid namespace: whether its init is known to have ended.
    pub(crate) dead: bool,
}

/// Where the user namespace that owns a namespace stands. Level 0 is our own, and the last is the one to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Outside our own user namespace: nothing that we are or may become has rights there.
    Outside,
    /// The one at this level, or one below it that is off the way.
    Level(usize),
}

/// A user namespace on the way from ours down to the one to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) id: NamespaceId,
    /// Who created it, in terms of our user namespace.
    pub(crate) creator: Option<u32>,
    pub(crate) handle: usize,
}

/// How the user namespace that was asked for relates to ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// None was asked for, or it is ours.
    Stay,
    /// It is below ours: the namespaces from our child down to it.
    Down(Vec<Stage>),
    /// It is not below ours.
    Outside(NamespaceId),
}

/// One line of a uid_map or gid_map (user_namespaces(7)); `outside` is in terms of our own user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) inside: u32,
    pub(crate) outside: u32,
    pub(crate) count: u32,
}

/// A uid_map or gid_map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Map(pub(crate) Vec<Range>);

impl Map {
    /// Parses the file; lines of another form are left out.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let ranges = text.lines().filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(Range { inside: next()?, outside: next()?, count: next().filter(|count| *count > 0)? })
        });
        Self(ranges.collect())
    }

    /// Tells whether `id` exists inside.
    pub(crate) fn has(&self, id: u32) -> bool {
        self.0.iter().any(|range| id.checked_sub(range.inside).is_some_and(|offset| offset < range.count))
    }

    /// Returns what `id`, one of ours, is called inside.
    pub(crate) fn inward(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.outside).filter(|offset| *offset < range.count)?;
            range.inside.checked_add(offset)
        })
    }
}

impl std::fmt::Display for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no id is mapped");
        }
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let last = u64::from(range.inside) + u64::from(range.count) - 1;
            match range.count {
                1 => write!(f, "{comma}{}", range.inside)?,
                _ => write!(f, "{comma}{}-{last}", range.inside)?,
            }
        }
        Ok(())
    }
}

/// The ids that exist in the user namespace to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) uids: Map,
    pub(crate) gids: Map,
    /// Whether setgroups(2) is allowed there.
    pub(crate) setgroups: bool,
}

/// A control group of the target that we are not in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CgroupFact {
    /// The directory, as we see it.
    pub(crate) path: Vec<u8>,
    /// Which descriptor of its cgroup.procs.
    pub(crate) handle: usize,
    pub(crate) version: u8,
    pub(crate) frozen: bool,
}

/// Capabilities as masks by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) bounding: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

impl Capabilities {
    /// Returns what limits a program of root to these permitted ones: to others what root executes gives the inheritable
    /// ones and the whole bounding set (capabilities(7)).
    pub(crate) fn for_root(self) -> Self {
        let Self { bounding, permitted, inheritable, ambient } = self;
        Self { bounding: bounding & permitted, inheritable: inheritable & permitted, permitted, ambient }
    }
}

/// What `--confined` copies from the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Soft and hard limit by resource number; `None` is unlimited.
    pub(crate) limits: Vec<(u32, Option<u64>, Option<u64>)>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) no_new_privs: bool,
    /// The security module's label, if it differs from ours and can be taken.
    pub(crate) label: Option<Label>,
    /// Whether it lives under a seccomp filter, which cannot be copied.
    pub(crate) seccomp: bool,
}

/// Whether the command can be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// One of the places has it, or that could not be told.
    Possible,
    /// No place has it.
    Absent,
    /// It is there, and will be refused, since its interpreter is not.
    Refused(Box<Refusal>),
}

/// Everything that was found out about the target and ourselves before anything is done.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) target: TargetName,
    /// Whether it is a process.
    pub(crate) has_process: bool,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) way: Way,
    pub(crate) effective_uid: u32,
    pub(crate) effective_gid: u32,
    /// Our supplementary groups, but for the effective one; where groups may be changed without being asked for.
    pub(crate) groups: Vec<u32>,
    /// Our effective capabilities.
    pub(crate) capabilities: u64,
    pub(crate) threads: u64,
    /// Of the user namespace to join, if that could be read.
    pub(crate) maps: Option<Maps>,
    /// The target's effective ids, in terms of our user namespace; where they are of use.
    pub(crate) target_uid: Option<u32>,
    pub(crate) target_gid: Option<u32>,
    /// Its supplementary groups, but for the effective one.
    pub(crate) target_groups: Vec<u32>,
    pub(crate) cgroups: Vec<CgroupFact>,
    pub(crate) confinement: Option<Confinement>,
    pub(crate) command: Presence,
    /// Things to tell that are no failure.
    pub(crate) remarks: Vec<String>,
}

impl Facts {
    /// Returns the words ` of TARGET` behind a namespace, where that is another thing than the namespace itself.
    pub(crate) fn of_target(&self) -> String {
        if self.has_process { format!(" of {}", self.target) } else { String::new() }
    }

    /// Tells whether we have a capability in our own user namespace.
    pub(crate) fn has(&self, capability: u32) -> bool {
        self.capabilities & 1 << capability != 0
    }

    /// Returns the user namespaces to pass, outermost first.
    pub(crate) fn stages(&self) -> &[Stage] {
        match &self.way {
            Way::Down(stages) => stages,
            Way::Stay | Way::Outside(_) => &[],
        }
    }

    /// Tells whether, from our own user namespace, we have all capabilities in the one at `level`: as its creator or
    /// with them in an ancestor (user_namespaces(7)).
    pub(crate) fn rules(&self, level: usize, capability: u32) -> bool {
        // Capabilities in an ancestor count, and whoever created our own child has all of them below it.
        let creator = self.stages().first().and_then(|stage| stage.creator);
        self.has(capability) || level > 0 && creator == Some(self.effective_uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_translates_and_names_its_ids() {
        let map = Map::parse(b"         0       1000          1\n         1     100000      65536\nodd\n");
        assert!(map.has(0) && map.has(65536) && !map.has(65537));
        assert_eq!((map.inward(1000), map.inward(100_005), map.inward(999)), (Some(0), Some(6), None));
        assert_eq!(map.to_string(), "0, 1-65536");
        assert_eq!(Map::parse(b"").to_string(), "no id is mapped");
        let all = Map::parse(b"0 0 4294967295");
        assert!(all.has(u32::MAX - 1) && !all.has(u32::MAX));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_maps_never_panic(text: Vec<u8>, id: u32) {
            let map = Map::parse(&text);
            let _ = (map.has(id), map.inward(id));
        }
    }
}
