//! What no path leads to: a namespace that was asked for by its inode and met nowhere, and those of which only a mount
//! table told, because something else is mounted over their file. The kernel's ids lead to them
//! ([`by_handle`](crate::target::by_handle)).

use rustix::thread::CapabilitySet;

use super::Scan;
use super::registry::Known;
use crate::kind::NamespaceKind;
use crate::target::by_handle::{self, Wanted};

/// How many handles are tried for the one that was asked for: some seconds' worth at most.
const TRIES_IF_ASKED: u64 = 4_000_000;

/// How many are tried for what a mount table told, in a scan that shall be fast.
const TRIES_BY_THE_WAY: u64 = 50_000;

/// Enters what is found that way.
pub(super) fn look(scan: &mut Scan<'_>) {
    let asked = scan.scope.sought.filter(|wanted| !scan.registry.has_met(wanted.ino));
    let mut noted = scan.registry.noted();
    if !noted.is_empty() && !may_open_all() {
        noted.clear();
    }
    let noted = noted.into_iter().map(|(ino, kind)| Wanted { ino, kind: Some(kind) });
    let wanted: Vec<Wanted> = asked.into_iter().chain(noted).collect();
    if wanted.is_empty() {
        return;
    }
    let tries = if scan.scope.rare_holders { TRIES_IF_ASKED } else { TRIES_BY_THE_WAY };
    let found = by_handle::find(&wanted, scan.registry.highest_unique_id(), tries);
    let mut known = Known::default();
    for (_, fd, kind) in found.namespaces {
        if let Ok(place) = scan.registry.adopt(fd, kind, &mut known) {
            // Asked before it could be opened.
            scan.lineage.remove(&place.index);
        }
    }
    let met = asked.is_some_and(|asked| scan.registry.has_met(asked.ino));
    scan.absent = asked.is_some() && !met && found.complete && may_open_all() && is_initial_user_namespace();
}

/// Tells whether we have CAP_SYS_ADMIN, without which hardly anything could be opened that no path leads to.
fn may_open_all() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

fn is_initial_user_namespace() -> bool {
    let own = rustix::fs::stat("/proc/self/ns/user");
    own.is_ok_and(|own| own.st_ino == NamespaceKind::User.facts().initial_inode)
}
