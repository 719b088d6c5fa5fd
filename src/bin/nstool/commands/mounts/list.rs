//! `nstool mounts [TARGET] [PATH]`: the table of one mount namespace.

use std::collections::HashMap;
use std::ffi::OsString;

use nstool::Result;
use nstool::model::Mount;
use nstool::propagation::{Forest, GroupId, Groups, MountRef};
use owo_colors::Style;

use super::scene::{Scene, target_and_path};
use crate::entry::ExitCode;
use crate::render::columns::{Cell, Column, filter, find, passes};
use crate::render::listing::{Listing, Tree};
use crate::render::options::Output;
use crate::render::{Terminal, hidden};

/// How the mounts are listed.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only filesystems of this type; can be repeated
    #[arg(short = 't', long = "types", value_name = "FSTYPE", value_delimiter = ',')]
    types: Vec<String>,

    /// Only rows that pass a filter, such as 'PROPAGATION == "shared" && FSTYPE =~ "^ext"'
    #[arg(short = 'Q', long, value_name = "EXPR")]
    filter: Option<String>,

    /// As a flat list
    #[arg(short = 'l', long)]
    list: bool,

    #[command(flatten)]
    pub(super) output: Output,
}

/// A mount, with what the other namespaces' tables say about it.
struct Row {
    mount: Mount,
    /// In how many other namespaces its group has members.
    elsewhere: i64,
    overmounted: bool,
}

const DEFAULT: [&str; 7] = ["MOUNTPOINT", "FSTYPE", "SOURCE", "PROPAGATION", "PEERS", "MASTER", "OPTIONS"];

type Of = Column<Row>;

static COLUMNS: [Column<Row>; 18] = [
    Of::left("MOUNTPOINT", "where it is mounted", |row| Cell::bytes(&row.mount.mount_point)).cut(),
    Of::left("STATE", "overmounted: its path leads to another mount", |row| {
        if row.overmounted { Cell::text("overmounted") } else { Cell::Empty }
    })
    .style(|_| Style::new().dimmed()),
    Of::left("FSTYPE", "type of the filesystem", |row| Cell::bytes(&row.mount.fs_type)),
    Of::left("SOURCE", "what is mounted; of a bind with the directory or file in brackets", source).cut(),
    Of::left("PROPAGATION", "shared, slave, shared,slave, private or unbindable", |row| {
        Cell::text(row.mount.propagation())
    })
    .style(propagation_style),
    Of::left("PEERS", "peer group, and in how many other namespaces it has members", peers),
    Of::right("MASTER", "peer group it receives mounts from", |row| group(row.mount.master)),
    Of::left("OPTIONS", "options of the mount", |row| Cell::bytes(&row.mount.options)).cut(),
    Of::left("FS-OPTIONS", "options of the filesystem", |row| Cell::bytes(&row.mount.super_options)).cut(),
    Of::left("ROOT", "directory or file of the filesystem that is mounted", |row| Cell::bytes(&row.mount.root)).cut(),
    Of::left("MAJ:MIN", "device number", |row| Cell::owned(row.mount.device.to_string())),
    Of::right("ID", "number of the mount", |row| Cell::Number(row.mount.id.into())),
    Of::right("PARENT", "number of the mount it stands on", |row| Cell::Number(row.mount.parent.into())),
    Of::right("UNIQUE-ID", "number of the mount that is never given twice", |row| match row.mount.unique_id {
        Some(id) => i64::try_from(id).map_or(Cell::Hidden, Cell::Number),
        None => Cell::Hidden,
    }),
    Of::right("GROUP", "peer group", |row| group(row.mount.shared)),
    Of::right("ELSEWHERE", "in how many other namespaces the peer group has members", |row| {
        Cell::Number(row.elsewhere)
    }),
    Of::right("PROPAGATE-FROM", "nearest group above the master with a member here", |row| {
        group(row.mount.propagate_from)
    }),
    Of::left("OVERMOUNTED", "whether its path leads to another mount", |row| Cell::Flag(row.overmounted))
        .json("boolean"),
];

fn group(group: Option<u32>) -> Cell<'static> {
    group.map_or(Cell::Empty, |group| Cell::Number(group.into()))
}

fn source(row: &Row) -> Cell<'_> {
    if row.mount.root == b"/" {
        return Cell::bytes(&row.mount.source);
    }
    Cell::Text([&row.mount.source[..], b"[", &row.mount.root, b"]"].concat().into())
}

fn peers(row: &Row) -> Cell<'_> {
    match (row.mount.shared, row.elsewhere) {
        (None, _) => Cell::Empty,
        (Some(group), 0) => Cell::owned(format!("{group}")),
        (Some(group), 1) => Cell::owned(format!("{group} in 1 other")),
        (Some(group), count) => Cell::owned(format!("{group} in {count} others")),
    }
}

fn propagation_style(text: &str) -> Style {
    match text {
        "shared" | "shared,slave" => Style::new().yellow(),
        "slave" => Style::new().cyan(),
        _ => Style::new(),
    }
}

/// Returns the columns, for completion.
pub(crate) fn column_names() -> Vec<(&'static str, &'static str)> {
    COLUMNS.iter().map(|column| (column.name, column.help)).collect()
}

pub(super) fn run(words: &[OsString], options: &Options, terminal: &Terminal) -> Result<ExitCode> {
    let output = &options.output;
    if output.list_columns {
        output.print_columns(&COLUMNS, terminal)?;
        return Ok(ExitCode::SUCCESS);
    }
    let filter = options.filter.as_deref().map(|text| filter(&COLUMNS, text)).transpose()?;
    let mut chosen = output.choose(&COLUMNS, &DEFAULT)?;
    let (target, path) = target_and_path(words)?;
    let scene = Scene::capture()?;
    let subject = scene.subject(target.as_ref())?;
    let forest = scene.forest();
    let groups = Groups::of(&forest);
    let mut selected: Vec<MountRef> = forest.mounts_of(subject.index).collect();
    if let Some(path) = path {
        let (place, _) = scene.place(&forest, &subject, &path)?;
        let stack = forest.mount_point(place.mount);
        selected.retain(|mount| forest.mount(*mount).is_some_and(|told| told.mount_point == stack));
    }
    let elsewhere = Elsewhere::new(&forest, &groups);
    let wanted = |mount: &Mount| {
        options.types.is_empty() || options.types.iter().any(|wanted| wanted.as_bytes() == mount.fs_type)
    };
    let mut rows = Vec::with_capacity(selected.len());
    let mut refs = Vec::with_capacity(selected.len());
    for mount in selected {
        let Some(told) = forest.mount(mount).filter(|told| wanted(told)) else { continue };
        let row = Row {
            mount: told.clone(),
            elsewhere: forest.node(mount).shared.map_or(0, |group| elsewhere.count(group)),
            overmounted: forest.covered_by(mount).is_some(),
        };
        if passes(&COLUMNS, filter.as_ref(), &row) {
            rows.push(row);
            refs.push(mount);
        }
    }
    if output.by_default() && (output.json || rows.iter().any(|row| row.overmounted)) {
        let state = find(&COLUMNS, "STATE");
        state.into_iter().for_each(|state| chosen.insert(1, state));
    }
    let tree = (!options.list && !output.raw).then(|| Tree { parents: parents(&forest, &refs), column: "MOUNTPOINT" });
    let listing = Listing { columns: chosen.into_iter().map(|index| &COLUMNS[index]).collect(), rows, tree };
    output.print(&listing, ("mounts", Some(hidden::json_of(scene.hidden()))), false, terminal)?;
    scene.say_hidden(terminal);
    Ok(ExitCode::SUCCESS)
}

/// Returns each row's parent row: the nearest mount below it that is shown.
fn parents(forest: &Forest<'_>, shown: &[MountRef]) -> Vec<Option<usize>> {
    let places: HashMap<MountRef, usize> = shown.iter().enumerate().map(|(place, mount)| (*mount, place)).collect();
    let above = |mount: &MountRef| {
        let mut here = *mount;
        for _ in 0..=forest.len() {
            here = forest.node(here).parent?;
            if let Some(place) = places.get(&here) {
                return Some(*place);
            }
        }
        None
    };
    shown.iter().map(above).collect()
}

/// In how many namespaces each group has members.
struct Elsewhere {
    namespaces: HashMap<GroupId, i64>,
}

impl Elsewhere {
    fn new(forest: &Forest<'_>, groups: &Groups) -> Self {
        let count = |group: &GroupId| {
            let mut namespaces: Vec<usize> =
                groups.members(*group).iter().map(|mount| forest.node(*mount).namespace).collect();
            namespaces.sort_unstable();
            namespaces.dedup();
            namespaces.len() as i64
        };
        Self { namespaces: groups.all().iter().map(|group| (*group, count(group))).collect() }
    }

    /// How many besides the one that asks.
    fn count(&self, group: GroupId) -> i64 {
        self.namespaces.get(&group).map_or(0, |count| count - 1)
    }
}
