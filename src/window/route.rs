//! Hands rows to the windows or cells that they lie in, in one pass whatever their number.

use super::Window;
use crate::time::EventTime;

/// For each of `cells`, which are ascending and do not overlap, the places of the rows that lie in
/// it, ascending. Rows that lie in none, or have no time, are passed over.
#[must_use]
pub fn rows_by_cell(cells: &[Window], times: &[Option<EventTime>]) -> Vec<Vec<u32>> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> EventTime {
        EventTime::from_micros(micros)
    }

    proptest! {
        /// Against the obvious way: ask every cell about every row.
        #[test]
        fn a_row_goes_to_the_cell_it_lies_in_and_to_no_other(
            edges in prop::collection::btree_set(0_i64..100, 0..12),
            gaps in prop::collection::vec(any::<bool>(), 12),
            times in prop::collection::vec(prop::option::weighted(0.9, -5_i64..105), 0..60),
        ) {
            let edges: Vec<i64> = edges.into_iter().collect();
            let cells: Vec<Window> = edges
                .windows(2)
                .zip(gaps)
                .filter(|(_, is_there)| *is_there)
                .map(|(edges, _)| Window::new(at(edges[0]), at(edges[1])).unwrap())
                .collect();
            let times: Vec<_> = times.into_iter().map(|micros| micros.map(at)).collect();
            let expected: Vec<Vec<u32>> = cells
                .iter()
                .map(|cell| {
                    let rows = (0_u32..).zip(&times);
                    let own = rows.filter(|(_, at)| at.is_some_and(|at| cell.contains(at)));
                    own.map(|(row, _)| row).collect()
                })
                .collect();
            prop_assert_eq!(rows_by_cell(&cells, &times), expected);
        }
    }
}
