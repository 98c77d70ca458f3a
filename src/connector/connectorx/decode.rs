//! A source's value as one of a DXT type, exactly. Texts go by the same strict rules as those of files.

use std::borrow::Cow;

use arrow::datatypes::i256;

use super::destination::{Cell, Misfit};
use crate::connector::file::parse::{self, Fault};
use crate::model::{DxtType, UUID_BYTES};

/// How the values of a column are read.
pub(super) type Read<T> = Box<dyn Fn(Cell<'_>) -> Result<T, Misfit> + Send>;

/// The greatest whole number up to which every one is a value of the float: 2^53, 2^24.
const EXACT_DOUBLE: u64 = 1 << 53;
const EXACT_FLOAT: u64 = 1 << 24;

fn no(dtype: &str) -> Misfit {
    Fault::Form.explain(dtype)
}

fn explained<T>(parsed: Result<T, Fault>, dtype: &str) -> Result<T, Misfit> {
    parsed.map_err(|fault| fault.explain(dtype))
}

/// Whole numbers of one type.
pub(super) fn integer<T: TryFrom<i128> + 'static>(dtype: &DxtType) -> Read<T> {
    let name = dtype.to_string();
    Box::new(move |value| {
        let whole = match value {
            Cell::Int(number) => i128::from(number),
            Cell::Uint(number) => i128::from(number),
            Cell::Bits(bits) => i128::from(bit_number(bits).ok_or_else(|| Fault::Range.explain(&name))?),
            Cell::Text(text) => return explained(parse::int(text), &name),
            _ => return Err(no(&name)),
        };
        T::try_from(whole).map_err(|_| Fault::Range.explain(&name))
    })
}

/// A bit string of at most 64 bits as a number.
fn bit_number(bits: &[u8]) -> Option<u64> {
    let zeros = bits.iter().take_while(|byte| **byte == 0).count();
    let bits = &bits[zeros..];
    (bits.len() <= 8).then(|| bits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A whole number as a float, where that is exact.
fn exact(value: Cell<'_>, most: u64) -> Option<f64> {
    match value {
        Cell::Int(number) if number.unsigned_abs() <= most => Some(number as f64),
        Cell::Uint(number) if number <= most => Some(number as f64),
        _ => None,
    }
}

pub(super) fn float64(value: Cell<'_>) -> Result<f64, Misfit> {
    match value {
        Cell::Double(number) => Ok(number),
        Cell::Float(number) => Ok(number.into()),
        Cell::Text(text) => explained(parse::float64(text), "float64"),
        Cell::Int(_) | Cell::Uint(_) => {
            exact(value, EXACT_DOUBLE).ok_or_else(|| "has more digits than a float64 keeps".into())
        }
        _ => Err(no("float64")),
    }
}

pub(super) fn float32(value: Cell<'_>) -> Result<f32, Misfit> {
    match value {
        Cell::Float(number) => Ok(number),
        Cell::Double(number) if f64::from(number as f32) == number || number.is_nan() => Ok(number as f32),
        Cell::Text(text) => explained(parse::float32(text), "float32"),
        Cell::Int(_) | Cell::Uint(_) if exact(value, EXACT_FLOAT).is_some() => {
            Ok(exact(value, EXACT_FLOAT).unwrap_or_default() as f32)
        }
        Cell::Double(_) | Cell::Int(_) | Cell::Uint(_) => Err("has more digits than a float32 keeps".into()),
        _ => Err(no("float32")),
    }
}

/// The digits of a decimal's text; floats have none.
fn digits(value: Cell<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Cell::Text(text) => Some(Cow::Borrowed(text)),
        Cell::Int(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        Cell::Uint(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        _ => None,
    }
}

pub(super) fn decimal128(precision: u8, scale: i8) -> Read<i128> {
    let name = DxtType::Decimal { precision, scale }.to_string();
    Box::new(move |value| {
        let digits = digits(value).ok_or_else(|| no(&name))?;
        explained(parse::decimal128(&digits, precision, scale), &name)
    })
}

pub(super) fn decimal256(precision: u8, scale: i8) -> Read<i256> {
    let name = DxtType::Decimal { precision, scale }.to_string();
    Box::new(move |value| {
        let digits = digits(value).ok_or_else(|| no(&name))?;
        explained(parse::decimal256(&digits, precision, scale), &name)
    })
}

pub(super) fn boolean(value: Cell<'_>) -> Result<bool, Misfit> {
    match value {
        Cell::Bool(value) => Ok(value),
        Cell::Int(number @ (0 | 1)) => Ok(number == 1),
        Cell::Uint(number @ (0 | 1)) => Ok(number == 1),
        Cell::Bits(bits) if bit_number(bits).is_some_and(|number| number < 2) => Ok(bit_number(bits) == Some(1)),
        Cell::Text(text) => explained(parse::boolean(text), "bool"),
        _ => Err("is not a bool (0 or 1)".into()),
    }
}

pub(super) fn date(value: Cell<'_>) -> Result<i32, Misfit> {
    match value {
        Cell::Text(text) => explained(parse::date(text), "date"),
        _ => Err(no("date")),
    }
}

/// A time of day in units of `10^-precision` seconds.
pub(super) fn time(value: Cell<'_>, precision: u8) -> Result<i64, Misfit> {
    match value {
        Cell::Text(text) => parse::time(text, precision).map_err(|fault| match fault {
            Fault::Form | Fault::Range => "is not a time of day (00:00:00 to 23:59:59)".into(),
            other => other.explain("time"),
        }),
        _ => Err(no("time")),
    }
}

/// A wall clock's time, or where it is `zoned` an instant, in units of `10^-precision` seconds from 1970.
pub(super) fn timestamp(value: Cell<'_>, precision: u8, zoned: bool) -> Result<i64, Misfit> {
    match value {
        Cell::Text(text) if zoned => explained(parse::timestamp_tz(text, precision), "timestamp_tz"),
        Cell::Text(text) => explained(parse::timestamp(text, precision), "timestamp"),
        _ => Err(no(if zoned { "timestamp_tz" } else { "timestamp" })),
    }
}

/// Text as it stands; numbers in the shortest form that reads back the same.
pub(super) fn string<'a>(value: &Cell<'a>) -> Result<Cow<'a, str>, Misfit> {
    Ok(match value {
        // A system may call a text binary that it made itself; whether it is text shows.
        Cell::Text(text) | Cell::Bytes(text) => explained(parse::string(text), "string")?.into(),
        Cell::Bits(_) => return Err(no("string")),
        number => number.to_string().into(),
    })
}

pub(super) fn json<'a>(value: &Cell<'a>) -> Result<Cow<'a, str>, Misfit> {
    match value {
        Cell::Text(text) | Cell::Bytes(text) => Ok(explained(parse::json(text), "json")?.into()),
        _ => Err(no("json")),
    }
}

/// Bytes as they stand; text as `\x` and hexadecimal digits.
pub(super) fn binary<'a>(value: &Cell<'a>) -> Result<Cow<'a, [u8]>, Misfit> {
    match value {
        Cell::Bytes(bytes) | Cell::Bits(bytes) => Ok(Cow::Borrowed(bytes)),
        Cell::Text(text) => Ok(Cow::Owned(explained(parse::binary(text), "binary")?)),
        _ => Err(no("binary")),
    }
}

pub(super) fn uuid(value: Cell<'_>) -> Result<[u8; UUID_BYTES], Misfit> {
    match value {
        Cell::Text(text) => explained(parse::uuid(text), "uuid"),
        Cell::Bytes(bytes) => bytes.try_into().map_err(|_| no("uuid")),
        _ => Err(no("uuid")),
    }
}
