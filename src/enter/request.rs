//! What was asked for: the options of `nstool enter` as plain data.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

use crate::kind::{KindSet, NamespaceKind};
use crate::target::Target;

/// A request to join namespaces and run a command there.
///
/// ```
/// use nstool::enter::Request;
/// let mut request = Request::new("4242".parse()?);
/// request.command = vec!["ip".into(), "addr".into()];
/// # Ok::<(), nstool::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The process or namespace; without one, only `files` can be joined.
    pub target: Option<Target>,
    /// The kinds to take from the target process; empty with no `files` and no `socket` means every kind that differs
    /// from ours.
    pub kinds: KindSet,
    /// Every kind, besides the `files`.
    pub all: bool,
    /// Namespace files to join, one for a kind.
    pub files: Vec<(NamespaceKind, PathBuf)>,
    /// The descriptor of a socket of the target, whose network namespace is joined (since Linux 5.6).
    pub socket: Option<RawFd>,
    /// Joins the parent of the user namespace instead of it.
    pub user_parent: bool,
    /// The user id to take.
    pub uid: Option<Id>,
    /// The group id to take; supplementary groups are dropped then.
    pub gid: Option<Id>,
    /// Leaves user and group ids as they are when a user namespace is joined.
    pub preserve_credentials: bool,
    /// Makes the capabilities gained in the user namespace last beyond the change of ids.
    pub keep_capabilities: bool,
    /// The root directory.
    pub root: Place,
    /// The working directory, opened before joining.
    pub directory: Place,
    /// The working directory, looked up after joining.
    pub inner_directory: Option<PathBuf>,
    /// Which environment the command gets.
    pub environment: Environment,
    /// Variables set on top of that.
    pub variables: Vec<(OsString, OsString)>,
    /// Does not fork even if a pid namespace is joined: the command stays outside it, its children are born inside.
    pub no_fork: bool,
    /// Lets the command run on by itself.
    pub background: bool,
    /// Passes a terminal through instead of setting a pseudo-terminal between.
    pub no_pty: bool,
    /// Descriptors above 2 that the command keeps.
    pub keep_descriptors: Vec<RawFd>,
    /// Joins the target's control groups, version 1 and 2.
    pub cgroup: bool,
    /// Takes the target's SELinux context.
    pub selinux: bool,
    /// Lives under the target's restrictions: control groups, limits, no_new_privs, label, and the capability bounding set:
    /// of a target that is root, as the command is, what that holds of it; and, unless ids are asked for or preserved, as
    /// its user and groups. Neither a seccomp filter nor securebits can be copied.
    pub confined: bool,
    /// The command and its arguments; none means a login shell.
    pub command: Vec<OsString>,
    /// Finds out what is not joined, which costs a few reads.
    pub verbose: bool,
    /// Does what is asked for, to the letter, as nsenter(1) does: joins only what is named (with `all`, not the user
    /// namespace that is ours already), again where we are in it; leaves the root to setns(2) unless one is named, and the
    /// working directory where it is; in a user namespace drops groups or fails; lets the kernel judge; and hands every
    /// open descriptor on. Without a command it runs $SHELL or /bin/sh; without target and namespace, just the command.
    pub literal: bool,
}

impl Request {
    /// Makes a request to join what differs between us and `target`, and run a login shell.
    pub fn new(target: Target) -> Self {
        Self { target: Some(target), ..Self::default() }
    }
}

/// A user or group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Id {
    /// This one, as the joined user namespace numbers it.
    Number(u32),
    /// The target's.
    Follow,
}

/// A directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// With a mount namespace joined, the target's root; otherwise ours, unchanged.
    #[default]
    Unasked,
    /// The target's.
    OfTarget,
    /// This one, as we see it before joining.
    Path(PathBuf),
}

/// Which environment a command gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Environment {
    /// The target's if its mount namespace is joined, otherwise ours.
    #[default]
    Unasked,
    /// The target's, as it was when its program was executed, and our TERM. Where the files stay ours, without what would
    /// let it choose which of them a program is or loads: PATH, `LD_*` and the like; but to the letter
    /// ([`Request::literal`]) all of it.
    Target,
    /// Ours.
    Keep,
    /// TERM, a usual PATH, and HOME, USER, LOGNAME and SHELL from the user's passwd entry.
    Clean,
}
