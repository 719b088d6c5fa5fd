//! What the child between does for the terminals.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::termios::{OptionalActions, Termios, tcsetattr};

use super::{Heard, heard, put_in_foreground, say};
use crate::exec::Companion;
use crate::id::Pid;
use crate::sys::process;

/// It puts the outer terminal right again if whoever should is gone, and asks for it when the command wants to read.
pub(crate) struct Keeper {
    terminal: Option<OwnedFd>,
    saved: Termios,
    wishes: Option<OwnedFd>,
    /// Who waits for the terminal.
    waiting: Option<Pid>,
}

impl Keeper {
    pub(super) fn new(terminal: Option<OwnedFd>, saved: Termios, wishes: Option<OwnedFd>) -> Self {
        Self { terminal, saved, wishes, waiting: None }
    }

    /// Tells whether the command begins in the foreground of the inner terminal.
    pub(crate) fn starts_in_foreground(&self) -> bool {
        self.wishes.is_none()
    }
}

impl Companion for Keeper {
    fn watch<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        polled.extend(self.wishes.as_ref().map(|wishes| PollFd::new(wishes, PollFlags::IN)));
    }

    fn serve(&mut self, ready: &[PollFlags]) {
        let Some(wishes) = self.wishes.as_ref().filter(|_| ready.first().is_some_and(|ready| !ready.is_empty())) else {
            return;
        };
        if heard(wishes) == Heard::Nothing {
            return;
        }
        // It is ours from now on; or nobody is left to ask.
        self.wishes = None;
        if let Some(child) = self.waiting.take() {
            if let Some(group) = rustix::process::Pid::from_raw(child) {
                put_in_foreground(group);
            }
            let _ = process::kill(-child, libc::SIGCONT);
        }
    }

    fn stopped(&mut self, child: Pid, signal: i32) -> bool {
        let Some(wishes) = self.wishes.as_ref().filter(|_| matches!(signal, libc::SIGTTIN | libc::SIGTTOU)) else {
            return false;
        };
        self.waiting = Some(child);
        say(wishes);
        true
    }

    fn take(&mut self, _signal: i32) -> bool {
        false
    }
    fn before_stop(&mut self) {}
    fn after_stop(&mut self) {}
    fn orphaned(&mut self) {
        if let Some(terminal) = &self.terminal {
            let _ = tcsetattr(terminal, OptionalActions::Now, &self.saved);
        }
    }
}
