//! Bind mounts of namespace files, in every mount namespace: `ip netns add` and `unshare --net=FILE` keep a namespace
//! that way without any process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::descriptors::reopen_namespace;
use super::registry::{Known, Place};
use super::{Scan, reach};
use crate::id::NamespaceId;
use crate::kind::NamespaceKind;
use crate::model::{Holder, Observed, Process, Subject, Why};
use crate::proc::{mountinfo, read_to_end};
use crate::sys::{nsfs, statmount};

/// With a namespace full of processes that may not be read, not all of them are tried.
pub(super) const MEMBERS_TRIED: usize = 8;

/// Enters what is mounted, and the mount namespaces no process is in.
pub(super) fn look(scan: &mut Scan<'_>) {
    let own = walk_from_own(scan);
    if is_in_a_chroot() {
        scan.hidden.add(Subject::MountTable, Why::Outside);
    }
    for index in 0..scan.registry.len() {
        let (kind, id, mounts_id) = scan.registry.with(index, |kind, id, pin| {
            let mounts_id = pin.filter(|_| kind == NamespaceKind::Mnt).and_then(nsfs::mount_namespace_info);
            (kind, id, mounts_id.and_then(Result::ok).map(|info| info.id))
        });
        if kind != NamespaceKind::Mnt {
            continue;
        }
        let place = Place { index, id };
        let ours = own == Some(id);
        let found = mounts_id.and_then(by_statmount).map_or_else(|| by_mountinfo(scan, place, ours), Ok);
        match found {
            Ok(found) => found.into_iter().for_each(|found| enter(scan, place, ours, found)),
            Err(why) => scan.hidden.add(Subject::MountTable, why),
        }
    }
}

/// Tells whether our root directory is no mount's root: then the kernel shows us only the mounts below it. A chroot into
/// a mount point cannot be told from a namespace of its own.
pub(super) fn is_in_a_chroot() -> bool {
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    rustix::fs::statx(rustix::fs::CWD, "/", AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).is_ok_and(|stat| {
        // The bit is only told since Linux 5.8.
        let (known, set) = (stat.stx_attributes_mask.bits(), stat.stx_attributes.bits());
        known & STATX_ATTR_MOUNT_ROOT != 0 && set & STATX_ATTR_MOUNT_ROOT == 0
    })
}

/// Enters every mount namespace of the machine, our own included, and returns which one that is.
pub(super) fn walk_from_own(scan: &mut Scan<'_>) -> Option<NamespaceId> {
    let own = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    walk(scan, &own);
    Some(scan.registry.adopt(own, NamespaceKind::Mnt, &mut Known::default()).ok()?.id)
}

/// Enters every mount namespace of the machine, with or without processes, by walking the kernel's list from ours both
/// ways.
fn walk(scan: &mut Scan<'_>, own: &OwnedFd) {
    let mut known = Known::default();
    for step in [nsfs::next_mount_namespace, nsfs::previous_mount_namespace] {
        let mut here = None;
        loop {
            let from: &OwnedFd = here.as_ref().unwrap_or(own);
            match step(from.as_fd()) {
                None => return scan.hidden.add(Subject::MountNamespaces, Why::Unsupported),
                // ENOENT: the last one.
                Some(Err(error)) if error.raw_os_error() == Some(libc::ENOENT) => break,
                Some(Err(error)) => {
                    let why = Why::of_errno(error.raw_os_error().unwrap_or_default());
                    return scan.hidden.add(Subject::MountNamespaces, why);
                }
                Some(Ok(next)) => {
                    if let Ok(pin) = next.try_clone() {
                        let _ = scan.registry.adopt(pin, NamespaceKind::Mnt, &mut known);
                    }
                    here = Some(next);
                }
            }
        }
    }
}

/// A mount of a namespace's file.
struct Found {
    kind: NamespaceKind,
    ino: u64,
    mount_point: Vec<u8>,
}

/// Finds them in the mount namespace with this id of NS_MNT_GET_INFO. `None`: the kernel cannot or will not tell.
fn by_statmount(mounts_id: u64) -> Option<Vec<Found>> {
    let ids = statmount::list(mounts_id)?.ok()?;
    let mut buffer = statmount::Buffer::new();
    let mut found = Vec::new();
    for id in ids {
        // A mount that vanished since is left out.
        let Ok(answer) = buffer.stat(id, mounts_id, statmount::SB_BASIC)? else { continue };
        if answer.header().sb_magic != nsfs::NSFS_MAGIC {
            continue;
        }
        let Ok(answer) = buffer.stat(id, mounts_id, statmount::MNT_ROOT | statmount::MNT_POINT)? else { continue };
        let (Some(root), Some(mount_point)) = (answer.root(), answer.mount_point()) else { continue };
        if let Some((kind, ino)) = NamespaceKind::parse_link(root) {
            found.push(Found { kind, ino, mount_point: mount_point.to_vec() });
        }
    }
    Some(found)
}

/// Finds them in the mountinfo of us or of a process that lives there; or says why that cannot be.
fn by_mountinfo(scan: &Scan<'_>, place: Place, ours: bool) -> Result<Vec<Found>, Why> {
    let mut text = Vec::new();
    if ours {
        let file = rustix::fs::open("/proc/self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let read = file.map_err(io::Error::from).and_then(|file| read_to_end(file.as_fd(), &mut text));
        read.map_err(|error| Why::of_errno(error.raw_os_error().unwrap_or_default()))?;
    } else {
        // Nobody lives there, and the kernel did not show us its mounts from outside.
        let mut why = Why::Unreachable;
        let read = members(scan, place.id).any(|member| {
            let read = scan.proc.read_at(&format!("{member}/mountinfo"), &mut text);
            read.map_err(|error| why = Why::of_errno(error.raw_os_error().unwrap_or_default())).is_ok()
        });
        if !read {
            return Err(why);
        }
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| is_of_nsfs(line));
    Ok(lines.filter_map(mountinfo::parse_line).filter_map(of_mount).collect())
}

fn is_of_nsfs(line: &[u8]) -> bool {
    const MARK: &[u8] = b" - nsfs ";
    line.windows(MARK.len()).any(|window| window == MARK)
}

fn of_mount(mount: crate::model::Mount) -> Option<Found> {
    let (kind, ino) = NamespaceKind::parse_link(&mount.root).filter(|_| mount.fs_type == b"nsfs")?;
    Some(Found { kind, ino, mount_point: mount.mount_point })
}

/// Returns the directories below /proc of processes that live in a mount namespace; not of all of them.
pub(super) fn members(scan: &Scan<'_>, id: NamespaceId) -> impl Iterator<Item = String> {
    let kind = NamespaceKind::Mnt as usize;
    let processes = scan.processes.iter().filter(move |process| process.links[kind] == Observed::Known(id));
    processes.take(MEMBERS_TRIED).map(Process::proc_path)
}

fn enter(scan: &mut Scan<'_>, place: Place, ours: bool, found: Found) {
    if !scan.kinds.contains(found.kind) {
        return;
    }
    let index = scan.registry.find_pinned(found.ino).unwrap_or_else(|| pin(scan, place, ours, &found));
    let holder = Holder::Mount { mount_namespace: place.id, ours, mount_point: found.mount_point };
    scan.holders.push((index, holder));
}

/// Enters a namespace that only a mount has told of: opened where a path leads to it, else as a number alone.
fn pin(scan: &Scan<'_>, place: Place, ours: bool, found: &Found) -> usize {
    let is_it = |file: &OwnedFd| rustix::fs::fstat(file).is_ok_and(|stat| stat.st_ino == found.ino);
    let accept = |path_fd: OwnedFd| reopen_namespace(path_fd).ok().filter(is_it);
    let opened = reach::open(scan, place, ours, &found.mount_point, accept);
    opened
        .and_then(|file| scan.registry.adopt(file, found.kind, &mut Known::default()).ok())
        .map_or_else(|| scan.registry.note(found.kind, found.ino), |place| place.index)
}
