//! What a shell offers behind the cursor: options and verbs as the command line is defined, values as the machine is now.
//!
//! The scripts in `completions/` ask `nstool complete` for candidates and know nothing themselves. Which values an option
//! takes follows from the name of its value in the help: [`SOURCES`] says where each comes from.

mod values;

use std::ffi::{OsStr, OsString};
use std::io;

use clap::{Arg, Command, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, ValueCompleter, complete};

use self::values::Candidate;

/// A verb's columns: names and what they show.
pub(crate) type Columns = fn() -> Vec<(&'static str, &'static str)>;

/// Gives candidates for what stands before the cursor; it may give others too.
type Values = fn(&str) -> Vec<Candidate>;

/// Where the values of a name come from.
const SOURCES: &[(&str, Values)] = &[
    ("TARGET", values::targets),
    ("TARGET2", values::targets),
    ("PID", values::processes),
    ("NS", values::namespaces),
    ("KIND", values::kinds),
    ("CMD", values::programs),
    ("COMMAND", values::programs),
];

/// Which paths the values of a name are.
const PATHS: &[(&str, ValueHint)] = &[
    ("FILE", ValueHint::AnyPath),
    ("PATH", ValueHint::AnyPath),
    ("DIR", ValueHint::DirPath),
    ("SOURCE", ValueHint::AnyPath),
];

/// The name of the value that is a list of a verb's columns.
const COLUMNS: &str = "LIST";

/// Returns what may stand in the place of the last word.
///
/// # Errors
///
/// There are no words, not even the program's name.
pub(crate) fn candidates(
    command: Command,
    columns: &[(&str, Columns)],
    words: Vec<OsString>,
) -> io::Result<Vec<CompletionCandidate>> {
    let last = words.len().checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
    let directory = std::env::current_dir().ok();
    let mut command = command;
    // Before it is built, a verb's options may not be there yet.
    command.build();
    complete(&mut attach(command, columns, ""), words, last, directory.as_deref())
}

/// Gives each option of a command, and of all its verbs, where its values come from.
fn attach(command: Command, columns: &[(&str, Columns)], above: &str) -> Command {
    let name = command.get_name();
    let verb = if above.is_empty() { name.to_owned() } else { format!("{above} {name}") };
    let listed = columns.iter().find(|(of, _)| *of == verb).map(|(_, columns)| *columns);
    command.mut_args(|argument| with_source(argument, listed)).mut_subcommands(|below| attach(below, columns, &verb))
}

fn with_source(argument: Arg, columns: Option<Columns>) -> Arg {
    let names: Vec<String> = match argument.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => return argument,
    };
    let path = PATHS.iter().find(|(name, _)| names == [*name]);
    if let Some((_, hint)) = path {
        return argument.value_hint(*hint);
    }
    let known = |name: &String| named(name).is_some() || name == COLUMNS && columns.is_some();
    if names.iter().any(known) { argument.add(ArgValueCompleter::new(Source { names, columns })) } else { argument }
}

/// Where the values of one option come from.
struct Source {
    /// The names of its values, in order.
    names: Vec<String>,
    columns: Option<Columns>,
}

impl Source {
    fn candidates(&self, name: &str, current: &str) -> Vec<Candidate> {
        match (named(name), self.columns) {
            (Some(values), _) => values(current),
            (None, Some(columns)) if name == COLUMNS => values::columns(&columns(), current),
            _ => Vec::new(),
        }
    }
}

fn named(name: &str) -> Option<Values> {
    SOURCES.iter().find(|(of, _)| *of == name).map(|(_, values)| *values)
}

impl ValueCompleter for Source {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        self.complete_at(0, current)
    }

    fn complete_at(&self, place: usize, current: &OsStr) -> Vec<CompletionCandidate> {
        let name = self.names.get(place).or(self.names.last()).map(String::as_str);
        let (Some(name), Some(current)) = (name, current.to_str()) else { return Vec::new() };
        // Beside a process, a namespace is a target like any other.
        let name = if name == "NS" && self.names.len() > 1 { "TARGET" } else { name };
        // A namespace file is a target too.
        if name == "PATH"
            || (name == "CMD" || name == "COMMAND") && place > 0
            || name == "TARGET" && current.contains('/')
        {
            return clap_complete::PathCompleter::any().complete(OsStr::new(current));
        }
        self.candidates(name, current)
            .into_iter()
            .filter(|candidate| candidate.value.starts_with(current))
            .map(|candidate| CompletionCandidate::new(candidate.value).help(Some(candidate.help.into())))
            .collect()
    }
}
