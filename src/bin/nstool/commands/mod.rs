//! The verbs: one file each, with its options and what it does with the library.

mod compare;
mod enter;
mod ls;
mod mounts;
mod show;
mod unshare;
mod why;

use std::process::ExitCode;

use clap::Subcommand;
use nstool::Result;

use crate::render::Terminal;

/// The verbs. Each one's options are put together only when it is called, for that takes longer than some of the verbs do.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Compare the namespaces of processes, and say what each difference means
    Compare(compare::Args),
    /// Join a target's namespaces and run a command in them
    Enter(Box<enter::Args>),
    /// List namespaces and what holds them
    Ls(ls::Args),
    /// List mounts, say who shares them, and predict where a mount will appear
    Mounts(mounts::Args),
    /// Show a process or a namespace in full
    Show(show::Args),
    /// Create namespaces, set them up, and run a command in them
    Unshare(Box<unshare::Args>),
    /// Say everything that keeps a namespace alive, and what to release
    Why(why::Args),
}

impl Command {
    /// Returns the exit status for a failure of nstool's own.
    pub(crate) fn trouble_code(&self) -> u8 {
        match self {
            Self::Compare(_) => 2,
            Self::Enter(_) | Self::Unshare(_) => 125,
            Self::Ls(_) | Self::Show(_) | Self::Why(_) => 1,
            Self::Mounts(args) => args.trouble_code(),
        }
    }
}

/// Runs a verb; the exit status is its answer.
pub(crate) fn run(command: &Command, terminal: &Terminal) -> Result<ExitCode> {
    match command {
        Command::Compare(args) => compare::run(args, terminal),
        Command::Enter(args) => enter::run(args, terminal),
        Command::Ls(args) => ls::run(args, terminal),
        Command::Mounts(args) => mounts::run(args, terminal),
        Command::Show(args) => show::run(args, terminal),
        Command::Unshare(args) => unshare::run(args, terminal),
        Command::Why(args) => why::run(args, terminal),
    }
}
