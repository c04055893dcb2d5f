//! Which committed windows an admission touches. Decided once, when the versions enter the ledger,
//! and logged; no later computation decides it again.

use std::collections::BTreeMap;

use crate::ledger::{FileId, FileRecord, Ledger};
use crate::spec::PipelineSpec;
use crate::state::{Inputs, LateKind, LateWindow, RowCounts, SegmentRef, State};
use crate::time::EventTime;
use crate::window::Window;

/// The entry that admits `records`, stored as `segment`, on top of `ledger`.
///
/// `None` if no generation is left to number it.
#[must_use]
pub fn admission(
    spec: &PipelineSpec,
    state: &State,
    ledger: &Ledger,
    records: &[FileRecord],
    segment: SegmentRef,
) -> Option<Inputs> {
    let mut inputs = Inputs {
        generation: state.generation.next()?,
        segment,
        last_event_at: Vec::new(),
        refused: RowCounts::default(),
        late: Vec::new(),
    };
    let mut last_event_at = BTreeMap::<&str, EventTime>::new();
    let mut late = BTreeMap::<EventTime, LateWindow>::new();
    for record in records {
        if let Some((_, last)) = record.event_range {
            let seen = last_event_at.entry(&record.table).or_insert(last);
            *seen = (*seen).max(last);
        }
        if record.settles {
            continue;
        }
        inputs.refused.null_time = inputs.refused.null_time.saturating_add(record.null_time);
        inputs.refused.future = inputs.refused.future.saturating_add(record.future);
        for (window, why, rows) in touched(spec, state, ledger, record) {
            let (start, end) = (window.start(), window.end());
            let entry =
                late.entry(start).or_insert(LateWindow { start, end, why, rows: 0, files: 0 });
            entry.why = entry.why.max(why);
            entry.rows = entry.rows.saturating_add(rows);
            entry.files = entry.files.saturating_add(1);
        }
    }
    let owned = |(table, at): (&str, EventTime)| (table.to_owned(), at);
    inputs.last_event_at = last_event_at.into_iter().map(owned).collect();
    inputs.late = late.into_values().collect();
    Some(inputs)
}

/// The committed windows that differ because of `record`, and by how many rows each grew. A skipped
/// window stays as the operator left it.
fn touched(
    spec: &PipelineSpec,
    state: &State,
    ledger: &Ledger,
    record: &FileRecord,
) -> Vec<(Window, LateKind, u64)> {
    let id = FileId { table: record.table.clone(), key: record.key.clone() };
    let before = ledger.file(&id).map(|admitted| &admitted.record);
    let why = match before {
        None => LateKind::LateData,
        Some(_) if record.removed => LateKind::InputRemoved,
        Some(_) => LateKind::InputChanged,
    };
    let mut rows: BTreeMap<EventTime, u64> = record.windows.iter().copied().collect();
    for (start, _) in before.iter().flat_map(|record| &record.windows) {
        rows.entry(*start).or_insert(0);
    }
    let windows = rows.into_iter().filter_map(|(start, rows)| {
        let window = spec.grid.window_at(start)?;
        let counts = state.is_committed(window) && !state.skipped.contains(start);
        let rows_before = before.map_or(0, |record| record.rows_of(start));
        counts.then_some((window, why, rows.saturating_sub(rows_before)))
    });
    windows.collect()
}

/// The most windows that the files of one admission touch, unless a single file touches more: bounds
/// the size of its log entry.
const WINDOWS_MAX: usize = 20_000;

/// Cuts `records` into the admissions they are logged in, in order.
#[must_use]
pub fn admissions(records: Vec<FileRecord>) -> Vec<Vec<FileRecord>> {
    let mut admissions: Vec<Vec<FileRecord>> = Vec::new();
    let mut windows: usize = 0;
    for record in records {
        windows = windows.saturating_add(record.windows.len());
        match admissions.last_mut() {
            Some(admission) if windows <= WINDOWS_MAX => admission.push(record),
            _ => {
                windows = record.windows.len();
                admissions.push(vec![record]);
            }
        }
    }
    admissions
}
