//! What becomes of single rows, told with the rule or the row that decided it. They are judged as
//! in a run.

use super::dedup::RowId;
use super::{Fate, Judge};
use crate::error::Result;
use crate::execute::scan::Piece;
use crate::time::EventTime;
use crate::window::WindowGrid;

/// What becomes of a row of a closed window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowFate {
    /// The query is given it.
    Used,
    /// A rule puts it aside.
    Quarantined {
        /// The rule.
        rule: String,
        /// Why, in its words.
        reason: String,
    },
    /// A rule drops it.
    Dropped {
        /// The rule.
        rule: String,
    },
    /// A rule refuses its window.
    Refused {
        /// The rule.
        rule: String,
    },
    /// It is a duplicate of this row.
    Duplicate {
        /// File, row from 0, and event time of that row; `None` if it cannot be named.
        of: Option<(String, u64, EventTime)>,
    },
}

impl Judge {
    /// What becomes of the rows `wanted`, each a file and a row of it, among `pieces`, which are
    /// all that matter to their window; `None` of those that are not among them.
    pub(in crate::execute) fn trace(
        &self,
        grid: &WindowGrid,
        pieces: &[Piece],
        wanted: &[(String, u64)],
    ) -> Result<Vec<Option<RowFate>>> {
        let (passed, broken) = self.by_rules(pieces)?;
        let mut fates = passed.clone();
        if let Some(dedup) = &self.dedup {
            dedup.mark(grid, pieces, &mut fates)?;
        }
        let ids: Vec<Option<RowId>> = wanted.iter().map(|row| place(pieces, row)).collect();
        let fate_of = |(piece, row): RowId| fates.get(piece)?.get(row).copied();
        let is_lost = |id: &RowId| fate_of(*id) == Some(Fate::Duplicate);
        let lost: Vec<RowId> = ids.iter().flatten().copied().filter(is_lost).collect();
        let originals = match &self.dedup {
            Some(dedup) if !lost.is_empty() => dedup.lost_to(grid, pieces, &passed, &lost)?,
            _ => Vec::new(),
        };
        let tell = |id: RowId| {
            let broken = broken.get(id.0)?.get(id.1).copied().unwrap_or_default();
            let rule = self.rules.decider(broken).and_then(|place| self.rules.specs().nth(place));
            let (rule, reason) =
                rule.map_or_else(Default::default, |rule| (rule.name.clone(), rule.reason.clone()));
            Some(match fate_of(id)? {
                Fate::Used => RowFate::Used,
                Fate::Quarantined => RowFate::Quarantined { rule, reason },
                Fate::Dropped => RowFate::Dropped { rule },
                Fate::Refused => RowFate::Refused { rule },
                Fate::Duplicate => {
                    let mut pairs = lost.iter().zip(&originals);
                    let of = pairs.find(|(lost, _)| **lost == id).and_then(|(_, of)| *of);
                    RowFate::Duplicate { of: of.and_then(|of| named(pieces, of)) }
                }
            })
        };
        Ok(ids.into_iter().map(|id| tell(id?)).collect())
    }
}

/// Where a row of a file is among `pieces`.
fn place(pieces: &[Piece], (key, row): &(String, u64)) -> Option<RowId> {
    let mut of_file = pieces.iter().enumerate().filter(|(_, piece)| *piece.key == **key);
    of_file.find_map(|(place, piece)| Some((place, piece.rows.binary_search(row).ok()?)))
}

fn named(pieces: &[Piece], (piece, row): RowId) -> Option<(String, u64, EventTime)> {
    let piece = pieces.get(piece)?;
    Some((piece.key.to_string(), *piece.rows.get(row)?, *piece.times.get(row)?))
}
