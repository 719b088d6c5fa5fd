//! Which processes use a filesystem: what makes it busy.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use crate::error::Result;
use crate::id::Pid;
use crate::model::{Device, Hidden, MountPlace, MountUse, Subject, UsedBy, Why};
use crate::proc::{self, Proc};

/// The uses of a filesystem, and what could not be seen of them.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    /// The uses, ascending by process.
    pub uses: Vec<MountUse>,
    /// Processes that could not be looked into.
    pub hidden: Hidden,
    /// How many processes were met.
    pub processes: usize,
}

impl Uses {
    /// Looks at every process for uses of the mounts with these ids, which stand at these places, or of filesystems with these device numbers.
    ///
    /// A filesystem whose server does not answer cannot block this: nothing is asked that it would have to be asked for.
    ///
    /// # Errors
    /// There is no usable `/proc`.
    pub fn capture(mounts: &HashMap<u32, MountPlace>, devices: &HashSet<Device>) -> Result<Self> {
        let proc = Proc::open()?;
        let pids = proc.pids()?;
        let mut found = Self { processes: pids.len(), ..Self::default() };
        let wanted = Wanted { mounts, devices };
        for pid in pids {
            match wanted.of_process(&proc, pid) {
                Ok(uses) => found.uses.extend(uses),
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => {}
                Err(errno) => found.hidden.add(Subject::Process, Why::of_errno(errno.raw_os_error())),
            }
        }
        let place =
            |a: &MountUse, b: &MountUse| (a.pid, a.by, &a.mount, &a.path).cmp(&(b.pid, b.by, &b.mount, &b.path));
        found.uses.sort_unstable_by(place);
        found.uses.dedup();
        Ok(found)
    }
}

struct Wanted<'a> {
    mounts: &'a HashMap<u32, MountPlace>,
    devices: &'a HashSet<Device>,
}

impl Wanted<'_> {
    fn of_process(&self, proc: &Proc, pid: Pid) -> rustix::io::Result<Vec<MountUse>> {
        let open = |name: &str| -> rustix::io::Result<OwnedFd> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(proc, format!("{pid}{name}"), flags, Mode::empty())
        };
        let directory = open("")?;
        let mut uses = Vec::new();
        let mut add = |at: &OwnedFd, name: &str, by: UsedBy| -> rustix::io::Result<()> {
            if let Some(mount) = self.is_wanted(at, name)? {
                let path = rustix::fs::readlinkat(at, name, Vec::new()).map(|path| path.into_bytes());
                uses.push(MountUse { mount, pid, tid: None, by, path: path.unwrap_or_default() });
            }
            Ok(())
        };
        // ENOENT: a kernel thread, which keeps nothing busy, or a zombie. Any other refusal holds for all links.
        add(&directory, "exe", UsedBy::Executable)?;
        let _ = add(&directory, "cwd", UsedBy::WorkingDirectory);
        let _ = add(&directory, "root", UsedBy::Root);
        let listing = rustix::fs::openat(&directory, "fd", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        for fd in proc::numbers_in(std::os::fd::AsFd::as_fd(&listing)).unwrap_or_default() {
            // One that was closed meanwhile is none.
            let _ = add(&listing, &fd.to_string(), UsedBy::Descriptor(fd));
        }
        let mut maps = Vec::new();
        if proc.read(pid, "maps", &mut maps).is_ok() {
            let mut paths: Vec<Vec<u8>> =
                maps.split(|byte| *byte == b'\n').filter_map(|line| self.mapped(line)).collect();
            paths.sort_unstable();
            paths.dedup();
            uses.extend(paths.into_iter().map(|path| MountUse {
                mount: None,
                pid,
                tid: None,
                by: UsedBy::Mapping,
                path,
            }));
        }
        Ok(uses)
    }

    /// Returns the place of the mount that a link leads to, if it is wanted.
    fn is_wanted(&self, directory: &OwnedFd, name: &str) -> rustix::io::Result<Option<Option<MountPlace>>> {
        let mask = StatxFlags::MNT_ID | StatxFlags::TYPE;
        let statx = rustix::fs::statx(directory, name, AtFlags::STATX_DONT_SYNC, mask)?;
        let told = statx.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        let mount = if told { u32::try_from(statx.stx_mnt_id).ok() } else { None };
        let mount = mount.and_then(|mount| self.mounts.get(&mount));
        let device = Device { major: statx.stx_dev_major, minor: statx.stx_dev_minor };
        let wanted = mount.is_some() || self.devices.contains(&device);
        Ok(wanted.then(|| mount.cloned()))
    }

    /// Returns the path of a line of proc_pid_maps(5) whose file is on a wanted device.
    fn mapped(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let device = std::str::from_utf8(fields.nth(3)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let device = Device { major: hex(major)?, minor: hex(minor)? };
        let inode = fields.next()?;
        let path = fields.next().unwrap_or_default();
        (inode != b"0" && self.devices.contains(&device)).then(|| unescape(path.trim_ascii_start()))
    }
}

/// Undoes the one escape of proc_pid_maps(5): a line break, which the links below /proc leave as it is.
fn unescape(path: &[u8]) -> Vec<u8> {
    const ESCAPE: &[u8] = b"\\012";
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(ESCAPE) {
            out.push(b'\n');
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_gives_device_and_path() {
        let devices = HashSet::from([Device { major: 254, minor: 16 }]);
        let wanted = Wanted { mounts: &HashMap::new(), devices: &devices };
        let line = b"7f0-7f1 r--p 00000000 fe:10 123                        /usr/lib/a b.so";
        assert_eq!(wanted.mapped(line), Some(b"/usr/lib/a b.so".to_vec()));
        let line = b"7f0-7f1 r--p 00000000 fe:10 123                        /a\\012b\\040";
        assert_eq!(wanted.mapped(line), Some(b"/a\nb\\040".to_vec()));
        for other in [&b"7f0-7f1 rw-p 00000000 00:00 0 [heap]"[..], b"7f0-7f1 r--p 0 fe:00 1 /a", b"", b"\xff"] {
            assert_eq!(wanted.mapped(other), None);
        }
    }

    #[test]
    fn our_own_uses_are_found() {
        let stat = rustix::fs::statx(rustix::fs::CWD, "/proc/self/exe", AtFlags::empty(), StatxFlags::MNT_ID).unwrap();
        let device = Device { major: stat.stx_dev_major, minor: stat.stx_dev_minor };
        let uses = Uses::capture(&HashMap::new(), &HashSet::from([device])).unwrap();
        let me = std::process::id() as Pid;
        for by in [UsedBy::Executable, UsedBy::Mapping] {
            assert!(uses.uses.iter().any(|each| each.pid == me && each.by == by), "{by}");
        }
    }
}
