use super::*;
use crate::kind::NamespaceKind::{Net, Pid, User};
use std::error::Error as _;

fn create(kinds: &[NamespaceKind]) -> Action {
    Action::Create { kinds: kinds.iter().copied().collect(), child: true }
}

fn cause(action: &Action, errno: i32, scene: &Scene) -> String {
    failure(action, errno, scene).source().unwrap().to_string()
}

#[test]
fn each_refusal_to_create_has_its_own_cause() {
    let scene = Scene::default;
    for (kinds, errno, scene, expected) in [
        (&[User][..], libc::EPERM, Scene { chrooted: Some(true), ..scene() }, "chroot"),
        (&[User], libc::EPERM, Scene { unmapped: true, ..scene() }, "not mapped"),
        (&[User], libc::EPERM, Scene { userns_clone_off: true, ..scene() }, "root alone"),
        (&[User], libc::EPERM, Scene { apparmor_restricts: true, ..scene() }, "AppArmor"),
        (&[User], libc::EPERM, Scene { seccomp: true, ..scene() }, "seccomp"),
        (&[Net], libc::EPERM, scene(), "needs CAP_SYS_ADMIN"),
        (&[Net], libc::ENOSPC, Scene { limits: vec![(Net, 0)], ..scene() }, "max_net_namespaces is 0"),
        (&[User], libc::EUSERS, Scene { limits: vec![(User, 5)], ..scene() }, "user 5"),
        (&[User], libc::ENOSPC, scene(), "32 deep"),
        (&[Pid], libc::ENOSPC, Scene { deepest_pid: true, ..scene() }, "our pid namespace is nested"),
        (&[Net], libc::ENOSPC, Scene { limits: vec![(Net, 1)], ..scene() }, "a limit is reached, here (net 1)"),
        (&[User], libc::EPERM, scene(), "possible causes: a chroot"),
        (&[User], libc::EPERM, Scene { chrooted: Some(false), ..scene() }, "possible cause: a security module"),
        (&[Net], libc::EINVAL, Scene { lacking: vec![Net], ..scene() }, "no namespaces of this kind: net"),
        (&[Pid], libc::ENOMEM, scene(), "init of our pid namespace"),
    ] {
        let told = cause(&create(kinds), errno, &scene);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn root_hears_what_it_lacks_and_what_gives_it() {
    let scene = || Scene {
        root_lacks: Some(CapabilitySet::SYS_ADMIN | CapabilitySet::SETGID),
        user_namespace: Some(4_026_531_837),
        ..Scene::default()
    };
    let told = |action: &Action, scene: &Scene| {
        let error = failure(action, libc::EPERM, scene);
        format!("{}\n{}", error.source().unwrap(), error.hint().unwrap())
    };
    let net = create(&[Net]);
    let lacks = "this root lacks CAP_SYS_ADMIN in its user namespace (the initial one)";
    let outside = "start whatever confines this root";
    for (scene, expected) in [
        (scene(), &[lacks, "--map-root-user (-r)", outside][..]),
        (Scene { user_namespace: Some(7), ..scene() }, &["in its user namespace (7)"]),
        (Scene { seccomp: true, ..scene() }, &[lacks, "if the seccomp filter", outside]),
        (Scene { no_user_namespaces: true, ..scene() }, &[lacks, "\nstart whatever confines this root"]),
        (Scene { root_lacks: Some(CapabilitySet::KILL), ..scene() }, &["it needs CAP_SYS_ADMIN", "run as root"]),
    ] {
        let told = told(&net, &scene);
        assert!(expected.iter().all(|part| told.contains(part)), "{told}");
    }
    let ids = Action::SetGroup { gid: 5, drop_groups: true };
    assert!(told(&ids, &scene()).starts_with("this root lacks CAP_SETGID in"), "{}", told(&ids, &scene()));
    // In a new user namespace it has them all, and the reason is another one.
    assert!(told(&ids, &Scene { new_user: true, ..scene() }).starts_with(CHANGING_IDS));
}

#[test]
fn nothing_is_claimed_that_is_not_known() {
    let error = failure(&create(&[Net]), libc::EPERM, &Scene { admin: true, ..Scene::default() });
    assert_eq!(error.source().unwrap().to_string(), io::Error::from_raw_os_error(libc::EPERM).to_string());
    assert_eq!(error.hint(), None);
}

#[test]
fn a_limit_of_processes_also_stops_what_helps() {
    let limit = "a limit of processes is reached (";
    assert!(no_guardian(io::Error::from_raw_os_error(libc::EAGAIN)).source().unwrap().to_string().starts_with(limit));
    let other = no_guardian(io::Error::from_raw_os_error(libc::EMFILE));
    assert!(!other.source().unwrap().to_string().contains("processes"));
    let keep = Action::Persist(Net, "/run/x".into());
    assert!(cause(&keep, libc::EAGAIN, &Scene::default()).starts_with(limit));
    let group = Action::MakeCgroup("/x".into());
    assert!(cause(&group, libc::EAGAIN, &Scene::default()).contains("or one of processes"));
}

#[test]
fn mounting_tells_what_is_in_the_way() {
    let target = || super::super::TargetPath::new(b"/proc").unwrap();
    let proc = Action::Operate(Operation::Proc { target: target() });
    let masked = Scene { proc_masked: true, ..Scene::default() };
    assert!(cause(&proc, libc::EPERM, &masked).contains("covered"));
    assert!(cause(&proc, libc::EPERM, &Scene::default()).contains("pid namespace"));
    assert!(cause(&proc, libc::EROFS, &masked).contains("read-only"));
    let bind = Action::Operate(Operation::Bind { source: c"/x".to_owned(), target: target(), read_only: false });
    for action in [&proc, &bind] {
        assert!(cause(action, libc::EACCES, &masked).starts_with("possible causes: "));
        assert!(cause(action, libc::EMFILE, &masked).contains("each source"));
    }
    // In a user namespace of its own it may mount.
    let plain = io::Error::from_raw_os_error(libc::EPERM).to_string();
    assert!(cause(&bind, libc::EPERM, &Scene::default()).contains("CAP_SYS_ADMIN"));
    assert_eq!(cause(&bind, libc::EPERM, &Scene { new_user: true, ..Scene::default() }), plain);
    let pivot = Action::ChangeRoot { pivot: true };
    let initramfs = Scene { initial_root: true, ..Scene::default() };
    assert!(cause(&pivot, libc::EINVAL, &initramfs).contains("initramfs"));
    assert!(cause(&pivot, libc::EINVAL, &Scene::default()).contains("shared"));
}
