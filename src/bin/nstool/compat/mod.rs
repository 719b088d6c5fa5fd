//! Drop-in names: called as one of util-linux's tools, nstool takes its command line and prints and exits as it does.
//!
//! Each tool's behaviour is that of Debian's util-linux 2.38.1, as its manual page and its runs show it; where that is
//! not followed, the tool's module says so.

mod command;
mod getopt;
mod lsns;
mod nsenter;
mod table;
mod unshare;

use std::ffi::{OsStr, OsString};
use std::io;
use std::num::{IntErrorKind, ParseIntError};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use nstool::printable;

use crate::entry::ExitCode;

/// A tool by its name; it is given its arguments, without the name.
type Tool = fn(&[OsString]) -> ExitCode;

const TOOLS: &[(&str, Tool)] = &[("lsns", lsns::run), ("nsenter", nsenter::run), ("unshare", unshare::run)];

/// Runs as the tool whose name we are called by, or that is our first argument; `None`: as nstool.
pub(crate) fn run(words: &[OsString]) -> Option<ExitCode> {
    let tool = |name: &OsStr| TOOLS.iter().find(|(tool, _)| name == *tool).map(|(_, run)| run);
    let own = words.first().and_then(|word| Path::new(word).file_name())?;
    if let Some(run) = tool(own) {
        return Some(run(&words[1..]));
    }
    // The one of these names that is a command of nstool's own stays that.
    let run = tool(words.get(1).filter(|word| *word != "unshare")?)?;
    Some(run(&words[2..]))
}

/// Why a tool does not do what it is for.
enum Refused {
    /// getopt's message: the help is pointed to.
    Usage(String),
    Message(String),
    /// Without a word.
    Silent,
    /// It is no failure: this was asked for instead.
    Said(String),
}

impl Refused {
    /// Makes the answer to `--version`.
    fn version(tool: &str) -> Self {
        Self::Said(format!("{tool} from nstool {}, as util-linux 2.38.1\n", env!("CARGO_PKG_VERSION")))
    }

    /// Makes a message that ends with the errno's.
    fn system(message: impl std::fmt::Display, errno: i32) -> Self {
        Self::Message(format!("{message}: {}", error_text(errno)))
    }

    /// Says so, and returns the exit status.
    fn answer(&self, tool: &str) -> ExitCode {
        match self {
            Self::Usage(message) => {
                let called = called(tool);
                fail(&printable(called.as_bytes()), &format!("{message}\nTry '{tool} --help' for more information."))
            }
            Self::Message(message) => fail(tool, message),
            Self::Silent => ExitCode::FAILURE,
            Self::Said(text) => match crate::render::print(text) {
                // Where there is no stdout, nobody misses it.
                Err(error) if errno_of(&error) != Some(libc::EBADF) => {
                    let cause = errno_of(&error).map_or_else(|| error.to_string(), error_text);
                    fail(tool, &format!("write error: {cause}"))
                }
                _ => ExitCode::SUCCESS,
            },
        }
    }
}

/// Returns what the tool was called as, which stands before getopt's messages.
fn called(tool: &str) -> OsString {
    let called = std::env::args_os().next().filter(|called| Path::new(called).file_name() == Some(tool.as_ref()));
    called.unwrap_or_else(|| tool.into())
}

/// Prints `TOOL: MESSAGE` to stderr and returns the tools' exit status for a failure.
fn fail(tool: &str, message: &str) -> ExitCode {
    use std::io::Write as _;
    // If nobody can read it, there is nobody to tell.
    let _ = writeln!(io::stderr(), "{tool}: {message}");
    ExitCode::FAILURE
}

/// Reads a number as strtol(3) does, behind blanks; `message` says that it is none, or is too big.
fn decimal<T: FromStr<Err = ParseIntError>>(text: &str, message: &str) -> Result<T, Refused> {
    text.trim_ascii_start().parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Refused::system(message, libc::ERANGE),
        _ => Refused::Message(message.to_owned()),
    })
}

impl From<&nstool::Error> for Refused {
    /// Takes the library's words, where the tool has none of its own, and the cause.
    fn from(error: &nstool::Error) -> Self {
        match errno_of(error) {
            Some(errno) => Self::system(error, errno),
            None => Self::Message(error.to_string()),
        }
    }
}

/// Returns the errno that caused an error.
fn errno_of(error: &nstool::Error) -> Option<i32> {
    use std::error::Error as _;
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(io::Error::raw_os_error)
}

/// Returns the errno's text as strerror(3) has it.
fn error_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.rsplit_once(" (os error").map_or(text.clone(), |(text, _)| text.to_owned())
}
