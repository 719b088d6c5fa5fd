//! Opens everything a plan may need, in the order that makes it safe, and notes the facts: first the pidfd, then every
//! descriptor, and last the proof that the process they came from is still the one.

mod namespaces;
mod ownership;
mod process;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use self::namespaces::{from_process, open_file, to_parent};
use self::ownership::{has_lost_init, is_below_ours, owner, rules_all, way};
use self::process::{look_at_process, threads};
use super::facts::{Candidate, Facts, Owner, Presence, Way};
use super::memory::Memory;
use super::name::TargetName;
use super::remarks;
use super::request::{Place, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::kind::NamespaceKind;
use crate::printable;
use crate::proc::Proc;
use crate::target::{PinnedNamespace, PinnedProcess, Resolved, require_kind};

pub(super) use ownership::own_id;

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
        let owner = if any { Owner::Level(0) } else { owner(&namespace, own_user, &way)? };
        let judged = kind == NamespaceKind::Pid && !ours && !request.literal;
        let below = !judged || is_below_ours(&namespace)?;
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

fn has_file(request: &Request, kind: NamespaceKind) -> bool {
    request.files.iter().any(|(given, _)| *given == kind)
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
