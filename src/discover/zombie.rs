//! What is left of one process that has ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::details::standing;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Pid;
use crate::kind::{NamespaceKind, NamespaceLink};
use crate::model::{Membership, Observed, Zombie};
use crate::proc::status::Status;
use crate::proc::{Proc, stat};
use crate::target::PinnedProcess;

impl Zombie {
    /// Reads a zombie that was pinned by [`PinnedProcess::open_zombie`].
    ///
    /// # Errors
    /// It has been reaped.
    pub fn read(process: &PinnedProcess) -> Result<Self> {
        let reaped = || Error::new(ErrorKind::Vanished, format!("process {} has ended", process.pid()));
        let stat = process.read("stat").ok().and_then(|text| stat::parse(&text)).ok_or_else(reaped)?;
        let text = process.read("status").map_err(|_| reaped())?;
        let status = Status::new(&text);
        let number = |key| std::str::from_utf8(status.field(key)?).ok()?.parse::<Pid>().ok();
        let kept = [NamespaceKind::Pid, NamespaceKind::User].map(|kind| process.namespace(NamespaceLink::Own(kind)));
        // do_task_stat() tells how it ended under the same rights under which these links can be read.
        let may_know = process.read_link("ns/user").is_ok();
        let proc = Proc::open().ok().filter(|_| stat.parent > 0);
        let parent = proc.as_ref().and_then(|proc| {
            let mut text = Vec::new();
            proc.read(stat.parent, "stat", &mut text).ok()?;
            stat::parse(&text)
        });
        let zombie = Self {
            pid: process.pid(),
            name: stat.comm,
            ended: may_know.then(|| ExitStatus::from_raw(stat.wait_status)),
            uid: status.uids().map(|uids| uids[0]),
            parent: stat.parent,
            parent_stopped: parent.as_ref().is_some_and(|parent| matches!(parent.state, b'T' | b't')),
            parent_standing: proc.map_or(Observed::Gone, |proc| standing(&proc, stat.parent)),
            parent_name: parent.map(|parent| parent.comm),
            tracer: number("TracerPid").filter(|tracer| *tracer > 0),
            kept: kept.into_iter().flatten().map(|namespace| Membership::of(&namespace)).collect(),
        };
        if process.is_zombie() { Ok(zombie) } else { Err(reaped()) }
    }
}
