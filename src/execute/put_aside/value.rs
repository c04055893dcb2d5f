//! Values as JSON. Where JSON has no number for one that is exact, or none at all, it is a text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, DataType, Field, Float16Type, Float32Type, Float64Type, Schema,
};
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

/// What is told of a value that nothing here can write.
const UNWRITABLE: &str = "?";

/// The values of a column.
pub(super) fn values(field: &Field, column: &ArrayRef) -> Vec<Value> {
    let all = match column.data_type() {
        DataType::Float16 => {
            let floats = column.as_primitive::<Float16Type>().values();
            floats.iter().map(|value| number(value.to_f64(), value)).collect()
        }
        DataType::Float32 => {
            let floats = column.as_primitive::<Float32Type>().values();
            floats.iter().map(|value| number(f64::from(*value), value)).collect()
        }
        DataType::Float64 => {
            let floats = column.as_primitive::<Float64Type>().values();
            floats.iter().map(|value| number(*value, value)).collect()
        }
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => texts(column),
        // The library would tell an instant that it cannot write as the error that this is.
        kind if kind.is_temporal() => texts(column),
        DataType::List(item) => lists::<i32>(item, column),
        DataType::LargeList(item) => lists::<i64>(item, column),
        DataType::FixedSizeList(item, _) => fixed_lists(item, column),
        DataType::Map(_, _) => maps(column),
        DataType::Struct(_) => structs(column),
        _ => encoded(field, column).unwrap_or_else(|| texts(column)),
    };
    let value = |(row, value)| if column.is_valid(row) { value } else { Value::Null };
    all.into_iter().enumerate().map(value).collect()
}

/// A float as it is written in its own width, `NaN`, `inf` and `-inf` as texts.
fn number(value: f64, written: &impl std::fmt::Display) -> Value {
    if !value.is_finite() {
        return Value::String(value.to_string());
    }
    let written = written.to_string().parse().ok().and_then(serde_json::Number::from_f64);
    written.map_or(Value::Null, Value::Number)
}

fn lists<O: OffsetSizeTrait>(item: &Field, column: &ArrayRef) -> Vec<Value> {
    let list = column.as_list::<O>();
    let items = values(item, list.values());
    let of = |bounds: &[O]| {
        let [start, end] = bounds else { return Value::Null };
        let items = items.get(start.as_usize()..end.as_usize());
        Value::Array(items.unwrap_or_default().to_vec())
    };
    list.value_offsets().windows(2).map(of).collect()
}

fn fixed_lists(item: &Field, column: &ArrayRef) -> Vec<Value> {
    let list = column.as_fixed_size_list();
    let items = values(item, list.values());
    let len = usize::try_from(list.value_length()).unwrap_or_default();
    let of = |row: usize| {
        let start = row.saturating_mul(len);
        let items = items.get(start..start.saturating_add(len));
        Value::Array(items.unwrap_or_default().to_vec())
    };
    (0..column.len()).map(of).collect()
}

/// An object each: what is no text as a key is written as one.
fn maps(column: &ArrayRef) -> Vec<Value> {
    let map = column.as_map();
    let fields = map.entries().fields();
    let sides = [map.keys(), map.values()];
    let sides = fields.iter().zip(sides).map(|(field, side)| values(field, side));
    let sides: Vec<Vec<Value>> = sides.collect();
    let [keys, items] = sides.as_slice() else { return vec![Value::Null; column.len()] };
    let pair = |at: usize| {
        let key = match keys.get(at)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((key, items.get(at)?.clone()))
    };
    let of = |bounds: &[i32]| {
        let [start, end] = bounds else { return Value::Null };
        Value::Object((start.as_usize()..end.as_usize()).filter_map(pair).collect())
    };
    map.value_offsets().windows(2).map(of).collect()
}

fn structs(column: &ArrayRef) -> Vec<Value> {
    let pairs = column.as_struct();
    let children = pairs.fields().iter().zip(pairs.columns());
    let children: Vec<_> =
        children.map(|(field, child)| (field.name(), values(field, child))).collect();
    let of = |row: usize| {
        let value = |(name, values): &(&String, Vec<Value>)| {
            ((*name).clone(), values.get(row).cloned().unwrap_or_default())
        };
        Value::Object(children.iter().map(value).collect::<Map<_, _>>())
    };
    (0..column.len()).map(of).collect()
}

/// As the library writes them; `None` where it has no form for one.
fn encoded(field: &Field, column: &ArrayRef) -> Option<Vec<Value>> {
    const NAME: &str = "value";
    let field = field.clone().with_name(NAME);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column.clone()]);
    let mut bytes = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut bytes);
    writer.write(&batch.ok()?).and_then(|()| writer.finish()).ok()?;
    drop(writer);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    // A null is left out of its line.
    let value = |line: &[u8]| {
        let mut value: Value = serde_json::from_slice(line).ok()?;
        Some(value.get_mut(NAME).map(Value::take).unwrap_or_default())
    };
    let values: Option<Vec<Value>> = lines.map(value).collect();
    values.filter(|values| values.len() == column.len())
}

/// The values as texts. An instant that no calendar has is the number it is stored as.
fn texts(column: &ArrayRef) -> Vec<Value> {
    let options = FormatOptions::new().with_display_error(false);
    let formatter = ArrayFormatter::try_new(column, &options).ok();
    let stored = cast(column, &DataType::Int64).ok();
    let text = |row: usize| {
        let written = formatter.as_ref().and_then(|it| it.value(row).try_to_string().ok());
        let number = || {
            let stored = stored.as_ref()?;
            ArrayFormatter::try_new(stored, &options).ok()?.value(row).try_to_string().ok()
        };
        Value::String(written.or_else(number).unwrap_or_else(|| UNWRITABLE.to_owned()))
    };
    (0..column.len()).map(text).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        FixedSizeListBuilder, Float64Builder, Int64Builder, MapBuilder, StringBuilder,
    };
    use serde_json::json;

    use super::*;

    fn told(column: &ArrayRef) -> Value {
        Value::Array(values(&Field::new("c", column.data_type().clone(), true), column))
    }

    #[test]
    fn a_map_is_an_object_whatever_its_keys_are() {
        let mut map = MapBuilder::new(None, Int64Builder::new(), Float64Builder::new());
        map.keys().append_value(7);
        map.values().append_value(f64::NAN);
        map.keys().append_value(-1);
        map.values().append_null();
        map.append(true).unwrap();
        map.append(false).unwrap();
        map.append(true).unwrap();
        map.keys().append_value(0);
        map.values().append_value(0.5);
        map.append(true).unwrap();
        let column: ArrayRef = Arc::new(map.finish());
        assert_eq!(told(&column), json!([{"7": "NaN", "-1": null}, null, {}, {"0": 0.5}]));
        assert_eq!(told(&column.slice(2, 2)), json!([{}, {"0": 0.5}]), "a part of a column");
    }

    #[test]
    fn a_list_of_fixed_length_is_an_array_of_that_length() {
        let mut list = FixedSizeListBuilder::new(StringBuilder::new(), 2);
        list.values().append_value("a");
        list.values().append_null();
        list.append(true);
        list.values().append_value("never");
        list.values().append_value("seen");
        list.append(false);
        list.values().append_value("b");
        list.values().append_value("c");
        list.append(true);
        let column: ArrayRef = Arc::new(list.finish());
        assert_eq!(told(&column), json!([["a", null], null, ["b", "c"]]));
        assert_eq!(told(&column.slice(1, 2)), json!([null, ["b", "c"]]), "a part of a column");
    }
}
