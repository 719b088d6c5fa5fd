//! Which rows `nstool ls` shows, and how they hang together.

use std::collections::HashMap;
use std::rc::Rc;

use nstool::model::{Namespace, Observed, Process, Snapshot};
use nstool::query::filter::Filter;
use nstool::query::tree::nearest;
use nstool::{NamespaceLink, Pid};

use super::columns::{COLUMNS, Row, Scene};
use super::{Args, Relation};
use crate::render::columns::passes;

/// Returns the rows that were asked for, ascending by namespace, then by process.
pub(super) fn select(args: &Args, task: Option<Pid>, scene: &Rc<Scene>, filter: Option<&Filter>) -> Vec<Row> {
    let snapshot = &scene.snapshot;
    let place_of = |pid| snapshot.processes().binary_search_by_key(&pid, |process| process.pid).ok();
    let row = |namespace, process| Row { scene: Rc::clone(scene), namespace, process };
    let mut rows = Vec::new();
    for (index, namespace) in snapshot.namespaces().iter().enumerate() {
        if !args.kinds().contains(namespace.kind) {
            continue;
        }
        if args.namespaces.contains(&namespace.id.ino) {
            rows.extend(namespace.members.iter().map(|pid| row(index, place_of(*pid))));
        } else if args.namespaces.is_empty()
            && task.is_none_or(|pid| namespace.members.binary_search(&pid).is_ok())
            && (!args.persistent || namespace.members.is_empty())
        {
            rows.push(row(index, namespace.lead().and_then(place_of)));
        }
    }
    rows.retain(|row| passes(&COLUMNS, filter, row));
    rows
}

/// Returns each row's parent row: the nearest one above it along `relation` that is shown.
pub(super) fn parents(args: &Args, rows: &[Row], relation: Relation) -> Vec<Option<usize>> {
    let Some(first) = rows.first() else { return Vec::new() };
    let snapshot = &first.scene.snapshot;
    let places = || rows.iter().enumerate();
    let by_namespace: HashMap<_, _> = places().map(|(place, row)| (row.namespace().id, place)).collect();
    let by_process: HashMap<_, _> =
        places().filter_map(|(place, row)| Some(((row.namespace, row.process()?.pid), place))).collect();
    let above_process = |row: &Row| {
        let namespace = row.namespace();
        nearest(
            row.process()?,
            snapshot.processes().len(),
            |process| parent_of(snapshot, process),
            |process| {
                if !args.namespaces.is_empty() {
                    return by_process.get(&(row.namespace, process.pid)).copied();
                }
                let id = process.namespace(NamespaceLink::Own(namespace.kind)).known()?;
                by_namespace.get(&id).copied().filter(|_| id != namespace.id)
            },
        )
    };
    let above_namespace = |row: &Row| {
        let next = |namespace: &&'_ Namespace| {
            let next = if relation == Relation::Owner { namespace.owner } else { namespace.parent };
            snapshot.namespace(next?.known()?)
        };
        let shown = |namespace: &&'_ Namespace| by_namespace.get(&namespace.id).copied();
        nearest(row.namespace(), snapshot.namespaces().len(), next, shown)
    };
    let above = |row| if relation == Relation::Process { above_process(row) } else { above_namespace(row) };
    rows.iter().map(above).collect()
}

fn parent_of<'a>(snapshot: &'a Snapshot, process: &Process) -> Option<&'a Process> {
    match &process.details {
        Observed::Known(details) => snapshot.process(details.parent),
        _ => None,
    }
}
