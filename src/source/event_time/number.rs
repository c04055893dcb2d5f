//! Event times that are numbers: so many of a unit since the Unix epoch, UTC.
//!
//! All arithmetic is exact and rounds down, towards the past, also before 1970.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::convert;
use crate::spec::EpochUnit;

/// Whether a column of type `kind` can be read with a unit.
pub(super) fn is_number(kind: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Float32, Float64};
    kind.is_integer()
        || matches!(kind, Float32 | Float64)
        || matches!(kind, Decimal32(..) | Decimal64(..) | Decimal128(..))
}

/// Numbers of `unit` in microseconds; `None` if `values` are no numbers.
pub(super) fn micros(values: &ArrayRef, unit: EpochUnit) -> Option<Vec<Option<i64>>> {
    let whole = |count| unit_micros(unit, count);
    Some(match values.data_type() {
        DataType::Int8 => convert::<Int8Type>(values, |count| whole(count.into())),
        DataType::Int16 => convert::<Int16Type>(values, |count| whole(count.into())),
        DataType::Int32 => convert::<Int32Type>(values, |count| whole(count.into())),
        DataType::Int64 => convert::<Int64Type>(values, whole),
        DataType::UInt8 => convert::<UInt8Type>(values, |count| whole(count.into())),
        DataType::UInt16 => convert::<UInt16Type>(values, |count| whole(count.into())),
        DataType::UInt32 => convert::<UInt32Type>(values, |count| whole(count.into())),
        DataType::UInt64 => {
            convert::<UInt64Type>(values, |count| scaled(count.into(), exponent(unit)))
        }
        DataType::Float32 => convert::<Float32Type>(values, |count| float(count.into(), unit)),
        DataType::Float64 => convert::<Float64Type>(values, |count| float(count, unit)),
        DataType::Decimal32(_, scale) => {
            let power = exponent(unit).checked_sub((*scale).into())?;
            convert::<Decimal32Type>(values, |digits| scaled(digits.into(), power))
        }
        DataType::Decimal64(_, scale) => {
            let power = exponent(unit).checked_sub((*scale).into())?;
            convert::<Decimal64Type>(values, |digits| scaled(digits.into(), power))
        }
        DataType::Decimal128(_, scale) => {
            let power = exponent(unit).checked_sub((*scale).into())?;
            convert::<Decimal128Type>(values, |digits| scaled(digits, power))
        }
        _ => return None,
    })
}

/// `count` of `unit` in microseconds, rounded down; `None` beyond the type's range.
pub(super) fn unit_micros(unit: EpochUnit, count: i64) -> Option<i64> {
    match unit {
        EpochUnit::Second => count.checked_mul(1_000_000),
        EpochUnit::Millisecond => count.checked_mul(1_000),
        EpochUnit::Microsecond => Some(count),
        EpochUnit::Nanosecond => Some(count.div_euclid(1_000)),
    }
}

/// A unit is ten to this power of microseconds.
fn exponent(unit: EpochUnit) -> i32 {
    match unit {
        EpochUnit::Second => 6,
        EpochUnit::Millisecond => 3,
        EpochUnit::Microsecond => 0,
        EpochUnit::Nanosecond => -3,
    }
}

/// `digits` times ten to the `power`, rounded down; `None` beyond the range of the result.
fn scaled(digits: i128, power: i32) -> Option<i64> {
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    let scaled = match (factor, power >= 0) {
        (Some(factor), true) => digits.checked_mul(factor)?,
        (Some(factor), false) => digits.div_euclid(factor),
        // The factor is larger than any number: all of them are less than one, or too many.
        (None, true) => (digits == 0).then_some(0)?,
        (None, false) => digits.signum().min(0),
    };
    i64::try_from(scaled).ok()
}

/// `count` of `unit` in microseconds, rounded down, as exactly as if `count` had been written out
/// in decimals; `None` if it is no number, or beyond the range of the result.
fn float(count: f64, unit: EpochUnit) -> Option<i64> {
    const FRACTION_BITS: u32 = 52;
    if !count.is_finite() {
        return None;
    }
    // `count` is `mantissa` times two to the `power`.
    let bits = count.to_bits();
    let fraction = bits & (1_u64 << FRACTION_BITS).wrapping_sub(1);
    let biased = i32::try_from((bits >> FRACTION_BITS) & 0x7ff).ok()?;
    let (magnitude, power) = match biased {
        0 => (fraction, -1074),
        biased => (fraction | 1 << FRACTION_BITS, biased.checked_sub(1075)?),
    };
    let mantissa = i128::from(magnitude);
    let mantissa = if count.is_sign_negative() { mantissa.checked_neg()? } else { mantissa };
    // At most 53 and 20 bits: nothing is lost before the bits behind the point are dropped.
    let (factor, divisor) = match unit {
        EpochUnit::Second => (1_000_000, 1),
        EpochUnit::Millisecond => (1_000, 1),
        EpochUnit::Microsecond => (1, 1),
        EpochUnit::Nanosecond => (1, 1_000),
    };
    let counted = mantissa.checked_mul(factor)?;
    let places = power.unsigned_abs();
    let whole = if power < 0 {
        counted >> places.min(127)
    } else {
        // More than 52 and 64 bits are too many for any unit.
        let factor = Some(places).filter(|places| *places < 64).map(|places| 1_i128 << places);
        counted.checked_mul(factor?)?
    };
    i64::try_from(whole.div_euclid(divisor)).ok()
}
