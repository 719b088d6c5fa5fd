//! The verbs: one file each, with its options and what it does with the library.

mod completions;
mod ls;
mod man;

use std::process::ExitCode;

use clap::Subcommand;
use nstool::Result;

use crate::render::Terminal;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(ls::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Complete(completions::Candidates),
    #[command(hide = true)]
    Man(man::Args),
}

impl Command {
    /// Returns the exit status for a failure of nstool's own.
    pub(crate) fn trouble_code(&self) -> u8 {
        match self {
            Self::Ls(_) | Self::Completions(_) | Self::Complete(_) | Self::Man(_) => 1,
        }
    }
}

/// Runs a verb; the exit status is its answer.
pub(crate) fn run(command: &Command, terminal: &Terminal) -> Result<ExitCode> {
    match command {
        Command::Ls(args) => ls::run(args, terminal),
        Command::Completions(args) => completions::run(args),
        Command::Complete(args) => completions::candidates(args),
        Command::Man(args) => man::run(args),
    }
}
