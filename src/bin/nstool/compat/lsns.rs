//! `lsns`: namespaces as util-linux lists them.
//!
//! Only namespaces with processes are listed, and in a tree of owners or parents their ancestors.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use nstool::discover::{Commands, Scope};
use nstool::model::{Details, Namespace, NetId, Observed, Process, Snapshot};
use nstool::{KindSet, NamespaceKind, Pid, printable};

use super::getopt::{self, Spec, Value};
use super::table::{Cell, Header, Layout, Table};
use crate::render;

const NAME: &str = "lsns";

const fn spec(long: &'static str, short: u8, value: Value) -> Spec {
    Spec { long, short, value }
}

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

struct Column {
    header: Header,
    help: &'static str,
    cell: fn(&Row<'_>) -> Cell,
}

/// A namespace, or a process in it.
struct Row<'a> {
    namespace: &'a Namespace,
    process: Option<&'a Process>,
    /// How many processes are in it, as far as its kind was asked for.
    members: usize,
}

impl Row<'_> {
    fn details(&self) -> Option<&Details> {
        match &self.process?.details {
            Observed::Known(details) => Some(details),
            _ => None,
        }
    }

    /// The user of the process; without one, who created the user namespace.
    fn uid(&self) -> Option<u32> {
        let creator = self.namespace.creator.and_then(Observed::known);
        self.details().map(|details| details.uid).or(creator.or((self.members == 0).then_some(0)))
    }
}

const fn column(name: &'static str, right: bool, help: &'static str, cell: fn(&Row<'_>) -> Cell) -> Column {
    Column { header: Header { name, right, room: 0 }, help, cell }
}

impl Column {
    /// The same with room for so many letters, once its cells fill the header's width.
    const fn room(mut self, room: usize) -> Self {
        self.header.room = room;
        self
    }
}

static COLUMNS: [Column; 13] = [
    column("NS", true, "inode of the namespace", |row| Cell::number(row.namespace.id.ino)),
    column("TYPE", false, "kind of namespace", |row| Cell::text(row.namespace.kind.name().as_bytes())).room(5),
    column("PATH", false, "path of the namespace's file", |row| match row.process {
        Some(process) => Cell::text(format!("/proc/{}/ns/{}", process.pid, row.namespace.kind).as_bytes()),
        None => Cell::empty(),
    }),
    column("NPROCS", true, "number of processes in the namespace", |row| Cell::number(row.members as u64)),
    column("PID", true, "lowest process id in the namespace", |row| pid(row.process.map(|process| process.pid)))
        .room(5),
    column("PPID", true, "parent of that process", |row| pid(row.details().map(|details| details.parent))).room(5),
    column("COMMAND", false, "command line of that process", |row| {
        row.details().map_or_else(Cell::empty, |details| Cell::text(&details.command))
    }),
    column("UID", true, "user id of that process", |row| {
        row.uid().map_or_else(Cell::empty, |uid| Cell::number(uid.into()))
    }),
    column("USER", false, "user name of that process", |row| row.uid().map_or_else(Cell::empty, user)),
    column("NETNSID", true, "number that our network namespace gives to it", |row| match row.namespace.net_id {
        Some(Observed::Known(NetId::Assigned(id))) => Cell::text(id.to_string().as_bytes()),
        Some(Observed::Known(NetId::Unassigned)) => Cell::text(b"unassigned"),
        _ => Cell::empty(),
    }),
    column("NSFS", false, "where its file is mounted", |row| {
        let mut cell = Cell::empty();
        // Only for network namespaces, whichever else is mounted.
        if row.namespace.kind == NamespaceKind::Net {
            cell.lines = row.namespace.mount_points().map(<[u8]>::to_vec).collect();
            if !cell.lines.is_empty() {
                cell.json = String::from_utf8_lossy(&cell.lines.join(&b","[..])).into();
            }
        }
        cell
    }),
    column("PNS", true, "inode of the parent namespace", |row| relative(row.namespace.parent)),
    column("ONS", true, "inode of the owning user namespace", |row| relative(row.namespace.owner)),
];

fn pid(pid: Option<Pid>) -> Cell {
    pid.and_then(|pid| u64::try_from(pid).ok()).map_or_else(Cell::empty, Cell::number)
}

fn user(uid: u32) -> Cell {
    Cell::text(nstool::account::user_name(uid).unwrap_or_else(|| uid.to_string()).as_bytes())
}

/// 0 for what is not known or not there.
fn relative(relative: Option<Observed<nstool::NamespaceId>>) -> Cell {
    Cell::number(relative.and_then(Observed::known).map_or(0, |id| id.ino))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Owner,
    Parent,
    Process,
}

/// What was asked for.
#[derive(Default)]
struct Asked {
    json: bool,
    raw: bool,
    no_headings: bool,
    no_truncate: bool,
    no_wrap: bool,
    list: bool,
    all_columns: bool,
    columns: Option<String>,
    kinds: Vec<NamespaceKind>,
    task: Option<Pid>,
    tree: Option<Relation>,
    namespace: Option<u64>,
}

/// Why nothing was listed.
enum Refused {
    /// getopt's message: the help is pointed to.
    Usage(String),
    Message(String),
    /// Without a word.
    Silent,
    /// It is no failure: this was asked for instead.
    Said(String),
}

fn refuse(message: String) -> Refused {
    Refused::Message(message)
}

pub(super) fn run(words: &[OsString]) -> ExitCode {
    match Asked::read(words).and_then(|asked| list(&asked)) {
        Ok(text) | Err(Refused::Said(text)) => match render::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => super::fail(NAME, &error.to_string()),
        },
        Err(Refused::Usage(message)) => {
            super::fail(NAME, &format!("{message}\nTry '{NAME} --help' for more information."))
        }
        Err(Refused::Message(message)) => super::fail(NAME, &message),
        Err(Refused::Silent) => ExitCode::FAILURE,
    }
}

impl Asked {
    fn read(words: &[OsString]) -> Result<Self, Refused> {
        let parsed = getopt::parse(&OPTIONS, words).map_err(Refused::Usage)?;
        let mut asked = Self::default();
        for (option, value) in parsed.options {
            let value = value.unwrap_or_default();
            let text = value.to_string_lossy();
            let shown = printable(value.as_bytes());
            match option {
                "json" | "raw" if if option == "json" { asked.raw } else { asked.json } => {
                    return Err(refuse("mutually exclusive arguments: --json --raw".to_owned()));
                }
                "json" => asked.json = true,
                "raw" => (asked.raw, asked.no_wrap) = (true, true),
                "list" => asked.list = true,
                "noheadings" => asked.no_headings = true,
                "notruncate" => asked.no_truncate = true,
                "nowrap" => asked.no_wrap = true,
                "output" => asked.columns = Some(text.into_owned()),
                "output-all" => asked.all_columns = true,
                "task" => {
                    asked.task = Some(text.parse().map_err(|_| refuse(format!("invalid PID argument: '{shown}'")))?);
                }
                "type" => {
                    let kind = text.parse().map_err(|_| refuse(format!("unknown namespace type: {shown}")))?;
                    asked.kinds.push(kind);
                }
                "tree" => {
                    asked.tree = Some(match &*text {
                        "" | "owner" => Relation::Owner,
                        "parent" => Relation::Parent,
                        "process" => Relation::Process,
                        _ => return Err(refuse(format!("unknown tree type: {shown}"))),
                    });
                }
                "help" => return Err(Refused::Said(help())),
                _ => {
                    let version = concat!("lsns from nstool ", env!("CARGO_PKG_VERSION"), ", as util-linux 2.38.1\n");
                    return Err(Refused::Said(version.to_owned()));
                }
            }
        }
        if let Some(word) = parsed.words.first() {
            if asked.task.is_some_and(|task| task != 0) {
                return Err(refuse("--task is mutually exclusive with <namespace>".to_owned()));
            }
            let inode = word.to_str().and_then(|word| word.parse().ok());
            let refused = || refuse(format!("invalid namespace argument: '{}'", printable(word.as_bytes())));
            asked.namespace = Some(inode.ok_or_else(refused)?);
        }
        Ok(asked)
    }

    fn kinds(&self) -> KindSet {
        if self.kinds.is_empty() { KindSet::ALL } else { self.kinds.iter().copied().collect() }
    }

    fn columns(&self) -> Result<Vec<&'static Column>, Refused> {
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
    fn relation(&self) -> Option<Relation> {
        self.tree.or((!self.list).then_some(Relation::Process))
    }

    fn is_of_namespaces(&self) -> bool {
        matches!(self.relation(), Some(Relation::Owner | Relation::Parent))
    }

    fn scope(&self, columns: &[&Column]) -> Scope {
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

fn chosen(list: &str) -> Result<Vec<&'static Column>, Refused> {
    let mut columns = Vec::new();
    let mut rest = list;
    loop {
        let (name, after) = rest.split_once(',').map_or((rest, None), |(name, after)| (name, Some(after)));
        if name.is_empty() {
            return Err(Refused::Silent);
        }
        let found = COLUMNS.iter().find(|column| column.header.name.eq_ignore_ascii_case(name));
        // What stands behind it is named along with it.
        columns.push(found.ok_or_else(|| refuse(format!("unknown column: {}", printable(rest.as_bytes()))))?);
        match after {
            Some(after) => rest = after,
            None => return Ok(columns),
        }
    }
}

fn list(asked: &Asked) -> Result<String, Refused> {
    let columns = asked.columns()?;
    let snapshot = Snapshot::capture(&asked.scope(&columns)).map_err(|error| refuse(error.to_string()))?;
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
    let namespace = found.ok_or_else(|| refuse(format!("not found namespace: {inode}")))?;
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

fn help() -> String {
    let column = |column: &Column| format!("{:>12}  {}\n", column.header.name, column.help);
    let columns: String = COLUMNS.iter().map(column).collect();
    format!("{HELP}{columns}\nFor more details see lsns(8).\n")
}
