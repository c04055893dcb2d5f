//! What is due, of a million files: everything, or the one window that the newest of them closes.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use highwater::config::{ConfigInput, load};
use highwater::id::Generation;
use highwater::ledger::{FileId, FileRecord, InputVersion, Ledger};
use highwater::plan::{Facts, Outdated, plan};
use highwater::spec::PipelineSpec;
use highwater::state::State;
use highwater::time::ProcessingTime;

use crate::log::{fold, hour, stored};

const HOURS: u32 = 10_000;
const FILES_PER_HOUR: u32 = 100;

const CONFIG: &str = r#"
version = 1
[pipeline.visits.window]
size = "1h"
[pipeline.visits.source.events]
path = "in"
event_time = "at"
[[pipeline.visits.step]]
name = "per_country"
sql = "SELECT 1 FROM events"
[pipeline.visits.output.per_country]
path = "visits/dt={start:%Y-%m-%d}/hour={start:%H}"
"#;

pub(crate) fn over_a_million_files(criterion: &mut Criterion) {
    let (spec, ledger) = (spec(), ledger());
    assert_eq!(ledger.files().count(), 1_000_000);
    let mut group = criterion.benchmark_group("plan over a million files");
    let last = hour(HOURS - 1);
    let states = [
        ("10,000 windows due", State::before_first_run(spec.name.clone()), HOURS - 1),
        ("one window due", fold(&stored(HOURS - 2)), 1),
    ];
    for (name, mut state, due) in states {
        state.last_event_at.insert("events".to_owned(), last);
        let due_now = || {
            let (none, nothing) = (BTreeSet::<FileId>::new(), Outdated::default());
            let facts = Facts {
                spec: &spec,
                state: &state,
                ledger: black_box(&ledger),
                missing: &none,
                held: &none,
                is_held: false,
                outdated: &nothing,
            };
            plan(&facts)
        };
        assert_eq!(u32::try_from(due_now().windows.len()), Ok(due));
        group.bench_function(name, |bench| bench.iter(due_now));
    }
    group.finish();
}

fn spec() -> PipelineSpec {
    let input = ConfigInput {
        text: CONFIG,
        origin: "config.toml",
        base: Path::new("/lake"),
        environment: &[],
        read_sql: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    load(&input).unwrap().pipelines.remove(0)
}

/// Each hour brings so many files, which also have rows of the hour before.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    for n in 0..HOURS {
        for part in 0..FILES_PER_HOUR {
            let before = n.checked_sub(1).map(|before| (hour(before), 10));
            let record = FileRecord {
                rows: 700,
                bytes_in_memory: 70_000,
                event_range: Some((hour(n.saturating_sub(1)), hour(n))),
                cells: before.into_iter().chain([(hour(n), 690)]).collect(),
                ..FileRecord::empty(
                    FileId {
                        table: "events".to_owned(),
                        key: format!("hour={n:06}/part-{part:04}.parquet"),
                    },
                    InputVersion { size: 7_000, mark: "1".to_owned(), sha256: None },
                    ProcessingTime::from_micros(hour(n).micros()),
                )
            };
            ledger.admit(record, Generation(1));
        }
    }
    ledger
}
