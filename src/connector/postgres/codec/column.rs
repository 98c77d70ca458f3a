//! One column of a binary COPY: each cell's bytes are appended to an Arrow builder.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Decimal256Builder, FixedSizeBinaryBuilder,
    Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder, UInt32Builder, make_array,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::{DAY_MICROS, EPOCH_DAYS, EPOCH_MICROS, numeric};
use crate::connector::postgres::types::PgType;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

/// What is wrong with a cell.
#[derive(Debug)]
pub(super) enum CellError {
    /// The bytes are not those of the type.
    Malformed(&'static str),
    /// PostgreSQL holds a value that the column's type in dxt cannot.
    Value { value: String, why: &'static str },
}

/// A column that is being filled.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    data_type: DataType,
    cells: Cells,
}

enum Cells {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Oid(UInt32Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Numeric128(Decimal128Builder, u8, i8),
    Numeric256(Decimal256Builder, u8, i8),
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Bytea(BinaryBuilder),
    Date(Int32Builder),
    /// With the microseconds of one unit.
    Time32(Int32Builder, i64),
    Time64(Int64Builder),
    Timestamp(Int64Builder, i64),
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cells")
    }
}

/// Calls a method on whichever builder there is.
macro_rules! each {
    ($cells:expr, $out:ident => $call:expr) => {
        match $cells {
            Cells::Bool($out) => $call,
            Cells::Int2($out) => $call,
            Cells::Int4($out) | Cells::Date($out) | Cells::Time32($out, _) => $call,
            Cells::Int8($out) | Cells::Time64($out) | Cells::Timestamp($out, _) => $call,
            Cells::Oid($out) => $call,
            Cells::Float4($out) => $call,
            Cells::Float8($out) => $call,
            Cells::Numeric128($out, ..) => $call,
            Cells::Numeric256($out, ..) => $call,
            Cells::Text($out) | Cells::Jsonb($out) => $call,
            Cells::Uuid($out) => $call,
            Cells::Bytea($out) => $call,
        }
    };
}

impl Column {
    /// An empty column for a field as the dialect selects it: binary where its type has a decoder, text otherwise.
    pub(super) fn new(field: &DxtField) -> Result<Self> {
        let native = PgType::of(field).filter(|t| t.is_binary());
        let data_type = field.dtype.to_arrow();
        let micros = |precision: u8| if precision == 0 { 1_000_000 } else { 1_000 };
        let cells = match (native, &field.dtype) {
            (Some(PgType::Jsonb), _) => Cells::Jsonb(StringBuilder::new()),
            (_, DxtType::String | DxtType::Json) => Cells::Text(StringBuilder::new()),
            (Some(_), dtype) => match dtype {
                DxtType::Bool => Cells::Bool(BooleanBuilder::new()),
                DxtType::Int16 => Cells::Int2(Int16Builder::new()),
                DxtType::Int32 => Cells::Int4(Int32Builder::new()),
                DxtType::Int64 => Cells::Int8(Int64Builder::new()),
                DxtType::Uint32 => Cells::Oid(UInt32Builder::new()),
                DxtType::Float32 => Cells::Float4(Float32Builder::new()),
                DxtType::Float64 => Cells::Float8(Float64Builder::new()),
                DxtType::Decimal { precision, scale } if *precision <= 38 => {
                    Cells::Numeric128(Decimal128Builder::new(), *precision, *scale)
                }
                DxtType::Decimal { precision, scale } => {
                    Cells::Numeric256(Decimal256Builder::new(), *precision, *scale)
                }
                DxtType::Binary => Cells::Bytea(BinaryBuilder::new()),
                DxtType::Uuid => Cells::Uuid(FixedSizeBinaryBuilder::new(16)),
                DxtType::Date => Cells::Date(Int32Builder::new()),
                DxtType::Time { precision: precision @ 0..=3 } => {
                    Cells::Time32(Int32Builder::new(), micros(*precision))
                }
                DxtType::Time { .. } => Cells::Time64(Int64Builder::new()),
                DxtType::Timestamp { precision } | DxtType::TimestampTz { precision } => {
                    let unit = if *precision > 3 { 1 } else { micros(*precision) };
                    Cells::Timestamp(Int64Builder::new(), unit)
                }
                _ => return Err(undecodable(field)),
            },
            (None, _) => return Err(undecodable(field)),
        };
        Ok(Self { name: field.name.clone(), data_type, cells })
    }

    /// Appends a NULL.
    pub(super) fn push_null(&mut self) {
        each!(&mut self.cells, out => out.append_null());
    }

    /// Appends a value.
    ///
    /// # Errors
    /// Names the column, and the value where it is one that dxt's type cannot hold.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        push(&mut self.cells, bytes).map_err(|wrong| match wrong {
            CellError::Malformed(what) => {
                Error::new(ErrorKind::Extractor, format!("column {}: the server sent {what}", self.name))
            }
            CellError::Value { value, why } => {
                let value = super::shorten(&value);
                Error::new(ErrorKind::Validation, format!("column {}: {value} cannot be read: {why}", self.name))
                    .with_hint("declare the field with `dtype: string` to take such values as text")
            }
        })
    }

    /// Takes what was appended as an array of the field's Arrow type.
    pub(super) fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let array: ArrayRef = each!(&mut self.cells, out => Arc::new(out.finish()));
        if array.data_type() == &self.data_type {
            return Ok(array);
        }
        // The same integers, as dates, times and decimals of this column.
        Ok(make_array(array.into_data().into_builder().data_type(self.data_type.clone()).build()?))
    }
}

fn undecodable(field: &DxtField) -> Error {
    let native = field.native.as_ref().map_or("unknown", |n| n.name.as_str());
    let what = format!("column {}: PostgreSQL's type {native} cannot be read as {}", field.name, field.dtype);
    Error::new(ErrorKind::TypeMapping, what)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], CellError> {
    bytes.try_into().map_err(|_| CellError::Malformed("a value of the wrong length"))
}

fn utf8(bytes: &[u8]) -> Result<&str, CellError> {
    std::str::from_utf8(bytes).map_err(|_| CellError::Malformed("text that is not UTF-8"))
}

fn push(cells: &mut Cells, bytes: &[u8]) -> Result<(), CellError> {
    match cells {
        Cells::Bool(out) => match fixed(bytes)? {
            [0] => out.append_value(false),
            [1] => out.append_value(true),
            _ => return Err(CellError::Malformed("a boolean that is neither 0 nor 1")),
        },
        Cells::Int2(out) => out.append_value(i16::from_be_bytes(fixed(bytes)?)),
        Cells::Int4(out) => out.append_value(i32::from_be_bytes(fixed(bytes)?)),
        Cells::Int8(out) => out.append_value(i64::from_be_bytes(fixed(bytes)?)),
        Cells::Oid(out) => out.append_value(u32::from_be_bytes(fixed(bytes)?)),
        Cells::Float4(out) => out.append_value(f32::from_be_bytes(fixed(bytes)?)),
        Cells::Float8(out) => out.append_value(f64::from_be_bytes(fixed(bytes)?)),
        Cells::Numeric128(out, precision, scale) => out.append_value(numeric::decode(bytes, *precision, *scale)?),
        Cells::Numeric256(out, precision, scale) => out.append_value(numeric::decode(bytes, *precision, *scale)?),
        Cells::Text(out) => out.append_value(utf8(bytes)?),
        Cells::Jsonb(out) => match bytes.split_first() {
            Some((1, text)) => out.append_value(utf8(text)?),
            _ => return Err(CellError::Malformed("a jsonb of an unknown version")),
        },
        Cells::Uuid(out) => {
            let value = fixed::<16>(bytes)?;
            out.append_value(value).map_err(|_| CellError::Malformed("a value of the wrong length"))?;
        }
        Cells::Bytea(out) => out.append_value(bytes),
        Cells::Date(out) => out.append_value(days(i32::from_be_bytes(fixed(bytes)?))?),
        Cells::Time32(out, unit) => {
            let count = midnight(i64::from_be_bytes(fixed(bytes)?))? / *unit;
            out.append_value(i32::try_from(count).map_err(|_| CellError::Malformed("a time past the day"))?);
        }
        Cells::Time64(out) => out.append_value(midnight(i64::from_be_bytes(fixed(bytes)?))?),
        Cells::Timestamp(out, unit) => out.append_value(micros(i64::from_be_bytes(fixed(bytes)?))?.div_euclid(*unit)),
    }
    Ok(())
}

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
        micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| CellError::Value {
            value: "a timestamp past 294247-01-10".into(),
            why: "dxt's timestamps end before it",
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
