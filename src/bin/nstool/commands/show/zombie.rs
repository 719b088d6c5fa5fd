//! The page about a process that has ended and was not reaped.

use std::os::unix::process::ExitStatusExt;

use nstool::model::Zombie;
use serde_json::{Value as Json, json};

use super::{chain, is_ours, lossy, remark};
use crate::render::page::Page;

pub(super) fn page(zombie: &Zombie, pidfd_inode: Option<u64>) -> Page {
    let mut page = Page::new(&[format!("process {}: ", zombie.pid).as_bytes(), &zombie.name].concat());
    page.section("process");
    page.entry("", Vec::new(), "pid", json!(zombie.pid));
    page.entry("", Vec::new(), "pidfd_inode", json!(pidfd_inode));
    page.entry("", Vec::new(), "command", lossy(&zombie.name));
    page.entry("", Vec::new(), "zombie", json!(true));
    page.line("state", "Z (zombie: it has ended, and was not reaped)", "state", "Z");
    let words = match zombie.ended {
        None => "? (only who has rights over it may know how)".to_owned(),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit status {code}"),
            (_, Some(signal)) if status.core_dumped() => format!("by signal {signal}, with a core dump"),
            (_, signal) => format!("by signal {}", signal.unwrap_or_default()),
        },
    };
    page.line("ended", words, "exit_status", json!(zombie.ended.and_then(|status| status.code())));
    page.entry("", Vec::new(), "exit_signal", json!(zombie.ended.and_then(|status| status.signal())));
    page.line("uid", zombie.uid.map_or("?".to_owned(), |uid| uid.to_string()), "uid", json!(zombie.uid));
    page.line("parent", parent(zombie), "parent", zombie.parent);
    page.entry("", Vec::new(), "parent_command", zombie.parent_name.as_ref().map_or(Json::Null, |name| lossy(name)));
    page.entry("", Vec::new(), "parent_stopped", json!(zombie.parent_stopped));
    let is_init = zombie.parent_standing.known().map(|told| told.is_init);
    page.entry("", Vec::new(), "parent_is_init", json!(is_init));
    let tracer = zombie.tracer.map(|tracer| format!("process {tracer}, which must let go of it first").into_bytes());
    page.entry("traced by", tracer.into_iter().collect(), "tracer", json!(zombie.tracer));
    page.section("still keeps");
    let mut kept = Vec::new();
    for membership in &zombie.kept {
        let (kind, Some(id)) = (membership.kind, membership.id.known()) else { continue };
        let remark = remark(kind, id);
        let above = if kind == nstool::NamespaceKind::User { membership.owners.get(1..) } else { None };
        let owner = above.filter(|above| !above.is_empty()).map(|above| format!(" owned by {}", chain(above)));
        let remark = if remark.is_empty() { remark } else { format!(" ({remark})") };
        page.line(kind.name(), format!("{id}{}{remark}", owner.unwrap_or_default()), "", Json::Null);
        kept.push(json!({
            "type": kind.name(),
            "ns": id.ino,
            "initial": id.ino == kind.facts().initial_inode,
            "ours": is_ours(kind, id),
            "owners": membership.owners.iter().map(|level| level.id.ino).collect::<Vec<_>>(),
        }));
    }
    page.entry("", Vec::new(), "namespaces", json!(kept));
    page.section("to be rid of it");
    let steps = steps(zombie);
    let commands: Vec<&String> = steps.iter().filter_map(|(command, _)| command.as_ref()).collect();
    page.entry("", Vec::new(), "release", json!(commands));
    for (command, words) in &steps {
        match command {
            Some(command) => page.line("run", format!("`{command}`: {words}"), "", Json::Null),
            None => page.line("note", words.as_str(), "", Json::Null),
        }
    }
    page
}

/// Words who must reap it.
fn parent(zombie: &Zombie) -> Vec<u8> {
    if zombie.parent == 0 {
        return b"outside our pid namespace".to_vec();
    }
    let name = zombie.parent_name.as_ref().map(|name| [&b" ("[..], name, b")"].concat()).unwrap_or_default();
    let stopped = if zombie.parent_stopped { ", which is stopped and cannot reap it" } else { "" };
    [format!("process {}", zombie.parent).as_bytes(), &name, stopped.as_bytes()].concat()
}

/// Says what to do about it: commands with what each does, and what else is to be known.
fn steps(zombie: &Zombie) -> Vec<(Option<String>, String)> {
    let parent = zombie.parent;
    let no_signal = (None, "a signal to the zombie itself does nothing: it is only an entry in a table".to_owned());
    let mut steps = Vec::new();
    if let Some(tracer) = zombie.tracer {
        steps.push((Some(format!("kill {tracer}")), "ends the tracer, after which the parent can reap it".to_owned()));
    }
    if parent == 0 {
        steps.push((None, "its parent must reap it: look there, with nstool in that pid namespace".to_owned()));
    } else {
        if zombie.parent_stopped {
            steps.push((Some(format!("kill -CONT {parent}")), "lets the parent go on".to_owned()));
        }
        steps.push((Some(format!("kill -CHLD {parent}")), "reminds the parent of it".to_owned()));
        let standing = zombie.parent_standing.known();
        let signal = if standing.is_some_and(|told| told.survives_sigterm) { "-KILL " } else { "" };
        let after = if standing.is_some_and(|told| told.is_init) {
            "which is the init of its pid namespace: all processes there end with it"
        } else {
            "after which an init or a subreaper above reaps it"
        };
        // With the init of our own we would end as well, and a machine with its own.
        if parent != 1 {
            steps.push((
                Some(format!("kill {signal}{parent}")),
                format!("if that does not help: ends the parent, {after}"),
            ));
        }
    }
    steps.push(no_signal);
    steps
}
