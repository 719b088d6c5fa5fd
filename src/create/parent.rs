//! The parent: makes the child, does the steps outside while it waits, and looks after it.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;

use super::apply::{Event, Observer, Stop, ended_by, failed, refused};
use super::attend::Attendant;
use super::cgroup::Group;
use super::child::ChildSide;
use super::diagnose;
use super::facts::carries_namespace;
use super::first::First;
use super::inside::{self, Prepared, State};
use super::keeper::Keeper;
use super::outside;
use super::plan::{Action, MapWriter, Place};
use super::request::Request;
use super::talk::{self, Listener, Word};
use crate::error::{Error, ErrorKind};
use crate::exec::{Child, Ending, Gatekeeper, Guardian, Program, Refusal, Supervisor, gate, report};
use crate::kind::{KindSet, NamespaceKind};
use crate::proc::{self, Proc};
use crate::sys::create::{Cloned, clone, duplicate};
use crate::sys::process::{self, SignalSet};

/// Follows a plan with a child.
pub(super) fn run(
    request: &Request,
    steps: Vec<Prepared>,
    program: Program,
    observer: Observer<'_>,
) -> Result<Ending, Stop> {
    let created = steps.iter().enumerate().find_map(|(number, step)| match step.action {
        Action::Create { kinds, .. } => Some((number, kinds)),
        _ => None,
    });
    let Some((created_by, kinds)) = created else {
        return Err(Error::new(ErrorKind::Invalid, "the plan makes no child").into());
    };
    // Before all that is in it, so that it is dropped last.
    let mut group = None;
    for (number, step) in steps[..created_by].iter().enumerate().filter(|(_, step)| step.place == Place::Outside) {
        match &step.action {
            Action::MakeCgroup(path) => Group::make(path).map(|made| group = Some(made)),
            _ => inside::carry_out(&steps, number, &mut State::default()),
        }
        .map_err(|error| failed(&steps, step, &error))?;
        observer(Event::Done(&step.action));
    }
    let made = make(request, steps, program, created_by, kinds)?;
    let Made { mut parent, steps, program, supervisor } = made;
    if steps.iter().any(|step| matches!(step.action, Action::BecomeOwner(..))) {
        parent.adopt_sibling(&steps)?;
    }
    observer(Event::Child(parent.child.pid()));
    // While the child works, and before its program can run.
    let guardian = match (parent.gatekeeper.take(), request.parent_death_signal) {
        (Some(gatekeeper), Some(signal)) => {
            let guardian = Guardian::start_with(&parent.child, signal).map_err(diagnose::no_guardian)?;
            gatekeeper.open();
            guardian
        }
        _ => None,
    };
    parent.follow(request, &steps, created_by, observer)?;
    if let Some(failure) = parent.reports.receive() {
        let refusal = failure.refusal.unwrap_or_else(|| Refusal::new(0, failure.errno));
        return Err(refused(&steps, &refusal, &program));
    }
    let first = kinds.contains(NamespaceKind::Pid) && !request.init && !request.no_fork;
    let ending = parent.supervise(&supervisor, first, observer)?;
    drop(guardian);
    // The child was its PID 1, as the command or as its init. Somebody may have released the file meanwhile.
    if let Some((_, file)) = request.persist.iter().find(|(kind, _)| *kind == NamespaceKind::Pid)
        && carries_namespace(file)
    {
        observer(Event::Spent(file));
    }
    if let (Some(group), Some(path)) = (&group, &request.cgroup)
        && let count @ 1.. = group.population()
    {
        observer(Event::Populated(path, count));
    }
    drop(group);
    outside::tell_ending(request, ending);
    Ok(ending)
}

struct Made {
    parent: Parent,
    steps: Vec<Prepared>,
    program: Program,
    supervisor: Supervisor,
}

/// Makes the child; in it, this does not return.
fn make(
    request: &Request,
    steps: Vec<Prepared>,
    program: Program,
    created_by: usize,
    kinds: KindSet,
) -> Result<Made, Stop> {
    let trouble = |error: io::Error| Stop::from(Error::system("cannot prepare for a child", error));
    let (listener, speaker) = talk::pipe().map_err(trouble)?;
    let (reports, report) = report::pipe().map_err(trouble)?;
    let (go, tell_go) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| trouble(errno.into()))?;
    let death_signal = request.parent_death_signal.and_then(process::signal);
    // An init never changes its credentials, so that the kernel's own signal suffices.
    let (gate, gatekeeper) = match death_signal.filter(|_| !request.init) {
        Some(_) => gate().map(|(gate, keeper)| (Some(gate), Some(keeper))).map_err(trouble)?,
        None => (None, None),
    };
    let supervisor = Supervisor::prepare().map_err(trouble)?;
    let signals = SignalSet::all().descriptor().map_err(trouble)?;
    let owner = steps.iter().any(|step| matches!(step.action, Action::BecomeOwner(..)));
    let side = ChildSide {
        state: State::for_steps(&steps),
        steps,
        created_by,
        program,
        speaker,
        report,
        go,
        gate,
        tell: request.tell,
        death_signal,
        sync_fd: request.sync_fd,
        not_ours: [request.info_fd, request.json_status_fd, request.userns_block_fd],
    };
    let flags = kinds.clone_flags();
    match if owner { clone(0, false) } else { clone(flags, false) } {
        Ok(Cloned::Child) => {
            // Its copies would keep it from seeing our end.
            drop((listener, tell_go, reports, signals, gatekeeper));
            if owner { side.make_sibling(&supervisor, flags) } else { side.run(&supervisor) }
        }
        Ok(Cloned::Parent(pid)) => {
            let parent = Parent {
                child: Child::adopt(pid),
                armed: true,
                keeper: None,
                listener,
                reports,
                gatekeeper,
                go: Some(tell_go),
                signals,
                held: Vec::new(),
            };
            let ChildSide { steps, program, .. } = side;
            Ok(Made { parent, steps, program, supervisor })
        }
        Err(error) => {
            supervisor.release();
            Err(failed(&side.steps, &side.steps[created_by], &error))
        }
    }
}

/// The parent while it makes the child ready. Dropped before the command runs, it ends the child and takes back what was
/// kept.
struct Parent {
    child: Child,
    armed: bool,
    keeper: Option<Keeper>,
    listener: Listener,
    reports: report::Reader,
    gatekeeper: Option<Gatekeeper>,
    /// Closes with us, or when we want an end.
    go: Option<OwnedFd>,
    signals: OwnedFd,
    /// Signals that were taken, and that whoever waits for the command wants to see.
    held: Vec<i32>,
}

impl Drop for Parent {
    fn drop(&mut self) {
        if self.armed {
            self.await_undoing();
            self.child.signal(libc::SIGKILL);
            let _ = self.child.wait(WaitOptions::empty());
        }
    }
}

impl Parent {
    /// Lets the child take back what it made. Whoever signals us once more has no patience, and it is killed over that.
    fn await_undoing(&mut self) {
        self.gatekeeper = None;
        self.go = None;
        loop {
            let mut polled = [
                PollFd::from_borrowed_fd(self.reports.as_fd(), PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            let _ = poll(&mut polled, None);
            if !polled[0].revents().is_empty() {
                // It is done, has ended, or runs the command.
                return;
            }
            while let Some(received) = process::next_signal(self.signals.as_fd()) {
                if process::asks_for_our_end(received.signal) {
                    return;
                }
            }
        }
    }

    /// Waits for the helper that makes the real child.
    fn adopt_sibling(&mut self, steps: &[Prepared]) -> Result<(), Stop> {
        match self.hear()? {
            Word::Made(pid) => {
                let _ = self.child.wait(WaitOptions::empty());
                self.child = Child::adopt(pid);
                Ok(())
            }
            Word::Failed(number, errno) => Err(step_failed(steps, number, errno)),
            _ => Err(self.lost()),
        }
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
        let mut child_works = false;
        while number < steps.len() {
            let group = steps[number..].iter().take_while(|step| step.place == Place::Outside).count();
            if group == 0 {
                number += 1;
                child_works = true;
                continue;
            }
            if child_works {
                self.hear_until(Word::Ready, steps, observer)?;
            }
            self.do_outside(request, steps, number..number + group, observer)?;
            // If the child has ended, its silence tells.
            if let Some(go) = &self.go {
                let _ = rustix::io::write(go, b"!");
            }
            number += group;
            child_works = false;
        }
        self.hear_until(Word::Launched, steps, observer)
    }

    fn do_outside(
        &mut self,
        request: &Request,
        steps: &[Prepared],
        numbers: Range<usize>,
        observer: Observer<'_>,
    ) -> Result<(), Stop> {
        let pid = self.child.pid();
        let mut wanted = Vec::new();
        // Below a /proc of another pid namespace the child's number is somebody else.
        let through_proc = |action: &Action| {
            matches!(action, Action::WriteMap { .. } | Action::SetGroupsPolicy(_) | Action::TellChild(_))
                || matches!(action, Action::Persist(..))
        };
        if let Some(step) = steps[numbers.clone()].iter().find(|step| through_proc(&step.action))
            && let Some(trouble) = Proc::trouble()
        {
            return Err(proc::blame(format!("cannot {}", step.action), &trouble).into());
        }
        for number in numbers {
            let step = &steps[number];
            match &step.action {
                Action::Persist(kind, file) => {
                    wanted.push((number, *kind, file));
                    continue;
                }
                Action::AwaitMaps => self.await_maps(request)?,
                Action::TellChild(kinds) => outside::tell_child(request, *kinds, pid)
                    .map_err(|error| Error::system("cannot tell the child's pid and namespaces", error))?,
                Action::WriteMap { kind, map, writer: MapWriter::Helper } => outside::run_helper(*kind, map, pid)?,
                _ => outside::write(step, pid).map_err(|error| failed(steps, step, &error))?,
            }
            observer(Event::Done(&step.action));
        }
        if !wanted.is_empty() {
            let keeper = Keeper::start(pid, &wanted);
            self.keeper = Some(keeper.map_err(|(number, error)| failed(steps, &steps[number], &error))?);
            wanted.iter().for_each(|(number, ..)| observer(Event::Done(&steps[*number].action)));
        }
        Ok(())
    }

    /// Waits until the descriptor says something or ends.
    fn await_maps(&mut self, request: &Request) -> Result<(), Stop> {
        let Some(number) = request.userns_block_fd else { return Ok(()) };
        let file =
            duplicate(number).map_err(|error| Error::system(format!("cannot wait for descriptor {number}"), error))?;
        self.wait_for(Some(file.as_fd()))
    }

    /// Hears what the child says until it says `awaited`.
    fn hear_until(&mut self, awaited: Word, steps: &[Prepared], observer: Observer<'_>) -> Result<(), Stop> {
        loop {
            match self.hear()? {
                word if word == awaited => return Ok(()),
                Word::Done(number) => {
                    steps.get(number).iter().for_each(|step| observer(Event::Done(&step.action)));
                }
                Word::Failed(number, errno) => return Err(step_failed(steps, number, errno)),
                _ => return Err(self.lost()),
            }
        }
    }

    fn hear(&mut self) -> Result<Word, Stop> {
        self.wait_for(None)?;
        self.listener.hear().ok_or_else(|| self.lost())
    }

    /// Waits until `fd`, or what the child says, can be read. A signal that would end us, had we not blocked it, does so,
    /// child and all; and so does the child's end, for somebody else may hold the other side.
    fn wait_for(&mut self, fd: Option<BorrowedFd<'_>>) -> Result<(), Stop> {
        loop {
            let awaited = fd.unwrap_or(self.listener.as_fd());
            let mut polled =
                [PollFd::from_borrowed_fd(awaited, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            let _ = poll(&mut polled, None);
            if !polled[0].revents().is_empty() {
                return Ok(());
            }
            while let Some(received) = process::next_signal(self.signals.as_fd()) {
                if process::asks_for_our_end(received.signal) {
                    return Err(ended_by(received.signal));
                }
                // What a terminal sends has come to the child as well.
                if !received.is_from_terminal() && !self.held.contains(&received.signal) {
                    self.held.push(received.signal);
                }
            }
            if self.held.contains(&libc::SIGCHLD)
                && self.child.has_ended()
                && !is_readable(fd.unwrap_or(self.listener.as_fd()))
            {
                return Err(self.lost());
            }
        }
    }

    /// Says that the child ended without a word.
    fn lost(&mut self) -> Stop {
        self.armed = false;
        let how = match self.child.wait(WaitOptions::empty()).ok().flatten() {
            Some(status) if status.terminating_signal() == Some(libc::SIGSYS) => {
                "a seccomp filter killed it (SIGSYS)".to_owned()
            }
            Some(status) => match (status.terminating_signal(), status.exit_status()) {
                (Some(signal), _) => format!("signal {signal} killed it"),
                (None, Some(status)) => format!("it exited with {status}"),
                _ => "nobody knows why".to_owned(),
            },
            None => "nobody knows why".to_owned(),
        };
        Error::new(ErrorKind::System, "the child ended before the command ran").because(how).into()
    }

    /// Looks after the running command.
    fn supervise(mut self, supervisor: &Supervisor, first: bool, observer: Observer<'_>) -> Result<Ending, Stop> {
        self.armed = false;
        if let Some(keeper) = self.keeper.take() {
            keeper.confirm();
        }
        for signal in self.held.drain(..) {
            let _ = process::kill(rustix::process::getpid().as_raw_nonzero().get(), signal);
        }
        let first = first.then(|| First::new(self.child.pid()));
        let mut attendant = Attendant::new(&self.listener, first, observer);
        let waited = supervisor.wait(&self.child, None, None, &mut attendant);
        attendant.hear_rest();
        let (told, suffered) = attendant.endings();
        match waited {
            Ok(Ok(ending)) => {
                Ok(suffered.filter(|_| ending == Ending::Signaled(libc::SIGKILL)).or(told).unwrap_or(ending))
            }
            Ok(Err(failure)) => {
                Err(Error::system("cannot run the command", io::Error::from_raw_os_error(failure.errno)).into())
            }
            Err(error) => Err(Error::system("cannot wait for the child", error).into()),
        }
    }
}

fn step_failed(steps: &[Prepared], number: usize, errno: i32) -> Stop {
    match steps.get(number) {
        Some(step) => failed(steps, step, &io::Error::from_raw_os_error(errno)),
        None => Error::system("cannot set up the child", io::Error::from_raw_os_error(errno)).into(),
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}
