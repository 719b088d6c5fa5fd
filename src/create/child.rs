//! The child: does its steps, then becomes the command, or an init with the command as its child. From the fork on it
//! allocates nothing.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};

use super::init;
use super::inside::{self, Prepared, State};
use super::plan::{Action, Place};
use super::talk::{Speaker, Word};
use crate::exec::report::Writer;
use crate::exec::{Failure, Gate, Program, Supervisor, become_program, die_with_parent};
use crate::sys::create::{Cloned, clone, close_inherited};
use crate::sys::pidfd;
use crate::sys::process::{self, Fork};

/// The exit status of a child that could not do its steps; the parent tells why.
const TROUBLE: i32 = 125;

/// All that the child needs, made before the fork.
pub(super) struct ChildSide {
    pub(super) steps: Vec<Prepared>,
    pub(super) state: State,
    /// The number of the step that creates the child.
    pub(super) created_by: usize,
    pub(super) program: Program,
    pub(super) speaker: Speaker,
    pub(super) report: Writer,
    /// One byte comes when the steps outside are done; its end means that nstool wants one, or is gone.
    pub(super) go: OwnedFd,
    /// Where the child waits for its guardian, if it gets one.
    pub(super) gate: Option<Gate>,
    pub(super) tell: bool,
    pub(super) death_signal: Option<Signal>,
    pub(super) sync_fd: Option<RawFd>,
    /// Descriptors of nstool's own business, which somebody may wait to see closed.
    pub(super) not_ours: [Option<RawFd>; 3],
}

impl ChildSide {
    /// Takes on the owner's ids and makes the child that lives in the new namespaces, as a child of our parent.
    pub(super) fn make_sibling(mut self, supervisor: &Supervisor, flags: u32) -> ! {
        let _ = die_with_parent(supervisor);
        let before = self.created_by.saturating_sub(1);
        if let Err(error) = inside::carry_out(&self.steps, before, &mut self.state) {
            self.fail(before, &error);
        }
        // Changed ids make a process undumpable, and its files in /proc root's; the sibling inherits that.
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
        match clone(flags, true) {
            Ok(Cloned::Child) => self.run(supervisor),
            Ok(Cloned::Parent(pid)) => {
                self.speaker.say(Word::Made(pid));
                process::exit_now(0)
            }
            Err(error) => self.fail(self.created_by, &error),
        }
    }

    /// Does the steps.
    pub(super) fn run(mut self, supervisor: &Supervisor) -> ! {
        let _ = die_with_parent(supervisor);
        self.not_ours.into_iter().flatten().filter(|fd| *fd > 2).for_each(close_inherited);
        let mut worked = false;
        let mut awaited = false;
        for number in self.created_by + 1..self.steps.len() {
            match (self.steps[number].place, &self.steps[number].action) {
                (Place::Outside, _) => {
                    if !awaited {
                        self.await_outside(worked);
                        awaited = true;
                    }
                    continue;
                }
                (_, Action::StartInit) => self.start_init(number),
                (_, Action::Exec(_)) => self.execute(supervisor, number),
                _ => {}
            }
            awaited = false;
            worked = true;
            if self.state.trail.has_room() && self.is_forsaken() {
                self.give_up();
            }
            match inside::carry_out(&self.steps, number, &mut self.state) {
                Ok(()) if self.tell => self.speaker.say(Word::Done(number)),
                Ok(()) => {}
                Err(error) => self.fail(number, &error),
            }
        }
        process::exit_now(TROUBLE)
    }

    fn await_outside(&mut self, worked: bool) {
        // The parent begins by itself; later it has to be told that it is its turn.
        if worked {
            self.speaker.say(Word::Ready);
        }
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.go, &mut byte) {
                Ok(1) => return,
                Err(Errno::INTR) => {}
                _ => self.give_up(),
            }
        }
    }

    /// Ends without having run the command.
    fn give_up(&mut self) -> ! {
        self.state.trail.take_back();
        process::exit_now(TROUBLE)
    }

    /// Tells whether nstool wants an end, or is gone.
    fn is_forsaken(&self) -> bool {
        let mut polled = [PollFd::new(&self.go, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::HUP)
    }

    /// Goes on as the command's process; what stays is the init.
    fn start_init(&mut self, number: usize) {
        // Before there is a command, which could be quicker.
        let hidden = init::hide();
        match process::fork() {
            Ok(Fork::Child) => {
                hidden.undo();
                self.death_signal = None;
            }
            Ok(Fork::Parent(command)) => {
                // Up to here it was SIGKILL, whatever is asked for.
                if self.death_signal != Some(Signal::KILL)
                    && let Err(error) = rustix::process::set_parent_process_death_signal(self.death_signal)
                {
                    self.fail(number, &error.into());
                }
                init::run(command, &self.speaker, self.tell, self.sync_fd)
            }
            Err(error) => self.fail(number, &error),
        }
    }

    fn execute(&mut self, supervisor: &Supervisor, number: usize) -> ! {
        // Anew, for the steps may have changed credentials, which undoes it.
        let set = match self.death_signal {
            Some(Signal::KILL) => die_with_parent(supervisor),
            // The guardian, which we wait for at the gate, sends it. A program that catches it shall not hear it twice.
            Some(_) if self.gate.is_some() && pidfd::OPEN.present() == Some(true) => {
                rustix::process::set_parent_process_death_signal(None).map_err(io::Error::from)
            }
            other => rustix::process::set_parent_process_death_signal(other).map_err(io::Error::from),
        };
        if let Err(error) = set {
            self.fail(number, &error);
        }
        if self.gate.as_ref().is_some_and(|gate| !gate.pass()) || self.is_forsaken() {
            self.give_up();
        }
        self.speaker.say(Word::Launched);
        let refusal = become_program(&mut self.program, &[], None, Some(supervisor));
        self.state.trail.take_back();
        self.report.send(&Failure { step: number as u32, errno: refusal.errno, refusal: Some(refusal) });
        process::exit_now(i32::from(refusal.exit_status()))
    }

    fn fail(&mut self, number: usize, error: &io::Error) -> ! {
        self.state.trail.take_back();
        self.speaker.say(Word::Failed(number, error.raw_os_error().unwrap_or(libc::EIO)));
        process::exit_now(TROUBLE)
    }
}
