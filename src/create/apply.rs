//! Follows a plan: in this process where no child is wanted, else as the parent of one.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;

use super::child::ChildSide;
use super::diagnose;
use super::inside::{self, Prepared, State};
use super::keeper::Keeper;
use super::outside;
use super::plan::{Action, Place, Plan};
use super::prepare::prepare;
use super::request::Request;
use super::scene::Scene;
use super::talk::{self, Listener, Word};
use crate::error::Error;
use crate::exec::{Child, Companion, Ending, Guardian, NoCompanion, Program, Supervisor, become_program, report};
use crate::id::Pid;
use crate::sys::create::{Cloned, clone};
use crate::sys::process::{self, SignalSet};

/// Something that has happened, for whoever wants to tell it.
#[derive(Debug)]
pub enum Event<'a> {
    /// The child was made; its number as seen from here.
    Child(Pid),
    /// A step is done.
    Done(&'a Action),
    /// The init reaped an orphan: its number inside, and how it ended.
    Reaped(Pid, Ending),
}

/// Why the command did not run.
#[derive(Debug)]
pub struct Stop {
    /// What failed.
    pub error: Error,
    /// The exit status for it: 125, or 126 and 127 where the command itself is to blame.
    pub status: u8,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self { error, status: 125 }
    }
}

type Observer<'a> = &'a mut dyn FnMut(Event<'_>);

/// Does all that is planned and waits for the command. Without a child the command takes our place, and this returns
/// only if that failed.
///
/// The process must have one thread.
///
/// # Errors
/// A step failed; nothing is left of what was made.
pub fn apply(request: &Request, plan: &Plan, program: Program, observer: Observer<'_>) -> Result<Ending, Stop> {
    let steps = prepare(plan);
    if plan.forks { Parent::run(request, steps, program, observer) } else { alone(&steps, program, observer) }
}

fn alone(steps: &[Prepared], mut program: Program, observer: Observer<'_>) -> Result<Ending, Stop> {
    let mut state = State::default();
    for step in steps {
        if matches!(step.action, Action::Exec(_)) {
            break;
        }
        inside::carry_out(step, &mut state).map_err(|error| failed(steps, step, &error))?;
        observer(Event::Done(&step.action));
    }
    let refusal = become_program(&mut program, &[], None, None, None);
    Err(Stop { error: refusal.explain(&program), status: refusal.exit_status() })
}

/// Words a failure.
fn failed(steps: &[Prepared], step: &Prepared, error: &io::Error) -> Stop {
    let kinds = steps.iter().find_map(|step| match &step.action {
        Action::Create { kinds, .. } => Some(*kinds),
        _ => None,
    });
    let scene = Scene::gather(kinds.unwrap_or_default());
    diagnose::failure(&step.action, error.raw_os_error().unwrap_or(libc::EIO), &scene).into()
}

fn own_trouble(what: &str, error: impl Into<io::Error>) -> Stop {
    Error::system(what, error).into()
}

/// The parent while it makes the child ready. Whatever ends this before the command runs, ends the child, and takes
/// back what is kept.
struct Parent {
    child: Child,
    armed: bool,
    keeper: Option<Keeper>,
    listener: Listener,
    go: OwnedFd,
    signals: OwnedFd,
}

impl Parent {
    fn run(
        request: &Request,
        steps: Vec<Prepared>,
        program: Program,
        observer: Observer<'_>,
    ) -> Result<Ending, Stop> {
        let created_by = steps.iter().position(|step| matches!(step.action, Action::Create { .. })).unwrap_or(0);
        let owner = steps.iter().any(|step| matches!(step.action, Action::BecomeOwner(..)));
        for step in steps[..created_by].iter().filter(|step| step.place == Place::Outside) {
            inside::carry_out(step, &mut State::default()).map_err(|error| failed(&steps, step, &error))?;
            observer(Event::Done(&step.action));
        }
        let Action::Create { kinds, .. } = steps[created_by].action else {
            return Err(own_trouble("cannot follow a plan without a child", io::ErrorKind::InvalidInput));
        };
        let pipes = || -> io::Result<_> {
            Ok((talk::pipe()?, report::pipe()?, rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?))
        };
        let pipes = pipes().map_err(|error| own_trouble("cannot make a pipe", error))?;
        let ((listener, speaker), (reports, report), (go, tell_go)) = pipes;
        let supervisor = Supervisor::prepare().map_err(|error| own_trouble("cannot catch signals", error))?;
        let signals = SignalSet::all().descriptor().map_err(|error| own_trouble("cannot catch signals", error))?;
        let side = ChildSide {
            steps: steps.clone(),
            created_by,
            program: program.clone(),
            speaker,
            report,
            go,
            tell: request.tell,
            death_signal: request.parent_death_signal.and_then(rustix::process::Signal::from_named_raw),
            sync_fd: request.sync_fd,
        };
        let flags = kinds.clone_flags();
        let made = if owner { clone(0, false) } else { clone(flags, false) };
        let pid = match made.map_err(|error| failed(&steps, &steps[created_by], &error))? {
            Cloned::Child => {
                // Its end would keep the child from seeing ours.
                drop((listener, tell_go, reports, signals));
                if owner { side.make_sibling(&supervisor, flags) } else { side.run(&supervisor) }
            }
            Cloned::Parent(pid) => pid,
        };
        drop(side);
        let mut parent =
            Self { child: Child::adopt(pid), armed: true, keeper: None, listener, go: tell_go, signals };
        if owner {
            parent.adopt_sibling(&steps)?;
        }
        observer(Event::Child(parent.child.pid()));
        parent.follow(request, &steps, created_by, observer)?;
        if let Some(failure) = reports.receive() {
            let refusal = failure.refusal.unwrap_or_else(|| crate::exec::Refusal::new(0, failure.errno));
            parent.keeper = None;
            return Err(Stop { error: refusal.explain(&program), status: refusal.exit_status() });
        }
        parent.supervise(request, &supervisor, observer)
    }

    /// Waits for the helper that has made the real child.
    fn adopt_sibling(&mut self, steps: &[Prepared]) -> Result<(), Stop> {
        let pid = loop {
            match self.hear(steps)? {
                Some(Word::Made(pid)) => break pid,
                Some(_) => {}
                None => return Err(self.lost()),
            }
        };
        let _ = self.child.wait(WaitOptions::empty());
        self.child = Child::adopt(pid);
        Ok(())
    }

    /// Goes through the steps with the child until it launches the program.
    fn follow(
        &mut self,
        request: &Request,
        steps: &[Prepared],
        created_by: usize,
        observer: Observer<'_>,
    ) -> Result<(), Stop> {
        let mut number = created_by + 1;
        let mut first = true;
        while number < steps.len() {
            if steps[number].place != Place::Outside {
                number += 1;
                first = false;
                continue;
            }
            if !first {
                self.hear_until(Word::Ready, steps, observer)?;
            }
            let group = steps[number..].iter().take_while(|step| step.place == Place::Outside).count();
            self.do_outside(request, steps, number..number + group, observer)?;
            // If the child has ended, the next word is missed, which tells more.
            let _ = rustix::io::write(&self.go, b"g");
            number += group;
            first = false;
        }
        self.hear_until(Word::Launched, steps, observer)
    }

    fn do_outside(
        &mut self,
        request: &Request,
        steps: &[Prepared],
        numbers: std::ops::Range<usize>,
        observer: Observer<'_>,
    ) -> Result<(), Stop> {
        let mut wanted = Vec::new();
        for number in numbers {
            let step = &steps[number];
            match &step.action {
                Action::Persist(kind, file) => {
                    wanted.push((number, *kind, file));
                    continue;
                }
                Action::AwaitMaps => self.await_maps(request)?,
                Action::TellChild => outside::tell_child(request, self.child.pid())
                    .map_err(|error| own_trouble("cannot tell the child's pid", error))?,
                Action::WriteMap { kind, map, writer: super::MapWriter::Helper } => {
                    outside::run_helper(*kind, map, self.child.pid())
                        .map_err(|failure| failure.stop(|error| failed(steps, step, error)))?;
                }
                _ => outside::write(step, self.child.pid()).map_err(|error| failed(steps, step, &error))?,
            }
            observer(Event::Done(&step.action));
        }
        if !wanted.is_empty() {
            let started = Keeper::start(self.child.pid(), &wanted);
            self.keeper = Some(started.map_err(|(number, error)| failed(steps, &steps[number], &error))?);
            wanted.iter().for_each(|(number, ..)| observer(Event::Done(&steps[*number].action)));
        }
        Ok(())
    }

    /// Waits until the descriptor says something or ends.
    fn await_maps(&mut self, request: &Request) -> Result<(), Stop> {
        let Some(number) = request.userns_block_fd else { return Ok(()) };
        let file = outside::inherited(number)
            .map_err(|error| own_trouble(&format!("cannot wait for descriptor {number}"), error))?;
        self.wait_for(file.as_fd(), None);
        Ok(())
    }

    /// Waits until `fd` can be read. If we are told to end meanwhile, we do.
    fn wait_for(&mut self, fd: std::os::fd::BorrowedFd<'_>, _none: Option<()>) {
        loop {
            let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            let _ = poll(&mut polled, None);
            let (ready, signalled) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
            if signalled
                && let Some(signal) = ending_signal(&self.signals)
            {
                self.end_child();
                self.keeper = None;
                Ending::Signaled(signal).mirror();
            }
            if ready {
                return;
            }
        }
    }
}
