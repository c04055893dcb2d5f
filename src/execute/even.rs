//! Rows in batches of one length, whatever batches they were read in: what a query gives, down to
//! the last bit of a sum, depends on the rows and their order, and on nothing else.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::sql::bug;
use crate::error::Result;

/// The rows of a batch: what `DataFusion` works with by itself.
const BATCH_ROWS: usize = 8_192;

/// Collects rows.
#[derive(Debug)]
pub(super) struct Even {
    coalescer: BatchCoalescer,
}

impl Even {
    /// No rows yet, of these columns.
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self { coalescer: BatchCoalescer::new(schema.clone(), BATCH_ROWS) }
    }

    /// Adds the rows of `batch` for which `is_in` is true; all of them, if it is `None`.
    pub(super) fn add(&mut self, batch: RecordBatch, is_in: Option<&BooleanArray>) -> Result<()> {
        let added = match is_in {
            Some(is_in) => self.coalescer.push_batch_with_filter(batch, is_in),
            None => self.coalescer.push_batch(batch),
        };
        added.map_err(failed)
    }

    /// The rows, in the order in which they were added.
    pub(super) fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.coalescer.finish_buffered_batch().map_err(failed)?;
        Ok(std::iter::from_fn(|| self.coalescer.next_completed_batch()).collect())
    }
}

fn failed(why: ArrowError) -> crate::error::Error {
    bug(&why.into())
}
