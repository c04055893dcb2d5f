//! The document of the commands that compute: `run`, `backfill`, `reprocess`, `skip`.

use serde::Serialize;
use uuid::Uuid;

use super::{ErrorDoc, error};
use crate::id::{PipelineName, RunId};
use crate::report::PipelineReport;
use crate::state::{FailedWindow, RowCounts};
use crate::time::EventTime;
use crate::view::hint;

/// What `run`, `backfill`, `reprocess` and `skip` say.
#[derive(Debug, Serialize)]
pub struct RunDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The run.
    pub run_id: RunId,
    /// The exit code.
    pub exit_code: u8,
    /// What was done to each pipeline.
    pub pipelines: Vec<RunPipelineDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// What a run did to one pipeline.
#[derive(Debug, Serialize)]
pub struct RunPipelineDoc {
    /// Its name.
    pub pipeline: PipelineName,
    /// Its watermark now.
    pub watermark: Option<EventTime>,
    /// Windows that were published.
    pub windows_done: u64,
    /// Windows that failed or were refused.
    pub windows_failed: usize,
    /// Windows that were as they are published already.
    pub windows_unchanged: u64,
    /// Windows that went back to an earlier revision.
    pub windows_restored: u64,
    /// Windows that were committed as skipped.
    pub windows_skipped: u64,
    /// Windows that are due and wait for an input that is on its way.
    pub windows_held: u64,
    /// What became of rows.
    pub rows: RowCounts,
    /// Bytes of Parquet read.
    pub bytes_read: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The windows that failed.
    pub failures: Vec<FailureDoc>,
    /// Files that were left out because they cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ErrorDoc>,
    /// The request that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Under which name the request was left for the run that holds the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Uuid>,
}

/// A window that failed.
#[derive(Debug, Serialize)]
pub struct FailureDoc {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// The code of the error.
    pub code: String,
    /// Its sentence.
    pub message: String,
    /// What gets further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

fn failure(failed: &FailedWindow) -> FailureDoc {
    let FailedWindow { start, end, code, message } = failed.clone();
    FailureDoc { start, end, hint: hint(&code), code, message }
}

/// The document form of a report.
#[must_use]
pub fn run(report: &PipelineReport) -> RunPipelineDoc {
    RunPipelineDoc {
        pipeline: report.pipeline.clone(),
        watermark: report.watermark,
        windows_done: report.windows_done,
        windows_failed: report.failures.len(),
        windows_unchanged: report.windows_unchanged,
        windows_restored: report.windows_restored,
        windows_skipped: report.windows_skipped,
        windows_held: report.windows_held,
        rows: report.rows,
        bytes_read: report.bytes_read,
        duration_ms: report.took.micros().div_euclid(1_000),
        failures: report.failures.iter().map(failure).collect(),
        left_out: report.left_out.iter().map(error).collect(),
        request: report.request.map(|id| id.to_string()),
        left: report.left,
    }
}
