//! What a scan could not see, counted per reason.

use std::collections::BTreeMap;

use super::Why;

/// What sort of thing stayed out of sight.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A process, or some of its namespaces.
    Process,
    /// Processes that `/proc` does not even list (its mount option `hidepid`); how many cannot be known.
    UnlistedProcesses,
    /// The descriptors of a process.
    Descriptors,
    /// A socket: its network namespace.
    Socket,
    /// The threads of a process.
    Threads,
    /// The descriptors that single threads of a process have in tables of their own, if any has one.
    ThreadDescriptors,
    /// The mounts of a mount namespace.
    MountTable,
    /// A line of a mount table that could not be understood.
    MountLine,
    /// A mount table that could be read only from below a process's own root, so that mounts may be missing.
    Chroot,
    /// Whether there are namespaces beyond those met.
    MountNamespaces,
}

impl Subject {
    /// Returns a short name that never changes, for JSON keys.
    pub fn key(self) -> &'static str {
        match self {
            Self::Process => "processes",
            Self::UnlistedProcesses => "unlisted_processes",
            Self::Descriptors => "descriptors",
            Self::Socket => "sockets",
            Self::Threads => "threads",
            Self::ThreadDescriptors => "thread_descriptors",
            Self::MountTable => "mount_tables",
            Self::MountLine => "mount_lines",
            Self::Chroot => "partial_mount_tables",
            Self::MountNamespaces => "mount_namespaces",
        }
    }
}

impl Subject {
    /// Returns the words for one and for several.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Process => ("process", "processes"),
            Self::UnlistedProcesses => ("processes that /proc does not list", "processes that /proc does not list"),
            Self::Descriptors => ("process's descriptors", "processes' descriptors"),
            Self::Socket => ("socket", "sockets"),
            Self::Threads => ("process's threads", "processes' threads"),
            Self::ThreadDescriptors => ("process's threads' own descriptors", "processes' threads' own descriptors"),
            Self::MountTable => ("mount table", "mount tables"),
            Self::MountLine => ("malformed line of a mount table", "malformed lines of mount tables"),
            Self::Chroot => ("mount table in part", "mount tables in part"),
            Self::MountNamespaces => ("mount namespaces without processes", "mount namespaces without processes"),
        }
    }
}

/// How many things of each sort stayed out of sight, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    counts: BTreeMap<(Subject, Why), u64>,
}

impl Hidden {
    /// Counts one more.
    pub fn add(&mut self, subject: Subject, why: Why) {
        *self.counts.entry((subject, why)).or_default() += 1;
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
    }

    /// Joins what two looks at the same things could not see: each counted once.
    #[must_use]
    pub fn joined(mut self, other: &Self) -> Self {
        for (key, count) in &other.counts {
            let here = self.counts.entry(*key).or_default();
            *here = (*here).max(*count);
        }
        self
    }

    /// Returns sort, reason and count of everything hidden.
    pub fn iter(&self) -> impl Iterator<Item = (Subject, Why, u64)> {
        self.counts.iter().map(|((subject, why), count)| (*subject, *why, *count))
    }

    /// Returns how many of one sort are hidden, whatever the reason.
    pub fn count(&self, subject: Subject) -> u64 {
        self.iter().filter(|(of, _, _)| *of == subject).map(|(_, _, count)| count).sum()
    }

    /// Tells whether nothing was hidden.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}
