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

mod keeper;
mod outer;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, isatty, tcgetattr, tcsetattr};

pub(crate) use self::keeper::Keeper;
pub(crate) use self::outer::Outer;
use crate::error::{Error, Result};
use crate::sys::job::{self, Ground};

/// What to do where there is none.
pub(crate) const WITHOUT: &str = "`--no-pty` passes the terminal through; a program inside can then type into it";

/// The inner side, for the child.
pub(crate) struct Inner {
    slave: OwnedFd,
    standard: [bool; 3],
    /// To ask for the outer terminal.
    wishes: Option<OwnedFd>,
}

/// Opens a pseudo-terminal with the size and modes of ours; `None` if none of descriptors 0 to 2 is a terminal.
/// `forks` tells that the command is the child of another one on the inner terminal.
pub(crate) fn open(forks: bool) -> Result<Option<(Outer, Inner)>> {
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
        let foreign_modes = job::ground(terminal.as_fd()) != Ground::Foreground;
        let (asked, ask) = if forks && standard[0] && (foreign_modes || is_in_pipeline()) {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (asked, ask) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            (Some(asked), Some(ask))
        } else {
            (None, None)
        };
        let outer = Outer::new(master, terminal, saved, standard, asked, foreign_modes);
        outer.pass_size_on();
        Ok((outer, Inner { slave, standard, wishes: ask }))
    };
    make()
        .map(Some)
        .map_err(|error| Error::system("cannot make a pseudo-terminal for the command", error).with_hint(WITHOUT))
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

fn put_in_foreground(group: rustix::process::Pid) {
    // Signals are blocked, so that a background job may do it.
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        if rustix::termios::tcsetpgrp(fd, group).is_ok() {
            return;
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
