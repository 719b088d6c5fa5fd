use super::*;
use crate::kind::NamespaceLink;
use crate::model::{Observed, Process, Suspect};

fn id(ino: u64) -> NamespaceId {
    NamespaceId { ino, dev: 4 }
}

fn namespace(kind: NamespaceKind, ino: u64, members: &[Pid], holders: &[Holder]) -> Namespace {
    Namespace {
        kind,
        id: id(ino),
        unique_id: Observed::Known(ino),
        owner: None,
        parent: None,
        creator: None,
        net_id: None,
        members: members.to_vec(),
        holders: holders.to_vec(),
    }
}

fn snapshot(namespaces: Vec<Namespace>) -> Snapshot {
    let mut pids: Vec<Pid> = namespaces.iter().flat_map(|namespace| namespace.members.clone()).collect();
    pids.sort_unstable();
    pids.dedup();
    Snapshot { namespaces, processes: pids.into_iter().map(Process::new).collect(), ..Snapshot::default() }
}

fn explained(snapshot: &Snapshot, ino: u64) -> Explanation {
    explain(snapshot, id(ino), &|_| false).unwrap()
}

#[test]
fn what_keeps_a_holder_stands_below_it_and_each_once() {
    let snapshot = snapshot(vec![
        namespace(NamespaceKind::User, 1, &[10], &[Holder::Child(id(2)), Holder::Owned(id(3)), Holder::Owned(id(4))]),
        namespace(NamespaceKind::User, 2, &[], &[Holder::Owned(id(3))]),
        namespace(NamespaceKind::Net, 3, &[10], &[Holder::Descriptor { pid: 11, tid: None, fd: 5 }]),
        namespace(NamespaceKind::Uts, 4, &[10], &[]),
    ]);
    let reasons = explained(&snapshot, 1).reasons;
    let found: Vec<_> = reasons.iter().map(|reason| (reason.parent, reason.release.clone())).collect();
    assert_eq!(
        found,
        [
            (None, Release::End(10)),
            (None, Release::Below),
            (Some(1), Release::Below),
            (Some(2), Release::End(11)),
            // Listed already, and kept by nothing but what is listed already.
            (None, Release::Elsewhere),
            (None, Release::Elsewhere),
        ]
    );
}

#[test]
fn namespaces_that_hold_one_another_are_no_endless_tale() {
    let snapshot = snapshot(vec![
        namespace(NamespaceKind::User, 1, &[], &[Holder::Child(id(2))]),
        namespace(NamespaceKind::User, 2, &[], &[Holder::Child(id(1))]),
    ]);
    assert_eq!(explained(&snapshot, 1).reasons.len(), 2);
}

#[test]
fn a_mount_is_unmounted_through_whatever_leads_there() {
    let mount = Holder::Mount { mount_namespace: id(8), ours: false, mount_point: b"/n".to_vec() };
    let net = namespace(NamespaceKind::Net, 3, &[], std::slice::from_ref(&mount));
    for (mnt, release) in [
        (namespace(NamespaceKind::Mnt, 8, &[12], &[]), Some(Some(12))),
        (namespace(NamespaceKind::Mnt, 8, &[], &[Holder::Descriptor { pid: 13, tid: None, fd: 4 }]), Some(None)),
        (
            namespace(NamespaceKind::Mnt, 8, &[], &[Holder::OpenFile { pid: 14, tid: None, fd: 4, path: Vec::new() }]),
            None,
        ),
    ] {
        let snapshot = snapshot(vec![net.clone(), mnt]);
        let reasons = explained(&snapshot, 3).reasons;
        let expected = match release {
            Some(process) => Release::Unmount {
                mount_namespace: Some(id(8)),
                process,
                with_members: false,
                mount_point: b"/n".to_vec(),
            },
            None => Release::Below,
        };
        assert_eq!(reasons[0].release, expected);
        // Where nobody lives, what keeps the mount namespace is told too.
        assert_eq!(reasons.len(), if release == Some(Some(12)) { 1 } else { 2 });
    }
}

#[test]
fn what_may_hold_a_namespace_makes_it_unsure_that_a_process_alone_does() {
    let mut process = Process::new(10);
    process.links[NamespaceLink::Own(NamespaceKind::Pid).index()] = Observed::Known(id(5));
    let mut snapshot = snapshot(vec![namespace(NamespaceKind::Pid, 5, &[10], &[])]);
    snapshot.processes = vec![process];
    let pid = |snapshot: &Snapshot| {
        let kept = kept_by(snapshot, 10, &|_| false).unwrap();
        let kept = kept.iter().find(|kept| kept.link.kind() == NamespaceKind::Pid).unwrap();
        (kept.alone, kept.suspected)
    };
    assert_eq!(pid(&snapshot), (true, false));
    for (holder, suspected) in [
        // It would go with the process.
        (Holder::Pidfd { pid: 10, tid: None, fd: 3 }, false),
        (Holder::Pidfd { pid: 11, tid: None, fd: 3 }, true),
    ] {
        snapshot.suspects = vec![Suspect { kind: NamespaceKind::Pid, holder }];
        assert_eq!(pid(&snapshot), (true, suspected));
    }
}

#[test]
fn what_cannot_be_told_is_possible_for_its_kind_alone() {
    let mut snapshot =
        snapshot(vec![namespace(NamespaceKind::Pid, 5, &[], &[]), namespace(NamespaceKind::Net, 6, &[], &[])]);
    snapshot.suspects = vec![Suspect { kind: NamespaceKind::Pid, holder: Holder::Pidfd { pid: 9, tid: None, fd: 3 } }];
    let explanation = explained(&snapshot, 5);
    assert!(!explanation.is_explained());
    assert_eq!((explanation.possible.len(), explanation.pids()), (1, vec![9]));
    assert_eq!(explained(&snapshot, 6).possible, []);
    let ours = |holder: &Holder| matches!(holder, Holder::Pidfd { .. });
    assert_eq!(explain(&snapshot, id(5), &ours).unwrap().possible, []);
    assert_eq!(explain(&snapshot, id(7), &ours), None);
}
