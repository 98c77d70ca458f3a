//! One column of a binary COPY: what its type makes of each value's bytes.

use arrow::array::{Array, ArrayRef, make_array};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, UInt32Type,
    i256,
};

use super::cells::{Bits, CellError, Fault, Fixed, Lengths};
use super::list_read::Lists;
use super::slots::Slot;
use super::{DAY_MICROS, EPOCH_DAYS, EPOCH_MICROS, numeric, text};
use crate::connector::postgres::types::PgType;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

/// A column that is being filled.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    data_type: DataType,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    Bool(Bits),
    Int2(Fixed<i16>),
    Int4(Fixed<i32>),
    Int8(Fixed<i64>),
    Oid(Fixed<u32>),
    Float4(Fixed<f32>),
    Float8(Fixed<f64>),
    Numeric128(Fixed<i128>, numeric::Target),
    Numeric256(Fixed<i256>, numeric::Target),
    Text(Lengths),
    Jsonb(Lengths),
    /// The bytes of each as one word.
    Uuid(Fixed<i128>),
    Bytea(Lengths),
    Date(Fixed<i32>),
    /// With the microseconds of one unit.
    Time32(Fixed<i32>, i64),
    Time64(Fixed<i64>),
    /// With the microseconds of one unit.
    Timestamp(Fixed<i64>, i64),
    List(Box<Lists>),
}

impl Column {
    /// An empty column for a field as the dialect selects it: binary where its type has a decoder, text otherwise.
    pub(super) fn new(field: &DxtField) -> Result<Self> {
        let native = PgType::of(field).filter(|t| t.is_binary());
        Self::of(&field.name, native.as_ref(), &field.dtype).ok_or_else(|| undecodable(field))
    }

    /// An empty column for values of `native`, or of text; `None` where there is no decoder.
    pub(super) fn of(name: &str, native: Option<&PgType>, dtype: &DxtType) -> Option<Self> {
        Some(Self { name: name.to_string(), data_type: dtype.to_arrow(), cells: Cells::new(native, dtype)? })
    }

    /// Appends the values of a chunk, whose first row is the COPY's row `first`, counted from 1.
    ///
    /// # Errors
    /// Names the column and the row, and the value where it is one that dxt's type cannot hold.
    pub(super) fn extend(&mut self, chunk: &[u8], slots: &[Slot], first: u64) -> Result<()> {
        self.fill(chunk, slots).map_err(|fault| self.refused(fault, first))
    }

    /// Takes what was appended as an array of the field's Arrow type. Its first row is the COPY's row `first`.
    ///
    /// # Errors
    /// Extractor: a text that is none; it names the column and the row.
    pub(super) fn take(&mut self, first: u64) -> Result<ArrayRef> {
        self.array().map_err(|fault| self.refused(fault, first))
    }

    /// Appends the values of a chunk.
    pub(super) fn fill(&mut self, chunk: &[u8], slots: &[Slot]) -> Result<(), Fault> {
        self.cells.extend(chunk, slots)
    }

    /// Takes what was appended.
    pub(super) fn array(&mut self) -> Result<ArrayRef, Fault> {
        let array = self.cells.take()?;
        if array.data_type() == &self.data_type {
            return Ok(array);
        }
        // The same integers, as dates, times and decimals of this column.
        let retyped = array.into_data().into_builder().data_type(self.data_type.clone()).build();
        let unlike = |_| Fault { at: 0, error: CellError::Malformed("values that make no column of its type") };
        retyped.map(make_array).map_err(unlike)
    }

    fn refused(&self, fault: Fault, first: u64) -> Error {
        let (name, row) = (&self.name, first + fault.at as u64);
        match fault.error {
            CellError::Malformed(what) => {
                Error::new(ErrorKind::Extractor, format!("column {name}: the server sent {what} (row {row})"))
            }
            CellError::Value { value, why } => {
                let value = super::shorten(&value);
                let what = format!("column {name}: {value} cannot be read: {why} (row {row})");
                Error::new(ErrorKind::Validation, what)
                    .with_hint("declare the field with `dtype: string` to take such values as text")
            }
        }
    }
}

fn undecodable(field: &DxtField) -> Error {
    let native = field.native.as_ref().map_or("unknown", |n| n.name.as_str());
    let what = format!("column {}: PostgreSQL's type {native} cannot be read as {}", field.name, field.dtype);
    Error::new(ErrorKind::TypeMapping, what)
}

impl Cells {
    /// Cells for a type with a decoder, or for text; `None` where there are none.
    fn new(native: Option<&PgType>, dtype: &DxtType) -> Option<Self> {
        let micros = |precision: u8| if precision == 0 { 1_000_000 } else { 1_000 };
        Some(match (native, dtype) {
            (Some(PgType::Array(element)), DxtType::Array(item)) => Self::List(Box::new(Lists::new(element, item)?)),
            (Some(PgType::Jsonb), _) => Self::Jsonb(Lengths::new()),
            (_, DxtType::String | DxtType::Json) => Self::Text(Lengths::new()),
            (None, _) => return None,
            (Some(_), DxtType::Bool) => Self::Bool(Bits::new()),
            (Some(_), DxtType::Int16) => Self::Int2(Fixed::new()),
            (Some(_), DxtType::Int32) => Self::Int4(Fixed::new()),
            (Some(_), DxtType::Int64) => Self::Int8(Fixed::new()),
            (Some(_), DxtType::Uint32) => Self::Oid(Fixed::new()),
            (Some(_), DxtType::Float32) => Self::Float4(Fixed::new()),
            (Some(_), DxtType::Float64) => Self::Float8(Fixed::new()),
            (Some(_), DxtType::Decimal { precision, scale }) => {
                let target = numeric::Target::new(*precision, *scale);
                match precision {
                    0..=38 => Self::Numeric128(Fixed::new(), target),
                    _ => Self::Numeric256(Fixed::new(), target),
                }
            }
            (Some(_), DxtType::Uuid) => Self::Uuid(Fixed::new()),
            (Some(_), DxtType::Binary) => Self::Bytea(Lengths::new()),
            (Some(_), DxtType::Date) => Self::Date(Fixed::new()),
            (Some(_), DxtType::Time { precision: precision @ 0..=3 }) => Self::Time32(Fixed::new(), micros(*precision)),
            (Some(_), DxtType::Time { .. }) => Self::Time64(Fixed::new()),
            (Some(_), DxtType::Timestamp { precision } | DxtType::TimestampTz { precision }) => {
                let unit = if *precision > 3 { 1 } else { micros(*precision) };
                Self::Timestamp(Fixed::new(), unit)
            }
            _ => return None,
        })
    }

    /// Appends the values of a chunk.
    fn extend(&mut self, chunk: &[u8], slots: &[Slot]) -> Result<(), Fault> {
        let copy = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.extend_from_slice(bytes);
            true
        };
        let done = match self {
            Self::List(out) => return out.extend(chunk, slots),
            Self::Bool(out) => out.extend(chunk, slots),
            Self::Int2(out) => out.words(chunk, slots, |bytes| Some(i16::from_be_bytes(bytes))),
            Self::Int4(out) => out.words(chunk, slots, |bytes| Some(i32::from_be_bytes(bytes))),
            Self::Int8(out) => out.words(chunk, slots, |bytes| Some(i64::from_be_bytes(bytes))),
            Self::Oid(out) => out.words(chunk, slots, |bytes| Some(u32::from_be_bytes(bytes))),
            Self::Float4(out) => out.words(chunk, slots, |bytes| Some(f32::from_be_bytes(bytes))),
            Self::Float8(out) => out.words(chunk, slots, |bytes| Some(f64::from_be_bytes(bytes))),
            Self::Numeric128(out, target) => out.extend(chunk, slots, |bytes| match target.small(bytes) {
                Some(value) => Some(i128::from(value)),
                None => target.decode(bytes).ok(),
            }),
            Self::Numeric256(out, target) => out.extend(chunk, slots, |bytes| target.decode(bytes).ok()),
            Self::Text(out) | Self::Bytea(out) => out.extend(chunk, slots, copy),
            Self::Jsonb(out) => out.extend(chunk, slots, |out, bytes| match bytes.split_first() {
                Some((1, text)) => copy(out, text),
                _ => false,
            }),
            Self::Uuid(out) => out.words(chunk, slots, |bytes| Some(i128::from_ne_bytes(bytes))),
            Self::Date(out) => out.words(chunk, slots, |bytes| days(i32::from_be_bytes(bytes)).ok()),
            Self::Time32(out, unit) => out.words(chunk, slots, |bytes| {
                let micros = midnight(i64::from_be_bytes(bytes)).ok()?;
                i32::try_from(micros / *unit).ok()
            }),
            Self::Time64(out) => out.words(chunk, slots, |bytes| midnight(i64::from_be_bytes(bytes)).ok()),
            // Most have microseconds, which need no division.
            Self::Timestamp(out, 1) => out.words(chunk, slots, |bytes| micros(i64::from_be_bytes(bytes)).ok()),
            Self::Timestamp(out, unit) => {
                let unit = *unit;
                out.words(chunk, slots, |bytes| Some(micros(i64::from_be_bytes(bytes)).ok()?.div_euclid(unit)))
            }
        };
        done.map_err(|at| Fault { at, error: self.why(slots[at].bytes(chunk)) })
    }

    /// Why bytes were refused. The loops only tell that they were, so that they stay small.
    #[cold]
    fn why(&self, bytes: &[u8]) -> CellError {
        const LENGTH: CellError = CellError::Malformed("a value of the wrong length");
        const LONG: CellError = CellError::Malformed("more than 2 GiB of values in one batch");
        let word = <[u8; 4]>::try_from(bytes).map(i32::from_be_bytes);
        let long = <[u8; 8]>::try_from(bytes).map(i64::from_be_bytes);
        match self {
            Self::Bool(_) if bytes.len() == 1 => CellError::Malformed("a boolean that is neither 0 nor 1"),
            Self::Numeric128(_, target) => target.decode::<i128>(bytes).err().unwrap_or(LENGTH),
            Self::Numeric256(_, target) => target.decode::<i256>(bytes).err().unwrap_or(LENGTH),
            Self::Jsonb(_) if bytes.first() != Some(&1) => CellError::Malformed("a jsonb of an unknown version"),
            Self::Text(_) | Self::Bytea(_) | Self::Jsonb(_) => LONG,
            Self::Date(_) => word.map_or(LENGTH, |word| days(word).err().unwrap_or(LENGTH)),
            Self::Time32(..) | Self::Time64(_) => long.map_or(LENGTH, |long| midnight(long).err().unwrap_or(LENGTH)),
            Self::Timestamp(..) => long.map_or(LENGTH, |long| micros(long).err().unwrap_or(LENGTH)),
            _ => LENGTH,
        }
    }

    /// Takes what was appended as an array of the plain type.
    fn take(&mut self) -> Result<ArrayRef, Fault> {
        Ok(match self {
            Self::Bool(out) => out.take(),
            Self::Int2(out) => out.take::<Int16Type>(),
            Self::Int4(out) | Self::Date(out) | Self::Time32(out, _) => out.take::<Int32Type>(),
            Self::Int8(out) | Self::Time64(out) | Self::Timestamp(out, _) => out.take::<Int64Type>(),
            Self::Oid(out) => out.take::<UInt32Type>(),
            Self::Float4(out) => out.take::<Float32Type>(),
            Self::Float8(out) => out.take::<Float64Type>(),
            Self::Numeric128(out, _) => out.take::<Decimal128Type>(),
            Self::Numeric256(out, _) => out.take::<Decimal256Type>(),
            Self::Text(out) | Self::Jsonb(out) => out.take_text()?,
            Self::Uuid(out) => out.take_bytes(),
            Self::Bytea(out) => out.take_binary(),
            Self::List(out) => out.take()?,
        })
    }
}

#[cold]
fn endless(positive: bool) -> CellError {
    let value = if positive { "infinity" } else { "-infinity" };
    CellError::Value { value: value.into(), why: "dxt's dates and timestamps have no such value" }
}

fn days(since_2000: i32) -> Result<i32, CellError> {
    match since_2000 {
        i32::MAX => Err(endless(true)),
        i32::MIN => Err(endless(false)),
        days => days.checked_add(EPOCH_DAYS).ok_or(CellError::Malformed("a date out of range")),
    }
}

fn micros(since_2000: i64) -> Result<i64, CellError> {
    match since_2000 {
        i64::MAX => Err(endless(true)),
        i64::MIN => Err(endless(false)),
        // The last days of PostgreSQL's range are past that of 64 bits counted from 1970.
        micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| {
            let day = micros.div_euclid(DAY_MICROS) + i64::from(EPOCH_DAYS);
            let mut value = String::new();
            let written = text::date(&mut value, day).and_then(|()| {
                value.push(' ');
                text::time(&mut value, micros.rem_euclid(DAY_MICROS))
            });
            match written {
                Ok(()) => CellError::Value { value, why: "dxt's timestamps end at 294247-01-10 04:00:54.775807" },
                Err(std::fmt::Error) => CellError::Malformed("a timestamp out of range"),
            }
        }),
    }
}

fn midnight(micros: i64) -> Result<i64, CellError> {
    match micros {
        0..DAY_MICROS => Ok(micros),
        DAY_MICROS => Err(CellError::Value { value: "24:00:00".into(), why: "dxt's times end before it" }),
        _ => Err(CellError::Malformed("a time past the day")),
    }
}
