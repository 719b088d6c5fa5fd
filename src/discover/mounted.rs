//! What the mount tables tell beyond bind mounts: which pid namespace each mounted procfs shows, which mount namespace an
//! open mountinfo file shows, and who has files open on the mounts of others.
//!
//! Of the filesystems that show a namespace only procfs keeps it: sysfs, mqueue and cgroup mounts outlive their network,
//! ipc and cgroup namespace (measured on Linux 6.18 by the namespace's file handle).

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::registry::{Known, Place};
use super::{Scan, mount_tables, reach};
use crate::kind::NamespaceKind;
use crate::model::{Device, Holder, Mount, MountPlace, MountUse, Suspect};
use crate::proc::status::Status;

/// A mount table and where its namespace stands.
struct Table {
    place: Place,
    ours: bool,
    mounts: Vec<Mount>,
}

/// Judges procfs mounts and open files.
pub(super) fn look(scan: &mut Scan<'_>) {
    let tables = read(scan);
    if scan.scope.kinds.contains(NamespaceKind::Pid) {
        procfs(scan, &tables);
    }
    if scan.scope.kinds.contains(NamespaceKind::Mnt) {
        mount_lists(scan, &tables);
        uses(scan, &tables);
    }
    if scan.scope.kinds.contains(NamespaceKind::Net) {
        net_files(scan);
    }
}

fn read(scan: &mut Scan<'_>) -> Vec<Table> {
    let own = rustix::fs::stat("/proc/self/ns/mnt").map_or(0, |stat| stat.st_ino);
    let mut tables = Vec::new();
    for index in 0..scan.registry.len() {
        let members = &scan.processes;
        let read = scan.registry.with(index, |kind, id, pin| {
            (kind == NamespaceKind::Mnt).then(|| {
                let links = members.iter().filter(|process| process.links[kind as usize].known() == Some(id));
                let ours = id.ino == own;
                let processes = links.map(|process| process.pid).collect();
                let pin = pin.and_then(|pin| pin.try_clone_to_owned().ok());
                // A table that cannot be read was counted with the bind mounts.
                let table = mount_tables::Job { ours, processes, id, pin }.read(scan.proc).ok()?;
                Some(Table { place: Place { index, id }, ours, mounts: table.mounts })
            })
        });
        tables.extend(read.flatten());
    }
    tables
}

/// Enters each mounted procfs as a holder of the pid namespace that it shows.
fn procfs(scan: &mut Scan<'_>, tables: &[Table]) {
    // All mounts of one procfs share its device, so one that can be reached suffices.
    let mut shown: HashMap<Device, Option<Place>> = own_procfs(scan).into_iter().collect();
    let of_procfs = |mount: &&Mount| mount.fs_type == b"proc";
    for table in tables {
        for mount in table.mounts.iter().filter(of_procfs).filter(|mount| mount.root == b"/") {
            if !shown.get(&mount.device).is_some_and(Option::is_some) {
                let accept = |root| open_shown(root, mount.device).ok();
                let place = reach::open(scan, table.place, table.ours, &mount.mount_point, accept)
                    .and_then(|fd| scan.registry.adopt(fd, NamespaceKind::Pid, &mut Known::default()).ok());
                shown.insert(mount.device, place);
            }
        }
    }
    for table in tables {
        for mount in table.mounts.iter().filter(of_procfs) {
            let holder = Holder::Filesystem {
                mount_namespace: table.place.id,
                ours: table.ours,
                mount_point: mount.mount_point.clone(),
            };
            match shown.get(&mount.device).copied().flatten() {
                Some(place) => scan.holders.push((place.index, holder)),
                None => scan.open_files.suspects.push(Suspect { kind: NamespaceKind::Pid, holder }),
            }
        }
    }
}

/// Returns the device of the procfs that we read ourselves, and where our own pid namespace stands, if it shows that.
fn own_procfs(scan: &Scan<'_>) -> Option<(Device, Option<Place>)> {
    let device = rustix::fs::fstat(scan.proc).ok().filter(|_| scan.proc.is_of_our_pid_namespace())?.st_dev;
    let own = rustix::fs::openat(scan.proc, "self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let place = scan.registry.adopt(own, NamespaceKind::Pid, &mut Known::default()).ok();
    Some((Device { major: rustix::fs::major(device), minor: rustix::fs::minor(device) }, place))
}

/// Opens the pid namespace that the procfs of this device shows.
fn open_shown(root: OwnedFd, device: Device) -> io::Result<OwnedFd> {
    let found = rustix::fs::fstat(&root)?.st_dev;
    // Something else may be mounted over it.
    if (rustix::fs::major(found), rustix::fs::minor(found)) != (device.major, device.minor) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let open = |path: &str| rustix::fs::openat(&root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    // Process 1 of a procfs is the init of its pid namespace. Once that has ended, the procfs is empty for good and
    // nothing tells which one it was.
    if let Ok(namespace) = open("1/ns/pid") {
        return Ok(namespace);
    }
    // Not everybody may look at init; if we have a single number in this procfs, it shows our own pid namespace.
    let mut text = Vec::new();
    crate::proc::read_to_end(open("self/status")?.as_fd(), &mut text)?;
    match Status::new(&text).ns_pids().as_deref() {
        Some([_]) => Ok(open("self/ns/pid")?),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Enters open mountinfo files as holders of the mount namespace that they show.
fn mount_lists(scan: &mut Scan<'_>, tables: &[Table]) {
    let lists = std::mem::take(&mut scan.open_files.mount_lists);
    for (first, holder) in lists {
        match tables.iter().find(|table| table.mounts.iter().any(|mount| mount.id == first)) {
            Some(table) => scan.holders.push((table.place.index, holder)),
            None => scan.open_files.suspects.push(Suspect { kind: NamespaceKind::Mnt, holder }),
        }
    }
}

/// Notes who has something open on a mount of a namespace it is not in.
fn uses(scan: &mut Scan<'_>, tables: &[Table]) {
    let mut mounts: HashMap<u64, (&Table, &Mount)> = HashMap::new();
    for table in tables {
        for mount in &table.mounts {
            // statx(2) tells the one or the other; they cannot be mistaken, as unique ids start beyond 32 bits' half.
            mounts.insert(mount.id.into(), (table, mount));
            mount.unique_id.map(|id| mounts.insert(id, (table, mount)));
        }
    }
    for open in std::mem::take(&mut scan.open_files.on_mounts) {
        let Some((table, mount)) = mounts.get(&open.mount) else { continue };
        let Ok(place) = scan.processes.binary_search_by_key(&open.pid, |process| process.pid) else { continue };
        if scan.processes[place].links[NamespaceKind::Mnt as usize].known().is_some_and(|id| id != table.place.id) {
            scan.mount_uses.push(MountUse {
                mount: Some(MountPlace { namespace: table.place.id, mount_point: mount.mount_point.clone() }),
                pid: open.pid,
                tid: open.tid,
                by: open.by,
                path: Vec::new(),
            });
        }
    }
}

/// Enters open files below /proc/PID/net as holders of the network namespace whose inode they have.
fn net_files(scan: &mut Scan<'_>) {
    let mut files = std::mem::take(&mut scan.open_files.net_files);
    for index in 0..scan.registry.len() {
        if files.is_empty() {
            return;
        }
        let inodes = scan.registry.with(index, |kind, _, pin| {
            let pin = pin.filter(|_| kind == NamespaceKind::Net)?;
            reach::within(pin, kind, || Ok(files.iter().map(|file| inode(scan, &file.name)).collect::<Vec<_>>())).ok()
        });
        let mut inodes = inodes.into_iter().flatten();
        files.retain(|file| {
            let found = inodes.next().flatten() == Some(file.ino);
            if found {
                scan.holders.push((index, file.holder.clone()));
            }
            !found
        });
    }
    let suspects = files.into_iter().map(|file| Suspect { kind: NamespaceKind::Net, holder: file.holder });
    scan.open_files.suspects.extend(suspects);
}

/// Returns the inode of a file below /proc/net in the network namespace of the calling thread.
fn inode(scan: &Scan<'_>, name: &[u8]) -> Option<u64> {
    let path = [b"thread-self/net/", name].concat();
    rustix::fs::statat(scan.proc, path, rustix::fs::AtFlags::empty()).ok().map(|stat| stat.st_ino)
}
