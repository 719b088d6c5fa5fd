//! What changed while the scan looked: processes that were born meanwhile, and namespaces that only the scan still holds.
//!
//! Both would look like leaks: a namespace without a process and without a holder.

use std::collections::HashSet;

use super::{Scan, changes, worker};
use crate::id::NamespaceId;
use crate::kind::NamespaceLink;
use crate::model::Holder;
use crate::sys::handle::Handle;

/// Looks at the processes born since the scan began, if a namespace was met that none of the others is in.
pub(super) fn look(scan: &mut Scan<'_>) {
    if unexplained(scan).is_empty() {
        return;
    }
    let Ok(mut pids) = scan.proc.pids() else { return };
    pids.retain(|pid| scan.processes.binary_search_by_key(pid, |process| process.pid).is_err());
    let gathered = worker::visit_all(scan.scope, scan.proc, scan.registry, &pids, scan.inherited);
    scan.processes.extend(gathered.processes);
    scan.processes.sort_unstable_by_key(|process| process.pid);
    scan.holders.extend(gathered.holders);
    scan.open_files.merge(gathered.open_files);
    // What of them is hidden was counted already, where it is a process that the first look met.
}

/// Lets go of namespaces that nothing seen holds; what is gone then was held by the scan alone, and is not listed.
pub(super) fn drop_ended(scan: &mut Scan<'_>) {
    loop {
        let mut dropped = HashSet::new();
        for (index, id) in unexplained(scan) {
            if ends_without_us(scan, index) {
                scan.ended.insert(index);
                dropped.insert(id);
            }
        }
        if dropped.is_empty() {
            return;
        }
        // What they belonged to may be held by nothing else.
        scan.holders
            .retain(|(_, holder)| !matches!(holder, Holder::Child(id) | Holder::Owned(id) if dropped.contains(id)));
    }
}

/// Returns the namespaces that no process is in and nothing seen holds.
fn unexplained(scan: &Scan<'_>) -> Vec<(usize, NamespaceId)> {
    let entered: HashSet<NamespaceId> = changes(&scan.processes, NamespaceLink::COUNT).map(|(id, _)| id).collect();
    let held: HashSet<usize> = scan.holders.iter().map(|(index, _)| *index).collect();
    (0..scan.registry.len())
        .filter(|index| !held.contains(index) && !scan.ended.contains(index))
        .map(|index| (index, scan.registry.with(index, |_, id, _| id)))
        .filter(|(_, id)| !entered.contains(id))
        .collect()
}

/// Releases our descriptor of a namespace and tells whether that was its end. Where the kernel has no handles, or we no
/// right to use them, the namespace stays listed.
fn ends_without_us(scan: &Scan<'_>, index: usize) -> bool {
    let handle = scan.registry.with(index, |_, _, pin| Handle::of(pin?)?.ok());
    // Without the right to open it by handle, the answer would always be that it is gone.
    let Some(handle) = handle.filter(|handle| handle.open().is_ok()) else { return false };
    drop(scan.registry.release(index));
    match handle.open() {
        Ok(pin) => {
            scan.registry.pin_again(index, pin);
            false
        }
        Err(error) => error.raw_os_error() == Some(libc::ESTALE),
    }
}
