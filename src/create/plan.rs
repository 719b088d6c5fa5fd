//! What will be done, in which order, by whom: a pure value. `--dry-run` prints it, [`apply`](super::apply) follows it.

use std::ffi::{CString, OsString};
use std::path::PathBuf;

use super::facts::Facts;
use super::filesystem::Operation;
use super::idmap::{self, IdKind, IdRange, MapSources};
use super::request::{Capabilities, Ids, Propagation, Request};
use super::usage;
use super::warnings::warnings;
use crate::error::Result;
use crate::kind::{KindSet, NamespaceKind};

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
#[non_exhaustive]
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
    /// Writes the child's id and its new namespaces, of these kinds, to the descriptors that want them.
    TellChild(KindSet),
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
        // The map of an owner's own id is of what the process becomes before.
        let (uid, gid) = request.owner.unwrap_or((facts.users.own, facts.groups.own));
        let users = map(IdKind::User, &request.users, uid, facts)?;
        let groups = map(IdKind::Group, &request.groups, gid, facts)?;
        let setgroups = setgroups(request);
        let users = users.map(|map| with_writer(IdKind::User, map, request, facts));
        let groups = groups.map(|map| with_writer(IdKind::Group, map, request, facts));
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
            // There a process enters only where it is born.
            || request.kinds.contains(NamespaceKind::Time) && !facts.enters_time_at_exec()
            || !request.persist.is_empty()
            || [request.info_fd, request.json_status_fd, request.userns_block_fd, request.sync_fd]
                .iter()
                .any(Option::is_some);
        let mut plan = Self { steps: Vec::new(), forks, warnings: Vec::new() };
        plan.create(request, facts)?;
        plan.user_namespace(request, setgroups, [users, groups]);
        plan.set_up(request);
        plan.finish(request);
        plan.warnings = warnings(request, facts);
        Ok(plan)
    }

    fn push(&mut self, place: Place, action: Action) {
        self.steps.push(Step { place, action });
    }

    fn create(&mut self, request: &Request, facts: &Facts) -> Result<()> {
        let mut kinds = request.kinds;
        if self.forks {
            // A time namespace takes offsets only while nobody is in it (time_namespaces(7)), as a child cloned with it
            // would be; and clone(2) has no flag for it. So we create it for our children, or the child for its own if a
            // new user namespace is to own it.
            if kinds.contains(NamespaceKind::Time) {
                kinds = kinds.without(NamespaceKind::Time);
                if !kinds.contains(NamespaceKind::User) {
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
        // Whoever writes the maps must know for whom; else it is told when all of them are there.
        if request.userns_block_fd.is_some() {
            self.tell_child(request, kinds);
        }
        Ok(())
    }

    fn tell_child(&mut self, request: &Request, kinds: KindSet) {
        if request.info_fd.is_some() || request.json_status_fd.is_some() {
            self.push(Place::Outside, Action::TellChild(kinds));
        }
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
        if request.userns_block_fd.is_none() {
            self.tell_child(request, request.kinds);
        }
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

fn map(kind: IdKind, ids: &Ids, own: u32, facts: &Facts) -> Result<Option<Vec<IdRange>>> {
    if ids.is_empty() {
        return Ok(None);
    }
    let of = facts.ids(kind);
    idmap::build(&MapSources { kind, own_as: ids.own_as, own, specs: &ids.specs, subids: &of.subids, ours: &of.map })
        .map(Some)
}

/// A gid map of one's own id alone wants setgroups denied, which an ordinary user could otherwise use to leave a group
/// that something is denied to (user_namespaces(7)).
pub(super) fn setgroups(request: &Request) -> Option<bool> {
    let own_alone = request.groups.own_as.is_some() && request.groups.specs.is_empty();
    request.setgroups.or(own_alone.then_some(false))
}

fn with_writer(kind: IdKind, map: Vec<IdRange>, request: &Request, facts: &Facts) -> Action {
    let ids = facts.ids(kind);
    // Files of a process that has changed its ids are not its own.
    let own_alone =
        request.owner.is_none() && matches!(&map[..], [IdRange { outer, count: 1, .. }] if *outer == ids.own);
    let writer = match kind {
        IdKind::User if own_alone => MapWriter::Own,
        IdKind::Group if own_alone && setgroups(request) == Some(false) => MapWriter::Own,
        _ if ids.privileged => MapWriter::Outside,
        _ => MapWriter::Helper,
    };
    Action::WriteMap { kind, map, writer }
}

#[cfg(test)]
mod tests {
    use super::super::facts::IdFacts;
    use super::super::filesystem::TargetPath;
    use super::super::idmap::{MapSpec, SubidBlock};
    use super::super::request::Root;
    use super::*;
    use NamespaceKind::{Cgroup, Mnt, Net, Pid, Time, User, Uts};

    /// An ordinary user with subordinate ids, on a current kernel.
    fn ordinary() -> Facts {
        let ids = IdFacts {
            own: 1000,
            privileged: false,
            subids: vec![SubidBlock { start: 100_000, count: 65_536 }],
            map: Vec::new(),
        };
        Facts { users: ids.clone(), groups: ids, kernel: (6, 18), ..Facts::default() }
    }

    fn root() -> Facts {
        let ids = IdFacts { privileged: true, ..IdFacts::default() };
        Facts { users: ids.clone(), groups: ids, kernel: (6, 18), ..Facts::default() }
    }

    fn request(kinds: &[NamespaceKind]) -> Request {
        Request { kinds: kinds.iter().copied().collect(), command: vec!["true".into()], ..Request::default() }
    }

    fn ids(own_as: Option<u32>, specs: &[MapSpec]) -> Ids {
        Ids { own_as, specs: specs.to_vec() }
    }

    /// The steps, each with the letter of its place.
    fn steps(request: &Request, facts: &Facts) -> Vec<String> {
        let letter = |place| match place {
            Place::Outside => 'o',
            Place::Inside => 'i',
            Place::Command => 'c',
        };
        let plan = Plan::new(request, facts).unwrap();
        plan.steps.iter().map(|step| format!("{} {}", letter(step.place), step.action)).collect()
    }

    #[test]
    fn without_need_there_is_no_child() {
        let expected = ["i create namespaces: mnt net uts", "i make all mounts private", "c exec true"];
        assert_eq!(steps(&request(&[Mnt, Net, Uts]), &root()), expected);
        let mapped = Request { users: ids(Some(0), &[]), groups: ids(Some(0), &[]), ..request(&[User]) };
        let expected = [
            "i create namespaces: user",
            "i write uid_map: 0 1000 1",
            "i deny setgroups",
            "i write gid_map: 0 1000 1",
            "c exec true",
        ];
        assert_eq!(steps(&mapped, &ordinary()), expected);
    }

    #[test]
    fn whatever_is_done_from_outside_wants_a_child() {
        let forks = |request: Request| Plan::new(&request, &root()).unwrap().forks;
        assert!(!forks(request(&[Mnt])));
        assert!(forks(request(&[Pid])));
        assert!(!forks(Request { no_fork: true, ..request(&[Pid]) }));
        assert!(forks(Request { fork: true, ..request(&[]) }));
        assert!(forks(Request { init: true, ..request(&[Pid]) }));
        assert!(forks(Request { owner: Some((1, 1)), ..request(&[User]) }));
        assert!(forks(Request { persist: vec![(Net, "/x".into())], ..request(&[Net]) }));
        assert!(forks(Request { info_fd: Some(3), ..request(&[]) }));
        let range = ids(None, &["0:5:1".parse().unwrap()]);
        assert!(forks(Request { users: range, ..request(&[User]) }));
        let old = Facts { kernel: (5, 10), ..root() };
        assert!(Plan::new(&request(&[Time]), &old).unwrap().forks);
    }

    #[test]
    fn maps_come_before_everything_that_needs_their_rights() {
        let request = Request {
            users: ids(Some(0), &[MapSpec::Auto]),
            groups: ids(Some(0), &[MapSpec::Auto]),
            hostname: Some("box".into()),
            root: Some(Root { dir: c"/srv".to_owned(), pivot: true }),
            operations: vec![Operation::Proc { target: TargetPath::new(b"/proc").unwrap() }],
            init: true,
            ..request(&[User, Mnt, Uts, Pid])
        };
        let expected = [
            "o start a child in new namespaces: mnt pid user uts",
            "o write uid_map: 0 1000 1, 1 100000 65536 (with newuidmap)",
            "o write gid_map: 0 1000 1, 1 100000 65536 (with newgidmap)",
            "i make all mounts private",
            "i set the host name box",
            "i bind /srv on itself",
            "i mount proc on /proc",
            "i pivot to the new root and detach the old one",
            "i stay as init, and start the command as its child",
            "c exec true",
        ];
        assert_eq!(steps(&request, &ordinary()), expected);
    }

    #[test]
    fn a_control_group_is_joined_before_it_becomes_the_root_of_a_namespace() {
        let asked = Request { cgroup: Some("/cg".into()), ..request(&[Cgroup]) };
        let expected = ["i join the control group /cg", "i create namespaces: cgroup", "c exec true"];
        assert_eq!(steps(&asked, &root()), expected);
        let expected =
            ["o start a child", "o join the control group /cg", "i create namespaces: cgroup", "c exec true"];
        assert_eq!(steps(&Request { fork: true, ..asked }, &root()), expected);
    }

    #[test]
    fn clocks_are_set_off_before_anybody_is_in_the_time_namespace() {
        let asked = Request { monotonic_seconds: Some(-5), ..request(&[Time]) };
        let expected = ["i create namespaces: time", "i set the monotonic clock off by -5 s", "c exec true"];
        assert_eq!(steps(&asked, &root()), expected);
        let expected =
            ["o create namespaces: time", "o set the monotonic clock off by -5 s", "o start a child", "c exec true"];
        assert_eq!(steps(&Request { fork: true, ..asked.clone() }, &root()), expected);
        // The child's own user namespace is to own it.
        let owned = Request { fork: true, kinds: [User, Time].into_iter().collect(), ..asked };
        let expected = [
            "o start a child in new namespaces: user",
            "i create namespaces: time",
            "i set the monotonic clock off by -5 s",
            "c exec true",
        ];
        assert_eq!(steps(&owned, &root()), expected);
        let old = Facts { kernel: (5, 10), ..root() };
        assert!(Plan::new(&owned, &old).unwrap_err().hint().unwrap().contains("--init"));
        let init = Request { init: true, kinds: owned.kinds.with(Pid), ..owned };
        assert!(Plan::new(&init, &old).is_ok());
    }

    #[test]
    fn what_outlives_the_command_is_made_last_and_credentials_go_after_it() {
        let asked = Request {
            persist: vec![(Mnt, "/kept/mnt".into()), (Net, "/kept/net".into())],
            user: Some(5),
            group: Some(6),
            no_new_privileges: true,
            info_fd: Some(3),
            ..request(&[Mnt, Net])
        };
        let expected = [
            "o start a child in new namespaces: mnt net",
            "i have the mount namespace numbered above ours",
            "i make all mounts private",
            "o tell the child's pid and namespaces",
            "o bind the mnt namespace to /kept/mnt",
            "o bind the net namespace to /kept/net",
            "c become gid 6 without supplementary groups",
            "c become uid 5",
            "c forbid gaining privileges",
            "c exec true",
        ];
        assert_eq!(steps(&asked, &root()), expected);
    }

    #[test]
    fn an_owners_maps_are_of_its_ids_and_written_for_it() {
        let asked =
            Request { owner: Some((7, 8)), users: ids(Some(0), &[]), groups: ids(Some(0), &[]), ..request(&[User]) };
        let expected = [
            "i become uid 7, gid 8, to own the user namespace",
            "o start a child in new namespaces: user",
            "o write uid_map: 0 7 1",
            "o deny setgroups",
            "o write gid_map: 0 8 1",
            "c exec true",
        ];
        assert_eq!(steps(&asked, &root()), expected);
    }

    #[test]
    fn a_shared_parent_is_warned_of_and_groups_that_stay() {
        let text = b"1 0 8:1 / / rw shared:1 - ext4 a rw\n";
        let mounts = crate::proc::mountinfo::parse(text).mounts;
        let facts = Facts { mounts, supplementary_groups: 2, ..root() };
        let proc = Operation::Proc { target: TargetPath::new(b"/proc").unwrap() };
        let asked = Request { propagation: Propagation::Unchanged, operations: vec![proc], ..request(&[Mnt, Pid]) };
        let warnings = |request: &Request| Plan::new(request, &facts).unwrap().warnings;
        assert!(warnings(&asked)[0].contains("/proc lies on the mount /, which is shared"));
        let own = Request { kinds: asked.kinds.with(User), ..asked.clone() };
        assert!(warnings(&own).is_empty(), "its copies are slaves");
        assert!(warnings(&Request { propagation: Propagation::Private, ..asked }).is_empty());
        let kept = Request { groups: ids(Some(0), &[]), group: Some(0), ..request(&[User]) };
        assert!(warnings(&kept)[0].contains("2 supplementary groups stay"));
    }
}
