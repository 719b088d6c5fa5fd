//! `nstool mounts peers [TARGET] [PATH]`: who sends mounts to whom.

use std::collections::HashSet;
use std::ffi::OsString;

use nstool::propagation::{Forest, GroupId, Groups, MountRef};
use nstool::query::tree;
use nstool::{Result, printable};
use owo_colors::OwoColorize;
use serde_json::{Value as Json, json};

use super::scene::{Scene, target_and_path, text};
use crate::entry::ExitCode;
use crate::render::{self, Terminal, fit, hidden};

/// Show peer groups with all their members, as a tree of who sends to whom
///
/// Each group stands with its members in every mount namespace; below it stand what receives from it. Without a PATH all
/// groups are shown that the namespace takes part in; `--all` shows every group.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nstool mounts peers [OPTIONS] [TARGET] [PATH]",
    after_help = "Examples:
  nstool mounts peers /          who shares / with whom
  nstool mounts peers 4711       all groups that process 4711's mounts take part in
  nstool mounts peers --all      every group of the machine

Exit status: 0, or 1 in trouble."
)]
pub(super) struct Args {
    /// Whose mounts (default: self); and a path: the groups of the mount there
    #[arg(value_names = ["TARGET", "PATH"], num_args = 0..=2)]
    words: Vec<OsString>,

    /// Every group of the machine
    #[arg(long, conflicts_with = "words")]
    all: bool,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

/// A line of the tree: a group, or a mount of one.
enum Line {
    Group(GroupId),
    Peer(MountRef),
    /// A mount that receives from the group above and is in none itself.
    Slave(MountRef),
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let (target, path) = target_and_path(&args.words)?;
    let scene = Scene::capture()?;
    let forest = scene.forest();
    let groups = Groups::of(&forest);
    let tops = if args.all {
        tops(&groups, &groups.all())
    } else {
        let subject = scene.subject(target.as_ref())?;
        let mounts: Vec<MountRef> = match path {
            Some(path) => vec![scene.place(&forest, &subject, &path)?.0.mount],
            None => forest.mounts_of(subject.index).collect(),
        };
        let nodes = mounts.iter().map(|mount| forest.node(*mount));
        let named: Vec<GroupId> = nodes.flat_map(|node| node.shared.into_iter().chain(node.master)).collect();
        tops(&groups, &named)
    };
    if args.json {
        let list: Vec<Json> = tops.iter().map(|group| group_json(&scene, &forest, &groups, *group)).collect();
        render::print_json(&json!({ "groups": list, "hidden": hidden::json_of(scene.hidden()) }))?;
    } else if tops.is_empty() {
        render::print("no peer groups: nothing here is shared, and nothing is received\n")?;
    } else {
        render::print(&draw(&scene, &forest, &groups, &tops, terminal))?;
    }
    scene.say_hidden(terminal);
    Ok(ExitCode::SUCCESS)
}

/// Returns the groups that stand above these, each once.
fn tops(groups: &Groups, of: &[GroupId]) -> Vec<GroupId> {
    let top = |group: &GroupId| groups.ancestors(*group).last().copied().unwrap_or(*group);
    let mut tops: Vec<GroupId> = of.iter().map(top).collect();
    tops.sort_unstable();
    tops.dedup();
    tops
}

fn number(group: GroupId) -> u32 {
    match group {
        GroupId::Known(number) | GroupId::New(number) => number,
    }
}

fn draw(scene: &Scene, forest: &Forest<'_>, groups: &Groups, tops: &[GroupId], terminal: &Terminal) -> String {
    let mut lines: Vec<Line> = Vec::new();
    let mut parents: Vec<Option<usize>> = Vec::new();
    let mut waiting: Vec<(GroupId, Option<usize>)> = tops.iter().rev().map(|group| (*group, None)).collect();
    let mut seen = HashSet::new();
    while let Some((group, parent)) = waiting.pop() {
        // Tables read at different moments could lead round.
        if !seen.insert(group) {
            continue;
        }
        let here = lines.len();
        lines.push(Line::Group(group));
        parents.push(parent);
        let peers = groups.members(group).iter().map(|mount| Line::Peer(*mount));
        for line in peers.chain(groups.slaves(group).iter().map(|mount| Line::Slave(*mount))) {
            lines.push(line);
            parents.push(Some(here));
        }
        waiting.extend(groups.below(group).iter().rev().map(|below| (*below, Some(here))));
    }
    let place = |mount: MountRef| {
        let path = forest.mount_point(mount);
        format!("{}  {}", fit::whole(&printable(&path)), scene.describe(forest.node(mount).namespace))
    };
    let mut out = String::new();
    for branch in tree::arrange(&parents) {
        let line = match &lines[branch.row] {
            Line::Group(group) => {
                let name = match (branch.depth, groups.members(*group).is_empty()) {
                    (0, false) => format!("group {}", number(*group)),
                    (_, false) => format!("receives as group {}", number(*group)),
                    (_, true) => format!("group {} (none of its members can be seen)", number(*group)),
                };
                if terminal.color { name.bold().to_string() } else { name }
            }
            Line::Peer(mount) => format!("peer      {}", place(*mount)),
            Line::Slave(mount) => format!("receives  {}", place(*mount)),
        };
        fit::below(&mut out, &branch.lines, &line, terminal.width);
    }
    out
}

fn group_json(scene: &Scene, forest: &Forest<'_>, groups: &Groups, top: GroupId) -> Json {
    let place = |mount: &MountRef| {
        let mut object = scene.namespace_json(forest.node(*mount).namespace);
        object["path"] = text(&forest.mount_point(*mount));
        object
    };
    // From the last to the first, so that what is below a group is complete when the group is made.
    let mut order = vec![top];
    let mut seen = HashSet::from([top]);
    let mut next = 0;
    while next < order.len() {
        order.extend(groups.below(order[next]).iter().filter(|below| seen.insert(**below)));
        next += 1;
    }
    let mut done: Vec<(GroupId, Json)> = Vec::new();
    for group in order.into_iter().rev() {
        let (below, rest): (Vec<_>, Vec<_>) =
            done.into_iter().partition(|(each, _)| groups.below(group).contains(each));
        done = rest;
        let object = json!({
            "group": number(group),
            "master": groups.above(group).map(number),
            "peers": groups.members(group).iter().map(place).collect::<Vec<_>>(),
            "slaves": groups.slaves(group).iter().map(place).collect::<Vec<_>>(),
            "below": below.into_iter().rev().map(|(_, object)| object).collect::<Vec<_>>(),
        });
        done.push((group, object));
    }
    done.pop().map_or(Json::Null, |(_, object)| object)
}
