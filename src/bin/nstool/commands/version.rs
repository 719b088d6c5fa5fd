//! `nstool version`: which nstool this is, and which kernel interfaces it finds.

use std::sync::OnceLock;

use nstool::discover::Scope;
use nstool::model::Snapshot;
use nstool::{Interface, Result};
use serde_json::json;

use crate::entry::ExitCode;
use crate::render::columns::{Cell, Column};
use crate::render::listing::{Layout, Listing};
use crate::render::{self, Terminal, report};

/// Print the version, and with -v which kernel interfaces there are and what is used instead
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nstool version        the version, and how it was built
  nstool version -v     what this kernel offers, and the fallbacks in use

Exit status: 0.")]
pub(crate) struct Args {
    /// Also try the interfaces that not every kernel has
    #[arg(short = 'v', long)]
    verbose: bool,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

/// The version, the commit where the build was told of it in NSTOOL_COMMIT, and the features.
pub(crate) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let commit = option_env!("NSTOOL_COMMIT").map(|commit| format!("{commit}, ")).unwrap_or_default();
        format!("{} ({commit}+cli)", env!("CARGO_PKG_VERSION"))
    })
}

static COLUMNS: [Column<&'static Interface>; 4] = [
    Column::left("INTERFACE", "what it is called", |interface| Cell::text(interface.name)),
    Column::left("SINCE", "the Linux release that brought it", |interface| Cell::text(interface.since)),
    Column::left("FOUND", "whether this kernel has it", |interface: &&'static Interface| match interface.present() {
        Some(true) => Cell::text("yes"),
        Some(false) => Cell::text("no"),
        None if interface.needs.is_empty() => Cell::text("not tried"),
        None => Cell::owned(format!("not tried: it needs {}", interface.needs)),
    })
    .wrap(16),
    Column::left("INSTEAD", "what is used where it is missing", |interface: &&'static Interface| {
        Cell::text(interface.fallback)
    })
    .wrap(24),
];

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let rows: Vec<&'static Interface> = if args.verbose {
        nstool::try_interfaces();
        // A scan tries whatever it can use.
        if let Err(error) = Snapshot::capture(&Scope::everything()) {
            report::note(&format!("some could not be tried: {error}"), terminal);
        }
        nstool::interfaces().collect()
    } else {
        Vec::new()
    };
    let listing = Listing { columns: COLUMNS.iter().collect(), rows, tree: None };
    if args.json {
        let mut document = json!({ "version": env!("CARGO_PKG_VERSION"), "commit": option_env!("NSTOOL_COMMIT") });
        if args.verbose {
            document["interfaces"] = listing.json().into();
        }
        render::print_json(&document)?;
    } else {
        render::print(&format!("nstool {}\n{}", text(), listing.table(Layout::default(), terminal)))?;
    }
    Ok(ExitCode::SUCCESS)
}
