//! Judges each step before the first is taken. Pure: what is claimed here, facts prove.

use super::facts::{Candidate, Facts, Owner, Way, capability};
use super::plan::{Order, Step, Steps};
use super::request::{Id, Request};
use super::wording;
use crate::error::{Error, ErrorKind, Result};
use crate::kind::NamespaceKind;

/// Kinds that the kernel lets only a process with one thread join (setns(2)).
const SINGLE_THREADED: [NamespaceKind; 3] = [NamespaceKind::User, NamespaceKind::Mnt, NamespaceKind::Time];

/// Checks that every step can work, as far as facts tell.
///
/// # Errors
/// The first step that cannot, why, and what to do.
pub(crate) fn check(request: &Request, facts: &Facts, steps: &Steps) -> Result<()> {
    if let Way::Outside(id) = facts.way {
        return Err(Error::new(
            ErrorKind::NotPermitted,
            format!("cannot join user namespace {id}{}", facts.of_target()),
        )
        .because("it is not below our own user namespace, and user namespaces are joined downward only")
        .with_hint("run nstool in an outer user namespace; `nstool ls -T owner` shows the hierarchy"));
    }
    for step in &steps.steps {
        match step {
            Step::Join { kind, id, level, order, .. } => {
                threads(facts, *kind)?;
                let candidate = facts.candidates.iter().find(|one| one.kind == *kind && one.id == *id);
                candidate.map_or(Ok(()), |candidate| downward(facts, candidate))?;
                if let Some(candidate) = candidate.filter(|candidate| candidate.dead) {
                    return Err(wording::dead_init(candidate.id, facts));
                }
                rights(request, facts, *kind, id.ino, *level, *order)?;
            }
            Step::ChangeRoot | Step::ChangeRootOnly => {
                may(facts, capability::SYS_CHROOT, "change the root directory", "CAP_SYS_CHROOT")?
            }
            Step::DropGroups { .. } | Step::SetGroups(_) | Step::SetGid(_) => {
                may(facts, capability::SETGID, "change groups", "CAP_SETGID")?
            }
            Step::SetUid { uid, .. } if *uid != facts.effective_uid => {
                may(facts, capability::SETUID, "change the user id", "CAP_SETUID")?;
            }
            _ => {}
        }
    }
    ids(request, facts)?;
    frozen(facts)
}

/// Words that no place inside has the command; not an [`Error`] of the preflight proper, for it has an exit status of
/// its own.
pub(crate) fn absent(request: &Request, target: &dyn std::fmt::Display) -> Error {
    match request.command.first() {
        Some(name) => {
            let name = crate::printable(std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str())).into_owned();
            let error = Error::new(ErrorKind::NotFound, format!("cannot run {name}: {target} has no such file"));
            if name.contains('/') {
                error.because(format!("{name} does not exist among its files"))
            } else {
                error.because("no directory of PATH inside has it")
            }
            .with_hint(format!("leave out the mount namespace to use the host's: `-u -i -n -p -- {name}`"))
        }
        None => Error::new(ErrorKind::NotFound, format!("cannot start a shell: {target} has none"))
            .because("neither the shell of its passwd entry nor /bin/sh exists among its files")
            .with_hint("leave out the mount namespace to use the host's tools: `-u -i -n -p -- sh`"),
    }
}

fn cannot_join(facts: &Facts, kind: NamespaceKind, ino: u64) -> Error {
    Error::new(ErrorKind::NotPermitted, format!("cannot join {kind} namespace {ino}{}", facts.of_target()))
}

fn threads(facts: &Facts, kind: NamespaceKind) -> Result<()> {
    if facts.threads <= 1 || !SINGLE_THREADED.contains(&kind) {
        return Ok(());
    }
    let threads = facts.threads;
    let message = format!("cannot join the {kind} namespace of {}", facts.target);
    Err(Error::new(ErrorKind::Unsupported, message)
        .because(format!("this process has {threads} threads, and the kernel lets only one thread alone join it"))
        .with_hint("join before starting threads, or in a child process"))
}

fn downward(facts: &Facts, candidate: &Candidate) -> Result<()> {
    if candidate.kind != NamespaceKind::Pid || candidate.below {
        return Ok(());
    }
    Err(cannot_join(facts, candidate.kind, candidate.id.ino)
        .because("it is not below our own pid namespace, and pid namespaces are joined downward only")
        .with_hint("run nstool in an outer pid namespace; `nstool ls -T parent` shows the hierarchy"))
}

/// setns(2): CAP_SYS_ADMIN in the owner of what is joined and in our own user namespace; for mnt CAP_SYS_CHROOT too.
fn rights(
    request: &Request,
    facts: &Facts,
    kind: NamespaceKind,
    ino: u64,
    level: Option<usize>,
    order: Order,
) -> Result<()> {
    let Some(level) = level else {
        let error = cannot_join(facts, kind, ino).because("it is owned by a user namespace outside our own");
        return Err(error.with_hint(format!(
            "leave {kind} out by choosing the kinds to join, or run nstool where that user namespace is visible"
        )));
    };
    if matches!(order, Order::After(_)) {
        // Joined from inside its owner, or from above it, with all capabilities.
        return Ok(());
    }
    let needed: &[(u32, &str)] = match kind {
        NamespaceKind::Mnt => &[(capability::SYS_ADMIN, "CAP_SYS_ADMIN"), (capability::SYS_CHROOT, "CAP_SYS_CHROOT")],
        _ => &[(capability::SYS_ADMIN, "CAP_SYS_ADMIN")],
    };
    if kind == NamespaceKind::User {
        if facts.rules(level, capability::SYS_ADMIN) {
            return Ok(());
        }
        let owner = facts.stages().first().and_then(|stage| stage.creator);
        let error = cannot_join(facts, kind, ino).because("we lack CAP_SYS_ADMIN in it and did not create it");
        return Err(match owner {
            Some(0) => error.with_hint("run nstool as root"),
            Some(uid) => error.with_hint(format!("run nstool as root or as its owner (uid {uid})")),
            None => error.with_hint("run nstool as root"),
        });
    }
    let Some((_, lacking)) = needed.iter().find(|(capability, _)| !facts.has(*capability)) else { return Ok(()) };
    let error = cannot_join(facts, kind, ino);
    Err(match order {
        Order::Any if level > 0 || owned_below(facts, kind) => error
            .because(format!("we lack {lacking}, which its owner, another user namespace, can give"))
            .with_hint(match request.user_parent {
                true => "leave out --user-parent, for that parent is our own user namespace; or run nstool as root",
                false => "join the user namespace too (-U), or run nstool as root",
            }),
        _ => error
            .because(format!("it is owned by our own user namespace, where we lack {lacking}"))
            .with_hint(format!("run nstool as root, or leave {kind} out by choosing the kinds to join")),
    })
}

fn owned_below(facts: &Facts, kind: NamespaceKind) -> bool {
    facts.candidates.iter().any(|one| one.kind == kind && matches!(one.owner, Owner::Level(level) if level > 0))
}

/// With a user namespace joined we have all capabilities there; otherwise only our own.
fn may(facts: &Facts, capability: u32, what: &str, name: &str) -> Result<()> {
    if facts.has(capability) || matches!(facts.way, Way::Down(_)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotPermitted, format!("cannot {what}"))
        .because(format!("we lack {name}"))
        .with_hint("run nstool as root"))
}

fn ids(request: &Request, facts: &Facts) -> Result<()> {
    let (Some(maps), Way::Down(_)) = (&facts.maps, &facts.way) else { return Ok(()) };
    for (name, asked, map) in [("user", request.uid, &maps.uids), ("group", request.gid, &maps.gids)] {
        if let Some(Id::Number(id)) = asked
            && !map.has(id)
        {
            return Err(Error::new(ErrorKind::Unsuitable, format!("cannot take {name} id {id} in {}", facts.target))
                .because(format!("it is not mapped in its user namespace; these are: {map}"))
                .with_hint(format!("choose a mapped {name} id")));
        }
    }
    Ok(())
}

fn frozen(facts: &Facts) -> Result<()> {
    let Some(cgroup) = facts.cgroups.iter().find(|cgroup| cgroup.frozen) else { return Ok(()) };
    let path = crate::printable(&cgroup.path);
    let thaw = match cgroup.version {
        1 => format!("echo THAWED > {path}/freezer.state"),
        _ => format!("echo 0 > {path}/cgroup.freeze"),
    };
    Err(Error::new(ErrorKind::System, format!("cannot join the control groups of {}", facts.target))
        .because(format!("it is paused: {path} is frozen, and whoever joins it stops until it is thawed"))
        .with_hint(format!("resume the container, or `{thaw}`; or enter without -c and --confined")))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::super::facts::{CgroupFact, Confinement};
    use super::super::plan::{plan, tests::facts};
    use super::*;
    use NamespaceKind::{Mnt, Net, Pid, Time, Uts};

    /// Returns message, cause and hint of the refusal.
    fn refusal(request: &Request, facts: &Facts) -> [String; 3] {
        let error = check(request, facts, &plan(request, facts, false).unwrap()).unwrap_err();
        [error.to_string(), error.source().unwrap().to_string(), error.hint().unwrap_or_default().to_owned()]
    }

    fn passes(request: &Request, facts: &Facts) {
        check(request, facts, &plan(request, facts, false).unwrap()).unwrap();
    }

    fn plain() -> Request {
        Request::default()
    }

    #[test]
    fn an_owner_may_join_what_is_below_and_others_may_not() {
        let mut facts = facts(&[50, 51], &[(Net, Owner::Level(1)), (Mnt, Owner::Level(2))]);
        passes(&plain(), &facts);
        facts.effective_uid = 1001;
        let [message, cause, hint] = refusal(&plain(), &facts);
        assert_eq!(message, "cannot join user namespace 50 of process 7 (test)");
        assert_eq!(cause, "we lack CAP_SYS_ADMIN in it and did not create it");
        assert_eq!(hint, "run nstool as root or as its owner (uid 1000)");
        facts.capabilities = 1 << capability::SYS_ADMIN;
        passes(&plain(), &facts);
    }

    #[test]
    fn what_our_own_user_namespace_owns_needs_our_own_capabilities() {
        let mut facts = facts(&[50], &[(Uts, Owner::Level(0))]);
        let [_, cause, hint] = refusal(&plain(), &facts);
        assert_eq!(cause, "it is owned by our own user namespace, where we lack CAP_SYS_ADMIN");
        assert!(hint.contains("leave uts out"));
        facts.candidates[0].kind = Mnt;
        facts.capabilities = 1 << capability::SYS_ADMIN;
        assert!(refusal(&plain(), &facts)[1].contains("CAP_SYS_CHROOT"));
    }

    #[test]
    fn what_another_user_namespace_owns_wants_that_joined_too() {
        let facts = facts(&[], &[(Net, Owner::Level(1))]);
        let [_, cause, hint] = refusal(&plain(), &facts);
        assert!(cause.contains("its owner, another user namespace, can give"), "{cause}");
        assert!(hint.contains("(-U)"));
        let parent = Request { user_parent: true, ..plain() };
        assert!(refusal(&parent, &facts)[2].contains("leave out --user-parent"));
    }

    #[test]
    fn what_lies_outside_cannot_be_joined() {
        let mut facts = facts(&[], &[(Net, Owner::Outside)]);
        facts.capabilities = u64::MAX;
        assert!(refusal(&plain(), &facts)[1].contains("owned by a user namespace outside our own"));
        facts.way = Way::Outside(crate::NamespaceId { ino: 9, dev: 4 });
        assert!(refusal(&plain(), &facts)[1].contains("not below our own user namespace"));
    }

    #[test]
    fn pid_namespaces_are_joined_downward_only() {
        let mut facts = facts(&[], &[(Pid, Owner::Level(0))]);
        facts.capabilities = u64::MAX;
        passes(&plain(), &facts);
        facts.candidates[0].below = false;
        assert!(refusal(&plain(), &facts)[1].contains("joined downward only"));
    }

    #[test]
    fn a_pid_namespace_without_its_init_takes_no_process() {
        let mut facts = facts(&[], &[(Pid, Owner::Level(0))]);
        facts.capabilities = u64::MAX;
        facts.candidates[0].dead = true;
        for request in [plain(), Request { no_fork: true, ..plain() }] {
            assert!(refusal(&request, &facts)[1].contains("its init (PID 1 inside) has ended"));
        }
    }

    #[test]
    fn more_than_one_thread_is_told_before_the_kernel_does() {
        for kind in [Mnt, Time] {
            let mut facts = facts(&[], &[(kind, Owner::Level(0))]);
            facts.capabilities = u64::MAX;
            facts.threads = 2;
            assert!(refusal(&plain(), &facts)[1].contains("has 2 threads"));
        }
        let mut facts = facts(&[], &[(Net, Owner::Level(0))]);
        (facts.capabilities, facts.threads) = (u64::MAX, 2);
        passes(&plain(), &facts);
    }

    #[test]
    fn an_id_that_is_not_mapped_is_refused_with_the_map() {
        let facts = facts(&[50], &[(Net, Owner::Level(1))]);
        let request = Request { uid: Some(Id::Number(33)), ..Request::default() };
        let [message, cause, _] = refusal(&request, &facts);
        assert_eq!(message, "cannot take user id 33 in process 7 (test)");
        assert!(cause.ends_with("these are: 0"), "{cause}");
    }

    #[test]
    fn changing_ids_at_home_needs_the_capability() {
        let mut facts = facts(&[], &[]);
        let request = Request { uid: Some(Id::Number(33)), gid: Some(Id::Number(33)), ..Request::default() };
        assert!(refusal(&request, &facts)[1].contains("CAP_SETGID"));
        facts.capabilities = 1 << capability::SETGID;
        assert!(refusal(&request, &facts)[1].contains("CAP_SETUID"));
    }

    #[test]
    fn a_frozen_control_group_would_freeze_us() {
        let mut facts = facts(&[], &[]);
        facts.confinement = Some(Confinement::default());
        for (version, thaw) in [(1, "THAWED"), (2, "cgroup.freeze")] {
            let path = b"/sys/fs/cgroup/box".to_vec();
            facts.cgroups = vec![CgroupFact { path, handle: 0, version, frozen: true }];
            let [_, cause, hint] = refusal(&plain(), &facts);
            assert!(cause.contains("it is paused") && hint.contains(thaw), "{cause} {hint}");
        }
    }

    #[test]
    fn a_command_that_is_nowhere_is_told_with_the_way_out() {
        assert!(absent(&plain(), &"process 7").to_string().contains("cannot start a shell: process 7 has none"));
        let request = Request { command: vec!["ls\u{1b}".into()], ..Request::default() };
        let error = absent(&request, &"process 7");
        assert!(error.to_string().contains("cannot run ls\\x1b"), "{error}");
        assert!(error.hint().unwrap().contains("leave out the mount namespace"));
    }
}
