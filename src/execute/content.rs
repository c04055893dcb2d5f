//! The hash of rows that does not depend on their order: it says whether an output changed.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::row::{RowConverter, SortField};

use crate::hash::{ContentHash, Sha256};
use crate::spec::Compression;

/// Adds up the hashes of rows.
#[derive(Debug)]
pub(super) struct Content {
    form: String,
    /// `None` once a row could not be put into bytes.
    rows: Option<RowConverter>,
    sum: u128,
}

impl Content {
    /// No rows yet, of an object with these columns that is compressed so.
    pub(super) fn new(schema: &Schema, compression: Compression) -> Self {
        let columns = schema.fields().iter();
        let fields = columns.map(|field| SortField::new(field.data_type().clone())).collect();
        let rows = RowConverter::new(fields).ok();
        Self { form: format!("{:?} {compression:?}", schema.fields()), rows, sum: 0 }
    }

    /// Adds the rows of `batch`.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let Some(converter) = &mut self.rows else { return };
        match converter.convert_columns(batch.columns()) {
            Ok(rows) => {
                let hashes = rows.iter().map(|row| Sha256::of(row.as_ref()).first_half());
                self.sum = hashes.fold(self.sum, u128::wrapping_add);
            }
            Err(_) => self.rows = None,
        }
    }

    /// The hash of all rows; `None` where a column's type has no bytes to compare.
    pub(super) fn finish(self) -> Option<ContentHash> {
        self.rows.map(|_| ContentHash::new(&self.form, self.sum))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn content(batches: &[(&[i64], &[Option<&str>])]) -> Option<ContentHash> {
        let fields =
            vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let mut content = Content::new(&schema, Compression::Snappy);
        for (a, b) in batches {
            let columns = [
                Arc::new(Int64Array::from(a.to_vec())) as _,
                Arc::new(StringArray::from(b.to_vec())) as _,
            ];
            content.add(&RecordBatch::try_new(schema.clone(), columns.to_vec()).unwrap());
        }
        content.finish()
    }

    #[test]
    fn order_and_batches_do_not_matter_and_rows_do() {
        let whole = content(&[(&[1, 2, 2], &[Some("x"), None, Some("")])]);
        assert!(whole.is_some());
        assert_eq!(whole, content(&[(&[2], &[Some("")]), (&[2, 1], &[None, Some("x")])]));
        assert_ne!(whole, content(&[(&[1, 2, 2], &[Some("x"), None, None])]));
        assert_ne!(whole, content(&[(&[1, 2], &[Some("x"), None])]));
        assert_ne!(whole, content(&[(&[1, 2, 2, 2], &[Some("x"), None, Some(""), Some("")])]));
    }
}
