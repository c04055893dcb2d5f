//! The ledger of a pipeline: which versions of which input files were admitted, and how many rows
//! of which windows each holds. It is truth, not cache: what is not in it was never an input.
//!
//! It never reads a file; `source` makes the records, `log` stores them.

use std::collections::BTreeMap;

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
    /// Rows per window, by the window's start, ascending; windows without a row do not appear.
    pub windows: Vec<(EventTime, u64)>,
    /// Rows that came too late for their window, by the window's start; they are not in `windows`.
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
}

// Serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl FileRecord {
    /// How many rows came too late for their window.
    #[must_use]
    pub fn expired_rows(&self) -> u64 {
        self.expired.iter().fold(0, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// What is left of a file that is gone for good.
    #[must_use]
    pub fn without_rows(&self) -> Self {
        Self {
            rows: 0,
            bytes_in_memory: 0,
            event_range: None,
            windows: Vec::new(),
            expired: Vec::new(),
            null_time: 0,
            future: 0,
            removed: true,
            settles: false,
            ..self.clone()
        }
    }

    /// Rows this file holds of the window that starts at `start`.
    #[must_use]
    pub fn rows_of(&self, start: EventTime) -> u64 {
        match self.windows.binary_search_by_key(&start, |(at, _)| *at) {
            Ok(place) => self.windows[place].1,
            Err(_) => 0,
        }
    }
}

/// Names a file within a pipeline: its table and its key there. Orders rows of a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// All current versions, by file, with an index from windows to files.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    places: BTreeMap<FileId, usize>,
    /// One per file that was ever admitted; a new version takes the place of the old one.
    files: Vec<Admitted>,
    /// Window start -> places of the files with a row in it, and how many; in no order.
    windows: BTreeMap<EventTime, Vec<(usize, u64)>>,
}

impl Ledger {
    /// Takes in `record`; an earlier version of the same file is replaced and returned.
    pub fn admit(&mut self, record: FileRecord, generation: Generation) -> Option<FileRecord> {
        let id = FileId { table: record.table.clone(), key: record.key.clone() };
        let windows = record.windows.clone();
        let admitted = Admitted { record, generation };
        let known = self.places.get(&id).copied();
        let (place, before) = if let Some(place) = known {
            self.forget_windows_of(place);
            let known = self.files.get_mut(place);
            (place, known.map(|known| std::mem::replace(known, admitted).record))
        } else {
            let place = self.files.len();
            self.files.push(admitted);
            self.places.insert(id, place);
            (place, None)
        };
        for (start, rows) in windows {
            self.windows.entry(start).or_default().push((place, rows));
        }
        before
    }

    /// Takes the file at `place` out of the index.
    fn forget_windows_of(&mut self, place: usize) {
        for (start, _) in self.files.get(place).iter().flat_map(|file| &file.record.windows) {
            if let Some(files) = self.windows.get_mut(start) {
                files.retain(|(other, _)| *other != place);
                if files.is_empty() {
                    self.windows.remove(start);
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

    /// The files with a row in the window that starts at `start`, and how many, in key order.
    #[must_use]
    pub fn inputs_of(&self, start: EventTime) -> Vec<(&FileRecord, u64)> {
        let found = self.windows.get(&start).into_iter().flatten();
        let mut inputs: Vec<_> = found
            .filter_map(|(place, rows)| Some((&self.files.get(*place)?.record, *rows)))
            .collect();
        inputs.sort_by(|(a, _), (b, _)| (&a.table, &a.key).cmp(&(&b.table, &b.key)));
        inputs
    }

    /// Rows of the window that starts at `start`.
    #[must_use]
    pub fn rows_of(&self, start: EventTime) -> u64 {
        let files = self.windows.get(&start).into_iter().flatten();
        files.fold(0, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// Starts of the windows with a row, from `start` to `end`, exclusive.
    pub fn windows_with_rows(
        &self,
        start: EventTime,
        end: EventTime,
    ) -> impl Iterator<Item = EventTime> {
        let range = (start < end).then(|| self.windows.range(start..end));
        range.into_iter().flatten().map(|(start, _)| *start)
    }

    /// The start of the first window with a row.
    #[must_use]
    pub fn first_window(&self) -> Option<EventTime> {
        self.windows.keys().next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, size: u64, windows: &[(i64, u64)]) -> FileRecord {
        FileRecord {
            table: "t".into(),
            key: key.into(),
            version: InputVersion { size, mark: "m".into(), sha256: None },
            arrived_at: ProcessingTime::from_micros(0),
            rows: windows.iter().map(|(_, rows)| rows).sum(),
            bytes_in_memory: 0,
            event_range: None,
            windows: windows.iter().map(|(at, n)| (EventTime::from_micros(*at), *n)).collect(),
            expired: Vec::new(),
            null_time: 0,
            future: 0,
            removed: false,
            settles: false,
        }
    }

    #[test]
    fn a_new_version_replaces_the_rows_of_the_old_one_in_every_window() {
        let mut ledger = Ledger::default();
        let hour = EventTime::from_micros;
        assert_eq!(ledger.admit(record("a", 1, &[(0, 5), (10, 1)]), Generation(1)), None);
        ledger.admit(record("b", 1, &[(10, 2)]), Generation(1));
        assert_eq!(ledger.rows_of(hour(10)), 3);

        let before = ledger.admit(record("a", 2, &[(10, 7), (20, 1)]), Generation(2));
        assert_eq!(before.map(|record| record.version.size), Some(1));
        assert_eq!(ledger.rows_of(hour(0)), 0);
        assert_eq!(ledger.rows_of(hour(10)), 9);
        let with_rows: Vec<_> = ledger.windows_with_rows(hour(-5), hour(20)).collect();
        assert_eq!(with_rows, [hour(10)]);
        assert_eq!(ledger.first_window(), Some(hour(10)));
        assert_eq!(ledger.files().count(), 2);
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
