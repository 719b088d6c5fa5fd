//! The command line.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nstool::create::idmap::{IdRange, MapSpec};
use nstool::create::{Ids, Request, Root, TargetPath};
use nstool::{NamespaceKind, printable};

use super::super::command::{Command, number};
use super::super::getopt::{Options, Spec, Value, spec};
use super::super::{Refused, decimal};
use crate::commands::unshare::values::{self, Owner};

static OPTIONS: [Spec; 34] = [
    spec("help", b'h', Value::None),
    spec("version", b'V', Value::None),
    spec("mount", b'm', Value::Optional).letter(Value::None),
    spec("uts", b'u', Value::Optional).letter(Value::None),
    spec("ipc", b'i', Value::Optional).letter(Value::None),
    spec("net", b'n', Value::Optional).letter(Value::None),
    spec("pid", b'p', Value::Optional).letter(Value::None),
    spec("user", b'U', Value::Optional).letter(Value::None),
    spec("cgroup", b'C', Value::Optional).letter(Value::None),
    spec("time", b'T', Value::Optional).letter(Value::None),
    spec("fork", b'f', Value::None),
    spec("kill-child", 0, Value::Optional),
    spec("mount-proc", 0, Value::Optional),
    spec("map-user", 0, Value::Required),
    spec("map-users", 0, Value::Required),
    spec("map-group", 0, Value::Required),
    spec("map-groups", 0, Value::Required),
    spec("map-root-user", b'r', Value::None),
    spec("map-current-user", b'c', Value::None),
    spec("map-auto", 0, Value::None),
    spec("propagation", 0, Value::Required),
    spec("setgroups", 0, Value::Required),
    spec("keep-caps", 0, Value::None),
    spec("setuid", b'S', Value::Required),
    spec("setgid", b'G', Value::Required),
    spec("root", b'R', Value::Required),
    spec("wd", b'w', Value::Required),
    spec("monotonic", 0, Value::Required),
    spec("boottime", 0, Value::Required),
    spec("map-subids", 0, Value::None).later(),
    spec("owner", 0, Value::Required).later(),
    spec("forward-signals", 0, Value::None).later(),
    spec("mount-binfmt", 0, Value::Optional).later(),
    spec("load-interp", b'l', Value::Required).later(),
];

const HELP: &str = "
Usage:
 unshare [options] [<program> [<argument>...]]

Run a program in new namespaces.

Options:
 -m, --mount[=<file>]      a mount namespace, kept at <file>
 -u, --uts[=<file>]        a UTS namespace (host name)
 -i, --ipc[=<file>]        an IPC namespace
 -n, --net[=<file>]        a network namespace
 -p, --pid[=<file>]        a pid namespace
 -U, --user[=<file>]       a user namespace
 -C, --cgroup[=<file>]     a cgroup namespace
 -T, --time[=<file>]       a time namespace

 -f, --fork                run <program> as a child
 --kill-child[=<signame>]  send the child a signal (KILL) when we end (implies --fork)
 --forward-signals         pass TERM and INT on to the child (implies --fork)
 --mount-proc[=<dir>]      mount a procfs (implies --mount)
 --mount-binfmt[=<dir>]    mount a binfmt_misc (implies --user and --mount)
 -l, --load-interp <text>  register an interpreter there (implies --mount-binfmt)
 --propagation slave|shared|private|unchanged
                           the propagation of all mounts inside

 -r, --map-root-user       we are root inside (implies --user)
 -c, --map-current-user    we are who we are inside (implies --user)
 --map-user=<uid>|<name>   we are this user inside (implies --user)
 --map-group=<gid>|<name>  we are this group inside (implies --user)
 --map-auto                map our first subordinate ids (implies --user)
 --map-subids              map our subordinate ids to themselves (implies --user)
 --map-users=<map>, --map-groups=<map>
                           map these ids, given as <inner>:<outer>:<count>,
                             <outer>,<inner>,<count>, auto, subids or all
 --owner=<uid>:<gid>       who owns the user namespace (implies --user)
 --setgroups allow|deny    whether setgroups(2) is allowed inside
 --keep-caps               keep the capabilities of the user namespace

 -R, --root=<dir>          run with this root directory
 -w, --wd=<dir>            run in this directory
 -S, --setuid <uid>        run as this user
 -G, --setgid <gid>        run as this group
 --monotonic <offset>      add so many seconds to the monotonic clock
 --boottime <offset>       add so many seconds to the boot time clock

 -h, --help                print this help
 -V, --version             print the version

For more details see unshare(1).
";

const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// What was asked for.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) command: Command,
    /// The option that sets a clock, if one was given.
    clock: bool,
}

impl Asked {
    /// Reads the command line.
    pub(super) fn read(words: &[OsString]) -> Result<Self, Refused> {
        let request = Request { in_place: true, ..Request::default() };
        let mut asked = Self { request, command: Command::new(Vec::new()), clock: false };
        let mut options = Options::in_front(&OPTIONS, words);
        for option in options.by_ref() {
            let (name, value) = option.map_err(Refused::Usage)?;
            asked.take(name, value)?;
        }
        asked.check()?;
        let words = options.others();
        asked.request.command.clone_from(&words);
        asked.command = Command::new(words);
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: Option<OsString>) -> Result<(), Refused> {
        if let Some(kind) = kind(name) {
            self.add(kind);
            if let Some(file) = value {
                self.request.persist.retain(|(other, _)| *other != kind);
                self.request.persist.push((kind, file.into()));
            }
            return Ok(());
        }
        let given = value.clone().unwrap_or_default();
        let text = given.to_string_lossy();
        let shown = printable(given.as_bytes());
        let bad = |what: &str| Refused::Message(format!("failed to parse {what}: '{shown}'"));
        let request = &mut self.request;
        match name {
            "fork" => request.fork = true,
            "kill-child" => request.parent_death_signal = Some(signal(value.as_ref().map(|_| &*text))?),
            "forward-signals" => request.forward_signals = true,
            "mount-proc" => request.proc = Some(c_string(value.unwrap_or_else(|| "/proc".into()))),
            "mount-binfmt" => {
                request.binfmt = Some(target(value.as_ref().map_or(BINFMT.as_bytes(), |path| path.as_bytes()))?)
            }
            "load-interp" => {
                request.interpreter = Some(c_string(given));
                request.binfmt = Some(request.binfmt.take().map_or_else(|| target(BINFMT.as_bytes()), Ok)?);
            }
            "map-user" => {
                request.users.own_as = Some(id(&given).or_else(|| values::user(&text).ok()).ok_or_else(|| bad("uid"))?);
            }
            "map-group" => {
                request.groups.own_as =
                    Some(id(&given).or_else(|| values::group(&text).ok()).ok_or_else(|| bad("gid"))?);
            }
            "map-root-user" => (request.users.own_as, request.groups.own_as) = (Some(0), Some(0)),
            "map-current-user" => {
                request.users.own_as = Some(rustix::process::geteuid().as_raw());
                request.groups.own_as = Some(rustix::process::getegid().as_raw());
            }
            "map-users" => map(&mut request.users, &text)?,
            "map-groups" => map(&mut request.groups, &text)?,
            "map-auto" => (request.users.specs, request.groups.specs) = (vec![MapSpec::Auto], vec![MapSpec::Auto]),
            "map-subids" => {
                [&mut request.users, &mut request.groups].map(|ids| ids.specs.push(MapSpec::Subids)).fill(())
            }
            "owner" => {
                let Owner(uid, gid) = text.parse().map_err(|_| bad("owner"))?;
                request.owner = Some((uid, gid));
            }
            "propagation" => {
                let unsupported = |_| Refused::Message(format!("unsupported propagation mode: {shown}"));
                request.propagation = Some(values::propagation(&text).map_err(unsupported)?);
            }
            "setgroups" => {
                let unsupported = |_| Refused::Message(format!("unsupported --setgroups argument '{shown}'"));
                request.setgroups = Some(values::setgroups(&text).map_err(unsupported)?);
            }
            "keep-caps" => request.keep_capabilities = true,
            "setuid" => request.user = Some(number(&given).ok_or_else(|| bad("uid"))?),
            "setgid" => request.group = Some(number(&given).ok_or_else(|| bad("gid"))?),
            "root" => request.root = Some(Root { dir: c_string(given), pivot: false }),
            "wd" => request.directory = Some(c_string(given)),
            "monotonic" | "boottime" => {
                let seconds = decimal(&text, &format!("failed to parse {name} offset: '{shown}'"))?;
                let place =
                    if name == "monotonic" { &mut request.monotonic_seconds } else { &mut request.boottime_seconds };
                *place = Some(seconds);
                self.clock = true;
            }
            "help" => return Err(Refused::Said(HELP.to_owned())),
            _ => return Err(Refused::version(super::NAME)),
        }
        self.imply();
        Ok(())
    }

    fn add(&mut self, kind: NamespaceKind) {
        self.request.kinds = self.request.kinds.with(kind);
    }

    fn imply(&mut self) {
        let request = &self.request;
        let binfmt = request.binfmt.is_some();
        let maps = !request.users.is_empty() || !request.groups.is_empty() || request.owner.is_some();
        let fork = request.parent_death_signal.is_some() || request.forward_signals;
        if request.proc.is_some() || binfmt {
            self.add(NamespaceKind::Mnt);
        }
        if maps || binfmt {
            self.add(NamespaceKind::User);
        }
        self.request.fork |= fork;
    }

    /// Refuses what contradicts itself.
    fn check(&mut self) -> Result<(), Refused> {
        let request = &mut self.request;
        if self.clock && !request.kinds.contains(NamespaceKind::Time) {
            // The letter is that of util-linux's message.
            let message = "options --monotonic and --boottime require unsharing of a time namespace (-t)";
            return Err(Refused::Message(message.to_owned()));
        }
        if request.setgroups == Some(true) && request.groups.own_as.is_some() && request.groups.specs.is_empty() {
            let message = "options --setgroups=allow and --map-group are mutually exclusive";
            return Err(Refused::Message(message.to_owned()));
        }
        make_room(&mut request.users);
        make_room(&mut request.groups);
        request.keep_capabilities &= request.kinds.contains(NamespaceKind::User);
        if !request.kinds.contains(NamespaceKind::Mnt) {
            request.propagation = None;
        }
        Ok(())
    }
}

fn kind(option: &str) -> Option<NamespaceKind> {
    match option {
        "mount" => Some(NamespaceKind::Mnt),
        _ => NamespaceKind::ALL.into_iter().find(|kind| kind.name() == option && *kind != NamespaceKind::Mnt),
    }
}

/// Reads a signal's name; a number is none.
fn signal(name: Option<&str>) -> Result<i32, Refused> {
    let Some(name) = name else { return Ok(libc::SIGKILL) };
    values::signal(name).ok_or_else(|| Refused::Message(format!("unknown signal: {}", printable(name.as_bytes()))))
}

/// Reads an id; the last one means none to the kernel.
fn id(text: &OsString) -> Option<u32> {
    number(text).filter(|id| *id != u32::MAX)
}

/// Takes a map: the forms that 2.38.1 has replace what came before, those that came later are added to it.
fn map(ids: &mut Ids, text: &str) -> Result<(), Refused> {
    let shown = printable(text.as_bytes());
    let older = text == "auto" || !text.contains(':') && !matches!(text, "subids" | "all");
    if older && text != "auto" {
        let fields: Vec<&str> = text.split(',').collect();
        if fields.len() > 3 || fields.iter().any(|field| field.is_empty()) {
            return Err(Refused::Message(format!("too many elements for mapping '{shown}'")));
        }
        if let Some(field) = fields.iter().find(|field| field.parse::<u32>().is_err()) {
            return Err(Refused::Message(format!("could not parse ID: '{}'", printable(field.as_bytes()))));
        }
        if fields.len() < 3 {
            return Err(Refused::Message(format!("mapping '{shown}' contains only {} elements", fields.len())));
        }
    }
    let spec = text.parse().map_err(|error: nstool::Error| Refused::from(&error))?;
    if older {
        ids.specs.clear();
    }
    ids.specs.push(spec);
    Ok(())
}

/// Leaves our own id out of the ranges given: what lies above it inside moves by one outside, and the last has no place.
fn make_room(ids: &mut Ids) {
    let Some(own) = ids.own_as else { return };
    let parts = |spec: MapSpec| match spec {
        MapSpec::Range(IdRange { inner, outer, count }) if own >= inner && own - inner < count => {
            let below = own - inner;
            let above = IdRange { inner: own + 1, outer: outer + below, count: count - below - 1 };
            let parts = [IdRange { inner, outer, count: below }, above];
            parts.into_iter().filter(|part| part.count > 0).map(MapSpec::Range).collect()
        }
        spec => vec![spec],
    };
    ids.specs = std::mem::take(&mut ids.specs).into_iter().flat_map(parts).collect();
}

fn target(path: &[u8]) -> Result<TargetPath, Refused> {
    TargetPath::new(path).map_err(|error| Refused::from(&error))
}

/// A word of a command line holds no NUL.
fn c_string(word: OsString) -> CString {
    CString::new(word.into_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(own: u32, text: &str) -> Vec<String> {
        let mut ids = Ids { own_as: Some(own), specs: vec![text.parse().unwrap()] };
        make_room(&mut ids);
        let range = |spec: &MapSpec| match spec {
            MapSpec::Range(range) => range.to_string(),
            other => format!("{other:?}"),
        };
        ids.specs.iter().map(range).collect()
    }

    #[test]
    fn our_own_id_makes_a_hole_in_a_range() {
        assert_eq!(ranges(3, "100000,0,10"), ["0 100000 3", "4 100003 6"]);
        assert_eq!(ranges(0, "100000,0,10"), ["1 100000 9"]);
        assert_eq!(ranges(9, "100000,0,10"), ["0 100000 9"]);
        assert_eq!(ranges(10, "100000,0,10"), ["0 100000 10"]);
        assert_eq!(ranges(5, "7,5,1"), [""; 0]);
        assert_eq!(ranges(0, "auto"), ["Auto"]);
    }

    #[test]
    fn options_imply_others() {
        for (words, kinds, fork) in [
            (&["--map-subids"][..], "user", false),
            (&["-r", "--kill-child"], "user", true),
            (&["--mount-proc", "--forward-signals"], "mnt", true),
            (&["-l", ":x:M::x::/x:"], "mnt user", false),
            (&["--owner=1:2", "-n"], "net user", false),
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let request = Asked::read(&words).ok().unwrap().request;
            let named: Vec<_> = request.kinds.iter().map(NamespaceKind::name).collect();
            assert_eq!((&*named.join(" "), request.fork), (kinds, fork));
        }
    }

    #[test]
    fn maps_of_the_older_form_replace_and_newer_ones_add_up() {
        let mut ids = Ids::default();
        for text in ["0:5:1", "subids", "auto", "0:7:1", "1:8:1"] {
            map(&mut ids, text).ok().unwrap();
        }
        assert_eq!(ids.specs.len(), 3);
        map(&mut ids, "9,0,1").ok().unwrap();
        assert_eq!(ids.specs.len(), 1);
    }
}
