//! The windows that were computed and committed: those with their facts in memory, and stretches
//! of them whose facts lie in segments.
//!
//! A million windows that nobody touches any more cost one [`Stretch`] for every
//! [`STRETCH_WINDOWS`]: its totals, and where its facts are. Between the first and the last window
//! of a stretch every window is committed, so whichever is neither empty nor skipped was computed.
//! To know more of one, its facts are recalled first. What was recalled, or committed again, stands
//! beside its stretch, and counts in its totals.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use serde::{Deserialize, Serialize};

use super::{RowCounts, SegmentRef, WindowState};
use crate::id::Seq;
use crate::time::EventTime;

/// How many windows collapse into one stretch.
pub const STRETCH_WINDOWS: usize = 4_096;

/// A stretch is worth being written anew once one in so many of its windows stands beside it.
pub(super) const BESIDE_SHARE: u64 = 4;

/// Windows that were computed and committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// Those with their facts in memory, by start.
    loaded: BTreeMap<EventTime, WindowState>,
    /// The others, by the start of their stretch.
    stretches: BTreeMap<EventTime, Stretch>,
}

/// Windows in a row whose facts lie in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The end of its last window.
    pub end: EventTime,
    /// How many windows in it were computed.
    pub windows: u64,
    /// What became of their rows.
    pub rows: RowCounts,
    /// The entry of the query that those in the segment were computed with.
    pub query: Seq,
    /// The entry of their reference tables, if they have any.
    pub references: Option<Seq>,
    /// Where their facts are.
    pub stored: SegmentRef,
}

impl Windows {
    /// The facts of the window at `start`, if they are in memory.
    #[must_use]
    pub fn get(&self, start: &EventTime) -> Option<&WindowState> {
        self.loaded.get(start)
    }

    /// The windows with their facts in memory, ascending. All there are, if all was recalled.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&EventTime, &WindowState)> {
        self.loaded.iter()
    }

    /// Whether the facts of the window at `start` are in memory.
    #[must_use]
    pub fn contains_key(&self, start: &EventTime) -> bool {
        self.loaded.contains_key(start)
    }

    /// Their starts.
    #[must_use]
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &EventTime> {
        self.loaded.keys()
    }

    /// The same without their starts.
    #[must_use]
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &WindowState> {
        self.loaded.values()
    }

    /// Those of them that start within `bounds`.
    pub fn range(
        &self,
        bounds: impl RangeBounds<EventTime>,
    ) -> impl DoubleEndedIterator<Item = (&EventTime, &WindowState)> {
        self.loaded.range(bounds)
    }

    /// The stretches, ascending.
    pub fn stretches(&self) -> impl Iterator<Item = (EventTime, &Stretch)> {
        self.stretches.iter().map(|(start, stretch)| (*start, stretch))
    }

    /// The stretch that `at` lies in.
    #[must_use]
    pub fn stretch_at(&self, at: EventTime) -> Option<(EventTime, &Stretch)> {
        let (start, stretch) = self.stretches.range(..=at).next_back()?;
        (at < stretch.end).then_some((*start, stretch))
    }

    /// Whether no window was ever computed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loaded.is_empty() && self.stretches.is_empty()
    }

    /// Those of them with their facts in memory, by value.
    pub fn into_loaded(self) -> impl Iterator<Item = WindowState> {
        self.loaded.into_values()
    }

    /// How many windows were computed, and what became of their rows.
    #[must_use]
    pub fn totals(&self) -> (u64, RowCounts) {
        let apart = self.loaded.values().filter(|window| !self.is_beside(window));
        let apart = apart.map(|window| (1, window.committed.rows));
        let stretches = self.stretches.values().map(|stretch| (stretch.windows, stretch.rows));
        apart.chain(stretches).fold((0, RowCounts::default()), |(windows, sum), (more, rows)| {
            (windows.saturating_add(more), sum.plus(rows))
        })
    }

    /// Whether a stretch counts the window already.
    fn is_beside(&self, window: &WindowState) -> bool {
        self.stretch_at(window.committed.start).is_some()
    }

    /// How many windows of the stretch from `start` have their facts in memory.
    #[must_use]
    pub fn beside(&self, start: EventTime) -> u64 {
        let end = self.stretches.get(&start).map_or(start, |stretch| stretch.end);
        u64::try_from(self.loaded.range(start..end).count()).unwrap_or(u64::MAX)
    }

    /// Whether every stretch ends after its start: what a fold has, and bytes may lack.
    pub(super) fn is_sound(&self) -> bool {
        self.stretches.iter().all(|(start, stretch)| *start < stretch.end)
    }

    /// Notes what was committed of a window; `is_new` if it was not computed before.
    pub(super) fn commit(&mut self, window: WindowState, is_new: bool) {
        let start = window.committed.start;
        let rows = window.committed.rows;
        let before = self.loaded.insert(start, window);
        let stretch = self.stretches.range_mut(..=start).next_back();
        if let Some((_, stretch)) = stretch.filter(|(_, stretch)| start < stretch.end) {
            stretch.windows = stretch.windows.saturating_add(u64::from(is_new));
            let before = before.map(|before| before.committed.rows).unwrap_or_default();
            stretch.rows = stretch.rows.minus(before).plus(rows);
        }
    }

    /// Takes up facts that lie in a segment, but for windows that were committed since.
    pub(super) fn recall(&mut self, windows: impl IntoIterator<Item = WindowState>) {
        for window in windows {
            self.loaded.entry(window.committed.start).or_insert(window);
        }
    }

    /// The stretch from `start` is one no more: everything in it was recalled.
    pub(super) fn spread(&mut self, start: EventTime) {
        self.stretches.remove(&start);
    }

    /// No stretch is one any more: everything was recalled.
    pub(super) fn spread_all(&mut self) {
        self.stretches.clear();
    }

    /// Changes the facts of every window in memory.
    pub(super) fn edit(&mut self, change: impl FnMut(&mut WindowState)) {
        self.loaded.values_mut().for_each(change);
    }

    /// The windows from `start` on become `stretch`: their facts are forgotten here.
    pub(super) fn collapse(&mut self, start: EventTime, stretch: Stretch) {
        self.loaded.retain(|at, _| *at < start || *at >= stretch.end);
        self.stretches.insert(start, stretch);
    }
}

impl<'a> IntoIterator for &'a Windows {
    type Item = (&'a EventTime, &'a WindowState);
    type IntoIter = std::collections::btree_map::Iter<'a, EventTime, WindowState>;

    fn into_iter(self) -> Self::IntoIter {
        self.loaded.iter()
    }
}

#[cfg(test)]
impl std::ops::Index<&EventTime> for Windows {
    type Output = WindowState;

    fn index(&self, start: &EventTime) -> &WindowState {
        &self.loaded[start]
    }
}
