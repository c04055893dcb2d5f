//! The entries of a log, exactly as they are stored. Field names are short because they are written
//! once per commit and read by `jq`; the format is documented in `docs/state.md`.
//!
//! Unknown fields are ignored, so that a newer version may add them; what an older version must not
//! ignore is named in `rf` (to read) or `wf` (to write).

use serde::{Deserialize, Serialize};

use super::rows::RowCounts;
use crate::hash::{ContentHash, Sha256};
use crate::id::{
    AttemptId, BatchId, Epoch, Generation, PipelineName, RequestId, Revision, RunId, Seq, StoreId,
};
use crate::time::{EventTime, ProcessingTime};

/// The newest format this program reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// One entry of the log: an envelope and what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Format version.
    pub v: u32,
    /// Features a reader must know.
    pub rf: Vec<String>,
    /// Features a writer must know.
    pub wf: Vec<String>,
    /// The state prefix.
    pub store: StoreId,
    /// The pipeline.
    pub pipe: PipelineName,
    /// The place in the log; equals the file's name.
    pub n: Seq,
    /// The hash of the body before; [`Sha256::ZERO`] for the first.
    pub prev: Sha256,
    /// The fencing token of the writer.
    pub epoch: Epoch,
    /// Names this append.
    pub att: AttemptId,
    /// The run that made it.
    pub run: RunId,
    /// The writer's clock; never used for a decision.
    pub ts: ProcessingTime,
    /// The writer.
    pub who: Who,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// The process that wrote an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Who {
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Names one boot of the host.
    pub boot: String,
    /// When the process started, in the host's own ticks: with `pid` and `boot` it names a process.
    pub start: String,
    /// The version of this program.
    pub ver: String,
}

/// What happened. The kinds `config`, `rollback`, `retire`, `gc_mark` and `gc_sweep` are reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// The log begins.
    Init,
    /// A process becomes the writer.
    Claim {
        /// The epoch it supersedes, if it was not released.
        takes: Option<Epoch>,
        /// Why it may.
        reason: ClaimReason,
    },
    /// The writer is done.
    Release,
    /// What fixes where outputs lie.
    Shape(Shape),
    /// The query that later batches are computed with.
    Query(Query),
    /// File versions enter the ledger.
    Inputs(Inputs),
    /// An operator asks for work.
    Request(Request),
    /// A request is done or withdrawn.
    RequestDone {
        /// Which.
        id: RequestId,
        /// Whether it was withdrawn.
        cancelled: bool,
    },
    /// From here on these objects may change.
    Begin(Begin),
    /// These windows are what their objects say, and the watermark may have moved.
    Commit(Commit),
    /// These windows could not be computed; their objects were not touched.
    Failed(Failed),
    /// The batch is given up: every object is again what its last commit says.
    Abort {
        /// Which.
        batch: BatchId,
        /// Why.
        why: String,
    },
    /// Windows are committed without being computed.
    Skip(Skip),
}

impl Body {
    /// The kind as it is stored.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Claim { .. } => "claim",
            Self::Release => "release",
            Self::Shape(_) => "shape",
            Self::Query(_) => "query",
            Self::Inputs(_) => "inputs",
            Self::Request(_) => "request",
            Self::RequestDone { .. } => "request_done",
            Self::Begin(_) => "begin",
            Self::Commit(_) => "commit",
            Self::Failed(_) => "failed",
            Self::Abort { .. } => "abort",
            Self::Skip(_) => "skip",
        }
    }
}

/// Why a process may claim the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimReason {
    /// Nobody held it: it is new, or was released.
    Released,
    /// The lock of the local disk was free, so the holder is dead.
    Flock,
    /// The holder's process is gone from this host.
    DeadPid,
    /// The holder's heartbeat stood still for longer than the lease's patience.
    LeaseExpired,
    /// An operator released the lease by force.
    Forced,
}

/// What fixes which rows a window has and where its outputs lie. It is set by the first run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The window size as configured, e.g. `1h`.
    pub size: String,
    /// The weekday a week begins with, for weeks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week_start: Option<String>,
    /// The time zone's name.
    pub timezone: String,
    /// Sources, and how their event time is read.
    pub sources: Vec<ShapeSource>,
    /// Outputs and their path templates.
    pub outputs: Vec<ShapeOutput>,
}

/// How the event time of one source is read: the ledger counts rows by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeSource {
    /// The table's name in SQL.
    pub table: String,
    /// The column.
    pub event_time: String,
    /// The zone of naive times.
    pub event_timezone: String,
}

/// Where one output lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeOutput {
    /// The output's name.
    pub name: String,
    /// Its path template.
    pub path: String,
}

/// What windows are computed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The steps in order.
    pub steps: Vec<QueryStep>,
}

/// One step of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryStep {
    /// Its name.
    pub name: String,
    /// Its SQL as written.
    pub sql: String,
}

/// File versions that enter the ledger, by reference to immutable segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The generation this admission makes.
    pub generation: Generation,
    /// Where the records are.
    pub segment: SegmentRef,
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
    /// By how many rows it grew.
    pub rows: u64,
    /// Files that brought them, or that changed.
    pub files: u64,
}

/// How the inputs of a committed window changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateKind {
    /// A new file holds rows of it.
    LateData,
    /// A file that held rows of it, or holds some now, was replaced.
    InputChanged,
    /// A file that held rows of it is gone.
    InputRemoved,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which work.
    pub verb: Verb,
    /// Windows that start at or after this.
    pub start: EventTime,
    /// Windows that start before this.
    pub end: EventTime,
    /// Only windows that were computed with another query than the one in force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_outdated: bool,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The work a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Compute windows that were never computed.
    Backfill,
    /// Compute committed windows again and replace their objects.
    Reprocess,
}

impl Verb {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::Reprocess => "reprocess",
        }
    }
}

/// Windows whose objects may change from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Names the batch.
    pub batch: BatchId,
    /// The generation its inputs were planned from.
    pub generation: Generation,
    /// The entry of the query it is computed with.
    pub query: Seq,
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
}

/// Why a window is computed. It travels from the plan into the log and every view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Closed and never committed.
    New,
    /// A file that arrived after its commit holds rows of it.
    LateData,
    /// An input was replaced.
    InputChanged,
    /// An input is gone.
    InputRemoved,
    /// It was computed with another query.
    QueryChanged,
    /// An operator asked for it.
    Requested,
    /// It was begun and not committed.
    InDoubt,
    /// Its last computation failed.
    FailedBefore,
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
    /// Its objects.
    pub outputs: Vec<CommittedOutput>,
    /// Whether its rows are those published before: the objects were not touched, the revision is
    /// still that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
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

/// The event times `start <= t < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// The first instant.
    pub start: EventTime,
    /// The first instant after it.
    pub end: EventTime,
}

/// A window that could not be computed.
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

/// Windows committed without being computed, because an operator said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The stretch of windows.
    pub range: TimeRange,
    /// Why, in the operator's words.
    pub why: String,
    /// How the watermark moves; `None` if it stays.
    pub watermark: Option<WatermarkMove>,
}
