//! `nstool mounts --check-shared`: would what is mounted here leak?

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::Write as _;

use nstool::propagation::{Circle, Direction, Exchange, Forest, Groups, MountRef, Party};
use nstool::{Error, ErrorKind, Result, printable};
use owo_colors::OwoColorize;
use serde_json::{Value as Json, json};

use super::scene::{Scene, Subject, place_of_mount, target_and_path, text};
use crate::entry::ExitCode;
use crate::render::quote::quote;
use crate::render::{self, Terminal, fit, hidden, report};

/// How many parties of one mount are named; the rest are counted.
const NAMED: usize = 4;

/// A mount that is worth a warning.
struct Finding {
    mount: MountRef,
    /// `None`: nobody shares it yet.
    exchange: Option<Exchange>,
}

pub(super) fn run(words: &[OsString], all: bool, as_json: bool, terminal: &Terminal) -> Result<ExitCode> {
    let (target, path) = target_and_path(words)?;
    if all && (target.is_some() || path.is_some()) {
        return Err(Error::new(ErrorKind::Invalid, "--all looks at every namespace and takes no target"));
    }
    let scene = Scene::capture()?;
    let forest = scene.forest();
    let groups = Groups::of(&forest);
    let found = if all {
        let circles = forest.circles(&groups);
        show_circles(&scene, &forest, &circles, as_json, terminal)?;
        !circles.is_empty()
    } else {
        let subject = scene.subject(target.as_ref())?;
        // For ourselves it is about what comes: a shared mount leaks as soon as somebody clones the namespace.
        let own = target.is_none();
        let only = path.map(|path| scene.place(&forest, &subject, &path)).transpose()?.map(|(place, _)| place.mount);
        let finding = |mount: MountRef| {
            let exchange = forest.exchange(&groups, mount);
            let matters = if own { forest.node(mount).shared.is_some() } else { exchange.is_some() };
            (matters && only.is_none_or(|only| only == mount)).then_some(Finding { mount, exchange })
        };
        let findings: Vec<Finding> = forest.mounts_of(subject.index).filter_map(finding).collect();
        if as_json {
            let list: Vec<Json> = findings.iter().map(|finding| finding.json(&scene, &forest, &subject)).collect();
            render::print_json(&json!({ "findings": list, "hidden": hidden::json_of(scene.hidden()) }))?;
        } else {
            let words = words_of(&scene, &forest, &subject, &findings, own, terminal);
            render::print(&fit::folded(&words, terminal.width, 2))?;
        }
        !findings.is_empty()
    };
    if !groups.unseen().is_empty() {
        let count = groups.unseen().len();
        let note = format!(
            "incomplete: {count} peer {} that mounts receive from cannot be seen",
            if count == 1 { "group" } else { "groups" }
        );
        report::note(&note, terminal);
    }
    scene.say_hidden(terminal);
    Ok(ExitCode::from(u8::from(found)))
}

impl Finding {
    fn direction_key(&self) -> &'static str {
        self.exchange.as_ref().map_or("none_yet", |exchange| exchange.direction.key())
    }

    fn parties(&self) -> &[Party] {
        self.exchange.as_ref().map_or(&[], |exchange| &exchange.parties)
    }

    /// Whether a mount made on it would be seen elsewhere.
    fn leaks(&self) -> bool {
        self.exchange.as_ref().is_none_or(|exchange| exchange.direction != Direction::Receives)
    }

    fn json(&self, scene: &Scene, forest: &Forest<'_>, subject: &Subject) -> Json {
        let told = forest.mount(self.mount);
        let party = |party: &Party| {
            let mut object = scene.namespace_json(forest.node(party.mount).namespace);
            object["path"] = text(&forest.mount_point(party.mount));
            object["direction"] = json!(party.direction.key());
            object
        };
        json!({
            "mountpoint": text(&forest.mount_point(self.mount)),
            "fstype": told.map(|told| text(&told.fs_type)),
            "propagation": told.map(|told| told.propagation()),
            "direction": self.direction_key(),
            "with": self.parties().iter().map(party).collect::<Vec<_>>(),
            "cure": cure(scene, forest, subject, self),
        })
    }
}

/// Words the findings, those of a kind together.
fn words_of(
    scene: &Scene,
    forest: &Forest<'_>,
    subject: &Subject,
    findings: &[Finding],
    own: bool,
    terminal: &Terminal,
) -> String {
    let mut out = String::new();
    if findings.is_empty() {
        let nothing = if own {
            "no mount is shared: what is mounted here stays here"
        } else {
            "no mount exchanges events with another mount namespace"
        };
        let _ = writeln!(out, "{}: {nothing}", subject.name);
        return out;
    }
    for block in blocks(forest, findings) {
        let first = block[0];
        let places: Vec<String> = block.iter().map(|finding| place_of_mount(forest, finding.mount)).collect();
        let told = forest.mount(first.mount).map_or("", |told| told.propagation());
        let direction = match &first.exchange {
            Some(exchange) => exchange.direction.words(),
            None => "with nobody yet",
        };
        let line = format!("{}: {told}, {direction}", places.join(", "));
        let _ = if terminal.color { writeln!(out, "{}", line.bold()) } else { writeln!(out, "{line}") };
        parties(&mut out, scene, forest, first, block.len() > 1);
        for sentence in what_goes_wrong(forest, first) {
            let _ = writeln!(out, "    {sentence}");
        }
        let cures: Vec<String> = block.iter().map(|finding| cure(scene, forest, subject, finding)).collect();
        let more = if cures.len() > 1 { "  (and so for each)" } else { "" };
        let same = cures.iter().all(|cure| *cure == cures[0]);
        let command = match first.exchange {
            None => cures[0].clone(),
            Some(_) => fit::whole(&cures[0]),
        };
        let _ = writeln!(out, "    cure: {command}{}", if same { "" } else { more });
    }
    if findings.iter().any(Finding::leaks) {
        out.push_str(ADVICE);
    }
    out
}

/// What helps whoever makes a namespace of this one.
const ADVICE: &str = "\
A new mount namespace (CLONE_NEWNS, same user namespace) copies shared mounts as peers. Before the first mount in it:
    mount --make-rprivate /      (or --make-rslave / to go on receiving; `unshare --mount` does so by itself)
";

/// Puts together what is said in the same words: mounts that exchange events with the same namespaces at the same paths
/// as here. Each keeps its place by its first mount.
fn blocks<'a>(forest: &Forest<'_>, findings: &'a [Finding]) -> Vec<Vec<&'a Finding>> {
    let mut blocks: Vec<Vec<&Finding>> = Vec::new();
    let mut known: HashMap<_, usize> = HashMap::new();
    for finding in findings {
        let here = forest.mount_point(finding.mount);
        let party = |party: &Party| {
            let there = forest.mount_point(party.mount);
            (forest.node(party.mount).namespace, party.direction, (there != here).then_some(there))
        };
        let mut parties: Vec<_> = finding.parties().iter().map(party).collect();
        parties.sort_unstable();
        let told = forest.mount(finding.mount).map(|told| told.propagation());
        let key = (parties, told, finding.direction_key(), what_goes_wrong(forest, finding));
        let place = *known.entry(key).or_insert(blocks.len());
        if place == blocks.len() {
            blocks.push(Vec::new());
        }
        blocks[place].push(finding);
    }
    blocks
}

fn parties(out: &mut String, scene: &Scene, forest: &Forest<'_>, finding: &Finding, several: bool) {
    let here = forest.mount_point(finding.mount);
    let parties = finding.parties();
    for party in parties.iter().take(NAMED) {
        let way = match party.direction {
            Direction::Both => "with",
            Direction::Sends => "to",
            Direction::Receives => "from",
        };
        let namespace = scene.describe(forest.node(party.mount).namespace);
        let there = forest.mount_point(party.mount);
        let path = if several && there == here { "the same paths".into() } else { fit::whole(&printable(&there)) };
        let _ = writeln!(out, "    {way} {namespace} at {path}");
    }
    if parties.len() > NAMED {
        let _ = writeln!(out, "    and {} more (--json lists all)", parties.len() - NAMED);
    }
}

/// Says what each direction leads to; the shared /proc by name.
fn what_goes_wrong(forest: &Forest<'_>, finding: &Finding) -> Vec<&'static str> {
    let mut sentences = Vec::new();
    let is_proc = forest.mount(finding.mount).is_some_and(|told| told.fs_type == b"proc" && told.root == b"/");
    sentences.push(match finding.exchange.as_ref().map(|exchange| exchange.direction) {
        Some(Direction::Both) if finding.parties().iter().all(|party| party.direction == Direction::Both) => {
            "What is mounted on it in any of these places appears in all, and so do unmounts."
        }
        Some(Direction::Both) => {
            "What is mounted on it here appears in the places with \"with\" and \"to\"; what is mounted there in those with \
             \"with\" and \"from\" appears here."
        }
        Some(Direction::Sends) => "What is mounted on it here appears there, and so do unmounts.",
        Some(Direction::Receives) => "What is mounted on it there appears here; nothing that is mounted here leaves.",
        None => "Whoever clones this namespace shares it: then what is mounted on it there appears here.",
    });
    if is_proc && finding.leaks() {
        sentences.extend([
            "A program that makes a pid namespace and mounts a new proc on it replaces /proc in the other places too;",
            "when that pid namespace ends, /proc there is dead (\"df: cannot read table of mounted file systems\").",
            "`mount --make-private -t proc proc /proc` does not help: it mounts first, and only then makes it private.",
        ]);
    }
    sentences
}

/// Returns what ends the exchange, or keeps it from beginning.
fn cure(scene: &Scene, forest: &Forest<'_>, subject: &Subject, finding: &Finding) -> String {
    match finding.exchange {
        None => "in the new namespace, before the first mount: mount --make-rprivate /".to_owned(),
        Some(_) => {
            let path = quote(&forest.mount_point(finding.mount));
            scene.enter_command(subject.index, &format!("mount --make-private {path}"))
        }
    }
}

/// Shows every group that reaches into more than one namespace.
fn show_circles(
    scene: &Scene,
    forest: &Forest<'_>,
    circles: &[Circle],
    as_json: bool,
    terminal: &Terminal,
) -> Result<()> {
    if as_json {
        let place = |mount: &MountRef| {
            let mut object = scene.namespace_json(forest.node(*mount).namespace);
            object["path"] = text(&forest.mount_point(*mount));
            object
        };
        let circle = |circle: &Circle| {
            json!({
                "group": group_number(circle),
                "namespaces": circle.namespaces,
                "members": circle.members.iter().map(place).collect::<Vec<_>>(),
                "receivers": circle.receivers.iter().map(place).collect::<Vec<_>>(),
            })
        };
        let groups: Vec<Json> = circles.iter().map(circle).collect();
        return render::print_json(&json!({ "groups": groups, "hidden": hidden::json_of(scene.hidden()) }));
    }
    let mut out = String::new();
    if circles.is_empty() {
        out.push_str("no mount is shared between mount namespaces\n");
    }
    for circle in circles {
        let first = circle.members.iter().chain(&circle.receivers).next();
        let Some(first) = first else { continue };
        let place = match circle.members.first() {
            Some(member) => place_of_mount(forest, *member),
            None => format!("{} (its senders cannot be seen)", place_of_mount(forest, *first)),
        };
        let _ = writeln!(out, "{place}: group {}, in {} namespaces", group_number(circle), circle.namespaces);
        summary(&mut out, scene, forest, "both ways", &circle.members);
        summary(&mut out, scene, forest, "receives only", &circle.receivers);
        let lone = Finding { mount: *first, exchange: None };
        for sentence in what_goes_wrong(forest, &lone).iter().skip(1) {
            let _ = writeln!(out, "    {sentence}");
        }
    }
    if circles.iter().any(|circle| !circle.members.is_empty()) {
        out.push_str(ADVICE);
    }
    render::print(&fit::folded(&out, terminal.width, 2))
}

fn group_number(circle: &Circle) -> u32 {
    match circle.group {
        nstool::propagation::GroupId::Known(group) | nstool::propagation::GroupId::New(group) => group,
    }
}

/// Counts mounts by path, and names the first namespaces.
fn summary(out: &mut String, scene: &Scene, forest: &Forest<'_>, way: &str, mounts: &[MountRef]) {
    let mut by_path: BTreeMap<Vec<u8>, Vec<MountRef>> = BTreeMap::new();
    for mount in mounts {
        by_path.entry(forest.mount_point(*mount)).or_default().push(*mount);
    }
    for (path, mounts) in by_path.iter().take(NAMED) {
        let named: Vec<String> =
            mounts.iter().take(NAMED).map(|mount| scene.describe(forest.node(*mount).namespace)).collect();
        let more = mounts.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let _ = writeln!(out, "    {way} at {}: {}{more}", fit::whole(&printable(path)), named.join(", "));
    }
    if by_path.len() > NAMED {
        let _ = writeln!(out, "    {way} at {} more paths (--json lists all)", by_path.len() - NAMED);
    }
}
