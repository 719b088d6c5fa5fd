//! The oracle: what `why` lists is released, and then the kernel must say that the namespace is gone; with one holder
//! left it must not be.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use nstool::NamespaceKind;
use serde_json::Value;

use super::world::{self, Holder, Way};
use crate::common::handle::Handle;
use crate::common::{nstool, stdout_of};

/// Numbers that look random and come back with the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64 (Marsaglia, 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// How many combinations: NSTOOL_WHY_COMBINATIONS, for a long run.
fn combinations() -> u64 {
    let number = std::env::var("NSTOOL_WHY_COMBINATIONS").ok().and_then(|number| number.parse().ok());
    number.unwrap_or(200)
}

#[test]
fn releasing_all_that_is_listed_ends_a_namespace_and_all_but_one_does_not() {
    crate::need_root!();
    crate::need!("unshare", "nsenter", "mount", "sleep");
    let own = world::open("/proc/self/ns/net");
    if Handle::of(own).is_none() {
        return crate::common::skip("needs file handles of namespaces (Linux 6.18)");
    }
    let first = std::env::var("NSTOOL_WHY_FIRST").ok().and_then(|number| number.parse().ok()).unwrap_or(0);
    // The kernel takes its time to tear namespaces down, so four at a time.
    let next = AtomicU64::new(first);
    let work = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        numbers.take_while(|number| *number < first + combinations()).for_each(try_combination);
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| world::in_private_mounts(work)))));
}

/// Holds a namespace in several ways, and lets go of it as nstool says.
fn try_combination(number: u64) {
    let mut random = Random((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let kind = NamespaceKind::ALL[random.below(NamespaceKind::COUNT)];
    let all = world::ways(kind);
    let mut chosen: Vec<Way> = all.iter().copied().filter(|_| random.below(2) == 0).collect();
    if chosen.is_empty() {
        chosen.push(all[random.below(all.len())]);
    }
    let context = format!("combination {number}: {kind} held by {chosen:?}");

    let first = world::make(kind);
    let namespace = world::namespace_of(&first, kind);
    let ino = std::fs::File::from(namespace.try_clone().unwrap()).metadata().unwrap().ino();
    let handle = Handle::of(&namespace).unwrap();
    drop(namespace);
    let others = chosen.iter().filter(|way| **way != Way::FirstMember);
    let mut holders: Vec<Holder> = others.map(|way| world::hold(&first, kind, *way)).collect();
    if chosen.contains(&Way::FirstMember) {
        holders.push(first);
    } else {
        drop(first);
    }

    let answer = listed(ino, &context);
    for holder in &holders {
        assert!(has(&answer, holder), "{context}: no {:?} in {answer:#?}", holder.way);
    }
    let spared = random.below(holders.len());
    for (index, holder) in holders.iter_mut().enumerate() {
        if index != spared {
            holder.release();
        }
    }
    let context = format!("{context}, but {:?} was released", holders[spared].way);
    let answer = listed(ino, &context);
    for (index, holder) in holders.iter().enumerate() {
        assert_eq!(has(&answer, holder), index == spared, "{context}: {answer:#?}");
    }
    assert!(handle.is_alive(), "{context}: it is gone all the same");
    holders[spared].release();
    // Whoever else is looking around holds it meanwhile, and is listed; nothing but that may explain that it is there.
    let mut answer = Vec::new();
    let gone = (0..5).any(|_| {
        handle.wait_until_gone() || {
            answer = try_listed(ino, &context).unwrap_or_default();
            answer.is_empty()
        }
    });
    assert!(gone && !handle.is_alive(), "{context}, and then that too: it is still there: {answer:#?}");
}

/// Tells whether a holder is among those listed.
fn has(listed: &[Value], holder: &Holder) -> bool {
    listed.iter().any(|entry| holder.is(entry))
}

/// Returns all that nstool lists, however deep, also what it says is possible.
fn listed(ino: u64, context: &str) -> Vec<Value> {
    // Nothing need lead to the namespace: the kernel's ids do.
    try_listed(ino, context).unwrap_or_else(|| panic!("{context}: it was not found"))
}

fn try_listed(ino: u64, context: &str) -> Option<Vec<Value>> {
    let output = nstool().args(["why", "--json", &format!("ns:{ino}")]).output().unwrap();
    if !output.status.success() {
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("no such namespace"), "{context}: {error}");
        return None;
    }
    let answer: Value = serde_json::from_str(&stdout_of(output)).unwrap();
    let mut found = Vec::new();
    let mut waiting = vec![answer["kept_by"].clone(), answer["possibly"].clone()];
    while let Some(list) = waiting.pop() {
        for entry in list.as_array().into_iter().flatten() {
            waiting.push(entry["kept_by"].clone());
            found.push(entry.clone());
        }
    }
    Some(found)
}
