//! Words for why a process cannot be looked into.

use std::io;

use super::{PinnedProcess, is_gone};
use crate::error::{Error, ErrorKind};
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::proc::{self, Proc, stat};

impl PinnedProcess {
    /// Words that a process is a zombie, who must reap it, and what it keeps meanwhile.
    pub(super) fn unreaped(&self, stat: &stat::Stat) -> Error {
        let pid = self.pid;
        let error = Error::new(ErrorKind::Vanished, format!("process {pid} is a zombie: it has ended"));
        let kept = [NamespaceKind::User, NamespaceKind::Pid].map(|kind| {
            let namespace = self.namespace(NamespaceLink::Own(kind)).ok()?;
            Some(format!("{kind} namespace {}", namespace.id()))
        });
        let kept: Vec<String> = kept.into_iter().flatten().collect();
        let kept = if kept.is_empty() { String::new() } else { format!("; it still keeps {}", kept.join(" and ")) };
        if stat.parent == 0 {
            return error.because(format!("its parent, which lies outside our pid namespace, has not reaped it{kept}"));
        }
        let parent = stat.parent;
        let name = Proc::open().ok().and_then(|proc| {
            let mut text = Vec::new();
            proc.read(parent, "stat", &mut text).ok()?;
            stat::parse(&text).map(|stat| format!(" ({})", crate::printable(&stat.comm)))
        });
        error
            .because(format!("its parent, process {parent}{}, has not reaped it{kept}", name.unwrap_or_default()))
            .with_hint(format!("it goes when its parent reaps it, or ends: `nstool show {parent}`"))
    }

    /// Words a failure to look into this process.
    pub fn cannot(&self, what: &str, cause: io::Error) -> Error {
        let pid = self.pid;
        if self.verify().is_err() {
            return Error::new(ErrorKind::Vanished, format!("cannot {what} of process {pid}: it has ended"))
                .because(cause);
        }
        if self.dir.is_none()
            && let Some(trouble) = Proc::trouble()
        {
            return proc::blame(format!("cannot {what} of process {pid}"), &trouble);
        }
        if is_gone(&cause)
            && let Some(stat) = self.stat().filter(|stat| stat.exiting)
        {
            return self.ending(what, stat.state, cause);
        }
        // With hidepid nothing is there below the directory of another's process (EPERM with the mildest form of it).
        let absent = matches!(cause.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) && self.stat().is_none();
        if absent && !rustix::process::geteuid().is_root() && Proc::open().is_ok_and(|proc| proc.hides_processes()) {
            let who = self.uid().map_or_else(|| "its owner".to_owned(), |uid| format!("its owner (uid {uid})"));
            return Error::new(ErrorKind::NotPermitted, format!("cannot {what} of process {pid}"))
                .because("/proc is mounted with hidepid, which hides the processes of others")
                .with_hint(format!("run nstool as root or as {who}"));
        }
        let refused = matches!(cause.raw_os_error(), Some(libc::EPERM | libc::EACCES));
        let own = rustix::process::geteuid().as_raw();
        let uid = self.uid().filter(|_| refused);
        let whose = uid
            .filter(|uid| own != 0 && *uid != own)
            .map(|uid| format!("it is uid {uid}'s, we are uid {own}: {cause}"));
        let error = Error::system(format!("cannot {what} of process {pid}"), cause);
        let error = match whose {
            Some(whose) => error.because(whose),
            None => error,
        };
        match uid {
            Some(_) if own == 0 => error.with_hint(
                "it has capabilities that we lack, or lives in an outer user namespace: run nstool there, with all of them",
            ),
            Some(0) => error.with_hint("run nstool as root, with all capabilities of the process"),
            Some(uid) if uid == own => error.with_hint(
                "the process is your own, but it changed credentials or has more capabilities: run nstool as root",
            ),
            Some(uid) => error.with_hint(format!("run nstool as root or as the process's owner (uid {uid})")),
            None => error,
        }
    }

    /// Words that it has begun to end, and has let go of what was wanted.
    fn ending(&self, what: &str, state: u8, cause: io::Error) -> Error {
        let message = format!("cannot {what} of process {}: it is ending", self.pid);
        let error = Error::new(ErrorKind::Vanished, message);
        let status = self.read("status").unwrap_or_default();
        let inside = proc::status::Status::new(&status).ns_pids();
        // zap_pid_ns_processes() in the kernel.
        if state != b'Z' && inside.is_some_and(|pids| pids.len() > 1 && pids.last() == Some(&1)) {
            return error
                .because(
                    "as the init of its pid namespace it was told to end, and waits until all others there are gone",
                )
                .with_hint(format!(
                    "a zombie there, whose parent is outside and does not reap it, can hold it up: `nstool show {}`",
                    self.pid
                ));
        }
        error.because(cause)
    }
}
