//! Instants and lengths. Each type carries its clock and its unit.
//!
//! There is no conversion between [`EventTime`] (the producer's clock) and [`ProcessingTime`]
//! (ours): mixing the two is a type error. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds in a second.
const MICROS_PER_SECOND: i64 = 1_000_000;

/// When an event happened, by the producer's clock.
///
/// Unit: microseconds since the Unix epoch, UTC; negative before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

/// When we looked, by the store's or our clock.
///
/// Unit: microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessingTime(i64);

/// A length of time in microseconds; may be zero, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl EventTime {
    /// First event time a row may carry: 0001-02-01. Windows around it still have a printable
    /// start.
    pub const FIRST: Self = Self(-62_132_918_400 * MICROS_PER_SECOND);
    /// End (exclusive) of the event times a row may carry: 9999-11-01.
    pub const END: Self = Self(253_397_030_400 * MICROS_PER_SECOND);

    /// The instant `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant `seconds` after the Unix epoch; `None` beyond the range of the type.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(MICROS_PER_SECOND).map(Self)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Whether a row may carry this time: [`Self::FIRST`] to [`Self::END`], exclusive.
    #[must_use]
    pub fn is_usable(self) -> bool {
        Self::FIRST <= self && self < Self::END
    }

    /// `self + span`; `None` beyond the range of the type.
    #[must_use]
    pub fn plus(self, span: Span) -> Option<Self> {
        self.0.checked_add(span.0).map(Self)
    }

    /// `self - span`; `None` beyond the range of the type.
    #[must_use]
    pub fn minus(self, span: Span) -> Option<Self> {
        self.0.checked_sub(span.0).map(Self)
    }

    /// The same instant for calendar arithmetic; `None` beyond chrono's range.
    #[must_use]
    pub fn to_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }

    /// The instant of `at`.
    #[must_use]
    pub fn from_utc(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_micros())
    }

    /// The first instant whose local time in `zone` is `local` or later: inside a gap, the end of
    /// the gap; of a repeated hour, the first pass. `None` beyond chrono's range.
    #[must_use]
    pub fn from_local(zone: Tz, local: NaiveDateTime) -> Option<Self> {
        if let Some(at) = zone.from_local_datetime(&local).earliest() {
            return Some(Self::from_utc(at.to_utc()));
        }
        // `local` falls into a gap. No zone was ever further than 26 hours from UTC, so the gap's
        // end lies between these two instants, and each clock reads `local` or later only after it.
        let mut before = local.and_utc().timestamp().checked_sub(26 * 3600)?;
        let mut after = local.and_utc().timestamp().checked_add(26 * 3600)?;
        while before < after {
            // Rounded down: `midpoint` rounds towards 1970, and would never end before it.
            let middle = before.checked_add(after)?.div_euclid(2);
            if zone
                .from_utc_datetime(&DateTime::from_timestamp(middle, 0)?.naive_utc())
                .naive_local()
                < local
            {
                before = middle.checked_add(1)?;
            } else {
                after = middle;
            }
        }
        Self::from_seconds(after)
    }

    /// The local time of this instant in `zone`; `None` beyond chrono's range.
    #[must_use]
    pub fn to_local(self, zone: Tz) -> Option<DateTime<Tz>> {
        Some(zone.from_utc_datetime(&self.to_utc()?.naive_utc()))
    }

    /// Reads what a person types: RFC 3339, or a month, date, date-hour or date-time without
    /// offset, which is read in `zone`.
    #[must_use]
    pub fn parse(text: &str, zone: Tz) -> Option<Self> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Some(Self::from_utc(at.to_utc()));
        }
        let is_month = text.len() == 7;
        let day = if is_month { format!("{text}-01") } else { text.to_owned() };
        if let Ok(date) = NaiveDate::parse_from_str(&day, "%Y-%m-%d") {
            return Self::from_local(zone, date.and_hms_opt(0, 0, 0)?);
        }
        let (date, clock) = text.split_once(['T', ' '])?;
        let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
        let mut parts = clock.split(':').map(|part| match part.len() {
            2 => part.parse::<u32>().ok(),
            _ => None,
        });
        let hour = parts.next()??;
        let minute = parts.next().unwrap_or(Some(0))?;
        let second = parts.next().unwrap_or(Some(0))?;
        if parts.next().is_some() {
            return None;
        }
        Self::from_local(zone, date.and_hms_opt(hour, minute, second)?)
    }
}

impl ProcessingTime {
    /// The instant `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this instant, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0))
    }

    /// How far event time `at` lies behind this instant, zero if it is ahead. Lag is for people: no
    /// decision is made on it.
    #[must_use]
    pub fn lag_of(self, at: EventTime) -> Span {
        Span(self.0.saturating_sub(at.0).max(0))
    }

    /// The event time that a source is taken to have reached at this instant, if it follows the
    /// clock at this distance.
    #[must_use]
    pub fn promise_behind(self, distance: Span) -> EventTime {
        EventTime(self.0.saturating_sub(distance.0))
    }

    /// How long after the event at `at` this instant is, in microseconds; negative before it.
    #[must_use]
    pub fn delay_after(self, at: EventTime) -> i64 {
        self.0.saturating_sub(at.0)
    }

    /// The latest event time that something seen at this instant may carry, if events may run ahead
    /// of the store's clock by `ahead`.
    #[must_use]
    pub fn latest_event(self, ahead: Span) -> EventTime {
        EventTime(self.0.saturating_add(ahead.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The least there is.
    pub const MICROSECOND: Self = Self(1);

    /// A length in microseconds; `None` if negative.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        (micros >= 0).then_some(Self(micros))
    }

    /// A length in seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Self {
        // Never saturates: a `u32` of seconds in microseconds fits an `i64` many times over.
        Self((seconds as i64).saturating_mul(MICROS_PER_SECOND))
    }

    /// The length in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The length in whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }
}

fn fmt_instant(micros: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // RFC 3339 has years of four digits; anything beyond is said in its unit.
    let at = DateTime::from_timestamp_micros(micros).filter(|at| (0..=9999).contains(&at.year()));
    match at {
        Some(at) => f.write_str(&at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
        None => write!(f, "{micros}us"),
    }
}

fn parse_instant(text: &str) -> Result<i64, String> {
    if let Some(micros) = text.strip_suffix("us").and_then(|digits| digits.parse().ok()) {
        return Ok(micros);
    }
    if let Some(micros) = parse_plain(text.as_bytes()) {
        return Ok(micros);
    }
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.timestamp_micros())
        .map_err(|why| format!("not an RFC 3339 instant: `{text}`: {why}"))
}

/// Reads an instant as [`fmt_instant`] writes most; `None` if it is written in another way, or is
/// none. A log has millions of them, and most of the time to open it would be spent here.
fn parse_plain(text: &[u8]) -> Option<i64> {
    let (seconds, fraction) = text.strip_suffix(b"Z")?.split_at_checked(19)?;
    let [year @ .., b'-', m1, m0, b'-', d1, d0, b'T', h1, h0, b':', i1, i0, b':', s1, s0] = seconds
    else {
        return None;
    };
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(number(year)?).ok()?,
        number(&[*m1, *m0])?,
        number(&[*d1, *d0])?,
    )?;
    let time =
        date.and_hms_opt(number(&[*h1, *h0])?, number(&[*i1, *i0])?, number(&[*s1, *s0])?)?;
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if digits.len() == 3 => number(digits)?.checked_mul(1_000)?,
        [b'.', digits @ ..] if digits.len() == 6 => number(digits)?,
        _ => return None,
    };
    time.and_utc().timestamp_micros().checked_add(i64::from(micros))
}

/// The number that `digits`, few and all decimal, say.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        number.checked_mul(10)?.checked_add(u32::from(value))
    })
}

/// Reads the text of an instant where it stands.
struct InstantText;

impl Visitor<'_> for InstantText {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 instant")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
        parse_instant(text).map_err(E::custom)
    }
}

macro_rules! instant_text {
    ($type:ident) => {
        /// RFC 3339, UTC, with as many fraction digits as needed.
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_instant(self.0, f)
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                parse_instant(text).map(Self)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(InstantText).map(Self)
            }
        }
    };
}
instant_text!(EventTime);
instant_text!(ProcessingTime);

/// As people say it: `3d 5h`, `31m`, `1.02s`: at most two units.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (1.., 0, _) => write!(f, "{days}d"),
            (1.., ..) => write!(f, "{days}d {hours}h"),
            (0, 1.., 0) => write!(f, "{hours}h"),
            (0, 1.., _) => write!(f, "{hours}h {minutes}m"),
            (_, _, 1..) if seconds % 60 == 0 => write!(f, "{minutes}m"),
            (_, _, 1..) => write!(f, "{minutes}m {}s", seconds % 60),
            _ => {
                let hundredths = self.0 / 10_000;
                write!(f, "{}.{:02}s", hundredths / 100, hundredths % 100)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> EventTime {
        text.parse().unwrap()
    }

    #[test]
    fn the_usable_range_is_what_its_docs_say() {
        assert_eq!(EventTime::FIRST, at("0001-02-01T00:00:00Z"));
        assert_eq!(EventTime::END, at("9999-11-01T00:00:00Z"));
        assert!(EventTime::FIRST.is_usable() && !EventTime::END.is_usable());
        assert!(!EventTime::from_micros(i64::MIN).is_usable());
    }

    #[test]
    fn instants_print_and_parse_to_themselves() {
        let year_ten_thousand = 253_402_300_800_000_000;
        let year_zero = -62_167_219_200_000_000;
        let edges = [year_ten_thousand - 1, year_ten_thousand, year_zero, year_zero - 1];
        let others = [0, -1, 1_357_034_700_000_000, 1_500, i64::MIN, i64::MAX];
        for micros in edges.into_iter().chain(others) {
            let instant = EventTime::from_micros(micros);
            assert_eq!(instant.to_string().parse(), Ok(instant));
        }
        assert_eq!(EventTime::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_written_plainly_is_what_rfc_3339_says() {
        let plain = |text: &str| parse_plain(text.as_bytes());
        let slow =
            |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros());
        for micros in (-62_167_219_200_000_000_i64..253_402_300_800_000_000)
            .step_by(86_399_999_123_457)
            .flat_map(|at| [at, at - at.rem_euclid(1_000), at - at.rem_euclid(1_000_000)])
            .filter(|at| *at >= -62_167_219_200_000_000)
        {
            let text = EventTime::from_micros(micros).to_string();
            assert_eq!((plain(&text), slow(&text)), (Some(micros), Some(micros)), "{text}");
        }
        // What is said in another way, or is no instant, is left to those who know.
        for text in [
            "2016-12-31T23:59:60Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:00:00.000000001Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:0:000Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.+12Z",
            "",
        ] {
            assert_eq!(plain(text), None, "{text}");
            assert_eq!(parse_instant(text).ok(), slow(text), "{text}");
        }
    }

    #[test]
    fn a_person_may_type_dates_hours_and_offsets() {
        let berlin = chrono_tz::Europe::Berlin;
        for (text, expected) in [
            ("2026-06-01", "2026-05-31T22:00:00Z"),
            ("2026-06", "2026-05-31T22:00:00Z"),
            ("2026-06-01T05", "2026-06-01T03:00:00Z"),
            ("2026-06-01T05:30", "2026-06-01T03:30:00Z"),
            ("2026-06-01 05:30:15", "2026-06-01T03:30:15Z"),
            ("2026-06-01T05:30:00Z", "2026-06-01T05:30:00Z"),
            ("2026-06-01T05:30:00+05:30", "2026-06-01T00:00:00Z"),
        ] {
            assert_eq!(EventTime::parse(text, berlin), Some(at(expected)), "{text}");
        }
        for text in
            ["", "2026", "2026-13-01", "yesterday", "2026-06-01T5", "2026-06-01T05:00:00:00"]
        {
            assert_eq!(EventTime::parse(text, berlin), None, "{text}");
        }
    }

    #[test]
    fn a_local_time_in_a_gap_is_the_end_of_the_gap_and_a_repeated_one_its_first_pass() {
        let day = |zone: Tz, date: &str| {
            let midnight =
                NaiveDate::parse_from_str(date, "%Y-%m-%d").unwrap().and_hms_opt(0, 0, 0);
            EventTime::from_local(zone, midnight.unwrap()).unwrap()
        };
        assert_eq!(day(chrono_tz::Asia::Beirut, "2026-03-29"), at("2026-03-28T22:00:00Z"));
        assert_eq!(day(chrono_tz::Africa::Cairo, "2026-04-24"), at("2026-04-23T22:00:00Z"));
        assert_eq!(day(chrono_tz::America::Havana, "2026-11-01"), at("2026-11-01T04:00:00Z"));
        // A whole day that never was: it begins where the next one does.
        assert_eq!(
            day(chrono_tz::Pacific::Apia, "2011-12-30"),
            day(chrono_tz::Pacific::Apia, "2011-12-31")
        );
    }

    #[test]
    fn spans_read_as_people_say_them() {
        for (micros, text) in [
            (0, "0.00s"),
            (1_020_000, "1.02s"),
            (59_999_999, "59.99s"),
            (60_000_000, "1m"),
            (243_000_000, "4m 3s"),
            (7_200_000_000, "2h"),
            (277_200_000_000, "3d 5h"),
            (86_400_000_000, "1d"),
        ] {
            assert_eq!(Span::from_micros(micros).unwrap().to_string(), text);
        }
        assert_eq!(Span::from_micros(-1), None);
    }
}
