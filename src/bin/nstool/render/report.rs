//! Errors and remarks, on stderr.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::Write as _;

use nstool::Error;
use nstool::proc::Proc;
use owo_colors::{OwoColorize, Style};

use super::{Terminal, fit, width_of};

/// Prints what failed, why, and what to do next.
pub(crate) fn error(error: &Error, terminal: &Terminal) {
    let mut text = String::new();
    line(&mut text, "error:", &error.to_string(), Style::new().red().bold(), terminal);
    let mut cause = error.source();
    while let Some(next) = cause {
        line(&mut text, "cause:", &next.to_string(), Style::new().yellow(), terminal);
        cause = next.source();
    }
    if let Some(hint) = error.hint() {
        line(&mut text, "hint: ", hint, Style::new().cyan(), terminal);
    }
    say(&text);
}

/// Prints a remark that is no failure.
pub(crate) fn note(message: &str, terminal: &Terminal) {
    let mut text = String::new();
    line(&mut text, "note: ", message, Style::new().cyan(), terminal);
    say(&text);
}

/// Prints what to do about what was said before.
pub(crate) fn hint(hint: &str, terminal: &Terminal) {
    let mut text = String::new();
    line(&mut text, "hint: ", hint, Style::new().cyan(), terminal);
    say(&text);
}

/// Says that the numbers of processes are not ours, if /proc shows those of an outer pid namespace.
pub(crate) fn whose_numbers(terminal: &Terminal) {
    if let Some(trouble) = Proc::trouble() {
        note(&format!("{trouble}; the process ids above are its own"), terminal);
    }
}

fn line(text: &mut String, label: &str, message: &str, style: Style, terminal: &Terminal) {
    let hang = fit::hang();
    let indented = message.replace('\n', &format!("\n       {hang}"));
    let _ = if terminal.color_talk {
        writeln!(text, "{} {hang}{indented}", label.style(style))
    } else {
        writeln!(text, "{label} {hang}{indented}")
    };
}

/// Writes to stderr; if nobody can read it, there is nobody to tell.
fn say(text: &str) {
    let fitted = fit::folded(text, width_of(std::io::stderr()), 7);
    let _ = std::io::stderr().lock().write_all(fitted.as_bytes());
}
