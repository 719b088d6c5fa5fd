//! Programs on a terminal of the tests' own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// A program on a terminal of its own, as its session's leader.
pub struct Session {
    pub child: Child,
    pub master: File,
    pub slave: OwnedFd,
    pub seen: String,
}

impl Session {
    pub fn start(words: &[&str]) -> Self {
        Self::sized(words, 99)
    }

    /// The same on a terminal of that many columns.
    pub fn sized(words: &[&str], columns: u16) -> Self {
        Self::start_by(&[&["-c"], words].concat(), columns)
    }

    /// The same where the terminal on descriptors 0 to 2 is nobody's controlling terminal.
    pub fn start_uncontrolled(words: &[&str]) -> Self {
        Self::start_by(words, 99)
    }

    /// The same as a job of a shell, which prints `was=STATUS` when the job stops, waits for a line, and then lets it go on
    /// as `orders` say.
    pub fn start_job(words: &[&str], orders: &str) -> Self {
        let script = format!("set -m; \"$@\"; echo \"was=$?\"; read line; {orders}; exit $?");
        Self::start(&[&["bash", "-c", &script, "bash"], words].concat())
    }

    fn start_by(words: &[&str], columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(ptsname(&master, Vec::new()).unwrap(), flags, Mode::empty()).unwrap();
        let size = Winsize { ws_row: 33, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let end = || slave.try_clone().unwrap();
        let mut command = Command::new("setsid");
        command.args(words).stdin(end()).stdout(end()).stderr(end()).env("TERM", "vt100");
        let child = command.spawn().unwrap();
        Self { child, master: master.into(), slave, seen: String::new() }
    }

    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads what is printed until `text` has come.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        while !self.seen.contains(text) {
            let mut buffer = [0; 1024];
            // A minute without a word: it never will.
            let silent = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&patience)) == Ok(0);
            match if silent { Ok(0) } else { self.master.read(&mut buffer) } {
                Ok(count) if count > 0 => self.seen.push_str(&String::from_utf8_lossy(&buffer[..count])),
                _ => panic!("{text:?} never came:\n{}", self.seen),
            }
        }
    }

    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    /// What is waiting to be read, be it a whole line or not.
    pub fn left_to_read(&self) -> u64 {
        let mut modes = tcgetattr(&self.slave).unwrap();
        modes.local_modes.remove(LocalModes::ICANON);
        rustix::termios::tcsetattr(&self.slave, rustix::termios::OptionalActions::Now, &modes).unwrap();
        rustix::io::ioctl_fionread(&self.slave).unwrap()
    }

    /// Closes the terminal, as whoever closes its window does.
    pub fn hang_up(&mut self) {
        self.slave = File::open("/dev/null").unwrap().into();
        self.master = File::open("/dev/null").unwrap();
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Types into the terminal on descriptor 0, as a hostile program does, and prints whether it could.
pub const PUSH: &str = "python3 -c \"
import fcntl, termios
try:
    for byte in b'touch /pwned': fcntl.ioctl(0, termios.TIOCSTI, bytes([byte]))
    print('pushed')
except OSError as error: print('refused', error)
\"; echo done";

pub fn is_stopped(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") T ")
}
