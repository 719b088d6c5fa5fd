//! `/proc/PID/status` (proc_pid_status(5)).

use crate::id::Pid;

/// The lines of a status file, looked up by name.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    text: &'a [u8],
}

impl<'a> Status<'a> {
    /// Wraps the file's text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// Returns what stands behind `KEY:`, without the white space around it.
    ///
    /// The file escapes line breaks in the process's name, so no name can forge a line.
    pub fn field(&self, key: &str) -> Option<&'a [u8]> {
        self.text.split(|byte| *byte == b'\n').find_map(|line| {
            let value = line.strip_prefix(key.as_bytes())?.strip_prefix(b":")?;
            Some(value.trim_ascii())
        })
    }

    fn numbers<T: std::str::FromStr>(&self, key: &str) -> Option<Vec<T>> {
        let text = std::str::from_utf8(self.field(key)?).ok()?;
        text.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
    }

    /// Returns real, effective, saved and filesystem uid.
    pub fn uids(&self) -> Option<[u32; 4]> {
        self.numbers("Uid")?.try_into().ok()
    }

    /// Returns real, effective, saved and filesystem gid.
    pub fn gids(&self) -> Option<[u32; 4]> {
        self.numbers("Gid")?.try_into().ok()
    }

    /// Returns the supplementary groups.
    pub fn groups(&self) -> Option<Vec<u32>> {
        self.numbers("Groups")
    }

    /// Returns the parent; 0 at the top of a pid namespace.
    pub fn parent(&self) -> Option<Pid> {
        self.numbers("PPid")?.first().copied()
    }

    /// Returns the process's id in each pid namespace from the procfs's own down to its own.
    pub fn ns_pids(&self) -> Option<Vec<Pid>> {
        self.numbers("NSpid")
    }

    /// Returns a set of capabilities or signals, such as `CapEff` or `SigCgt`, which stand as hexadecimal.
    pub fn mask(&self, key: &str) -> Option<u64> {
        u64::from_str_radix(std::str::from_utf8(self.field(key)?).ok()?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"Name:\tx\xff\\nUid:\t9\nPPid:\t7\nUid:\t1000\t0\t1000\t1000\nGroups:\t4 27 \nNSpid:\t42\t1\nCapEff:\t000001ffffffffff\n";

    #[test]
    fn fields_are_found_by_name_at_the_start_of_a_line() {
        let status = Status::new(TEXT);
        assert_eq!(status.uids(), Some([1000, 0, 1000, 1000]));
        assert_eq!(status.parent(), Some(7));
        assert_eq!(status.groups(), Some(vec![4, 27]));
        assert_eq!(status.ns_pids(), Some(vec![42, 1]));
        assert_eq!(status.mask("CapEff"), Some(0x1ff_ffff_ffff));
        assert_eq!(status.field("Missing"), None);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let status = Status::new(&text);
            let _ = (status.uids(), status.gids(), status.parent(), status.ns_pids(), status.mask("CapEff"));
        }
    }
}
