//! What will be done, in which order, by whom: a pure value. `--dry-run` prints it, [`apply`](super::apply) follows it.

use std::ffi::{CString, OsString};
use std::fmt;
use std::path::PathBuf;

use super::facts::Facts;
use super::filesystem::Operation;
use super::idmap::{self, IdKind, IdRange, MapSources};
use super::request::{Capabilities, Ids, Propagation, Request};
use super::usage;
use crate::error::Result;
use crate::kind::{KindSet, NamespaceKind};
use crate::printable;

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// nstool, in the namespaces it was called in.
    Outside,
    /// The process that becomes the command or its init.
    Inside,
    /// The process that becomes the command.
    Command,
}

/// A clock that a time namespace has an offset for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// CLOCK_MONOTONIC.
    Monotonic,
    /// CLOCK_BOOTTIME.
    Boottime,
}

impl Clock {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Monotonic => "monotonic",
            Self::Boottime => "boottime",
        }
    }
}

/// Who writes a map of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapWriter {
    /// The process inside: its own id alone.
    Own,
    /// nstool from outside, with CAP_SETUID or CAP_SETGID there.
    Outside,
    /// newuidmap(1) or newgidmap(1).
    Helper,
}

/// One step.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Moves the process into a control group.
    JoinCgroup(PathBuf),
    /// Takes on the ids that are to own the user namespace.
    BecomeOwner(u32, u32),
    /// Creates namespaces, with clone3(2) or, without a child, unshare(2).
    Create {
        /// The kinds.
        kinds: KindSet,
        /// Whether in a child.
        child: bool,
    },
    /// Writes the child's id and namespaces to the descriptors that want them.
    TellChild,
    /// Waits until somebody else has written the maps.
    AwaitMaps,
    /// Allows or denies setgroups(2).
    SetGroupsPolicy(bool),
    /// Writes a map of ids.
    WriteMap {
        /// Users or groups.
        kind: IdKind,
        /// The lines.
        map: Vec<IdRange>,
        /// Who writes it.
        writer: MapWriter,
    },
    /// Creates a namespace that cannot be created with the others.
    CreateLater(NamespaceKind),
    /// Creates the mount namespace anew if it is numbered below ours, for then it cannot be bound to a file of ours.
    OutrankMounts,
    /// Sets a clock's offset, in seconds.
    Offset(Clock, i64),
    /// Sets the propagation of all mounts.
    Propagate(Propagation),
    /// Sets the host name.
    Hostname(OsString),
    /// Sets the NIS domain name.
    Domainname(OsString),
    /// Brings the loopback device up.
    LoopbackUp,
    /// Opens the new root; bound on itself first if it is to be pivoted to.
    OpenRoot {
        /// The directory.
        dir: CString,
        /// Whether bound.
        bind: bool,
    },
    /// Carries out a building block.
    Operate(Operation),
    /// Mounts binfmt_misc.
    MountBinfmt(super::filesystem::TargetPath),
    /// Changes the root.
    ChangeRoot {
        /// Whether the old one is detached.
        pivot: bool,
    },
    /// Registers an interpreter with the binfmt_misc mounted there.
    Register {
        /// The file that takes it, in the new root.
        file: CString,
        /// The line.
        line: CString,
    },
    /// Changes the working directory.
    ChangeDirectory(CString),
    /// Binds a namespace to a file.
    Persist(NamespaceKind, PathBuf),
    /// Starts the command as a child of an init.
    StartInit,
    /// Takes capabilities out of reach.
    Bound(Capabilities),
    /// Changes the group id.
    SetGroup {
        /// The new one.
        gid: u32,
        /// Whether the supplementary groups go, which a user namespace that denies setgroups(2) does not let them.
        drop_groups: bool,
    },
    /// Changes the user id.
    SetUser(u32),
    /// Sets what capabilities the exec keeps.
    Keep {
        /// The limits; `None` keeps all that the user namespace gives.
        capabilities: Option<Capabilities>,
    },
    /// Forbids gaining privileges.
    NoNewPrivileges,
    /// Becomes the command.
    Exec(Vec<OsString>),
}

/// A step and who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who.
    pub place: Place,
    /// What.
    pub action: Action,
}

/// All steps, checked as far as can be without doing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In the order of their doing.
    pub steps: Vec<Step>,
    /// Whether the command is a child that nstool waits for.
    pub forks: bool,
    /// What is worth saying beforehand.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Plans a request.
    ///
    /// # Errors
    /// What is asked for cannot work: [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it never can, another kind if
    /// it cannot here.
    pub fn new(request: &Request, facts: &Facts) -> Result<Self> {
        usage::check(request)?;
        let users = map(IdKind::User, &request.users, facts)?;
        let groups = map(IdKind::Group, &request.groups, facts)?;
        let setgroups = setgroups(request);
        let users = users.map(|map| with_writer(IdKind::User, map, facts, setgroups));
        let groups = groups.map(|map| with_writer(IdKind::Group, map, facts, setgroups));
        let written_outside = [&users, &groups]
            .into_iter()
            .flatten()
            .any(|action| matches!(action, Action::WriteMap { writer, .. } if *writer != MapWriter::Own));
        let pid = request.kinds.contains(NamespaceKind::Pid);
        let forks = request.fork
            || request.init
            || pid && !request.no_fork
            || written_outside
            || request.owner.is_some()
            || !request.persist.is_empty()
            || [request.info_fd, request.json_status_fd, request.userns_block_fd, request.sync_fd]
                .iter()
                .any(Option::is_some);
        let mut plan = Self { steps: Vec::new(), forks, warnings: Vec::new() };
        plan.create(request, facts)?;
        plan.user_namespace(request, setgroups, [users, groups]);
        plan.set_up(request);
        plan.finish(request);
        plan.warnings.extend(warnings(request, facts));
        Ok(plan)
    }

    fn push(&mut self, place: Place, action: Action) {
        self.steps.push(Step { place, action });
    }

    fn create(&mut self, request: &Request, facts: &Facts) -> Result<()> {
        let mut kinds = request.kinds;
        let user = kinds.contains(NamespaceKind::User);
        let offsets = request.monotonic_seconds.is_some() || request.boottime_seconds.is_some();
        if self.forks {
            // A namespace of clocks takes offsets only while nobody is in it (time_namespaces(7)), and a child cloned
            // with it would be.
            if kinds.contains(NamespaceKind::Time) && offsets {
                kinds = kinds.without(NamespaceKind::Time);
                if !user {
                    self.push(Place::Outside, Action::CreateLater(NamespaceKind::Time));
                    self.offsets(request, Place::Outside);
                } else {
                    facts.time_at_exec(request.init)?;
                }
            }
            // Its root is to be the control group the command is moved to, not ours.
            if request.cgroup.is_some() {
                kinds = kinds.without(NamespaceKind::Cgroup);
            }
        } else {
            if let Some(cgroup) = &request.cgroup {
                self.push(Place::Inside, Action::JoinCgroup(cgroup.clone()));
            }
            if kinds.contains(NamespaceKind::Time) {
                facts.time_at_exec(false)?;
            }
        }
        if let Some((uid, gid)) = request.owner {
            self.push(Place::Inside, Action::BecomeOwner(uid, gid));
        }
        let place = if self.forks { Place::Outside } else { Place::Inside };
        if self.forks || !kinds.is_empty() {
            self.push(place, Action::Create { kinds, child: self.forks });
        }
        if let Some(cgroup) = request.cgroup.as_ref().filter(|_| self.forks) {
            self.push(Place::Outside, Action::JoinCgroup(cgroup.clone()));
        }
        if request.info_fd.is_some() || request.json_status_fd.is_some() {
            self.push(Place::Outside, Action::TellChild);
        }
        Ok(())
    }

    fn user_namespace(&mut self, request: &Request, setgroups: Option<bool>, maps: [Option<Action>; 2]) {
        if request.userns_block_fd.is_some() {
            self.push(Place::Outside, Action::AwaitMaps);
        }
        let [users, groups] = maps;
        // The policy goes before the map that settles it (user_namespaces(7)), by the same hand.
        let groups = [setgroups.map(Action::SetGroupsPolicy), groups];
        let own = |action: &Action| matches!(action, Action::WriteMap { writer: MapWriter::Own, .. });
        let groups_place = if groups[1].as_ref().is_none_or(own) { Place::Inside } else { Place::Outside };
        let users_place = if users.as_ref().is_none_or(own) { Place::Inside } else { Place::Outside };
        // What is done outside comes first, so that the child waits only once.
        for place in [Place::Outside, Place::Inside] {
            if users_place == place {
                users.iter().for_each(|action| self.push(place, action.clone()));
            }
            if groups_place == place {
                groups.iter().flatten().for_each(|action| self.push(place, action.clone()));
            }
        }
    }

    fn offsets(&mut self, request: &Request, place: Place) {
        let offsets = [(Clock::Monotonic, request.monotonic_seconds), (Clock::Boottime, request.boottime_seconds)];
        for (clock, seconds) in offsets {
            if let Some(seconds) = seconds {
                self.push(place, Action::Offset(clock, seconds));
            }
        }
    }

    fn set_up(&mut self, request: &Request) {
        // With offsets, or a control group to be its root, these are left from creating the others.
        let created = |plan: &Self, kind| {
            plan.steps.iter().any(|step| match &step.action {
                Action::Create { kinds, .. } => kinds.contains(kind),
                Action::CreateLater(later) => *later == kind,
                _ => false,
            })
        };
        for kind in [NamespaceKind::Cgroup, NamespaceKind::Time] {
            if request.kinds.contains(kind) && !created(self, kind) {
                self.push(Place::Inside, Action::CreateLater(kind));
            }
        }
        if !self.steps.iter().any(|step| matches!(step.action, Action::Offset(..))) {
            self.offsets(request, Place::Inside);
        }
        if request.persist.iter().any(|(kind, _)| *kind == NamespaceKind::Mnt) {
            self.push(Place::Inside, Action::OutrankMounts);
        }
        // Before the first mount: what is mounted upon decides what the outer namespace sees.
        if request.kinds.contains(NamespaceKind::Mnt) && request.propagation != Propagation::Unchanged {
            self.push(Place::Inside, Action::Propagate(request.propagation));
        }
        if let Some(name) = &request.hostname {
            self.push(Place::Inside, Action::Hostname(name.clone()));
        }
        if let Some(name) = &request.domainname {
            self.push(Place::Inside, Action::Domainname(name.clone()));
        }
        if request.loopback_up {
            self.push(Place::Inside, Action::LoopbackUp);
        }
        if let Some(root) = &request.root {
            self.push(Place::Inside, Action::OpenRoot { dir: root.dir.clone(), bind: root.pivot });
        }
        // While the old root and its /proc are there: what is bound comes from it, and a user namespace may mount proc
        // only where it sees one whole.
        for operation in &request.operations {
            self.push(Place::Inside, Action::Operate(operation.clone()));
        }
        if let Some(place) = &request.binfmt {
            self.push(Place::Inside, Action::MountBinfmt(place.clone()));
        }
        if let Some(root) = &request.root {
            self.push(Place::Inside, Action::ChangeRoot { pivot: root.pivot });
        }
        if let (Some(place), Some(line)) = (&request.binfmt, &request.interpreter) {
            let file = place.below("register");
            self.push(Place::Inside, Action::Register { file, line: line.clone() });
        }
        if let Some(directory) = &request.directory {
            self.push(Place::Inside, Action::ChangeDirectory(directory.clone()));
        }
    }

    fn finish(&mut self, request: &Request) {
        // Last, so that a failure before it leaves nothing to take back.
        for (kind, file) in &request.persist {
            self.push(Place::Outside, Action::Persist(*kind, file.clone()));
        }
        if request.init {
            self.push(Place::Inside, Action::StartInit);
        }
        if let Some(capabilities) = request.capabilities {
            self.push(Place::Command, Action::Bound(capabilities));
        }
        // The group first: a user who is not root may not change it.
        if let Some(gid) = request.group {
            self.push(Place::Command, Action::SetGroup { gid, drop_groups: setgroups(request) != Some(false) });
        }
        if let Some(user) = request.user {
            self.push(Place::Command, Action::SetUser(user));
        }
        if request.keep_capabilities || request.capabilities.is_some() {
            self.push(Place::Command, Action::Keep { capabilities: request.capabilities });
        }
        if request.no_new_privileges {
            self.push(Place::Command, Action::NoNewPrivileges);
        }
        self.push(Place::Command, Action::Exec(request.command.clone()));
    }
}

fn map(kind: IdKind, ids: &Ids, facts: &Facts) -> Result<Option<Vec<IdRange>>> {
    if ids.is_empty() {
        return Ok(None);
    }
    let of = facts.ids(kind);
    idmap::build(&MapSources {
        kind,
        own_as: ids.own_as,
        own: of.own,
        specs: &ids.specs,
        subids: &of.subids,
        ours: &of.map,
    })
    .map(Some)
}

/// A gid map of one's own id alone wants setgroups denied, which an ordinary user could otherwise use to leave a group
/// that something is denied to (user_namespaces(7)).
fn setgroups(request: &Request) -> Option<bool> {
    let own_alone = request.groups.own_as.is_some() && request.groups.specs.is_empty();
    request.setgroups.or(own_alone.then_some(false))
}

fn with_writer(kind: IdKind, map: Vec<IdRange>, facts: &Facts, setgroups: Option<bool>) -> Action {
    let ids = facts.ids(kind);
    let own_alone = matches!(&map[..], [IdRange { outer, count: 1, .. }] if *outer == ids.own);
    let writer = match kind {
        IdKind::User if own_alone => MapWriter::Own,
        IdKind::Group if own_alone && setgroups == Some(false) => MapWriter::Own,
        _ if ids.privileged => MapWriter::Outside,
        _ => MapWriter::Helper,
    };
    Action::WriteMap { kind, map, writer }
}

fn warnings(request: &Request, facts: &Facts) -> Vec<String> {
    let mut warnings = leaks(request, facts);
    if request.group.is_some() && setgroups(request) == Some(false) && facts.supplementary_groups > 0 {
        warnings.push(format!(
            "the {} supplementary groups stay: setgroups is denied in the user namespace",
            facts.supplementary_groups
        ));
    }
    warnings
}

/// What would show in the outer mount namespace.
fn leaks(request: &Request, facts: &Facts) -> Vec<String> {
    let leak = |target: String| {
        let mount = facts.shared_mount_above(&target)?;
        Some(format!(
            "{target} lies on the mount {}, which is shared with the outer mount namespace: what is mounted there \
             appears outside as well (--propagation {})",
            printable(mount),
            request.propagation
        ))
    };
    let kept = matches!(request.propagation, Propagation::Shared | Propagation::Unchanged);
    // Below a new user namespace the copies are slaves, from which nothing goes out.
    if !kept || request.kinds.contains(NamespaceKind::User) || !request.kinds.contains(NamespaceKind::Mnt) {
        return Vec::new();
    }
    let base = request.root.as_ref().map_or(String::new(), |root| root.dir.to_string_lossy().into_owned());
    let mounting = request.operations.iter().filter(|operation| operation.mounts());
    mounting.filter_map(|operation| leak(format!("{}{}", base.trim_end_matches('/'), operation.target()))).collect()
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |text: &std::ffi::OsStr| printable(text.as_encoded_bytes()).into_owned();
        let c = |text: &CString| printable(text.to_bytes()).into_owned();
        match self {
            Self::JoinCgroup(path) => write!(f, "join the control group {}", bytes(path.as_os_str())),
            Self::BecomeOwner(uid, gid) => write!(f, "become uid {uid}, gid {gid}, to own the user namespace"),
            Self::Create { kinds, child } => {
                let names = kinds.iter().map(NamespaceKind::name).collect::<Vec<_>>().join(" ");
                match (child, names.as_str()) {
                    (true, "") => f.write_str("start a child"),
                    (true, names) => write!(f, "start a child in new namespaces: {names}"),
                    (false, names) => write!(f, "create namespaces: {names}"),
                }
            }
            Self::TellChild => f.write_str("tell the child's pid and namespaces"),
            Self::AwaitMaps => f.write_str("wait for the id maps that somebody else writes"),
            Self::SetGroupsPolicy(true) => f.write_str("allow setgroups"),
            Self::SetGroupsPolicy(false) => f.write_str("deny setgroups"),
            Self::WriteMap { kind, map, writer } => {
                let lines = map.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                write!(f, "write {}: {lines}", kind.map_file())?;
                match writer {
                    MapWriter::Helper => write!(f, " (with {})", kind.helper()),
                    MapWriter::Own | MapWriter::Outside => Ok(()),
                }
            }
            Self::CreateLater(kind) => write!(f, "create namespaces: {kind}"),
            Self::OutrankMounts => f.write_str("have the mount namespace numbered above ours"),
            Self::Offset(clock, seconds) => write!(f, "set the {} clock off by {seconds} s", clock.name()),
            Self::Propagate(propagation) => write!(f, "make all mounts {propagation}"),
            Self::Hostname(name) => write!(f, "set the host name {}", bytes(name)),
            Self::Domainname(name) => write!(f, "set the domain name {}", bytes(name)),
            Self::LoopbackUp => f.write_str("bring the loopback device up"),
            Self::OpenRoot { dir, bind: true } => write!(f, "bind {} on itself", c(dir)),
            Self::OpenRoot { dir, bind: false } => write!(f, "open the new root {}", c(dir)),
            Self::Operate(operation) => operation.fmt(f),
            Self::MountBinfmt(place) => write!(f, "mount binfmt_misc on {place}"),
            Self::ChangeRoot { pivot: true } => f.write_str("pivot to the new root and detach the old one"),
            Self::ChangeRoot { pivot: false } => f.write_str("change the root (chroot)"),
            Self::Register { line, .. } => write!(f, "register the interpreter {}", c(line)),
            Self::ChangeDirectory(directory) => write!(f, "change to the directory {}", c(directory)),
            Self::Persist(kind, file) => write!(f, "bind the {kind} namespace to {}", bytes(file.as_os_str())),
            Self::StartInit => f.write_str("stay as init, and start the command as its child"),
            Self::Bound(_) => f.write_str("take capabilities out of reach"),
            Self::SetGroup { gid, drop_groups: true } => write!(f, "become gid {gid} without supplementary groups"),
            Self::SetGroup { gid, drop_groups: false } => write!(f, "become gid {gid}"),
            Self::SetUser(uid) => write!(f, "become uid {uid}"),
            Self::Keep { capabilities: None } => f.write_str("keep the capabilities over the exec"),
            Self::Keep { capabilities: Some(_) } => f.write_str("hold the capabilities asked for"),
            Self::NoNewPrivileges => f.write_str("forbid gaining privileges"),
            Self::Exec(command) => {
                f.write_str("exec")?;
                command.iter().try_for_each(|word| write!(f, " {}", bytes(word)))
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Place::Command;
        for (index, step) in self.steps.iter().enumerate() {
            // In one process there is nobody else to name.
            if self.forks && step.place != place {
                place = step.place;
                f.write_str(match place {
                    Place::Outside => "outside:\n",
                    Place::Inside => "in the child:\n",
                    Place::Command => "in the command's process:\n",
                })?;
            }
            writeln!(f, "{:3}  {}", index + 1, step.action)?;
        }
        Ok(())
    }
}
