//! `nstool mounts`: the mounts of a namespace, who shares them, and where a mount will appear.

mod check;
mod diff;
mod holders;
mod list;
mod peers;
mod reach;
mod scene;
mod users;

pub(super) use self::list::column_names;

use std::ffi::OsString;

use clap::Subcommand;
use nstool::Result;

use crate::entry::ExitCode;
use crate::render::Terminal;

/// List mounts with their propagation; who shares which with whom, and where a mount will appear
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "nstool mounts [OPTIONS] [TARGET] [PATH]\n       nstool mounts <COMMAND>",
    after_help = "Examples:
  nstool mounts                        the mounts here, as a tree
  nstool mounts 4711 /data             the mounts at /data as process 4711 has them
  nstool mounts --check-shared         would what I mount here leak? exits with 1 if so
  nstool mounts --check-shared 4711    with whom process 4711 exchanges mounts
  nstool mounts diff self 4711         what differs between our mounts and those of 4711
  nstool mounts peers /                who shares / with whom
  nstool mounts reach /mnt             where a mount made at /mnt would appear
  nstool mounts holders /dev/sdb1      who keeps the disk busy

Exit status: 0, or 1 in trouble; with --check-shared 0 none, 1 found, 2 trouble."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    question: Option<Question>,

    /// Whose mounts, by process or namespace (default: self); and a path: the mounts there
    #[arg(value_names = ["TARGET", "PATH"], num_args = 0..=2)]
    words: Vec<OsString>,

    /// Tell which mounts exchange events with other mount namespaces, and what goes wrong with them
    #[arg(long)]
    check_shared: bool,

    /// With --check-shared: of every mount namespace
    #[arg(long, requires = "check_shared")]
    all: bool,

    #[command(flatten)]
    list: list::Options,
}

/// What else can be asked about mounts.
#[derive(Debug, Subcommand)]
enum Question {
    Diff(diff::Args),
    Peers(peers::Args),
    Reach(reach::Args),
    Holders(holders::Args),
}

impl Args {
    /// Returns the exit status for a failure of nstool's own: the forms that answer yes or no keep 1 for an answer.
    pub(crate) fn trouble_code(&self) -> u8 {
        match &self.question {
            Some(Question::Diff(_)) => 2,
            Some(Question::Reach(args)) if args.asks() => 2,
            None if self.check_shared => 2,
            _ => 1,
        }
    }
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    match &args.question {
        Some(Question::Diff(args)) => diff::run(args, terminal),
        Some(Question::Peers(args)) => peers::run(args, terminal),
        Some(Question::Reach(args)) => reach::run(args, terminal),
        Some(Question::Holders(args)) => holders::run(args, terminal),
        None if args.check_shared => check::run(&args.words, args.all, args.list.output.json, terminal),
        None => list::run(&args.words, &args.list, terminal),
    }
}
