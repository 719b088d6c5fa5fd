//! The outer side: it looks after the user's terminal.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{Heard, Inner, Keeper, heard, say};
use crate::exec::Companion;
use crate::sys::job::{self, Ground};
use crate::sys::process;

/// Room for what is on its way.
const ROOM: usize = 16 * 1024;
/// What is written to the outer terminal at once, so that one that is held up (Ctrl-S) does not hold us up.
const PIECE: usize = 1024;

/// The outer side: the user's terminal and our end of the pseudo-terminal.
pub(crate) struct Outer {
    master: OwnedFd,
    /// The user's terminal.
    terminal: OwnedFd,
    saved: Termios,
    /// Which of descriptors 0 to 2 are that terminal.
    standard: [bool; 3],
    raw: bool,
    /// In a pipeline or the background: from where the child between asks for the terminal.
    wishes: Option<OwnedFd>,
    /// Whether the inner terminal still has the modes that another job, such as a shell's line editor, had set outside.
    foreign_modes: bool,
    /// Whether typed words are for us: at once, or when the command asked.
    wanted: bool,
    typed: Vec<u8>,
    printed: Vec<u8>,
    master_open: bool,
    terminal_open: bool,
}

impl Outer {
    pub(super) fn new(
        master: OwnedFd,
        terminal: OwnedFd,
        saved: Termios,
        standard: [bool; 3],
        wishes: Option<OwnedFd>,
        foreign_modes: bool,
    ) -> Self {
        Self {
            master,
            terminal,
            saved,
            standard,
            raw: false,
            wanted: wishes.is_none(),
            wishes,
            foreign_modes,
            typed: Vec::with_capacity(ROOM),
            printed: Vec::with_capacity(ROOM),
            master_open: true,
            terminal_open: true,
        }
    }

    /// In the child: lets go of everything but what puts the outer terminal right again.
    pub(crate) fn forsake(self, inner: &mut Inner) -> Keeper {
        // Dropping ourselves closes the master, and leaves the terminal as it is: it is not raw yet.
        let terminal = self.terminal.try_clone().ok().filter(|_| self.standard[0]);
        Keeper::new(terminal, self.saved.clone(), inner.wishes.take())
    }

    /// Begins: the outer terminal becomes raw, if it is ours to change.
    pub(crate) fn begin(&mut self) {
        self.follow_foreground();
    }

    /// Sets raw mode if we are in the foreground of the terminal. In the background it belongs to another job.
    fn follow_foreground(&mut self) {
        if self.raw || !self.wanted || !self.standard[0] || self.ground() != Ground::Foreground {
            return;
        }
        // What another job left behind is what we restore.
        if let Ok(modes) = tcgetattr(&self.terminal) {
            self.saved = modes;
        }
        if std::mem::take(&mut self.foreign_modes) {
            let _ = tcsetattr(&self.master, OptionalActions::Now, &self.saved);
        }
        let mut modes = self.saved.clone();
        modes.make_raw();
        if !(self.standard[1] && self.standard[2]) {
            // What goes past us still needs its line ends processed.
            modes.output_modes = self.saved.output_modes;
        }
        self.raw = tcsetattr(&self.terminal, OptionalActions::Now, &modes).is_ok();
    }

    /// The command wants to read: it may when we have the terminal. In the background we stop, as it would.
    fn grant(&mut self) {
        if self.wishes.is_none() || !self.wanted {
            return;
        }
        self.follow_foreground();
        if self.raw {
            self.wishes.take().iter().for_each(say);
        } else if self.ground() == Ground::Background {
            // The kernel stops the whole job of whoever reads, and we catch what it sends.
            let _ = process::kill(0, libc::SIGTTIN);
            let _ = process::kill(rustix::process::getpid().as_raw_nonzero().get(), libc::SIGSTOP);
        }
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
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.terminal) {
            let _ = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }

    /// Prints what is left after the command's end, and puts the terminal right.
    pub(crate) fn finish(&mut self) {
        self.drain();
        self.restore();
    }

    /// Prints all that was printed inside so far.
    fn drain(&mut self) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        while self.master_open {
            self.print_all();
            // poll(2) also makes the kernel hand over what is on its way.
            let mut polled = [PollFd::new(&self.master, PollFlags::IN)];
            match poll(&mut polled, Some(&now)) {
                Ok(0) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
                Ok(_) => self.read_printed(),
            }
        }
        self.print_all();
    }

    fn print_all(&mut self) {
        while !self.printed.is_empty() {
            // Somebody may have made it one that does not wait by itself.
            let mut polled = [PollFd::new(&self.terminal, PollFlags::OUT)];
            let _ = poll(&mut polled, None);
            self.print_some();
        }
    }

    fn read_printed(&mut self) {
        match read_into(&self.master, &mut self.printed) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // EIO: nobody has the inner terminal open any more.
            Ok(0) | Err(_) => self.master_open = false,
            Ok(_) => {}
        }
    }

    fn print_some(&mut self) {
        let piece = self.printed.len().min(PIECE);
        match rustix::io::write(&self.terminal, &self.printed[..piece]) {
            Ok(count) => drop(self.printed.drain(..count)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // The terminal is gone: so is whoever would read.
            Err(_) => {
                self.printed.clear();
                self.terminal_open = false;
            }
        }
    }

    fn read_typed(&mut self) {
        match read_into(&self.terminal, &mut self.typed) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // EIO: also that we have been put in the background; then nothing is to be read until SIGCONT.
            Err(rustix::io::Errno::IO) if self.raw => self.raw = false,
            Ok(0) | Err(_) => self.terminal_open = false,
            Ok(_) => {}
        }
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
        // be that.
        if self.master_open {
            polled.push(PollFd::new(&self.master, master));
        }
        if self.terminal_open && !terminal.is_empty() {
            polled.push(PollFd::new(&self.terminal, terminal));
        }
        polled.extend(self.wishes.as_ref().map(|wishes| PollFd::new(wishes, PollFlags::IN)));
    }

    fn serve(&mut self, ready: &[PollFlags]) {
        let asked = self.wishes.as_ref().filter(|_| ready.last().is_some_and(|ready| !ready.is_empty())).map(heard);
        let places = ready.len() - usize::from(self.wishes.is_some()).min(ready.len());
        let mut ready = ready.iter().copied().take(places);
        let master = if self.master_open { ready.next().unwrap_or(PollFlags::empty()) } else { PollFlags::empty() };
        let terminal = ready.next().unwrap_or(PollFlags::empty());
        let gone = PollFlags::HUP | PollFlags::ERR;
        if master.contains(PollFlags::OUT) {
            match rustix::io::write(&self.master, &self.typed) {
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
            self.terminal_open = false;
            self.printed.clear();
        }
        match asked {
            Some(Heard::Word) => {
                self.wanted = true;
                self.grant();
            }
            Some(Heard::End) => self.wishes = None,
            Some(Heard::Nothing) | None => {}
        }
    }

    fn take(&mut self, signal: i32) -> bool {
        match signal {
            libc::SIGWINCH => {
                self.pass_size_on();
                true
            }
            // The shell may have put us in the foreground.
            libc::SIGCONT => {
                self.pass_size_on();
                self.follow_foreground();
                self.grant();
                false
            }
            // Reading or writing in the background; nothing to stop inside.
            libc::SIGTTIN | libc::SIGTTOU => true,
            _ => false,
        }
    }

    fn before_stop(&mut self) {
        self.drain();
        self.restore();
    }

    fn after_stop(&mut self) {
        self.pass_size_on();
        self.follow_foreground();
    }

    fn orphaned(&mut self) {}
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.restore();
    }
}
