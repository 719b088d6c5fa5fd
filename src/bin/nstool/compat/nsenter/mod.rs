//! `nsenter`: a program in namespaces of other processes, as util-linux enters them.
//!
//! The library's enter does the work, to the letter: it opens everything before it acts, orders joins by ownership, and
//! reports a step's failure, which is worded here as nsenter words it.
//!
//! What differs, on purpose:
//! - signals are passed on to a forked program, and it ends with us: nsenter leaves it an orphan;
//! - the process is pinned by a pidfd, so that another with its number cannot take its place between two openings;
//! - with no supplementary groups there are none to drop, so that a user namespace which denies setgroups(2) is no
//!   failure;
//! - a user namespace in between is passed where it owns what is to be joined;
//! - a program below somebody else's root must not lead through a magic link of procfs (CVE-2019-5736);
//! - a number beyond 32 bits is refused, not cut;
//! - what newer releases know is understood too: `--env`, `--join-cgroup`, `--keep-caps`, `--net-socket`,
//!   `--user-parent`, `follow`, `--target PID:INODE`. Abbreviations mean what they mean in 2.38.1.

mod options;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nstool::enter::{Enter, Failed, Id, Outcome, Place};
use nstool::target::{Resolved, Target};
use nstool::{Error, NamespaceKind, printable};
use rustix::fs::{CWD, Mode, OFlags};

use self::options::Asked;
use super::command::no_such_id;
use super::{Refused, error_text};
use crate::entry::ExitCode;

const NAME: &str = "nsenter";

pub(super) fn run(words: &[OsString]) -> ExitCode {
    let asked = match Asked::read(words) {
        Ok(asked) => asked,
        Err(refused) => return refused.answer(NAME),
    };
    let number = |id| match id {
        Some(Id::Number(id)) => Some(id),
        _ => None,
    };
    if let Err(refused) = no_such_id(number(asked.request.uid), number(asked.request.gid)) {
        return refused.answer(NAME);
    }
    let enter = match Enter::prepare(asked.request.clone()) {
        Ok(enter) => enter,
        Err(error) => return unprepared(&asked, &error).answer(NAME),
    };
    match enter.attempt() {
        Ok(Outcome::Ended(ending) | Outcome::OutOfMemory(ending, _)) => ending.mirror(),
        Ok(_) => ExitCode::SUCCESS,
        Err(failed) if failed.status != 125 => asked.command.refused(NAME, failed.errno, failed.status),
        Err(failed) => in_its_words(&asked, &failed).answer(NAME),
    }
}

/// Says which of the paths cannot be opened.
fn unopened(paths: &[OsString]) -> Option<Refused> {
    paths.iter().find_map(|path| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let errno = rustix::fs::openat(CWD, path, flags, Mode::empty()).err()?;
        Some(Refused::system(format_args!("cannot open {}", printable(path.as_bytes())), errno.raw_os_error()))
    })
}

/// Words why nothing was begun: what nsenter would have found out, now or later.
fn unprepared(asked: &Asked, error: &Error) -> Refused {
    let request = &asked.request;
    if let (true, Some(Target::Process { pid, .. })) = (request.all, &request.target) {
        let path = format!("/proc/{pid}/ns/user");
        if let Err(errno) = rustix::fs::stat(&path) {
            return Refused::system(format_args!("stat of {path} failed"), errno.raw_os_error());
        }
    }
    if let Some(refused) = unopened(&asked.paths) {
        return refused;
    }
    let is_of_kind = |path: &std::path::PathBuf, kind: NamespaceKind| matches!(Target::Path(path.clone()).resolve(), Ok(Resolved::Namespace(found)) if found.kind() == kind);
    if let Some((kind, _)) = request.files.iter().find(|(kind, path)| !is_of_kind(path, *kind)) {
        return reassociate(*kind, libc::EINVAL);
    }
    for (place, name) in [(&request.root, "root"), (&request.directory, "working directory")] {
        if matches!(place, Place::Path(path) if !path.is_dir()) {
            return change_directory(name, libc::ENOTDIR);
        }
    }
    Refused::from(error)
}

fn reassociate(kind: NamespaceKind, errno: i32) -> Refused {
    Refused::system(format_args!("reassociate to namespace 'ns/{kind}' failed"), errno)
}

fn change_directory(name: &str, errno: i32) -> Refused {
    Refused::system(format_args!("change directory by {name} file descriptor failed"), errno)
}

/// Words that a directory may not be gone to, which nsenter finds out when it opens it.
fn closed(place: &Place, name: &str) -> Refused {
    match place {
        Place::Path(path) => {
            let path = printable(path.as_os_str().as_bytes()).into_owned();
            Refused::system(format_args!("cannot open {path}"), libc::EACCES)
        }
        _ => change_directory(name, libc::EACCES),
    }
}

fn in_its_words(asked: &Asked, failed: &Failed) -> Refused {
    let errno = failed.errno;
    let Some(step) = &failed.step else { return Refused::from(&failed.error) };
    match (step.action, step.namespace) {
        ("join", Some((kind, _))) => reassociate(kind, errno),
        ("chroot", _) if errno == libc::EACCES => closed(&asked.request.root, "root"),
        ("chdir", _) if errno == libc::EACCES && asked.request.inner_directory.is_none() => {
            closed(&asked.request.directory, "working directory")
        }
        ("chroot", _) if errno == libc::EPERM => Refused::system("chroot failed", errno),
        ("chroot", _) => change_directory("root", errno),
        ("chdir", _) if asked.request.inner_directory.is_some() && errno != libc::ENOTDIR => {
            Refused::system("cannot open current working directory", errno)
        }
        ("chdir", _) => change_directory("working directory", errno),
        ("fork", _) => Refused::system("fork failed", errno),
        ("groups", _) => Refused::system("setgroups failed", errno),
        ("gid", _) => Refused::system("setgid failed", errno),
        ("uid", _) => Refused::system("setuid failed", errno),
        _ => Refused::Message(format!("{}: {}", failed.error, error_text(errno))),
    }
}
