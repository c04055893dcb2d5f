//! Reads the event-time column of a file: how many of its rows are of which window? Nothing else of
//! its rows is read, unless a file is to be whole before it is admitted.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::caught::marked;
use super::event_time::{Judge, TimeColumn, Verdict};
use super::int96::Millis;
use super::kept::Chunks;
use super::reader::{OpenFile, open_anew, panicked};
use super::stored::SourceStore;
use crate::error::{Code, Error, Result};
use crate::ledger::{Delays, FileId, FileRecord, InputVersion};
use crate::spec::{OnCorruptFile, OnNullTime, PipelineSpec, SourceSpec};
use crate::store::ObjectMeta;
use crate::time::EventTime;
use crate::window::{Margins, Window, WindowGrid};

/// The record of the object `seen`. Its version has no hash yet.
pub(super) async fn scan(
    spec: &PipelineSpec,
    source: &SourceSpec,
    store: &Arc<SourceStore>,
    seen: &ObjectMeta,
) -> Result<FileRecord> {
    let (grid, source, store, seen) =
        (spec.grid.clone(), source.clone(), store.clone(), seen.clone());
    let name = store.store().name_of(&seen.key);
    // In a task of its own: a panic of a decoder on hostile bytes must not end the run.
    let task = tokio::spawn(marked(async move {
        let (file, chunks) = (open_anew(&store, &seen).await?, store.kept().chunks());
        file.check_names()?;
        let counts = count(&grid, &source, &file, &seen, &chunks).await?;
        let record = record(&source, &file, &seen, counts)?;
        store.kept().keep(&seen, &file.metadata, chunks);
        Ok(record)
    }));
    task.await.unwrap_or_else(|_| Err(panicked(&name)))
}

#[derive(Default)]
struct Counts {
    cells: BTreeMap<EventTime, u64>,
    delays: Delays,
    range: Option<(EventTime, EventTime)>,
    null_time: u64,
    future: u64,
}

async fn count(
    grid: &WindowGrid,
    source: &SourceSpec,
    file: &OpenFile,
    seen: &ObjectMeta,
    chunks: &Arc<Chunks>,
) -> Result<Counts> {
    let column = TimeColumn::find(source, file.schema(), &file.name())?;
    // A page that cannot be read, of whatever column, is found before any row of the file counts.
    let must_be_whole = source.on_corrupt_file == OnCorruptFile::Quarantine;
    // A scan may need but a few of all columns.
    let reader = if must_be_whole { file.reader() } else { file.keeping_reader(chunks) };
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, file.metadata.clone());
    let (mask, place) = if must_be_whole {
        (ProjectionMask::all(), column.index)
    } else {
        (ProjectionMask::roots(builder.parquet_schema(), [column.index]), 0)
    };
    let mut batches = builder.with_projection(mask).build().map_err(|why| file.failure(&why))?;
    let mut millis = Millis::of(file, column.index)?;
    let judge = Judge::new(seen.modified_at, source.max_future);
    let mut counts = Counts::default();
    let cells_max = cells_max(source);
    let mut here: Option<(Window, u64)> = None;
    let mut found: u64 = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|why| file.failure(&why))?;
        found = found.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        if let Some(millis) = &mut millis {
            millis.check(file, batch.column(place)).await?;
        }
        for micros in column.micros(batch.column(place))? {
            let at = match judge.verdict(micros) {
                Verdict::Usable(at) => at,
                Verdict::NoTime => {
                    counts.null_time = counts.null_time.saturating_add(1);
                    continue;
                }
                Verdict::Future => {
                    counts.future = counts.future.saturating_add(1);
                    continue;
                }
            };
            counts.see(at);
            counts.delays.add(seen.modified_at.delay_after(at), 1);
            match &mut here {
                Some((cell, rows)) if cell.contains(at) => *rows = rows.saturating_add(1),
                _ => {
                    counts.add(here.take());
                    let cell = source.margins.cell_at(grid, at);
                    here = Some((cell.ok_or_else(|| no_window(file, at))?, 1));
                    if counts.cells.len() > cells_max {
                        return Err(too_many(source, file));
                    }
                }
            }
        }
    }
    counts.add(here);
    let said = file.metadata.metadata().file_metadata().num_rows();
    if u64::try_from(said) != Ok(found) {
        return Err(file.refusal(&format!("its footer says {said} rows, and it has {found}")));
    }
    let cells = counts.cells.keys().copied();
    let max = source.max_windows_per_file;
    if source.reach().touched(grid, cells).take(max.saturating_add(1)).count() > max {
        return Err(too_many(source, file));
    }
    Ok(counts)
}

impl Counts {
    fn see(&mut self, at: EventTime) {
        self.range = Some(match self.range {
            Some((first, last)) => (first.min(at), last.max(at)),
            None => (at, at),
        });
    }

    fn add(&mut self, cell: Option<(Window, u64)>) {
        if let Some((cell, more)) = cell {
            let rows = self.cells.entry(cell.start()).or_insert(0);
            *rows = rows.saturating_add(more);
        }
    }
}

fn record(
    source: &SourceSpec,
    file: &OpenFile,
    seen: &ObjectMeta,
    counts: Counts,
) -> Result<FileRecord> {
    if source.on_null_time == OnNullTime::Fail && (counts.null_time > 0 || counts.future > 0) {
        return Err(unusable_time(source, file, &counts));
    }
    let rows = file.metadata.metadata().file_metadata().num_rows();
    let version = InputVersion { size: seen.size, mark: seen.mark.clone(), sha256: None };
    let id = FileId { table: source.table.clone(), key: seen.key.clone() };
    Ok(FileRecord {
        rows: u64::try_from(rows).unwrap_or_default(),
        bytes_in_memory: bytes_in_memory(file),
        event_range: counts.range,
        cells: counts.cells.into_iter().collect(),
        delays: counts.delays,
        null_time: counts.null_time,
        future: counts.future,
        ..FileRecord::empty(id, version, seen.modified_at)
    })
}

/// Bytes of all columns before compression, by the footer.
pub(super) fn bytes_in_memory(file: &OpenFile) -> u64 {
    let groups = file.metadata.metadata().row_groups().iter();
    let bytes = groups.map(|group| u64::try_from(group.total_byte_size()).unwrap_or_default());
    bytes.fold(0, u64::saturating_add)
}

/// The most cells a file may have rows in: margins cut a window into a few.
fn cells_max(source: &SourceSpec) -> usize {
    let cells_per_window = if source.margins == Margins::default() { 1 } else { 5 };
    source.max_windows_per_file.saturating_mul(cells_per_window)
}

fn unusable_time(source: &SourceSpec, file: &OpenFile, counts: &Counts) -> Error {
    let Counts { null_time, future, .. } = counts;
    let (table, ahead) = (&source.table, source.max_future);
    let rows = null_time.saturating_add(*future);
    Error::new(
        Code::UnusableTime,
        format!("{rows} rows of {} have no usable event time", file.name()),
    )
    .note(format!(
        "{null_time} have none or one out of range, {future} lie more than {ahead} ahead of the \
         file"
    ))
    .hint(format!(
        "mend the file, or set on_null_time = \"quarantine\" for source {table}: they are left out \
         then, and kept aside"
    ))
}

fn too_many(source: &SourceSpec, file: &OpenFile) -> Error {
    Error::new(
        Code::TooManyWindows,
        format!("{} has rows of more than {} windows", file.name(), source.max_windows_per_file),
    )
    .note("a row counts for every window that sees it, also in a margin")
    .hint("check its event times; if they are right, raise `max_windows_per_file`")
}

fn no_window(file: &OpenFile, at: EventTime) -> Error {
    Error::new(Code::Bug, format!("{} has an event at {at}, which no window holds", file.name()))
}
