//! Closed windows without a row: empty, or too few rows for a pipeline with `min_rows`.

use super::{DueWindow, Facts, Planner, Sight};
use crate::error::{Code, Error};
use crate::state::Reason;
use crate::time::EventTime;
use crate::window::Window;

/// The most windows without a row that are refused at once; the others wait behind them. A gap of
/// a million windows must not become a million failures.
pub const ROWLESS_MAX: usize = 100;

/// From where on a window without a row has too few; `None`: it may be empty anywhere. Nobody
/// misses rows before the first one, unless the pipeline begins there.
pub(super) fn rows_needed_from(facts: &Facts<'_>, sight: Sight<'_>) -> Option<EventTime> {
    let first = sight.first().map(Window::start);
    let begins = [facts.spec.begin, facts.state.watermark, first].into_iter().flatten().min();
    (facts.spec.quality.min_rows > 0).then(|| begins.unwrap_or(EventTime::END))
}

impl Planner<'_> {
    /// Whether the window at `start` has too few rows if it has none.
    pub(super) fn needs_rows(&self, start: EventTime) -> bool {
        self.rows_needed_from.is_some_and(|from| from <= start)
    }

    /// Notes a stretch of windows that were never committed and have no row: they are empty, or
    /// the first of them are refused.
    pub(super) fn no_rows(&mut self, start: EventTime, end: EventTime, reason: Reason) {
        let needed_from = self.rows_needed_from.unwrap_or(end).clamp(start, end);
        self.empty.insert(start, needed_from);
        for window in self.facts.spec.grid.windows_from(needed_from, end) {
            if self.due.contains_key(&window.start()) {
                continue;
            }
            if self.rowless >= ROWLESS_MAX {
                return self.withhold(window.start(), end);
            }
            self.rowless = self.rowless.saturating_add(1);
            self.add(window.start(), window.end(), reason);
        }
    }

    /// Lets windows wait, but for those that are refused already.
    fn withhold(&mut self, start: EventTime, end: EventTime) {
        self.withheld.insert(start, end);
        for (refused, _) in self.due.range(start..end).map(|(_, due)| due) {
            self.withheld.remove(refused.start(), refused.end());
        }
    }

    /// The error for a window that would be empty and may not be. One that has an object, or may
    /// have one, is computed, and judged by its rows then.
    pub(super) fn too_few_rows(&self, due: &DueWindow) -> Option<Error> {
        let (start, state) = (due.window.start(), self.facts.state);
        let is_computed = due.sees_rows || state.is_computed(start);
        if is_computed || state.in_doubt.contains_key(&start) || !self.needs_rows(start) {
            return None;
        }
        let (label, min) =
            (self.facts.spec.grid.label(due.window), self.facts.spec.quality.min_rows);
        let text = format!("quality gate: window {label} has no row, fewer than min_rows = {min}");
        Some(
            Error::new(Code::QualityGate, text)
                .note("the watermark waits for it; later windows are computed")
                .hint("bring its rows, or leave it out: `highwater skip`"),
        )
    }
}
