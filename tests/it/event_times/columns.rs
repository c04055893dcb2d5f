//! The same instants as columns of every type, and as the INT96 of old writers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array,
    LargeStringArray, StringArray, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use chrono::{DateTime, FixedOffset, Utc};
use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// An instant, or none.
pub(super) type At = Option<DateTime<Utc>>;

/// Days from the first of Julius Scaliger's to 1970.
const JULIAN_1970: i64 = 2_440_588;

/// A way to write instants. What a type cannot say is null.
pub(super) struct Form {
    pub(super) name: &'static str,
    /// The keys that its source needs.
    pub(super) keys: &'static str,
    pub(super) column: fn(&[At]) -> ArrayRef,
    /// How many of the instants of the test become rows without a time.
    pub(super) null_time: u64,
}

pub(super) const MILLIS: Form =
    Form { name: "timestamp[ms]", keys: "", column: |at| millis(at), null_time: 3 };

/// Every form but INT96.
pub(super) fn forms() -> Vec<Form> {
    let form = |name, keys, null_time, column| Form { name, keys, column, null_time };
    vec![
        form("timestamp[s]", "", 3, |at| {
            Arc::new(each::<TimestampSecondArray, _>(at, |at| Some(at.timestamp())))
        }),
        MILLIS,
        form("timestamp[us, tz]", "event_timezone = \"Asia/Tokyo\"", 3, |at| {
            let array: TimestampMicrosecondArray = each(at, |at| Some(at.timestamp_micros()));
            Arc::new(array.with_timezone("America/New_York"))
        }),
        form("timestamp[ns]", "", 8, |at| {
            Arc::new(each::<TimestampNanosecondArray, _>(at, |at| at.timestamp_nanos_opt()))
        }),
        form("date32", "", 3, |at| {
            Arc::new(each::<Date32Array, _>(at, |at| {
                i32::try_from(at.timestamp().div_euclid(86_400)).ok()
            }))
        }),
        form("int32 s", "event_time_unit = \"s\"", 10, |at| {
            Arc::new(each::<Int32Array, _>(at, |at| i32::try_from(at.timestamp()).ok()))
        }),
        form("int64 s", "event_time_unit = \"s\"", 3, |at| {
            Arc::new(each::<Int64Array, _>(at, |at| Some(at.timestamp())))
        }),
        form("int64 ms", "event_time_unit = \"ms\"", 3, |at| {
            Arc::new(each::<Int64Array, _>(at, |at| Some(at.timestamp_millis())))
        }),
        form("int64 us", "event_time_unit = \"us\"", 3, |at| {
            Arc::new(each::<Int64Array, _>(at, |at| Some(at.timestamp_micros())))
        }),
        form("int64 ns", "event_time_unit = \"ns\"", 8, |at| {
            Arc::new(each::<Int64Array, _>(at, |at| at.timestamp_nanos_opt()))
        }),
        form("uint64 ms", "event_time_unit = \"ms\"", 7, |at| {
            Arc::new(each::<UInt64Array, _>(at, |at| u64::try_from(at.timestamp_millis()).ok()))
        }),
        form("float64 ms", "event_time_unit = \"ms\"", 3, |at| {
            let count = |at: &At| at.map_or(f64::NAN, fractional);
            Arc::new(Float64Array::from_iter_values(at.iter().map(count)))
        }),
        form("decimal s", "event_time_unit = \"s\"", 3, |at| {
            let nanos = |at: DateTime<Utc>| {
                let nanos = i128::from(at.timestamp_subsec_nanos());
                Some(i128::from(at.timestamp()) * 1_000_000_000 + nanos)
            };
            let array: Decimal128Array = each(at, nanos);
            Arc::new(array.with_precision_and_scale(38, 9).unwrap())
        }),
        form("text", "", 3, |at| Arc::new(said(at).collect::<StringArray>())),
        form("large text", "event_timezone = \"Asia/Tokyo\"", 3, |at| {
            Arc::new(said(at).collect::<LargeStringArray>())
        }),
        form("text view", "", 3, |at| Arc::new(said(at).collect::<StringViewArray>())),
        form("text, once each", "", 3, |at| {
            let said: Vec<_> = said(at).collect();
            let said = said.iter().map(Option::as_deref);
            Arc::new(said.collect::<DictionaryArray<Int32Type>>())
        }),
    ]
}

fn each<A: FromIterator<Option<N>>, N>(at: &[At], of: impl Fn(DateTime<Utc>) -> Option<N>) -> A {
    at.iter().map(|at| at.and_then(&of)).collect()
}

/// Milliseconds and a fraction of one.
#[expect(clippy::cast_precision_loss, reason = "of these years they have fewer than 52 bits")]
fn fractional(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 + 0.25
}

fn millis(at: &[At]) -> ArrayRef {
    Arc::new(each::<TimestampMillisecondArray, _>(at, |at| Some(at.timestamp_millis())))
}

/// As people write them, each with another offset; what is no time as text that is none.
fn said(at: &[At]) -> impl Iterator<Item = Option<String>> {
    at.iter().zip(0..).map(|(at, hour)| {
        let Some(at) = at else { return Some("no time".to_owned()) };
        let local = at.with_timezone(&FixedOffset::east_opt(hour % 4 * 1_800).unwrap());
        Some(local.format("%Y-%m-%dT%H:%M:%S,%9f%:z").to_string())
    })
}

/// `at` as INT96.
pub(super) fn int96_of(at: DateTime<Utc>) -> Int96 {
    let day = at.timestamp().div_euclid(86_400) + JULIAN_1970;
    let nanos =
        at.timestamp().rem_euclid(86_400) * 1_000_000_000 + i64::from(at.timestamp_subsec_nanos());
    int96(day, nanos)
}

/// The nanosecond `nanos` of the Julian day `day`.
pub(super) fn int96(day: i64, nanos: i64) -> Int96 {
    let low = u32::try_from(nanos & 0xffff_ffff).unwrap();
    let high = u32::try_from(nanos >> 32).unwrap();
    let mut value = Int96::new();
    value.set_data(low, high, u32::try_from(day).unwrap());
    value
}

/// The day since 1970, as INT96, whose microseconds wrap around to those of `day`.
pub(super) fn wrapping(day: i64) -> Int96 {
    let days_around = (1_i128 << 64) / 86_400_000_000 + 1;
    int96(day + JULIAN_1970 + i64::try_from(days_around).unwrap(), 0)
}

/// A file with `event_time` and a list `seen`, both of the same INT96, and `key`.
pub(super) fn int96_file(rows: &[(Option<Int96>, String)]) -> Bytes {
    let schema = "message m {
        OPTIONAL INT96 event_time;
        OPTIONAL GROUP seen (LIST) { REPEATED GROUP list { OPTIONAL INT96 element; } }
        REQUIRED BYTE_ARRAY key (UTF8);
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let values: Vec<Int96> = rows.iter().filter_map(|(at, _)| *at).collect();
    let levels = |there: i16| -> Vec<i16> {
        rows.iter().map(|(at, _)| if at.is_some() { there } else { there - 1 }).collect()
    };
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int96Type>().write_batch(&values, Some(&levels(1)), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let starts = vec![0; rows.len()];
    column.typed::<Int96Type>().write_batch(&values, Some(&levels(3)), Some(&starts)).unwrap();
    column.close().unwrap();
    let keys: Vec<ByteArray> = rows.iter().map(|(_, key)| ByteArray::from(key.as_str())).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&keys, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    Bytes::from(writer.into_inner().unwrap())
}
