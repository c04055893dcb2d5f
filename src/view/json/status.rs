//! The document of `status`.

use serde::Serialize;

use super::ErrorDoc;
use crate::id::{PipelineName, RunId};
use crate::report::Orphan;
use crate::state::{RowCounts, TimeRange};
use crate::time::{EventTime, ProcessingTime, Span};
use crate::view::{StatusView, WindowCounts};

/// What `status` says.
#[derive(Debug, Serialize)]
pub struct StatusDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The project's name.
    pub project: String,
    /// Its pipelines.
    pub pipelines: Vec<StatusPipelineDoc>,
    /// States that no pipeline of the configuration belongs to: at most 100.
    pub orphans: Vec<OrphanDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// A state that no pipeline of the configuration belongs to.
#[derive(Debug, Serialize)]
pub struct OrphanDoc {
    /// Whose it is.
    pub pipeline: PipelineName,
    /// Its computed windows.
    pub windows: u64,
}

/// The document form of `orphan`.
#[must_use]
pub fn orphan(orphan: &Orphan) -> OrphanDoc {
    OrphanDoc { pipeline: orphan.pipeline.clone(), windows: orphan.windows }
}

/// How one pipeline stands.
#[derive(Debug, Serialize)]
pub struct StatusPipelineDoc {
    /// Its name.
    pub pipeline: PipelineName,
    /// `disabled`, `new`, `failed`, `held`, `overdue`, `pending` or `ok`.
    pub state: &'static str,
    /// Its watermark.
    pub watermark: Option<EventTime>,
    /// How far that lies behind now.
    pub lag_seconds: Option<i64>,
    /// Its windows.
    pub windows: WindowCounts,
    /// Rows of all committed windows and admissions.
    pub rows: RowCounts,
    /// The last run that wrote.
    pub last_run: Option<LastRunDoc>,
    /// Stretches of uncommitted windows that hold the watermark while later ones are committed: at
    /// most 100.
    pub gaps: Vec<TimeRange>,
    /// How many there are.
    pub gaps_total: u64,
    /// What stands in the way.
    pub notes: Vec<String>,
}

/// The last run that wrote.
#[derive(Debug, Serialize)]
pub struct LastRunDoc {
    /// Its id.
    pub run_id: RunId,
    /// When it wrote last.
    pub at: ProcessingTime,
}

/// The document form of a status.
#[must_use]
pub fn status(pipeline: &PipelineName, view: &StatusView) -> StatusPipelineDoc {
    StatusPipelineDoc {
        pipeline: pipeline.clone(),
        state: view.state.as_str(),
        watermark: view.watermark,
        lag_seconds: view.lag.map(Span::seconds),
        windows: view.windows,
        rows: view.rows,
        last_run: view.last_run.map(|(run_id, at)| LastRunDoc { run_id, at }),
        gaps: view.gaps.clone(),
        gaps_total: view.gaps_total,
        notes: view.notes.clone(),
    }
}
