//! The child, and its last steps before the program runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::process::{Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use super::program::Program;
use super::report::Refusal;
use super::supervise::Supervisor;
use crate::id::Pid;
use crate::sys::pidfd;
use crate::sys::process::{self, Closing, Fork};
use crate::sys::startup;

/// A child of ours that was not reaped yet, so that its number is its own.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    pidfd: Option<OwnedFd>,
}

impl Child {
    /// Forks; `None` in the child.
    ///
    /// # Errors
    /// ENOMEM: also that the pid namespace we joined has lost its init. EAGAIN: a limit on processes.
    pub(crate) fn fork() -> io::Result<Option<Self>> {
        Ok(match process::fork()? {
            Fork::Child => None,
            Fork::Parent(pid) => Some(Self::adopt(pid)),
        })
    }

    /// Takes a child that was made elsewhere, by clone3(2) for example.
    pub(crate) fn adopt(pid: Pid) -> Self {
        Self { pid, pidfd: pidfd::open(pid).and_then(io::Result::ok) }
    }

    /// Returns its number in our pid namespace.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns its pidfd, since Linux 5.3.
    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Sends it a signal; one that has ended already cannot be told.
    pub(crate) fn signal(&self, signal: i32) {
        let _ = process::kill(self.pid, signal);
    }

    /// Tells whether it has ended and waits to be reaped.
    pub(crate) fn has_ended(&self) -> bool {
        let Some(pid) = rustix::process::Pid::from_raw(self.pid) else { return false };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(Some(_)))
    }

    /// Reaps it or tells that it stopped or went on; `None` if nothing happened and `options` say not to wait.
    pub(crate) fn wait(&self, options: WaitOptions) -> io::Result<Option<WaitStatus>> {
        let pid = rustix::process::Pid::from_raw(self.pid);
        loop {
            match rustix::process::waitpid(pid, options) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result?.map(|(_, status)| status)),
            }
        }
    }
}

/// Lets the kernel kill this child when its parent, who prepared `supervisor`, ends; if it has ended already, ends too.
///
/// Every change of credentials undoes it (PR_SET_PDEATHSIG(2const)), so it comes last. A program that changes its own
/// undoes it too; therefore there is a [`Guardian`](super::Guardian) besides.
///
/// # Errors
/// None on any known kernel.
pub(crate) fn die_with_parent(supervisor: &Supervisor) -> io::Result<()> {
    be_told_of_parents_death(supervisor, Signal::KILL)
}

/// The same with another signal, which this child may survive.
///
/// # Errors
/// None on any known kernel.
pub(crate) fn be_told_of_parents_death(supervisor: &Supervisor, signal: Signal) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    // A parent that ended before that call sent nothing.
    if supervisor.lives() {
        return Ok(());
    }
    if signal == Signal::KILL {
        process::exit_now(128 + libc::SIGKILL)
    }
    process::kill(rustix::process::getpid().as_raw_nonzero().get(), signal.as_raw())
}

/// The last steps of a child: unless it inherits all, no descriptor but 0 to 2 and those in `keep` (ascending) for the
/// program; the signals as we found them, but SIGPIPE with its default effect unless it inherits; then the program.
/// Returns only if it could not be executed; then all descriptors are still there. Allocates nothing. `proc` is a
/// descriptor of `/proc`, for kernels before 5.11 and to look into files safely.
pub(crate) fn become_program(
    program: &mut Program,
    keep: &[RawFd],
    proc: Option<BorrowedFd<'_>>,
    supervisor: Option<&Supervisor>,
) -> Refusal {
    if program.inherits() {
        // All of ours are close-on-exec from their first moment, but for those with which the places of standard streams
        // were filled.
        startup::fillers().for_each(process::close_on_exec);
    } else {
        process::close_all_but(keep, Closing::OnExec, proc);
    }
    for &fd in keep {
        process::keep_on_exec(fd);
    }
    if let Some(supervisor) = supervisor {
        supervisor.release();
    }
    // Rust programs ignore SIGPIPE, and what is ignored stays so across execve(2).
    if !(program.inherits() && startup::sigpipe_was_ignored()) {
        process::default_action(libc::SIGPIPE);
    }
    program.execute(proc)
}
