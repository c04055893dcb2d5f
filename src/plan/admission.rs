//! Which committed windows an admission touches. Decided once, when the versions enter the ledger,
//! and logged; no later computation decides it again.

use std::collections::BTreeMap;

use crate::error::{Code, Error};
use crate::ledger::{FileRecord, Ledger};
use crate::spec::{OnExpired, PipelineSpec, SourceSpec};
use crate::state::{Inputs, LateKind, LateWindow, RowCounts, SegmentRef, State};
use crate::time::{EventTime, Span};
use crate::window::Window;

/// A segment of so many files is never rewritten: bounds what one admission writes.
const SEGMENT_FILES_MAX: u64 = 50_000;

/// How many of the newest segments an admission of `files` files writes anew together with its own:
/// as long as the next one is no larger than all before it. So there are few segments whatever the
/// number of admissions, and each record is rewritten a few times, never all in every run.
#[must_use]
pub fn segments_to_merge(state: &State, files: u64) -> u64 {
    let mut sum = files;
    let mut merged: u64 = 0;
    for segment in state.segments.iter().rev() {
        let more = segment.stored.files;
        if more > sum || sum.saturating_add(more) > SEGMENT_FILES_MAX {
            break;
        }
        sum = sum.saturating_add(more);
        merged = merged.saturating_add(1);
    }
    merged
}

/// The entry that admits `records`, stored as `segment` together with those of the newest
/// `replaces` segments, on top of `ledger`.
///
/// `None` if no generation is left to number it.
#[must_use]
pub fn admission(
    spec: &PipelineSpec,
    state: &State,
    ledger: &Ledger,
    records: &[FileRecord],
    segment: SegmentRef,
    replaces: u64,
) -> Option<Inputs> {
    let mut inputs = Inputs {
        generation: state.generation.next()?,
        segment,
        replaces,
        last_event_at: Vec::new(),
        refused: RowCounts::default(),
        late: Vec::new(),
    };
    let mut last_event_at = BTreeMap::<&str, EventTime>::new();
    let mut late = BTreeMap::<EventTime, LateWindow>::new();
    for record in records {
        if let Some((_, last)) = record.event_range {
            let seen = last_event_at.entry(&record.id.table).or_insert(last);
            *seen = (*seen).max(last);
        }
        if record.settles {
            continue;
        }
        inputs.refused.null_time = inputs.refused.null_time.saturating_add(record.null_time);
        inputs.refused.future = inputs.refused.future.saturating_add(record.future);
        inputs.refused.expired = inputs.refused.expired.saturating_add(record.expired_rows());
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

/// Takes the rows out of `records` that come later than their source allows, and counts them.
///
/// They are judged against the watermark that was published before this run, once: the ledger keeps
/// the verdict. A new version of a file may correct every window that the old one had rows of.
/// Files with such rows are refused altogether if their source says so: the errors say which, and
/// why.
#[must_use]
pub fn judge_lateness(
    spec: &PipelineSpec,
    state: &State,
    ledger: &Ledger,
    records: Vec<FileRecord>,
) -> (Vec<FileRecord>, Vec<Error>) {
    let Some(watermark) = state.watermark else { return (records, Vec::new()) };
    let (mut judged, mut refused) = (Vec::with_capacity(records.len()), Vec::new());
    for mut record in records {
        let source = spec.source(&record.id.table);
        let Some((source, allowed)) =
            source.and_then(|source| Some((source, source.allowed_lateness?)))
        else {
            judged.push(record);
            continue;
        };
        let id = &record.id;
        let before = ledger.file(id).map(|known| &known.record);
        let is_expired = |cell: EventTime| {
            let Some(home) = spec.grid.window_at(cell) else { return false };
            home.end().plus(allowed).is_some_and(|end| end <= watermark)
                && before.is_none_or(|before| before.rows_between(home.start(), home.end()) == 0)
        };
        let (expired, cells): (Vec<_>, Vec<_>) =
            record.cells.drain(..).partition(|(cell, _)| is_expired(*cell));
        record.cells = cells;
        record.expired.extend(expired);
        if source.on_expired == OnExpired::Fail && !record.expired.is_empty() {
            refused.push(expired_error(spec, source, &record, watermark, allowed));
        } else {
            judged.push(record);
        }
    }
    (judged, refused)
}

fn expired_error(
    spec: &PipelineSpec,
    source: &SourceSpec,
    record: &FileRecord,
    watermark: EventTime,
    allowed: Span,
) -> Error {
    let rows = record.expired_rows();
    let label = |window: Option<&(EventTime, u64)>| {
        let window = window.and_then(|(start, _)| spec.grid.window_at(*start));
        window.map(|window| spec.grid.label(window)).unwrap_or_default()
    };
    let (first, last) = (label(record.expired.first()), label(record.expired.last()));
    let windows = match record.expired.len() {
        1 => format!("they belong to {first}"),
        many => format!("they belong to {many} windows, from {first} to {last}"),
    };
    let name = source.name_of(&record.id.key);
    let watermark = spec.grid.local_instant(watermark);
    let text = format!("{name} has rows that are too late for their windows: {rows}");
    Error::new(Code::Expired, text)
        .note(windows)
        .note(format!("the watermark is {watermark}, and allowed_lateness {allowed}"))
        .note("the whole file is refused as long as that is so")
        .hint("raise `allowed_lateness`, or on_expired = \"quarantine\": such rows are kept aside")
}

/// The committed windows that differ because of `record`, and by how many rows of their own each
/// grew. A skipped window stays as the operator left it.
fn touched(
    spec: &PipelineSpec,
    state: &State,
    ledger: &Ledger,
    record: &FileRecord,
) -> Vec<(Window, LateKind, u64)> {
    let id = &record.id;
    let before = ledger.file(id).map(|admitted| &admitted.record);
    let is_chained =
        spec.source(&record.id.table).is_some_and(|source| source.upstream().is_some());
    let why = match before {
        _ if is_chained => LateKind::UpstreamChanged,
        None => LateKind::LateData,
        Some(_) if record.removed => LateKind::InputRemoved,
        Some(_) => LateKind::InputChanged,
    };
    if state.windows.is_empty() && state.empty.is_empty() {
        return Vec::new();
    }
    let reach = spec.reach(&record.id.table);
    let cells = record.cells.iter().chain(before.iter().flat_map(|before| &before.cells));
    let windows = reach.touched(&spec.grid, cells.map(|(cell, _)| *cell));
    let touched = windows.filter_map(|window| {
        let (start, end) = (window.start(), window.end());
        let counts = state.is_committed(window) && !state.skipped.contains(start);
        let rows_before = before.map_or(0, |before| before.rows_between(start, end));
        let grown = record.rows_between(start, end).saturating_sub(rows_before);
        counts.then_some((window, why, grown))
    });
    touched.collect()
}

/// The most windows that the files of one admission touch, unless a single file touches more:
/// bounds the size of its log entry.
const WINDOWS_MAX: usize = 20_000;

/// Cuts `records` into the admissions they are logged in, in order.
#[must_use]
pub fn admissions(spec: &PipelineSpec, records: Vec<FileRecord>) -> Vec<Vec<FileRecord>> {
    let mut admissions: Vec<Vec<FileRecord>> = Vec::new();
    let mut windows: usize = 0;
    for record in records {
        let own = windows_seeing(spec, &record);
        windows = windows.saturating_add(own);
        match admissions.last_mut() {
            Some(admission) if windows <= WINDOWS_MAX => admission.push(record),
            _ => {
                windows = own;
                admissions.push(vec![record]);
            }
        }
    }
    admissions
}

/// How many windows see a row of `record`, as far as that matters.
fn windows_seeing(spec: &PipelineSpec, record: &FileRecord) -> usize {
    let reach = spec.reach(&record.id.table);
    if reach.is_none() {
        return record.cells.len();
    }
    let cells = record.cells.iter().map(|(cell, _)| *cell);
    reach.touched(&spec.grid, cells).take(WINDOWS_MAX).count()
}
