//! The machine interface: one document per command, in the shape that DESIGN §9 publishes.
//!
//! Fields are only ever added. Instants are RFC 3339 in UTC.

use serde::Serialize;

use super::{StatusView, WindowCounts};
use crate::error::Error;
use crate::id::{PipelineName, RequestId, Revision, RunId, Seq};
use crate::plan::{DueWindow, Plan};
use crate::report::{PipelineReport, Problem, Verified};
use crate::spec::PipelineSpec;
use crate::state::{
    CommittedOutput, CommittedWindow, FailedWindow, Reason, Request, RowCounts, State, TimeRange,
    Verb,
};
use crate::time::{EventTime, ProcessingTime};
use crate::hash::Sha256;

/// The version of every document.
pub const SCHEMA: u32 = 1;

/// One thing that went wrong.
#[derive(Debug, Serialize)]
pub struct ErrorDoc {
    /// Its code.
    pub code: String,
    /// Its sentence.
    pub message: String,
    /// What gets further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What else is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where in the user's text: file, line and column, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<PlaceDoc>,
}

/// A place in a text of the user.
#[derive(Debug, Serialize)]
pub struct PlaceDoc {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// The document form of `error`.
#[must_use]
pub fn error(error: &Error) -> ErrorDoc {
    let at = error.excerpt().map(|excerpt| {
        let before = excerpt.text.get(..excerpt.span.start).unwrap_or(&excerpt.text);
        let line_start = before.rfind('\n').map_or(0, |end| end.saturating_add(1));
        PlaceDoc {
            file: excerpt.origin.clone(),
            line: before.matches('\n').count().saturating_add(1),
            column: before[line_start..].chars().count().saturating_add(1),
        }
    });
    ErrorDoc {
        code: error.code().to_string(),
        message: error.message().to_owned(),
        hint: error.hints().first().cloned(),
        notes: error.notes().to_vec(),
        at,
    }
}

/// The document of a command that could not begin.
#[derive(Debug, Serialize)]
pub struct FailureDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The exit code.
    pub exit_code: u8,
    /// Why.
    pub errors: Vec<ErrorDoc>,
}

/// What `plan` says.
#[derive(Debug, Serialize)]
pub struct PlanDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The project's name.
    pub project: String,
    /// Its pipelines.
    pub pipelines: Vec<PlanPipelineDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// What is due in one pipeline.
#[derive(Debug, Serialize)]
pub struct PlanPipelineDoc {
    /// Its name.
    pub pipeline: PipelineName,
    /// Its watermark.
    pub watermark: Option<EventTime>,
    /// The windows to compute, in the order of work.
    pub windows: Vec<DueDoc>,
    /// Windows that are due and cannot be computed.
    pub refused: Vec<FailedWindow>,
    /// Stretches of closed windows without a row.
    pub empty: Vec<TimeRange>,
    /// Windows with rows that are not closed.
    pub open: Vec<TimeRange>,
    /// Rows later than the allowed lateness.
    pub expired_rows: u64,
    /// Rows before the pipeline's begin that no backfill has computed.
    pub before_begin_rows: u64,
}

/// A window that is due.
#[derive(Debug, Serialize)]
pub struct DueDoc {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// Its start in the pipeline's zone.
    pub local: String,
    /// Why it is due.
    pub reason: Reason,
    /// Files with rows of it.
    pub files: usize,
    /// Its rows.
    pub rows: u64,
    /// Its share of their bytes.
    pub bytes: u64,
    /// Rows that came since its last commit.
    pub late_rows: u64,
    /// The objects it would publish.
    pub outputs: Vec<String>,
}

/// The document form of a pipeline's plan.
#[must_use]
pub fn plan(
    spec: &PipelineSpec,
    state: &State,
    plan: &Plan,
    before_begin_rows: u64,
) -> PlanPipelineDoc {
    let due = |due: &DueWindow| DueDoc {
        start: due.window.start(),
        end: due.window.end(),
        local: spec.grid.local(due.window),
        reason: due.reason,
        files: due.inputs.len(),
        rows: due.rows,
        bytes: due.bytes,
        late_rows: due.late_rows,
        outputs: super::text::objects(spec, due.window),
    };
    let refused = |(due, why): &(DueWindow, Error)| FailedWindow {
        start: due.window.start(),
        end: due.window.end(),
        code: why.code().to_string(),
        message: why.message().to_owned(),
    };
    let range = |window: &crate::window::Window| TimeRange {
        start: window.start(),
        end: window.end(),
    };
    PlanPipelineDoc {
        pipeline: spec.name.clone(),
        watermark: state.watermark,
        windows: plan.windows.iter().map(due).collect(),
        refused: plan.refused.iter().map(refused).collect(),
        empty: plan.empty.clone(),
        open: plan.open.iter().map(range).collect(),
        expired_rows: 0,
        before_begin_rows,
    }
}

/// What `run`, `backfill`, `reprocess` and `skip` say.
#[derive(Debug, Serialize)]
pub struct RunDoc {
    /// [`SCHEMA`].
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
    /// What became of rows.
    pub rows: RowCounts,
    /// Bytes of Parquet read.
    pub bytes_read: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The windows that failed.
    pub failures: Vec<FailedWindow>,
    /// The request that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
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
        rows: report.rows,
        bytes_read: report.bytes_read,
        duration_ms: report.took.micros().div_euclid(1_000),
        failures: report.failures.clone(),
        request: report.request.map(|id| id.to_string()),
    }
}

/// What `status` says.
#[derive(Debug, Serialize)]
pub struct StatusDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The project's name.
    pub project: String,
    /// Its pipelines.
    pub pipelines: Vec<StatusPipelineDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
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
    pub windows: WindowsDoc,
    /// Rows of all committed windows and admissions.
    pub rows: RowCounts,
    /// The last run that wrote.
    pub last_run: Option<LastRunDoc>,
    /// What stands in the way.
    pub notes: Vec<String>,
}

/// How many windows are how.
#[derive(Debug, Serialize)]
pub struct WindowsDoc {
    /// Computed and committed.
    pub committed: u64,
    /// Committed without a row.
    pub empty: u64,
    /// Committed as skipped.
    pub skipped: u64,
    /// With rows, and not closed yet.
    pub open: u64,
    /// Due and never committed.
    pub pending: u64,
    /// Committed, and due again.
    pub stale: u64,
    /// Failed the last time they were computed.
    pub failed: u64,
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
    let WindowCounts { committed, empty, skipped, open, pending, stale, failed } = view.windows;
    StatusPipelineDoc {
        pipeline: pipeline.clone(),
        state: view.state.as_str(),
        watermark: view.watermark,
        lag_seconds: view.lag.map(crate::time::Span::seconds),
        windows: WindowsDoc { committed, empty, skipped, open, pending, stale, failed },
        rows: view.rows,
        last_run: view.last_run.map(|(run_id, at)| LastRunDoc { run_id, at }),
        notes: view.notes.clone(),
    }
}

/// What `history` says.
#[derive(Debug, Serialize)]
pub struct HistoryDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Its commits, newest first.
    pub commits: Vec<CommitDoc>,
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
    /// The windows it published.
    pub windows: Vec<CommitWindowDoc>,
    /// The windows it named as failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedWindow>,
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
    /// What became of its rows.
    pub rows: RowCounts,
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

/// The document form of a committed window.
#[must_use]
pub fn committed(window: &CommittedWindow) -> CommitWindowDoc {
    let output = |output: &CommittedOutput| OutputDoc {
        path: output.path.clone(),
        rows: output.rows,
        bytes: output.bytes,
        sha256: output.sha256,
    };
    CommitWindowDoc {
        start: window.start,
        end: window.end,
        revision: window.rev,
        reason: window.reason,
        rows: window.rows,
        outputs: window.outputs.iter().map(output).collect(),
    }
}

/// What `verify` says.
#[derive(Debug, Serialize)]
pub struct VerifyDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether everything is as the log says.
    pub ok: bool,
    /// What was looked at.
    pub checked: CheckedDoc,
    /// What is wrong.
    pub problems: Vec<ProblemDoc>,
    /// What went wrong while looking.
    pub errors: Vec<ErrorDoc>,
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub struct CheckedDoc {
    /// Computed windows.
    pub windows: u64,
    /// Objects.
    pub objects: u64,
    /// Log entries.
    pub entries: u64,
}

/// One thing that is not as the log says.
#[derive(Debug, Serialize)]
pub struct ProblemDoc {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The window's start.
    pub start: Option<EventTime>,
    /// The window's end.
    pub end: Option<EventTime>,
    /// `missing`, `size`, `sha256`, `rows`, `in_doubt` or `unknown`.
    pub kind: &'static str,
    /// The object.
    pub path: String,
    /// The difference in words.
    pub message: String,
}

/// The document form of what `verify` found in several pipelines.
#[must_use]
pub fn verify(found: &[Verified], errors: &[Error]) -> VerifyDoc {
    let problem = |problem: &Problem| ProblemDoc {
        pipeline: problem.pipeline.clone(),
        start: problem.window.map(|(start, _)| start),
        end: problem.window.map(|(_, end)| end),
        kind: problem.kind.as_str(),
        path: problem.path.clone(),
        message: problem.message.clone(),
    };
    let sum = |count: fn(&Verified) -> u64| found.iter().map(count).fold(0, u64::saturating_add);
    let problems: Vec<_> = found.iter().flat_map(|found| &found.problems).map(problem).collect();
    VerifyDoc {
        schema: SCHEMA,
        ok: problems.is_empty() && errors.is_empty(),
        checked: CheckedDoc {
            windows: sum(|found| found.windows),
            objects: sum(|found| found.objects),
            entries: sum(|found| found.entries),
        },
        problems,
        errors: errors.iter().map(error).collect(),
    }
}

/// What `requests` says.
#[derive(Debug, Serialize)]
pub struct RequestsDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Requests that are not done.
    pub requests: Vec<RequestDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// One request.
#[derive(Debug, Serialize)]
pub struct RequestDoc {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Its id, as `requests --cancel` takes it.
    pub id: String,
    /// `backfill` or `reprocess`.
    pub verb: Verb,
    /// Windows that start at or after this.
    pub start: EventTime,
    /// Windows that start before this.
    pub end: EventTime,
    /// Why, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The document form of a request.
#[must_use]
pub fn request(pipeline: &PipelineName, id: RequestId, request: &Request) -> RequestDoc {
    RequestDoc {
        pipeline: pipeline.clone(),
        id: id.to_string(),
        verb: request.verb,
        start: request.start,
        end: request.end,
        why: request.why.clone(),
    }
}

/// What `check` says.
#[derive(Debug, Serialize)]
pub struct CheckDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether nothing was found.
    pub ok: bool,
    /// The pipelines that were looked at.
    pub pipelines: Vec<PipelineName>,
    /// What was found.
    pub errors: Vec<ErrorDoc>,
}
