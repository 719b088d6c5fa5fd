//! The engine against the kernel: random topologies, each mount, bind, move and unmount predicted, then made, then
//! compared in every namespace.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use nstool::discover::MountTables;
use nstool::propagation::{Forest, GroupId, Groups, Lock, MountRef, Place, Prediction, Refusal, What};

use super::lab::{self, Lab};
use super::tally::{Random, Tally};
use crate::common::*;
use crate::need_root;

/// How many steps a topology is built of.
const STEPS: usize = 30;

struct Experiment {
    lab: Lab,
    random: Random,
    tally: Tally,
    /// Unique ids of mounts that are known to be locked.
    locked: HashSet<u64>,
    /// For each namespace, a directory that stands for a process's root there.
    roots: Vec<Option<OwnedFd>>,
    /// Trees that are mounted nowhere.
    detached: Vec<OwnedFd>,
    log: Vec<String>,
}

/// A directory an operation names: as the kernel finds it, and as it stands in the forest.
struct Spot {
    /// What to call it, where the thread is.
    path: PathBuf,
    place: Place,
}

impl Experiment {
    fn new(path: &Path, seed: u64) -> Self {
        let mut random = Random(seed);
        // Where everything is private there is little to see.
        let shared = random.below(4) != 0;
        Self {
            lab: Lab::open(path, shared),
            random,
            tally: Tally { topologies: 1, ..Tally::default() },
            locked: HashSet::new(),
            roots: vec![None],
            detached: Vec::new(),
            log: vec![format!("seed {seed}")],
        }
    }

    fn wrong(&self, what: &str) -> ! {
        panic!("the prediction is wrong: {what}\n{}", self.log.join("\n"));
    }

    fn random_path(&mut self) -> PathBuf {
        let mut path = PathBuf::new();
        for _ in 0..self.random.below(4) {
            path.push(if self.random.below(2) == 0 { "a" } else { "b" });
        }
        path
    }

    /// Makes a forest with the locks as they are known.
    fn forest<'a>(&mut self, tables: &'a MountTables) -> Forest<'a> {
        let mut forest = Forest::new(&tables.tables);
        let initial = tables.tables[0].owner;
        for mount in forest.mounts() {
            let id = forest.mount(mount).unwrap().unique_id.unwrap();
            let locked = self.locked.contains(&id);
            match (forest.node(mount).lock, locked) {
                // Only by joining a namespace of another user namespace and cloning it as root.
                (Lock::No, true) if forest.tables()[forest.node(mount).namespace].owner == initial => {}
                (Lock::Maybe, _) => self.tally.locks_open += 1,
                (Lock::Yes, true) | (Lock::No, false) => self.tally.locks_right += 1,
                _ => self.tally.locks_wrong += 1,
            }
            forest.set_lock(mount, if locked { Lock::Yes } else { Lock::No });
        }
        forest
    }

    /// Finds a random directory in a namespace, and checks that the forest finds it as well. `None`: it is not there.
    fn spot(&mut self, forest: &Forest<'_>, namespace: usize) -> Option<Spot> {
        (0..8).find_map(|_| {
            let relative = self.random_path();
            self.spot_at(forest, namespace, &relative)
        })
    }

    /// The same, but the root of a mount.
    fn mount_spot(&mut self, forest: &Forest<'_>, namespace: usize) -> Option<Spot> {
        (0..8).find_map(|_| {
            let spot = self.spot(forest, namespace)?;
            (spot.place.inside == *forest.node(spot.place.mount).root).then_some(spot)
        })
    }

    fn spot_at(&mut self, forest: &Forest<'_>, namespace: usize, relative: &Path) -> Option<Spot> {
        let chrooted = self.roots[namespace].is_some();
        let path = if chrooted { Path::new("/").join(relative) } else { self.lab.path.join(relative) };
        self.lab.enter(namespace, self.roots[namespace].as_ref().map(AsFd::as_fd));
        let opened = lab::open(&path);
        self.lab.leave();
        let fd = opened.ok()?;
        let id = lab::mount_id(&fd);
        let mount = forest.mounts_of(namespace).find(|mount| forest.mount(*mount).unwrap().unique_id == Some(id))?;
        let full = lab::path_of(&fd);
        let full = full.as_os_str().as_encoded_bytes();
        let place = forest.place_below(mount, full).unwrap();
        if !chrooted {
            let found = forest.resolve(namespace, full).unwrap();
            if found != place {
                self.wrong(&format!("{} leads to {found:?}, not to {place:?}", path.display()));
            }
        }
        Some(Spot { path, place })
    }

    fn act<T>(&self, namespace: usize, act: impl FnOnce(&Lab) -> T) -> T {
        self.lab.enter(namespace, self.roots[namespace].as_ref().map(AsFd::as_fd));
        let result = act(&self.lab);
        self.lab.leave();
        result
    }

    fn step(&mut self) {
        let namespace = self.random.below(self.lab.namespaces.len());
        let tables = self.lab.tables();
        let forest = self.forest(&tables);
        let groups = Groups::of(&forest);
        match self.random.below(40) {
            0..8 => self.attach(&forest, &groups, namespace, 0),
            8..15 => self.attach(&forest, &groups, namespace, 1),
            15..18 => self.attach(&forest, &groups, namespace, 2),
            18..20 => self.attach(&forest, &groups, namespace, 3),
            20..27 => self.change(&forest, namespace),
            27..34 => self.unmount(&forest, &groups, namespace),
            34..36 if self.lab.namespaces.len() < 5 => self.clone(&forest, namespace, false),
            36 if self.lab.namespaces.len() < 5 => self.clone(&forest, namespace, true),
            37 => self.chroot(&forest, namespace),
            38 => self.detach(&forest, namespace),
            _ => {}
        }
    }

    fn attach(&mut self, forest: &Forest<'_>, groups: &Groups, namespace: usize, way: usize) {
        let Some(to) = self.spot(forest, namespace) else { return };
        let from = if way == 0 || self.random.below(2) == 0 {
            self.spot(forest, namespace)
        } else {
            self.mount_spot(forest, namespace)
        };
        let Some(from) = from else { return };
        let what = match way {
            0 => What::New,
            1 => What::Bind(from.place.clone()),
            2 => What::BindTree(from.place.clone()),
            // mount(8) refuses what is no mount point.
            _ if from.place.inside != *forest.node(from.place.mount).root => return,
            _ => What::Move(from.place.mount),
        };
        let tree_limit = match &what {
            What::BindTree(_) | What::Move(_) => forest.tables()[namespace].mounts.len() > 60,
            _ => forest.tables().iter().map(|table| table.mounts.len()).sum::<usize>() > 1000,
        };
        // Binds of binds double; what is tested does not get any richer by it.
        if tree_limit {
            return;
        }
        self.log.push(format!("in {namespace}: {what:?} {:?} -> {:?} {:?}", from.path, to.path, to.place));
        let predicted = forest.attach(groups, &what, &to.place);
        let result = self.act(namespace, |lab| match way {
            0 => lab.mount_tmpfs(&to.path),
            1 => lab.bind(&from.path, &to.path, false),
            2 => lab.bind(&from.path, &to.path, true),
            _ => lab.move_mount(&from.path, &to.path),
        });
        match (predicted, result) {
            (Ok(prediction), Ok(())) => {
                self.compare_arrivals(forest, groups, &prediction);
                if way == 3 {
                    self.tally.moves += 1;
                } else {
                    self.tally.mounts += 1;
                }
            }
            (Err(refusal), Err(errno)) if refusal.errno() == errno as i32 => self.tally.refused += 1,
            (predicted, result) => {
                let predicted = predicted.map(|prediction| prediction.arrivals);
                self.wrong(&format!("{predicted:?} was expected, and the kernel said {result:?}"));
            }
        }
    }

    fn compare_arrivals(&mut self, before: &Forest<'_>, groups: &Groups, prediction: &Prediction<'_>) {
        let tables = self.lab.tables();
        let actual = Forest::new(&tables.tables);
        let expected = &prediction.after;
        let incomplete = !groups.unseen().is_empty();
        let map = self.map(before, expected, &actual);
        if incomplete && (map.len() != actual.mounts().count()) {
            self.tally.incomplete += 1;
        } else if map.len() != actual.mounts().count() {
            let known: HashSet<MountRef> = map.values().copied().collect();
            let extra: Vec<_> = actual.mounts().filter(|mount| !known.contains(mount)).collect();
            let extra: Vec<_> =
                extra.iter().map(|mount| (mount, actual.node(*mount).namespace, show(&actual, *mount))).collect();
            self.wrong(&format!("the kernel has more: {extra:?}"));
        }
        self.compare_groups(before, expected, &actual, &map);
        for arrival in &prediction.arrivals {
            let node = expected.node(arrival.top);
            let path = expected.mount_point(arrival.top);
            let path = Path::new(OsStr::from_bytes(&path));
            self.lab.enter(node.namespace, None);
            let landed = lab::open(path).map(lab::mount_id);
            self.lab.leave();
            let id = actual.mount(map[&arrival.top]).unwrap().unique_id;
            let visible = landed.ok() == id;
            if visible != arrival.covered_by.is_none() {
                self.wrong(&format!("{path:?} in {} is covered by {:?}", node.namespace, arrival.covered_by));
            }
            self.tally.hidden += usize::from(!visible);
            self.tally.lifted += usize::from(arrival.lifted.is_some());
        }
        self.tally.elsewhere += prediction.arrivals.len() - 1;
        self.learn_locks(expected, &actual, &map);
    }

    fn learn_locks(&mut self, expected: &Forest<'_>, actual: &Forest<'_>, map: &HashMap<MountRef, MountRef>) {
        for (mount, real) in map {
            if expected.node(*mount).lock == Lock::Yes {
                self.locked.insert(actual.mount(*real).unwrap().unique_id.unwrap());
            }
        }
    }

    /// Finds every expected mount among the actual ones, and checks where it hangs.
    fn map(&self, before: &Forest<'_>, expected: &Forest<'_>, actual: &Forest<'_>) -> HashMap<MountRef, MountRef> {
        let ids: HashMap<u64, MountRef> =
            actual.mounts().map(|mount| (actual.mount(mount).unwrap().unique_id.unwrap(), mount)).collect();
        let mut map: HashMap<MountRef, MountRef> = HashMap::new();
        for mount in before.mounts() {
            let id = before.mount(mount).unwrap().unique_id.unwrap();
            match ids.get(&id) {
                Some(real) => drop(map.insert(mount, *real)),
                None => self.wrong(&format!("{} is gone", show(before, mount))),
            }
        }
        for mount in expected.mounts() {
            let node = expected.node(mount);
            if !map.contains_key(&mount) {
                let parent = map[&node.parent.unwrap()];
                match actual.child_at(parent, &node.at) {
                    Some(real) if !map.values().any(|known| *known == real) => drop(map.insert(mount, real)),
                    other => self.wrong(&format!("{} did not appear: {other:?}", show(expected, mount))),
                }
            }
        }
        for mount in expected.mounts() {
            let node = expected.node(mount);
            let real = actual.node(map[&mount]);
            let same = real.parent == node.parent.map(|parent| map[&parent])
                && real.at == node.at
                && real.root == node.root
                && real.namespace == node.namespace
                && real.unbindable == node.unbindable
                && node.device.is_none_or(|device| real.device == Some(device));
            if !same {
                self.wrong(&format!("{} is {}", show(expected, mount), show(actual, map[&mount])));
            }
        }
        map
    }

    /// Checks the type of every mount: the same groups where they are known, one to one where they are new.
    fn compare_groups(
        &self,
        before: &Forest<'_>,
        expected: &Forest<'_>,
        actual: &Forest<'_>,
        map: &HashMap<MountRef, MountRef>,
    ) {
        let old: HashSet<GroupId> = Groups::of(before).all().into_iter().collect();
        let mut new: HashMap<GroupId, GroupId> = HashMap::new();
        for mount in expected.mounts() {
            let (node, real) = (expected.node(mount), actual.node(map[&mount]));
            for (expected_group, real_group) in [(node.shared, real.shared), (node.master, real.master)] {
                let same = match (expected_group, real_group) {
                    (Some(group @ GroupId::New(_)), Some(real)) => {
                        !old.contains(&real) && *new.entry(group).or_insert(real) == real
                    }
                    (expected, real) => expected == real,
                };
                if !same {
                    self.wrong(&format!("{} is {}", show(expected, mount), show(actual, map[&mount])));
                }
            }
        }
        let distinct: HashSet<GroupId> = new.values().copied().collect();
        if distinct.len() != new.len() {
            self.wrong(&format!("groups fell together: {new:?}"));
        }
    }

    fn change(&mut self, forest: &Forest<'_>, namespace: usize) {
        let Some(spot) = self.mount_spot(forest, namespace) else { return };
        let flags = match self.random.below(8) {
            0..4 => MsFlags::MS_SHARED,
            4..6 => MsFlags::MS_SLAVE,
            6 => MsFlags::MS_PRIVATE,
            _ => MsFlags::MS_UNBINDABLE,
        };
        let recursive = if self.random.below(4) == 0 { MsFlags::MS_REC } else { MsFlags::empty() };
        self.log.push(format!("in {namespace}: {:?} {:?}", flags | recursive, spot.path));
        self.act(namespace, |lab| lab.change(&spot.path, flags | recursive)).unwrap();
    }

    fn unmount(&mut self, forest: &Forest<'_>, groups: &Groups, namespace: usize) {
        // A root elsewhere keeps its mount busy.
        self.roots.iter_mut().for_each(|root| *root = None);
        let Some(spot) = self.mount_spot(forest, namespace) else { return };
        let node = forest.node(spot.place.mount);
        // The laboratory itself stays.
        let parent = forest.mount_point(node.parent.unwrap());
        let is_lab = !parent.starts_with(self.lab.path.as_os_str().as_encoded_bytes());
        if is_lab {
            return;
        }
        let lazy = self.random.below(3) == 0;
        self.log.push(format!("in {namespace}: umount lazy={lazy} {:?} {:?}", spot.path, spot.place));
        let predicted = forest.unmount(groups, spot.place.mount, lazy);
        let attempt = || self.act(namespace, |lab| lab.unmount(&spot.path, lazy));
        // Whoever looks at our descriptors at this moment, as other tests do, keeps what they lead to busy.
        let result = match &predicted {
            Ok(_) => try_eventually(|| Some(attempt()).filter(|result| *result != Err(nix::Error::EBUSY))),
            Err(_) => None,
        };
        let result = result.unwrap_or_else(attempt);
        match (predicted, result) {
            (Ok(prediction), Ok(())) => {
                let tables = self.lab.tables();
                let actual = Forest::new(&tables.tables);
                let gone: HashSet<MountRef> = prediction.goes.iter().map(|gone| gone.mount).collect();
                let ids: HashMap<u64, MountRef> =
                    actual.mounts().map(|mount| (actual.mount(mount).unwrap().unique_id.unwrap(), mount)).collect();
                let real = |mount: MountRef| ids.get(&forest.mount(mount).unwrap().unique_id.unwrap()).copied();
                let wrong = forest.mounts().find(|mount| gone.contains(mount) != real(*mount).is_none());
                if let Some(mount) = wrong.filter(|_| groups.unseen().is_empty()) {
                    let stays = &prediction.stays;
                    self.wrong(&format!("{} is gone: {}; {stays:?}", show(forest, mount), real(mount).is_none()));
                }
                if wrong.is_some() {
                    self.tally.incomplete += 1;
                    return;
                }
                for mount in forest.mounts().filter(|mount| !gone.contains(mount)) {
                    let (node, there) = (prediction.after.node(mount), actual.node(real(mount).unwrap()));
                    if there.parent != node.parent.and_then(real) || there.at != node.at {
                        self.wrong(&format!("{} hangs elsewhere", show(&prediction.after, mount)));
                    }
                }
                for mount in forest.mounts().filter(|mount| prediction.after.node(*mount).lock == Lock::No) {
                    self.locked.remove(&forest.mount(mount).unwrap().unique_id.unwrap());
                }
                self.tally.unmounts += 1;
                self.tally.elsewhere += gone.len() - 1;
                self.tally.stayed += prediction.stays.len();
            }
            (Err(refusal), Err(errno)) if refusal.errno() == errno as i32 => self.tally.refused += 1,
            (predicted, result) => {
                let predicted: Result<_, Refusal> = predicted.map(|prediction| prediction.goes);
                self.wrong(&format!("{predicted:?} was expected, and the kernel said {result:?}"));
            }
        }
    }

    fn clone(&mut self, forest: &Forest<'_>, namespace: usize, user: bool) {
        self.log.push(format!("clone {namespace}, user={user}"));
        self.lab.enter(namespace, None);
        if user {
            self.lab.clone_namespace_for_user();
        } else {
            self.lab.clone_namespace();
        }
        self.lab.leave();
        self.roots.push(None);
        self.tally.clones += 1;
        let tables = self.lab.tables();
        let actual = Forest::new(&tables.tables);
        let new = actual.tables().len() - 1;
        // The copies hang as what they are copies of.
        let same_owner = actual.tables()[new].owner == forest.tables()[namespace].owner;
        let mut queue = vec![(forest.root_of(namespace).unwrap(), actual.root_of(new).unwrap())];
        let mut found = 0;
        while let Some((original, copy)) = queue.pop() {
            found += 1;
            let (node, real) = (forest.node(original), actual.node(copy));
            let expected = match (same_owner, node.shared) {
                (false, Some(group)) => (None, Some(group)),
                _ => (node.shared, node.master),
            };
            if expected != (real.shared, real.master) {
                self.wrong(&format!("the copy of {} is {}", show(forest, original), show(&actual, copy)));
            }
            if !same_owner || node.lock == Lock::Yes {
                self.locked.insert(actual.mount(copy).unwrap().unique_id.unwrap());
            }
            for child in forest.mounts_of(namespace).filter(|child| forest.node(*child).parent == Some(original)) {
                match actual.child_at(copy, &forest.node(child).at) {
                    Some(copy) => queue.push((child, copy)),
                    None => self.wrong(&format!("{} has no copy", show(forest, child))),
                }
            }
        }
        assert_eq!(found, actual.mounts_of(new).count());
    }

    /// Checks that statmount(2) and mountinfo tell the same about every namespace.
    fn compare_readings(&self) {
        let told = self.lab.tables();
        for (namespace, table) in told.tables.into_iter().enumerate() {
            self.lab.enter(namespace, None);
            let text = std::fs::read("/proc/thread-self/mountinfo").unwrap();
            self.lab.leave();
            let parsed = nstool::proc::mountinfo::parse(&text);
            assert_eq!(parsed.malformed, 0);
            let mut mounts = table.mounts;
            mounts.iter_mut().for_each(|mount| mount.unique_id = None);
            // statmount(2) does not tell it of another namespace than the caller's (Linux 6.18).
            let mut parsed = parsed.mounts;
            parsed.iter_mut().for_each(|mount| mount.propagate_from = None);
            if mounts != parsed {
                let pair = mounts.iter().zip(&parsed).find(|(told, parsed)| told != parsed);
                self.wrong(&format!("statmount and mountinfo differ: {pair:#?}"));
            }
        }
    }

    fn chroot(&mut self, forest: &Forest<'_>, namespace: usize) {
        self.roots[namespace] = None;
        let relative = self.random_path();
        if self.spot_at(forest, namespace, &relative).is_none() || self.random.below(3) == 0 {
            return;
        }
        self.log.push(format!("chroot {namespace} {relative:?}"));
        let path = self.lab.path.join(relative);
        self.roots[namespace] = self.act(namespace, |_| lab::open(&path)).ok();
    }

    /// Keeps a copy of a tree that is mounted nowhere: it is in its original's peer group and relays events.
    fn detach(&mut self, forest: &Forest<'_>, namespace: usize) {
        use rustix::mount::OpenTreeFlags;
        let Some(spot) = self.spot(forest, namespace) else { return };
        self.log.push(format!("in {namespace}: detached copy of {:?}", spot.path));
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let opened = self.act(namespace, |_| rustix::mount::open_tree(rustix::fs::CWD, &spot.path, flags));
        self.detached.extend(opened);
    }
}

fn show(forest: &Forest<'_>, mount: MountRef) -> String {
    let node = forest.node(mount);
    format!(
        "{mount:?} {} in {} shared {:?} master {:?} root {} on {:?} at {}",
        String::from_utf8_lossy(&forest.mount_point(mount)),
        node.namespace,
        node.shared,
        node.master,
        String::from_utf8_lossy(&node.root),
        node.parent,
        String::from_utf8_lossy(&node.at)
    )
}

fn run_topologies(first_seed: u64, count: u64) -> Tally {
    // A thread of its own, since what it changes about itself cannot be undone.
    let thread = std::thread::spawn(move || {
        let directory = TemporaryDirectory::new();
        // A name that mountinfo must escape, and that is no UTF-8.
        let path = directory.path().join(OsStr::from_bytes(b"a b\\040\n\xff#"));
        std::fs::create_dir(&path).unwrap();
        let mut tally = Tally::default();
        for seed in first_seed..first_seed + count {
            let mut experiment = Experiment::new(&path, seed);
            for _ in 0..STEPS {
                experiment.step();
            }
            experiment.compare_readings();
            tally.add(&experiment.tally);
        }
        tally
    });
    match thread.join() {
        Ok(tally) => tally,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Tells whether statmount(2) of other namespaces is there, which the oracle reads the tables with.
fn has_statmount() -> bool {
    let own = std::fs::File::open("/proc/self/ns/mnt").unwrap();
    MountTables::of(&[own.as_fd()]).is_ok()
}

#[test]
fn what_is_predicted_is_what_the_kernel_does() {
    need_root!();
    if !has_statmount() {
        return skip("needs statmount(2)");
    }
    let tally = run_topologies(1, 60);
    println!("{tally:?}");
    assert!(tally.mounts > 200 && tally.unmounts > 50 && tally.elsewhere > 200, "{tally:?}");
}

#[test]
#[ignore = "takes minutes; NSTOOL_TOPOLOGIES (10000) and NSTOOL_SEED (1000000) choose how many and which"]
fn ten_thousand_topologies_are_predicted_without_an_error() {
    need_root!();
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, seed) = (number("NSTOOL_TOPOLOGIES", 10_000), number("NSTOOL_SEED", 1_000_000));
    let tally = run_topologies(seed, count);
    println!("{tally:#?}");
}
