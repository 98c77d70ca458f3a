//! Arrow values as SQLite values that read back the same, or an error: never a rounding, a NULL or another form.

use arrow::array::{Array, AsArray, types::*};
use arrow::datatypes::{DataType, TimeUnit};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::decode::is_json;
use super::text::{format_date, format_decimal, format_time, format_timestamp, parse_decimal};
use super::{Misfit, shorten};
use crate::connector::sqlite::types::Affinity;
use crate::model::{DxtType, uuid_text};

/// The value at `row` as a column of `dtype` and `affinity` stores it. `array` has the Arrow type of `dtype`.
pub fn encode<'a>(
    array: &'a dyn Array,
    row: usize,
    dtype: &DxtType,
    affinity: Affinity,
) -> Result<ToSqlOutput<'a>, Misfit> {
    if array.is_null(row) {
        return Ok(ToSqlOutput::Borrowed(ValueRef::Null));
    }
    let integer = |i: i64| Ok(ToSqlOutput::Borrowed(ValueRef::Integer(i)));
    let years = || Misfit {
        reason: "a date outside of the years 0001 to 9999 has no text that sorts as the dates do".into(),
        hint: Some("give the field `dtype: string` to keep the text that its source writes"),
    };
    match array.data_type() {
        DataType::Int8 => integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => integer(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => integer(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => integer(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => integer(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => Ok(owned(format!("{:020}", array.as_primitive::<UInt64Type>().value(row)))),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(p, s) => {
            decimal(&array.as_primitive::<Decimal128Type>().value(row).to_string(), *p, *s, affinity)
        }
        DataType::Decimal256(p, s) => {
            decimal(&array.as_primitive::<Decimal256Type>().value(row).to_string(), *p, *s, affinity)
        }
        DataType::Utf8 => text(array.as_string::<i32>().value(row), dtype, affinity),
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row), dtype, affinity),
        DataType::Utf8View => text(array.as_string_view().value(row), dtype, affinity),
        DataType::Boolean => integer(array.as_boolean().value(row).into()),
        DataType::Date32 => format_date(array.as_primitive::<Date32Type>().value(row)).map(owned).ok_or_else(years),
        DataType::Time32(_) | DataType::Time64(_) => {
            let (count, precision) = count(array, row)?;
            format_time(count, precision).map(owned).ok_or_else(|| Misfit::new("a time outside of one day"))
        }
        DataType::Timestamp(_, zone) => {
            let (count, precision) = count(array, row)?;
            let text = format_timestamp(count, precision).ok_or_else(years)?;
            Ok(owned(if zone.is_some() { text + "+00:00" } else { text }))
        }
        DataType::Binary => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(array.as_binary::<i32>().value(row)))),
        DataType::LargeBinary => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(array.as_binary::<i64>().value(row)))),
        DataType::BinaryView => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(array.as_binary_view().value(row)))),
        DataType::FixedSizeBinary(16) => match array.as_fixed_size_binary().value(row).try_into() {
            Ok(value) => Ok(owned(uuid_text(value))),
            Err(_) => Err(Misfit::new("a uuid has 16 bytes")),
        },
        other => Err(Misfit::new(format!("dxt does not write Arrow's {other} to SQLite"))),
    }
}

/// A value whose order in SQLite is the order of the typed values, for columns of any type that a watermark may have:
/// wide decimals and texts as bytes, the others as they are stored.
pub fn order_key<'a>(
    array: &'a dyn Array,
    row: usize,
    dtype: &DxtType,
    affinity: Affinity,
) -> Result<ToSqlOutput<'a>, Misfit> {
    if array.is_null(row) {
        return Ok(ToSqlOutput::Borrowed(ValueRef::Null));
    }
    // Big-endian with the sign bit turned: bytes then sort as the numbers do.
    let bytes = |mut big_endian: Vec<u8>| {
        if let Some(first) = big_endian.first_mut() {
            *first ^= 0x80;
        }
        Ok(ToSqlOutput::Owned(Value::Blob(big_endian)))
    };
    match array.data_type() {
        DataType::Decimal128(..) => bytes(array.as_primitive::<Decimal128Type>().value(row).to_be_bytes().to_vec()),
        DataType::Decimal256(..) => bytes(array.as_primitive::<Decimal256Type>().value(row).to_be_bytes().to_vec()),
        // Bytes, for the texts of a UTF-16 database do not sort by code point.
        DataType::Utf8 => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(array.as_string::<i32>().value(row).as_bytes()))),
        _ => encode(array, row, dtype, affinity),
    }
}

fn owned(text: String) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(Value::Text(text))
}

fn float(value: f64) -> Result<ToSqlOutput<'static>, Misfit> {
    if value.is_nan() {
        return Err(Misfit {
            reason: "SQLite cannot store NaN: it would make it NULL".into(),
            hint: Some("turn NaN into NULL or a number with a source expression"),
        });
    }
    Ok(ToSqlOutput::Borrowed(ValueRef::Real(value)))
}

/// A time's or timestamp's count and the digits of its unit.
fn count(array: &dyn Array, row: usize) -> Result<(i64, u8), Misfit> {
    Ok(match array.data_type() {
        DataType::Time32(TimeUnit::Second) => (array.as_primitive::<Time32SecondType>().value(row).into(), 0),
        DataType::Time32(TimeUnit::Millisecond) => (array.as_primitive::<Time32MillisecondType>().value(row).into(), 3),
        DataType::Time64(TimeUnit::Microsecond) => (array.as_primitive::<Time64MicrosecondType>().value(row), 6),
        DataType::Time64(TimeUnit::Nanosecond) => (array.as_primitive::<Time64NanosecondType>().value(row), 9),
        DataType::Timestamp(TimeUnit::Second, _) => (array.as_primitive::<TimestampSecondType>().value(row), 0),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (array.as_primitive::<TimestampMillisecondType>().value(row), 3)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            (array.as_primitive::<TimestampMicrosecondType>().value(row), 6)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => (array.as_primitive::<TimestampNanosecondType>().value(row), 9),
        other => return Err(Misfit::new(format!("Arrow has no {other}"))),
    })
}

fn decimal(unscaled: &str, precision: u8, scale: i8, affinity: Affinity) -> Result<ToSqlOutput<'static>, Misfit> {
    let text = format_decimal(unscaled, scale);
    if matches!(affinity, Affinity::Text | Affinity::Blob) {
        return Ok(owned(text));
    }
    let whole = match text.split_once('.') {
        Some((whole, part)) => part.bytes().all(|b| b == b'0').then_some(whole),
        None => Some(text.as_str()),
    };
    if affinity != Affinity::Real
        && let Some(i) = whole.and_then(|w| w.parse().ok())
    {
        return Ok(ToSqlOutput::Owned(Value::Integer(i)));
    }
    let back =
        |real: f64| parse_decimal(&format!("{real:?}"), precision, scale).is_ok_and(|v| v.to_string() == unscaled);
    match text.parse::<f64>() {
        Ok(real) if back(real) => Ok(ToSqlOutput::Owned(Value::Real(real))),
        _ => Err(Misfit {
            reason: format!("decimal {text} has more digits than SQLite's numbers keep"),
            hint: Some("declare the target's column TEXT_DECIMAL(p,s), which holds any number of digits"),
        }),
    }
}

fn text<'a>(value: &'a str, dtype: &DxtType, affinity: Affinity) -> Result<ToSqlOutput<'a>, Misfit> {
    if *dtype == DxtType::Json && !is_json(value) {
        return Err(Misfit::new(format!("text '{}' is not JSON", shorten(value))));
    }
    if matches!(affinity, Affinity::Text | Affinity::Blob) || !looks_numeric(value) {
        return Ok(ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())));
    }
    // Other affinities make numbers of such texts: fine where the number's own text is this very text.
    if let Ok(i) = value.parse::<i64>()
        && i.to_string() == value
        && affinity != Affinity::Real
    {
        return Ok(ToSqlOutput::Owned(Value::Integer(i)));
    }
    match value.parse::<f64>() {
        Ok(real) if format!("{real:?}") == value && (affinity == Affinity::Real || !becomes_integer(real)) => {
            Ok(ToSqlOutput::Owned(Value::Real(real)))
        }
        _ => Err(Misfit {
            reason: format!(
                "text '{}' would become a number in a column of {} affinity",
                shorten(value),
                affinity.as_sql()
            ),
            hint: Some("declare the target's column TEXT"),
        }),
    }
}

/// Whether SQLite's numeric affinities turn the text into a number (or perhaps do).
fn looks_numeric(text: &str) -> bool {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    trimmed.bytes().any(|b| b.is_ascii_digit()) && trimmed.parse::<f64>().is_ok()
}

/// Whether INTEGER and NUMERIC affinity may store the real as an integer, whose text is another one: 64 bits are its end.
fn becomes_integer(real: f64) -> bool {
    real.fract() == 0.0 && real.abs() <= 9_223_372_036_854_775_808.0
}
