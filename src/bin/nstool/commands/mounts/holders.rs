//! `nstool mounts holders PATH|DEVICE|MAJ:MIN`: why is a filesystem busy.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use nstool::discover::KernelUse;
use nstool::model::{Device, Hidden, Subject};
use nstool::propagation::{By, Forest, Groups, Layer, MountRef, Release};
use nstool::{Error, ErrorKind, Result, printable};
use serde_json::{Value as Json, json};

use super::scene::{Scene, place_of_mount, text};
use super::users::Users;
use crate::entry::ExitCode;
use crate::render::quote::quote;
use crate::render::{self, Terminal, fit, hidden, report};

/// Tell why a filesystem is busy: its mounts in every namespace, and what uses it
///
/// Besides processes that is the kernel itself, for swap and loop devices, and overlays with a layer there. The order
/// shown is the order to release them in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nstool mounts holders /srv/data    who keeps the filesystem mounted there busy
  nstool mounts holders /dev/sdb1    the same of a disk, wherever it is mounted
  nstool mounts holders 254:16       the same by the number of the device

Exit status: 0, or 1 in trouble.")]
pub(super) struct Args {
    /// A path on the filesystem, a block device, or a device number such as 254:16
    #[arg(value_name = "PATH|DEVICE|MAJ:MIN")]
    what: OsString,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

/// All that keeps a filesystem, or a block device, in use.
struct Holders {
    device: Device,
    users: Users,
    kernel: Vec<KernelUse>,
    /// The overlay mounts of which a layer lies there.
    layers: HashMap<MountRef, Layer>,
    /// The mounts in the order of their release: its own, those of the overlays, and what stands on them.
    order: Vec<Release>,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let scene = Scene::capture()?;
    let forest = scene.forest();
    let device = device_of(&scene, &forest, &args.what)?;
    let holders = find(&scene, &forest, device)?;
    let (hidden_of_users, looked_at) = holders.users.hidden();
    let unseen = scene.hidden().clone().joined(hidden_of_users);
    if args.json {
        render::print_json(&holders.json(&scene, &forest, &unseen))?;
    } else {
        render::print(&fit::folded(&holders.words(&scene, &forest, &unseen), terminal.width, 2))?;
    }
    hidden::say_of(&unseen, looked_at, terminal);
    report::whose_numbers(terminal);
    Ok(ExitCode::SUCCESS)
}

fn find(scene: &Scene, forest: &Forest<'_>, device: Device) -> Result<Holders> {
    let here = scene.own_index();
    let mounts: Vec<MountRef> =
        forest.mounts().filter(|mount| forest.mount(*mount).is_some_and(|told| told.device == device)).collect();
    let layers: HashMap<MountRef, Layer> = forest.overlays_on(device, here).into_iter().collect();
    let all: Vec<MountRef> = mounts.iter().chain(layers.keys()).copied().collect();
    let order = forest.release(&Groups::of(forest), &all, here);
    // Who uses what stands on it keeps that, and so it. A mapped file tells its device alone: it counts where all mounts
    // of that are to go.
    let to_go: HashSet<MountRef> = order.iter().map(|release| release.mount).collect();
    let device_at = |mount: MountRef| forest.mount(mount).map(|told| told.device);
    let elsewhere: HashSet<Device> =
        forest.mounts().filter(|mount| !to_go.contains(mount)).filter_map(device_at).collect();
    let devices = to_go.iter().filter_map(|mount| device_at(*mount)).filter(|device| !elsewhere.contains(device));
    let devices: HashSet<Device> = devices.chain([device]).collect();
    let to_go: Vec<MountRef> = to_go.into_iter().collect();
    Ok(Holders { device, users: Users::new(forest, &to_go, devices)?, kernel: KernelUse::of(device), layers, order })
}

/// Finds the filesystem, or the block device, that is meant.
fn device_of(scene: &Scene, forest: &Forest<'_>, what: &OsString) -> Result<Device> {
    let is_used = |device: Device| {
        forest.mounts().any(|mount| forest.mount(mount).is_some_and(|told| told.device == device))
            || !KernelUse::of(device).is_empty()
    };
    if let Some(device) = what.to_str().and_then(parse_device) {
        return if is_used(device) { Ok(device) } else { Err(not_mounted(&device.to_string())) };
    }
    let subject = scene.subject(None)?;
    let located = scene.locate(&subject, what)?;
    if let Some(device) = located.block_device {
        if is_used(device) {
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
    let message = format!(
        "{what} is not mounted in any mount namespace that can be seen, nor used for swap, a loop or another device"
    );
    Error::new(ErrorKind::NotFound, message).with_hint("as root every mount namespace is seen")
}

impl Holders {
    fn json(&self, scene: &Scene, forest: &Forest<'_>, unseen: &Hidden) -> Json {
        let place = |mount: MountRef| {
            let mut object = scene.namespace_json(forest.node(mount).namespace);
            object["path"] = text(&forest.mount_point(mount));
            object
        };
        let mount = |release: &Release| {
            let told = forest.mount(release.mount);
            let mut object = place(release.mount);
            object["fstype"] = json!(told.map(|told| text(&told.fs_type)));
            object["of_this_filesystem"] = json!(told.is_some_and(|told| told.device == self.device));
            object["processes"] = json!(scene.tables()[forest.node(release.mount).namespace].processes);
            object["layer"] = self
                .layers
                .get(&release.mount)
                .map_or(Json::Null, |layer| json!({ "role": layer.role.to_string(), "path": text(&layer.path) }));
            object["release"] = json!(match release.by {
                By::Unmounting => "unmount",
                By::Propagation(_) => "propagation",
                By::RootOfNamespace => "end_of_namespace",
                _ => "refused",
            });
            object["goes_with"] = match release.by {
                By::Propagation(first) => place(first),
                _ => Json::Null,
            };
            object
        };
        let by_kernel = |by: &KernelUse| match by {
            KernelUse::Swap(path) => json!({ "kind": "swap", "path": text(path) }),
            KernelUse::Loop { device, file } => {
                json!({ "kind": "loop", "path": text(file), "device": text(device.as_os_str().as_bytes()) })
            }
            KernelUse::Stacked(device) => json!({ "kind": "stacked", "device": text(device.as_os_str().as_bytes()) }),
            _ => Json::Null,
        };
        json!({
            "device": self.device.to_string(),
            "mounts": self.order.iter().map(mount).collect::<Vec<_>>(),
            "uses": self.users.json(scene),
            "kernel_uses": self.kernel.iter().map(by_kernel).collect::<Vec<_>>(),
            "hidden": hidden::json_of(unseen),
        })
    }

    fn words(&self, scene: &Scene, forest: &Forest<'_>, unseen: &Hidden) -> String {
        let mut out = String::new();
        let mut own = self.order.iter().filter_map(|release| forest.mount(release.mount));
        let _ = match own.find(|told| told.device == self.device) {
            Some(told) => {
                writeln!(out, "{} {} ({})", printable(&told.fs_type), printable(&told.source), self.device)
            }
            None => writeln!(out, "{} is not mounted in any mount namespace that can be seen", self.device),
        };
        let mut step = 0;
        let mut heading = |out: &mut String, text: &str| {
            step += 1;
            let _ = writeln!(out, "{step}. {text}");
        };
        if !self.users.is_empty() {
            heading(&mut out, "processes that use it: stop them, or make them leave");
            out.push_str(&self.users.words(scene));
        }
        if !self.kernel.is_empty() {
            heading(&mut out, "the kernel uses it, without any process:");
            self.kernel.iter().for_each(|by| out.push_str(&by_kernel(by)));
        }
        if !self.order.is_empty() {
            heading(&mut out, "mounts: unmount in this order, or end the processes of their namespaces");
        }
        let mut namespace = None;
        for release in &self.order {
            let here = forest.node(release.mount).namespace;
            if namespace != Some(here) {
                namespace = Some(here);
                let _ = writeln!(out, "    {}: {}", scene.describe(here), inhabitants(scene, here, unseen));
            }
            let note = self.note(forest, release.mount);
            let how = how(scene, forest, release);
            let _ = writeln!(out, "      {}: {how}{note}", place_of_mount(forest, release.mount));
        }
        out
    }

    /// Says why a mount is among those to release, if it is not of the filesystem itself.
    fn note(&self, forest: &Forest<'_>, mount: MountRef) -> String {
        match self.layers.get(&mount) {
            Some(layer) => format!("  (its {} directory {} lies there)", layer.role, printable(&layer.path)),
            None if forest.mount(mount).is_some_and(|told| told.device == self.device) => String::new(),
            None => "  (another filesystem on top)".to_owned(),
        }
    }
}

/// Says how to be rid of a mount.
fn how(scene: &Scene, forest: &Forest<'_>, release: &Release) -> String {
    let mount = release.mount;
    let namespace = forest.node(mount).namespace;
    match release.by {
        By::Propagation(first) => {
            let path = fit::whole(&printable(&forest.mount_point(first)));
            format!("goes with {path} in {}", scene.describe(forest.node(first).namespace))
        }
        By::RootOfNamespace => "the root of its namespace: ends with it".to_owned(),
        By::Refused(refusal) => format!("ends with its namespace, the kernel would refuse: {refusal}"),
        _ => {
            let command = fit::whole(&scene.unmount_command(namespace, &forest.mount_point(mount)));
            match forest.covered_by(mount).filter(|cover| !stands_on(forest, *cover, mount)) {
                Some(cover) => format!("{command}, once {} is gone that covers it", place_of_mount(forest, cover)),
                None => command,
            }
        }
    }
}

/// Tells whether a mount stands on another, directly or not.
fn stands_on(forest: &Forest<'_>, mount: MountRef, other: MountRef) -> bool {
    let above = std::iter::successors(Some(mount), |mount| forest.node(*mount).parent);
    above.take(forest.len()).any(|above| above == other)
}

/// Words what the kernel uses it for, and what ends that.
fn by_kernel(by: &KernelUse) -> String {
    let device_of = |path: &std::path::Path| printable(path.as_os_str().as_bytes()).into_owned();
    match by {
        KernelUse::Swap(path) => {
            format!("    swap {}: {}\n", printable(path), fit::whole(&format!("swapoff {}", quote(path))))
        }
        KernelUse::Loop { device, file } => {
            let device = device_of(device);
            let detach = fit::whole(&format!("losetup --detach {device}"));
            format!(
                "    {device}, a loop device of {}: {detach} (`nstool mounts holders {device}` tells \
                 who uses that)\n",
                printable(file)
            )
        }
        KernelUse::Stacked(device) => {
            let device = device_of(device);
            format!("    {device}, a device made of it (`nstool mounts holders {device}` tells who uses that)\n")
        }
        _ => String::new(),
    }
}

/// Counts the processes of a namespace, as far as they can be seen.
fn inhabitants(scene: &Scene, namespace: usize, unseen: &Hidden) -> String {
    let count = scene.tables()[namespace].processes.len();
    let all = [Subject::Process, Subject::UnlistedProcesses].iter().all(|subject| unseen.count(*subject) == 0);
    let least = if all { "" } else { "at least " };
    format!("{least}{count} {}", if count == 1 { "process" } else { "processes" })
}
