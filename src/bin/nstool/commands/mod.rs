//! The verbs: one file each, with its options and what it does with the library.

mod enter;
mod ls;
mod mounts;

use std::process::ExitCode;

use clap::Subcommand;
use nstool::Result;

use crate::render::Terminal;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(ls::Args),
    Mounts(mounts::Args),
    Enter(Box<enter::Args>),
}

impl Command {
    /// Returns the exit status for a failure of nstool's own.
    pub(crate) fn trouble_code(&self) -> u8 {
        match self {
            Self::Ls(_) => 1,
            Self::Mounts(args) => args.trouble_code(),
            Self::Enter(_) => 125,
        }
    }
}

/// Runs a verb; the exit status is its answer.
pub(crate) fn run(command: &Command, terminal: &Terminal) -> Result<ExitCode> {
    match command {
        Command::Ls(args) => ls::run(args, terminal),
        Command::Mounts(args) => mounts::run(args, terminal),
        Command::Enter(args) => enter::run(args, terminal),
    }
}
