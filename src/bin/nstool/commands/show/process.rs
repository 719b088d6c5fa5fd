//! The page about a process.

use nstool::model::{CgroupState, ClockOffset, ClockOffsets, Observed, ProcessFacts};
use nstool::proc::idmap::{self, IdRange};
use nstool::query::{can, origin};
use nstool::target::{PinnedProcess, Resolved, Target};
use nstool::{CapabilitySet, Result};
use serde_json::{Value as Json, json};

use super::{chain, is_ours, lossy, remark, seen, seen_json};
use crate::render::page::Page;

pub(super) fn page(process: &PinnedProcess) -> Result<Page> {
    let facts = ProcessFacts::read_in_full(process)?;
    let mut page = {
        let what = match facts.thread_of {
            Some(leader) => format!("thread {} of process {leader}: ", facts.pid),
            None => format!("process {}: ", facts.pid),
        };
        Page::new(&[what.as_bytes(), &facts.command].concat())
    };
    identity(&mut page, process, &facts);
    namespaces(&mut page, &facts);
    credentials(&mut page, &facts)?;
    surroundings(&mut page, &facts);
    Ok(page)
}

fn identity(page: &mut Page, process: &PinnedProcess, facts: &ProcessFacts) {
    page.section("process");
    page.entry("", Vec::new(), "pid", json!(facts.pid));
    page.entry("", Vec::new(), "pidfd_inode", json!(process.pidfd_inode()));
    page.entry("", Vec::new(), "command", lossy(&facts.command));
    page.entry("", Vec::new(), "thread_of", json!(facts.thread_of));
    page.entry("", Vec::new(), "ending", json!(facts.ending));
    let frozen = facts.cgroup_states.iter().find(|cgroup| cgroup.frozen);
    let mut state = format!("{} ({}", facts.state as char, state_words(facts.state)).into_bytes();
    if facts.ending && facts.ns_pids.last() == Some(&1) {
        state =
            format!("{} (ending: it waits until its pid namespace's processes are reaped", facts.state as char).into();
    } else if facts.state == b'Z' {
        // All others that are in this state have ended, and a page of their own.
        state = b"Z (its leader thread has ended, and other threads live on".to_vec();
    } else if let Some(cgroup) = frozen {
        state = [format!("{} (frozen by cgroup ", facts.state as char).as_bytes(), &cgroup.path].concat();
    }
    state.push(b')');
    page.line("state", state, "state", (facts.state as char).to_string());
    page.entry("", Vec::new(), "frozen_by", json!(frozen.map(|cgroup| lossy(&cgroup.path))));
    page.line("threads", facts.threads.to_string(), "threads", facts.threads);
    let living = facts.living_threads.iter().map(|tid| format!("thread {tid}").into_bytes());
    page.entry("living threads", few(living.collect()), "living_threads", json!(facts.living_threads));
    let elsewhere = facts.threads_elsewhere.iter();
    let lines = elsewhere.map(|found| format!("thread {}: {} namespace {}", found.tid, found.kind, found.ino).into());
    let list: Vec<Json> = facts
        .threads_elsewhere
        .iter()
        .map(|found| json!({ "tid": found.tid, "type": found.kind.name(), "ns": found.ino }))
        .collect();
    page.entry("threads elsewhere", few(lines.collect()), "threads_elsewhere", json!(list));
    let zombies = facts.zombies.iter().map(|pid| format!("process {pid}, ended and not reaped").into_bytes());
    page.entry("zombie children", few(zombies.collect()), "zombies", json!(facts.zombies));
    page.line("parent", facts.parent.to_string(), "parent", facts.parent);
    let origin = facts.cgroups.iter().rev().find_map(|entry| origin::origin(&entry.path));
    let words = origin.iter().map(|origin| [&origin.name, &b" ("[..], origin.manager.as_bytes(), b")"].concat());
    let origin_json = origin.as_ref().map(|origin| json!({ "manager": origin.manager, "name": lossy(&origin.name) }));
    page.entry("belongs to", words.collect(), "belongs_to", json!(origin_json));
    let levels = facts.pid_levels.iter().rev();
    // The ids stand from the outermost namespace in; the levels that we may see are the innermost.
    let outside = facts.ns_pids.len().saturating_sub(facts.pid_levels.len());
    let pids: Vec<_> = levels.zip(facts.ns_pids.iter().skip(outside)).collect();
    let lines = pids.iter().map(|(level, pid)| format!("{pid} in pid namespace {}", level.id).into_bytes());
    let list: Vec<Json> = pids.iter().map(|(level, pid)| json!({ "ns": level.id.ino, "pid": pid })).collect();
    page.entry("ids", lines.collect(), "pids", json!(list));
}

/// Lists the first of many.
fn few(mut lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let more = lines.len().saturating_sub(10);
    if more > 0 {
        lines.truncate(10);
        lines.push(format!("and {more} more").into_bytes());
    }
    lines
}

fn state_words(state: u8) -> &'static str {
    match state {
        b'R' => "running",
        b'S' => "sleeping",
        b'D' => "waiting for a device, or frozen",
        b'T' => "stopped",
        b't' => "stopped by a tracer",
        b'X' | b'x' => "dead",
        b'I' => "idle kernel thread",
        _ => "unknown",
    }
}

fn namespaces(page: &mut Page, facts: &ProcessFacts) {
    page.section("namespaces");
    let mut list = Vec::new();
    for membership in &facts.namespaces {
        let kind = membership.kind;
        let line = seen(&membership.id, |id| {
            let mut line = format!("{id:<11}").into_bytes();
            let owners = &membership.owners[..];
            // A user namespace's chain begins with itself.
            let above = if kind == nstool::NamespaceKind::User { owners.get(1..).unwrap_or_default() } else { owners };
            let remark = remark(kind, *id);
            if !above.is_empty() {
                line.extend(format!(" owned by {}", chain(above)).as_bytes());
            }
            if !remark.is_empty() {
                line.extend(format!(" ({remark})").as_bytes());
            }
            line
        });
        page.entry(kind.name(), vec![line], "", Json::Null);
        list.push(json!({
            "type": kind.name(),
            "ns": membership.id.known().map(|id| id.ino),
            "initial": membership.id.known().map(|id| id.ino == kind.facts().initial_inode),
            "ours": membership.id.known().map(|id| is_ours(kind, id)),
            "owners": membership.owners.iter().map(|level| level.id.ino).collect::<Vec<_>>(),
        }));
    }
    page.entry("", Vec::new(), "namespaces", json!(list));
}

fn credentials(page: &mut Page, facts: &ProcessFacts) -> Result<()> {
    page.section("credentials");
    let ids = |ids: [u32; 4], map: &Observed<Vec<IdRange>>| {
        let map = map.as_ref().known().map(|map| facts.in_our_terms(map)).unwrap_or_default();
        let names = ["real", "effective", "saved", "filesystem"];
        let one = |(id, name): (u32, &str)| match idmap::inward(&map, id) {
            Some(inside) if inside != id => format!("{name} {id} (inside {inside})"),
            _ => format!("{name} {id}"),
        };
        ids.into_iter().zip(names).map(one).collect::<Vec<_>>().join(", ")
    };
    page.line("uids", ids(facts.uids, &facts.uid_map), "uids", json!(facts.uids));
    page.line("gids", ids(facts.gids, &facts.gid_map), "gids", json!(facts.gids));
    let groups: Vec<_> = facts.groups.iter().map(u32::to_string).collect();
    let lines = if groups.is_empty() { Vec::new() } else { vec![groups.join(", ").into_bytes()] };
    page.entry("groups", lines, "groups", json!(facts.groups));
    for (label, key, map) in [("uid map", "uid_map", &facts.uid_map), ("gid map", "gid_map", &facts.gid_map)] {
        page.entry(label, map_lines(map), key, seen_json(map, |map| map_json(map)));
    }
    let setgroups = seen(&facts.setgroups, |allowed| if *allowed { b"allowed".to_vec() } else { b"denied".to_vec() });
    page.line("setgroups", setgroups, "setgroups", seen_json(&facts.setgroups, |allowed| json!(allowed)));
    let names = |set: CapabilitySet| json!(set.names().collect::<Vec<_>>());
    let sets = facts.capabilities;
    for (label, key, set) in [
        ("effective capabilities", "capabilities_effective", sets.effective),
        ("permitted", "capabilities_permitted", sets.permitted),
        ("inheritable", "capabilities_inheritable", sets.inheritable),
        ("bounding", "capabilities_bounding", sets.bounding),
        ("ambient", "capabilities_ambient", sets.ambient),
    ] {
        page.line(label, set.to_string(), key, names(set));
    }
    // What its capabilities are worth to us: over our own user namespace.
    if let Resolved::Process(us) = Target::Myself.resolve()?
        && let Some(over_us) = can::can(facts, ProcessFacts::read(&us)?.user_levels())
    {
        let words = format!("{} ({})", over_us.capabilities, over_us.rule.words(over_us.capabilities));
        page.line("over our namespaces", words, "capabilities_over_ours", names(over_us.capabilities));
    }
    let words = |flag: Option<bool>| flag.map_or("?", |flag| if flag { "yes" } else { "no" });
    page.line("no_new_privs", words(facts.no_new_privs), "no_new_privs", json!(facts.no_new_privs));
    let seccomp = match facts.seccomp {
        Some(0) => "none",
        Some(1) => "strict",
        Some(2) => "a filter",
        _ => "?",
    };
    page.line("seccomp", seccomp, "seccomp", json!(facts.seccomp));
    Ok(())
}

/// Such as `0 to 65535 are 100000 to 165535 outside`.
pub(super) fn map_lines(map: &Observed<Vec<IdRange>>) -> Vec<Vec<u8>> {
    let Observed::Known(map) = map else { return vec![seen(map, |_| Vec::new())] };
    if map.is_empty() {
        return vec![b"none: every id is unmapped".to_vec()];
    }
    let range = |first: u32, count: u32| match count {
        0 | 1 => first.to_string(),
        count => format!("{first} to {}", u64::from(first) + u64::from(count) - 1),
    };
    map.iter()
        .map(|line| {
            let (inside, outside) = (range(line.inside, line.count), range(line.outside, line.count));
            if line.inside == line.outside {
                format!("{inside}, the same outside").into_bytes()
            } else {
                format!("{inside}, outside {outside}").into_bytes()
            }
        })
        .collect()
}

pub(super) fn map_json(map: &[IdRange]) -> Json {
    map.iter().map(|line| json!({ "inside": line.inside, "outside": line.outside, "count": line.count })).collect()
}

fn surroundings(page: &mut Page, facts: &ProcessFacts) {
    page.section("surroundings");
    // Most hierarchies of version 1 have the same groups: one line for all of one path.
    let mut folded: Vec<(Vec<u8>, &[u8])> = Vec::new();
    for cgroup in &facts.cgroups {
        let controllers = if cgroup.controllers.is_empty() { &b"version 2"[..] } else { &cgroup.controllers };
        match folded.iter_mut().find(|(_, path)| *path == cgroup.path) {
            Some((all, _)) => all.extend([b", ", controllers].concat()),
            None => folded.push((controllers.to_vec(), &cgroup.path)),
        }
    }
    let lines = folded.iter().map(|(controllers, path)| [path, &b" ("[..], controllers, b")"].concat()).collect();
    let list: Vec<Json> = facts
        .cgroups
        .iter()
        .map(|cgroup| json!({ "controllers": lossy(&cgroup.controllers), "path": lossy(&cgroup.path) }))
        .collect();
    page.entry("cgroup", lines, "cgroups", json!(list));
    let limits = facts.cgroup_states.iter().flat_map(cgroup_lines).collect();
    let list: Vec<Json> = facts
        .cgroup_states
        .iter()
        .map(|cgroup| {
            json!({
                "path": lossy(&cgroup.path), "frozen": cgroup.frozen, "memory_limit": cgroup.memory_limit_bytes,
                "memory_used": cgroup.memory_used_bytes, "oom_kills": cgroup.oom_kills,
                "pids_limit": cgroup.pids_limit, "pids": cgroup.pids,
            })
        })
        .collect();
    page.entry("cgroup limits", limits, "cgroup_limits", json!(list));
    for (label, key, path) in [
        ("root", "root", &facts.root),
        ("working directory", "cwd", &facts.cwd),
        ("executable", "executable", &facts.executable),
    ] {
        page.path(label, &seen(path, Clone::clone), key, seen_json(path, |path| lossy(path)));
    }
    let offset = facts.clocks.known().is_some_and(|clocks| clocks != ClockOffsets::default());
    let lines = if offset || facts.clocks.known().is_none() { clock_lines(&facts.clocks) } else { Vec::new() };
    page.entry("clocks", lines, "clocks", seen_json(&facts.clocks, clocks_json));
    let limit = |[name, soft, hard, unit]: &[String; 4]| {
        let value = if soft == hard { soft.clone() } else { format!("{soft}, at most {hard}") };
        format!("{name}: {value} {unit}").trim_end().as_bytes().to_vec()
    };
    let list: Vec<Json> = facts
        .limits
        .iter()
        .map(|[name, soft, hard, unit]| json!({ "name": name, "soft": soft, "hard": hard, "unit": unit }))
        .collect();
    page.entry("limits", facts.limits.iter().map(limit).collect(), "limits", json!(list));
}

/// Words what a control group limits, and what came of it.
fn cgroup_lines(cgroup: &CgroupState) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    if let Some(limit) = cgroup.memory_limit_bytes {
        let used = cgroup.memory_used_bytes.map(|used| format!(", {used} in use")).unwrap_or_default();
        lines.push(format!("memory: {limit} bytes{used}").into_bytes());
    }
    if let Some(kills) = cgroup.oom_kills.filter(|kills| *kills > 0) {
        lines.push(format!("out of memory: {kills} processes killed").into_bytes());
    }
    if let Some(limit) = cgroup.pids_limit {
        let pids = cgroup.pids.map(|pids| format!(", {pids} there")).unwrap_or_default();
        lines.push(format!("processes and threads: {limit}{pids}").into_bytes());
    }
    lines
}

pub(super) fn clock_lines(clocks: &Observed<ClockOffsets>) -> Vec<Vec<u8>> {
    let Observed::Known(clocks) = clocks else { return vec![seen(clocks, |_| Vec::new())] };
    let one = |name: &str, offset: ClockOffset| {
        // Nanoseconds count forward from the whole seconds, also of a negative offset.
        let fraction = if offset.nanoseconds == 0 { String::new() } else { format!(" and {} ns", offset.nanoseconds) };
        format!("{name} offset by {} s{fraction}", offset.seconds).into_bytes()
    };
    vec![one("CLOCK_MONOTONIC", clocks.monotonic), one("CLOCK_BOOTTIME", clocks.boottime)]
}

pub(super) fn clocks_json(clocks: &ClockOffsets) -> Json {
    let one = |offset: ClockOffset| json!({ "seconds": offset.seconds, "nanoseconds": offset.nanoseconds });
    json!({ "monotonic": one(clocks.monotonic), "boottime": one(clocks.boottime) })
}
