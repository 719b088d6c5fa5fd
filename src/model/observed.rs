//! What could be seen, and why the rest could not.

use std::fmt;

/// A fact about a process or namespace that may be out of sight. Not seeing is data: it is shown as `?`, counted, and
/// never replaced by a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Observed<T> {
    /// It was read.
    Known(T),
    /// It is there, and we could not read it.
    Hidden(Why),
    /// What it belongs to ended before it was read.
    Gone,
}

/// Why something could not be seen.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The kernel refused: it wants ptrace rights over the process or a capability over the namespace (EPERM, EACCES).
    NotPermitted,
    /// It lies outside our own user or pid namespace, which nothing inside may see (ioctl_nsfs(2): EPERM).
    Outside,
    /// This kernel has no interface for it.
    Unsupported,
    /// No descriptor was left to read it with (EMFILE, ENFILE).
    NoDescriptors,
    /// The scope of the scan did not ask for it.
    NotAsked,
    /// A zombie has let go of it: only the user and pid namespace of a zombie can be read.
    Zombie,
    /// It is ending and has let go of it: an init does so before the processes of its pid namespace are reaped.
    Ending,
    /// Our `/proc` shows another pid namespace, so its numbers mean nothing to the calls that would tell.
    ForeignProc,
    /// No path leads to it from where we are.
    Unreachable,
    /// The kernel answered with this errno.
    Failed(i32),
}

impl<T> Observed<T> {
    /// Returns the value if it was read.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Hidden(_) | Self::Gone => None,
        }
    }

    /// Applies `f` to a value that was read.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Observed<U> {
        match self {
            Self::Known(value) => Observed::Known(f(value)),
            Self::Hidden(why) => Observed::Hidden(why),
            Self::Gone => Observed::Gone,
        }
    }

    /// Returns the same with a reference to the value.
    pub fn as_ref(&self) -> Observed<&T> {
        match self {
            Self::Known(value) => Observed::Known(value),
            Self::Hidden(why) => Observed::Hidden(*why),
            Self::Gone => Observed::Gone,
        }
    }
}

impl Why {
    /// Returns the reason an errno stands for where a process or namespace is read.
    pub fn of_errno(errno: i32) -> Self {
        match errno {
            libc::EPERM | libc::EACCES => Self::NotPermitted,
            libc::ENOSYS | libc::ENOTTY | libc::EOPNOTSUPP => Self::Unsupported,
            libc::EMFILE | libc::ENFILE => Self::NoDescriptors,
            other => Self::Failed(other),
        }
    }

    /// Returns a short name that never changes, for JSON keys.
    pub fn key(self) -> &'static str {
        match self {
            Self::NotPermitted => "not_permitted",
            Self::Outside => "outside",
            Self::Unsupported => "unsupported",
            Self::NoDescriptors => "no_descriptors",
            Self::NotAsked => "not_asked",
            Self::Zombie => "zombie",
            Self::Ending => "ending",
            Self::ForeignProc => "foreign_proc",
            Self::Unreachable => "unreachable",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotPermitted => "permission denied",
            Self::Outside => "outside our own namespaces",
            Self::Unsupported => "this kernel cannot tell",
            Self::NoDescriptors => "no file descriptor left",
            Self::NotAsked => "not asked for",
            Self::Ending => "it is ending, and has let go of it",
            Self::Zombie => "a zombie has let go of it",
            Self::ForeignProc => "our /proc shows another pid namespace",
            Self::Unreachable => "no path leads there",
            Self::Failed(errno) => return std::io::Error::from_raw_os_error(*errno).fmt(f),
        };
        f.write_str(text)
    }
}
