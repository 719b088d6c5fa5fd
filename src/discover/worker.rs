//! The part of a scan that looks at one process after the other, shared out to two threads.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::filesystems::Filesystems;
use super::open_files::OpenFiles;
use super::registry::{Known, Place, Registry};
use super::{Look, SOURCES, Scope};
use crate::id::Pid;
use crate::kind::{KindSet, NamespaceKind};
use crate::model::{Hidden, Holder, Process, Subject, Why};
use crate::proc::Proc;
use crate::sys::pidfd;

/// More threads contend for the kernel's locks of /proc more than they gain.
const THREADS: usize = 2;

/// How many processes a thread takes at a time: few, so that neither waits long for the other at the end.
const SHARE: usize = 8;

/// With fewer processes than these a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 32;

/// What one thread needs and gathers.
pub(super) struct Worker<'a> {
    pub(super) scope: &'a Scope,
    pub(super) proc: &'a Proc,
    pub(super) registry: &'a Registry,
    /// The kinds to read of processes.
    pub(super) kinds: KindSet,
    /// Our own process as /proc numbers it, and the descriptors it had before the scan opened its own.
    pub(super) me: Option<Pid>,
    pub(super) inherited: &'a HashSet<RawFd>,
    /// The inode of our own pid namespace, of which our /proc must be.
    pub(super) own_pid_namespace: Option<u64>,
    /// The device of our procfs, if it shows our own pid namespace.
    pub(super) proc_device: Option<u64>,
    /// The device of pidfds, where the kernel gives them one of their own (since Linux 6.9).
    pub(super) pidfd_device: Option<u64>,
    /// Space that is used again for every process.
    pub(super) buffer: Vec<u8>,
    /// The filesystems whose open files are judged.
    pub(super) filesystems: &'a Filesystems,
    known: Known,
    gathered: Gathered,
}

/// What the processes told.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) processes: Vec<Process>,
    /// By the registry's index.
    pub(super) holders: Vec<(usize, Holder)>,
    pub(super) hidden: Hidden,
    pub(super) open_files: OpenFiles,
}

/// A process while it is looked at.
pub(super) struct Visit {
    pub(super) process: Process,
    /// Pins the process; `None` where the kernel or our /proc does not allow it.
    pub(super) pidfd: Option<OwnedFd>,
    /// Its threads with tables of descriptors of their own, where threads are looked at.
    pub(super) own_tables: Vec<Pid>,
    /// It vanished; nothing of it is kept.
    pub(super) gone: bool,
    /// Why its namespaces cannot be read, where they cannot.
    pub(super) hidden: Option<Why>,
}

impl<'a> Worker<'a> {
    fn new(
        scope: &'a Scope,
        proc: &'a Proc,
        registry: &'a Registry,
        inherited: &'a HashSet<RawFd>,
        filesystems: &'a Filesystems,
    ) -> Self {
        // Before Linux 6.9 pidfds share their device with every other anonymous file.
        let pidfd_device = pidfd::open(std::process::id() as Pid)
            .and_then(Result::ok)
            .filter(|pidfd| pidfd::is_pidfd(pidfd.as_fd()))
            .and_then(|pidfd| rustix::fs::fstat(&pidfd).ok())
            .map(|stat| stat.st_dev);
        Self {
            scope,
            proc,
            registry,
            kinds: scope.kinds_to_read(),
            me: proc.own_pid(),
            inherited,
            own_pid_namespace: rustix::fs::stat("/proc/self/ns/pid").ok().map(|stat| stat.st_ino),
            proc_device: rustix::fs::fstat(proc)
                .ok()
                .filter(|_| proc.is_of_our_pid_namespace())
                .map(|stat| stat.st_dev),
            pidfd_device,
            buffer: Vec::with_capacity(4096),
            filesystems,
            known: Known::default(),
            gathered: Gathered::default(),
        }
    }

    fn visit(&mut self, pid: Pid) {
        let pidfd = if self.proc.is_of_our_pid_namespace() { pidfd::open(pid) } else { None };
        let (pidfd, gone) = match pidfd {
            Some(Err(error)) => (None, error.raw_os_error() == Some(libc::ESRCH)),
            Some(Ok(pidfd)) => (Some(pidfd), false),
            None => (None, false),
        };
        let mut visit = Visit { process: Process::new(pid), pidfd, own_tables: Vec::new(), gone, hidden: None };
        for source in &SOURCES {
            if let Look::Process(look) = source.look
                && !visit.gone
                && (source.wanted)(self.scope)
            {
                look(self, &mut visit);
            }
        }
        if visit.gone {
            return;
        }
        if let Some(why) = visit.hidden {
            self.hide(Subject::Process, why);
        }
        self.gathered.processes.push(visit.process);
    }

    /// Enters a namespace that was opened.
    pub(super) fn adopt(&mut self, fd: OwnedFd, kind: NamespaceKind) -> std::io::Result<Place> {
        self.registry.adopt(fd, kind, &mut self.known)
    }

    /// Returns where the namespace with this inode stands, if this thread has met it.
    pub(super) fn known(&self, ino: u64) -> Option<Place> {
        self.known.by_inode(ino)
    }

    pub(super) fn hold(&mut self, place: Place, holder: Holder) {
        self.gathered.holders.push((place.index, holder));
    }

    pub(super) fn open_files(&mut self) -> &mut OpenFiles {
        &mut self.gathered.open_files
    }

    pub(super) fn hide(&mut self, subject: Subject, why: Why) {
        self.gathered.hidden.add(subject, why);
    }
}

/// Looks at every process with every source that wants to.
pub(super) fn visit_all(
    scope: &Scope,
    proc: &Proc,
    registry: &Registry,
    pids: &[Pid],
    inherited: &HashSet<RawFd>,
) -> Gathered {
    let filesystems = if scope.rare_holders { Filesystems::of_the_machine(proc, pids) } else { Filesystems::default() };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = Worker::new(scope, proc, registry, inherited, &filesystems);
        loop {
            let start = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(share) = pids.get(start..pids.len().min(start + SHARE)) else { break };
            share.iter().for_each(|pid| worker.visit(*pid));
        }
        worker.gathered
    };
    let threads = if pids.len() < WORTH_A_THREAD { 1 } else { THREADS };
    let mut all = std::thread::scope(|threads_scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| std::thread::Builder::new().name("scan".into()).spawn_scoped(threads_scope, work).ok())
            .collect();
        let mut all = work();
        for other in others {
            match other.join() {
                Ok(gathered) => all.merge(gathered),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.processes.sort_unstable_by_key(|process| process.pid);
    all
}

impl Gathered {
    fn merge(&mut self, other: Self) {
        self.processes.extend(other.processes);
        self.holders.extend(other.holders);
        self.hidden.merge(&other.hidden);
        self.open_files.merge(other.open_files);
    }
}
