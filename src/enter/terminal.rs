//! A pseudo-terminal between the outer terminal and the command.
//!
//! A program that holds our terminal can type into it (TIOCSTI, TIOCLINUX), and what it typed is executed by our shell
//! when it is gone. So the command gets a terminal of its own, and we pass on what is typed and printed. The outer one
//! is in raw mode meanwhile: control keys act inside.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

use crate::error::{Error, Result};
use crate::exec::Companion;

/// Room for what is on its way.
const ROOM: usize = 16 * 1024;
/// What is written to the outer terminal at once, so that one that is held up (Ctrl-S) does not hold us up.
const PIECE: usize = 1024;

/// The outer side: the user's terminal and our end of the pseudo-terminal.
pub(super) struct Outer {
    master: OwnedFd,
    /// The user's terminal.
    terminal: OwnedFd,
    saved: Termios,
    /// Which of descriptors 0 to 2 are that terminal.
    standard: [bool; 3],
    raw: bool,
    typed: Vec<u8>,
    printed: Vec<u8>,
    master_open: bool,
    terminal_open: bool,
}

/// The inner side, for the child.
pub(super) struct Inner {
    slave: OwnedFd,
    standard: [bool; 3],
}

/// Opens a pseudo-terminal with the size and modes of ours; `None` if none of descriptors 0 to 2 is a terminal.
pub(super) fn open() -> Result<Option<(Outer, Inner)>> {
    let standard = [isatty(rustix::stdio::stdin()), isatty(rustix::stdio::stdout()), isatty(rustix::stdio::stderr())];
    let terminal = match standard {
        [true, ..] => rustix::stdio::stdin().try_clone_to_owned(),
        [_, true, _] => rustix::stdio::stdout().try_clone_to_owned(),
        [_, _, true] => rustix::stdio::stderr().try_clone_to_owned(),
        [false, false, false] => return Ok(None),
    };
    let make = || -> io::Result<(Outer, Inner)> {
        let terminal = terminal?;
        let saved = tcgetattr(&terminal)?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = open_slave(&master)?;
        let mut modes = saved.clone();
        if !standard[0] {
            // The outer terminal is not in raw mode then, and does the output's processing.
            modes.output_modes.remove(OutputModes::OPOST);
        }
        tcsetattr(&slave, OptionalActions::Now, &modes)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        let outer = Outer {
            master,
            terminal,
            saved,
            standard,
            raw: false,
            typed: Vec::with_capacity(ROOM),
            printed: Vec::with_capacity(ROOM),
            master_open: true,
            terminal_open: true,
        };
        outer.pass_size_on();
        Ok((outer, Inner { slave, standard }))
    };
    make().map(Some).map_err(|error| {
        Error::system("cannot make a pseudo-terminal for the command", error)
            .with_hint("`--no-pty` passes the terminal through; a program inside can then type into it")
    })
}

fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    // By ioctl, for the path could lead elsewhere (since Linux 4.13).
    match ioctl_tiocgptpeer(master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC) {
        Ok(slave) => Ok(slave),
        Err(_) => {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            Ok(rustix::fs::open(ptsname(master, Vec::new())?, flags, Mode::empty())?)
        }
    }
}

impl Inner {
    /// Makes the inner terminal that of a new session, and of those of descriptors 0 to 2 that are terminals.
    pub(super) fn take_over(&self) -> io::Result<()> {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(&self.slave)?;
        if self.standard[0] {
            rustix::stdio::dup2_stdin(&self.slave)?;
        }
        if self.standard[1] {
            rustix::stdio::dup2_stdout(&self.slave)?;
        }
        if self.standard[2] {
            rustix::stdio::dup2_stderr(&self.slave)?;
        }
        Ok(())
    }
}

/// Puts `null` in the place of each of descriptors 0 to 2 that is a terminal.
pub(super) fn replace_by(null: Option<&OwnedFd>) {
    let Some(null) = null else { return };
    if isatty(rustix::stdio::stdin()) {
        let _ = rustix::stdio::dup2_stdin(null);
    }
    if isatty(rustix::stdio::stdout()) {
        let _ = rustix::stdio::dup2_stdout(null);
    }
    if isatty(rustix::stdio::stderr()) {
        let _ = rustix::stdio::dup2_stderr(null);
    }
}

/// Makes the command, which calls this, a job of its own in the foreground of its terminal: then it can be stopped,
/// since its parent is in the same session and not in its group.
pub(super) fn lead_job() {
    let _ = rustix::process::setpgid(None, None);
    let own = rustix::process::getpgrp();
    // Signals are blocked, so that a background job may do it.
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        if rustix::termios::tcsetpgrp(fd, own).is_ok() {
            return;
        }
    }
}

/// Puts the outer terminal right again if whoever should is gone.
pub(super) struct Keeper {
    terminal: Option<OwnedFd>,
    saved: Termios,
}

impl Companion for Keeper {
    fn watch<'a>(&'a self, _polled: &mut Vec<PollFd<'a>>) {}
    fn serve(&mut self, _ready: &[PollFlags]) {}
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

impl Outer {
    /// In the child: lets go of everything but what puts the outer terminal right again.
    pub(super) fn forsake(self) -> Keeper {
        // Dropping ourselves closes the master, and leaves the terminal as it is: it is not raw yet.
        let terminal = self.terminal.try_clone().ok().filter(|_| self.standard[0]);
        Keeper { terminal, saved: self.saved.clone() }
    }

    /// Begins: the outer terminal becomes raw, if it is ours to change.
    pub(super) fn begin(&mut self) {
        self.follow_foreground();
    }

    /// Sets raw mode if we are in the foreground of the terminal. In the background it belongs to another job.
    fn follow_foreground(&mut self) {
        if self.raw || !self.standard[0] || tcgetpgrp(&self.terminal) != Ok(rustix::process::getpgrp()) {
            return;
        }
        // What another job left behind is what we restore.
        if let Ok(modes) = tcgetattr(&self.terminal) {
            self.saved = modes;
        }
        let mut modes = self.saved.clone();
        modes.make_raw();
        if !(self.standard[1] && self.standard[2]) {
            // What goes past us still needs its line ends processed.
            modes.output_modes = self.saved.output_modes;
        }
        self.raw = tcsetattr(&self.terminal, OptionalActions::Now, &modes).is_ok();
    }

    fn restore(&mut self) {
        if self.raw {
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.saved);
            self.raw = false;
        }
    }

    fn pass_size_on(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.terminal) {
            let _ = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }

    /// Prints what is left after the command's end, and puts the terminal right.
    pub(super) fn finish(&mut self) {
        self.drain();
        self.restore();
    }

    /// Prints all that was printed inside so far.
    fn drain(&mut self) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        while self.master_open {
            while !self.printed.is_empty() {
                self.print_some();
            }
            // poll(2) also makes the kernel hand over what is on its way.
            let mut polled = [PollFd::new(&self.master, PollFlags::IN)];
            match poll(&mut polled, Some(&now)) {
                Ok(0) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
                Ok(_) => self.read_printed(),
            }
        }
        while !self.printed.is_empty() {
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
    }

    fn serve(&mut self, ready: &[PollFlags]) {
        let mut ready = ready.iter().copied();
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
