//! How the namespaces of two processes relate, and what that means in practice.

use super::can;
use crate::id::NamespaceId;
use crate::kind::NamespaceKind;
use crate::model::{CgroupEntry, ClockOffset, Level, Membership, Observed, PairFacts, ProcessFacts, Why};
use crate::printable;
use crate::proc::idmap;
use crate::propagation::{Direction, Forest, Groups, connections};

/// One side of a comparison: a process, or a single namespace.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// What to call it, such as its process id.
    pub label: &'a str,
    /// The namespaces that are known of it.
    pub memberships: &'a [Membership],
    /// The pid namespaces from its own up.
    pub pid_levels: &'a [Level],
    /// The process, if it is one.
    pub process: Option<&'a ProcessFacts>,
}

/// How two namespaces of one kind relate.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are the same.
    Same,
    /// The first is above the second.
    Ancestor {
        /// By how many levels; 1 is the parent.
        distance: usize,
    },
    /// The first is below the second.
    Descendant {
        /// By how many levels; 1 is a child.
        distance: usize,
    },
    /// Both are below another.
    Siblings {
        /// The nearest namespace above both.
        common: NamespaceId,
        /// How deep the first is below it.
        depth_of_first: usize,
        /// How deep the second is below it.
        depth_of_second: usize,
    },
    /// They differ, and no tree connects them.
    Different,
    /// One of them could not be read.
    Unknown(Why),
    /// A process ended, or is a zombie that has let go of it.
    Gone,
}

/// The comparison of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind.
    pub kind: NamespaceKind,
    /// The namespace of the first.
    pub a: Observed<NamespaceId>,
    /// The namespace of the second.
    pub b: Observed<NamespaceId>,
    /// How they relate.
    pub relation: Relation,
    /// What that means, a clause each; names in it are harmless to print.
    pub meaning: Vec<String>,
}

impl Row {
    /// Tells whether both are the same; `None`: that cannot be seen.
    pub fn same(&self) -> Option<bool> {
        match self.relation {
            Relation::Unknown(_) | Relation::Gone => None,
            relation => Some(relation == Relation::Same),
        }
    }
}

impl Relation {
    /// Returns a short name that never changes, for JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Ancestor { distance: 1 } => "parent",
            Self::Ancestor { .. } => "ancestor",
            Self::Descendant { distance: 1 } => "child",
            Self::Descendant { .. } => "descendant",
            Self::Siblings { .. } => "siblings",
            Self::Different => "different",
            Self::Unknown(_) => "unknown",
            Self::Gone => "gone",
        }
    }

    /// Words the relation of the first to the second.
    pub fn words(self) -> String {
        match self {
            Self::Same => "same".to_owned(),
            Self::Ancestor { distance: 1 } => "parent".to_owned(),
            Self::Ancestor { distance } => format!("{distance} levels above"),
            Self::Descendant { distance: 1 } => "child".to_owned(),
            Self::Descendant { distance } => format!("{distance} levels below"),
            Self::Siblings { depth_of_first, depth_of_second, .. } if depth_of_first == depth_of_second => {
                format!("siblings at depth {depth_of_first}")
            }
            Self::Siblings { depth_of_first, depth_of_second, .. } => {
                format!("relatives at depths {depth_of_first} and {depth_of_second}")
            }
            Self::Different => "different".to_owned(),
            Self::Unknown(why) => format!("? ({why})"),
            Self::Gone => "? (it has ended, or let go of it)".to_owned(),
        }
    }
}

/// Compares one kind.
pub fn compare(kind: NamespaceKind, a: &Side<'_>, b: &Side<'_>, pair: &PairFacts) -> Row {
    let of = |side: &Side<'_>| {
        let found = side.memberships.iter().find(|membership| membership.kind == kind);
        found.map_or(Observed::Hidden(Why::NotAsked), |membership| membership.id)
    };
    let (ours, theirs) = (of(a), of(b));
    let relation = match (ours, theirs) {
        (Observed::Known(ours), Observed::Known(theirs)) if ours == theirs => Relation::Same,
        (Observed::Known(_), Observed::Known(_)) => relation(chain(kind, a), chain(kind, b)),
        (Observed::Hidden(why), _) | (_, Observed::Hidden(why)) => Relation::Unknown(why),
        _ => Relation::Gone,
    };
    let mut meaning = match relation {
        Relation::Same if kind == NamespaceKind::Mnt => {
            vec![roots(a, b).unwrap_or_else(|| same_means(kind).to_owned())]
        }
        Relation::Same => vec![same_means(kind).to_owned()],
        Relation::Unknown(_) | Relation::Gone => Vec::new(),
        _ => difference_means(kind, a, b, pair),
    };
    if !matches!(relation, Relation::Same | Relation::Unknown(_) | Relation::Gone) {
        meaning.extend(owners(kind, a, b));
    }
    Row { kind, a: ours, b: theirs, relation, meaning }
}

/// Returns the chain from a namespace up, for kinds that have parents.
fn chain<'a>(kind: NamespaceKind, side: &Side<'a>) -> &'a [Level] {
    match kind {
        NamespaceKind::Pid => side.pid_levels,
        NamespaceKind::User => owners_of(kind, side),
        _ => &[],
    }
}

fn owners_of<'a>(kind: NamespaceKind, side: &Side<'a>) -> &'a [Level] {
    let found = side.memberships.iter().find(|membership| membership.kind == kind);
    found.map_or(&[], |membership| &membership.owners)
}

/// Relates two different namespaces by the chains above them.
fn relation(a: &[Level], b: &[Level]) -> Relation {
    for (depth_of_first, level) in a.iter().enumerate() {
        if let Some(depth_of_second) = b.iter().position(|other| other.id == level.id) {
            return match (depth_of_first, depth_of_second) {
                (0, distance) => Relation::Ancestor { distance },
                (distance, 0) => Relation::Descendant { distance },
                _ => Relation::Siblings { common: level.id, depth_of_first, depth_of_second },
            };
        }
    }
    Relation::Different
}

/// Says that two in one mount namespace see it from different roots (chroot(2)).
fn roots(a: &Side<'_>, b: &Side<'_>) -> Option<String> {
    let root = |side: &Side<'_>| match side.process.map(|facts| &facts.root) {
        Some(Observed::Known(root)) => Some(printable(root).into_owned()),
        _ => None,
    };
    let (first, second) = (root(a)?, root(b)?);
    (first != second)
        .then(|| format!("the same mounts, from different roots: {} from {first}, {} from {second}", a.label, b.label))
}

fn same_means(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Cgroup => "cgroup paths begin at the same root",
        NamespaceKind::Ipc => "the same System V objects and message queues",
        NamespaceKind::Mnt => "the same mounts",
        NamespaceKind::Net => "the same interfaces, addresses and ports",
        NamespaceKind::Pid => "they see the same processes by the same numbers",
        NamespaceKind::Time => "the same clocks",
        NamespaceKind::User => "ids mean the same",
        NamespaceKind::Uts => "the same host and domain name",
    }
}

fn difference_means(kind: NamespaceKind, a: &Side<'_>, b: &Side<'_>, pair: &PairFacts) -> Vec<String> {
    match kind {
        NamespaceKind::Cgroup => cgroups(a, b, pair),
        NamespaceKind::Ipc => vec!["System V objects and message queues of one do not exist in the other".to_owned()],
        NamespaceKind::Mnt => mounts(a, b, pair),
        NamespaceKind::Net => {
            vec!["interfaces, addresses and ports of their own: localhost of one is not that of the other".to_owned()]
        }
        NamespaceKind::Pid => [(a, b), (b, a)].into_iter().filter_map(|(viewer, seen)| sees(viewer, seen)).collect(),
        NamespaceKind::Time => clocks(a, b),
        NamespaceKind::User => ids(a, b),
        NamespaceKind::Uts => vec!["each can have its own host and domain name".to_owned()],
    }
}

/// Such as `4711 sees 4712 as PID 1`.
fn sees(viewer: &Side<'_>, seen: &Side<'_>) -> Option<String> {
    let namespace = viewer.pid_levels.first()?.id;
    let process = seen.process?;
    Some(match process.pid_in(namespace) {
        Some(pid) => format!("{} sees {} as PID {pid}", viewer.label, seen.label),
        None => format!("{} does not see {}", viewer.label, seen.label),
    })
}

fn ids(a: &Side<'_>, b: &Side<'_>) -> Vec<String> {
    let mut clauses = Vec::new();
    let (Some(first), Some(second)) = (a.process, b.process) else { return clauses };
    for (what, ours, theirs) in [("uids", &first.uid_map, &second.uid_map), ("gids", &first.gid_map, &second.gid_map)] {
        let (Observed::Known(ours), Observed::Known(theirs)) = (ours, theirs) else { continue };
        clauses.push(match idmap::shared(&first.in_our_terms(ours), &second.in_our_terms(theirs)) {
            (0, _) => format!("none of {}'s {what} has a name in {}", a.label, b.label),
            (1, first) => {
                let (mine, other) = first.unwrap_or_default();
                format!("one of {}'s {what} has a name in {}, {mine} is {other} there", a.label, b.label)
            }
            (count, Some((mine, other))) if mine == other => {
                format!("{count} of {}'s {what} have a name in {}, from {mine} on the same", a.label, b.label)
            }
            (count, first) => {
                let (mine, other) = first.unwrap_or_default();
                format!("{count} of {}'s {what} have a name in {}, {mine} is {other} there", a.label, b.label)
            }
        });
    }
    for (one, process, other) in [(a, first, b), (b, second, a)] {
        let Some(can) = can::can(process, owners_of(NamespaceKind::User, other)) else { continue };
        clauses.push(if can.capabilities.is_empty() {
            format!("{} has no capability over {}", one.label, other.label)
        } else {
            let why = match can.rule {
                can::Rule::Creator { .. } => "created it",
                _ => "lives above it",
            };
            format!("{} has capabilities over {} ({why}): {}", one.label, other.label, can.capabilities)
        });
    }
    clauses
}

fn clocks(a: &Side<'_>, b: &Side<'_>) -> Vec<String> {
    let known = |side: &Side<'_>| side.process.and_then(|process| process.clocks.known());
    let (Some(ours), Some(theirs)) = (known(a), known(b)) else {
        return vec!["the offsets of their clocks cannot be read".to_owned()];
    };
    let clause = |name: &str, ours: ClockOffset, theirs: ClockOffset| {
        let ahead = nanoseconds(theirs) - nanoseconds(ours);
        match ahead {
            0 => format!("{name} reads the same"),
            ahead => {
                let (leader, amount) = if ahead > 0 { (b.label, ahead) } else { (a.label, -ahead) };
                format!("{name} is {} s ahead in {leader}", seconds(amount))
            }
        }
    };
    vec![
        clause("CLOCK_MONOTONIC", ours.monotonic, theirs.monotonic),
        clause("CLOCK_BOOTTIME", ours.boottime, theirs.boottime),
    ]
}

fn nanoseconds(offset: ClockOffset) -> i128 {
    i128::from(offset.seconds) * 1_000_000_000 + i128::from(offset.nanoseconds)
}

fn seconds(nanoseconds: i128) -> String {
    let (whole, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:09}").trim_end_matches('0').to_owned() }
}

fn cgroups(a: &Side<'_>, b: &Side<'_>, pair: &PairFacts) -> Vec<String> {
    let seen = |viewer: &Side<'_>, of: &Side<'_>, entries: &Option<Vec<CgroupEntry>>| {
        // The unified hierarchy where there is one; in the others the process mostly is at the same place.
        let entries = entries.as_deref()?;
        let entry = entries.iter().find(|entry| entry.controllers.is_empty()).or(entries.first())?;
        Some(format!("{} sees the cgroup of {} as {}", viewer.label, of.label, printable(&entry.path)))
    };
    let clauses = [seen(a, b, &pair.cgroup_of_second), seen(b, a, &pair.cgroup_of_first)];
    let clauses: Vec<String> = clauses.into_iter().flatten().collect();
    if clauses.is_empty() { vec!["how one sees the other's cgroups cannot be read".to_owned()] } else { clauses }
}

/// How many mounts are named before the rest is counted.
const FEW_MOUNTS: usize = 4;

fn mounts(a: &Side<'_>, b: &Side<'_>, pair: &PairFacts) -> Vec<String> {
    let Some(tables) = &pair.mount_tables else {
        return vec!["which mount events pass cannot be read".to_owned()];
    };
    let forest = Forest::new(tables);
    let groups = Groups::of(&forest);
    let found = connections(&forest, &groups, 0, 1);
    let mut clauses = Vec::new();
    for (direction, words) in [
        (Direction::Both, format!("mounts pass between {} and {} both ways", a.label, b.label)),
        (Direction::Sends, format!("mounts pass from {} to {} only", a.label, b.label)),
        (Direction::Receives, format!("mounts pass from {} to {} only", b.label, a.label)),
    ] {
        let mut places: Vec<String> = found
            .iter()
            .filter(|connection| connection.direction == direction)
            .map(|connection| {
                let (ours, theirs) = (forest.mount_point(connection.a), forest.mount_point(connection.b));
                let (here, there) = (printable(&ours), printable(&theirs));
                if here == there { here.into_owned() } else { format!("{here} (there {there})") }
            })
            .collect();
        places.dedup();
        if places.is_empty() {
            continue;
        }
        let more = places.len().saturating_sub(FEW_MOUNTS);
        places.truncate(FEW_MOUNTS);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        clauses.push(format!("{words} on {}{rest}", places.join(", ")));
    }
    let partial: Vec<&str> =
        [a, b].iter().zip(tables).filter(|(_, table)| table.partial).map(|(side, _)| side.label).collect();
    if clauses.is_empty() && partial.is_empty() {
        clauses.push("a mount made in one never appears in the other".to_owned());
    } else if clauses.is_empty() {
        clauses.push("no mount that can be seen passes".to_owned());
    }
    if !partial.is_empty() {
        clauses.push(format!("only the mounts below the root of {} could be read", partial.join(" and ")));
    }
    clauses
}

/// Says how the owners relate, where they differ: whose rules the namespace lives under.
fn owners(kind: NamespaceKind, a: &Side<'_>, b: &Side<'_>) -> Option<String> {
    let (ours, theirs) = (owners_of(kind, a), owners_of(kind, b));
    let (first, second) = (ours.first()?.id, theirs.first()?.id);
    if kind == NamespaceKind::User || first == second {
        return None;
    }
    let below = |side: &Side<'_>, owner: NamespaceId, other: &Side<'_>| {
        format!("{}'s is owned by user namespace {owner}, below the owner of {}'s", side.label, other.label)
    };
    Some(match relation(ours, theirs) {
        Relation::Ancestor { .. } => below(b, second, a),
        Relation::Descendant { .. } => below(a, first, b),
        _ => format!("owned by different user namespaces, {first} and {second}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(ino: u64) -> Level {
        Level { id: NamespaceId { ino, dev: 4 }, creator: None }
    }

    #[test]
    fn chains_tell_how_two_relate() {
        let chain = |inodes: &[u64]| inodes.iter().map(|ino| level(*ino)).collect::<Vec<_>>();
        let top = chain(&[1]);
        assert_eq!(relation(&top, &chain(&[2, 1])), Relation::Ancestor { distance: 1 });
        assert_eq!(relation(&chain(&[3, 2, 1]), &top), Relation::Descendant { distance: 2 });
        let common = level(1).id;
        let siblings = Relation::Siblings { common, depth_of_first: 1, depth_of_second: 1 };
        assert_eq!(relation(&chain(&[2, 1]), &chain(&[3, 1])), siblings);
        assert_eq!(siblings.words(), "siblings at depth 1");
        assert_eq!(relation(&chain(&[2]), &chain(&[3])), Relation::Different);
    }

    #[test]
    fn offsets_read_as_seconds() {
        assert_eq!(seconds(1_500_000_000), "1.5");
        assert_eq!(seconds(86_400_000_000_000), "86400");
        assert_eq!(nanoseconds(ClockOffset { seconds: -2, nanoseconds: 500_000_000 }), -1_500_000_000);
    }
}
