//! Random instants in each representation, compared with what chrono and decimals say.

use chrono::{DateTime, Datelike, FixedOffset, SecondsFormat, Utc};
use proptest::prelude::*;

use super::*;

/// Instants of the years -9999 to 9999, to the nanosecond, half of them around 1970.
fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    let seconds = prop_oneof![-377_705_116_800..253_402_300_800_i64, -3_i64..3];
    let nanos = prop_oneof![0_u32..1_000_000_000, Just(0), Just(999_999_999)];
    (seconds, nanos).prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

fn any_zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(vec![Tz::UTC, Berlin, New_York, Tokyo, chrono_tz::Australia::Lord_Howe])
}

fn unit() -> impl Strategy<Value = EpochUnit> {
    prop::sample::select(vec![Second, Millisecond, Microsecond, Nanosecond])
}

/// `at` in `unit` since 1970, rounded down; `None` beyond the type's range.
fn count(at: DateTime<Utc>, unit: EpochUnit) -> Option<i64> {
    match unit {
        Second => Some(at.timestamp()),
        Millisecond => Some(at.timestamp_millis()),
        Microsecond => Some(at.timestamp_micros()),
        Nanosecond => at.timestamp_nanos_opt(),
    }
}

/// `count` of `unit`, as chrono reads it.
fn instant(count: i64, unit: EpochUnit) -> Option<i64> {
    let at = match unit {
        Second => DateTime::from_timestamp(count, 0)?,
        Millisecond => DateTime::from_timestamp_millis(count)?,
        Microsecond => DateTime::from_timestamp_micros(count)?,
        Nanosecond => DateTime::from_timestamp_nanos(count),
    };
    Some(at.timestamp_micros())
}

/// The whole number at or below `count` times ten to the `power`, from its digits.
fn digits_below(count: f64, power: usize) -> i128 {
    // A fraction of 1,074 places is all of it.
    let text = format!("{:.1074}", count.abs());
    let (whole, fraction) = text.split_once('.').unwrap();
    let (kept, dropped) = fraction.split_at(power);
    let magnitude: i128 = format!("{whole}{kept}").parse().unwrap();
    let is_more = dropped.bytes().any(|digit| digit != b'0');
    if count.is_sign_negative() { -magnitude - i128::from(is_more) } else { magnitude }
}

fn timestamps(unit: EpochUnit, count: i64) -> ArrayRef {
    match unit {
        Second => Arc::new(TimestampSecondArray::from(vec![count])),
        Millisecond => Arc::new(TimestampMillisecondArray::from(vec![count])),
        Microsecond => Arc::new(TimestampMicrosecondArray::from(vec![count])),
        Nanosecond => Arc::new(TimestampNanosecondArray::from(vec![count])),
    }
}

proptest! {
    #[test]
    fn timestamps_and_whole_numbers_are_what_chrono_reads(at in any_instant(), unit in unit()) {
        let Some(count) = count(at, unit) else { return Ok(()) };
        let expected = [instant(count, unit)];
        prop_assert_eq!(&read(&timestamps(unit, count), Tz::UTC, None), &expected);
        prop_assert_eq!(&counted_in(unit, Int64Array::from(vec![count])), &expected);
        if let Ok(count) = u64::try_from(count) {
            prop_assert_eq!(&counted_in(unit, UInt64Array::from(vec![count])), &expected);
        }
        let decimal = Decimal128Array::from(vec![i128::from(count) * 1_000 + 999]);
        let decimal = decimal.with_precision_and_scale(38, 3).unwrap();
        let above = counted_in(unit, decimal)[0].unwrap() - expected[0].unwrap();
        let dropped = match unit { Second => 999_000, Millisecond => 999, _ => 0 };
        prop_assert_eq!(above, dropped);
        let day = i32::try_from(at.timestamp().div_euclid(86_400)).unwrap();
        let midnight = at.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_micros();
        prop_assert_eq!(plain(Date32Array::from(vec![day])), [Some(midnight)]);
    }

    #[test]
    fn floats_are_what_their_digits_say(bits in any::<u64>(), near in -1e13..1e13, unit in unit()) {
        for count in [f64::from_bits(bits), near] {
            let micros = counted_in(unit, Float64Array::from(vec![count]))[0];
            if count.is_nan() || count.abs() > 1e25 {
                prop_assert_eq!(micros, None);
                continue;
            }
            let expected = match unit {
                Second => digits_below(count, 6),
                Millisecond => digits_below(count, 3),
                Microsecond => digits_below(count, 0),
                Nanosecond => digits_below(count, 0).div_euclid(1_000),
            };
            prop_assert_eq!(micros, i64::try_from(expected).ok(), "{} {:?}", count, unit);
        }
    }

    #[test]
    fn texts_with_an_offset_are_what_chrono_reads(
        at in any_instant(), minutes in -1_439..1_440_i32, zone in any_zone(), form in 0..4,
    ) {
        let local = at.with_timezone(&FixedOffset::east_opt(minutes * 60).unwrap());
        let said = match form {
            0 => local.to_rfc3339_opts(SecondsFormat::Nanos, true),
            1 => local.to_rfc3339_opts(SecondsFormat::AutoSi, false),
            2 => local.format("%Y-%m-%d %H:%M:%S,%f%z").to_string(),
            _ => at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
        };
        let year = if form == 3 { at.year() } else { local.year() };
        // A year of four digits: no other can be used.
        let expected = (0..=9999).contains(&year).then(|| at.timestamp_micros());
        prop_assert_eq!(text(&said, zone), expected, "{}", said);
    }

    #[test]
    fn texts_without_an_offset_are_readings_in_their_zone(at in any_instant(), zone in any_zone()) {
        let local = at.with_timezone(&zone).naive_local();
        prop_assume!((0..=9999).contains(&local.year()));
        let said = local.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
        let read = DateTime::from_timestamp_micros(text(&said, zone).unwrap()).unwrap();
        // Of an hour that is repeated, the first.
        prop_assert!(read <= at);
        let again = read.with_timezone(&zone).naive_local();
        prop_assert_eq!(again.and_utc().timestamp_micros(), local.and_utc().timestamp_micros());
        let reading: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![local.and_utc().timestamp_micros()]));
        prop_assert_eq!(super::read(&reading, zone, None), [Some(read.timestamp_micros())]);
    }

    #[test]
    fn whatever_chrono_reads_is_read_so_or_not_at_all(
        at in any_instant(), place in 0..40_usize, length in 0..3_usize,
        other in "[0-9TZtz:.,+ -]{0,2}",
    ) {
        let mut said = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let place = place.min(said.len());
        said.replace_range(place..(place + length).min(said.len()), &other);
        if let Ok(chrono) = DateTime::parse_from_rfc3339(&said)
            && !said.contains(":60")
        {
            prop_assert_eq!(text(&said, Tz::UTC), Some(chrono.timestamp_micros()), "{}", said);
        }
    }
}
