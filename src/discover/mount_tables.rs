//! The mount table of every mount namespace, those without processes included: what [`crate::propagation`] reasons
//! about.
//!
//! statmount(2) is asked first, since it needs nobody who lives there and sees past a chroot; where the kernel lacks it
//! or refuses, mountinfo of a process that does live there is read.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags};

use super::{Commands, Ground, Scan, Scope, bind_mounts, newcomers};
use crate::error::{Error, Result};
use crate::id::{NamespaceId, Pid};
use crate::kind::{KindSet, NamespaceKind, NamespaceLink};
use crate::model::{Device, Hidden, Mount, MountTable, Observed, Subject, Why};
use crate::proc::{Proc, mountinfo};
use crate::sys::{nsfs, statmount};

/// The mount tables of the machine.
#[derive(Clone, Debug, Default)]
pub struct MountTables {
    /// One table per mount namespace that could be read, ascending by inode.
    pub tables: Vec<MountTable>,
    /// What could not be read.
    pub hidden: Hidden,
    /// How many processes were looked at for their mount namespaces.
    pub processes: usize,
}

impl MountTables {
    /// Reads the tables of all mount namespaces: those of processes, and as root those no process is in.
    ///
    /// Each namespace is held by a descriptor until its table is read. The tables are read one after the other, so
    /// mounts made meanwhile can be in one and not yet in another.
    ///
    /// # Errors
    /// There is no usable `/proc`.
    pub fn capture() -> Result<Self> {
        let scope =
            Scope { kinds: KindSet::EMPTY.with(NamespaceKind::Mnt), commands: Commands::None, ..Scope::processes() };
        let ground = Ground::prepare()?;
        let mut scan = Scan::begin(&scope, &ground)?;
        if bind_mounts::is_in_a_chroot() {
            scan.hidden.add(Subject::MountTable, Why::Outside);
        }
        let own = bind_mounts::walk_from_own(&mut scan);
        newcomers::look(&mut scan);
        newcomers::drop_ended(&mut scan);
        let mut members: HashMap<NamespaceId, Vec<Pid>> = HashMap::new();
        for process in &scan.processes {
            if let Observed::Known(id) = process.namespace(NamespaceLink::Own(NamespaceKind::Mnt)) {
                members.entry(id).or_default().push(process.pid);
            }
        }
        let mut found = Self { processes: scan.processes.len(), hidden: scan.hidden, ..Self::default() };
        let jobs: Vec<Job> = ground
            .registry
            .entries()
            .into_iter()
            .enumerate()
            .filter(|(index, _)| !scan.ended.contains(index))
            .map(|(_, entry)| Job {
                ours: own == Some(entry.id),
                processes: members.remove(&entry.id).unwrap_or_default(),
                id: entry.id,
                pin: entry.pin,
            })
            .collect();
        for read in read_all(&jobs, &ground.proc) {
            match read {
                Ok(table) => found.add(table),
                Err(why) => found.hidden.add(Subject::MountTable, why),
            }
        }
        found.tables.sort_unstable_by_key(|table| table.namespace);
        complete(&mut found.tables, |pid| {
            let mut text = Vec::new();
            ground
                .proc
                .read(pid, "mountinfo", &mut text)
                .map_or_else(|_| Vec::new(), |()| mountinfo::parse(&text).mounts)
        });
        Ok(found)
    }

    /// Reads the tables of these mount namespaces alone, without looking for their processes; wants statmount(2) with
    /// the rights over each (since Linux 6.11).
    ///
    /// # Errors
    /// A descriptor is no mount namespace, or its table cannot be read.
    pub fn of(namespaces: &[BorrowedFd<'_>]) -> Result<Self> {
        let mut found = Self::default();
        for fd in namespaces {
            let stat = rustix::fs::fstat(fd).map_err(|errno| Error::system("cannot examine a namespace", errno))?;
            let id = NamespaceId { ino: stat.st_ino, dev: stat.st_dev };
            let mounts = by_statmount(*fd).ok_or_else(|| {
                let message = format!("cannot read the mounts of mount namespace {id}");
                Error::new(crate::ErrorKind::NotPermitted, message)
            })?;
            found.add(MountTable {
                namespace: id,
                owner: owner_of(*fd),
                processes: Vec::new(),
                mounts,
                partial: false,
                malformed: 0,
            });
        }
        Ok(found)
    }

    /// Reads our own table from `/proc/self/mountinfo`, which anybody may.
    ///
    /// # Errors
    /// There is no usable `/proc`.
    pub fn own() -> Result<MountTable> {
        let proc = Proc::open()?;
        let fd = own_namespace().map_err(|errno| Error::system("cannot open our own mount namespace", errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| Error::system("cannot examine a namespace", errno))?;
        let id = NamespaceId { ino: stat.st_ino, dev: stat.st_dev };
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let parsed = of_ourselves(&proc).map_err(|error| Error::system("cannot read /proc/self/mountinfo", error))?;
        Ok(MountTable {
            namespace: id,
            owner: owner_of(fd.as_fd()),
            processes: vec![me],
            mounts: parsed.mounts,
            partial: false,
            malformed: parsed.malformed,
        })
    }

    fn add(&mut self, table: MountTable) {
        for _ in 0..table.malformed {
            self.hidden.add(Subject::MountLine, Why::Unsupported);
        }
        if table.partial {
            self.hidden.add(Subject::Chroot, Why::Unreachable);
        }
        self.tables.push(table);
    }
}

/// Adds what statmount(2) leaves out: `propagate_from` of mounts in other namespaces than ours, which it looks for below
/// our own root (Linux 6.18). It only matters where a master has no member in any table.
fn complete(tables: &mut [MountTable], read: impl Fn(Pid) -> Vec<Mount>) {
    let seen: HashSet<u32> = tables.iter().flat_map(|table| &table.mounts).filter_map(|mount| mount.shared).collect();
    let dangles =
        |mount: &Mount| mount.propagate_from.is_none() && mount.master.is_some_and(|group| !seen.contains(&group));
    for table in tables.iter_mut().filter(|table| table.mounts.iter().any(dangles)) {
        let Some(pid) = table.processes.first() else { continue };
        let told: HashMap<u32, Mount> = read(*pid).into_iter().map(|mount| (mount.id, mount)).collect();
        for mount in table.mounts.iter_mut().filter(|mount| dangles(mount)) {
            let same = told.get(&mount.id).filter(|told| told.master == mount.master);
            mount.propagate_from = same.and_then(|told| told.propagate_from);
        }
    }
}

fn own_namespace() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// A namespace whose table is to be read.
pub(super) struct Job {
    pub(super) id: NamespaceId,
    /// `None`: no descriptor was left.
    pub(super) pin: Option<OwnedFd>,
    pub(super) processes: Vec<Pid>,
    pub(super) ours: bool,
}

/// Reads the tables on two threads: each namespace's on its own, so they hardly meet.
fn read_all(jobs: &[Job], proc: &Proc) -> Vec<Result<MountTable, Why>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let take = || jobs.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(take).map(|job| job.read(proc)).collect::<Vec<_>>()
    };
    if jobs.len() < 2 {
        return work();
    }
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().name("tables".into()).spawn_scoped(scope, work);
        let mut all = work();
        if let Ok(other) = other {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}

impl Job {
    /// Reads the table by the best way there is.
    pub(super) fn read(&self, proc: &Proc) -> Result<MountTable, Why> {
        if let Some(mounts) = self.pin.as_ref().and_then(|pin| by_statmount(pin.as_fd())) {
            return Ok(self.table(mounts, false, 0));
        }
        if self.ours
            && let Ok(parsed) = of_ourselves(proc)
        {
            return Ok(self.table(parsed.mounts, false, parsed.malformed));
        }
        // A process whose root is the namespace's own sees all of it; any other sees what lies below its root.
        let whole = self.processes.iter().find(|pid| proc.read_link(**pid, "root").is_ok_and(|root| root == b"/"));
        let mut text = Vec::new();
        for pid in whole.into_iter().chain(&self.processes) {
            if proc.read(*pid, "mountinfo", &mut text).is_ok() {
                let parsed = mountinfo::parse(&text);
                return Ok(self.table(parsed.mounts, whole != Some(pid), parsed.malformed));
            }
        }
        Err(if self.processes.is_empty() { Why::Unreachable } else { Why::NotPermitted })
    }

    /// Makes a table of mounts that were read.
    pub(super) fn table(&self, mounts: Vec<Mount>, partial: bool, malformed: usize) -> MountTable {
        let owner = self.pin.as_ref().map_or(Observed::Hidden(Why::Unreachable), |pin| owner_of(pin.as_fd()));
        MountTable { namespace: self.id, owner, processes: self.processes.clone(), mounts, partial, malformed }
    }
}

fn of_ourselves(proc: &Proc) -> std::io::Result<mountinfo::Parsed> {
    let file = rustix::fs::openat(proc, "self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    crate::proc::read_to_end(file.as_fd(), &mut text)?;
    Ok(mountinfo::parse(&text))
}

fn owner_of(fd: BorrowedFd<'_>) -> Observed<NamespaceId> {
    match nsfs::owner(fd).and_then(|owner| Ok(rustix::fs::fstat(&owner)?)) {
        Ok(stat) => Observed::Known(NamespaceId { ino: stat.st_ino, dev: stat.st_dev }),
        // EPERM: it lies outside our own user namespace (ioctl_nsfs(2)).
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Observed::Hidden(Why::Outside),
        Err(error) => Observed::Hidden(Why::of_errno(error.raw_os_error().unwrap_or_default())),
    }
}

/// What a mount is asked for.
const MASK: u64 = statmount::SB_BASIC
    | statmount::MNT_BASIC
    | statmount::PROPAGATE_FROM
    | statmount::MNT_ROOT
    | statmount::MNT_POINT
    | statmount::FS_TYPE
    | statmount::MNT_OPTS
    | statmount::FS_SUBTYPE
    | statmount::SB_SOURCE;

/// Reads a table through statmount(2). `None`: the kernel cannot (it tells the source since Linux 6.13) or will not.
fn by_statmount(fd: BorrowedFd<'_>) -> Option<Vec<Mount>> {
    let namespace = nsfs::mount_namespace_info(fd)?.ok()?.id;
    let ids = statmount::list(namespace)?.ok()?;
    let mut buffer = statmount::Buffer::new();
    let mut mounts = Vec::with_capacity(ids.len());
    let mut sources = false;
    for id in ids {
        // A mount that vanished since is left out.
        let Ok(answer) = buffer.stat(id, namespace, MASK)? else { continue };
        sources |= answer.source().is_some();
        mounts.extend(of_answer(&answer));
    }
    (sources || mounts.is_empty()).then_some(mounts)
}

fn of_answer(answer: &statmount::Answer<'_>) -> Option<Mount> {
    let header = answer.header();
    let some = |group: u64| u32::try_from(group).ok().filter(|group| *group != 0);
    let mut fs_type = answer.fs_type()?.to_vec();
    if let Some(subtype) = answer.fs_subtype() {
        fs_type.push(b'.');
        fs_type.extend_from_slice(subtype);
    }
    Some(Mount {
        id: header.mnt_id_old,
        unique_id: Some(header.mnt_id),
        parent: header.mnt_parent_id_old,
        device: Device { major: header.sb_dev_major, minor: header.sb_dev_minor },
        root: answer.root()?.to_vec(),
        mount_point: answer.mount_point()?.to_vec(),
        options: mount_options(header.mnt_attr),
        shared: some(header.mnt_peer_group).filter(|_| header.mnt_propagation & statmount::SHARED != 0),
        master: some(header.mnt_master).filter(|_| header.mnt_propagation & statmount::SLAVE != 0),
        // mountinfo names it only where it is another than the master.
        propagate_from: some(header.propagate_from).filter(|from| u64::from(*from) != header.mnt_master),
        unbindable: header.mnt_propagation & statmount::UNBINDABLE != 0,
        fs_type,
        // mountinfo says "none" where a filesystem was mounted without a source.
        source: answer.source().unwrap_or(b"none").to_vec(),
        super_options: super_options(header.sb_flags, answer.super_options()),
    })
}

/// The options of a mount as mountinfo words and orders them (mount_setattr(2)).
fn mount_options(attributes: u64) -> Vec<u8> {
    const ATIME: u64 = 0x70;
    let read_only = if attributes & 0x1 != 0 { "ro" } else { "rw" };
    let flags = [
        (attributes & 0x2 != 0, ",nosuid"),
        (attributes & 0x4 != 0, ",nodev"),
        (attributes & 0x8 != 0, ",noexec"),
        (attributes & ATIME == 0x10, ",noatime"),
        (attributes & 0x80 != 0, ",nodiratime"),
        (attributes & ATIME == 0, ",relatime"),
        (attributes & 0x20_0000 != 0, ",nosymfollow"),
        (attributes & 0x10_0000 != 0, ",idmapped"),
    ];
    let words = flags.into_iter().filter_map(|(set, word)| set.then_some(word));
    std::iter::once(read_only).chain(words).collect::<String>().into_bytes()
}

/// The options of a filesystem as mountinfo puts them together: the general flags, then its own.
fn super_options(flags: u32, own: Option<&[u8]>) -> Vec<u8> {
    let mut text = if flags & 0x1 != 0 { b"ro".to_vec() } else { b"rw".to_vec() };
    for (flag, word) in [(0x10, ",sync"), (0x80, ",dirsync"), (1 << 6, ",mand"), (1 << 25, ",lazytime")] {
        if flags & flag != 0 {
            text.extend_from_slice(word.as_bytes());
        }
    }
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        text.push(b',');
        text.extend_from_slice(&mountinfo::unescape(own));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read_as_in_mountinfo() {
        assert_eq!(mount_options(0), b"rw,relatime");
        assert_eq!(mount_options(0x1 | 0x2 | 0x4 | 0x8 | 0x10), b"ro,nosuid,nodev,noexec,noatime");
        assert_eq!(mount_options(0x20), b"rw");
        assert_eq!(super_options(0x91, Some(b"mode=755")), b"ro,sync,dirsync,mode=755");
        assert_eq!(super_options(0, Some(b"lowerdir=/a\\040b")), b"rw,lowerdir=/a b");
    }

    #[test]
    fn a_master_out_of_sight_is_completed_from_mountinfo() {
        let lines = b"1 0 0:2 / / rw shared:1 - tmpfs a rw\n2 1 0:2 / /x rw master:9 propagate_from:1 - tmpfs a rw";
        let whole = mountinfo::parse(lines).mounts;
        let mut mounts = whole.clone();
        mounts[1].propagate_from = None;
        let mut table = MountTable {
            namespace: NamespaceId { ino: 1, dev: 4 },
            owner: Observed::Gone,
            processes: vec![7],
            mounts,
            partial: false,
            malformed: 0,
        };
        let tables = std::slice::from_mut(&mut table);
        complete(tables, |pid| if pid == 7 { whole.clone() } else { Vec::new() });
        assert_eq!(table.mounts, whole);
        // Where the master is in sight nothing is read.
        table.mounts[1].master = Some(1);
        complete(std::slice::from_mut(&mut table), |_| unreachable!());
    }

    #[test]
    fn our_own_table_is_the_same_whichever_way_it_is_read() {
        // The mounts of the machine may change between the two readings; then they are read again.
        let mut pairs = (0..50).map(|_| {
            let before = MountTables::own().unwrap();
            let fd = own_namespace().unwrap();
            let told = by_statmount(fd.as_fd());
            (before, told, MountTables::own().unwrap())
        });
        let Some((mountinfo, told, _)) = pairs.find(|(before, _, after)| before == after) else {
            panic!("the mounts never stood still")
        };
        // An old kernel cannot tell.
        let Some(mut told) = told else { return };
        for mount in &mut told {
            assert!(mount.unique_id.take().is_some());
        }
        assert_eq!(told, mountinfo.mounts);
    }
}
