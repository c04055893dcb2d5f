//! Hands the rows of a decoded batch to the cells that they lie in, in one pass whatever their
//! number. Pure: it reads nothing.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::time::EventTime;
use crate::window::Window;

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

/// For each of `cells`, which are ascending and do not overlap, the places of the rows that lie in
/// it, ascending. Rows that lie in none are passed over.
pub(super) fn rows_by_cell(cells: &[Window], times: &[Option<EventTime>]) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); cells.len()];
    let mut here = 0;
    for (row, at) in (0_u32..).zip(times) {
        let Some(at) = *at else { continue };
        // Rows mostly lie in the cell of the row before.
        if !cells.get(here).is_some_and(|cell| cell.contains(at)) {
            here = cells.partition_point(|cell| cell.end() <= at);
            if !cells.get(here).is_some_and(|cell| cell.contains(at)) {
                continue;
            }
        }
        if let Some(rows) = rows.get_mut(here) {
            rows.push(row);
        }
    }
    rows
}
