//! Plans of every sort, step by step.

use super::super::facts::{Facts, IdFacts};
use super::super::idmap::{MapSpec, SubidBlock};
use super::super::request::{Ids, Request, Root};
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
    let expected = ["o start a child", "o join the control group /cg", "i create namespaces: cgroup", "c exec true"];
    assert_eq!(steps(&Request { fork: true, ..asked }, &root()), expected);
}

#[test]
fn the_command_stays_outside_a_pid_namespace_also_where_it_is_a_child() {
    let asked = Request { no_fork: true, persist: vec![(Net, "/kept".into())], ..request(&[Net, Pid]) };
    let expected = [
        "o start a child in new namespaces: net",
        "i create namespaces: pid",
        "o bind the net namespace to /kept",
        "c exec true",
    ];
    assert_eq!(steps(&asked, &root()), expected);
}

#[test]
fn a_control_group_is_made_first_and_wants_a_child_that_is_waited_for() {
    let asked = Request { cgroup: Some("/cg".into()), ..request(&[Uts]) };
    let facts = Facts { makes_cgroup: true, ..root() };
    let expected = [
        "o make the control group /cg",
        "o start a child in new namespaces: uts",
        "o join the control group /cg",
        "c exec true",
    ];
    assert_eq!(steps(&asked, &facts), expected);
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
    let asked = Request { propagation: Some(Propagation::Unchanged), operations: vec![proc], ..request(&[Mnt, Pid]) };
    let warnings = |request: &Request| Plan::new(request, &facts).unwrap().warnings;
    assert!(warnings(&asked)[0].contains("/proc lies on the mount /, which is shared"));
    let own = Request { kinds: asked.kinds.with(User), ..asked.clone() };
    assert!(warnings(&own).is_empty(), "its copies are slaves");
    assert!(warnings(&Request { propagation: None, ..asked }).is_empty());
    let kept = Request { groups: ids(Some(0), &[]), group: Some(0), ..request(&[User]) };
    assert!(warnings(&kept)[0].contains("2 supplementary groups stay"));
}

#[test]
fn in_place_the_process_forks_only_when_asked_to_and_what_is_born_with_a_child_is_kept_then() {
    let whole = Request {
        in_place: true,
        users: ids(None, &[MapSpec::Auto]),
        groups: ids(Some(0), &[]),
        persist: vec![(Pid, "/run/p".into())],
        monotonic_seconds: Some(3),
        proc: Some(c"/proc".to_owned()),
        group: Some(0),
        ..request(&[User, Mnt, Pid, Time])
    };
    let first = [
        "i create namespaces: mnt pid time user",
        "o write uid_map: 0 100000 65536 (with newuidmap)",
        "i set the monotonic clock off by 3 s",
    ];
    let last = [
        "o bind the pid namespace to /run/p",
        "i deny setgroups",
        "i write gid_map: 0 1000 1",
        "i make all mounts private",
        "i mount proc on /proc",
        "c become gid 0 without supplementary groups",
        "c exec true",
    ];
    assert_eq!(steps(&whole, &ordinary()), [&first[..], &last].concat());
    let forked = Request { fork: true, ..whole };
    assert_eq!(steps(&forked, &ordinary()), [&first[..], &["i go on as a child"], &last].concat());
}

#[test]
fn in_place_the_owner_comes_first_and_what_takes_a_child_of_another_making_is_refused() {
    let owned = Request { in_place: true, owner: Some((5, 60)), users: ids(None, &[MapSpec::All]), ..request(&[User]) };
    let facts = Facts {
        users: IdFacts { map: vec![super::super::idmap::IdRange { inner: 0, outer: 0, count: 10 }], ..root().users },
        ..root()
    };
    let expected = ["i become uid 5, gid 60, to own the user namespace", "i create namespaces: user"];
    assert_eq!(steps(&owned, &facts)[..2], expected);
    let init = Request { init: true, ..owned };
    assert!(Plan::new(&init, &facts).unwrap_err().to_string().contains("made with the namespaces"));
}
