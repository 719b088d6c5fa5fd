//! The control groups of a target, version 1 and 2, and the files through which they are joined.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::facts::CgroupFact;
use crate::discover::cgroups::{is_frozen, place};
use crate::error::{Error, Result};
use crate::printable;
use crate::proc::{lines, mountinfo};
use crate::target::PinnedProcess;

/// Finds the control groups of `process` that we are not in, with an open `cgroup.procs` for each, and remarks on those
/// out of reach.
pub(super) fn find(process: &PinnedProcess) -> Result<(Vec<CgroupFact>, Vec<OwnedFd>, Vec<String>)> {
    let theirs = process.read("cgroup").map_err(|error| process.cannot("read the control groups", error))?;
    let ours = std::fs::read("/proc/self/cgroup").unwrap_or_default();
    let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default()).mounts;
    let (mut found, mut files, mut remarks) = (Vec::new(), Vec::new(), Vec::new());
    let ours = lines::cgroups(&ours);
    for line in lines::cgroups(&theirs).into_iter().filter(|line| !ours.contains(line)) {
        let version = if line.controllers.is_empty() { 2 } else { 1 };
        let Some(path) = place(&mounts, &line) else {
            let name = if version == 2 { "version 2".into() } else { printable(&line.controllers) };
            let path = printable(&line.path);
            remarks.push(format!("not joined: control group {path} ({name}), which no mount of ours shows"));
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
        found.push(CgroupFact { path, handle: files.len(), version, frozen });
        files.push(file);
    }
    Ok((found, files, remarks))
}
