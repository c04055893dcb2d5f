//! Cuts a plan into batches, each begun, computed and committed as one.

use super::{DueWindow, Plan};
use crate::state::TimeRange;

/// The most windows of one batch: how much work a kill can undo.
pub(super) const WINDOWS_MAX: usize = 64;

/// The most bytes, as they are in memory, that the rows of a batch should have: for large windows,
/// how much work a kill can undo.
pub const BATCH_BYTES_MAX: u64 = 1 << 30;

/// The most empty stretches of one batch: bounds the size of its log entry.
pub(super) const EMPTY_MAX: usize = 10_000;

/// The windows and empty stretches of one batch, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchPlan {
    /// The windows to compute.
    pub windows: Vec<DueWindow>,
    /// The stretches without a row.
    pub empty: Vec<TimeRange>,
}

/// Cuts `plan` into batches in its order of work. A batch ends at [`WINDOWS_MAX`] windows, or
/// before its rows take more than `bytes_in_memory_max` bytes; a window that is larger by itself is
/// a batch of its own.
#[must_use]
pub fn batches(plan: &Plan, bytes_in_memory_max: u64) -> Vec<BatchPlan> {
    let mut batches = Vec::new();
    let mut batch = BatchPlan::default();
    let mut bytes: u64 = 0;
    for due in &plan.windows {
        let more = bytes.saturating_add(due.bytes_in_memory);
        let is_full = batch.windows.len() >= WINDOWS_MAX || more > bytes_in_memory_max;
        if is_full && !batch.windows.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes = bytes.saturating_add(due.bytes_in_memory);
        batch.windows.push(due.clone());
    }
    if !batch.windows.is_empty() {
        batches.push(batch);
    }
    for (place, empty) in plan.empty.chunks(EMPTY_MAX).enumerate() {
        match batches.get_mut(place) {
            Some(batch) => batch.empty = empty.to_vec(),
            None => batches.push(BatchPlan { windows: Vec::new(), empty: empty.to_vec() }),
        }
    }
    for batch in &mut batches {
        batch.windows.sort_by_key(|due| due.window);
    }
    batches
}
