//! Writes JSON: lines of objects, and nested values for CSV.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;

use crate::connector::file::text::{Write1, texts};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

/// Writes a batch's rows, each an object on a line. NULLs are written, so that every column can be found again.
///
/// # Errors
/// Loader: JSON has no `NaN` and `inf`; a json value that is none.
pub fn rows(batch: &RecordBatch, fields: &[DxtField], out: &mut Vec<u8>) -> Result<()> {
    let columns = batch.columns().iter().zip(fields).map(|(array, field)| {
        let mut key = Vec::new();
        string(&field.name, &mut key);
        key.push(b':');
        let write = value_writer(&field.dtype, array).map_err(|e| e.context(format!("column {}", field.name)))?;
        Ok((key, write))
    });
    let columns: Vec<(Vec<u8>, Write1<'_>)> = columns.collect::<Result<_>>()?;
    for row in 0..batch.num_rows() {
        out.push(b'{');
        for (index, (key, write)) in columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            match batch.column(index).is_null(row) {
                true => out.extend_from_slice(b"null"),
                false => {
                    let start = out.len();
                    write(row, out).map_err(|e| e.context(format!("column {}", fields[index].name)))?;
                    if out[start..].trim_ascii() == b"null" {
                        return Err(null_value(&fields[index].name));
                    }
                }
            }
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

/// A column's value that is JSON's own `null` would come back as NULL.
fn null_value(field: &str) -> Error {
    Error::new(ErrorKind::Validation, format!("field {field}: a JSON `null` cannot be told from NULL in JSON lines"))
        .with_hint(format!("write another format, or {field} as `dtype: string`"))
}

/// A string in quotes.
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b < b' ' || *b == b'"' || *b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte if byte < b' ' => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.extend([b'\\', byte]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Writes the values of a column that are not NULL as JSON. Decimals are numbers with all their digits; dates, times
/// and bytes are strings as in CSV; what is json already is taken in as it stands.
///
/// # Errors
/// Type mapping: the column's type has no JSON.
pub fn value_writer<'a>(dtype: &DxtType, array: &'a dyn Array) -> Result<Write1<'a>> {
    match (array.data_type(), dtype) {
        (DataType::Utf8, DxtType::Json) => {
            let values = array.as_string::<i32>();
            Ok(Box::new(move |row, out| json(values.value(row), out)))
        }
        (DataType::Utf8, _) => {
            let values = array.as_string::<i32>();
            Ok(Box::new(move |row, out| {
                string(values.value(row), out);
                Ok(())
            }))
        }
        (DataType::List(_), _) => {
            let list = array.as_list::<i32>();
            let inner = match dtype {
                DxtType::Array(inner) => inner.as_ref().clone(),
                _ => DxtType::from_arrow(list.values().data_type())?,
            };
            let write = value_writer(&inner, list.values().as_ref())?;
            Ok(Box::new(move |row, out| {
                let offsets = list.value_offsets();
                out.push(b'[');
                for at in offsets[row] as usize..offsets[row + 1] as usize {
                    if at > offsets[row] as usize {
                        out.push(b',');
                    }
                    element(list.values().as_ref(), at, &write, out)?;
                }
                out.push(b']');
                Ok(())
            }))
        }
        (DataType::Struct(fields), _) => {
            let record = array.as_struct();
            let members = fields.iter().zip(record.columns()).enumerate().map(|(index, (field, column))| {
                let mut key = Vec::new();
                string(field.name(), &mut key);
                key.push(b':');
                let write = value_writer(&member_type(dtype, index, field)?, column.as_ref())?;
                Ok((key, column, write))
            });
            let members = members.collect::<Result<Vec<_>>>()?;
            Ok(Box::new(move |row, out| {
                out.push(b'{');
                for (index, (key, column, write)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(key);
                    element(column.as_ref(), row, write, out)?;
                }
                out.push(b'}');
                Ok(())
            }))
        }
        (data_type, _) => {
            let float = matches!(data_type, DataType::Float32 | DataType::Float64);
            let texts = texts(array)?;
            Ok(Box::new(move |row, out| {
                if !texts.bare {
                    // Dates, times and hexadecimal digits: nothing to escape but the backslash before the digits.
                    let mut plain = Vec::new();
                    (texts.write)(row, &mut plain)?;
                    string(&String::from_utf8_lossy(&plain), out);
                    return Ok(());
                }
                let start = out.len();
                (texts.write)(row, out)?;
                // `NaN` and `inf` are the only texts of floats that begin with a letter, behind a sign perhaps.
                if float && out[start..].iter().any(|b| matches!(b, b'N' | b'i')) {
                    let value = String::from_utf8_lossy(&out[start..]).into_owned();
                    return Err(Error::new(ErrorKind::Loader, format!("JSON has no number {value}"))
                        .with_hint("make it NULL in the field's expression, or write CSV or Parquet"));
                }
                Ok(())
            }))
        }
    }
}

fn member_type(dtype: &DxtType, index: usize, field: &Field) -> Result<DxtType> {
    match dtype {
        DxtType::Object(fields) if index < fields.len() => Ok(fields[index].dtype.clone()),
        _ => DxtType::from_arrow(field.data_type()),
    }
}

fn element(array: &dyn Array, row: usize, write: &Write1<'_>, out: &mut Vec<u8>) -> Result<()> {
    match array.is_null(row) {
        true => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        false => write(row, out),
    }
}

/// JSON as it stands, but on one line: a line end outside of strings is a blank, and within them JSON allows none.
fn json(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| {
        Error::new(ErrorKind::Loader, "a value of type json is not JSON")
            .with_source(e)
            .with_hint("declare the field as string to write its text")
    })?;
    out.extend(text.bytes().map(|b| if b == b'\n' || b == b'\r' { b' ' } else { b }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::model::DxtSchema;

    fn written(fields: Vec<DxtField>, arrays: Vec<ArrayRef>) -> Result<String> {
        let batch = RecordBatch::try_new(DxtSchema::new(fields.clone()).to_arrow(), arrays).unwrap();
        let mut out = Vec::new();
        rows(&batch, &fields, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_exact_and_nulls_are_written() {
        let object = DxtType::Object(vec![DxtField::new("k\"", DxtType::Int64)]);
        let fields = vec![
            DxtField::new("a\"b", DxtType::String),
            DxtField::new("d", DxtType::Decimal { precision: 30, scale: 2 }),
            DxtField::new("j", DxtType::Json),
            DxtField::new("l", DxtType::Array(Box::new(DxtType::Int32))),
            DxtField::new("o", object.clone()),
        ];
        let DataType::Struct(members) = object.to_arrow() else { unreachable!() };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("x\n\u{1}日"), None])),
            Arc::new(
                Decimal128Array::from(vec![Some(1_234_567_890_123_456_789_050), None])
                    .with_precision_and_scale(30, 2)
                    .unwrap(),
            ),
            Arc::new(StringArray::from(vec![Some("{\"x\":\n1.0}"), None])),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None])),
            Arc::new(StructArray::new(members, vec![Arc::new(Int64Array::from(vec![Some(1), None]))], None)),
        ];
        let expected = concat!(
            r#"{"a\"b":"x\n\u0001日","d":12345678901234567890.50,"j":{"x": 1.0},"l":[1,null],"o":{"k\"":1}}"#,
            "\n",
            r#"{"a\"b":null,"d":null,"j":null,"l":null,"o":{"k\"":null}}"#,
            "\n"
        );
        assert_eq!(written(fields, arrays).unwrap(), expected);
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        let float =
            |v: f64| written(vec![DxtField::new("f", DxtType::Float64)], vec![Arc::new(Float64Array::from(vec![v]))]);
        assert_eq!(float(1e300).unwrap(), "{\"f\":1e300}\n");
        assert_eq!(float(f64::NAN).unwrap_err().kind(), ErrorKind::Loader);
        assert!(float(f64::NEG_INFINITY).unwrap_err().to_string().contains("-inf"));
        let json = written(vec![DxtField::new("j", DxtType::Json)], vec![Arc::new(StringArray::from(vec!["{"]))]);
        assert!(json.unwrap_err().to_string().contains("column j"));
    }
}
