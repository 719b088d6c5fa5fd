//! Words the failure of a step: what could not be done, its real cause as far as facts tell, and what to do next.

use std::io;

use super::facts::Facts;
use super::plan::{Order, Step};
use crate::error::{Error, ErrorKind};
use crate::id::NamespaceId;
use crate::kind::NamespaceKind;
use crate::printable;

/// Words the errno of a step.
pub(super) fn explain(step: &Step, errno: i32, facts: &Facts) -> Error {
    let cause = io::Error::from_raw_os_error(errno);
    let target = &facts.target;
    let of_target = facts.of_target();
    match step {
        Step::Join { kind, id, order, .. } => {
            let message = match order {
                Order::OnTheWay => format!("cannot join user namespace {id}, the way to {target}"),
                _ => format!("cannot join {kind} namespace {id}{of_target}"),
            };
            join(message, *kind, errno, facts)
        }
        Step::ChangeRoot | Step::ChangeRootOnly => {
            Error::system(format!("cannot change to the root directory of {target}"), cause)
        }
        Step::ChangeDirectory => Error::system("cannot change to the working directory", cause),
        Step::ChangeDirectoryTo(path) => {
            let path = printable(path.to_bytes());
            let error = Error::system(format!("cannot change to directory {path} of {target}"), cause);
            match errno {
                libc::ELOOP => {
                    error.with_hint("it leads through a link of /proc, which can lead outside, or in a circle")
                }
                libc::ENOENT => error.with_hint("-W is looked up among the target's files, after joining"),
                _ => error,
            }
        }
        Step::Fork => fork(errno, facts),
        Step::EnterCgroup { path, version, .. } => cgroup(path, *version, errno, cause),
        Step::SetLimit(..) => Error::system("cannot take over the target's resource limits", cause),
        Step::SetOomScore(_) => Error::system("cannot take over the target's oom_score_adj", cause),
        Step::LimitCapabilities(_) => Error::system("cannot take over the limits of the target's capabilities", cause)
            .with_hint("that takes CAP_SETPCAP: run nstool as root"),
        Step::SetLabel(label) => {
            let (module, text) = (label.module, printable(label.text.to_bytes()));
            Error::system(format!("cannot take over the target's {module} label {text}"), cause)
                .with_hint(format!("the policy of {module} forbids the change, or lacks the label"))
        }
        Step::DropGroups { .. } => groups(errno, cause),
        Step::SetGroups(_) => Error::system("cannot take over the target's supplementary groups", cause)
            .with_hint("-G takes one group and drops the others"),
        Step::SetGid(gid) => id("group", *gid, errno, cause, facts),
        Step::SetUid { uid, .. } => id("user", *uid, errno, cause, facts),
        Step::KeepCapabilities => Error::system("cannot keep the capabilities of the user namespace", cause),
        Step::NoNewPrivileges => Error::system("cannot set no_new_privs", cause),
        Step::Execute => Error::system("cannot start the command", cause),
    }
}

fn join(message: String, kind: NamespaceKind, errno: i32, facts: &Facts) -> Error {
    let error = |because: String| {
        let class = if errno == libc::EPERM { ErrorKind::NotPermitted } else { ErrorKind::System };
        Error::new(class, &message).because(because)
    };
    match (errno, kind) {
        (libc::EPERM, _) if own_filter() => error(
            "possible causes: the seccomp filter that nstool itself runs under, or a missing capability (EPERM)"
                .to_owned(),
        )
        .with_hint("run nstool outside the container or service that set the filter"),
        (libc::EPERM, NamespaceKind::User) => error("we lack CAP_SYS_ADMIN in it (EPERM)".to_owned())
            .with_hint("run nstool as root or as the namespace's owner; `nstool ls -T owner` shows the hierarchy"),
        (libc::EPERM, _) => {
            error("we lack CAP_SYS_ADMIN in the user namespace that owns it, or in our own (EPERM)".to_owned())
                .with_hint("join the user namespace too (-U), or run nstool as root")
        }
        (libc::EINVAL, NamespaceKind::User) if facts.threads > 1 => {
            error("this process has more than one thread (EINVAL)".to_owned())
        }
        (libc::EINVAL, NamespaceKind::User) => error("it is the one we are in already (EINVAL)".to_owned()),
        (libc::EINVAL, NamespaceKind::Pid) => error(
            "it is not below our own pid namespace, and pid namespaces are joined downward only (EINVAL)".to_owned(),
        )
        .with_hint("run nstool in an outer pid namespace; `nstool ls -T parent` shows the hierarchy"),
        (libc::EINVAL, NamespaceKind::Mnt) => {
            error("this process shares its root and working directory with another one (EINVAL)".to_owned())
        }
        (libc::EUSERS, NamespaceKind::Time) => error("this process has more than one thread (EUSERS)".to_owned()),
        (libc::EBUSY, NamespaceKind::Mnt) => {
            error("the mount namespace has no root left to stand in (EBUSY)".to_owned())
        }
        _ => Error::system(message.clone(), io::Error::from_raw_os_error(errno)),
    }
}

/// Tells whether we live under a seccomp filter ourselves, as in a container.
fn own_filter() -> bool {
    let text = std::fs::read("/proc/self/status").unwrap_or_default();
    crate::proc::status::Status::new(&text).field("Seccomp") == Some(b"2")
}

fn fork(errno: i32, facts: &Facts) -> Error {
    let pid = facts.candidates.iter().find(|one| one.kind == NamespaceKind::Pid && !one.ours);
    match (errno, pid) {
        (libc::ENOMEM, Some(pid)) => dead_init(pid.id, facts),
        (libc::EAGAIN, _) => Error::system("cannot fork", io::Error::from_raw_os_error(errno))
            .with_hint("a limit on processes is reached: pids.max of a control group, or `ulimit -u`"),
        _ => Error::system("cannot fork", io::Error::from_raw_os_error(errno)),
    }
}

/// Words that a pid namespace has lost its init: the kernel says ENOMEM at the fork then.
pub(super) fn dead_init(id: NamespaceId, facts: &Facts) -> Error {
    let message = format!("cannot start a process in pid namespace {id}{}", facts.of_target());
    let error = Error::new(ErrorKind::Vanished, message).because(
        "its init (PID 1 inside) has ended, and no process can be born there any more (ENOMEM; not about memory)",
    );
    if facts.has_process {
        error.with_hint("leave the pid namespace out: choose the kinds to join, such as -m -u -i -n")
    } else {
        error.with_hint(format!("`nstool why ns:{id}` tells what still keeps it"))
    }
}

fn cgroup(path: &[u8], version: u8, errno: i32, cause: io::Error) -> Error {
    let path = printable(path);
    let error = Error::system(format!("cannot join control group {path}"), cause);
    match errno {
        libc::EBUSY if version == 2 => error.with_hint(
            "a control group that hands controllers to groups below it holds no processes: the target's own may have changed",
        ),
        libc::ENODEV => error.with_hint("it was removed meanwhile: the target may have ended"),
        libc::EOPNOTSUPP => error.with_hint("it is a threaded control group, which takes no whole process from outside"),
        libc::EAGAIN => error.with_hint("its pids.max is reached"),
        libc::EACCES | libc::EPERM => error.with_hint("run nstool as root, or enter without its control groups"),
        _ => error,
    }
}

fn groups(errno: i32, cause: io::Error) -> Error {
    let error = Error::system("cannot drop supplementary groups", cause);
    match errno {
        libc::EPERM => error.with_hint(
            "setgroups is denied in that user namespace, or CAP_SETGID is missing: --preserve-credentials keeps the groups",
        ),
        _ => error,
    }
}

fn id(name: &str, id: u32, errno: i32, cause: io::Error, facts: &Facts) -> Error {
    let message = format!("cannot take {name} id {id}");
    if errno != libc::EINVAL {
        return Error::system(message, cause);
    }
    let error = Error::new(ErrorKind::Unsuitable, message);
    let map = facts.maps.as_ref().map(|maps| if name == "user" { &maps.uids } else { &maps.gids });
    let error = match map {
        Some(map) => error.because(format!("it is not mapped in the user namespace; these are: {map} (EINVAL)")),
        None => error.because("it is not mapped in the user namespace (EINVAL)"),
    };
    let letter = if name == "user" { 'S' } else { 'G' };
    error.with_hint(format!("choose a mapped id with -{letter}, or keep ours with --preserve-credentials"))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::ffi::CString;

    use super::super::facts::{Capabilities, Map, Maps, Owner};
    use super::super::label::Label;
    use super::super::plan::tests::facts;
    use super::*;

    /// Returns message, cause and hint on one line.
    fn words(step: &Step, errno: i32, facts: &Facts) -> String {
        let error = explain(step, errno, facts);
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error} | {cause} | {}", error.hint().unwrap_or_default())
    }

    fn join(kind: NamespaceKind) -> Step {
        Step::Join { kind, id: NamespaceId { ino: 5, dev: 4 }, handle: 0, level: Some(0), order: Order::Any }
    }

    #[test]
    fn each_errno_of_setns_has_its_cause() {
        let mut facts = facts(&[], &[(NamespaceKind::Pid, Owner::Level(0))]);
        for (kind, errno, part) in [
            (NamespaceKind::User, libc::EPERM, "run nstool as root or as the namespace's owner"),
            (NamespaceKind::Net, libc::EPERM, "join the user namespace too (-U)"),
            (NamespaceKind::User, libc::EINVAL, "it is the one we are in already"),
            (NamespaceKind::Pid, libc::EINVAL, "joined downward only"),
            (NamespaceKind::Mnt, libc::EINVAL, "shares its root and working directory"),
            (NamespaceKind::Time, libc::EUSERS, "more than one thread"),
            (NamespaceKind::Net, libc::ENOMEM, "Cannot allocate memory"),
        ] {
            let text = words(&join(kind), errno, &facts);
            assert!(text.starts_with(&format!("cannot join {kind} namespace 5 of process 7 (test) | ")), "{text}");
            assert!(text.contains(part) || own_filter(), "{text}");
        }
        facts.threads = 3;
        assert!(words(&join(NamespaceKind::User), libc::EINVAL, &facts).contains("more than one thread"));
    }

    #[test]
    fn no_memory_for_a_fork_means_a_dead_init_where_a_pid_namespace_is_joined() {
        let joined = facts(&[], &[(NamespaceKind::Pid, Owner::Level(0))]);
        assert!(words(&Step::Fork, libc::ENOMEM, &joined).contains("its init (PID 1 inside) has ended"));
        let stayed = facts(&[], &[]);
        assert!(words(&Step::Fork, libc::ENOMEM, &stayed).contains("Cannot allocate memory"));
        assert!(words(&Step::Fork, libc::EAGAIN, &stayed).contains("pids.max"));
    }

    #[test]
    fn refused_ids_and_groups_name_the_map_and_the_option() {
        let mut facts = facts(&[50], &[]);
        facts.maps = Some(Maps { uids: Map::parse(b"0 1000 1"), gids: Map::default(), setgroups: true });
        let text = words(&Step::SetUid { uid: 33, keep: false }, libc::EINVAL, &facts);
        assert!(text.contains("these are: 0 (EINVAL)") && text.contains("-S"), "{text}");
        let text = words(&Step::SetGid(33), libc::EINVAL, &facts);
        assert!(text.contains("no id is mapped") && text.contains("-G"), "{text}");
        let text = words(&Step::DropGroups { if_allowed: false }, libc::EPERM, &facts);
        assert!(text.contains("setgroups is denied"), "{text}");
    }

    #[test]
    fn every_other_step_says_what_it_could_not_do() {
        let facts = facts(&[], &[]);
        let label = Label { module: "SELinux", file: c"", text: CString::from(c"a:b") };
        let no_capabilities = Capabilities { bounding: 0, permitted: 0, inheritable: 0, ambient: 0 };
        let cgroup = Step::EnterCgroup { handle: 0, path: b"/sys/fs/cgroup/a\x1b".to_vec(), version: 2 };
        for (step, errno, part) in [
            (Step::ChangeRoot, libc::EPERM, "root directory of process 7 (test)"),
            (Step::ChangeDirectory, libc::EACCES, "working directory"),
            (Step::ChangeDirectoryTo(CString::from(c"/a")), libc::ENOENT, "-W is looked up"),
            (cgroup.clone(), libc::ENODEV, "control group /sys/fs/cgroup/a\\x1b"),
            (cgroup.clone(), libc::EBUSY, "hands controllers to groups below"),
            (cgroup, libc::EAGAIN, "pids.max"),
            (Step::SetGroups(vec![rustix::process::Gid::ROOT]), libc::EPERM, "supplementary groups"),
            (Step::SetLimit(7, None, None), libc::EPERM, "resource limits"),
            (Step::SetOomScore(CString::from(c"0")), libc::EACCES, "oom_score_adj"),
            (Step::LimitCapabilities(no_capabilities), libc::EPERM, "CAP_SETPCAP"),
            (Step::SetLabel(label), libc::EACCES, "the policy of SELinux forbids"),
            (Step::KeepCapabilities, libc::EPERM, "keep the capabilities"),
            (Step::NoNewPrivileges, libc::EINVAL, "no_new_privs"),
            (Step::Execute, libc::EIO, "cannot start the command"),
        ] {
            let text = words(&step, errno, &facts);
            assert!(text.contains(part), "{text}");
        }
    }
}
