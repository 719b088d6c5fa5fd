//! Whether the out-of-memory killer ended the command: the kernel tells nobody but the counters of the memory control
//! group, so they are opened before joining and compared after.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::printable;

/// The memory control group that the command is put into.
#[derive(Debug)]
pub(crate) struct Memory {
    path: Vec<u8>,
    /// memory.oom_control (version 1) or memory.events (version 2).
    counters: OwnedFd,
    limit: Option<OwnedFd>,
    before: u64,
}

/// What is known of an end by the out-of-memory killer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutOfMemory {
    /// The control group that counts the victim, as we see it; printable.
    pub cgroup: String,
    /// Its own limit, in bytes; none if it has none, so that an outer one or the whole memory was exhausted.
    pub limit_bytes: Option<u64>,
}

impl Memory {
    /// Opens the counters of the control group at `path`; of version 2, where it may not have the controller, of the
    /// nearest above that does.
    pub(super) fn watch(path: &[u8], version: u8) -> Option<Self> {
        let (counters, limit) = match version {
            1 => ("memory.oom_control", "memory.limit_in_bytes"),
            _ => ("memory.events", "memory.max"),
        };
        let open = |path: &[u8], name: &str| {
            let path = [path, b"/", name.as_bytes()].concat();
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
        };
        let mut path = path;
        let file = loop {
            match open(path, counters) {
                Some(file) => break file,
                None if version == 1 => return None,
                None => path = &path[..path.iter().rposition(|byte| *byte == b'/').filter(|end| *end > 0)?],
            }
        };
        let before = victims(&read(&file))?;
        Some(Self { path: path.to_vec(), limit: open(path, limit), counters: file, before })
    }

    /// Tells whether it counts more victims now.
    pub(super) fn has_killed(&self) -> Option<OutOfMemory> {
        victims(&read(&self.counters)).filter(|now| *now > self.before)?;
        let cgroup = printable(&self.path).into_owned();
        Some(OutOfMemory { cgroup, limit_bytes: self.limit.as_ref().and_then(|file| limit(&read(file))) })
    }
}

fn read(file: &OwnedFd) -> Vec<u8> {
    let mut text = vec![0; 4096];
    let count = rustix::io::pread(file.as_fd(), &mut text[..], 0).unwrap_or(0);
    text.truncate(count);
    text
}

/// Finds the line `oom_kill`: since Linux 4.13 in both versions.
fn victims(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Parses a limit; version 2 has the word `max` for none, version 1 the highest number of whole pages.
fn limit(text: &[u8]) -> Option<u64> {
    let limit: u64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    (limit < i64::MAX as u64 - (1 << 20)).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn victims_and_limits_are_read_in_both_versions() {
        assert_eq!(victims(b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(victims(b"low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(victims(b"oom_kill_disable 0\n"), None);
        assert_eq!(
            (limit(b"1048576\n"), limit(b"max\n"), limit(b"9223372036854771712\n")),
            (Some(1 << 20), None, None)
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let _ = (victims(&text), limit(&text));
        }
    }
}
