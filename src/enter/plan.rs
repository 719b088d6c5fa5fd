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

use super::facts::{Candidate, Confinement, Facts, Owner, Way};
use super::request::{Id, Place, Request};
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
    /// Takes every capability that is not in the mask out of the bounding set.
    LimitCapabilities(u64),
    /// Takes the security label for the program.
    SetLabel(CString),
    /// setgroups(2) with no group.
    DropGroups,
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

/// Decides what to do. `pty` tells that a pseudo-terminal stands between, whose session needs a process of its own.
pub(crate) fn plan(request: &Request, facts: &Facts, pty: bool) -> Result<Steps> {
    let mut remarks = facts.remarks.clone();
    let mut steps = joins(facts);
    let joined = |kind| facts.candidates.iter().any(|candidate| candidate.kind == kind && !candidate.ours);
    let mnt = joined(NamespaceKind::Mnt);
    let process = facts.target_uid.is_some();
    let root = match &request.root {
        Place::Unasked => mnt && process,
        Place::OfTarget | Place::Path(_) => true,
    };
    if root {
        steps.push(Step::ChangeRoot);
    }
    match (&request.inner_directory, &request.directory) {
        (Some(path), _) => steps.push(Step::ChangeDirectoryTo(c_path(path.as_os_str().as_bytes())?)),
        (None, Place::OfTarget | Place::Path(_)) => steps.push(Step::ChangeDirectory),
        // setns(2) leaves us in the root of the mount namespace; so does what follows a chroot.
        (None, Place::Unasked) => {}
    }
    let fork = (joined(NamespaceKind::Pid) || pty || request.background) && !request.no_fork;
    if fork {
        steps.push(Step::Fork);
    }
    for cgroup in &facts.cgroups {
        let path = cgroup.path.clone();
        steps.push(Step::EnterCgroup { handle: cgroup.handle, path, version: cgroup.version });
    }
    if let Some(confinement) = &facts.confinement {
        confine(confinement, request, &mut steps)?;
    }
    credentials(request, facts, &mut steps, &mut remarks)?;
    if facts.confinement.as_ref().is_some_and(|confinement| confinement.no_new_privs) {
        steps.push(Step::NoNewPrivileges);
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

fn confine(confinement: &Confinement, request: &Request, steps: &mut Vec<Step>) -> Result<()> {
    if !request.confined {
        return Ok(());
    }
    steps.extend(confinement.limits.iter().map(|(resource, soft, hard)| Step::SetLimit(*resource, *soft, *hard)));
    if let Some(score) = confinement.oom_score_adj {
        steps.push(Step::SetOomScore(c_path(score.to_string().as_bytes())?));
    }
    if let Some(label) = &confinement.label {
        steps.push(Step::SetLabel(c_path(label)?));
    }
    if let Some(bounding) = confinement.bounding {
        steps.push(Step::LimitCapabilities(bounding));
    }
    Ok(())
}

/// Decides which user and group id to take.
fn credentials(request: &Request, facts: &Facts, steps: &mut Vec<Step>, remarks: &mut Vec<String>) -> Result<()> {
    let user = matches!(facts.way, Way::Down(_));
    let by_default = user && !request.preserve_credentials;
    let maps = facts.maps.as_ref();
    let uid = chosen(request.uid, by_default, facts.target_uid, maps.map(|maps| &maps.uids), user);
    let gid = chosen(request.gid, by_default, facts.target_gid, maps.map(|maps| &maps.gids), user);
    for (name, asked, found) in [("user", request.uid, uid), ("group", request.gid, gid)] {
        if by_default && asked.is_none() && found.is_none() {
            remarks.push(format!("the {name} id stays as it is: neither 0 nor the target's is mapped there"));
        }
        if asked == Some(Id::Follow) && found.is_none() {
            let message = format!("the target's {name} id is not known inside the user namespace to join");
            return Err(Error::new(ErrorKind::Invalid, message).with_hint(format!("give the {name} id as a number")));
        }
    }
    if by_default || request.gid.is_some() {
        if maps.is_none_or(|maps| maps.setgroups) {
            steps.push(Step::DropGroups);
        } else {
            remarks
                .push("supplementary groups stay as they are: setgroups is denied in that user namespace".to_owned());
        }
    }
    steps.extend(gid.map(Step::SetGid));
    let keep = request.keep_capabilities && user;
    steps.extend(uid.map(|uid| Step::SetUid { uid, keep }));
    if keep {
        steps.push(Step::KeepCapabilities);
    }
    Ok(())
}

/// Picks an id: the one asked for; else, where a user namespace is joined, root if it is mapped, else the target's.
fn chosen(
    asked: Option<Id>,
    by_default: bool,
    target: Option<u32>,
    map: Option<&super::facts::Map>,
    user: bool,
) -> Option<u32> {
    let followed = || {
        let target = target?;
        if user { map?.inward(target) } else { Some(target) }
    };
    match asked {
        Some(Id::Number(id)) => Some(id),
        Some(Id::Follow) => followed(),
        None if !by_default => None,
        // Unknown maps: root is what a user namespace usually has, and the failure is worded.
        None if map.is_none_or(|map| map.has(0)) => Some(0),
        None => followed(),
    }
}

fn c_path(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::new(ErrorKind::Invalid, "a path cannot hold a NUL byte"))
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
