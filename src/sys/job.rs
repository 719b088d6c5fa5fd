//! Job control: sessions, process groups and the controlling terminal.
//!
//! A session's or group's number is 0 where the session or group was made outside our pid namespace, as for what
//! `unshare -pf` runs: pid_namespaces(7) says so of getppid(2), and the kernel's translation of numbers is the same for
//! all. rustix's `getsid`, `getpgid` and `getpgrp` promise a number that is not 0, so they are not used.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::check;
use super::process::{self, SignalSet};
use crate::id::Pid;

/// A session's or group's number; 0: one from outside our pid namespace.
pub(crate) type JobId = i32;

/// The session of a process; ours for 0. ESRCH: no such process.
pub(crate) fn session_of(pid: Pid) -> io::Result<JobId> {
    // SAFETY: the call takes an integer.
    check(unsafe { libc::getsid(pid) })
}

/// The process group of a process; ours for 0. ESRCH: no such process.
pub(crate) fn group_of(pid: Pid) -> io::Result<JobId> {
    // SAFETY: the call takes an integer.
    check(unsafe { libc::getpgid(pid) })
}

/// Tells whether we lead a session.
pub(crate) fn leads_session() -> bool {
    session_of(0).is_ok_and(|session| session == rustix::process::getpid().as_raw_nonzero().get())
}

/// What we are to a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Our group may read and change its modes.
    Foreground,
    /// It would be stopped for that.
    Background,
    /// It is not our controlling terminal: there is no job control.
    Foreign,
}

/// Tells what we are to `terminal`.
pub(crate) fn ground(terminal: BorrowedFd<'_>) -> Ground {
    let mut foreground: JobId = 0;
    // SAFETY: the request writes one number of this type.
    let told = check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGPGRP, &raw mut foreground) });
    match (told.map(|_| foreground), group_of(0)) {
        (Ok(0), Ok(0)) => probe(),
        (Ok(foreground), Ok(own)) if foreground == own => Ground::Foreground,
        (Ok(_), Ok(_)) => Ground::Background,
        _ => Ground::Foreign,
    }
}

/// Both groups are from outside our pid namespace, so the numbers do not tell. A read of nothing does: it takes nothing
/// in the foreground, and fails in the background with EIO while SIGTTIN is blocked (read(2)). By a description of our
/// own that does not wait, since another reader may hold the terminal up.
fn probe() -> Ground {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(terminal) = rustix::fs::open(c"/dev/tty", flags, Mode::empty()) else { return Ground::Foreign };
    let before = SignalSet::all().block_exactly();
    let read = rustix::io::read(&terminal, &mut [0u8; 0]);
    before.block_exactly();
    if read == Err(rustix::io::Errno::IO) { Ground::Background } else { Ground::Foreground }
}

/// Stops our whole group by a signal of the terminal, as that does, and returns when we go on: at once where the kernel
/// ignores it, since nobody does job control for the group (an orphaned one). Signals are blocked.
pub(crate) fn stop_group(signal: i32) {
    let _ = process::kill(0, signal);
    // Sent once: a second one would drop the SIGCONT that may have come since.
    process::let_pending_through(signal);
}

/// Sends a signal to the foreground group of the terminal at the other end of `master`, as its key would.
pub(crate) fn press_key(master: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the request takes an integer.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSIG as _, signal) }).map(drop)
}

/// Returns the number of the terminal that `fd` leads to, be it by way of /dev/tty; `None` if it is none.
pub(crate) fn terminal_number(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the request writes one number of this type.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV as _, &raw mut number) }).ok()?;
    Some(number)
}

/// Opens our controlling terminal, if there is one.
pub(crate) fn controlling_terminal() -> Option<OwnedFd> {
    rustix::fs::open(c"/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Gives up the controlling terminal: what runs from here on cannot reach it through /dev/tty. For a session's leader
/// it would mean a hangup for the whole session, so that keeps it: who needs it gone forks first.
pub(crate) fn detach_from(terminal: BorrowedFd<'_>) {
    if !leads_session() {
        // SAFETY: the request takes no argument.
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY as _, 0) };
    }
}
