//! `nstool why`: what keeps a namespace alive, and what to release.

mod process;
mod rows;

use nstool::discover::Scope;
use nstool::model::{Holder, Snapshot, Subject};
use nstool::query::why::{self, Explanation};
use nstool::target::{Resolved, Target};
use nstool::{Error, ErrorKind, NamespaceId, Pid, Result};

pub(super) use self::rows::describe;
use crate::entry::ExitCode;
use crate::render::{self, Terminal, hidden, report};

/// Say everything that keeps a namespace alive, and what to release.
///
/// Processes and threads in it, descriptors of its file, sockets, bind mounts in every mount namespace, mounted procfs,
/// open files that show it, pidfds, child and owned namespaces: each with its process or place and the command that
/// releases it. What holds a holder stands below it. For a process: all its namespaces, and which of them go away with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nstool why net:blue            why the network namespace blue is still there
  nstool why ns:4026532201       any namespace, by its inode
  nstool why /run/netns/blue     or by a path of its file
  nstool why 4711                the namespaces of process 4711, and which of them only it keeps

Exit status: 0, or 1 if the target does not exist or cannot be read.")]
pub(crate) struct Args {
    /// PID, PID:INODE, self, ns:INODE, a path of a namespace file, or net:NAME
    #[arg(value_name = "TARGET")]
    target: Target,

    /// List every process, not only the first twenty of each namespace, and what may hold it even if processes do
    #[arg(short = 'a', long)]
    all: bool,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    // An inode is looked up in the scan itself: that sees more places than the search for a target, and is needed anyway.
    if let Target::Namespace { ino, kind } = args.target {
        let snapshot = Snapshot::capture(&Scope::holders_of(ino, kind))?;
        let found = snapshot.namespace_by_inode(ino).filter(|found| kind.is_none_or(|kind| kind == found.kind));
        let id = found.map(|found| found.id).ok_or_else(|| not_found(&args.target, &snapshot))?;
        explain(args, snapshot, id, terminal)?;
        return Ok(ExitCode::SUCCESS);
    }
    match args.target.resolve() {
        Ok(Resolved::Process(process)) => process::run(args, &process, terminal)?,
        Err(error) => match args.target.resolve_zombie() {
            Some(zombie) => process::run(args, &zombie, terminal)?,
            None => return Err(error),
        },
        Ok(Resolved::Namespace(namespace)) => {
            // Our own descriptor holds it meanwhile, so the inode in the snapshot means the same namespace.
            let snapshot = Snapshot::capture(&Scope::holders_of(namespace.id().ino, Some(namespace.kind())))?;
            explain(args, snapshot, namespace.id(), terminal)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(args: &Args, mut snapshot: Snapshot, id: NamespaceId, terminal: &Terminal) -> Result<()> {
    let explanation = why::explain(&snapshot, id, &opened_by_us).ok_or_else(|| not_found(&args.target, &snapshot))?;
    snapshot.describe(rows::shown(&explanation, args.all || args.json))?;
    let parents = rows::parents_of_zombies(&explanation, &snapshot);
    snapshot.describe(parents)?;
    print(args, &explanation, &snapshot, terminal)
}

const LISTING: &str = "`nstool ls` lists the namespaces that are there";

/// Says that a namespace is not there, or why it may be there and out of reach: what holds it need not lead to it.
fn not_found(target: &Target, snapshot: &Snapshot) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("no such {target}"));
    if snapshot.is_absent() {
        let kind = match target {
            Target::Namespace { kind: Some(kind), .. } => format!("{kind} "),
            _ => String::new(),
        };
        return error.because(format!("the kernel knows no {kind}namespace of that inode")).with_hint(LISTING);
    }
    let wanted = match target {
        Target::Namespace { kind, .. } => *kind,
        _ => None,
    };
    let suspects = snapshot.suspects().iter().filter(|suspect| wanted.is_none_or(|kind| kind == suspect.kind));
    let mut suspects: Vec<_> = suspects
        .filter(|suspect| !opened_by_us(&suspect.holder))
        .map(|suspect| match suspect.holder {
            // What is on its way can be of any kind.
            Holder::InFlight { .. } => format!("\n{}", rows::describe(&suspect.holder, snapshot)),
            _ => format!("\n{} of a {} namespace", rows::describe(&suspect.holder, snapshot), suspect.kind),
        })
        .collect();
    suspects.sort_unstable();
    suspects.dedup();
    let error = if suspects.is_empty() {
        error
    } else {
        error.because(format!(
            "nothing leads to it, but these keep namespaces that cannot be told:{}",
            suspects.concat()
        ))
    };
    match snapshot.hidden().count(Subject::Process) {
        0 => error.with_hint(LISTING),
        hidden => {
            let advice = if rustix::process::geteuid().is_root() { "" } else { ": run nstool as root to see theirs" };
            let what = if hidden == 1 { "1 process".to_owned() } else { format!("{hidden} processes") };
            error.with_hint(format!("the namespaces of {what} could not be read{advice}"))
        }
    }
}

fn print(args: &Args, explanation: &Explanation, snapshot: &Snapshot, terminal: &Terminal) -> Result<()> {
    if args.json {
        return render::print_json(&rows::json(explanation, snapshot));
    }
    render::print(&rows::table(explanation, snapshot, args.all, terminal))?;
    if !explanation.is_explained() {
        let unseen = explanation.unseen().join(", ");
        let seen = if explanation.possible.is_empty() { "visible" } else { "else that is visible" };
        report::note(&format!("nothing {seen} keeps it; what cannot be seen from user space: {unseen}"), terminal);
    }
    hidden::say(snapshot, terminal);
    Ok(())
}

/// Tells whether a holder is a descriptor of nstool itself, which ends: opened to look, or inherited from whoever started
/// it and is listed with the same.
pub(super) fn opened_by_us(holder: &Holder) -> bool {
    let is_descriptor = matches!(
        holder,
        Holder::Descriptor { .. }
            | Holder::Pidfd { .. }
            | Holder::OpenFile { .. }
            | Holder::Socket { .. }
            | Holder::Tun { .. }
            | Holder::InFlight { .. }
    );
    is_descriptor && holder.pid() == Some(std::process::id() as Pid)
}
