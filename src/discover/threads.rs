//! Threads in other namespaces than their process: setns(2) and unshare(2) act on one thread.

use rustix::fs::OFlags;

use super::fd_tables;
use super::processes::{other_threads, read_link};
use super::worker::{Visit, Worker};
use crate::kind::NamespaceLink;
use crate::model::{Holder, Observed, Subject, Why};

/// Counts the threads of one process and enters those that differ from it; unasked, only where the leader has ended,
/// because then one thread's namespaces stand for the process's.
pub(super) fn look(worker: &mut Worker<'_>, visit: &mut Visit) {
    let pid = visit.process.pid;
    if !worker.scope.threads && visit.process.living_thread.is_none() {
        return;
    }
    let tids = match other_threads(worker, pid) {
        Ok(tids) => tids,
        Err(error) => {
            let why = Why::of_errno(error.raw_os_error().unwrap_or_default());
            visit.process.threads = Observed::Hidden(why);
            if visit.hidden.is_none() && !matches!(why, Why::Failed(_)) {
                worker.hide(Subject::Threads, why);
            }
            return;
        }
    };
    let leader = u32::from(visit.process.living_thread.is_none());
    visit.process.threads = Observed::Known(tids.len() as u32 + leader);
    if visit.hidden.is_some() {
        return;
    }
    if worker.scope.threads && (worker.scope.descriptors || worker.scope.sockets) {
        fd_tables::find(worker, visit, &tids);
    }
    for tid in tids {
        // A thread that vanishes is no loss.
        let Ok(directory) = worker.proc.open_at(&format!("{pid}/task/{tid}/ns"), OFlags::PATH) else { continue };
        let (kinds, rare) = (worker.kinds, worker.scope.rare_holders);
        let wanted =
            |link: &NamespaceLink| kinds.contains(link.kind()) && (rare || matches!(link, NamespaceLink::Own(_)));
        for link in NamespaceLink::ALL.into_iter().filter(wanted) {
            match read_link(worker, &directory, link) {
                Ok(place) if visit.process.links[link.index()] != Observed::Known(place.id) => match link {
                    NamespaceLink::Own(_) => worker.hold(place, Holder::Thread { pid, tid }),
                    // Unless they were unshared, its children will be where it is itself.
                    NamespaceLink::ForChildren(kind) => {
                        if visit.process.links[kind as usize] != Observed::Known(place.id) {
                            worker.hold(place, Holder::ForChildren { pid, tid: Some(tid) });
                        }
                    }
                },
                Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                    worker.hide(Subject::Threads, Why::NotPermitted);
                    break;
                }
                _ => {}
            }
        }
    }
}
