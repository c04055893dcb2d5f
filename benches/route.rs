//! Rows of a decoded batch on their way to hourly windows: as an ingest hour brings them, most of
//! one hour and some late; and in no order at all.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use highwater::time::EventTime;
use highwater::window::{Window, rows_by_cell};

use crate::log::hour;

const ROWS: u32 = 1 << 16;
const HOURS: u32 = 38;
const MICROS_PER_HOUR: u32 = 3_600_000_000;

pub(crate) fn of_a_batch(criterion: &mut Criterion) {
    let cells: Vec<Window> =
        (0..HOURS).map(|n| Window::new(hour(n), hour(n + 1)).unwrap()).collect();
    let mut group = criterion.benchmark_group("routing of a batch to 38 windows");
    group.throughput(Throughput::Elements(ROWS.into()));
    let late = |row: u32| row.is_multiple_of(32).then_some(scattered(row) % HOURS);
    let cases: [(&str, &dyn Fn(u32) -> u32); 2] = [
        ("3% late", &|row| late(row).unwrap_or(HOURS - 1)),
        ("in no order", &|row| scattered(row) % HOURS),
    ];
    for (name, hour_of) in cases {
        let times: Vec<Option<EventTime>> = (0..ROWS)
            .map(|row| {
                let within = i64::from(scattered(row) % MICROS_PER_HOUR);
                Some(EventTime::from_micros(hour(hour_of(row)).micros() + within))
            })
            .collect();
        let routed = rows_by_cell(&cells, &times);
        assert_eq!(routed.iter().map(Vec::len).sum::<usize>(), times.len());
        group.bench_function(name, |bench| {
            bench.iter(|| rows_by_cell(black_box(&cells), black_box(&times)));
        });
    }
    group.finish();
}

/// A number that looks like any other.
fn scattered(n: u32) -> u32 {
    n.wrapping_mul(2_654_435_761).rotate_left(13)
}
