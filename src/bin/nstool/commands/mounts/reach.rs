//! `nstool mounts reach [TARGET] PATH`: where a mount made at PATH would appear, and what an unmount takes along.

use std::ffi::OsString;
use std::fmt::Write as _;

use nstool::model::Observed;
use nstool::propagation::{
    Arrival, Break, Forest, Groups, MountRef, Place, Prediction, Reach, Refusal, Stay, Unmounting, What,
};
use nstool::target::Target;
use nstool::{Error, ErrorKind, Result, printable};
use serde_json::{Value as Json, json};

use super::scene::{Scene, Subject, describe_mount, place_of_mount, target_and_required_path, text};
use super::users::users_of;
use crate::entry::ExitCode;
use crate::render::columns::{Cell, Column};
use crate::render::listing::{Layout, Listing};
use crate::render::quote::quote;
use crate::render::{self, Terminal, fit, hidden, report};

/// Predict where a mount made at PATH would appear, or what an unmount there takes along
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nstool mounts reach [OPTIONS] [TARGET] <PATH>",
    after_help = "Examples:
  nstool mounts reach /mnt                          every namespace and path where a mount at /mnt would appear
  nstool mounts reach 4711 /data --bind /srv        the same for a bind that process 4711 makes
  nstool mounts reach /mnt --to 4711                would process 4711 see it? if not, why
  nstool mounts reach --umount /mnt                 what unmounting /mnt would take along

Exit status: 0, or 1 in trouble; with --to 0 yes, 1 no, 2 trouble."
)]
pub(super) struct Args {
    /// Who mounts (default: self), and where
    #[arg(value_names = ["TARGET", "PATH"], num_args = 1..=2, required = true)]
    words: Vec<OsString>,

    /// For a bind mount of this instead of a new filesystem
    #[arg(long, value_name = "SOURCE")]
    bind: Option<OsString>,

    /// The same with everything mounted below it
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["bind", "umount"])]
    rbind: Option<OsString>,

    /// Only whether it would appear there; if not, which link of the chain is broken
    #[arg(long, value_name = "TARGET2", conflicts_with = "umount")]
    to: Option<Target>,

    /// For an unmount: what goes with it, and what stays
    #[arg(long, conflicts_with = "bind")]
    umount: bool,

    /// With --umount: a lazy one, which takes along what is mounted below
    #[arg(long, requires = "umount")]
    lazy: bool,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

impl Args {
    /// Tells whether it asks a question that is answered yes or no.
    pub(super) fn asks(&self) -> bool {
        self.to.is_some()
    }
}

/// A row: one place where something appears.
struct Row {
    namespace: u64,
    process: String,
    path: Vec<u8>,
    state: String,
    visible: bool,
    kind: String,
}

type Of = Column<Row>;

static COLUMNS: [Column<Row>; 5] = [
    Of::right("NS", "inode of the mount namespace", |row| {
        i64::try_from(row.namespace).map_or(Cell::Hidden, Cell::Number)
    }),
    Of::left("PROCESS", "a process that lives there", |row| Cell::text(&row.process)).wrap(12),
    Of::left("PATH", "where it appears", |row| Cell::bytes(&row.path)).whole(),
    Of::left("PROPAGATION", "its type there", |row| Cell::text(&row.kind)),
    Of::left("STATE", "visible, or hidden beneath what", |row| Cell::text(&row.state)).wrap(16),
];

pub(super) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let (target, path) = target_and_required_path(&args.words)?;
    let scene = Scene::capture()?;
    let forest = scene.forest();
    let groups = Groups::of(&forest);
    let subject = scene.subject(target.as_ref())?;
    let code = if args.umount {
        unmount(args, &scene, &forest, &groups, &subject, &path, terminal)?
    } else {
        attach(args, &scene, &forest, &groups, &subject, &path, terminal)?
    };
    if !groups.unseen().is_empty() {
        let note = format!(
            "incomplete: of {} peer group(s) that mounts receive from no member can be seen; more may happen there",
            groups.unseen().len()
        );
        report::note(&note, terminal);
    }
    scene.say_hidden(terminal);
    Ok(code)
}

fn attach(
    args: &Args,
    scene: &Scene,
    forest: &Forest<'_>,
    groups: &Groups,
    subject: &Subject,
    path: &OsString,
    terminal: &Terminal,
) -> Result<ExitCode> {
    let (place, located) = scene.place(forest, subject, path)?;
    let what = match args.bind.as_ref().or(args.rbind.as_ref()) {
        None => What::New,
        Some(source) => {
            let (source, of_source) = scene.place(forest, subject, source)?;
            if of_source.directory != located.directory {
                let kind = |directory| if directory { "a directory" } else { "a file" };
                let (from, to) = (printable(&of_source.path), printable(&located.path));
                let message = format!("cannot bind {} on {}", kind(of_source.directory), kind(located.directory));
                return Err(Error::new(ErrorKind::Unsuitable, message)
                    .because(std::io::Error::from_raw_os_error(libc::ENOTDIR))
                    .with_hint(format!("{from} and {to} must both be directories, or both not")));
            }
            if args.rbind.is_some() { What::BindTree(source) } else { What::Bind(source) }
        }
    };
    if what == What::New && !located.directory {
        let shown = printable(&located.path).into_owned();
        return Err(Error::new(ErrorKind::Unsuitable, format!("{shown} is no directory"))
            .with_hint("a new filesystem is mounted on a directory; on a file only a file can be bound (--bind)"));
    }
    let prediction =
        forest.attach(groups, &what, &place).map_err(|refusal| refused("mount", &located.path, refusal))?;
    if let Some(target) = &args.to {
        return answer(args, scene, forest, groups, &place, (&prediction, target), terminal);
    }
    let rows: Vec<Row> = prediction.arrivals.iter().map(|arrival| row(scene, &prediction, arrival)).collect();
    if args.json {
        let of_arrival = |(arrival, row): (&Arrival, &Row)| {
            let mut object = scene.namespace_json(prediction.after.node(arrival.top).namespace);
            object["path"] = text(&row.path);
            object["propagation"] = json!(row.kind);
            object["visible"] = json!(row.visible);
            object["hidden_beneath"] =
                arrival.covered_by.map_or(Json::Null, |cover| text(&prediction.after.mount_point(cover)));
            object["mounts"] = json!(arrival.mounts);
            object
        };
        let arrivals: Vec<Json> = prediction.arrivals.iter().zip(&rows).map(of_arrival).collect();
        render::print_json(&json!({ "arrivals": arrivals, "hidden": hidden::json_of(scene.hidden()) }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let alone = rows.len() == 1;
    let listing = Listing { columns: COLUMNS.iter().collect(), rows, tree: None };
    render::print(&listing.table(Layout::default(), terminal))?;
    if alone {
        report::note(&stays_here(scene, forest, &place), terminal);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says why a mount appears nowhere else.
fn stays_here(scene: &Scene, forest: &Forest<'_>, place: &Place) -> String {
    let node = forest.node(place.mount);
    let mount = describe_mount(forest, place.mount);
    let told = forest.mount(place.mount).map_or("private", |told| told.propagation());
    match (node.shared, node.master) {
        (None, None) => format!("it stays here: {mount} is {told}"),
        (None, Some(_)) => format!("it stays here: {mount} is a slave, which receives and does not send"),
        _ if scene.tables().len() == 1 => {
            format!("{mount} is shared, and no other mount namespace has a part in it yet; a new one would")
        }
        _ => format!("{mount} is shared, but no other mount takes part in it yet; those of a new namespace would"),
    }
}

fn row(scene: &Scene, prediction: &Prediction<'_>, arrival: &Arrival) -> Row {
    let node = prediction.after.node(arrival.top);
    let table = &scene.tables()[node.namespace];
    let beneath = |cover: MountRef| format!("hidden beneath {}", describe_mount(&prediction.after, cover));
    Row {
        namespace: table.namespace.ino,
        process: if scene.is_own(node.namespace) {
            "(ours)".to_owned()
        } else {
            table.processes.first().map_or_else(|| "-".to_owned(), |pid| scene.describe_process(*pid))
        },
        path: prediction.after.mount_point(arrival.top),
        state: arrival.covered_by.map_or_else(|| "visible".to_owned(), beneath),
        visible: arrival.covered_by.is_none(),
        kind: match (node.shared.is_some(), node.master.is_some()) {
            (true, true) => "shared,slave",
            (true, false) => "shared",
            (false, true) => "slave",
            (false, false) => "private",
        }
        .to_owned(),
    }
}

fn answer(
    args: &Args,
    scene: &Scene,
    forest: &Forest<'_>,
    groups: &Groups,
    place: &Place,
    (prediction, target): (&Prediction<'_>, &Target),
    terminal: &Terminal,
) -> Result<ExitCode> {
    let there = scene.subject(Some(target))?;
    let reach = forest.reaches(groups, place, prediction, there.index);
    let here = forest.node(place.mount).namespace;
    match reach {
        Reach::Yes(arrivals) => {
            let rows: Vec<Row> =
                arrivals.iter().map(|index| row(scene, prediction, &prediction.arrivals[*index])).collect();
            if args.json {
                let places: Vec<Json> =
                    rows.iter().map(|row| json!({ "path": text(&row.path), "visible": row.visible })).collect();
                render::print_json(&json!({ "reaches": true, "at": places }))?;
            } else {
                let mut out = String::new();
                for row in rows {
                    let path = fit::whole(&printable(&row.path));
                    let _ = writeln!(out, "yes: at {path} ({}, {})", row.kind, row.state);
                }
                render::print(&fit::folded(&out, terminal.width, 4))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Reach::No(broken) => {
            let (why, mend) = explain(scene, forest, place, here, &there, broken);
            if args.json {
                render::print_json(&json!({ "reaches": false, "broken": key(broken), "why": why, "mend": mend }))?;
            } else {
                render::print(&fit::folded(&format!("no: {why}\nmend: {mend}\n"), terminal.width, 4))?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

fn key(broken: Break) -> &'static str {
    match broken {
        Break::Private => "private",
        Break::WrongWay { across_owners: true, .. } => "other_owner",
        Break::WrongWay { .. } => "wrong_way",
        Break::OnlyReceives => "only_receives",
        Break::PrivateCopy(_) => "private_copy",
        Break::OtherGroup(_) => "other_group",
        Break::OtherSubtree(_) => "other_subtree",
        Break::NotThere => "not_there",
        _ => "unknown",
    }
}

/// Words the broken link, and what would mend it.
fn explain(
    scene: &Scene,
    forest: &Forest<'_>,
    place: &Place,
    here: usize,
    there: &Subject,
    broken: Break,
) -> (String, String) {
    let mine = describe_mount(forest, place.mount);
    let theirs = |mount: MountRef| describe_mount(forest, mount);
    let my_path = quote(&forest.mount_point(place.mount));
    let directly = format!("mount it there directly: {}", scene.enter_command(there.index, "mount ..."));
    let share = scene.enter_command(here, &format!("mount --make-shared {my_path}"));
    match broken {
        Break::Private => (
            format!("{mine} is private: what is mounted on it reaches nobody"),
            format!(
                "`{share}` before the other namespace is made from this one; a copy that exists stays apart, so {directly}"
            ),
        ),
        Break::WrongWay { there: mount, across_owners: true } => (
            format!(
                "{mine} only receives from {} there: a mount namespace that belongs to another user namespace ({}) \
                 gets slaves, which do not send",
                theirs(mount),
                owners(scene, here, there.index)
            ),
            format!("nothing makes it send; {directly}"),
        ),
        Break::WrongWay { there: mount, .. } => (
            format!("{mine} is a slave: it receives from {} there and does not send to it", theirs(mount)),
            format!("{directly}; from there it arrives here as well"),
        ),
        Break::OnlyReceives => (
            format!("{mine} is a slave: it receives and does not send"),
            format!("`{share}` makes it send to copies made from then on; {directly}"),
        ),
        Break::PrivateCopy(mount) => (
            format!("{} there is a private copy, in no group with {mine}", theirs(mount)),
            format!(
                "a copy cannot join afterwards by mount(8); make the namespace anew without making its mounts private, or {directly}"
            ),
        ),
        Break::OtherGroup(mount) => (
            format!(
                "{} there belongs to another peer group than {mine}, which does not receive from it",
                theirs(mount)
            ),
            directly,
        ),
        Break::OtherSubtree(mount) => {
            let root = forest.mount(mount).map_or_else(String::new, |told| printable(&told.root).into_owned());
            (
                format!(
                    "{} there receives, but shows only {root} of the filesystem, which does not hold the place",
                    theirs(mount)
                ),
                format!("mount below what both show, or {directly}"),
            )
        }
        Break::NotThere => {
            (format!("no mount there shows this part of {mine}"), format!("bind it there first; or {directly}"))
        }
        _ => (
            "a peer group on the way has no member that can be seen; it may reach it all the same".to_owned(),
            "run nstool as root, which sees every mount namespace".to_owned(),
        ),
    }
}

fn owners(scene: &Scene, here: usize, there: usize) -> String {
    let name = |index: usize| match scene.tables()[index].owner {
        Observed::Known(owner) => owner.to_string(),
        _ => "?".to_owned(),
    };
    format!("user {} here, {} there", name(here), name(there))
}

fn refused(verb: &str, path: &[u8], refusal: Refusal) -> Error {
    Error::new(ErrorKind::Unsuitable, format!("the kernel would refuse to {verb} {}: {refusal}", printable(path)))
        .because(std::io::Error::from_raw_os_error(refusal.errno()))
}

fn unmount(
    args: &Args,
    scene: &Scene,
    forest: &Forest<'_>,
    groups: &Groups,
    subject: &Subject,
    path: &OsString,
    terminal: &Terminal,
) -> Result<ExitCode> {
    let (place, located) = scene.place(forest, subject, path)?;
    let shown = printable(&located.path).into_owned();
    if *forest.node(place.mount).root != place.inside {
        let on = describe_mount(forest, place.mount);
        return Err(Error::new(ErrorKind::Unsuitable, format!("{shown} is not a mount point"))
            .with_hint(format!("it lies on {on}")));
    }
    let prediction = forest.unmount(groups, place.mount, args.lazy).map_err(|refusal| {
        let error = refused("unmount", &located.path, refusal);
        match refusal {
            Refusal::Busy => {
                error.with_hint("--lazy predicts `umount --lazy`, which takes what is mounted on it along")
            }
            _ => error,
        }
    })?;
    // A lazy unmount does not ask who uses it.
    let users = if args.lazy { None } else { Some(users_of(forest, &busy_candidates(forest, &prediction))?) };
    if args.json {
        let place = |mount: MountRef| {
            let mut object = scene.namespace_json(forest.node(mount).namespace);
            object["path"] = text(&forest.mount_point(mount));
            object
        };
        let goes = prediction.goes.iter().map(|gone| {
            let mut object = place(gone.mount);
            object["maybe_locked"] = json!(gone.maybe_locked);
            object
        });
        let stays = prediction.stays.iter().map(|(mount, stay)| {
            let mut object = place(*mount);
            object["why"] = json!(match stay {
                Stay::Locked => "locked",
                Stay::Holds(_) => "holds_mounts",
            });
            object
        });
        let document = json!({
            "goes": goes.collect::<Vec<_>>(),
            "stays": stays.collect::<Vec<_>>(),
            "busy": users.as_ref().map(|users| users.json(scene)),
            "hidden": hidden::json_of(scene.hidden()),
        });
        render::print_json(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = String::new();
    let at = |mount: MountRef| {
        format!("{}  {}", place_of_mount(forest, mount), scene.describe(forest.node(mount).namespace))
    };
    for gone in &prediction.goes {
        let maybe = if gone.maybe_locked { "  (may be locked there, and then stay)" } else { "" };
        let _ = writeln!(out, "goes   {}{maybe}", at(gone.mount));
    }
    for (mount, stay) in &prediction.stays {
        let why = match stay {
            Stay::Locked => "locked: it came with the mount it stands on".to_owned(),
            Stay::Holds(holder) => format!("{} is mounted on it", place_of_mount(forest, *holder)),
        };
        let _ = writeln!(out, "stays  {}: {why}", at(*mount));
    }
    for mount in &prediction.lowered {
        let _ = writeln!(out, "stays  {}, which covered one that goes", at(*mount));
    }
    if let Some(users) = users.filter(|users| !users.is_empty()) {
        out.push_str("busy: umount would fail (EBUSY) as long as these use it:\n");
        out.push_str(&users.words(scene));
    }
    render::print(&fit::folded(&out, terminal.width, 4))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the mounts whose users would make the unmount fail: what goes and has nothing on it.
fn busy_candidates(forest: &Forest<'_>, prediction: &Unmounting<'_>) -> Vec<MountRef> {
    prediction.goes.iter().map(|gone| gone.mount).filter(|mount| forest.mount(*mount).is_some()).collect()
}
