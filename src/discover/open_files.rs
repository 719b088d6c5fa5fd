//! Open files that hold a namespace without being its file, and whatever a process has open on mounts of others.
//!
//! Measured on Linux 6.18: an open `/proc/PID/mountinfo` keeps the mount namespace it shows, a file below `/proc/PID/net`
//! the network namespace, a file of a control group the cgroup namespace of whoever opened it, whatever lies below the
//! directory of a process in `/proc` its pid namespace, also when it has ended. A file that is open on a mount, a working
//! directory or a root keeps the mount and its device busy, but not the mount namespace.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, FileType, OFlags, Statx, StatxFlags};

use super::fd_tables::{self, FdTable};
use super::filesystems::Filesystem;
use super::worker::{Visit, Worker};
use crate::id::Pid;
use crate::kind::NamespaceKind;
use crate::model::{Holder, Suspect, UsedBy};
use crate::proc::mountinfo;
use crate::proc::status::Status;

/// STATX_MNT_ID_UNIQUE, since Linux 6.8; older kernels pass over the bit.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What the processes have open, to be judged when all namespaces and mounts are known.
#[derive(Default)]
pub(super) struct OpenFiles {
    pub(super) suspects: Vec<Suspect>,
    /// Everything open, by the id of its mount.
    pub(super) on_mounts: Vec<OnMount>,
    /// Open mountinfo files, by the id of the first mount they show.
    pub(super) mount_lists: Vec<(u32, Holder)>,
    /// Open files below `/proc/PID/net`.
    pub(super) net_files: Vec<NetFile>,
}

/// Something open on a mount.
pub(super) struct OnMount {
    pub(super) mount: u64,
    pub(super) pid: Pid,
    pub(super) tid: Option<Pid>,
    pub(super) by: UsedBy,
}

/// An open file below `/proc/PID/net`; each network namespace has its own inodes there.
pub(super) struct NetFile {
    /// The path below `net/`.
    pub(super) name: Vec<u8>,
    pub(super) ino: u64,
    pub(super) holder: Holder,
}

impl OpenFiles {
    pub(super) fn merge(&mut self, other: Self) {
        self.suspects.extend(other.suspects);
        self.on_mounts.extend(other.on_mounts);
        self.mount_lists.extend(other.mount_lists);
        self.net_files.extend(other.net_files);
    }
}

/// Looks at the directories, the executable and every descriptor of one process.
pub(super) fn look(worker: &mut Worker<'_>, visit: &mut Visit) {
    let (pid, path) = (visit.process.pid, visit.process.proc_path());
    // What cannot be read here was counted when the namespaces and descriptors of the process were.
    for (name, by) in [("cwd", UsedBy::WorkingDirectory), ("root", UsedBy::Root), ("exe", UsedBy::Executable)] {
        if let Ok(stat) = examine(worker.proc, &format!("{path}/{name}")) {
            worker.open_files().on_mounts.push(OnMount { mount: stat.stx_mnt_id, pid, tid: None, by });
            let of_procfs = worker.filesystems.get(stat.stx_dev_major, stat.stx_dev_minor) == Some(Filesystem::Proc);
            if of_procfs
                && by == UsedBy::WorkingDirectory
                && let Ok(place) = worker.proc.read_link(pid, name)
            {
                of_a_process(worker, &place, &Holder::WorkingDirectory { pid, path: place.clone() }, &stat);
            }
        }
    }
    for table in fd_tables::open(worker.proc, visit).flatten() {
        look_at(worker, visit, &table);
    }
}

fn look_at(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>) {
    let (pid, tid) = (visit.process.pid, table.tid);
    for &fd in &table.numbers {
        if Some(pid) == worker.me && !worker.inherited.contains(&fd) {
            continue;
        }
        let Ok(stat) = examine(&table.directory, &fd.to_string()) else { continue };
        let file_type = FileType::from_raw_mode(stat.stx_mode.into());
        if file_type == FileType::Socket {
            in_flight(worker, visit, table, fd);
        }
        if matches!(file_type, FileType::Socket | FileType::Fifo) {
            continue;
        }
        worker.open_files().on_mounts.push(OnMount { mount: stat.stx_mnt_id, pid, tid, by: UsedBy::Descriptor(fd) });
        match worker.filesystems.get(stat.stx_dev_major, stat.stx_dev_minor) {
            Some(Filesystem::Proc) => of_procfs(worker, visit, table, fd, &stat),
            Some(Filesystem::Cgroup) if file_type == FileType::RegularFile => {
                let Ok(path) = link(&table.directory, fd) else { continue };
                // Which cgroup namespace it was opened in shows nowhere.
                suspect(worker, NamespaceKind::Cgroup, Holder::OpenFile { pid, tid, fd, path });
            }
            _ => {}
        }
    }
}

/// Examines what a link of /proc leads to, without waiting for a file server that is gone.
fn examine(directory: impl AsFd, path: &str) -> rustix::io::Result<Statx> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | MNT_ID_UNIQUE;
    rustix::fs::statx(directory, path, AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, wanted)
}

fn link(directory: &OwnedFd, fd: RawFd) -> rustix::io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(directory, fd.to_string(), Vec::new())?.into_bytes())
}

/// Notes a socket with descriptors that were sent to it and not yet received (since Linux 5.6 proc_pid_fdinfo(5) counts
/// them). Whatever they are, nothing else leads there.
fn in_flight(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>, fd: RawFd) {
    let (pid, tid) = (visit.process.pid, table.tid);
    let Ok(text) = fdinfo(worker, visit, table, fd) else { return };
    let waiting = Status::new(&text).field("scm_fds").and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
    if let Some(waiting) = waiting.filter(|waiting| *waiting > 0) {
        for kind in NamespaceKind::ALL {
            suspect(worker, kind, Holder::InFlight { pid, tid, fd, waiting });
        }
    }
}

/// Reads what procfs tells about a descriptor.
fn fdinfo(worker: &Worker<'_>, visit: &Visit, table: &FdTable<'_>, fd: RawFd) -> io::Result<Vec<u8>> {
    let directory =
        table.tid.map_or_else(|| visit.process.proc_path(), |tid| format!("{}/task/{tid}", visit.process.pid));
    let mut text = Vec::new();
    worker.proc.read_at(&format!("{directory}/fdinfo/{fd}"), &mut text)?;
    Ok(text)
}

/// Judges a file of procfs by the end of its path, `…/PID/mountinfo`.
fn of_procfs(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>, fd: RawFd, stat: &Statx) {
    let Ok(path) = link(&table.directory, fd) else { return };
    let holder = Holder::OpenFile { pid: visit.process.pid, tid: table.tid, fd, path: path.clone() };
    let components: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let is_regular = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile;
    let net = components.iter().rposition(|component| *component == b"net");
    of_a_process(worker, &path, &holder, stat);
    match (components.last(), net) {
        (Some(&b"mountinfo"), _) if is_regular => match first_mount(table, fd) {
            Some(mount) => worker.open_files().mount_lists.push((mount, holder)),
            None => suspect(worker, NamespaceKind::Mnt, holder),
        },
        // These show no ids by which to tell whose mounts they are.
        (Some(&(b"mounts" | b"mountstats")), _) if is_regular => suspect(worker, NamespaceKind::Mnt, holder),
        (_, Some(net)) if is_regular => {
            let name = components[net + 1..].join(&b'/');
            worker.open_files().net_files.push(NetFile { name, ino: stat.stx_ino, holder });
        }
        _ => {}
    }
}

/// Reads the first id of an open mountinfo file, through a duplicate and without moving its position.
fn first_mount(table: &FdTable<'_>, fd: RawFd) -> Option<u32> {
    let file = table.duplicate(fd)?.ok()?;
    let mut start = [0u8; 4096];
    let count = rustix::io::pread(&file, &mut start, 0).ok()?;
    let line = start[..count].split(|byte| *byte == b'\n').next()?;
    mountinfo::parse_line(line).map(|mount| mount.id)
}

/// Everything below the directory of a process keeps the process's number, and with it the pid namespace of that number.
/// Which one can be told while the process is there, and by the numbers of our own procfs alone.
fn of_a_process(worker: &mut Worker<'_>, path: &[u8], holder: &Holder, stat: &Statx) {
    if !worker.kinds.contains(NamespaceKind::Pid) {
        return;
    }
    // A mount that cannot be seen from our root shows as if it were the root itself.
    let below = path.strip_prefix(b"/proc/").or_else(|| path.strip_prefix(b"/")).unwrap_or(path);
    let mut numbers = below.split(|byte| *byte == b'/').map(|component| {
        let number = component.strip_suffix(b" (deleted)").unwrap_or(component);
        crate::target::parse_pid(std::str::from_utf8(number).ok()?)
    });
    let first = numbers.next().flatten();
    if first.is_none() && numbers.all(|number| number.is_none()) {
        return;
    }
    // The kernel marks what belongs to an ended process, even if another has its number by now.
    let lives = !path.ends_with(b" (deleted)");
    let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    let namespace = match first {
        Some(pid) if lives && worker.proc_device == Some(device) => {
            worker.proc.open_file(pid, "ns/pid", OFlags::RDONLY)
        }
        // Another procfs has other numbers, and where it begins in a path is not told.
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    match namespace.and_then(|namespace| worker.adopt(namespace, NamespaceKind::Pid)) {
        // Our own is kept by ourselves, and such files are open everywhere.
        Ok(place) if worker.own_pid_namespace == Some(place.id.ino) => {}
        Ok(place) => worker.hold(place, holder.clone()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) || error.raw_os_error() == Some(libc::ESRCH) => {
            suspect(worker, NamespaceKind::Pid, holder.clone());
        }
        // That process is counted as hidden.
        Err(_) => {}
    }
}

fn suspect(worker: &mut Worker<'_>, kind: NamespaceKind, holder: Holder) {
    if worker.scope.kinds.contains(kind) {
        worker.open_files().suspects.push(Suspect { kind, holder });
    }
}

/// A pidfd whose process has ended: as long as it is a zombie its namespace can still be read, afterwards nothing tells.
pub(super) fn pidfd_of_the_ended(worker: &mut Worker<'_>, visit: &Visit, table: &FdTable<'_>, fd: RawFd) {
    let holder = Holder::Pidfd { pid: visit.process.pid, tid: table.tid, fd };
    let zombie = || -> io::Result<Option<OwnedFd>> {
        let text = fdinfo(worker, visit, table, fd)?;
        let number = Status::new(&text).field("Pid").and_then(|pid| std::str::from_utf8(pid).ok());
        let Some(pid) = number.and_then(crate::target::parse_pid) else { return Ok(None) };
        worker.proc.open_file(pid, "ns/pid", OFlags::RDONLY).map(Some)
    };
    match zombie() {
        Ok(Some(namespace)) => {
            if let Ok(place) = worker.adopt(namespace, NamespaceKind::Pid) {
                worker.hold(place, holder);
            }
        }
        Ok(None) => suspect(worker, NamespaceKind::Pid, holder),
        Err(_) => {}
    }
}
