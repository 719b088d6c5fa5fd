//! What the plan must know of this machine and of us: read before anything is made, and only as far as the request
//! needs it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use super::capabilities::CapabilityFacts;
use super::idmap::{self, IdKind, IdRange, MapSpec, SubidBlock};
use super::plan::setgroups;
use super::request::{Ids, Propagation, Request};
use crate::account;
use crate::error::{Error, ErrorKind, Result};
use crate::kind::NamespaceKind;
use crate::model::Mount;
use crate::printable;
use crate::proc::mountinfo;
use crate::sys::nsfs::NSFS_MAGIC;
use crate::sys::process::is_open;

/// Since then execve(2) moves a process into the time namespace made for its children.
const TIME_AT_EXEC: (u32, u32) = (6, 1);

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// About user ids.
    pub users: IdFacts,
    /// About group ids.
    pub groups: IdFacts,
    /// The kernel's release, where it matters: for a time namespace.
    pub kernel: (u32, u32),
    /// How many supplementary groups we have, where it matters.
    pub supplementary_groups: usize,
    /// Our mounts, where they matter.
    pub mounts: Vec<Mount>,
    /// Whether the control group to join is missing, and to be made.
    pub makes_cgroup: bool,
    /// About our capabilities, where the command is to have some.
    pub capabilities: Option<CapabilityFacts>,
}

/// What is known about our ids of one sort.
#[derive(Clone, Debug, Default)]
pub struct IdFacts {
    /// The effective id.
    pub own: u32,
    /// Whether we may map what we like (CAP_SETUID, CAP_SETGID), where it matters.
    pub privileged: bool,
    /// Our subordinate ids.
    pub subids: Vec<SubidBlock>,
    /// The map of our own user namespace.
    pub map: Vec<IdRange>,
}

impl Facts {
    /// Reads what the request needs.
    ///
    /// # Errors
    /// A file that must be there cannot be read; a place for a persistent namespace will not do.
    pub fn gather(request: &Request) -> Result<Self> {
        // Before anything of ours is open, for that would be taken for what was meant.
        check_descriptors(request)?;
        let mut facts = Self::default();
        if request.kinds.contains(NamespaceKind::Time) {
            facts.kernel = parse_release(rustix::system::uname().release().to_bytes());
        }
        facts.gather_ids(request)?;
        facts.capabilities = CapabilityFacts::gather(request)?;
        if request.group.is_some() {
            facts.supplementary_groups = rustix::process::getgroups().map_or(0, |groups| groups.len());
        }
        if request.in_place {
            return Ok(facts);
        }
        let may_leak = matches!(request.mount_propagation(), Propagation::Shared | Propagation::Unchanged);
        if may_leak || request.persist.iter().any(|(kind, _)| *kind == NamespaceKind::Mnt) {
            let text = std::fs::read("/proc/self/mountinfo")
                .map_err(|error| Error::system("cannot read /proc/self/mountinfo", error))?;
            facts.mounts = mountinfo::parse(&text).mounts;
        }
        // Below a new user namespace the copies are slaves.
        if let Some(root) = request.root.as_ref().filter(|root| root.pivot)
            && request.mount_propagation() == Propagation::Unchanged
            && !request.kinds.contains(NamespaceKind::User)
        {
            facts.check_pivot(Path::new(OsStr::from_bytes(root.dir.to_bytes())))?;
        }
        for (kind, file) in &request.persist {
            facts.check_place(*kind, file)?;
        }
        if let Some(cgroup) = &request.cgroup {
            facts.makes_cgroup = is_missing_cgroup(cgroup)?;
        }
        Ok(facts)
    }

    fn gather_ids(&mut self, request: &Request) -> Result<()> {
        // Maps of our own ids alone are written from inside, with no capability.
        let ranges = !request.users.specs.is_empty() || !request.groups.specs.is_empty();
        let own_alone = !ranges && request.owner.is_none() && setgroups(request) != Some(true);
        let maps = !request.users.is_empty() || !request.groups.is_empty();
        let capabilities = match maps && !own_alone {
            true => {
                rustix::thread::capabilities(None)
                    .map_err(|errno| Error::system("cannot read our capabilities", errno))?
                    .effective
            }
            false => CapabilitySet::empty(),
        };
        if !request.users.is_empty() {
            let own = rustix::process::geteuid().as_raw();
            let privileged = capabilities.contains(CapabilitySet::SETUID);
            self.users = IdFacts::gather(IdKind::User, own, privileged, &request.users)?;
        }
        if !request.groups.is_empty() {
            let own = rustix::process::getegid().as_raw();
            let privileged = capabilities.contains(CapabilitySet::SETGID);
            self.groups = IdFacts::gather(IdKind::Group, own, privileged, &request.groups)?;
        }
        Ok(())
    }

    pub(super) fn ids(&self, kind: IdKind) -> &IdFacts {
        match kind {
            IdKind::User => &self.users,
            IdKind::Group => &self.groups,
        }
    }

    /// Refuses clock offsets that would not hold: they must be set before a process is in, an older kernel puts one in
    /// only where it is born, and the command is not born then.
    pub(super) fn time_at_exec(&self, init: bool) -> Result<()> {
        if init || self.enters_time_at_exec() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "the command would not get the clock offsets")
            .because("before Linux 6.1 execve(2) does not move a process into its new time namespace")
            .with_hint("add --init, whose child is born in it"))
    }

    pub(super) fn enters_time_at_exec(&self) -> bool {
        self.kernel >= TIME_AT_EXEC
    }

    /// Refuses to pivot to a root that would be shared, which the kernel does not take; by then the outer mount namespace
    /// would have got what is mounted there.
    fn check_pivot(&self, dir: &Path) -> Result<()> {
        // What is not there fails where it is bound.
        let Ok(path) = std::fs::canonicalize(dir) else { return Ok(()) };
        let Some(mount) = mount_above(&self.mounts, path.as_os_str().as_encoded_bytes()) else { return Ok(()) };
        if mount.shared.is_none() {
            return Ok(());
        }
        let (dir, point) = (printable(path.as_os_str().as_encoded_bytes()), printable(&mount.mount_point));
        Err(Error::new(ErrorKind::System, format!("cannot pivot to {dir}"))
            .because(format!("it lies on the mount {point}, which is shared and stays so (--propagation unchanged)"))
            .with_hint("leave --propagation at private, or use --root (chroot)"))
    }

    /// Returns the mount point that `path` lies on, if that mount is shared.
    pub(super) fn shared_mount_above(&self, path: &str) -> Option<&[u8]> {
        let mount = mount_above(&self.mounts, path.as_bytes())?;
        mount.shared.map(|_| &mount.mount_point[..])
    }

    /// Refuses a place that cannot take a namespace's file.
    fn check_place(&self, kind: NamespaceKind, file: &Path) -> Result<()> {
        let shown = printable(file.as_os_str().as_encoded_bytes());
        let refuse = |why: String, hint: String| {
            Err(Error::new(ErrorKind::System, format!("cannot keep the {kind} namespace at {shown}"))
                .because(why)
                .with_hint(hint))
        };
        match std::fs::symlink_metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::system(format!("cannot keep the {kind} namespace at {shown}"), error));
            }
            Ok(found) => {
                let file_type = found.file_type();
                if file_type.is_dir() {
                    return refuse("it is a directory".into(), "name a file in it, which is made".into());
                }
                if file_type.is_symlink() {
                    return refuse("it is a symbolic link".into(), "name the file itself".into());
                }
                if file_type.is_fifo() || file_type.is_socket() || file_type.is_block_device() {
                    return refuse("it is no plain file".into(), "name a file that is empty or missing".into());
                }
                if carries_namespace(file) {
                    return refuse(
                        "it carries a namespace already".into(),
                        format!("join that with `nstool enter`, or release it: `umount {shown}`"),
                    );
                }
            }
        }
        let directory = match file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let directory = match std::fs::canonicalize(directory) {
            Ok(directory) => directory,
            Err(error) => {
                return Err(Error::system(format!("cannot keep the {kind} namespace at {shown}"), error)
                    .with_hint("its directory must be there"));
            }
        };
        let path = directory.join(file.file_name().unwrap_or_default());
        if kind == NamespaceKind::Mnt
            && let Some(point) = mount_above(&self.mounts, path.as_os_str().as_encoded_bytes())
                .filter(|mount| mount.shared.is_some())
                .map(|mount| &mount.mount_point)
        {
            let place = printable(directory.as_os_str().as_encoded_bytes());
            return refuse(
                format!(
                    "it lies on the mount {}, which is shared: a mount namespace would come to hold itself",
                    printable(point)
                ),
                format!("make a private mount of it: `mount --bind {place} {place}; mount --make-private {place}`"),
            );
        }
        Ok(())
    }
}

impl IdFacts {
    fn gather(kind: IdKind, own: u32, privileged: bool, ids: &Ids) -> Result<Self> {
        let mut facts = Self { own, privileged, ..Self::default() };
        if ids.specs.iter().any(|spec| matches!(spec, MapSpec::Auto | MapSpec::Subids)) {
            // Group ids, too, are given to users (subgid(5)).
            let uid = rustix::process::getuid();
            let name = account::user_name(uid.as_raw());
            // A missing file gives nobody anything.
            let text = std::fs::read(kind.subid_file()).unwrap_or_default();
            facts.subids = idmap::subid_blocks(&text, name.as_deref(), uid.as_raw());
        }
        if ids.specs.contains(&MapSpec::All) {
            let path = PathBuf::from("/proc/self").join(kind.map_file());
            let text = std::fs::read(&path)
                .map_err(|error| Error::system(format!("cannot read {}", path.display()), error))?;
            facts.map = idmap::parse_map(&text);
        }
        Ok(facts)
    }
}

/// Refuses descriptors that are not open.
fn check_descriptors(request: &Request) -> Result<()> {
    for (option, number) in [
        ("--userns-block-fd", request.userns_block_fd),
        ("--sync-fd", request.sync_fd),
        ("--info-fd", request.info_fd),
        ("--json-status-fd", request.json_status_fd),
    ] {
        if let Some(number) = number.filter(|number| !is_open(*number)) {
            return Err(Error::new(ErrorKind::Invalid, format!("{option}: descriptor {number} is not open"))
                .with_hint(format!("open it in the shell, such as {number}>FILE")));
        }
    }
    Ok(())
}

/// Tells whether a namespace is bound to `file`.
pub(super) fn carries_namespace(file: &Path) -> bool {
    rustix::fs::statfs(file).is_ok_and(|statfs| statfs.f_type as u64 == NSFS_MAGIC)
}

/// Finds the mount a path lies on: the longest mount point that leads to it, and of several in one place the last.
fn mount_above<'a>(mounts: &'a [Mount], path: &[u8]) -> Option<&'a Mount> {
    let leads = |point: &[u8]| {
        let point = point.strip_suffix(b"/").unwrap_or(point);
        path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    mounts.iter().filter(|mount| leads(&mount.mount_point)).max_by_key(|mount| mount.mount_point.len())
}

/// Tells whether a control group is missing that can be made. Refuses a directory that is none, and a group in which the
/// command would hang.
fn is_missing_cgroup(cgroup: &Path) -> Result<bool> {
    let shown = printable(cgroup.as_os_str().as_encoded_bytes());
    let is_group = |path: &Path| path.join("cgroup.procs").is_file();
    let missing = std::fs::symlink_metadata(cgroup).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if missing && cgroup.parent().is_some_and(is_group) {
        return Ok(true);
    }
    if !is_group(cgroup) {
        let message = match missing {
            true => format!("{shown} cannot be made, for what it would be in is no control group"),
            false => format!("{shown} is no control group"),
        };
        return Err(Error::new(ErrorKind::NotFound, message)
            .with_hint("name a directory below /sys/fs/cgroup; the last part of it may be missing"));
    }
    let says = |file: &str, word: &str| {
        std::fs::read_to_string(cgroup.join(file)).is_ok_and(|text| text.lines().any(|line| line == word))
    };
    if says("cgroup.events", "frozen 1") || says("freezer.state", "FROZEN") {
        return Err(Error::new(ErrorKind::System, format!("the control group {shown} is frozen"))
            .because("whatever joins it stops at once")
            .with_hint(format!(
                "thaw it: `echo 0 > {shown}/cgroup.freeze` (v1: `echo THAWED > {shown}/freezer.state`)"
            )));
    }
    Ok(false)
}

/// Reads the first two numbers of a kernel release such as `6.18.44-fc`.
fn parse_release(release: &[u8]) -> (u32, u32) {
    let text = String::from_utf8_lossy(release);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_gives_its_two_numbers() {
        assert_eq!(parse_release(b"6.18.44-fc-v657"), (6, 18));
        assert_eq!(parse_release(b"4.18.0-305.el8"), (4, 18));
        assert_eq!(parse_release(b""), (0, 0));
    }

    #[test]
    fn a_path_lies_on_the_longest_and_last_mount_that_leads_to_it() {
        let text = b"1 0 8:1 / / rw shared:1 - ext4 a rw\n\
            2 1 0:1 / /run rw - tmpfs b rw\n\
            3 2 0:2 / /run/x rw shared:7 - tmpfs c rw\n\
            4 3 0:3 / /run/x rw - tmpfs d rw\n";
        let mounts = mountinfo::parse(text).mounts;
        for (path, id) in [("/a", 1), ("/run", 2), ("/runner", 1), ("/run/x/y", 4), ("/", 1)] {
            assert_eq!(mount_above(&mounts, path.as_bytes()).unwrap().id, id, "{path}");
        }
    }
}
