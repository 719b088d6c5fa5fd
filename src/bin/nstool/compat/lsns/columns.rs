//! The columns.

use nstool::model::{Details, Namespace, NetId, Observed, Process};
use nstool::{NamespaceKind, Pid, printable};

use super::super::Refused;
use super::super::table::{Cell, Header};

pub(super) struct Column {
    pub(super) header: Header,
    pub(super) help: &'static str,
    pub(super) cell: fn(&Row<'_>) -> Cell,
}

/// A namespace, or a process in it.
pub(super) struct Row<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) process: Option<&'a Process>,
    /// How many processes are in it, as far as its kind was asked for.
    pub(super) members: usize,
}

impl Row<'_> {
    pub(super) fn details(&self) -> Option<&Details> {
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

pub(super) static COLUMNS: [Column; 13] = [
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

/// Finds the columns of a list.
pub(super) fn chosen(list: &str) -> Result<Vec<&'static Column>, Refused> {
    let mut columns = Vec::new();
    let mut rest = list;
    loop {
        let (name, after) = rest.split_once(',').map_or((rest, None), |(name, after)| (name, Some(after)));
        if name.is_empty() {
            return Err(Refused::Silent);
        }
        let found = COLUMNS.iter().find(|column| column.header.name.eq_ignore_ascii_case(name));
        // What stands behind it is named along with it.
        columns.push(found.ok_or_else(|| Refused::Message(format!("unknown column: {}", printable(rest.as_bytes()))))?);
        match after {
            Some(after) => rest = after,
            None => return Ok(columns),
        }
    }
}
