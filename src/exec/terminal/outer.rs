//! The outer side: it looks after the user's terminal.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::line::{Line, Word};
use super::{Inner, Keeper};
use crate::exec::Companion;
use crate::id::Pid;
use crate::sys::job::{self, Ground};
use crate::sys::process;

/// Room for what is on its way.
const ROOM: usize = 16 * 1024;
/// What is written to the outer terminal at once, so that one that is held up (Ctrl-S) does not hold us up.
const PIECE: usize = 1024;
/// More than can be on its way inside: what is read beyond that was printed since.
const ON_ITS_WAY: usize = 256 * 1024;

/// Ctrl-D.
const END_OF_FILE: u8 = 4;

/// Who has the outer terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Others, until the command wants it: in a pipeline or the background.
    Others,
    /// The command asked, and waits.
    Asked,
    /// The command; we read whenever we are in the foreground.
    Ours,
}

/// The outer side: the user's terminal and our end of the pseudo-terminal.
pub(crate) struct Outer {
    /// Absent once nobody is at its other end, or the user's terminal is gone.
    master: Option<OwnedFd>,
    /// The user's terminal.
    terminal: OwnedFd,
    saved: Termios,
    /// Which of descriptors 0 to 2 are that terminal.
    standard: [bool; 3],
    raw: bool,
    /// To the child between, where there is one.
    line: Option<Line>,
    /// Whether the inner terminal still has the modes that another job, such as a shell's line editor, had set outside.
    foreign_modes: bool,
    turn: Turn,
    /// Whether the child between said that it stops, since a key stopped the command.
    stops: bool,
    typed: Vec<u8>,
    printed: Vec<u8>,
    terminal_open: bool,
    /// Whether a signal came that asks for our end.
    told_to_end: bool,
}

impl Outer {
    pub(super) fn new(
        master: OwnedFd,
        terminal: OwnedFd,
        saved: Termios,
        standard: [bool; 3],
        line: Option<Line>,
        background: bool,
        foreign_modes: bool,
    ) -> Self {
        Self {
            master: Some(master),
            terminal,
            saved,
            standard,
            raw: false,
            turn: if background { Turn::Others } else { Turn::Ours },
            line,
            stops: false,
            foreign_modes,
            typed: Vec::with_capacity(ROOM),
            printed: Vec::with_capacity(ROOM),
            terminal_open: true,
            told_to_end: false,
        }
    }

    /// In the child: lets go of everything but what puts the outer terminal right again.
    pub(crate) fn forsake(self, inner: &mut Inner) -> Keeper {
        // Dropping ourselves closes the master, and leaves the terminal as it is: it is not raw yet.
        let terminal = self.terminal.try_clone().ok().filter(|_| self.standard[0]);
        Keeper::new(terminal, self.saved.clone(), inner.line.take(), inner.background)
    }

    /// Begins: the outer terminal becomes raw, if it is ours to change.
    pub(crate) fn begin(&mut self) {
        self.follow_foreground();
    }

    /// Sets raw mode unless we are in the background of the terminal, where it belongs to another job.
    fn follow_foreground(&mut self) {
        if self.raw || self.turn == Turn::Others || !self.standard[0] || self.ground() == Ground::Background {
            return;
        }
        // What another job left behind is what we restore.
        if let Ok(modes) = tcgetattr(&self.terminal) {
            self.saved = modes;
        }
        if let Some(master) = self.master.as_ref().filter(|_| std::mem::take(&mut self.foreign_modes)) {
            let _ = tcsetattr(master, OptionalActions::Now, &self.saved);
        }
        self.raw = tcsetattr(&self.terminal, OptionalActions::Now, &self.raw_modes()).is_ok();
    }

    fn raw_modes(&self) -> Termios {
        let mut modes = self.saved.clone();
        modes.make_raw();
        if !(self.standard[1] && self.standard[2]) {
            // What goes past us still needs its line ends processed.
            modes.output_modes = self.saved.output_modes;
        }
        modes
    }

    /// Goes on after a stop, or perhaps only where we stand has changed.
    fn go_on(&mut self) {
        self.pass_size_on();
        // A shell that we were stopped under has set modes of its own.
        let wanted = self.raw_modes();
        let is_ours = |now: Termios| (now.local_modes, now.input_modes) == (wanted.local_modes, wanted.input_modes);
        if self.raw && (self.ground() == Ground::Background || !tcgetattr(&self.terminal).is_ok_and(is_ours)) {
            self.raw = false;
        }
        self.follow_foreground();
        if self.turn == Turn::Ours && !self.raw && self.standard[0] && self.ground() == Ground::Background {
            self.yield_turn();
        }
        self.grant();
    }

    /// Leaves the terminal to others until the command asks for it.
    fn yield_turn(&mut self) {
        if let Some(line) = &self.line {
            line.say(Word::Background);
            self.turn = Turn::Others;
        }
    }

    /// Gives a command that asked for the terminal its turn when we have it. In the background we stop, as it would.
    fn grant(&mut self) {
        let Some(line) = self.line.as_ref().filter(|_| self.turn == Turn::Asked) else { return };
        if self.raw {
            line.say(Word::Foreground);
            self.turn = Turn::Ours;
        } else if self.ground() == Ground::Background {
            // What the command printed before it asked, such as the question.
            self.drain();
            // The kernel stops the whole job of whoever reads. SIGCONT brings us back here.
            job::stop_group(libc::SIGTTIN);
        }
    }

    /// Follows all that the child between said.
    fn listen(&mut self) {
        while let Some(line) = &self.line {
            match line.hear() {
                Word::Wish => {
                    self.turn = Turn::Asked;
                    self.follow_foreground();
                    self.grant();
                }
                Word::Stopped => self.stops = true,
                Word::End => self.line = None,
                Word::Nothing => return,
                Word::Foreground | Word::Background => {}
            }
        }
    }

    /// The user's terminal is gone: so shall the inner one be.
    fn hang_up(&mut self) {
        self.terminal_open = false;
        self.printed.clear();
        self.typed.clear();
        self.master = None;
    }

    fn ground(&self) -> Ground {
        job::ground(self.terminal.as_fd())
    }

    fn restore(&mut self) {
        if self.raw {
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.saved);
            self.raw = false;
        }
    }

    pub(super) fn pass_size_on(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.terminal)
            && let Some(master) = &self.master
        {
            let _ = rustix::termios::tcsetwinsize(master, size);
        }
    }

    /// Prints what is left after the command's end, and puts the terminal right.
    pub(crate) fn finish(&mut self) {
        self.drain();
        self.restore();
    }

    /// Prints all that was printed inside so far; somebody in the background there may go on printing.
    fn drain(&mut self) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut count = 0;
        self.print_all();
        while let Some(master) = self.master.as_ref().filter(|_| count < ON_ITS_WAY) {
            // poll(2) also makes the kernel hand over what is on its way.
            let mut polled = [PollFd::new(master, PollFlags::IN)];
            match poll(&mut polled, Some(&now)) {
                Ok(0) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
                Ok(_) => {
                    self.read_printed();
                    count += self.printed.len();
                    self.print_all();
                }
            }
        }
    }

    /// Prints what was read, however long the terminal is held up (Ctrl-S); but whoever was told to end does not wait for
    /// one that takes nothing.
    fn print_all(&mut self) {
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        while !self.printed.is_empty() {
            let mut polled = [PollFd::new(&self.terminal, PollFlags::OUT)];
            match poll(&mut polled, Some(&patience)) {
                Ok(0) if self.told_to_end || process::is_our_end_pending() => return self.printed.clear(),
                Ok(0) => {}
                _ => self.print_some(),
            }
        }
    }

    fn read_printed(&mut self) {
        let Some(master) = &self.master else { return };
        match read_into(master, &mut self.printed) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // EIO: nobody has the inner terminal open any more.
            Ok(0) | Err(_) => self.master = None,
            Ok(_) => {}
        }
    }

    fn print_some(&mut self) {
        let piece = self.printed.len().min(PIECE);
        match rustix::io::write(&self.terminal, &self.printed[..piece]) {
            Ok(count) => drop(self.printed.drain(..count)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.hang_up(),
        }
    }

    fn read_typed(&mut self) {
        match read_into(&self.terminal, &mut self.typed) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // EIO: also that we have been put in the background; then nothing is to be read until the command asks.
            Err(rustix::io::Errno::IO) if self.raw => {
                self.raw = false;
                self.yield_turn();
            }
            // Somebody put the terminal out of raw mode, and its user typed an end of file: it is for the command.
            Ok(0) if !self.is_hung_up() => self.typed.push(END_OF_FILE),
            Ok(0) | Err(_) => self.hang_up(),
            Ok(_) => {}
        }
    }

    fn is_hung_up(&self) -> bool {
        let mut polled = [PollFd::new(&self.terminal, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_err() || polled[0].revents().contains(PollFlags::HUP)
    }
}

fn read_into(from: &OwnedFd, buffer: &mut Vec<u8>) -> rustix::io::Result<usize> {
    buffer.reserve(ROOM.saturating_sub(buffer.len()));
    rustix::io::read(from, rustix::buffer::spare_capacity(buffer))
}

impl Companion for Outer {
    fn watch<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        let mut master = PollFlags::empty();
        if self.printed.is_empty() {
            master |= PollFlags::IN;
        }
        if !self.typed.is_empty() {
            master |= PollFlags::OUT;
        }
        let mut terminal = PollFlags::empty();
        if self.raw && self.typed.is_empty() {
            terminal |= PollFlags::IN;
        }
        if !self.printed.is_empty() {
            terminal |= PollFlags::OUT;
        }
        // One that is closed is always ready, so it is watched no more; -1 would do, but a borrowed descriptor cannot
        // be that. Of the terminal we also want to hear when it hangs up: it need not be our controlling one.
        if let Some(open) = &self.master {
            polled.push(PollFd::new(open, master));
        }
        if self.terminal_open {
            polled.push(PollFd::new(&self.terminal, terminal));
        }
        polled.extend(self.line.as_ref().map(|line| PollFd::new(line, PollFlags::IN)));
    }

    fn serve(&mut self, ready: &[PollFlags]) {
        let spoke = self.line.is_some() && ready.last().is_some_and(|ready| !ready.is_empty());
        let places = ready.len() - usize::from(self.line.is_some()).min(ready.len());
        let mut ready = ready.iter().copied().take(places);
        let master = self.master.as_ref().and_then(|_| ready.next()).unwrap_or(PollFlags::empty());
        let terminal = ready.next().unwrap_or(PollFlags::empty());
        let gone = PollFlags::HUP | PollFlags::ERR;
        if let Some(open) = self.master.as_ref().filter(|_| master.contains(PollFlags::OUT)) {
            match rustix::io::write(open, &self.typed) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(_) => self.typed.clear(),
            }
        }
        if master.intersects(PollFlags::IN | gone) && self.printed.is_empty() {
            self.read_printed();
        }
        if terminal.contains(PollFlags::OUT) {
            self.print_some();
        }
        if terminal.contains(PollFlags::IN) {
            self.read_typed();
        } else if terminal.intersects(gone) {
            self.hang_up();
        }
        if spoke {
            self.listen();
        }
    }

    fn press(&mut self, signal: i32) -> bool {
        matches!(signal, libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP)
            && self.master.as_ref().is_some_and(|master| job::press_key(master.as_fd(), signal).is_ok())
    }

    fn take(&mut self, signal: i32) -> bool {
        match signal {
            libc::SIGWINCH => {
                self.pass_size_on();
                true
            }
            // The shell may have put us in the foreground.
            libc::SIGCONT => {
                self.go_on();
                false
            }
            // Reading or writing in the background; nothing to stop inside.
            libc::SIGTTIN | libc::SIGTTOU => true,
            _ => {
                self.told_to_end |= process::asks_for_our_end(signal);
                false
            }
        }
    }

    fn stopped(&mut self, child: Pid, _signal: i32) -> bool {
        self.listen();
        if !std::mem::take(&mut self.stops) {
            // By no key: whoever did it knows how to go on.
            return false;
        }
        self.before_stop();
        job::stop_group(libc::SIGTSTP);
        self.go_on();
        // It leads its session's first group. Where the kernel did not stop us, nobody else would let it go on.
        let _ = process::kill(-child, libc::SIGCONT);
        true
    }

    fn before_stop(&mut self) {
        self.drain();
        self.restore();
    }

    fn after_stop(&mut self) {
        self.go_on();
    }

    fn orphaned(&mut self) {}
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.restore();
    }
}
