//! The rows of a window in their order: by file, then by row.

use arrow::array::UInt32Array;
use arrow::compute::{concat_batches, take_record_batch};

use super::piece::Piece;
use crate::error::{Code, Error, Result};
use crate::execute::sql::bug;

/// Puts `pieces`, which may be of several cells, in the order of (file, row). Rows that were
/// decoded together become one piece again.
///
/// # Errors
/// If they are not of one table.
pub(super) fn in_order(mut pieces: Vec<Piece>) -> Result<Vec<Piece>> {
    pieces.sort_by(|a, b| (&a.key, a.first_row).cmp(&(&b.key, b.first_row)));
    let mut ordered: Vec<Piece> = Vec::with_capacity(pieces.len());
    let mut together: Vec<Piece> = Vec::new();
    for piece in pieces {
        let is_next = together
            .first()
            .is_some_and(|first| (&first.key, first.first_row) != (&piece.key, piece.first_row));
        if is_next {
            ordered.push(joined(std::mem::take(&mut together))?);
        }
        together.push(piece);
    }
    if !together.is_empty() {
        ordered.push(joined(together)?);
    }
    Ok(ordered)
}

/// Pieces that were decoded together as one, in the order of their rows.
fn joined(mut pieces: Vec<Piece>) -> Result<Piece> {
    if pieces.len() == 1
        && let Some(piece) = pieces.pop()
    {
        return Ok(piece);
    }
    let failed = |why: arrow::error::ArrowError| bug(&why.into());
    let batches: Vec<_> = pieces.iter().map(|piece| piece.batch.clone()).collect();
    let (mut key, mut first_row, mut times, mut rows) = (None, 0, Vec::new(), Vec::new());
    for piece in pieces {
        times.extend(piece.times);
        rows.extend(piece.rows);
        first_row = piece.first_row;
        key = Some(piece.key);
    }
    let nothing = || Error::new(Code::Bug, "no rows were to be put in order");
    let schema = batches.first().ok_or_else(nothing)?.schema();
    let batch = concat_batches(&schema, &batches);
    let batch = batch.map_err(failed)?;
    let mut order: Vec<u32> = (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).collect();
    let row_at = |place: &u32| usize::try_from(*place).ok().and_then(|place| rows.get(place));
    order.sort_unstable_by_key(row_at);
    let picked = |place: &u32| usize::try_from(*place).unwrap_or(usize::MAX);
    let times = order.iter().filter_map(|place| times.get(picked(place)).copied()).collect();
    let sorted = order.iter().filter_map(|place| rows.get(picked(place)).copied()).collect();
    let batch = take_record_batch(&batch, &UInt32Array::from(order)).map_err(failed)?;
    let key = key.unwrap_or_else(|| "".into());
    Ok(Piece { key, first_row, batch, times, rows: sorted })
}
