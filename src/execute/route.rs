//! Reads the files of a batch, each once, and hands their rows to windows.
//!
//! Files are read one after another in key order, so that a window gets its rows ordered by (file,
//! row) whatever else is in the batch. A row goes to every window that sees it, its own and those
//! whose margins it lies in; rows that no window of the batch sees are passed over, and so are rows
//! that came too late when they were admitted. How many rows each window gets from each file is
//! compared with the ledger: a difference means that the file is not what was admitted (IN-1).

mod find;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

pub use find::FoundRow;
pub(super) use find::find;

use super::Executor;
use super::columns::{Origin, origins};
use super::table::{AddedColumn, added_columns};
use crate::error::{Code, Error, Result};
use crate::ledger::{FileId, FileRecord, Ledger};
use crate::plan::DueWindow;
use crate::source::{
    Judge, Listed, OpenFile, SourceStores, TimeColumn, Verdict, caught, open_listed, panicked,
};
use crate::spec::{PipelineSpec, SourceSpec};
use crate::time::EventTime;
use crate::window::Window;

/// The rows of one table that matter to one window, in the order of (file, row).
#[derive(Clone, Debug, Default)]
pub(super) struct WindowRows {
    pub(super) pieces: Vec<Piece>,
}

/// Some rows of one file.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The file's key.
    pub(super) key: Arc<str>,
    /// The rows.
    pub(super) batch: RecordBatch,
    /// The event time of each; nothing where all rows are used.
    pub(super) times: Vec<EventTime>,
    /// Which row of the file each is, from 0; nothing where all rows are used.
    pub(super) rows: Vec<u64>,
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
    let tables = added_by_table(executor);
    for (id, wanted) in wanted_by_file(executor.spec, due) {
        let added = tables.get(id.table.as_str()).map(Vec::as_slice).unwrap_or_default();
        let pieces = caught(read(executor, id, added, &wanted, &memory)).await;
        let pieces = pieces.unwrap_or_else(|| Err(panicked(&name_of(executor, id))));
        for (place, wanted) in wanted.iter().enumerate() {
            let Some(rows) = windows.get_mut(&wanted.window.start()) else { continue };
            match (&pieces, rows) {
                (Err(why), rows @ Ok(_)) => *rows = Err(why.clone()),
                (Ok(pieces), Ok(rows)) => {
                    let table = rows.entry(id.table.clone()).or_default();
                    table.pieces.extend(pieces[place].iter().cloned());
                }
                (_, Err(_)) => {}
            }
        }
    }
    Routed { windows, _memory: memory }
}

/// What the file is called in messages.
fn name_of(executor: &Executor<'_>, id: &FileId) -> String {
    let store = executor.sources.get(&id.table);
    store.map_or_else(|| id.key.clone(), |store| store.store().name_of(&id.key))
}

/// What a window needs of a file.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    window: Window,
    /// What of the file's table matters to it.
    reach: Window,
    /// How many rows that is by the ledger.
    rows: u64,
}

/// What windows, which are ascending, need of each file.
fn wanted_by_file<'a>(
    spec: &PipelineSpec,
    due: &[&'a DueWindow],
) -> BTreeMap<&'a FileId, Vec<Wanted>> {
    let mut files: BTreeMap<&FileId, Vec<Wanted>> = BTreeMap::new();
    for due in due {
        for input in &due.inputs {
            let reach = spec.reach(&input.file.table).of(&spec.grid, due.window);
            let wanted = Wanted { window: due.window, reach, rows: input.all() };
            files.entry(&input.file).or_default().push(wanted);
        }
    }
    files
}

/// The columns of each table that are not in its files.
fn added_by_table<'a>(executor: &'a Executor<'_>) -> BTreeMap<&'a str, Vec<AddedColumn>> {
    let of = |source: &'a SourceSpec| {
        let listed = executor.listed.keys().filter(|id| id.table == source.table);
        let added = added_columns(source, listed.map(|id| id.key.as_str()));
        (source.table.as_str(), added)
    };
    executor.spec.sources.iter().map(of).collect()
}

/// The rows of one file for each of `wanted`, which is ascending.
async fn read(
    executor: &Executor<'_>,
    id: &FileId,
    added: &[AddedColumn],
    wanted: &[Wanted],
    memory: &MemoryReservation,
) -> Result<Vec<Vec<Piece>>> {
    let file = FileScan::open(executor, id, added).await?;
    let seen: Vec<Window> = wanted.iter().map(|wanted| wanted.reach).collect();
    let reserve = |bytes: usize| {
        memory.try_grow(bytes).map_err(|why| {
            Error::new(Code::WindowTooLarge, format!("the rows of the window do not fit: {why}"))
                .hint("raise `memory_limit` in [engine]; rows are not spilled by this version")
        })
    };
    let pieces = file.run(&seen, reserve).await?;
    for (piece, Wanted { window, rows: expected, .. }) in pieces.iter().zip(wanted) {
        let found: usize = piece.iter().map(|piece| piece.batch.num_rows()).sum();
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

/// An admitted file as it was listed, and what is known of it.
pub(super) async fn open_input<'a>(
    spec: &'a PipelineSpec,
    sources: &SourceStores,
    listed: &BTreeMap<FileId, Listed>,
    ledger: &'a Ledger,
    id: &FileId,
) -> Result<(&'a SourceSpec, &'a FileRecord, OpenFile)> {
    let source = spec.source(&id.table).ok_or_else(|| unknown("the source", id))?;
    let store = sources.get(&id.table).ok_or_else(|| unknown("the store", id))?;
    let listed = listed.get(id).ok_or_else(|| unknown("the listing", id))?;
    let record = &ledger.file(id).ok_or_else(|| unknown("the record", id))?.record;
    Ok((source, record, open_listed(store, listed).await?))
}

fn unknown(what: &str, id: &FileId) -> Error {
    Error::new(Code::Bug, format!("{what} of {} is not known", id.key))
}

/// A file that is about to be read for some windows.
struct FileScan {
    file: OpenFile,
    key: Arc<str>,
    /// Whether not every row need be used.
    is_judged: bool,
    times: RowTimes,
    judge: Judge,
    /// What came too late when the file was admitted, ascending.
    expired: Vec<Window>,
    /// The columns of the table, in order.
    schema: SchemaRef,
    /// Where each column of the table comes from.
    origins: Vec<Origin>,
    /// Root columns of the file to decode, ascending.
    roots: Vec<usize>,
}

/// Where the event times of rows come from.
enum RowTimes {
    Column(TimeColumn),
    /// All rows of the file have this one.
    All(EventTime),
}

impl FileScan {
    async fn open(executor: &Executor<'_>, id: &FileId, added: &[AddedColumn]) -> Result<Self> {
        let schema = executor.columns(&id.table).ok_or_else(|| unknown("the schema", id))?;
        Self::open_as(executor, id, added, schema).await
    }

    /// The file, to be read as rows of the columns `schema`.
    async fn open_as(
        executor: &Executor<'_>,
        id: &FileId,
        added: &[AddedColumn],
        schema: &SchemaRef,
    ) -> Result<Self> {
        let Executor { spec, sources, listed, ledger, .. } = executor;
        let (source, record, file) = open_input(spec, sources, listed, ledger, id).await?;
        let times = match (&source.event_time, record.event_range) {
            (Some(_), _) => {
                RowTimes::Column(TimeColumn::find(source, file.schema(), &file.name())?)
            }
            (None, range) => RowTimes::All(range.ok_or_else(|| unknown("the event time", id))?.0),
        };
        let (origins, roots) = origins(source, &file, schema, added, times.column())?;
        let judge = Judge::new(record.arrived_at, source.max_future);
        let expired = expired_cells(spec, source, record);
        let (key, schema) = (Arc::from(id.key.as_str()), schema.clone());
        let is_judged = source.is_judged();
        Ok(Self { file, key, is_judged, times, judge, expired, schema, origins, roots })
    }

    /// The rows for each of what is `seen`, which is ascending by start and by end.
    async fn run(
        &self,
        seen: &[Window],
        reserve: impl Fn(usize) -> Result<()>,
    ) -> Result<Vec<Vec<Piece>>> {
        let (reader, metadata) = (self.file.reader(), self.file.metadata.clone());
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.roots.iter().copied());
        let stream = builder.with_projection(mask).build();
        let mut stream = stream.map_err(|why| self.file.failure(&why))?;
        let mut pieces = vec![Vec::new(); seen.len()];
        let mut first_row: u64 = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|why| self.file.failure(&why))?;
            let times = self.times_of(&batch)?;
            for (pieces, rows) in pieces.iter_mut().zip(self.rows_by_window(seen, &times)) {
                if !rows.is_empty() {
                    let piece = self.piece(&batch, first_row, &times, rows)?;
                    reserve(piece.bytes())?;
                    pieces.push(piece);
                }
            }
            let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            first_row = first_row.saturating_add(rows);
        }
        Ok(pieces)
    }

    /// The event time of each row of a decoded batch; `None` if it has none that can be used.
    fn times_of(&self, batch: &RecordBatch) -> Result<Vec<Option<EventTime>>> {
        let column = match &self.times {
            RowTimes::Column(column) => column,
            RowTimes::All(at) => return Ok(vec![Some(*at); batch.num_rows()]),
        };
        let place = self.roots.binary_search(&column.index).unwrap_or_default();
        let times = column.micros(batch.column(place))?.into_iter();
        let usable = |micros| match self.judge.verdict(micros) {
            Verdict::Usable(at) => Some(at),
            Verdict::NoTime | Verdict::Future => None,
        };
        Ok(times.map(usable).collect())
    }

    /// The places of the rows that each of `seen` holds.
    fn rows_by_window(&self, seen: &[Window], times: &[Option<EventTime>]) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); seen.len()];
        let mut first = 0;
        for (row, at) in (0_u32..).zip(times) {
            let Some(at) = at.filter(|at| !self.is_expired(*at)) else { continue };
            // Rows mostly come in order: the first window that sees one is that of the row before.
            let is_first = seen.get(first).is_none_or(|seen| at < seen.end())
                && first.checked_sub(1).is_none_or(|before| seen[before].end() <= at);
            if !is_first {
                first = seen.partition_point(|seen| seen.end() <= at);
            }
            let seeing = seen[first..].iter().take_while(|seen| seen.start() <= at).count();
            rows[first..].iter_mut().take(seeing).for_each(|rows| rows.push(row));
        }
        rows
    }

    fn is_expired(&self, at: EventTime) -> bool {
        let place = self.expired.partition_point(|expired| expired.end() <= at);
        self.expired.get(place).is_some_and(|expired| expired.contains(at))
    }

    /// Some rows of a decoded batch, the first of which is row `first_row` of the file.
    fn piece(
        &self,
        batch: &RecordBatch,
        first_row: u64,
        times: &[Option<EventTime>],
        rows: Vec<u32>,
    ) -> Result<Piece> {
        let (mut at, mut places) = (Vec::new(), Vec::new());
        if self.is_judged {
            at.reserve_exact(rows.len());
            places.reserve_exact(rows.len());
            for row in &rows {
                let time = usize::try_from(*row).ok().and_then(|row| *times.get(row)?);
                at.push(time.unwrap_or(EventTime::FIRST));
                places.push(first_row.saturating_add(u64::from(*row)));
            }
        }
        let batch = self.take(batch, &UInt32Array::from(rows), first_row)?;
        Ok(Piece { key: self.key.clone(), batch, times: at, rows: places })
    }

    /// Some rows of a decoded batch, as rows of the table; `before` rows of the file come before
    /// the batch.
    fn take(&self, batch: &RecordBatch, rows: &UInt32Array, before: u64) -> Result<RecordBatch> {
        let column = |origin: &Origin| match origin {
            Origin::Decoded(column) => column.take(batch, rows, before),
            Origin::Missing(kind) => Ok(new_null_array(kind, rows.len())),
            Origin::Added(column) => column.values(&self.key, self.times.of_all(), rows.len()),
        };
        let columns = self.origins.iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|why| Error::new(Code::Bug, format!("rows do not fit their table: {why}")))
    }
}

impl Piece {
    /// The memory it takes.
    fn bytes(&self) -> usize {
        let each = size_of::<EventTime>().saturating_add(size_of::<u64>());
        let beside = self.times.len().saturating_mul(each);
        self.batch.get_array_memory_size().saturating_add(beside)
    }
}

impl RowTimes {
    /// The place of the column they are in.
    fn column(&self) -> Option<usize> {
        match self {
            Self::Column(column) => Some(column.index),
            Self::All(_) => None,
        }
    }

    /// The one that all rows have.
    fn of_all(&self) -> Option<EventTime> {
        match self {
            Self::Column(_) => None,
            Self::All(at) => Some(*at),
        }
    }
}

/// What came too late when the file was admitted, ascending.
pub(super) fn expired_cells(
    spec: &PipelineSpec,
    source: &SourceSpec,
    record: &FileRecord,
) -> Vec<Window> {
    let cells = record.expired.iter();
    cells.filter_map(|(cell, _)| source.margins.cell_at(&spec.grid, *cell)).collect()
}
