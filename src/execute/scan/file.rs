//! One admitted file as rows of its table: opened once, decoded in units, each row handed to the
//! cell that it lies in.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;

use super::piece::Piece;
use crate::error::{Code, Error, Result};
use crate::execute::Executor;
use crate::execute::columns::{Origin, origins};
use crate::execute::table::AddedColumn;
use crate::ledger::{FileId, FileRecord, Ledger};
use crate::source::{
    Judge, Listed, Listing, OpenFile, SourceStore, SourceStores, TimeColumn, Verdict, open_listed,
};
use crate::spec::{PipelineSpec, SourceSpec};
use crate::time::EventTime;
use crate::window::{Window, rows_by_cell};

/// How many rows are decoded in one go, at least: a file of many small row groups is read in few
/// steps, and one of large ones on all cores.
const UNIT_ROWS_MIN: u64 = 1 << 17;

/// The most rows of one decoded batch: large batches cost less where rows lie in many cells.
const DECODED_ROWS_MAX: u64 = 1 << 16;

/// How many bytes a decoded batch should take, which makes it shorter where rows are wide.
const DECODED_BYTES: u64 = 16 << 20;

/// An admitted file as it was listed, and what is known of it.
#[derive(Clone, Debug)]
pub(in crate::execute) struct Input {
    pub(in crate::execute) source: SourceSpec,
    pub(in crate::execute) record: FileRecord,
    store: Arc<SourceStore>,
    listed: Listed,
}

impl Input {
    /// The file `id`.
    pub(in crate::execute) fn find(
        spec: &PipelineSpec,
        sources: &SourceStores,
        listed: &Listing,
        ledger: &Ledger,
        id: &FileId,
    ) -> Result<Self> {
        let unknown =
            |what: &str| Error::new(Code::Bug, format!("the {what} of {} is not known", id.key));
        Ok(Self {
            source: spec.source(&id.table).ok_or_else(|| unknown("source"))?.clone(),
            record: ledger.file(id).ok_or_else(|| unknown("record"))?.record.clone(),
            store: sources.get(&id.table).ok_or_else(|| unknown("store"))?.clone(),
            listed: listed.get(id).ok_or_else(|| unknown("listing"))?.clone(),
        })
    }

    /// Reads its footer. It must still be what was listed.
    pub(in crate::execute) async fn open(&self) -> Result<OpenFile> {
        open_listed(&self.store, &self.listed).await
    }

    /// The file's name, for messages.
    pub(in crate::execute) fn name(&self) -> String {
        self.store.store().name_of(&self.record.id.key)
    }
}

/// A file that is read as rows of its table.
#[derive(Debug)]
pub(in crate::execute) struct FileScan {
    file: OpenFile,
    key: Arc<str>,
    /// Whether it matters which row of the file a row is, and when it happened.
    is_told_apart: bool,
    times: RowTimes,
    judge: Judge,
    /// The columns of the table, in order.
    schema: SchemaRef,
    /// Where each column of the table comes from.
    origins: Vec<Origin>,
    /// Root columns of the file to decode, ascending.
    roots: Vec<usize>,
}

/// Where the event times of rows come from.
#[derive(Debug)]
enum RowTimes {
    Column(TimeColumn),
    /// All rows of the file have this one.
    All(EventTime),
}

/// Row groups that follow each other, decoded in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::execute) struct Unit {
    groups: Vec<usize>,
    /// The row of the file that its first row is, from 0.
    first_row: u64,
    rows: u64,
}

impl FileScan {
    /// Opens `input`, to be read as rows of the columns `schema`, of which `added` are in no file.
    ///
    /// # Errors
    /// If it cannot be read, is not what was listed, or lacks a column.
    pub(in crate::execute) async fn open(
        input: &Input,
        schema: &SchemaRef,
        added: &[AddedColumn],
    ) -> Result<Self> {
        let Input { source, record, .. } = input;
        let file = input.open().await?;
        let no_time =
            || Error::new(Code::Bug, format!("the event time of {} is not known", record.id.key));
        let times = match (&source.event_time, record.event_range) {
            (Some(_), _) => {
                RowTimes::Column(TimeColumn::find(source, file.schema(), &file.name())?)
            }
            (None, range) => RowTimes::All(range.ok_or_else(no_time)?.0),
        };
        let (origins, roots) = origins(source, &file, schema, added, times.column())?;
        Ok(Self {
            key: Arc::from(record.id.key.as_str()),
            is_told_apart: source.is_judged() || !source.reach().is_none(),
            judge: Judge::new(record.arrived_at, source.max_future),
            schema: schema.clone(),
            file,
            times,
            origins,
            roots,
        })
    }

    /// The file's name, for messages.
    pub(in crate::execute) fn name(&self) -> String {
        self.file.name()
    }

    /// The units of the file, in its order, but for row groups which by the footer have no row in
    /// any of `cells`, which are ascending.
    pub(in crate::execute) fn units(&self, cells: &[Window]) -> Vec<Unit> {
        let bounds = match &self.times {
            RowTimes::Column(column) => column.bounds(&self.file),
            RowTimes::All(_) => Vec::new(),
        };
        let holds = |place: usize| match bounds.get(place) {
            Some(Some((first, last))) => {
                let first = EventTime::from_micros(*first);
                let next = cells.partition_point(|cell| cell.end() <= first);
                cells.get(next).is_some_and(|cell| cell.start().micros() <= *last)
            }
            Some(None) | None => true,
        };
        units_of(self.rows_by_group().enumerate().map(|(place, rows)| (rows, holds(place))))
    }

    /// The rows of each row group.
    fn rows_by_group(&self) -> impl Iterator<Item = u64> {
        let groups = self.file.metadata.metadata().row_groups().iter();
        groups.map(|group| u64::try_from(group.num_rows()).unwrap_or_default())
    }

    /// Decodes a unit and hands each piece to `give`, with the place of its cell in `cells`, which
    /// are ascending. How many rows each of `cells` has got.
    ///
    /// # Errors
    /// If the file cannot be read, or `give` fails.
    pub(in crate::execute) async fn read(
        &self,
        unit: &Unit,
        cells: &[Window],
        give: impl Fn(usize, Piece) -> Result<()>,
    ) -> Result<Vec<u64>> {
        let mut stream = self.decoded(unit)?;
        let mut counts = vec![0_u64; cells.len()];
        let mut first_row = unit.first_row;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|why| self.file.failure(&why))?;
            let times = self.times_of(&batch)?;
            for (cell, rows) in rows_by_cell(cells, &times).into_iter().enumerate() {
                if rows.is_empty() {
                    continue;
                }
                if let Some(count) = counts.get_mut(cell) {
                    *count = count.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                }
                give(cell, self.piece(&batch, first_row, &times, rows)?)?;
            }
            let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            first_row = first_row.saturating_add(rows);
        }
        Ok(counts)
    }

    /// The whole file, row by row: which row of the file a decoded batch begins with, its rows as
    /// rows of the table, and what the event time of each is good for.
    ///
    /// # Errors
    /// If the file cannot be read, or `see` fails. `see` says whether to go on.
    pub(in crate::execute) async fn each_batch(
        &self,
        mut see: impl FnMut(u64, RecordBatch, Vec<Verdict>) -> Result<bool>,
    ) -> Result<()> {
        for unit in units_of(self.rows_by_group().map(|rows| (rows, true))) {
            let mut stream = self.decoded(&unit)?;
            let mut first_row = unit.first_row;
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|why| self.file.failure(&why))?;
                let count = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
                let rows = self.take(&batch, &(0..count).collect::<UInt32Array>(), first_row)?;
                if !see(first_row, rows, self.verdicts(&batch)?)? {
                    return Ok(());
                }
                first_row = first_row.saturating_add(u64::from(count));
            }
        }
        Ok(())
    }

    fn decoded(
        &self,
        unit: &Unit,
    ) -> Result<impl Stream<Item = Result<RecordBatch, ParquetError>> + Unpin + use<>> {
        let (reader, metadata) = (self.file.reader(), self.file.metadata.clone());
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.roots.iter().copied());
        let stream = builder
            .with_projection(mask)
            .with_row_groups(unit.groups.clone())
            .with_batch_size(self.decoded_rows())
            .build();
        stream.map_err(|why| self.file.failure(&why))
    }

    /// How many rows are decoded together.
    fn decoded_rows(&self) -> usize {
        let groups = self.file.metadata.metadata().row_groups().iter();
        let bytes = groups.map(|group| u64::try_from(group.total_byte_size()).unwrap_or_default());
        let bytes = bytes.fold(0, u64::saturating_add);
        let per_row = bytes.checked_div(self.file.rows()).unwrap_or_default().max(1);
        let rows = DECODED_BYTES.checked_div(per_row).unwrap_or_default();
        usize::try_from(rows.clamp(1 << 10, DECODED_ROWS_MAX)).unwrap_or(usize::MAX)
    }

    /// What the event time of each row of a decoded batch is good for.
    fn verdicts(&self, batch: &RecordBatch) -> Result<Vec<Verdict>> {
        let column = match &self.times {
            RowTimes::Column(column) => column,
            RowTimes::All(at) => return Ok(vec![Verdict::Usable(*at); batch.num_rows()]),
        };
        let place = self.roots.binary_search(&column.index).unwrap_or_default();
        let times = column.micros(batch.column(place))?.into_iter();
        Ok(times.map(|micros| self.judge.verdict(micros)).collect())
    }

    /// The event time of each row of a decoded batch; `None` if it has none that can be used.
    fn times_of(&self, batch: &RecordBatch) -> Result<Vec<Option<EventTime>>> {
        let usable = |verdict| match verdict {
            Verdict::Usable(at) => Some(at),
            Verdict::NoTime | Verdict::Future => None,
        };
        Ok(self.verdicts(batch)?.into_iter().map(usable).collect())
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
        if self.is_told_apart {
            at.reserve_exact(rows.len());
            places.reserve_exact(rows.len());
            for row in &rows {
                let time = usize::try_from(*row).ok().and_then(|row| *times.get(row)?);
                at.push(time.unwrap_or(EventTime::FIRST));
                places.push(first_row.saturating_add(u64::from(*row)));
            }
        }
        let batch = self.take(batch, &UInt32Array::from(rows), first_row)?;
        Ok(Piece { key: self.key.clone(), first_row, batch, times: at, rows: places })
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

/// Row groups of so many rows as units: as few as have [`UNIT_ROWS_MIN`] rows each. Those that are
/// not wanted are in none, and no unit reaches over them.
fn units_of(groups: impl Iterator<Item = (u64, bool)>) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let (mut first_row, mut is_open): (u64, bool) = (0, false);
    for (group, (rows, is_wanted)) in groups.enumerate() {
        match units.last_mut() {
            _ if !is_wanted => {}
            Some(unit) if is_open && unit.rows < UNIT_ROWS_MIN => {
                unit.groups.push(group);
                unit.rows = unit.rows.saturating_add(rows);
            }
            _ => units.push(Unit { groups: vec![group], first_row, rows }),
        }
        is_open = is_wanted;
        first_row = first_row.saturating_add(rows);
    }
    units
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

impl Executor<'_> {
    /// An admitted file of the pipeline.
    pub(in crate::execute) fn input(&self, id: &FileId) -> Result<Input> {
        Input::find(self.spec, self.sources, self.listed, self.ledger, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_row_groups_share_a_unit_and_rows_keep_their_places() {
        let wanted = |rows: u64| (rows, true);
        let units = units_of([10, 0, UNIT_ROWS_MIN, 7, 5].map(wanted).into_iter());
        let starts: Vec<_> =
            units.iter().map(|unit| (unit.groups.clone(), unit.first_row)).collect();
        let second = UNIT_ROWS_MIN + 10;
        assert_eq!(starts, [(vec![0, 1, 2], 0), (vec![3, 4], second)]);
        assert_eq!(units.iter().map(|unit| unit.rows).sum::<u64>(), second + 12);
        assert_eq!(units_of(std::iter::empty()), []);
    }

    #[test]
    fn no_unit_reaches_over_a_row_group_that_is_passed_over() {
        let groups = [(10, true), (5, false), (20, true), (30, true), (7, false)];
        let units: Vec<_> = units_of(groups.into_iter())
            .into_iter()
            .map(|unit| (unit.groups, unit.first_row, unit.rows))
            .collect();
        assert_eq!(units, [(vec![0], 0, 10), (vec![2, 3], 15, 50)]);
    }
}
