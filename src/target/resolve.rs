//! Turns a TARGET into pinned descriptors.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::namespace::PinnedNamespace;
use super::process::PinnedProcess;
use super::{Target, search};
use crate::error::{Error, ErrorKind, Result};
use crate::kind::NamespaceKind;
use crate::printable;
use crate::proc::Proc;
use crate::sys::{handle, nsfs};

/// Where `ip netns add` binds the network namespaces it names.
const NETNS_DIR: &str = "/run/netns";

/// What a [`Target`] turned out to be, held by descriptors.
#[derive(Debug)]
pub enum Resolved {
    /// A process or thread, with all its namespaces.
    Process(PinnedProcess),
    /// One namespace.
    Namespace(PinnedNamespace),
}

impl Target {
    /// Finds the target and pins it: a process by pidfd and its directory in procfs, a namespace by a descriptor.
    ///
    /// # Errors
    /// Nothing of that name, a process that ended or whose number is another's now, a path that is no namespace file.
    /// Each has a hint.
    pub fn resolve(&self) -> Result<Resolved> {
        match self {
            Self::Process { .. } | Self::Myself => self.resolve_with(Proc::open().ok().as_ref()),
            _ => self.resolve_with(None),
        }
    }

    /// Pins the target where it is a process that has ended and was not reaped, which [`resolve`](Self::resolve) refuses.
    pub fn resolve_zombie(&self) -> Option<PinnedProcess> {
        match self {
            Self::Process { pid, pidfd_inode } => PinnedProcess::open_zombie(*pid, *pidfd_inode),
            _ => None,
        }
    }

    /// Resolves it with a `/proc` that is open already, where a process is wanted.
    pub(crate) fn resolve_with(&self, proc: Option<&Proc>) -> Result<Resolved> {
        match self {
            Self::Process { pid, pidfd_inode } => {
                PinnedProcess::open_with(proc, *pid, *pidfd_inode).map(Resolved::Process)
            }
            Self::Myself => {
                let pid = rustix::process::getpid().as_raw_nonzero().get();
                PinnedProcess::open_with(proc, pid, None).map(Resolved::Process)
            }
            Self::Namespace { ino, kind } => search::find(*ino, *kind).map(Resolved::Namespace),
            Self::Path(path) => open_path(path).map(Resolved::Namespace),
            Self::NetnsName(name) => {
                let namespace =
                    open_path(&Path::new(NETNS_DIR).join(name)).map_err(|error| unknown_name(name, error))?;
                require_kind(namespace, NamespaceKind::Net, name.as_bytes()).map(Resolved::Namespace)
            }
        }
    }
}

/// Opens the namespace file at `path`. Where the kernel can (Linux 6.18), what is returned does not keep busy the mount
/// that the path leads to.
///
/// # Errors
/// It is not there, or is no namespace file.
pub fn open_path(path: &Path) -> Result<PinnedNamespace> {
    let shown = printable(path.as_os_str().as_encoded_bytes());
    let cannot_open = |errno| {
        let error = Error::system(format!("cannot open {shown}"), errno);
        match errno {
            rustix::io::Errno::ACCESS if path.starts_with("/proc") => {
                error.with_hint("a process's namespaces are open to root and, mostly, to its own user")
            }
            rustix::io::Errno::ACCESS => error.with_hint("run nstool as root"),
            _ => error,
        }
    };
    // O_PATH first: opening what is no namespace file could block (a fifo) or have effects (a device).
    let path_fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(cannot_open)?;
    let examine = |errno| Error::system(format!("cannot examine {shown}"), errno);
    let statfs = rustix::fs::fstatfs(&path_fd).map_err(examine)?;
    if statfs.f_type as u64 != nsfs::NSFS_MAGIC {
        let stat = rustix::fs::fstat(&path_fd).map_err(examine)?;
        return Err(no_namespace(path, FileType::from_raw_mode(stat.st_mode)));
    }
    // The path again instead of /proc/self/fd, which may not be there; what it gives is examined again.
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        .map_err(cannot_open)?;
    match nsfs::kind(fd.as_fd()) {
        Ok(_) => PinnedNamespace::new(handle::without_mount(fd))
            .map_err(|error| Error::system(format!("cannot examine {shown}"), error)),
        Err(_) => Err(no_namespace(path, FileType::Unknown)),
    }
}

fn no_namespace(path: &Path, kind: FileType) -> Error {
    let shown = printable(path.as_os_str().as_encoded_bytes());
    let error = Error::new(ErrorKind::Unsuitable, format!("{shown} is no namespace file"));
    let named = path.starts_with(NETNS_DIR) || path.starts_with("/var/run/netns");
    match kind {
        FileType::RegularFile if named => error
            .because("it is a plain file: its bind mount was removed, or lives in another mount namespace")
            .with_hint(format!(
                "`nstool ls -t net` shows every network namespace; if nothing uses the name, `rm {shown}` removes it"
            )),
        FileType::RegularFile => error.because(
            "it is a plain file; a namespace that was bound there was unmounted, or is bound in another mount namespace",
        ),
        FileType::Directory => error.because("it is a directory").with_hint("namespace files are such as /proc/7/ns/net"),
        _ => error.with_hint("namespace files are such as /proc/7/ns/net and /run/netns/blue"),
    }
}

fn unknown_name(name: &str, error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let shown = printable(name.as_bytes());
    Error::new(ErrorKind::NotFound, format!("no network namespace is named {shown}"))
        .because(io::Error::other(format!("{NETNS_DIR}/{shown} does not exist")))
        .with_hint("`nstool ls -t net` shows every network namespace and its names")
}

/// Checks that a namespace is of the kind that is wanted.
///
/// # Errors
/// It is of another kind.
pub fn require_kind(namespace: PinnedNamespace, kind: NamespaceKind, name: &[u8]) -> Result<PinnedNamespace> {
    let found = namespace.kind();
    if found == kind {
        return Ok(namespace);
    }
    let message = format!("{} is a {found} namespace, not a {kind} namespace", printable(name));
    Err(Error::new(ErrorKind::Unsuitable, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Resolved> {
        text.parse::<Target>().unwrap().resolve()
    }

    fn own_net() -> u64 {
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").unwrap())
    }

    #[test]
    fn ourselves_and_our_namespaces_are_found_in_every_way() {
        assert!(matches!(resolve("self").unwrap(), Resolved::Process(process) if process.name().is_some()));
        let ino = own_net();
        for text in [format!("ns:{ino}"), format!("net:[{ino}]"), "/proc/self/ns/net".to_owned()] {
            let Resolved::Namespace(namespace) = resolve(&text).unwrap() else { panic!("{text}") };
            assert_eq!((namespace.id().ino, namespace.kind()), (ino, NamespaceKind::Net), "{text}");
        }
    }

    #[test]
    fn a_namespace_of_another_kind_is_not_what_was_asked_for() {
        assert_eq!(resolve(&format!("mnt:[{}]", own_net())).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_not_there_or_no_namespace_is_said_with_a_hint() {
        for (text, kind, part) in [
            ("999999999", ErrorKind::NotFound, "no process 999999999"),
            ("ns:1", ErrorKind::NotFound, "no namespace 1 found"),
            ("netns:no-such-name", ErrorKind::NotFound, "is named no-such-name"),
            ("/proc/self/status", ErrorKind::Unsuitable, "is no namespace file"),
            ("/proc", ErrorKind::Unsuitable, "is no namespace file"),
            ("/no/such/file", ErrorKind::NotFound, "cannot open /no/such/file"),
        ] {
            let error = resolve(text).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_plain_file_among_the_names_is_said_to_be_one() {
        let error = no_namespace(Path::new("/run/netns/blue"), FileType::RegularFile);
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("its bind mount"));
        assert!(error.hint().unwrap().contains("rm /run/netns/blue"));
    }
}
