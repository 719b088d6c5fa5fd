//! `nstool ls`: the namespaces of the machine, or the processes of one.

mod columns;
mod rows;

use std::rc::Rc;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use nstool::discover::{Commands, Scope};
use nstool::model::{Snapshot, Why};
use nstool::proc::Proc;
use nstool::proc::status::Status;
use nstool::query::filter::Filter;
use nstool::target::parse_pid;
use nstool::{Error, ErrorKind, KindSet, NamespaceKind, Pid, Result};

use self::columns::{COLUMNS, COMMAND_OR_HOLDER, DEFAULT, DEFAULT_NET, DEFAULT_PROCESSES, Row, Scene};
use crate::entry::ExitCode;
use crate::render::columns::{Column, filter};
use crate::render::listing::{Listing, Tree};
use crate::render::options::Output;
use crate::render::{Terminal, hidden, report};

/// List namespaces with their processes, or the processes of a namespace.
///
/// Every namespace of the machine that can be seen is listed: those of processes, and those that live on without any
/// because a descriptor, a socket, a bind mount, a child or an owned namespace holds them; then COMMAND says which.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nstool ls                         every namespace, as a tree of processes
  nstool ls -p 4711                 the namespaces that process 4711 is in
  nstool ls 4026532201              the processes in that namespace
  nstool ls -P -o +HOLDERS          namespaces without a process, and what holds them
  nstool ls -t net -Q 'NPROCS > 1'  busy network namespaces
  nstool ls -T=owner -t user        user namespaces as a tree of owners

Exit status: 0, or 1 if something asked for does not exist or cannot be read; 2 for bad usage.")]
pub(crate) struct Args {
    /// List the processes in the namespace with this inode
    #[arg(value_name = "NS", value_parser = parse_inode, conflicts_with_all = ["task", "persistent"])]
    namespaces: Vec<u64>,

    /// Only the namespaces that process PID is in
    #[arg(short = 'p', long, value_name = "PID", value_parser = parse_task, conflicts_with = "persistent")]
    task: Option<Task>,

    /// Only this kind; can be repeated: mnt, net, ipc, user, pid, uts, cgroup, time
    #[arg(short = 't', long = "type", value_name = "KIND", value_delimiter = ',', value_parser = kind_parser(),
          hide_possible_values = true)]
    kinds: Vec<NamespaceKind>,

    /// Only namespaces without processes
    #[arg(short = 'P', long)]
    persistent: bool,

    /// Only rows that pass a filter, such as 'NPROCS > 1 && TYPE == "net"'
    #[arg(short = 'Q', long, value_name = "EXPR")]
    filter: Option<String>,

    /// As a tree along owners, parents or processes; process is the default without -T, owner for a bare -T
    #[arg(short = 'T', long, value_name = "REL", num_args = 0..=1, require_equals = true, default_missing_value = "owner")]
    tree: Option<Relation>,

    /// As a flat list, unless -T asks for a tree
    #[arg(short = 'l', long)]
    list: bool,

    /// Also namespaces that only single threads are in
    #[arg(long)]
    threads: bool,

    #[command(flatten)]
    output: Output,

    /// Several mount points in one cell joined by commas instead of one below the other
    #[arg(short = 'W', long, alias = "no-wrap")]
    nowrap: bool,
}

/// What a tree is drawn along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Relation {
    Owner,
    Parent,
    Process,
}

/// Returns the columns, for completion.
pub(crate) fn column_names() -> Vec<(&'static str, &'static str)> {
    COLUMNS.iter().map(|column| (column.name, column.help)).collect()
}

fn kind_parser() -> impl TypedValueParser<Value = NamespaceKind> {
    PossibleValuesParser::new(NamespaceKind::ALL.map(NamespaceKind::name)).try_map(|name| name.parse::<NamespaceKind>())
}

/// Whose namespaces to list.
#[derive(Clone, Copy, Debug)]
enum Task {
    Myself,
    Number(Pid),
}

impl Task {
    /// Returns its number below our /proc, which may be that of an outer pid namespace.
    fn number(self) -> Result<Pid> {
        match self {
            Self::Myself => Ok(Proc::open()?.own_pid().unwrap_or(std::process::id() as Pid)),
            Self::Number(pid) => Ok(pid),
        }
    }
}

fn parse_task(text: &str) -> Result<Task, String> {
    if text == "self" {
        return Ok(Task::Myself);
    }
    let number = parse_pid(text).map(Task::Number);
    number.ok_or_else(|| "a process is named by its id, a number above 0, or `self`".to_owned())
}

/// Takes an inode as a number, as `ns:INODE`, or as a link's text such as `net:[4026531833]`.
fn parse_inode(text: &str) -> Result<u64, String> {
    let link = || NamespaceKind::parse_link(text.as_bytes()).map(|(_, ino)| ino);
    let number = text.strip_prefix("ns:").unwrap_or(text).parse().ok();
    number.or_else(link).ok_or_else(|| "a namespace is named by its inode, such as 4026531833".to_owned())
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    if args.output.list_columns {
        args.output.print_columns(&COLUMNS, terminal)?;
        return Ok(ExitCode::SUCCESS);
    }
    let filter = args.filter.as_deref().map(|text| filter(&COLUMNS, text)).transpose()?;
    let chosen = args.columns()?;
    let scope = args.scope(&chosen, filter.as_ref());
    let task = args.task.map(Task::number).transpose()?;
    let snapshot = args.check(Snapshot::capture(&scope)?, &scope, task)?;
    let scene = Rc::new(Scene::new(snapshot));
    let rows = rows::select(args, task, &scene, filter.as_ref());
    let parents = args.relation().map(|relation| rows::parents(args, &rows, relation));
    let listing = Listing {
        columns: args.shown(chosen),
        tree: parents.map(|parents| Tree { parents, column: args.tree_column() }),
        rows,
    };
    let hidden = Some(hidden::json(&scene.snapshot));
    args.output.print(&listing, ("namespaces", hidden), args.nowrap || args.output.raw, terminal)?;
    for namespace in args.namespaces.iter().filter_map(|ino| scene.snapshot.namespace_by_inode(*ino)) {
        if namespace.members.is_empty() {
            let (kind, ino) = (namespace.kind, namespace.id);
            report::note(
                &format!("no process is in {kind} namespace {ino}: `nstool ls -Q 'NS == {ino}'` says what holds it"),
                terminal,
            );
        }
    }
    hidden::say(&scene.snapshot, terminal);
    report::whose_numbers(terminal);
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn kinds(&self) -> KindSet {
        if self.kinds.is_empty() { KindSet::ALL } else { self.kinds.iter().copied().collect() }
    }

    fn columns(&self) -> Result<Vec<usize>> {
        let default = match () {
            () if self.namespaces.len() > 1 => &["NS", "PID", "PPID", "USER", "COMMAND"][..],
            () if !self.namespaces.is_empty() => &DEFAULT_PROCESSES,
            () if self.kinds.contains(&NamespaceKind::Net) => &DEFAULT_NET,
            () => &DEFAULT,
        };
        self.output.choose(&COLUMNS, default)
    }

    /// Returns what must be looked at for these columns and this selection.
    fn scope(&self, chosen: &[usize], filter: Option<&Filter>) -> Scope {
        let needed = |names: &[&str]| {
            let used = chosen.iter().chain(filter.iter().flat_map(|filter| filter.columns()));
            used.into_iter().any(|index| names.contains(&COLUMNS[*index].name))
        };
        // One process's namespaces, or the processes of one namespace: processes suffice, but for columns that want more.
        let everything = self.task.is_none() && self.namespaces.is_empty() || needed(&["HOLDERS", "HELD-BY"]);
        let mut scope = Scope::processes();
        scope.kinds = self.kinds();
        scope.threads = self.threads || needed(&["THREADS"]);
        scope.descriptors = everything;
        scope.sockets = everything && scope.kinds.contains(NamespaceKind::Net);
        scope.bind_mounts = everything || needed(&["NSFS", "NAME"]);
        scope.hierarchy = everything || needed(&["PNS", "ONS"]) || self.tree.is_some();
        scope.net_ids = needed(&["NETNSID"]);
        scope.commands = match (&self.namespaces[..], self.relation()) {
            ([], None) if !needed(&["PPID", "COMMAND", "UID", "USER"]) => Commands::None,
            ([], _) => Commands::Leads,
            (inodes, _) => Commands::MembersOf(inodes.to_vec()),
        };
        scope
    }

    /// Refuses what was asked for by number and is not there.
    fn check(&self, mut snapshot: Snapshot, scope: &Scope, task: Option<Pid>) -> Result<Snapshot> {
        if let Some(pid) = task {
            let process = snapshot.process(pid).ok_or_else(|| no_process(pid))?;
            if let Some(why) = process.hidden() {
                return Err(unreadable(pid, why));
            }
        }
        let missing = |snapshot: &Snapshot| {
            self.namespaces.iter().copied().find(|ino| snapshot.namespace_by_inode(*ino).is_none())
        };
        if missing(&snapshot).is_some() {
            // It may be one without processes, or of a kind not asked for: look everywhere before saying no.
            let mut wider = Scope::everything();
            (wider.threads, wider.net_ids, wider.commands) = (true, scope.net_ids, scope.commands.clone());
            snapshot = Snapshot::capture(&wider)?;
        }
        if let Some(ino) = missing(&snapshot) {
            return Err(Error::new(ErrorKind::NotFound, format!("no namespace with inode {ino}"))
                .with_hint("`nstool ls -l` lists all that can be seen; as root these are more"));
        }
        for ino in &self.namespaces {
            let kind = snapshot.namespace_by_inode(*ino).map(|namespace| namespace.kind);
            if let Some(kind) = kind.filter(|kind| !self.kinds().contains(*kind)) {
                return Err(Error::new(ErrorKind::Unsuitable, format!("namespace {ino} is of kind {kind}"))
                    .with_hint(format!("leave out -t, or say -t {kind}")));
            }
        }
        Ok(snapshot)
    }

    /// Returns what the tree is drawn along, if it is one.
    fn relation(&self) -> Option<Relation> {
        match self.tree {
            Some(relation) => Some(relation),
            None if self.list || self.output.raw => None,
            None => Some(Relation::Process),
        }
    }

    fn tree_column(&self) -> &'static str {
        if self.relation() == Some(Relation::Process) { "COMMAND" } else { "NS" }
    }

    /// Returns the columns to show. In the default table for people, a namespace without processes says under COMMAND
    /// what holds it: nothing else in its row tells why it is there. Output for programs keeps to the letter.
    fn shown(&self, chosen: Vec<usize>) -> Vec<&'static Column<Row>> {
        let for_people = self.output.by_default() && !self.output.json && !self.output.raw;
        let column = |index: usize| &COLUMNS[index];
        let or_holder = |column: &'static Column<Row>| {
            if for_people && column.name == COMMAND_OR_HOLDER.name { &COMMAND_OR_HOLDER } else { column }
        };
        chosen.into_iter().map(column).map(or_holder).collect()
    }
}

fn no_process(pid: Pid) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("no process {pid}"));
    // A thread has a directory in /proc as well, though none that is listed.
    let status = std::fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let leader = Status::new(&status).field("Tgid").and_then(|field| std::str::from_utf8(field).ok());
    match leader.filter(|leader| *leader != pid.to_string()) {
        Some(leader) => error.with_hint(format!("{pid} is a thread of process {leader}")),
        None => error.with_hint("`nstool ls` lists the namespaces of all processes"),
    }
}

fn unreadable(pid: Pid, why: Why) -> Error {
    let error = match why {
        Why::NotPermitted => Error::system(
            format!("cannot read the namespaces of process {pid}"),
            std::io::Error::from_raw_os_error(libc::EACCES),
        ),
        why => Error::new(ErrorKind::System, format!("cannot read the namespaces of process {pid}: {why}")),
    };
    if rustix::process::geteuid().is_root() {
        error.with_hint("it has capabilities that we lack, or lives in a user namespace beside ours")
    } else {
        error.with_hint("run nstool as root, or as the user the process runs as")
    }
}
