//! Opening a log that nobody made a checkpoint of.

use std::hint::black_box;

use criterion::{Criterion, Throughput};

use crate::log::{fold, hour, stored};

const COMMITS: u32 = 100_000;

pub(crate) fn of_a_hundred_thousand_commits(criterion: &mut Criterion) {
    let entries = stored(COMMITS);
    assert_eq!(fold(&entries).watermark, Some(hour(COMMITS)));
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(COMMITS.into()));
    group.bench_function("100,000 commits", |bench| bench.iter(|| fold(black_box(&entries))));
    group.finish();
}
