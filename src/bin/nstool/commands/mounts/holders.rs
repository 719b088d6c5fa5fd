//! `nstool mounts holders PATH|DEVICE|MAJ:MIN`: why is a filesystem busy.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use nstool::discover::Uses;
use nstool::model::{Device, MountPlace, MountUse};
use nstool::propagation::{Forest, MountRef};
use nstool::{Error, ErrorKind, Pid, Result, printable};
use serde_json::{Value as Json, json};

use super::scene::{Scene, describe_mount, quoted, text};
use crate::render::{self, Terminal, hidden};

/// Tell why a filesystem is busy: its mounts in every namespace, and the processes that use it
///
/// The order shown is the order to release them in. Exit status: 0, or 1 in trouble.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A path on the filesystem, a block device, or a device number such as 254:16
    #[arg(value_name = "PATH|DEVICE|MAJ:MIN")]
    what: OsString,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let scene = Scene::capture()?;
    let forest = scene.forest();
    let device = device_of(&scene, &forest, &args.what)?;
    let mounts: Vec<MountRef> =
        forest.mounts().filter(|mount| forest.mount(*mount).is_some_and(|told| told.device == device)).collect();
    let users = Users::new(&forest, &mounts, HashSet::from([device]))?;
    // What is mounted on a mount goes before it: the deepest first.
    let mut ordered = mounts.clone();
    ordered.extend(on_top(&forest, &mounts));
    ordered.sort_by_key(|mount| (forest.node(*mount).namespace, std::cmp::Reverse(depth(&forest, *mount)), *mount));
    if args.json {
        let mount = |mount: &MountRef| {
            let told = forest.mount(*mount);
            let namespace = forest.node(*mount).namespace;
            let mut object = scene.namespace_json(namespace);
            object["path"] = text(&forest.mount_point(*mount));
            object["fstype"] = json!(told.map(|told| text(&told.fs_type)));
            object["of_this_filesystem"] = json!(told.is_some_and(|told| told.device == device));
            object["processes"] = json!(scene.tables()[namespace].processes);
            object
        };
        let document = json!({
            "device": device.to_string(),
            "mounts": ordered.iter().map(mount).collect::<Vec<_>>(),
            "uses": users.json(&scene),
            "hidden": hidden::json_of(&users.uses.hidden),
        });
        render::print_json(&document)?;
    } else {
        render::print(&words(&scene, &forest, device, &ordered, &users))?;
    }
    hidden::say_of(&users.uses.hidden, users.uses.processes, terminal);
    scene.say_hidden(terminal);
    Ok(ExitCode::SUCCESS)
}

/// Finds the filesystem that is meant.
fn device_of(scene: &Scene, forest: &Forest<'_>, what: &OsString) -> Result<Device> {
    if let Some(device) = what.to_str().and_then(parse_device) {
        let known = forest.mounts().any(|mount| forest.mount(mount).is_some_and(|told| told.device == device));
        return if known { Ok(device) } else { Err(not_mounted(&device.to_string())) };
    }
    let subject = scene.subject(None)?;
    let located = scene.locate(&subject, what)?;
    if let Some(device) = located.block_device {
        let known = forest.mounts().any(|mount| forest.mount(mount).is_some_and(|told| told.device == device));
        if known {
            return Ok(device);
        }
        // btrfs numbers its filesystems itself, and names the device as the source.
        let by_source = forest.mounts().find_map(|mount| {
            forest.mount(mount).filter(|told| told.source == located.path || told.source == what.as_bytes())
        });
        return by_source.map(|told| told.device).ok_or_else(|| not_mounted(&printable(&located.path)));
    }
    let mount = forest.find_mount(subject.index, located.mount_id).and_then(|mount| forest.mount(mount));
    mount.map(|told| told.device).ok_or_else(|| not_mounted(&printable(&located.path)))
}

fn parse_device(text: &str) -> Option<Device> {
    let (major, minor) = text.split_once(':')?;
    Some(Device { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

fn not_mounted(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} is not mounted in any mount namespace that can be seen"))
        .with_hint("as root every mount namespace is seen; a device can also be held by swap, loop, md or dm (`lsblk`)")
}

fn depth(forest: &Forest<'_>, mount: MountRef) -> usize {
    let mut depth = 0;
    let mut here = mount;
    while let Some(parent) = forest.node(here).parent
        && depth < forest.len()
    {
        depth += 1;
        here = parent;
    }
    depth
}

/// Returns the mounts of other filesystems that stand on these, directly or not.
fn on_top(forest: &Forest<'_>, mounts: &[MountRef]) -> Vec<MountRef> {
    let below: HashSet<MountRef> = mounts.iter().copied().collect();
    let stands_on_one = |mount: &MountRef| {
        let mut here = *mount;
        for _ in 0..forest.len() {
            let Some(parent) = forest.node(here).parent else { return false };
            if below.contains(&parent) {
                return true;
            }
            here = parent;
        }
        false
    };
    forest.mounts().filter(|mount| !below.contains(mount) && stands_on_one(mount)).collect()
}

/// The processes that use some mounts.
pub(super) struct Users {
    uses: Uses,
}

/// Finds the processes that use these mounts themselves, not other mounts of the same filesystems.
pub(super) fn users_of(forest: &Forest<'_>, mounts: &[MountRef]) -> Result<Users> {
    let mut users = Users::new(forest, mounts, HashSet::new())?;
    users.uses.uses.retain(|each| each.mount.is_some());
    Ok(users)
}

impl Users {
    fn new(forest: &Forest<'_>, mounts: &[MountRef], devices: HashSet<Device>) -> Result<Self> {
        let place = |mount: &MountRef| {
            let namespace = forest.tables()[forest.node(*mount).namespace].namespace;
            let told = forest.mount(*mount)?;
            Some((told.id, MountPlace { namespace, mount_point: told.mount_point.clone() }))
        };
        let mut uses = Uses::capture(&mounts.iter().filter_map(place).collect(), &devices)?;
        // We are gone by the time anybody reads this.
        let me = rustix::process::getpid().as_raw_nonzero().get();
        uses.uses.retain(|each| each.pid != me);
        Ok(Self { uses })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uses.uses.is_empty()
    }

    fn by_process(&self) -> BTreeMap<Pid, Vec<&MountUse>> {
        let mut by_process: BTreeMap<Pid, Vec<&MountUse>> = BTreeMap::new();
        for each in &self.uses.uses {
            by_process.entry(each.pid).or_default().push(each);
        }
        by_process
    }

    /// Words them, a process a line.
    pub(super) fn words(&self, scene: &Scene) -> String {
        /// How many uses of one process are named.
        const NAMED: usize = 5;
        let mut out = String::new();
        for (pid, uses) in self.by_process() {
            let named: Vec<String> =
                uses.iter().take(NAMED).map(|each| format!("{} {}", each.by, printable(&each.path))).collect();
            let more = uses.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            let _ = writeln!(out, "    {}: {}{more}", scene.describe_process(pid), named.join(", "));
        }
        out
    }

    pub(super) fn json(&self, scene: &Scene) -> Json {
        let of_use = |each: &MountUse| {
            json!({
                "pid": each.pid,
                "process": scene.describe_process(each.pid),
                "how": each.by.to_string(),
                "path": text(&each.path),
                "mountpoint": each.mount.as_ref().map(|mount| text(&mount.mount_point)),
            })
        };
        self.uses.uses.iter().map(of_use).collect()
    }
}

fn words(scene: &Scene, forest: &Forest<'_>, device: Device, ordered: &[MountRef], users: &Users) -> String {
    let mut out = String::new();
    let first = ordered.iter().filter_map(|mount| forest.mount(*mount)).find(|told| told.device == device);
    if let Some(told) = first {
        let _ = writeln!(out, "{} {} ({device})", printable(&told.fs_type), printable(&told.source));
    }
    let mut step = 1;
    if !users.is_empty() {
        let _ = writeln!(out, "{step}. processes that use it: stop them, or make them leave");
        out.push_str(&users.words(scene));
        step += 1;
    }
    let _ = writeln!(out, "{step}. mounts: unmount in this order, or end the processes of their namespaces");
    let mut namespace = None;
    for mount in ordered {
        let here = forest.node(*mount).namespace;
        if namespace != Some(here) {
            namespace = Some(here);
            let count = scene.tables()[here].processes.len();
            let _ = writeln!(
                out,
                "    {}: {count} {}",
                scene.describe(here),
                if count == 1 { "process" } else { "processes" }
            );
        }
        let other = forest.mount(*mount).is_some_and(|told| told.device != device);
        let note = if other { "  (another filesystem on top)" } else { "" };
        let command = scene.enter_command(here, &format!("umount {}", quoted(&forest.mount_point(*mount))));
        let _ = writeln!(out, "      {}: {command}{note}", describe_mount(forest, *mount));
    }
    out
}
