//! Which values are one value, where rows are compared byte by byte.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};

/// `values` where what SQL calls equal has the same bytes, at any depth: a zero has no sign, and
/// there is one NaN.
pub(super) fn alike(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float16 => floats::<Float16Type>(values, Half::is_nan, Half::NAN),
        DataType::Float32 => floats::<Float32Type>(values, f32::is_nan, f32::NAN),
        DataType::Float64 => floats::<Float64Type>(values, f64::is_nan, f64::NAN),
        kind if kind.is_nested() => nested(values),
        _ => values.clone(),
    }
}

type Half = <Float16Type as ArrowPrimitiveType>::Native;

fn floats<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    is_nan: fn(T::Native) -> bool,
    nan: T::Native,
) -> ArrayRef {
    let zero = T::Native::default();
    let one = |value| match value {
        value if is_nan(value) => nan,
        // The two zeros are equal, and their bytes are not.
        value if value == zero => zero,
        value => value,
    };
    Arc::new(values.as_primitive::<T>().unary::<_, T>(one))
}

fn nested(values: &ArrayRef) -> ArrayRef {
    let data = values.to_data();
    let children = data.child_data().iter().map(|child| alike(&make_array(child.clone())));
    let children = children.map(|child| child.to_data()).collect();
    // Lengths and types are as they were: it is the same array but for values.
    data.into_builder().child_data(children).build().map_or_else(|_| values.clone(), make_array)
}
