//! Lists and structs: cast by their parts, or as JSON text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use arrow::json::ReaderBuilder;
use arrow::json::writer::{LineDelimited, WriterBuilder};

use super::{cast_strict, is_text, misfit, no_cast, plain_cast, shorten, shown};
use crate::error::Result;

pub(super) fn cast(array: &ArrayRef, to: &DataType, field: &str) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = cast_strict(list.values(), item.data_type(), field)?;
            let rebuilt = ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned());
            rebuilt.map(|a| Arc::new(a) as ArrayRef).map_err(|e| no_cast(array.data_type(), to, field).with_source(e))
        }
        (DataType::Struct(from_fields), DataType::Struct(to_fields)) => {
            // A member that only one side has would be lost or made up.
            if from_fields.len() != to_fields.len() {
                return Err(no_cast(array.data_type(), to, field));
            }
            let from = array.as_struct();
            let member = |f: &Arc<Field>| {
                let column = from.column_by_name(f.name()).ok_or_else(|| no_cast(array.data_type(), to, field))?;
                cast_strict(column, f.data_type(), &format!("{field}.{}", f.name()))
            };
            let columns = to_fields.iter().map(member).collect::<Result<Vec<_>>>()?;
            let rebuilt = StructArray::try_new(to_fields.clone(), columns, from.nulls().cloned());
            rebuilt.map(|a| Arc::new(a) as ArrayRef).map_err(|e| no_cast(array.data_type(), to, field).with_source(e))
        }
        // Other layouts of lists differ in nothing but their offsets.
        (
            DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _),
            _,
        ) => {
            let plain = plain_cast(array, &DataType::List(item.clone()), field)?;
            cast_strict(&plain, to, field)
        }
        (DataType::List(_) | DataType::Struct(_), text) if is_text(text) => print_json(array, field),
        (from, to) => Err(no_cast(from, to, field)),
    }
}

/// Each value as one JSON text.
fn print_json(array: &ArrayRef, field: &str) -> Result<ArrayRef> {
    // Arrow's writer knows uuids as bytes.
    let array = &super::readable(array, field)?;
    let wrong = |e| no_cast(array.data_type(), &DataType::Utf8, field).with_source(e);
    let schema = Arc::new(Schema::new(vec![Field::new("v", array.data_type().clone(), true)]));
    let mut out = StringBuilder::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        let value = array.slice(row, 1);
        if !is_finite(&value) {
            // The writer would make it null.
            return Err(misfit(&shown(array, row), &DataType::Utf8, field)
                .with_hint("JSON has no NaN and no infinity: replace them with a source expression"));
        }
        let batch = RecordBatch::try_new(schema.clone(), vec![value]).map_err(wrong)?;
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
        writer.write(&batch).map_err(wrong)?;
        let line = String::from_utf8_lossy(&writer.into_inner()).trim_end().to_string();
        // The writer gives `{"v":…}`.
        out.append_value(line.strip_prefix("{\"v\":").and_then(|l| l.strip_suffix('}')).unwrap_or("null"));
    }
    Ok(Arc::new(out.finish()))
}

/// Whether all floats within a value of one row are numbers.
fn is_finite(value: &ArrayRef) -> bool {
    match value.data_type() {
        DataType::Float32 => value.as_primitive::<Float32Type>().iter().flatten().all(f32::is_finite),
        DataType::Float64 => value.as_primitive::<Float64Type>().iter().flatten().all(f64::is_finite),
        DataType::List(_) => value.as_list::<i32>().iter().flatten().all(|items| is_finite(&items)),
        DataType::Struct(_) => value.as_struct().columns().iter().all(is_finite),
        _ => true,
    }
}

/// Each text, which must be JSON, as a list or struct.
pub(super) fn parse_json(texts: &StringArray, to: &DataType, field: &str) -> Result<ArrayRef> {
    // Arrow's reader rounds decimals and cuts seconds: it hands on the texts, which are then parsed strictly.
    let plain = in_texts(to);
    let schema = Arc::new(Schema::new(vec![Field::new("v", plain.clone(), true)]));
    let wrong = |e| no_cast(&DataType::Utf8, to, field).with_source(e);
    let mut lines = Vec::new();
    for text in texts.iter() {
        let text = text.unwrap_or("null");
        let valid = serde_json::from_str::<serde_json::Value>(text).is_ok_and(|v| fits(&v, to));
        if !valid {
            return Err(misfit(&shorten(text), to, field));
        }
        lines.extend_from_slice(b"{\"v\":");
        lines.extend_from_slice(text.as_bytes());
        lines.extend_from_slice(b"}\n");
    }
    let builder = ReaderBuilder::new(schema).with_batch_size(texts.len().max(1)).with_coerce_primitive(true);
    let mut reader = builder.with_strict_mode(true).build(lines.as_slice()).map_err(wrong)?;
    match reader.next() {
        Some(batch) => cast_strict(batch.map_err(wrong)?.column(0), to, field),
        None => Ok(arrow::array::new_empty_array(to)),
    }
}

/// The type with texts in the place of all that is not nested. Binary is written in hexadecimal, which Arrow reads.
fn in_texts(t: &DataType) -> DataType {
    let with = |f: &Arc<Field>| Arc::new(Field::new(f.name(), in_texts(f.data_type()), true));
    match t {
        DataType::List(item) => DataType::List(with(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(with).collect()),
        DataType::Binary => DataType::Binary,
        _ => DataType::Utf8,
    }
}

/// Whether a JSON value has the shape of the type. Whether the type holds it exactly is seen when it is parsed.
fn fits(value: &serde_json::Value, to: &DataType) -> bool {
    use serde_json::Value;
    match (value, to) {
        (Value::Null, _) => true,
        (Value::Array(items), DataType::List(item)) => items.iter().all(|v| fits(v, item.data_type())),
        (Value::Object(map), DataType::Struct(fields)) => {
            map.iter().all(|(key, v)| fields.iter().any(|f| f.name() == key && fits(v, f.data_type())))
        }
        (Value::Array(_) | Value::Object(_), _) | (_, DataType::List(_) | DataType::Struct(_)) => false,
        (Value::String(_), _) => true,
        (Value::Number(_), t) => t.is_numeric(),
        (Value::Bool(_), t) => *t == DataType::Boolean,
    }
}
