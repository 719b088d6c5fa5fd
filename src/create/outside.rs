//! Does the steps that are done from outside, for a child that waits.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use super::idmap::{IdKind, IdRange};
use super::inside::Prepared;
use super::plan::Action;
use super::request::Request;
use crate::error::{Error, ErrorKind};
use crate::exec::Ending;
use crate::id::Pid;
use crate::kind::{KindSet, NamespaceKind};
use crate::printable;
use crate::sys::create::{close_inherited, duplicate};

/// Writes a step's text to the child's file in /proc, or the child into a control group.
pub(super) fn write(step: &Prepared, child: Pid) -> io::Result<()> {
    let (path, text) = match &step.action {
        Action::WriteMap { kind, .. } => (format!("/proc/{child}/{}", kind.map_file()).into(), step.text.clone()),
        Action::SetGroupsPolicy(_) => (format!("/proc/{child}/setgroups").into(), step.text.clone()),
        Action::JoinCgroup(path) => (path.join("cgroup.procs"), child.to_string().into_bytes()),
        _ => return Ok(()),
    };
    // Whole in one call, as these files want it.
    OpenOptions::new().write(true).open(path)?.write_all(&text)
}

/// Returns the call of newuidmap(1) or newgidmap(1) that writes a map.
pub(super) fn helper_command(kind: IdKind, map: &[IdRange], child: Pid) -> Command {
    let mut command = Command::new(kind.helper());
    command.arg(child.to_string()).stdin(Stdio::null());
    for range in map {
        command.args([range.inner.to_string(), range.outer.to_string(), range.count.to_string()]);
    }
    command
}

/// Lets newuidmap(1) or newgidmap(1) write a map.
pub(super) fn run_helper(kind: IdKind, map: &[IdRange], child: Pid) -> Result<(), Error> {
    let mut command = helper_command(kind, map, child);
    let helper = kind.helper();
    let message = format!("cannot write {}", kind.map_file());
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, &message)
            .because(format!("without privileges it takes {helper}, which is not installed"))
            .with_hint("install the package uidmap (Debian) or shadow-utils; or map your own id alone (-r)"),
        _ => Error::system(&message, error),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = output.stderr.trim_ascii();
    let said = if said.is_empty() { b"it does not say why" } else { said };
    Err(Error::new(ErrorKind::NotPermitted, message)
        .because(format!("{helper} refused: {}", printable(said)))
        .with_hint(format!("it allows our own id and what {} gives us", kind.subid_file())))
}

/// Writes the child's number and new namespaces to the descriptors that want them, as bubblewrap does: an object over
/// several lines to the one, a line to the other.
pub(super) fn tell_child(request: &Request, kinds: KindSet, child: Pid) -> io::Result<()> {
    let mut fields = vec![format!("\"child-pid\": {child}")];
    // In alphabetical order, as the kinds are.
    for kind in kinds.iter() {
        let link = match kind {
            NamespaceKind::Time => "time_for_children",
            kind => kind.name(),
        };
        let inode = fs::metadata(format!("/proc/{child}/ns/{link}"))?.ino();
        fields.push(format!("\"{kind}-namespace\": {inode}"));
    }
    if let Some(fd) = request.info_fd {
        let mut text = String::from("{\n    ");
        let _ = write!(text, "{}\n}}\n", fields.join(",\n    "));
        write_to(fd, &text)?;
        // All is said, and who reads until the end may go on.
        if fd > 2 && request.json_status_fd != Some(fd) {
            close_inherited(fd);
        }
    }
    if let Some(fd) = request.json_status_fd {
        write_to(fd, &format!("{{ {} }}\n", fields.join(", ")))?;
    }
    Ok(())
}

/// Writes how the command ended. Whoever wanted to know may be gone.
pub(super) fn tell_ending(request: &Request, ending: Ending) {
    if let Some(fd) = request.json_status_fd {
        let status = match ending {
            Ending::Exited(status) => i32::from(status),
            Ending::Signaled(signal) => 128 + signal,
        };
        let _ = write_to(fd, &format!("{{ \"exit-code\": {status} }}\n"));
    }
}

fn write_to(fd: RawFd, text: &str) -> io::Result<()> {
    fs::File::from(duplicate(fd)?).write_all(text.as_bytes())
}
