//! Joins the namespaces of a target and runs a command there, safely.
//!
//! [`Enter::prepare`] finds the target, opens everything, decides the steps and judges each of them: nothing has
//! happened then, and [`Enter::plan`] tells what would. [`Enter::run`] takes the steps.
//!
//! ```no_run
//! use nstool::enter::{Enter, Outcome, Request};
//!
//! let mut request = Request::new("4242".parse()?);
//! request.command = vec!["ip".into(), "addr".into()];
//! match Enter::prepare(request)?.run()? {
//!     Outcome::Ended(ending) | Outcome::OutOfMemory(ending, _) => ending.mirror(),
//!     Outcome::Started(pid) => println!("{pid}"),
//!     Outcome::NotExecuted { status, error } => eprintln!("{error} ({status})"),
//!     other => eprintln!("{other:?}"),
//! }
//! # Ok::<(), nstool::Error>(())
//! ```
//!
//! The process that calls `run` joins namespaces itself and, unless a terminal or a pid namespace needs a child, becomes
//! the command: call it last, with one thread.

mod apply;
mod cgroups;
mod confinement;
mod credentials;
mod environment;
mod facts;
mod files;
mod gather;
mod kernel;
mod label;
mod memory;
mod name;
mod outline;
mod plan;
mod preflight;
mod remarks;
mod request;
mod wording;

pub use memory::OutOfMemory;
pub use outline::{Outline, OutlineStep};
pub use request::{Environment, Id, Place, Request};

use std::cell::LazyCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use rustix::termios::isatty;

use crate::error::{Error, Result};
use crate::exec::{Ending, Failure, Program, Refusal, terminal};
use crate::id::Pid;
use crate::kind::NamespaceKind;
use crate::sys::job;
use apply::{Applied, Work};
use facts::{Facts, Presence, Way};
use gather::Pinned;
use memory::Memory;
use plan::{Step, Steps};

/// A request that was planned and judged; nothing has been done yet.
pub struct Enter {
    request: Request,
    facts: Facts,
    pinned: Pinned,
    steps: Steps,
    program: Program,
    pty: bool,
    keep: Vec<i32>,
}

/// What became of the command.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It ended; [`Ending::mirror`] passes that on.
    Ended(Ending),
    /// SIGKILL ended it, and its control group counts more victims of the out-of-memory killer than before, of which it
    /// most likely is one; [`Ending::mirror`] passes the end on.
    OutOfMemory(Ending, OutOfMemory),
    /// It runs in the background, as this process.
    Started(Pid),
    /// It could not be executed.
    NotExecuted {
        /// What shells exit with: 127 if it was not found, else 126.
        status: u8,
        /// Why.
        error: Error,
    },
}

fn unsupervised(error: std::io::Error) -> Error {
    let limited = error.raw_os_error() == Some(libc::EAGAIN);
    let error = Error::system("cannot supervise the command", error);
    if limited {
        error.with_hint("a limit of processes is reached: `ulimit -u`, or pids.max of our control group")
    } else {
        error
    }
}

/// A failure with what it came from, for those who have words of their own.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failed {
    /// What failed, why, and what to do.
    pub error: Error,
    /// The step that failed; `exec` where the command could not be executed, and none where no step did.
    pub step: Option<Box<OutlineStep>>,
    /// The errno; 0 where there is none.
    pub errno: i32,
    /// What shells exit with if the command could not be executed: 127 if it was not found, else 126. Otherwise 125.
    pub status: u8,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, step: None, errno: 0, status: 125 }
    }
}

impl Enter {
    /// Finds the target, opens everything, decides the steps and judges them.
    ///
    /// # Errors
    /// The target is not there, or a step cannot work: the error names the first, its cause, and what to do.
    pub fn prepare(request: Request) -> Result<Self> {
        let keep = gather::kept(&request)?;
        let (mut facts, pinned) = gather::gather(&request)?;
        let terminal =
            || isatty(rustix::stdio::stdin()) || isatty(rustix::stdio::stdout()) || isatty(rustix::stdio::stderr());
        let kept_out = !request.no_pty && !request.background;
        let pty = kept_out && terminal();
        // Only a child can give up the controlling terminal of a session that we lead.
        let leads_terminal = kept_out && job::leads_session() && job::controlling_terminal().is_some();
        let mut steps = plan::plan(&request, &facts, pty || leads_terminal)?;
        if !request.literal {
            preflight::check(&request, &facts, &steps)?;
        }
        let program = program(&request, &facts, &pinned, &mut steps)?;
        if !request.literal {
            facts.command =
                files::presence(root_for_paths(&request, &pinned), pinned.proc.as_ref(), program.candidates());
        }
        Ok(Self { request, facts, pinned, steps, program, pty, keep })
    }

    /// Tells what [`run`](Self::run) would do.
    pub fn plan(&self) -> Outline {
        let mut outline = outline::outline(&self.facts, &self.steps, &self.program, self.pty);
        if let Some(Failed { error, .. }) = self.obstacle() {
            let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
            outline.obstacle = Some(format!("{error}{cause}"));
        }
        outline
    }

    /// Returns what is worth telling, though no failure: what stays as it is, what is not joined.
    pub fn remarks(&self) -> &[String] {
        &self.steps.remarks
    }

    /// Tells that the command is not inside, or cannot be executed there, before anything is done.
    fn obstacle(&self) -> Option<Failed> {
        let step = || self.steps.steps.last().map(|step| outline::tell(step, &[]).into());
        match &self.facts.command {
            Presence::Possible => None,
            Presence::Absent => {
                let error = preflight::absent(&self.request, &self.facts.target);
                Some(Failed { error, step: step(), errno: libc::ENOENT, status: 127 })
            }
            Presence::Refused(refusal) => {
                let program = &self.program;
                Some(not_executed(refusal, step(), &self.facts, program.name(), program.candidates()))
            }
        }
    }

    /// Takes the steps. If no child is needed, this process becomes the command, and the call returns only if that
    /// fails; then it is somewhere between both worlds and should end soon.
    ///
    /// # Errors
    /// A step failed: which, why, and what to do. The process must be expected to have joined some namespaces.
    pub fn run(self) -> Result<Outcome> {
        match self.attempt() {
            Err(Failed { error, status: status @ (126 | 127), .. }) => Ok(Outcome::NotExecuted { status, error }),
            Err(failed) => Err(failed.error),
            Ok(outcome) => Ok(outcome),
        }
    }

    /// The same, with every failure as data.
    ///
    /// # Errors
    /// As [`run`](Self::run), or the command could not be executed.
    pub fn attempt(mut self) -> Result<Outcome, Failed> {
        if let Some(failed) = self.obstacle() {
            return Err(failed);
        }
        let outer = if self.pty { terminal::open(self.steps.steps.contains(&Step::Fork))? } else { None };
        let work = Work {
            steps: &self.steps.steps,
            pinned: &self.pinned,
            keep: std::mem::take(&mut self.keep),
            background: self.request.background,
            guarded: !self.request.literal,
            terminal: if self.request.no_pty || self.pty { None } else { job::controlling_terminal() },
            null: null(&self.request)?,
            program: self.program,
        };
        let candidates = work.program.candidates().to_vec();
        let name = work.program.name().to_vec();
        let applied = match outer {
            Some((outer, inner)) => work.run_on(outer, inner),
            None => work.run(),
        };
        match applied.map_err(unsupervised)? {
            Applied::Ended(ending @ Ending::Signaled(libc::SIGKILL)) => {
                let killed = self.pinned.memory.as_ref().and_then(Memory::has_killed);
                Ok(killed.map_or(Outcome::Ended(ending), |killed| Outcome::OutOfMemory(ending, killed)))
            }
            Applied::Ended(ending) => Ok(Outcome::Ended(ending)),
            Applied::Started(pid) => Ok(Outcome::Started(pid)),
            Applied::Failed(failure) => Err(failed(failure, &self.steps.steps, &self.facts, &name, &candidates)),
        }
    }
}

fn failed(failure: Failure, steps: &[Step], facts: &Facts, name: &[u8], candidates: &[std::ffi::CString]) -> Failed {
    let errno = failure.errno;
    let step = steps.get(failure.step as usize);
    let told = step.map(|step| outline::tell(step, &[]).into());
    if let Some(refusal) = failure.refusal {
        return not_executed(&refusal, told, facts, name, candidates);
    }
    let error = match step {
        Some(step) => wording::explain(step, errno, facts),
        None => Error::system("cannot run the command", std::io::Error::from_raw_os_error(errno)),
    };
    Failed { error, step: told, errno, status: 125 }
}

/// Tells whether files are looked up among the target's.
fn is_inside(facts: &Facts, pinned: &Pinned) -> bool {
    facts.candidates.iter().any(|one| one.kind == NamespaceKind::Mnt && !one.ours) || pinned.root.is_some()
}

fn not_executed(
    refusal: &Refusal,
    step: Option<Box<OutlineStep>>,
    facts: &Facts,
    name: &[u8],
    candidates: &[std::ffi::CString],
) -> Failed {
    let mut error = refusal.explain(name, candidates);
    if error.hint().is_none() && facts.candidates.iter().any(|one| one.kind == NamespaceKind::Mnt && !one.ours) {
        error = error.with_hint("leave out the mount namespace to use the host's tools: `-u -i -n -p -- CMD`");
    }
    Failed { error, step, errno: refusal.errno, status: refusal.exit_status() }
}

/// Puts the command together: what was asked for, else a login shell.
fn program(request: &Request, facts: &Facts, pinned: &Pinned, steps: &mut Steps) -> Result<Program> {
    let inside = is_inside(facts, pinned);
    let uid = steps.steps.iter().find_map(|step| match step {
        Step::SetUid { uid, .. } => Some(*uid),
        _ => None,
    });
    let uid = uid.or_else(|| matches!(facts.way, Way::Stay).then_some(facts.effective_uid));
    let needed = !request.literal;
    let passwd = LazyCell::new(|| match (uid.filter(|_| needed), &pinned.root, inside) {
        (Some(uid), Some(root), _) => environment::passwd(Some(root), pinned.proc.as_ref(), uid),
        (Some(uid), None, false) => environment::passwd(None, None, uid),
        _ => None,
    });
    let process = pinned.process.as_deref();
    let variables = environment::environment(request, process, inside, || passwd.as_ref(), &mut steps.remarks)?;
    let program = if request.command.is_empty() {
        let shells = match request.literal {
            true => vec![std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()).into_vec()],
            false => shells(passwd.as_ref(), inside, request, pinned),
        };
        Program::login_shell(&shells, &variables)
    } else {
        Program::new(&request.command, &variables)
    }?;
    let program = if request.literal { program.inheriting() } else { program };
    Ok(if inside { program.distrusting() } else { program })
}

/// Returns the shells to try, without those that are known not to be there, unless none is.
fn shells(passwd: Option<&environment::Passwd>, inside: bool, request: &Request, pinned: &Pinned) -> Vec<Vec<u8>> {
    let shells = environment::shells(passwd, inside);
    let root = root_for_paths(request, pinned);
    let is_there = |shell: &&Vec<u8>| {
        let place = std::ffi::CString::new(shell.as_slice());
        place.is_ok_and(|place| files::presence(root, pinned.proc.as_ref(), &[place]) != Presence::Absent)
    };
    let there: Vec<_> = shells.iter().filter(is_there).cloned().collect();
    if there.is_empty() { shells } else { there }
}

/// Returns the root directory below which the command is looked up, if that is known.
fn root_for_paths<'a>(request: &Request, pinned: &'a Pinned) -> Option<&'a OwnedFd> {
    pinned.root.as_ref().filter(|_| request.inner_directory.is_none())
}

fn null(request: &Request) -> Result<Option<OwnedFd>> {
    if !request.background {
        return Ok(None);
    }
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty());
    null.map(Some).map_err(|errno| Error::system("cannot open /dev/null", errno))
}

impl fmt::Debug for Enter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").field("facts", &self.facts).field("steps", &self.steps).finish_non_exhaustive()
    }
}
