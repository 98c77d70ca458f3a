//! Where values go: Arrow builders of the fields that were asked for. A value arrives whole, or is refused by its column.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder,
    StringBuilder, types::*,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::decode::{self, Read};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, DxtType, UUID_BYTES};

/// A batch closes at about so many bytes.
const BATCH_BYTES: usize = 2 << 20;

/// A value as a source gives it. None of these has been rounded on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    #[allow(dead_code)] // a driver behind a Cargo feature makes it
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f32),
    Double(f64),
    /// Text, or what was cast to text; UTF-8 unless the system lies.
    Text(&'a [u8]),
    /// Bytes that are no text.
    Bytes(&'a [u8]),
    /// A bit string, most significant byte first.
    Bits(&'a [u8]),
}

/// A value for an error, shortened.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| -> String {
            let digits: String = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
            if bytes.len() > 16 { digits + "…" } else { digits }
        };
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Bytes(bytes) => write!(f, "x'{}'", hex(bytes)),
            Self::Bits(bytes) => write!(f, "bits x'{}'", hex(bytes)),
            Self::Text(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                match text.char_indices().nth(60) {
                    Some((at, _)) => write!(f, "'{}…'", text[..at].escape_debug()),
                    None => write!(f, "'{}'", text.escape_debug()),
                }
            }
        }
    }
}

/// Why a value is not one of its column's type: the end of a sentence that begins with the value.
pub(super) type Misfit = String;

/// One batch in the making.
pub(super) struct Destination {
    schema: SchemaRef,
    columns: Vec<Slot>,
    batch_size: usize,
    rows: usize,
    bytes: usize,
}

impl Destination {
    /// Builders for `fields`; a batch closes at `batch_size` rows or about 2 MB.
    ///
    /// # Errors
    /// Type mapping: a field is an array or an object.
    pub(super) fn new(fields: &[DxtField], batch_size: usize) -> Result<Self> {
        let slot = |field: &DxtField| {
            let column = column(field).map_err(|e| e.context(format!("column {}", field.name)))?;
            Ok(Slot { column, nullable: field.nullable })
        };
        Ok(Self {
            schema: DxtSchema::new(fields.to_vec()).to_arrow(),
            columns: fields.iter().map(slot).collect::<Result<_>>()?,
            batch_size: batch_size.max(1),
            rows: 0,
            bytes: 0,
        })
    }

    /// The Arrow schema of the batches.
    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Appends the next value of the row to a column; `None` is NULL.
    pub(super) fn put(&mut self, column: usize, value: Option<Cell<'_>>) -> Result<(), Misfit> {
        let slot = &mut self.columns[column];
        self.bytes += match value {
            Some(value) => slot.column.append(value).map_err(|why| format!("the value {value} {why}"))?,
            None if slot.nullable => slot.column.null(),
            None => return Err("NULL in a column that is declared NOT NULL".into()),
        };
        Ok(())
    }

    /// Ends a row. `true`: the batch is full.
    pub(super) fn end_row(&mut self) -> bool {
        self.rows += 1;
        self.rows >= self.batch_size || self.bytes >= BATCH_BYTES
    }

    /// Whether the batch has no rows yet.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes the batch and begins the next.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(|slot| slot.column.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .during(ErrorKind::Extractor, || "making a batch of the source's rows".into())
    }
}

struct Slot {
    column: Box<dyn Column>,
    nullable: bool,
}

trait Column: Send {
    /// Appends a value; gives its bytes.
    fn append(&mut self, value: Cell<'_>) -> Result<usize, Misfit>;
    /// Appends NULL; gives its bytes.
    fn null(&mut self) -> usize;
    fn finish(&mut self) -> ArrayRef;
}

struct Primitive<T: ArrowPrimitiveType> {
    builder: PrimitiveBuilder<T>,
    read: Read<T::Native>,
}

impl<T: ArrowPrimitiveType> Column for Primitive<T> {
    fn append(&mut self, value: Cell<'_>) -> Result<usize, Misfit> {
        self.builder.append_value((self.read)(value)?);
        Ok(size_of::<T::Native>())
    }

    fn null(&mut self) -> usize {
        self.builder.append_null();
        size_of::<T::Native>()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Bool(BooleanBuilder);

impl Column for Bool {
    fn append(&mut self, value: Cell<'_>) -> Result<usize, Misfit> {
        self.0.append_value(decode::boolean(value)?);
        Ok(1)
    }

    fn null(&mut self) -> usize {
        self.0.append_null();
        1
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Text {
    builder: StringBuilder,
    json: bool,
}

impl Column for Text {
    fn append(&mut self, value: Cell<'_>) -> Result<usize, Misfit> {
        let text = if self.json { decode::json(&value)? } else { decode::string(&value)? };
        self.builder.append_value(&text);
        Ok(text.len() + size_of::<i32>())
    }

    fn null(&mut self) -> usize {
        self.builder.append_null();
        size_of::<i32>()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Binary(BinaryBuilder);

impl Column for Binary {
    fn append(&mut self, value: Cell<'_>) -> Result<usize, Misfit> {
        let bytes = decode::binary(&value)?;
        self.0.append_value(&bytes);
        Ok(bytes.len() + size_of::<i32>())
    }

    fn null(&mut self) -> usize {
        self.0.append_null();
        size_of::<i32>()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Uuid(FixedSizeBinaryBuilder);

impl Column for Uuid {
    fn append(&mut self, value: Cell<'_>) -> Result<usize, Misfit> {
        let bytes = decode::uuid(value)?;
        self.0.append_value(bytes).map_err(|e| e.to_string())?;
        Ok(UUID_BYTES)
    }

    fn null(&mut self) -> usize {
        self.0.append_null();
        UUID_BYTES
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

fn column(field: &DxtField) -> Result<Box<dyn Column>> {
    let dtype = &field.dtype;
    let arrow = dtype.to_arrow();
    Ok(match dtype {
        DxtType::Int8 => primitive::<Int8Type>(arrow, decode::integer(dtype)),
        DxtType::Int16 => primitive::<Int16Type>(arrow, decode::integer(dtype)),
        DxtType::Int32 => primitive::<Int32Type>(arrow, decode::integer(dtype)),
        DxtType::Int64 => primitive::<Int64Type>(arrow, decode::integer(dtype)),
        DxtType::Uint8 => primitive::<UInt8Type>(arrow, decode::integer(dtype)),
        DxtType::Uint16 => primitive::<UInt16Type>(arrow, decode::integer(dtype)),
        DxtType::Uint32 => primitive::<UInt32Type>(arrow, decode::integer(dtype)),
        DxtType::Uint64 => primitive::<UInt64Type>(arrow, decode::integer(dtype)),
        DxtType::Float32 => primitive::<Float32Type>(arrow, Box::new(decode::float32)),
        DxtType::Float64 => primitive::<Float64Type>(arrow, Box::new(decode::float64)),
        DxtType::Decimal { precision, scale } if *precision <= 38 => {
            primitive::<Decimal128Type>(arrow, decode::decimal128(*precision, *scale))
        }
        DxtType::Decimal { precision, scale } => {
            primitive::<Decimal256Type>(arrow, decode::decimal256(*precision, *scale))
        }
        DxtType::Date => primitive::<Date32Type>(arrow, Box::new(decode::date)),
        DxtType::Time { precision } => times(arrow, *precision),
        DxtType::Timestamp { precision } => timestamps(arrow, *precision, false),
        DxtType::TimestampTz { precision } => timestamps(arrow, *precision, true),
        DxtType::String => Box::new(Text { builder: StringBuilder::new(), json: false }),
        DxtType::Json => Box::new(Text { builder: StringBuilder::new(), json: true }),
        DxtType::Bool => Box::new(Bool(BooleanBuilder::new())),
        DxtType::Binary => Box::new(Binary(BinaryBuilder::new())),
        DxtType::Uuid => Box::new(Uuid(FixedSizeBinaryBuilder::new(UUID_BYTES as i32))),
        DxtType::Array(_) | DxtType::Object(_) => {
            return Err(Error::new(ErrorKind::TypeMapping, format!("{dtype} cannot be read through connectorx"))
                .with_hint("read the column as json"));
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(arrow: DataType, read: Read<T::Native>) -> Box<dyn Column> {
    Box::new(Primitive::<T> { builder: PrimitiveBuilder::new().with_data_type(arrow), read })
}

fn times(arrow: DataType, precision: u8) -> Box<dyn Column> {
    // A day has fewer milliseconds than i32 counts.
    let narrow = move |value: Cell<'_>| {
        i32::try_from(decode::time(value, precision)?).map_err(|_| "does not fit into a time".to_string())
    };
    match &arrow {
        DataType::Time32(TimeUnit::Second) => primitive::<Time32SecondType>(arrow, Box::new(narrow)),
        DataType::Time32(_) => primitive::<Time32MillisecondType>(arrow, Box::new(narrow)),
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(arrow, Box::new(move |v| decode::time(v, precision)))
        }
        _ => primitive::<Time64NanosecondType>(arrow, Box::new(move |v| decode::time(v, precision))),
    }
}

fn timestamps(arrow: DataType, precision: u8, zoned: bool) -> Box<dyn Column> {
    let read: Read<i64> = Box::new(move |value| decode::timestamp(value, precision, zoned));
    match &arrow {
        DataType::Timestamp(TimeUnit::Second, _) => primitive::<TimestampSecondType>(arrow, read),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive::<TimestampMillisecondType>(arrow, read),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive::<TimestampMicrosecondType>(arrow, read),
        _ => primitive::<TimestampNanosecondType>(arrow, read),
    }
}
