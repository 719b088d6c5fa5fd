//! Follows a plan: in this process where no child is wanted, else as the parent of one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::diagnose;
use super::in_place;
use super::inside::{self, Prepared, State};
use super::parent;
use super::plan::{Action, Plan};
use super::prepare::prepare;
use super::request::Request;
use super::scene::Scene;
use crate::error::{Error, ErrorKind};
use crate::exec::{Ending, Program, Refusal, become_program};
use crate::id::Pid;
use crate::sys::process::{self, SignalSet};

/// Something that has happened, for whoever wants to tell it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The child was made; its number as seen from here.
    Child(Pid),
    /// A step is done.
    Done(&'a Action),
    /// The init reaped an orphan: its number inside, and how it ended.
    Reaped(Pid, Ending),
    /// The pid namespace that is kept at this file has lost its PID 1, and no process can start in it any more.
    Spent(&'a Path),
    /// The control group that was made for the command stays for as long as so many processes are in it.
    Populated(&'a Path, usize),
}

/// Why the command did not run.
#[derive(Debug)]
pub struct Stop {
    /// What failed.
    pub error: Error,
    /// The exit status for it: 125, or 126 and 127 where the command itself is to blame.
    pub status: u8,
    /// The step that failed, and the errno, for those who have words of their own; the errno is 0 where a helper program
    /// has said why.
    pub failed: Option<Box<(Action, i32)>>,
    /// The signal to us that ended it all; then whoever called should end by it.
    pub signal: Option<i32>,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self { error, status: 125, failed: None, signal: None }
    }
}

/// Whoever is told what happens.
pub(super) type Observer<'a> = &'a mut dyn FnMut(Event<'_>);

/// Does all that is planned and waits for the command. Without a child the command takes our place, and this returns
/// only if that failed.
///
/// The process must have one thread, and descriptors that the command is not to inherit need no care.
///
/// # Errors
/// A step failed; nothing is left of what was made.
pub fn apply(
    request: &Request,
    plan: &Plan,
    program: Program,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<Ending, Stop> {
    let steps = prepare(plan);
    match (request.in_place, plan.forks) {
        (true, _) => in_place::run(request, &steps, program, observer),
        (false, true) => parent::run(request, steps, program, observer),
        (false, false) => alone(&steps, program, observer),
    }
}

fn alone(steps: &[Prepared], mut program: Program, observer: Observer<'_>) -> Result<Ending, Stop> {
    let mut state = State::for_steps(steps);
    // What is made to mount on would stay if a signal ended us in between.
    let shield = state.trail.has_room().then(Shield::raise).transpose();
    let shield = shield.map_err(|error| Error::system("cannot block signals", error))?;
    let done = steps.iter().enumerate().filter(|(_, step)| !matches!(step.action, Action::Exec(_))).try_for_each(
        |(number, step)| {
            inside::carry_out(steps, number, &mut state).map_err(|error| failed(steps, step, &error))?;
            observer(Event::Done(&step.action));
            shield.as_ref().map_or(Ok(()), Shield::look)
        },
    );
    let stop = done.err().unwrap_or_else(|| {
        if let Some(shield) = &shield {
            shield.before.block_exactly();
        }
        let refusal = become_program(&mut program, &[], None, None);
        refused(steps, &refusal, &program)
    });
    // Worded first, for this changes who and where we are.
    state.trail.take_back();
    if let Some(shield) = &shield {
        shield.before.block_exactly();
    }
    Err(stop)
}

/// Holds up signals to this process.
struct Shield {
    signals: OwnedFd,
    before: SignalSet,
}

impl Shield {
    fn raise() -> io::Result<Self> {
        let all = SignalSet::all();
        Ok(Self { signals: all.descriptor()?, before: all.block_exactly() })
    }

    /// Lets through those that have come, but for one that asks for our end.
    fn look(&self) -> Result<(), Stop> {
        while let Some(received) = process::next_signal(self.signals.as_fd()) {
            match received.signal {
                signal if process::asks_for_our_end(signal) => return Err(ended_by(signal)),
                signal => process::let_through(signal),
            }
        }
        Ok(())
    }
}

/// Says that a signal to us ended it all.
pub(super) fn ended_by(signal: i32) -> Stop {
    let error = Error::new(ErrorKind::System, "ended by a signal before the command ran");
    Stop { signal: Some(signal), ..error.into() }
}

/// Words why the command could not be executed.
pub(super) fn refused(steps: &[Prepared], refusal: &Refusal, program: &Program) -> Stop {
    let step = steps.last().map(|step| Box::new((step.action.clone(), refusal.errno)));
    let root = steps.iter().find_map(|step| match &step.action {
        Action::OpenRoot { dir, .. } => Some(dir.as_c_str()),
        _ => None,
    });
    let mut error = refusal.explain_in(root, program.name(), program.candidates());
    if refusal.errno == libc::ENOENT && root.is_some() {
        error = error.with_hint("nothing outside of it can be run: put it there, or bind it (-m --ro-bind /usr)");
    }
    Stop { status: refusal.exit_status(), failed: step, ..error.into() }
}

/// Words the failure of a step.
pub(super) fn failed(steps: &[Prepared], step: &Prepared, error: &io::Error) -> Stop {
    let kinds = steps.iter().find_map(|step| match &step.action {
        Action::Create { kinds, .. } => Some(*kinds),
        _ => None,
    });
    let group = steps.iter().find_map(|step| match &step.action {
        Action::JoinCgroup(group) => Some(group.as_path()),
        _ => None,
    });
    let scene = Scene::gather(kinds.unwrap_or_default()).with_group(group);
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let error = diagnose::failure(&step.action, errno, &scene);
    Stop { failed: Some(Box::new((step.action.clone(), errno))), ..error.into() }
}
