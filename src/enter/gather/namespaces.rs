//! Finds the namespaces that are asked for: those of a process, of files, of a socket.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::name::TargetName;
use super::super::request::Request;
use super::ownership::own_id;
use crate::error::{Error, ErrorKind, Result};
use crate::kind::{KindSet, NamespaceKind, NamespaceLink};
use crate::printable;
use crate::sys::handle::Handle;
use crate::sys::{pidfd, socket};
use crate::target::{PinnedNamespace, PinnedProcess, open_path};

/// Opens a namespace file, or `:ID`, the namespace with that unique id.
pub(super) fn open_file(path: &Path) -> Result<PinnedNamespace> {
    let Some(id) = path.as_os_str().as_bytes().strip_prefix(b":") else { return open_path(path) };
    let shown = printable(id);
    let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).filter(|id| *id != 0);
    let id = id.ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("malformed namespace id {shown}"))
            .with_hint("`:ID` is the unique id that the kernel gives a namespace, a number")
    })?;
    Handle::by_id(id).open().and_then(PinnedNamespace::new).map_err(|error| {
        Error::system(format!("cannot open the namespace with id {id}"), error).with_hint(
            "it is gone, we have no rights over its owner, or the kernel is older than 6.19: name a file or a process",
        )
    })
}

pub(super) fn from_process(request: &Request, process: &PinnedProcess, found: &mut Vec<PinnedNamespace>) -> Result<()> {
    let explicit = !request.kinds.is_empty() || !request.files.is_empty() || request.socket.is_some();
    let every = request.all || !explicit && !request.literal;
    let mut wanted = if every { KindSet::ALL } else { request.kinds };
    if request.user_parent {
        wanted = wanted.with(NamespaceKind::User);
    }
    for (kind, _) in &request.files {
        wanted = wanted.without(*kind);
    }
    if let Some(number) = request.socket {
        wanted = wanted.without(NamespaceKind::Net);
        found.push(network_of_socket(process, number)?);
    }
    for kind in wanted.iter() {
        match process.namespace(NamespaceLink::Own(kind)) {
            // The kernel lets nobody join it anew, since that would give capabilities back (setns(2)).
            Ok(user) if request.literal && every && kind == NamespaceKind::User && Some(user.id()) == own_id(kind) => {}
            Ok(namespace) => found.push(namespace),
            // A kernel without this kind has nothing to join.
            Err(error) if every && error.raw_os_error() == Some(libc::ENOENT) && own_id(kind).is_none() => {}
            Err(error) => return Err(process.cannot(&format!("open the {kind} namespace"), error)),
        }
    }
    Ok(())
}

fn network_of_socket(process: &PinnedProcess, number: i32) -> Result<PinnedNamespace> {
    let pid = process.pid();
    let Some(duplicate) = process.pidfd().and_then(|pidfd| pidfd::getfd(pidfd, number)) else {
        let message = format!("cannot take descriptor {number} of process {pid}");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .because("this kernel cannot duplicate another process's descriptors (Linux 5.6 can)"));
    };
    let duplicate = duplicate.map_err(|error| process.cannot(&format!("duplicate descriptor {number}"), error))?;
    let namespace = socket::network_namespace(duplicate.as_fd()).and_then(PinnedNamespace::new);
    namespace.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTTY) => {
            Error::new(ErrorKind::Unsuitable, format!("descriptor {number} of process {pid} is no network socket"))
        }
        _ => process.cannot(&format!("find the network namespace of socket {number}"), error),
    })
}

pub(super) fn to_parent(found: &mut [PinnedNamespace], target: &TargetName) -> Result<()> {
    let Some(user) = found.iter_mut().find(|namespace| namespace.kind() == NamespaceKind::User) else {
        let message = "--user-parent needs a user namespace whose parent to join";
        return Err(Error::new(ErrorKind::Invalid, message).with_hint("give -U, or a file: --user=/proc/7/ns/user"));
    };
    let ino = user.id();
    *user = user.parent().map_err(|error| {
        let message = format!("cannot join the parent of user namespace {ino} of {target}");
        Error::system(message, error).with_hint("it has none, or its parent lies outside our own user namespace")
    })?;
    Ok(())
}
