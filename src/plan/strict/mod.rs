//! The strict cast: a value arrives exactly, or the load fails and names it.
//!
//! DataFusion's casts round decimals, cut fractions of seconds and turn what does not fit into NULL. Here a cast is
//! done by Arrow's kernel, and then proved: no value may have become NULL, and where a pair of types can lose
//! something, the result is cast back and must give the value again. Texts are parsed by rules of their own.

mod nested;
mod text;
mod udf;
mod uuids;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

pub use udf::{StrictCast, strict_cast};
pub use uuids::{readable, readable_type};

use crate::error::{Error, ErrorKind, Result};
use crate::model::is_uuid;

const LENIENT: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// Casts every value of `array` to `to` exactly.
///
/// # Errors
/// Validation, naming `field` and the first value (shortened) that would round, wrap, be cut or become NULL.
/// Type mapping where there is no cast between the two types.
pub fn cast_strict(array: &ArrayRef, to: &DataType, field: &str) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    if *from == DataType::Null || array.null_count() == array.len() {
        return Ok(new_null_array(to, array.len()));
    }
    match (from, to) {
        (DataType::Dictionary(_, value), _) => {
            let plain = plain_cast(array, value, field)?;
            return cast_strict(&plain, to, field);
        }
        (DataType::LargeUtf8 | DataType::Utf8View, _) if !matches!(to, DataType::Utf8) => {
            let plain = plain_cast(array, &DataType::Utf8, field)?;
            return cast_strict(&plain, to, field);
        }
        (DataType::Utf8, _) if is_uuid(to) => return uuids::parse(array.as_string::<i32>(), to, field),
        (DataType::Utf8, _) if !is_text(to) => return text::parse(array.as_string::<i32>(), to, field),
        _ if from.is_nested() || to.is_nested() => return nested::cast(array, to, field),
        (_, DataType::Utf8) if is_uuid(from) => return Ok(uuids::print(array)),
        (_, DataType::Utf8) if !is_text(from) && !is_binary(from) => return text::print(array, field),
        _ => {}
    }
    check_cast(from, to, field)?;
    let result = plain_cast(array, to, field)?;
    if result.null_count() > array.null_count() {
        let row = (0..array.len()).find(|i| result.is_null(*i) && array.is_valid(*i)).unwrap_or(0);
        return Err(lossy(array, row, to, field));
    }
    if !is_widening(from, to) {
        // Where there is no way back, nothing proves that the value has arrived.
        let back = plain_cast(&result, from, field).map_err(|e| no_cast(from, to, field).with_source(e))?;
        let same = not_distinct(&back, array).map_err(|e| no_cast(from, to, field).with_source(e))?;
        if let Some(row) = first_false(&same) {
            return Err(lossy(array, row, to, field));
        }
    }
    Ok(result)
}

/// Checks that there is a cast between two types at all.
///
/// # Errors
/// Type mapping, naming `field`.
pub fn check_cast(from: &DataType, to: &DataType, field: &str) -> Result<()> {
    if can_cast(from, to) { Ok(()) } else { Err(no_cast(from, to, field)) }
}

/// Whether there is a cast between two types at all.
pub fn can_cast(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (a, b) if a == b => true,
        // All of its 16 bytes, or its text; not bytes of another fixed length.
        (uuid, other) | (other, uuid) if is_uuid(uuid) && !other.is_nested() => {
            let bytes = matches!(other, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
            bytes || *other == DataType::Null || *other == DataType::Utf8 || (is_uuid(to) && is_text(other))
        }
        (DataType::List(a), DataType::List(b)) => can_cast(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            let member = |f: &arrow::datatypes::FieldRef| {
                b.find(f.name()).is_some_and(|(_, t)| can_cast(f.data_type(), t.data_type()))
            };
            a.len() == b.len() && a.iter().all(member)
        }
        (a, b) if a.is_nested() || b.is_nested() => is_text(a) || is_text(b),
        // Arrow counts from 1970 in a unit that the number does not tell: 20240131 would be a day of the year 57385.
        (a, b) if (a.is_numeric() && b.is_temporal()) || (a.is_temporal() && b.is_numeric()) => false,
        // What cannot be taken back cannot be proved: a time of day has lost its date.
        (a, b) => {
            let back = is_text(a) || is_text(b) || is_widening(a, b) || arrow::compute::can_cast_types(b, a);
            arrow::compute::can_cast_types(a, b) && back
        }
    }
}

fn plain_cast(array: &ArrayRef, to: &DataType, field: &str) -> Result<ArrayRef> {
    cast_with_options(array, to, &LENIENT).map_err(|e| no_cast(array.data_type(), to, field).with_source(e))
}

fn is_text(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_binary(t: &DataType) -> bool {
    matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// Whether every value of `from` has an exact counterpart in `to`, so that the way back need not be tried.
fn is_widening(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    // Bits of the magnitude, and whether there is a sign.
    let int = |t: &DataType| match t {
        Int8 => Some((7, true)),
        Int16 => Some((15, true)),
        Int32 => Some((31, true)),
        Int64 => Some((63, true)),
        UInt8 => Some((8, false)),
        UInt16 => Some((16, false)),
        UInt32 => Some((32, false)),
        UInt64 => Some((64, false)),
        _ => None,
    };
    let decimal = |t: &DataType| match t {
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => Some((*p as i16, *s as i16)),
        _ => None,
    };
    if let (Some((a, a_sign)), Some((b, b_sign))) = (int(from), int(to)) {
        return a <= b && (!a_sign || b_sign);
    }
    if let (Some((bits, _)), Float64) = (int(from), to) {
        return bits <= 53;
    }
    if let (Some((bits, _)), Float32) = (int(from), to) {
        return bits <= 24;
    }
    // Too many digits become NULL in Arrow's kernel, which the caller sees: only a lost fraction needs the way back.
    if let (Some(_), Some((_, scale))) = (int(from), decimal(to)) {
        return scale >= 0;
    }
    if let (Some((_, s1)), Some((_, s2))) = (decimal(from), decimal(to)) {
        return s2 >= s1;
    }
    match (from, to) {
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (Timestamp(a, _), Timestamp(b, _)) => a <= b && *b != TimeUnit::Nanosecond,
        (Time32(a), Time32(b) | Time64(b)) | (Time64(a), Time64(b)) => a <= b,
        (Date32, Timestamp(u, _)) => *u != TimeUnit::Nanosecond,
        (Date32, Date64) => true,
        (a, b) if is_text(a) && is_text(b) => true,
        (a, b) if is_binary(a) && (is_binary(b) || is_text(b)) => true,
        (a, b) if is_text(a) && is_binary(b) => true,
        _ => false,
    }
}

fn first_false(mask: &BooleanArray) -> Option<usize> {
    if mask.false_count() == 0 { None } else { (0..mask.len()).find(|i| !mask.value(*i)) }
}

/// A value for an error: at most 60 characters of it.
pub(crate) fn shown(array: &dyn Array, row: usize) -> String {
    if let Some(uuid) = is_uuid(array.data_type()).then(|| uuids::text(array, row)).flatten() {
        return shorten(&uuid);
    }
    let text = match ArrayFormatter::try_new(array, &FormatOptions::default().with_null("NULL")) {
        Ok(formatter) => formatter.value(row).try_to_string().unwrap_or_else(|_| "?".into()),
        Err(_) => "?".into(),
    };
    shorten(&text)
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", short.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"))
}

fn type_name(t: &DataType) -> String {
    crate::model::DxtType::from_arrow(t).map(|t| t.to_string()).unwrap_or_else(|_| t.to_string())
}

fn lossy(array: &dyn Array, row: usize, to: &DataType, field: &str) -> Error {
    misfit(&shown(array, row), to, field)
}

fn misfit(value: &str, to: &DataType, field: &str) -> Error {
    Error::new(
        ErrorKind::Validation,
        format!("field {field}: the value {value} does not fit {} exactly", type_name(to)),
    )
    .with_hint(format!(
        "give {field} a wider type in `fields` (or `dtype: string`), or shape the value with a source expression"
    ))
}

fn no_cast(from: &DataType, to: &DataType, field: &str) -> Error {
    Error::new(
        ErrorKind::TypeMapping,
        format!("field {field}: there is no cast from {} to {}", type_name(from), type_name(to)),
    )
    .with_hint(format!("give {field} another dtype, or convert it with a source expression"))
}

#[cfg(test)]
mod tests;
