//! A control group that is made for the command and goes with its last process.
//!
//! A process of its own, the sweeper, makes it and removes it when we have ended, even by SIGKILL, and nobody is left in
//! it. If the sweeper is killed, we do what is left to do when the command has ended; if both are, nobody does.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;

use super::talk::{self, Speaker, Word};
use crate::exec::Child;
use crate::id::Pid;
use crate::sys::pidfd;
use crate::sys::process::{self, SignalSet};

/// How long to wait where the kernel has nothing that tells.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// The control group. Dropping it removes it; while processes are in it, it stays for as long as they do.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    sweeper: Child,
    /// Closes with us.
    lifeline: Option<OwnedFd>,
}

impl Group {
    /// Makes it.
    ///
    /// # Errors
    /// Of mkdir(2); EINTR if the sweeper was killed.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let (listener, speaker) = talk::pipe()?;
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let Some(sweeper) = Child::fork()? else {
            drop((listener, writer));
            sweep(&path, &reader, speaker);
        };
        drop((speaker, reader));
        match listener.hear() {
            Some(Word::Launched) => Ok(Self { path, sweeper, lifeline: Some(writer) }),
            outcome => {
                drop(writer);
                let _ = sweeper.wait(WaitOptions::empty());
                Err(match outcome {
                    Some(Word::Failed(_, errno)) => io::Error::from_raw_os_error(errno),
                    _ => {
                        // Killed, and the group may be there: empty, for nobody has joined it.
                        let _ = fs::remove_dir(&path);
                        Errno::INTR.into()
                    }
                })
            }
        }
    }

    /// Returns how many processes are in it.
    pub(super) fn population(&self) -> usize {
        members(&self.path).len()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.lifeline = None;
        // With processes in it, it is the sweeper's, which goes on without us.
        if self.population() == 0 {
            let _ = self.sweeper.wait(WaitOptions::empty());
            if self.path.exists() {
                let _ = remove(&self.path);
            }
        }
    }
}

/// What the sweeper does. It has one thread and is a copy of one that had one, so it may allocate.
fn sweep(path: &Path, lifeline: &OwnedFd, speaker: Speaker) -> ! {
    // Out of reach of what is sent to our process group or typed at the terminal.
    let _ = rustix::process::setsid();
    SignalSet::all().block_exactly();
    let _ = rustix::thread::set_name(c"nstool-sweep");
    let mut kept = [lifeline.as_raw_fd(), speaker.as_fd().as_raw_fd()];
    kept.sort_unstable();
    process::keep_only(&kept);
    // Nor keep a filesystem busy, for it may live longer than we.
    let _ = rustix::process::chdir(c"/");
    match make(path) {
        Ok(()) if speaker.tell(Word::Launched).is_ok() => {}
        Ok(()) => {
            let _ = remove(path);
            process::exit_now(1);
        }
        Err(error) => {
            speaker.say(Word::Failed(0, error.raw_os_error().unwrap_or(libc::EIO)));
            process::exit_now(1);
        }
    }
    drop(speaker);
    while rustix::io::read(lifeline, &mut [0]) == Err(Errno::INTR) {}
    loop {
        // Read before trying, so that a change in between is not missed.
        let events = fs::File::open(path.join("cgroup.events")).ok();
        let events = events.filter(|mut events| events.read_to_end(&mut Vec::new()).is_ok());
        match remove(path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => wait_for_change(path, events.as_ref()),
            _ => process::exit_now(0),
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    // A new group of cgroup v1's cpuset has nothing, and nobody can join it then (cpuset(7)).
    if !path.join("cgroup.events").exists() {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Some(parent) = path.parent()
                && let Ok(text) = fs::read(parent.join(file))
            {
                // If it does not take that, joining tells.
                let _ = fs::write(path.join(file), text);
            }
        }
    }
    Ok(())
}

/// Removes the group, and those that the command has made below it, all or none. EBUSY: processes are in one of them.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) && members(path).is_empty() => {
            below(path).iter().try_for_each(|group| remove(group))?;
            fs::remove_dir(path)
        }
        result => result,
    }
}

fn below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The processes in the group and those below it; one that we cannot see is 0.
fn members(path: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let own = text.lines().filter_map(|line| line.parse().ok());
    own.chain(below(path).iter().flat_map(|group| members(group))).collect()
}

/// Waits until the group may be empty: cgroup v2 tells when the last process has left, of v1 each has to be waited for.
fn wait_for_change(path: &Path, events: Option<&fs::File>) {
    let members = members(path);
    let pidfds: Vec<OwnedFd> = members.iter().filter_map(|pid| pidfd::open(*pid)?.ok()).collect();
    let mut polled: Vec<PollFd<'_>> = match events {
        Some(events) => vec![PollFd::new(events, PollFlags::PRI)],
        None => pidfds.iter().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)).collect(),
    };
    // The last one is on its way out, or before Linux 5.3.
    let nothing_tells = members.is_empty() || polled.is_empty();
    let _ = poll(&mut polled, nothing_tells.then_some(&PAUSE));
}
