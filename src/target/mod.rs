//! TARGET: how commands name a process or a namespace, the same everywhere.
//!
//! [`Target`] is what was typed, parsed once at the edge; [`Target::resolve`] turns it into pinned descriptors: a
//! [`PinnedProcess`] or a [`PinnedNamespace`].

pub(crate) mod by_handle;
mod namespace;
mod process;
mod resolve;
mod search;

pub use namespace::PinnedNamespace;
pub use process::PinnedProcess;
pub use resolve::{Resolved, open_path, require_kind};

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::id::Pid;
use crate::kind::NamespaceKind;

/// A process or a namespace, as typed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `PID`, or `PID:INODE` with the inode of its pidfd, which is safe against reuse of the number (since Linux 6.9).
    Process {
        /// The process id.
        pid: Pid,
        /// The pidfd's inode it must have.
        pidfd_inode: Option<u64>,
    },
    /// `self`: nstool's own process.
    Myself,
    /// `ns:INODE`, or a link's text such as `net:[4026531833]`.
    Namespace {
        /// The inode.
        ino: u64,
        /// The kind, if told.
        kind: Option<NamespaceKind>,
    },
    /// A path of a namespace file, such as `/run/netns/blue` or `/proc/7/ns/net`; it holds a slash.
    Path(PathBuf),
    /// `netns:NAME` or `net:NAME`: a network namespace that `ip netns` named.
    NetnsName(String),
}

const FORMS: &str = "a target is PID, PID:INODE, self, ns:INODE, a path such as /run/netns/blue, or netns:NAME";

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::new(ErrorKind::Invalid, format!("malformed target {text:?}")).with_hint(FORMS);
        if text == "self" {
            return Ok(Self::Myself);
        }
        if text.contains('/') {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        if let Some((kind, ino)) = NamespaceKind::parse_link(text.as_bytes()) {
            return Ok(Self::Namespace { ino, kind: Some(kind) });
        }
        if let Some(ino) = text.strip_prefix("ns:") {
            let ino = ino.parse().map_err(|_| invalid())?;
            return Ok(Self::Namespace { ino, kind: None });
        }
        if let Some(name) = text.strip_prefix("netns:").or_else(|| text.strip_prefix("net:")) {
            // A name is one component below /run/netns; "." and ".." would lead elsewhere.
            if matches!(name, "" | "." | "..") {
                return Err(invalid());
            }
            return Ok(Self::NetnsName(name.to_owned()));
        }
        let (pid, pidfd_inode) = match text.split_once(':') {
            Some((pid, inode)) => (pid, Some(inode.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        Ok(Self::Process { pid: parse_pid(pid).ok_or_else(invalid)?, pidfd_inode })
    }
}

/// Parses a process id strictly: decimal digits alone, above 0.
pub fn parse_pid(text: &str) -> Option<Pid> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|pid| digits && *pid > 0)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, pidfd_inode: None } => write!(f, "process {pid}"),
            Self::Process { pid, pidfd_inode: Some(inode) } => write!(f, "process {pid}:{inode}"),
            Self::Myself => f.write_str("self"),
            Self::Namespace { ino, kind: Some(kind) } => write!(f, "{kind} namespace {ino}"),
            Self::Namespace { ino, kind: None } => write!(f, "namespace {ino}"),
            Self::Path(path) => {
                let path = path.as_os_str().as_encoded_bytes();
                write!(f, "{}", crate::printable(path))
            }
            Self::NetnsName(name) => write!(f, "network namespace {}", crate::printable(name.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        for (text, target) in [
            ("42", Target::Process { pid: 42, pidfd_inode: None }),
            ("42:7", Target::Process { pid: 42, pidfd_inode: Some(7) }),
            ("self", Target::Myself),
            ("ns:4026531833", Target::Namespace { ino: 4_026_531_833, kind: None }),
            ("net:[5]", Target::Namespace { ino: 5, kind: Some(NamespaceKind::Net) }),
            ("/proc/7/ns/net", Target::Path("/proc/7/ns/net".into())),
            ("./blue", Target::Path("./blue".into())),
            ("netns:blue", Target::NetnsName("blue".into())),
            ("net:blue", Target::NetnsName("blue".into())),
        ] {
            assert_eq!(text.parse::<Target>().unwrap(), target);
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_forms() {
        for text in ["", "0", "-1", "+1", "4x", "42:", "42:x", "ns:", "ns:x", "netns:", "netns:..", "99999999999"] {
            let error = text.parse::<Target>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert!(error.hint().unwrap().contains("PID:INODE"));
        }
    }
}
