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
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;

use super::child::Child;
use crate::sys::guard::{self, Memory, Stack};
use crate::sys::pidfd;

/// The process that guards a child of ours. Dropping it ends it, and leaves the child alone.
#[derive(Debug)]
pub(crate) struct Guardian {
    /// Absent in a process that only let go of it.
    process: Option<Process>,
    /// Closes with us.
    lifeline: OwnedFd,
}

/// The process itself.
#[derive(Debug)]
struct Process {
    child: Child,
    /// What it runs on, if it shares our memory; given back when it has ended.
    _stack: Option<Stack>,
}

impl Guardian {
    /// Starts a guardian that has nobody to guard yet; `None` before Linux 5.3, which has no pidfds: there
    /// PR_SET_PDEATHSIG must do.
    ///
    /// # Errors
    /// No process or descriptor left.
    pub(crate) fn prepare(memory: Memory) -> io::Result<Option<Self>> {
        if has_pidfds() { Self::start_process(libc::SIGKILL, memory).map(Some) } else { Ok(None) }
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
        let guardian = Self::start_process(signal, Memory::Shared)?;
        guardian.guard(child)?;
        Ok(Some(guardian))
    }

    fn start_process(signal: i32, memory: Memory) -> io::Result<Self> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let (pid, stack) = guard::start(theirs, signal, memory)?;
        Ok(Self { process: Some(Process { child: Child::adopt(pid), _stack: stack }), lifeline: ours })
    }

    /// Lets go of it in a forked child, so that only its parent's life keeps the lifeline.
    pub(crate) fn forsake(mut self) {
        self.process = None;
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if let Some(Process { child, .. }) = &self.process {
            child.signal(libc::SIGKILL);
            let _ = child.wait(rustix::process::WaitOptions::empty());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

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
        let Some(mut guardian) = Guardian::prepare(Memory::Shared).unwrap() else { return };
        let process = guardian.process.take().unwrap();
        guardian.guard(&child).unwrap();
        // As the kernel does when we end.
        drop(guardian);
        assert_eq!(signal_that_ended(&child), Some(libc::SIGKILL));
        assert_eq!(signal_that_ended(&process.child), None);
    }

    #[test]
    fn a_guardian_shares_our_memory_or_has_a_copy_of_it() {
        for (memory, shared) in [(Memory::Shared, true), (Memory::Copied, false)] {
            let child = sleeping();
            let Some(guardian) = Guardian::prepare(memory).unwrap() else { return };
            assert_eq!(guardian.process.as_ref().unwrap()._stack.is_some(), shared);
            guardian.guard(&child).unwrap();
            drop(guardian);
            child.signal(libc::SIGTERM);
            assert_eq!(signal_that_ended(&child), Some(libc::SIGTERM));
        }
    }

    #[test]
    fn a_guardian_that_is_dropped_or_never_told_does_no_harm() {
        let Some(mut unused) = Guardian::prepare(Memory::Shared).unwrap() else { return };
        let process = unused.process.take().unwrap();
        drop(unused);
        assert_eq!(signal_that_ended(&process.child), None);
        let child = sleeping();
        let guardian = Guardian::start_with(&child, libc::SIGTERM).unwrap();
        drop(guardian);
        let none = child.wait(rustix::process::WaitOptions::NOHANG).unwrap();
        assert!(none.is_none());
        child.signal(libc::SIGKILL);
        assert_eq!(signal_that_ended(&child), Some(libc::SIGKILL));
    }
}
