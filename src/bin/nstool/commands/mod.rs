//! The verbs: one file each, with its options and what it does with the library.

mod compare;
mod enter;
mod ls;
mod mounts;
mod show;
mod why;

use std::process::ExitCode;

use clap::Subcommand;
use nstool::Result;

use crate::render::Terminal;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Compare(compare::Args),
    Enter(Box<enter::Args>),
    Ls(ls::Args),
    Mounts(mounts::Args),
    Show(show::Args),
    Why(why::Args),
}

impl Command {
    /// Returns the exit status for a failure of nstool's own.
    pub(crate) fn trouble_code(&self) -> u8 {
        match self {
            Self::Compare(_) => 2,
            Self::Enter(_) => 125,
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
        Command::Why(args) => why::run(args, terminal),
    }
}
