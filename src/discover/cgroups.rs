//! Control groups, version 1 and 2, as their files show them: where they are, whether they are frozen, what they limit.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::model::{CgroupEntry, CgroupState, Mount};

/// Reads what the control groups of a process do to it; of groups that no mount of ours shows nothing is known.
pub(super) fn states(mounts: &[Mount], entries: &[CgroupEntry]) -> Vec<CgroupState> {
    let one = |entry: &CgroupEntry| {
        let path = place(mounts, entry)?;
        let version = if entry.controllers.is_empty() { 2 } else { 1 };
        // A file belongs to the controller it begins with, which a hierarchy of version 1 has or has not.
        let controllers: Vec<&[u8]> = entry.controllers.split(|byte| *byte == b',').collect();
        let has =
            |name: &str| version == 2 || name.split('.').next().is_some_and(|of| controllers.contains(&of.as_bytes()));
        let read = |name: &str| {
            has(name).then(|| std::fs::read(Path::new(OsStr::from_bytes(&path)).join(name)).ok()).flatten()
        };
        // "max", and on version 1 a number of pages that no machine has, is no limit.
        let number = |name: &str| std::str::from_utf8(&read(name)?).ok()?.trim().parse::<u64>().ok();
        let limit = |name: &str| number(name).filter(|bytes| *bytes < i64::MAX as u64 / 2);
        let kills = |name: &str| {
            let text = read(name)?;
            let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"oom_kill "))?;
            std::str::from_utf8(line).ok()?.parse().ok()
        };
        let [memory, used, events] = match version {
            1 => ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"],
            _ => ["memory.max", "memory.current", "memory.events"],
        };
        Some(CgroupState {
            frozen: (version == 2 || controllers.contains(&&b"freezer"[..])) && is_frozen(&path, version),
            memory_limit_bytes: limit(memory),
            memory_used_bytes: number(used),
            oom_kills: kills(events),
            pids_limit: limit("pids.max"),
            pids: number("pids.current"),
            path,
        })
    };
    entries.iter().filter_map(one).collect()
}

/// Finds where the control group of a line of `/proc/PID/cgroup` is to be seen.
pub(crate) fn place(mounts: &[Mount], line: &CgroupEntry) -> Option<Vec<u8>> {
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
        let below = if mount.root == b"/" { Some(&line.path[..]) } else { line.path.strip_prefix(&mount.root[..]) };
        // A path that begins with /.. lies outside our cgroup namespace.
        let below = below.filter(|path| fits && !path.starts_with(b"/.."))?;
        let below = below.strip_suffix(b"/").unwrap_or(below);
        Some([&mount.mount_point[..], below].concat())
    })
}

/// Tells whether it is frozen or about to be: `FREEZING` (version 1), or asked for and not yet done (version 2).
pub(crate) fn is_frozen(path: &[u8], version: u8) -> bool {
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
    use crate::proc::{lines, mountinfo};

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
        let places: Vec<_> = lines::cgroups(text).iter().map(|line| place(&mounts, line)).collect();
        assert_eq!(places[0].as_deref(), Some(&b"/sys/fs/cgroup/cpu/a"[..]));
        assert_eq!(places[1].as_deref(), Some(&b"/sys/fs/cgroup/systemd/b"[..]));
        assert_eq!(places[2], None);
        assert_eq!(places[3].as_deref(), Some(&b"/sys/fs/cgroup/unified/d:e"[..]));
        assert_eq!(places[4], None);
        assert_eq!(places[5].as_deref(), Some(&b"/sys/fs/cgroup/cpu"[..]));
    }
}
