//! The entries of a log, exactly as they are stored. Field names are short because they are written
//! once per commit and read by `jq`; the format is documented in `docs/state.md`.
//!
//! Unknown fields are ignored, so that a newer version may add them; what an older version must not
//! ignore is named in `rf` (to read) or `wf` (to write).

mod aside;
mod balance;
mod columns;
mod garbage;
mod inputs;
mod retire;
mod rollback;
mod window;

pub use aside::{Aside, AsideFailure, AsideFile, BeginAside};
pub use balance::{BALANCE_FILES_MAX, Balance, FileBalance, RuleCount};
pub use columns::{Column, Columns, ColumnsFile};
pub use garbage::{GcMark, GcSweep, MarkedObject};
pub use inputs::{
    Inputs, LateKind, LateWindow, PromisedBy, ReferenceVersion, References, SegmentRef,
    SourceWatermark, Watermarks,
};
pub use retire::{Retire, RetirePhase};
pub use rollback::{BlankWindow, LostOutput, RollbackTo};
pub use window::{
    BatchOutput, BatchWindow, Begin, CHECK_ROWS_MAX, CheckCount, Commit, CommittedOutput,
    CommittedWindow, Failed, FailedWindow, InputsDigest, Reason, WatermarkMove,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::hash::Sha256;
use crate::id::{AttemptId, BatchId, Epoch, PipelineName, RequestId, RunId, Seq, StoreId};
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

/// What happened. The kind `config` is reserved.
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
    /// The reference tables that later batches are computed with.
    References(References),
    /// The columns of a source's table.
    Columns(Columns),
    /// File versions enter the ledger.
    Inputs(Inputs),
    /// Sources promise to be complete, by something else than the events they brought.
    Watermarks(Watermarks),
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
    /// These windows are again what an earlier revision was. The watermark stays.
    Rollback(Commit),
    /// From here on these objects of rows that belong to no window may change.
    BeginAside(BeginAside),
    /// They are what this says.
    Aside(Aside),
    /// The batch is given up: every object is again what its last commit says, or has no row.
    Abort {
        /// Which.
        batch: BatchId,
        /// Why.
        why: String,
        /// Windows of it that were never committed, and whose objects have no row now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        blank: Vec<BlankWindow>,
    },
    /// Windows are committed without being computed.
    Skip(Skip),
    /// Committed objects are taken away.
    Retire(Retire),
    /// Objects of the state prefix are of no use.
    GcMark(GcMark),
    /// They may be gone from here on.
    GcSweep(GcSweep),
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
            Self::References(_) => "references",
            Self::Columns(_) => "columns",
            Self::Inputs(_) => "inputs",
            Self::Watermarks(_) => "watermarks",
            Self::Request(_) => "request",
            Self::RequestDone { .. } => "request_done",
            Self::Begin(_) => "begin",
            Self::Commit(_) => "commit",
            Self::Failed(_) => "failed",
            Self::Rollback(_) => "rollback",
            Self::BeginAside(_) => "begin_aside",
            Self::Aside(_) => "aside",
            Self::Abort { .. } => "abort",
            Self::Skip(_) => "skip",
            Self::Retire(_) => "retire",
            Self::GcMark(_) => "gc_mark",
            Self::GcSweep(_) => "gc_sweep",
        }
    }

    /// The end of a batch that published windows, whatever they were made from.
    #[must_use]
    pub fn published(&self) -> Option<&Commit> {
        match self {
            Self::Commit(commit) | Self::Rollback(commit) => Some(commit),
            _ => None,
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
    /// Where quarantined rows lie, by source; missing where nobody could say so yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantines: Vec<ShapeOutput>,
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
    /// What its numbers count, `ms`; `None` if the column is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_unit: Option<String>,
    /// The pipeline and output it reads, `orders.hourly`; `None` if it reads files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// How far before its windows the queries see it, in microseconds: cells depend on it.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub lookback_micros: i64,
    /// How far after its windows the queries see it, in microseconds.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub lookahead_micros: i64,
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
    /// The sources of which not every row need be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<QuerySource>,
    /// What is asked of the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<QueryCheck>,
}

/// A query over the result of a window that must return no rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryCheck {
    /// Its name.
    pub name: String,
    /// Its SQL as written.
    pub sql: String,
}

/// What is done to the rows of a source before they are queried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuerySource {
    /// The table.
    pub table: String,
    /// What is expected of every row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<QueryRule>,
    /// Which of several rows is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<QueryDedup>,
}

/// Something that is expected of every row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRule {
    /// Its name.
    pub name: String,
    /// The condition as written.
    pub expect: String,
    /// What becomes of rows that break it.
    pub action: String,
}

/// Of rows with the same keys, one is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryDedup {
    /// The columns that are alike.
    pub keys: Vec<String>,
    /// The columns that order them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<String>,
    /// Which is used.
    pub keep: String,
    /// How long after a row of an earlier window a row is a duplicate of it, in microseconds; 0:
    /// duplicates are of one window.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub across_micros: i64,
}

/// One step of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryStep {
    /// Its name.
    pub name: String,
    /// Its SQL as written.
    pub sql: String,
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
    /// What a rollback goes back to; `None`: the revision before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RollbackTo>,
    /// Only windows that start in one of these stretches, which are ascending; empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<TimeRange>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Under which name it was left while another process held the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<Uuid>,
}

/// The work a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Compute windows that were never computed.
    Backfill,
    /// Compute committed windows again and replace their objects.
    Reprocess,
    /// Publish an earlier revision of committed windows again.
    Rollback,
}

impl Request {
    /// A request for all windows that start in `start <= t < end`.
    #[must_use]
    pub fn new(verb: Verb, start: EventTime, end: EventTime) -> Self {
        let (only_outdated, within) = (false, Vec::new());
        Self { verb, start, end, only_outdated, to: None, within, why: None, inbox: None }
    }

    /// Whether it asks for the window that starts at `start`.
    #[must_use]
    pub fn asks_for(&self, start: EventTime) -> bool {
        let holds = |range: &TimeRange| range.start <= start && start < range.end;
        holds(&TimeRange { start: self.start, end: self.end })
            && (self.within.is_empty() || self.within.iter().any(holds))
    }
}

impl Verb {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::Reprocess => "reprocess",
            Self::Rollback => "rollback",
        }
    }
}

/// The event times `start <= t < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// The first instant.
    pub start: EventTime,
    /// The first instant after it.
    pub end: EventTime,
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
