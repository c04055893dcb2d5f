//! Windows on their way into the log: begun, committed, failed.

use serde::{Deserialize, Serialize};

use super::{Balance, LateKind, LostOutput, TimeRange};
use crate::error::Code;
use crate::hash::{ContentHash, Sha256};
use crate::id::{AttemptId, BatchId, Generation, Revision, Seq};
use crate::state::RowCounts;
use crate::time::EventTime;

/// Windows whose objects may change from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Names the batch.
    pub batch: BatchId,
    /// The generation its inputs were planned from.
    pub generation: Generation,
    /// The entry of the query it is computed with.
    pub query: Seq,
    /// The entry of the reference tables it is computed with, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<Seq>,
    /// The windows, ascending.
    pub windows: Vec<BatchWindow>,
}

/// One window of a begun batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchWindow {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// The revision this attempt would become.
    pub rev: Revision,
    /// Why it is computed.
    pub reason: Reason,
    /// The objects it may change.
    pub outputs: Vec<BatchOutput>,
}

/// One object a begun batch may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOutput {
    /// The output's name.
    pub name: String,
    /// The object's key under the storage root.
    pub path: String,
    /// What it held by the log; `None` if nothing was committed there.
    pub before: Option<Sha256>,
    /// Names this attempt, in the object's footer too.
    pub att: AttemptId,
    /// Whether it is only published if it has rows. Never where something was committed, or may
    /// lie there all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Why a window is computed. It travels from the plan into the log and every view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Closed and never committed.
    New,
    /// A file that arrived after its commit holds rows that it sees.
    LateData,
    /// An input was replaced, or a reference table.
    InputChanged,
    /// An input is gone.
    InputRemoved,
    /// A window of another pipeline, whose rows it sees, was committed anew.
    UpstreamChanged,
    /// It was computed with another query.
    QueryChanged,
    /// An operator asked for it.
    Requested,
    /// It was begun and not committed.
    InDoubt,
    /// Its last computation failed.
    FailedBefore,
}

impl From<LateKind> for Reason {
    fn from(kind: LateKind) -> Self {
        match kind {
            LateKind::LateData => Self::LateData,
            LateKind::InputChanged => Self::InputChanged,
            LateKind::InputRemoved => Self::InputRemoved,
            LateKind::UpstreamChanged => Self::UpstreamChanged,
        }
    }
}

impl Reason {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::LateData => "late_data",
            Self::InputChanged => "input_changed",
            Self::InputRemoved => "input_removed",
            Self::UpstreamChanged => "upstream_changed",
            Self::QueryChanged => "query_changed",
            Self::Requested => "requested",
            Self::InDoubt => "in_doubt",
            Self::FailedBefore => "failed_before",
        }
    }
}

/// The end of a batch: what was published, what failed, and how far that carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Which batch.
    pub batch: BatchId,
    /// The windows whose objects are published, ascending.
    pub windows: Vec<CommittedWindow>,
    /// Stretches of windows without a row of input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<TimeRange>,
    /// Windows of the batch that failed; their objects were not touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedWindow>,
    /// What was replaced and could not be kept before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostOutput>,
    /// How the watermark moves; `None` if it stays.
    pub watermark: Option<WatermarkMove>,
}

/// A committed window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedWindow {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// How often it was published, this time included.
    pub rev: Revision,
    /// Why it was computed.
    pub reason: Reason,
    /// What it was computed from.
    pub inputs: InputsDigest,
    /// What became of its rows.
    pub rows: RowCounts,
    /// The same by rule and file, where not every row was used.
    #[serde(default, skip_serializing_if = "Balance::is_empty")]
    pub balance: Balance,
    /// What its checks found, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckCount>,
    /// Its objects.
    pub outputs: Vec<CommittedOutput>,
    /// Whether its rows are those published before: the objects were not touched, the revision is
    /// still that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// The revision whose rows these are, if it was not computed but restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<Revision>,
}

/// The most rows of one check that are counted: that many stand for at least as many.
pub const CHECK_ROWS_MAX: u64 = 1_000;

/// What a check found in the result of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCount {
    /// The check.
    pub name: String,
    /// The rows that it returned, at most [`CHECK_ROWS_MAX`].
    pub rows: u64,
}

/// The inputs of a window in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsDigest {
    /// How many files.
    pub files: u64,
    /// The hash over the sorted (table, key, version, rows) of each.
    pub sha256: Sha256,
}

/// A published object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOutput {
    /// The output's name.
    pub name: String,
    /// The object's key under the storage root.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The hash of its bytes.
    pub sha256: Sha256,
    /// Its rows.
    pub rows: u64,
    /// The attempt that wrote it.
    pub att: AttemptId,
    /// The hash of its rows, where one could be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentHash>,
}

/// A window that could not be computed, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedWindow {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// The code of the error, e.g. `HW3001`.
    pub code: String,
    /// The sentence of the error.
    pub message: String,
}

impl FailedWindow {
    /// A window that was begun and not computed, because its run was told to end. It did not fail:
    /// it stays due for the reason it was due for.
    #[must_use]
    pub fn stopped(start: EventTime, end: EventTime) -> Self {
        let message = "the run was told to end before the window was computed".to_owned();
        Self { start, end, code: Code::Interrupted.to_string(), message }
    }

    /// Whether it is one that [`Self::stopped`] makes.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.code == Code::Interrupted.to_string()
    }
}

/// How the watermark moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMove {
    /// Where it stood; at the first move, where the row of windows begins.
    pub from: EventTime,
    /// Where it stands.
    pub to: EventTime,
}

/// Windows that could not be computed, outside of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The batch this ends; `None` if they were refused before one was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// The windows.
    pub windows: Vec<FailedWindow>,
}
