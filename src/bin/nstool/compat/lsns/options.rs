//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nstool::discover::{Commands, Scope};
use nstool::{KindSet, NamespaceKind, Pid, printable};

use super::super::getopt::{Options, Spec, Value, spec};
use super::super::{Refused, decimal};
use super::columns::{COLUMNS, Column, chosen};

static OPTIONS: [Spec; 13] = [
    spec("json", b'J', Value::None),
    spec("task", b'p', Value::Required),
    spec("help", b'h', Value::None),
    spec("output", b'o', Value::Required),
    spec("output-all", 0, Value::None),
    spec("notruncate", b'u', Value::None),
    spec("version", b'V', Value::None),
    spec("noheadings", b'n', Value::None),
    spec("nowrap", b'W', Value::None),
    spec("list", b'l', Value::None),
    spec("raw", b'r', Value::None),
    spec("type", b't', Value::Required),
    spec("tree", b'T', Value::Optional),
];

const HELP: &str = "
Usage:
 lsns [options] [<namespace>]

List namespaces.

Options:
 -J, --json             as JSON
 -l, --list             as a flat list
 -n, --noheadings       without the header line
 -o, --output <list>    which columns; with a leading + these join the default ones
     --output-all       every column
 -p, --task <pid>       the namespaces of this process
 -r, --raw              as raw text for scripts
 -u, --notruncate       without cutting to the terminal's width
 -W, --nowrap           several texts of one cell on one line
 -t, --type <name>      only this kind (mnt, net, ipc, user, pid, uts, cgroup, time)
 -T, --tree[=<rel>]     as a tree along parent, owner or process

 -h, --help             print this help
 -V, --version          print the version

Columns:
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Owner,
    Parent,
    Process,
}

/// What was asked for.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) json: bool,
    pub(super) raw: bool,
    pub(super) no_headings: bool,
    pub(super) no_truncate: bool,
    pub(super) no_wrap: bool,
    pub(super) list: bool,
    pub(super) all_columns: bool,
    pub(super) columns: Option<String>,
    pub(super) kinds: Vec<NamespaceKind>,
    pub(super) task: Option<Pid>,
    pub(super) tree: Option<Relation>,
    pub(super) namespace: Option<u64>,
}

impl Asked {
    pub(super) fn read(words: &[OsString]) -> Result<Self, Refused> {
        let mut options = Options::anywhere(&OPTIONS, words);
        let mut asked = Self::default();
        for option in options.by_ref() {
            let (option, value) = option.map_err(Refused::Usage)?;
            let value = value.unwrap_or_default();
            let text = value.to_string_lossy();
            let shown = printable(value.as_bytes());
            match option {
                "json" | "raw" if if option == "json" { asked.raw } else { asked.json } => {
                    return Err(Refused::Message("mutually exclusive arguments: --json --raw".to_owned()));
                }
                "json" => asked.json = true,
                "raw" => (asked.raw, asked.no_wrap) = (true, true),
                "list" => asked.list = true,
                "noheadings" => asked.no_headings = true,
                "notruncate" => asked.no_truncate = true,
                "nowrap" => asked.no_wrap = true,
                "output" => asked.columns = Some(text.into_owned()),
                "output-all" => asked.all_columns = true,
                "task" => asked.task = Some(decimal(&text, &format!("invalid PID argument: '{shown}'"))?),
                "type" => {
                    let kind =
                        text.parse().map_err(|_| Refused::Message(format!("unknown namespace type: {shown}")))?;
                    asked.kinds.push(kind);
                }
                "tree" => {
                    asked.tree = Some(match &*text {
                        "" | "owner" => Relation::Owner,
                        "parent" => Relation::Parent,
                        "process" => Relation::Process,
                        _ => return Err(Refused::Message(format!("unknown tree type: {shown}"))),
                    });
                }
                "help" => return Err(Refused::Said(help())),
                _ => return Err(Refused::version(super::NAME)),
            }
        }
        if let Some(word) = options.others().first() {
            if asked.task.is_some_and(|task| task != 0) {
                return Err(Refused::Message("--task is mutually exclusive with <namespace>".to_owned()));
            }
            let message = format!("invalid namespace argument: '{}'", printable(word.as_bytes()));
            asked.namespace = Some(decimal(&word.to_string_lossy(), &message)?);
        }
        Ok(asked)
    }

    pub(super) fn kinds(&self) -> KindSet {
        if self.kinds.is_empty() { KindSet::ALL } else { self.kinds.iter().copied().collect() }
    }

    pub(super) fn columns(&self) -> Result<Vec<&'static Column>, Refused> {
        let default = match () {
            () if self.all_columns => return Ok(COLUMNS.iter().collect()),
            () if self.namespace.is_some() => "PID,PPID,USER,COMMAND",
            () if self.kinds.contains(&NamespaceKind::Net) => "NS,TYPE,NPROCS,PID,USER,NETNSID,NSFS,COMMAND",
            () => "NS,TYPE,NPROCS,PID,USER,COMMAND",
        };
        match self.columns.as_deref() {
            None => chosen(default),
            Some(list) => match list.strip_prefix('+') {
                Some(more) => Ok([chosen(default)?, chosen(more)?].concat()),
                None => chosen(list),
            },
        }
    }

    /// Returns what the tree is drawn along, if it is one: that of processes is the default.
    pub(super) fn relation(&self) -> Option<Relation> {
        self.tree.or((!self.list).then_some(Relation::Process))
    }

    pub(super) fn is_of_namespaces(&self) -> bool {
        matches!(self.relation(), Some(Relation::Owner | Relation::Parent))
    }

    pub(super) fn scope(&self, columns: &[&Column]) -> Scope {
        let needed = |names: &[&str]| columns.iter().any(|column| names.contains(&column.header.name));
        let mut scope = Scope::processes();
        scope.kinds = if self.is_of_namespaces() { self.kinds().with(NamespaceKind::User) } else { self.kinds() };
        scope.hierarchy = self.is_of_namespaces() || needed(&["PNS", "ONS"]);
        scope.bind_mounts = needed(&["NSFS"]);
        scope.net_ids = needed(&["NETNSID"]);
        scope.commands = self.namespace.map_or(Commands::Leads, |inode| Commands::MembersOf(vec![inode]));
        scope
    }
}

fn help() -> String {
    let column = |column: &Column| format!("{:>12}  {}\n", column.header.name, column.help);
    let columns: String = COLUMNS.iter().map(column).collect();
    format!("{HELP}{columns}\nFor more details see lsns(8).\n")
}
