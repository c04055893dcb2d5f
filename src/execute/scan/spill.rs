//! Rows that wait on disk: compressed Arrow files in the folder for spilled rows, each gone with
//! the last who knows of it.

use std::fmt;
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use datafusion::common::config::SpillCompression;
use datafusion::error::DataFusionError;
use datafusion::execution::SpillFile;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use futures::StreamExt;

use super::piece::Piece;
use crate::error::{Code, Error, Result};
use crate::execute::session::Engine;
use crate::time::EventTime;

/// What the columns beside those of the table are called. They are found by place.
const BESIDE: [&str; 2] = ["event time", "row"];

/// Writes rows to disk.
#[derive(Debug)]
pub(super) struct Spill {
    engine: Engine,
}

/// Pieces on disk, in the order they were given in.
#[derive(Clone)]
pub(super) struct Spilled {
    manager: Arc<SpillManager>,
    file: Arc<dyn SpillFile>,
    heads: Arc<[Head]>,
    /// The columns of the table.
    schema: SchemaRef,
    /// The memory that they took.
    pub(super) bytes: usize,
}

/// What of a piece stays in memory.
#[derive(Debug)]
struct Head {
    key: Arc<str>,
    first_row: u64,
    rows: usize,
    /// Whether its rows are told apart.
    is_told_apart: bool,
}

impl Spill {
    pub(super) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone() }
    }

    /// A claim on the memory limit for rows that are read back.
    pub(super) fn reserve_read_rows(&self) -> MemoryReservation {
        self.engine.reserve_routed_rows()
    }

    /// Writes `pieces`, which have rows of one cell.
    ///
    /// # Errors
    /// If there is nothing to write, or the disk fails.
    pub(super) fn write(&self, pieces: Vec<Piece>) -> Result<Spilled> {
        let nothing = || Error::new(Code::Bug, "no rows were to be spilled");
        let schema = pieces.first().ok_or_else(nothing)?.batch.schema();
        let bytes = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.bytes()));
        let mut heads = Vec::with_capacity(pieces.len());
        let (mut batches, mut times, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            let count = piece.batch.num_rows();
            let is_told_apart = !piece.rows.is_empty();
            let Piece { key, first_row, .. } = piece;
            heads.push(Head { key, first_row, rows: count, is_told_apart });
            times.extend(piece.times.into_iter().map(EventTime::micros));
            times.resize(times.len().max(rows.len().saturating_add(count)), 0);
            rows.extend(piece.rows);
            rows.resize(times.len(), 0);
            batches.push(piece.batch);
        }
        let whole = concat_batches(&schema, &batches).map_err(|why| not_combined(&why))?;
        drop(batches);
        let beside: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(times)), Arc::new(UInt64Array::from(rows))];
        let columns = whole.columns().iter().cloned().chain(beside).collect();
        let stored = RecordBatch::try_new(stored_schema(&schema), columns);
        let stored = stored.map_err(|why| not_combined(&why))?;
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let manager = SpillManager::new(self.engine.runtime(), metrics, stored.schema())
            .with_compression_type(SpillCompression::Lz4Frame);
        let file = manager.spill_record_batch_and_finish(&[stored], "routed rows");
        let file = file.map_err(|why| not_written(&why))?.ok_or_else(nothing)?;
        Ok(Spilled { manager: Arc::new(manager), file, heads: heads.into(), schema, bytes })
    }
}

impl Spilled {
    /// The pieces, read back.
    ///
    /// # Errors
    /// If the file is not as it was written.
    pub(super) async fn read(&self) -> Result<Vec<Piece>> {
        let stream = self.manager.read_spill_as_stream_unbuffered(self.file.clone(), None);
        let mut stream = stream.map_err(|why| not_read(&why))?;
        let stored = match stream.next().await {
            Some(stored) => stored.map_err(|why| not_read(&why))?,
            None => return Err(not_read(&"it is empty")),
        };
        let columns = self.schema.fields().len();
        let beside = |place: usize| stored.columns().get(columns.saturating_add(place));
        let (Some(times), Some(rows)) = (beside(0), beside(1)) else {
            return Err(not_read(&"it lacks columns"));
        };
        let (times, rows) = (times.as_primitive::<Int64Type>(), rows.as_primitive::<UInt64Type>());
        let whole = stored.project(&(0..columns).collect::<Vec<_>>());
        let whole = whole.map_err(|why| not_combined(&why))?.with_schema(self.schema.clone());
        let whole = whole.map_err(|why| not_combined(&why))?;
        let mut pieces = Vec::with_capacity(self.heads.len());
        let mut first: usize = 0;
        for head in self.heads.iter() {
            let end = first.saturating_add(head.rows);
            let (mut at, mut places) = (Vec::new(), Vec::new());
            if head.is_told_apart {
                let times = times.values().get(first..end).unwrap_or_default();
                at = times.iter().copied().map(EventTime::from_micros).collect();
                places = rows.values().get(first..end).unwrap_or_default().to_vec();
            }
            pieces.push(Piece {
                key: head.key.clone(),
                first_row: head.first_row,
                batch: whole.slice(first, head.rows),
                times: at,
                rows: places,
            });
            first = end;
        }
        Ok(pieces)
    }
}

fn stored_schema(schema: &SchemaRef) -> SchemaRef {
    let [time, row] = BESIDE;
    let beside = [
        Arc::new(Field::new(time, DataType::Int64, false)),
        Arc::new(Field::new(row, DataType::UInt64, false)),
    ];
    Arc::new(Schema::new(schema.fields().iter().cloned().chain(beside).collect::<Vec<_>>()))
}

fn not_combined(why: &ArrowError) -> Error {
    Error::new(Code::Bug, format!("rows that wait on disk cannot be put together: {why}"))
}

fn not_written(why: &DataFusionError) -> Error {
    let text = format!("rows cannot be moved to disk: {why}");
    let hint = if text.contains("Too many open files") {
        "raise the limit on open files (`ulimit -n`), or `memory_limit`"
    } else {
        "make room in `temp_directory` of [engine], or raise `memory_limit`"
    };
    Error::new(Code::StorageFull, text)
        .note("nothing half-written is visible, and committed windows stand")
        .hint(hint)
}

fn not_read(why: &dyn std::fmt::Display) -> Error {
    Error::new(
        Code::StoreFailed,
        format!("rows that were moved to disk cannot be read back: {why}"),
    )
    .note("the window was not published; its previous output, if any, stands")
    .hint("see that nothing else removes files from `temp_directory` of [engine]")
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spilled").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
