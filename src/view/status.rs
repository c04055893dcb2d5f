//! How a pipeline stands.

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::id::RunId;
use crate::plan::{Plan, closed_until};
use crate::spec::PipelineSpec;
use crate::state::{RowCounts, State, TimeRange};
use crate::time::{EventTime, ProcessingTime, Span};
use crate::window::WindowSet;

/// How a pipeline stands, in one word: the worst that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineState {
    /// It is switched off.
    Disabled,
    /// It never ran.
    New,
    /// Windows failed and wait for their cause to be mended.
    Failed,
    /// An input cannot be read, so no new window closes; or windows wait for one on its way.
    Held,
    /// Its watermark is older than `overdue_after`.
    Overdue,
    /// A run has work to do.
    Pending,
    /// Everything that is closed is done.
    Ok,
}

impl PipelineState {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::New => "new",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Overdue => "overdue",
            Self::Pending => "pending",
            Self::Ok => "ok",
        }
    }
}

/// How many windows are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WindowCounts {
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
    /// Of all these: failed the last time they were computed.
    pub failed: u64,
    /// Computed with another query, or other reference tables, than those in force.
    pub outdated: u64,
}

/// The most gaps that are named.
const GAPS_MAX: usize = 100;

/// The most inputs that are named as being in the way.
const NOTES_MAX: usize = 10;

/// How a pipeline stands.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// In one word.
    pub state: PipelineState,
    /// Its watermark.
    pub watermark: Option<EventTime>,
    /// How far that lies behind now.
    pub lag: Option<Span>,
    /// Its windows.
    pub windows: WindowCounts,
    /// Rows of all committed windows and admissions.
    pub rows: RowCounts,
    /// The last run that wrote, and when.
    pub last_run: Option<(RunId, ProcessingTime)>,
    /// When the next window closes: its end.
    pub next_close: Option<EventTime>,
    /// Stretches of uncommitted windows that hold the watermark while later ones are committed,
    /// ascending: the first of them.
    pub gaps: Vec<TimeRange>,
    /// How many there are.
    pub gaps_total: u64,
    /// What stands in the way, a line each.
    pub notes: Vec<String>,
}

/// How the pipeline stands whose log's fold is `state`, and for which `plan` is due.
#[must_use]
pub fn status(
    spec: &PipelineSpec,
    state: &State,
    plan: &Plan,
    has_run: bool,
    unreadable: &[crate::error::Error],
    left_out: &[crate::error::Error],
    now: ProcessingTime,
) -> StatusView {
    let windows = counts(spec, state, plan);
    let lag = state.watermark.map(|at| now.lag_of(at));
    let is_overdue = match (spec.overdue_after, lag) {
        (Some(after), Some(lag)) => lag > after,
        _ => false,
    };
    let word = if !spec.enabled {
        PipelineState::Disabled
    } else if windows.failed > 0 || !plan.refused.is_empty() {
        PipelineState::Failed
    } else if !unreadable.is_empty() || !plan.held.is_empty() {
        PipelineState::Held
    } else if !has_run {
        PipelineState::New
    } else if is_overdue {
        PipelineState::Overdue
    } else if !plan.is_empty() {
        PipelineState::Pending
    } else {
        PipelineState::Ok
    };
    let (gaps, gaps_total) = gaps(state, plan);
    let next = closed_until(spec, state).and_then(|until| spec.grid.window_at(until));
    StatusView {
        state: word,
        watermark: state.watermark,
        lag,
        windows,
        rows: rows(state),
        last_run: has_run.then_some((state.head.run, state.head.at)),
        next_close: next.map(crate::window::Window::end),
        gaps,
        gaps_total,
        notes: notes(spec, state, plan, unreadable, left_out),
    }
}

fn counts(spec: &PipelineSpec, state: &State, plan: &Plan) -> WindowCounts {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let windows_in = |ranges: &crate::window::WindowSet| {
        // Before the first window with data there is no end of empty windows: they are not counted.
        let ranges = ranges.ranges().filter(|(start, _)| *start > EventTime::FIRST);
        ranges.map(|(start, end)| number(spec.grid.windows_from(start, end).count())).sum()
    };
    let refused = plan.refused.iter().map(|(due, _)| due);
    let due = plan.windows.iter().chain(&plan.held).chain(refused);
    let (again, pending): (Vec<_>, Vec<_>) = due.partition(|due| state.is_committed(due.window));
    WindowCounts {
        committed: state.windows.totals().0,
        empty: windows_in(&state.empty),
        skipped: windows_in(&state.skipped),
        open: number(plan.open.len()),
        pending: number(pending.len()),
        stale: number(again.len()),
        failed: number(state.failed.len()),
        outdated: plan.outdated,
    }
}

/// What lacks between the watermark and the last committed window: the first stretches, and how
/// many there are.
fn gaps(state: &State, plan: &Plan) -> (Vec<TimeRange>, u64) {
    let Some(from) = state.watermark.or(plan.base) else { return (Vec::new(), 0) };
    let mut committed = WindowSet::default();
    for (start, window) in state.windows.range(from..) {
        committed.insert(*start, window.committed.end);
    }
    for (start, end) in state.empty.ranges().chain(state.skipped.ranges()) {
        committed.insert(start.max(from), end);
    }
    let last = committed.ranges().last().map_or(from, |(_, end)| end);
    let (mut gaps, mut total) = (Vec::new(), 0_u64);
    for (start, end) in committed.gaps(from, last) {
        total = total.saturating_add(1);
        if gaps.len() < GAPS_MAX {
            gaps.push(TimeRange { start, end });
        }
    }
    (gaps, total)
}

fn rows(state: &State) -> RowCounts {
    state.windows.totals().1.plus(state.refused_rows)
}

fn notes(
    spec: &PipelineSpec,
    state: &State,
    plan: &Plan,
    unreadable: &[crate::error::Error],
    left_out: &[crate::error::Error],
) -> Vec<String> {
    let label = |start| spec.grid.window_at(start).map(|window| spec.grid.label(window));
    let failed = state.failed.values().map(|failed| {
        let window = label(failed.start).unwrap_or_default();
        format!("{window} failed: {} {}", failed.code, failed.message)
    });
    let refused =
        plan.refused.iter().filter(|(due, _)| !state.failed.contains_key(&due.window.start()));
    let refused = refused.map(|(due, why)| {
        format!("{} is refused: {} {}", spec.grid.label(due.window), why.code(), why.message())
    });
    let held = unreadable
        .iter()
        .take(NOTES_MAX)
        .map(|why| format!("no new window closes: {} {}", why.code(), why.message()));
    let left_out = left_out
        .iter()
        .take(NOTES_MAX)
        .map(|why| format!("left out: {} {}", why.code(), why.message()));
    let requests = state.requests.iter().map(|(id, request)| {
        let (from, to) =
            (spec.grid.local_instant(request.start), spec.grid.local_instant(request.end));
        format!("request {id} is not done: {} {from} to {to}", request.verb.as_str())
    });
    let waiting = plan.held.first().map(|due| {
        let (windows, first) = (plan.held.len(), spec.grid.label(due.window));
        format!("windows that wait for an input: {windows}, the first is {first}")
    });
    let withheld = plan.withheld.first().map(|range| {
        let first = label(range.start).unwrap_or_default();
        format!("windows without a row that wait behind those, for min_rows: from {first} on")
    });
    let outdated = (plan.outdated > 0).then(|| {
        let windows = plan.outdated;
        format!(
            "computed with another query or reference: {windows}; `reprocess --outdated` renews"
        )
    });
    let notes = failed.chain(refused).chain(withheld).chain(held).chain(waiting);
    notes.chain(left_out).chain(outdated).chain(requests).collect()
}
