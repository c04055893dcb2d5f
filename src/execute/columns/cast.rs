//! Values of a file as values of its table's type: all of them exactly, or an error.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait,
    StructArray, new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, Fields, Int64Type, TimeUnit};
use arrow::error::ArrowError;

/// An overflow is an error, and never NULL.
const CHECKED: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// `values` as values of type `to`, which must hold all values of their type (see
/// [`super::widen::joined`]).
///
/// # Errors
/// If one of them does not fit, or there is no such way.
pub(super) fn cast(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    use DataType::{
        Dictionary, FixedSizeList, LargeList, List, Map, Null, RunEndEncoded, Struct, Timestamp,
    };
    if values.data_type() == to {
        return Ok(values.clone());
    }
    match (values.data_type(), to) {
        (Null, _) => Ok(new_null_array(to, values.len())),
        (Dictionary(_, of), _) => cast(&cast_with_options(values, of, &CHECKED)?, to),
        (RunEndEncoded(_, of), _) => {
            cast(&cast_with_options(values, of.data_type(), &CHECKED)?, to)
        }
        (Struct(_), Struct(fields)) => Ok(Arc::new(structs(values.as_struct(), fields)?)),
        (List(_), List(item)) => lists::<i32, i32>(values, item),
        (List(_), LargeList(item)) => lists::<i32, i64>(values, item),
        (LargeList(_), List(item)) => lists::<i64, i32>(values, item),
        (LargeList(_), LargeList(item)) => lists::<i64, i64>(values, item),
        (FixedSizeList(_, _), FixedSizeList(item, len)) => {
            let list = values.as_fixed_size_list();
            let inner = cast(list.values(), item.data_type())?;
            let nulls = list.nulls().cloned();
            Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), *len, inner, nulls)?))
        }
        (Map(_, _), Map(entries, is_sorted)) => maps(values, entries, *is_sorted),
        (Timestamp(from, _), Timestamp(unit, _)) if from > unit => {
            check_whole(values, *from, *unit)?;
            cast_with_options(values, to, &CHECKED)
        }
        _ => cast_with_options(values, to, &CHECKED),
    }
}

/// A struct with the children `fields`, by name; those that it does not have are NULL.
fn structs(values: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let child = |field: &FieldRef| match values.column_by_name(field.name()) {
        Some(child) => cast(child, field.data_type()),
        None => Ok(new_null_array(field.data_type(), values.len())),
    };
    let children = fields.iter().map(child).collect::<Result<Vec<_>, _>>()?;
    let nulls = values.nulls().cloned();
    StructArray::try_new_with_length(fields.clone(), children, nulls, values.len())
}

fn lists<A: OffsetSizeTrait, B: OffsetSizeTrait>(
    values: &ArrayRef,
    item: &FieldRef,
) -> Result<ArrayRef, ArrowError> {
    let list = values.as_list::<A>();
    let (offsets, inner) = compact::<A, B>(list.offsets(), list.values())?;
    let inner = cast(&inner, item.data_type())?;
    let nulls = list.nulls().cloned();
    Ok(Arc::new(GenericListArray::<B>::try_new(item.clone(), offsets, inner, nulls)?))
}

fn maps(values: &ArrayRef, entries: &FieldRef, is_sorted: bool) -> Result<ArrayRef, ArrowError> {
    let map = values.as_map();
    let inner: ArrayRef = Arc::new(map.entries().clone());
    let (offsets, inner) = compact::<i32, i32>(map.offsets(), &inner)?;
    let inner = inner.as_struct();
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::CastError("its entries are not pairs".to_owned()));
    };
    // By place: writers call them as they like.
    let pairs = inner.columns().iter().zip(fields);
    let pairs = pairs.map(|(column, field)| cast(column, field.data_type()));
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    let inner = StructArray::try_new_with_length(fields.clone(), pairs, None, inner.len())?;
    let nulls = map.nulls().cloned();
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, inner, nulls, is_sorted)?))
}

/// The elements between the first and the last offset alone, so that no value is looked at which no
/// row has.
fn compact<A: OffsetSizeTrait, B: OffsetSizeTrait>(
    offsets: &OffsetBuffer<A>,
    values: &ArrayRef,
) -> Result<(OffsetBuffer<B>, ArrayRef), ArrowError> {
    let places: Vec<usize> = offsets.iter().map(|offset| offset.as_usize()).collect();
    let first = places.first().copied().unwrap_or_default();
    let last = places.last().copied().unwrap_or_default();
    let moved = places.iter().map(|place| B::from_usize(place.saturating_sub(first)));
    let moved: Option<Vec<B>> = moved.collect();
    let moved = moved.ok_or_else(|| ArrowError::CastError("its lists are too long".to_owned()))?;
    let inner = values.slice(first, last.saturating_sub(first));
    Ok((OffsetBuffer::new(ScalarBuffer::from(moved)), inner))
}

/// Whether all instants of unit `from` are whole ones of the coarser unit `to`.
fn check_whole(values: &ArrayRef, from: TimeUnit, to: TimeUnit) -> Result<(), ArrowError> {
    let per_second = |unit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000_i64,
    };
    let parts = per_second(from).checked_div(per_second(to)).unwrap_or(1);
    let numbers = cast_with_options(values, &DataType::Int64, &CHECKED)?;
    let mut numbers = numbers.as_primitive::<Int64Type>().iter().flatten();
    match numbers.find(|number| number.checked_rem(parts) != Some(0)) {
        None => Ok(()),
        Some(number) => Err(ArrowError::CastError(format!(
            "{number} is not a whole multiple of {parts}: it would lose digits"
        ))),
    }
}
