//! The command that nsenter and unshare run, with all that they hand on to it: environment and descriptors as they are.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nstool::exec::Program;
use nstool::printable;

use super::{Refused, error_text};
use crate::entry::ExitCode;

/// What is run.
pub(super) struct Command {
    /// As it is called in messages.
    name: Vec<u8>,
    words: Vec<OsString>,
}

impl Command {
    /// Takes the words that were given; without any, $SHELL or /bin/sh as a login shell.
    pub(super) fn new(words: Vec<OsString>) -> Self {
        let name = words.first().cloned();
        let name = name.or_else(|| std::env::var_os("SHELL")).unwrap_or_else(|| "/bin/sh".into());
        Self { name: name.into_vec(), words }
    }

    /// Prepares it.
    pub(super) fn program(&self) -> Result<Program, Refused> {
        let environment: Vec<_> = std::env::vars_os().collect();
        let program = if self.words.is_empty() {
            Program::login_shell(std::slice::from_ref(&self.name), &environment)
        } else {
            Program::new(&self.words, &environment)
        };
        program.map(Program::inheriting).map_err(|error| Refused::from(&error))
    }

    /// Says why it could not be executed.
    pub(super) fn refused(&self, tool: &str, errno: i32, status: u8) -> ExitCode {
        let _ = super::fail(tool, &format!("failed to execute {}: {}", printable(&self.name), error_text(errno)));
        ExitCode::from(status)
    }
}

/// Reads a number as strtoul(3) does, whose negative numbers count from the end.
pub(super) fn number(text: &OsString) -> Option<u32> {
    let text = std::str::from_utf8(text.as_bytes()).ok()?.trim_ascii_start();
    match text.strip_prefix('-') {
        Some(digits) => digits.parse().ok().map(u32::wrapping_neg),
        None => text.parse().ok(),
    }
}

/// Refuses the last number, which to setresuid(2) is "leave it as it is", and to these tools no id.
pub(super) fn no_such_id(uid: Option<u32>, gid: Option<u32>) -> Result<(), Refused> {
    // In the order in which they would be set.
    match [(gid, "setgid"), (uid, "setuid")].into_iter().find(|(id, _)| *id == Some(u32::MAX)) {
        Some((_, call)) => Err(Refused::system(format_args!("{call} failed"), libc::EINVAL)),
        None => Ok(()),
    }
}
