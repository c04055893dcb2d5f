//! What the log of a pipeline says is true, and how it says it.
//!
//! The log is a sequence of [`Entry`]s; [`State`] is their fold, and [`State::apply`] is the only
//! function that changes it. Nothing here reads a store, a clock or a source of randomness.
//!
//! Invariants kept by the fold: CM-1 (chain and contiguity), CM-3 (a batch is committed once), CM-4
//! (epochs), WM-1 and WM-2 (watermark), BF-1 (requests do not move it).

mod apply;
pub mod checkpoint;
pub mod codec;
mod collapse;
mod entry;
mod rows;
#[cfg(test)]
pub(crate) mod tests;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

pub use apply::Violation;
pub use entry::{
    Aside, AsideFailure, AsideFile, BALANCE_FILES_MAX, Balance, BatchOutput, BatchWindow, Begin,
    BeginAside, BlankWindow, Body, CHECK_ROWS_MAX, CheckCount, ClaimReason, Column, Columns,
    ColumnsFile, Commit, CommittedOutput, CommittedWindow, Entry, FORMAT, Failed, FailedWindow,
    FileBalance, GcMark, GcSweep, Inputs, InputsDigest, LateKind, LateWindow, LostOutput,
    MarkedObject, PromisedBy, Query, QueryCheck, QueryDedup, QueryRule, QuerySource, QueryStep,
    Reason, ReferenceVersion, References, Request, Retire, RetirePhase, RollbackTo, RuleCount,
    SegmentRef, Shape, ShapeOutput, ShapeSource, Skip, SourceWatermark, TimeRange, Verb,
    WatermarkMove, Watermarks, Who,
};

pub use collapse::Computed;
pub use rows::RowCounts;
pub use windows::{STRETCH_WINDOWS, Stretch, Windows};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::hash::Sha256;
use crate::id::{
    BatchId, Epoch, Generation, PipelineName, RequestId, Revision, RunId, Seq, StoreId,
};
use crate::ledger::FileId;
use crate::time::{EventTime, ProcessingTime};
use crate::window::{Window, WindowSet};

/// The fold of a log up to and including its head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The state prefix this log belongs to.
    pub store: StoreId,
    /// The pipeline this log belongs to.
    pub pipeline: PipelineName,
    /// The newest entry.
    pub head: Head,
    /// The newest claim's epoch; 0 before the first claim.
    pub epoch: Epoch,
    /// Who holds the newest epoch; `None` once it was released.
    pub holder: Option<Holder>,
    /// What fixes where outputs lie, once it is known.
    pub shape: Option<Shape>,
    /// The queries by the entry that brought them; the newest is the one in force.
    pub queries: BTreeMap<Seq, Query>,
    /// The reference tables by the entry that brought them; the newest are those in force.
    pub references: BTreeMap<Seq, References>,
    /// The columns of tables, by table; none of those whose log does not name them yet.
    #[serde(default)]
    pub columns: BTreeMap<String, TableColumns>,
    /// How often the ledger was added to.
    pub generation: Generation,
    /// The ledger's segments, oldest first.
    pub segments: Vec<Segment>,
    /// Per table: the highest usable event time of any version ever admitted.
    pub last_event_at: BTreeMap<String, EventTime>,
    /// Per table: how far it promises to be complete by something else than its events.
    pub source_watermarks: BTreeMap<String, EventTime>,
    /// Rows that no window will ever hold, over all admissions.
    pub refused_rows: RowCounts,
    /// The end of the unbroken row of committed windows; `None` before the first commit.
    pub watermark: Option<EventTime>,
    /// Windows that were computed.
    pub windows: Windows,
    /// Windows committed without a row of input.
    pub empty: WindowSet,
    /// Windows committed as skipped.
    pub skipped: WindowSet,
    /// Committed windows whose inputs differ from those they were computed from, by start.
    pub stale: BTreeMap<EventTime, Stale>,
    /// Windows begun and neither committed nor given back, by start.
    pub in_doubt: BTreeMap<EventTime, InDoubt>,
    /// What is kept aside of source files because it belongs to no window.
    #[serde(default, with = "pairs")]
    pub asides: BTreeMap<FileId, AsideState>,
    /// What the current epoch has begun of it and not ended.
    #[serde(default)]
    pub open_aside: Option<OpenAside>,
    /// Windows that were never committed, and whose objects have no row, by start.
    pub blank: BTreeMap<EventTime, BlankWindow>,
    /// Windows whose last computation failed, by start.
    pub failed: BTreeMap<EventTime, FailedWindow>,
    /// Batches begun by the current epoch and not ended.
    pub open: BTreeMap<BatchId, OpenBatch>,
    /// Requests that are not done, oldest first.
    pub requests: BTreeMap<RequestId, Request>,
    /// The newest requests that were left while another process held the lease: should one be found
    /// again, it is not asked twice. At most [`TAKEN_IN_MAX`].
    pub taken_in: BTreeSet<Uuid>,
    /// What is being retired; until that is done nothing is published.
    pub retiring: Option<Retiring>,
    /// Outputs whose last retirement is done: they are not owned any more.
    pub retired: Vec<ShapeOutput>,
    /// Objects of the state prefix that a vacuum marked and none swept yet.
    pub marked: Option<Marked>,
}

/// The object that holds the rows of one source file that belong to no window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideState {
    /// What was committed last; `None` if nothing ever was.
    pub committed: Option<AsideFile<CommittedOutput>>,
    /// Whether an attempt may lie there that was begun and not committed.
    pub is_in_doubt: bool,
}

/// A batch of such objects that is begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAside {
    /// The batch.
    pub batch: BatchId,
    /// The files, and whether their objects were in doubt before.
    pub files: Vec<(AsideFile<BatchOutput>, bool)>,
}

/// The columns of a source's table, as the log has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumns {
    /// The entry that says so.
    pub seq: Seq,
    /// The same entry, if it changed what an earlier one said.
    pub changed: Option<Seq>,
    /// What it says.
    pub said: Columns,
}

/// A retirement that is announced and not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retiring {
    /// The output; `None`: the whole pipeline.
    pub output: Option<String>,
    /// The entry that announced it.
    pub since: Seq,
}

/// What one vacuum marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// The entry that says so.
    pub seq: Seq,
    /// When, by the store's clock.
    pub at: ProcessingTime,
    /// The objects, in key order.
    pub objects: Vec<MarkedObject>,
}

/// How many requests that were left for the holder of a lease are remembered. Their names sort by
/// when they were left.
const TAKEN_IN_MAX: usize = 1_000;

/// A segment that is part of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Where its records are.
    pub stored: SegmentRef,
    /// The first generation whose records it holds.
    pub first: Generation,
}

/// The newest entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its place.
    pub seq: Seq,
    /// The hash of its body, which the next entry names.
    pub hash: Sha256,
    /// When it was written, by its writer's clock; for people only.
    pub at: ProcessingTime,
    /// The run that wrote it.
    pub run: RunId,
}

/// Who claimed the newest epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub who: Who,
    /// When, by its clock; for people only.
    pub since: ProcessingTime,
}

/// A window that was computed and committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowState {
    /// The committed facts, as logged.
    pub committed: CommittedWindow,
    /// The entry that committed it.
    pub seq: Seq,
    /// The entry that published its revision: an earlier one, if it was found unchanged since.
    pub published: Seq,
    /// Its earlier revisions, oldest first: the newest [`EARLIER_MAX`] of them. What they were is
    /// read from the entries that published them.
    pub earlier: Vec<Earlier>,
    /// The entry that began it: requests made later are not yet met by it.
    pub begun: Seq,
    /// The generation it was computed from.
    pub generation: Generation,
    /// The entry of the query it was computed with.
    pub query: Seq,
    /// The entry of the reference tables it was computed with, if it has any.
    pub references: Option<Seq>,
}

/// The most earlier revisions of a window that are remembered.
pub const EARLIER_MAX: usize = 1_000;

/// A revision of a window that was replaced by a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Which.
    pub rev: Revision,
    /// The entry that published it.
    pub seq: Seq,
    /// Whether an object of it could not be kept, so that it cannot be restored.
    pub is_lost: bool,
}

impl WindowState {
    /// The earlier revisions that are kept so that they can be restored: of the newest `keep`
    /// those that were not lost, oldest first.
    pub fn restorable(&self, keep: usize) -> impl Iterator<Item = &Earlier> {
        let older = self.earlier.len().saturating_sub(keep);
        self.earlier.iter().skip(older).filter(|earlier| !earlier.is_lost)
    }
}

/// Why a committed window must be computed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    /// The window's end.
    pub end: EventTime,
    /// What changed.
    pub kind: LateKind,
    /// Rows that came since, over all admissions since its commit.
    pub rows: u64,
    /// Files that came or changed since.
    pub files: u64,
}

/// A window whose object may hold an attempt that was never committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InDoubt {
    /// The window's end.
    pub end: EventTime,
    /// The batch that began it last.
    pub batch: BatchId,
}

/// A begun batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBatch {
    /// The entry that began it.
    pub seq: Seq,
    /// The generation its inputs were planned from.
    pub generation: Generation,
    /// The entry of its query.
    pub query: Seq,
    /// The entry of its reference tables, if it has any.
    pub references: Option<Seq>,
    /// Its windows by start, and whether each was in doubt before this batch.
    pub windows: BTreeMap<EventTime, (BatchWindow, bool)>,
}

/// A map whose keys are no texts, stored as a list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl State {
    /// The query in force, and the entry that brought it; `None` before the first.
    #[must_use]
    pub fn query(&self) -> Option<(Seq, &Query)> {
        self.queries.last_key_value().map(|(seq, query)| (*seq, query))
    }

    /// The reference tables in force, and the entry that brought them; `None` before the first.
    #[must_use]
    pub fn references(&self) -> Option<(Seq, &References)> {
        self.references.last_key_value().map(|(seq, references)| (*seq, references))
    }

    /// Whether the columns of a table were changed after entry `seq`.
    #[must_use]
    pub fn has_changed_columns_since(&self, seq: Seq) -> bool {
        self.columns.values().any(|table| table.changed.is_some_and(|changed| changed > seq))
    }

    /// The seq that the next entry takes; `None` at the end of time.
    #[must_use]
    pub fn next_seq(&self) -> Option<Seq> {
        self.head.seq.next()
    }

    /// Whether the window was committed: computed, empty, or skipped.
    #[must_use]
    pub fn is_committed(&self, window: Window) -> bool {
        self.is_computed(window.start())
            || self.empty.contains(window.start())
            || self.skipped.contains(window.start())
    }

    /// The revision that the next publication of the window at `start` gets; `None` if there is
    /// none left, or its facts were not recalled.
    #[must_use]
    pub fn next_revision(&self, start: EventTime) -> Option<Revision> {
        match self.windows.get(&start) {
            Some(window) => window.committed.rev.next(),
            None if self.is_computed(start) => None,
            None => Some(Revision(1)),
        }
    }

    /// How far the unbroken row of committed windows reaches from `from`.
    #[must_use]
    pub fn contiguous_end(&self, from: EventTime) -> EventTime {
        let mut end = from;
        loop {
            let further = match (self.windows.stretch_at(end), self.windows.get(&end)) {
                (Some((_, stretch)), _) => Some(stretch.end),
                (None, Some(window)) => Some(window.committed.end),
                _ => self.empty.end_of_run(end).or_else(|| self.skipped.end_of_run(end)),
            };
            match further {
                Some(further) if further > end => end = further,
                _ => return end,
            }
        }
    }

    /// How the watermark moves if `committed` stretches are committed too: to the end of the
    /// unbroken row of committed windows. The first move starts at `base`. `None` if it stays.
    #[must_use]
    pub fn watermark_after(
        &self,
        committed: impl IntoIterator<Item = (EventTime, EventTime)>,
        base: EventTime,
    ) -> Option<WatermarkMove> {
        let from = self.watermark.unwrap_or(base);
        let mut more = WindowSet::default();
        committed.into_iter().for_each(|(start, end)| more.insert(start, end));
        let mut to = from;
        loop {
            let further = self.contiguous_end(more.end_of_run(to).unwrap_or(to));
            if further <= to {
                break;
            }
            to = further;
        }
        (to > from).then_some(WatermarkMove { from, to })
    }
}
