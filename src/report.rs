//! What a command did, as data; and who is told while it does it.

mod manifest;
mod rows;
mod upkeep;
mod verified;

pub use manifest::{Manifest, ManifestFile};
pub use rows::{Fate, Original, Quarantined, QuarantinedRow, Trace, TracedCommit, TracedRow};
pub use upkeep::{Orphan, Retired, Standing, Vacuumed};
pub use verified::{Problem, ProblemKind, Recomputed, Verified};

use crate::error::{Code, Error, ErrorKind};
use crate::id::{Epoch, PipelineName, RequestId, Seq};
use crate::plan::Plan;
use crate::spec::PipelineSpec;
use crate::state::{CommittedWindow, FailedWindow, RowCounts, Who};
use crate::time::{EventTime, ProcessingTime, Span};

/// What one command did to one pipeline.
#[derive(Clone, Debug)]
pub struct PipelineReport {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Where its watermark stood before.
    pub watermark_before: Option<EventTime>,
    /// Where it stands now.
    pub watermark: Option<EventTime>,
    /// When the next window closes, at the earliest: the end of the first open one.
    pub next_close: Option<EventTime>,
    /// Files that its sources list.
    pub files: usize,
    /// Windows that were published.
    pub windows_done: u64,
    /// Windows that were computed and found as they are published already.
    pub windows_unchanged: u64,
    /// Windows that went back to an earlier revision.
    pub windows_restored: u64,
    /// Windows that were committed as skipped.
    pub windows_skipped: u64,
    /// Windows that are due and wait for an input that is on its way.
    pub windows_held: u64,
    /// The first and the last entry it appended.
    pub entries: Option<(Seq, Seq)>,
    /// Rows of what was published and admitted.
    pub rows: RowCounts,
    /// Bytes of Parquet read from its sources.
    pub bytes_read: u64,
    /// How long it took.
    pub took: Span,
    /// Windows that failed or were refused.
    pub failures: Vec<FailedWindow>,
    /// What went wrong outside of single windows.
    pub errors: Vec<Error>,
    /// Files that were left out because they cannot be read.
    pub left_out: Vec<Error>,
    /// The request it recorded, if it was asked for one.
    pub request: Option<RequestId>,
    /// Under which name what was asked for was left for the run that holds the lease.
    pub left: Option<uuid::Uuid>,
}

impl PipelineReport {
    /// Nothing was done yet.
    #[must_use]
    pub fn new(pipeline: PipelineName) -> Self {
        Self {
            pipeline,
            watermark_before: None,
            watermark: None,
            next_close: None,
            files: 0,
            windows_done: 0,
            windows_unchanged: 0,
            windows_restored: 0,
            windows_skipped: 0,
            windows_held: 0,
            entries: None,
            rows: RowCounts::default(),
            bytes_read: 0,
            took: Span::ZERO,
            failures: Vec::new(),
            errors: Vec::new(),
            left_out: Vec::new(),
            request: None,
            left: None,
        }
    }

    /// What kind of end it came to; `None` if all is well.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        let of_window =
            |failed: &FailedWindow| Code::parse(&failed.code).map_or(ErrorKind::Failed, Code::kind);
        let kinds = self.failures.iter().map(of_window).chain(self.errors.iter().map(Error::kind));
        // A failure beside finished windows is a matter for a ticket, not for the night.
        let done = self.windows_done > 0;
        let kinds = kinds.map(|kind| match kind {
            ErrorKind::Failed if done => ErrorKind::Partial,
            kind => kind,
        });
        ErrorKind::worst(kinds)
    }

    /// Whether there was nothing to do and nothing to complain about.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.entries.is_none() && self.failures.is_empty() && self.errors.is_empty()
    }
}

/// Something that happened in a run.
#[derive(Clone, Copy, Debug)]
pub enum RunEvent<'a> {
    /// A pipeline is about to work on a plan.
    Planned {
        /// The pipeline.
        spec: &'a PipelineSpec,
        /// The plan.
        plan: &'a Plan,
    },
    /// A window was committed.
    Committed {
        /// The pipeline.
        spec: &'a PipelineSpec,
        /// The window, as logged.
        window: &'a CommittedWindow,
        /// The entry that committed it.
        seq: Seq,
    },
    /// A window failed or was refused.
    Failed {
        /// The pipeline.
        spec: &'a PipelineSpec,
        /// The window, as logged.
        window: &'a FailedWindow,
    },
    /// A pipeline is done.
    Finished {
        /// The pipeline.
        spec: &'a PipelineSpec,
        /// What was done.
        report: &'a PipelineReport,
    },
}

/// Somebody who watches a run. It cannot change anything.
pub trait Observer: Sync {
    /// Something happened.
    fn on(&self, event: RunEvent<'_>);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn on(&self, _event: RunEvent<'_>) {}
}

/// Who holds the lease of a pipeline.
#[derive(Clone, Debug)]
pub struct LeaseReport {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The newest epoch; `None` before the first run.
    pub epoch: Option<Epoch>,
    /// Its holder; `None` if nobody holds it.
    pub held: Option<Held>,
    /// How many requests were left for the holder.
    pub left: usize,
}

/// The holder of a lease.
#[derive(Clone, Debug)]
pub struct Held {
    /// The process.
    pub who: Who,
    /// Since when, by its clock.
    pub since: ProcessingTime,
    /// What is known of the process.
    pub signs: Signs,
    /// When its heart beat last, by the store's clock; `None` if it did not yet.
    pub beat_at: Option<ProcessingTime>,
    /// How many windows it has dealt with, and how many it planned, by the last beat.
    pub windows: Option<(u64, u64)>,
}

/// What is known of the process that holds a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// It lives and holds the lock.
    Locked,
    /// It is gone: the next run takes over at once.
    Gone,
    /// It is on this host, working or stopped.
    There,
    /// It is, or was, on another host.
    Unknown,
}

impl Signs {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "alive",
            Self::Gone => "gone",
            Self::There => "there",
            Self::Unknown => "unknown",
        }
    }
}
