//! What is planned as asked, but may not be what is meant.

use super::facts::Facts;
use super::plan::setgroups;
use super::request::{Propagation, Request};
use crate::kind::NamespaceKind;
use crate::printable;

/// Returns what is worth saying before the plan is followed.
pub(super) fn warnings(request: &Request, facts: &Facts) -> Vec<String> {
    let mut warnings = leaks(request, facts);
    if request.group.is_some() && setgroups(request) == Some(false) && facts.supplementary_groups > 0 {
        warnings.push(format!(
            "the {} supplementary groups stay: setgroups is denied in the user namespace",
            facts.supplementary_groups
        ));
    }
    warnings
}

/// What would show in the outer mount namespace.
fn leaks(request: &Request, facts: &Facts) -> Vec<String> {
    let leak = |target: String| {
        let mount = facts.shared_mount_above(&target)?;
        Some(format!(
            "{target} lies on the mount {}, which is shared with the outer mount namespace: what is mounted there \
             appears outside as well, and stays there (--propagation {})",
            printable(mount),
            request.mount_propagation()
        ))
    };
    let kept = matches!(request.mount_propagation(), Propagation::Shared | Propagation::Unchanged);
    // Below a new user namespace the copies are slaves, from which nothing goes out.
    if !kept || request.kinds.contains(NamespaceKind::User) || !request.kinds.contains(NamespaceKind::Mnt) {
        return Vec::new();
    }
    let base = request.root.as_ref().map_or(String::new(), |root| root.dir.to_string_lossy().into_owned());
    let mounting = request.operations.iter().filter(|operation| operation.mounts());
    mounting.filter_map(|operation| leak(format!("{}{}", base.trim_end_matches('/'), operation.target()))).collect()
}
