//! Sets of event times, kept as the fewest ranges that say the same.

use std::collections::BTreeMap;
use std::iter;

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// A set of event times, as disjoint half-open ranges in order.
///
/// Invariant: each range ends before the next one starts. Ranges that touch are one range, so a
/// million windows in a row cost no more than one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowSet {
    /// The end of each range by its start.
    ranges: BTreeMap<EventTime, EventTime>,
}

impl WindowSet {
    /// The set without any time in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `start <= t < end`; nothing unless `start < end`.
    pub fn insert(&mut self, start: EventTime, end: EventTime) {
        if start >= end {
            return;
        }
        let mut joined = (start, end);
        while let Some((first, last)) = self.last_from(..=end).filter(|range| range.1 >= start) {
            self.ranges.remove(&first);
            joined = (joined.0.min(first), joined.1.max(last));
        }
        self.ranges.insert(joined.0, joined.1);
    }

    /// Takes `start <= t < end` out; nothing unless `start < end`.
    pub fn remove(&mut self, start: EventTime, end: EventTime) {
        if start >= end {
            return;
        }
        while let Some((first, last)) = self.last_from(..end).filter(|range| range.1 > start) {
            self.ranges.remove(&first);
            if last > end {
                self.ranges.insert(end, last);
            }
            if first < start {
                self.ranges.insert(first, start);
            }
        }
    }

    /// Whether `at` is in the set.
    #[must_use]
    pub fn contains(&self, at: EventTime) -> bool {
        self.end_of_run(at).is_some()
    }

    /// Whether every `start <= t < end` is in the set; of an empty range that is always so.
    #[must_use]
    pub fn covers(&self, start: EventTime, end: EventTime) -> bool {
        start >= end || self.end_of_run(start).is_some_and(|run| run >= end)
    }

    /// The first time after `at` that is not in the set; `None` if `at` itself is not.
    #[must_use]
    pub fn end_of_run(&self, at: EventTime) -> Option<EventTime> {
        self.last_from(..=at).map(|range| range.1).filter(|end| *end > at)
    }

    /// The ranges `(start, end)` in order.
    pub fn ranges(&self) -> impl Iterator<Item = (EventTime, EventTime)> {
        self.ranges.iter().map(|(start, end)| (*start, *end))
    }

    /// What lacks of `start <= t < end`: ranges `(start, end)` in order.
    pub fn gaps(
        &self,
        start: EventTime,
        end: EventTime,
    ) -> impl Iterator<Item = (EventTime, EventTime)> {
        let mut at = start;
        iter::from_fn(move || {
            let first = self.end_of_run(at).unwrap_or(at);
            if first >= end {
                return None;
            }
            at = self.ranges.range(first..).next().map_or(end, |(next, _)| end.min(*next));
            Some((first, at))
        })
    }

    /// Whether no time is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The last range that starts within `bounds`.
    fn last_from(
        &self,
        bounds: impl std::ops::RangeBounds<EventTime>,
    ) -> Option<(EventTime, EventTime)> {
        self.ranges.range(bounds).next_back().map(|(start, end)| (*start, *end))
    }
}
