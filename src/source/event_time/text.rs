//! Event times that are text: ISO 8601 in its extended form, as RFC 3339 narrows it down.
//!
//! `2026-01-31`, or `2026-01-31T10:00` with or without `:00`, a fraction and an offset. Whatever
//! else a text says is no time, and never a near one.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike};
use chrono_tz::Tz;

use super::in_zone;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Microseconds from the epoch to what `text` says, rounded down; read in `zone` if it names no
/// offset. `None` if it is no time.
///
/// A leap second, `23:59:60` at the end of a month in UTC, is the last microsecond of that month:
/// it stays in the day that the text names. Anywhere else there is no sixtieth second.
pub(super) fn micros(text: &str, zone: Tz) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    let date = rest.date()?;
    let clock = if rest.is_empty() { Clock::default() } else { rest.clock()? };
    let offset = if rest.is_empty() { None } else { Some(rest.offset()?) };
    if !rest.is_empty() {
        return None;
    }
    let time = NaiveTime::from_hms_micro_opt(clock.hour, clock.minute, clock.second, clock.micros);
    let local = date.and_time(time?);
    let micros = match offset {
        Some(seconds) => {
            let ahead = seconds.checked_mul(MICROS_PER_SECOND)?;
            local.and_utc().timestamp_micros().checked_sub(ahead)?
        }
        None => in_zone(zone, local)?,
    };
    (!clock.is_leap || ends_month(micros)).then_some(micros)
}

/// Whether a month begins, in UTC, right after `micros`.
fn ends_month(micros: i64) -> bool {
    let next = micros.checked_add(1).and_then(DateTime::from_timestamp_micros);
    next.is_some_and(|next| next.day() == 1 && next.num_seconds_from_midnight() == 0)
}

/// What a clock reads.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    hour: u32,
    minute: u32,
    second: u32,
    micros: u32,
    /// It reads `:60`, and the rest is the last microsecond of the minute as others have it.
    is_leap: bool,
}

/// What has not been read of a text.
#[derive(Clone, Copy, Debug)]
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Reads a byte if it is one of `bytes`.
    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| bytes.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// Reads one digit.
    fn digit(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| first.is_ascii_digit())?;
        self.0 = rest;
        u32::from(*first).checked_sub(u32::from(b'0'))
    }

    /// Reads a number of exactly so many digits.
    fn number(&mut self, digits: u32) -> Option<u32> {
        let mut number: u32 = 0;
        for _ in 0..digits {
            number = number.checked_mul(10)?.checked_add(self.digit()?)?;
        }
        Some(number)
    }

    /// Reads `2026-01-31`.
    fn date(&mut self) -> Option<NaiveDate> {
        let year = i32::try_from(self.number(4)?).ok()?;
        self.one_of(b"-")?;
        let month = self.number(2)?;
        self.one_of(b"-")?;
        NaiveDate::from_ymd_opt(year, month, self.number(2)?)
    }

    /// Reads `T10:00:00.123456`.
    fn clock(&mut self) -> Option<Clock> {
        self.one_of(b"Tt ")?;
        let hour = self.number(2)?;
        self.one_of(b":")?;
        let minute = self.number(2)?;
        let mut clock = Clock { hour, minute, ..Clock::default() };
        if self.one_of(b":").is_some() {
            clock.second = self.number(2)?;
            if self.one_of(b".,").is_some() {
                clock.micros = self.fraction()?;
            }
        }
        if clock.second == 60 {
            clock = Clock { second: 59, micros: 999_999, is_leap: true, ..clock };
        }
        Some(clock)
    }

    /// Reads the digits of a fraction, one at least, as microseconds. Those behind are dropped.
    fn fraction(&mut self) -> Option<u32> {
        let mut micros = self.digit()?.checked_mul(100_000)?;
        let mut place: u32 = 10_000;
        while let Some(digit) = self.digit() {
            micros = micros.checked_add(digit.checked_mul(place)?)?;
            place /= 10;
        }
        Some(micros)
    }

    /// Reads `Z`, `+02:00`, `+0200` or `+02`, as seconds ahead of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.one_of(b"Zz").is_some() {
            return Some(0);
        }
        let sign = self.one_of(b"+-")?;
        let hours = self.number(2).filter(|hours| *hours < 24)?;
        let has_minutes = self.one_of(b":").is_some() || !self.is_empty();
        let minutes = if has_minutes { self.number(2)? } else { 0 };
        let minutes = Some(minutes).filter(|minutes| *minutes < 60)?;
        let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
        let seconds = i64::from(seconds);
        Some(if sign == b'-' { seconds.checked_neg()? } else { seconds })
    }
}
