//! How answers are shown: data on stdout, talk on stderr.

pub(crate) mod advice;
pub(crate) mod columns;
pub(crate) mod hidden;
pub(crate) mod listing;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod quote;
pub(crate) mod report;

use std::io::{self, IsTerminal, Write};

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
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let width = is_terminal.then(|| {
            let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
            let window = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
            columns.or(window).filter(|width| *width > 0).unwrap_or(80)
        });
        Self { color: wanted(is_terminal), color_talk: wanted(io::stderr().is_terminal()), width }
    }
}

/// Breaks the lines that are longer than a terminal is wide, between words where they can be; what follows is indented by
/// so many columns.
pub(crate) fn folded(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width.filter(|width| *width > 2 * indent) else { return text.to_owned() };
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        let mut rest = line;
        let mut room = width;
        while let Some((end, _)) = rest.char_indices().nth(room) {
            let first_word = rest.len() - rest.trim_start().len();
            let space = rest[..end].rfind(' ').filter(|space| *space > first_word);
            let (here, next) = rest.split_at(space.unwrap_or(end));
            lines.push_str(here.trim_end());
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            rest = next.trim_start();
            room = width - indent;
        }
        lines.push_str(rest);
        lines.push('\n');
    }
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_lose_nothing() {
        let text = "  1  join one two three\nshort\naaaaaaaaaaaaaaaaaaaaa\n";
        assert_eq!(folded(text, None, 2), text);
        let expected = "  1  join one\n  two three\nshort\naaaaaaaaaaaaaaa\n  aaaaaa\n";
        assert_eq!(folded(text, Some(15), 2), expected);
        assert_eq!(folded("ä ö ü ä\n", Some(5), 1), "ä ö\n ü ä\n");
    }
}
