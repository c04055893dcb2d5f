//! The ledger of a pipeline: which versions of which input files were admitted, and how many rows
//! of which windows each holds. It is truth, not cache: what is not in it was never an input.
//!
//! It never reads a file; `source` makes the records, `log` stores them.

mod codec;
mod delays;

use std::collections::BTreeMap;

pub use codec::{decode, encode};
pub use delays::Delays;
use serde::{Deserialize, Serialize};

use crate::hash::Sha256;
use crate::id::Generation;
use crate::time::{EventTime, ProcessingTime};

/// Which bytes a key held: two versions are equal only if no reader could tell them apart.
///
/// On local disk: size and modification time, and a hash of the bytes where the file was modified
/// so shortly before the listing that a second change could carry the same time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InputVersion {
    /// Size in bytes.
    pub size: u64,
    /// The store's own mark: modification time in nanoseconds on local disk, the `ETag` elsewhere.
    pub mark: String,
    /// The hash of the bytes, where the mark alone does not prove them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// One admitted version of one input file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The table this file is a source of.
    pub table: String,
    /// The key relative to the source's path.
    pub key: String,
    /// Which bytes.
    pub version: InputVersion,
    /// When the file arrived: its last-modified.
    pub arrived_at: ProcessingTime,
    /// Rows by its footer.
    pub rows: u64,
    /// Bytes of all its columns before compression, by its footer.
    pub bytes_in_memory: u64,
    /// First and last usable event time; `None` if no row has one.
    pub event_range: Option<(EventTime, EventTime)>,
    /// Rows per cell (see [`crate::window::Margins`]), by the cell's start, ascending; cells
    /// without a row do not appear.
    pub cells: Vec<(EventTime, u64)>,
    /// How long after their events its rows arrived; empty where nobody knows.
    #[serde(default, skip_serializing_if = "Delays::is_empty")]
    pub delays: Delays,
    /// Rows that came too late for their window, by the cell's start; they are not in `cells`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired: Vec<(EventTime, u64)>,
    /// Rows whose event time is null or outside the range a row may carry.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub null_time: u64,
    /// Rows further in the future than the source allows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub future: u64,
    /// Whether the file is gone, and its rows with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Whether this is the version admitted before, now proven by its mark alone: it makes nothing
    /// due.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settles: bool,
    /// Of a record that settles a version: the generation that version came with. Kept by the
    /// ledger, as what is settled is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Generation>,
}

/// Whether a number need not be written, for serde.
pub(crate) fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

impl FileRecord {
    /// How many rows came too late for their window.
    #[must_use]
    pub fn expired_rows(&self) -> u64 {
        self.expired.iter().fold(0, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// A version of a file without a row.
    #[must_use]
    pub fn empty(
        table: String,
        key: String,
        version: InputVersion,
        arrived_at: ProcessingTime,
    ) -> Self {
        Self {
            table,
            key,
            version,
            arrived_at,
            rows: 0,
            bytes_in_memory: 0,
            event_range: None,
            cells: Vec::new(),
            delays: Delays::default(),
            expired: Vec::new(),
            null_time: 0,
            future: 0,
            removed: false,
            settles: false,
            since: None,
        }
    }

    /// What is left of a file that is gone for good.
    #[must_use]
    pub fn without_rows(&self) -> Self {
        let (table, key, version) = (self.table.clone(), self.key.clone(), self.version.clone());
        Self { removed: true, ..Self::empty(table, key, version, self.arrived_at) }
    }

    /// Rows in the cells that start from `start` to `end`, exclusive.
    #[must_use]
    pub fn rows_between(&self, start: EventTime, end: EventTime) -> u64 {
        let first = self.cells.partition_point(|(at, _)| *at < start);
        let cells = self.cells.iter().skip(first).take_while(|(at, _)| *at < end);
        cells.fold(0, |sum, (_, rows)| sum.saturating_add(*rows))
    }
}

/// Names a file within a pipeline: its table and its key there. Orders rows of a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// The table of SQL.
    pub table: String,
    /// The key relative to the source's path.
    pub key: String,
}

/// A record and the generation that admitted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The record.
    pub record: FileRecord,
    /// The generation it came with.
    pub generation: Generation,
}

impl Admitted {
    /// The generation its bytes came with: its own, unless it only settles what was known.
    #[must_use]
    pub fn came_with(&self) -> Generation {
        self.record.since.unwrap_or(self.generation)
    }
}

/// Place of a file in the ledger, and rows of it.
type Share = (usize, u64);

/// All current versions, by file, with an index from cells to files.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    places: BTreeMap<FileId, usize>,
    /// One per file that was ever admitted; a new version takes the place of the old one.
    files: Vec<Admitted>,
    /// Table, then start of a cell -> the files with a row in it, and how many; in no order.
    cells: BTreeMap<String, BTreeMap<EventTime, Vec<Share>>>,
}

impl Ledger {
    /// Takes in `record`; an earlier version of the same file is replaced and returned.
    pub fn admit(&mut self, mut record: FileRecord, generation: Generation) -> Option<FileRecord> {
        let id = FileId { table: record.table.clone(), key: record.key.clone() };
        if let Some(place) = self.places.get(&id).copied() {
            self.forget_cells_of(place);
            self.index(place, &record);
            let known = self.files.get_mut(place)?;
            if record.settles {
                record.since = Some(known.came_with());
            }
            let admitted = Admitted { record, generation };
            return Some(std::mem::replace(known, admitted).record);
        }
        let place = self.files.len();
        self.index(place, &record);
        self.files.push(Admitted { record, generation });
        self.places.insert(id, place);
        None
    }

    fn index(&mut self, place: usize, record: &FileRecord) {
        if record.cells.is_empty() {
            return;
        }
        let cells = self.cells.entry(record.table.clone()).or_default();
        for (start, rows) in &record.cells {
            cells.entry(*start).or_default().push((place, *rows));
        }
    }

    /// Takes the file at `place` out of the index.
    fn forget_cells_of(&mut self, place: usize) {
        let Some(Admitted { record, .. }) = self.files.get(place) else { return };
        let Some(cells) = self.cells.get_mut(&record.table) else { return };
        for (start, _) in &record.cells {
            if let Some(files) = cells.get_mut(start) {
                files.retain(|(other, _)| *other != place);
                if files.is_empty() {
                    cells.remove(start);
                }
            }
        }
    }

    /// The current version of a file.
    #[must_use]
    pub fn file(&self, id: &FileId) -> Option<&Admitted> {
        self.files.get(*self.places.get(id)?)
    }

    /// All files in key order.
    pub fn files(&self) -> impl Iterator<Item = (&FileId, &Admitted)> {
        self.places.iter().filter_map(|(id, place)| Some((id, self.files.get(*place)?)))
    }

    /// The files of `table` in key order.
    pub fn files_of(&self, table: &str) -> impl Iterator<Item = (&FileId, &Admitted)> {
        let first = FileId { table: table.to_owned(), key: String::new() };
        let places = self.places.range(first..);
        let places = places.take_while(move |(id, _)| id.table == table);
        places.filter_map(|(id, place)| Some((id, self.files.get(*place)?)))
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
        for (place, rows) in self.cells_between(table, start, end).flat_map(|(_, shares)| shares) {
            let Some(Admitted { record, .. }) = self.files.get(*place) else { continue };
            let (_, sum) = files.entry(record.key.as_str()).or_insert((record, 0_u64));
            *sum = sum.saturating_add(*rows);
        }
        files
    }

    /// Rows of `table` in the cells that start from `start` to `end`, exclusive.
    #[must_use]
    pub fn rows_between(&self, table: &str, start: EventTime, end: EventTime) -> u64 {
        let shares = self.cells_between(table, start, end).flat_map(|(_, shares)| shares);
        shares.fold(0, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// The start of the first cell of `table` with a row that starts from `start` to `end`,
    /// exclusive.
    #[must_use]
    pub fn first_cell(&self, table: &str, start: EventTime, end: EventTime) -> Option<EventTime> {
        self.cells_between(table, start, end).next().map(|(cell, _)| cell)
    }

    fn cells_between(
        &self,
        table: &str,
        start: EventTime,
        end: EventTime,
    ) -> impl Iterator<Item = (EventTime, &Vec<Share>)> {
        let cells = self.cells.get(table).filter(|_| start < end);
        cells
            .into_iter()
            .flat_map(move |cells| cells.range(start..end))
            .map(|(at, in_it)| (*at, in_it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, size: u64, cells: &[(i64, u64)]) -> FileRecord {
        let version = InputVersion { size, mark: "m".into(), sha256: None };
        FileRecord {
            rows: cells.iter().map(|(_, rows)| rows).sum(),
            cells: cells.iter().map(|(at, n)| (EventTime::from_micros(*at), *n)).collect(),
            ..FileRecord::empty("t".into(), key.into(), version, ProcessingTime::from_micros(0))
        }
    }

    #[test]
    fn a_new_version_replaces_the_rows_of_the_old_one_in_every_window() {
        let mut ledger = Ledger::default();
        let hour = EventTime::from_micros;
        assert_eq!(ledger.admit(record("a", 1, &[(0, 5), (10, 1)]), Generation(1)), None);
        ledger.admit(record("b", 1, &[(10, 2)]), Generation(1));
        let rows = |ledger: &Ledger, at: i64| ledger.rows_between("t", hour(at), hour(at + 1));
        assert_eq!(rows(&ledger, 10), 3);

        let before = ledger.admit(record("a", 2, &[(10, 7), (20, 1)]), Generation(2));
        assert_eq!(before.map(|record| record.version.size), Some(1));
        assert_eq!((rows(&ledger, 0), rows(&ledger, 10)), (0, 9));
        assert_eq!(ledger.rows_between("t", hour(-5), hour(21)), 10);
        assert_eq!(ledger.rows_between("u", hour(-5), hour(21)), 0);
        assert_eq!(ledger.first_cell("t", hour(-5), hour(20)), Some(hour(10)));
        assert_eq!(ledger.first_cell("t", hour(11), hour(20)), None);
        let files = ledger.files_between("t", hour(0), hour(30));
        let files: Vec<_> = files.into_iter().map(|(key, (_, rows))| (key, rows)).collect();
        assert_eq!(files, [("a", 8), ("b", 2)]);
        assert_eq!(
            ledger
                .file(&FileId { table: "t".into(), key: "a".into() })
                .map(|a| a.record.rows_between(hour(0), hour(20))),
            Some(7)
        );
        assert_eq!(ledger.files().count(), 2);
    }

    #[test]
    fn what_settles_a_version_came_with_it() {
        let mut ledger = Ledger::default();
        let id = FileId { table: "t".into(), key: "a".into() };
        let settled = || FileRecord { settles: true, ..record("a", 1, &[(0, 5)]) };
        let told = |ledger: &Ledger| {
            let known = ledger.file(&id)?;
            Some((known.generation.0, known.came_with().0))
        };
        ledger.admit(record("a", 1, &[(0, 5)]), Generation(1));
        ledger.admit(settled(), Generation(2));
        assert_eq!(told(&ledger), Some((2, 1)));
        ledger.admit(settled(), Generation(3));
        assert_eq!(told(&ledger), Some((3, 1)));
        // It is in the record, as segments that are merged keep the newest one only.
        let kept = ledger.file(&id).unwrap().record.clone();
        let mut merged = Ledger::default();
        merged.admit(kept, Generation(3));
        assert_eq!(told(&merged), Some((3, 1)));
        ledger.admit(record("a", 2, &[(0, 5)]), Generation(4));
        assert_eq!(told(&ledger), Some((4, 4)));
    }

    #[test]
    fn a_record_survives_its_text() {
        let mut record = record("a", 1, &[(0, 5)]);
        record.event_range = Some((EventTime::from_micros(0), EventTime::from_micros(9)));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<FileRecord>(&text).unwrap(), record);
        assert!(!text.contains("null_time") && !text.contains("settles"), "{text}");
    }
}
