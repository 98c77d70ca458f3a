//! Text to values and values to text, exactly.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{is_binary, misfit, no_cast, plain_cast, shorten};
use crate::error::Result;

/// Parses every text as a value of `to`. Surrounding blanks are no part of a number, date or time.
pub(super) fn parse(texts: &StringArray, to: &DataType, field: &str) -> Result<ArrayRef> {
    if is_binary(to) {
        return plain_cast(&(Arc::new(texts.clone()) as ArrayRef), to, field);
    }
    if let DataType::List(_) | DataType::Struct(_) = to {
        return super::nested::parse_json(texts, to, field);
    }
    let trimmed: StringArray = texts.iter().map(|t| t.map(str::trim)).collect();
    for text in trimmed.iter().flatten() {
        if !well_formed(text, to) {
            return Err(misfit(&shorten(text), to, field));
        }
    }
    let options = CastOptions { safe: true, format_options: FormatOptions::new() };
    let result =
        cast_with_options(&trimmed, to, &options).map_err(|e| no_cast(&DataType::Utf8, to, field).with_source(e))?;
    match (0..texts.len()).find(|i| result.is_null(*i) && texts.is_valid(*i)) {
        Some(row) => Err(misfit(&shorten(texts.value(row)), to, field)),
        None => Ok(result),
    }
}

/// Whether Arrow's parser for `to` can take this text without losing any of it. What is malformed altogether is left
/// to that parser.
fn well_formed(text: &str, to: &DataType) -> bool {
    use DataType::*;
    match to {
        Decimal32(_, s) | Decimal64(_, s) | Decimal128(_, s) | Decimal256(_, s) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let (whole, fraction) = (whole.trim_start_matches(['-', '+']), fraction.trim_end_matches('0'));
            // Trailing zeros of the fraction say nothing; those of the whole part matter below a negative scale.
            let zeros = whole.len() - whole.trim_end_matches('0').len();
            let digits = if fraction.is_empty() { -(zeros as i64) } else { fraction.len() as i64 };
            whole.len() + fraction.len() == zeros || digits <= i64::from(*s)
        }
        Float32 | Float64 => {
            // A literal beyond the type parses as infinity, one below its least value as zero.
            let value = if *to == Float32 { text.parse::<f32>().map(f64::from) } else { text.parse::<f64>() };
            let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
            match value {
                Ok(v) if v.is_infinite() => text.trim_start_matches(['-', '+']).to_ascii_lowercase().starts_with("inf"),
                Ok(0.0) => !mantissa.contains(|c: char| ('1'..='9').contains(&c)),
                _ => true,
            }
        }
        Date32 => {
            // Arrow's parser takes a timestamp's text, too, and drops its time.
            !text.contains([':', 'T', ' '])
        }
        // A zone would shift the time and be gone; `Z` shifts nothing.
        Timestamp(unit, zone) => {
            fraction_digits(text) <= unit_digits(unit)
                && !has_leap_second(text)
                && (zone.is_some() || !has_offset(text))
        }
        Time32(unit) | Time64(unit) => fraction_digits(text) <= unit_digits(unit) && !has_leap_second(text),
        _ => true,
    }
}

/// Whether the second is 60, which Arrow's parser carries into the next minute.
fn has_leap_second(text: &str) -> bool {
    text.split(':').nth(2).is_some_and(|second| second.starts_with("60"))
}

/// Whether a timestamp's text ends with a zone other than UTC.
fn has_offset(text: &str) -> bool {
    // The dashes of the date come before.
    let time = text.split_once([' ', 'T', 't']).map_or("", |(_, time)| time);
    let zone = time.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == '.').trim();
    let zero = zone.starts_with(['+', '-']) && zone.chars().skip(1).all(|c| c == '0' || c == ':');
    !(zone.is_empty() || zero || zone.eq_ignore_ascii_case("z") || zone.eq_ignore_ascii_case("utc"))
}

fn unit_digits(unit: &arrow::datatypes::TimeUnit) -> usize {
    use arrow::datatypes::TimeUnit::*;
    match unit {
        Second => 0,
        Millisecond => 3,
        Microsecond => 6,
        Nanosecond => 9,
    }
}

/// Significant digits after the point of a second.
fn fraction_digits(text: &str) -> usize {
    let Some((_, rest)) = text.split_once('.') else { return 0 };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].trim_end_matches('0').len()
}

/// Prints values as text from which they can be read back: shortest floats, ISO dates and times with a blank between,
/// UTC instants with `+00:00`.
pub(super) fn print(array: &ArrayRef, field: &str) -> Result<ArrayRef> {
    let options = FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    let wrong = |e| no_cast(array.data_type(), &DataType::Utf8, field).with_source(e);
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).map_err(wrong)?;
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 12);
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
        } else {
            out.append_value(formatter.value(row).try_to_string().map_err(wrong)?);
        }
    }
    Ok(Arc::new(out.finish()))
}
