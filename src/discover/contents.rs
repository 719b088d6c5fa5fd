//! What a namespace contains, read through the kernel's own files: from outside where that works, else from a thread, or
//! for user and time namespaces a short-lived child, that joins it. Nothing is changed.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::socket::SockaddrLike as _;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::{MountTables, reach};
use crate::error::Result;
use crate::id::Pid;
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{
    Contents, Interface, IpcObjects, Listener, MountSummary, Names, Observed, Snapshot, UserSettings, Why,
};
use crate::proc::status::Status;
use crate::proc::{Proc, idmap, lines, net};
use crate::sys::{child, netlink};
use crate::target::PinnedNamespace;

impl Contents {
    /// Reads what a namespace contains; `snapshot` tells of the processes in it.
    ///
    /// # Errors
    /// There is no usable `/proc`.
    pub fn read(namespace: &PinnedNamespace, snapshot: &Snapshot) -> Result<Self> {
        let proc = Proc::open()?;
        let members = snapshot.namespace(namespace.id()).map_or(&[][..], |seen| &seen.members);
        Ok(match namespace.kind() {
            NamespaceKind::Cgroup => Self::Cgroup { root: observe(cgroup_root(namespace, &proc, members)) },
            NamespaceKind::Ipc => Self::Ipc(observe(ipc(namespace))),
            NamespaceKind::Mnt => Self::Mnt(mounts(namespace)),
            NamespaceKind::Net => Self::Net {
                interfaces: observe(within(namespace, interfaces)),
                listening: observe(listeners(namespace)),
                net_id: observe(netlink::Route::open().and_then(|route| route.net_id(namespace.as_fd()))),
            },
            NamespaceKind::Pid => Self::Pid { init: members.iter().copied().find(|pid| is_init(&proc, *pid)) },
            NamespaceKind::Time => Self::Time(observe(clocks(namespace, &proc, snapshot, members))),
            NamespaceKind::User => Self::User(observe(user(namespace, &proc, members))),
            NamespaceKind::Uts => Self::Uts(observe(names(namespace))),
        })
    }
}

fn observe<T>(result: io::Result<T>) -> Observed<T> {
    match result {
        Ok(value) => Observed::Known(value),
        Err(error) => Observed::Hidden(error.raw_os_error().map_or(Why::Unreachable, Why::of_errno)),
    }
}

/// Asks from within a namespace; from where we are if it is our own, which takes no right.
fn within<T: Send>(namespace: &PinnedNamespace, ask: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if is_ours(namespace) { ask() } else { reach::within(namespace.as_fd(), namespace.kind(), ask) }
}

fn is_ours(namespace: &PinnedNamespace) -> bool {
    let own = rustix::fs::stat(format!("/proc/thread-self/ns/{}", namespace.kind()));
    own.is_ok_and(|own| own.st_ino == namespace.id().ino)
}

/// Reads files of /proc that show the namespace of whoever opens them; `None` for one that is not there. An ordinary user
/// can do that in namespaces that belong to a user namespace of their own, after joining that.
fn read_in<const COUNT: usize>(
    namespace: &PinnedNamespace,
    files: [&CStr; COUNT],
) -> io::Result<[Option<Vec<u8>>; COUNT]> {
    let path = |file: &CStr| Path::new(OsStr::from_bytes(file.to_bytes())).to_owned();
    let refused = match within(namespace, || Ok(files.map(|file| std::fs::read(path(file)).ok()))) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => error,
        result => return result,
    };
    let owner = namespace.owner().map_err(|_| refused)?;
    let read = child::read_within(&[owner.as_fd(), namespace.as_fd()], &files)?;
    read.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

fn names(namespace: &PinnedNamespace) -> io::Result<Names> {
    let [host, domain] = read_in(namespace, [c"/proc/sys/kernel/hostname", c"/proc/sys/kernel/domainname"])?;
    let line = |text: Option<Vec<u8>>| {
        let mut text = text.ok_or_else(missing)?;
        text.pop_if(|last| *last == b'\n');
        io::Result::Ok(text)
    };
    Ok(Names { host: line(host)?, domain: line(domain)? })
}

fn ipc(namespace: &PinnedNamespace) -> io::Result<IpcObjects> {
    let files = [c"/proc/sysvipc/shm", c"/proc/sysvipc/sem", c"/proc/sysvipc/msg"];
    let [shared_memory, semaphores, message_queues] = read_in(namespace, files)?;
    let objects = |text: Option<Vec<u8>>| text.map(|text| net::sysv_objects(&text)).ok_or_else(missing);
    Ok(IpcObjects {
        shared_memory: objects(shared_memory)?,
        semaphores: objects(semaphores)?,
        message_queues: objects(message_queues)?,
        posix_queues: within(namespace, posix_queues).ok(),
    })
}

/// Lists the POSIX message queues through a mount that is attached nowhere (since Linux 5.2).
fn posix_queues() -> io::Result<Vec<Vec<u8>>> {
    let context = rustix::mount::fsopen("mqueue", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let root = rustix::mount::fsmount(context.as_fd(), flags, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    let directory = rustix::fs::openat(root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
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

fn mounts(namespace: &PinnedNamespace) -> Observed<MountSummary> {
    let found = match MountTables::of(&[namespace.as_fd()]) {
        Ok(mut found) => found.tables.pop(),
        // Our own can be read by anybody.
        Err(_) if is_ours(namespace) => MountTables::own().ok(),
        Err(_) => None,
    };
    let Some(table) = found else { return Observed::Hidden(Why::NotPermitted) };
    let root = table.mounts.iter().rev().find(|mount| mount.mount_point == b"/");
    Observed::Known(MountSummary {
        root: root.map(|mount| (mount.fs_type.clone(), mount.source.clone())),
        mounts: table.mounts.len(),
        shared: table
            .mounts
            .iter()
            .filter(|mount| mount.shared.is_some())
            .map(|mount| mount.mount_point.clone())
            .collect(),
    })
}

fn interfaces() -> io::Result<Vec<Interface>> {
    use nix::net::if_::InterfaceFlags;
    let mut found: Vec<Interface> = Vec::new();
    for told in nix::ifaddrs::getifaddrs()? {
        let name = told.interface_name.as_bytes();
        let place = found.iter().position(|known| known.name == name).unwrap_or_else(|| {
            let (up, running) = (InterfaceFlags::IFF_UP, InterfaceFlags::IFF_RUNNING);
            found.push(Interface {
                name: name.to_vec(),
                up: told.flags.contains(up),
                running: told.flags.contains(running),
                addresses: Vec::new(),
            });
            found.len() - 1
        });
        let ip = |address: Option<nix::sys::socket::SockaddrStorage>| -> Option<std::net::IpAddr> {
            let address = address?;
            let four = address.as_sockaddr_in().map(|address| address.ip().into());
            four.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
        };
        let prefix = |mask: std::net::IpAddr| match mask {
            std::net::IpAddr::V4(mask) => u32::from(mask).count_ones(),
            std::net::IpAddr::V6(mask) => u128::from(mask).count_ones(),
        };
        if let Some(address) = ip(told.address) {
            // A netmask may come without a family; then nothing is known of it.
            let family = told.address.as_ref().and_then(nix::sys::socket::SockaddrStorage::family);
            let mask = told.netmask.filter(|mask| mask.family() == family);
            found[place].addresses.push((address, ip(mask).map_or(0, prefix)));
        }
    }
    Ok(found)
}

fn listeners(namespace: &PinnedNamespace) -> io::Result<Vec<Listener>> {
    let files = [
        c"/proc/thread-self/net/tcp",
        c"/proc/thread-self/net/tcp6",
        c"/proc/thread-self/net/udp",
        c"/proc/thread-self/net/udp6",
    ];
    // Without IPv6 two of them are missing.
    let texts = read_in(namespace, files)?.map(Option::unwrap_or_default);
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
fn clocks(
    namespace: &PinnedNamespace,
    proc: &Proc,
    snapshot: &Snapshot,
    members: &[Pid],
) -> io::Result<crate::model::ClockOffsets> {
    let stays = |pid: &&Pid| {
        let link = NamespaceLink::ForChildren(NamespaceKind::Time);
        snapshot.process(**pid).is_some_and(|process| process.namespace(link).known() == Some(namespace.id()))
    };
    let mut text = Vec::new();
    if members.iter().filter(stays).all(|pid| proc.read(*pid, "timens_offsets", &mut text).is_err()) {
        let mut files = child::read_within(&[namespace.as_fd()], &[c"/proc/self/timens_offsets"])?;
        text = files.pop().flatten().ok_or(io::ErrorKind::NotFound)?;
    }
    lines::clock_offsets(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The limits of a user namespace and the files that tell them, which show those of whoever opens them.
const USER_LIMITS: [(&str, &std::ffi::CStr); 8] = [
    ("cgroup", c"/proc/sys/user/max_cgroup_namespaces"),
    ("ipc", c"/proc/sys/user/max_ipc_namespaces"),
    ("mnt", c"/proc/sys/user/max_mnt_namespaces"),
    ("net", c"/proc/sys/user/max_net_namespaces"),
    ("pid", c"/proc/sys/user/max_pid_namespaces"),
    ("time", c"/proc/sys/user/max_time_namespaces"),
    ("user", c"/proc/sys/user/max_user_namespaces"),
    ("uts", c"/proc/sys/user/max_uts_namespaces"),
];

fn user(namespace: &PinnedNamespace, proc: &Proc, members: &[Pid]) -> io::Result<UserSettings> {
    let files = [c"/proc/self/uid_map", c"/proc/self/gid_map", c"/proc/self/setgroups"];
    let all: Vec<_> = files.into_iter().chain(USER_LIMITS.map(|(_, file)| file)).collect();
    let read = if is_ours(namespace) {
        let own = |file: &&std::ffi::CStr| std::fs::read(file.to_str().unwrap_or_default()).ok();
        Ok(all.iter().map(own).collect())
    } else {
        child::read_within(&[namespace.as_fd()], &all)
    };
    let mut read = match read {
        Ok(read) => read.into_iter(),
        // Without the right to join it, a process that lives there still tells its maps.
        Err(error) => {
            let of_member = |name: &str| {
                let mut text = Vec::new();
                members.iter().find(|pid| proc.read(**pid, name, &mut text).is_ok())?;
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
    for (name, _) in USER_LIMITS {
        let limit = next().and_then(|text| std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok());
        settings.limits.extend(limit.map(|limit| (name, limit)));
    }
    Ok(settings)
}

/// Derives the root from a process that lives there: what its path has before the part that it sees itself.
fn cgroup_root(namespace: &PinnedNamespace, proc: &Proc, members: &[Pid]) -> io::Result<Vec<u8>> {
    if is_ours(namespace) {
        return Ok(b"/".to_vec());
    }
    let path_of = |text: &[u8]| {
        let entries = lines::cgroups(text);
        let unified = entries.iter().position(|entry| entry.controllers.is_empty()).unwrap_or_default();
        entries.into_iter().nth(unified).map(|entry| entry.path)
    };
    for pid in members {
        let read = || {
            let mut text = Vec::new();
            proc.read(*pid, "cgroup", &mut text).map(|()| text)
        };
        let inside = reach::within(namespace.as_fd(), namespace.kind(), read);
        let (Ok(inside), Ok(outside)) = (inside, read()) else { continue };
        if let (Some(inside), Some(outside)) = (path_of(&inside), path_of(&outside))
            && let Some(root) = outside.strip_suffix(if inside == b"/" { &b""[..] } else { &inside[..] })
        {
            return Ok(if root.is_empty() { b"/".to_vec() } else { root.to_vec() });
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
