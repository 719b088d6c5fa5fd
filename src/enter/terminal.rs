//! A pseudo-terminal between the outer terminal and the command.
//!
//! A program that holds our terminal can type into it (TIOCSTI, TIOCLINUX), and what it typed is executed by our shell
//! when it is gone. So the command gets a terminal of its own, and we pass on what is typed and printed. The outer one
//! is in raw mode meanwhile: control keys act inside.
//!
//! In a pipeline (`nstool enter 7 -- ps aux | less`) another program may use the outer terminal too, in the background one
//! does. There we neither read from it nor change its modes before the command wants to read: it begins in the background of the inner
//! terminal, where the kernel stops it when it tries (SIGTTIN). Then the child between asks us for the outer terminal,
//! and when we have it puts the command into the foreground.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

use crate::error::{Error, Result};
use crate::exec::Companion;
use crate::id::Pid;
use crate::sys::process;

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

/// The inner side, for the child.
pub(super) struct Inner {
    slave: OwnedFd,
    standard: [bool; 3],
    wishes: Option<OwnedFd>,
}

/// Opens a pseudo-terminal with the size and modes of ours; `None` if none of descriptors 0 to 2 is a terminal.
/// `forks` tells that the command is the child of another one on the inner terminal.
pub(super) fn open(forks: bool) -> Result<Option<(Outer, Inner)>> {
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
        let foreign_modes = tcgetpgrp(&terminal) != Ok(rustix::process::getpgrp());
        let (asked, ask) = if forks && standard[0] && (foreign_modes || is_in_pipeline()) {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (asked, ask) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            (Some(asked), Some(ask))
        } else {
            (None, None)
        };
        let outer = Outer {
            master,
            terminal,
            saved,
            standard,
            raw: false,
            foreign_modes,
            wanted: asked.is_none(),
            wishes: asked,
            typed: Vec::with_capacity(ROOM),
            printed: Vec::with_capacity(ROOM),
            master_open: true,
            terminal_open: true,
        };
        outer.pass_size_on();
        Ok((outer, Inner { slave, standard, wishes: ask }))
    };
    make().map(Some).map_err(|error| {
        Error::system("cannot make a pseudo-terminal for the command", error)
            .with_hint("`--no-pty` passes the terminal through; a program inside can then type into it")
    })
}

/// Tells whether what we print goes to another program, which then may be on the same terminal.
fn is_in_pipeline() -> bool {
    [rustix::stdio::stdout(), rustix::stdio::stderr()]
        .into_iter()
        .any(|fd| rustix::fs::fstat(fd).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo()))
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
/// since its parent is in the same session and not in its group. In a pipeline it begins in the background.
pub(super) fn lead_job(foreground: bool) {
    let _ = rustix::process::setpgid(None, None);
    if foreground {
        put_in_foreground(rustix::process::getpgrp());
    }
}

fn put_in_foreground(group: rustix::process::Pid) {
    // Signals are blocked, so that a background job may do it.
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        if rustix::termios::tcsetpgrp(fd, group).is_ok() {
            return;
        }
    }
}

/// What the child between does for the terminals: it puts the outer one right again if whoever should is gone, and asks
/// for it when the command wants to read.
pub(super) struct Keeper {
    terminal: Option<OwnedFd>,
    saved: Termios,
    wishes: Option<OwnedFd>,
    /// Who waits for the terminal.
    waiting: Option<Pid>,
}

impl Keeper {
    /// Tells whether the command begins in the foreground of the inner terminal.
    pub(super) fn starts_in_foreground(&self) -> bool {
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

impl Outer {
    /// In the child: lets go of everything but what puts the outer terminal right again.
    pub(super) fn forsake(self, inner: &mut Inner) -> Keeper {
        // Dropping ourselves closes the master, and leaves the terminal as it is: it is not raw yet.
        let terminal = self.terminal.try_clone().ok().filter(|_| self.standard[0]);
        Keeper { terminal, saved: self.saved.clone(), wishes: inner.wishes.take(), waiting: None }
    }

    /// Begins: the outer terminal becomes raw, if it is ours to change.
    pub(super) fn begin(&mut self) {
        self.follow_foreground();
    }

    /// Sets raw mode if we are in the foreground of the terminal. In the background it belongs to another job.
    fn follow_foreground(&mut self) {
        if self.raw || !self.wanted || !self.standard[0] || tcgetpgrp(&self.terminal) != Ok(rustix::process::getpgrp())
        {
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
        } else if tcgetpgrp(&self.terminal).is_ok() {
            // The kernel stops the whole job of whoever reads, and we catch what it sends.
            let _ = process::kill(0, libc::SIGTTIN);
            let _ = process::kill(rustix::process::getpid().as_raw_nonzero().get(), libc::SIGSTOP);
        }
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

/// What came from the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Word,
    End,
}

fn heard(wishes: &OwnedFd) -> Heard {
    match rustix::io::read(wishes, &mut [0; 16]) {
        Ok(0) => Heard::End,
        Ok(_) => Heard::Word,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Heard::Nothing,
        Err(_) => Heard::End,
    }
}

fn say(wishes: &OwnedFd) {
    let _ = rustix::net::send(wishes, b"!", SendFlags::NOSIGNAL);
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
