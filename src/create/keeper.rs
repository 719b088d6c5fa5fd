//! Keeps namespaces beyond the end of their processes, by binding each to a file.
//!
//! A process of its own makes the files and binds, and takes all of it back unless it is told that everything went well:
//! it sees our end even if we are killed by SIGKILL, since a pipe closes then. If it is killed itself, we take back what
//! it left.
//!
//! One moment cannot be covered: if both are killed (by `cgroup.kill`, say) between the making of a missing file and the
//! binding, the file stays, empty. No order of calls avoids it. A mount stands on a name: the kernel refuses one on a
//! file without (ENOENT for one made with O_TMPFILE), a link made later is another name, without the mount, and a name
//! that a mount stands on cannot be renamed (EBUSY). So the name comes first, by a call of its own, and no call removes a
//! name when its maker dies. What can be done beforehand is: the namespace's mount is ready before the file is made.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::pipe::PipeFlags;

use super::mounts::FdPath;
use super::place::{errno, is_same};
use super::talk::{self, Listener, Speaker, Word};
use crate::exec::Child;
use crate::id::Pid;
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::sys::mounts::OPEN_TREE;
use crate::sys::nsfs::NSFS_MAGIC;
use crate::sys::process::{self, SignalSet};

/// What is to be kept where. Its descriptors are opened before anything is made, so that what is renamed meanwhile leads
/// nowhere else.
#[derive(Debug)]
struct Place {
    /// The number of its step.
    step: usize,
    namespace: OwnedFd,
    directory: OwnedFd,
    /// The file's name in the directory.
    name: CString,
    /// Whether the file was there before.
    existed: bool,
    /// The file, if it was made.
    made: Option<Stat>,
    /// The mount, once it stands.
    bound: Option<OwnedFd>,
}

/// The process that keeps. Dropping it before [`confirm`](Self::confirm) takes everything back.
#[derive(Debug)]
pub(super) struct Keeper {
    process: Child,
    /// Closes with us.
    lifeline: Option<OwnedFd>,
    places: Vec<Place>,
}

impl Keeper {
    /// Binds namespaces of process `of` to files: the step's number, the kind, the file. Fails with the number of the
    /// step that failed.
    pub(super) fn start(of: Pid, wanted: &[(usize, NamespaceKind, &PathBuf)]) -> Result<Self, (usize, io::Error)> {
        let first = wanted.first().map_or(0, |(step, ..)| *step);
        let own = |error: io::Error| (first, error);
        let mut places = Vec::new();
        for (step, kind, file) in wanted {
            places.push(Place::new(*step, of, *kind, file).map_err(|error| (*step, error))?);
        }
        let (listener, speaker) = talk::pipe().map_err(own)?;
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| own(errno.into()))?;
        let Some(process) = Child::fork().map_err(own)? else {
            keep(&mut places, &reader, &speaker);
        };
        drop((reader, speaker));
        let keeper = Self { process, lifeline: Some(writer), places };
        match answer(&listener) {
            Ok(()) => Ok(keeper),
            Err((step, errno)) => Err((step.unwrap_or(first), io::Error::from_raw_os_error(errno))),
        }
    }

    /// Leaves everything as it is now.
    pub(super) fn confirm(mut self) {
        if let Some(lifeline) = self.lifeline.take() {
            let _ = rustix::io::write(&lifeline, b"k");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let confirmed = self.lifeline.take().is_none();
        let ended = self.process.wait(rustix::process::WaitOptions::empty());
        // Somebody killed it: then it falls to us, by what is found there.
        if !confirmed && !matches!(ended, Ok(Some(status)) if status.exited()) {
            self.places.iter().rev().for_each(Place::take_back_found);
        }
    }
}

fn answer(listener: &Listener) -> Result<(), (Option<usize>, i32)> {
    match listener.hear() {
        Some(Word::Launched) => Ok(()),
        Some(Word::Failed(step, errno)) => Err((Some(step), errno)),
        // It was killed: somebody wants an end.
        _ => Err((None, libc::EINTR)),
    }
}

/// What the process does.
fn keep(places: &mut [Place], lifeline: &OwnedFd, speaker: &Speaker) -> ! {
    // Out of reach of what is typed at the terminal.
    let _ = rustix::process::setsid();
    SignalSet::all().block_exactly();
    let _ = rustix::thread::set_name(c"nstool-keep");
    let mut kept: Vec<RawFd> = vec![lifeline.as_raw_fd(), speaker.as_fd().as_raw_fd()];
    kept.extend(places.iter().flat_map(|place| [place.namespace.as_raw_fd(), place.directory.as_raw_fd()]));
    kept.sort_unstable();
    process::keep_only(&kept);
    let take_back = |places: &[Place]| places.iter().rev().for_each(Place::take_back);
    let result = places.iter_mut().try_for_each(|place| place.bind().map_err(|errno| (place.step, errno)));
    match result {
        Ok(()) if speaker.tell(Word::Launched).is_ok() => {}
        Ok(()) => {
            take_back(places);
            process::exit_now(1);
        }
        Err((step, errno)) => {
            take_back(places);
            speaker.say(Word::Failed(step, errno.raw_os_error()));
            process::exit_now(1);
        }
    }
    let mut told = [0];
    let told = loop {
        match rustix::io::read(lifeline, &mut told) {
            Err(Errno::INTR) => {}
            result => break result,
        }
    };
    if told != Ok(1) {
        take_back(places);
    }
    process::exit_now(0)
}

impl Place {
    fn new(step: usize, of: Pid, kind: NamespaceKind, file: &Path) -> io::Result<Self> {
        let namespace = format!("/proc/{of}/ns/{}", NamespaceLink::to_unshared(kind).file_name());
        let directory = match file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let name = CString::new(file.file_name().unwrap_or(OsStr::new("")).as_bytes())?;
        let existed = rustix::fs::statat(&directory, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let namespace = rustix::fs::open(namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { step, namespace, directory, name, existed, made: None, bound: None })
    }

    fn bind(&mut self) -> rustix::io::Result<()> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = OPEN_TREE.attempt(|| Ok(rustix::mount::open_tree(&self.namespace, c"", flags)?));
        let tree = tree.transpose().map_err(errno)?;
        let file = self.open_file()?;
        let to = file.as_fd();
        match tree {
            Some(tree) => {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
                rustix::mount::move_mount(&tree, c"", to, c"", flags)?;
                self.bound = Some(tree);
            }
            None => {
                let (from, to) = (FdPath::new(self.namespace.as_fd()), FdPath::new(to));
                rustix::mount::mount(from.as_c_str(), to.as_c_str(), c"", MountFlags::BIND, None)?;
                self.bound = Some(self.open_name(OFlags::PATH)?);
            }
        }
        Ok(())
    }

    /// Makes the file or, if it was there before, opens it, locked against others of us that mean the same one.
    fn open_file(&mut self) -> rustix::io::Result<OwnedFd> {
        let file = if self.existed {
            match self.open_name(OFlags::RDONLY | OFlags::NONBLOCK) {
                // A mount point need not be readable.
                Err(Errno::ACCESS) => self.open_name(OFlags::PATH),
                result => result,
            }
        } else {
            self.open_name(OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL)
        }?;
        let opened = rustix::fs::fstat(&file)?;
        // A filesystem may have no locks, and then this fails otherwise.
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            // Whoever has the lock took what we may have made for theirs, so it stays.
            return Err(Errno::BUSY);
        }
        if !self.existed {
            self.made = Some(opened);
        }
        // Somebody may have bound a namespace there before it was opened, or between that and the lock; the latter the
        // name alone tells.
        let carries = rustix::fs::fstatfs(&file)?.f_type as u64 == NSFS_MAGIC;
        match self.stat() {
            Some(found) if !carries && is_same(&opened, &found) => Ok(file),
            _ => {
                self.made = None;
                Err(Errno::BUSY)
            }
        }
    }

    fn open_name(&self, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, self.name.as_c_str(), flags, Mode::from_raw_mode(0o444))
    }

    /// Undoes what was done.
    fn take_back(&self) {
        if let Some(mount) = &self.bound {
            unmount(mount.as_fd());
        }
        if let (Some(made), Some(found)) = (&self.made, self.stat())
            && is_same(made, &found)
        {
            self.remove();
        }
    }

    /// Undoes what a killed keeper may have done: our namespace's mount, an empty file that was not there.
    fn take_back_found(&self) {
        let namespace = rustix::fs::fstat(&self.namespace);
        if let (Ok(namespace), Some(found)) = (namespace, self.stat())
            && is_same(&namespace, &found)
            && let Ok(mount) = self.open_name(OFlags::PATH)
        {
            unmount(mount.as_fd());
        }
        let is_empty = |found: Stat| FileType::from_raw_mode(found.st_mode).is_file() && found.st_size == 0;
        if !self.existed && self.stat().is_some_and(is_empty) {
            self.remove();
        }
    }

    fn stat(&self) -> Option<Stat> {
        rustix::fs::statat(&self.directory, self.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    fn remove(&self) {
        let _ = rustix::fs::unlinkat(&self.directory, self.name.as_c_str(), AtFlags::empty());
    }
}

/// Takes a mount away, and no other that stands in the same place.
fn unmount(mount: BorrowedFd<'_>) {
    let _ = rustix::mount::unmount(FdPath::new(mount).as_c_str(), UnmountFlags::DETACH);
}
