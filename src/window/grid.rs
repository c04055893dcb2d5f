//! Where windows begin and end: a size laid on the calendar of a zone.
//!
//! The day `d` begins at S(d), the first instant whose local time is `d` 00:00 or later. S never
//! runs backwards, whatever the clocks of the zone do, so the days `[S(d), S(d+1))` tile the time
//! line; a day with S(d) = S(d+1) never was (Samoa, 2011-12-30). Every window is made of S: weeks
//! and months join days, shorter windows cut one day. Invariant: WI-1.

use std::iter;

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime, SecondsFormat, TimeZone};
use chrono_tz::Tz;

use super::{Window, WindowSize};
use crate::time::EventTime;

const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// How the time line is cut into windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowGrid {
    size: WindowSize,
    zone: Tz,
}

impl WindowGrid {
    /// Windows of `size`, aligned to midnight in `zone`.
    #[must_use]
    pub fn new(size: WindowSize, zone: Tz) -> Self {
        Self { size, zone }
    }

    /// The length of the windows.
    #[must_use]
    pub fn size(&self) -> WindowSize {
        self.size
    }

    /// The zone whose midnight the windows are aligned to.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The window that `at` lies in; `None` if no row may carry that time.
    #[must_use]
    pub fn window_at(&self, at: EventTime) -> Option<Window> {
        if !at.is_usable() {
            return None;
        }
        match self.size {
            WindowSize::Minutes(minutes) => cut(self.day_at(at)?, minutes, at),
            WindowSize::Day => self.day_at(at),
            WindowSize::Week { first } => {
                let start = self.date_at(at)?.week(first).checked_first_day()?;
                self.days(start, start.checked_add_days(Days::new(7))?)
            }
            WindowSize::Month => {
                let start = self.date_at(at)?.with_day(1)?;
                self.days(start, start.checked_add_months(Months::new(1))?)
            }
        }
    }

    /// The window after `window`; `None` at the end of the usable range.
    #[must_use]
    pub fn next(&self, window: Window) -> Option<Window> {
        self.window_at(window.end())
    }

    /// The window before `window`; `None` at the start of the usable range.
    #[must_use]
    pub fn previous(&self, window: Window) -> Option<Window> {
        self.window_at(just_before(window.start())?)
    }

    /// The windows that overlap `start <= t < end`, in order; none outside the usable range.
    pub fn windows_from(&self, start: EventTime, end: EventTime) -> impl Iterator<Item = Window> {
        // Days are asked of the calendar, which is slow; short windows are cut from them.
        let (whole, minutes) = match self.size {
            WindowSize::Minutes(minutes) => (Self::new(WindowSize::Day, self.zone), Some(minutes)),
            _ => (self.clone(), None),
        };
        let first = whole.window_at(start.max(EventTime::FIRST));
        iter::successors(first, move |window| whole.next(*window))
            .flat_map(move |window| pieces(window, minutes))
            .skip_while(move |window| window.end() <= start.max(EventTime::FIRST))
            .take_while(move |window| window.start() < end.min(EventTime::END))
    }

    /// Whether a window begins at `at`.
    #[must_use]
    pub fn is_boundary(&self, at: EventTime) -> bool {
        self.window_at(at).is_some_and(|window| window.start() == at)
    }

    /// The window in words for people who live in the zone: `2026-11-17 09:00 – 10:00`,
    /// `2026-11-17`, `2026-11-16 – 2026-11-22`, `2026-11`.
    #[must_use]
    pub fn label(&self, window: Window) -> String {
        self.local_label(window).unwrap_or_else(|| format!("{} – {}", window.start(), window.end()))
    }

    /// The start of the window with offset and zone: `2026-11-17T09:00:00+01:00[Europe/Berlin]`.
    #[must_use]
    pub fn local(&self, window: Window) -> String {
        match window.start().to_local(self.zone) {
            Some(at) => {
                format!("{}[{}]", at.to_rfc3339_opts(SecondsFormat::Secs, false), self.zone.name())
            }
            None => window.start().to_string(),
        }
    }

    /// An instant as the clocks of the zone show it: `2026-11-20 05:45 +01:00`.
    #[must_use]
    pub fn local_instant(&self, at: EventTime) -> String {
        match at.to_local(self.zone) {
            Some(local) => local.format("%Y-%m-%d %H:%M %:z").to_string(),
            None => at.to_string(),
        }
    }

    fn local_label(&self, window: Window) -> Option<String> {
        let start = window.start().to_local(self.zone)?;
        Some(match self.size {
            WindowSize::Minutes(_) => {
                let end = window.end().to_local(self.zone)?;
                let clock =
                    if end.date_naive() == start.date_naive() { "%H:%M" } else { "%F %H:%M" };
                let start = self.clock(window.start(), "%F %H:%M")?;
                format!("{start} – {}", self.clock(window.end(), clock)?)
            }
            WindowSize::Day => start.format("%F").to_string(),
            WindowSize::Week { .. } => {
                let last = just_before(window.end())?.to_local(self.zone)?;
                format!("{} – {}", start.format("%F"), last.format("%F"))
            }
            WindowSize::Month => start.format("%Y-%m").to_string(),
        })
    }

    /// `at` in local time, with the offset only if the clocks show that time twice.
    fn clock(&self, at: EventTime, format: &str) -> Option<String> {
        let local = at.to_local(self.zone)?;
        let repeated = self.zone.from_local_datetime(&local.naive_local()).single().is_none();
        let offset = if repeated { local.format("%:z").to_string() } else { String::new() };
        Some(format!("{}{offset}", local.format(format)))
    }

    /// The day that `at` lies in.
    fn day_at(&self, at: EventTime) -> Option<Window> {
        if self.zone == Tz::UTC {
            // Asked for every row: the most common zone needs no calendar.
            let start = at.micros().checked_sub(at.micros().rem_euclid(MICROS_PER_DAY))?;
            return between(start, start.checked_add(MICROS_PER_DAY)?);
        }
        let date = self.date_at(at)?;
        self.days(date, date.succ_opt()?)
    }

    /// The `d` with S(d) <= `at` < S(d+1).
    ///
    /// Not always the date on the calendar: where clocks are set back across midnight it shows
    /// yesterday again (St John's, until 2011, at 00:01), and the new day has begun all the same.
    fn date_at(&self, at: EventTime) -> Option<NaiveDate> {
        let mut date = at.to_local(self.zone)?.date_naive();
        loop {
            let next = date.succ_opt()?;
            if at < self.start_of(next)? {
                return Some(date);
            }
            date = next;
        }
    }

    fn days(&self, first: NaiveDate, end: NaiveDate) -> Option<Window> {
        Window::new(self.start_of(first)?, self.start_of(end)?)
    }

    /// S(`date`) of the module's head.
    fn start_of(&self, date: NaiveDate) -> Option<EventTime> {
        EventTime::from_local(self.zone, date.and_time(NaiveTime::MIN))
    }
}

/// The piece of `day` that holds `at`, if it is cut every so many minutes from its start.
fn cut(day: Window, minutes: u16, at: EventTime) -> Option<Window> {
    let length = i64::from(minutes).checked_mul(MICROS_PER_MINUTE)?;
    let into_piece = at.micros().checked_sub(day.start().micros())?.checked_rem(length)?;
    let start = at.micros().checked_sub(into_piece)?;
    between(start, start.checked_add(length)?.min(day.end().micros()))
}

/// `whole` itself, or the windows that it is cut into.
fn pieces(whole: Window, minutes: Option<u16>) -> impl Iterator<Item = Window> {
    let piece_at = move |at| match minutes {
        Some(minutes) if whole.contains(at) => cut(whole, minutes, at),
        None if at == whole.start() => Some(whole),
        _ => None,
    };
    iter::successors(piece_at(whole.start()), move |piece| piece_at(piece.end()))
}

fn between(start: i64, end: i64) -> Option<Window> {
    Window::new(EventTime::from_micros(start), EventTime::from_micros(end))
}

fn just_before(at: EventTime) -> Option<EventTime> {
    at.micros().checked_sub(1).map(EventTime::from_micros)
}
