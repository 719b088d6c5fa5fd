//! The verbs: one file each, with its options and what it does with the library.

mod compare;
mod completions;
mod enter;
mod ls;
mod man;
mod mounts;
mod show;
pub(crate) mod unshare;
pub(crate) mod version;
mod why;

use clap::Subcommand;
use nstool::{Error, ErrorKind, Result};

use crate::entry::ExitCode;
use crate::render::Terminal;

/// The exit status where what was typed makes no sense; clap exits with the same.
const BAD_USAGE: u8 = 2;

/// The verbs. Each one's options are put together only when it is called, for that takes longer than some of the verbs do.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// List namespaces and what holds them
    Ls(ls::Args),
    /// Show all of one process or namespace on a page
    Show(show::Args),
    /// Say everything that keeps a namespace alive, and what to release
    Why(why::Args),
    /// Say which namespaces processes share, and what the differences mean
    Compare(compare::Args),
    /// List mounts, say who shares them, and predict where a mount will appear
    Mounts(mounts::Args),
    /// Join a target's namespaces and run a command in them
    Enter(Box<enter::Args>),
    /// Create namespaces, set them up, and run a command in them
    Unshare(Box<unshare::Args>),
    /// Print the completion script of a shell
    Completions(completions::Args),
    /// Print the version, and with -v which kernel interfaces there are
    Version(version::Args),
    #[command(hide = true)]
    Complete(completions::Candidates),
    #[command(hide = true)]
    Man(man::Args),
}

impl Command {
    /// Returns the exit status for a failure of nstool's own: 2 for bad usage, whichever verb was used badly.
    pub(crate) fn trouble_code(&self, error: &Error) -> u8 {
        match self {
            _ if error.kind() == ErrorKind::Invalid => BAD_USAGE,
            Self::Ls(_) | Self::Show(_) | Self::Why(_) => 1,
            Self::Completions(_) | Self::Version(_) | Self::Complete(_) | Self::Man(_) => 1,
            Self::Compare(_) => 2,
            Self::Mounts(args) => args.trouble_code(),
            Self::Enter(_) | Self::Unshare(_) => 125,
        }
    }
}

/// Runs a verb; the exit status is its answer.
pub(crate) fn run(command: &Command, terminal: &Terminal) -> Result<ExitCode> {
    match command {
        Command::Ls(args) => ls::run(args, terminal),
        Command::Show(args) => show::run(args, terminal),
        Command::Why(args) => why::run(args, terminal),
        Command::Compare(args) => compare::run(args, terminal),
        Command::Mounts(args) => mounts::run(args, terminal),
        Command::Enter(args) => enter::run(args, terminal),
        Command::Unshare(args) => unshare::run(args, terminal),
        Command::Completions(args) => completions::run(args),
        Command::Version(args) => version::run(args, terminal),
        Command::Complete(args) => completions::candidates(args),
        Command::Man(args) => man::run(args),
    }
}
