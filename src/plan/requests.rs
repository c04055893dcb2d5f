//! What operators ask for: which windows are due for it, and when it is met.

use super::Planner;
use crate::id::RequestId;
use crate::state::{Computed, Reason, Request, Verb};
use crate::time::EventTime;

impl Planner<'_> {
    /// Adds what requests ask for. Returns those that nothing is left to do for.
    pub(super) fn requests(&mut self) -> Vec<RequestId> {
        let mut met = Vec::new();
        for (id, request) in &self.facts.state.requests {
            match (request.verb, self.may_close_until()) {
                (Verb::Reprocess, _) => self.reprocess(*id, request),
                (Verb::Backfill, Some(until)) => self.backfill(request, until),
                // What may not be computed yet is still owed; a rollback is done before anything
                // is planned.
                (Verb::Backfill, None) | (Verb::Rollback, _) => continue,
            }
            let range = (request.start < request.end).then_some(request.start..request.end);
            let is_due = range.is_some_and(|range| {
                let (start, end) = (range.start, range.end);
                self.due.range(range).any(|(start, _)| self.is_owed(*id, request, *start))
                    || self.empty.ranges().any(|(from, to)| from < end && start < to)
                    || self.withheld.ranges().any(|(from, to)| from < end && start < to)
            });
            if !is_due {
                met.push(*id);
            }
        }
        met
    }

    /// Whether the due window at `start` is still owed to the request.
    fn is_owed(&self, id: RequestId, request: &Request, start: EventTime) -> bool {
        if !request.asks_for(start) {
            return false;
        }
        let computed = self.facts.state.computed_at(start, &self.facts.spec.grid);
        match request.verb {
            Verb::Backfill => computed.is_none(),
            Verb::Rollback => false,
            Verb::Reprocess => {
                computed.map_or(!request.only_outdated, |one| self.is_unmet(id, request, one))
            }
        }
    }

    /// Whether a computed window does not yet meet a request to compute it again.
    fn is_unmet(&self, id: RequestId, request: &Request, computed: Computed) -> bool {
        computed.begun.is_none_or(|begun| begun <= id.0)
            && (!request.only_outdated || self.is_outdated(computed.query, computed.references))
    }

    fn backfill(&mut self, request: &Request, until: EventTime) {
        let Some(from) = self.first_boundary(request.start) else { return };
        self.sweep(from, request.end.min(until), Reason::Requested);
    }

    fn reprocess(&mut self, id: RequestId, request: &Request) {
        let (state, grid) = (self.facts.state, &self.facts.spec.grid);
        if request.start >= request.end {
            return;
        }
        for computed in state.computed_in(request.start, request.end, grid) {
            let start = computed.window.start();
            if request.asks_for(start) && self.is_unmet(id, request, computed) {
                self.add(computed.window.start(), computed.window.end(), Reason::Requested);
            }
        }
        // What was named window by window was named for its object.
        if request.only_outdated || !request.within.is_empty() {
            return;
        }
        for (from, to) in state.skipped.ranges() {
            let (from, to) = (from.max(request.start), to.min(request.end));
            for window in self.facts.spec.grid.windows_from(from, to) {
                if self.sight.has_rows(window) {
                    self.add(window.start(), window.end(), Reason::Requested);
                } else if !self.needs_rows(window.start()) {
                    self.empty.insert(window.start(), window.end());
                }
                // Else it stays skipped: no reprocessing gives it a row.
            }
        }
    }
}
