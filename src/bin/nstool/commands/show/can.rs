//! `nstool show --can`: which capabilities a process has over a namespace, and by which rule.

use nstool::model::{Membership, ProcessFacts};
use nstool::query::can;
use nstool::target::{Resolved, Target};
use nstool::{Error, ErrorKind, Result};
use serde_json::json;

use crate::render::page::Page;

pub(super) fn page(process: &Target, namespace: &Target) -> Result<Page> {
    let Resolved::Process(process) = process.resolve()? else {
        return Err(Error::new(ErrorKind::Unsuitable, format!("{process} is no process"))
            .with_hint("write `nstool show --can PID NS`"));
    };
    let Resolved::Namespace(namespace) = namespace.resolve()? else {
        return Err(Error::new(ErrorKind::Unsuitable, format!("{namespace} is no namespace"))
            .with_hint("name one of its namespaces: `nstool show --can PID /proc/PID/ns/net`"));
    };
    let facts = ProcessFacts::read(&process)?;
    let membership = Membership::of(&namespace);
    let (kind, id) = (namespace.kind(), namespace.id());
    let cannot_tell = || {
        let message = format!("cannot tell what process {} can do with {kind} namespace {id}", process.pid());
        let error = Error::new(ErrorKind::NotPermitted, message);
        if facts.user_levels().is_empty() {
            error.because("the user namespace of the process cannot be read").with_hint("run nstool as root")
        } else {
            error.because("the owner of the namespace lies outside our own user namespace")
        }
    };
    let answer = can::can(&facts, &membership.owners).ok_or_else(cannot_tell)?;
    let mut page = Page::new(
        &[
            format!("process {} (", process.pid()).as_bytes(),
            &facts.command,
            format!(") and {kind} namespace {id}").as_bytes(),
        ]
        .concat(),
    );
    page.section("may");
    page.line(
        "capabilities",
        answer.capabilities.to_string(),
        "capabilities",
        json!(answer.capabilities.names().collect::<Vec<_>>()),
    );
    page.line("because", answer.rule.words(answer.capabilities), "rule", answer.rule.key());
    page.entry("", Vec::new(), "pid", json!(process.pid()));
    page.entry("", Vec::new(), "type", json!(kind.name()));
    page.entry("", Vec::new(), "ns", json!(id.ino));
    let own = facts.user_levels().first().map(|level| level.id.ino);
    page.line("its user namespace", own.map_or("?".to_owned(), |ino| ino.to_string()), "user_namespace", json!(own));
    let chain: Vec<u64> = membership.owners.iter().map(|level| level.id.ino).collect();
    let words: Vec<_> = chain.iter().map(u64::to_string).collect();
    page.line("owners of the namespace", words.join(", below "), "owners", json!(chain));
    Ok(page)
}
