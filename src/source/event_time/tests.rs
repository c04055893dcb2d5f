//! Which types are event times, and what their values say.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod random;

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Date64Array, Decimal64Array, Decimal128Array, DictionaryArray,
    Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray, StringArray,
    StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Int8Type, Schema};
use chrono_tz::America::New_York;
use chrono_tz::Asia::Tokyo;
use chrono_tz::Europe::Berlin;

use super::*;
use crate::spec::{Closes, OnExpired, OnNullTime, OnRemoved, SourceOrigin, UpstreamSpec};
use crate::time::Span;
use crate::window::Margins;

use EpochUnit::{Microsecond, Millisecond, Nanosecond, Second};

fn source(event_timezone: Tz, event_time_unit: Option<EpochUnit>) -> SourceSpec {
    SourceSpec {
        table: "t".to_owned(),
        origin: SourceOrigin::Pipeline(UpstreamSpec {
            pipeline: crate::id::PipelineName::new("p").unwrap(),
            output: "o".to_owned(),
        }),
        event_time: Some("at".to_owned()),
        event_timezone,
        event_time_unit,
        closes: Closes::EventTime,
        watermark_delay: Span::ZERO,
        idle_timeout: None,
        max_future: Span::ZERO,
        on_null_time: OnNullTime::Drop,
        allowed_lateness: None,
        on_expired: OnExpired::Drop,
        on_corrupt_file: crate::spec::OnCorruptFile::Fail,
        on_removed: OnRemoved::Keep,
        max_windows_per_file: 1,
        margins: Margins::default(),
        on_missing_column: crate::spec::OnMissingColumn::Fail,
        on_type_change: crate::spec::OnTypeChange::Fail,
        rules: Vec::new(),
        dedup: None,
    }
}

fn find(kind: &DataType, zone: Tz, unit: Option<EpochUnit>) -> Result<TimeColumn> {
    let schema = Arc::new(Schema::new(vec![Field::new("at", kind.clone(), true)]));
    TimeColumn::find(&source(zone, unit), &schema, "file")
}

/// What `values` say in a file of their own.
#[track_caller]
fn read(values: &ArrayRef, zone: Tz, unit: Option<EpochUnit>) -> Vec<Option<i64>> {
    find(values.data_type(), zone, unit).unwrap().micros(values).unwrap()
}

fn plain(values: impl Array + 'static) -> Vec<Option<i64>> {
    read(&(Arc::new(values) as ArrayRef), Tz::UTC, None)
}

fn counted_in(unit: EpochUnit, values: impl Array + 'static) -> Vec<Option<i64>> {
    // The zone of texts and clocks means nothing to a number.
    read(&(Arc::new(values) as ArrayRef), Tokyo, Some(unit))
}

fn text(text: &str, zone: Tz) -> Option<i64> {
    super::text::micros(text, zone)
}

/// The instant that RFC 3339 calls `text`.
#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
fn at(text: &str) -> Option<i64> {
    Some(text.parse::<EventTime>().unwrap().micros())
}

#[test]
fn timestamps_and_dates_are_rounded_down_and_never_wrap() {
    let most = i64::MAX;
    let seconds = TimestampSecondArray::from(vec![Some(1), Some(-1), Some(most), None]);
    assert_eq!(plain(seconds), [Some(1_000_000), Some(-1_000_000), None, None]);
    let year_9999 = 253_402_300_799;
    assert_eq!(plain(TimestampSecondArray::from(vec![year_9999])), [at("9999-12-31T23:59:59Z")]);
    let millis = TimestampMillisecondArray::from(vec![-1, i64::MIN, most]);
    assert_eq!(plain(millis), [Some(-1_000), None, None]);
    let micros = TimestampMicrosecondArray::from(vec![i64::MIN, -1, most]);
    assert_eq!(plain(micros), [Some(i64::MIN), Some(-1), Some(most)]);
    let nanos = TimestampNanosecondArray::from(vec![1_999, -1, -1_000, i64::MIN, most]);
    let (first, last) = (at("1677-09-21T00:12:43.145224Z"), at("2262-04-11T23:47:16.854775Z"));
    assert_eq!(plain(nanos), [Some(1), Some(-1), Some(-1), first, last]);
    let days = Date32Array::from(vec![-1, 0, i32::MAX, i32::MIN]);
    let day = 86_400_000_000;
    let ends = [i32::MAX, i32::MIN].map(|days| i64::from(days).checked_mul(day));
    assert_eq!(plain(days), [Some(-day), Some(0), ends[0], ends[1]]);
    assert_eq!(plain(Date64Array::from(vec![86_400_001, i64::MIN])), [Some(86_400_001_000), None]);
}

#[test]
fn clocks_are_read_in_their_zone_and_instants_are_not() {
    let readings = |values: ArrayRef| read(&values, Berlin, None);
    assert_eq!(readings(Arc::new(Date32Array::from(vec![0]))), [Some(-3_600_000_000)]);
    let noon = TimestampSecondArray::from(vec![43_200]);
    assert_eq!(readings(Arc::new(noon.clone())), [at("1970-01-01T11:00:00Z")]);
    assert_eq!(readings(Arc::new(noon.with_timezone("Asia/Tokyo"))), [at("1970-01-01T12:00:00Z")]);
    // 02:30 of a day without one, and of a day with two.
    let odd = TimestampSecondArray::from(vec![1_774_751_400, 1_792_895_400]);
    let odd = readings(Arc::new(odd));
    assert_eq!(odd, [at("2026-03-29T01:00:00Z"), at("2026-10-25T00:30:00Z")]);
    let texts = StringArray::from(vec!["2026-03-29 02:30", "2026-10-25T02:30"]);
    assert_eq!(readings(Arc::new(texts)), odd);
}

#[test]
fn no_reading_of_a_clock_is_too_far_away_for_its_zone() {
    let ends = [chrono::DateTime::<chrono::Utc>::MIN_UTC, chrono::DateTime::<chrono::Utc>::MAX_UTC];
    let ends = ends.map(|end| end.timestamp_micros());
    let mut far = vec![i64::MIN, i64::MAX];
    for hours in -30..=30 {
        far.extend(ends.map(|end| end + hours * 3_600_000_000));
    }
    for zone in [Tokyo, New_York, Berlin] {
        let values: ArrayRef = Arc::new(TimestampMicrosecondArray::from(far.clone()));
        let read = read(&values, zone, None);
        let usable = read.iter().flatten().filter(|at| EventTime::from_micros(**at).is_usable());
        assert_eq!((read.len(), usable.count()), (far.len(), 0));
    }
}

#[test]
fn whole_numbers_count_what_is_declared() {
    for (unit, micros) in [(Second, -5_000_000), (Millisecond, -5_000), (Microsecond, -5)] {
        assert_eq!(counted_in(unit, Int8Array::from(vec![-5])), [Some(micros)]);
        assert_eq!(counted_in(unit, Int64Array::from(vec![Some(-5), None])), [Some(micros), None]);
    }
    let nanos = Int64Array::from(vec![-1, 0, 999, 1_000, i64::MIN]);
    let first = at("1677-09-21T00:12:43.145224Z");
    assert_eq!(counted_in(Nanosecond, nanos), [Some(-1), Some(0), Some(0), Some(1), first]);
    let far = Int64Array::from(vec![i64::MAX, i64::MIN, 9_223_372_036_855, 9_223_372_036_854]);
    let last = Some(9_223_372_036_854_000_000);
    assert_eq!(counted_in(Second, far), [None, None, None, last]);
    let small = UInt32Array::from(vec![u32::MAX]);
    assert_eq!(counted_in(Second, small), [at("2106-02-07T06:28:15Z")]);
    let large = UInt64Array::from(vec![u64::MAX, 1 << 63, 5]);
    assert_eq!(counted_in(Microsecond, large.clone()), [None, None, Some(5)]);
    let in_range = 18_446_744_073_709_551;
    assert_eq!(
        counted_in(Nanosecond, large),
        [Some(in_range), Some(9_223_372_036_854_775), Some(0)]
    );
}

#[test]
fn floats_are_exact_and_what_is_no_number_is_no_time() {
    let none = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1e300, 9.3e12];
    assert_eq!(counted_in(Second, Float64Array::from(none.to_vec())), [None; 6]);
    let tiny = f64::from_bits(1);
    let near = vec![0.0, -0.0, tiny, -tiny, 1.5, -1.5, -1e-7, 1_767_225_600_f64.next_down()];
    let micros = [0, 0, 0, -1, 1_500_000, -1_500_000, -1, 1_767_225_599_999_999].map(Some);
    assert_eq!(counted_in(Second, Float64Array::from(near)), micros);
    let nanos = Float64Array::from(vec![-0.5, 999.9, 1_000.0, 1e30]);
    assert_eq!(counted_in(Nanosecond, nanos), [Some(-1), Some(0), Some(1), None]);
    let edge = 2_f64.powi(63);
    let edges = Float64Array::from(vec![edge, -edge, edge.next_down()]);
    let last = 9_223_372_036_854_774_784;
    assert_eq!(counted_in(Microsecond, edges), [None, Some(i64::MIN), Some(last)]);
    let small = Float32Array::from(vec![0.25, f32::NAN, f32::INFINITY, f32::MIN]);
    assert_eq!(counted_in(Millisecond, small), [Some(250), None, None, None]);
}

#[test]
fn decimals_are_rounded_down() {
    let of = |scale: i8, digits: &[i128]| {
        let values = Decimal128Array::from(digits.to_vec());
        values.with_precision_and_scale(38, scale).unwrap()
    };
    let seconds = of(9, &[1_000_000_001, -1, i128::from(i64::MAX) * 1_000, 10_i128.pow(37)]);
    assert_eq!(counted_in(Second, seconds), [Some(1_000_000), Some(-1), Some(i64::MAX), None]);
    assert_eq!(counted_in(Second, of(0, &[-2, 10_i128.pow(37)])), [Some(-2_000_000), None]);
    assert_eq!(counted_in(Nanosecond, of(0, &[-1, 1_999])), [Some(-1), Some(1)]);
    // 38 places, and three more for the unit: less than one, whatever it is.
    let tiny = of(38, &[10_i128.pow(38) - 1, 0, -1]);
    assert_eq!(counted_in(Nanosecond, tiny), [Some(0), Some(0), Some(-1)]);
    let short = Decimal64Array::from(vec![1_767_225_600_123]);
    let short = short.with_precision_and_scale(18, 3).unwrap();
    assert_eq!(counted_in(Second, short), [at("2026-01-01T00:00:00.123Z")]);
}

#[test]
fn texts_of_each_form_are_read() {
    for (said, instant) in [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("2026-01-31t10:00:00z", "2026-01-31T10:00:00Z"),
        ("2026-01-31 10:00:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31T10:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31T10:00+02:00", "2026-01-31T08:00:00Z"),
        ("2026-01-31T10:00:00+0200", "2026-01-31T08:00:00Z"),
        ("2026-01-31 10:00:00-08", "2026-01-31T18:00:00Z"),
        ("2026-01-31T10:00:00-00:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31T00:00:00+23:59", "2026-01-30T00:01:00Z"),
        ("2026-01-31T10:00:00,123456", "2026-01-31T10:00:00.123456Z"),
        ("2026-01-31T10:00:00.1Z", "2026-01-31T10:00:00.1Z"),
        ("2026-01-31T10:00:00.1234569999999999999+02:00", "2026-01-31T08:00:00.123456Z"),
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        ("0000-01-01", "0000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("1676-01-01T00:00:00Z", "1676-01-01T00:00:00Z"),
        ("2263-01-01T00:00:00Z", "2263-01-01T00:00:00Z"),
    ] {
        assert_eq!(text(said, Tz::UTC), at(instant), "{said}");
    }
    assert_eq!(text("2026-01-31", Tokyo), at("2026-01-30T15:00:00Z"));
    assert_eq!(text("2026-01-31T10:00:00.5", Tokyo), at("2026-01-31T01:00:00.5Z"));
    assert_eq!(text("2026-01-31T10:00:00.5Z", Tokyo), at("2026-01-31T10:00:00.5Z"));
}

#[test]
fn what_is_no_time_is_not_read_as_a_near_one() {
    for said in [
        "",
        " ",
        "now",
        "1767225600",
        "20260131",
        "20260131T100000Z",
        "2026",
        "2026-01",
        "2026-1-31",
        "2026-01-32",
        "2026-02-29",
        "2026-00-01",
        "2026-13-01",
        "26-01-31",
        "+2026-01-31",
        "-2026-01-31",
        "12026-01-31",
        "2026/01/31",
        "31-01-2026",
        "2026-W05-6",
        "2026-031",
        "2026-01-31T",
        "2026-01-31T10",
        "2026-01-31T1:00",
        "2026-01-31T10:0",
        "2026-01-31T24:00:00Z",
        "2026-01-31T10:60:00Z",
        "2026-01-31T10:00:61Z",
        "2026-01-31T10:00:00.Z",
        "2026-01-31T10:00:00.",
        "2026-01-31T10:00:00+2",
        "2026-01-31T10:00:00+24:00",
        "2026-01-31T10:00:00+02:60",
        "2026-01-31T10:00:00+02:",
        "2026-01-31T10:00:00+02:0",
        "2026-01-31T10:00:00 +02:00",
        "2026-01-31T10:00:00ZZ",
        "2026-01-31T10:00:00 UTC",
        "2026-01-31T10:00:00[Europe/Berlin]",
        "2026-01-31Z",
        " 2026-01-31",
        "2026-01-31 ",
        "2026-01-31  10:00:00",
        "2026-01-31T10:00:00Z\n",
        "２０２６-01-31",
        "2026\u{2212}01\u{2212}31",
        "2026-01-31T10:00:00\0",
    ] {
        assert_eq!(text(said, Tz::UTC), None, "{said}");
    }
}

#[test]
fn a_leap_second_stays_in_its_day() {
    let last = at("2016-12-31T23:59:59.999999Z");
    assert_eq!(text("2016-12-31T23:59:60Z", Tz::UTC), last);
    assert_eq!(text("2016-12-31T23:59:60.75Z", Tz::UTC), last);
    assert_eq!(text("2017-01-01T05:29:60+05:30", Tz::UTC), last);
    assert_eq!(text("2017-01-01T08:59:60", Tokyo), last);
    assert_eq!(text("2015-06-30T23:59:60Z", Tz::UTC), at("2015-06-30T23:59:59.999999Z"));
    for never in ["2016-12-31T22:59:60Z", "2016-12-30T23:59:60Z", "2016-12-31T23:59:60+01:00"] {
        assert_eq!(text(never, Tz::UTC), None, "{never}");
    }
    assert_eq!(text("2016-12-31T23:59:60", Tokyo), None);
}

#[test]
fn values_that_are_stored_once_each_are_looked_up() {
    let texts = vec![Some("2026-01-31"), None, Some("no time"), Some("2026-01-31")];
    let day = at("2026-01-31T00:00:00Z");
    let expected = [day, None, None, day];
    assert_eq!(plain(texts.iter().copied().collect::<DictionaryArray<Int8Type>>()), expected);
    assert_eq!(plain(LargeStringArray::from(texts.clone())), expected);
    assert_eq!(plain(StringViewArray::from(texts)), expected);
    let keys = Int8Array::from(vec![Some(1), None, Some(0)]);
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(7), None]));
    let times = DictionaryArray::new(keys, times);
    assert_eq!(plain(times), [None, None, Some(7_000_000)]);
    let keys = Int8Array::from(vec![Some(0)]);
    let numbers = DictionaryArray::new(keys, Arc::new(Int32Array::from(vec![7])));
    assert_eq!(counted_in(Second, numbers), [Some(7_000_000)]);
    let nothing = Int8Array::from(vec![None, None]);
    let nothing = DictionaryArray::new(nothing, Arc::new(StringArray::from(vec![""; 0])));
    assert_eq!(plain(nothing), [None, None]);
}

#[test]
fn a_column_has_a_unit_if_and_only_if_it_is_one_of_numbers() {
    use arrow::datatypes::TimeUnit;
    let texts = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    for kind in [
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())),
        DataType::Date32,
        DataType::Date64,
        DataType::Utf8,
        DataType::Utf8View,
        texts,
    ] {
        find(&kind, Tz::UTC, None).unwrap();
        let why = find(&kind, Tz::UTC, Some(Second)).unwrap_err().to_string();
        assert!(why.contains("needs no `event_time_unit`"), "{why}");
    }
    let numbers = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Int64));
    for kind in [
        DataType::Int8,
        DataType::Int64,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(20, 3),
        DataType::Decimal32(9, 0),
        numbers,
    ] {
        find(&kind, Tz::UTC, Some(Nanosecond)).unwrap();
        let why = find(&kind, Tz::UTC, None).unwrap_err();
        assert_eq!(why.code(), Code::BadEventTimeType);
        assert!(why.to_string().contains("what it counts is not known"), "{why}");
    }
    let boolean = BooleanArray::from(vec![true]);
    for kind in [
        boolean.data_type().clone(),
        DataType::Binary,
        DataType::Null,
        DataType::Float16,
        DataType::Decimal256(40, 0),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Duration(TimeUnit::Second),
        DataType::new_list(DataType::Int64, true),
    ] {
        for unit in [None, Some(Second)] {
            let why = find(&kind, Tz::UTC, unit).unwrap_err().to_string();
            assert!(why.contains("not a time"), "{why}");
        }
    }
}
