//! `nstool completions`, and `nstool complete`, hidden, which the scripts ask for candidates.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use clap::{CommandFactory, ValueEnum};
use nstool::{Error, Result, printable};

use crate::cli::Cli;
use crate::completion::{self, Columns};
use crate::entry::ExitCode;
use crate::render;

/// Print the completion script of a shell
///
/// bash: put it into ~/.local/share/bash-completion/completions/nstool; zsh: into a file _nstool in a directory of fpath;
/// fish: into ~/.config/fish/completions/nstool.fish. Options and verbs are completed, and the values that are there:
/// processes with their commands, namespaces, columns, names of network namespaces.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(nstool completions bash)    for this shell
  nstool completions zsh > ~/.zfunc/_nstool   where ~/.zfunc is in fpath

Exit status: 0.")]
pub(crate) struct Args {
    /// The shell: bash, zsh or fish
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Print what may stand in the place of the last word, each with what it is behind a tab
#[derive(Debug, clap::Args)]
pub(crate) struct Candidates {
    /// The words of the command line, from the program's name to the one at the cursor
    #[arg(value_name = "WORD", last = true)]
    words: Vec<OsString>,
}

/// The verbs whose `-o` takes a list of columns.
const COLUMNS: &[(&str, Columns)] =
    &[("nstool ls", super::ls::column_names), ("nstool mounts", super::mounts::column_names)];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    render::print(match args.shell {
        Shell::Bash => include_str!("../../../../completions/nstool.bash"),
        Shell::Zsh => include_str!("../../../../completions/_nstool"),
        Shell::Fish => include_str!("../../../../completions/nstool.fish"),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn candidates(args: &Candidates) -> Result<ExitCode> {
    let candidates = completion::candidates(Cli::command(), COLUMNS, args.words.clone())
        .map_err(|error| Error::system("cannot complete", error))?;
    let mut text = String::new();
    for candidate in candidates {
        let (value, help) = (candidate.get_value(), candidate.get_help().map(ToString::to_string).unwrap_or_default());
        let help = help.lines().next().unwrap_or_default();
        // A name with a line break in it would be read as two.
        if value.to_str().is_some_and(|value| printable(value.as_bytes()) == value) {
            let _ = writeln!(text, "{}\t{}", String::from_utf8_lossy(value.as_bytes()), printable(help.as_bytes()));
        }
    }
    render::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
