//! Which rows `nstool ls` shows, and how they hang together.

use std::collections::HashMap;
use std::rc::Rc;

use nstool::NamespaceLink;
use nstool::model::{Observed, Process};
use nstool::query::filter::Filter;

use super::columns::{COLUMNS, Row, Scene};
use super::{Args, Relation};
use crate::render::columns::passes;

/// Returns the rows that were asked for, ascending by namespace, then by process.
pub(super) fn select(args: &Args, scene: &Rc<Scene>, filter: Option<&Filter>) -> Vec<Row> {
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
            && args.task.is_none_or(|pid| namespace.members.binary_search(&pid).is_ok())
            && (!args.persistent || namespace.members.is_empty())
        {
            rows.push(row(index, namespace.lead().and_then(place_of)));
        }
    }
    rows.retain(|row| passes(&COLUMNS, filter, row));
    rows
}

/// Returns each row's parent row: the nearest one above it along `relation` that is shown.
pub(super) fn parents(rows: &[Row], relation: Relation) -> Vec<Option<usize>> {
    let Some(first) = rows.first() else { return Vec::new() };
    let snapshot = &first.scene.snapshot;
    let by_namespace: HashMap<_, _> = rows.iter().enumerate().map(|(place, row)| (row.namespace().id, place)).collect();
    let by_process: HashMap<_, _> =
        rows.iter().enumerate().map(|(place, row)| ((row.namespace, row.process), place)).collect();
    let shows_processes = by_namespace.len() < rows.len() || rows.iter().any(|row| row.process_is_not_lead());
    let parent_of = |process: &Process| match &process.details {
        Observed::Known(details) => snapshot.process(details.parent),
        _ => None,
    };
    let above = |row: &Row| {
        let namespace = row.namespace();
        if relation == Relation::Process {
            let link = NamespaceLink::Own(namespace.kind);
            let mut process = row.process()?;
            // A parent is always another process, but numbers read at different moments could lead round.
            for _ in 0..snapshot.processes().len() {
                process = parent_of(process)?;
                let place = snapshot.processes().binary_search_by_key(&process.pid, |process| process.pid).ok();
                if shows_processes {
                    if let Some(found) = by_process.get(&(row.namespace, place)) {
                        return Some(*found);
                    }
                } else if let Observed::Known(id) = process.namespace(link)
                    && id != namespace.id
                    && let Some(found) = by_namespace.get(&id)
                {
                    return Some(*found);
                }
            }
            return None;
        }
        let mut here = namespace;
        for _ in 0..snapshot.namespaces().len() {
            let next = if relation == Relation::Owner { here.owner } else { here.parent };
            let Some(Observed::Known(id)) = next else { return None };
            if let Some(found) = by_namespace.get(&id) {
                return Some(*found);
            }
            here = snapshot.namespace(id)?;
        }
        None
    };
    rows.iter().map(above).collect()
}
