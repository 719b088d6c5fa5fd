//! The answer about a process: its namespaces, and which of them go away with it.

use nstool::discover::Scope;
use nstool::model::{Observed, Snapshot};
use nstool::query::why::{self, Kept};
use nstool::target::PinnedProcess;
use nstool::{NamespaceLink, Result};
use serde_json::{Value as Json, json};

use super::{Args, opened_by_us};
use crate::render::columns::{Cell, Column};
use crate::render::listing::{Layout, Listing};
use crate::render::{self, Terminal, hidden};

/// A namespace of the process, and whether some of what may keep it stayed out of sight.
struct Row {
    kept: Kept,
    unsure: bool,
}

static COLUMNS: [Column<Row>; 5] = [
    Column::right("NS", "inode of the namespace", |row: &Row| match row.kept.namespace {
        Observed::Known(id) => i64::try_from(id.ino).map_or(Cell::Hidden, Cell::Number),
        _ => Cell::Hidden,
    }),
    Column::left("TYPE", "link of the process that leads to it", |row: &Row| Cell::text(row.kept.link.file_name())),
    Column::left("KEPT-BY", "whether this process alone keeps it", |row: &Row| Cell::text(verdict(row))),
    Column::right("OTHER-PROCS", "other processes in it", |row: &Row| Cell::Number(row.kept.other_members as i64)),
    Column::right("OTHER-HOLDERS", "whatever else would keep it", |row: &Row| {
        Cell::Number(row.kept.other_holders as i64)
    }),
];

fn verdict(row: &Row) -> &'static str {
    match (row.kept.namespace, row.kept.alone) {
        (Observed::Hidden(_) | Observed::Gone, _) => "?",
        (_, true) if row.unsure => "only this process, as far as seen",
        (_, true) => "only this process",
        _ => "others as well",
    }
}

pub(super) fn run(args: &Args, process: &PinnedProcess, terminal: &Terminal) -> Result<()> {
    process.verify_listed()?;
    let snapshot = Snapshot::capture(&Scope::holders())?;
    // It was alive when the scan had read it, so what was read is its own.
    process.verify()?;
    let ended = || process.cannot("read the namespaces", rustix::io::Errno::SRCH.into());
    let kept = why::kept_by(&snapshot, process.pid(), &opened_by_us).ok_or_else(ended)?;
    if kept.iter().all(|kept| kept.namespace.known().is_none()) {
        // Asked once more for the errno and the hint that belongs to it.
        let link = NamespaceLink::ALL[0];
        return Err(match process.namespace(link) {
            Err(error) => process.cannot("read the namespaces", error),
            Ok(_) => ended(),
        });
    }
    if args.json {
        let list: Vec<Json> = kept.iter().map(json_of).collect();
        return render::print_json(
            &json!({ "pid": process.pid(), "namespaces": list, "hidden": hidden::json(&snapshot) }),
        );
    }
    let hidden = !snapshot.hidden().is_empty();
    let rows = kept.into_iter().map(|kept| Row { unsure: hidden || kept.suspected, kept }).collect();
    let listing = Listing { columns: COLUMNS.iter().collect(), rows, tree: None };
    render::print(&listing.table(Layout::default(), terminal))?;
    hidden::say(&snapshot, terminal);
    Ok(())
}

fn json_of(kept: &Kept) -> Json {
    json!({
        "type": kept.link.kind().name(),
        "link": kept.link.file_name(),
        "ns": kept.namespace.known().map(|id| id.ino),
        "only_this_process": kept.namespace.known().map(|_| kept.alone),
        "possibly_others": kept.suspected,
        "other_processes": kept.other_members,
        "other_holders": kept.other_holders,
    })
}
