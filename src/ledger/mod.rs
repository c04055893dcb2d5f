//! The ledger of a pipeline: which versions of which input files were admitted, and how many rows
//! of which windows each holds. It is truth, not cache: what is not in it was never an input.
//!
//! It never reads a file; `source` makes the records, `log` stores them.

mod codec;
mod delays;
mod loaded;
mod recent;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use codec::{decode, encode};
pub use delays::Delays;
pub(crate) use record::is_zero;
pub use record::{Admitted, FileId, FileRecord, InputVersion};

use crate::id::Generation;
use crate::time::EventTime;
use loaded::Loaded;
use recent::Recent;

/// All current versions, by file, with an index from cells to files. Copies share what was loaded.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    loaded: Arc<Loaded>,
    /// What was admitted since.
    recent: Recent,
    /// The places of loaded files that were admitted again since.
    replaced: BTreeSet<usize>,
}

impl Ledger {
    /// The ledger that `admitted` leave, in pieces as they were stored: versions of one file in the
    /// order of their admission.
    #[must_use]
    pub fn load(admitted: Vec<Vec<Admitted>>) -> Self {
        Self { loaded: Arc::new(Loaded::new(admitted)), ..Self::default() }
    }

    /// Takes in `record`, in place of an earlier version of the same file.
    pub fn admit(&mut self, record: FileRecord, generation: Generation) {
        let mut admitted = Admitted::new(record, generation);
        if let Some(known) = self.file(admitted.id()) {
            admitted.follow(known);
        }
        self.replaced.extend(self.loaded.place_of(admitted.id()));
        self.recent.admit(admitted);
    }

    /// The current version of a file.
    #[must_use]
    pub fn file(&self, id: &FileId) -> Option<&Admitted> {
        self.recent.file(id).or_else(|| self.loaded.at(self.loaded.place_of(id)?))
    }

    /// All files in key order.
    pub fn files(&self) -> impl Iterator<Item = (&FileId, &Admitted)> {
        merged(self.standing(self.loaded.files()), self.recent.files())
    }

    /// The files of `table` in key order.
    pub fn files_of(&self, table: &str) -> impl Iterator<Item = (&FileId, &Admitted)> {
        merged(self.standing(self.loaded.files_of(table)), self.recent.files_of(table))
    }

    /// Those of the loaded `files` that were not admitted again since.
    fn standing<'a>(
        &'a self,
        files: impl Iterator<Item = (usize, &'a Admitted)>,
    ) -> impl Iterator<Item = &'a Admitted> {
        let files = files.filter(|(place, _)| !self.replaced.contains(place));
        files.map(|(_, known)| known)
    }

    /// The files of `table` with a row in the cells that start from `start` to `end`, exclusive, in
    /// key order, and how many rows each.
    #[must_use]
    pub fn files_between(
        &self,
        table: &str,
        start: EventTime,
        end: EventTime,
    ) -> BTreeMap<&str, (&FileRecord, u64)> {
        let mut files = BTreeMap::new();
        for (_, Admitted { record, .. }, rows) in self.shares(table, start, end) {
            let (_, sum) = files.entry(record.id.key.as_str()).or_insert((record, 0_u64));
            *sum = sum.saturating_add(rows);
        }
        files
    }

    /// Rows of `table` in the cells that start from `start` to `end`, exclusive.
    #[must_use]
    pub fn rows_between(&self, table: &str, start: EventTime, end: EventTime) -> u64 {
        let shares = self.shares(table, start, end);
        shares.fold(0, |sum, (.., rows)| sum.saturating_add(rows))
    }

    /// The start of the first cell of `table` with a row that starts from `start` to `end`,
    /// exclusive.
    #[must_use]
    pub fn first_cell(&self, table: &str, start: EventTime, end: EventTime) -> Option<EventTime> {
        let loaded = self.loaded_shares(table, start, end).next();
        let recent = self.recent.shares(table, start, end).next();
        let cells = [loaded, recent].into_iter().flatten();
        cells.map(|(cell, ..)| cell).min()
    }

    fn shares(
        &self,
        table: &str,
        start: EventTime,
        end: EventTime,
    ) -> impl Iterator<Item = (EventTime, &Admitted, u64)> {
        self.loaded_shares(table, start, end).chain(self.recent.shares(table, start, end))
    }

    /// Rows of loaded files that were not admitted again since.
    fn loaded_shares(
        &self,
        table: &str,
        start: EventTime,
        end: EventTime,
    ) -> impl Iterator<Item = (EventTime, &Admitted, u64)> {
        let shares = self.loaded.shares(table, start, end);
        let shares = shares.filter(|(_, place, _)| !self.replaced.contains(place));
        shares.filter_map(|(cell, place, rows)| Some((cell, self.loaded.at(place)?, rows)))
    }
}

/// Two series of files, ascending and without one in common, as one.
fn merged<'a>(
    one: impl Iterator<Item = &'a Admitted>,
    other: impl Iterator<Item = &'a Admitted>,
) -> impl Iterator<Item = (&'a FileId, &'a Admitted)> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    let files = std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second.id() < first.id() => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    });
    files.map(|known| (known.id(), known))
}

#[cfg(test)]
mod tests;
