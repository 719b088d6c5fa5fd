//! `nstool why`: what keeps a namespace alive, and what to release.

mod process;
mod rows;

use std::process::ExitCode;

use nstool::discover::Scope;
use nstool::model::{Holder, Snapshot};
use nstool::query::why::{self, Explanation};
use nstool::target::{Resolved, Target};
use nstool::{Error, ErrorKind, KindSet, NamespaceKind, Pid, Result};

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

    /// List every process, not only the first twenty of each namespace
    #[arg(short = 'a', long)]
    all: bool,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    match args.target.resolve()? {
        Resolved::Process(process) => process::run(args, &process, terminal)?,
        Resolved::Namespace(namespace) => {
            let mut scope = Scope::holders();
            scope.kinds = kinds_that_matter(namespace.kind());
            let mut snapshot = Snapshot::capture(&scope)?;
            // Our own descriptor has held it since it was resolved, so the inode means the same namespace.
            let explanation = why::explain(&snapshot, namespace.id(), &opened_by_us).ok_or_else(|| {
                let message = format!("cannot see {} namespace {}", namespace.kind(), namespace.id());
                Error::new(ErrorKind::NotPermitted, message)
                    .because("no process, descriptor or mount that we may examine leads to it")
                    .with_hint("run nstool as root")
            })?;
            snapshot.describe(explanation.pids())?;
            print(args, &explanation, &snapshot, terminal)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, explanation: &Explanation, snapshot: &Snapshot, terminal: &Terminal) -> Result<()> {
    if args.json {
        return render::print_json(&rows::json(explanation, snapshot));
    }
    render::print(&rows::table(explanation, snapshot, args.all, terminal))?;
    if !explanation.is_explained() {
        let unseen = explanation.unseen().join(", ");
        report::note(&format!("nothing visible keeps it; what cannot be seen from user space: {unseen}"), terminal);
    }
    hidden::say(snapshot, terminal);
    Ok(())
}

/// The kinds that can hold one of this kind, besides itself: bind mounts live in mount namespaces, and a user namespace
/// owns all sorts.
fn kinds_that_matter(kind: NamespaceKind) -> KindSet {
    match kind {
        NamespaceKind::User => KindSet::ALL,
        kind => KindSet::EMPTY.with(kind).with(NamespaceKind::Mnt),
    }
}

/// Tells whether a holder is a descriptor that nstool opened itself, to look. What it was started with has no
/// close-on-exec flag, and counts.
fn opened_by_us(holder: &Holder) -> bool {
    let (Holder::Descriptor { pid, fd } | Holder::Pidfd { pid, fd } | Holder::OpenFile { pid, fd, .. }) = holder else {
        return false;
    };
    *pid == std::process::id() as Pid
        && std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).is_ok_and(|text| {
            let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
            flags.is_some_and(|flags| flags & rustix::fs::OFlags::CLOEXEC.bits() != 0)
        })
}
