//! Sees to it that a child does not outlive us.
//!
//! PR_SET_PDEATHSIG is lost whenever the child changes credentials: `setpriv --reuid`, any set-user-id program. So a
//! small process holds the child's pidfd and the reading end of a pipe of ours; when the pipe closes, which it does
//! even if we are killed by SIGKILL, it kills the child. The child waits at a [`Gate`] until its guardian is there, so
//! no program runs unguarded.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::PipeFlags;

use super::child::Child;
use crate::sys::pidfd;
use crate::sys::process::{self, Closing, SignalSet};

/// The process that guards a child of ours. Dropping it ends it, and leaves the child alone.
#[derive(Debug)]
pub(crate) struct Guardian {
    process: Child,
    /// Closes with us.
    _lifeline: OwnedFd,
}

impl Guardian {
    /// Starts guarding `child`; `None` before Linux 5.3, which has no pidfds: there PR_SET_PDEATHSIG must do.
    ///
    /// # Errors
    /// No process or descriptor left.
    pub(crate) fn start(child: &Child) -> io::Result<Option<Self>> {
        Self::start_with(child, libc::SIGKILL)
    }

    /// The same with another signal, which the child may survive.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_with(child: &Child, signal: i32) -> io::Result<Option<Self>> {
        let Some(pidfd) = child.pidfd() else { return Ok(None) };
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        match Child::fork()? {
            Some(process) => Ok(Some(Self { process, _lifeline: writer })),
            None => {
                drop(writer);
                guard(&reader, pidfd, signal)
            }
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.process.signal(libc::SIGKILL);
        let _ = self.process.wait(rustix::process::WaitOptions::empty());
    }
}

/// Where a child waits until its parent has done what must come before the program runs.
#[derive(Debug)]
pub(crate) struct Gate(OwnedFd);

/// The parent's side of a [`Gate`]. The child must drop its copy before it waits.
#[derive(Debug)]
pub(crate) struct Gatekeeper(OwnedFd);

/// Makes a gate.
///
/// # Errors
/// No descriptor left.
pub(crate) fn gate() -> io::Result<(Gate, Gatekeeper)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Gate(reader), Gatekeeper(writer)))
}

impl Gatekeeper {
    /// Lets the child through. One that has ended does not need it.
    pub(crate) fn open(self) {
        let _ = rustix::io::write(&self.0, b"!");
    }
}

impl Gate {
    /// Waits; `false` if the parent ended before it opened. Allocates nothing.
    pub(crate) fn pass(&self) -> bool {
        loop {
            match rustix::io::read(&self.0, &mut [0]) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result == Ok(1),
            }
        }
    }
}

/// What the guarding process does.
fn guard(lifeline: &OwnedFd, child: std::os::fd::BorrowedFd<'_>, signal: i32) -> ! {
    // Out of reach of what is sent to our process group or typed at the terminal.
    let _ = rustix::process::setsid();
    SignalSet::all().block_exactly();
    let _ = rustix::thread::set_name(c"nstool-guard");
    let (first, second) = (lifeline.as_raw_fd(), child.as_raw_fd());
    process::close_all_but(&[first.min(second), first.max(second)], Closing::Now, None);
    // Nor may it hold open a pipe that somebody waits to see closed.
    process::close_standard();
    loop {
        let mut polled = [PollFd::new(lifeline, PollFlags::IN), PollFd::from_borrowed_fd(child, PollFlags::IN)];
        let result = poll(&mut polled, None);
        if result == Err(rustix::io::Errno::INTR) {
            continue;
        }
        // A pidfd is readable when the process has ended: nothing is left to guard.
        if !polled[1].revents().contains(PollFlags::IN) {
            let _ = pidfd::send_signal(child.as_fd(), signal);
        }
        process::exit_now(0);
    }
}
