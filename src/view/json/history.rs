//! The document of `history`.

use serde::Serialize;

use super::ErrorDoc;
use crate::hash::Sha256;
use crate::id::{PipelineName, Revision, RunId, Seq};
use crate::state::{
    Balance, CheckCount, CommittedOutput, CommittedWindow, FailedWindow, LostOutput, Reason,
    RowCounts,
};
use crate::time::{EventTime, ProcessingTime};

/// What `history` says.
#[derive(Debug, Serialize)]
pub struct HistoryDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Its commits, newest first.
    pub commits: Vec<CommitDoc>,
    /// Windows that were committed as skipped, newest first.
    pub skips: Vec<SkipDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// One commit.
#[derive(Debug, Serialize)]
pub struct CommitDoc {
    /// Its place in the log.
    pub seq: Seq,
    /// When, by its writer's clock.
    pub at: ProcessingTime,
    /// The run that made it.
    pub run_id: RunId,
    /// `commit`, or `rollback`.
    pub kind: &'static str,
    /// The windows it published.
    pub windows: Vec<CommitWindowDoc>,
    /// The windows it named as failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedWindow>,
    /// What it replaced and could not keep before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostDoc>,
}

/// An object of a revision that cannot be restored.
#[derive(Debug, Serialize)]
pub struct LostDoc {
    /// The window's start.
    pub start: EventTime,
    /// The revision.
    pub revision: Revision,
    /// The output's name.
    pub output: String,
}

/// Windows that were committed without being computed.
#[derive(Debug, Serialize)]
pub struct SkipDoc {
    /// Its place in the log.
    pub seq: Seq,
    /// When, by its writer's clock.
    pub at: ProcessingTime,
    /// The run that made it.
    pub run_id: RunId,
    /// The first window's start.
    pub start: EventTime,
    /// The last window's end.
    pub end: EventTime,
    /// Why, in the operator's words.
    pub why: String,
}

/// One window of a commit.
#[derive(Debug, Serialize)]
pub struct CommitWindowDoc {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// How often it had been published then.
    pub revision: Revision,
    /// Why it was computed.
    pub reason: Reason,
    /// Whether its rows were those published before, and its objects left alone.
    pub unchanged: bool,
    /// The revision whose rows these are, if it was not computed but restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restores: Option<Revision>,
    /// Whether `rollback` can go back to this revision.
    pub restorable: bool,
    /// What became of its rows.
    pub rows: RowCounts,
    /// The same by rule and file, where not every row was used.
    #[serde(skip_serializing_if = "Balance::is_empty")]
    pub balance: Balance,
    /// What its checks found, if it had any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckCount>,
    /// Its objects.
    pub outputs: Vec<OutputDoc>,
}

/// A published object.
#[derive(Debug, Serialize)]
pub struct OutputDoc {
    /// Its key.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The hash of its bytes.
    pub sha256: Sha256,
}

/// The document form of an object that was lost.
#[must_use]
pub fn lost(lost: &LostOutput) -> LostDoc {
    LostDoc { start: lost.start, revision: lost.rev, output: lost.output.clone() }
}

/// The document form of a committed window.
#[must_use]
pub fn committed(window: &CommittedWindow, restorable: bool) -> CommitWindowDoc {
    CommitWindowDoc {
        start: window.start,
        end: window.end,
        revision: window.rev,
        reason: window.reason,
        unchanged: window.unchanged,
        restores: window.restores,
        restorable,
        rows: window.rows,
        balance: window.balance.clone(),
        checks: window.checks.clone(),
        outputs: window.outputs.iter().map(output).collect(),
    }
}

/// The document form of a published object.
pub(super) fn output(output: &CommittedOutput) -> OutputDoc {
    OutputDoc {
        path: output.path.clone(),
        rows: output.rows,
        bytes: output.bytes,
        sha256: output.sha256,
    }
}
