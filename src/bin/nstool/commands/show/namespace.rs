//! The page about a namespace.

use nstool::discover::Scope;
use nstool::model::{Contents, Membership, Observed, Snapshot};
use nstool::target::PinnedNamespace;
use nstool::{NamespaceId, NamespaceKind, Result};
use serde_json::{Value as Json, json};

use super::{chain, contents, is_ours, lossy, remark, seen, seen_json};
use crate::commands::why;
use crate::render::hidden;
use crate::render::page::Page;

/// How many processes are listed before the rest is counted.
const FEW: usize = 10;

pub(super) fn page(found: &PinnedNamespace) -> Result<(Page, Snapshot)> {
    let (kind, id) = (found.kind(), found.id());
    let mut snapshot = Snapshot::capture(&Scope::holders_of(id.ino, Some(kind)))?;
    let members = snapshot.namespace(id).map(|namespace| namespace.members.clone()).unwrap_or_default();
    snapshot.describe(members.iter().copied().take(FEW))?;
    let contents = Contents::read(found, &snapshot)?;

    let mut title = format!("{kind} namespace {id}").into_bytes();
    let remark = remark(kind, id);
    if !remark.is_empty() {
        title.extend(format!(": {remark}").as_bytes());
    }
    let mut page = Page::new(&title);
    lineage(&mut page, found, &snapshot);
    people(&mut page, id, &snapshot);
    page.section("contents");
    contents::entries(&mut page, &contents);
    page.entry("", Vec::new(), "hidden", hidden::json(&snapshot));
    Ok((page, snapshot))
}

fn lineage(page: &mut Page, found: &PinnedNamespace, snapshot: &Snapshot) {
    let (kind, id) = (found.kind(), found.id());
    page.section("namespace");
    page.entry("", Vec::new(), "type", json!(kind.name()));
    page.entry("", Vec::new(), "ns", json!(id.ino));
    page.entry("", Vec::new(), "initial", json!(id.ino == kind.facts().initial_inode));
    page.entry("", Vec::new(), "ours", json!(is_ours(kind, id)));
    let Some(namespace) = snapshot.namespace(id) else { return };
    page.line(
        "kernel's id",
        seen(&namespace.unique_id, |id| id.to_string().into_bytes()),
        "id",
        seen_json(&namespace.unique_id, |id| json!(id)),
    );
    let names: Vec<Vec<u8>> = namespace.names().map(<[u8]>::to_vec).collect();
    let names_json: Vec<Json> = names.iter().map(|name| lossy(name)).collect();
    page.entry("named", names, "names", json!(names_json));
    let relative = |observed: &Option<Observed<NamespaceId>>| match observed {
        None => (Vec::new(), Json::Null),
        Some(observed) => {
            (vec![seen(observed, |id| id.to_string().into_bytes())], seen_json(observed, |id| json!(id.ino)))
        }
    };
    let (lines, json) = relative(&namespace.parent);
    page.entry("parent", lines, "parent", json);
    let owners = Membership::of(found).owners;
    let above = if kind == NamespaceKind::User { owners.get(1..).unwrap_or_default() } else { &owners[..] };
    let lines = if above.is_empty() {
        relative(&namespace.owner).0
    } else {
        vec![format!("user namespace {}", chain(above)).into_bytes()]
    };
    page.entry("owner", lines, "owners", json!(above.iter().map(|level| level.id.ino).collect::<Vec<_>>()));
    if let Some(creator) = &namespace.creator {
        let words = seen(creator, |uid| format!("uid {uid}").into_bytes());
        page.line("created by", words, "creator", seen_json(creator, |uid| json!(uid)));
    }
}

fn people(page: &mut Page, id: NamespaceId, snapshot: &Snapshot) {
    let Some(namespace) = snapshot.namespace(id) else { return };
    page.section("kept by");
    let command = |pid| match snapshot.process(pid).map(|process| &process.details) {
        Some(Observed::Known(details)) => details.command.clone(),
        _ => Vec::new(),
    };
    let one = |pid: &i32| {
        let process = snapshot.process(*pid);
        let state = match process {
            Some(process) if process.is_zombie() => " (zombie: ended and not reaped)",
            Some(process) if process.is_ending() => " (ending: waits until the others are reaped)",
            _ => "",
        };
        [format!("{pid} ").as_bytes(), &command(*pid), state.as_bytes()].concat().trim_ascii_end().to_vec()
    };
    let mut lines: Vec<Vec<u8>> = namespace.members.iter().take(FEW).map(one).collect();
    let more = namespace.members.len().saturating_sub(FEW);
    if more > 0 {
        lines.push(format!("and {more} more").into_bytes());
    }
    if lines.is_empty() {
        lines.push(b"none".to_vec());
    }
    page.entry("processes", lines, "processes", json!(namespace.members));
    let holders = namespace.holders.iter().filter(|holder| !why::opened_by_us(holder));
    let mut lines: Vec<Vec<u8>> = holders.map(|holder| why::describe(holder, snapshot).into_bytes()).collect();
    let list: Vec<Json> = lines.iter().map(|line| lossy(line)).collect();
    let more = lines.len().saturating_sub(FEW);
    lines.truncate(FEW);
    if more > 0 {
        lines.push(format!("and {more} more: `nstool why ns:{id}` lists all").into_bytes());
    }
    page.entry("other holders", lines, "holders", json!(list));
}
