//! The document of `plan`.

use serde::Serialize;

use super::ErrorDoc;
use crate::error::Error;
use crate::id::PipelineName;
use crate::plan::{DueWindow, Plan};
use crate::spec::PipelineSpec;
use crate::state::{FailedWindow, Reason, RowCounts, State, TimeRange};
use crate::time::EventTime;
use crate::view::text::objects;
use crate::window::Window;

/// What `plan` says.
#[derive(Debug, Serialize)]
pub struct PlanDoc {
    /// [`super::SCHEMA`].
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
    /// Windows that are due and wait for an input that is on its way.
    pub held: Vec<DueDoc>,
    /// Stretches of closed windows without a row that wait behind others that are refused for
    /// `min_rows`.
    pub withheld: Vec<TimeRange>,
    /// Stretches of closed windows without a row.
    pub empty: Vec<TimeRange>,
    /// Windows that see rows and are not closed.
    pub open: Vec<TimeRange>,
    /// Committed windows that were computed with another query, or other reference tables, than
    /// today's.
    pub outdated: u64,
    /// Pipelines it reads from that have work of their own: what they bring is not in this plan.
    pub behind: Vec<PipelineName>,
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
    /// Files with rows that it sees.
    pub files: usize,
    /// Its rows.
    pub rows: u64,
    /// Rows of its margins.
    pub margin: u64,
    /// Its share of their bytes.
    pub bytes: u64,
    /// Rows that came since its last commit.
    pub late_rows: u64,
    /// Files that brought them, or that changed.
    pub late_files: u64,
    /// The objects it would publish.
    pub outputs: Vec<String>,
}

/// The document form of a pipeline's plan; `outside` counts the rows that are in no window,
/// `behind` names the pipelines it waits for.
#[must_use]
pub fn plan(
    spec: &PipelineSpec,
    state: &State,
    plan: &Plan,
    outside: RowCounts,
    behind: Vec<PipelineName>,
) -> PlanPipelineDoc {
    let due = |due: &DueWindow| DueDoc {
        start: due.window.start(),
        end: due.window.end(),
        local: spec.grid.local(due.window),
        reason: due.reason,
        files: due.inputs.len(),
        rows: due.rows,
        margin: due.margin,
        bytes: due.bytes,
        late_rows: due.late_rows,
        late_files: due.late_files,
        outputs: objects(spec, due.window),
    };
    let refused = |(due, why): &(DueWindow, Error)| FailedWindow {
        start: due.window.start(),
        end: due.window.end(),
        code: why.code().to_string(),
        message: why.message().to_owned(),
    };
    PlanPipelineDoc {
        pipeline: spec.name.clone(),
        watermark: state.watermark,
        windows: plan.windows.iter().map(due).collect(),
        refused: plan.refused.iter().map(refused).collect(),
        held: plan.held.iter().map(due).collect(),
        withheld: plan.withheld.clone(),
        empty: plan.empty.clone(),
        open: plan.open.iter().map(range).collect(),
        outdated: plan.outdated,
        behind,
        expired_rows: outside.expired,
        before_begin_rows: outside.before_begin,
    }
}

fn range(window: &Window) -> TimeRange {
    TimeRange { start: window.start(), end: window.end() }
}

/// What `skip --dry-run` says.
#[derive(Debug, Serialize)]
pub struct SkipPlanDoc {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The windows that would be committed as skipped.
    pub skip: Vec<TimeRange>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// The document form of the windows that `skip` would commit.
#[must_use]
pub fn skip(spec: &PipelineSpec, windows: &[Window]) -> SkipPlanDoc {
    SkipPlanDoc {
        schema: super::SCHEMA,
        pipeline: spec.name.clone(),
        skip: windows.iter().map(range).collect(),
        errors: Vec::new(),
    }
}
