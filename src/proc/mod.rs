//! procfs, read as bytes: a process may be called anything and mount points may hold any byte, so nothing here insists
//! on UTF-8 (one hostile name must not blind us to the rest).
//!
//! [`Proc`] is the directory, verified to be procfs; the submodules parse its files and do no I/O.

pub(crate) mod cmdline;
pub mod idmap;
pub(crate) mod lines;
pub mod mountinfo;
pub(crate) mod net;
pub(crate) mod stat;
pub mod status;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir};

use crate::error::{Error, ErrorKind, Result};
use crate::id::Pid;
use crate::kind::NamespaceKind;

/// `PROC_SUPER_MAGIC` of statfs(2).
pub(crate) const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// A descriptor of `/proc`. What is read through it stays the same procfs, whatever is mounted over the path later.
#[derive(Debug)]
pub struct Proc {
    dir: OwnedFd,
    own_pid: Option<Pid>,
}

impl Proc {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// There is no `/proc`, what is mounted there is no procfs (a container can be given anything), or it is that of a
    /// pid namespace that does not contain us: its numbers mean other processes than ours, and `/proc/self` nobody.
    pub fn open() -> Result<Self> {
        let hint = MOUNT_ONE;
        let dir = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::system("cannot open /proc", errno).with_hint(hint))?;
        let statfs = rustix::fs::fstatfs(&dir).map_err(|errno| Error::system("cannot examine /proc", errno))?;
        if statfs.f_type as u64 != PROC_SUPER_MAGIC {
            return Err(Error::new(ErrorKind::Unsupported, "/proc is no procfs").with_hint(hint));
        }
        // ENOENT is the kernel's word for a reader without a number there (proc_self_get_link()). A mount of it that
        // propagated over our own is how this happens, and the pid namespace may be long gone.
        let own = rustix::fs::readlinkat(&dir, "self", Vec::new()).map_err(|errno| match errno {
            rustix::io::Errno::NOENT => foreign(&dir),
            errno => Error::system("cannot read /proc/self", errno),
        })?;
        let own_pid = own.to_str().ok().and_then(|number| number.parse().ok());
        Ok(Self { dir, own_pid })
    }

    /// Says why processes cannot be looked up in `/proc` by their numbers here; `None`: they can.
    pub fn trouble() -> Option<Error> {
        match Self::open() {
            Err(error) => Some(error),
            Ok(proc) if !proc.is_of_our_pid_namespace() => {
                let message = match proc.own_pid {
                    Some(number) => {
                        format!("/proc belongs to another pid namespace, around ours, where we are process {number}")
                    }
                    None => "/proc belongs to another pid namespace".to_owned(),
                };
                Some(Error::new(ErrorKind::Unsupported, message).with_hint(MOUNT_ONE))
            }
            Ok(_) => None,
        }
    }

    /// Returns the number this procfs knows us by.
    pub fn own_pid(&self) -> Option<Pid> {
        self.own_pid
    }

    /// Tells whether it shows our own pid namespace. If not (after `unshare --pid` without a new /proc), its numbers
    /// mean nothing to pidfd_open(2) and kill(2).
    pub fn is_of_our_pid_namespace(&self) -> bool {
        self.own_pid == Some(rustix::process::getpid().as_raw_nonzero().get())
    }

    /// Returns the ids of all processes that it shows, ascending.
    ///
    /// # Errors
    /// The directory cannot be read, or it has none: the pid namespace it shows has ended (such a procfs is often mounted
    /// over a living one, by a program that meant to mount it in a mount namespace of its own).
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
        let pids = read().map_err(|error| Error::system("cannot list /proc", error))?;
        if pids.is_empty() {
            // From root nothing is hidden.
            let cause = if rustix::process::geteuid().is_root() {
                "the pid namespace it belongs to has ended"
            } else {
                "possible causes: the pid namespace it belongs to has ended; it hides others' processes (hidepid)"
            };
            return Err(Error::new(ErrorKind::Unsupported, "/proc shows no process")
                .because(cause)
                .with_hint("if it lies over another: `umount /proc`; else `mount -t proc proc /proc`"));
        }
        Ok(pids)
    }

    /// Tells whether it hides the processes of other users from those without privileges (the mount option `hidepid`,
    /// proc(5)), so that [`pids`](Self::pids) cannot even count them.
    pub fn hides_processes(&self) -> bool {
        let mut text = Vec::new();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let read = rustix::fs::openat(&self.dir, "self/mountinfo", flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|file| read_to_end(file.as_fd(), &mut text));
        let mounts = if read.is_ok() { mountinfo::parse(&text).mounts } else { Vec::new() };
        // The last mount on a path is the one that is seen.
        let here = mounts.iter().rev().find(|mount| mount.mount_point == b"/proc" && mount.fs_type == b"proc");
        here.is_some_and(|mount| {
            let mut options = mount.super_options.split(|byte| *byte == b',');
            options.any(|option| {
                matches!(option, b"hidepid=invisible" | b"hidepid=ptraceable" | b"hidepid=2" | b"hidepid=4")
            })
        })
    }

    /// Opens `/proc/PID/NAME`.
    ///
    /// # Errors
    /// ENOENT or ESRCH: the process is gone. EACCES: no ptrace rights.
    pub fn open_file(&self, pid: Pid, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_at(&format!("{pid}/{name}"), flags)
    }

    /// Opens a path below it.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn open_at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.dir, path, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Reads `/proc/PID/NAME` whole into `buffer`, replacing what it held.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file), and of read(2): ESRCH where the process ends meanwhile.
    pub fn read(&self, pid: Pid, name: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.read_at(&format!("{pid}/{name}"), buffer)
    }

    /// Reads the file at a path below it whole into `buffer`, replacing what it held.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_at(&self, path: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
        let file = self.open_at(path, OFlags::RDONLY)?;
        read_to_end(file.as_fd(), buffer)
    }

    /// Reads the link `/proc/PID/NAME`.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn read_link(&self, pid: Pid, name: &str) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.dir, format!("{pid}/{name}"), Vec::new())?.into_bytes())
    }
}

/// What to do where there is no usable `/proc`.
const MOUNT_ONE: &str = "mount one: `mount -t proc proc /proc`";

/// Words a failure that comes from what is mounted on /proc, as [`Proc::trouble`] tells it.
pub(crate) fn blame(message: impl Into<String>, trouble: &Error) -> Error {
    let error = Error::new(trouble.kind(), message).because(trouble.to_string());
    match trouble.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Words that this procfs shows a pid namespace that we are not in.
fn foreign(dir: &OwnedFd) -> Error {
    // Process 1 of a procfs is the init of its pid namespace, without which it has ended.
    let path = format!("1/ns/{}", NamespaceKind::Pid);
    let which = match rustix::fs::statat(dir, path, rustix::fs::AtFlags::empty()) {
        Ok(stat) => format!(" ({})", stat.st_ino),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => " that has ended".to_owned(),
        Err(_) => String::new(),
    };
    let message = format!("/proc belongs to another pid namespace{which}, which we are not in");
    Error::new(ErrorKind::Unsupported, message).with_hint(
        "`umount /proc` uncovers our own, then `nstool mounts --check-shared` tells how the other came there; if none lies \
         below: `mount -t proc proc /proc`",
    )
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Opens what `found`, an O_PATH descriptor, is of: that and nothing else, whatever its path leads to now. `proc` is a
/// descriptor of /proc. Allocates nothing.
///
/// # Errors
/// Of openat(2).
pub(crate) fn reopen(proc: BorrowedFd<'_>, found: &OwnedFd, flags: OFlags) -> io::Result<OwnedFd> {
    let mut path = [0; 32];
    let number = rustix::path::DecInt::from_fd(found);
    let end = FD_DIR.len() + number.as_bytes().len();
    path[..FD_DIR.len()].copy_from_slice(FD_DIR);
    path[FD_DIR.len()..end].copy_from_slice(number.as_bytes());
    Ok(rustix::fs::openat(proc, &path[..end], flags | OFlags::CLOEXEC, Mode::empty())?)
}

const FD_DIR: &[u8] = b"thread-self/fd/";

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
    fn what_was_found_is_reopened() {
        let proc = Proc::open().unwrap();
        let found = rustix::fs::open("/etc/passwd", OFlags::PATH, Mode::empty()).unwrap();
        let mut text = Vec::new();
        read_to_end(reopen(proc.as_fd(), &found, OFlags::RDONLY).unwrap().as_fd(), &mut text).unwrap();
        assert_eq!(text, std::fs::read("/etc/passwd").unwrap());
    }

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
