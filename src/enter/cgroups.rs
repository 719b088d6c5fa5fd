//! The control groups of a target, version 1 and 2, and the files through which they are joined.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::facts::CgroupFact;
use super::memory::Memory;
use crate::error::{Error, Result};
use crate::model::Mount;
use crate::printable;
use crate::proc::mountinfo;
use crate::target::PinnedProcess;

/// One line of `/proc/PID/cgroup` (cgroups(7)).
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    /// The controllers of a version 1 hierarchy, or `name=…`; empty for version 2.
    controllers: &'a [u8],
    path: &'a [u8],
}

impl Line<'_> {
    fn limits_memory(&self) -> bool {
        self.controllers.is_empty() || self.controllers.split(|byte| *byte == b',').any(|one| one == b"memory")
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        Some(Line { controllers: fields.next()?, path: fields.next()? })
    })
}

/// The control groups of a process that we are not in.
#[derive(Default)]
pub(super) struct Found {
    pub(super) facts: Vec<CgroupFact>,
    /// An open `cgroup.procs` for each.
    pub(super) files: Vec<OwnedFd>,
    /// The one that limits memory, if the kernel counts there whom it kills.
    pub(super) memory: Option<Memory>,
    /// On those out of reach.
    pub(super) remarks: Vec<String>,
}

/// Finds the control groups of `process` that we are not in.
pub(super) fn find(process: &PinnedProcess) -> Result<Found> {
    let theirs = process.read("cgroup").map_err(|error| process.cannot("read the control groups", error))?;
    let ours = std::fs::read("/proc/self/cgroup").unwrap_or_default();
    let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default()).mounts;
    let mut found = Found::default();
    for line in lines(&theirs).filter(|line| !lines(&ours).any(|own| own == *line)) {
        let version = if line.controllers.is_empty() { 2 } else { 1 };
        let Some(path) = place(&mounts, &line) else {
            let name = if version == 2 { "version 2".into() } else { printable(line.controllers) };
            let path = printable(line.path);
            found.remarks.push(format!("not joined: control group {path} ({name}), which no mount of ours shows"));
            continue;
        };
        let procs = [&path[..], b"/cgroup.procs"].concat();
        let file = rustix::fs::open(&procs[..], OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
            let error = Error::system(format!("cannot open control group {}", printable(&path)), errno);
            match errno {
                rustix::io::Errno::ACCESS => error.with_hint("run nstool as root, or enter without its control groups"),
                _ => error,
            }
        })?;
        let frozen = is_frozen(&path, version);
        if line.limits_memory() && (version == 1 || found.memory.is_none()) {
            found.memory = Memory::watch(&path, version);
        }
        found.facts.push(CgroupFact { path, handle: found.files.len(), version, frozen });
        found.files.push(file);
    }
    Ok(found)
}

/// Finds where the control group of a line is to be seen.
fn place(mounts: &[Mount], line: &Line<'_>) -> Option<Vec<u8>> {
    mounts.iter().find_map(|mount| {
        let fits = if line.controllers.is_empty() {
            mount.fs_type == b"cgroup2"
        } else {
            // The options of a version 1 mount name its controllers, and `name=…`, among others.
            mount.fs_type == b"cgroup"
                && line
                    .controllers
                    .split(|byte| *byte == b',')
                    .all(|one| mount.super_options.split(|byte| *byte == b',').any(|option| option == one))
        };
        let below = if mount.root == b"/" { Some(line.path) } else { line.path.strip_prefix(&mount.root[..]) };
        // A path that begins with /.. lies outside our cgroup namespace.
        let below = below.filter(|path| fits && !path.starts_with(b"/.."))?;
        let below = below.strip_suffix(b"/").unwrap_or(below);
        Some([&mount.mount_point[..], below].concat())
    })
}

/// Tells whether it is frozen or about to be: `FREEZING` (version 1), or asked for and not yet done (version 2).
fn is_frozen(path: &[u8], version: u8) -> bool {
    let read = |name: &str| std::fs::read(Path::new(OsStr::from_bytes(path)).join(name)).unwrap_or_default();
    if version == 1 {
        return freezes(&read("freezer.state"));
    }
    read("cgroup.events").split(|byte| *byte == b'\n').any(|line| line == b"frozen 1")
        || read("cgroup.freeze").trim_ascii() == b"1"
}

fn freezes(state: &[u8]) -> bool {
    matches!(state.trim_ascii(), b"FROZEN" | b"FREEZING")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"1 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        2 1 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        3 1 0:3 /box /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";

    #[test]
    fn what_is_about_to_freeze_counts_as_frozen() {
        assert!(freezes(b"FROZEN\n") && freezes(b"FREEZING\n"));
        assert!(!freezes(b"THAWED\n") && !freezes(b""));
    }

    #[test]
    fn each_hierarchy_is_found_by_its_controllers() {
        let mounts = mountinfo::parse(MOUNTS).mounts;
        let text = b"4:cpu,cpuacct:/a\n1:name=systemd:/box/b\n3:memory:/c\n0::/d:e\n2:cpu:/../x\n5:cpu:/\n";
        let places: Vec<_> = lines(text).map(|line| place(&mounts, &line)).collect();
        assert_eq!(places[0].as_deref(), Some(&b"/sys/fs/cgroup/cpu/a"[..]));
        assert_eq!(places[1].as_deref(), Some(&b"/sys/fs/cgroup/systemd/b"[..]));
        assert_eq!(places[2], None);
        assert_eq!(places[3].as_deref(), Some(&b"/sys/fs/cgroup/unified/d:e"[..]));
        assert_eq!(places[4], None);
        assert_eq!(places[5].as_deref(), Some(&b"/sys/fs/cgroup/cpu"[..]));
    }
}
