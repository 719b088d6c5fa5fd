//! `nstool compare`: which namespaces processes share, how the others relate, and what that means.

use nstool::model::{Level, Membership, Observed, PairFacts, ProcessFacts};
use nstool::query::compare::{Row, Side, compare};
use nstool::target::{PinnedNamespace, PinnedProcess, Resolved, Target};
use nstool::{Error, ErrorKind, KindSet, NamespaceId, NamespaceKind, NamespaceLink, Result};
use serde_json::{Value as Json, json};

use crate::entry::ExitCode;
use crate::render::columns::{Cell, Column};
use crate::render::listing::{Layout, Listing};
use crate::render::{self, Terminal};

/// Compare the namespaces of processes: which are shared, how the others relate, and what that means.
///
/// With one target, compare it with nstool itself. With more than two, a matrix of who shares what. A namespace can stand
/// for a process where only its kind matters.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nstool compare 4711             what separates process 4711 from us
  nstool compare 4711 4712        two processes
  nstool compare -t net 1 4711    only their network namespaces
  nstool compare 12 34 56         who shares what with whom

Exit status: 0 all the same, 1 something differs, 2 trouble: a process is gone or cannot be read.")]
pub(crate) struct Args {
    /// PID, PID:INODE, self, ns:INODE, a path of a namespace file, or net:NAME
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<Target>,

    /// Only this kind; can be repeated: mnt, net, ipc, user, pid, uts, cgroup, time
    #[arg(short = 't', long = "type", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<NamespaceKind>,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

/// One of those compared, pinned and read.
struct Subject {
    label: String,
    kind: SubjectKind,
    memberships: Vec<Membership>,
}

enum SubjectKind {
    Process(PinnedProcess, Box<ProcessFacts>),
    /// With the pid namespaces from itself up, if it is one.
    Namespace(PinnedNamespace, Vec<Level>),
}

impl Subject {
    fn read(target: &Target) -> Result<Self> {
        Ok(match target.resolve()? {
            Resolved::Process(process) => {
                let facts = Box::new(ProcessFacts::read(&process)?);
                let label = match target {
                    Target::Myself => "self".to_owned(),
                    _ => process.pid().to_string(),
                };
                let memberships = facts.namespaces.clone();
                Self { label, kind: SubjectKind::Process(process, facts), memberships }
            }
            Resolved::Namespace(namespace) => {
                let membership = Membership::of(&namespace);
                let levels = if namespace.kind() == NamespaceKind::Pid { namespace.levels() } else { Vec::new() };
                Self {
                    label: format!("{}:[{}]", namespace.kind(), namespace.id()),
                    kind: SubjectKind::Namespace(namespace, levels),
                    memberships: vec![membership],
                }
            }
        })
    }

    fn side(&self) -> Side<'_> {
        let (pid_levels, process) = match &self.kind {
            SubjectKind::Process(_, facts) => (&facts.pid_levels[..], Some(&**facts)),
            SubjectKind::Namespace(_, levels) => (&levels[..], None),
        };
        Side { label: &self.label, memberships: &self.memberships, pid_levels, process }
    }

    fn pinned(&self) -> Option<&PinnedProcess> {
        match &self.kind {
            SubjectKind::Process(process, _) => Some(process),
            SubjectKind::Namespace(..) => None,
        }
    }

    fn mount_namespace(&self) -> Option<PinnedNamespace> {
        match &self.kind {
            SubjectKind::Process(process, _) => process.namespace(NamespaceLink::Own(NamespaceKind::Mnt)).ok(),
            SubjectKind::Namespace(namespace, _) if namespace.kind() == NamespaceKind::Mnt => {
                namespace.try_clone().ok()
            }
            SubjectKind::Namespace(..) => None,
        }
    }

    fn id(&self, kind: NamespaceKind) -> Observed<NamespaceId> {
        let found = self.memberships.iter().find(|membership| membership.kind == kind);
        found.map_or(Observed::Gone, |membership| membership.id)
    }

    fn json(&self) -> Json {
        match &self.kind {
            SubjectKind::Process(process, facts) => {
                json!({ "pid": process.pid(), "command": String::from_utf8_lossy(&facts.command) })
            }
            SubjectKind::Namespace(namespace, _) => {
                json!({ "type": namespace.kind().name(), "ns": namespace.id().ino })
            }
        }
    }
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let mut subjects = args.targets.iter().map(Subject::read).collect::<Result<Vec<_>>>()?;
    if subjects.len() == 1 {
        subjects.insert(0, Subject::read(&Target::Myself)?);
    }
    let kinds = args.kinds(&subjects)?;
    let same = match &subjects[..] {
        [a, b] => pair(args, a, b, kinds, terminal)?,
        _ => matrix(args, &subjects, kinds, terminal)?,
    };
    // Whoever has ended while we read may have been a zombie already, whose namespaces are not what they were.
    subjects.iter().filter_map(Subject::pinned).try_for_each(PinnedProcess::verify)?;
    Ok(ExitCode::from(u8::from(!same)))
}

impl Args {
    /// Returns the kinds to compare: those asked for, or all that the kernel has; where a single namespace takes part,
    /// its kind alone.
    fn kinds(&self, subjects: &[Subject]) -> Result<KindSet> {
        let asked: KindSet = if self.kinds.is_empty() {
            let there = |kind: &NamespaceKind| std::fs::symlink_metadata(format!("/proc/self/ns/{kind}")).is_ok();
            NamespaceKind::ALL.into_iter().filter(there).collect()
        } else {
            self.kinds.iter().copied().collect()
        };
        let common = subjects.iter().fold(asked, |kinds, subject| match &subject.kind {
            SubjectKind::Process(..) => kinds,
            SubjectKind::Namespace(namespace, _) => kinds.iter().filter(|kind| *kind == namespace.kind()).collect(),
        });
        if common.is_empty() {
            let names: Vec<_> = subjects.iter().map(|subject| subject.label.as_str()).collect();
            let message = format!("nothing to compare: {} have no kind of namespace in common", names.join(" and "));
            return Err(Error::new(ErrorKind::Invalid, message)
                .with_hint("a namespace compares with processes and with namespaces of its own kind"));
        }
        Ok(common)
    }
}

/// Compares two; returns whether all are the same.
fn pair(args: &Args, a: &Subject, b: &Subject, kinds: KindSet, terminal: &Terminal) -> Result<bool> {
    let differs = |kind| kinds.contains(kind) && a.id(kind) != b.id(kind);
    let facts = match (a.pinned(), b.pinned()) {
        (Some(a), Some(b)) => PairFacts::read(a, b, differs),
        _ => match (a.mount_namespace(), b.mount_namespace()) {
            (Some(a), Some(b)) if differs(NamespaceKind::Mnt) => PairFacts::of_mount_namespaces(&a, &b),
            _ => PairFacts::default(),
        },
    };
    let rows: Vec<Row> = kinds.iter().map(|kind| compare(kind, &a.side(), &b.side(), &facts)).collect();
    let unread = rows.iter().find(|row| row.same().is_none());
    let trouble = unread.map(|row| unreadable(row.kind, if row.a.known().is_none() { a } else { b }));
    let same = rows.iter().all(|row| row.same() == Some(true));
    if args.json {
        let list: Vec<Json> = rows.iter().map(row_json).collect();
        render::print_json(&json!({ "a": a.json(), "b": b.json(), "same": same, "kinds": list }))?;
    } else {
        render::print(&table(rows, terminal))?;
    }
    trouble.map_or(Ok(same), Err)
}

static COLUMNS: [Column<Line>; 5] = [
    Column::left("TYPE", "kind of namespace", |line: &Line| Cell::text(line.kind)),
    Column::left("RELATION", "of the first to the second", |line: &Line| Cell::bytes(line.relation.as_bytes()))
        .wrap(10),
    Column::right("A", "namespace of the first", |line: &Line| inode(line.a)),
    Column::right("B", "namespace of the second", |line: &Line| inode(line.b)),
    Column::left("MEANING", "what that means", |line: &Line| Cell::bytes(line.meaning.as_bytes())).wrap(24),
];

/// A clause of a row; only the first shows the row's other cells.
struct Line {
    kind: &'static str,
    relation: String,
    a: Option<Observed<NamespaceId>>,
    b: Option<Observed<NamespaceId>>,
    meaning: String,
}

fn inode(id: Option<Observed<NamespaceId>>) -> Cell<'static> {
    match id {
        None => Cell::Empty,
        Some(Observed::Known(id)) => i64::try_from(id.ino).map_or(Cell::Hidden, Cell::Number),
        Some(_) => Cell::Hidden,
    }
}

fn table(rows: Vec<Row>, terminal: &Terminal) -> String {
    let lines = rows.into_iter().flat_map(|row| {
        let mut clauses = row.meaning.into_iter();
        let first = Line {
            kind: row.kind.name(),
            relation: row.relation.words(),
            a: Some(row.a),
            b: Some(row.b),
            meaning: clauses.next().unwrap_or_default(),
        };
        let more = clauses.map(|meaning| Line { kind: "", relation: String::new(), a: None, b: None, meaning });
        std::iter::once(first).chain(more).collect::<Vec<_>>()
    });
    let listing = Listing { columns: COLUMNS.iter().collect(), rows: lines.collect(), tree: None };
    listing.table(Layout::default(), terminal)
}

fn row_json(row: &Row) -> Json {
    json!({
        "type": row.kind.name(),
        "a": row.a.known().map(|id| id.ino),
        "b": row.b.known().map(|id| id.ino),
        "same": row.same(),
        "relation": row.relation.key(),
        "meaning": row.meaning,
    })
}

/// Words why a namespace could not be read.
fn unreadable(kind: NamespaceKind, subject: &Subject) -> Error {
    let again = |process: &PinnedProcess| process.namespace(NamespaceLink::Own(kind)).err();
    match subject.pinned().and_then(|process| Some((process, again(process)?))) {
        Some((process, error)) => process.cannot(&format!("read the {kind} namespace"), error),
        None => Error::new(ErrorKind::System, format!("cannot read the {kind} namespace of {}", subject.label)),
    }
}

/// Compares more than two; returns whether all are the same.
fn matrix(args: &Args, subjects: &[Subject], kinds: KindSet, terminal: &Terminal) -> Result<bool> {
    let mut lines = vec![
        std::iter::once("TYPE")
            .chain(subjects.iter().map(|subject| subject.label.as_str()))
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    ];
    let mut same = true;
    let mut unknown = None;
    let mut json_rows = Vec::new();
    for kind in kinds.iter() {
        let ids: Vec<_> = subjects.iter().map(|subject| subject.id(kind)).collect();
        unknown = unknown.or(ids.iter().position(|id| id.known().is_none()).map(|place| (kind, place)));
        same &= ids.iter().all(|id| *id == ids[0]);
        let mut groups: Vec<_> = Vec::new();
        let letters: Vec<String> =
            ids.iter().map(|id| id.known().map_or("?".to_owned(), |id| letter(&mut groups, id))).collect();
        json_rows.push(json!({
            "type": kind.name(),
            "same": ids.iter().all(|id| id.known().is_some()).then_some(groups.len() == 1),
            "ns": ids.iter().map(|id| id.known().map(|id| id.ino)).collect::<Vec<_>>(),
        }));
        lines.push(std::iter::once(kind.name().to_owned()).chain(letters).collect());
    }
    if args.json {
        let targets: Vec<Json> = subjects.iter().map(Subject::json).collect();
        render::print_json(&json!({ "targets": targets, "same": same, "kinds": json_rows }))?;
    } else {
        render::print(&render::listing::grid(&lines, terminal))?;
    }
    unknown.map_or(Ok(same), |(kind, place)| Err(unreadable(kind, &subjects[place])))
}

/// Returns the letter of a namespace within its row: the same letter, the same namespace.
fn letter(groups: &mut Vec<NamespaceId>, id: NamespaceId) -> String {
    let place = groups.iter().position(|known| *known == id).unwrap_or_else(|| {
        groups.push(id);
        groups.len() - 1
    });
    // Beyond Z it goes on with A1.
    let letter = char::from(b'A' + (place % 26) as u8);
    if place < 26 { letter.to_string() } else { format!("{letter}{}", place / 26) }
}
