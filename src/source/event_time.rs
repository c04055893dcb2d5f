//! Event times of a column, whatever its type, and which window each row belongs to.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use chrono::DateTime;
use chrono_tz::Tz;

use crate::error::{Code, Error, Result};
use crate::spec::SourceSpec;
use crate::time::{EventTime, ProcessingTime, Span};

/// The event-time column of one file.
#[derive(Clone, Debug)]
pub struct TimeColumn {
    /// Its place among the file's root columns.
    pub index: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Instants.
    Utc,
    /// Readings of a clock in this zone.
    Local(Tz),
}

impl TimeColumn {
    /// The event-time column of `source` in a file of this `schema`, called `file` in messages.
    ///
    /// # Errors
    /// If there is no such column, or if its type is not a time.
    pub fn find(source: &SourceSpec, schema: &SchemaRef, file: &str) -> Result<Self> {
        let name = source.event_time.as_deref().unwrap_or_default();
        let Some((index, field)) = schema.column_with_name(name) else {
            return Err(missing(source, name, schema, file));
        };
        let kind = match field.data_type() {
            DataType::Timestamp(_, Some(_)) => Kind::Utc,
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => {
                match source.event_timezone {
                    Tz::UTC => Kind::Utc,
                    zone => Kind::Local(zone),
                }
            }
            other => {
                return Err(Error::new(
                    Code::BadEventTimeType,
                    format!("event-time column `{name}` of {file} has type {other}, not a time"),
                )
                .note("timestamps of every unit, with or without a zone, and dates are read")
                .hint(format!(
                    "name another column as `event_time` of source {}, or write it as a timestamp",
                    source.table
                )));
            }
        };
        Ok(Self { index, kind })
    }

    /// Microseconds since the epoch of each row; `None` where it is null or beyond the type's
    /// range.
    ///
    /// # Errors
    /// If `values` is not of a type that [`Self::find`] accepts.
    pub fn micros(&self, values: &ArrayRef) -> Result<Vec<Option<i64>>> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        let micros = match values.data_type() {
            DataType::Timestamp(Second, _) => {
                convert::<TimestampSecondType>(values, |at| at.checked_mul(1_000_000))
            }
            DataType::Timestamp(Millisecond, _) => {
                convert::<TimestampMillisecondType>(values, |at| at.checked_mul(1_000))
            }
            DataType::Timestamp(Microsecond, _) => {
                convert::<TimestampMicrosecondType>(values, Some)
            }
            DataType::Timestamp(Nanosecond, _) => {
                convert::<TimestampNanosecondType>(values, |at| Some(at.div_euclid(1_000)))
            }
            DataType::Date32 => {
                convert::<Date32Type>(values, |day| i64::from(day).checked_mul(86_400_000_000))
            }
            DataType::Date64 => convert::<Date64Type>(values, |at| at.checked_mul(1_000)),
            other => {
                return Err(Error::new(Code::Bug, format!("{other} was taken for an event time")));
            }
        };
        Ok(match self.kind {
            Kind::Utc => micros,
            Kind::Local(zone) => micros.into_iter().map(|at| in_zone(zone, at?)).collect(),
        })
    }
}

fn convert<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    to_micros: impl Fn(T::Native) -> Option<i64>,
) -> Vec<Option<i64>> {
    let values: &PrimitiveArray<T> = values.as_primitive();
    values.iter().map(|value| value.and_then(&to_micros)).collect()
}

/// The instant at which a clock in `zone` reads `micros` after its own 1970.
fn in_zone(zone: Tz, micros: i64) -> Option<i64> {
    let local = DateTime::from_timestamp_micros(micros)?.naive_utc();
    EventTime::from_local(zone, local).map(EventTime::micros)
}

fn missing(source: &SourceSpec, name: &str, schema: &SchemaRef, file: &str) -> Error {
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let error = Error::new(Code::NoEventTime, format!("{file} has no event-time column `{name}`"))
        .note(format!("its columns are: {}", columns.join(", ")));
    let nearest = columns
        .iter()
        .map(|column| (strsim::jaro_winkler(column, name), column))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, column)) if likeness > 0.8 => {
            error.hint(format!("a column with a similar name exists: `{column}`"))
        }
        _ => error.hint(format!(
            "set `event_time` of source {} to the column that holds the time of the event",
            source.table
        )),
    }
}

/// Says of each row whether its event time can be used.
///
/// The same rule holds at admission and whenever the file is read again: it depends on the file
/// alone, not on the time of the run.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    latest: EventTime,
}

/// What a row's event time is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It names the row's home window.
    Usable(EventTime),
    /// There is none, or none that a row may carry.
    NoTime,
    /// It is further ahead of the file's arrival than allowed.
    Future,
}

impl Judge {
    /// The judge of a file that arrived at `arrived_at`.
    #[must_use]
    pub fn new(arrived_at: ProcessingTime, max_future: Span) -> Self {
        Self { latest: arrived_at.latest_event(max_future) }
    }

    /// The verdict on a row whose event time is `micros`.
    #[must_use]
    pub fn verdict(self, micros: Option<i64>) -> Verdict {
        match micros.map(EventTime::from_micros) {
            Some(at) if at.is_usable() && at <= self.latest => Verdict::Usable(at),
            Some(at) if at.is_usable() => Verdict::Future,
            _ => Verdict::NoTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, TimestampNanosecondArray, TimestampSecondArray};

    use super::*;

    fn micros(values: &ArrayRef, zone: Tz) -> Vec<Option<i64>> {
        let kind = if zone == Tz::UTC { Kind::Utc } else { Kind::Local(zone) };
        TimeColumn { index: 0, kind }.micros(values).unwrap()
    }

    #[test]
    fn units_are_converted_downwards_and_never_wrap() {
        let nanos = TimestampNanosecondArray::from(vec![Some(1_999), Some(-1), None]);
        assert_eq!(micros(&(Arc::new(nanos) as _), Tz::UTC), [Some(1), Some(-1), None]);
        let seconds = TimestampSecondArray::from(vec![1, i64::MAX]);
        assert_eq!(micros(&(Arc::new(seconds) as _), Tz::UTC), [Some(1_000_000), None]);
    }

    #[test]
    fn naive_values_are_read_in_their_zone() {
        let days = Date32Array::from(vec![0]);
        let berlin = chrono_tz::Europe::Berlin;
        assert_eq!(micros(&(Arc::new(days) as _), berlin), [Some(-3_600_000_000)]);
    }

    #[test]
    fn a_row_far_ahead_of_its_file_is_no_event() {
        let judge = Judge::new(ProcessingTime::from_micros(0), Span::from_seconds(1));
        let at = |micros| judge.verdict(Some(micros));
        assert_eq!(at(1_000_000), Verdict::Usable(EventTime::from_micros(1_000_000)));
        assert_eq!(at(1_000_001), Verdict::Future);
        assert_eq!(at(i64::MAX), Verdict::NoTime);
        assert_eq!(judge.verdict(None), Verdict::NoTime);
    }
}
