//! What is due, and why. A function of facts: it never reads a store or a clock, and it decides
//! nothing that is not in its result.
//!
//! Work goes in this order: what is in doubt, live windows, late ones, requests; oldest first
//! (DESIGN §4). A window is due for one reason, the first that applies of `in_doubt`,
//! `failed_before`, `new`, what became of its inputs (`late_data`, `input_changed`,
//! `input_removed`, `upstream_changed`), `query_changed`, a changed reference table
//! (`input_changed`), `requested`.

mod admission;
mod again;
mod aside;
mod batches;
mod books;
mod requests;
mod rollback;
mod rowless;
mod sight;
#[cfg(test)]
pub(crate) mod tests;
mod watermark;

use std::collections::{BTreeMap, BTreeSet};

pub use admission::{admission, admissions, judge_lateness, segments_to_merge};
pub use again::computed_again;
pub use aside::{DueAside, asides, rows_aside};
pub use batches::{BATCH_BYTES_MAX, BatchPlan, batches};
pub use books::{Books, Imbalance, Place, Places, RowSums, books, holding_quarantined};
pub use rollback::{PastRevision, Restore, Rollback, rollback};
pub use rowless::ROWLESS_MAX;
pub use sight::{Sight, WindowInput};
pub use watermark::{Outside, closed_until, promises, source_watermark};

use crate::error::{Code, Error};
use crate::id::{RequestId, Seq};
use crate::ledger::{FileId, Ledger};
use crate::spec::{OnQueryChange, PipelineSpec};
use crate::state::{Reason, State, TimeRange, Verb};
use crate::time::EventTime;
use crate::window::{Window, WindowSet};

/// What is known before anything is decided.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The pipeline.
    pub spec: &'a PipelineSpec,
    /// Its log's fold, with everything of the listing admitted.
    pub state: &'a State,
    /// Its admitted inputs.
    pub ledger: &'a Ledger,
    /// Admitted files that the listing no longer has.
    pub missing: &'a BTreeSet<FileId>,
    /// Admitted files whose bytes are not to be had now, but will be: their windows wait.
    pub held: &'a BTreeSet<FileId>,
    /// Whether a listed file could not be read, so that no window may close.
    pub is_held: bool,
    /// What is out of force.
    pub outdated: &'a Outdated,
}

/// The entries of the log that say other than what is in force now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outdated {
    /// Queries that ask something else.
    pub queries: BTreeSet<Seq>,
    /// Reference tables with other bytes.
    pub references: BTreeSet<Seq>,
    /// Those of them whose windows are to be computed again.
    pub references_due: BTreeSet<Seq>,
}

/// What a run would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The windows to compute, in the order of work.
    pub windows: Vec<DueWindow>,
    /// Stretches of closed windows without a row, ascending.
    pub empty: Vec<TimeRange>,
    /// Windows that are due but cannot be computed, and why.
    pub refused: Vec<(DueWindow, Error)>,
    /// Windows that are due, and wait for an input: it is on its way, or cannot be read, ascending.
    pub held: Vec<DueWindow>,
    /// Stretches of closed windows without a row that may not be empty, ascending; as many as
    /// [`ROWLESS_MAX`] others are refused for it already.
    pub withheld: Vec<TimeRange>,
    /// Windows that see rows and are not closed yet, ascending.
    pub open: Vec<Window>,
    /// Where the row of windows begins, should the watermark not have moved before.
    pub base: Option<EventTime>,
    /// Requests that nothing is left to do for.
    pub met: Vec<RequestId>,
    /// Requests whose windows are restored, not computed.
    pub rollbacks: Vec<RequestId>,
    /// How many committed windows were computed with another query or other reference tables than
    /// those in force.
    pub outdated: u64,
}

/// A window to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueWindow {
    /// Which.
    pub window: Window,
    /// Why.
    pub reason: Reason,
    /// The files with rows that matter to it, in key order.
    pub inputs: Vec<WindowInput>,
    /// Whether its query is shown any row, unless it is left out.
    pub sees_rows: bool,
    /// Its rows.
    pub rows: u64,
    /// Rows of other windows that matter to it.
    pub margin: u64,
    /// The share of the files' bytes that it sees, as stored.
    pub bytes: u64,
    /// The same in memory.
    pub bytes_in_memory: u64,
    /// Rows that came since its last commit.
    pub late_rows: u64,
    /// Files that brought them, or that changed.
    pub late_files: u64,
}

impl DueWindow {
    /// A window to which no row matters.
    #[must_use]
    pub fn empty(window: Window, reason: Reason) -> Self {
        Self {
            window,
            reason,
            inputs: Vec::new(),
            sees_rows: false,
            rows: 0,
            margin: 0,
            bytes: 0,
            bytes_in_memory: 0,
            late_rows: 0,
            late_files: 0,
        }
    }
}

impl Plan {
    /// Makes all windows wait: nobody can tell yet what the columns of a source are.
    pub fn hold(&mut self) {
        self.held.append(&mut self.windows);
        self.held.sort_by_key(|held| held.window);
    }

    /// Whether there is nothing to compute and nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let requests = self.met.len().max(self.rollbacks.len());
        self.windows.is_empty() && self.empty.is_empty() && requests == 0
    }
}

/// Everything that is due.
#[must_use]
pub fn plan(facts: &Facts<'_>) -> Plan {
    let sight = Sight::new(facts.spec, facts.ledger);
    let mut planner = Planner {
        facts,
        sight,
        closed_until: closed_until(facts.spec, facts.state),
        due: BTreeMap::new(),
        blocked: Vec::new(),
        empty: WindowSet::default(),
        rows_needed_from: rowless::rows_needed_from(facts, sight),
        rowless: 0,
        withheld: WindowSet::default(),
    };
    planner.in_doubt();
    planner.failed_before();
    planner.new_windows();
    planner.stale();
    planner.query_changed();
    planner.reference_changed();
    let met = planner.requests();
    planner.finish(met)
}

struct Planner<'a> {
    facts: &'a Facts<'a>,
    sight: Sight<'a>,
    closed_until: Option<EventTime>,
    due: BTreeMap<EventTime, (Window, Reason)>,
    /// Closed windows that may not be taken up, because a listed file cannot be read.
    blocked: Vec<DueWindow>,
    empty: WindowSet,
    /// From where on a window without a row has too few; `None`: it may be empty anywhere.
    rows_needed_from: Option<EventTime>,
    /// How many windows are due that have no row and may not be empty.
    rowless: usize,
    /// Such windows that are more than are refused at once.
    withheld: WindowSet,
}

impl Planner<'_> {
    fn in_doubt(&mut self) {
        for (start, doubt) in &self.facts.state.in_doubt {
            self.add(*start, doubt.end, Reason::InDoubt);
        }
    }

    fn failed_before(&mut self) {
        for (start, failed) in &self.facts.state.failed {
            self.add_or_empty(*start, failed.end, Reason::FailedBefore);
        }
    }

    /// Closed windows after the watermark.
    fn new_windows(&mut self) {
        let (spec, state) = (self.facts.spec, self.facts.state);
        let first_window = self.sight.first().map(Window::start);
        let first = state.watermark.or(spec.begin).or(first_window);
        let Some((first, until)) =
            first.zip(self.closed_until).filter(|(first, until)| first < until)
        else {
            return;
        };
        if self.facts.is_held {
            let closed = self.sight.windows_from(first, until);
            let blocked = closed.filter(|window| !state.is_committed(*window));
            self.blocked = blocked.map(|window| self.due_window(window, Reason::New)).collect();
        } else {
            // Before the first window with rows there may be one that had some once.
            self.sweep(state.watermark.unwrap_or(self.base()), until, Reason::New);
        }
    }

    /// Where the row of windows begins.
    fn base(&self) -> EventTime {
        self.facts.spec.begin.unwrap_or(EventTime::FIRST)
    }

    /// How far windows may close now; `None` if none may.
    fn may_close_until(&self) -> Option<EventTime> {
        self.closed_until.filter(|_| !self.facts.is_held)
    }

    /// Makes every uncommitted window from `from` to `until` due, or empty.
    fn sweep(&mut self, from: EventTime, until: EventTime, reason: Reason) {
        let state = self.facts.state;
        let mut at = from;
        while at < until {
            let committed_until = state.contiguous_end(at);
            if committed_until > at {
                at = committed_until;
                continue;
            }
            let Some(window) = self.facts.spec.grid.window_at(at) else { return };
            if self.sight.has_rows(window) || state.in_doubt.contains_key(&at) {
                self.add(at, window.end(), reason);
                at = window.end();
                continue;
            }
            let stops = [
                self.sight.first_from(at, until).map(Window::start),
                self.first_computed(at, until),
                state.in_doubt.range(at..until).next().map(|(start, _)| *start),
                state.empty.gaps(at, until).next().map(|gap| gap.1),
                state.skipped.gaps(at, until).next().map(|gap| gap.1),
            ];
            let stop = stops.into_iter().flatten().fold(until, EventTime::min);
            self.no_rows(at, stop, reason);
            // Never at a standstill, whatever the two ways to look at the ledger say.
            at = if stop > at { stop } else { window.end() };
        }
    }

    /// The first window from `at` on, before `until`, that was computed. `at` is in no row of
    /// committed windows.
    fn first_computed(&self, at: EventTime, until: EventTime) -> Option<EventTime> {
        let windows = &self.facts.state.windows;
        let loaded = windows.range(at..until).next().map(|(start, _)| *start);
        let stretches = windows.stretches().map(|(start, _)| start);
        let stretch = stretches.into_iter().find(|start| at <= *start && *start < until);
        loaded.into_iter().chain(stretch).min()
    }

    fn stale(&mut self) {
        for (start, stale) in &self.facts.state.stale {
            self.add_or_empty(*start, stale.end, stale.kind.into());
        }
    }

    /// Windows that were computed with another query, if they are to follow it by themselves.
    fn query_changed(&mut self) {
        if self.facts.spec.on_query_change == OnQueryChange::Reprocess {
            let facts = self.facts;
            let all = facts.state.computed(&facts.spec.grid);
            for computed in all.filter(|one| facts.outdated.queries.contains(&one.query)) {
                self.add(computed.window.start(), computed.window.end(), Reason::QueryChanged);
            }
        }
    }

    /// Windows that were computed with another reference table, if they are to follow it by
    /// themselves.
    fn reference_changed(&mut self) {
        let facts = self.facts;
        if facts.outdated.references_due.is_empty() {
            return;
        }
        let is_due =
            |seq: Option<Seq>| seq.is_some_and(|seq| facts.outdated.references_due.contains(&seq));
        let all = facts.state.computed(&facts.spec.grid);
        for computed in all.filter(|one| is_due(one.references)) {
            self.add(computed.window.start(), computed.window.end(), Reason::InputChanged);
        }
    }

    fn is_outdated(&self, query: Seq, references: Option<Seq>) -> bool {
        let outdated = self.facts.outdated;
        outdated.queries.contains(&query)
            || references.is_some_and(|seq| outdated.references.contains(&seq))
    }

    /// The first window start at or after `at`.
    fn first_boundary(&self, at: EventTime) -> Option<EventTime> {
        let window = self.facts.spec.grid.window_at(at)?;
        Some(if window.start() == at { at } else { window.end() })
    }

    fn add(&mut self, start: EventTime, end: EventTime, reason: Reason) {
        if let Some(window) = Window::new(start, end) {
            self.due.entry(start).or_insert((window, reason));
        }
    }

    /// Adds a window, unless it has no rows and never had an object: then it is empty.
    fn add_or_empty(&mut self, start: EventTime, end: EventTime, reason: Reason) {
        let state = self.facts.state;
        let may_have_object = state.is_computed(start) || state.in_doubt.contains_key(&start);
        let sees_rows = Window::new(start, end).is_some_and(|window| self.sight.has_rows(window));
        let is_committed = state.empty.contains(start) || state.skipped.contains(start);
        if may_have_object || sees_rows {
            self.add(start, end, reason);
        } else if is_committed {
            // As an operator said, or as the limits were: that is not taken back.
            self.empty.insert(start, end);
        } else {
            self.no_rows(start, end, reason);
        }
    }

    fn finish(mut self, met: Vec<RequestId>) -> Plan {
        let base = Some(self.base());
        let mut plan = Plan { base, met, open: self.open_windows(), ..Plan::default() };
        for (window, reason) in self.due.values() {
            let due = self.due_window(*window, *reason);
            let refused = self.missing_input(&due).or_else(|| self.shared_path(&due));
            match refused.or_else(|| self.too_few_rows(&due)) {
                Some(error) => plan.refused.push((due, error)),
                None if self.is_waiting(&due) => plan.held.push(due),
                None => plan.windows.push(due),
            }
        }
        let due = &self.due;
        self.blocked.retain(|blocked| !due.contains_key(&blocked.window.start()));
        plan.held.append(&mut self.blocked);
        plan.held.sort_by_key(|held| held.window);
        let requests = self.facts.state.requests.iter();
        let rollbacks = requests.filter(|(_, request)| request.verb == Verb::Rollback);
        plan.rollbacks = rollbacks.map(|(id, _)| *id).collect();
        let is_outdated = |query, references| self.is_outdated(query, references);
        plan.outdated = self.facts.state.count_outdated(is_outdated);
        plan.windows.sort_by_key(|due| (rank(due.reason), due.window));
        let range = |(start, end)| TimeRange { start, end };
        plan.empty = self.empty.ranges().map(range).collect();
        plan.withheld = self.withheld.ranges().map(range).collect();
        plan
    }

    fn due_window(&self, window: Window, reason: Reason) -> DueWindow {
        let mut due = DueWindow::empty(window, reason);
        due.sees_rows = self.sight.has_rows(window);
        for (record, input) in self.sight.inputs_of(window) {
            let share = |bytes| share_of(bytes, input.all(), record.rows);
            due.rows = due.rows.saturating_add(input.rows);
            due.margin = due.margin.saturating_add(input.margin);
            due.bytes = due.bytes.saturating_add(share(record.version.size));
            due.bytes_in_memory = due.bytes_in_memory.saturating_add(share(record.bytes_in_memory));
            due.inputs.push(input);
        }
        if let Some(stale) = self.facts.state.stale.get(&window.start()) {
            (due.late_rows, due.late_files) = (stale.rows, stale.files);
        }
        due
    }

    /// The file as its user would write it.
    fn name_of(&self, id: &FileId) -> String {
        let source = self.facts.spec.source(&id.table);
        source.map_or_else(|| id.key.clone(), |source| source.name_of(&id.key))
    }

    fn missing_input(&self, due: &DueWindow) -> Option<Error> {
        let gone = |input: &&WindowInput| self.facts.missing.contains(&input.file);
        let input = due.inputs.iter().find(gone)?;
        let (name, rows) = (self.name_of(&input.file), input.all());
        let label = self.facts.spec.grid.label(due.window);
        Some(
            Error::new(
                Code::InputRemoved,
                format!("{name} is gone, and window {label} needs {rows} rows of it"),
            )
            .note("the window's output stands as it was")
            .hint("put the file back and run `highwater run`: the window is taken up by itself")
            .hint("if it is gone for good, set on_removed = \"recompute\" for its source"),
        )
    }

    /// Whether an input that the window needs is on its way.
    fn is_waiting(&self, due: &DueWindow) -> bool {
        due.inputs.iter().any(|input| self.facts.held.contains(&input.file))
    }

    /// The error for a window that lies too far back for its path to be its own.
    fn shared_path(&self, due: &DueWindow) -> Option<Error> {
        let grid = &self.facts.spec.grid;
        let wanted = self.facts.spec.objects().filter(|object| object.is_wanted);
        let mut paths = wanted.map(|object| object.path);
        let shared = paths.find(|path| !path.names_alone(grid, due.window))?;
        let label = grid.label(due.window);
        let text = format!("window {label} would share a path of `{}` with another", shared.text());
        Some(
            Error::new(Code::PathNotInjective, text)
                .note("in those years the clocks of the zone were set by the sun")
                .hint(
                    "name the output's folders by start_utc, or mend the event times of its rows",
                ),
        )
    }

    fn open_windows(&self) -> Vec<Window> {
        let Some(until) = self.closed_until else { return Vec::new() };
        self.sight.windows_from(until, EventTime::END).collect()
    }
}

/// Live windows before late ones before requests.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::InDoubt => 0,
        Reason::FailedBefore | Reason::New => 1,
        Reason::LateData
        | Reason::InputChanged
        | Reason::InputRemoved
        | Reason::UpstreamChanged
        | Reason::QueryChanged => 2,
        Reason::Requested => 3,
    }
}

/// `bytes * rows / rows_of_file`, for a file that may claim to have no rows.
fn share_of(bytes: u64, rows: u64, rows_of_file: u64) -> u64 {
    let share = u128::from(bytes)
        .saturating_mul(u128::from(rows))
        .checked_div(u128::from(rows_of_file))
        .unwrap_or_default();
    u64::try_from(share).unwrap_or(u64::MAX)
}
