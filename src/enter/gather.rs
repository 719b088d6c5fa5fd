//! Opens everything a plan may need, in the order that makes it safe, and notes the facts: first the pidfd, then every
//! descriptor, and last the proof that the process they came from is still the one.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::facts::{Candidate, Facts, Map, Maps, Owner, Presence, Stage, Way, capability};
use super::memory::Memory;
use super::name::TargetName;
use super::request::{Id, Place, Request};
use super::{cgroups, confinement, remarks};
use crate::error::{Error, ErrorKind, Result};
use crate::id::NamespaceId;
use crate::kind::{KindSet, NamespaceKind, NamespaceLink};
use crate::printable;
use crate::proc::{Proc, status::Status};
use crate::sys::handle::Handle;
use crate::sys::{nsfs, pidfd, socket};
use crate::target::{PinnedNamespace, PinnedProcess, Resolved, Target, open_path, require_kind};

/// The order of joins in which nsenter(1) finds the first that fails.
const LITERAL_ORDER: [NamespaceKind; 8] = [
    NamespaceKind::User,
    NamespaceKind::Cgroup,
    NamespaceKind::Ipc,
    NamespaceKind::Uts,
    NamespaceKind::Net,
    NamespaceKind::Pid,
    NamespaceKind::Mnt,
    NamespaceKind::Time,
];

/// The descriptors that a plan works with, all opened before the first step.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    /// Namespaces, by the numbers that the plan uses.
    pub(crate) namespaces: Vec<PinnedNamespace>,
    pub(crate) process: Option<Arc<PinnedProcess>>,
    pub(crate) root: Option<OwnedFd>,
    pub(crate) directory: Option<OwnedFd>,
    /// `cgroup.procs` files, by number.
    pub(crate) cgroups: Vec<OwnedFd>,
    /// The memory control group among them.
    pub(crate) memory: Option<Memory>,
    /// Our own /proc: the target's is not to be trusted, and may not be there.
    pub(crate) proc: Option<Proc>,
}

/// Finds the target and opens what `request` names of it.
pub(crate) fn gather(request: &Request) -> Result<(Facts, Pinned)> {
    let mut pinned = Pinned { proc: Proc::open().ok(), ..Pinned::default() };
    let resolved = request.target.as_ref().map(|target| target.resolve_with(pinned.proc.as_ref())).transpose()?;
    let mut target = TargetName::Other(match &request.target {
        Some(target) => target.to_string(),
        None => "the namespace files".to_owned(),
    });
    let mut found: Vec<PinnedNamespace> = Vec::new();
    for (kind, path) in &request.files {
        found.push(require_kind(open_file(path)?, *kind, path.as_os_str().as_bytes())?);
    }
    match resolved {
        Some(Resolved::Process(process)) => {
            from_process(request, &process, &mut found)?;
            let process = Arc::new(process);
            target = TargetName::Process(Arc::clone(&process));
            pinned.process = Some(process);
        }
        Some(Resolved::Namespace(namespace)) => {
            only_itself(request, &target)?;
            found.push(namespace);
        }
        None => only_itself(request, &target)?,
    }
    if request.literal {
        found.sort_by_key(|namespace| LITERAL_ORDER.iter().position(|kind| *kind == namespace.kind()));
    }
    let own_user = own_id(NamespaceKind::User);
    if request.user_parent {
        to_parent(&mut found, &target)?;
    }
    let way = way(request, &found, own_user, &mut pinned.namespaces)?;
    let capabilities = rustix::thread::capabilities(None).map_or(0, |sets| sets.effective.bits());
    let rules_all = rules_all(own_user, capabilities);
    let mut candidates = Vec::with_capacity(found.len());
    let mut remarks = Vec::new();
    for namespace in found {
        let (kind, id) = (namespace.kind(), namespace.id());
        let ours = !request.literal && own_id(kind) == Some(id);
        // With no user namespace to join, the order is the same whoever owns it.
        let any = ours || way == Way::Stay && (request.literal || rules_all);
        let owner = if any { Owner::Level(0) } else { owner(&namespace, own_user, &way) };
        let judged = kind == NamespaceKind::Pid && !ours && !request.literal;
        let below = !judged || is_below_ours(&namespace);
        let dead = judged && below && has_lost_init(request, &namespace, &mut remarks);
        candidates.push(Candidate { kind, id, ours, owner, handle: pinned.namespaces.len(), below, dead });
        pinned.namespaces.push(namespace);
    }
    let mut facts = Facts {
        target,
        has_process: pinned.process.is_some(),
        candidates,
        way,
        effective_uid: rustix::process::geteuid().as_raw(),
        effective_gid: rustix::process::getegid().as_raw(),
        groups: Vec::new(),
        capabilities,
        threads: threads(),
        maps: None,
        target_uid: None,
        target_gid: None,
        target_groups: Vec::new(),
        cgroups: Vec::new(),
        confinement: None,
        command: Presence::Possible,
        remarks,
    };
    look_at_process(request, &mut facts, &mut pinned)?;
    if !request.literal {
        let seen = remarks::seen_elsewhere(request, pinned.process.as_deref(), &facts);
        facts.remarks.extend(seen);
    }
    open_places(request, &facts, &mut pinned)?;
    if let Some(process) = &pinned.process {
        process.verify()?;
    }
    Ok((facts, pinned))
}

/// Opens a namespace file, or `:ID`, the namespace with that unique id.
fn open_file(path: &Path) -> Result<PinnedNamespace> {
    let Some(id) = path.as_os_str().as_bytes().strip_prefix(b":") else { return open_path(path) };
    let shown = printable(id);
    let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).filter(|id| *id != 0);
    let id = id.ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("malformed namespace id {shown}"))
            .with_hint("`:ID` is the unique id that the kernel gives a namespace, a number")
    })?;
    Handle::by_id(id).open().and_then(PinnedNamespace::new).map_err(|error| {
        Error::system(format!("cannot open the namespace with id {id}"), error).with_hint(
            "it is gone, we have no rights over its owner, or the kernel is older than 6.19: name a file or a process",
        )
    })
}

/// Checks that nothing was asked for that only a process has.
fn only_itself(request: &Request, target: &TargetName) -> Result<()> {
    let needs = [
        (!request.kinds.is_empty() || request.all, "the kinds to join"),
        (request.socket.is_some(), "a socket's network namespace"),
        (request.root == Place::OfTarget, "its root directory"),
        (request.directory == Place::OfTarget, "its working directory"),
        (request.cgroup, "its control groups"),
        (request.selinux, "its SELinux context"),
        (request.confined, "its restrictions"),
    ];
    if let Some((_, what)) = needs.iter().find(|(asked, _)| *asked) {
        if request.target.is_none() {
            return Err(Error::new(ErrorKind::Invalid, format!("no process is named to take {what} from")).with_hint(
                "name one first, such as `nstool enter 4242`; or give kinds a file: --net=/run/netns/blue",
            ));
        }
        return Err(Error::new(ErrorKind::Unsuitable, format!("cannot take {what} from {target}: it is no process"))
            .with_hint("name a process, or give kinds a file: --net=/run/netns/blue"));
    }
    if request.target.is_none() && request.files.is_empty() && !request.literal {
        return Err(Error::new(ErrorKind::Invalid, "nothing to enter").with_hint("name a target, such as a process id"));
    }
    Ok(())
}

fn from_process(request: &Request, process: &PinnedProcess, found: &mut Vec<PinnedNamespace>) -> Result<()> {
    let explicit = !request.kinds.is_empty() || !request.files.is_empty() || request.socket.is_some();
    let every = request.all || !explicit && !request.literal;
    let mut wanted = if every { KindSet::ALL } else { request.kinds };
    if request.user_parent {
        wanted = wanted.with(NamespaceKind::User);
    }
    for (kind, _) in &request.files {
        wanted = wanted.without(*kind);
    }
    if let Some(number) = request.socket {
        wanted = wanted.without(NamespaceKind::Net);
        found.push(network_of_socket(process, number)?);
    }
    for kind in wanted.iter() {
        match process.namespace(NamespaceLink::Own(kind)) {
            // The kernel lets nobody join it anew, since that would give capabilities back (setns(2)).
            Ok(user) if request.literal && every && kind == NamespaceKind::User && Some(user.id()) == own_id(kind) => {}
            Ok(namespace) => found.push(namespace),
            // A kernel without this kind has nothing to join.
            Err(error) if every && error.raw_os_error() == Some(libc::ENOENT) && own_id(kind).is_none() => {}
            Err(error) => return Err(process.cannot(&format!("open the {kind} namespace"), error)),
        }
    }
    Ok(())
}

fn network_of_socket(process: &PinnedProcess, number: i32) -> Result<PinnedNamespace> {
    let pid = process.pid();
    let Some(duplicate) = process.pidfd().and_then(|pidfd| pidfd::getfd(pidfd, number)) else {
        let message = format!("cannot take descriptor {number} of process {pid}");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .because("this kernel cannot duplicate another process's descriptors (Linux 5.6 can)"));
    };
    let duplicate = duplicate.map_err(|error| process.cannot(&format!("duplicate descriptor {number}"), error))?;
    let namespace = socket::network_namespace(duplicate.as_fd()).and_then(PinnedNamespace::new);
    namespace.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTTY) => {
            Error::new(ErrorKind::Unsuitable, format!("descriptor {number} of process {pid} is no network socket"))
        }
        _ => process.cannot(&format!("find the network namespace of socket {number}"), error),
    })
}

fn to_parent(found: &mut [PinnedNamespace], target: &TargetName) -> Result<()> {
    let Some(user) = found.iter_mut().find(|namespace| namespace.kind() == NamespaceKind::User) else {
        let message = "--user-parent needs a user namespace whose parent to join";
        return Err(Error::new(ErrorKind::Invalid, message).with_hint("give -U, or a file: --user=/proc/7/ns/user"));
    };
    let ino = user.id();
    *user = user.parent().map_err(|error| {
        let message = format!("cannot join the parent of user namespace {ino} of {target}");
        Error::system(message, error).with_hint("it has none, or its parent lies outside our own user namespace")
    })?;
    Ok(())
}

/// Returns the id of our own namespace of a kind; `None` if the kernel lacks the kind.
pub(super) fn own_id(kind: NamespaceKind) -> Option<NamespaceId> {
    let mut path = String::with_capacity(24);
    path.push_str("/proc/self/ns/");
    path.push_str(kind.name());
    if let Ok(stat) = rustix::fs::stat(&path) {
        return Some(NamespaceId { ino: stat.st_ino, dev: stat.st_dev });
    }
    // No /proc, or one of another pid namespace: pidfds do without it.
    let own = PinnedProcess::open(rustix::process::getpid().as_raw_nonzero().get(), None).ok()?;
    own.namespace(NamespaceLink::Own(kind)).ok().map(|namespace| namespace.id())
}

/// Climbs from the user namespace that was asked for up to ours, and keeps those passed.
fn way(
    request: &Request,
    found: &[PinnedNamespace],
    own: Option<NamespaceId>,
    kept: &mut Vec<PinnedNamespace>,
) -> Result<Way> {
    let Some(goal) = found.iter().find(|namespace| namespace.kind() == NamespaceKind::User) else {
        return Ok(Way::Stay);
    };
    if Some(goal.id()) == own && !request.literal {
        return Ok(Way::Stay);
    }
    let mut passed = Vec::new();
    let mut next = goal.as_fd().try_clone_to_owned().and_then(PinnedNamespace::new);
    loop {
        let here = next.map_err(|error| Error::system("cannot climb the user namespaces of the target", error))?;
        let parent = match here.parent() {
            Ok(parent) if Some(here.id()) != own => parent,
            // The kernel refuses it, and has its own word for why.
            _ if request.literal => {
                passed.truncate(1);
                if passed.is_empty() {
                    passed.push(here);
                }
                break;
            }
            // EPERM: the parent is outside our own user namespace, or here is the top (ioctl_nsfs(2)).
            _ => return Ok(Way::Outside(goal.id())),
        };
        passed.push(here);
        if Some(parent.id()) == own {
            break;
        }
        next = Ok(parent);
    }
    let stages = passed.into_iter().rev().map(|namespace| {
        let stage = Stage { id: namespace.id(), creator: nsfs::owner_uid(namespace.as_fd()).ok(), handle: kept.len() };
        kept.push(namespace);
        stage
    });
    Ok(Way::Down(stages.collect()))
}

/// Finds the level of the user namespace that owns `namespace`.
fn owner(namespace: &PinnedNamespace, own: Option<NamespaceId>, way: &Way) -> Owner {
    let stages = match way {
        Way::Down(stages) => stages.as_slice(),
        Way::Stay | Way::Outside(_) => &[],
    };
    let mut next = namespace.owner();
    let mut climbed = 0;
    while let Ok(here) = next {
        if Some(here.id()) == own {
            // Without a way, all that matters is whether it is ours or below.
            return Owner::Level(usize::from(climbed > 0 && stages.is_empty()));
        }
        if let Some(index) = stages.iter().position(|stage| stage.id == here.id()) {
            return Owner::Level(index + 1);
        }
        climbed += 1;
        next = here.parent();
    }
    Owner::Outside
}

fn is_below_ours(namespace: &PinnedNamespace) -> bool {
    let own = own_id(NamespaceKind::Pid);
    let mut next = namespace.parent();
    while let Ok(here) = next {
        if Some(here.id()) == own {
            return true;
        }
        next = here.parent();
    }
    false
}

/// Tells whether a pid namespace is known to have had an init, and to have none now. A link in /proc is there from the
/// birth of its init on; only what was found by its inode can have come from a pidfd, which has it earlier.
fn has_lost_init(request: &Request, namespace: &PinnedNamespace, remarks: &mut Vec<String>) -> bool {
    let lacks_init = nsfs::has_init(namespace.as_fd()) == Some(false);
    let by_inode = matches!(request.target, Some(Target::Namespace { .. }));
    if lacks_init && by_inode {
        remarks.push(format!(
            "pid namespace {} has no init (PID 1 inside): if that has ended, no process can be born there; if it was \
             never there, the command becomes it",
            namespace.id()
        ));
    }
    lacks_init && !by_inode
}

/// Tells whether every namespace is ours to join, as for root of the initial user namespace: all others are below it.
fn rules_all(own_user: Option<NamespaceId>, capabilities: u64) -> bool {
    let initial = own_user.is_some_and(|own| own.ino == NamespaceKind::User.facts().initial_inode);
    let needed = [capability::SYS_ADMIN, capability::SYS_CHROOT];
    initial && needed.iter().all(|needed| capabilities & 1 << needed != 0)
}

fn groups() -> Vec<u32> {
    let effective = rustix::process::getegid();
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().filter(|group| *group != effective).map(|group| group.as_raw()).collect()
}

/// Counts the threads of this process: the links of its task directory, less `.` and `..`.
fn threads() -> u64 {
    rustix::fs::stat("/proc/self/task").map_or(1, |stat| stat.st_nlink.saturating_sub(2))
}

fn look_at_process(request: &Request, facts: &mut Facts, pinned: &mut Pinned) -> Result<()> {
    let Some(process) = &pinned.process else { return Ok(()) };
    let follow = request.uid == Some(Id::Follow) || request.gid == Some(Id::Follow);
    let down = matches!(facts.way, Way::Down(_));
    if down || request.confined {
        facts.groups = groups();
    }
    if !(follow || down || request.confined || request.selinux || request.cgroup || request.verbose) {
        return Ok(());
    }
    let text = process.read("status").unwrap_or_default();
    let status = Status::new(&text);
    facts.target_uid = status.uids().map(|uids| uids[1]);
    facts.target_gid = status.gids().map(|gids| gids[1]);
    facts.target_groups = status.groups().unwrap_or_default();
    facts.target_groups.retain(|group| Some(*group) != facts.target_gid);
    let wanted = !request.literal || follow;
    if wanted && down && !request.user_parent && !has_file(request, NamespaceKind::User) {
        facts.maps = maps(process);
    }
    if request.cgroup || request.confined {
        let found = cgroups::find(process)?;
        facts.cgroups = found.facts;
        facts.remarks.extend(found.remarks);
        (pinned.cgroups, pinned.memory) = (found.files, found.memory);
    }
    if request.confined || request.selinux {
        facts.confinement = Some(confinement::read(
            request,
            process,
            pinned.proc.as_ref(),
            &status,
            facts.capabilities,
            &mut facts.remarks,
        )?);
    }
    if request.verbose && !request.confined {
        facts.remarks.extend(confinement::left_out(process, pinned.proc.as_ref(), &status));
    }
    Ok(())
}

fn has_file(request: &Request, kind: NamespaceKind) -> bool {
    request.files.iter().any(|(given, _)| *given == kind)
}

fn maps(process: &PinnedProcess) -> Option<Maps> {
    let uids = Map::parse(&process.read("uid_map").ok()?);
    let gids = Map::parse(&process.read("gid_map").ok()?);
    // Before Linux 3.19 the file is not there, and setgroups is allowed.
    let setgroups = process.read("setgroups").map_or(true, |text| !text.starts_with(b"deny"));
    Some(Maps { uids, gids, setgroups })
}

fn open_places(request: &Request, facts: &Facts, pinned: &mut Pinned) -> Result<()> {
    let mnt = facts.candidates.iter().any(|one| one.kind == NamespaceKind::Mnt && !one.ours);
    let process = pinned.process.as_deref();
    let of_target = |name: &str, what: &str| match process {
        Some(process) => process.directory(name).map(Some).map_err(|error| process.cannot(what, error)),
        None => Ok(None),
    };
    pinned.root = match &request.root {
        Place::Path(path) => Some(open_directory(path)?),
        Place::OfTarget => of_target("root", "open the root directory")?,
        Place::Unasked if mnt && !request.literal && !has_file(request, NamespaceKind::Mnt) => {
            of_target("root", "open the root directory")?
        }
        Place::Unasked => None,
    };
    pinned.directory = match &request.directory {
        Place::Path(path) => Some(open_directory(path)?),
        Place::OfTarget => of_target("cwd", "open the working directory")?,
        Place::Unasked => None,
    };
    Ok(())
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        let path = printable(path.as_os_str().as_bytes());
        Error::system(format!("cannot open directory {path}"), errno)
    })
}

/// Returns descriptors the command asked to keep, checked to be open.
pub(crate) fn kept(request: &Request) -> Result<Vec<i32>> {
    let mut numbers: Vec<i32> = request.keep_descriptors.iter().copied().filter(|number| *number > 2).collect();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers.iter().find(|number| !crate::sys::process::is_open(**number)) {
        Some(number) => {
            Err(Error::new(ErrorKind::Unsuitable, format!("cannot keep descriptor {number}: it is not open")))
        }
        None => Ok(numbers),
    }
}
