//! The columns of `nstool ls`: lsns's, and what it has no word for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use nstool::model::{Details, Holder, HolderKind, Namespace, NetId, Observed, Process, Snapshot};
use nstool::{NamespaceId, NamespaceKind, NamespaceLink, Pid, printable};
use owo_colors::Style;

use crate::render::columns::{Cell, Column};

/// What all rows look into.
pub(super) struct Scene {
    pub(super) snapshot: Snapshot,
    /// Names of users; the account database is asked once for each.
    users: RefCell<HashMap<u32, String>>,
    /// By how many threads a namespace has more or fewer than its processes have together.
    strays: HashMap<NamespaceId, i64>,
}

/// Counts threads that are not where their process is: one more here, one fewer there.
fn strays(snapshot: &Snapshot) -> HashMap<NamespaceId, i64> {
    let mut strays = HashMap::new();
    for namespace in snapshot.namespaces() {
        for holder in &namespace.holders {
            let Holder::Thread { pid, .. } = holder else { continue };
            *strays.entry(namespace.id).or_default() += 1;
            let home = snapshot.process(*pid).map(|process| process.namespace(NamespaceLink::Own(namespace.kind)));
            if let Some(Observed::Known(home)) = home {
                *strays.entry(home).or_default() -= 1;
            }
        }
    }
    strays
}

impl Scene {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let strays = strays(&snapshot);
        Self { snapshot, users: RefCell::default(), strays }
    }

    fn user(&self, uid: u32) -> String {
        let ask = || nstool::account::user_name(uid).unwrap_or_else(|| uid.to_string());
        self.users.borrow_mut().entry(uid).or_insert_with(ask).clone()
    }
}

/// A namespace, or one process in it.
pub(super) struct Row {
    pub(super) scene: Rc<Scene>,
    /// Indices into the snapshot.
    pub(super) namespace: usize,
    pub(super) process: Option<usize>,
}

impl Row {
    pub(super) fn namespace(&self) -> &Namespace {
        &self.scene.snapshot.namespaces()[self.namespace]
    }

    pub(super) fn process(&self) -> Option<&Process> {
        self.process.map(|index| &self.scene.snapshot.processes()[index])
    }

    /// Shows something of the process's details.
    fn detail<'a>(&'a self, show: impl FnOnce(&'a Details) -> Cell<'a>) -> Cell<'a> {
        match self.process().map(|process| process.details.as_ref()) {
            None => Cell::Empty,
            Some(Observed::Known(details)) => show(details),
            Some(Observed::Gone) => Cell::text("[ended]"),
            Some(Observed::Hidden(_)) => Cell::Hidden,
        }
    }
}

/// lsns's default columns.
pub(super) const DEFAULT: [&str; 6] = ["NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND"];
/// The default with `-t net`.
pub(super) const DEFAULT_NET: [&str; 8] = ["NS", "TYPE", "NPROCS", "PID", "USER", "NETNSID", "NSFS", "COMMAND"];
/// The default for the processes of a namespace.
pub(super) const DEFAULT_PROCESSES: [&str; 4] = ["PID", "PPID", "USER", "COMMAND"];

type Of = Column<Row>;

/// Every column.
pub(super) static COLUMNS: [Column<Row>; 18] = [
    Of::right("NS", "inode of the namespace", |row| number(row.namespace().id.ino)),
    Of::left("TYPE", "kind of namespace", |row| Cell::text(row.namespace().kind.name())).style(kind_style),
    Of::left("PATH", "path of the namespace's file", path).json("string"),
    Of::right("NPROCS", "number of processes in the namespace", |row| number(row.namespace().members.len() as u64)),
    Of::right("PID", "lowest process id in the namespace", |row| {
        row.process().map_or(Cell::Empty, |process| Cell::Number(process.pid.into()))
    }),
    Of::right("PPID", "parent of that process", |row| row.detail(|details| Cell::Number(details.parent.into()))),
    Of::left("COMMAND", "command line of that process", |row| row.detail(command)).cut(),
    Of::right("UID", "user id of that process", |row| row.detail(|details| number(details.uid.into()))),
    Of::left("USER", "user name of that process", |row| row.detail(|details| Cell::owned(row.scene.user(details.uid)))),
    Of::left("NETNSID", "number that our network namespace gives to it", net_id),
    Of::left("NSFS", "where its file is mounted", |row| list(row.namespace().mount_points())).json("array").cut(),
    Of::right("PNS", "inode of the parent namespace", |row| relative(row.namespace().parent)),
    Of::right("ONS", "inode of the owning user namespace", |row| relative(row.namespace().owner)),
    Of::right("ID", "the kernel's own id, never given twice", |row| match row.namespace().unique_id {
        Observed::Known(id) => number(id),
        _ => Cell::Hidden,
    }),
    Of::left("NAME", "name given by ip netns", |row| list(row.namespace().names())).json("array").cut(),
    Of::right("THREADS", "number of threads in the namespace", threads),
    Of::left("HOLDERS", "what keeps it alive besides its processes, counted", holders).cut(),
    Of::left("HELD-BY", "the first of these holders", held_by).cut(),
];

/// COMMAND, and for a namespace without processes what holds it.
pub(super) static COMMAND_OR_HOLDER: Column<Row> = Of::left("COMMAND", "command line, or first holder", |row| {
    if row.process.is_some() {
        return row.detail(command);
    }
    match held_by(row) {
        Cell::Text(holder) => Cell::Text([b"[held by ", &holder[..], b"]"].concat().into()),
        _ => Cell::text("[held by what we cannot see]"),
    }
})
.cut();

/// The command line; of a zombie its name with ps(1)'s mark.
fn command(details: &Details) -> Cell<'_> {
    if details.zombie {
        return Cell::Text([&details.command[..], b" <defunct>"].concat().into());
    }
    Cell::bytes(&details.command)
}

fn number(number: u64) -> Cell<'static> {
    // Ids and inodes stay far below 2^63.
    i64::try_from(number).map_or_else(|_| Cell::owned(number.to_string()), Cell::Number)
}

fn list<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Cell<'a> {
    let texts: Vec<_> = texts.map(Into::into).collect();
    if texts.is_empty() { Cell::Empty } else { Cell::List(texts) }
}

fn kind_style(kind: &str) -> Style {
    let style = Style::new();
    match kind.parse() {
        Ok(NamespaceKind::Mnt) => style.blue(),
        Ok(NamespaceKind::Net) => style.green(),
        Ok(NamespaceKind::Pid) => style.yellow(),
        Ok(NamespaceKind::User) => style.magenta(),
        Ok(NamespaceKind::Uts) => style.cyan(),
        Ok(NamespaceKind::Ipc) => style.bright_blue(),
        Ok(NamespaceKind::Cgroup) => style.bright_green(),
        Ok(NamespaceKind::Time) => style.bright_yellow(),
        _ => style,
    }
}

fn path(row: &Row) -> Cell<'_> {
    row.process()
        .map_or(Cell::Empty, |process| Cell::owned(format!("/proc/{}/ns/{}", process.pid, row.namespace().kind)))
}

fn net_id(row: &Row) -> Cell<'_> {
    match row.namespace().net_id {
        None => Cell::Empty,
        Some(Observed::Known(NetId::Unassigned)) => Cell::text("unassigned"),
        Some(Observed::Known(NetId::Assigned(id))) => Cell::owned(id.to_string()),
        Some(_) => Cell::Hidden,
    }
}

fn relative(relative: Option<Observed<NamespaceId>>) -> Cell<'static> {
    match relative {
        None => Cell::Empty,
        Some(Observed::Known(id)) => number(id.ino),
        Some(_) => Cell::Hidden,
    }
}

/// Counts the members' threads, less those that are elsewhere, plus those that are here without their process.
fn threads(row: &Row) -> Cell<'_> {
    let snapshot = &row.scene.snapshot;
    let of_member = |pid: &Pid| match snapshot.process(*pid)?.threads {
        Observed::Known(threads) => Some(i64::from(threads)),
        _ => None,
    };
    match row.namespace().members.iter().map(of_member).sum::<Option<i64>>() {
        Some(count) => Cell::Number(count + row.scene.strays.get(&row.namespace().id).unwrap_or(&0)),
        None => Cell::Hidden,
    }
}

/// Such as `3 fds, 1 mount`.
fn holders(row: &Row) -> Cell<'_> {
    let mut counts: Vec<(HolderKind, u32)> = Vec::new();
    for holder in &row.namespace().holders {
        match counts.last_mut() {
            // Holders are sorted by kind.
            Some((kind, count)) if *kind == holder.kind() => *count += 1,
            _ => counts.push((holder.kind(), 1)),
        }
    }
    let words = counts.iter().map(|(kind, count)| {
        let (one, many) = kind.words();
        format!("{count} {}", if *count == 1 { one } else { many })
    });
    let text = words.collect::<Vec<_>>().join(", ");
    if text.is_empty() { Cell::Empty } else { Cell::owned(text) }
}

/// Such as `fd 9 of 4711`.
fn held_by(row: &Row) -> Cell<'_> {
    let namespace = row.namespace();
    match namespace.holders.first() {
        Some(holder) => Cell::Text(describe(holder, &row.scene.snapshot).into()),
        // Something must hold it, and we could not see what.
        None if namespace.members.is_empty() => Cell::Hidden,
        None => Cell::Empty,
    }
}

/// Words one holder; a path in it stays as raw as it came.
fn describe(holder: &Holder, snapshot: &Snapshot) -> Vec<u8> {
    let kind = |id: &NamespaceId| snapshot.namespace(*id).map_or("namespace", |namespace| namespace.kind.name());
    let text = match holder {
        Holder::Thread { pid, tid } => format!("thread {tid} of {pid}"),
        Holder::ForChildren { pid, .. } => format!("future children of {pid}"),
        Holder::Descriptor { pid, fd, .. } => format!("fd {fd} of {pid}"),
        Holder::Pidfd { pid, fd, .. } => format!("pidfd {fd} of {pid}"),
        Holder::Socket { pid, fd, .. } => format!("socket {fd} of {pid}"),
        Holder::Mount { ours: true, mount_point, .. } => return [b"mount ", mount_point.as_slice()].concat(),
        Holder::Mount { mount_namespace, mount_point, .. } => {
            let place = format!(" in mnt {mount_namespace}");
            return [b"mount ", mount_point.as_slice(), place.as_bytes()].concat();
        }
        Holder::Filesystem { mount_point, .. } => return [b"procfs on ", mount_point.as_slice()].concat(),
        Holder::Tun { pid, fd, .. } => format!("tun {fd} of {pid}"),
        Holder::InFlight { pid, fd, .. } => format!("on the way to socket {fd} of {pid}"),
        Holder::WorkingDirectory { pid, .. } => format!("working directory of {pid}"),
        Holder::OpenFile { pid, fd, .. } => format!("open file {fd} of {pid}"),
        Holder::Child(id) => format!("its child {id}"),
        Holder::Owned(id) => format!("{} {id} that it owns", kind(id)),
        other => printable(format!("{other:?}").as_bytes()).into_owned(),
    };
    text.into_bytes()
}
