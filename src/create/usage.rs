//! What is asked for but can never work, refused before anything is looked at. Pure.

use super::request::{Propagation, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::kind::NamespaceKind::{self, Mnt, Net, Pid, Time, User, Uts};
use crate::printable;
use crate::sys::process::signal;

/// The longest host and domain name (`__NEW_UTS_LEN`).
const NAME_BYTES: usize = 64;

/// Refuses a request that contradicts itself.
///
/// # Errors
/// Always [`ErrorKind::Invalid`].
pub(super) fn check(request: &Request) -> Result<()> {
    let has = |kind| request.kinds.contains(kind);
    for (asked, option, kind, letter) in [
        (request.hostname.is_some(), "--hostname", Uts, 'u'),
        (request.domainname.is_some(), "--domainname", Uts, 'u'),
        (request.loopback_up, "--lo-up", Net, 'n'),
        (request.monotonic_seconds.is_some(), "--monotonic", Time, 'T'),
        (request.boottime_seconds.is_some(), "--boottime", Time, 'T'),
        (request.propagation.is_some(), "--propagation", Mnt, 'm'),
        (!request.operations.is_empty(), "setting up a filesystem", Mnt, 'm'),
        (request.root.as_ref().is_some_and(|root| root.pivot), "--pivot-root", Mnt, 'm'),
        (request.proc.is_some(), "--mount-proc", Mnt, 'm'),
        (request.binfmt.is_some(), "--mount-binfmt", Mnt, 'm'),
        // Registered elsewhere, it would be in force for the whole machine.
        (request.interpreter.is_some(), "--load-interp", User, 'U'),
        (request.init, "--init", Pid, 'p'),
        (request.no_fork, "--no-fork", Pid, 'p'),
        (!request.users.is_empty() || !request.groups.is_empty(), "an id map", User, 'U'),
        (request.setgroups.is_some(), "--setgroups", User, 'U'),
        (request.keep_capabilities, "--keep-caps", User, 'U'),
        (request.owner.is_some(), "--owner", User, 'U'),
        (request.userns_block_fd.is_some(), "--userns-block-fd", User, 'U'),
    ] {
        if asked && !has(kind) {
            return Err(needs(option, kind, letter));
        }
    }
    if request.interpreter.is_some() && request.binfmt.is_none() {
        return Err(refuse("--load-interp needs a binfmt_misc of its own", "add --mount-binfmt"));
    }
    if request.propagation == Some(Propagation::Shared) && request.root.as_ref().is_some_and(|root| root.pivot) {
        // The kernel takes no shared mount for a root (pivot_root(2)).
        return Err(refuse(
            "--pivot-root contradicts --propagation shared",
            "leave one of them away, or use --root (chroot)",
        ));
    }
    if request.no_fork && (request.fork || request.init) {
        return Err(refuse("--no-fork contradicts --fork and --init", "leave one of them away"));
    }
    for (name, option) in [(&request.hostname, "--hostname"), (&request.domainname, "--domainname")] {
        if let Some(name) = name.as_ref().map(|name| name.as_encoded_bytes())
            && (name.is_empty() || name.len() > NAME_BYTES)
        {
            let message = format!("{option} {:?} has {} bytes", printable(name), name.len());
            return Err(refuse(message, "a name has 1 to 64 bytes"));
        }
    }
    if let Some(number) = request.parent_death_signal.filter(|number| signal(*number).is_none()) {
        return Err(refuse(format!("there is no signal {number}"), "signals are 1 to 31 and SIGRTMIN to SIGRTMAX"));
    }
    maps(request)?;
    persistence(request)?;
    if request.command.is_empty() {
        return Err(refuse("there is no command to run", "name one behind `--`"));
    }
    Ok(())
}

/// Refuses what a process cannot do to itself.
///
/// # Errors
/// Always [`ErrorKind::Invalid`].
pub(super) fn check_in_place(request: &Request) -> Result<()> {
    let told = [request.info_fd, request.json_status_fd, request.userns_block_fd, request.sync_fd];
    if request.init || request.cgroup.is_some() || told.iter().any(Option::is_some) {
        return Err(refuse("this takes a child that is made with the namespaces", "do not create them in place"));
    }
    Ok(())
}

fn maps(request: &Request) -> Result<()> {
    if request.setgroups == Some(true) && request.groups.own_as.is_some() && request.groups.specs.is_empty() {
        return Err(refuse(
            "--setgroups allow contradicts a map of our own group alone",
            "leave it away, or map a range of groups (--map-groups, --map-auto)",
        ));
    }
    if request.userns_block_fd.is_some() && !(request.users.is_empty() && request.groups.is_empty()) {
        return Err(refuse(
            "--userns-block-fd leaves the id maps to somebody else, and a map can be written only once",
            "leave the --map-* options away",
        ));
    }
    Ok(())
}

fn persistence(request: &Request) -> Result<()> {
    for (index, (kind, file)) in request.persist.iter().enumerate() {
        let named = printable(file.as_os_str().as_encoded_bytes());
        if file.as_os_str().is_empty() {
            let option = long(*kind);
            return Err(refuse(
                format!("the file of the {kind} namespace has no name"),
                format!("name it: --{option}=FILE; or keep nothing: --{option}"),
            ));
        }
        if request.persist[..index].iter().any(|(_, other)| other == file) {
            return Err(refuse(format!("{named} is named for two namespaces"), "give each a file of its own"));
        }
        if *kind == Pid && request.no_fork {
            return Err(refuse("a pid namespace without a process cannot be kept", "leave --no-fork away"));
        }
    }
    Ok(())
}

fn needs(option: &str, kind: NamespaceKind, letter: char) -> Error {
    // It would change what the caller and everybody else in the same namespace see.
    refuse(format!("{option} needs a new {kind} namespace"), format!("add --{} (-{letter})", long(kind)))
}

/// Returns the name of the option that creates a namespace.
fn long(kind: NamespaceKind) -> &'static str {
    match kind {
        Mnt => "mount",
        _ => kind.name(),
    }
}

fn refuse(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message).with_hint(hint)
}
