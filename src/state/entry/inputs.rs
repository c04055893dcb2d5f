//! What sources and reference tables hold, and how far they promise to be complete.

use serde::{Deserialize, Serialize};

use crate::hash::Sha256;
use crate::id::Generation;
use crate::ledger::InputVersion;
use crate::state::RowCounts;
use crate::time::EventTime;

/// File versions that enter the ledger, by reference to immutable segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The generation this admission makes.
    pub generation: Generation,
    /// Where the records are.
    pub segment: SegmentRef,
    /// How many of the newest segments it takes the place of: it holds their records too.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub replaces: u64,
    /// Per table: the highest usable event time among the new versions.
    pub last_event_at: Vec<(String, EventTime)>,
    /// Rows of the new versions that no window holds.
    pub refused: RowCounts,
    /// Committed windows that these versions touch. Decided here, once.
    pub late: Vec<LateWindow>,
}

/// A stored, immutable list of file records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// Its key in the state prefix.
    pub key: String,
    /// Its size in bytes.
    pub len: u64,
    /// The hash of its bytes.
    pub sha256: Sha256,
    /// How many records it holds.
    pub files: u64,
}

/// A committed window that an admission touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateWindow {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// What happened to it.
    pub why: LateKind,
    /// By how many rows of its own it grew; those of its margins are not counted.
    pub rows: u64,
    /// Files that brought them, or that changed.
    pub files: u64,
}

/// How the inputs of a committed window changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateKind {
    /// A new file holds rows that it sees.
    LateData,
    /// A file with rows that it saw, or sees now, was replaced.
    InputChanged,
    /// A file with rows that it saw is gone.
    InputRemoved,
    /// A window of another pipeline, whose rows it sees, was committed anew.
    UpstreamChanged,
}

/// How far sources promise to be complete, by something else than the events they brought. Logged
/// when it lets a window close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    /// The sources.
    pub sources: Vec<SourceWatermark>,
}

/// How far one source promises to be complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceWatermark {
    /// The table's name in SQL.
    pub table: String,
    /// No event before this is still expected on time.
    pub at: EventTime,
    /// What says so.
    pub by: PromisedBy,
}

/// What says how far a source is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromisedBy {
    /// The watermark of the pipeline it reads from.
    Upstream,
    /// The clock.
    Clock,
    /// The clock, because it had brought nothing for so long.
    Idle,
}

/// The reference tables that windows are computed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct References {
    /// The tables in the order of the configuration.
    pub tables: Vec<ReferenceVersion>,
}

/// One version of a reference table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceVersion {
    /// The table's name in SQL.
    pub table: String,
    /// Its files in key order, each with the hash of its bytes.
    pub files: Vec<(String, InputVersion)>,
}

impl ReferenceVersion {
    /// Whether the bytes are the same, whatever became of their marks.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let bytes = |(key, version): &(String, InputVersion)| (key.clone(), version.sha256);
        self.table == other.table && self.files.iter().map(bytes).eq(other.files.iter().map(bytes))
    }
}
