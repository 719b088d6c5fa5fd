//! Everything about one process, or about two side by side, without looking at the rest of the machine.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use super::inside::Inside;
use super::mount_tables::Job;
use super::{MountTables, cgroups};
use rustix::fs::OFlags;

use crate::capability::CapabilitySet;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Pid;
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{
    Capabilities, CgroupEntry, ClockOffsets, Level, Membership, MountTable, Observed, PairFacts, ProcessFacts,
    ThreadNamespace, Why,
};
use crate::proc::status::Status;
use crate::proc::{Proc, cmdline, idmap, lines, mountinfo, numbers_in, stat};
use crate::sys::nsfs;
use crate::target::{PinnedNamespace, PinnedProcess};

impl ProcessFacts {
    /// Reads a process that was pinned, and its threads, its children and what its control groups do besides.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_in_full(process: &PinnedProcess) -> Result<Self> {
        let mut facts = Self::read(process)?;
        // Most have one thread, which is no reason to list a directory.
        let tids = if facts.threads > 1 { threads(process) } else { vec![process.pid()] };
        let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default()).mounts;
        facts.cgroup_states = cgroups::states(&mounts, &facts.cgroups);
        facts.zombies = zombies(process, &tids);
        if facts.state == b'Z' {
            facts.living_threads = living(process, &tids);
        }
        facts.threads_elsewhere = threads_elsewhere(process, &tids, &facts.namespaces);
        process.verify()?;
        Ok(facts)
    }

    /// Reads a process that was pinned.
    ///
    /// # Errors
    /// It has ended, or there is no `/proc` of our pid namespace.
    pub fn read(process: &PinnedProcess) -> Result<Self> {
        let cannot = |error| process.cannot("read the status", error);
        let text = process.read("status").map_err(cannot)?;
        let status = Status::new(&text);
        let malformed = || Error::new(ErrorKind::System, format!("malformed status of process {}", process.pid()));
        let stat_text = process.read("stat").map_err(cannot)?;
        let stat = stat::parse(&stat_text).ok_or_else(malformed)?;
        let set = |key| CapabilitySet(status.mask(key).unwrap_or_default());
        let number = |key| std::str::from_utf8(status.field(key)?).ok()?.parse::<u32>().ok();
        let mut namespaces = memberships(process);
        namespaces.iter_mut().for_each(|membership| membership.id = while_ending(membership.id, stat.exiting));
        let tgid = status.field("Tgid").and_then(|tgid| std::str::from_utf8(tgid).ok()?.parse().ok());
        let cgroups = process.read("cgroup").map(|text| lines::cgroups(&text)).unwrap_or_default();
        let pid = process.namespace(NamespaceLink::Own(NamespaceKind::Pid));
        let our_user_namespace = rustix::fs::stat("/proc/self/ns/user").map_or(0, |stat| stat.st_ino);
        let user = namespaces[NamespaceKind::User as usize].id;
        let link = |name: &str| while_ending(observe(process.read_link(name)), stat.exiting);
        let facts = Self {
            pid: process.pid(),
            command: process.read("cmdline").ok().and_then(|text| cmdline::join(&text)).unwrap_or(stat.comm),
            thread_of: tgid.filter(|tgid| *tgid != process.pid()),
            ending: stat.exiting,
            zombies: Vec::new(),
            threads_elsewhere: Vec::new(),
            living_threads: Vec::new(),
            state: stat.state,
            parent: stat.parent,
            threads: stat.threads,
            uids: status.uids().ok_or_else(malformed)?,
            gids: status.gids().ok_or_else(malformed)?,
            groups: status
                .field("Groups")
                .and_then(|groups| std::str::from_utf8(groups).ok())
                .map(|groups| groups.split_ascii_whitespace().filter_map(|group| group.parse().ok()).collect())
                .unwrap_or_default(),
            ns_pids: status.ns_pids().unwrap_or_default(),
            namespaces,
            pid_levels: pid.map(levels).unwrap_or_default(),
            capabilities: Capabilities {
                effective: set("CapEff"),
                permitted: set("CapPrm"),
                inheritable: set("CapInh"),
                bounding: set("CapBnd"),
                ambient: set("CapAmb"),
            },
            no_new_privs: number("NoNewPrivs").map(|number| number != 0),
            seccomp: number("Seccomp"),
            shares_our_user_namespace: user.known().is_some_and(|id| id.ino == our_user_namespace),
            uid_map: observe(process.read("uid_map")).map(|text| idmap::parse(&text)),
            gid_map: observe(process.read("gid_map")).map(|text| idmap::parse(&text)),
            setgroups: observe(process.read("setgroups")).map(|text| text.trim_ascii() == b"allow"),
            clocks: while_ending(clocks(process), stat.exiting),
            cgroup_states: Vec::new(),
            cgroups,
            root: link("root"),
            cwd: link("cwd"),
            executable: link("exe"),
            limits: process.read("limits").map(|text| lines::limits(&text)).unwrap_or_default(),
        };
        // Everything above was read through one directory of procfs, which answers for no other process.
        process.verify()?;
        Ok(facts)
    }
}

/// Corrects what is gone of a process that is still there: it has let go of it.
fn while_ending<T>(observed: Observed<T>, ending: bool) -> Observed<T> {
    match observed {
        Observed::Gone if ending => Observed::Hidden(Why::Ending),
        observed => observed,
    }
}

/// Returns the children that ended and were not reaped, those of all threads.
fn zombies(process: &PinnedProcess, tids: &[Pid]) -> Vec<Pid> {
    let Some(proc) = Proc::open().ok().filter(Proc::is_of_our_pid_namespace) else { return Vec::new() };
    let mut text = Vec::new();
    let children = tids.iter().filter_map(|tid| process.read(&format!("task/{tid}/children")).ok());
    let children: Vec<u8> = children.flatten().collect();
    let children = children.split(|byte| *byte == b' ').filter_map(|pid| std::str::from_utf8(pid).ok()?.parse().ok());
    children
        .filter(|child| {
            let stat = proc.read(*child, "stat", &mut text).ok().and_then(|()| stat::parse(&text));
            stat.is_some_and(|stat| stat.state == b'Z' && stat.threads <= 1)
        })
        .collect()
}

/// Returns the threads that have not ended.
fn living(process: &PinnedProcess, tids: &[Pid]) -> Vec<Pid> {
    let lives = |tid: &Pid| {
        let stat = process.read(&format!("task/{tid}/stat")).ok().and_then(|text| stat::parse(&text));
        stat.is_some_and(|stat| !matches!(stat.state, b'Z' | b'X'))
    };
    tids.iter().copied().filter(lives).collect()
}

fn threads(process: &PinnedProcess) -> Vec<Pid> {
    let tasks = process.open_file("task", OFlags::RDONLY | OFlags::DIRECTORY);
    tasks.and_then(|tasks| numbers_in(tasks.as_fd())).unwrap_or_default()
}

/// Returns where threads differ from the namespaces of the process (setns(2) and unshare(2) act on one thread).
fn threads_elsewhere(process: &PinnedProcess, tids: &[Pid], namespaces: &[Membership]) -> Vec<ThreadNamespace> {
    let mut found = Vec::new();
    for tid in tids.iter().copied().filter(|tid| *tid != process.pid()) {
        for membership in namespaces {
            let Observed::Known(own) = membership.id else { continue };
            let link = process.read_link(&format!("task/{tid}/ns/{}", membership.kind));
            match link.ok().and_then(|link| NamespaceKind::parse_link(&link)) {
                Some((kind, ino)) if ino != own.ino => found.push(ThreadNamespace { tid, kind, ino }),
                _ => {}
            }
        }
    }
    found
}

fn observe<T>(result: io::Result<T>) -> Observed<T> {
    match result {
        Ok(value) => Observed::Known(value),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => Observed::Gone,
            errno => Observed::Hidden(Why::of_errno(errno.unwrap_or_default())),
        },
    }
}

fn memberships(process: &PinnedProcess) -> Vec<Membership> {
    let one = |kind| match process.namespace(NamespaceLink::Own(kind)) {
        Ok(namespace) => Membership::of(&namespace),
        Err(error) => Membership { kind, id: observe(Err(error)), owners: Vec::new() },
    };
    NamespaceKind::ALL.into_iter().map(one).collect()
}

impl Membership {
    /// Reads what a single namespace belongs to.
    pub fn of(namespace: &PinnedNamespace) -> Self {
        let kind = namespace.kind();
        let owners = if kind == NamespaceKind::User {
            namespace.levels()
        } else {
            namespace.owner().map(levels).unwrap_or_default()
        };
        Self { kind, id: Observed::Known(namespace.id()), owners }
    }
}

impl PinnedNamespace {
    /// Returns a user or pid namespace and those above it, up to the highest that we may see.
    pub fn levels(&self) -> Vec<Level> {
        self.as_fd().try_clone_to_owned().and_then(Self::new).map(levels).unwrap_or_default()
    }
}

/// What uids without a name in our user namespace are called (`/proc/sys/kernel/overflowuid`, unless it was changed).
const OVERFLOW_UID: u32 = 65534;

/// Tells whether our user namespace maps all uids, as the initial one does.
fn every_uid_has_a_name() -> bool {
    let map = std::fs::read("/proc/self/uid_map").map(|text| idmap::parse(&text)).unwrap_or_default();
    map.iter().map(|range| u64::from(range.count)).sum::<u64>() >= u64::from(u32::MAX)
}

/// Climbs from a user or pid namespace to the highest that we may see.
fn levels(start: PinnedNamespace) -> Vec<Level> {
    let mut levels = Vec::new();
    let mut here = Some(start);
    while let Some(namespace) = here {
        let is_user = namespace.kind() == NamespaceKind::User;
        let creator = if is_user { nsfs::owner_uid(namespace.as_fd()).ok() } else { None };
        // What has no name here is called so too, and proves nothing.
        let creator = creator.filter(|uid| *uid != OVERFLOW_UID || every_uid_has_a_name());
        levels.push(Level { id: namespace.id(), creator });
        // EPERM: there is none, or it lies outside our own (ioctl_nsfs(2)).
        here = namespace.parent().ok();
    }
    levels
}

/// Reads the offsets of the clocks. The file shows those that the process's children will have (time_namespaces(7)), so
/// it tells of the process itself only where both are the same.
fn clocks(process: &PinnedProcess) -> Observed<ClockOffsets> {
    let kind = NamespaceKind::Time;
    let id = |link| process.namespace(link).map(|namespace| namespace.id());
    match (id(NamespaceLink::Own(kind)), id(NamespaceLink::ForChildren(kind))) {
        (Ok(own), Ok(children)) if own == children => match process.read("timens_offsets") {
            Ok(text) => lines::clock_offsets(&text).map_or(Observed::Hidden(Why::Unsupported), Observed::Known),
            Err(error) => observe(Err(error)),
        },
        (Ok(_), Ok(_)) => Observed::Hidden(Why::Unreachable),
        (Err(error), _) | (_, Err(error)) => observe(Err(error)),
    }
}

impl PairFacts {
    /// Reads what concerns two processes together, for kinds in which they differ. What cannot be read is left out.
    pub fn read(first: &PinnedProcess, second: &PinnedProcess, differs: impl Fn(NamespaceKind) -> bool) -> Self {
        let mut pair = Self::default();
        if differs(NamespaceKind::Cgroup) {
            pair.cgroup_of_second = cgroup_seen_by(first, second);
            pair.cgroup_of_first = cgroup_seen_by(second, first);
        }
        if differs(NamespaceKind::Mnt) {
            pair.mount_tables = mount_table(first).zip(mount_table(second)).map(|(first, second)| [first, second]);
        }
        pair
    }

    /// Reads what concerns two mount namespaces together.
    pub fn of_mount_namespaces(first: &PinnedNamespace, second: &PinnedNamespace) -> Self {
        let found = MountTables::of(&[first.as_fd(), second.as_fd()]).ok();
        Self { mount_tables: found.and_then(|found| found.tables.try_into().ok()), ..Self::default() }
    }
}

/// Reads the mounts of a process's namespace; without rights over that, those that the process itself sees.
fn mount_table(process: &PinnedProcess) -> Option<MountTable> {
    let namespace = process.namespace(NamespaceLink::Own(NamespaceKind::Mnt)).ok()?;
    let proc = Proc::open().ok().filter(Proc::is_of_our_pid_namespace)?;
    let pin = namespace.as_fd().try_clone_to_owned().ok();
    let job = Job { id: namespace.id(), pin, processes: vec![process.pid()], ours: false };
    // The number in paths below /proc is the process's own as long as it lives.
    job.read(&proc).ok().filter(|_| process.verify().is_ok())
}

/// Reads a process's cgroups from within the cgroup namespace of another: the paths begin at that one's root.
fn cgroup_seen_by(viewer: &PinnedProcess, seen: &PinnedProcess) -> Option<Vec<CgroupEntry>> {
    let namespace = viewer.namespace(NamespaceLink::Own(NamespaceKind::Cgroup)).ok()?;
    let proc = Proc::open().ok().filter(Proc::is_of_our_pid_namespace)?;
    let file = CString::new(format!("{}/cgroup", seen.pid())).ok()?;
    let [text] = Inside { namespace: &namespace, proc: &proc }.read([&file]).ok()?;
    text.filter(|_| seen.verify().is_ok()).map(|text| lines::cgroups(&text))
}
