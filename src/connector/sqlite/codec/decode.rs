//! SQLite values into Arrow builders, as the field's type says and in no other way.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder,
    StringBuilder, types::*,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, i256};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use rusqlite::types::ValueRef;

use super::text::{fraction_units, parse_date, parse_decimal, parse_moment, parse_time};
use super::{Misfit, show};
use crate::connector::sqlite::types::{Affinity, SYSTEM};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, DxtType, UUID_BYTES, parse_uuid};

const EPOCH_HINT: &str =
    "dxt does not guess an epoch's unit: read the column as int64, or convert it in SQL, e.g. datetime(x, 'unixepoch')";

/// One batch in the making.
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<Box<dyn Column>>,
    nullable: Vec<bool>,
    rows: usize,
    bytes: usize,
}

impl Decoder {
    /// A decoder for `fields`; `loose` says of a column's name whether the pipeline asked for its text, whatever is stored.
    ///
    /// # Errors
    /// Type mapping: a field is an array or an object, which SQLite stores as JSON text.
    pub fn new(fields: &[DxtField], loose: impl Fn(&str) -> bool) -> Result<Self> {
        let columns = fields
            .iter()
            .map(|f| column(f, loose(&f.name)).map_err(|e| e.context(format!("column {}", f.name))))
            .collect::<Result<_>>()?;
        let nullable = fields.iter().map(|f| f.nullable).collect();
        Ok(Self { schema: DxtSchema::new(fields.to_vec()).to_arrow(), columns, nullable, rows: 0, bytes: 0 })
    }

    /// The Arrow schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Rows in the batch so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of values in the batch so far, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends one row; on a misfit, the index of its column comes with it.
    pub fn append<'v>(&mut self, mut value: impl FnMut(usize) -> ValueRef<'v>) -> Result<(), (usize, Misfit)> {
        for (i, column) in self.columns.iter_mut().enumerate() {
            match value(i) {
                ValueRef::Null if self.nullable[i] => column.null(),
                ValueRef::Null => return Err((i, Misfit::new("NULL in a column that is declared NOT NULL"))),
                other => self.bytes += column.append(other).map_err(|misfit| (i, misfit))?,
            }
            self.bytes += 1;
        }
        self.rows += 1;
        Ok(())
    }

    /// Takes the batch and begins the next.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(|c| c.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .during(ErrorKind::Extractor, || "making a batch of SQLite's rows".into())
    }
}

trait Column: Send {
    /// Appends a value that is not NULL; gives its bytes.
    fn append(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit>;
    fn null(&mut self);
    fn finish(&mut self) -> ArrayRef;
}

type Read<T> = Box<dyn Fn(ValueRef<'_>) -> Result<T, Misfit> + Send>;

struct Primitive<T: ArrowPrimitiveType> {
    builder: PrimitiveBuilder<T>,
    read: Read<T::Native>,
}

impl<T: ArrowPrimitiveType> Column for Primitive<T> {
    fn append(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        self.builder.append_value((self.read)(value)?);
        Ok(size_of::<T::Native>())
    }

    fn null(&mut self) {
        self.builder.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Bool(BooleanBuilder);

impl Column for Bool {
    fn append(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        match value {
            ValueRef::Integer(i @ (0 | 1)) => self.0.append_value(i == 1),
            other => return Err(misfit(other, "is not a bool (0 or 1)")),
        }
        Ok(1)
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Binary(BinaryBuilder);

impl Column for Binary {
    fn append(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        let ValueRef::Blob(bytes) = value else { return Err(misfit(value, "is not a blob")) };
        self.0.append_value(bytes);
        Ok(bytes.len() + 4)
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Uuid(FixedSizeBinaryBuilder);

impl Column for Uuid {
    fn append(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        let read = match value {
            ValueRef::Text(bytes) => parse_uuid(bytes),
            ValueRef::Blob(bytes) => bytes.try_into().ok(),
            _ => None,
        };
        let wrong = || misfit(value, "is not a uuid").hint("read the column with `dtype: string`");
        self.0.append_value(read.ok_or_else(wrong)?).map_err(|_| wrong())?;
        Ok(UUID_BYTES)
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Text {
    builder: StringBuilder,
    json: bool,
    /// Takes numbers: all but columns of TEXT affinity, where none can be stored.
    numbers: bool,
    /// Takes blobs that are UTF-8.
    loose: bool,
}

impl Column for Text {
    fn append(&mut self, value: ValueRef<'_>) -> Result<usize, Misfit> {
        let number;
        let text = match value {
            ValueRef::Text(bytes) => utf8(bytes).ok_or_else(|| misfit(value, "is not UTF-8"))?,
            ValueRef::Integer(i) if self.numbers => {
                number = i.to_string();
                &number
            }
            ValueRef::Real(r) if self.numbers => {
                number = format!("{r:?}");
                &number
            }
            ValueRef::Blob(bytes) if self.loose => {
                utf8(bytes).ok_or_else(|| misfit(value, "is not UTF-8").hint("read the column with `dtype: binary`"))?
            }
            other => return Err(misfit(other, "is not text")),
        };
        if self.json && !is_json(text) {
            return Err(misfit(value, "is not JSON"));
        }
        self.builder.append_value(text);
        Ok(text.len() + 4)
    }

    fn null(&mut self) {
        self.builder.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Whether a text is one JSON value.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn misfit(value: ValueRef<'_>, reason: &str) -> Misfit {
    Misfit::new(format!("{} {reason}", show(value)))
}

impl Misfit {
    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

fn column(field: &DxtField, loose: bool) -> Result<Box<dyn Column>> {
    let dtype = &field.dtype;
    let arrow = dtype.to_arrow();
    let numbers = loose || field.native_in(SYSTEM).is_none_or(|n| Affinity::of(n) != Affinity::Text);
    Ok(match dtype {
        DxtType::Int8 => primitive::<Int8Type>(arrow, integer("int8")),
        DxtType::Int16 => primitive::<Int16Type>(arrow, integer("int16")),
        DxtType::Int32 => primitive::<Int32Type>(arrow, integer("int32")),
        DxtType::Int64 => primitive::<Int64Type>(arrow, integer("int64")),
        DxtType::Uint8 => primitive::<UInt8Type>(arrow, integer("uint8")),
        DxtType::Uint16 => primitive::<UInt16Type>(arrow, integer("uint16")),
        DxtType::Uint32 => primitive::<UInt32Type>(arrow, integer("uint32")),
        DxtType::Uint64 => primitive::<UInt64Type>(arrow, Box::new(unsigned)),
        DxtType::Float32 => primitive::<Float32Type>(arrow, Box::new(float32)),
        DxtType::Float64 => primitive::<Float64Type>(arrow, Box::new(float64)),
        DxtType::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            if precision <= 38 {
                let read = move |v: ValueRef<'_>| {
                    decimal(v, precision, scale)?.to_i128().ok_or_else(|| misfit(v, "does not fit the decimal"))
                };
                primitive::<Decimal128Type>(arrow, Box::new(read))
            } else {
                primitive::<Decimal256Type>(arrow, Box::new(move |v| decimal(v, precision, scale)))
            }
        }
        DxtType::Date => primitive::<Date32Type>(arrow, Box::new(date)),
        DxtType::Time { precision } => {
            let precision = *precision;
            let narrow =
                move |v: ValueRef<'_>| i32::try_from(time(v, precision)?).map_err(|_| misfit(v, "does not fit a time"));
            match &arrow {
                DataType::Time32(TimeUnit::Second) => primitive::<Time32SecondType>(arrow, Box::new(narrow)),
                DataType::Time32(_) => primitive::<Time32MillisecondType>(arrow, Box::new(narrow)),
                DataType::Time64(TimeUnit::Microsecond) => {
                    primitive::<Time64MicrosecondType>(arrow, Box::new(move |v| time(v, precision)))
                }
                _ => primitive::<Time64NanosecondType>(arrow, Box::new(move |v| time(v, precision))),
            }
        }
        DxtType::Timestamp { precision } => timestamps(arrow, *precision, false),
        DxtType::TimestampTz { precision } => timestamps(arrow, *precision, true),
        DxtType::String => Box::new(Text { builder: StringBuilder::new(), json: false, numbers, loose }),
        DxtType::Json => Box::new(Text { builder: StringBuilder::new(), json: true, numbers, loose: false }),
        DxtType::Bool => Box::new(Bool(BooleanBuilder::new())),
        DxtType::Binary => Box::new(Binary(BinaryBuilder::new())),
        DxtType::Uuid => Box::new(Uuid(FixedSizeBinaryBuilder::new(16))),
        DxtType::Array(_) | DxtType::Object(_) => {
            return Err(Error::new(ErrorKind::TypeMapping, format!("SQLite has no {dtype}"))
                .with_hint("read the column as json"));
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(arrow: DataType, read: Read<T::Native>) -> Box<dyn Column> {
    Box::new(Primitive::<T> { builder: PrimitiveBuilder::new().with_data_type(arrow), read })
}

fn timestamps(arrow: DataType, precision: u8, zoned: bool) -> Box<dyn Column> {
    let read: Read<i64> = Box::new(move |v| timestamp(v, precision, zoned));
    match &arrow {
        DataType::Timestamp(TimeUnit::Second, _) => primitive::<TimestampSecondType>(arrow, read),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive::<TimestampMillisecondType>(arrow, read),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive::<TimestampMicrosecondType>(arrow, read),
        _ => primitive::<TimestampNanosecondType>(arrow, read),
    }
}

/// 2^63: reals from there on are beyond i64.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

fn integer<T: TryFrom<i64>>(name: &'static str) -> Read<T> {
    Box::new(move |value| {
        let whole = match value {
            ValueRef::Integer(i) => i,
            ValueRef::Real(r) if r.fract() == 0.0 && (-I64_END..I64_END).contains(&r) => r as i64,
            other => return Err(misfit(other, &format!("is not an {name}"))),
        };
        T::try_from(whole).map_err(|_| misfit(value, &format!("does not fit {name}")))
    })
}

fn unsigned(value: ValueRef<'_>) -> Result<u64, Misfit> {
    let number = match value {
        ValueRef::Integer(i) => u64::try_from(i).ok(),
        // Only the padded form: others would not compare as numbers do.
        ValueRef::Text(bytes) if bytes.len() == 20 && bytes.iter().all(u8::is_ascii_digit) => {
            utf8(bytes).and_then(|t| t.parse().ok())
        }
        _ => None,
    };
    number.ok_or_else(|| misfit(value, "is not a uint64 (an integer, or text of 20 digits)"))
}

fn float64(value: ValueRef<'_>) -> Result<f64, Misfit> {
    match value {
        ValueRef::Real(r) => Ok(r),
        ValueRef::Integer(i) if i128::from(i) == (i as f64) as i128 => Ok(i as f64),
        ValueRef::Integer(_) => Err(misfit(value, "has more digits than a float64 keeps")),
        other => Err(misfit(other, "is not a float64")),
    }
}

fn float32(value: ValueRef<'_>) -> Result<f32, Misfit> {
    let wide = float64(value)?;
    let narrow = wide as f32;
    if f64::from(narrow) != wide {
        return Err(misfit(value, "has more digits than a float32 keeps").hint("read the column with `dtype: float64`"));
    }
    Ok(narrow)
}

fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Result<i256, Misfit> {
    let parse = |text: &str| {
        parse_decimal(text, precision, scale)
            .map_err(|reason| misfit(value, &format!("{reason} of decimal({precision},{scale})")))
    };
    match value {
        ValueRef::Integer(i) => parse(&i.to_string()),
        // The shortest text that names this real: what was written, where that had at most 15 digits.
        ValueRef::Real(r) => parse(&format!("{r:?}")),
        ValueRef::Text(bytes) => parse(utf8(bytes).unwrap_or_default()),
        other => Err(misfit(other, "is not a decimal")),
    }
}

fn date(value: ValueRef<'_>) -> Result<i32, Misfit> {
    match value {
        ValueRef::Text(bytes) => parse_date(bytes).ok_or_else(|| misfit(value, "is not a date (YYYY-MM-DD)")),
        ValueRef::Integer(_) | ValueRef::Real(_) => Err(misfit(value, "is not a date (YYYY-MM-DD)").hint(EPOCH_HINT)),
        other => Err(misfit(other, "is not a date (YYYY-MM-DD)")),
    }
}

fn time(value: ValueRef<'_>, precision: u8) -> Result<i64, Misfit> {
    let nanos = match value {
        ValueRef::Text(bytes) => parse_time(bytes),
        _ => None,
    };
    let nanos = nanos.ok_or_else(|| misfit(value, "is not a time (HH:MM:SS)"))?;
    let second = fraction_units(nanos % 1_000_000_000, precision).map_err(|reason| misfit(value, &reason))?;
    Ok(nanos / 1_000_000_000 * super::text::units(precision) + second)
}

fn timestamp(value: ValueRef<'_>, precision: u8, zoned: bool) -> Result<i64, Misfit> {
    let reason = "is not a timestamp (YYYY-MM-DD HH:MM:SS)";
    let moment = match value {
        ValueRef::Text(bytes) => parse_moment(bytes).ok_or_else(|| misfit(value, reason))?,
        ValueRef::Integer(_) | ValueRef::Real(_) => return Err(misfit(value, reason).hint(EPOCH_HINT)),
        other => return Err(misfit(other, reason)),
    };
    if !zoned && moment.offset.is_some_and(|o| o != 0) {
        let misfit = misfit(value, "has an offset from UTC in a column of timestamps without a zone");
        return Err(misfit.hint("read the column with `dtype: timestamp_tz`"));
    }
    moment.count(precision).map_err(|reason| misfit(value, &reason))
}
