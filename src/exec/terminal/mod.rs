//! A pseudo-terminal between the outer terminal and the command.
//!
//! A program that holds our terminal can type into it (TIOCSTI, TIOCLINUX), and what it typed is executed by our shell
//! when it is gone. So the command gets a terminal of its own, and we pass on what is typed and printed. The outer one
//! is in raw mode meanwhile: control keys act inside.
//!
//! In a pipeline (`nstool enter 7 -- ps aux | less`) another program may use the outer terminal too, in the background one
//! does. There we neither read from it nor change its modes before the command wants to read: it begins in the background
//! of the inner terminal, where the kernel stops it when it tries (SIGTTIN). Then the child between asks us for the outer
//! terminal, and when we have it puts the command into the foreground. It goes back there when we were stopped and go on in
//! the background: nobody would tell us when the terminal is ours again (`fg` sends no SIGCONT to what runs).
//!
//! A key that stops the command stops our whole group, as the terminal would have done. If nobody does job control for that
//! (an orphaned group, as below sshd), the kernel ignores it, and the command goes on at once.

mod keeper;
mod line;
mod outer;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, isatty, tcgetattr, tcsetattr};

pub(crate) use self::keeper::Keeper;
use self::line::Line;
pub(crate) use self::outer::Outer;
use crate::error::{Error, Result};
use crate::sys::job::{self, Ground};

/// What to do where there is none.
pub(crate) const WITHOUT: &str = "`--no-pty` passes the terminal through; a program inside can then type into it";

/// The inner side, for the child.
pub(crate) struct Inner {
    slave: OwnedFd,
    standard: [bool; 3],
    /// To the outer side, where there is a child between.
    line: Option<Line>,
    /// Whether the command begins in the background.
    background: bool,
}

/// Opens a pseudo-terminal with the size and modes of ours; `None` if none of descriptors 0 to 2 is a terminal.
/// `forks` tells that the command is the child of another one on the inner terminal.
pub(crate) fn open(forks: bool) -> Result<Option<(Outer, Inner)>> {
    let Some((terminal, standard)) = users_terminal() else { return Ok(None) };
    let make = || -> io::Result<(Outer, Inner)> {
        let terminal = terminal.try_clone_to_owned()?;
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
        let foreign_modes = job::ground(terminal.as_fd()) != Ground::Foreground;
        let background = forks && standard[0] && (foreign_modes || is_in_pipeline());
        let (outside, inside) = if forks { Some(Line::pair()?).unzip() } else { (None, None) };
        let outer = Outer::new(master, terminal, saved, standard, outside, background, foreign_modes);
        outer.pass_size_on();
        Ok((outer, Inner { slave, standard, line: inside, background }))
    };
    make()
        .map(Some)
        .map_err(|error| Error::system("cannot make a pseudo-terminal for the command", error).with_hint(WITHOUT))
}

/// Finds the terminal to stand in for, and which of descriptors 0 to 2 lead there: our controlling terminal if one does.
/// Another terminal that one of them leads to is not ours to type into, so that the command has it as it is.
fn users_terminal() -> Option<(BorrowedFd<'static>, [bool; 3])> {
    let all = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let numbers = all.map(|fd| job::terminal_number(fd).filter(|_| isatty(fd)));
    let found = || (0..all.len()).filter(|place| numbers[*place].is_some());
    let ours = found().find(|place| job::ground(all[*place]) != Ground::Foreign);
    let place = ours.or_else(|| found().next())?;
    Some((all[place], numbers.map(|number| number == numbers[place])))
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
    pub(crate) fn take_over(&self) -> io::Result<()> {
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
pub(crate) fn replace_by(null: Option<&OwnedFd>) {
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
pub(crate) fn lead_job(foreground: bool) {
    let _ = rustix::process::setpgid(None, None);
    if foreground {
        // Which the group is called after.
        put_in_foreground(rustix::process::getpid());
    }
}

/// Puts a group into the foreground of our terminal; `false` if it is none of our session. Signals are blocked, so that a
/// background job may do it.
fn put_in_foreground(group: rustix::process::Pid) -> bool {
    let standard = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    standard.into_iter().any(|fd| rustix::termios::tcsetpgrp(fd, group).is_ok())
}

/// Returns the group in the foreground of our terminal.
fn foreground_group() -> Option<rustix::process::Pid> {
    let standard = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    standard.into_iter().find_map(|fd| rustix::termios::tcgetpgrp(fd).ok())
}
