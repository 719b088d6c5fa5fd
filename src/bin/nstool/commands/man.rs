//! `nstool man`, hidden: writes the manual pages. A package and the tests use it.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::CommandFactory;
use nstool::{Error, Result};

use crate::cli::Cli;
use crate::entry::ExitCode;
use crate::manual;

/// Write the manual pages into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let pages = manual::pages(Cli::command()).map_err(|error| Error::system("cannot make the manual pages", error))?;
    for page in pages {
        let path = args.directory.join(page.file);
        std::fs::write(&path, page.text).map_err(|error| {
            Error::system(format!("cannot write {}", nstool::printable(path.as_os_str().as_bytes())), error)
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
