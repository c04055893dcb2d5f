//! The proof that a template gives each window of a grid a path of its own (invariant WI-1).
//!
//! First, the fields must tell the day of a window (for weeks the week, for months the month) in
//! the zone or in UTC. Then only windows that start on one such day can share a path, and those lie
//! within a day of each other, or a little more where clocks were set back.
//!
//! Weeks and months are few: all those of the years with clock changes are compared. Shorter
//! windows repeat every day until the clocks change, so it is enough to compare those around each
//! change, and those of one undisturbed day for each offset. Of changes alike, one will do.
//!
//! All this begins in 1970. Before, most zones changed from the sun's time to a clock's at an odd
//! minute, which would forbid paths that no real window shares; a window from then is compared with
//! its neighbours when it is computed ([`PathTemplate::names_alone`]).

use std::collections::{HashMap, HashSet};

use chrono::Offset;
use chrono_tz::Tz;

use super::template::{Clock, Field, Part, Start};
use super::{PathTemplate, Window, WindowGrid, WindowSize};
use crate::time::EventTime;

const SECONDS_PER_DAY: i64 = 86_400;
/// 1970-01-01: from here on the proof holds for every window.
const PROVEN_FROM: i64 = 0;
/// How far from a window another may start that has the same day, week or month in its path: more
/// than a month.
const NEIGHBOURS: i64 = 40 * SECONDS_PER_DAY;
/// 2101-01-01: `chrono-tz` knows no clock change from then on.
const END_OF_CHANGES: i64 = 4_133_980_800;
/// The length of the steps in which clock changes are looked for, in seconds. In all tables of
/// `chrono-tz` two changes lie at least six days apart (Gaza: a week less an hour), so a step holds
/// at most one, and between two changes there is always a whole step without any.
const STEP: i64 = 3 * SECONDS_PER_DAY;

/// Why a template cannot name the windows of a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateClash {
    /// The path does not even tell the day (week, month): a sentence that says so.
    MissingField(String),
    /// Two windows would have the same path.
    SamePath {
        /// The path.
        path: String,
        /// The earlier window.
        first: Window,
        /// The later window.
        second: Window,
    },
}

/// A stretch of time whose windows are compared with each other.
struct Stretch {
    start: EventTime,
    end: EventTime,
    /// Stretches of one shape are cut into windows alike, and at the same times of the day.
    shape: Shape,
}

/// Offsets before and after, in seconds, and the local time of the change in seconds of the day.
type Shape = (i32, i32, i64);

impl PathTemplate {
    /// Proves that no two windows of `grid` share a path, from 1970 on.
    ///
    /// # Errors
    /// The field that is missing, or two windows that would share a path.
    pub fn check_injective(&self, grid: &WindowGrid) -> Result<(), TemplateClash> {
        if !self.tells_the_period(grid.size()) {
            let (period, field) = match grid.size() {
                WindowSize::Minutes(_) | WindowSize::Day => ("day", "%Y-%m-%d"),
                WindowSize::Week { .. } => ("week", "%G-W%V"),
                WindowSize::Month => ("month", "%Y-%m"),
            };
            return Err(TemplateClash::MissingField(format!(
                "windows of several {period}s would share a path: add `{{start:{field}}}`"
            )));
        }
        let clash = match grid.size() {
            WindowSize::Minutes(_) | WindowSize::Day => self.clash_of_short_windows(grid),
            WindowSize::Week { .. } | WindowSize::Month => EventTime::from_seconds(PROVEN_FROM)
                .zip(EventTime::from_seconds(END_OF_CHANGES))
                .and_then(|(start, end)| self.clash_within(grid, start, end)),
        };
        clash.map_or(Ok(()), Err)
    }

    /// Whether no other window of `grid` has the path of this one. True of every window that
    /// [`Self::check_injective`] speaks of; the others are compared with all that lie near.
    #[must_use]
    pub fn names_alone(&self, grid: &WindowGrid, window: Window) -> bool {
        if window.start().seconds() >= PROVEN_FROM {
            return true;
        }
        let near = |seconds: Option<i64>| EventTime::from_seconds(seconds?);
        let from = near(window.start().seconds().checked_sub(NEIGHBOURS));
        let to = near(window.end().seconds().checked_add(NEIGHBOURS));
        let (Some(path), Some((from, to))) = (self.render(grid, window), from.zip(to)) else {
            return false;
        };
        let mut others = grid.windows_from(from, to).filter(|other| *other != window);
        !others.any(|other| self.render(grid, other).is_some_and(|other| other == path))
    }

    fn tells_the_period(&self, size: WindowSize) -> bool {
        [Clock::Zone, Clock::Utc].into_iter().any(|clock| {
            let has = |fields: &[Field]| {
                fields.iter().all(|field| self.parts.contains(&Part::Field(clock, *field)))
            };
            let day = has(&[Field::Year, Field::Month, Field::Day])
                || has(&[Field::Year, Field::DayOfYear])
                || has(&[Field::IsoYear, Field::IsoWeek, Field::Weekday]);
            match size {
                WindowSize::Minutes(_) | WindowSize::Day => day,
                WindowSize::Week { .. } => day || has(&[Field::IsoYear, Field::IsoWeek]),
                WindowSize::Month => day || has(&[Field::Year, Field::Month]),
            }
        })
    }

    fn clash_of_short_windows(&self, grid: &WindowGrid) -> Option<TemplateClash> {
        let mut proven = HashSet::new();
        for stretch in stretches(grid.zone()) {
            if proven.contains(&stretch.shape) {
                continue;
            }
            if self.times_of_day_differ(grid, &stretch) {
                proven.insert(stretch.shape);
                continue;
            }
            // They may still differ by what other stretches of the shape lack, such as the turn of
            // a month: then each stretch counts for itself.
            let clash = self.clash_within(grid, stretch.start, stretch.end);
            if clash.is_some() {
                return clash;
            }
        }
        None
    }

    /// Whether the windows differ in what is the same in all stretches of one shape: the times of
    /// the day, and the fields that change with every day.
    fn times_of_day_differ(&self, grid: &WindowGrid, stretch: &Stretch) -> bool {
        let daily = self.parts.iter().filter_map(|part| match *part {
            Part::Literal(_)
            | Part::Field(_, Field::Year | Field::Month | Field::IsoYear | Field::IsoWeek) => None,
            Part::Field(clock, field) => Some((clock, field)),
        });
        let mut seen = HashSet::new();
        grid.windows_from(stretch.start, stretch.end).all(|window| {
            Start::of(grid, window).is_some_and(|start| {
                let values: Vec<_> =
                    daily.clone().map(|(clock, field)| field.value(start.by(clock))).collect();
                seen.insert(values)
            })
        })
    }

    /// The first two windows of a stretch that share a path.
    fn clash_within(
        &self,
        grid: &WindowGrid,
        start: EventTime,
        end: EventTime,
    ) -> Option<TemplateClash> {
        let mut windows = HashMap::new();
        grid.windows_from(start, end).find_map(|second| {
            let path = self.render(grid, second)?;
            let first = windows.insert(path.clone(), second)?;
            Some(TemplateClash::SamePath { path, first, second })
        })
    }
}

/// The stretches of `zone` that show everything its clocks ever do.
fn stretches(zone: Tz) -> impl Iterator<Item = Stretch> {
    let steps = std::iter::successors(Some(PROVEN_FROM), |start| start.checked_add(STEP));
    steps.take_while(|start| *start < END_OF_CHANGES).filter_map(move |start| stretch(zone, start))
}

/// What is to be compared of the step that begins at `start` seconds.
fn stretch(zone: Tz, start: i64) -> Option<Stretch> {
    let end = start.checked_add(STEP)?;
    let (before, after) = (offset(zone, start)?, offset(zone, end)?);
    let (at, from, to) = if before == after {
        // From the second day on, no window comes from a day that began before the step.
        let second_day = start.checked_add(SECONDS_PER_DAY)?;
        (start, second_day, end)
    } else {
        let at = first_second_without(before, zone, start, end)?;
        // A day of the zone or of UTC reaches this far back from the change. Windows are out of
        // step until the next midnight, and may meet others up to a day after that.
        let reach = i64::from(before.abs_diff(after)).checked_add(SECONDS_PER_DAY)?;
        (at, at.checked_sub(reach)?, at.checked_add(reach)?.checked_add(SECONDS_PER_DAY)?)
    };
    Some(Stretch {
        start: EventTime::from_seconds(from)?,
        end: EventTime::from_seconds(to)?,
        shape: (before, after, at.checked_add(before.into())?.rem_euclid(SECONDS_PER_DAY)),
    })
}

/// The second of the only change between `start`, where the offset is `before`, and `end`.
fn first_second_without(before: i32, zone: Tz, start: i64, end: i64) -> Option<i64> {
    let (mut low, mut high) = (start, end);
    while low < high {
        // Rounded down: `midpoint` rounds towards 1970, and would never end before it.
        let middle = low.checked_add(high)?.div_euclid(2);
        if offset(zone, middle)? == before {
            low = middle.checked_add(1)?;
        } else {
            high = middle;
        }
    }
    Some(high)
}

/// Seconds that the clocks of `zone` are ahead of UTC.
fn offset(zone: Tz, seconds: i64) -> Option<i32> {
    let local = EventTime::from_seconds(seconds)?.to_local(zone)?;
    Some(local.offset().fix().local_minus_utc())
}
