//! The answer about one namespace: as a tree of holders, or as JSON.

use nstool::model::{Holder, MountUse, Observed, Snapshot, UsedBy};
use nstool::query::why::{Cause, Explanation, Reason, Release};
use nstool::{NamespaceId, Pid, printable};
use serde_json::{Value as Json, json};

use crate::render::columns::{Cell, Column};
use crate::render::listing::{Layout, Listing, Tree};
use crate::render::quote::quote;
use crate::render::{Terminal, advice, hidden};

/// How many processes of one namespace are listed unless all are asked for.
const FEW: usize = 20;

/// A line of the tree; texts are raw bytes of whoever named things.
#[derive(Default)]
struct Row {
    holder: Vec<u8>,
    command: Vec<u8>,
    release: Option<(&'static str, String, &'static str)>,
}

static COLUMNS: [Column<Row>; 3] = [
    Column::left("KEPT-BY", "what keeps it alive", |row: &Row| Cell::bytes(&row.holder)).wrap(28),
    Column::left("COMMAND", "command line of that process", |row: &Row| match &row.command[..] {
        b"" => Cell::Empty,
        command => Cell::bytes(command),
    })
    .cut(),
    Column::left("RELEASE", "what releases it", |row: &Row| match &row.release {
        None => Cell::Empty,
        Some((before, command, after)) => Cell::Command { before, command: command.into(), after },
    })
    .whole(),
];

/// Returns the processes that a page names; of `all`, or of the first few members of each namespace.
pub(super) fn shown(explanation: &Explanation, all: bool) -> Vec<Pid> {
    if all {
        return explanation.pids();
    }
    let mut listed = Vec::new();
    let few = explanation.reasons.iter().filter(|reason| is_shown(&mut listed, reason.parent, reason));
    let causes = few.chain(&explanation.possible).filter_map(|reason| reason.cause.pid());
    let mut pids: Vec<Pid> = causes.chain(explanation.uses.iter().map(|user| user.pid)).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Returns who must reap the zombies that a page names.
pub(super) fn parents_of_zombies(explanation: &Explanation, snapshot: &Snapshot) -> Vec<Pid> {
    let parent = |reason: &Reason| match (&reason.release, reason.cause.pid()) {
        (Release::Reap(_), Some(pid)) => snapshot.process(pid)?.details.as_ref().known().map(|details| details.parent),
        _ => None,
    };
    explanation.reasons.iter().filter_map(parent).collect()
}

/// Tells whether a reason is among those listed, counting the processes below each `parent`.
fn is_shown<K: PartialEq>(listed: &mut Vec<(K, usize)>, parent: K, reason: &Reason) -> bool {
    if !matches!(reason.cause, Cause::Member(_)) {
        return true;
    }
    let place = listed.iter().position(|(of, _)| *of == parent).unwrap_or_else(|| {
        listed.push((parent, 0));
        listed.len() - 1
    });
    listed[place].1 += 1;
    listed[place].1 <= FEW
}

struct Rows<'a> {
    snapshot: &'a Snapshot,
    rows: Vec<Row>,
    parents: Vec<Option<usize>>,
    initial: bool,
}

/// Returns the tree of everything that keeps the namespace.
pub(super) fn table(explanation: &Explanation, snapshot: &Snapshot, all: bool, terminal: &Terminal) -> String {
    let mut rows = Rows { snapshot, rows: Vec::new(), parents: Vec::new(), initial: explanation.initial };
    let top = rows.push(None, Row { holder: title(explanation, snapshot), ..Row::default() });
    if explanation.initial {
        let kernel = b"the kernel: it is there as long as the machine runs".to_vec();
        rows.push(Some(top), Row { holder: kernel, ..Row::default() });
    } else if explanation.reasons.is_empty() {
        rows.push(Some(top), Row { holder: b"nothing that can be seen".to_vec(), ..Row::default() });
    }
    rows.reasons(&explanation.reasons, top, all);
    // Files of control groups, for one, are open everywhere.
    let guess = all || !explanation.has_members() && !explanation.initial;
    if guess && !explanation.possible.is_empty() {
        let title =
            format!("possibly too (each keeps some {} namespace, the kernel does not tell which)", explanation.kind);
        let possible = rows.push(None, Row { holder: title.into_bytes(), ..Row::default() });
        rows.reasons(&explanation.possible, possible, all);
    }
    if !explanation.uses.is_empty() {
        let title = b"open from outside (keeps mounts and devices busy, not the namespace)";
        let uses = rows.push(None, Row { holder: title.to_vec(), ..Row::default() });
        for user in &explanation.uses {
            let command = rows.command(user.pid);
            rows.push(
                Some(uses),
                Row { holder: use_text(user), command, release: Some(("", kill(rows.snapshot, user.pid), "")) },
            );
        }
    }
    let listing = Listing {
        columns: COLUMNS.iter().collect(),
        rows: rows.rows,
        tree: Some(Tree { parents: rows.parents, column: "KEPT-BY" }),
    };
    listing.table(Layout { no_headings: false, ..Layout::default() }, terminal)
}

impl Rows<'_> {
    fn push(&mut self, parent: Option<usize>, row: Row) -> usize {
        self.rows.push(row);
        self.parents.push(parent);
        self.rows.len() - 1
    }

    fn reasons(&mut self, reasons: &[Reason], top: usize, all: bool) {
        let mut places = vec![None; reasons.len()];
        let mut listed: Vec<(Option<usize>, usize)> = Vec::new();
        for (index, reason) in reasons.iter().enumerate() {
            let parent = reason.parent.map_or(Some(top), |parent| places[parent]);
            if !all && !is_shown(&mut listed, parent, reason) {
                continue;
            }
            let row = self.row(reason);
            places[index] = Some(self.push(parent, row));
        }
        for (parent, count) in listed.into_iter().filter(|(_, count)| *count > FEW) {
            let text = format!("{} more processes (-a lists them)", count - FEW);
            self.push(parent, Row { holder: text.into_bytes(), ..Row::default() });
        }
    }

    fn row(&self, reason: &Reason) -> Row {
        Row {
            holder: cause_text(&reason.cause, self.snapshot),
            command: reason.cause.pid().map(|pid| self.command(pid)).unwrap_or_default(),
            // Nothing ends the life of an initial namespace.
            release: if self.initial { None } else { release_text(reason, self.snapshot) },
        }
    }

    fn command(&self, pid: Pid) -> Vec<u8> {
        command(self.snapshot, pid).map(<[u8]>::to_vec).unwrap_or_default()
    }
}

fn command(snapshot: &Snapshot, pid: Pid) -> Option<&[u8]> {
    match &snapshot.process(pid)?.details {
        Observed::Known(details) => Some(&details.command),
        _ => None,
    }
}

/// Such as `net namespace 4026532201 (blue)`.
fn title(explanation: &Explanation, snapshot: &Snapshot) -> Vec<u8> {
    let mut title = format!("{} namespace {}", explanation.kind, explanation.namespace).into_bytes();
    let namespace = snapshot.namespace(explanation.namespace);
    for name in namespace.iter().flat_map(|namespace| namespace.names()) {
        title.extend([b" (", name, b")"].concat());
    }
    if explanation.initial {
        title.extend(b", the machine's initial one");
    }
    title
}

fn kind_of(snapshot: &Snapshot, id: NamespaceId) -> &'static str {
    snapshot.namespace(id).map_or("", |namespace| namespace.kind.name())
}

/// Words a holder, harmless to print.
pub(crate) fn describe(holder: &Holder, snapshot: &Snapshot) -> String {
    printable(&cause_text(&Cause::Holder(holder.clone()), snapshot)).into_owned()
}

fn cause_text(cause: &Cause, snapshot: &Snapshot) -> Vec<u8> {
    let holder = match cause {
        Cause::Member(pid) => return format!("process {pid}").into_bytes(),
        Cause::Zombie(pid) => return format!("zombie {pid}, ended but not reaped").into_bytes(),
        Cause::Ending(pid) => {
            return format!("init {pid}, which is ending: it waits until the others are reaped").into_bytes();
        }
        Cause::Holder(holder) => holder,
    };
    let text = match holder {
        Holder::Thread { pid, tid } => format!("thread {tid} of process {pid}"),
        Holder::ForChildren { pid, tid: None } => format!("future children of process {pid}"),
        Holder::ForChildren { pid, tid: Some(tid) } => format!("future children of thread {tid} of process {pid}"),
        Holder::Descriptor { pid, tid, fd } => format!("descriptor {fd} of {}", whose(*pid, *tid)),
        Holder::Pidfd { pid, tid, fd } => format!("pidfd {fd} of {}", whose(*pid, *tid)),
        Holder::Socket { pid, tid, fd } => format!("socket {fd} of {}", whose(*pid, *tid)),
        Holder::Tun { pid, tid, fd } => format!("tun device, descriptor {fd} of {}", whose(*pid, *tid)),
        Holder::InFlight { pid, tid, fd, waiting } => {
            let on = if *waiting == 1 { "a descriptor on its way" } else { "descriptors on their way" };
            format!("socket {fd} of {}, with {on} to it", whose(*pid, *tid))
        }
        Holder::WorkingDirectory { pid, path } => {
            return [format!("working directory of process {pid}: ").as_bytes(), path].concat();
        }
        Holder::OpenFile { pid, tid, fd, path } => {
            return [format!("descriptor {fd} of {}: ", whose(*pid, *tid)).as_bytes(), path].concat();
        }
        Holder::Mount { ours, mount_namespace, mount_point } => {
            return mount(b"bind mount ", mount_point, *ours, mount_namespace);
        }
        Holder::Filesystem { ours, mount_namespace, mount_point } => {
            return mount(b"procfs mounted on ", mount_point, *ours, mount_namespace);
        }
        Holder::Child(id) => format!("its child, {} namespace {id}", kind_of(snapshot, *id)),
        Holder::Owned(id) => format!("{} namespace {id}, which it owns", kind_of(snapshot, *id)),
        other => format!("{other:?}"),
    };
    text.into_bytes()
}

/// Words whose table of descriptors it is.
fn whose(pid: Pid, tid: Option<Pid>) -> String {
    tid.map_or_else(|| format!("process {pid}"), |tid| format!("thread {tid} of process {pid}"))
}

fn mount(what: &[u8], mount_point: &[u8], ours: bool, namespace: &NamespaceId) -> Vec<u8> {
    let place = if ours { String::new() } else { format!(" in mnt namespace {namespace}") };
    [what, mount_point, place.as_bytes()].concat()
}

fn mount_point(user: &MountUse) -> &[u8] {
    user.mount.as_ref().map_or(&b"?"[..], |mount| &mount.mount_point)
}

fn use_text(user: &MountUse) -> Vec<u8> {
    let by = match user.by {
        UsedBy::WorkingDirectory => "working directory".to_owned(),
        UsedBy::Root => "root directory".to_owned(),
        UsedBy::Executable => "executable".to_owned(),
        UsedBy::Descriptor(fd) => format!("descriptor {fd}"),
        other => format!("{other:?}"),
    };
    [mount_point(user), format!(": {by} of {}", whose(user.pid, user.tid)).as_bytes()].concat()
}

/// Words how to end a process: what it does not hear must be stronger.
fn kill(snapshot: &Snapshot, pid: Pid) -> String {
    let standing = snapshot.process(pid).and_then(|process| process.standing.known());
    let signal = if standing.is_some_and(|told| told.survives_sigterm) { "-KILL " } else { "" };
    format!("kill {signal}{pid}")
}

/// Returns the command that releases a holder, where one does.
fn release_command(release: &Release, snapshot: &Snapshot) -> Option<String> {
    match release {
        Release::End(pid) => Some(kill(snapshot, *pid)),
        Release::Reap(pid) => match &snapshot.process(*pid)?.details {
            Observed::Known(details) if details.parent > 0 => Some(kill(snapshot, details.parent)),
            _ => None,
        },
        Release::Unmount { mount_namespace: None, mount_point, .. } => {
            let netns = mount_point.strip_prefix(b"/run/netns/").filter(|name| !name.contains(&b'/'));
            Some(match netns {
                Some(name) => format!("ip netns delete {}", quote(name)),
                None => advice::unmount(None, None, mount_point),
            })
        }
        Release::Unmount { mount_namespace, process, mount_point, .. } => {
            Some(advice::unmount(*mount_namespace, *process, mount_point))
        }
        _ => None,
    }
}

/// Returns the command that releases it, with what is said before and after it.
fn release_text(reason: &Reason, snapshot: &Snapshot) -> Option<(&'static str, String, &'static str)> {
    Some(match (release_command(&reason.release, snapshot), &reason.release) {
        (Some(command), Release::Reap(_)) => ("", command, "(its parent must reap it)"),
        (Some(command), Release::Unmount { with_members: true, .. }) => ("goes with the processes, or:", command, ""),
        (Some(command), _) => ("", command, ""),
        (None, Release::Reap(_)) => ("its parent must reap it", String::new(), ""),
        (None, Release::Below) => ("release what is listed below", String::new(), ""),
        (None, Release::Elsewhere) => ("goes with what is listed elsewhere", String::new(), ""),
        (None, _) => return None,
    })
}

/// Returns the answer as JSON; a holder's own holders stand in its `kept_by`.
pub(super) fn json(explanation: &Explanation, snapshot: &Snapshot) -> Json {
    let namespace = snapshot.namespace(explanation.namespace);
    let names: Vec<_> = namespace.iter().flat_map(|namespace| namespace.names()).map(String::from_utf8_lossy).collect();
    let nested = |of: &[Reason]| -> Vec<Json> {
        let mut made: Vec<Json> = of.iter().map(|reason| reason_json(reason, snapshot)).collect();
        // A reason stands behind its parent, so from the last on each is complete when it moves into its own.
        for index in (0..of.len()).rev() {
            if let Some(parent) = of[index].parent {
                let child = made[index].take();
                let Some(object) = made[parent].as_object_mut() else { continue };
                let list = object.entry("kept_by").or_insert_with(|| json!([]));
                list.as_array_mut().into_iter().for_each(|list| list.insert(0, child.clone()));
            }
        }
        made.into_iter().filter(|value| !value.is_null()).collect()
    };
    let uses: Vec<Json> = explanation.uses.iter().map(|user| use_json(user, snapshot)).collect();
    json!({
        "namespace": {
            "type": explanation.kind.name(),
            "ns": explanation.namespace.ino,
            "id": namespace.and_then(|namespace| namespace.unique_id.known()),
            "names": names,
            "initial": explanation.initial,
        },
        "explained": explanation.is_explained(),
        "kept_by": nested(&explanation.reasons),
        "possibly": nested(&explanation.possible),
        "open_from_outside": uses,
        "cannot_be_seen": explanation.unseen(),
        "hidden": hidden::json(snapshot),
    })
}

fn reason_json(reason: &Reason, snapshot: &Snapshot) -> Json {
    let place = |kind: &str, ours: &bool, namespace: &NamespaceId, mount_point: &[u8]| {
        json!({
            "kind": kind, "mount_point": String::from_utf8_lossy(mount_point), "mount_namespace": namespace.ino, "ours": ours,
        })
    };
    let mut object = match &reason.cause {
        Cause::Member(pid) => json!({ "kind": "process", "pid": pid }),
        Cause::Zombie(pid) => json!({ "kind": "zombie", "pid": pid }),
        Cause::Ending(pid) => json!({ "kind": "ending_init", "pid": pid }),
        Cause::Holder(holder) => match holder {
            Holder::Thread { pid, tid } => json!({ "kind": "thread", "pid": pid, "tid": tid }),
            Holder::ForChildren { pid, tid } => json!({ "kind": "for_children", "pid": pid, "tid": tid }),
            Holder::Descriptor { pid, tid, fd } => json!({ "kind": "descriptor", "pid": pid, "tid": tid, "fd": fd }),
            Holder::Pidfd { pid, tid, fd } => json!({ "kind": "pidfd", "pid": pid, "tid": tid, "fd": fd }),
            Holder::Socket { pid, tid, fd } => json!({ "kind": "socket", "pid": pid, "tid": tid, "fd": fd }),
            Holder::Tun { pid, tid, fd } => json!({ "kind": "tun", "pid": pid, "tid": tid, "fd": fd }),
            Holder::InFlight { pid, tid, fd, waiting } => {
                json!({ "kind": "in_flight", "pid": pid, "tid": tid, "fd": fd, "descriptors": waiting })
            }
            Holder::WorkingDirectory { pid, path } => {
                json!({ "kind": "working_directory", "pid": pid, "path": String::from_utf8_lossy(path) })
            }
            Holder::OpenFile { pid, tid, fd, path } => {
                json!({ "kind": "open_file", "pid": pid, "tid": tid, "fd": fd, "path": String::from_utf8_lossy(path) })
            }
            Holder::Mount { ours, mount_namespace, mount_point } => {
                place("bind_mount", ours, mount_namespace, mount_point)
            }
            Holder::Filesystem { ours, mount_namespace, mount_point } => {
                place("procfs", ours, mount_namespace, mount_point)
            }
            Holder::Child(id) => json!({ "kind": "child", "type": kind_of(snapshot, *id), "ns": id.ino }),
            Holder::Owned(id) => json!({ "kind": "owned", "type": kind_of(snapshot, *id), "ns": id.ino }),
            other => json!({ "kind": printable(format!("{other:?}").as_bytes()) }),
        },
    };
    if let Some(pid) = reason.cause.pid() {
        object["command"] = command_json(snapshot, pid);
    }
    object["release"] = json!(release_command(&reason.release, snapshot));
    if let Release::Unmount { with_members, .. } = reason.release {
        object["goes_with_processes"] = json!(with_members);
    }
    object
}

fn command_json(snapshot: &Snapshot, pid: Pid) -> Json {
    json!(command(snapshot, pid).map(String::from_utf8_lossy))
}

fn use_json(user: &MountUse, snapshot: &Snapshot) -> Json {
    let (by, fd) = match user.by {
        UsedBy::WorkingDirectory => ("cwd", None),
        UsedBy::Root => ("root", None),
        UsedBy::Executable => ("exe", None),
        UsedBy::Descriptor(fd) => ("descriptor", Some(fd)),
        _ => ("", None),
    };
    json!({
        "kind": by, "pid": user.pid, "tid": user.tid, "fd": fd, "mount_point": String::from_utf8_lossy(mount_point(user)),
        "command": command_json(snapshot, user.pid), "release": kill(snapshot, user.pid),
    })
}
