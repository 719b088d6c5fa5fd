//! `unshare`: a program in new namespaces, as util-linux makes them.
//!
//! The library's create does the work in place: this process itself moves into the namespaces, so that whoever knows its
//! number finds them there. A step's failure is worded here as unshare words it.
//!
//! What differs, on purpose:
//! - `--kill-child` kills the child after `--setuid` too; of a real-time signal, nothing may stand behind the number;
//! - a child killed by SIGKILL is reported as such;
//! - `--setgroups deny` goes with a map of our own group, and with `--map-auto`;
//! - a namespace is kept at its file together with a new user namespace too;
//! - an overlap of our own id with a range of ids loses none of them;
//! - root writes maps of many ids itself, for which newuidmap(1) would want an entry in /etc/subuid;
//! - a relative `--wd` is looked up in the new root, not left outside of it;
//! - if a child stops, so do we, and shells notice;
//! - what newer releases know is understood too: `--forward-signals`, `--load-interp`, `--map-subids`,
//!   `--mount-binfmt`, `--owner`, and maps as `INNER:OUTER:COUNT`, `subids` and `all`, which add up. Abbreviations mean
//!   what they mean in 2.38.1.

mod options;

use std::ffi::OsString;

use nstool::create::{Action, Facts, MapWriter, Plan, Stop, apply};
use nstool::{NamespaceKind, printable};

use self::options::Asked;
use super::Refused;
use super::command::no_such_id;
use crate::entry::ExitCode;

const NAME: &str = "unshare";

pub(super) fn run(words: &[OsString]) -> ExitCode {
    let asked = match Asked::read(words) {
        Ok(asked) => asked,
        Err(refused) => return refused.answer(NAME),
    };
    let request = &asked.request;
    if let Err(refused) = no_such_id(request.user, request.group) {
        return refused.answer(NAME);
    }
    let planned = Facts::gather(request).and_then(|facts| Plan::new(request, &facts));
    let prepared = planned.map_err(|error| Refused::from(&error));
    let (plan, program) = match prepared.and_then(|plan| Ok((plan, asked.command.program()?))) {
        Ok(prepared) => prepared,
        Err(refused) => return refused.answer(NAME),
    };
    match apply(request, &plan, program, &mut |_| {}) {
        Ok(ending) => ending.mirror(),
        Err(stop) => match stop.failed.as_deref() {
            Some((Action::Exec(_), errno)) => asked.command.refused(NAME, *errno, stop.status),
            _ => in_its_words(&asked, &stop).answer(NAME),
        },
    }
}

fn in_its_words(asked: &Asked, stop: &Stop) -> Refused {
    let Some((action, errno)) = stop.failed.as_deref() else { return Refused::from(&stop.error) };
    let errno = *errno;
    // A program that was called has said why.
    if errno == 0 {
        return Refused::Silent;
    }
    let message = match action {
        Action::Create { .. } | Action::CreateLater(_) => "unshare failed".to_owned(),
        Action::Fork => "fork failed".to_owned(),
        Action::SetGroupsPolicy(_) => "write failed /proc/self/setgroups".to_owned(),
        Action::WriteMap { writer: MapWriter::Helper, kind, .. } => format!("failed to execute {}", kind.helper()),
        Action::WriteMap { kind, .. } => format!("write failed /proc/self/{}", kind.map_file()),
        Action::Persist(kind, file) => {
            let link = match kind {
                NamespaceKind::Pid | NamespaceKind::Time => format!("{kind}_for_children"),
                kind => kind.to_string(),
            };
            let file = printable(file.as_os_str().as_encoded_bytes());
            format!("mount /proc/{}/ns/{link} on {file} failed", std::process::id())
        }
        Action::Offset(..) => "failed to write to /proc/self/timens_offsets".to_owned(),
        Action::Propagate(_) => "cannot change root filesystem propagation".to_owned(),
        Action::OpenRoot { dir, .. } => format!("cannot change root directory to '{}'", printable(dir.to_bytes())),
        Action::ChangeRoot { .. } => {
            let dir = asked.request.root.as_ref().map(|root| printable(root.dir.to_bytes()).into_owned());
            format!("cannot change root directory to '{}'", dir.unwrap_or_default())
        }
        Action::ChangeDirectory(dir) => format!("cannot chdir to '{}'", printable(dir.to_bytes())),
        Action::MountProc(dir) => format!("mount {} failed", printable(dir.to_bytes())),
        // Whoever may not set a group cannot drop the others either, and that comes first.
        Action::SetGroup { .. } if errno == libc::EPERM => "setgroups failed".to_owned(),
        Action::SetGroup { .. } => "setgid failed".to_owned(),
        Action::SetUser(_) => "setuid failed".to_owned(),
        Action::Keep { .. } => "capset failed".to_owned(),
        _ => stop.error.to_string(),
    };
    Refused::system(message, errno)
}
