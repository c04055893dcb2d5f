//! Looks in a file for the rows that a condition holds for.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, UInt32Array, as_boolean_array};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::{FileScan, RowTimes, added_columns};
use crate::error::{Code, Error, Result};
use crate::execute::{Executor, message};
use crate::ledger::FileId;
use crate::source::Verdict;

/// A row that was found: which of its file, from 0, and what its event time is good for.
pub type FoundRow = (u64, Verdict);

/// The rows of the file `id` for which `condition` holds over its columns `schema`, and which
/// `is_wanted`: the first `most` of them.
pub(in crate::execute) async fn find(
    executor: &Executor<'_>,
    id: &FileId,
    schema: &SchemaRef,
    condition: &Arc<dyn PhysicalExpr>,
    is_wanted: impl Fn(Verdict) -> bool,
    most: usize,
) -> Result<Vec<FoundRow>> {
    let source = executor.spec.source(&id.table);
    let source = source.ok_or_else(|| Error::new(Code::Bug, "the source is not known"))?;
    let listed = executor.listed.keys().filter(|listed| listed.table == id.table);
    let added = added_columns(source, listed.map(|id| id.key.as_str()));
    let scan = FileScan::open_as(executor, id, &added, schema).await?;
    let (reader, metadata) = (scan.file.reader(), scan.file.metadata.clone());
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
    let mask = ProjectionMask::roots(builder.parquet_schema(), scan.roots.iter().copied());
    let stream = builder.with_projection(mask).build();
    let mut stream = stream.map_err(|why| scan.file.failure(&why))?;
    let mut found = Vec::new();
    let mut first_row: u64 = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|why| scan.file.failure(&why))?;
        let count = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
        let rows = scan.take(&batch, &(0..count).collect::<UInt32Array>(), first_row)?;
        let holds = condition.evaluate(&rows).and_then(|value| value.into_array(rows.num_rows()));
        let holds = holds.map_err(|why| {
            let text = format!("the condition failed over a row: {}", message::said(&why));
            Error::new(Code::SqlFailed, text)
        })?;
        let holds: &BooleanArray = as_boolean_array(&holds);
        if holds.true_count() > 0 {
            let verdicts = scan.verdicts(&batch)?;
            for (row, (verdict, place)) in (first_row..).zip(verdicts.into_iter().zip(0..)) {
                if holds.is_valid(place) && holds.value(place) && is_wanted(verdict) {
                    found.push((row, verdict));
                    if found.len() >= most {
                        return Ok(found);
                    }
                }
            }
        }
        first_row = first_row.saturating_add(u64::from(count));
    }
    Ok(found)
}

impl FileScan {
    /// What the event time of each row of a decoded batch is good for.
    fn verdicts(&self, batch: &arrow::array::RecordBatch) -> Result<Vec<Verdict>> {
        let column = match &self.times {
            RowTimes::Column(column) => column,
            RowTimes::All(at) => return Ok(vec![Verdict::Usable(*at); batch.num_rows()]),
        };
        let place = self.roots.binary_search(&column.index).unwrap_or_default();
        let times = column.micros(batch.column(place))?.into_iter();
        Ok(times.map(|micros| self.judge.verdict(micros)).collect())
    }
}
