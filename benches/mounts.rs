//! What it costs to read the mount tables of many namespaces, to check what they share, and to predict a mount.
//!
//! Wants root: it makes 200 mount namespaces of 200 shared mounts each, below a private mount of its own that goes with
//! the process.

use std::hint::black_box;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nstool::discover::MountTables;
use nstool::propagation::{Forest, Groups, What};

const NONE: Option<&str> = None;

fn own_namespace() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/mnt").expect("/proc is mounted").into()
}

/// Makes `namespaces` peers of a namespace with `mounts` shared mounts, kept alive by descriptors.
fn make(directory: &Path, namespaces: usize, mounts: usize) -> nix::Result<Vec<OwnedFd>> {
    let directory = directory.to_owned();
    let work = move || {
        unshare(CloneFlags::CLONE_FS)?;
        let home = own_namespace();
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        mount(Some("bench"), &directory, Some("tmpfs"), MsFlags::empty(), NONE)?;
        mount(NONE, &directory, NONE, MsFlags::MS_SHARED, NONE)?;
        for number in 0..mounts {
            let place = directory.join(number.to_string());
            std::fs::create_dir(&place).expect("a new directory in a new filesystem");
            mount(Some("bench"), &place, Some("tmpfs"), MsFlags::empty(), NONE)?;
        }
        let mut kept = vec![own_namespace()];
        for _ in 1..namespaces {
            setns(&kept[0], CloneFlags::CLONE_NEWNS)?;
            unshare(CloneFlags::CLONE_NEWNS)?;
            kept.push(own_namespace());
        }
        setns(&home, CloneFlags::CLONE_NEWNS)?;
        Ok(kept)
    };
    std::thread::spawn(work).join().expect("the thread does not panic")
}

fn tables(criterion: &mut Criterion) {
    let directory = std::env::temp_dir().join(format!("nstool-bench-{}", std::process::id()));
    std::fs::create_dir(&directory).expect("a directory of our own");
    let kept = match make(&directory, 200, 200) {
        Ok(kept) => kept,
        Err(errno) => {
            let _ = writeln!(std::io::stderr(), "skipped: cannot make mount namespaces: {errno}");
            return;
        }
    };
    let mut group = criterion.benchmark_group("200 namespaces of 200 mounts");
    group.sample_size(10);
    group.bench_function("read the tables", |bencher| bencher.iter(|| MountTables::capture().map(black_box)));
    group.bench_function("read and check all", |bencher| {
        bencher.iter(|| {
            let tables = MountTables::capture().expect("/proc is mounted");
            let forest = Forest::new(&tables.tables);
            black_box(forest.circles(&Groups::of(&forest)).len())
        });
    });
    group.finish();
    let tables = MountTables::capture().expect("/proc is mounted");
    let mut group = criterion.benchmark_group("predict a mount");
    for namespaces in [25, 50, 100, 200] {
        // The laboratory's namespaces were made last and stand among the others; a prefix keeps its share of them.
        let some = &tables.tables[..tables.tables.len() * namespaces / 200];
        let mounts: usize = some.iter().map(|table| table.mounts.len()).sum();
        group.throughput(Throughput::Elements(mounts as u64));
        group.bench_with_input(BenchmarkId::from_parameter(mounts), &some, |bencher, some| {
            let path = directory.join("7");
            bencher.iter(|| {
                let forest = Forest::new(some);
                let groups = Groups::of(&forest);
                let shared = |namespace: &usize| some[*namespace].mounts.len() > 200;
                let namespace = (0..some.len()).find(shared).expect("one of the laboratory's");
                let place = forest.resolve(namespace, path.as_os_str().as_encoded_bytes()).expect("it has a root");
                black_box(forest.attach(&groups, &What::New, &place).map(|prediction| prediction.arrivals.len()))
            });
        });
    }
    group.finish();
    drop(kept);
    let _ = std::fs::remove_dir(&directory);
}

criterion_group!(benches, tables);
criterion_main!(benches);
