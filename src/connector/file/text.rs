//! Values as texts that come back exactly: the one place that writes them, for CSV and JSON.

use std::fmt::{Display, LowerExp};
use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::calendar::date_from_days;
use crate::error::{Error, ErrorKind, Result};
use crate::model::uuid_text;

/// Writes the value of a row that is not NULL. Fails where the format has no text for it.
pub type Write1<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<()> + Send + 'a>;

/// A column's values as texts.
pub struct Texts<'a> {
    /// Whether JSON takes the text without quotes.
    pub bare: bool,
    /// Writes one.
    pub write: Write1<'a>,
}

fn shortest<F: Display + LowerExp>(value: F, magnitude: f64, out: &mut Vec<u8>) {
    let plain = magnitude == 0.0 || (1e-5..1e17).contains(&magnitude) || !magnitude.is_finite();
    // Writing to a Vec cannot fail.
    let _ = if plain { write!(out, "{value}") } else { write!(out, "{value:e}") };
}

/// The shortest text that comes back as the same float: `1.5`, `3`, `1e300`, `NaN`, `inf`, `-inf`.
pub fn float64(value: f64, out: &mut Vec<u8>) {
    shortest(value, value.abs(), out);
}

/// As [`float64`], for single precision.
pub fn float32(value: f32, out: &mut Vec<u8>) {
    shortest(value, value.abs().into(), out);
}

/// `YYYY-MM-DD`; years before 0 have a sign, those past 9999 more digits.
pub fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = date_from_days(days);
    let sign = if year < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{:04}-{month:02}-{day:02}", year.abs());
}

/// `HH:MM:SS`, with 3, 6 or 9 digits of a fraction that is not zero, as few as hold it.
fn time(nanos: i64, out: &mut Vec<u8>) {
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let _ = match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(out, ".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => write!(out, ".{:06}", n / 1_000),
        n => write!(out, ".{n:09}"),
    };
}

fn units(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// `YYYY-MM-DD HH:MM:SS[.f]` of a count of units from 1970-01-01.
pub fn timestamp(value: i64, unit: TimeUnit, zone: bool, out: &mut Vec<u8>) {
    let day = 86_400 * units(unit);
    date(value.div_euclid(day), out);
    out.push(b' ');
    time(value.rem_euclid(day) * (1_000_000_000 / units(unit)), out);
    if zone {
        out.extend_from_slice(b"+00:00");
    }
}

/// An unscaled decimal, given as digits with a sign perhaps, with its point: `-0.05`.
fn decimal(unscaled: &str, scale: i8, out: &mut Vec<u8>) {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    let scale = i32::from(scale);
    out.extend_from_slice(sign.as_bytes());
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if digits != "0" {
            out.extend(std::iter::repeat_n(b'0', scale.unsigned_abs() as usize));
        }
        return;
    }
    let width = scale as usize + 1;
    let padded = format!("{digits:0>width$}");
    let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
    let _ = write!(out, "{whole}.{fraction}");
}

/// Bytes as `\x` and hexadecimal digits.
fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut Vec<u8>) + Send + 'a,
) -> Result<Write1<'a>> {
    let values = array.as_primitive_opt::<T>().ok_or_else(|| unexpected(array.data_type()))?;
    Ok(Box::new(move |row, out| {
        write(values.value(row), out);
        Ok(())
    }))
}

fn shown<'a, T: ArrowPrimitiveType>(array: &'a dyn Array) -> Result<Write1<'a>>
where
    T::Native: Display,
{
    primitive::<T>(array, |value, out| {
        let _ = write!(out, "{value}");
    })
}

fn moments<'a, T: ArrowPrimitiveType<Native = i64>>(array: &'a dyn Array, zone: bool) -> Result<Write1<'a>> {
    let DataType::Timestamp(unit, _) = T::DATA_TYPE else { return Err(unexpected(array.data_type())) };
    primitive::<T>(array, move |value, out| timestamp(value, unit, zone, out))
}

fn unexpected(data_type: &DataType) -> Error {
    Error::new(ErrorKind::TypeMapping, format!("a text file cannot hold values of Arrow's {data_type}"))
        .with_hint("cast the field, or write Parquet")
}

/// The texts of a column that is not nested.
///
/// # Errors
/// Type mapping: the column is nested or of no type that batches of dxt have.
pub fn texts(array: &dyn Array) -> Result<Texts<'_>> {
    let (bare, write) = match array.data_type() {
        DataType::Int8 => (true, shown::<Int8Type>(array)?),
        DataType::Int16 => (true, shown::<Int16Type>(array)?),
        DataType::Int32 => (true, shown::<Int32Type>(array)?),
        DataType::Int64 => (true, shown::<Int64Type>(array)?),
        DataType::UInt8 => (true, shown::<UInt8Type>(array)?),
        DataType::UInt16 => (true, shown::<UInt16Type>(array)?),
        DataType::UInt32 => (true, shown::<UInt32Type>(array)?),
        DataType::UInt64 => (true, shown::<UInt64Type>(array)?),
        DataType::Float32 => (true, primitive::<Float32Type>(array, float32)?),
        DataType::Float64 => (true, primitive::<Float64Type>(array, float64)?),
        DataType::Decimal128(_, s) => {
            (true, primitive::<Decimal128Type>(array, |v, out| decimal(&v.to_string(), *s, out))?)
        }
        DataType::Decimal256(_, s) => {
            (true, primitive::<Decimal256Type>(array, |v, out| decimal(&v.to_string(), *s, out))?)
        }
        DataType::Boolean => {
            let values = array.as_boolean();
            let write: Write1<'_> = Box::new(move |row, out| {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
                Ok(())
            });
            (true, write)
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            let write: Write1<'_> = Box::new(move |row, out| {
                out.extend_from_slice(values.value(row).as_bytes());
                Ok(())
            });
            (false, write)
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            let write: Write1<'_> = Box::new(move |row, out| {
                hex(values.value(row), out);
                Ok(())
            });
            (false, write)
        }
        DataType::FixedSizeBinary(16) => {
            let values = array.as_fixed_size_binary();
            let write: Write1<'_> = Box::new(move |row, out| {
                let value = values.value(row).try_into().map_err(|_| unexpected(values.data_type()))?;
                out.extend_from_slice(uuid_text(value).as_bytes());
                Ok(())
            });
            (false, write)
        }
        DataType::Date32 => (false, primitive::<Date32Type>(array, |v, out| date(v.into(), out))?),
        DataType::Time32(TimeUnit::Second) => {
            (false, primitive::<Time32SecondType>(array, |v, out| time(i64::from(v) * 1_000_000_000, out))?)
        }
        DataType::Time32(_) => {
            (false, primitive::<Time32MillisecondType>(array, |v, out| time(i64::from(v) * 1_000_000, out))?)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            (false, primitive::<Time64MicrosecondType>(array, |v, out| time(v * 1_000, out))?)
        }
        DataType::Time64(_) => (false, primitive::<Time64NanosecondType>(array, time)?),
        DataType::Timestamp(unit, zone) => {
            let zone = zone.is_some();
            let write = match unit {
                TimeUnit::Second => moments::<TimestampSecondType>(array, zone)?,
                TimeUnit::Millisecond => moments::<TimestampMillisecondType>(array, zone)?,
                TimeUnit::Microsecond => moments::<TimestampMicrosecondType>(array, zone)?,
                TimeUnit::Nanosecond => moments::<TimestampNanosecondType>(array, zone)?,
            };
            (false, write)
        }
        other => return Err(unexpected(other)),
    };
    Ok(Texts { bare, write })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::file::parse;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_short_and_come_back() {
        for (value, expected) in [
            (1.5, "1.5"),
            (3.0, "3"),
            (0.1, "0.1"),
            (1e300, "1e300"),
            (-2.5e-7, "-2.5e-7"),
            (-0.0, "-0"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let written = text(|out| float64(value, out));
            assert_eq!(written, expected);
            assert_eq!(parse::float64(written.as_bytes()).unwrap().to_bits(), value.to_bits());
        }
        assert_eq!(text(|out| float64(f64::NAN, out)), "NaN");
        assert_eq!(text(|out| float32(0.1, out)), "0.1");
    }

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(text(|out| decimal("1250", 2, out)), "12.50");
        assert_eq!(text(|out| decimal("-5", 2, out)), "-0.05");
        assert_eq!(text(|out| decimal("0", 3, out)), "0.000");
        assert_eq!(text(|out| decimal("12", -2, out)), "1200");
        assert_eq!(text(|out| decimal("0", -2, out)), "0");
    }

    #[test]
    fn timestamps_come_back_at_every_precision() {
        for (value, unit, precision, expected) in [
            (-1, TimeUnit::Second, 0, "1969-12-31 23:59:59"),
            (86_400_500, TimeUnit::Millisecond, 3, "1970-01-02 00:00:00.500"),
            (-1, TimeUnit::Microsecond, 6, "1969-12-31 23:59:59.999999"),
            (1_000, TimeUnit::Nanosecond, 9, "1970-01-01 00:00:00.000001"),
            (253_402_300_799, TimeUnit::Second, 0, "9999-12-31 23:59:59"),
            (253_402_300_800, TimeUnit::Second, 0, "10000-01-01 00:00:00"),
            (i64::MIN, TimeUnit::Microsecond, 6, "-290308-12-21 19:59:05.224192"),
        ] {
            let written = text(|out| timestamp(value, unit, false, out));
            assert_eq!(written, expected);
            assert_eq!(parse::timestamp(written.as_bytes(), precision), Ok(value));
            let zoned = text(|out| timestamp(value, unit, true, out));
            assert_eq!(parse::timestamp_tz(zoned.as_bytes(), precision), Ok(value));
        }
    }

    #[test]
    fn bytes_are_hexadecimal() {
        assert_eq!(text(|out| hex(&[0, 255, 16], out)), "\\x00ff10");
    }
}
