//! What windows see of the ledger: their own rows, those of their margins, and those that tell
//! which of these are duplicates.

use crate::ledger::{FileId, FileRecord, Ledger};
use crate::spec::{PipelineSpec, SourceSpec};
use crate::time::EventTime;
use crate::window::Window;

/// The ledger as the windows of a pipeline see it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    spec: &'a PipelineSpec,
    ledger: &'a Ledger,
}

/// A file with rows that matter to a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowInput {
    /// The file.
    pub file: FileId,
    /// Its rows of the window itself.
    pub rows: u64,
    /// Its rows of other windows that matter: of the margins, and those of which rows of the window
    /// may be duplicates.
    pub margin: u64,
}

impl WindowInput {
    /// All its rows that matter.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.rows.saturating_add(self.margin)
    }
}

impl<'a> Sight<'a> {
    /// What the windows of `spec` see of `ledger`.
    #[must_use]
    pub fn new(spec: &'a PipelineSpec, ledger: &'a Ledger) -> Self {
        Self { spec, ledger }
    }

    /// Rows of the window itself.
    #[must_use]
    pub fn rows_of(self, window: Window) -> u64 {
        let of = |source: &SourceSpec| {
            self.ledger.rows_between(&source.table, window.start(), window.end())
        };
        self.spec.sources.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Whether the query of the window sees any row.
    #[must_use]
    pub fn has_rows(self, window: Window) -> bool {
        self.spec.sources.iter().any(|source| {
            let seen = source.margins.seen_from(window);
            self.ledger.first_cell(&source.table, seen.start(), seen.end()).is_some()
        })
    }

    /// The files with rows that matter to the window, in the order of table and key.
    #[must_use]
    pub fn inputs_of(self, window: Window) -> Vec<(&'a FileRecord, WindowInput)> {
        let mut inputs = Vec::new();
        for source in &self.spec.sources {
            let reach = source.reach();
            let all = reach.of(&self.spec.grid, window);
            let files = self.ledger.files_between(&source.table, all.start(), all.end());
            for (record, all) in files.into_values() {
                let rows = if reach.is_none() {
                    all
                } else {
                    record.rows_between(window.start(), window.end())
                };
                let file = record.id.clone();
                let margin = all.saturating_sub(rows);
                inputs.push((record, WindowInput { file, rows, margin }));
            }
        }
        inputs.sort_by(|(_, a), (_, b)| a.file.cmp(&b.file));
        inputs
    }

    /// The windows from `start`, which is a boundary, to `end` that see any row, ascending.
    pub fn windows_from(self, start: EventTime, end: EventTime) -> impl Iterator<Item = Window> {
        let mut at = start;
        std::iter::from_fn(move || {
            let window = self.first_from(at, end)?;
            at = window.end();
            Some(window)
        })
    }

    /// The first window that starts from `start`, which is a boundary, to `end`, exclusive, and
    /// sees any row.
    #[must_use]
    pub fn first_from(self, start: EventTime, end: EventTime) -> Option<Window> {
        let first = self.spec.sources.iter().filter_map(|source| {
            let margins = source.margins;
            let from = start.minus(margins.lookback).unwrap_or(EventTime::FIRST);
            let to = end.plus(margins.lookahead).unwrap_or(EventTime::END);
            let cell = self.ledger.first_cell(&source.table, from, to)?;
            margins.first_seeing(&self.spec.grid, cell).map(|window| window.max(start))
        });
        self.spec.grid.window_at(first.min().filter(|first| *first < end)?)
    }

    /// The first window that sees any row.
    #[must_use]
    pub fn first(self) -> Option<Window> {
        self.first_from(EventTime::FIRST, EventTime::END)
    }
}
