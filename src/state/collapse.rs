//! How a state is kept small: quiet windows collapse into stretches, and are recalled when they are
//! needed again. None of it changes what the state says.

use super::windows::{BESIDE_SHARE, Stretch};
use super::{Body, Entry, RetirePhase, SegmentRef, State, WindowState};
use crate::id::Seq;
use crate::time::EventTime;
use crate::window::{Window, WindowGrid};

/// A window that was computed, as far as a stretch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The window.
    pub window: Window,
    /// The entry that began it; `None`: one before every pending request.
    pub begun: Option<Seq>,
    /// The entry of the query it was computed with.
    pub query: Seq,
    /// The entry of its reference tables, if it has any.
    pub references: Option<Seq>,
}

impl State {
    /// Whether the window that starts at `start` was computed.
    #[must_use]
    pub fn is_computed(&self, start: EventTime) -> bool {
        self.windows.get(&start).is_some()
            || (self.windows.stretch_at(start).is_some()
                && !self.empty.contains(start)
                && !self.skipped.contains(start))
    }

    /// What is known of the computed window of `grid` that starts at `start`.
    #[must_use]
    pub fn computed_at(&self, start: EventTime, grid: &WindowGrid) -> Option<Computed> {
        if let Some(window) = self.windows.get(&start) {
            return of_facts(window);
        }
        let (_, stretch) = self.windows.stretch_at(start).filter(|_| self.is_computed(start))?;
        let window = grid.window_at(start).filter(|window| window.start() == start)?;
        Some(of_stretch(window, stretch))
    }

    /// All computed windows of `grid`.
    pub fn computed<'a>(&'a self, grid: &'a WindowGrid) -> impl Iterator<Item = Computed> + 'a {
        let (first, last) = (EventTime::from_micros(i64::MIN), EventTime::from_micros(i64::MAX));
        self.computed_in(first, last, grid)
    }

    /// The computed windows of `grid` that start at `start` or later, and before `end`.
    pub fn computed_in<'a>(
        &'a self,
        start: EventTime,
        end: EventTime,
        grid: &'a WindowGrid,
    ) -> impl Iterator<Item = Computed> + 'a {
        let end = end.max(start);
        let loaded = self.windows.range(start..end).filter_map(|(_, window)| of_facts(window));
        let stretches = self.windows.stretches();
        let stretches = stretches.filter(move |(from, stretch)| *from < end && start < stretch.end);
        let collapsed = stretches.flat_map(move |(from, stretch)| {
            let windows = grid.windows_from(from.max(start), stretch.end.min(end));
            let windows = windows.filter(move |window| {
                let at = window.start();
                start <= at && self.windows.get(&at).is_none() && self.is_computed(at)
            });
            windows.map(move |window| of_stretch(window, stretch))
        });
        loaded.chain(collapsed)
    }

    /// Whether a window that was computed lies, at least in part, in `start <= t < end`.
    #[must_use]
    pub fn has_computed_in(&self, start: EventTime, end: EventTime) -> bool {
        if start >= end {
            return false;
        }
        if self.windows.range(start..end).next().is_some() {
            return true;
        }
        let mut without = self.empty.clone();
        self.skipped.ranges().for_each(|(start, end)| without.insert(start, end));
        self.windows.stretches().any(|(from, stretch)| {
            !without.covers(from.max(start), stretch.end.min(end).max(from.max(start)))
        })
    }

    /// How many computed windows were computed with what `is_outdated` says of query and
    /// references.
    pub fn count_outdated(&self, is_outdated: impl Fn(Seq, Option<Seq>) -> bool) -> u64 {
        let loaded = self.windows.values();
        let loaded = loaded.filter(|window| is_outdated(window.query, window.references)).count();
        let stretches = self.windows.stretches();
        let stretches =
            stretches.filter(|(_, stretch)| is_outdated(stretch.query, stretch.references));
        let collapsed = stretches
            .map(|(start, stretch)| stretch.windows.saturating_sub(self.windows.beside(start)));
        collapsed.fold(u64::try_from(loaded).unwrap_or(u64::MAX), u64::saturating_add)
    }

    /// The segments whose facts are needed before `entry` can be taken in.
    #[must_use]
    pub fn wanted_by(&self, entry: &Entry) -> Vec<SegmentRef> {
        match &entry.body {
            Body::Begin(begin) => self.wanted(begin.windows.iter().map(|window| window.start)),
            Body::Retire(retire) if retire.phase == RetirePhase::Done => self.wanted_whole(),
            _ => Vec::new(),
        }
    }

    /// The segments that hold the facts of the windows at `starts`, of those that were computed and
    /// are not in memory.
    #[must_use]
    pub fn wanted(&self, starts: impl IntoIterator<Item = EventTime>) -> Vec<SegmentRef> {
        let mut wanted: Vec<SegmentRef> = Vec::new();
        for start in starts {
            let is_away = self.windows.get(&start).is_none() && self.is_computed(start);
            if let Some((_, stretch)) = self.windows.stretch_at(start).filter(|_| is_away)
                && wanted.last() != Some(&stretch.stored)
            {
                wanted.push(stretch.stored.clone());
            }
        }
        wanted
    }

    /// The segments of the stretches that hold a part of `start <= t < end`.
    #[must_use]
    pub fn wanted_between(&self, start: EventTime, end: EventTime) -> Vec<SegmentRef> {
        let stretches = self.windows.stretches();
        let inside = stretches.filter(|(from, stretch)| *from < end && start < stretch.end);
        inside.map(|(_, stretch)| stretch.stored.clone()).collect()
    }

    /// The segments of every stretch.
    #[must_use]
    pub fn wanted_whole(&self) -> Vec<SegmentRef> {
        self.windows.stretches().map(|(_, stretch)| stretch.stored.clone()).collect()
    }

    /// Takes up facts of windows that were read from a segment.
    pub fn recall(&mut self, windows: impl IntoIterator<Item = WindowState>) {
        self.windows.recall(windows);
    }

    /// The stretches, of `row` windows each, of which so many were committed again, or recalled,
    /// that they are worth being written anew: start and segment.
    #[must_use]
    pub fn worn(&self, row: usize) -> Vec<(EventTime, SegmentRef)> {
        let max = u64::try_from(row).unwrap_or(u64::MAX).div_euclid(BESIDE_SHARE);
        let worn = self.windows.stretches().filter(|(start, _)| self.windows.beside(*start) > max);
        worn.map(|(start, stretch)| (start, stretch.stored.clone())).collect()
    }

    /// Undoes the stretch from `start`, all of whose `windows` were read.
    pub fn spread(&mut self, start: EventTime, windows: Vec<WindowState>) {
        self.windows.recall(windows);
        self.windows.spread(start);
    }

    /// The first `length` windows in a row that may collapse into one stretch: all committed,
    /// quiet, and computed alike. `None` if there are not so many.
    #[must_use]
    pub fn collapsible(&self, length: usize) -> Option<Vec<WindowState>> {
        // A request that is pending must find what was begun after it.
        if !self.requests.is_empty() {
            return None;
        }
        let mut row: Vec<&WindowState> = Vec::new();
        for (_, window) in self.windows.iter() {
            if !self.is_quiet(window) {
                row.clear();
                continue;
            }
            if row.last().is_some_and(|last| !self.is_in_row(last, window)) {
                row.clear();
            }
            row.push(window);
            if row.len() == length {
                return Some(row.into_iter().cloned().collect());
            }
        }
        None
    }

    /// Whether nothing is under way with a window, and no stretch counts it.
    fn is_quiet(&self, window: &WindowState) -> bool {
        let start = window.committed.start;
        let is_marked = self.stale.contains_key(&start)
            || self.in_doubt.contains_key(&start)
            || self.failed.contains_key(&start)
            || self.open.values().any(|open| open.windows.contains_key(&start));
        let is_behind = self.watermark.is_some_and(|at| window.committed.end <= at);
        is_behind && !is_marked && self.windows.stretch_at(start).is_none()
    }

    /// Whether `next` follows `last` with nothing but committed windows between, computed alike.
    fn is_in_row(&self, last: &WindowState, next: &WindowState) -> bool {
        let (end, start) = (last.committed.end, next.committed.start);
        let mut between = end;
        while between < start {
            let run = self.empty.end_of_run(between).or_else(|| self.skipped.end_of_run(between));
            match run {
                Some(run) => between = run,
                None => return false,
            }
        }
        last.query == next.query && last.references == next.references
    }

    /// Lets `windows`, in a row as [`Self::collapsible`] gave them, collapse: their facts are
    /// stored in the segment `stored`.
    pub fn collapse(&mut self, windows: &[WindowState], stored: SegmentRef) {
        let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return };
        let rows = windows.iter().map(|window| window.committed.rows);
        let stretch = Stretch {
            end: last.committed.end,
            windows: u64::try_from(windows.len()).unwrap_or(u64::MAX),
            rows: rows.fold(super::RowCounts::default(), super::RowCounts::plus),
            query: first.query,
            references: first.references,
            stored,
        };
        self.windows.collapse(first.committed.start, stretch);
    }
}

fn of_facts(window: &WindowState) -> Option<Computed> {
    let WindowState { committed, begun, query, references, .. } = window;
    let (begun, query, references) = (Some(*begun), *query, *references);
    let window = Window::new(committed.start, committed.end)?;
    Some(Computed { window, begun, query, references })
}

fn of_stretch(window: Window, stretch: &Stretch) -> Computed {
    let Stretch { query, references, .. } = *stretch;
    Computed { window, begun: None, query, references }
}
