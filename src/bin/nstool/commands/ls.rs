//! `nstool ls`: the namespaces of the machine.

use std::process::ExitCode;

use nstool::Result;

use crate::render::Terminal;

/// List namespaces, grouped by inode, with their processes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _terminal: &Terminal) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
