//! Event times of a column, whatever its type.

mod bounds;
mod judge;
mod number;
#[cfg(test)]
mod tests;
mod text;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;

pub use judge::{Judge, Verdict};

use crate::error::{Code, Error, Result};
use crate::spec::{EpochUnit, SourceSpec};
use crate::time::EventTime;

/// The event-time column of one file.
#[derive(Clone, Debug)]
pub struct TimeColumn {
    /// Its place among the file's root columns.
    pub index: usize,
    meaning: Meaning,
}

/// What the values of a column say.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// Instants.
    Instants,
    /// Readings of a clock in this zone.
    Readings(Tz),
    /// So many of this unit since the Unix epoch.
    Numbers(EpochUnit),
    /// Instants as text, or readings of a clock in this zone.
    Texts(Tz),
}

impl TimeColumn {
    /// The event-time column of `source` in a file of this `schema`, called `file` in messages.
    ///
    /// # Errors
    /// If there is no such column, if its type is not a time, or if it is one of numbers and their
    /// unit is not known.
    pub fn find(source: &SourceSpec, schema: &SchemaRef, file: &str) -> Result<Self> {
        let name = source.event_time.as_deref().unwrap_or_default();
        let Some((index, field)) = schema.column_with_name(name) else {
            return Err(missing(source, name, schema, file));
        };
        let is_number = number::is_number(stored(field.data_type()));
        let meaning = match (naive_meaning(source, stored(field.data_type())), is_number) {
            (Some(meaning), _) if source.event_time_unit.is_none() => Ok(meaning),
            (Some(_), _) => Err(Refusal::UnitOfItsOwn),
            (None, true) => source.event_time_unit.map(Meaning::Numbers).ok_or(Refusal::NoUnit),
            (None, false) => Err(Refusal::NoTime),
        };
        let meaning = meaning.map_err(|why| why.error(source, name, field.data_type(), file))?;
        Ok(Self { index, meaning })
    }

    /// Microseconds since the epoch of each row, rounded down; `None` where it is null, cannot be
    /// read as a time, or lies beyond the type's range.
    ///
    /// # Errors
    /// If `values` is not of a type that [`Self::find`] accepts.
    pub fn micros(&self, values: &ArrayRef) -> Result<Vec<Option<i64>>> {
        if let Some(dictionary) = values.as_any_dictionary_opt() {
            let of_values = self.micros(dictionary.values())?;
            // There is no key to look up where there is no value, and the library panics over it.
            if of_values.is_empty() {
                return Ok(vec![None; values.len()]);
            }
            let keys = dictionary.normalized_keys().into_iter().enumerate();
            let at = |(row, key): (usize, usize)| {
                let is_there = dictionary.keys().is_valid(row);
                of_values.get(key).copied().flatten().filter(|_| is_there)
            };
            return Ok(keys.map(at).collect());
        }
        let micros = match self.meaning {
            Meaning::Instants => counted(values),
            Meaning::Readings(zone) => counted(values).map(|readings| {
                let reading = |at| in_zone(zone, DateTime::from_timestamp_micros(at)?.naive_utc());
                readings.into_iter().map(|at| at.and_then(reading)).collect()
            }),
            Meaning::Numbers(unit) => number::micros(values, unit),
            Meaning::Texts(zone) => texts(values, zone),
        };
        micros.ok_or_else(|| {
            let what = values.data_type();
            Error::new(Code::Bug, format!("{what} was taken for an event time"))
        })
    }
}

/// The type of the values themselves, which may be stored once each.
fn stored(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// What a column of type `kind` says by itself.
fn naive_meaning(source: &SourceSpec, kind: &DataType) -> Option<Meaning> {
    match kind {
        DataType::Timestamp(_, Some(_)) => Some(Meaning::Instants),
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => {
            Some(match source.event_timezone {
                Tz::UTC => Meaning::Instants,
                zone => Meaning::Readings(zone),
            })
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Some(Meaning::Texts(source.event_timezone))
        }
        _ => None,
    }
}

/// Timestamps and dates in microseconds; `None` if `values` are something else.
fn counted(values: &ArrayRef) -> Option<Vec<Option<i64>>> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let of = number::unit_micros;
    Some(match values.data_type() {
        DataType::Timestamp(Second, _) => {
            convert::<TimestampSecondType>(values, |at| of(EpochUnit::Second, at))
        }
        DataType::Timestamp(Millisecond, _) => {
            convert::<TimestampMillisecondType>(values, |at| of(EpochUnit::Millisecond, at))
        }
        DataType::Timestamp(Microsecond, _) => convert::<TimestampMicrosecondType>(values, Some),
        DataType::Timestamp(Nanosecond, _) => {
            convert::<TimestampNanosecondType>(values, |at| of(EpochUnit::Nanosecond, at))
        }
        DataType::Date32 => {
            convert::<Date32Type>(values, |day| i64::from(day).checked_mul(86_400_000_000))
        }
        DataType::Date64 => convert::<Date64Type>(values, |at| of(EpochUnit::Millisecond, at)),
        _ => return None,
    })
}

/// Texts in microseconds; `None` if `values` are something else.
fn texts(values: &ArrayRef, zone: Tz) -> Option<Vec<Option<i64>>> {
    let read = |text: Option<&str>| text::micros(text?, zone);
    Some(match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().iter().map(read).collect(),
        DataType::LargeUtf8 => values.as_string::<i64>().iter().map(read).collect(),
        DataType::Utf8View => values.as_string_view().iter().map(read).collect(),
        _ => return None,
    })
}

fn convert<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    to_micros: impl Fn(T::Native) -> Option<i64>,
) -> Vec<Option<i64>> {
    let values: &PrimitiveArray<T> = values.as_primitive();
    values.iter().map(|value| value.and_then(&to_micros)).collect()
}

/// The instant at which a clock in `zone` reads `local`.
fn in_zone(zone: Tz, local: NaiveDateTime) -> Option<i64> {
    match zone {
        Tz::UTC => Some(local.and_utc().timestamp_micros()),
        zone => EventTime::from_local(zone, local).map(EventTime::micros),
    }
}

/// Why a column is no event time.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    NoTime,
    NoUnit,
    UnitOfItsOwn,
}

impl Refusal {
    fn error(self, source: &SourceSpec, name: &str, kind: &DataType, file: &str) -> Error {
        let error = |what: &str| {
            let text = format!("event-time column `{name}` of {file} has type {kind}, {what}");
            Error::new(Code::BadEventTimeType, text)
        };
        let table = &source.table;
        match self {
            Self::NoTime => error("not a time")
                .note(
                    "timestamps of every unit, with or without a zone, dates, ISO 8601 texts, \
                       and numbers of up to 38 digits with an `event_time_unit` are read",
                )
                .hint(format!(
                    "name another column as `event_time` of source {table}, or write it as a \
                     timestamp"
                )),
            Self::NoUnit => error("and what it counts is not known")
                .note("seconds taken for milliseconds would lie in 1970")
                .hint(format!(
                    "set `event_time_unit` of source {table} to \"s\", \"ms\", \"us\" or \"ns\", \
                     counted since 1970 in UTC"
                )),
            Self::UnitOfItsOwn => error("which needs no `event_time_unit`")
                .note("its own type says what its values are: a second word on it could differ")
                .hint(format!("remove `event_time_unit` of source {table}"))
                .hint("a source has numbers as event times in all of its files, or in none"),
        }
    }
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
