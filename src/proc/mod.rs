//! procfs, read as bytes: a process may be called anything and mount points may hold any byte, so nothing here insists
//! on UTF-8 (one hostile name must not blind us to the rest).
//!
//! [`Proc`] is the directory, verified to be procfs; the submodules parse its files and do no I/O.

pub mod cmdline;
pub mod idmap;
pub mod lines;
pub mod mountinfo;
pub mod net;
pub mod stat;
pub mod status;

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir};

use crate::error::{Error, ErrorKind, Result};
use crate::id::Pid;

/// `PROC_SUPER_MAGIC` of statfs(2).
pub(crate) const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// A descriptor of `/proc`. What is read through it stays the same procfs, whatever is mounted over the path later.
#[derive(Debug)]
pub struct Proc {
    dir: OwnedFd,
    ours: bool,
}

impl Proc {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// There is no `/proc`, or what is mounted there is no procfs (a container can be given anything).
    pub fn open() -> Result<Self> {
        let hint = "mount one: `mount -t proc proc /proc`";
        let dir = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::system("cannot open /proc", errno).with_hint(hint))?;
        let statfs = rustix::fs::fstatfs(&dir).map_err(|errno| Error::system("cannot examine /proc", errno))?;
        if statfs.f_type as u64 != PROC_SUPER_MAGIC {
            return Err(Error::new(ErrorKind::Unsupported, "/proc is no procfs").with_hint(hint));
        }
        let mut proc = Self { dir, ours: false };
        proc.ours = proc.own_pid() == Some(rustix::process::getpid().as_raw_nonzero().get());
        Ok(proc)
    }

    /// Returns the number this procfs knows us by; `None` if its pid namespace does not contain us.
    fn own_pid(&self) -> Option<Pid> {
        let link = rustix::fs::readlinkat(&self.dir, "self", Vec::new()).ok()?;
        link.to_str().ok()?.parse().ok()
    }

    /// Tells whether it shows our own pid namespace. If not (after `unshare --pid` without a new /proc), its numbers
    /// mean nothing to pidfd_open(2) and kill(2).
    pub fn is_of_our_pid_namespace(&self) -> bool {
        self.ours
    }

    /// Returns the ids of all processes, ascending.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn pids(&self) -> Result<Vec<Pid>> {
        let read = || -> io::Result<Vec<Pid>> {
            let dir = rustix::fs::openat(
                &self.dir,
                ".",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            numbers_in(dir.as_fd())
        };
        read().map_err(|error| Error::system("cannot list /proc", error))
    }

    /// Opens `/proc/PID/NAME` for reading.
    ///
    /// # Errors
    /// ENOENT or ESRCH: the process is gone. EACCES: no ptrace rights.
    pub fn open_file(&self, pid: Pid, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = PidPath::new(pid, name);
        Ok(rustix::fs::openat(&self.dir, path.as_str(), flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Reads `/proc/PID/NAME` whole into `buffer`, replacing what it held.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file), and of read(2): ESRCH where the process ends meanwhile.
    pub fn read(&self, pid: Pid, name: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
        let file = self.open_file(pid, name, OFlags::RDONLY)?;
        read_to_end(file.as_fd(), buffer)
    }

    /// Reads the link `/proc/PID/NAME`.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn read_link(&self, pid: Pid, name: &str) -> io::Result<Vec<u8>> {
        let path = PidPath::new(pid, name);
        Ok(rustix::fs::readlinkat(&self.dir, path.as_str(), Vec::new())?.into_bytes())
    }
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// `PID/NAME`, put together without allocating where it is short.
struct PidPath(String);

impl PidPath {
    fn new(pid: Pid, name: &str) -> Self {
        let mut path = String::with_capacity(12 + name.len());
        let _ = write!(path, "{pid}/{name}");
        Self(path)
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the names below an open directory that are numbers above or equal to 0, ascending: processes, threads,
/// descriptors.
pub(crate) fn numbers_in(dir: BorrowedFd<'_>) -> io::Result<Vec<i32>> {
    let mut space = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(dir, space.spare_capacity_mut());
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next() {
        // The names are the kernel's own; everything that is not a number ("self", "..") is passed over.
        if let Some(number) = entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads everything from the descriptor's position on into `buffer`, replacing what it held.
pub(crate) fn read_to_end(file: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    loop {
        if buffer.capacity() - buffer.len() < 1024 {
            buffer.reserve(4096.max(buffer.capacity()));
        }
        let count = match rustix::io::read(file, rustix::buffer::spare_capacity(buffer)) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        if count == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_in_the_list_and_can_be_read() {
        let proc = Proc::open().unwrap();
        let me = std::process::id() as Pid;
        assert!(proc.is_of_our_pid_namespace());
        assert!(proc.pids().unwrap().contains(&me));
        let mut buffer = b"old".to_vec();
        proc.read(me, "stat", &mut buffer).unwrap();
        assert_eq!(stat::parse(&buffer).unwrap().pid, me);
    }
}
