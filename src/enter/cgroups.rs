//! The control groups of a target, version 1 and 2, and the files through which they are joined.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::facts::CgroupFact;
use super::memory::Memory;
use crate::discover::cgroups::{is_frozen, place};
use crate::error::{Error, Result};
use crate::model::CgroupEntry;
use crate::printable;
use crate::proc::{lines, mountinfo};
use crate::target::PinnedProcess;

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
    let ours = lines::cgroups(&ours);
    for line in lines::cgroups(&theirs).into_iter().filter(|line| !ours.contains(line)) {
        let version = if line.controllers.is_empty() { 2 } else { 1 };
        let Some(path) = place(&mounts, &line) else {
            let name = if version == 2 { "version 2".into() } else { printable(&line.controllers) };
            let path = printable(&line.path);
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
        if limits_memory(&line) && (version == 1 || found.memory.is_none()) {
            found.memory = Memory::watch(&path, version);
        }
        found.facts.push(CgroupFact { path, handle: found.files.len(), version, frozen });
        found.files.push(file);
    }
    Ok(found)
}

/// Tells whether the hierarchy may limit memory: version 2, or version 1's of that controller.
fn limits_memory(entry: &CgroupEntry) -> bool {
    entry.controllers.is_empty() || entry.controllers.split(|byte| *byte == b',').any(|one| one == b"memory")
}
