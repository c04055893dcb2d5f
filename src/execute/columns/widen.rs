//! Which types hold all values of two types, so that files of both can be read as one table.
//!
//! Nothing is ever lost: what has no such type is refused. Types that are ways to store the same
//! values (text with short or long offsets, say) are one type, whatever is allowed.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};

use super::kind;
use crate::spec::{OnMissingColumn, OnTypeChange, SourceSpec};

/// What may become of a column whose type changes.
#[derive(Clone, Copy, Debug)]
pub(in crate::execute) struct Allowed {
    /// Whether it may get another type.
    pub(super) widening: bool,
    /// Whether what a file lacks is NULL.
    pub(super) nulls: bool,
}

impl Allowed {
    pub(in crate::execute) fn by(source: &SourceSpec) -> Self {
        Self {
            widening: source.on_type_change == OnTypeChange::Widen,
            nulls: source.on_missing_column == OnMissingColumn::Null,
        }
    }
}

/// The type of a table's column that has been `table`, once files with type `file` are read too;
/// both as [`kind::of_table`] gives them. `None` if there is none, or none that is allowed.
pub(super) fn joined(table: &DataType, file: &DataType, allowed: Allowed) -> Option<DataType> {
    if table == file || is_stored_otherwise(table, file) {
        return Some(table.clone());
    }
    match (table, file) {
        (DataType::Struct(table), DataType::Struct(file)) => structs(table, file, allowed),
        (DataType::List(a), DataType::List(b) | DataType::LargeList(b)) => {
            Some(DataType::List(child(a, b, allowed)?))
        }
        (DataType::LargeList(a), DataType::List(b) | DataType::LargeList(b)) => {
            Some(DataType::LargeList(child(a, b, allowed)?))
        }
        (DataType::FixedSizeList(a, len), DataType::FixedSizeList(b, other)) if len == other => {
            Some(DataType::FixedSizeList(child(a, b, allowed)?, *len))
        }
        (DataType::Map(a, _), DataType::Map(b, _)) => {
            let (DataType::Struct(a), DataType::Struct(b)) = (a.data_type(), b.data_type()) else {
                return None;
            };
            let ([a_keys, a_values], [b_keys, b_values]) = (&a[..], &b[..]) else { return None };
            let values = child(a_values, b_values, allowed)?;
            Some(kind::map(&child(a_keys, b_keys, allowed)?, values))
        }
        _ if allowed.widening => wider(table, file),
        _ => None,
    }
}

/// Whether both are ways to store the same values.
fn is_stored_otherwise(a: &DataType, b: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary, LargeUtf8, Timestamp, Utf8, Utf8View};
    match (a, b) {
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View)
        | (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        // The zone is how an instant is shown, not which one it is.
        (Timestamp(a, Some(_)), Timestamp(b, Some(_))) => a == b,
        _ => false,
    }
}

fn child(table: &FieldRef, file: &FieldRef, allowed: Allowed) -> Option<FieldRef> {
    let kind = joined(table.data_type(), file.data_type(), allowed)?;
    Some(Arc::new(table.as_ref().clone().with_data_type(kind)))
}

/// A struct with the children of both: by name, so that their order does not count.
fn structs(table: &Fields, file: &Fields, allowed: Allowed) -> Option<DataType> {
    let mut fields = Vec::with_capacity(table.len());
    let may_differ = allowed.widening && allowed.nulls;
    for field in table {
        match file.find(field.name()) {
            Some((_, other)) => fields.push(child(field, other, allowed)?),
            None if may_differ => fields.push(field.clone()),
            None => return None,
        }
    }
    for field in file.iter().filter(|field| table.find(field.name()).is_none()) {
        let name = field.name().to_lowercase();
        let is_twin = |other: &FieldRef| other.name().to_lowercase() == name;
        if !may_differ || fields.iter().any(is_twin) {
            return None;
        }
        fields.push(field.clone());
    }
    Some(DataType::Struct(fields.into()))
}

/// A type without children that holds all values of both.
fn wider(table: &DataType, file: &DataType) -> Option<DataType> {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, Null, Timestamp};
    match (table, file) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (Binary | LargeBinary | BinaryView, FixedSizeBinary(_)) => Some(table.clone()),
        (FixedSizeBinary(_), Binary | LargeBinary | BinaryView) => Some(file.clone()),
        (Timestamp(a, zone), Timestamp(b, other)) if zone.is_some() == other.is_some() => {
            Some(Timestamp(finer(*a, *b), zone.clone()))
        }
        _ => {
            integers(table, file).or_else(|| floats(table, file)).or_else(|| decimals(table, file))
        }
    }
}

/// The unit of a table of unit `table` once files of unit `file` are read. Nobody's events are told
/// apart by less than a microsecond, and nanoseconds end in 2262: a table does not become one of
/// nanoseconds, and takes those that are whole microseconds.
fn finer(table: TimeUnit, file: TimeUnit) -> TimeUnit {
    table.max(file.min(TimeUnit::Microsecond))
}

/// Whether it has a sign, and how many bits.
fn integer(kind: &DataType) -> Option<(bool, u8)> {
    Some(match kind {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 => (true, 32),
        DataType::Int64 => (true, 64),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

fn integers(a: &DataType, b: &DataType) -> Option<DataType> {
    let ((a_signed, a_bits), (b_signed, b_bits)) = (integer(a)?, integer(b)?);
    let (is_signed, bits) = match (a_signed, b_signed) {
        (true, true) | (false, false) => (a_signed, a_bits.max(b_bits)),
        // One bit more than the one without a sign has, that is the next size.
        (true, false) => (true, a_bits.max(b_bits.saturating_mul(2))),
        (false, true) => (true, b_bits.max(a_bits.saturating_mul(2))),
    };
    Some(match (is_signed, bits) {
        (true, 8) => DataType::Int8,
        (true, 16) => DataType::Int16,
        (true, 32) => DataType::Int32,
        (true, 64) => DataType::Int64,
        (false, 8) => DataType::UInt8,
        (false, 16) => DataType::UInt16,
        (false, 32) => DataType::UInt32,
        (false, 64) => DataType::UInt64,
        _ => return None,
    })
}

/// How many bits of a whole number it holds exactly.
fn float(kind: &DataType) -> Option<u8> {
    Some(match kind {
        DataType::Float16 => 11,
        DataType::Float32 => 24,
        DataType::Float64 => 53,
        _ => return None,
    })
}

fn floats(a: &DataType, b: &DataType) -> Option<DataType> {
    match (float(a), float(b), integer(a).or_else(|| integer(b))) {
        (Some(left), Some(right), _) => Some(if left >= right { a } else { b }.clone()),
        (Some(_), None, Some((_, bits))) | (None, Some(_), Some((_, bits))) if bits <= 32 => {
            Some(DataType::Float64)
        }
        _ => None,
    }
}

/// Digits, scale, and the most digits that its values have room for.
fn decimal(kind: &DataType) -> Option<(u8, i8, u8)> {
    Some(match kind {
        DataType::Decimal32(digits, scale) => (*digits, *scale, 9),
        DataType::Decimal64(digits, scale) => (*digits, *scale, 18),
        DataType::Decimal128(digits, scale) => (*digits, *scale, 38),
        DataType::Decimal256(digits, scale) => (*digits, *scale, 76),
        _ => return None,
    })
}

fn decimals(a: &DataType, b: &DataType) -> Option<DataType> {
    let ((a_digits, a_scale, room), (b_digits, b_scale, _)) = (decimal(a)?, decimal(b)?);
    let whole = |digits: u8, scale: i8| i16::from(digits).saturating_sub(i16::from(scale));
    let scale = a_scale.max(b_scale);
    let digits = whole(a_digits, a_scale).max(whole(b_digits, b_scale));
    let digits = u8::try_from(digits.saturating_add(i16::from(scale))).ok()?;
    Some(match digits.max(room) {
        0..=9 => DataType::Decimal32(digits, scale),
        10..=18 => DataType::Decimal64(digits, scale),
        19..=38 => DataType::Decimal128(digits, scale),
        39..=76 => DataType::Decimal256(digits, scale),
        _ => return None,
    })
}
