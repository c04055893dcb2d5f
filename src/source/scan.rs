//! Reads the event-time column of a file, and nothing else of its rows: how many of which window?

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::event_time::{Judge, TimeColumn, Verdict};
use super::reader::{OpenFile, SourceStore, open};
use crate::error::{Code, Error, Result};
use crate::ledger::{FileRecord, InputVersion};
use crate::spec::{OnNullTime, PipelineSpec, SourceSpec};
use crate::store::ObjectMeta;
use crate::time::EventTime;
use crate::window::{Window, WindowGrid};

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
    let task = tokio::spawn(async move {
        let file = open(&store, &seen).await?;
        let counts = count(&grid, &source, &file, &seen).await?;
        record(&source, &file, &seen, counts)
    });
    task.await.unwrap_or_else(|_| {
        Err(Error::new(Code::CorruptInput, format!("cannot read {name}: its decoder panicked"))
            .hint("put a whole file in its place and run `highwater run`"))
    })
}

#[derive(Default)]
struct Counts {
    windows: BTreeMap<EventTime, u64>,
    range: Option<(EventTime, EventTime)>,
    null_time: u64,
    future: u64,
}

async fn count(
    grid: &WindowGrid,
    source: &SourceSpec,
    file: &OpenFile,
    seen: &ObjectMeta,
) -> Result<Counts> {
    let column = TimeColumn::find(source, file.schema(), &file.name())?;
    let builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(file.reader(), file.metadata.clone());
    let mask = ProjectionMask::roots(builder.parquet_schema(), [column.index]);
    let mut batches = builder.with_projection(mask).build().map_err(|why| file.failure(&why))?;
    let judge = Judge::new(seen.modified_at, source.max_future);
    let mut counts = Counts::default();
    let mut here: Option<(Window, u64)> = None;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|why| file.failure(&why))?;
        for micros in column.micros(batch.column(0))? {
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
            match &mut here {
                Some((window, rows)) if window.contains(at) => *rows = rows.saturating_add(1),
                _ => {
                    counts.add(here.take());
                    let window = grid.window_at(at).ok_or_else(|| no_window(file, at))?;
                    here = Some((window, 1));
                    if counts.windows.len() > source.max_windows_per_file {
                        return Err(too_many(source, file));
                    }
                }
            }
        }
    }
    counts.add(here);
    Ok(counts)
}

impl Counts {
    fn see(&mut self, at: EventTime) {
        self.range = Some(match self.range {
            Some((first, last)) => (first.min(at), last.max(at)),
            None => (at, at),
        });
    }

    fn add(&mut self, window: Option<(Window, u64)>) {
        if let Some((window, more)) = window {
            let rows = self.windows.entry(window.start()).or_insert(0);
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
    let metadata = file.metadata.metadata();
    let positive = |number: i64| u64::try_from(number).unwrap_or_default();
    let groups = metadata.row_groups().iter();
    Ok(FileRecord {
        table: source.table.clone(),
        key: seen.key.clone(),
        version: InputVersion { size: seen.size, mark: seen.mark.clone(), sha256: None },
        arrived_at: seen.modified_at,
        rows: positive(metadata.file_metadata().num_rows()),
        bytes_in_memory: groups
            .fold(0, |sum, group| sum.saturating_add(positive(group.total_byte_size()))),
        event_range: counts.range,
        windows: counts.windows.into_iter().collect(),
        expired: Vec::new(),
        null_time: counts.null_time,
        future: counts.future,
        removed: false,
        settles: false,
    })
}

fn unusable_time(source: &SourceSpec, file: &OpenFile, counts: &Counts) -> Error {
    let Counts { null_time, future, .. } = counts;
    let (table, ahead) = (&source.table, source.max_future);
    let rows = null_time.saturating_add(*future);
    Error::new(
        Code::UnusableTime,
        format!("{rows} rows of {} have no usable event time", file.name()),
    )
    .note(format!("{null_time} have none, {future} lie more than {ahead} ahead of the file"))
    .note("quarantine, which would keep them, is not supported yet by this version")
    .hint(format!(
        "mend the file, or set on_null_time = \"drop\" for source {table}: they are counted then \
         and left out"
    ))
}

fn too_many(source: &SourceSpec, file: &OpenFile) -> Error {
    Error::new(
        Code::TooManyWindows,
        format!("{} has rows in more than {} windows", file.name(), source.max_windows_per_file),
    )
    .hint("check its event times; if they are right, raise `max_windows_per_file`")
}

fn no_window(file: &OpenFile, at: EventTime) -> Error {
    Error::new(Code::Bug, format!("{} has an event at {at}, which no window holds", file.name()))
}
