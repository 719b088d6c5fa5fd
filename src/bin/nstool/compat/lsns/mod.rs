//! `lsns`: namespaces as util-linux lists them.
//!
//! Only namespaces with processes are listed, and in a tree of owners or parents their ancestors. A locale with UTF-8 is
//! taken at its name, be it installed or not; a reader that goes away is no failure.

mod columns;
mod options;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::IsTerminal;

use nstool::Pid;
use nstool::model::{Namespace, Observed, Snapshot};

use self::columns::Row;
use self::options::{Asked, Relation};
use super::Refused;
use super::table::{Layout, Table};
use crate::entry::ExitCode;
use crate::render;

const NAME: &str = "lsns";

pub(super) fn run(words: &[OsString]) -> ExitCode {
    match Asked::read(words).and_then(|asked| list(&asked)) {
        Ok(text) => Refused::Said(text).answer(NAME),
        Err(refused) => refused.answer(NAME),
    }
}

fn list(asked: &Asked) -> Result<String, Refused> {
    let columns = asked.columns()?;
    let snapshot = Snapshot::capture(&asked.scope(&columns)).map_err(|error| Refused::from(&error))?;
    let rows = match asked.namespace {
        Some(inode) => processes(&snapshot, asked, inode)?,
        None => namespaces(&snapshot, asked),
    };
    let shows = |name: &str| columns.iter().any(|column| column.header.name == name);
    let relation = match asked.relation() {
        // Without the column it is drawn in there is no tree; nor with every column, unless it was asked for.
        Some(Relation::Process) if shows("COMMAND") && (asked.tree.is_some() || !asked.all_columns) => {
            Some(Relation::Process)
        }
        Some(relation) if relation != Relation::Process && shows("NS") && asked.namespace.is_none() => Some(relation),
        _ => None,
    };
    let parents = relation.map(|relation| parents(&rows, relation, asked.namespace.is_some()));
    let tree_column = if relation == Some(Relation::Process) { "COMMAND" } else { "NS" };
    let table = Table {
        headers: columns.iter().map(|column| column.header).collect(),
        rows: rows.iter().map(|row| columns.iter().map(|column| (column.cell)(row)).collect()).collect(),
        tree: parents.map(|parents| (parents, tree_column)),
    };
    let terminal = render::Terminal::detect(crate::cli::ColorChoice::Never);
    let width = terminal.width.filter(|_| !asked.no_truncate && std::io::stdout().is_terminal());
    let layout = Layout { headings: !asked.no_headings, joined: asked.no_wrap, utf8: is_utf8(), width };
    Ok(match () {
        () if asked.json => table.json("namespaces"),
        () if asked.raw => table.raw(layout),
        () => table.text(layout),
    })
}

/// The first of these variables that is set and not empty decides (locale(7)).
fn is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn processes<'a>(snapshot: &'a Snapshot, asked: &Asked, inode: u64) -> Result<Vec<Row<'a>>, Refused> {
    let found = snapshot.namespace_by_inode(inode).filter(|namespace| asked.kinds().contains(namespace.kind));
    let namespace = found.ok_or_else(|| Refused::Message(format!("not found namespace: {inode}")))?;
    let members = namespace.members.len();
    let row = |process| Row { namespace, process: Some(process), members };
    Ok(namespace.members.iter().filter_map(|pid| snapshot.process(*pid)).map(row).collect())
}

fn namespaces<'a>(snapshot: &'a Snapshot, asked: &Asked) -> Vec<Row<'a>> {
    let kinds = asked.kinds();
    let is_asked = |namespace: &&Namespace| {
        kinds.contains(namespace.kind)
            && !namespace.members.is_empty()
            && asked.task.filter(|pid| *pid != 0).is_none_or(|pid| namespace.members.contains(&pid))
    };
    let mut found: Vec<&Namespace> = snapshot.namespaces().iter().filter(is_asked).collect();
    let mut shown = Vec::new();
    if asked.is_of_namespaces() {
        found.extend(found.clone().into_iter().flat_map(|namespace| ancestors(snapshot, namespace, true)));
        found.sort_unstable_by_key(|namespace| namespace.id.ino);
    }
    for namespace in found {
        // What stands above comes first, whatever its inode.
        if asked.is_of_namespaces() {
            let parents_too = asked.relation() == Some(Relation::Parent);
            shown.extend(ancestors(snapshot, namespace, parents_too).into_iter().rev());
        }
        shown.push(namespace);
    }
    let mut seen = HashSet::new();
    shown.retain(|namespace| seen.insert(namespace.id));
    let row = |namespace: &'a Namespace| {
        // What is shown only as an ancestor was not asked for, so its processes were not counted.
        let asked_for = kinds.contains(namespace.kind);
        let process = namespace.lead().filter(|_| asked_for).and_then(|pid| snapshot.process(pid));
        Row { namespace, process, members: if asked_for { namespace.members.len() } else { 0 } }
    };
    shown.into_iter().map(row).collect()
}

/// Returns the owners of a namespace, and where asked the parents, the nearest first.
fn ancestors<'a>(snapshot: &'a Snapshot, namespace: &'a Namespace, parents_too: bool) -> Vec<&'a Namespace> {
    let (mut found, mut climbing) = (Vec::new(), vec![namespace]);
    while let Some(next) = climbing.pop() {
        let above = [next.parent.filter(|_| parents_too), next.owner].into_iter().flatten().filter_map(Observed::known);
        for above in above.filter_map(|id| snapshot.namespace(id)) {
            if !found.iter().any(|known: &&Namespace| known.id == above.id) {
                found.push(above);
                climbing.push(above);
            }
        }
    }
    found
}

/// Returns each row's parent row.
fn parents(rows: &[Row<'_>], relation: Relation, of_one: bool) -> Vec<Option<usize>> {
    if relation == Relation::Process {
        return parents_by_process(rows, of_one);
    }
    let places: HashMap<u64, usize> =
        rows.iter().enumerate().map(|(place, row)| (row.namespace.id.ino, place)).collect();
    let above = |row: &Row<'_>| {
        let id = if relation == Relation::Owner { row.namespace.owner } else { row.namespace.parent };
        places.get(&id?.known()?.ino).copied()
    };
    rows.iter().map(above).collect()
}

/// Below the row of the parent process: where that stands for several namespaces, the last of them above this row.
fn parents_by_process(rows: &[Row<'_>], of_one: bool) -> Vec<Option<usize>> {
    let mut last: HashMap<Pid, usize> = HashMap::new();
    if of_one {
        last = rows.iter().enumerate().filter_map(|(place, row)| Some((row.process?.pid, place))).collect();
    }
    let mut parents = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        parents.push(row.details().and_then(|details| last.get(&details.parent).copied()));
        if let Some(process) = row.process.filter(|_| !of_one) {
            last.insert(process.pid, place);
        }
    }
    parents
}
