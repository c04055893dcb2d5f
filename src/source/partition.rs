//! Columns that come from `key=value` folders.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use chrono::NaiveDate;
use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::spec::{PartitionType, SourceSpec};

/// A column whose value is the same in all rows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionColumn {
    /// Its name: what stands before `=`.
    pub name: String,
    /// Its type: declared, or the narrowest that fits the values of all files.
    pub kind: PartitionType,
}

/// The partition columns of a source that lists `keys`, in the order of the folders.
#[must_use]
pub fn partition_columns<'a>(
    source: &SourceSpec,
    keys: impl Iterator<Item = &'a str>,
) -> Vec<PartitionColumn> {
    let folders = source.folder().filter(|folder| folder.hive_partitioning);
    let Some(folder) = folders else { return Vec::new() };
    let mut order: Vec<String> = Vec::new();
    let mut kinds: BTreeMap<String, PartitionType> = BTreeMap::new();
    for key in keys {
        for (name, value) in pairs(key) {
            let kind = kind_of(&value);
            match kinds.get_mut(&*name) {
                None => {
                    order.push(name.to_string());
                    kinds.insert(name.into_owned(), kind);
                }
                Some(known) if *known != kind => *known = PartitionType::String,
                Some(_) => {}
            }
        }
    }
    let declared = |name: &str| {
        folder.partition_columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind)
    };
    let column = |name: String| {
        let inferred = kinds.get(&name).copied().unwrap_or(PartitionType::String);
        PartitionColumn { kind: declared(&name).unwrap_or(inferred), name }
    };
    order.into_iter().map(column).collect()
}

/// The `name=value` folders of `key`. Writers put `%2F` for what may not stand in a folder's name.
fn pairs(key: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let folders = key.rsplit_once('/').map_or("", |(folders, _)| folders);
    let pairs = folders.split('/').filter_map(|folder| folder.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value)))
}

/// `text` with each `%2F` as the byte it stands for; as it is written where that is no UTF-8. A `%`
/// without two hex digits stands for itself.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = match after {
            [high, low, ..] if *first == b'%' => hex(*high, *low),
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let value = digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?;
    u8::try_from(value).ok()
}

fn kind_of(value: &str) -> PartitionType {
    // A number with a leading zero is a name: `hour=07` must not become `7`.
    let is_number = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    if is_number {
        PartitionType::Int
    } else if NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok() {
        PartitionType::Date
    } else {
        PartitionType::String
    }
}

impl PartitionColumn {
    /// The column of the table.
    #[must_use]
    pub fn field(&self) -> Field {
        let kind = match self.kind {
            PartitionType::Date => DataType::Date32,
            PartitionType::Int => DataType::Int64,
            PartitionType::String => DataType::Utf8,
        };
        Field::new(&self.name, kind, true)
    }

    /// Its value in the file `key`, `rows` times; null where the key has no such folder.
    ///
    /// # Errors
    /// If the value is not of the column's type.
    pub fn values(&self, key: &str, rows: usize) -> Result<ArrayRef> {
        let value = pairs(key).find(|(name, _)| *name == self.name).map(|(_, value)| value);
        let value = value.filter(|value| *value != "__HIVE_DEFAULT_PARTITION__");
        let value = value.as_deref();
        let wrong = |what: &str| {
            Error::new(
                Code::SchemaMismatch,
                format!(
                    "folder `{}={}` of {key} is not {what}",
                    self.name,
                    value.unwrap_or_default()
                ),
            )
            .hint(format!(
                "declare it as text: partition_columns = {{ {} = \"string\" }}",
                self.name
            ))
        };
        Ok(match self.kind {
            PartitionType::String => Arc::new(StringArray::from(vec![value; rows])),
            PartitionType::Int => {
                let number = value.map(|value| value.parse::<i64>().map_err(|_| wrong("a number")));
                Arc::new(Int64Array::from(vec![number.transpose()?; rows]))
            }
            PartitionType::Date => {
                let day = value.map(|value| {
                    NaiveDate::parse_from_str(value, "%Y-%m-%d")
                        .map(|date| date.signed_duration_since(NaiveDate::default()).num_days())
                        .ok()
                        .and_then(|days| i32::try_from(days).ok())
                        .ok_or_else(|| wrong("a date"))
                });
                Arc::new(Date32Array::from(vec![day.transpose()?; rows]))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_the_narrowest_that_fit_every_file() {
        assert_eq!(kind_of("2026-01-31"), PartitionType::Date);
        assert_eq!(kind_of("17"), PartitionType::Int);
        assert_eq!(kind_of("07"), PartitionType::String);
        assert_eq!(kind_of("eu"), PartitionType::String);
    }

    #[test]
    fn what_may_not_stand_in_a_folders_name_is_decoded() {
        for (written, meant) in [
            ("a%2Fb", "a/b"),
            ("a%2fb%3D%25", "a/b=%"),
            ("%C3%BC", "ü"),
            ("a+b", "a+b"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%", "%zz%"),
            ("%%41", "%A"),
            ("%ff", "%ff"),
            ("", ""),
        ] {
            assert_eq!(decoded(written), meant, "{written}");
        }
        let names: Vec<_> = pairs("a%20b=1%3A2/c=d/f%20=.parquet").collect();
        assert_eq!(names, [("a b".into(), "1:2".into()), ("c".into(), "d".into())]);
        assert_eq!(kind_of(&decoded("2026%2D01-31")), PartitionType::Date);
    }

    #[test]
    fn values_come_from_the_folders_of_the_key() {
        let column = PartitionColumn { name: "dt".into(), kind: PartitionType::Date };
        let values = column.values("dt=1970-01-03/x=1/f.parquet", 2).unwrap();
        assert_eq!(values.as_ref(), &Date32Array::from(vec![2, 2]) as &dyn arrow::array::Array);
        assert!(column.values("dt=soon/f.parquet", 1).is_err());
        assert_eq!(column.values("f.parquet", 1).unwrap().null_count(), 1);
    }
}
