//! The document of `trace`.

use serde::Serialize;

use super::{ErrorDoc, SCHEMA};
use crate::id::{PipelineName, Revision, Seq};
use crate::report::{Fate, Trace, TracedCommit, TracedRow};
use crate::spec::PipelineSpec;
use crate::state::TimeRange;
use crate::time::EventTime;
use crate::window::Window;

/// What `trace` says.
#[derive(Debug, Serialize)]
pub struct TraceDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The rows that the condition holds for.
    pub rows: Vec<TracedRowDoc>,
    /// Whether there are more.
    pub more: bool,
    /// Files of the ledger that could not be searched.
    pub unread: Vec<UnreadDoc>,
    /// Sources that do not have the columns of the condition.
    pub passed_over: Vec<String>,
    /// Listed files that no run has admitted yet.
    pub not_admitted: u64,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// A file that could not be searched.
#[derive(Debug, Serialize)]
pub struct UnreadDoc {
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: String,
    /// Why not.
    pub why: String,
}

/// What became of one row.
#[derive(Debug, Serialize)]
pub struct TracedRowDoc {
    /// Its table.
    pub table: String,
    /// The key of its file.
    pub key: String,
    /// What the file is called.
    pub file: String,
    /// Which row of the file it is, from 0.
    pub row: u64,
    /// Its event time, if it has a usable one.
    pub event_time: Option<EventTime>,
    /// The window that it belongs to.
    pub window: Option<TimeRange>,
    /// What became of it.
    pub fate: &'static str,
    /// The rule that decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why it was put aside, or why nothing can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The row it is a duplicate of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<OriginalDoc>,
    /// The code of what its window failed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether this version of its file came after the commit of its stale window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_commit: Option<bool>,
    /// The commit that stands of its window.
    pub commit: Option<TracedCommitDoc>,
}

/// The row that a row is a duplicate of.
#[derive(Debug, Serialize)]
pub struct OriginalDoc {
    /// The key of its file.
    pub key: String,
    /// What the file is called.
    pub file: String,
    /// Which row of the file it is, from 0.
    pub row: u64,
    /// The window that it belongs to.
    pub window: Option<TimeRange>,
}

/// The commit that stands of a window.
#[derive(Debug, Serialize)]
pub struct TracedCommitDoc {
    /// Its place in the log.
    pub seq: Seq,
    /// The window's revision.
    pub revision: Revision,
    /// The objects of the window's outputs.
    pub outputs: Vec<String>,
    /// Whether the window was begun anew and not committed.
    pub in_doubt: bool,
    /// Whether it was computed with another query than that of now.
    pub outdated: bool,
}

fn range(window: Window) -> TimeRange {
    TimeRange { start: window.start(), end: window.end() }
}

/// The document form of what became of rows.
#[must_use]
pub fn trace(spec: &PipelineSpec, found: &Trace) -> TraceDoc {
    let unread = found.unread.iter().map(|(file, _, why)| UnreadDoc {
        table: file.table.clone(),
        key: file.key.clone(),
        why: why.clone(),
    });
    TraceDoc {
        schema: SCHEMA,
        pipeline: spec.name.clone(),
        rows: found.rows.iter().map(row).collect(),
        more: found.is_cut,
        unread: unread.collect(),
        passed_over: found.passed_over.clone(),
        not_admitted: found.not_admitted,
        errors: Vec::new(),
    }
}

fn row(traced: &TracedRow) -> TracedRowDoc {
    let mut row = TracedRowDoc {
        table: traced.file.table.clone(),
        key: traced.file.key.clone(),
        file: traced.name.clone(),
        row: traced.row,
        event_time: traced.at,
        window: traced.window.map(range),
        fate: traced.fate.as_str(),
        rule: None,
        reason: None,
        of: None,
        code: None,
        after_commit: None,
        commit: traced.commit.as_ref().map(commit),
    };
    match &traced.fate {
        Fate::Quarantined { rule, reason } => {
            (row.rule, row.reason) = (Some(rule.clone()), Some(reason.clone()));
        }
        Fate::Dropped { rule } | Fate::Refused { rule } => row.rule = Some(rule.clone()),
        Fate::Duplicate { of } => {
            row.of = of.as_ref().map(|of| OriginalDoc {
                key: of.key.clone(),
                file: of.name.clone(),
                row: of.row,
                window: of.window.map(range),
            });
        }
        Fate::Failed { code, message } => {
            (row.code, row.reason) = (Some(code.clone()), Some(message.clone()));
        }
        Fate::Stale { is_new } => row.after_commit = Some(*is_new),
        Fate::Unknown { why } => row.reason = Some(why.clone()),
        _ => {}
    }
    row
}

fn commit(commit: &TracedCommit) -> TracedCommitDoc {
    TracedCommitDoc {
        seq: commit.seq,
        revision: commit.revision,
        outputs: commit.outputs.clone(),
        in_doubt: commit.is_in_doubt,
        outdated: commit.is_outdated,
    }
}
