//! Sees to it that a child does not outlive us.
//!
//! PR_SET_PDEATHSIG is lost whenever the child changes credentials: `setpriv --reuid`, any set-user-id program. So a
//! small process holds the child's pidfd and the other end of a socket of ours; when that closes, which it does even if
//! we are killed by SIGKILL, it kills the child. The child waits at a [`Gate`] until its guardian is there, so no program
//! runs unguarded.
//!
//! A guardian is born before we join anything, and told later whom to guard: born after that, it would be among the
//! processes of the target's pid namespace, where everybody could read our command line and root could end it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;

use super::child::Child;
use crate::sys::pidfd;
use crate::sys::process::{self, Closing, SignalSet};

/// The process that guards a child of ours. Dropping it ends it, and leaves the child alone.
#[derive(Debug)]
pub(crate) struct Guardian {
    /// Absent in a process that only let go of it.
    process: Option<Child>,
    /// Closes with us.
    lifeline: OwnedFd,
}

impl Guardian {
    /// Starts a guardian that has nobody to guard yet; `None` before Linux 5.3, which has no pidfds: there
    /// PR_SET_PDEATHSIG must do.
    ///
    /// # Errors
    /// No process or descriptor left.
    pub(crate) fn prepare() -> io::Result<Option<Self>> {
        if has_pidfds() { Self::start_process(libc::SIGKILL).map(Some) } else { Ok(None) }
    }

    /// Starts guarding `child`.
    ///
    /// # Errors
    /// The guardian is gone, or `child` has no pidfd.
    pub(crate) fn guard(&self, child: &Child) -> io::Result<()> {
        let opened;
        let pidfd = match child.pidfd() {
            Some(pidfd) => pidfd,
            // Why it has none is told; its number is its own until we reap it.
            None => {
                opened = pidfd::open(child.pid()).unwrap_or_else(|| Err(io::Error::from_raw_os_error(libc::ENOSYS)))?;
                opened.as_fd()
            }
        };
        let pidfd = [pidfd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&pidfd));
        rustix::net::sendmsg(&self.lifeline, &[io::IoSlice::new(b"!")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Starts guarding `child` at once; `signal` is what it gets, which it may survive. `None` as [`Self::prepare`].
    ///
    /// # Errors
    /// No process or descriptor left.
    pub(crate) fn start_with(child: &Child, signal: i32) -> io::Result<Option<Self>> {
        if !has_pidfds() {
            return Ok(None);
        }
        let guardian = Self::start_process(signal)?;
        guardian.guard(child)?;
        Ok(Some(guardian))
    }

    fn start_process(signal: i32) -> io::Result<Self> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        match Child::fork()? {
            Some(process) => Ok(Self { process: Some(process), lifeline: ours }),
            None => {
                drop(ours);
                guard(theirs, signal)
            }
        }
    }

    /// Lets go of it in a forked child, so that only its parent's life keeps the lifeline.
    pub(crate) fn forsake(mut self) {
        self.process = None;
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.signal(libc::SIGKILL);
            let _ = process.wait(rustix::process::WaitOptions::empty());
        }
    }
}

fn has_pidfds() -> bool {
    let own = || rustix::process::getpid().as_raw_nonzero().get();
    pidfd::OPEN.present().unwrap_or_else(|| pidfd::open(own()).is_some())
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
fn guard(lifeline: OwnedFd, signal: i32) -> ! {
    // Out of reach of what is sent to our process group or typed at the terminal.
    let _ = rustix::process::setsid();
    SignalSet::all().block_exactly();
    let _ = rustix::thread::set_name(c"nstool-guard");
    process::close_all_but(&[lifeline.as_raw_fd()], Closing::Now, None);
    // Nor may it hold open a pipe that somebody waits to see closed.
    process::close_standard();
    // An end without a word: there was nobody to guard.
    let Some(child) = receive(lifeline.as_fd()) else { process::exit_now(0) };
    loop {
        let mut polled = [PollFd::new(&lifeline, PollFlags::IN), PollFd::new(&child, PollFlags::IN)];
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

/// Waits for the pidfd of whom to guard.
fn receive(lifeline: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    loop {
        let mut place = [io::IoSliceMut::new(&mut word)];
        match rustix::net::recvmsg(lifeline, &mut place, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) => break,
        }
    }
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeping() -> Child {
        Child::fork().unwrap().unwrap_or_else(|| {
            let _ = rustix::event::poll(&mut [], None);
            process::exit_now(0)
        })
    }

    fn signal_that_ended(child: &Child) -> Option<i32> {
        child.wait(rustix::process::WaitOptions::empty()).unwrap().unwrap().terminating_signal()
    }

    #[test]
    fn the_child_is_killed_when_whoever_prepared_its_guardian_is_gone() {
        // Born first, for it must not hold the lifeline.
        let child = sleeping();
        let Some(mut guardian) = Guardian::prepare().unwrap() else { return };
        let process = guardian.process.take().unwrap();
        guardian.guard(&child).unwrap();
        // As the kernel does when we end.
        drop(guardian);
        assert_eq!(signal_that_ended(&child), Some(libc::SIGKILL));
        assert_eq!(signal_that_ended(&process), None);
    }

    #[test]
    fn a_guardian_that_is_dropped_or_never_told_does_no_harm() {
        let Some(mut unused) = Guardian::prepare().unwrap() else { return };
        let process = unused.process.take().unwrap();
        drop(unused);
        assert_eq!(signal_that_ended(&process), None);
        let child = sleeping();
        let guardian = Guardian::start_with(&child, libc::SIGTERM).unwrap();
        drop(guardian);
        let none = child.wait(rustix::process::WaitOptions::NOHANG).unwrap();
        assert!(none.is_none());
        child.signal(libc::SIGKILL);
        assert_eq!(signal_that_ended(&child), Some(libc::SIGKILL));
    }
}
