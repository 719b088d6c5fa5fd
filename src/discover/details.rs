//! Parent, uid and command line of the processes that are shown.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;

use super::{Commands, Scan, leads};
use crate::error::Result;
use crate::id::Pid;
use crate::model::{Details, Observed, Process, Snapshot, Standing, Why};
use crate::proc::{Proc, cmdline, stat, status::Status};
use crate::sys::pidfd;

/// SIGTERM in a set of signals, where signal 1 is the lowest bit.
const SIGTERM: u64 = 1 << (libc::SIGTERM - 1);

/// Reads the details of the processes the scope names, and of their ancestors: a tree is drawn along them. A process that
/// has ended since its namespaces were read is none any more, and others may have to speak for these.
pub(super) fn look(scan: &mut Scan<'_>) {
    loop {
        let ended = read_all(scan);
        if ended.is_empty() {
            return;
        }
        scan.processes.retain(|process| !ended.contains(&process.pid));
    }
}

/// Reads all that is wanted and not yet known; returns the processes that have ended.
fn read_all(scan: &mut Scan<'_>) -> BTreeSet<Pid> {
    let mut ended = BTreeSet::new();
    let processes = scan.processes.iter();
    let mut wanted: BTreeSet<Pid> = match &scan.scope.commands {
        Commands::None => BTreeSet::new(),
        Commands::Leads => leads(&scan.processes).into_values().collect(),
        Commands::MembersOf(inodes) => {
            let is_member = |process: &&Process| {
                process.links.iter().any(|link| matches!(link, Observed::Known(id) if inodes.contains(&id.ino)))
            };
            processes.filter(is_member).map(|process| process.pid).collect()
        }
        Commands::All => processes.map(|process| process.pid).collect(),
    };
    while let Some(pid) = wanted.pop_first() {
        let Ok(place) = scan.processes.binary_search_by_key(&pid, |process| process.pid) else { continue };
        let process = &mut scan.processes[place];
        if process.details != Observed::Hidden(Why::NotAsked) {
            continue;
        }
        process.details = read(scan.proc, process);
        match &process.details {
            Observed::Known(details) => {
                wanted.insert(details.parent);
            }
            Observed::Gone => {
                ended.insert(pid);
            }
            Observed::Hidden(_) => {}
        }
    }
    ended
}

impl Snapshot {
    /// Reads parent, uid and command line of these processes, which the scan itself left out. A process that took the
    /// number of one that ended since is shown with the wrong command.
    ///
    /// # Errors
    /// There is no usable `/proc`.
    pub fn describe(&mut self, pids: impl IntoIterator<Item = Pid>) -> Result<()> {
        let proc = Proc::open()?;
        for pid in pids {
            if let Ok(place) = self.processes.binary_search_by_key(&pid, |process| process.pid)
                && self.processes[place].details == Observed::Hidden(Why::NotAsked)
            {
                self.processes[place].details = read(&proc, &self.processes[place]);
                self.processes[place].standing = standing(&proc, pid);
            }
        }
        Ok(())
    }
}

/// Reads one process. Its namespaces were read before, so a process that took its number since is shown with the
/// wrong command; nothing acts on it.
fn read(proc: &Proc, process: &Process) -> Observed<Box<Details>> {
    let (pid, path) = (process.pid, process.proc_path());
    let mut buffer = Vec::new();
    let mut read = || -> io::Result<Option<Details>> {
        let Some((parent, uid)) = parent_and_uid(proc, pid, &mut buffer)? else { return Ok(None) };
        proc.read_at(&format!("{path}/cmdline"), &mut buffer)?;
        let (command, zombie) = match cmdline::join(&buffer) {
            Some(command) => (command, false),
            None => {
                proc.read_at(&format!("{path}/stat"), &mut buffer)?;
                stat::parse(&buffer).map(|stat| (stat.comm, stat.state == b'Z')).unwrap_or_default()
            }
        };
        Ok(Some(Details { parent, uid, command, zombie }))
    };
    match read() {
        Ok(Some(details)) => Observed::Known(Box::new(details)),
        Ok(None) => Observed::Hidden(Why::Unsupported),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => Observed::Gone,
            errno => Observed::Hidden(Why::of_errno(errno.unwrap_or_default())),
        },
    }
}

/// Reads how a process can be ended.
pub(super) fn standing(proc: &Proc, pid: Pid) -> Observed<Standing> {
    let mut text = Vec::new();
    if let Err(error) = proc.read(pid, "status", &mut text) {
        return match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => Observed::Gone,
            errno => Observed::Hidden(Why::of_errno(errno.unwrap_or_default())),
        };
    }
    standing_of(&Status::new(&text)).map_or(Observed::Hidden(Why::Unsupported), Observed::Known)
}

/// Judges by the line of ids and the sets of signals.
fn standing_of(status: &Status<'_>) -> Option<Standing> {
    let has = |set| status.mask(set).map(|mask| mask & SIGTERM != 0);
    let is_init = status.ns_pids()?.last() == Some(&1);
    // What is blocked is kept for it also if it has no handler: it may wait for it (signalfd(2)).
    let unheard = is_init && !has("SigCgt")? && !has("SigBlk")?;
    Some(Standing { is_init, survives_sigterm: has("SigIgn")? || unheard })
}

/// Returns parent and effective uid: through a pidfd where the kernel can, which spares it printing the whole status.
fn parent_and_uid(proc: &Proc, pid: Pid, buffer: &mut Vec<u8>) -> io::Result<Option<(Pid, u32)>> {
    if proc.is_of_our_pid_namespace()
        && let Some(pidfd) = pidfd::open(pid)
        && let Some(info) = pidfd::info(pidfd?.as_fd())
    {
        let info = info?;
        return Ok(Some((info.parent as Pid, info.effective_uid)));
    }
    proc.read(pid, "status", buffer)?;
    let status = Status::new(buffer);
    Ok(status.parent().zip(status.uids().map(|uids| uids[1])))
}
