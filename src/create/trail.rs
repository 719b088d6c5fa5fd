//! What was made to mount on, and is taken back when the command does not run after all. Runs in the child, so nothing
//! here allocates once there is room.
//!
//! Places are made on whatever filesystem the new root lies on, which may be the user's disk: unlike mounts, they do not
//! go with the namespaces. Each is noted with its directory, opened, its name, and its inode. So nothing that was there
//! before is removed, nor what somebody else has put in a place of ours; and what holds something by now stays. Only what
//! somebody else has mounted there outside goes with the place, as it does whenever a process of another mount namespace
//! removes a mount point (mount_namespaces(7)).

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Stat};
use rustix::io::{Errno, Result};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::{Gid, Uid};
use rustix::thread::CapabilitySets;

use super::place::is_same;
use crate::sys::process::SignalSet;

/// A kind of thing that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Directory,
    File,
    Link,
}

/// All that was made, in its order.
#[derive(Debug, Default)]
pub(super) struct Trail {
    notes: Vec<Note>,
    /// The directories in which it was made, each of them once: descriptors may be scarce.
    directories: Vec<(OwnedFd, Stat)>,
    /// Who made it: steps that come later may change who we are.
    maker: Option<(Uid, Gid)>,
    /// Whether our mount namespace is new, so that what covers a place of ours is ours as well.
    own_mounts: bool,
}

#[derive(Debug)]
struct Note {
    /// The index of its directory.
    directory: usize,
    /// NAME_MAX bytes, and the NUL.
    name: [u8; 256],
    made: Made,
    status: Stat,
}

impl Trail {
    /// Makes room for so many notes.
    pub(super) fn with_room_for(count: usize, own_mounts: bool) -> Self {
        Self { notes: Vec::with_capacity(count), directories: Vec::with_capacity(count), maker: None, own_mounts }
    }

    /// Tells whether anything may be noted.
    pub(super) fn has_room(&self) -> bool {
        self.notes.capacity() > 0
    }

    /// Notes what was made in a directory just now. What cannot be noted is removed at once.
    pub(super) fn note(&mut self, directory: OwnedFd, name: &CStr, made: Made) -> Result<()> {
        let noted = self.try_to_note(&directory, name, made);
        match noted {
            // What is pushed has room, for `try_to_note` has looked.
            Ok(Some(status)) => self.directories.push((directory, status)),
            Ok(None) => {}
            Err(_) => drop(remove(&directory, name, made)),
        }
        noted.map(drop)
    }

    /// Notes it, and returns the status of the directory if that is not among ours yet.
    fn try_to_note(&mut self, directory: &OwnedFd, name: &CStr, made: Made) -> Result<Option<Stat>> {
        if self.notes.len() == self.notes.capacity() {
            return Err(Errno::NOMEM);
        }
        let mut bytes = [0; 256];
        let spelled = name.to_bytes_with_nul();
        bytes.get_mut(..spelled.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(spelled);
        let status = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let holder = rustix::fs::fstat(directory)?;
        let known = self.directories.iter().position(|(_, status)| is_same(status, &holder));
        let index = known.unwrap_or(self.directories.len());
        self.maker.get_or_insert_with(|| (rustix::process::geteuid(), rustix::process::getegid()));
        self.notes.push(Note { directory: index, name: bytes, made, status });
        Ok(known.is_none().then_some(holder))
    }

    /// Takes everything back, the last first. What fails stays: nobody could do more about it. The working directory and
    /// who we are may be others afterwards.
    pub(super) fn take_back(&mut self) {
        let Some((uid, gid)) = self.maker.take() else { return };
        // What ends us would do so in the middle.
        let before = SignalSet::all().block_exactly();
        become_again(uid, gid);
        for note in self.notes.drain(..).rev() {
            if let Some((directory, _)) = self.directories.get(note.directory) {
                note.take_back(directory, self.own_mounts);
            }
        }
        self.directories.clear();
        before.block_exactly();
    }
}

impl Note {
    fn take_back(&self, directory: &OwnedFd, own_mounts: bool) {
        let name = CStr::from_bytes_until_nul(&self.name).unwrap_or_default();
        loop {
            let found = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            if let Ok(found) = found
                && is_same(&found, &self.status)
            {
                // Of a directory the kernel knows.
                let holds_something = self.made == Made::File && found.st_size > 0;
                if holds_something || remove(directory, name, self.made) != Err(Errno::BUSY) {
                    return;
                }
            }
            // Else something is mounted there, of which we see the root alone; or the place is somebody else's by now,
            // and no mount point.
            if !own_mounts || self.made == Made::Link || uncover(directory, name).is_err() {
                return;
            }
        }
    }
}

fn remove(directory: &OwnedFd, name: &CStr, made: Made) -> Result<()> {
    let flags = if made == Made::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(directory, name, flags)
}

/// Detaches the uppermost mount from a place. EINVAL: there is none.
fn uncover(directory: &OwnedFd, name: &CStr) -> Result<()> {
    // umount2(2) takes a path only, and there may be no /proc to spell a descriptor with.
    rustix::process::fchdir(directory)?;
    // Where mounts were left shared, taking these away would take the outer ones away that they are copies of.
    rustix::mount::mount_change(name, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    rustix::mount::unmount(name, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

/// Becomes who we were, with all capabilities that are left.
fn become_again(uid: Uid, gid: Gid) {
    raise();
    // An id without a meaning in our user namespace reads as another one, which is not to be taken on for it.
    if rustix::process::getegid() != gid {
        let _ = rustix::thread::set_thread_res_gid(gid, gid, gid);
    }
    if rustix::process::geteuid() != uid {
        let _ = rustix::thread::set_thread_res_uid(uid, uid, uid);
        // Which lowers them again.
        raise();
    }
}

/// Makes effective what is permitted.
fn raise() {
    if let Ok(sets) = rustix::thread::capabilities(None) {
        let _ = rustix::thread::set_capabilities(None, CapabilitySets { effective: sets.permitted, ..sets });
    }
}
