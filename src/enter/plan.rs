//! What will be done, in which order, decided before anything is. Pure: facts in, steps out.
//!
//! The order follows ownership (setns(2) wants CAP_SYS_ADMIN in the user namespace that owns what is joined):
//! - what is owned by our own user namespace, or outside of it, is joined first, while we are who we are;
//! - then the user namespaces downward, each that owns something wanted, and the one to join: in each we have all
//!   capabilities, over it and everything below; what it owns follows it.
//!
//! So a namespace owned by the *parent* of the target's user namespace is joined through that owner, as a sandbox made
//! by `bwrap --dev` needs it.

use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use rustix::process::Gid;

use super::credentials;
use super::facts::{Candidate, Capabilities, Confinement, Facts, Owner};
use super::label::Label;
use super::request::{Place, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::id::NamespaceId;
use crate::kind::NamespaceKind;

/// What is done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// setns(2) into the namespace held by descriptor number `handle`.
    Join { kind: NamespaceKind, id: NamespaceId, handle: usize, level: Option<usize>, order: Order },
    /// chroot(2) into the directory opened before.
    ChangeRoot,
    /// The same, and back to the working directory.
    ChangeRootOnly,
    /// fchdir(2) into the directory opened before.
    ChangeDirectory,
    /// chdir(2), among the target's files.
    ChangeDirectoryTo(CString),
    /// A new process; the steps that follow are its own.
    Fork,
    /// Moves us into a control group.
    EnterCgroup { handle: usize, path: Vec<u8>, version: u8 },
    /// setrlimit(2): number of the resource, soft and hard limit.
    SetLimit(u32, Option<u64>, Option<u64>),
    /// Writes oom_score_adj.
    SetOomScore(CString),
    /// Takes every capability out of the bounding, inheritable and ambient sets that is not in these.
    LimitCapabilities(Capabilities),
    /// Takes the security label for the program.
    SetLabel(Label),
    /// setgroups(2) with no group. Where nobody could tell whether that is allowed, a refusal is no failure.
    DropGroups { if_allowed: bool },
    /// setgroups(2) with the target's.
    SetGroups(Vec<Gid>),
    /// setresgid(2).
    SetGid(u32),
    /// setresuid(2); `keep` lets permitted capabilities survive it.
    SetUid { uid: u32, keep: bool },
    /// Makes all permitted capabilities inheritable and ambient.
    KeepCapabilities,
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// execve(2).
    Execute,
}

/// Why a join stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// No user namespace is joined, so any order will do.
    Any,
    /// Owned outside the user namespaces that are joined.
    Before,
    /// Owned by this user namespace.
    After(NamespaceId),
    /// The user namespace that was asked for.
    Goal,
    /// A user namespace that owns something wanted.
    OnTheWay,
}

/// A namespace that need not be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) kind: NamespaceKind,
    pub(crate) id: NamespaceId,
}

/// The steps, and what is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) remarks: Vec<String>,
}

/// Decides what to do. `apart` tells that the command needs a process of its own: for a pseudo-terminal's session, or to
/// give up a terminal.
pub(crate) fn plan(request: &Request, facts: &Facts, apart: bool) -> Result<Steps> {
    let mut remarks = facts.remarks.clone();
    let mut steps = early(request, facts)?;
    if request.literal && credentials::by_default(request, facts) {
        // The user namespace to join may deny it, ours does not; and after it, the groups would have another's names.
        steps.push(Step::DropGroups { if_allowed: true });
    }
    steps.extend(joins(facts));
    let joined = |kind| facts.candidates.iter().any(|candidate| candidate.kind == kind && !candidate.ours);
    let mnt = joined(NamespaceKind::Mnt);
    let root = match &request.root {
        Place::Unasked => mnt && facts.has_process && !request.literal,
        Place::OfTarget | Place::Path(_) => true,
    };
    if root {
        let stays = request.literal && request.directory == Place::Unasked && request.inner_directory.is_none();
        steps.push(if stays { Step::ChangeRootOnly } else { Step::ChangeRoot });
    }
    match (&request.inner_directory, &request.directory) {
        (Some(path), _) => steps.push(Step::ChangeDirectoryTo(c_path(path.as_os_str().as_bytes())?)),
        (None, Place::OfTarget | Place::Path(_)) => steps.push(Step::ChangeDirectory),
        // setns(2) leaves us in the root of the mount namespace; so does what follows a chroot.
        (None, Place::Unasked) => {}
    }
    let fork = (joined(NamespaceKind::Pid) || apart || request.background) && !request.no_fork;
    if fork {
        steps.push(Step::Fork);
    }
    for cgroup in &facts.cgroups {
        let path = cgroup.path.clone();
        steps.push(Step::EnterCgroup { handle: cgroup.handle, path, version: cgroup.version });
    }
    let mut taken = Vec::new();
    credentials::decide(request, facts, &mut taken, &mut remarks)?;
    if let Some(confinement) = facts.confinement.as_ref().filter(|_| request.confined) {
        confine(confinement, credentials::are_both_root(facts, &taken), &mut steps);
    }
    steps.append(&mut taken);
    if let Some(confinement) = &facts.confinement {
        // Last of all: no_new_privs forbids some changes of label.
        steps.extend(confinement.label.clone().map(Step::SetLabel));
        steps.extend(confinement.no_new_privs.then_some(Step::NoNewPrivileges));
    }
    steps.push(Step::Execute);
    let skipped = facts.candidates.iter().filter(|candidate| candidate.ours);
    let skipped = skipped.map(|candidate| Skipped { kind: candidate.kind, id: candidate.id }).collect();
    Ok(Steps { steps, skipped, remarks })
}

fn joins(facts: &Facts) -> Vec<Step> {
    let wanted = |candidate: &&Candidate| !candidate.ours && candidate.kind != NamespaceKind::User;
    let mut steps = Vec::new();
    let stages = facts.stages();
    let level_of = |candidate: &Candidate| match candidate.owner {
        Owner::Outside => 0,
        Owner::Level(level) => level.min(stages.len()),
    };
    for level in 0..=stages.len() {
        let here: Vec<&Candidate> =
            facts.candidates.iter().filter(wanted).filter(|candidate| level_of(candidate) == level).collect();
        if let Some(stage) = level.checked_sub(1).and_then(|above| stages.get(above)) {
            let goal = level == stages.len();
            if !goal && here.is_empty() {
                continue;
            }
            let order = if goal { Order::Goal } else { Order::OnTheWay };
            let kind = NamespaceKind::User;
            // It is its parent that must let us in, but whoever created it may enter too.
            steps.push(Step::Join { kind, id: stage.id, handle: stage.handle, level: Some(level), order });
        }
        for candidate in here {
            let order = match level.checked_sub(1) {
                None if stages.is_empty() => Order::Any,
                None => Order::Before,
                Some(above) => Order::After(stages[above].id),
            };
            let Candidate { kind, id, handle, .. } = *candidate;
            let level = match candidate.owner {
                Owner::Outside => None,
                Owner::Level(level) => Some(level),
            };
            steps.push(Step::Join { kind, id, handle, level, order });
        }
    }
    steps
}

/// Steps that write files of our own below /proc, which are closed to ordinary users once we hide there.
fn early(request: &Request, facts: &Facts) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let Some(confinement) = &facts.confinement else { return Ok(steps) };
    if let Some(score) = confinement.oom_score_adj.filter(|_| request.confined) {
        steps.push(Step::SetOomScore(c_path(score.to_string().as_bytes())?));
    }
    Ok(steps)
}

/// Adds the steps that limit us as the target is. Where both are root, what the target lacks is not in its reach (it may
/// have lost it for good, by securebits or no_new_privs, which nobody else can see), while we would get it by being root.
fn confine(confinement: &Confinement, both_root: bool, steps: &mut Vec<Step>) {
    steps.extend(confinement.limits.iter().map(|(resource, soft, hard)| Step::SetLimit(*resource, *soft, *hard)));
    let capabilities = confinement.capabilities.map(|sets| if both_root { sets.for_root() } else { sets });
    steps.extend(capabilities.map(Step::LimitCapabilities));
}

fn c_path(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::new(ErrorKind::Invalid, "a path cannot hold a NUL byte"))
}

impl Step {
    /// Tells whether it must be taken before we hide from /proc.
    pub(crate) fn is_early(&self) -> bool {
        matches!(self, Self::SetOomScore(_))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Before => f.write_str("owned outside the target's user namespace: before it"),
            Self::After(owner) => write!(f, "owned by user namespace {owner}: after it"),
            Self::Goal => f.write_str("the target's user namespace"),
            Self::OnTheWay => f.write_str("on the way: it owns what follows"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::facts::{Map, Maps, Presence, Stage, Way};
    use super::super::name::TargetName;
    use super::super::request::Id;
    use super::*;
    use NamespaceKind::{Cgroup, Ipc, Mnt, Net, Pid, User, Uts};

    fn id(ino: u64) -> NamespaceId {
        NamespaceId { ino, dev: 4 }
    }

    /// Facts of a target whose user namespaces below ours are `stages` (by inode), and with these namespaces: kind,
    /// level of the owner.
    pub(in crate::enter) fn facts(stages: &[u64], namespaces: &[(NamespaceKind, Owner)]) -> Facts {
        let stages: Vec<Stage> = stages
            .iter()
            .enumerate()
            .map(|(handle, ino)| Stage { id: id(*ino), creator: Some(1000), handle })
            .collect();
        let candidates = namespaces.iter().enumerate().map(|(index, (kind, owner))| Candidate {
            kind: *kind,
            id: id(100 + index as u64),
            ours: false,
            owner: *owner,
            handle: 10 + index,
            below: true,
            dead: false,
        });
        let way = if stages.is_empty() { Way::Stay } else { Way::Down(stages) };
        let map = Map::parse(b"0 1000 1");
        Facts {
            target: TargetName::Other("process 7 (test)".to_owned()),
            has_process: true,
            candidates: candidates.collect(),
            maps: matches!(way, Way::Down(_)).then(|| Maps { uids: map.clone(), gids: map, setgroups: false }),
            way,
            effective_uid: 1000,
            effective_gid: 1000,
            groups: Vec::new(),
            capabilities: 0,
            threads: 1,
            target_uid: Some(1000),
            target_gid: Some(1000),
            target_groups: Vec::new(),
            cgroups: Vec::new(),
            confinement: None,
            command: Presence::Possible,
            remarks: Vec::new(),
        }
    }

    fn joined(facts: &Facts) -> Vec<(NamespaceKind, u64, Order)> {
        let steps = plan(&Request::default(), facts, false).unwrap().steps;
        let joins = steps.into_iter().filter_map(|step| match step {
            Step::Join { kind, id, order, .. } => Some((kind, id.ino, order)),
            _ => None,
        });
        joins.collect()
    }

    #[test]
    fn what_the_host_owns_is_joined_before_the_user_namespace() {
        let facts = facts(&[50], &[(Ipc, Owner::Level(0)), (Net, Owner::Level(1)), (User, Owner::Level(0))]);
        let expected = [(Ipc, 100, Order::Before), (User, 50, Order::Goal), (Net, 101, Order::After(id(50)))];
        assert_eq!(joined(&facts), expected);
    }

    #[test]
    fn what_the_parent_of_the_user_namespace_owns_is_joined_through_it() {
        let facts = facts(&[50, 51], &[(Mnt, Owner::Level(1)), (Uts, Owner::Level(1)), (Pid, Owner::Level(2))]);
        let expected = [
            (User, 50, Order::OnTheWay),
            (Mnt, 100, Order::After(id(50))),
            (Uts, 101, Order::After(id(50))),
            (User, 51, Order::Goal),
            (Pid, 102, Order::After(id(51))),
        ];
        assert_eq!(joined(&facts), expected);
    }

    #[test]
    fn a_user_namespace_that_owns_nothing_wanted_is_passed_over() {
        let facts = facts(&[50, 51, 52], &[(Uts, Owner::Level(3))]);
        assert_eq!(joined(&facts), [(User, 52, Order::Goal), (Uts, 100, Order::After(id(52)))]);
    }

    #[test]
    fn what_is_ours_already_is_skipped() {
        let mut facts = facts(&[], &[(Cgroup, Owner::Level(0)), (Net, Owner::Level(0))]);
        facts.candidates[0].ours = true;
        let steps = plan(&Request::default(), &facts, false).unwrap();
        assert_eq!(steps.skipped, [Skipped { kind: Cgroup, id: id(100) }]);
        assert_eq!(joined(&facts), [(Net, 101, Order::Any)]);
    }

    #[test]
    fn only_a_pid_namespace_a_terminal_or_the_background_needs_a_fork() {
        let forks = |request: &Request, kind, pty| {
            let facts = facts(&[], &[(kind, Owner::Level(0))]);
            plan(request, &facts, pty).unwrap().steps.contains(&Step::Fork)
        };
        let plain = Request::default();
        assert!(!forks(&plain, Net, false) && forks(&plain, Pid, false) && forks(&plain, Net, true));
        let no_fork = Request { no_fork: true, ..Request::default() };
        assert!(!forks(&no_fork, Pid, false) && !forks(&no_fork, Net, true));
        assert!(forks(&Request { background: true, ..Request::default() }, Net, false));
    }

    fn label() -> Label {
        Label { module: "AppArmor", file: c"thread-self/attr/apparmor/exec", text: c"exec box".to_owned() }
    }

    #[test]
    fn a_context_alone_is_taken_right_before_the_program() {
        let mut facts = facts(&[50], &[(Net, Owner::Level(1))]);
        facts.confinement = Some(Confinement { label: Some(label()), ..Confinement::default() });
        let steps = plan(&Request { selinux: true, ..Request::default() }, &facts, false).unwrap().steps;
        assert_eq!(steps[steps.len() - 2..], [Step::SetLabel(label()), Step::Execute]);
    }

    #[test]
    fn to_the_letter_the_root_stays_and_groups_are_dropped_before_and_after() {
        let facts = facts(&[50], &[(Mnt, Owner::Level(1))]);
        let literal = Request { literal: true, ..Request::default() };
        let kept = |step: &Step| !matches!(step, Step::Join { .. });
        let steps = |request: &Request, facts: &Facts| {
            let steps = plan(request, facts, false).unwrap().steps;
            steps.into_iter().filter(kept).collect::<Vec<_>>()
        };
        let dropped = Step::DropGroups { if_allowed: false };
        let rest = [Step::SetGid(0), Step::SetUid { uid: 0, keep: false }, Step::Execute];
        let expected = [&[Step::DropGroups { if_allowed: true }, dropped][..], &rest].concat();
        assert_eq!(steps(&literal, &facts), expected);
        let rooted = Request { root: Place::OfTarget, preserve_credentials: true, ..literal.clone() };
        assert_eq!(steps(&rooted, &facts), [Step::ChangeRootOnly, Step::Execute]);
        let placed = Request { directory: Place::OfTarget, ..rooted };
        assert_eq!(steps(&placed, &facts), [Step::ChangeRoot, Step::ChangeDirectory, Step::Execute]);
        let same = Request { gid: Some(Id::Number(5)), ..literal };
        let expected = [Step::DropGroups { if_allowed: true }, Step::SetGid(5), Step::Execute];
        assert_eq!(steps(&same, &self::facts(&[], &[])), expected);
    }

    const CAPABILITIES: Capabilities = Capabilities { bounding: 0xf, permitted: 0x3, inheritable: 0x6, ambient: 0 };

    #[test]
    fn as_root_of_a_root_target_we_get_no_more_capabilities_than_it_holds() {
        let limited = |request: &Request, facts: &Facts| {
            let steps = plan(request, facts, false).unwrap().steps;
            steps.into_iter().find_map(|step| if let Step::LimitCapabilities(sets) = step { Some(sets) } else { None })
        };
        let less = Capabilities { bounding: 0x3, inheritable: 0x2, ..CAPABILITIES };
        let confined = Request { confined: true, ..Request::default() };
        let confinement = Confinement { capabilities: Some(CAPABILITIES), ..Confinement::default() };
        let mut home = facts(&[], &[(Net, Owner::Level(0))]);
        (home.confinement, home.capabilities) = (Some(confinement), u64::MAX);
        assert_eq!(limited(&confined, &home), Some(CAPABILITIES));
        (home.target_uid, home.target_gid) = (Some(0), Some(0));
        assert_eq!(limited(&confined, &home), Some(less));
        // Chosen ids are not the target's: what it could get by a set-user-id program is still in reach.
        let user = Request { uid: Some(Id::Number(5)), ..confined.clone() };
        assert_eq!(limited(&user, &home), Some(CAPABILITIES));
        home.effective_uid = 0;
        assert_eq!(limited(&Request { preserve_credentials: true, ..confined.clone() }, &home), Some(less));
        // Root is who is called 0 inside.
        let mut below = facts(&[50], &[(Net, Owner::Level(1))]);
        below.confinement = home.confinement.clone();
        assert_eq!(limited(&confined, &below), Some(less));
    }

    #[test]
    fn restrictions_come_after_the_fork_and_no_new_privs_last() {
        let mut facts = facts(&[], &[(Pid, Owner::Level(0))]);
        facts.confinement = Some(Confinement {
            limits: vec![(7, Some(10), Some(20))],
            oom_score_adj: Some(5),
            label: Some(label()),
            capabilities: Some(CAPABILITIES),
            no_new_privs: true,
            ..Confinement::default()
        });
        let request = Request { confined: true, uid: Some(Id::Number(5)), ..Request::default() };
        let steps = plan(&request, &facts, false).unwrap().steps;
        let expected = [
            Step::Fork,
            Step::SetLimit(7, Some(10), Some(20)),
            Step::LimitCapabilities(CAPABILITIES),
            Step::SetUid { uid: 5, keep: false },
            Step::SetLabel(label()),
            Step::NoNewPrivileges,
            Step::Execute,
        ];
        // What a hidden process could not write comes before all.
        assert_eq!(steps[0], Step::SetOomScore(c"5".to_owned()));
        assert_eq!(steps[2..], expected);
    }
}
