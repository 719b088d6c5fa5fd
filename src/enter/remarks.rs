//! What is worth telling though it is no failure: what the command will see of another world than the one it is in, since
//! some kinds were chosen and not others.

use super::facts::Facts;
use super::gather::own_id;
use super::request::{Place, Request};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::printable;
use crate::target::PinnedProcess;

pub(super) fn seen_elsewhere(request: &Request, process: Option<&PinnedProcess>, facts: &Facts) -> Vec<String> {
    let asked = |kind| facts.candidates.iter().any(|one| one.kind == kind);
    let joined = |kind| facts.candidates.iter().any(|one| one.kind == kind && !one.ours);
    let rooted = request.root != Place::Unasked;
    let mut remarks = Vec::new();
    if joined(NamespaceKind::Pid) && !asked(NamespaceKind::Mnt) && !rooted {
        let help = if process.is_some() { "add -m, or mount" } else { "name a process there, or mount" };
        remarks.push(format!(
            "/proc still shows the processes outside, since the mounts are not joined: {help} a new /proc inside"
        ));
    }
    let Some(process) = process else { return remarks };
    let elsewhere = || {
        let theirs = process.namespace(NamespaceLink::Own(NamespaceKind::Pid));
        theirs.is_ok_and(|theirs| own_id(NamespaceKind::Pid) != Some(theirs.id()))
    };
    if joined(NamespaceKind::Mnt) && !asked(NamespaceKind::Pid) && elsewhere() {
        remarks.push(
            "/proc inside shows a pid namespace in which the command is not, so that `ps` can fail: add -p".to_owned(),
        );
    }
    if !rooted && asked(NamespaceKind::Mnt) && !joined(NamespaceKind::Mnt) {
        remarks.extend(other_root(process));
    }
    if request.verbose {
        if joined(NamespaceKind::Net) && !asked(NamespaceKind::Mnt) && !rooted {
            remarks.push("/sys still shows the network interfaces outside, since the mounts are not joined".to_owned());
        }
        remarks.extend(left_out(process, facts));
    }
    remarks
}

/// Tells that the target has the same mounts and another root directory, as after chroot(2): that is no namespace.
fn other_root(process: &PinnedProcess) -> Option<String> {
    let root = process.read_link("root").ok().filter(|root| root != b"/")?;
    Some(format!("its root directory is {}, which is no namespace: add -r to have it too", printable(&root)))
}

/// Names the kinds in which the target differs from us and that are not joined.
fn left_out(process: &PinnedProcess, facts: &Facts) -> Option<String> {
    let differs = |kind: &NamespaceKind| {
        let theirs = || process.namespace(NamespaceLink::Own(*kind)).map(|theirs| theirs.id()).ok();
        facts.candidates.iter().all(|one| one.kind != *kind) && theirs().is_some_and(|id| own_id(*kind) != Some(id))
    };
    let kinds: Vec<_> = NamespaceKind::ALL.into_iter().filter(differs).map(NamespaceKind::name).collect();
    (!kinds.is_empty()).then(|| format!("not joined: its other namespaces ({}); -a joins every kind", kinds.join(", ")))
}
