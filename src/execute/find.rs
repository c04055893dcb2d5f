//! Looks in a file for the rows that a condition holds for.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, as_boolean_array};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use super::scan::FileScan;
use super::{Executor, message};
use crate::error::{Code, Error, Result};
use crate::ledger::FileId;
use crate::source::Verdict;

/// A row that was found: which of its file, from 0, and what its event time is good for.
pub type FoundRow = (u64, Verdict);

/// The rows of the file `id` for which `condition` holds over its columns `schema`, and which
/// `is_wanted`: the first `most` of them.
pub(super) async fn find(
    executor: &Executor<'_>,
    id: &FileId,
    schema: &SchemaRef,
    condition: &Arc<dyn PhysicalExpr>,
    is_wanted: impl Fn(Verdict) -> bool,
    most: usize,
) -> Result<Vec<FoundRow>> {
    let file = FileScan::open(&executor.input(id)?, schema, &executor.added(&id.table)).await?;
    let mut found = Vec::new();
    file.each_batch(|first_row, rows, verdicts| {
        let holds = condition.evaluate(&rows).and_then(|value| value.into_array(rows.num_rows()));
        let holds = holds.map_err(|why| {
            let text = format!("the condition failed over a row: {}", message::said(&why));
            Error::new(Code::SqlFailed, text)
        })?;
        let holds: &BooleanArray = as_boolean_array(&holds);
        for (row, (verdict, place)) in (first_row..).zip(verdicts.into_iter().zip(0..)) {
            if found.len() < most
                && holds.is_valid(place)
                && holds.value(place)
                && is_wanted(verdict)
            {
                found.push((row, verdict));
            }
        }
        Ok(found.len() < most)
    })
    .await?;
    Ok(found)
}
