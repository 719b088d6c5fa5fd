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
//!     Outcome::Ended(ending) => ending.mirror(),
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
mod environment;
mod facts;
mod files;
mod gather;
mod kernel;
mod label;
mod outline;
mod plan;
mod preflight;
mod request;
mod terminal;
mod wording;

pub use outline::{Outline, OutlineStep};
pub use request::{Environment, Id, Place, Request};

use std::cell::LazyCell;
use std::fmt;
use std::os::fd::OwnedFd;

use rustix::termios::isatty;

use crate::error::{Error, Result};
use crate::exec::{Ending, Failure, Program, Refusal};
use crate::id::Pid;
use crate::kind::NamespaceKind;
use crate::sys::process;
use apply::{Applied, Work};
use facts::{Facts, Presence, Way};
use gather::Pinned;
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

impl Enter {
    /// Finds the target, opens everything, decides the steps and judges them.
    ///
    /// # Errors
    /// The target is not there, or a step cannot work: the error names the first, its cause, and what to do.
    pub fn prepare(request: Request) -> Result<Self> {
        let keep = gather::kept(&request)?;
        let (mut facts, pinned) = gather::gather(&request)?;
        let terminal =
            isatty(rustix::stdio::stdin()) || isatty(rustix::stdio::stdout()) || isatty(rustix::stdio::stderr());
        let pty = terminal && !request.no_pty && !request.background;
        let mut steps = plan::plan(&request, &facts, pty)?;
        preflight::check(&request, &facts, &steps)?;
        let program = program(&request, &facts, &pinned, &mut steps)?;
        let root = pinned.root.as_ref().filter(|_| request.inner_directory.is_none());
        facts.command = files::presence(root, pinned.proc.as_ref(), program.candidates());
        Ok(Self { request, facts, pinned, steps, program, pty, keep })
    }

    /// Tells what [`run`](Self::run) would do.
    pub fn plan(&self) -> Outline {
        let mut outline = outline::outline(&self.facts, &self.steps, &self.program, self.pty);
        if let Some(Outcome::NotExecuted { error, .. }) = self.obstacle() {
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
    fn obstacle(&self) -> Option<Outcome> {
        match &self.facts.command {
            Presence::Possible => None,
            Presence::Absent => {
                let error = preflight::absent(&self.request, &self.facts.target);
                Some(Outcome::NotExecuted { status: 127, error })
            }
            Presence::Refused(refusal) => {
                Some(not_executed(refusal, &self.facts, self.program.name(), self.program.candidates()))
            }
        }
    }

    /// Takes the steps. If no child is needed, this process becomes the command, and the call returns only if that
    /// fails; then it is somewhere between both worlds and should end soon.
    ///
    /// # Errors
    /// A step failed: which, why, and what to do. The process must be expected to have joined some namespaces.
    pub fn run(mut self) -> Result<Outcome> {
        if let Some(outcome) = self.obstacle() {
            return Ok(outcome);
        }
        let outer = if self.pty { terminal::open(self.steps.steps.contains(&Step::Fork))? } else { None };
        let work = Work {
            steps: &self.steps.steps,
            pinned: &self.pinned,
            keep: std::mem::take(&mut self.keep),
            background: self.request.background,
            terminal: if self.request.no_pty || self.pty { None } else { process::controlling_terminal() },
            null: null(&self.request)?,
            program: self.program,
        };
        let candidates = work.program.candidates().to_vec();
        let name = work.program.name().to_vec();
        let applied = match outer {
            Some((outer, inner)) => work.run_on(outer, inner),
            None => work.run(),
        };
        match applied.map_err(|error| Error::system("cannot supervise the command", error))? {
            Applied::Ended(ending) => Ok(Outcome::Ended(ending)),
            Applied::Started(pid) => Ok(Outcome::Started(pid)),
            Applied::Failed(failure) => failed(failure, &self.steps.steps, &self.facts, &name, &candidates),
        }
    }
}

fn failed(
    failure: Failure,
    steps: &[Step],
    facts: &Facts,
    name: &[u8],
    candidates: &[std::ffi::CString],
) -> Result<Outcome> {
    if let Some(refusal) = failure.refusal {
        return Ok(not_executed(&refusal, facts, name, candidates));
    }
    Err(match steps.get(failure.step as usize) {
        Some(step) => wording::explain(step, failure.errno, facts),
        None => Error::system("cannot run the command", std::io::Error::from_raw_os_error(failure.errno)),
    })
}

fn not_executed(refusal: &Refusal, facts: &Facts, name: &[u8], candidates: &[std::ffi::CString]) -> Outcome {
    let mut error = refusal.explain(name, candidates);
    if error.hint().is_none() && facts.candidates.iter().any(|one| one.kind == NamespaceKind::Mnt && !one.ours) {
        error = error.with_hint("leave out the mount namespace to use the host's tools: `-u -i -n -p -- CMD`");
    }
    Outcome::NotExecuted { status: refusal.exit_status(), error }
}

/// Puts the command together: what was asked for, else a login shell.
fn program(request: &Request, facts: &Facts, pinned: &Pinned, steps: &mut Steps) -> Result<Program> {
    let inside =
        facts.candidates.iter().any(|one| one.kind == NamespaceKind::Mnt && !one.ours) || pinned.root.is_some();
    let uid = steps.steps.iter().find_map(|step| match step {
        Step::SetUid { uid, .. } => Some(*uid),
        _ => None,
    });
    let uid = uid.or_else(|| matches!(facts.way, Way::Stay).then_some(facts.effective_uid));
    let passwd = LazyCell::new(|| match (uid, &pinned.root, inside) {
        (Some(uid), Some(root), _) => environment::passwd(Some(root), pinned.proc.as_ref(), uid),
        (Some(uid), None, false) => environment::passwd(None, None, uid),
        _ => None,
    });
    let process = pinned.process.as_ref();
    let variables = environment::environment(request, process, inside, || passwd.as_ref(), &mut steps.remarks)?;
    let program = if request.command.is_empty() {
        Program::login_shell(&environment::shells(passwd.as_ref(), inside), &variables)
    } else {
        Program::new(&request.command, &variables)
    }?;
    Ok(if inside { program.distrusting() } else { program })
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
