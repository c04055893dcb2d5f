//! The types of columns as the log writes them: `int64`, `decimal128(12,2)`,
//! `struct("a":int64,"b":list("item":utf8))`.
//!
//! The form is our own: logs outlive the version of any library. What it does not tell, no column
//! of a table has: every child is nullable (but the keys of a map), and nothing is a dictionary.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

/// Types that are a word.
const WORDS: &[(&str, DataType)] = &[
    ("null", DataType::Null),
    ("bool", DataType::Boolean),
    ("int8", DataType::Int8),
    ("int16", DataType::Int16),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("uint8", DataType::UInt8),
    ("uint16", DataType::UInt16),
    ("uint32", DataType::UInt32),
    ("uint64", DataType::UInt64),
    ("float16", DataType::Float16),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("utf8", DataType::Utf8),
    ("large_utf8", DataType::LargeUtf8),
    ("utf8_view", DataType::Utf8View),
    ("binary", DataType::Binary),
    ("large_binary", DataType::LargeBinary),
    ("binary_view", DataType::BinaryView),
    ("date32", DataType::Date32),
    ("date64", DataType::Date64),
    ("time32_s", DataType::Time32(TimeUnit::Second)),
    ("time32_ms", DataType::Time32(TimeUnit::Millisecond)),
    ("time64_us", DataType::Time64(TimeUnit::Microsecond)),
    ("time64_ns", DataType::Time64(TimeUnit::Nanosecond)),
    ("timestamp_s", DataType::Timestamp(TimeUnit::Second, None)),
    ("timestamp_ms", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ("timestamp_us", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ("timestamp_ns", DataType::Timestamp(TimeUnit::Nanosecond, None)),
    ("duration_s", DataType::Duration(TimeUnit::Second)),
    ("duration_ms", DataType::Duration(TimeUnit::Millisecond)),
    ("duration_us", DataType::Duration(TimeUnit::Microsecond)),
    ("duration_ns", DataType::Duration(TimeUnit::Nanosecond)),
    ("interval_year_month", DataType::Interval(IntervalUnit::YearMonth)),
    ("interval_day_time", DataType::Interval(IntervalUnit::DayTime)),
    ("interval_month_day_nano", DataType::Interval(IntervalUnit::MonthDayNano)),
];

/// The deepest nesting that is read: more than a file may have.
const DEPTH_MAX: usize = 200;

/// What the two columns of a map's entries lie in.
const ENTRIES: &str = "entries";

/// The type that a column of a table has, if it has type `kind` in a file; `None` for one that no
/// Parquet holds.
pub(in crate::execute) fn of_table(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        DataType::Dictionary(_, values) => of_table(values)?,
        DataType::RunEndEncoded(_, values) => of_table(values.data_type())?,
        DataType::List(item) => DataType::List(child(item)?),
        DataType::LargeList(item) => DataType::LargeList(child(item)?),
        DataType::FixedSizeList(item, len) => DataType::FixedSizeList(child(item)?, *len),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(child).collect::<Option<_>>()?)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let [keys, values] = &fields[..] else { return None };
            map(&child(keys)?, child(values)?)
        }
        other => text(other).map(|_| other.clone())?,
    })
}

fn child(field: &FieldRef) -> Option<FieldRef> {
    Some(Arc::new(Field::new(field.name(), of_table(field.data_type())?, true)))
}

/// A map from `keys`, which are there, to `values`.
pub(super) fn map(keys: &FieldRef, values: FieldRef) -> DataType {
    let keys = Arc::new(keys.as_ref().clone().with_nullable(false));
    let entries = DataType::Struct(Fields::from(vec![keys, values]));
    DataType::Map(Arc::new(Field::new(ENTRIES, entries, false)), false)
}

/// The text of a type that [`of_table`] gives; `None` for any that it does not.
pub(in crate::execute) fn text(kind: &DataType) -> Option<String> {
    if let Some((word, _)) = WORDS.iter().find(|(_, other)| other == kind) {
        return Some((*word).to_owned());
    }
    Some(match kind {
        DataType::Timestamp(unit, Some(zone)) => {
            let word = text(&DataType::Timestamp(*unit, None))?;
            format!("{word}({})", quoted(zone)?)
        }
        DataType::FixedSizeBinary(len) => format!("fixed_binary({len})"),
        DataType::Decimal32(digits, scale) => format!("decimal32({digits},{scale})"),
        DataType::Decimal64(digits, scale) => format!("decimal64({digits},{scale})"),
        DataType::Decimal128(digits, scale) => format!("decimal128({digits},{scale})"),
        DataType::Decimal256(digits, scale) => format!("decimal256({digits},{scale})"),
        DataType::List(item) => format!("list({})", field_text(item)?),
        DataType::LargeList(item) => format!("large_list({})", field_text(item)?),
        DataType::FixedSizeList(item, len) => format!("fixed_list({len},{})", field_text(item)?),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(field_text).collect::<Option<Vec<_>>>()?;
            format!("struct({})", fields.join(","))
        }
        DataType::Map(entries, false) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let [keys, values] = &fields[..] else { return None };
            format!("map({},{})", field_text(keys)?, field_text(values)?)
        }
        _ => return None,
    })
}

fn field_text(field: &FieldRef) -> Option<String> {
    Some(format!("{}:{}", quoted(field.name())?, text(field.data_type())?))
}

fn quoted(name: &str) -> Option<String> {
    serde_json::to_string(name).ok()
}

/// The type that has this text; `None` if it is none that this version knows.
pub(in crate::execute) fn parse(text: &str) -> Option<DataType> {
    let mut rest = Rest { text, depth: 0 };
    let kind = rest.kind()?;
    rest.text.is_empty().then_some(kind)
}

/// What is left to be read.
struct Rest<'a> {
    text: &'a str,
    depth: usize,
}

impl Rest<'_> {
    fn kind(&mut self) -> Option<DataType> {
        self.depth = self.depth.checked_add(1).filter(|depth| *depth <= DEPTH_MAX)?;
        let kind = self.kind_at_depth();
        self.depth = self.depth.saturating_sub(1);
        kind
    }

    fn kind_at_depth(&mut self) -> Option<DataType> {
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let end = self.text.find(|character| !is_word(character)).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        let known = WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| kind.clone());
        if !self.take('(') {
            return known;
        }
        let kind = match (word, known) {
            (_, Some(DataType::Timestamp(unit, None))) => {
                DataType::Timestamp(unit, Some(self.name()?.into()))
            }
            ("fixed_binary", _) => DataType::FixedSizeBinary(self.number()?),
            ("decimal32", _) => self.decimal(DataType::Decimal32)?,
            ("decimal64", _) => self.decimal(DataType::Decimal64)?,
            ("decimal128", _) => self.decimal(DataType::Decimal128)?,
            ("decimal256", _) => self.decimal(DataType::Decimal256)?,
            ("list", _) => DataType::List(self.field()?),
            ("large_list", _) => DataType::LargeList(self.field()?),
            ("fixed_list", _) => {
                let len = self.number()?;
                let item = self.take(',').then(|| self.field())??;
                DataType::FixedSizeList(item, len)
            }
            ("struct", _) => DataType::Struct(self.fields()?.into()),
            ("map", _) => {
                let fields = self.fields()?;
                let [keys, values] = &fields[..] else { return None };
                map(keys, values.clone())
            }
            _ => return None,
        };
        self.take(')').then_some(kind)
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.text.strip_prefix(wanted);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        let is_digit = |character: char| character.is_ascii_digit() || character == '-';
        let end = self.text.find(|character| !is_digit(character))?;
        let (number, rest) = self.text.split_at(end);
        self.text = rest;
        number.parse().ok()
    }

    fn decimal(&mut self, of: impl Fn(u8, i8) -> DataType) -> Option<DataType> {
        let digits = self.number()?;
        let scale = self.take(',').then(|| self.number())??;
        Some(of(digits, scale))
    }

    /// A text in quotes, as JSON writes it.
    fn name(&mut self) -> Option<String> {
        let mut names = serde_json::Deserializer::from_str(self.text).into_iter::<String>();
        let name = names.next()?.ok()?;
        self.text = self.text.get(names.byte_offset()..)?;
        Some(name)
    }

    fn field(&mut self) -> Option<FieldRef> {
        let name = self.name()?;
        let kind = self.take(':').then(|| self.kind())??;
        Some(Arc::new(Field::new(name, kind, true)))
    }

    fn fields(&mut self) -> Option<Vec<FieldRef>> {
        let mut fields = Vec::new();
        if self.text.starts_with(')') {
            return Some(fields);
        }
        loop {
            fields.push(self.field()?);
            if !self.take(',') {
                return Some(fields);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: DataType) -> FieldRef {
        Arc::new(Field::new(name, kind, true))
    }

    #[test]
    fn every_type_of_a_table_is_written_and_read_back() {
        let mut kinds: Vec<DataType> = WORDS.iter().map(|(_, kind)| kind.clone()).collect();
        kinds.extend([
            DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into())),
            DataType::Timestamp(TimeUnit::Second, Some("a \"zone\" (odd)".into())),
            DataType::FixedSizeBinary(16),
            DataType::Decimal32(9, 2),
            DataType::Decimal64(18, 0),
            DataType::Decimal128(38, -3),
            DataType::Decimal256(76, 10),
            DataType::Struct(Fields::empty()),
        ]);
        let leaf = field("a \", : ) \\ ü", DataType::Utf8);
        let inner = field("s", DataType::Struct(vec![leaf.clone(), leaf].into()));
        kinds.extend([
            DataType::List(inner.clone()),
            DataType::LargeList(field("item", DataType::List(inner.clone()))),
            DataType::FixedSizeList(inner.clone(), 3),
            map(&field("key", DataType::Utf8), inner),
        ]);
        for kind in kinds {
            let written = text(&kind).unwrap();
            assert_eq!(parse(&written), Some(kind.clone()), "{written}");
            assert_eq!(of_table(&kind), Some(kind), "{written}");
        }
    }

    #[test]
    fn the_form_is_the_one_that_logs_have() {
        let kind = DataType::Struct(
            vec![
                field("a", DataType::Int64),
                field("b", DataType::List(field("item", DataType::Decimal128(12, 2)))),
                field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ]
            .into(),
        );
        let text_of = "struct(\"a\":int64,\"b\":list(\"item\":decimal128(12,2)),\
                       \"at\":timestamp_us(\"UTC\"))";
        assert_eq!(text(&kind).as_deref(), Some(text_of));
        assert_eq!(parse(text_of), Some(kind));
    }

    #[test]
    fn what_is_no_type_is_not_taken_for_one() {
        for wrong in [
            "",
            "int",
            "int64 ",
            "int64(1)",
            "list",
            "list()",
            "list(int64)",
            "decimal128(1)",
            "decimal128(300,1)",
            "struct(\"a\":int64",
            "map(\"k\":utf8)",
            "timestamp_us(UTC)",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let deep = format!("{}int8{}", "list(\"i\":".repeat(300), ")".repeat(300));
        assert_eq!(parse(&deep), None);
    }

    #[test]
    fn dictionaries_and_nullability_are_no_part_of_a_tables_type() {
        let coded = |of| DataType::Dictionary(Box::new(DataType::Int8), Box::new(of));
        assert_eq!(of_table(&coded(DataType::Utf8)), Some(DataType::Utf8));
        let strict = Field::new("a", coded(DataType::Int64), false);
        let strict = strict.with_metadata([("k".to_owned(), "v".to_owned())].into());
        let plain = DataType::Struct(vec![field("a", DataType::Int64)].into());
        assert_eq!(of_table(&DataType::Struct(vec![strict].into())), Some(plain));
    }
}
