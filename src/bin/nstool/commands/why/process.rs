//! The answer about a process: its namespaces, and which of them go away with it.

use nstool::discover::Scope;
use nstool::model::{Observed, Snapshot, Subject};
use nstool::query::why::{self, Kept};
use nstool::target::PinnedProcess;
use nstool::{NamespaceLink, Result};
use serde_json::{Value as Json, json};

use super::{Args, opened_by_us};
use crate::render::columns::{Cell, Column};
use crate::render::listing::{Layout, Listing};
use crate::render::{self, Terminal, hidden, report};

/// A namespace of the process, and whether some of what may keep it stayed out of sight.
struct Row {
    kept: Kept,
    unsure: bool,
    /// Whether processes stayed out of sight, which may be in it.
    processes_hidden: bool,
}

static COLUMNS: [Column<Row>; 5] = [
    Column::right("NS", "inode of the namespace", |row: &Row| match row.kept.namespace {
        Observed::Known(id) => i64::try_from(id.ino).map_or(Cell::Hidden, Cell::Number),
        _ => Cell::Hidden,
    }),
    Column::left("TYPE", "link of the process that leads to it", |row: &Row| match row.kept.thread {
        None => Cell::text(row.kept.link.file_name()),
        Some(tid) => Cell::owned(format!("{} of thread {tid}", row.kept.link.file_name())),
    }),
    Column::left("KEPT-BY", "whether this process alone keeps it", |row: &Row| Cell::text(verdict(row))).wrap(16),
    Column::right("OTHER-PROCS", "other processes in it that would stay", |row: &Row| {
        count(row.kept.other_members, row.processes_hidden)
    }),
    Column::right("OTHER-HOLDERS", "whatever else would keep it", |row: &Row| {
        count(row.kept.other_holders, row.unsure)
    }),
];

fn verdict(row: &Row) -> &'static str {
    match (row.kept.namespace, row.kept.alone) {
        (Observed::Hidden(_) | Observed::Gone, _) => "?",
        _ if row.kept.initial => "the kernel: an initial one",
        (_, true) if row.unsure && row.kept.ending_with_it > 0 => "only this init and its namespace's, as far as seen",
        (_, true) if row.kept.ending_with_it > 0 => "only this init and what ends with it",
        (_, true) if row.unsure => "only this process, as far as seen",
        (_, true) => "only this process",
        _ => "others as well",
    }
}

/// A number that may be higher where something stayed out of sight; none seen is not none.
fn count(seen: usize, hidden: bool) -> Cell<'static> {
    match seen {
        0 if hidden => Cell::Hidden,
        seen if hidden => Cell::owned(format!("{seen}+")),
        seen => Cell::Number(seen as i64),
    }
}

pub(super) fn run(args: &Args, process: &PinnedProcess, terminal: &Terminal) -> Result<()> {
    process.verify_listed()?;
    let is_zombie = process.is_zombie();
    let mut snapshot = Snapshot::capture(&Scope::holders())?;
    // Whether it is an init, and who must reap the zombies that would not end with it.
    let zombies = snapshot.processes().iter().filter(|process| process.is_zombie()).map(|process| process.pid);
    let asked: Vec<_> = zombies.chain([process.pid()]).collect();
    snapshot.describe(asked)?;
    // It was there when the scan had read it, so what was read is its own.
    if !(is_zombie && process.is_zombie()) {
        process.verify()?;
    }
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
    let hidden = !snapshot.hidden().is_empty();
    let processes_hidden =
        [Subject::Process, Subject::UnlistedProcesses].iter().any(|subject| snapshot.hidden().count(*subject) > 0);
    let row = |kept: Kept| Row { unsure: hidden || kept.suspected, processes_hidden, kept };
    // What a zombie has let go of, it does not keep.
    let kept = kept.into_iter().filter(|kept| !is_zombie || kept.namespace.known().is_some());
    let rows: Vec<Row> = kept.map(row).collect();
    if args.json {
        let list: Vec<Json> = rows.iter().map(json_of).collect();
        return render::print_json(&json!({
            "pid": process.pid(), "zombie": is_zombie, "namespaces": list, "hidden": hidden::json(&snapshot),
        }));
    }
    let listing = Listing { columns: COLUMNS.iter().collect(), rows, tree: None };
    render::print(&listing.table(Layout::default(), terminal))?;
    if is_zombie {
        let pid = process.pid();
        report::note(&format!("process {pid} is a zombie, which its parent must reap: `nstool show {pid}`"), terminal);
    }
    hidden::say(&snapshot, terminal);
    Ok(())
}

fn json_of(row: &Row) -> Json {
    let kept = &row.kept;
    let count = |seen: usize, hidden: bool| (seen > 0 || !hidden).then_some(seen);
    json!({
        "type": kept.link.kind().name(),
        "link": kept.link.file_name(),
        "thread": kept.thread,
        "ns": kept.namespace.known().map(|id| id.ino),
        "only_this_process": kept.namespace.known().map(|_| kept.alone),
        "possibly_others": kept.suspected,
        "initial": kept.initial,
        "ending_with_it": kept.ending_with_it,
        "other_processes": count(kept.other_members, row.processes_hidden),
        "other_holders": count(kept.other_holders, row.unsure),
    })
}
