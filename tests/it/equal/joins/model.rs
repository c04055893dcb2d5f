//! What a pipeline must do, by a direct reading of the design and nothing of its code: where
//! windows lie, what they see, when they close, and which of them are due.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate};
use chrono_tz::Tz;

use crate::support::Row;

/// A minute in microseconds.
pub(super) const MINUTE: i64 = 60_000_000;

/// Minutes of a calendar day, which may be longer or shorter.
pub(super) const DAY: i64 = 1440;

/// Clocks are changed at times that are multiples of this.
const QUARTER: i64 = 15 * MINUTE;

/// Start and end.
pub(super) type Window = (i64, i64);

/// What a source holds, by key.
pub(super) type Inputs = BTreeMap<String, Version>;

/// A version of an input: whatever tells it from others, and its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) mark: String,
    pub(super) rows: Vec<Row>,
}

/// The windows of some days, which follow one another without a gap.
#[derive(Debug)]
pub(super) struct Grid {
    edges: Vec<i64>,
}

impl Grid {
    /// Windows of `minutes`, from four days before `at` to eight days after it.
    pub(super) fn new(minutes: i64, zone: Tz, at: i64) -> Self {
        let date = local(zone, at).date() - Days::new(4);
        let days: Vec<i64> = (0..12).map(|n| day_start(zone, date + Days::new(n))).collect();
        let mut edges = BTreeSet::new();
        for day in days.windows(2) {
            // A day that never was has no window.
            let step = if minutes == DAY { 2 * DAY } else { minutes } * MINUTE;
            let inside = (0..).map(|n| day[0] + n * step);
            edges.extend(inside.take_while(|edge| *edge < day[1]));
            edges.insert(day[1]);
        }
        Self { edges: edges.into_iter().collect() }
    }

    fn windows(&self) -> impl Iterator<Item = Window> {
        self.edges.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The window that `at` lies in.
    pub(super) fn window_at(&self, at: i64) -> Window {
        self.windows().find(|(start, end)| (*start..*end).contains(&at)).unwrap()
    }
}

fn local(zone: Tz, at: i64) -> chrono::NaiveDateTime {
    DateTime::from_timestamp_micros(at).unwrap().with_timezone(&zone).naive_local()
}

/// The first instant at which the clocks of `zone` show `date` or later.
fn day_start(zone: Tz, date: NaiveDate) -> i64 {
    let midnight = date.and_hms_opt(0, 0, 0).unwrap();
    let first = midnight.and_utc().timestamp_micros() - DAY * MINUTE;
    let mut instants = (0..).map(|n| first + n * QUARTER);
    instants.find(|at| local(zone, *at) >= midnight).unwrap()
}

/// A source of a pipeline; lengths of time in microseconds.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) lookback: i64,
    pub(super) lookahead: i64,
    pub(super) delay: i64,
    /// What runs have seen of it.
    pub(super) admitted: Inputs,
    /// The newest event of all versions ever admitted; or how far an upstream pipeline is.
    pub(super) newest: Option<i64>,
}

impl Source {
    fn shows(&self, window: Window, at: i64) -> bool {
        window.0 - self.lookback <= at && at < window.1 + self.lookahead
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.admitted.values().flat_map(|version| &version.rows)
    }
}

/// A pipeline.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) grid: Grid,
    pub(super) sources: Vec<Source>,
    pub(super) watermark: Option<i64>,
    /// Starts of the windows that were computed.
    pub(super) computed: BTreeSet<i64>,
}

impl Pipe {
    pub(super) fn new(grid: Grid, sources: Vec<Source>) -> Self {
        Self { grid, sources, watermark: None, computed: BTreeSet::new() }
    }

    /// Takes in what a source holds now. The starts of the windows that see a row of a version that
    /// is new, or saw one of a version that is gone.
    pub(super) fn admit(&mut self, source: usize, now: Inputs) -> BTreeSet<i64> {
        let source = &mut self.sources[source];
        let before = std::mem::replace(&mut source.admitted, now);
        let mut touched = BTreeSet::new();
        for key in before.keys().chain(source.admitted.keys()) {
            let (then, now) = (before.get(key), source.admitted.get(key));
            if then != now {
                let rows: Vec<&Row> =
                    then.into_iter().chain(now).flat_map(|version| &version.rows).collect();
                let sees = |window: &Window| rows.iter().any(|row| source.shows(*window, row.0));
                touched.extend(self.grid.windows().filter(sees).map(|window| window.0));
            }
        }
        source.newest = source.rows().map(|row| row.0).max().max(source.newest);
        touched
    }

    /// A run: the starts of the windows that it must compute. Among those that were computed before
    /// are also the ones that `is_asked` says.
    pub(super) fn run(
        &mut self,
        touched: &BTreeSet<i64>,
        is_asked: impl Fn(i64) -> bool,
    ) -> BTreeSet<i64> {
        let with_rows = self.with_rows();
        let is_late = |start: &i64| {
            let has_content = with_rows.contains(start) || self.computed.contains(start);
            Some(*start) < self.watermark && has_content
        };
        let mut due: BTreeSet<i64> = touched.iter().copied().filter(is_late).collect();
        due.extend(self.computed.iter().copied().filter(|start| is_asked(*start)));
        let from = self.watermark.or(with_rows.first().copied());
        if let (Some(from), Some(until)) = (from, self.closed_until())
            && from < until
        {
            due.extend(with_rows.range(from..until));
            self.watermark = Some(until);
        }
        self.computed.extend(&due);
        due
    }

    /// The end of the last closed window: the slowest source holds it.
    fn closed_until(&self) -> Option<i64> {
        let reached = |source: &Source| Some(source.newest? - source.delay - source.lookahead);
        let reached: Option<Vec<i64>> = self.sources.iter().map(reached).collect();
        reached?.into_iter().min().map(|slowest| self.grid.window_at(slowest).0)
    }

    /// Starts of the windows that see any row.
    fn with_rows(&self) -> BTreeSet<i64> {
        let sees = |window: &Window| {
            self.sources.iter().any(|source| source.rows().any(|row| source.shows(*window, row.0)))
        };
        self.grid.windows().filter(sees).map(|window| window.0).collect()
    }

    /// The rows of a source that a window shows to its query.
    pub(super) fn seen(&self, source: usize, window: Window) -> Vec<Row> {
        let source = &self.sources[source];
        source.rows().filter(|row| source.shows(window, row.0)).copied().collect()
    }

    /// How many rows are a window's own, and how many are of its margins.
    pub(super) fn counts(&self, start: i64) -> (usize, usize) {
        let window = self.grid.window_at(start);
        let seen = (0..self.sources.len()).flat_map(|source| self.seen(source, window));
        let (own, margin): (Vec<Row>, Vec<Row>) =
            seen.partition(|row| (window.0..window.1).contains(&row.0));
        (own.len(), margin.len())
    }
}
