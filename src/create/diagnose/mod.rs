//! From a failed step and its errno to what failed, why, and what to do. Pure: the circumstances come as a [`Scene`].

use std::io;

use rustix::thread::CapabilitySet;

use super::filesystem::Operation;
use super::plan::{Action, MapWriter};
use super::scene::Scene;
use crate::error::{Error, ErrorKind};
use crate::kind::{KindSet, NamespaceKind};
use crate::printable;

/// A cause and a hint.
type Finding = (String, String);

/// Says that a process that is to guard the child could not be started.
pub(super) fn no_guardian(error: io::Error) -> Error {
    let message = "cannot start a guardian of the child";
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            let (cause, hint) = process_limit(None);
            Error::new(ErrorKind::System, message).because(format!("{cause} ({error})")).with_hint(hint)
        }
        _ => Error::system(message, error),
    }
}

/// Words the failure of a step.
pub(super) fn failure(action: &Action, errno: i32, scene: &Scene) -> Error {
    let message = format!("cannot {action}");
    let plain = io::Error::from_raw_os_error(errno);
    let error = Error::system(&message, io::Error::from_raw_os_error(errno));
    match finding(action, errno, scene) {
        Some((cause, hint)) => {
            let kind = match error.kind() {
                // The errno speaks of a namespace or id, not of a file.
                ErrorKind::Vanished => ErrorKind::System,
                kind => kind,
            };
            let worded = Error::new(kind, message).because(format!("{cause} ({plain})"));
            if hint.is_empty() { worded } else { worded.with_hint(hint) }
        }
        None => error,
    }
}

fn finding(action: &Action, errno: i32, scene: &Scene) -> Option<Finding> {
    let say = |cause: &str, hint: &str| Some((cause.to_owned(), hint.to_owned()));
    let in_proc = matches!(action, Action::WriteMap { .. } | Action::SetGroupsPolicy(_) | Action::Offset(..));
    if in_proc && errno == libc::ENOENT && scene.proc_trouble.is_some() {
        return scene.proc_trouble.clone();
    }
    if in_proc && errno == libc::EROFS {
        return say(
            "our /proc is mounted read-only",
            "have what confines us mount a writable one (`bwrap --proc /proc`)",
        );
    }
    match action {
        Action::Create { kinds, .. } => creating(*kinds, errno, scene),
        Action::CreateLater(kind) => creating(KindSet::EMPTY.with(*kind), errno, scene),
        Action::WriteMap { writer, .. } => mapping(*writer, errno, scene),
        Action::SetGroupsPolicy(true) if errno == libc::EPERM => say(
            "setgroups is denied in our own user namespace, and what is denied stays denied below",
            "leave --setgroups allow away",
        ),
        Action::SetGroupsPolicy(_) if scene.apparmor_restricts => apparmor(),
        Action::MakeCgroup(_) => match errno {
            libc::EACCES | libc::EPERM => say(
                "making a control group wants write access to the one it is in",
                "run as root, or in a delegated subtree (systemd-run --user -p Delegate=yes)",
            ),
            libc::EEXIST => say("it appeared meanwhile", "run it again"),
            // Of mkdir(2), or of the fork of the process that does it.
            libc::EAGAIN => say(
                "possible causes: a limit of the groups above is reached (cgroup.max.descendants, cgroup.max.depth); or one \
                 of processes (`ulimit -u`, pids.max)",
                "remove groups that are not needed, or end processes",
            ),
            libc::EINTR => say("the process that does so was killed", ""),
            _ => None,
        },
        Action::JoinCgroup(_) => match errno {
            libc::EBUSY => say(
                "it hands controllers to groups below it, and then holds no processes itself (cgroup v2)",
                "name a group below it",
            ),
            libc::EOPNOTSUPP => say("it is threaded, or below a threaded one", "name a group of type domain"),
            libc::EACCES | libc::EPERM => say(
                "moving a process wants write access to cgroup.procs there and in the common ancestor",
                "run as root, or in a delegated subtree (systemd-run --user -p Delegate=yes)",
            ),
            libc::ENOSPC => say("its cpuset has no processors or memory nodes yet", "fill cpuset.cpus and cpuset.mems"),
            _ => None,
        },
        Action::Offset(..) => match errno {
            libc::ERANGE => say(
                "the clock would be before boot, or beyond 146 years",
                "an offset below 0 may not exceed the clock's value: /proc/uptime shows it",
            ),
            libc::EACCES => say("a process is in the time namespace already", ""),
            libc::EPERM => lacking(scene, CapabilitySet::SYS_TIME, "it needs CAP_SYS_TIME", OWN),
            _ => None,
        },
        Action::Propagate(_) if errno == libc::EINVAL => say(
            "/ is no mount point: we are in a chroot, where the propagation of the mount around it cannot be set",
            "bind the root on itself before the chroot: `mount --bind DIR DIR`; or --propagation unchanged",
        ),
        Action::Hostname(_) | Action::Domainname(_) if errno == libc::EPERM => {
            lacking(scene, CapabilitySet::SYS_ADMIN, UNOWNED, OWN)
        }
        Action::LoopbackUp if errno == libc::EPERM => lacking(scene, CapabilitySet::NET_ADMIN, UNOWNED, OWN),
        Action::OpenRoot { bind: true, .. } if errno == libc::EINVAL => say(
            "the directory lies on an unbindable mount, or holds mounts that are locked to others here",
            "`findmnt -o TARGET,PROPAGATION -T DIR` shows it",
        ),
        Action::Operate(operation) => operating(operation, errno, scene),
        Action::OpenRoot { .. } if errno == libc::ENOENT => say("there is no such directory", "make it: `mkdir DIR`"),
        Action::OpenRoot { .. } | Action::ChangeRoot { .. } if errno == libc::ENOTDIR => {
            say("the new root is no directory", "name a directory")
        }
        Action::StartInit | Action::Fork if errno == libc::EAGAIN => too_many_processes(scene),
        Action::ChangeRoot { pivot: true } => match errno {
            libc::EINVAL if scene.initial_root => say(
                "the root is the kernel's first one (an initramfs), which cannot be moved",
                "use --root (chroot) instead",
            ),
            libc::EINVAL => say(
                "possible causes: the mount the root or the new root lies on is shared; we are in a chroot",
                "leave --propagation at private",
            ),
            libc::EBUSY => say("the new root is the root already", "name another directory"),
            _ => None,
        },
        Action::ChangeRoot { pivot: false } if errno == libc::EPERM => {
            lacking(scene, CapabilitySet::SYS_CHROOT, "chroot needs CAP_SYS_CHROOT", OWN)
        }
        Action::Register { .. } => match errno {
            libc::EINVAL | libc::ENOENT => say(
                "binfmt_misc did not take the line, or its interpreter is not there",
                "the form is :NAME:TYPE:OFFSET:MAGIC:MASK:INTERPRETER:FLAGS (binfmt_misc in the kernel's documentation)",
            ),
            _ => None,
        },
        Action::MountBinfmt(_) if errno == libc::ENOENT => say(
            "there is no such directory; that of a procfs is missing where the kernel has no binfmt_misc",
            "name one that is there, or make it (--dir); or `modprobe binfmt_misc`",
        ),
        Action::MountBinfmt(_) if errno == libc::EPERM => {
            say("before Linux 6.7 binfmt_misc cannot be mounted in a user namespace", "mount it on the machine itself")
        }
        Action::Persist(_, file) => match errno {
            libc::EPERM if !scene.admin => {
                let cause = "binding a file needs CAP_SYS_ADMIN over our mount namespace";
                let own = "run in a user and mount namespace of your own (`nstool unshare -Urm`)";
                // nstool does it, outside of the new namespaces.
                lacking(&Scene { new_user: false, ..scene.clone() }, CapabilitySet::SYS_ADMIN, cause, own)
            }
            libc::EEXIST => Some((
                format!("{} appeared meanwhile", printable(file.as_os_str().as_encoded_bytes())),
                "run it again".to_owned(),
            )),
            libc::EBUSY => Some((
                format!(
                    "somebody else binds a namespace to {} just now",
                    printable(file.as_os_str().as_encoded_bytes())
                ),
                "name another file".to_owned(),
            )),
            libc::EINTR => say("the process that does so was killed", ""),
            // Another process does it.
            libc::EAGAIN => too_many_processes(scene),
            libc::EINVAL => say(
                "a mount namespace cannot be bound where it would come to hold itself: below a shared mount",
                "name a file on a private mount",
            ),
            _ => None,
        },
        Action::SetUser(id) | Action::SetGroup { gid: id, .. } if errno == libc::EINVAL => Some((
            format!("the id {id} has no meaning in the user namespace"),
            "map it: --map-users, --map-groups, --map-auto".to_owned(),
        )),
        Action::BecomeOwner(..) if errno == libc::EPERM => {
            // Before anything is created.
            let before = Scene { new_user: false, ..scene.clone() };
            lacking(&before, SET_IDS, CHANGING_IDS, "leave --owner away: then we own it ourselves")
        }
        Action::SetUser(_) | Action::SetGroup { .. } if errno == libc::EPERM => {
            lacking(scene, SET_IDS, CHANGING_IDS, "add --map-root-user (-r) and map the ids (--map-auto)")
        }
        Action::Bound(_) if errno == libc::EPERM => {
            lacking(scene, CapabilitySet::SETPCAP, "dropping capabilities for good needs CAP_SETPCAP", OWN)
        }
        _ => None,
    }
}

/// What gives an ordinary user, or a confined root, its capabilities.
const OWN: &str = "add --map-root-user (-r)";
const UNOWNED: &str = "the namespace is owned by a user namespace in which we lack the capability";
const CHANGING_IDS: &str = "changing ids needs CAP_SETUID and CAP_SETGID";
const SET_IDS: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID);

/// A capability that is missing: others than root get it by being root, root must hear what it lacks. `own` says how to do
/// without it.
fn lacking(scene: &Scene, needed: CapabilitySet, cause: &str, own: &str) -> Option<Finding> {
    Some(match scene.root_without(needed).filter(|_| !scene.new_user) {
        Some(lacks) => (lacks, scene.way_for_root(own)),
        None => (cause.to_owned(), format!("run as root, or {own}")),
    })
}

fn creating(kinds: KindSet, errno: i32, scene: &Scene) -> Option<Finding> {
    let own = |cause: &str, hint: &str| Some((cause.to_owned(), hint.to_owned()));
    let user = kinds.contains(NamespaceKind::User);
    match errno {
        libc::EPERM if user && scene.chrooted == Some(true) => own(
            "no user namespace can be created in a chroot",
            "leave the chroot, or enter that root with pivot_root (--pivot-root)",
        ),
        libc::EPERM if user && scene.unmapped => own(
            "our own user or group id is not mapped in our user namespace",
            "run as a mapped id: /proc/self/uid_map and gid_map show them",
        ),
        libc::EPERM if user && !scene.admin && scene.userns_clone_off => own(
            "this machine lets root alone create user namespaces",
            "as root: `sysctl kernel.unprivileged_userns_clone=1`",
        ),
        libc::EPERM | libc::EACCES if user && !scene.admin && scene.apparmor_restricts => apparmor(),
        libc::EPERM if user && scene.seccomp => own(
            "possible cause: the seccomp filter we run under, as containers have one",
            "start the outer container with a filter that allows clone and unshare",
        ),
        libc::EPERM if user && scene.chrooted == Some(false) => {
            own("possible cause: a security module", "`dmesg` may tell of it")
        }
        libc::EPERM if user => own(
            "possible causes: a chroot, also one onto a mount point; a security module",
            "leave the chroot; `dmesg` may tell of a security module",
        ),
        libc::EPERM if !scene.admin => {
            let own = "create a user namespace with them: --map-root-user (-r)";
            lacking(scene, CapabilitySet::SYS_ADMIN, "it needs CAP_SYS_ADMIN", own)
        }
        libc::ENOSPC | libc::EUSERS => {
            let zero = scene.limits.iter().find(|(_, limit)| *limit == 0);
            match zero {
                Some((kind, _)) => Some((
                    format!("/proc/sys/user/max_{kind}_namespaces is 0: no {kind} namespace may be created here"),
                    format!("as root: `sysctl user.max_{kind}_namespaces=1000`"),
                )),
                None if kinds.contains(NamespaceKind::Pid) && scene.deepest_pid => {
                    own("our pid namespace is nested 32 deep, and no deeper one can be", "start it further out")
                }
                None => {
                    let limits = scene.limits.iter().map(|(kind, limit)| format!("{kind} {limit}"));
                    let limits = limits.collect::<Vec<_>>().join(", ");
                    let reached = format!("a limit is reached, here ({limits}) or in a user namespace above");
                    // Of the other kinds, nothing else gives this errno.
                    let nests = kinds.contains(NamespaceKind::Pid) || user;
                    Some((
                        match nests {
                            true => format!("possible causes: {reached}; namespaces are nested 32 deep"),
                            false => reached,
                        },
                        "end what holds them (`nstool ls` lists them), or raise user.max_*_namespaces".to_owned(),
                    ))
                }
            }
        }
        libc::EINVAL if !scene.lacking.is_empty() => {
            let names = scene.lacking.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            let since = scene.lacking.iter().map(|kind| kind.facts().since).collect::<Vec<_>>().join(", ");
            Some((
                format!("this kernel has no namespaces of this kind: {names} (since Linux {since})"),
                "leave the kind away".to_owned(),
            ))
        }
        libc::ENOMEM => own(
            "possible causes: the init of our pid namespace has ended, so that no process can start in it; or memory",
            "create a pid namespace anew",
        ),
        libc::EAGAIN => too_many_processes(scene),
        _ => None,
    }
}

fn mapping(writer: MapWriter, errno: i32, scene: &Scene) -> Option<Finding> {
    let own = |cause: &str, hint: &str| Some((cause.to_owned(), hint.to_owned()));
    match errno {
        libc::EPERM if scene.apparmor_restricts && !scene.admin => apparmor(),
        libc::EPERM if writer == MapWriter::Outside => own(
            "an id to be mapped has no meaning in our own user namespace, or is root's and we lack CAP_SETFCAP",
            "map ids that /proc/self/uid_map and gid_map list",
        ),
        libc::EPERM => own("a map that is not one's own id alone needs privileges", "use --map-auto or --map-users"),
        libc::ENOENT if writer == MapWriter::Helper => own(
            "newuidmap and newgidmap are not installed, and without privileges nobody else may write such a map",
            "install them: the package uidmap (Debian) or shadow-utils",
        ),
        _ => None,
    }
}

fn operating(operation: &Operation, errno: i32, scene: &Scene) -> Option<Finding> {
    let own = |cause: &str, hint: &str| Some((cause.to_owned(), hint.to_owned()));
    match (operation, errno) {
        (Operation::Bind { source, .. }, libc::ENOENT) => Some((
            format!("{} is not there, or the place cannot be made", printable(source.to_bytes())),
            "a source is looked up outside, from the working directory, before anything is mounted or made".to_owned(),
        )),
        (Operation::Proc { .. }, libc::EPERM) if scene.proc_masked => own(
            "parts of our own /proc are covered by other mounts, which a new one would lay bare",
            "bind the /proc there is (--bind /proc), or have the outer container unmask it",
        ),
        (Operation::Proc { .. }, libc::EPERM) => own(
            "possible causes: no new pid namespace (-p) of our user namespace; no whole /proc is visible here",
            "add --pid (-p)",
        ),
        (Operation::Sysfs { .. }, libc::EPERM) => own(
            "possible causes: no new network namespace (-n) of our user namespace; no whole /sys is visible here",
            "add --net (-n), or bind /sys",
        ),
        (Operation::Tmpfs { .. }, libc::EINVAL) => own(
            "tmpfs does not take an option, or not this value",
            "tmpfs(5) lists them: size=64m,mode=0755,nr_inodes=1k",
        ),
        (Operation::Bind { .. }, libc::EINVAL) => own(
            "the source lies on an unbindable mount, or holds mounts that are locked to others here",
            "`findmnt -o TARGET,PROPAGATION` shows it",
        ),
        (_, libc::EROFS) => own("the place is missing and its filesystem read-only", "make the place beforehand"),
        (Operation::Bind { source, .. }, libc::EACCES) => Some((
            format!(
                "possible causes: we may not look into a directory above {} or above the place; or the place is missing and \
                 we may not make it",
                printable(source.to_bytes())
            ),
            "make the place beforehand, or own its directory; `namei -l PATH` shows who may look into what".to_owned(),
        )),
        (_, libc::EACCES) => own(
            "possible causes: the place is missing and we may not make it; or we may not look into a directory above it",
            "make it beforehand, or own its directory",
        ),
        (_, libc::EMFILE) => own(
            "each source, and each directory in which a place is made, takes a descriptor until the command runs",
            "raise the limit: `ulimit -n`",
        ),
        (_, libc::EOVERFLOW) => own(
            "our own id is not mapped in the user namespace, so that no file can be made",
            "map it: --map-root-user (-r) beside the other maps",
        ),
        (_, libc::ELOOP) => own(
            "a symbolic link is in the way: before Linux 5.6 it cannot be kept from leading outside",
            "name the place it leads to",
        ),
        (Operation::Symlink { .. }, libc::EEXIST) => {
            own("something else is there", "remove it, or choose another place")
        }
        (_, libc::EEXIST) => own(
            "a symbolic link is in the way whose end is not there, seen from within the new root",
            "name the place it leads to, or make it first (--dir)",
        ),
        (Operation::Bind { .. }, libc::ENOTDIR) => own(
            "a file is where a directory is wanted, or the other way round",
            "bind a directory on a directory, and anything else on a file",
        ),
        (_, libc::ENOTDIR) => own("a file is where a directory is wanted, or the other way round", "remove it"),
        (_, libc::EPERM) if !scene.admin && !scene.new_user => {
            own("mounting needs CAP_SYS_ADMIN", "add --map-root-user (-r)")
        }
        _ => None,
    }
}

fn too_many_processes(scene: &Scene) -> Option<Finding> {
    Some(process_limit(scene.joined_limit.as_deref()))
}

fn process_limit(joined: Option<&str>) -> Finding {
    let limit = joined.map(|limit| format!(" ({limit})")).unwrap_or_default();
    (
        format!("a limit of processes is reached{limit}"),
        "`ulimit -u` and pids.max of the control group, or of one above it, set it".to_owned(),
    )
}

fn apparmor() -> Option<Finding> {
    Some((
        "AppArmor restricts the user namespaces of ordinary users here (Ubuntu 23.10 and later)".to_owned(),
        "as root: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or a profile for nstool with `userns,`"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests;
