//! Follows a plan in this very process, as unshare(1) does: whoever knows its number finds the namespaces there, and the
//! command, where it is not forked, has that number.
//!
//! What has to be done from outside is done by a helper, which stays there: forked before we leave, told the number of
//! each step that is its, and reaped before the command runs.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{DumpableBehavior, Signal, WaitOptions};

use super::apply::{Event, Observer, Stop, failed, refused};
use super::inside::{self, Prepared, State};
use super::outside;
use super::plan::{Action, MapWriter, Place};
use super::request::Request;
use super::talk::{self, Listener, Speaker, Word};
use crate::error::{Error, ErrorKind};
use crate::exec::report::{self, Writer};
use crate::exec::{
    Child, Companion, Ending, Failure, Gate, Program, Supervisor, be_told_of_parents_death, become_program, gate,
};
use crate::id::Pid;
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::sys::process;

/// Does the steps; returns only if the command was forked, or cannot be executed.
pub(super) fn run(
    request: &Request,
    steps: &[Prepared],
    mut program: Program,
    observer: Observer<'_>,
) -> Result<Ending, Stop> {
    // If whoever started us ignores it, the kernel would reap our children for us.
    process::default_action(libc::SIGCHLD);
    let outside = steps.iter().any(|step| step.place == Place::Outside);
    let mut helper = outside.then(|| Helper::start(steps)).transpose().map_err(trouble)?;
    let fork = steps.iter().position(|step| step.action == Action::Fork);
    let mut state = State::for_steps(steps);
    // The last is the command.
    let done = steps.iter().enumerate().take(fork.unwrap_or(steps.len() - 1)).try_for_each(|(number, step)| {
        match &helper {
            Some(helper) if step.place == Place::Outside => helper.take(steps, number)?,
            _ => carry_out(steps, number, &mut state).map_err(|error| failed(steps, step, &error))?,
        }
        observer(Event::Done(&step.action));
        Ok(())
    });
    let stop = match (done, fork) {
        // Whatever makes places comes after the fork.
        (Ok(()), Some(fork)) => return forked(request, steps, (fork, state), program, &mut helper, observer),
        (Ok(()), None) => {
            drop(helper);
            let refusal = become_program(&mut program, &[], None, None);
            refused(steps, &refusal, &program)
        }
        (Err(stop), _) => stop,
    };
    state.trail.take_back();
    Err(stop)
}

fn trouble(error: io::Error) -> Stop {
    Error::system("cannot prepare for a child", error).into()
}

/// Does one step; allocates nothing.
fn carry_out(steps: &[Prepared], number: usize, state: &mut State) -> io::Result<()> {
    inside::carry_out(steps, number, state)?;
    if matches!(steps[number].action, Action::BecomeOwner(..)) {
        // Changed ids make a process undumpable, and its files in /proc root's.
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    }
    Ok(())
}

fn forked(
    request: &Request,
    steps: &[Prepared],
    (fork, state): (usize, State),
    program: Program,
    helper: &mut Option<Helper>,
    observer: Observer<'_>,
) -> Result<Ending, Stop> {
    let supervisor = Supervisor::prepare().map_err(trouble)?;
    let (reports, report) = report::pipe().map_err(trouble)?;
    let (gate, gatekeeper) = gate().map_err(trouble)?;
    let child = match Child::fork() {
        Ok(Some(child)) => child,
        Ok(None) => {
            // Its copies would keep the one and the helper from seeing our end.
            drop(gatekeeper);
            if let Some(helper) = helper {
                helper.orders = None;
            }
            let death_signal = request.parent_death_signal.and_then(process::signal);
            go_on(steps, (fork, state), program, death_signal, &supervisor, &gate, &report)
        }
        Err(error) => {
            supervisor.release();
            return Err(failed(steps, &steps[fork], &error));
        }
    };
    drop(report);
    observer(Event::Child(child.pid()));
    // A pid namespace begins with the child, so it is kept only now.
    let kept = steps.iter().enumerate().skip(fork).filter(|(_, step)| step.place == Place::Outside);
    let kept = kept.map(|(number, _)| number).try_for_each(|number| match helper {
        Some(helper) => helper.take(steps, number),
        None => Ok(()),
    });
    *helper = None;
    if let Err(stop) = kept {
        child.signal(libc::SIGKILL);
        let _ = child.wait(WaitOptions::empty());
        supervisor.release();
        return Err(stop);
    }
    gatekeeper.open();
    let mut signals = Signals { forward: request.forward_signals, to_init: request.kinds.contains(NamespaceKind::Pid) };
    let outcome = supervisor.wait(&child, Some(reports), None, &mut signals);
    supervisor.release();
    match outcome.map_err(|error| Error::system("cannot wait for the child", error))? {
        Ok(ending) => Ok(ending),
        Err(failure) => Err(match (failure.refusal, steps.get(failure.step as usize)) {
            (Some(refusal), _) => refused(steps, &refusal, &program),
            (None, Some(step)) => failed(steps, step, &io::Error::from_raw_os_error(failure.errno)),
            (None, None) => Error::new(ErrorKind::System, "cannot run the command").into(),
        }),
    }
}

/// What the child does; it allocates nothing.
fn go_on(
    steps: &[Prepared],
    (fork, mut state): (usize, State),
    mut program: Program,
    death_signal: Option<Signal>,
    supervisor: &Supervisor,
    gate: &Gate,
    report: &Writer,
) -> ! {
    if !gate.pass() {
        process::exit_now(1);
    }
    let fail = |state: &mut State, step: usize, errno, refusal| -> ! {
        state.trail.take_back();
        report.send(&Failure { step: step as u32, errno, refusal });
        process::exit_now(1)
    };
    for number in (fork + 1..steps.len()).filter(|number| steps[*number].place != Place::Outside) {
        if let Err(error) = carry_out(steps, number, &mut state) {
            fail(&mut state, number, error.raw_os_error().unwrap_or(libc::EIO), None);
        }
    }
    // Only now, since a change of credentials undoes it.
    let set = death_signal.map_or(Ok(()), |signal| be_told_of_parents_death(supervisor, signal));
    let last = steps.len() - 1;
    if let Err(error) = set {
        fail(&mut state, last, error.raw_os_error().unwrap_or(libc::EIO), None);
    }
    let refusal = become_program(&mut program, &[], None, Some(supervisor));
    fail(&mut state, last, refusal.errno, Some(refusal))
}

/// What becomes of signals to us while the command runs.
struct Signals {
    forward: bool,
    /// Whether the child is the init of a pid namespace.
    to_init: bool,
}

impl Companion for Signals {
    fn watch<'a>(&'a self, _polled: &mut Vec<PollFd<'a>>) {}

    fn serve(&mut self, _ready: &[PollFlags]) {}

    fn take(&mut self, signal: i32) -> bool {
        match signal {
            libc::SIGINT | libc::SIGTERM => !self.forward,
            // The child stops and goes on, and we with it. But an init does not stop by what it has no handler for
            // (pid_namespaces(7)), and whoever typed Ctrl-Z wants the shell back.
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU if !self.to_init => false,
            libc::SIGCONT => false,
            // The others do to us what they would have done, and a child to be killed is killed by our end.
            signal => {
                process::let_through(signal);
                true
            }
        }
    }

    fn before_stop(&mut self) {}

    fn after_stop(&mut self) {}

    fn orphaned(&mut self) {}
}

/// The process that stays outside. Dropped, it ends, and is reaped.
struct Helper {
    process: Child,
    /// Takes the numbers of steps; closes with us, or when the command runs.
    orders: Option<OwnedFd>,
    answers: Listener,
}

impl Helper {
    fn start(steps: &[Prepared]) -> io::Result<Self> {
        let (answers, speaker) = talk::pipe()?;
        let (taken, orders) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let helped = rustix::process::getpid().as_raw_nonzero().get();
        let Some(process) = Child::fork()? else {
            drop((answers, orders));
            help(steps, helped, &taken, &speaker)
        };
        Ok(Self { process, orders: Some(orders), answers })
    }

    /// Has a step done.
    fn take(&self, steps: &[Prepared], number: usize) -> Result<(), Stop> {
        let lost = || Stop::from(Error::new(ErrorKind::System, "the helper outside has ended"));
        let orders = self.orders.as_ref().ok_or_else(lost)?;
        rustix::io::write(orders, &(number as u32).to_ne_bytes()).map_err(|_| lost())?;
        let step = &steps[number];
        match self.answers.hear() {
            Some(Word::Done(_)) => Ok(()),
            Some(Word::Failed(_, 0)) => {
                let error = Error::new(ErrorKind::NotPermitted, format!("cannot {}", step.action));
                Err(Stop { failed: Some(Box::new((step.action.clone(), 0))), ..error.into() })
            }
            Some(Word::Failed(_, errno)) => Err(failed(steps, step, &io::Error::from_raw_os_error(errno))),
            _ => Err(lost()),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.process.wait(WaitOptions::empty());
    }
}

/// What the helper does for `helped`.
fn help(steps: &[Prepared], helped: Pid, orders: &OwnedFd, speaker: &Speaker) -> ! {
    let mut number = [0; 4];
    loop {
        match rustix::io::read(orders, &mut number) {
            Ok(4) => {}
            Err(Errno::INTR) => continue,
            _ => process::exit_now(0),
        }
        let number = u32::from_ne_bytes(number) as usize;
        let done = steps.get(number).map_or(Err(Errno::INVAL.into()), |step| do_outside(step, helped));
        speaker.say(match done {
            Ok(true) => Word::Done(number),
            Ok(false) => Word::Failed(number, 0),
            Err(error) => Word::Failed(number, error.raw_os_error().unwrap_or(libc::EIO)),
        });
    }
}

/// Does a step; `false` if another program failed, which has said why.
fn do_outside(step: &Prepared, helped: Pid) -> io::Result<bool> {
    match &step.action {
        Action::Persist(kind, file) => bind(*kind, helped, file)?,
        Action::WriteMap { kind, map, writer: MapWriter::Helper } => {
            return Ok(outside::helper_command(*kind, map, helped).status()?.success());
        }
        _ => outside::write(step, helped)?,
    }
    Ok(true)
}

fn bind(kind: NamespaceKind, of: Pid, file: &Path) -> io::Result<()> {
    let source = format!("/proc/{of}/ns/{}", NamespaceLink::to_unshared(kind).file_name());
    Ok(rustix::mount::mount(source, file, c"", MountFlags::BIND, None)?)
}
