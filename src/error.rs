//! The library's error: what failed, why, and what to do next.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// The result of the library's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is, for code that reacts to it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input makes no sense, whatever the machine looks like: a malformed target, filter, number.
    Invalid,
    /// The input makes sense, and what it names is there, but is not what it has to be: a namespace of another kind, a
    /// file that is no namespace, a path that is no mount point.
    Unsuitable,
    /// No such process, namespace, file or column.
    NotFound,
    /// It exists, but we may not read or do it.
    NotPermitted,
    /// It was there, and is gone: a process that ended meanwhile.
    Vanished,
    /// This kernel cannot do it.
    Unsupported,
    /// Any other refusal of the operating system.
    System,
}

/// A failure: [`Display`](fmt::Display) says in one line what failed, [`source`](StdError::source) why, and
/// [`hint`](Error::hint) what to do next.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    hint: Option<String>,
}

impl Error {
    /// Makes an error that says `message`: lower case, without a final stop; the caller has made foreign names
    /// [`printable`](crate::printable).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hint: None }
    }

    /// Makes an error of a failed system call; the kind follows from the errno, and where that is the same thing wherever
    /// it is met, a limit of descriptors, the hint too.
    pub fn system(message: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        let cause = cause.into();
        let kind = match cause.raw_os_error() {
            Some(libc::ENOENT) => ErrorKind::NotFound,
            Some(libc::ESRCH) => ErrorKind::Vanished,
            Some(libc::EPERM | libc::EACCES) => ErrorKind::NotPermitted,
            Some(libc::ENOSYS | libc::ENOTTY | libc::EOPNOTSUPP) => ErrorKind::Unsupported,
            _ => ErrorKind::System,
        };
        let hint = match cause.raw_os_error() {
            Some(libc::EMFILE) => Some("raise our limit of open files: `ulimit -n`".to_owned()),
            Some(libc::ENFILE) => Some("raise the machine's limit of open files: `sysctl fs.file-max`".to_owned()),
            _ => None,
        };
        Self { hint, ..Self::new(kind, message).because(cause) }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Adds what the user can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns what sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns what to do next, where there is something to do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
