//! Between which instants the rows of each row group lie, by the footer.

use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::basic::Type;

use super::{Meaning, TimeColumn};
use crate::source::OpenFile;

impl TimeColumn {
    /// The first and the last event time of each row group of `file`, in microseconds and rounded
    /// down; `None` where the footer does not tell. Only instants are told: texts and readings of a
    /// clock do not sort as the instants they mean.
    #[must_use]
    pub fn bounds(&self, file: &OpenFile) -> Vec<Option<(i64, i64)>> {
        self.known_bounds(file).unwrap_or_default()
    }

    fn known_bounds(&self, file: &OpenFile) -> Option<Vec<Option<(i64, i64)>>> {
        let field = file.schema().fields().get(self.index)?;
        let is_instant = matches!(self.meaning, Meaning::Instants)
            && matches!(field.data_type(), DataType::Timestamp(_, _));
        let metadata = file.metadata.metadata();
        let parquet = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(field.name(), file.schema(), parquet).ok()?;
        // Older types have statistics that mean something else.
        let column = parquet.columns().get(converter.parquet_column_index()?)?;
        if !is_instant || column.physical_type() != Type::INT64 {
            return None;
        }
        let first = converter.row_group_mins(metadata.row_groups()).ok()?;
        let last = converter.row_group_maxes(metadata.row_groups()).ok()?;
        let (first, last) = (self.micros(&first).ok()?, self.micros(&last).ok()?);
        Some(first.into_iter().zip(last).map(|(first, last)| first.zip(last)).collect())
    }
}
