//! Rows compared by the values of some columns: hashed all at once, and looked at one by one only
//! where hashes are equal.

use std::collections::HashMap;

use arrow::array::{ArrayRef, BinaryArray, DynComparator, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::execute::judge::alike::alike;
use crate::execute::scan::Piece;
use crate::execute::sql::bug;
use crate::spec::SourceSpec;

/// A row: its piece, and its place there.
pub(in crate::execute::judge) type RowId = (usize, usize);

/// Columns whose values are compared together.
#[derive(Debug)]
pub(super) struct Columns {
    places: Vec<usize>,
    fields: Vec<SortField>,
}

impl Columns {
    /// The columns `names`, which `key` of the configuration lists.
    pub(super) fn new(
        key: &str,
        names: &[String],
        source: &SourceSpec,
        read: &SchemaRef,
    ) -> Result<Self> {
        let (mut places, mut fields) = (Vec::new(), Vec::new());
        for name in names {
            let Some((place, field)) = read.column_with_name(name) else {
                return Err(super::missing(key, name, source, read));
            };
            places.push(place);
            let options = SortOptions { descending: false, nulls_first: true };
            fields.push(SortField::new_with_options(field.data_type().clone(), options));
        }
        if !RowConverter::supports_fields(&fields) {
            let text = format!("source {}: values of `{key}` cannot be compared", source.table);
            return Err(Error::new(Code::BadValue, text)
                .hint("name columns of numbers, texts, times or truth values"));
        }
        Ok(Self { places, fields })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The values of each row of `pieces` in a form that sorts as they do.
    pub(super) fn rows_of(&self, pieces: &[Piece]) -> Result<Vec<Rows>> {
        let converter = RowConverter::new(self.fields.clone()).map_err(failed)?;
        let convert = |piece: &Piece| {
            let columns = self.columns_of(piece);
            let mut rows = converter.empty_rows(piece.batch.num_rows(), 0);
            converter.append(&mut rows, &columns).map_err(failed)?;
            Ok(rows)
        };
        pieces.iter().map(convert).collect()
    }

    fn columns_of(&self, piece: &Piece) -> Vec<ArrayRef> {
        let column = |place: &usize| piece.batch.columns().get(*place);
        self.places.iter().filter_map(column).map(alike).collect()
    }

    /// The same in a form that can be told equal: columns of nested and rare types as the bytes
    /// that they are sorted by.
    fn comparable_of(&self, piece: &Piece) -> Result<Vec<ArrayRef>> {
        let columns = self.columns_of(piece);
        if columns.iter().all(|column| is_flat(column.data_type())) {
            return Ok(columns);
        }
        let converter = RowConverter::new(self.fields.clone()).map_err(failed)?;
        let rows = converter.convert_columns(&columns).map_err(failed)?;
        let bytes: BinaryArray = rows.try_into_binary().map_err(failed)?;
        Ok(vec![Arc::new(bytes)])
    }
}

/// Whether values of this type are hashed and compared as they are.
fn is_flat(kind: &DataType) -> bool {
    kind.is_primitive()
        || matches!(
            kind,
            DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::FixedSizeBinary(_)
        )
}

/// The keys of all rows of some pieces, numbered through in their order.
pub(super) struct Keys {
    /// The number of the first row of each piece.
    firsts: Vec<u32>,
    columns: Vec<Vec<ArrayRef>>,
    hashes: Vec<u64>,
}

impl Keys {
    /// The keys `columns` of the rows of `pieces`.
    pub(super) fn new(columns: &Columns, pieces: &[Piece]) -> Result<Self> {
        let mut keys = Self { firsts: Vec::new(), columns: Vec::new(), hashes: Vec::new() };
        let state = RandomState::default();
        for piece in pieces {
            let first = keys.hashes.len();
            let end = first.saturating_add(piece.batch.num_rows());
            let too_many = || {
                Error::new(Code::WindowTooLarge, "more rows than are told apart at once")
                    .hint("use smaller windows")
            };
            u32::try_from(end).map_err(|_| too_many())?;
            keys.firsts.push(u32::try_from(first).map_err(|_| too_many())?);
            let columns = columns.comparable_of(piece)?;
            keys.hashes.resize(end, 0);
            if let Some(hashes) = keys.hashes.get_mut(first..) {
                create_hashes(&columns, &state, hashes).map_err(|why| bug(&why))?;
            }
            keys.columns.push(columns);
        }
        Ok(keys)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The hash of the row numbered `row`.
    pub(super) fn hash(&self, row: u32) -> u64 {
        let place = usize::try_from(row).unwrap_or(usize::MAX);
        self.hashes.get(place).copied().unwrap_or_default()
    }

    /// The number of the first row of the piece at `place`.
    pub(super) fn first(&self, place: usize) -> u32 {
        self.firsts.get(place).copied().unwrap_or(u32::MAX)
    }

    /// The number of a row.
    pub(super) fn number(&self, (piece, row): RowId) -> u32 {
        self.first(piece).saturating_add(u32::try_from(row).unwrap_or(u32::MAX))
    }

    /// The row numbered `row`.
    pub(super) fn id(&self, row: u32) -> RowId {
        let piece = self.firsts.partition_point(|first| *first <= row).saturating_sub(1);
        let place = row.saturating_sub(self.first(piece));
        (piece, usize::try_from(place).unwrap_or(usize::MAX))
    }
}

/// Tells whether rows have the same keys.
#[derive(Default)]
pub(super) struct Comparer {
    /// For two pieces, what compares their columns.
    compare: HashMap<(usize, usize), Vec<DynComparator>>,
    /// Why an answer cannot be trusted.
    pub(super) failure: Option<Error>,
}

impl Comparer {
    /// Whether the rows numbered `a` and `b` have the same keys.
    pub(super) fn is_equal(&mut self, keys: &Keys, a: u32, b: u32) -> bool {
        if a == b {
            return true;
        }
        if keys.hash(a) != keys.hash(b) {
            return false;
        }
        let ((piece_a, row_a), (piece_b, row_b)) = (keys.id(a), keys.id(b));
        let compare = self.compare.entry((piece_a, piece_b)).or_insert_with(|| {
            comparators(keys, piece_a, piece_b).unwrap_or_else(|why| {
                self.failure.get_or_insert_with(|| failed(why));
                Vec::new()
            })
        });
        compare.iter().all(|compare| compare(row_a, row_b) == Ordering::Equal)
    }
}

fn comparators(keys: &Keys, a: usize, b: usize) -> Result<Vec<DynComparator>, ArrowError> {
    let of = |piece: usize| keys.columns.get(piece).map(Vec::as_slice).unwrap_or_default();
    let pairs = of(a).iter().zip(of(b));
    pairs.map(|(a, b)| make_comparator(a, b, SortOptions::default())).collect()
}

fn failed(why: ArrowError) -> Error {
    bug(&why.into())
}
