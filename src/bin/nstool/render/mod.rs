//! How answers are shown: data on stdout, talk on stderr.

pub(crate) mod advice;
pub(crate) mod columns;
pub(crate) mod fit;
pub(crate) mod hidden;
pub(crate) mod listing;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod quote;
pub(crate) mod report;

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use nstool::{Error, Result};

use crate::cli::ColorChoice;

/// What is known of where we print.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// Whether stdout takes colours.
    pub(crate) color: bool,
    /// Whether stderr takes colours.
    pub(crate) color_talk: bool,
    /// The width of stdout in columns, if it is a terminal.
    pub(crate) width: Option<usize>,
}

impl Terminal {
    /// Looks at stdout, stderr and the environment (NO_COLOR, TERM, COLUMNS).
    pub(crate) fn detect(choice: ColorChoice) -> Self {
        let wanted = |is_terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
                is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        let width = width_of(io::stdout());
        Self { color: wanted(width.is_some()), color_talk: wanted(io::stderr().is_terminal()), width }
    }
}

/// Returns the width of a stream in columns, if it is a terminal.
fn width_of(stream: impl IsTerminal + AsFd) -> Option<usize> {
    stream.is_terminal().then(|| {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let window = rustix::termios::tcgetwinsize(&stream).ok().map(|size| usize::from(size.ws_col));
        columns.or(window).filter(|width| *width > 0).unwrap_or(80)
    })
}

/// Writes `text` to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Judges how writing to stdout went. A reader that went away (a closed pipe) is no failure; that there never was one is,
/// and what was written is lost, though no call failed.
pub(crate) fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Ok(()) if nstool::stdout_was_closed() => Err(Error::system("cannot write to stdout", rustix::io::Errno::BADF)),
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::system("cannot write to stdout", error)),
        _ => Ok(()),
    }
}

/// Prints a JSON document. Control characters that JSON lets through become escapes, so that a name cannot drive the
/// terminal there either.
pub(crate) fn print_json(document: &serde_json::Value) -> Result<()> {
    use std::fmt::Write as _;
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Error::new(nstool::ErrorKind::System, "cannot write JSON").because(error))?;
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // Everything outside ASCII that is not harmless stands within a string, where an escape means the same.
        if c.is_ascii() || nstool::printable(c.encode_utf8(&mut [0; 4]).as_bytes()).chars().eq([c]) {
            safe.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(safe, "\\u{unit:04x}");
            });
        }
    }
    safe.push('\n');
    print(&safe)
}
