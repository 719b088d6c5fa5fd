//! The engine without a kernel: what the oracle (tests/mounts/oracle.rs) cannot make, such as tables that contradict
//! themselves.

use proptest::prelude::*;

use super::*;
use crate::id::NamespaceId;
use crate::model::{MountTable, Observed};
use crate::proc::mountinfo;

/// Makes a table of lines of mountinfo.
fn table(ino: u64, owner: u64, lines: &str) -> MountTable {
    let parsed = mountinfo::parse(lines.as_bytes());
    assert_eq!(parsed.malformed, 0, "{lines}");
    MountTable {
        namespace: NamespaceId { ino, dev: 4 },
        owner: Observed::Known(NamespaceId { ino: owner, dev: 4 }),
        processes: Vec::new(),
        mounts: parsed.mounts,
        partial: false,
        malformed: 0,
    }
}

const INITIAL: u64 = 0xEFFF_FFFD;

#[test]
fn a_group_out_of_sight_is_walked_through_where_the_kernel_names_the_one_above() {
    let tables = [
        table(1, INITIAL, "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /m rw shared:1 - tmpfs m rw"),
        table(2, INITIAL, "3 0 0:1 / / rw - ext4 a rw\n4 3 0:2 / /m rw master:9 propagate_from:1 - tmpfs m rw"),
        table(3, INITIAL, "5 0 0:1 / / rw - ext4 a rw\n6 5 0:2 / /m rw master:8 - tmpfs m rw"),
    ];
    let forest = Forest::new(&tables);
    let groups = Groups::of(&forest);
    let place = forest.resolve(0, b"/m/x").unwrap();
    let prediction = forest.attach(&groups, &What::New, &place).unwrap();
    let arrived: Vec<usize> =
        prediction.arrivals.iter().map(|arrival| prediction.after.node(arrival.top).namespace).collect();
    assert_eq!(arrived, [0, 1]);
    // Of group 8 nobody knows anything, and that is said.
    assert_eq!(groups.unseen(), [GroupId::Known(8)]);
    let reach = |namespace| forest.reaches(&groups, &place, &prediction, namespace);
    assert_eq!(reach(2), Reach::No(Break::Unknown));
    assert_eq!(reach(1), Reach::Yes(vec![1]));
}

#[test]
fn what_was_there_when_a_namespace_was_copied_for_another_user_is_locked() {
    let mut tables = [table(
        1,
        7,
        "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /m rw master:1 - tmpfs m rw\n3 1 0:3 / /own rw - tmpfs o rw\n\
         4 3 0:4 / /own/in rw master:2 - tmpfs i rw",
    )];
    for (mount, id) in tables[0].mounts.iter_mut().zip([100, 101, 110, 120]) {
        mount.unique_id = Some(id);
    }
    let locks = |tables: &[MountTable]| {
        let forest = Forest::new(tables);
        forest.mounts().map(|mount| forest.node(mount).lock).collect::<Vec<_>>()
    };
    assert_eq!(locks(&tables), [Lock::No, Lock::Yes, Lock::No, Lock::Maybe]);
    tables[0].mounts.iter_mut().for_each(|mount| mount.unique_id = None);
    assert_eq!(locks(&tables), [Lock::No, Lock::Maybe, Lock::Maybe, Lock::Maybe]);
    tables[0].owner = Observed::Known(NamespaceId { ino: INITIAL, dev: 4 });
    assert_eq!(locks(&tables), [Lock::No; 4]);
}

#[test]
fn only_what_both_show_is_exchanged() {
    let tables = [
        table(1, INITIAL, "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 /a /m rw shared:1 - tmpfs m rw"),
        table(2, INITIAL, "3 0 0:1 / / rw - ext4 a rw\n4 3 0:2 /b /m rw shared:1 - tmpfs m rw"),
        table(3, INITIAL, "5 0 0:1 / / rw - ext4 a rw\n6 5 0:2 /a/c /m rw master:1 - tmpfs m rw"),
    ];
    let forest = Forest::new(&tables);
    let groups = Groups::of(&forest);
    let with = |namespace: usize| {
        let exchanges = forest.exchanges_of(&groups, namespace);
        let parties = exchanges.iter().flat_map(|exchange| &exchange.parties);
        parties.map(|party| (forest.node(party.mount).namespace, party.direction)).collect::<Vec<_>>()
    };
    assert_eq!(with(0), [(2, Direction::Sends)]);
    assert_eq!(with(1), []);
    assert_eq!(with(2), [(0, Direction::Receives)]);
}

/// Lines that may contradict each other in every way.
fn any_table() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "/b", "/a//deleted", "net:[7]"]);
    let group = prop::option::of(1u32..5);
    let line = (1u32..8, 0u32..8, 0u32..3, path.clone(), path, group.clone(), group.clone(), group);
    prop::collection::vec(line, 0..12).prop_map(|lines| {
        let tag = |name: &str, group: Option<u32>| group.map_or(String::new(), |group| format!(" {name}:{group}"));
        let lines = lines.into_iter().map(|(id, parent, device, root, point, shared, master, from)| {
            let tags = [tag("shared", shared), tag("master", master), tag("propagate_from", from)].concat();
            format!("{id} {parent} 0:{device} {root} {point} rw{tags} - tmpfs x rw")
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

proptest! {
    #[test]
    fn tables_that_contradict_themselves_are_answered_all_the_same(
        lines in prop::collection::vec(any_table(), 1..4),
        path in prop::sample::select(vec![&b"/"[..], b"/a", b"/a/b/c", b"/b"]),
        lazy: bool,
    ) {
        let tables: Vec<_> = lines.iter().zip(1..).map(|(lines, ino)| table(ino, ino, lines)).collect();
        let forest = Forest::new(&tables);
        let groups = Groups::of(&forest);
        forest.circles(&groups);
        diff(&forest, 0, tables.len() - 1);
        connections(&forest, &groups, 0, tables.len() - 1);
        for mount in forest.mounts() {
            forest.covered_by(mount);
            groups.ancestors(forest.node(mount).shared.unwrap_or(GroupId::Known(1)));
            let _ = forest.unmount(&groups, mount, lazy);
        }
        if let Some(place) = forest.resolve(0, path) {
            let source = forest.resolve(0, b"/a").unwrap();
            let whats = [
                What::New,
                What::Bind(source.clone()),
                What::BindTree(source.clone()),
                What::Move(source.mount),
            ];
            for what in whats {
                if let Ok(prediction) = forest.attach(&groups, &what, &place) {
                    prop_assert!(!prediction.arrivals.is_empty());
                    forest.reaches(&groups, &place, &prediction, tables.len() - 1);
                }
            }
        }
    }
}
