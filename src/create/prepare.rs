//! Spells out beforehand what the child writes, since it may not allocate.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::filesystem::{Operation, c_string};
use super::idmap;
use super::inside::Prepared;
use super::plan::{Action, Clock, Plan, Step};
use crate::proc::mountinfo;
use crate::sys::mounts::set_attributes;
use crate::sys::nsfs;

/// Prepares all steps.
pub(super) fn prepare(plan: &Plan) -> Vec<Prepared> {
    let binds = plan.steps.iter().any(|step| matches!(&step.action, Action::Operate(Operation::Bind { .. })));
    let mounts = if binds && !restricts_trees() { own_mount_points() } else { Vec::new() };
    plan.steps.iter().map(|step| prepare_step(step, &mounts)).collect()
}

fn prepare_step(step: &Step, mounts: &[Vec<u8>]) -> Prepared {
    let text = match &step.action {
        Action::WriteMap { map, .. } => idmap::text(map).into_bytes(),
        Action::SetGroupsPolicy(allow) => if *allow { "allow" } else { "deny" }.into(),
        // By number, for the names came later (time_namespaces(7)).
        Action::Offset(clock, seconds) => {
            let number = match clock {
                Clock::Monotonic => libc::CLOCK_MONOTONIC,
                Clock::Boottime => libc::CLOCK_BOOTTIME,
            };
            format!("{number} {seconds} 0").into_bytes()
        }
        Action::OutrankMounts => own_mounts_id().map_or(Vec::new(), |id| id.to_ne_bytes().to_vec()),
        // 0 stands for the writer (cgroups(7)).
        Action::JoinCgroup(path) => [path.as_os_str().as_bytes(), b"/cgroup.procs\x000"].concat(),
        _ => Vec::new(),
    };
    let submounts = match &step.action {
        Action::Operate(Operation::Bind { source, .. }) => below(source.to_bytes(), mounts),
        _ => Vec::new(),
    };
    Prepared { place: step.place, action: step.action.clone(), text, submounts }
}

/// Tells whether the kernel can restrict a mount with all below it (mount_setattr(2), since Linux 5.12).
fn restricts_trees() -> bool {
    // Sets nothing, on our root.
    let root = std::fs::File::open("/");
    root.is_ok_and(|root| set_attributes(root.as_fd(), 0).is_some())
}

/// Returns the kernel's number of our own mount namespace, since Linux 6.18.
fn own_mounts_id() -> Option<u64> {
    let file = std::fs::File::open("/proc/self/ns/mnt").ok()?;
    nsfs::unique_id(file.as_fd())?.ok()
}

fn own_mount_points() -> Vec<Vec<u8>> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    mountinfo::parse(&text).mounts.into_iter().map(|mount| mount.mount_point).collect()
}

/// Returns the mount points below `source`, relative to it.
fn below(source: &[u8], mounts: &[Vec<u8>]) -> Vec<CString> {
    if mounts.is_empty() {
        return Vec::new();
    }
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(source));
    // A source that is not there fails later, where it is bound.
    let Ok(path) = std::fs::canonicalize(path) else { return Vec::new() };
    let path = path.as_os_str().as_bytes();
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let relative = |point: &Vec<u8>| point.strip_prefix(path)?.strip_prefix(b"/").map(<[u8]>::to_vec);
    mounts.iter().filter_map(relative).filter(|rest| !rest.is_empty()).filter_map(|rest| c_string(&rest).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mounts_below_a_source_are_found() {
        let mounts = ["/", "/usr", "/usr/local", "/usr2", "/usr/local/a"].map(|point| point.as_bytes().to_vec());
        assert_eq!(below(b"/usr", &mounts), [c"local".to_owned(), c"local/a".to_owned()]);
        assert_eq!(below(b"/", &mounts).len(), 4);
        assert!(below(b"/no/such/place", &mounts).is_empty());
    }
}
