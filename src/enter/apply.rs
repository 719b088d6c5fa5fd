//! Takes the steps of a plan: in this process, in a child, or in a child of a child with a terminal of its own.
//!
//! - *directly*: this process joins and becomes the command; nothing is left of nstool;
//! - *forked* (a pid namespace is joined, so the command must be born in it): this process joins, forks, and
//!   supervises its child;
//! - *with a terminal*: this process stays outside and looks after the outer terminal; its child opens a session on the
//!   inner one and does the above.
#![expect(
    clippy::result_large_err,
    clippy::large_enum_variant,
    reason = "between fork and execve nothing is allocated, so a failure has its text in itself"
)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::PipeFlags;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::gather::Pinned;
use super::kernel::{Linux, perform};
use super::plan::Step;
use crate::exec::report::{self, Reader, Writer};
use crate::exec::terminal::{self, Inner, Keeper, Outer};
use crate::exec::{
    Child, Companion, Ending, Failure, Gate, Guardian, NoCompanion, Program, Supervisor, become_program,
    die_with_parent, gate,
};
use crate::id::Pid;
use crate::kind::NamespaceKind;
use crate::sys::guard::Memory;
use crate::sys::{job, process};

/// What became of the command.
#[derive(Debug)]
pub(super) enum Applied {
    /// It ended.
    Ended(Ending),
    /// It runs in the background.
    Started(Pid),
    /// A step failed.
    Failed(Failure),
}

/// How the command begins on its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Foreground,
    Background,
}

/// All that is needed to take the steps, prepared before the first.
pub(super) struct Work<'a> {
    pub(super) steps: &'a [Step],
    pub(super) pinned: &'a Pinned,
    pub(super) program: Program,
    /// Descriptors above 2 that stay open, ascending.
    pub(super) keep: Vec<i32>,
    pub(super) background: bool,
    /// Whether a process that is not on a terminal has a guardian, which sees to it that it does not outlive us even after
    /// a change of credentials.
    pub(super) guarded: bool,
    /// The controlling terminal to give up, so that nothing inside reaches it through /dev/tty.
    pub(super) terminal: Option<OwnedFd>,
    /// For a command in the background: what stands in for a terminal on descriptors 0 to 2.
    pub(super) null: Option<OwnedFd>,
}

impl Work<'_> {
    /// Runs the command where `outer` is no terminal, or is passed through.
    pub(super) fn run(mut self) -> io::Result<Applied> {
        if let Err(failure) = self.take(0, self.early()) {
            return Ok(Applied::Failed(failure));
        }
        settle()?;
        match self.fork_place() {
            None => {
                if let Some(terminal) = &self.terminal {
                    job::detach_from(terminal.as_fd());
                }
                let failed = self.take(self.early(), self.steps.len()).err();
                Ok(Applied::Failed(failed.unwrap_or_else(|| self.execute(None))))
            }
            Some(place) => {
                let supervisor = Supervisor::prepare()?;
                let guardian =
                    if self.background || !self.guarded { None } else { Guardian::prepare(self.guards_memory())? };
                let outcome = self.run_forked(place, &supervisor, guardian, None, None, &mut NoCompanion);
                supervisor.release();
                outcome
            }
        }
    }

    /// Runs the command on a pseudo-terminal.
    pub(super) fn run_on(mut self, mut outer: Outer, mut inner: Inner) -> io::Result<Applied> {
        if let Err(failure) = self.take(0, self.early()) {
            return Ok(Applied::Failed(failure));
        }
        settle()?;
        let supervisor = Supervisor::prepare()?;
        // If the child between is the command itself. Otherwise it ends by itself when we do, for it has a terminal to
        // put right, and has a guardian for the command.
        let guardian = if self.fork_place().is_none() { Guardian::prepare(self.guards_memory())? } else { None };
        let (reader, writer) = report::pipe()?;
        let (lifeline, life) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (gate, gatekeeper) = gate()?;
        let Some(child) = Child::fork()? else {
            drop((reader, life, gatekeeper));
            guardian.into_iter().for_each(Guardian::forsake);
            let keeper = outer.forsake(&mut inner);
            self.monitor(inner, keeper, &supervisor, &gate, writer, &lifeline)
        };
        drop((writer, lifeline, inner));
        if let Some(guardian) = &guardian {
            guardian.guard(&child)?;
        }
        gatekeeper.open();
        outer.begin();
        let outcome = supervisor.wait(&child, Some(reader), None, &mut outer);
        outer.finish();
        supervisor.release();
        drop((life, guardian));
        Ok(outcome?.map_or_else(Applied::Failed, Applied::Ended))
    }

    /// The child between: leader of the session on the inner terminal, parent of the command, and its death if our own
    /// parent, who holds the other end of `lifeline`, is gone.
    fn monitor(
        &mut self,
        inner: Inner,
        mut keeper: Keeper,
        outer: &Supervisor,
        gate: &Gate,
        report: Writer,
        lifeline: &OwnedFd,
    ) -> ! {
        let last = self.steps.len().saturating_sub(1) as u32;
        let fail = |step: u32, error: &io::Error| -> ! {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            report.send(&Failure { step, errno, refusal: None });
            process::exit_now(125)
        };
        if let Err(error) = inner.take_over() {
            fail(last, &error);
        }
        drop(inner);
        let Some(place) = self.fork_place() else {
            if let Err(failure) = self.take(self.early(), self.steps.len()) {
                report.send(&failure);
                process::exit_now(125)
            }
            if let Err(error) = die_with_parent(outer) {
                fail(last, &error);
            }
            if gate.pass() {
                report.send(&self.execute(Some(outer)));
            }
            process::exit_now(125)
        };
        outer.release();
        let outcome = Supervisor::prepare().and_then(|supervisor| {
            let guardian = Guardian::prepare(self.guards_memory())?;
            let job = if keeper.starts_in_foreground() { Job::Foreground } else { Job::Background };
            self.run_forked(place, &supervisor, guardian, Some(job), Some(lifeline), &mut keeper)
        });
        match outcome {
            Ok(Applied::Ended(ending)) => {
                drop(report);
                ending.mirror_now()
            }
            Ok(Applied::Failed(failure)) => report.send(&failure),
            Ok(Applied::Started(_)) => {}
            Err(error) => fail(place as u32, &error),
        }
        process::exit_now(125)
    }

    /// Counts the steps that come before we hide.
    fn early(&self) -> usize {
        self.steps.iter().take_while(|step| step.is_early()).count()
    }

    fn guards_memory(&self) -> Memory {
        let is_time = |step: &Step| matches!(step, Step::Join { kind: NamespaceKind::Time, .. });
        if self.steps.iter().any(is_time) { Memory::Copied } else { Memory::Shared }
    }

    fn fork_place(&self) -> Option<usize> {
        self.steps.iter().position(|step| *step == Step::Fork)
    }

    /// Takes the steps up to the fork, forks, and supervises. With `job` the child leads a job on the terminal.
    fn run_forked(
        &mut self,
        place: usize,
        supervisor: &Supervisor,
        guardian: Option<Guardian>,
        job: Option<Job>,
        lifeline: Option<&OwnedFd>,
        companion: &mut impl Companion,
    ) -> io::Result<Applied> {
        if let Err(failure) = self.take(self.early(), place) {
            return Ok(Applied::Failed(failure));
        }
        let (reader, writer) = report::pipe()?;
        let (gate, gatekeeper) = gate()?;
        let child = match Child::fork() {
            Ok(Some(child)) => child,
            Ok(None) => {
                drop((reader, gatekeeper));
                guardian.into_iter().for_each(Guardian::forsake);
                self.child(place, supervisor, &gate, &writer, job)
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                return Ok(Applied::Failed(Failure { step: place as u32, errno, refusal: None }));
            }
        };
        drop(writer);
        if self.background {
            gatekeeper.open();
            return Ok(self.started(&child, &reader));
        }
        if let Some(guardian) = &guardian {
            guardian.guard(&child)?;
        }
        gatekeeper.open();
        let outcome = supervisor.wait(&child, Some(reader), lifeline, companion)?;
        drop(guardian);
        Ok(outcome.map_or_else(Applied::Failed, Applied::Ended))
    }

    fn started(&self, child: &Child, reader: &Reader) -> Applied {
        match reader.receive() {
            Some(failure) => {
                let _ = child.wait(rustix::process::WaitOptions::empty());
                Applied::Failed(failure)
            }
            None => Applied::Started(child.pid()),
        }
    }

    /// What the child does; it allocates nothing.
    fn child(&mut self, place: usize, supervisor: &Supervisor, gate: &Gate, report: &Writer, job: Option<Job>) -> ! {
        if let Some(job) = job {
            terminal::lead_job(job == Job::Foreground);
        } else if self.background {
            let _ = rustix::process::setsid();
            terminal::replace_by(self.null.as_ref());
        } else if let Some(terminal) = &self.terminal {
            job::detach_from(terminal.as_fd());
        }
        let result = self.take(place + 1, self.steps.len());
        let last = self.steps.len().saturating_sub(1) as u32;
        let result = result.and_then(|()| {
            if self.background {
                return Ok(());
            }
            let failed = |error: io::Error| Failure {
                step: last,
                errno: error.raw_os_error().unwrap_or(libc::EIO),
                refusal: None,
            };
            die_with_parent(supervisor).map_err(failed)
        });
        if result.is_ok() && !gate.pass() {
            process::exit_now(125);
        }
        let failure = match result {
            Err(failure) => failure,
            Ok(()) => self.execute(Some(supervisor)),
        };
        report.send(&failure);
        process::exit_now(125)
    }

    /// Takes the steps from `first` up to `end`.
    fn take(&self, first: usize, end: usize) -> Result<(), Failure> {
        let mut kernel = Linux(self.pinned);
        for (index, step) in self.steps.iter().enumerate().take(end).skip(first) {
            if let Err(error) = perform(step, &mut kernel) {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                return Err(Failure { step: index as u32, errno, refusal: None });
            }
        }
        Ok(())
    }

    /// Becomes the command; returns only if that failed.
    fn execute(&mut self, supervisor: Option<&Supervisor>) -> Failure {
        let proc = self.pinned.proc.as_ref().map(AsFd::as_fd);
        let refusal = become_program(&mut self.program, &self.keep, proc, supervisor);
        let step = self.steps.len().saturating_sub(1) as u32;
        Failure { step, errno: refusal.errno, refusal: Some(refusal) }
    }
}

/// Keeps everything inside from tracing us or opening our entries in /proc while we are between both worlds; and sees to
/// it that root and working directory are our own. A process that shares them with another one cannot join user and
/// mount namespaces (setns(2): EINVAL), and would take the other one along wherever it goes.
fn settle() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
    Ok(())
}
