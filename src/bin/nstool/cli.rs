//! The command line as a whole: what all verbs share. Each verb's own options stand in its file below `commands/`.

use std::ffi::OsString;
use std::mem::ManuallyDrop;

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::commands::Command;

/// See, explain, compare, enter and create Linux namespaces.
#[derive(Debug, Parser)]
#[command(name = "nstool", version = crate::commands::version::text(), max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// When to colour: auto is on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub(crate) color: ColorChoice,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The values of `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// Parses our command line; on bad usage, prints why and exits with 2.
pub(crate) fn parse(words: Vec<OsString>) -> Cli {
    let words = crate::glued::spelled_out(words, Cli::command);
    // Taking the definition apart again would cost a tenth of the parsing, and the process ends soon.
    let mut definition = ManuallyDrop::new(Cli::command());
    let matches = definition.try_get_matches_from_mut(words);
    let mut matches = ManuallyDrop::new(matches.unwrap_or_else(|error| error.exit()));
    Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut definition).exit())
}
