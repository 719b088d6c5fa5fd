//! The parent of a command: it passes signals on, stops and goes on with it, reaps it, and ends as it ended.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, WaitStatus};

use super::child::Child;
use super::report::{Failure, Reader};
use crate::id::Pid;
use crate::sys::job::{self, JobId};
use crate::sys::pidfd;
use crate::sys::process::{self, Received, SignalSet};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It exited with this status.
    Exited(u8),
    /// This signal killed it.
    Signaled(i32),
}

/// Something that is looked after beside the child while waiting, such as a terminal.
pub(crate) trait Companion {
    /// Adds what to wait for.
    fn watch<'a>(&'a self, polled: &mut Vec<PollFd<'a>>);
    /// Does what can be done now; `ready` are the answers to what `watch` added, in its order.
    fn serve(&mut self, ready: &[PollFlags]);
    /// Gets a signal that a key of our terminal sent to all of its foreground group before [`take`](Self::take) does.
    fn press(&mut self, signal: i32) -> bool {
        let _ = signal;
        false
    }
    /// Gets each signal first; `true` if it is dealt with and not passed on.
    fn take(&mut self, signal: i32) -> bool;
    /// The child stopped by this signal; `true` if that is dealt with, so that we do not stop too.
    fn stopped(&mut self, child: Pid, signal: i32) -> bool {
        let _ = (child, signal);
        false
    }
    /// The child stopped, and we are about to.
    fn before_stop(&mut self);
    /// We go on.
    fn after_stop(&mut self);
    /// Our own parent is gone, and the child was killed for that.
    fn orphaned(&mut self);
}

/// Nothing to look after.
pub(crate) struct NoCompanion;

impl Companion for NoCompanion {
    fn watch<'a>(&'a self, _polled: &mut Vec<PollFd<'a>>) {}
    fn serve(&mut self, _ready: &[PollFlags]) {}
    fn take(&mut self, _signal: i32) -> bool {
        false
    }
    fn before_stop(&mut self) {}
    fn after_stop(&mut self) {}
    fn orphaned(&mut self) {}
}

/// Catches signals from before the fork on, so that none is lost and none ends us while the child lives.
pub(crate) struct Supervisor {
    signals: OwnedFd,
    before: SignalSet,
    /// Who supervises: by number, and by pidfd since Linux 5.3.
    pid: Pid,
    pidfd: Option<OwnedFd>,
}

impl Supervisor {
    /// Blocks all signals, to be read from a descriptor. To be called before the fork.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn prepare() -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let pidfd = pidfd::open(pid).and_then(io::Result::ok);
        let all = SignalSet::all();
        let signals = all.descriptor()?;
        let before = all.block_exactly();
        // If whoever started us ignores it, the kernel would reap the child for us and its status be lost.
        process::default_action(libc::SIGCHLD);
        Ok(Self { signals, before, pid, pidfd })
    }

    /// Unblocks what was not blocked before: for the child, and for a parent that is done.
    pub(crate) fn release(&self) {
        self.before.block_exactly();
    }

    /// Tells, in the child, whether the supervising process still lives.
    pub(super) fn lives(&self) -> bool {
        let Some(pidfd) = &self.pidfd else {
            // 0: a parent outside our pid namespace; its successor would be outside too, so this cannot be told.
            let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
            return parent == 0 || parent == self.pid;
        };
        let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
        matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// Waits until the child ends. Signals are passed on to it; when it stops, so do we; `report` tells whether its
    /// program ran at all. If `lifeline` (which only our own parent holds) closes, the child is killed.
    ///
    /// # Errors
    /// The first failure that the child reported; it has been reaped then.
    pub(crate) fn wait(
        &self,
        child: &Child,
        mut report: Option<Reader>,
        lifeline: Option<&OwnedFd>,
        companion: &mut impl Companion,
    ) -> io::Result<Result<Ending, Failure>> {
        let mut failure = None;
        let mut orphaned = false;
        loop {
            let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
            polled.extend(report.as_ref().map(|report| PollFd::from_borrowed_fd(report.as_fd(), PollFlags::IN)));
            let lifeline = lifeline.filter(|_| !orphaned);
            polled.extend(lifeline.map(|lifeline| PollFd::new(lifeline, PollFlags::IN)));
            let own = polled.len();
            companion.watch(&mut polled);
            match poll(&mut polled, None) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result?,
            };
            let ready: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
            drop(polled);
            if lifeline.is_some() && !ready[own - 1].is_empty() {
                orphaned = true;
                child.signal(libc::SIGKILL);
                companion.orphaned();
            }
            if report.is_some() && !ready[1].is_empty() {
                failure = report.take().and_then(|report| report.receive());
            }
            companion.serve(&ready[own..]);
            if !ready[0].is_empty()
                && let Some(ending) = self.serve_signals(child, companion)?
            {
                // The report can still be unread if the child was quick.
                let failure = failure.or_else(|| report.and_then(|report| report.receive()));
                return Ok(failure.map_or(Ok(ending), Err));
            }
        }
    }

    fn serve_signals(&self, child: &Child, companion: &mut impl Companion) -> io::Result<Option<Ending>> {
        while let Some(received) = process::next_signal(self.signals.as_fd()) {
            if received.signal == libc::SIGCHLD {
                if let Some(ending) = self.look_after(child, companion)? {
                    return Ok(Some(ending));
                }
                continue;
            }
            let pressed = received.is_from_terminal() && companion.press(received.signal);
            if !pressed && !companion.take(received.signal) {
                pass_on(child, received);
            }
        }
        Ok(None)
    }

    /// Sees what became of the child: several changes may have come with one SIGCHLD.
    fn look_after(&self, child: &Child, companion: &mut impl Companion) -> io::Result<Option<Ending>> {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        while let Some(status) = child.wait(options)? {
            if let Some(ending) = ending_of(status) {
                return Ok(Some(ending));
            }
            if let Some(signal) = status.stopping_signal()
                && !companion.stopped(child.pid(), signal)
            {
                companion.before_stop();
                stop_ourselves(signal);
                // SIGCONT woke us up; it also waits in the descriptor, from where it is passed on.
                companion.after_stop();
            }
        }
        Ok(None)
    }
}

fn ending_of(status: WaitStatus) -> Option<Ending> {
    let exited = status.exit_status().map(|status| Ending::Exited(status as u8));
    exited.or_else(|| status.terminating_signal().map(Ending::Signaled))
}

/// Stops us until somebody sends SIGCONT, as `signal` stopped the child. Whoever watches is told by which signal, if it is
/// one of the terminal: it may give that to a job that wants to read or write. SIGSTOP else, which the kernel never
/// ignores.
pub(crate) fn stop_ourselves(signal: i32) {
    if matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) && is_watched() {
        return process::let_through(signal);
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let _ = process::kill(own, libc::SIGSTOP);
}

/// Tells whether our parent does job control for us: in another group nobody does (an orphaned one), the kernel ignores
/// what the terminal would stop it by.
pub(crate) fn is_watched() -> bool {
    let Some(parent) = rustix::process::getppid() else { return false };
    let parent = parent.as_raw_nonzero().get();
    let is_ours = |id: fn(Pid) -> io::Result<JobId>| matches!((id(parent), id(0)), (Ok(its), Ok(own)) if its == own);
    is_ours(job::session_of) && !is_ours(job::group_of)
}

fn pass_on(child: &Child, received: Received) {
    // What the terminal sends goes to the whole foreground group. If the child is in ours, it got its own; a group of its
    // own is in the background then, and would have got it in our place. A hangup the kernel tells to the session's leader
    // alone. SIGCONT is passed on however it came, since the shell may have continued us alone.
    let to_all = received.is_from_terminal() && !(received.signal == libc::SIGHUP && job::leads_session());
    if to_all && same_group(child) {
        return;
    }
    // The whole job stopped, so the whole job goes on.
    if (to_all || received.signal == libc::SIGCONT) && leads_group(child) {
        let _ = process::kill(-child.pid(), received.signal);
    } else if received.code == libc::SI_QUEUE {
        let _ = process::queue(child.pid(), received.signal, received.value);
    } else {
        child.signal(received.signal);
    }
}

fn same_group(child: &Child) -> bool {
    matches!((job::group_of(child.pid()), job::group_of(0)), (Ok(its), Ok(own)) if its == own)
}

fn leads_group(child: &Child) -> bool {
    job::group_of(child.pid()).is_ok_and(|group| group == child.pid())
}

impl Ending {
    /// Ends this process the same way: with the same status, or by the same signal, so that whoever waits for us sees
    /// what happened.
    pub fn mirror(self) -> ! {
        self.mirror_by(|status| std::process::exit(status))
    }

    /// The same for a forked process, which must not run what its parent has to run at its exit.
    pub(crate) fn mirror_now(self) -> ! {
        self.mirror_by(|status| process::exit_now(status))
    }

    fn mirror_by(self, exit: impl FnOnce(i32) -> std::convert::Infallible) -> ! {
        let status = match self {
            Self::Exited(status) => i32::from(status),
            Self::Signaled(signal) => {
                raise(signal);
                // The init of a pid namespace cannot kill itself.
                128 + signal
            }
        };
        match exit(status) {}
    }
}

fn raise(signal: i32) {
    // One core file is enough.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    process::default_action(signal);
    process::unblock_all();
    let _ = process::kill(rustix::process::getpid().as_raw_nonzero().get(), signal);
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io::Read;

    use super::*;
    use crate::exec::{Guardian, Program, become_program, die_with_parent, gate, report};

    fn shell(script: &str) -> Program {
        let words: Vec<OsString> = ["/bin/sh", "-c", script].map(OsString::from).into();
        Program::new(&words, &[("PATH".into(), "/usr/bin:/bin".into())]).unwrap()
    }

    /// Runs a program supervised, in a forked process of its own since that blocks signals and forks, and returns how
    /// that process ended: as the program did.
    fn supervised(mut program: Program) -> Child {
        Child::fork().unwrap().unwrap_or_else(|| {
            let supervisor = Supervisor::prepare().unwrap();
            let (reader, writer) = report::pipe().unwrap();
            let (gate, gatekeeper) = gate().unwrap();
            let Some(child) = Child::fork().unwrap() else {
                drop(gatekeeper);
                let _ = die_with_parent(&supervisor);
                if !gate.pass() {
                    process::exit_now(125);
                }
                let refusal = become_program(&mut program, &[], None, Some(&supervisor));
                writer.send(&Failure { step: 9, errno: refusal.errno, refusal: Some(refusal) });
                process::exit_now(125);
            };
            drop(writer);
            let guardian = Guardian::start_with(&child, libc::SIGKILL).unwrap();
            gatekeeper.open();
            match supervisor.wait(&child, Some(reader), None, &mut NoCompanion).unwrap() {
                Ok(ending) => {
                    drop(guardian);
                    ending.mirror_now()
                }
                Err(failure) => process::exit_now(100 + failure.step as i32),
            }
        })
    }

    fn ended(process: &Child) -> Ending {
        ending_of(process.wait(WaitOptions::empty()).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn the_ending_of_the_child_becomes_ours() {
        for (script, ending) in [
            ("exit 0", Ending::Exited(0)),
            ("exit 77", Ending::Exited(77)),
            ("kill -TERM $$", Ending::Signaled(libc::SIGTERM)),
            ("kill -KILL $$", Ending::Signaled(libc::SIGKILL)),
            ("kill -PIPE $$", Ending::Signaled(libc::SIGPIPE)),
        ] {
            assert_eq!(ended(&supervised(shell(script))), ending, "{script}");
        }
    }

    #[test]
    fn a_program_that_cannot_run_is_reported_with_its_step() {
        let program = Program::new(&["/no/such/program".into()], &[]).unwrap();
        assert_eq!(ended(&supervised(program)), Ending::Exited(109));
    }

    #[test]
    fn signals_are_passed_on_and_the_answer_comes_back() {
        let (mut ready, pipe) = std::io::pipe().unwrap();
        let program = shell("trap 'exit 42' USR1; echo >&2; while :; do sleep 0.1; done");
        // The shell's standard error is the pipe, so that we hear when its trap is set.
        let process = Child::fork().unwrap().unwrap_or_else(|| {
            rustix::stdio::dup2_stderr(&pipe).unwrap();
            let inner = supervised(program);
            let supervisor = Supervisor::prepare().unwrap();
            let ending = supervisor.wait(&inner, None, None, &mut NoCompanion).unwrap().unwrap();
            process::exit_now(if let Ending::Exited(status) = ending { i32::from(status) } else { 1 })
        });
        drop(pipe);
        ready.read_exact(&mut [0]).unwrap();
        process.signal(libc::SIGUSR1);
        assert_eq!(ended(&process), Ending::Exited(42));
    }

    #[test]
    fn a_stop_is_mirrored_and_continued() {
        let process = supervised(shell("kill -STOP $$; exit 7"));
        let status = process.wait(WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped());
        process.signal(libc::SIGCONT);
        assert_eq!(ended(&process), Ending::Exited(7));
    }

    /// Whoever holds the pipe's writing end is alive; this returns when nobody is.
    fn wait_until_nobody_holds(mut pipe: impl Read) {
        let mut rest = Vec::new();
        pipe.read_to_end(&mut rest).unwrap();
    }

    #[test]
    fn the_child_dies_with_us_even_by_sigkill_and_after_changing_credentials() {
        // Only with root can a program change credentials, which makes the kernel forget PR_SET_PDEATHSIG.
        let change =
            if rustix::process::geteuid().is_root() { "exec setpriv --reuid 65534 --clear-groups" } else { "" };
        for script in ["echo >&2; exec sleep 300".to_owned(), format!("{change} sh -c 'echo >&2; exec sleep 1000'")] {
            let (mut ready, pipe) = std::io::pipe().unwrap();
            let program = shell(&script);
            let process = Child::fork().unwrap().unwrap_or_else(|| {
                rustix::stdio::dup2_stderr(&pipe).unwrap();
                let process = supervised(program);
                process::keep_only(&[]);
                process::exit_now(i32::from(ended(&process) != Ending::Signaled(libc::SIGKILL)))
            });
            drop(pipe);
            ready.read_exact(&mut [0]).unwrap();
            let supervisors = children_of(process.pid());
            process::kill(supervisors[0], libc::SIGKILL).unwrap();
            wait_until_nobody_holds(ready);
            assert_eq!(ended(&process), Ending::Exited(0));
        }
    }

    fn children_of(pid: Pid) -> Vec<Pid> {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}
