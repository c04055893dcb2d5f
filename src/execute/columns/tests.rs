//! Which types become which, with the values at the edges of both.

use std::sync::Arc;

use arrow::array::{
    AsArray, BinaryArray, Decimal32Array, Decimal128Array, Decimal256Array, DictionaryArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeStringArray,
    ListArray, MapArray, NullArray, StringArray, StringViewArray, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Int32Type, TimeUnit, i256};

use super::cast::cast;
use super::*;

const WIDEN: Allowed = Allowed { widening: true, nulls: false };
const WIDEN_AND_NULL: Allowed = Allowed { widening: true, nulls: true };
const FAIL: Allowed = Allowed { widening: false, nulls: false };

fn array(values: impl Array + 'static) -> ArrayRef {
    Arc::new(values)
}

/// A table of the type of `table` takes in the values of `file`, and becomes of the type of
/// `expected`; then both are read as such, the file's as `expected`.
#[track_caller]
fn widens(table: &ArrayRef, file: &ArrayRef, expected: &ArrayRef) {
    let (then, own) = (table.data_type(), file.data_type());
    assert_eq!(joined(then, own, FAIL), None, "{then} and {own} differ");
    let wider = joined(then, own, WIDEN);
    assert_eq!(wider.as_ref(), Some(expected.data_type()), "{then} and {own}");
    assert_eq!(&cast(file, expected.data_type()).unwrap(), expected);
    assert!(fits(expected.data_type(), then, WIDEN), "{then} is read as before");
    let back = cast(&cast(table, expected.data_type()).unwrap(), then);
    assert_eq!(&back.unwrap(), table, "no value of {then} is lost");
}

#[track_caller]
fn refused(table: &DataType, file: &DataType) {
    assert_eq!(joined(table, file, WIDEN_AND_NULL), None, "{table} and {file}");
}

#[test]
fn whole_numbers_widen_to_the_next_size_that_holds_both() {
    let small = array(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]));
    let edges = vec![Some(i64::from(i16::MIN)), None, Some(i64::from(i16::MAX))];
    let short = array(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]));
    widens(&small, &short, &short.clone());
    widens(
        &short,
        &array(Int64Array::from(edges.clone())),
        &array(Int64Array::from(edges.clone())),
    );
    // And from the wider to the narrower: the table stays as it is.
    let wide = array(Int64Array::from(vec![i64::MIN, i64::MAX]));
    widens(&wide, &short, &array(Int64Array::from(edges)));
    widens(
        &array(Int32Array::from(vec![i32::MIN, i32::MAX])),
        &array(UInt32Array::from(vec![0, u32::MAX])),
        &array(Int64Array::from(vec![0, i64::from(u32::MAX)])),
    );
    widens(
        &array(UInt8Array::from(vec![u8::MAX])),
        &array(UInt64Array::from(vec![u64::MAX])),
        &array(UInt64Array::from(vec![u64::MAX])),
    );
    widens(
        &array(UInt16Array::from(vec![u16::MAX])),
        &array(Int8Array::from(vec![i8::MIN])),
        &array(Int32Array::from(vec![i32::from(i8::MIN)])),
    );
    refused(&DataType::Int64, &DataType::UInt64);
    refused(&DataType::UInt64, &DataType::Int8);
}

#[test]
fn whole_numbers_become_floats_only_where_each_is_exact() {
    widens(
        &array(Float32Array::from(vec![f32::MIN, f32::MAX, f32::MIN_POSITIVE])),
        &array(Float64Array::from(vec![f64::MIN, f64::NAN])),
        &array(Float64Array::from(vec![f64::MIN, f64::NAN])),
    );
    widens(
        &array(Int32Array::from(vec![i32::MIN, i32::MAX])),
        &array(Float64Array::from(vec![0.5])),
        &array(Float64Array::from(vec![0.5])),
    );
    widens(
        &array(Float32Array::from(vec![0.5])),
        &array(UInt32Array::from(vec![u32::MAX, 16_777_217])),
        &array(Float64Array::from(vec![4_294_967_295.0, 16_777_217.0])),
    );
    for whole in [DataType::Int64, DataType::UInt64] {
        refused(&DataType::Float64, &whole);
        refused(&whole, &DataType::Float32);
    }
}

#[test]
fn decimals_grow_by_digits_before_and_behind_the_point() {
    let decimal = |values: &[i128], digits, scale| {
        let values = Decimal128Array::from(values.to_vec());
        array(values.with_precision_and_scale(digits, scale).unwrap())
    };
    widens(
        &decimal(&[999_999_999_999, -1], 12, 2),
        &decimal(&[999_999], 6, 4),
        &decimal(&[999_999], 14, 4),
    );
    widens(&decimal(&[99], 12, 2), &decimal(&[99], 4, 2), &decimal(&[99], 12, 2));
    let tiny = Decimal32Array::from(vec![999_999_999]).with_precision_and_scale(9, 0).unwrap();
    let wide = Decimal256Array::from(vec![i256::from_i128(1)]);
    let wide = array(wide.with_precision_and_scale(76, 10).unwrap());
    widens(&array(tiny), &wide, &wide.clone());
    widens(
        &decimal(&[10_i128.pow(38) - 1], 38, 0),
        &decimal(&[5], 38, 38),
        &array(
            Decimal256Array::from(vec![i256::from_i128(5)])
                .with_precision_and_scale(76, 38)
                .unwrap(),
        ),
    );
    refused(&DataType::Decimal256(76, 0), &DataType::Decimal256(76, 1));
    refused(&DataType::Decimal128(38, 0), &DataType::Int32);
    refused(&DataType::Float64, &DataType::Decimal128(5, 2));
}

#[test]
fn times_get_a_finer_unit_and_never_wrap_or_lose_digits() {
    let micros = array(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(i64::MAX)]));
    widens(&array(TimestampSecondArray::from(vec![-1, 5])), &micros, &micros.clone());
    widens(
        &micros,
        &array(TimestampMillisecondArray::from(vec![-1])),
        &array(TimestampMicrosecondArray::from(vec![-1_000])),
    );
    // A table does not become one of nanoseconds, but one that is stays so.
    widens(
        &micros,
        &array(TimestampNanosecondArray::from(vec![Some(-2_000), None])),
        &array(TimestampMicrosecondArray::from(vec![Some(-2), None])),
    );
    widens(
        &array(TimestampNanosecondArray::from(vec![1])),
        &array(TimestampMicrosecondArray::from(vec![1])),
        &array(TimestampNanosecondArray::from(vec![1_000])),
    );
    let unit = |unit| DataType::Timestamp(unit, None);
    let uneven = array(TimestampNanosecondArray::from(vec![1_000, -1]));
    assert!(cast(&uneven, &unit(TimeUnit::Microsecond)).is_err(), "it would lose digits");
    assert!(cast(&uneven.slice(0, 1), &unit(TimeUnit::Microsecond)).is_ok());
    let far = array(TimestampMicrosecondArray::from(vec![i64::MAX / 1_000 + 1]));
    assert!(cast(&far, &unit(TimeUnit::Nanosecond)).is_err(), "it would wrap");
    let far = array(TimestampSecondArray::from(vec![i64::MAX / 1_000_000 + 1]));
    assert!(cast(&far, &unit(TimeUnit::Microsecond)).is_err(), "it would wrap");

    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    refused(&zoned, &unit(TimeUnit::Microsecond));
    refused(&unit(TimeUnit::Microsecond), &zoned);
    refused(&DataType::Date32, &unit(TimeUnit::Microsecond));
    refused(&unit(TimeUnit::Microsecond), &DataType::Date32);
    refused(&unit(TimeUnit::Second), &DataType::Int64);
}

#[test]
fn other_ways_to_store_the_same_values_are_the_same_type() {
    let texts = array(StringArray::from(vec![Some("ä"), None, Some("")]));
    let ways = [
        array(LargeStringArray::from(vec![Some("ä"), None, Some("")])),
        array(StringViewArray::from(vec![Some("ä"), None, Some("")])),
        array(["ä", "", ""].into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    for way in &ways {
        assert!(fits(&DataType::Utf8, way.data_type(), FAIL), "{}", way.data_type());
        let read = cast(way, &DataType::Utf8).unwrap();
        assert_eq!(read.as_string::<i32>().value(0), "ä");
        assert_eq!(read.data_type(), &DataType::Utf8);
    }
    for kind in [DataType::LargeUtf8, DataType::Utf8View] {
        assert!(fits(&kind, &DataType::Utf8, FAIL));
        assert_eq!(&cast(&cast(&texts, &kind).unwrap(), &DataType::Utf8).unwrap(), &texts);
    }
    for kind in [DataType::LargeBinary, DataType::BinaryView] {
        assert!(fits(&kind, &DataType::Binary, FAIL));
    }
    let at = |zone: &str| array(TimestampMicrosecondArray::from(vec![7]).with_timezone(zone));
    assert!(fits(at("UTC").data_type(), at("Europe/Berlin").data_type(), FAIL));
    assert_eq!(&cast(&at("+01:00"), at("UTC").data_type()).unwrap(), &at("UTC"));
    refused(&DataType::Utf8, &DataType::Binary);
    refused(&DataType::Utf8, &DataType::Int64);
    refused(&DataType::Boolean, &DataType::Int8);
}

#[test]
fn what_has_no_value_and_what_has_a_fixed_length_widen_too() {
    let nulls = array(NullArray::new(2));
    assert_eq!(joined(&DataType::Null, &DataType::Int8, WIDEN), Some(DataType::Int8));
    assert_eq!(joined(&DataType::Null, &DataType::Int8, FAIL), None);
    let none = array(StringArray::from(vec![None::<&str>, None]));
    widens(&array(StringArray::from(vec!["a"])), &nulls, &none);
    let fixed = DataType::FixedSizeBinary(2);
    assert_eq!(joined(&fixed, &DataType::Binary, WIDEN), Some(DataType::Binary));
    let two = cast(&array(BinaryArray::from(vec![&b"ab"[..]])), &fixed).unwrap();
    assert_eq!(cast(&two, &DataType::Binary).unwrap().as_binary::<i32>().value(0), b"ab");
    refused(&fixed, &DataType::FixedSizeBinary(3));
}

fn field(name: &str, kind: DataType) -> FieldRef {
    Arc::new(Field::new(name, kind, true))
}

fn pair(first: (&str, DataType), second: (&str, DataType)) -> DataType {
    DataType::Struct(vec![field(first.0, first.1), field(second.0, second.1)].into())
}

#[test]
fn a_struct_that_gains_or_loses_a_child_needs_both_keys() {
    let (a, b, c) = (("a", DataType::Int64), ("b", DataType::Utf8), ("c", DataType::Boolean));
    let (ab, ba) = (pair(a.clone(), b.clone()), pair(b.clone(), a.clone()));
    assert!(fits(&ab, &ba, FAIL), "the order does not count");
    let ac = pair(a.clone(), c.clone());
    for allowed in [FAIL, WIDEN, Allowed { widening: false, nulls: true }] {
        assert_eq!(joined(&ab, &ac, allowed), None);
    }
    let DataType::Struct(fields) = joined(&ab, &ac, WIDEN_AND_NULL).unwrap() else { panic!() };
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let only_a = DataType::Struct(vec![field("a", DataType::Int64)].into());
    assert!(fits(&ab, &only_a, WIDEN_AND_NULL) && !fits(&ab, &only_a, WIDEN));
    refused(&ab, &pair(a.clone(), ("B", DataType::Utf8)));
    let narrow = pair(b, ("a", DataType::Int8));
    assert!(fits(&ab, &narrow, WIDEN) && !fits(&ab, &narrow, FAIL));
    refused(&ab, &pair(a, ("b", DataType::Int64)));

    let DataType::Struct(own) = &narrow else { panic!() };
    let (texts, numbers) = (StringArray::from(vec!["x", "y"]), Int8Array::from(vec![1, -1]));
    let validity = Some(vec![true, false].into());
    let rows = array(StructArray::new(own.clone(), vec![array(texts), array(numbers)], validity));
    let read = cast(&rows, &DataType::Struct(fields)).unwrap();
    let read = read.as_struct();
    assert_eq!(read.column(0).as_ref(), &Int64Array::from(vec![1, -1]) as &dyn Array);
    assert_eq!((read.column(2).null_count(), read.is_null(1)), (2, true));
}

#[test]
fn lists_and_maps_widen_by_what_they_hold() {
    let numbers = array(Int16Array::from(vec![9, 1, 2, 3]));
    let item = field("item", DataType::Int16);
    let offsets = OffsetBuffer::new(vec![1, 3, 3, 4].into());
    let list = array(ListArray::new(item, offsets, numbers, Some(vec![true, false, true].into())));
    let wide = DataType::LargeList(field("element", DataType::Int64));
    let short = DataType::LargeList(field("element", DataType::Int16));
    assert!(fits(&short, list.data_type(), FAIL), "names of items do not count");
    assert!(fits(&wide, list.data_type(), WIDEN) && !fits(&wide, list.data_type(), FAIL));
    let read = cast(&list.slice(1, 2), &wide).unwrap();
    let read = read.as_list::<i64>();
    assert_eq!((read.len(), read.is_null(0)), (2, true));
    assert_eq!(read.value(1).as_ref(), &Int64Array::from(vec![3]) as &dyn Array);
    refused(&wide, &DataType::LargeList(field("item", DataType::UInt64)));

    let keys = array(StringArray::from(vec!["a", "b", "c"]));
    let entries = StructArray::from(vec![
        (Arc::new(Field::new("key", DataType::Utf8, false)), keys),
        (field("value", DataType::Int32), array(Int32Array::from(vec![Some(1), None, Some(3)]))),
    ]);
    let of = Arc::new(Field::new("key_value", entries.data_type().clone(), false));
    let offsets = OffsetBuffer::new(vec![0, 1, 3].into());
    let map = array(MapArray::new(of, offsets, entries, None, false));
    let table = kind::map(&field("k", DataType::LargeUtf8), field("v", DataType::Int64));
    assert!(fits(&table, map.data_type(), WIDEN) && !fits(&table, map.data_type(), FAIL));
    let read = cast(&map.slice(1, 1), &table).unwrap();
    let entries = read.as_map().value(0);
    assert_eq!(entries.column(1).as_ref(), &Int64Array::from(vec![None, Some(3)]) as &dyn Array);
    assert_eq!(entries.column(0).as_string::<i64>().value(1), "c");
}
