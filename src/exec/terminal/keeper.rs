//! What the child between does for the terminals.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::termios::{OptionalActions, Termios, tcsetattr};

use super::line::{Line, Word};
use super::{foreground_group, put_in_foreground};
use crate::exec::Companion;
use crate::id::Pid;
use crate::sys::process;

/// It puts the outer terminal right again if whoever should is gone; asks for it when a command in the background wants
/// to read; and says when a key stopped the command.
pub(crate) struct Keeper {
    terminal: Option<OwnedFd>,
    saved: Termios,
    line: Option<Line>,
    /// Whether the command is in the background of the inner terminal, since we do not have the outer one.
    background: bool,
    /// Who waits for the terminal.
    waiting: Option<Pid>,
    /// Who was in the foreground inside when the outer terminal went to others.
    before: Option<rustix::process::Pid>,
}

impl Keeper {
    pub(super) fn new(terminal: Option<OwnedFd>, saved: Termios, line: Option<Line>, background: bool) -> Self {
        Self { terminal, saved, line, background, waiting: None, before: None }
    }

    /// Tells whether the command begins in the foreground of the inner terminal.
    pub(crate) fn starts_in_foreground(&self) -> bool {
        !self.background
    }

    /// Follows all that the outer side said.
    fn listen(&mut self) {
        while let Some(line) = &self.line {
            match line.hear() {
                Word::Foreground => self.have_turn(),
                Word::Background if !self.background => {
                    self.background = true;
                    self.before = foreground_group();
                    put_in_foreground(rustix::process::getpid());
                }
                // Nobody is left to ask.
                Word::End => {
                    self.line = None;
                    self.have_turn();
                }
                Word::Nothing => return,
                Word::Background | Word::Wish | Word::Stopped => {}
            }
        }
    }

    fn have_turn(&mut self) {
        self.background = false;
        let Some(child) = self.waiting.take() else { return };
        let back = self.before.take().is_some_and(put_in_foreground);
        if let Some(group) = rustix::process::Pid::from_raw(child).filter(|_| !back) {
            put_in_foreground(group);
        }
        let _ = process::kill(-child, libc::SIGCONT);
    }
}

impl Companion for Keeper {
    fn watch<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        polled.extend(self.line.as_ref().map(|line| PollFd::new(line, PollFlags::IN)));
    }

    fn serve(&mut self, ready: &[PollFlags]) {
        if ready.first().is_some_and(|ready| !ready.is_empty()) {
            self.listen();
        }
    }

    fn stopped(&mut self, child: Pid, signal: i32) -> bool {
        let Some(line) = &self.line else { return false };
        match signal {
            libc::SIGTTIN | libc::SIGTTOU if self.background => {
                self.waiting = Some(child);
                line.say(Word::Wish);
                true
            }
            libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP => {
                line.say(Word::Stopped);
                false
            }
            _ => false,
        }
    }

    fn take(&mut self, _signal: i32) -> bool {
        false
    }
    fn before_stop(&mut self) {}
    fn after_stop(&mut self) {
        // Before SIGCONT is passed on, so that the command does not read what is meant for others.
        self.listen();
    }
    fn orphaned(&mut self) {
        if let Some(terminal) = &self.terminal {
            let _ = tcsetattr(terminal, OptionalActions::Now, &self.saved);
        }
    }
}
