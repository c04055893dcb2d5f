//! What is known of one version of one input file.

use serde::{Deserialize, Serialize};

use super::Delays;
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
    /// Which file.
    #[serde(flatten)]
    pub id: FileId,
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
    pub fn empty(id: FileId, version: InputVersion, arrived_at: ProcessingTime) -> Self {
        Self {
            id,
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
        let (id, version) = (self.id.clone(), self.version.clone());
        Self { removed: true, ..Self::empty(id, version, self.arrived_at) }
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
    /// `record`, admitted with `generation`.
    #[must_use]
    pub fn new(record: FileRecord, generation: Generation) -> Self {
        Self { record, generation }
    }

    /// Which file it is of.
    #[must_use]
    pub fn id(&self) -> &FileId {
        &self.record.id
    }

    /// Notes that this came after `known`, of the same file.
    pub(super) fn follow(&mut self, known: &Self) {
        if self.record.settles {
            self.record.since = Some(known.came_with());
        }
    }

    /// The generation its bytes came with: its own, unless it only settles what was known.
    #[must_use]
    pub fn came_with(&self) -> Generation {
        self.record.since.unwrap_or(self.generation)
    }
}
