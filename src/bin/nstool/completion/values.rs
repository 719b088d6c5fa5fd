//! Values as the machine is now. What cannot be seen is not offered; nothing here fails.

use nstool::discover::{Commands, Scope};
use nstool::model::{Namespace, Observed, Process, Snapshot};
use nstool::{KindSet, NamespaceKind, printable};

/// A value and what it is.
pub(super) struct Candidate {
    pub(super) value: String,
    pub(super) help: String,
}

/// Help beyond this only breaks the shell's layout.
const HELP_WIDTH: usize = 60;

fn candidate(value: impl Into<String>, help: impl Into<String>) -> Candidate {
    Candidate { value: value.into(), help: help.into() }
}

/// Targets: `self`, processes, names of network namespaces; inodes of namespaces once `ns:` stands there, for they are
/// many.
pub(super) fn targets(current: &str) -> Vec<Candidate> {
    if let Some(inode) = current.strip_prefix("ns:") {
        let mut all = namespaces(inode);
        all.iter_mut().for_each(|candidate| candidate.value.insert_str(0, "ns:"));
        return all;
    }
    let mut all = vec![candidate("self", "this process"), candidate("ns:", "a namespace by its inode")];
    let names = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut names: Vec<_> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    all.extend(names.into_iter().map(|name| candidate(format!("netns:{name}"), "network namespace")));
    all.extend(processes(current));
    all
}

/// Processes with their commands.
pub(super) fn processes(_current: &str) -> Vec<Candidate> {
    let mut scope = Scope::processes();
    scope.kinds = KindSet::EMPTY;
    scope.commands = Commands::All;
    let snapshot = Snapshot::capture(&scope).unwrap_or_default();
    snapshot.processes().iter().map(|process| candidate(process.pid.to_string(), command(process))).collect()
}

/// Namespaces by inode, with their kind and the command of their first process.
pub(super) fn namespaces(_current: &str) -> Vec<Candidate> {
    let snapshot = Snapshot::capture(&Scope::everything()).unwrap_or_default();
    let words = |namespace: &Namespace| {
        let lead = namespace.lead().and_then(|pid| snapshot.process(pid));
        format!("{} {}", namespace.kind, lead.map_or_else(|| "without processes".to_owned(), command))
    };
    snapshot.namespaces().iter().map(|namespace| candidate(namespace.id.ino.to_string(), words(namespace))).collect()
}

/// The kinds of namespace.
pub(super) fn kinds(_current: &str) -> Vec<Candidate> {
    NamespaceKind::ALL.iter().map(|kind| candidate(kind.name(), kind.facts().isolates)).collect()
}

/// Programs in PATH, once the first letter stands there.
pub(super) fn programs(current: &str) -> Vec<Candidate> {
    if current.is_empty() {
        return Vec::new();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let entries = std::env::split_paths(&path).filter_map(|directory| std::fs::read_dir(directory).ok());
    let names = entries.flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(current)).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| candidate(name, "")).collect()
}

/// Columns, behind what stands in the list already.
pub(super) fn columns(all: &[(&str, &str)], current: &str) -> Vec<Candidate> {
    let begun = current.rfind([',', '+']).map_or(0, |place| place + 1);
    let (before, begun) = current.split_at(begun);
    let chosen: Vec<_> = before.trim_start_matches('+').split(',').collect();
    let matches = |name: &str| name.get(..begun.len()).is_some_and(|start| start.eq_ignore_ascii_case(begun));
    all.iter()
        .filter(|(name, _)| matches(name) && !chosen.iter().any(|chosen| chosen.eq_ignore_ascii_case(name)))
        // As it was begun, so that shells take it for a continuation.
        .map(|(name, help)| candidate(format!("{before}{begun}{}", &name[begun.len()..]), *help))
        .collect()
}

fn command(process: &Process) -> String {
    let Observed::Known(details) = &process.details else { return String::new() };
    let command = printable(&details.command);
    match command.char_indices().nth(HELP_WIDTH) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_offered_behind_those_that_are_chosen() {
        let all = [("NS", "inode"), ("NSFS", "mount"), ("TYPE", "kind")];
        let offered = |current| columns(&all, current).into_iter().map(|one| one.value).collect::<Vec<_>>();
        assert_eq!(offered(""), ["NS", "NSFS", "TYPE"]);
        assert_eq!(offered("+T"), ["+TYPE"]);
        assert_eq!(offered("NS,"), ["NS,NSFS", "NS,TYPE"]);
        assert_eq!(offered("ns,ty"), ["ns,tyPE"]);
    }
}
