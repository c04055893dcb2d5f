//! Rows of one cell, as a scan hands them on.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::time::EventTime;

/// Rows of one cell that were decoded together, in the order of the file.
#[derive(Clone, Debug)]
pub(in crate::execute) struct Piece {
    /// The file's key.
    pub(in crate::execute) key: Arc<str>,
    /// The row of the file that was decoded first, from 0: it tells the pieces of a file apart.
    pub(in crate::execute) first_row: u64,
    /// The rows.
    pub(in crate::execute) batch: RecordBatch,
    /// The event time of each; nothing where none is asked for.
    pub(in crate::execute) times: Vec<EventTime>,
    /// Which row of the file each is, from 0; nothing where none is asked for.
    pub(in crate::execute) rows: Vec<u64>,
}

impl Piece {
    /// The memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let each = size_of::<EventTime>().saturating_add(size_of::<u64>());
        let beside = self.times.len().saturating_mul(each);
        self.batch.get_array_memory_size().saturating_add(beside)
    }
}
