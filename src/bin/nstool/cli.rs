//! The command line as a whole: what all verbs share. Each verb's own options stand in its file below `commands/`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::commands::Command;
use crate::render::{self, Terminal, report};

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

/// Parses our command line. What ends there is done: help and the version are printed, and bad usage is explained with
/// status 2.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|talk| {
        let printed = talk.print().and_then(|()| io::stdout().flush());
        match render::written(printed) {
            Err(error) if !talk.use_stderr() => {
                report::error(&error, &Terminal::detect(ColorChoice::Auto));
                ExitCode::FAILURE
            }
            _ => u8::try_from(talk.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
        }
    })
}
