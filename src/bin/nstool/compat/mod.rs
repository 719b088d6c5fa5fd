//! Drop-in names: called as one of util-linux's tools, nstool takes its command line and prints and exits as it does.
//!
//! Each tool's behaviour is that of Debian's util-linux 2.38.1, as its manual page and its runs show it.

mod getopt;
mod lsns;
mod table;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// A tool by its name; it is given its arguments, without the name.
type Tool = fn(&[OsString]) -> ExitCode;

const TOOLS: &[(&str, Tool)] = &[("lsns", lsns::run)];

/// Runs as the tool whose name we are called by, or that is our first argument; `None`: as nstool.
pub(crate) fn run(words: &[OsString]) -> Option<ExitCode> {
    let tool = |name: &OsStr| TOOLS.iter().find(|(tool, _)| name == *tool).map(|(_, run)| run);
    let own = words.first().and_then(|word| Path::new(word).file_name())?;
    if let Some(run) = tool(own) {
        return Some(run(&words[1..]));
    }
    let run = tool(words.get(1)?)?;
    Some(run(&words[2..]))
}

/// Prints `TOOL: MESSAGE` to stderr and returns the tools' exit status for a failure.
fn fail(tool: &str, message: &str) -> ExitCode {
    use std::io::Write as _;
    // If nobody can read it, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{tool}: {message}");
    ExitCode::FAILURE
}
