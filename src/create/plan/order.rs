//! Puts the steps in their order.

use super::super::facts::Facts;
use super::super::idmap::{self, IdKind, IdRange, MapSources};
use super::super::request::{Ids, Propagation, Request};
use super::super::usage;
use super::super::warnings::warnings;
use super::{Action, Clock, MapWriter, Place, Plan, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::kind::{KindSet, NamespaceKind};

impl Plan {
    /// Plans a request.
    ///
    /// # Errors
    /// What is asked for cannot work: [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it never can, another kind if
    /// it cannot here.
    pub fn new(request: &Request, facts: &Facts) -> Result<Self> {
        if request.in_place { usage::check_in_place(request) } else { usage::check(request) }?;
        // The map of an owner's own id is of what the process becomes before.
        let (uid, gid) = request.owner.unwrap_or((facts.users.own, facts.groups.own));
        let users = map(IdKind::User, &request.users, uid, facts)?;
        let groups = map(IdKind::Group, &request.groups, gid, facts)?;
        if !request.in_place {
            credentials(request, [&users, &groups])?;
            facts.capabilities.map_or(Ok(()), |capabilities| capabilities.check(request))?;
        }
        let setgroups = setgroups(request);
        let users = users.map(|map| with_writer(IdKind::User, map, request, facts));
        let groups = groups.map(|map| with_writer(IdKind::Group, map, request, facts));
        let written_outside = [&users, &groups]
            .into_iter()
            .flatten()
            .any(|action| matches!(action, Action::WriteMap { writer, .. } if *writer != MapWriter::Own));
        let pid = request.kinds.contains(NamespaceKind::Pid);
        // Beyond being asked to, a process forks for what it cannot have or do itself.
        let must_fork = request.init
            || pid && !request.no_fork
            || written_outside
            || request.owner.is_some()
            // There a process enters only where it is born.
            || request.kinds.contains(NamespaceKind::Time) && !facts.enters_time_at_exec()
            || !request.persist.is_empty()
            // Somebody has to be there to remove it.
            || facts.makes_cgroup
            || [request.info_fd, request.json_status_fd, request.userns_block_fd, request.sync_fd]
                .iter()
                .any(Option::is_some);
        let forks = request.fork || must_fork && !request.in_place;
        let mut plan = Self { steps: Vec::new(), forks, warnings: Vec::new() };
        plan.create(request, facts)?;
        plan.user_namespace(request, setgroups, [users, groups]);
        plan.set_up(request);
        plan.finish(request);
        if request.in_place {
            plan.put_in_place();
        } else {
            plan.warnings = warnings(request, facts);
        }
        Ok(plan)
    }

    fn push(&mut self, place: Place, action: Action) {
        self.steps.push(Step { place, action });
    }

    fn create(&mut self, request: &Request, facts: &Facts) -> Result<()> {
        if let Some(cgroup) = request.cgroup.as_ref().filter(|_| facts.makes_cgroup) {
            self.push(Place::Outside, Action::MakeCgroup(cgroup.clone()));
        }
        let mut kinds = request.kinds;
        let child = self.forks && !request.in_place;
        if child {
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
            // The command stays outside, whatever else wants a child.
            if request.no_fork {
                kinds = kinds.without(NamespaceKind::Pid);
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
        let place = if child { Place::Outside } else { Place::Inside };
        if child || !kinds.is_empty() {
            self.push(place, Action::Create { kinds, child });
        }
        if let Some(cgroup) = request.cgroup.as_ref().filter(|_| child) {
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
        // With offsets, a control group to be its root, or a command that is to stay outside, these are left from creating
        // the others.
        let created = |plan: &Self, kind| {
            plan.steps.iter().any(|step| match &step.action {
                Action::Create { kinds, .. } => kinds.contains(kind),
                Action::CreateLater(later) => *later == kind,
                _ => false,
            })
        };
        for kind in [NamespaceKind::Cgroup, NamespaceKind::Time, NamespaceKind::Pid] {
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
        if request.kinds.contains(NamespaceKind::Mnt) && request.mount_propagation() != Propagation::Unchanged {
            self.push(Place::Inside, Action::Propagate(request.mount_propagation()));
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
        // A procfs that is mounted later would cover it.
        let early = request.proc.is_none();
        if let Some(place) = request.binfmt.as_ref().filter(|_| early) {
            self.push(Place::Inside, Action::MountBinfmt(place.clone()));
        }
        if let Some(root) = &request.root {
            self.push(Place::Inside, Action::ChangeRoot { pivot: root.pivot });
        }
        if early {
            self.register(request);
        }
        if let Some(directory) = &request.directory {
            self.push(Place::Inside, Action::ChangeDirectory(directory.clone()));
        }
        if let Some(path) = &request.proc {
            self.push(Place::Inside, Action::MountProc(path.clone()));
            if let Some(place) = &request.binfmt {
                self.push(Place::Inside, Action::MountBinfmt(place.clone()));
            }
            self.register(request);
        }
    }

    fn register(&mut self, request: &Request) {
        if let (Some(place), Some(line)) = (&request.binfmt, &request.interpreter) {
            let file = place.below("register");
            self.push(Place::Inside, Action::Register { file, line: line.clone() });
        }
    }

    fn finish(&mut self, request: &Request) {
        if request.userns_block_fd.is_none() {
            // A pid namespace that the command is not in has no link yet.
            let entered = if request.no_fork { request.kinds.without(NamespaceKind::Pid) } else { request.kinds };
            self.tell_child(request, entered);
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
            self.push(
                Place::Command,
                Action::SetGroup { gid, drop_groups: request.in_place || setgroups(request) != Some(false) },
            );
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

impl Plan {
    /// Orders the steps for a process that moves itself: before it forks, what must be so when the child is born, and what
    /// its own children get, such as clock offsets; then what is kept, since a pid namespace begins with the child.
    fn put_in_place(&mut self) {
        let is_kept = |step: &Step| matches!(step.action, Action::Persist(..));
        let comes_first = |step: &Step| {
            let own = matches!(
                step.action,
                Action::BecomeOwner(..)
                    | Action::Create { .. }
                    | Action::CreateLater(_)
                    | Action::OutrankMounts
                    | Action::Offset(..)
            );
            own || step.place == Place::Outside && !is_kept(step)
        };
        let (first, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.steps).into_iter().partition(comes_first);
        let (kept, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_kept);
        let fork = self.forks.then_some(Step { place: Place::Inside, action: Action::Fork });
        self.steps = first.into_iter().chain(fork).chain(kept).chain(rest).collect();
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

/// Refuses to become somebody who is nobody in the new user namespace.
fn credentials(request: &Request, [users, groups]: [&Option<Vec<IdRange>>; 2]) -> Result<()> {
    // Somebody else's maps are not known.
    if !request.kinds.contains(NamespaceKind::User) || request.userns_block_fd.is_some() {
        return Ok(());
    }
    for (noun, option, id, map) in [("user", "users", request.user, users), ("group", "groups", request.group, groups)]
    {
        if let Some(id) = id.filter(|id| !map.iter().flatten().any(|range| range.maps(*id))) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the {noun} id {id} has no meaning in the new user namespace"),
            )
            .with_hint(format!("map it: --map-{option} {id}:OUTER:1, --map-auto")));
        }
    }
    Ok(())
}

/// A gid map of one's own id alone wants setgroups denied, which an ordinary user could otherwise use to leave a group
/// that something is denied to (user_namespaces(7)).
pub(in super::super) fn setgroups(request: &Request) -> Option<bool> {
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
