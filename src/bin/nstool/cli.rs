//! The command line as a whole: what all verbs share. Each verb's own options stand in its file below `commands/`.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

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

/// Parses our command line. Where help or the version is asked for, prints that and exits; on bad usage, prints why and
/// exits with 2.
pub(crate) fn parse(words: Vec<OsString>) -> Cli {
    // Taking the definition apart again would cost a tenth of the parsing, and the process ends soon.
    let mut definition = ManuallyDrop::new(Cli::command());
    let words = crate::glued::spelled_out(words, Cli::command);
    let matches = definition.try_get_matches_from_mut(words);
    let mut matches = ManuallyDrop::new(matches.unwrap_or_else(|talk| end_with(&talk)));
    Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|talk| end_with(&talk.format(&mut definition)))
}

/// Prints what clap has to say, with the hint of a value that was refused, and exits.
fn end_with(talk: &clap::Error) -> ! {
    let printed = talk.print().and_then(|()| io::stdout().flush());
    let refused = talk.source().and_then(|source| source.downcast_ref::<nstool::Error>());
    if let Some(hint) = refused.and_then(nstool::Error::hint) {
        report::hint(hint, &Terminal::detect(ColorChoice::Auto));
    }
    // Clap's own exit passes over what could not be written.
    if let (Err(error), false) = (render::written(printed), talk.use_stderr()) {
        report::error(&error, &Terminal::detect(ColorChoice::Auto));
        std::process::exit(1);
    }
    std::process::exit(talk.exit_code())
}
