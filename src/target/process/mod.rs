//! A process held by descriptors, so that its number being reused cannot lead us to another one.

mod trouble;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::namespace::PinnedNamespace;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Pid;
use crate::kind::NamespaceLink;
use crate::proc::{self, Proc, stat};
use crate::sys::pidfd;

/// A process, or one thread, that was found by its number and pinned.
///
/// It holds a pidfd (since Linux 5.3) and the process's directory in procfs. Both belong to this process for good:
/// when it ends, they answer ESRCH, even if the number is given to another. They are opened in that order, and the
/// pidfd is seen to be alive after that, which proves that both are of one process.
#[derive(Debug)]
pub struct PinnedProcess {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    /// `/proc/PID`; absent where our /proc shows another pid namespace, whose numbers mean nothing to us, or hides it.
    dir: Option<OwnedFd>,
    /// When it started, where there is no pidfd.
    start_ticks: Option<u64>,
}

impl PinnedProcess {
    /// Pins process or thread `pid`; with `inode`, only if that is the inode of its pidfd (since Linux 6.9).
    ///
    /// # Errors
    /// No such process, another process has the number now (`inode` differs), or neither pidfds nor a /proc of our pid
    /// namespace is there.
    pub fn open(pid: Pid, inode: Option<u64>) -> Result<Self> {
        Self::open_with(Proc::open().ok().as_ref(), pid, inode)
    }

    /// The same with a `/proc` that is open already.
    pub(crate) fn open_with(proc: Option<&Proc>, pid: Pid, inode: Option<u64>) -> Result<Self> {
        let pinned = Self::pin(proc, pid, inode)?;
        pinned.verify()?;
        Ok(pinned)
    }

    /// Pins a process that has ended and was not reaped; `None` if it is no such one.
    pub fn open_zombie(pid: Pid, inode: Option<u64>) -> Option<Self> {
        Self::pin(Proc::open().ok().as_ref(), pid, inode).ok().filter(Self::is_zombie)
    }

    /// Tells whether it has ended, with all its threads, and was not reaped: what was read of it before was its own.
    pub fn is_zombie(&self) -> bool {
        // ESRCH: it was reaped, and its directory may have been opened when the number was another's already.
        let unreaped = |pidfd| !matches!(pidfd::send_signal(pidfd, 0), Err(error) if is_gone(&error));
        !self.is_alive() && self.stat().is_some_and(|stat| stat.state == b'Z') && self.pidfd().is_none_or(unreaped)
    }

    /// Opens a pidfd and its directory in procfs, which are of one process if that is seen to be there afterwards.
    fn pin(proc: Option<&Proc>, pid: Pid, inode: Option<u64>) -> Result<Self> {
        let pidfd = open_pidfd(pid)?;
        if let Some(wanted) = inode {
            check_inode(pid, pidfd.as_ref(), wanted)?;
        }
        let proc = proc.filter(|proc| proc.is_of_our_pid_namespace());
        let dir = match proc.map(|proc| open_dir(proc, pid)) {
            Some(Ok(dir)) => Some(dir),
            // It may be there, and not be listed for us (proc(5), hidepid); a pidfd shows whether it is.
            Some(Err(error)) if is_gone(&error) => match &pidfd {
                Some(pidfd) if is_running(pidfd) && proc.is_some_and(Proc::hides_processes) => None,
                _ => return Err(no_process(pid)),
            },
            Some(Err(error)) if error.raw_os_error() == Some(libc::EXDEV) => {
                return Err(Error::new(ErrorKind::Unsupported, format!("cannot trust /proc/{pid}"))
                    .because("something is mounted over it, so what it shows can be another process's")
                    .with_hint(format!("`umount /proc/{pid}`")));
            }
            Some(Err(error)) => return Err(Error::system(format!("cannot open /proc/{pid}"), error)),
            None => None,
        };
        if pidfd.is_none() && dir.is_none() {
            return Err(without_proc(format!("cannot reach process {pid}")));
        }
        let mut pinned = Self { pid, pidfd, dir, start_ticks: None };
        if pinned.pidfd.is_none() {
            pinned.start_ticks = pinned.stat().map(|stat| stat.start_ticks);
        }
        Ok(pinned)
    }

    /// Returns its number in our pid namespace.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns its pidfd, where the kernel has them.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Returns the pidfd's inode, by which `PID:INODE` names this process for good; `None` before Linux 6.9.
    pub fn pidfd_inode(&self) -> Option<u64> {
        pidfd_inode(self.pidfd.as_ref()?)
    }

    /// Checks that the process is still there: everything opened through it before was its own.
    ///
    /// # Errors
    /// It ended.
    pub fn verify(&self) -> Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        if let Some(stat) = self.stat().filter(|stat| stat.state == b'Z') {
            return Err(self.unreaped(&stat));
        }
        let message = format!("process {} has ended", self.pid);
        Err(Error::new(ErrorKind::Vanished, message).with_hint("`nstool ls` lists what is there now"))
    }

    /// Checks that the process of this number below our /proc, which a scan lists, is this one.
    ///
    /// # Errors
    /// Our /proc belongs to an outer pid namespace, or hides it.
    pub fn verify_listed(&self) -> Result<()> {
        match &self.dir {
            Some(_) => Ok(()),
            None => Err(self.cannot("read the namespaces", io::Error::from_raw_os_error(libc::ENOTDIR))),
        }
    }

    fn is_alive(&self) -> bool {
        if let Some(pidfd) = &self.pidfd {
            return is_running(pidfd);
        }
        // The directory itself cannot change hands; the start time is a second witness. A zombie has ended too, unless
        // its other threads live on.
        self.stat().is_some_and(|stat| {
            Some(stat.start_ticks) == self.start_ticks && (stat.state != b'Z' || stat.threads > 1) && stat.state != b'X'
        })
    }

    fn stat(&self) -> Option<stat::Stat> {
        stat::parse(&self.read("stat").ok()?)
    }

    /// Returns the name of its leader thread: bytes of its own choice.
    pub fn name(&self) -> Option<Vec<u8>> {
        self.stat().map(|stat| stat.comm)
    }

    /// Returns the uid that it runs as, in terms of our user namespace.
    pub fn uid(&self) -> Option<u32> {
        if let Some(Some(Ok(info))) = self.pidfd().map(pidfd::info) {
            return Some(info.effective_uid);
        }
        let status = self.read("status").ok()?;
        proc::status::Status::new(&status).uids().map(|uids| uids[1])
    }

    /// Opens `NAME` below its directory in procfs.
    ///
    /// # Errors
    /// ENOENT or ESRCH: it ended. EACCES: no ptrace rights. ENOTDIR: /proc is of no use here, or hides it.
    pub fn open_file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let dir = self.dir.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTDIR))?;
        Ok(rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Reads `NAME` below its directory in procfs whole.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::new();
        proc::read_to_end(self.open_file(name, OFlags::RDONLY)?.as_fd(), &mut buffer)?;
        Ok(buffer)
    }

    /// Reads the link `NAME` below its directory in procfs.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn read_link(&self, name: &str) -> io::Result<Vec<u8>> {
        let dir = self.dir.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTDIR))?;
        Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
    }

    /// Opens the namespace that `link` leads to. Where the leader thread has ended and others live, theirs is taken.
    ///
    /// # Errors
    /// ENOENT or ESRCH: it ended, is a zombie, or the kernel lacks the kind. EACCES: no ptrace rights.
    pub fn namespace(&self, link: NamespaceLink) -> io::Result<PinnedNamespace> {
        let opened = match self.pidfd().and_then(|pidfd| pidfd::namespace(pidfd, link)) {
            Some(result) => result,
            None => self.open_file(&format!("ns/{}", link.file_name()), OFlags::RDONLY),
        };
        let opened = match opened {
            // What a zombie, or an init that waits for its processes, has not let go of can be read below /proc alone.
            Err(error) if is_gone(&error) => {
                let name = format!("ns/{}", link.file_name());
                let thread = self.open_of_a_thread(&name, OFlags::RDONLY);
                thread.or_else(|| self.open_file(&name, OFlags::RDONLY).ok()).ok_or(error)
            }
            opened => opened,
        };
        PinnedNamespace::of_kind(link.kind(), opened?)
    }

    /// Opens its directory `NAME`, such as `root`. Where the leader thread has ended and others live, theirs is taken.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub(crate) fn directory(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open_file(name, flags) {
            Err(error) if is_gone(&error) => self.open_of_a_thread(name, flags).ok_or(error),
            opened => opened,
        }
    }

    /// Reads the environment that it began with. Where the leader thread has ended, that of another one.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub(crate) fn environment(&self) -> io::Result<Vec<u8>> {
        match self.read("environ") {
            // Whoever has ended has no memory left to read.
            Err(error) if is_gone(&error) => {
                let mut text = Vec::new();
                let file = self.open_of_a_thread("environ", OFlags::RDONLY).ok_or(error)?;
                proc::read_to_end(file.as_fd(), &mut text)?;
                Ok(text)
            }
            read => read,
        }
    }

    /// Opens `NAME` of the first thread, but for the leader, that has it.
    fn open_of_a_thread(&self, name: &str, flags: OFlags) -> Option<OwnedFd> {
        let tasks = self.open_file("task", OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
        let threads = proc::numbers_in(tasks.as_fd()).ok()?;
        let others = threads.into_iter().filter(|thread| *thread != self.pid);
        others.into_iter().find_map(|thread| self.open_file(&format!("task/{thread}/{name}"), flags).ok())
    }
}

/// Tells whether the process of a pidfd has not ended: it gets readable once all its threads have (pidfd_open(2)).
fn is_running(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut polled, Some(&now)), Ok(0))
}

/// Words a failure where a /proc is the only way.
fn without_proc(message: String) -> Error {
    match Proc::trouble() {
        Some(trouble) => proc::blame(message, &trouble),
        None => Error::new(ErrorKind::Vanished, message),
    }
}

fn open_pidfd(pid: Pid) -> Result<Option<OwnedFd>> {
    match pidfd::open(pid) {
        None => Ok(None),
        Some(Ok(fd)) => Ok(Some(fd)),
        // ENOENT (EINVAL before Linux 6.9): a thread that does not lead its process; 6.9 has pidfds of threads, and
        // before that its directory in procfs must do.
        Some(Err(error)) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
            Ok(pidfd::open_thread(pid).and_then(io::Result::ok))
        }
        Some(Err(error)) if is_gone(&error) => Err(no_process(pid)),
        Some(Err(error)) => Err(Error::system(format!("cannot open a descriptor of process {pid}"), error)),
    }
}

fn open_dir(proc: &Proc, pid: Pid) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let name = pid.to_string();
    // What is mounted over it would be another process's (EXDEV).
    match rustix::fs::openat2(proc, &name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
        // Before Linux 5.6.
        Err(rustix::io::Errno::NOSYS) => Ok(rustix::fs::openat(proc, &name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

fn pidfd_inode(pidfd: &OwnedFd) -> Option<u64> {
    // Before pidfs all pidfds share one inode, which proves nothing.
    pidfd::is_pidfd(pidfd.as_fd()).then(|| rustix::fs::fstat(pidfd).ok().map(|stat| stat.st_ino)).flatten()
}

fn check_inode(pid: Pid, pidfd: Option<&OwnedFd>, wanted: u64) -> Result<()> {
    match pidfd.and_then(pidfd_inode) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => {
            let message = format!("process {pid}:{wanted} has ended; its number now belongs to process {pid}:{found}");
            Err(Error::new(ErrorKind::Vanished, message).with_hint("`nstool ls` lists what is there now"))
        }
        None => {
            let message = format!("cannot tell whether process {pid} is the one with inode {wanted}");
            Err(Error::new(ErrorKind::Unsupported, message)
                .because("this kernel gives pidfds no inode of their own (Linux 6.9 does)")
                .with_hint(format!("leave the inode out: {pid}")))
        }
    }
}

fn no_process(pid: Pid) -> Error {
    Error::new(ErrorKind::NotFound, format!("no process {pid}"))
        .with_hint("it may have ended, or live in another pid namespace; `nstool ls` lists what is there")
}

/// Tells whether an errno of procfs or a pidfd means that the process ended.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::NamespaceKind;

    fn me() -> Pid {
        std::process::id() as Pid
    }

    #[test]
    fn we_can_be_pinned_with_all_our_namespaces() {
        let process = PinnedProcess::open(me(), None).unwrap();
        for kind in NamespaceKind::ALL {
            let Ok(link) = std::fs::metadata(format!("/proc/self/ns/{kind}")) else { continue };
            let namespace = process.namespace(NamespaceLink::Own(kind)).unwrap();
            assert_eq!(namespace.kind(), kind);
            assert_eq!(namespace.id().ino, std::os::unix::fs::MetadataExt::ino(&link));
        }
        process.verify().unwrap();
    }

    #[test]
    fn the_inode_of_a_pidfd_must_be_the_one_that_was_named() {
        let Some(inode) = PinnedProcess::open(me(), None).unwrap().pidfd_inode() else { return };
        PinnedProcess::open(me(), Some(inode)).unwrap();
        let error = PinnedProcess::open(me(), Some(inode + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Vanished);
    }

    #[test]
    fn a_process_that_ended_is_found_out_later_and_not_found_anew() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let process = PinnedProcess::open(child.id() as Pid, None).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.verify().unwrap_err().kind(), ErrorKind::Vanished);
        assert!(process.namespace(NamespaceLink::Own(NamespaceKind::Net)).is_err());
        assert_eq!(PinnedProcess::open(child.id() as Pid, None).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_thread_can_be_pinned_by_its_own_number() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let thread = rustix::thread::gettid().as_raw_nonzero().get();
                assert_eq!(PinnedProcess::open(thread, None).unwrap().pid(), thread);
            });
        });
    }
}
