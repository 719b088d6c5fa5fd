//! What a namespace contains, read through the kernel's own files: from outside where that works, else from a thread, or
//! for user and time namespaces a short-lived child, that joins it. Nothing is changed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::bind_mounts::MEMBERS_TRIED;
use super::inside::Inside;
use super::mount_tables::Job;
use crate::error::Result;
use crate::id::{NamespaceId, Pid};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{
    ClockOffsets, Contents, Interface, IpcObjects, Listener, MountSummary, MountTable, Names, Namespace,
    NamespaceLimit, Observed, Snapshot, UserSettings, Why,
};
use crate::proc::status::Status;
use crate::proc::{Proc, idmap, lines, mountinfo, net};
use crate::sys::netlink;
use crate::target::PinnedNamespace;

impl Contents {
    /// Reads what a namespace contains; `snapshot` tells of the processes in it.
    ///
    /// # Errors
    /// There is no usable `/proc`.
    pub fn read(namespace: &PinnedNamespace, snapshot: &Snapshot) -> Result<Self> {
        let proc = Proc::open()?;
        let inside = Inside { namespace, proc: &proc };
        let members = snapshot.namespace(namespace.id()).map_or(&[][..], |seen| &seen.members);
        Ok(match namespace.kind() {
            NamespaceKind::Cgroup => Self::Cgroup { root: observe(cgroup_root(&inside, members)) },
            NamespaceKind::Ipc => Self::Ipc(observe(ipc(&inside))),
            NamespaceKind::Mnt => Self::Mnt(mounts(&inside, members)),
            NamespaceKind::Net => Self::Net {
                interfaces: observe(interfaces(&inside)),
                listening: observe(listeners(&inside)),
                net_id: observe(netlink::Route::open().and_then(|route| route.net_id(namespace.as_fd()))),
            },
            NamespaceKind::Pid => Self::Pid { init: members.iter().copied().find(|pid| is_init(&proc, *pid)) },
            NamespaceKind::Time => Self::Time(observe(clocks(&inside, snapshot, members))),
            NamespaceKind::User => Self::User(observe(user(&inside, snapshot, members))),
            NamespaceKind::Uts => Self::Uts(observe(names(&inside))),
        })
    }
}

fn observe<T>(result: io::Result<T>) -> Observed<T> {
    match result {
        Ok(value) => Observed::Known(value),
        Err(error) => Observed::Hidden(error.raw_os_error().map_or(Why::Unreachable, Why::of_errno)),
    }
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

fn names(inside: &Inside<'_>) -> io::Result<Names> {
    let [host, domain] = inside.read([c"sys/kernel/hostname", c"sys/kernel/domainname"])?;
    let line = |text: Option<Vec<u8>>| {
        let mut text = text.ok_or_else(missing)?;
        text.pop_if(|last| *last == b'\n');
        io::Result::Ok(text)
    };
    Ok(Names { host: line(host)?, domain: line(domain)? })
}

fn ipc(inside: &Inside<'_>) -> io::Result<IpcObjects> {
    let [shared_memory, semaphores, message_queues] = inside.read([c"sysvipc/shm", c"sysvipc/sem", c"sysvipc/msg"])?;
    let objects = |text: Option<Vec<u8>>| text.map(|text| net::sysv_objects(&text)).ok_or_else(missing);
    Ok(IpcObjects {
        shared_memory: objects(shared_memory)?,
        semaphores: objects(semaphores)?,
        message_queues: objects(message_queues)?,
        posix_queues: posix_queues(inside).ok(),
    })
}

/// Lists the POSIX message queues.
fn posix_queues(inside: &Inside<'_>) -> io::Result<Vec<Vec<u8>>> {
    let directory = inside.open(mount_queues, mount_queues_in_child)?;
    let mut space = Vec::with_capacity(16 * 1024);
    let mut entries = RawDir::new(directory, space.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whoever has joined a user namespace of their own may mount only in a mount namespace that belongs to it
/// (mount_namespaces(7)), so the child takes one, which ends with it.
fn mount_queues_in_child() -> rustix::io::Result<OwnedFd> {
    let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS);
    unshared.map_err(|errno| rustix::io::Errno::from_raw_os_error(errno as i32))?;
    mount_queues()
}

/// Mounts the message queues of the namespace that we are in, attached nowhere (since Linux 5.2).
fn mount_queues() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"mqueue", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let root = rustix::mount::fsmount(context.as_fd(), flags, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    rustix::fs::openat(root, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn mounts(inside: &Inside<'_>, members: &[Pid]) -> Observed<MountSummary> {
    let pin = inside.namespace.as_fd().try_clone_to_owned().ok();
    let job = Job { id: inside.namespace.id(), pin, processes: members.to_vec(), ours: inside.is_ours() };
    let table = match job.read(inside.proc) {
        Ok(table) if !table.partial => Ok(table),
        // From inside an ordinary user sees all of it, if the namespace is their own.
        seen => match inside.read([c"self/mountinfo"]) {
            Ok([Some(text)]) => {
                let parsed = mountinfo::parse(&text);
                Ok(job.table(parsed.mounts, false, parsed.malformed))
            }
            _ => seen,
        },
    };
    match table {
        Ok(table) => Observed::Known(summary(&table)),
        // What nobody lives in is out of reach for want of a right too.
        Err(Why::Unreachable) => Observed::Hidden(Why::NotPermitted),
        Err(why) => Observed::Hidden(why),
    }
}

fn summary(table: &MountTable) -> MountSummary {
    let root = table.mounts.iter().rev().find(|mount| mount.mount_point == b"/");
    let shared = table.mounts.iter().filter(|mount| mount.shared.is_some());
    MountSummary {
        root: root.map(|mount| (mount.fs_type.clone(), mount.source.clone())),
        mounts: table.mounts.len() + table.malformed,
        partial: table.partial,
        shared: shared.map(|mount| mount.mount_point.clone()).collect(),
    }
}

/// Lists the interfaces through a socket that was made inside.
fn interfaces(inside: &Inside<'_>) -> io::Result<Vec<Interface>> {
    netlink::Route::over(inside.open(netlink::socket, netlink::socket)?).interfaces()
}

fn listeners(inside: &Inside<'_>) -> io::Result<Vec<Listener>> {
    let files = [c"thread-self/net/tcp", c"thread-self/net/tcp6", c"thread-self/net/udp", c"thread-self/net/udp6"];
    let read = inside.read(files)?;
    if read[0].is_none() {
        return Err(missing());
    }
    // Without IPv6 two of them are missing.
    let texts = read.map(Option::unwrap_or_default);
    let protocols = ["tcp", "tcp", "udp", "udp"];
    let listeners = protocols.into_iter().zip(texts).flat_map(|(protocol, text)| net::listeners(protocol, &text));
    let mut found: Vec<Listener> = listeners.collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn is_init(proc: &Proc, pid: Pid) -> bool {
    let mut text = Vec::new();
    proc.read(pid, "status", &mut text).is_ok()
        && Status::new(&text).ns_pids().is_some_and(|pids| pids.last() == Some(&1))
}

/// Reads the offsets of a process that is in it together with its children, else from within.
fn clocks(inside: &Inside<'_>, snapshot: &Snapshot, members: &[Pid]) -> io::Result<ClockOffsets> {
    let stays = |pid: &&Pid| {
        let link = NamespaceLink::ForChildren(NamespaceKind::Time);
        snapshot.process(**pid).is_some_and(|process| process.namespace(link).known() == Some(inside.namespace.id()))
    };
    let mut text = Vec::new();
    if members.iter().filter(stays).all(|pid| inside.proc.read(*pid, "timens_offsets", &mut text).is_err()) {
        let [read] = inside.read([c"self/timens_offsets"])?;
        text = read.ok_or(io::ErrorKind::NotFound)?;
    }
    lines::clock_offsets(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The limits of a user namespace and the files that tell them, which show those of whoever opens them.
const USER_LIMITS: [(&str, &CStr); 8] = [
    ("cgroup", c"sys/user/max_cgroup_namespaces"),
    ("ipc", c"sys/user/max_ipc_namespaces"),
    ("mnt", c"sys/user/max_mnt_namespaces"),
    ("net", c"sys/user/max_net_namespaces"),
    ("pid", c"sys/user/max_pid_namespaces"),
    ("time", c"sys/user/max_time_namespaces"),
    ("user", c"sys/user/max_user_namespaces"),
    ("uts", c"sys/user/max_uts_namespaces"),
];

fn user(inside: &Inside<'_>, snapshot: &Snapshot, members: &[Pid]) -> io::Result<UserSettings> {
    let [cgroup, ipc, mnt, net, pid, time, user, uts] = USER_LIMITS.map(|(_, file)| file);
    let files = [c"self/uid_map", c"self/gid_map", c"self/setgroups", cgroup, ipc, mnt, net, pid, time, user, uts];
    let mut read = match inside.read(files) {
        Ok(read) => Vec::from(read).into_iter(),
        // Without the right to join it, a process that lives there still tells its maps.
        Err(error) => {
            let of_member = |name: &str| {
                let mut text = Vec::new();
                members.iter().find(|pid| inside.proc.read(**pid, name, &mut text).is_ok())?;
                Some(text)
            };
            let read = vec![of_member("uid_map"), of_member("gid_map"), of_member("setgroups")];
            if read[0].is_none() {
                return Err(error);
            }
            read.into_iter()
        }
    };
    let mut next = || read.next().flatten();
    let mut settings = UserSettings {
        uid_map: next().map(|text| idmap::parse(&text)).unwrap_or_default(),
        gid_map: next().map(|text| idmap::parse(&text)).unwrap_or_default(),
        setgroups: next().map(|text| text.trim_ascii() == b"allow"),
        limits: Vec::new(),
    };
    let seen = count_below(snapshot, inside.namespace.id());
    for ((name, _), seen) in USER_LIMITS.into_iter().zip(seen) {
        let most = next().and_then(|text| std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok());
        settings.limits.extend(most.map(|most| NamespaceLimit { name, most, seen }));
    }
    Ok(settings)
}

/// Counts the namespaces of each kind that belong to a user namespace or to one below it, which is what counts against its
/// limits (namespaces(7)). Those out of sight are missing, and whose uid made one the kernel tells of user namespaces alone.
fn count_below(snapshot: &Snapshot, id: NamespaceId) -> [usize; NamespaceKind::COUNT] {
    let owner = |namespace: &Namespace| match namespace.kind {
        NamespaceKind::User => namespace.parent.and_then(Observed::known),
        _ => namespace.owner.and_then(Observed::known),
    };
    let mut seen = [0; NamespaceKind::COUNT];
    for namespace in snapshot.namespaces() {
        let above = std::iter::successors(owner(namespace), |id| snapshot.namespace(*id).and_then(owner));
        // As deep as user namespaces nest, in case what was read at different moments made a circle.
        if above.take(DEEPEST).any(|above| above == id) {
            seen[namespace.kind as usize] += 1;
        }
    }
    seen
}

/// How deep user namespaces nest at most, generously (user_namespaces(7)).
const DEEPEST: usize = 64;

/// Derives the root from a process that lives there: what its path has before the part that it sees itself.
fn cgroup_root(inside: &Inside<'_>, members: &[Pid]) -> io::Result<Vec<u8>> {
    if inside.is_ours() {
        return Ok(b"/".to_vec());
    }
    let path_of = |text: &[u8]| {
        let entries = lines::cgroups(text);
        let unified = entries.iter().position(|entry| entry.controllers.is_empty()).unwrap_or_default();
        entries.into_iter().nth(unified).map(|entry| entry.path)
    };
    let mut trouble = io::ErrorKind::NotFound.into();
    // With many that cannot be asked, not all are tried.
    for pid in members.iter().take(MEMBERS_TRIED) {
        let file = CString::new(format!("{pid}/cgroup"))?;
        let seen = match inside.read([&file]) {
            Ok([seen]) => seen,
            Err(error) => {
                trouble = error;
                continue;
            }
        };
        let mut text = Vec::new();
        let (Some(seen), Ok(())) = (seen, inside.proc.read(*pid, "cgroup", &mut text)) else { continue };
        if let (Some(seen), Some(outside)) = (path_of(&seen), path_of(&text))
            && let Some(root) = outside.strip_suffix(if seen == b"/" { &b""[..] } else { &seen[..] })
        {
            return Ok(if root.is_empty() { b"/".to_vec() } else { root.to_vec() });
        }
    }
    Err(trouble)
}
