//! Reads the files of a batch, each once, and hands their rows to windows.
//!
//! Files are read one after another in key order, so that a window gets its rows ordered by (file,
//! row) whatever else is in the batch. Rows of no window of the batch are passed over. How many
//! rows each window gets from each file is compared with the ledger: a difference means that the
//! file is not what was admitted (IN-1).

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::Executor;
use crate::error::{Code, Error, Result};
use crate::ledger::FileId;
use crate::plan::DueWindow;
use crate::source::{
    Judge, OpenFile, PartitionColumn, TimeColumn, Verdict, open, partition_columns,
};
use crate::spec::SourceSpec;
use crate::time::EventTime;
use crate::window::Window;

/// The rows of one window from one table, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct WindowRows {
    pub(super) batches: Vec<RecordBatch>,
}

/// The rows of a batch of windows. Frees its claim on memory when it is dropped.
#[derive(Debug)]
pub(super) struct Routed {
    windows: BTreeMap<EventTime, Result<BTreeMap<String, WindowRows>>>,
    _memory: MemoryReservation,
}

impl Routed {
    /// The rows of the window at `start`, by table, or why they cannot be had.
    pub(super) fn take(&mut self, start: EventTime) -> Result<BTreeMap<String, WindowRows>> {
        self.windows.remove(&start).unwrap_or_else(|| Ok(BTreeMap::new()))
    }
}

/// Reads what `due` needs. A file that cannot be read fails the windows that need it, and no
/// others.
pub(super) async fn route(executor: &Executor<'_>, due: &[&DueWindow]) -> Routed {
    let memory = executor.engine.reserve_routed_rows();
    let mut windows: BTreeMap<EventTime, Result<BTreeMap<String, WindowRows>>> =
        due.iter().map(|due| (due.window.start(), Ok(BTreeMap::new()))).collect();
    let files: BTreeSet<&FileId> =
        due.iter().flat_map(|due| due.inputs.iter().map(|(id, _)| id)).collect();
    for id in files {
        let wanted: Vec<(Window, u64)> = due.iter().filter_map(|due| wants(due, id)).collect();
        let pieces = read(executor, id, &wanted, &memory).await;
        for (place, (window, _)) in wanted.iter().enumerate() {
            let Some(rows) = windows.get_mut(&window.start()) else { continue };
            match (&pieces, rows) {
                (Err(why), rows @ Ok(_)) => *rows = Err(why.clone()),
                (Ok(pieces), Ok(rows)) => {
                    let table = rows.entry(id.table.clone()).or_default();
                    table.batches.extend(pieces[place].iter().cloned());
                }
                (_, Err(_)) => {}
            }
        }
    }
    Routed { windows, _memory: memory }
}

/// The window and the rows of it in the file, if the window needs the file.
fn wants(due: &DueWindow, id: &FileId) -> Option<(Window, u64)> {
    let (_, rows) = due.inputs.iter().find(|(input, _)| input == id)?;
    Some((due.window, *rows))
}

/// The rows of one file for each of `wanted`, which is ascending.
async fn read(
    executor: &Executor<'_>,
    id: &FileId,
    wanted: &[(Window, u64)],
    memory: &MemoryReservation,
) -> Result<Vec<Vec<RecordBatch>>> {
    let file = FileScan::open(executor, id).await?;
    let wanted_windows: Vec<Window> = wanted.iter().map(|(window, _)| *window).collect();
    let reserve = |bytes: usize| {
        memory.try_grow(bytes).map_err(|why| {
            Error::new(Code::WindowTooLarge, format!("the rows of the window do not fit: {why}"))
                .hint("raise `memory_limit` in [engine]; rows are not spilled by this version")
        })
    };
    let pieces = file.run(&wanted_windows, reserve).await?;
    for (piece, (window, expected)) in pieces.iter().zip(wanted) {
        let found: usize = piece.iter().map(RecordBatch::num_rows).sum();
        if u64::try_from(found) != Ok(*expected) {
            let (name, label) = (file.file.name(), executor.spec.grid.label(*window));
            return Err(Error::new(
                Code::InputChanged,
                format!("{name} has {found} rows of window {label}, and had {expected} before"),
            ));
        }
    }
    Ok(pieces)
}

/// A file that is about to be read for some windows.
struct FileScan {
    file: OpenFile,
    key: String,
    time: TimeColumn,
    judge: Judge,
    /// The columns of the table, in order.
    schema: SchemaRef,
    /// Where each column of the table comes from.
    origins: Vec<Origin>,
    /// Root columns of the file to decode, ascending.
    roots: Vec<usize>,
}

enum Origin {
    /// This place among the decoded columns.
    Decoded(usize),
    Folder(PartitionColumn),
}

impl FileScan {
    async fn open(executor: &Executor<'_>, id: &FileId) -> Result<Self> {
        let missing =
            |what: &str| Error::new(Code::Bug, format!("{what} of {} is not known", id.key));
        let source = executor.spec.source(&id.table).ok_or_else(|| missing("the source"))?;
        let store = executor.sources.get(&id.table).ok_or_else(|| missing("the store"))?;
        let meta = executor.listed.get(id).ok_or_else(|| missing("the listing"))?;
        let record = executor.ledger.file(id).ok_or_else(|| missing("the record"))?;
        let schema = executor.prepared.columns(&id.table).ok_or_else(|| missing("the schema"))?;
        let file = open(store, meta).await?;
        let time = TimeColumn::find(source, file.schema(), &file.name())?;
        let keys = executor.listed.keys().filter(|listed| listed.table == id.table);
        let folders = partition_columns(source, keys.map(|id| id.key.as_str()));
        let (origins, roots) = origins(source, &file, schema, &folders, time.index)?;
        let judge = Judge::new(record.record.arrived_at, source.max_future);
        Ok(Self { file, key: id.key.clone(), time, judge, schema: schema.clone(), origins, roots })
    }

    /// The rows for each of `windows`.
    async fn run(
        &self,
        windows: &[Window],
        reserve: impl Fn(usize) -> Result<()>,
    ) -> Result<Vec<Vec<RecordBatch>>> {
        let (reader, metadata) = (self.file.reader(), self.file.metadata.clone());
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.roots.iter().copied());
        let stream = builder.with_projection(mask).build();
        let mut stream = stream.map_err(|why| self.file.failure(&why))?;
        let time = self.roots.binary_search(&self.time.index).unwrap_or_default();
        let mut pieces = vec![Vec::new(); windows.len()];
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|why| self.file.failure(&why))?;
            let rows = self.rows_by_window(windows, batch.column(time))?;
            for (piece, rows) in pieces.iter_mut().zip(rows) {
                if !rows.is_empty() {
                    let taken = self.take(&batch, &UInt32Array::from(rows))?;
                    reserve(taken.get_array_memory_size())?;
                    piece.push(taken);
                }
            }
        }
        Ok(pieces)
    }

    /// The places of the rows of each window.
    fn rows_by_window(&self, windows: &[Window], times: &ArrayRef) -> Result<Vec<Vec<u32>>> {
        let mut rows = vec![Vec::new(); windows.len()];
        let mut here = None;
        for (row, micros) in (0_u32..).zip(self.time.micros(times)?) {
            let Verdict::Usable(at) = self.judge.verdict(micros) else { continue };
            let is_here = |place: &usize| windows.get(*place).is_some_and(|w| w.contains(at));
            let place = here.filter(is_here).or_else(|| {
                let after = windows.partition_point(|window| window.end() <= at);
                Some(after).filter(is_here)
            });
            if let Some(place) = place {
                rows[place].push(row);
                here = Some(place);
            }
        }
        Ok(rows)
    }

    /// Some rows of a decoded batch, as rows of the table.
    fn take(&self, batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
        let column = |origin: &Origin| match origin {
            Origin::Decoded(place) => take(batch.column(*place), rows, None)
                .map_err(|why| Error::new(Code::Bug, format!("rows cannot be taken: {why}"))),
            Origin::Folder(column) => column.values(&self.key, rows.len()),
        };
        let columns = self.origins.iter().map(column).collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|why| Error::new(Code::Bug, format!("rows do not fit their table: {why}")))
    }
}

/// Where each column of the table comes from in this file, and which root columns to decode.
fn origins(
    source: &SourceSpec,
    file: &OpenFile,
    schema: &SchemaRef,
    folders: &[PartitionColumn],
    time: usize,
) -> Result<(Vec<Origin>, Vec<usize>)> {
    let mut places = Vec::new();
    for field in schema.fields() {
        let found = file.schema().column_with_name(field.name());
        let folder = folders.iter().find(|column| column.name == *field.name());
        match (found, folder) {
            (Some((place, own)), _) if own.data_type() == field.data_type() => {
                places.push(Ok(place));
            }
            (None, Some(folder)) => places.push(Err(folder.clone())),
            (Some((_, own)), _) => {
                let (name, now, then) = (field.name(), own.data_type(), field.data_type());
                let text =
                    format!("column `{name}` of {} has type {now}, expected {then}", file.name());
                return Err(mismatch(source, text));
            }
            (None, None) => {
                let text = format!("column `{}` is missing from {}", field.name(), file.name());
                return Err(mismatch(source, text));
            }
        }
    }
    let mut roots: Vec<usize> = places.iter().flatten().copied().collect();
    roots.push(time);
    roots.sort_unstable();
    roots.dedup();
    let origin = |place: std::result::Result<usize, PartitionColumn>| match place {
        Ok(place) => Origin::Decoded(roots.binary_search(&place).unwrap_or_default()),
        Err(folder) => Origin::Folder(folder),
    };
    Ok((places.into_iter().map(origin).collect(), roots))
}

fn mismatch(source: &SourceSpec, text: String) -> Error {
    Error::new(Code::SchemaMismatch, text)
        .note(format!(
            "the first file that was admitted to source {} says what its columns are",
            source.table
        ))
        .hint(
            "mend the file and run again, or change the query so that it does not need the column",
        )
}
