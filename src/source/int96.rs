//! INT96, the timestamps of old writers: read in microseconds, not in nanoseconds, which reach from
//! 1677 to 2262 only and wrap around beyond.
//!
//! Microseconds wrap around too, 292,000 years from 1970: INT96 reaches further. Milliseconds do
//! not, so an event time is read in both and has to agree.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;

use super::reader::{OpenFile, StoreReader};
use crate::error::Result;

/// `file` with each INT96 in it, at any depth, read in microseconds.
///
/// # Errors
/// If the Parquet library cannot read its columns like that.
pub(super) fn in_micros(file: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let columns = file.parquet_schema();
    let has_int96 = (0..columns.num_columns()).any(|place| is_int96(columns, place));
    if has_int96 { in_unit(&file, TimeUnit::Microsecond) } else { Ok(file) }
}

fn in_unit(
    file: &ArrowReaderMetadata,
    unit: TimeUnit,
) -> Result<ArrowReaderMetadata, ParquetError> {
    let mut leaves = Leaves { columns: file.parquet_schema(), place: 0, unit };
    let fields: Fields = file.schema().fields().iter().map(|field| leaves.field(field)).collect();
    let schema = Schema::new_with_metadata(fields, file.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(file.metadata().clone(), options)
}

fn is_int96(columns: &SchemaDescriptor, place: usize) -> bool {
    place < columns.num_columns() && columns.column(place).physical_type() == PhysicalType::INT96
}

/// The leaves of a schema from one place on: both libraries count them as they stand.
struct Leaves<'a> {
    columns: &'a SchemaDescriptor,
    place: usize,
    unit: TimeUnit,
}

impl Leaves<'_> {
    /// The next field as it is to be read.
    fn field(&mut self, field: &FieldRef) -> FieldRef {
        let kind = match field.data_type() {
            DataType::List(item) => DataType::List(self.field(item)),
            DataType::LargeList(item) => DataType::LargeList(self.field(item)),
            DataType::ListView(item) => DataType::ListView(self.field(item)),
            DataType::LargeListView(item) => DataType::LargeListView(self.field(item)),
            DataType::FixedSizeList(item, len) => DataType::FixedSizeList(self.field(item), *len),
            DataType::Map(entries, is_sorted) => DataType::Map(self.field(entries), *is_sorted),
            DataType::Struct(fields) => {
                DataType::Struct(fields.iter().map(|field| self.field(field)).collect())
            }
            leaf => {
                let is_int96 = is_int96(self.columns, self.place);
                self.place = self.place.saturating_add(1);
                if is_int96 { in_type(leaf, self.unit) } else { leaf.clone() }
            }
        };
        Arc::new(Field::clone(field).with_data_type(kind))
    }
}

fn in_type(kind: &DataType, unit: TimeUnit) -> DataType {
    match kind {
        DataType::Timestamp(_, zone) => DataType::Timestamp(unit, zone.clone()),
        DataType::Dictionary(_, values) => in_type(values, unit),
        other => other.clone(),
    }
}

/// A column of INT96 once more, in milliseconds.
pub(super) struct Millis(ParquetRecordBatchStream<StoreReader>);

impl Millis {
    /// The root column at `root` of `file`; `None` if it is no INT96.
    pub(super) fn of(file: &OpenFile, root: usize) -> Result<Option<Self>> {
        let columns = file.metadata.parquet_schema();
        let mut leaves = 0..columns.num_columns();
        let leaf = leaves.find(|leaf| columns.get_column_root_idx(*leaf) == root);
        if leaf.is_none_or(|leaf| !is_int96(columns, leaf)) {
            return Ok(None);
        }
        let mask = ProjectionMask::roots(columns, [root]);
        let millis = in_unit(&file.metadata, TimeUnit::Millisecond);
        let millis = millis.map_err(|why| file.failure(&why))?;
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(file.reader(), millis);
        let stream = builder.with_projection(mask).build().map_err(|why| file.failure(&why))?;
        Ok(Some(Self(stream)))
    }

    /// Whether the next batch agrees with `micros`, the same rows in microseconds.
    ///
    /// # Errors
    /// If one of them wrapped around: what it says is no time that anything happened at.
    pub(super) async fn check(&mut self, file: &OpenFile, micros: &ArrayRef) -> Result<()> {
        let batch = self.0.next().await.transpose().map_err(|why| file.failure(&why))?;
        if batch.is_some_and(|batch| agree(micros, &batch)) {
            return Ok(());
        }
        Err(file.refusal("an INT96 in its event-time column lies 292,000 years from 1970 or more"))
    }
}

fn agree(micros: &ArrayRef, millis: &RecordBatch) -> bool {
    let millis = millis.column(0).as_primitive_opt::<TimestampMillisecondType>();
    let micros = micros.as_primitive_opt::<TimestampMicrosecondType>();
    let (Some(millis), Some(micros)) = (millis, micros) else { return false };
    // Each was rounded by itself. What wrapped around is further off than any rounding.
    let is_near = |(millis, micros): (Option<i64>, Option<i64>)| match (millis, micros) {
        (Some(millis), Some(micros)) => {
            i128::from(millis).saturating_mul(1_000).abs_diff(i128::from(micros)) < 2_000
        }
        (millis, micros) => millis.is_none() && micros.is_none(),
    };
    millis.len() == micros.len() && millis.iter().zip(micros).all(is_near)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::arrow::add_encoded_arrow_schema_to_metadata;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// The types of the root columns as they are read, of a file that says `said` of itself.
    fn types(columns: &str, said: Option<&Schema>) -> Vec<String> {
        let schema = parse_message_type(&format!("message m {{ {columns} }}")).unwrap();
        let mut properties = WriterProperties::default();
        if let Some(said) = said {
            add_encoded_arrow_schema_to_metadata(said, &mut properties);
        }
        let (schema, properties) = (Arc::new(schema), Arc::new(properties));
        let writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        let file = Bytes::from(writer.into_inner().unwrap());
        let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).unwrap();
        let read = in_micros(plain).unwrap();
        read.schema().fields().iter().map(|field| field.data_type().to_string()).collect()
    }

    #[test]
    fn no_other_column_changes_its_type_however_deep_int96_is() {
        let columns = "REQUIRED INT64 first (TIMESTAMP(NANOS,false));
            OPTIONAL GROUP pair { OPTIONAL INT96 a; REQUIRED INT64 b (TIMESTAMP(NANOS,false)); }
            REQUIRED GROUP map (MAP) { REPEATED GROUP key_value {
                REQUIRED INT64 key (TIMESTAMP(NANOS,false)); OPTIONAL INT96 value; } }
            REPEATED INT96 bare;
            REQUIRED INT64 middle (TIMESTAMP(NANOS,false));
            OPTIONAL INT96 alone;
            REQUIRED INT64 last (TIMESTAMP(NANOS,true));";
        let read = types(columns, None);
        assert_eq!(
            read,
            [
                "Timestamp(ns)",
                "Struct(\"a\": Timestamp(µs), \"b\": non-null Timestamp(ns))",
                "Map(\"key_value\": non-null Struct(\"key\": non-null Timestamp(ns), \
                 \"value\": Timestamp(µs)), unsorted)",
                "List(non-null Timestamp(µs), field: 'bare')",
                "Timestamp(ns)",
                "Timestamp(µs)",
                "Timestamp(ns, \"UTC\")",
            ]
        );
        let without = "REQUIRED INT64 at (TIMESTAMP(NANOS,false));";
        assert_eq!(types(without, None), ["Timestamp(ns)"]);
    }

    #[test]
    fn what_the_file_says_of_its_units_does_not_count_and_its_zones_do() {
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into()));
        let seconds = DataType::Timestamp(TimeUnit::Second, None);
        let once_each = DataType::Dictionary(Box::new(DataType::Int32), Box::new(nanos.clone()));
        let fields = [("a", nanos), ("b", seconds), ("c", once_each)];
        let fields = fields.map(|(name, kind)| Field::new(name, kind, true));
        let said = Schema::new(fields.to_vec());
        let read = types("OPTIONAL INT96 a; OPTIONAL INT96 b; OPTIONAL INT96 c;", Some(&said));
        let zoned = "Timestamp(µs, \"+02:00\")";
        assert_eq!(read, [zoned, "Timestamp(µs)", zoned]);
    }
}
