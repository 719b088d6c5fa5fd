//! Keeps namespaces beyond the end of their processes, by binding each to a file.
//!
//! A process of its own makes the files and binds, and takes all of it back unless it is told that everything went well:
//! it sees our end even if we are killed by SIGKILL, since a pipe closes then.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::pipe::PipeFlags;

use super::facts::carries_namespace;
use super::mounts::FdPath;
use super::talk::{self, Listener, Speaker, Word};
use crate::exec::Child;
use crate::id::Pid;
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::sys::process::{self, Closing, SignalSet};

/// What is to be kept where: the number of its step, the namespace's link below /proc, the file.
#[derive(Debug)]
struct Place {
    step: usize,
    source: CString,
    file: CString,
    /// Whether the file was there before.
    existed: bool,
    made: bool,
    bound: bool,
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
            // Of pid and time, what the child's own children are in: there it is for sure.
            let link = match kind {
                NamespaceKind::Pid | NamespaceKind::Time => NamespaceLink::ForChildren(*kind),
                kind => NamespaceLink::Own(*kind),
            };
            let c_string = |bytes: Vec<u8>| CString::new(bytes).map_err(|error| (*step, error.into()));
            places.push(Place {
                step: *step,
                source: c_string(format!("/proc/{of}/ns/{}", link.file_name()).into_bytes())?,
                file: c_string(file.as_os_str().as_bytes().to_vec())?,
                existed: std::fs::symlink_metadata(file).is_ok(),
                made: false,
                bound: false,
            });
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
            for place in &mut self.places {
                let file = std::path::Path::new(std::ffi::OsStr::from_bytes(place.file.to_bytes()));
                place.bound = carries_namespace(file);
                place.made = !place.existed;
            }
            take_back(&self.places);
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
    let mut kept = [lifeline.as_raw_fd(), speaker.as_fd().as_raw_fd()];
    kept.sort_unstable();
    process::close_all_but(&kept, Closing::Now, None);
    let result = places.iter_mut().try_for_each(|place| bind(place).map_err(|errno| (place.step, errno)));
    match result {
        Ok(()) => speaker.say(Word::Launched),
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

fn bind(place: &mut Place) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::open(place.file.as_c_str(), flags, Mode::from_raw_mode(0o444)) {
        Ok(file) => {
            place.made = true;
            file
        }
        Err(Errno::EXIST) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::open(place.file.as_c_str(), flags, Mode::empty())?
        }
        Err(error) => return Err(error),
    };
    let to = FdPath::new(file.as_fd());
    rustix::mount::mount(place.source.as_c_str(), to.as_c_str(), c"", MountFlags::BIND, None)?;
    place.bound = true;
    Ok(())
}

fn take_back(places: &[Place]) {
    for place in places.iter().rev() {
        if place.bound {
            let _ = rustix::mount::unmount(place.file.as_c_str(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
        if place.made {
            let _ = rustix::fs::unlink(place.file.as_c_str());
        }
    }
}
