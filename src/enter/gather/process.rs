//! What is noted of the target as a process, and of ourselves beside it.

use super::super::facts::{Facts, Map, Maps, Way};
use super::super::request::{Id, Request};
use super::super::{cgroups, confinement};
use super::{Pinned, has_file};
use crate::error::Result;
use crate::kind::NamespaceKind;
use crate::proc::status::Status;
use crate::target::PinnedProcess;

fn groups() -> Vec<u32> {
    let effective = rustix::process::getegid();
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().filter(|group| *group != effective).map(|group| group.as_raw()).collect()
}

/// Counts the threads of this process: the links of its task directory, less `.` and `..`.
pub(super) fn threads() -> u64 {
    rustix::fs::stat("/proc/self/task").map_or(1, |stat| stat.st_nlink.saturating_sub(2))
}

pub(super) fn look_at_process(request: &Request, facts: &mut Facts, pinned: &mut Pinned) -> Result<()> {
    let Some(process) = &pinned.process else { return Ok(()) };
    let follow = request.uid == Some(Id::Follow) || request.gid == Some(Id::Follow);
    let down = matches!(facts.way, Way::Down(_));
    if down || request.confined {
        facts.groups = groups();
    }
    if !(follow || down || request.confined || request.selinux || request.cgroup || request.verbose) {
        return Ok(());
    }
    let text = process.read("status").unwrap_or_default();
    let status = Status::new(&text);
    facts.target_uid = status.uids().map(|uids| uids[1]);
    facts.target_gid = status.gids().map(|gids| gids[1]);
    facts.target_groups = status.groups().unwrap_or_default();
    facts.target_groups.retain(|group| Some(*group) != facts.target_gid);
    let wanted = !request.literal || follow;
    if wanted && down && !request.user_parent && !has_file(request, NamespaceKind::User) {
        facts.maps = maps(process);
    }
    if request.cgroup || request.confined {
        let found = cgroups::find(process)?;
        facts.cgroups = found.facts;
        facts.remarks.extend(found.remarks);
        (pinned.cgroups, pinned.memory) = (found.files, found.memory);
    }
    if request.confined || request.selinux {
        facts.confinement = Some(confinement::read(
            request,
            process,
            pinned.proc.as_ref(),
            &status,
            facts.capabilities,
            &mut facts.remarks,
        )?);
    }
    if request.verbose && !request.confined {
        facts.remarks.extend(confinement::left_out(process, pinned.proc.as_ref(), &status));
    }
    Ok(())
}

fn maps(process: &PinnedProcess) -> Option<Maps> {
    let uids = Map::parse(&process.read("uid_map").ok()?);
    let gids = Map::parse(&process.read("gid_map").ok()?);
    // Before Linux 3.19 the file is not there, and setgroups is allowed.
    let setgroups = process.read("setgroups").map_or(true, |text| !text.starts_with(b"deny"));
    Some(Maps { uids, gids, setgroups })
}
