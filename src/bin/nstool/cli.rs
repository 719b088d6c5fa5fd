//! The command line as a whole: what all verbs share. Each verb's own options stand in its file below `commands/`.

use clap::{CommandFactory as _, Parser, ValueEnum};

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
pub(crate) fn parse() -> Cli {
    Cli::parse_from(crate::glued::spelled_out(std::env::args_os().collect(), Cli::command))
}
