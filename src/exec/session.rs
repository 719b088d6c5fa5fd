//! A session on a terminal of its own, or a process without one, for a process that runs on in it.
//!
//! Three processes come of one: the caller, who stays outside and looks after the user's terminal; a process between,
//! which leads the session inside and does what a shell does for its job; and the job, which goes on where the caller
//! was. Ctrl-Z, `fg` and the like so reach the job as from any shell, whatever it makes of itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::pipe::PipeFlags;

use super::report::{self, Failure};
use super::terminal::{self, Inner, Keeper, Outer, lead_job};
use super::{Child, Companion, Ending, Guardian, NoCompanion, Supervisor, die_with_parent, gate};
use crate::error::{Error, Result};
use crate::sys::create::close_inherited;
use crate::sys::guard::Memory;
use crate::sys::{job, process};

/// Keeps what runs from here on from typing into our terminal (TIOCSTI): if one of descriptors 0 to 2 is a terminal, the
/// caller goes on as `None` in a process of its own, on a pseudo-terminal. In the process that called, this returns when
/// that one has ended, and says how. If it is killed, so is the other. If none is a terminal, the controlling terminal is
/// given up, so that /dev/tty leads nowhere; whoever leads its session goes on in a process of its own for that too.
///
/// Only the process inside keeps the descriptors `theirs`, which somebody may wait to see closed. The caller must have
/// one thread.
///
/// # Errors
/// No pseudo-terminal, process or descriptor left.
pub fn own_terminal(theirs: &[RawFd]) -> Result<Option<Ending>> {
    let cannot = |what: &str, error| Error::system(format!("cannot run {what}"), error).with_hint(terminal::WITHOUT);
    if let Some((outer, inner)) = terminal::open(true)? {
        return split(outer, inner, theirs).map_err(|error| cannot("on a pseudo-terminal", error));
    }
    let Some(terminal) = job::controlling_terminal() else { return Ok(None) };
    if job::leads_session() {
        let leave = || job::detach_from(terminal.as_fd());
        return apart(leave, None, &mut NoCompanion, theirs).map_err(|error| cannot("without our terminal", error));
    }
    job::detach_from(terminal.as_fd());
    Ok(None)
}

fn split(mut outer: Outer, mut inner: Inner, theirs: &[RawFd]) -> io::Result<Option<Ending>> {
    let supervisor = Supervisor::prepare()?;
    let (reader, writer) = report::pipe()?;
    let (lifeline, life) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let Some(child) = Child::fork()? else {
        drop((reader, life));
        let keeper = outer.forsake(&mut inner);
        supervisor.release();
        return match between(inner, keeper, &lifeline, theirs) {
            Ok(Some(ending)) => ending.mirror_now(),
            Ok(None) => Ok(None),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                writer.send(&Failure { step: 0, errno, refusal: None });
                process::exit_now(125)
            }
        };
    };
    drop((writer, lifeline, inner));
    close(theirs);
    outer.begin();
    let outcome = supervisor.wait(&child, Some(reader), None, &mut outer);
    outer.finish();
    supervisor.release();
    drop(life);
    outcome?.map(Some).map_err(|failure| io::Error::from_raw_os_error(failure.errno))
}

/// The process between; `None` in the job.
fn between(inner: Inner, mut keeper: Keeper, lifeline: &OwnedFd, theirs: &[RawFd]) -> io::Result<Option<Ending>> {
    inner.take_over()?;
    drop(inner);
    let foreground = keeper.starts_in_foreground();
    apart(|| lead_job(foreground), Some(lifeline), &mut keeper, theirs)
}

/// Goes on as `None` in a child, which begins with `begin`, and supervises it.
fn apart(
    begin: impl FnOnce(),
    lifeline: Option<&OwnedFd>,
    companion: &mut impl Companion,
    theirs: &[RawFd],
) -> io::Result<Option<Ending>> {
    let supervisor = Supervisor::prepare()?;
    let guardian = Guardian::prepare(Memory::Shared)?;
    let (gate, gatekeeper) = gate()?;
    let Some(child) = Child::fork()? else {
        drop(gatekeeper);
        guardian.into_iter().for_each(Guardian::forsake);
        begin();
        die_with_parent(&supervisor)?;
        if !gate.pass() {
            process::exit_now(125);
        }
        supervisor.release();
        return Ok(None);
    };
    close(theirs);
    if let Some(guardian) = &guardian {
        guardian.guard(&child)?;
    }
    gatekeeper.open();
    let outcome = supervisor.wait(&child, None, lifeline, companion);
    drop(guardian);
    supervisor.release();
    outcome?.map(Some).map_err(|failure| io::Error::from_raw_os_error(failure.errno))
}

fn close(theirs: &[RawFd]) {
    theirs.iter().filter(|fd| **fd > 2).for_each(|fd| close_inherited(*fd));
}
