//! `nstool mounts diff A B`.

use std::fmt::Write as _;

use nstool::propagation::{self, Change, Connection, Difference, Forest, Groups, MountRef};
use nstool::target::Target;
use nstool::{Result, printable};
use owo_colors::{OwoColorize, Style};
use serde_json::{Map, Value as Json, json};

use super::scene::{Scene, text};
use crate::entry::ExitCode;
use crate::render::{self, Terminal, fit, hidden};

/// Compare the mounts of two processes or namespaces
#[derive(Debug, clap::Args)]
#[command(after_help = "Mere numbers (of mounts, groups, devices) make no difference.

Examples:
  nstool mounts diff self 4711                 what differs between our mounts and those of process 4711
  nstool mounts diff 4711 ns:4026532178        between a process's and those of a mount namespace

Exit status: 0 the same, 1 different, 2 trouble.")]
pub(super) struct Args {
    /// The first: a process or mount namespace
    a: Target,

    /// The second
    b: Target,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let scene = Scene::capture()?;
    let (a, b) = (scene.subject(Some(&args.a))?, scene.subject(Some(&args.b))?);
    let forest = scene.forest();
    let groups = Groups::of(&forest);
    let differences = propagation::diff(&forest, a.index, b.index);
    let connections = propagation::connections(&forest, &groups, a.index, b.index);
    if args.json {
        let document = json!({
            "same_namespace": a.index == b.index,
            "differences": differences.iter().map(|each| json_of(&forest, each)).collect::<Vec<_>>(),
            "connected": connections.iter().map(|each| json_of_connection(&forest, each)).collect::<Vec<_>>(),
            "hidden": hidden::json_of(scene.hidden()),
        });
        render::print_json(&document)?;
    } else {
        let mut out = String::new();
        for difference in &differences {
            say(&mut out, &forest, difference, terminal);
        }
        render::print(&fit::folded(&out, terminal.width, 4))?;
        render::report::note(&connected(&forest, &connections, a.index == b.index), terminal);
    }
    scene.say_hidden(terminal);
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

fn told(forest: &Forest<'_>, mount: MountRef) -> String {
    let Some(mount) = forest.mount(mount) else { return String::new() };
    let root = if mount.root == b"/" { String::new() } else { format!("[{}]", printable(&mount.root)) };
    format!(
        "{}  {}  {}{root}  {}  {}",
        fit::whole(&printable(&mount.mount_point)),
        printable(&mount.fs_type),
        printable(&mount.source),
        mount.propagation(),
        printable(&mount.options)
    )
}

fn path(forest: &Forest<'_>, mount: MountRef) -> String {
    forest.mount(mount).map_or_else(String::new, |mount| fit::whole(&printable(&mount.mount_point)))
}

fn say(out: &mut String, forest: &Forest<'_>, difference: &Difference, terminal: &Terminal) {
    let mut line = |mark: char, style: Style, line: String| {
        let _ = if terminal.color {
            writeln!(out, "{}", format!("{mark} {line}").style(style))
        } else {
            writeln!(out, "{mark} {line}")
        };
    };
    let (pair, changes) = match difference {
        Difference::OnlyInA(mount) => return line('-', Style::new().red(), told(forest, *mount)),
        Difference::OnlyInB(mount) => return line('+', Style::new().green(), told(forest, *mount)),
        Difference::Moved { a, b, changes } => {
            line('>', Style::new().cyan(), format!("{}  is at  {}", path(forest, *a), path(forest, *b)));
            ((*a, *b), changes)
        }
        Difference::Changed { a, b, changes } => {
            line('~', Style::new().yellow(), path(forest, *a));
            ((*a, *b), changes)
        }
    };
    let (Some(a), Some(b)) = (forest.mount(pair.0), forest.mount(pair.1)) else { return };
    for change in changes {
        let _ = writeln!(out, "    {}: {} -> {}", change.key(), printable(change.of(a)), printable(change.of(b)));
    }
}

/// Says in one line by which groups the two are connected.
fn connected(forest: &Forest<'_>, connections: &[Connection], same: bool) -> String {
    if same {
        return "both are in the same mount namespace".to_owned();
    }
    if connections.is_empty() {
        return "no mount of the two exchanges events with the other".to_owned();
    }
    let named = connections.iter().take(5).map(|connection| {
        let (a, b) = (path(forest, connection.a), path(forest, connection.b));
        let place = if a == b { a } else { format!("{a} = {b}") };
        format!("{place} ({})", way(connection))
    });
    let named: Vec<String> = named.collect();
    let more = connections.len().saturating_sub(named.len());
    let more = if more > 0 { format!(", and {more} more (--json lists all)") } else { String::new() };
    format!("connected by shared mounts: {}{more}", named.join(", "))
}

fn way(connection: &Connection) -> String {
    use nstool::propagation::Direction;
    let words = match connection.direction {
        Direction::Both => "both ways",
        Direction::Sends => "A to B",
        Direction::Receives => "B to A",
    };
    words.to_owned()
}

fn json_of(forest: &Forest<'_>, difference: &Difference) -> Json {
    let mount = |mount: MountRef| {
        forest.mount(mount).map(|mount| {
            json!({
                "mountpoint": text(&mount.mount_point),
                "fstype": text(&mount.fs_type),
                "source": text(&mount.source),
                "root": text(&mount.root),
                "propagation": mount.propagation(),
                "options": text(&mount.options),
                "fs_options": text(&mount.super_options),
            })
        })
    };
    let changed = |a: MountRef, b: MountRef, changes: &[Change]| {
        let pair = forest.mount(a).zip(forest.mount(b));
        let entry = |change: &Change| {
            let pair = pair.map(|(a, b)| json!({ "a": text(change.of(a)), "b": text(change.of(b)) }));
            (change.key().to_owned(), json!(pair))
        };
        Json::Object(changes.iter().map(entry).collect::<Map<_, _>>())
    };
    match difference {
        Difference::OnlyInA(a) => json!({ "kind": "only_in_a", "a": mount(*a) }),
        Difference::OnlyInB(b) => json!({ "kind": "only_in_b", "b": mount(*b) }),
        Difference::Moved { a, b, changes } => {
            json!({ "kind": "moved", "a": mount(*a), "b": mount(*b), "changes": changed(*a, *b, changes) })
        }
        Difference::Changed { a, b, changes } => {
            json!({ "kind": "changed", "a": mount(*a), "b": mount(*b), "changes": changed(*a, *b, changes) })
        }
    }
}

fn json_of_connection(forest: &Forest<'_>, connection: &Connection) -> Json {
    json!({
        "a": text(&forest.mount_point(connection.a)),
        "b": text(&forest.mount_point(connection.b)),
        "direction": connection.direction.key(),
    })
}
