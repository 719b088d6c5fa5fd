//! A plan as it is told: `--dry-run`, in words and as data.

use std::ffi::CString;

use crate::capability::CapabilitySet;
use crate::exec::Program;
use crate::id::NamespaceId;
use crate::kind::NamespaceKind;
use crate::printable;

use super::confinement;
use super::facts::Facts;
use super::plan::{Order, Step, Steps};

/// What [`Enter::run`](super::Enter::run) would do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outline {
    /// What the target is called, such as `process 4242 (nginx)`.
    pub target: String,
    /// The steps, in their order.
    pub steps: Vec<OutlineStep>,
    /// Namespaces that we are in already.
    pub skipped: Vec<(NamespaceKind, NamespaceId)>,
    /// Whether a pseudo-terminal is set between.
    pub pty: bool,
    /// Why the command cannot run there, if that is known already.
    pub obstacle: Option<String>,
}

/// One step of an [`Outline`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutlineStep {
    /// A short name that never changes, such as `join`, `fork`, `exec`.
    pub action: &'static str,
    /// What is joined, for `join`.
    pub namespace: Option<(NamespaceKind, NamespaceId)>,
    /// What the action is about: an id, a path, a command line; printable.
    pub detail: String,
    /// Why it stands where it stands; empty where any order will do.
    pub reason: String,
}

pub(super) fn outline(facts: &Facts, steps: &Steps, program: &Program, pty: bool) -> Outline {
    Outline {
        target: facts.target.to_string(),
        steps: steps.steps.iter().map(|step| tell(step, program.arguments())).collect(),
        skipped: steps.skipped.iter().map(|skipped| (skipped.kind, skipped.id)).collect(),
        pty,
        obstacle: None,
    }
}

pub(super) fn tell(step: &Step, command: &[CString]) -> OutlineStep {
    let plain = |action, detail: String| OutlineStep { action, namespace: None, detail, reason: String::new() };
    let limit = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    match step {
        Step::Join { kind, id, order, .. } => OutlineStep {
            action: "join",
            namespace: Some((*kind, *id)),
            detail: String::new(),
            reason: if *order == Order::Any { String::new() } else { order.to_string() },
        },
        Step::ChangeRoot | Step::ChangeRootOnly => plain("chroot", "the target's root".to_owned()),
        Step::ChangeDirectory => plain("chdir", "the directory opened before".to_owned()),
        Step::ChangeDirectoryTo(path) => plain("chdir", printable(path.to_bytes()).into_owned()),
        Step::Fork => plain("fork", String::new()),
        Step::EnterCgroup { path, .. } => plain("cgroup", printable(path).into_owned()),
        Step::SetLimit(resource, soft, hard) => {
            let name = confinement::resource_name(*resource);
            plain("limit", format!("{name}: {}, at most {}", limit(*soft), limit(*hard)))
        }
        Step::SetOomScore(score) => plain("oom-score", printable(score.to_bytes()).into_owned()),
        Step::LimitCapabilities(left) => {
            plain("capabilities", format!("bounding set: {}", CapabilitySet(left.bounding)))
        }
        Step::SetLabel(label) => plain("label", format!("{} of {}", printable(label.text.to_bytes()), label.module)),
        Step::DropGroups { .. } => plain("groups", "none".to_owned()),
        Step::SetGroups(groups) => {
            plain("groups", groups.iter().map(|group| group.as_raw().to_string()).collect::<Vec<_>>().join(", "))
        }
        Step::SetGid(gid) => plain("gid", gid.to_string()),
        Step::SetUid { uid, .. } => plain("uid", uid.to_string()),
        Step::KeepCapabilities => plain("keep-caps", String::new()),
        Step::NoNewPrivileges => plain("no-new-privs", String::new()),
        Step::Execute => {
            let words = command.iter().map(|word| printable(word.as_bytes()).into_owned());
            plain("exec", words.collect::<Vec<_>>().join(" "))
        }
    }
}
