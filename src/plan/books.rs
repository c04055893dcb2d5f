//! The books of a pipeline: where every row of every admitted file is, for all time (IN-2).
//!
//! The ledger says how many rows each file has in each window, the log what became of the rows of
//! each committed window. Here the one is held against the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Sight, closed_until};
use crate::ledger::{Admitted, FileId, Ledger};
use crate::spec::{PipelineSpec, QuarantineSpec};
use crate::state::{AsideState, CommittedWindow, FileBalance, State, TimeRange};
use crate::time::EventTime;
use crate::window::{Window, WindowSet};

/// How many rows are where. `rows` is the sum of everything below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowSums {
    /// Files of the ledger that are not gone for good.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Rows that a committed window used.
    pub used: u64,
    /// Rows that a rule put aside.
    pub quarantined: u64,
    /// Rows that a rule dropped.
    pub dropped: u64,
    /// Rows whose keys another row had.
    pub duplicate: u64,
    /// Rows of windows that are not closed yet.
    pub open: u64,
    /// Rows of closed windows that are not committed with them: due, failed, or stale.
    pub pending: u64,
    /// Rows of windows that were committed without being computed.
    pub skipped: u64,
    /// Rows of windows that went back to a revision which had others.
    pub restored: u64,
    /// Rows of windows before the pipeline's begin that were never computed.
    pub before_begin: u64,
    /// Rows that came too late for their windows.
    pub expired: u64,
    /// Rows without a usable event time.
    pub null_time: u64,
    /// Rows further in the future than allowed.
    pub future: u64,
}

impl RowSums {
    /// The sums of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = u64::saturating_add;
        Self {
            files: add(self.files, other.files),
            rows: add(self.rows, other.rows),
            used: add(self.used, other.used),
            quarantined: add(self.quarantined, other.quarantined),
            dropped: add(self.dropped, other.dropped),
            duplicate: add(self.duplicate, other.duplicate),
            open: add(self.open, other.open),
            pending: add(self.pending, other.pending),
            skipped: add(self.skipped, other.skipped),
            restored: add(self.restored, other.restored),
            before_begin: add(self.before_begin, other.before_begin),
            expired: add(self.expired, other.expired),
            null_time: add(self.null_time, other.null_time),
            future: add(self.future, other.future),
        }
    }

    /// Every place a row can be in, by its word, and how many rows are there.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 12] {
        [
            ("used", self.used),
            ("quarantined", self.quarantined),
            ("dropped", self.dropped),
            ("duplicate", self.duplicate),
            ("open", self.open),
            ("pending", self.pending),
            ("skipped", self.skipped),
            ("restored", self.restored),
            ("before_begin", self.before_begin),
            ("expired", self.expired),
            ("null_time", self.null_time),
            ("future", self.future),
        ]
    }

    /// Whether every row is in exactly one place.
    #[must_use]
    pub fn closes(&self) -> bool {
        let parts = self.parts();
        let sum = parts.iter().try_fold(0_u64, |sum, (_, rows)| sum.checked_add(*rows));
        sum == Some(self.rows)
    }
}

/// Where the rows of a window are, by its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its last commit says what became of each.
    Committed,
    /// It is committed without a row, and nothing came since.
    Empty,
    /// It is committed, and its inputs are others by now.
    Stale,
    /// It is committed without being computed.
    Skipped,
    /// It was never committed, and its last computation failed.
    Failed,
    /// It is closed, and not committed.
    Pending,
    /// It is not closed.
    Open,
    /// It lies before the pipeline's begin, and was never computed.
    BeforeBegin,
}

/// Tells where the rows of windows are.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    spec: &'a PipelineSpec,
    state: &'a State,
    closed_until: Option<EventTime>,
}

impl<'a> Places<'a> {
    /// As `state` says.
    #[must_use]
    pub fn new(spec: &'a PipelineSpec, state: &'a State) -> Self {
        Self { spec, state, closed_until: closed_until(spec, state) }
    }

    /// Where the rows of `window` are.
    #[must_use]
    pub fn of(&self, window: Window) -> Place {
        let (start, state) = (window.start(), self.state);
        if state.skipped.contains(start) {
            return Place::Skipped;
        }
        if state.is_committed(window) {
            return match state.stale.contains_key(&start) {
                true => Place::Stale,
                false if state.is_computed(start) => Place::Committed,
                false => Place::Empty,
            };
        }
        if state.failed.contains_key(&start) {
            return Place::Failed;
        }
        if self.spec.begin.is_some_and(|begin| start < begin) {
            return Place::BeforeBegin;
        }
        match self.closed_until {
            Some(until) if window.end() <= until => Place::Pending,
            _ => Place::Open,
        }
    }
}

/// Something in the books that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// The window, if it is one's.
    pub window: Option<Window>,
    /// The file, if it is one's.
    pub file: Option<FileId>,
    /// The object, if it is one's.
    pub path: Option<String>,
    /// The difference in words.
    pub message: String,
}

/// What the books of a pipeline say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// How many rows are where.
    pub sums: RowSums,
    /// What does not add up: the first of it, if there is very much.
    pub faults: Vec<Imbalance>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// The books of `spec`, with no more than `faults_max` faults. Every window of `state` must have
/// been recalled.
#[must_use]
pub fn books(spec: &PipelineSpec, state: &State, ledger: &Ledger, faults_max: usize) -> Books {
    let keeper = Keeper {
        spec,
        ledger,
        sight: Sight::new(spec, ledger),
        places: Places::new(spec, state),
        faults_max,
        restored: BTreeSet::new(),
        books: Books::default(),
    };
    keeper.keep(state)
}

/// The windows that start in `range` and hold rows that were put aside: by `rule`, or by any. They
/// must have been recalled.
#[must_use]
pub fn holding_quarantined(state: &State, range: TimeRange, rule: Option<&str>) -> WindowSet {
    let mut holding = WindowSet::default();
    for (_, window) in state.windows.range(range.start..range.end) {
        let committed = &window.committed;
        let mut rules = committed.balance.rules.iter();
        let is_it = match rule {
            Some(name) => rules.any(|rule| rule.action == "quarantine" && rule.rule == name),
            None => committed.rows.quarantined > 0,
        };
        if is_it {
            holding.insert(committed.start, committed.end);
        }
    }
    holding
}

struct Keeper<'a> {
    spec: &'a PipelineSpec,
    ledger: &'a Ledger,
    sight: Sight<'a>,
    places: Places<'a>,
    faults_max: usize,
    /// Windows that went back to a revision with other rows than they have by now.
    restored: BTreeSet<EventTime>,
    books: Books,
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

impl Keeper<'_> {
    fn keep(mut self, state: &State) -> Books {
        for window in state.windows.values().map(|window| &window.committed) {
            self.window(window);
        }
        for (id, admitted) in self.ledger.files().filter(|(_, known)| !known.record.removed) {
            self.file(id, admitted);
        }
        for (id, known) in state.asides.iter().filter(|(_, known)| !known.is_in_doubt) {
            self.aside(id, known);
        }
        self.books
    }

    /// Holds what is kept aside of a file against the ledger, as long as that has the same version.
    /// Whether it is what is to be kept aside is for the next run: policies may have changed.
    fn aside(&mut self, id: &FileId, known: &AsideState) {
        let (Some(kept), Some(admitted)) = (&known.committed, self.ledger.file(id)) else { return };
        let (record, rows) = (&admitted.record, kept.object.rows);
        let timeless = record.null_time.saturating_add(record.future);
        let expired = record.expired_rows();
        let parts = [0, timeless, expired, timeless.saturating_add(expired)];
        if admitted.came_with() != kept.generation || record.removed || parts.contains(&rows) {
            return;
        }
        let message = format!(
            "{rows} of its rows that belong to no window are kept aside; the ledger has {timeless} \
             without a usable event time, and {expired} that expired"
        );
        self.fault(Imbalance { window: None, file: Some(id.clone()), path: None, message });
    }

    fn fault(&mut self, fault: Imbalance) {
        if self.books.faults.len() < self.faults_max {
            self.books.faults.push(fault);
        } else {
            self.books.is_cut = true;
        }
    }

    /// Holds what was committed of a window against the ledger.
    fn window(&mut self, committed: &CommittedWindow) {
        let Some(window) = Window::new(committed.start, committed.end) else { return };
        if self.places.of(window) != Place::Committed {
            return;
        }
        let faults = self.faults_of(window, committed);
        // What a rollback brought back is of the files that there were then.
        if committed.restores.is_some() && !faults.is_empty() {
            self.restored.insert(committed.start);
            return;
        }
        for fault in faults {
            self.fault(fault);
        }
        let (rows, sums) = (committed.rows, &mut self.books.sums);
        add(&mut sums.used, rows.used);
        add(&mut sums.quarantined, rows.quarantined);
        add(&mut sums.dropped, rows.dropped);
        add(&mut sums.duplicate, rows.duplicate);
    }

    fn faults_of(&self, window: Window, committed: &CommittedWindow) -> Vec<Imbalance> {
        let (rows, balance) = (&committed.rows, &committed.balance);
        let mut faults = Vec::new();
        let mut fault = |file: Option<FileId>, path: Option<String>, message: String| {
            faults.push(Imbalance { window: Some(window), file, path, message });
        };
        if !rows.closes() || !balance.adds_up_to(rows) {
            fault(None, None, "what became of its rows does not add up".to_owned());
        }
        let known = self.sight.rows_of(window);
        if known != rows.input {
            let text = format!("the ledger has {known} rows of it, its commit {}", rows.input);
            fault(None, None, text);
        }
        for FileBalance { table, key, input, .. } in &balance.files {
            let id = FileId { table: table.clone(), key: key.clone() };
            let record = self.ledger.file(&id).map(|known| &known.record);
            let known =
                record.map_or(0, |record| record.rows_between(window.start(), window.end()));
            if known != *input {
                let text =
                    format!("the ledger has {known} rows of it in the window, its commit {input}");
                fault(Some(id), None, text);
            }
        }
        let mut aside: BTreeMap<String, u64> = BTreeMap::new();
        for rule in balance.rules.iter().filter(|rule| rule.action == "quarantine") {
            add(aside.entry(QuarantineSpec::name_of(&rule.table)).or_default(), rule.rows);
        }
        for output in committed.outputs.iter().filter(|one| QuarantineSpec::is_name(&one.name)) {
            let told = aside.remove(&output.name).unwrap_or_default();
            if told != output.rows {
                let text =
                    format!("it has {} quarantined rows, the balance says {told}", output.rows);
                fault(None, Some(output.path.clone()), text);
            }
        }
        for (name, rows) in aside.into_iter().filter(|(_, rows)| *rows > 0) {
            fault(None, None, format!("it has no object `{name}` for {rows} quarantined rows"));
        }
        faults
    }

    /// Says of every row of a file where it is.
    fn file(&mut self, id: &FileId, admitted: &Admitted) {
        let record = &admitted.record;
        add(&mut self.books.sums.files, 1);
        add(&mut self.books.sums.rows, record.rows);
        add(&mut self.books.sums.expired, record.expired_rows());
        add(&mut self.books.sums.null_time, record.null_time);
        add(&mut self.books.sums.future, record.future);
        let in_windows =
            record.cells.iter().fold(0, |sum: u64, (_, rows)| sum.saturating_add(*rows));
        let parts = [in_windows, record.expired_rows(), record.null_time, record.future];
        let sum = parts.into_iter().fold(0, u64::saturating_add);
        if sum != record.rows {
            let text = format!("its footer has {} rows, and its windows {sum}", record.rows);
            self.fault(Imbalance {
                window: None,
                file: Some(id.clone()),
                path: None,
                message: text,
            });
        }
        let mut home: Option<(Window, Place)> = None;
        for (cell, rows) in &record.cells {
            // The first cell of all may begin before any row may.
            let at = (*cell).max(EventTime::FIRST);
            let known = home.filter(|(window, _)| window.contains(at));
            let found = || {
                let window = self.spec.grid.window_at(at)?;
                Some((window, self.places.of(window)))
            };
            home = known.or_else(found);
            let Some((window, place)) = home else { continue };
            let is_restored = self.restored.contains(&window.start());
            let sums = &mut self.books.sums;
            let sum = match place {
                Place::Committed if is_restored => &mut sums.restored,
                // They were counted with the window.
                Place::Committed => continue,
                Place::Empty => {
                    let text = format!("it has {rows} rows in a window that is committed as empty");
                    let (file, window) = (Some(id.clone()), Some(window));
                    self.fault(Imbalance { window, file, path: None, message: text });
                    continue;
                }
                Place::Stale | Place::Failed | Place::Pending => &mut sums.pending,
                Place::Skipped => &mut sums.skipped,
                Place::Open => &mut sums.open,
                Place::BeforeBegin => &mut sums.before_begin,
            };
            add(sum, *rows);
        }
    }
}
