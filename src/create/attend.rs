//! Attends to the command while it runs: hears what an init tells, and lets a command that is PID 1 feel its signals.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags};

use super::apply::{Event, Observer};
use super::first::First;
use super::talk::{Listener, Word};
use crate::exec::{Companion, Ending, stop_ourselves};
use crate::id::Pid;

/// What an init tells while the command runs; without one, the pipe closes at once.
pub(super) struct Attendant<'a> {
    listener: Option<&'a Listener>,
    /// How the command ended, which the init's own status cannot always say.
    ending: Option<Ending>,
    first: Option<First>,
    observer: Observer<'a>,
}

impl<'a> Attendant<'a> {
    pub(super) fn new(listener: &'a Listener, first: Option<First>, observer: Observer<'a>) -> Self {
        Self { listener: Some(listener), ending: None, first, observer }
    }

    /// Returns how the command ended as the init tells it, and if that was the doing of `first`.
    pub(super) fn endings(self) -> (Option<Ending>, Option<Ending>) {
        (self.ending, self.first.and_then(|first| first.ended_by()))
    }

    fn hear(&mut self) {
        match self.listener.and_then(Listener::hear) {
            Some(Word::Reaped(pid, ending)) => (self.observer)(Event::Reaped(pid, ending)),
            Some(Word::Ended(ending)) => self.ending = Some(ending),
            // The init itself cannot stop; for the shell that started us, we do.
            Some(Word::Stopped(signal)) => stop_ourselves(signal),
            Some(_) => {}
            None => self.listener = None,
        }
    }

    pub(super) fn hear_rest(&mut self) {
        while self.listener.is_some() {
            self.hear();
        }
    }
}

impl Companion for Attendant<'_> {
    fn watch<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        polled.extend(self.listener.map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)));
    }

    fn serve(&mut self, ready: &[PollFlags]) {
        if ready.first().is_some_and(|ready| !ready.is_empty()) {
            self.hear();
        }
    }

    fn take(&mut self, signal: i32) -> bool {
        self.first.as_mut().is_some_and(|first| first.suffer(signal))
    }

    fn stopped(&mut self, _child: Pid, signal: i32) -> bool {
        let cause = self.first.as_mut().and_then(|first| first.stopped_for(signal));
        cause.is_some_and(|cause| {
            stop_ourselves(cause);
            true
        })
    }

    fn before_stop(&mut self) {}

    fn after_stop(&mut self) {}

    fn orphaned(&mut self) {}
}
