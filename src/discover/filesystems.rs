//! Which devices are procfs or control groups, as the mount tables tell it. Asking a file's own filesystem (statfs(2))
//! would hang us where that is one of FUSE or of the network whose server no longer answers.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::id::Pid;
use crate::proc::{PROC_SUPER_MAGIC, Proc, mountinfo};
use crate::sys::{nsfs, statmount};

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of statfs(2).
const CGROUP_MAGICS: [u64; 2] = [0x27_e0eb, 0x6367_7270];

/// A filesystem whose open files can hold a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filesystem {
    Proc,
    Cgroup,
}

/// Those of the machine, by the minor number of their device; its major number is 0.
#[derive(Debug, Default)]
pub(super) struct Filesystems(HashMap<u32, Filesystem>);

impl Filesystems {
    pub(super) fn get(&self, major: u32, minor: u32) -> Option<Filesystem> {
        self.0.get(&minor).copied().filter(|_| major == 0)
    }

    /// Reads the tables of all mount namespaces, or where the kernel does not lead to them of those the processes are in.
    pub(super) fn of_the_machine(proc: &Proc, pids: &[Pid]) -> Self {
        let mut found = Self::default();
        if found.walk().is_none() {
            let mut text = Vec::new();
            found.add_table(proc, "self/mountinfo", &mut text);
            let mut met = HashSet::new();
            for pid in pids {
                if proc.read_link(*pid, "ns/mnt").is_ok_and(|link| met.insert(link)) {
                    found.add_table(proc, &format!("{pid}/mountinfo"), &mut text);
                }
            }
        }
        found
    }

    /// `None`: the kernel cannot (it can since Linux 6.12), or we have no right to.
    fn walk(&mut self) -> Option<()> {
        let own = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        self.add_namespace(&own)?;
        for step in [nsfs::next_mount_namespace, nsfs::previous_mount_namespace] {
            let mut here = None;
            loop {
                match step(here.as_ref().unwrap_or(&own).as_fd())? {
                    Ok(next) => {
                        self.add_namespace(&next)?;
                        here = Some(next);
                    }
                    // ENOENT: the last one.
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                    Err(_) => return None,
                }
            }
        }
        Some(())
    }

    fn add_namespace(&mut self, namespace: &OwnedFd) -> Option<()> {
        let id = nsfs::mount_namespace_info(namespace.as_fd())?.ok()?.id;
        let mut buffer = statmount::Buffer::new();
        // One that ended meanwhile has no mounts any more.
        for mount in statmount::list(id)?.unwrap_or_default() {
            let Ok(answer) = buffer.stat(mount, id, statmount::SB_BASIC)? else { continue };
            let header = answer.header();
            let filesystem = match header.sb_magic {
                PROC_SUPER_MAGIC => Filesystem::Proc,
                magic if CGROUP_MAGICS.contains(&magic) => Filesystem::Cgroup,
                _ => continue,
            };
            self.0.insert(header.sb_dev_minor, filesystem);
        }
        Some(())
    }

    fn add_table(&mut self, proc: &Proc, path: &str, text: &mut Vec<u8>) {
        if proc.read_at(path, text).is_err() {
            return;
        }
        for mount in mountinfo::parse(text).mounts {
            let filesystem = match &mount.fs_type[..] {
                b"proc" => Filesystem::Proc,
                b"cgroup" | b"cgroup2" => Filesystem::Cgroup,
                _ => continue,
            };
            self.0.insert(mount.device.minor, filesystem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_procfs_is_known_in_both_ways() {
        let proc = Proc::open().unwrap();
        let device = rustix::fs::fstat(&proc).unwrap().st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let all = Filesystems::of_the_machine(&proc, &[]);
        assert_eq!(all.get(major, minor), Some(Filesystem::Proc));
        assert_eq!(all.get(8, minor), None);
        let mut by_table = Filesystems::default();
        by_table.add_table(&proc, "self/mountinfo", &mut Vec::new());
        assert_eq!(by_table.get(major, minor), Some(Filesystem::Proc));
    }
}
