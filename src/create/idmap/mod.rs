//! Maps of user and group ids, put together and checked before anything is created (user_namespaces(7)). Pure.

mod build;
mod spec;
mod subids;

use std::fmt;

pub use self::build::{MapSources, build};
pub use self::spec::{MapSpec, parse_id};
pub use self::subids::{SubidBlock, subid_blocks};

/// A run of ids: `inner` and those after it, inside, are `outer` and those after it in the parent user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside.
    pub inner: u32,
    /// The first id outside.
    pub outer: u32,
    /// How many; above 0.
    pub count: u32,
}

impl IdRange {
    fn inner_end(&self) -> u64 {
        u64::from(self.inner) + u64::from(self.count)
    }

    /// Tells whether `id` means something inside.
    pub(super) fn maps(&self, id: u32) -> bool {
        u64::from(self.inner) <= u64::from(id) && u64::from(id) < self.inner_end()
    }

    fn outer_end(&self) -> u64 {
        u64::from(self.outer) + u64::from(self.count)
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inner, self.outer, self.count)
    }
}

/// Parses the text of our own `/proc/self/uid_map`.
pub fn parse_map(text: &[u8]) -> Vec<IdRange> {
    let line = |line: &str| -> Option<IdRange> {
        let mut fields = line.split_ascii_whitespace().map(str::parse);
        let mut next = || fields.next()?.ok();
        Some(IdRange { inner: next()?, outer: next()?, count: next()? })
    };
    String::from_utf8_lossy(text).lines().filter_map(line).collect()
}

/// Returns the text to write to a map file.
pub fn text(map: &[IdRange]) -> String {
    map.iter().map(|range| format!("{range}\n")).collect()
}

/// Whether it is about users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// User ids.
    User,
    /// Group ids.
    Group,
}

impl IdKind {
    /// Returns the file below `/proc/PID`.
    pub fn map_file(self) -> &'static str {
        match self {
            Self::User => "uid_map",
            Self::Group => "gid_map",
        }
    }

    /// Returns the file with the subordinate ids.
    pub fn subid_file(self) -> &'static str {
        match self {
            Self::User => "/etc/subuid",
            Self::Group => "/etc/subgid",
        }
    }

    /// Returns the privileged program that writes maps of subordinate ids.
    pub fn helper(self) -> &'static str {
        match self {
            Self::User => "newuidmap",
            Self::Group => "newgidmap",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inner: u32, outer: u32, count: u32) -> IdRange {
        IdRange { inner, outer, count }
    }

    #[test]
    fn a_map_file_is_read_back() {
        assert_eq!(
            parse_map(b"         0       1000          1\n         1     100000      65536\n"),
            [range(0, 1000, 1), range(1, 100_000, 65_536)]
        );
    }
}
