//! One column of a batch as typed values, written as text; with the limits of the target's column that the server
//! would keep by rounding or cutting in silence.

use std::fmt::{self, Write};

use arrow::array::*;
use arrow::datatypes::{DataType, TimeUnit, i256};
use bytes::BytesMut;

use super::encode::{escape, float, hex};
use super::list_write::List;
use super::{DAY_MICROS, text};
use crate::connector::postgres::types::{PgType, SYSTEM};
use crate::model::{DxtField, DxtType, uuid_text};

/// A value that the target's column does not hold exactly.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) value: String,
    pub(super) why: String,
    pub(super) hint: &'static str,
}

const CAST: &str = "give the field another dtype or an expression, or make the target's column wider";

/// What a target's column holds less of than its DXT type does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Characters of a text. The server cuts trailing blanks past it.
    characters: Option<u32>,
    /// Bytes of a text.
    bytes: Option<usize>,
    /// Times are kept in multiples of so many microseconds.
    micros: Option<i64>,
    /// Decimals are kept in multiples of this power of ten: `numeric(5,-2)`.
    tens: Option<i128>,
    /// Fractional digits of a number that travels as text: `numeric(100,2)`.
    fraction: Option<usize>,
    /// Zeros at the end of its whole part: `numeric(100,-2)`.
    zeros: usize,
    /// Whether a text may have a NUL, which no text of PostgreSQL has.
    nul: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { characters: None, bytes: None, micros: None, tens: None, fraction: None, zeros: 0, nul: true }
    }
}

impl Limits {
    /// The limits of a column by its native type.
    pub(super) fn of(field: &DxtField) -> Self {
        let Some(native) = field.native_in(SYSTEM) else { return Self::default() };
        // In quotes it is another type than char: one byte.
        if native == "\"char\"" {
            return Self { bytes: Some(1), ..Self::default() };
        }
        match PgType::parse(native) {
            // The text of a value of this very type.
            native if field.dtype == DxtType::String && native.dtype() != DxtType::String => Self::default(),
            native => Self::of_type(&native),
        }
    }

    /// Those of a type, which for an array are those of its elements.
    fn of_type(native: &PgType) -> Self {
        let step = |digits: u8| (digits < 6).then(|| 10i64.pow(6 - u32::from(digits)));
        match native {
            PgType::Array(element) => Self::of_type(element),
            PgType::Name => Self { bytes: Some(63), ..Self::default() },
            PgType::Varchar(characters) | PgType::Char(characters) => {
                Self { characters: *characters, ..Self::default() }
            }
            PgType::Time(digits) | PgType::Timestamp(digits) | PgType::TimestampTz(digits) => {
                Self { micros: step(*digits), ..Self::default() }
            }
            PgType::Numeric(Some((_, scale))) => Self {
                tens: (*scale < 0).then(|| 10i128.checked_pow(u32::from(scale.unsigned_abs())).unwrap_or(i128::MAX)),
                fraction: Some(usize::try_from(*scale).unwrap_or(0)),
                zeros: usize::from(scale.min(&0).unsigned_abs()),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    /// The same, for texts of which it is known whether any has a NUL.
    pub(super) fn with_nul(self, nul: bool) -> Self {
        Self { nul, ..self }
    }

    /// Whether a text has to be looked at by [`fits`].
    pub(super) fn concern(&self, text: &str) -> bool {
        self.nul
            || self.fraction.is_some()
            || self.bytes.is_some()
            || self.characters.is_some_and(|most| text.len() > most as usize)
    }
}

/// The typed values of one column of a batch.
pub(super) enum Cell<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    UInt8(&'a UInt8Array),
    UInt16(&'a UInt16Array),
    UInt32(&'a UInt32Array),
    UInt64(&'a UInt64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal128(&'a Decimal128Array, i8),
    Decimal256(&'a Decimal256Array, i8),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    Uuid(&'a FixedSizeBinaryArray),
    Date(&'a Date32Array),
    Seconds32(&'a Time32SecondArray),
    Millis32(&'a Time32MillisecondArray),
    Micros64(&'a Time64MicrosecondArray),
    Nanos64(&'a Time64NanosecondArray),
    /// With whether they are instants.
    Seconds(&'a TimestampSecondArray, bool),
    Millis(&'a TimestampMillisecondArray, bool),
    Micros(&'a TimestampMicrosecondArray, bool),
    Nanos(&'a TimestampNanosecondArray, bool),
    List(Box<List<'a>>),
}

impl<'a> Cell<'a> {
    /// The typed values of an array; `None` where its type is not written as text.
    pub(super) fn new(array: &'a dyn Array) -> Option<Self> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        let any = array.as_any();
        Some(match array.data_type() {
            DataType::Boolean => Self::Bool(any.downcast_ref()?),
            DataType::Int8 => Self::Int8(any.downcast_ref()?),
            DataType::Int16 => Self::Int16(any.downcast_ref()?),
            DataType::Int32 => Self::Int32(any.downcast_ref()?),
            DataType::Int64 => Self::Int64(any.downcast_ref()?),
            DataType::UInt8 => Self::UInt8(any.downcast_ref()?),
            DataType::UInt16 => Self::UInt16(any.downcast_ref()?),
            DataType::UInt32 => Self::UInt32(any.downcast_ref()?),
            DataType::UInt64 => Self::UInt64(any.downcast_ref()?),
            DataType::Float32 => Self::Float32(any.downcast_ref()?),
            DataType::Float64 => Self::Float64(any.downcast_ref()?),
            DataType::Decimal128(_, scale) => Self::Decimal128(any.downcast_ref()?, *scale),
            DataType::Decimal256(_, scale) => Self::Decimal256(any.downcast_ref()?, *scale),
            DataType::Utf8 => Self::Text(any.downcast_ref()?),
            DataType::LargeUtf8 => Self::LargeText(any.downcast_ref()?),
            DataType::Utf8View => Self::TextView(any.downcast_ref()?),
            DataType::Binary => Self::Binary(any.downcast_ref()?),
            DataType::LargeBinary => Self::LargeBinary(any.downcast_ref()?),
            DataType::BinaryView => Self::BinaryView(any.downcast_ref()?),
            DataType::FixedSizeBinary(16) => Self::Uuid(any.downcast_ref()?),
            DataType::Date32 => Self::Date(any.downcast_ref()?),
            DataType::Time32(Second) => Self::Seconds32(any.downcast_ref()?),
            DataType::Time32(Millisecond) => Self::Millis32(any.downcast_ref()?),
            DataType::Time64(Microsecond) => Self::Micros64(any.downcast_ref()?),
            DataType::Time64(Nanosecond) => Self::Nanos64(any.downcast_ref()?),
            DataType::Timestamp(Second, zone) => Self::Seconds(any.downcast_ref()?, zone.is_some()),
            DataType::Timestamp(Millisecond, zone) => Self::Millis(any.downcast_ref()?, zone.is_some()),
            DataType::Timestamp(Microsecond, zone) => Self::Micros(any.downcast_ref()?, zone.is_some()),
            DataType::Timestamp(Nanosecond, zone) => Self::Nanos(any.downcast_ref()?, zone.is_some()),
            DataType::List(_) => Self::List(Box::new(List::new(any.downcast_ref()?)?)),
            _ => return None,
        })
    }

    /// About the bytes of all values in binary, each with its length.
    pub(super) fn room(&self) -> usize {
        let span = |rows: usize, offsets: &[i32]| {
            let bytes = offsets.last().zip(offsets.first()).map_or(0, |(last, first)| last - first);
            4 * rows + usize::try_from(bytes).unwrap_or(0)
        };
        match self {
            Self::Bool(a) => 5 * a.len(),
            Self::Int16(a) => 6 * a.len(),
            Self::Int32(a) => 8 * a.len(),
            Self::Float32(a) => 8 * a.len(),
            Self::Date(a) => 8 * a.len(),
            Self::Int64(a) => 12 * a.len(),
            Self::Float64(a) => 12 * a.len(),
            Self::Seconds32(a) => 12 * a.len(),
            Self::Millis32(a) => 12 * a.len(),
            Self::Micros64(a) => 12 * a.len(),
            Self::Seconds(a, _) => 12 * a.len(),
            Self::Millis(a, _) => 12 * a.len(),
            Self::Micros(a, _) => 12 * a.len(),
            Self::Decimal128(a, _) => 22 * a.len(),
            Self::Text(a) => span(a.len(), a.value_offsets()),
            Self::Binary(a) => span(a.len(), a.value_offsets()),
            // The items of a slice are those of all that it is cut from.
            Self::List(lists) => 8 * lists.len(),
            _ => 0,
        }
    }

    /// Whether any of the values, where they are texts, has a NUL.
    pub(super) fn has_nul(&self) -> bool {
        let a = match self {
            Self::Text(a) => a,
            Self::List(lists) => return lists.items().has_nul(),
            _ => return true,
        };
        let span = a.value_offsets().first().zip(a.value_offsets().last());
        let bytes = span.and_then(|(first, last)| a.value_data().get(*first as usize..*last as usize));
        bytes.is_none_or(|bytes| memchr::memchr(0, bytes).is_some())
    }

    /// Appends the value of a row that is not NULL.
    pub(super) fn write(&self, row: usize, limits: &Limits, out: &mut BytesMut) -> Result<(), Wrong> {
        let written = match self {
            Self::List(lists) => return lists.write(row, limits, out),
            Self::Bool(a) => out.write_char(if a.value(row) { 't' } else { 'f' }),
            Self::Int8(a) => write!(out, "{}", a.value(row)),
            Self::Int16(a) => write!(out, "{}", a.value(row)),
            Self::Int32(a) => write!(out, "{}", a.value(row)),
            Self::Int64(a) => write!(out, "{}", a.value(row)),
            Self::UInt8(a) => write!(out, "{}", a.value(row)),
            Self::UInt16(a) => write!(out, "{}", a.value(row)),
            Self::UInt32(a) => write!(out, "{}", a.value(row)),
            Self::UInt64(a) => write!(out, "{}", a.value(row)),
            Self::Float32(a) => float(a.value(row), out),
            Self::Float64(a) => float(a.value(row), out),
            Self::Decimal128(a, scale) => {
                tens(|| i256::from_i128(a.value(row)), *scale, limits)?;
                text::decimal128(out, a.value(row), *scale)
            }
            Self::Decimal256(a, scale) => {
                tens(|| a.value(row), *scale, limits)?;
                text::decimal256(out, a.value(row), *scale)
            }
            Self::Text(a) => return string(a.value(row), limits, out),
            Self::LargeText(a) => return string(a.value(row), limits, out),
            Self::TextView(a) => return string(a.value(row), limits, out),
            Self::Binary(a) => hex(a.value(row), out),
            Self::LargeBinary(a) => hex(a.value(row), out),
            Self::BinaryView(a) => hex(a.value(row), out),
            Self::Uuid(a) => a.value(row).try_into().map_or(Err(fmt::Error), |value| out.write_str(&uuid_text(value))),
            Self::Date(a) => text::date(out, i64::from(a.value(row))),
            Self::Seconds32(a) => return time(i64::from(a.value(row)), 1_000_000, limits, out),
            Self::Millis32(a) => return time(i64::from(a.value(row)), 1_000, limits, out),
            Self::Micros64(a) => return time(a.value(row), 1, limits, out),
            Self::Nanos64(a) => return time(nanos(a.value(row))?, 1, limits, out),
            Self::Seconds(a, instant) => return stamp(a.value(row), 1_000_000, *instant, limits, out),
            Self::Millis(a, instant) => return stamp(a.value(row), 1_000, *instant, limits, out),
            Self::Micros(a, instant) => return stamp(a.value(row), 1, *instant, limits, out),
            Self::Nanos(a, instant) => return stamp(nanos(a.value(row))?, 1, *instant, limits, out),
        };
        written.map_err(|fmt::Error| Wrong { value: String::new(), why: "it cannot be written".into(), hint: CAST })
    }
}

fn string(value: &str, limits: &Limits, out: &mut BytesMut) -> Result<(), Wrong> {
    fits(value, limits)?;
    escape(value, out).map_err(|()| nul(value))
}

pub(super) fn nul(value: &str) -> Wrong {
    Wrong {
        value: format!("{value:?}"),
        why: "PostgreSQL's text has no NUL character".into(),
        hint: "remove it by an expression of the field, or give the field `dtype: binary`",
    }
}

/// A value that no column of PostgreSQL takes.
pub(super) fn outside(value: String) -> Wrong {
    Wrong { value, why: "it is outside of what PostgreSQL's type holds".into(), hint: CAST }
}

/// Whether a text fits the column's limits, and has no NUL.
pub(super) fn fits(value: &str, limits: &Limits) -> Result<(), Wrong> {
    let wrong = |why: String| Err(Wrong { value: format!("{value:?}"), why, hint: CAST });
    if let Some(most) = limits.characters {
        // Bytes are never fewer than characters, so that most texts need no count.
        if value.len() > most as usize && value.chars().count() > most as usize {
            return wrong(format!("the column has room for {most} characters"));
        }
    }
    if let Some(most) = limits.bytes.filter(|most| value.len() > *most && !(*most == 1 && octal(value).is_some())) {
        return wrong(format!("the column has room for {most} bytes"));
    }
    if let Some(most) = limits.fraction {
        let fraction = value.trim().split_once('.').map_or("", |(_, fraction)| fraction).trim_end_matches('0');
        if fraction.len() > most || value.contains(['e', 'E']) {
            return wrong(format!("the column keeps {most} digits after the point"));
        }
    }
    if limits.zeros > 0 {
        let whole = value.split('.').next().unwrap_or_default();
        let zeros = whole.bytes().rev().take_while(|b| *b == b'0').count();
        if zeros < limits.zeros && whole.bytes().any(|b| matches!(b, b'1'..=b'9')) {
            return wrong(format!("the column keeps multiples of 10^{}", limits.zeros));
        }
    }
    if memchr::memchr(0, value.as_bytes()).is_some() { Err(nul(value)) } else { Ok(()) }
}

/// The byte of a text that is one in octal, as the server writes those of "char" that are no ASCII.
pub(super) fn octal(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('\\').filter(|digits| digits.len() == 3)?;
    u8::from_str_radix(digits, 8).ok().filter(|byte| *byte >= 128)
}

/// Refuses a decimal that the column would round.
pub(super) fn tens(value: impl FnOnce() -> i256, scale: i8, limits: &Limits) -> Result<(), Wrong> {
    let Some(unit) = limits.tens else { return Ok(()) };
    let value = value();
    match Some(unit) {
        Some(unit) if scale == 0 && value.checked_rem(i256::from_i128(unit)) != Some(i256::ZERO) => {
            let why = format!("the column keeps multiples of {unit}");
            Err(Wrong { value: value.to_string(), why, hint: CAST })
        }
        _ => Ok(()),
    }
}

fn nanos(value: i64) -> Result<i64, Wrong> {
    let why = || "PostgreSQL keeps microseconds".to_string();
    if value % 1_000 == 0 {
        Ok(value / 1_000)
    } else {
        Err(Wrong { value: format!("{value} ns"), why: why(), hint: CAST })
    }
}

pub(super) fn coarse(micros: i64, limits: &Limits) -> Option<String> {
    let step = limits.micros.filter(|step| micros % step != 0)?;
    Some(format!("the column keeps multiples of {} s", step as f64 / 1e6))
}

fn time(count: i64, unit: i64, limits: &Limits, out: &mut BytesMut) -> Result<(), Wrong> {
    let value = || format!("a time of {count} units since midnight");
    let Some(micros) = count.checked_mul(unit).filter(|micros| (0..DAY_MICROS).contains(micros)) else {
        return Err(Wrong { value: value(), why: "it is outside of the day".into(), hint: CAST });
    };
    written(out, limits, micros, |out| text::time(out, micros))
}

fn stamp(count: i64, unit: i64, instant: bool, limits: &Limits, out: &mut BytesMut) -> Result<(), Wrong> {
    let value = || format!("a timestamp of {count} units since 1970");
    let Some(micros) = count.checked_mul(unit) else {
        return Err(Wrong { value: value(), why: "PostgreSQL's timestamps end before it".into(), hint: CAST });
    };
    written(out, limits, micros, |out| text::timestamp(out, micros, instant))
}

/// Writes a time, and refuses it where the column would round it.
fn written(
    out: &mut BytesMut,
    limits: &Limits,
    micros: i64,
    write: impl FnOnce(&mut BytesMut) -> fmt::Result,
) -> Result<(), Wrong> {
    let from = out.len();
    let done = write(out);
    let why = coarse(micros, limits).or_else(|| done.is_err().then(|| "it cannot be written".to_string()));
    match why {
        None => Ok(()),
        Some(why) => Err(Wrong { value: String::from_utf8_lossy(&out[from..]).into_owned(), why, hint: CAST }),
    }
}
