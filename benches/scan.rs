//! How long a scan takes, by what it looks at: `cargo bench --bench scan`.

use criterion::{Criterion, criterion_group, criterion_main};
use nstool::discover::Scope;
use nstool::model::Snapshot;

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    for (name, scope) in [("processes", Scope::processes()), ("everything", Scope::everything())] {
        group.bench_function(name, |bencher| bencher.iter(|| Snapshot::capture(&scope)));
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
