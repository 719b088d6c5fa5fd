//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nstool::enter::{Environment, Id, Place, Request};
use nstool::target::Target;
use nstool::{NamespaceKind, printable};

use super::super::Refused;
use super::super::command::{Command, number};
use super::super::getopt::{Options, Spec, Value, spec};

static OPTIONS: [Spec; 25] = [
    spec("all", b'a', Value::None),
    spec("help", b'h', Value::None),
    spec("version", b'V', Value::None),
    spec("target", b't', Value::Required),
    spec("mount", b'm', Value::Optional),
    spec("uts", b'u', Value::Optional),
    spec("ipc", b'i', Value::Optional),
    spec("net", b'n', Value::Optional),
    spec("pid", b'p', Value::Optional),
    spec("user", b'U', Value::Optional),
    spec("cgroup", b'C', Value::Optional),
    spec("time", b'T', Value::Optional),
    spec("setuid", b'S', Value::Required),
    spec("setgid", b'G', Value::Required),
    spec("root", b'r', Value::Optional),
    spec("wd", b'w', Value::Optional),
    spec("wdns", b'W', Value::Optional).letter(Value::Required),
    spec("no-fork", b'F', Value::None),
    spec("preserve-credentials", 0, Value::None),
    spec("follow-context", b'Z', Value::None),
    spec("env", b'e', Value::None).later(),
    spec("join-cgroup", b'c', Value::None).later(),
    spec("keep-caps", 0, Value::None).later(),
    spec("net-socket", b'N', Value::Required).later(),
    spec("user-parent", 0, Value::None).later(),
];

const HELP: &str = "
Usage:
 nsenter [options] [<program> [<argument>...]]

Run a program in the namespaces of another process.

Options:
 -t, --target <pid>     the process; <pid>:<inode> is safe against reuse
 -a, --all              join every kind of namespace
 -m, --mount[=<file>]   join the mount namespace, of the process or at <file>
 -u, --uts[=<file>]     join the UTS namespace (host name)
 -i, --ipc[=<file>]     join the IPC namespace
 -n, --net[=<file>]     join the network namespace
 -N, --net-socket <fd>  join the network namespace of the process's socket
 -p, --pid[=<file>]     join the pid namespace
 -C, --cgroup[=<file>]  join the cgroup namespace
 -c, --join-cgroup      join the control groups
 -U, --user[=<file>]    join the user namespace
     --user-parent      join the parent of the user namespace instead
 -T, --time[=<file>]    join the time namespace
 -S, --setuid <uid>     take this user id, or the process's (follow)
 -G, --setgid <gid>     take this group id, or the process's (follow)
     --preserve-credentials leave user and group id alone
     --keep-caps        keep the capabilities of the user namespace
 -r, --root[=<dir>]     take this root directory, or the process's
 -w, --wd[=<dir>]       take this working directory, or the process's
 -W, --wdns <dir>       take this working directory, looked up inside
 -e, --env              take the environment of the process
 -F, --no-fork          do not fork before <program> is run
 -Z, --follow-context   take the SELinux context of the process

 -h, --help             print this help
 -V, --version          print the version

For more details see nsenter(1).
";

/// The kinds, in the order in which they are opened, by the options that join them.
const KINDS: [(NamespaceKind, &str); 8] = [
    (NamespaceKind::User, "user"),
    (NamespaceKind::Cgroup, "cgroup"),
    (NamespaceKind::Ipc, "ipc"),
    (NamespaceKind::Uts, "uts"),
    (NamespaceKind::Net, "net"),
    (NamespaceKind::Pid, "pid"),
    (NamespaceKind::Mnt, "mount"),
    (NamespaceKind::Time, "time"),
];

/// What was asked for.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) command: Command,
    /// The paths that were named to be opened before anything is joined, in that order.
    pub(super) paths: Vec<OsString>,
    /// Whether the working directory inside was named, be it without a value.
    wdns: bool,
}

impl Asked {
    /// Reads the command line.
    pub(super) fn read(words: &[OsString]) -> Result<Self, Refused> {
        let mut asked = Self {
            request: Request { literal: true, no_pty: true, environment: Environment::Keep, ..Request::default() },
            command: Command::new(Vec::new()),
            paths: Vec::new(),
            wdns: false,
        };
        let mut options = Options::in_front(&OPTIONS, words);
        let read = options.by_ref().try_for_each(|option| {
            let (name, value) = option.map_err(Refused::Usage)?;
            asked.take(name, value)
        });
        // What was named before is opened as it is named.
        read.and_then(|()| asked.complete()).map_err(|refused| match refused {
            Refused::Said(_) => refused,
            _ => super::unopened(&asked.paths).unwrap_or(refused),
        })?;
        let words = options.others();
        asked.request.command.clone_from(&words);
        asked.command = Command::new(words);
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: Option<OsString>) -> Result<(), Refused> {
        if let Some((kind, _)) = KINDS.iter().find(|(_, option)| *option == name) {
            match value {
                Some(path) => {
                    self.request.files.retain(|(other, _)| other != kind);
                    let path = self.named(path);
                    self.request.files.push((*kind, path));
                }
                None => self.request.kinds = self.request.kinds.with(*kind),
            }
            return Ok(());
        }
        let given = value.clone().unwrap_or_default();
        let bad = |what: &str| Refused::Message(format!("failed to parse {what}: '{}'", printable(given.as_bytes())));
        let request = &mut self.request;
        match name {
            "all" => request.all = true,
            "target" => request.target = target(&given).ok_or_else(|| bad("pid"))?,
            "setuid" => request.uid = Some(id(&given).ok_or_else(|| bad("uid"))?),
            "setgid" => request.gid = Some(id(&given).ok_or_else(|| bad("gid"))?),
            "root" => self.request.root = self.place(&self.request.root.clone(), value),
            "wd" => self.request.directory = self.place(&self.request.directory.clone(), value),
            "wdns" => request.inner_directory = value.map(PathBuf::from).or(request.inner_directory.take()),
            "no-fork" => request.no_fork = true,
            "preserve-credentials" => request.preserve_credentials = true,
            // Without SELinux there is nothing to follow.
            "follow-context" => request.selinux = std::path::Path::new("/sys/fs/selinux/enforce").exists(),
            "env" => request.environment = Environment::Target,
            "join-cgroup" => request.cgroup = true,
            "keep-caps" => request.keep_capabilities = true,
            "net-socket" => {
                let number = number(&given).and_then(|number| i32::try_from(number).ok());
                request.socket = Some(number.ok_or_else(|| bad("file descriptor"))?);
            }
            "user-parent" => request.user_parent = true,
            "help" => return Err(Refused::Said(HELP.to_owned())),
            _ => return Err(Refused::version(super::NAME)),
        }
        if matches!(name, "wd" | "wdns") {
            self.exclusive(name)?;
        }
        Ok(())
    }

    /// Refuses both working directories at once; the one inside counts even without a value.
    fn exclusive(&mut self, name: &str) -> Result<(), Refused> {
        self.wdns |= name == "wdns";
        if self.wdns && self.request.directory != Place::Unasked {
            return Err(Refused::Message("mutually exclusive arguments: --wdns --wd".to_owned()));
        }
        Ok(())
    }

    /// Adds what an option says to what one before it said: the target's comes before any path.
    fn place(&mut self, before: &Place, value: Option<OsString>) -> Place {
        match value.map(|path| self.named(path)) {
            Some(path) if *before != Place::OfTarget => Place::Path(path),
            _ => Place::OfTarget,
        }
    }

    fn named(&mut self, path: OsString) -> PathBuf {
        self.paths.push(path.clone());
        path.into()
    }

    /// Adds what is opened of the target, or refuses that for want of one.
    fn complete(&mut self) -> Result<(), Refused> {
        let request = &mut self.request;
        let pid = match request.target {
            Some(Target::Process { pid, .. }) => Some(pid),
            _ => None,
        };
        if request.all && pid.is_none() {
            return Err(Refused::Message("no target PID specified for --all".to_owned()));
        }
        let missing = |what: &str| Refused::Message(format!("neither filename nor target pid supplied for {what}"));
        // The target's comes before a file's, in whichever order they are named.
        let kinds = request.kinds;
        request.files.retain(|(kind, _)| !kinds.contains(*kind));
        let places = [&request.root, &request.directory].into_iter().filter(|place| matches!(place, Place::Path(_)));
        // What is not used was opened nevertheless.
        if self.paths.len() > request.files.len() + places.count()
            && let Some(refused) = super::unopened(&self.paths)
        {
            return Err(refused);
        }
        let mut needed: Vec<String> =
            KINDS.iter().filter(|(kind, _)| kinds.contains(*kind)).map(|(kind, _)| format!("ns/{kind}")).collect();
        needed.extend((request.root == Place::OfTarget).then(|| "root".to_owned()));
        needed.extend((request.directory == Place::OfTarget).then(|| "cwd".to_owned()));
        let more = request.cgroup || request.socket.is_some() || request.selinux || request.user_parent;
        let more = more || request.environment == Environment::Target;
        let more = more || [request.uid, request.gid].contains(&Some(Id::Follow));
        match pid {
            Some(pid) => self.paths.extend(needed.iter().map(|name| format!("/proc/{pid}/{name}").into())),
            None if needed.is_empty() && !more => {}
            None => return Err(missing(needed.first().map_or("this", String::as_str))),
        }
        if needed.is_empty() && !more && !request.all {
            // Nothing is wanted of it, so that it need not even be there.
            request.target = None;
        }
        Ok(())
    }
}

/// Reads a process id, with the inode of its pidfd where given; 0 stands for none.
fn target(text: &OsString) -> Option<Option<Target>> {
    let word = text.to_str()?;
    if word.contains(':') {
        let target = word.parse().ok()?;
        return matches!(target, Target::Process { .. }).then_some(Some(target));
    }
    let pid = number(text).and_then(|pid| i32::try_from(pid).ok())?;
    Some((pid != 0).then_some(Target::Process { pid, pidfd_inode: None }))
}

fn id(text: &OsString) -> Option<Id> {
    if text == "follow" { Some(Id::Follow) } else { number(text).map(Id::Number) }
}
