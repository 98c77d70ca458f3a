//! Decodes texts into Arrow arrays of DXT types: what CSV and JSON lines share.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder, StringBuilder};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, SchemaRef, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::parse::{self, Fault};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType};

/// A batch closes when its texts are this long together, whatever the number of rows.
const BATCH_BYTES: usize = 2 << 20;

trait Decoder: Send {
    fn push(&mut self, text: Option<&[u8]>) -> Result<(), Fault>;
    fn finish(&mut self) -> ArrayRef;
}

struct Primitive<T: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<T>,
    parse: F,
}

impl<T: ArrowPrimitiveType, F: Fn(&[u8]) -> Result<T::Native, Fault> + Send> Decoder for Primitive<T, F> {
    fn push(&mut self, text: Option<&[u8]>) -> Result<(), Fault> {
        self.builder.append_option(text.map(&self.parse).transpose()?);
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

fn primitive<T: ArrowPrimitiveType>(
    dtype: &DxtType,
    parse: impl Fn(&[u8]) -> Result<T::Native, Fault> + Send + 'static,
) -> Box<dyn Decoder> {
    Box::new(Primitive { builder: PrimitiveBuilder::<T>::new().with_data_type(dtype.to_arrow()), parse })
}

struct Bools(BooleanBuilder);

impl Decoder for Bools {
    fn push(&mut self, text: Option<&[u8]>) -> Result<(), Fault> {
        self.0.append_option(text.map(parse::boolean).transpose()?);
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Strings {
    builder: StringBuilder,
    parse: fn(&[u8]) -> Result<&str, Fault>,
}

impl Decoder for Strings {
    fn push(&mut self, text: Option<&[u8]>) -> Result<(), Fault> {
        self.builder.append_option(text.map(self.parse).transpose()?);
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Binaries(BinaryBuilder);

impl Decoder for Binaries {
    fn push(&mut self, text: Option<&[u8]>) -> Result<(), Fault> {
        self.0.append_option(text.map(parse::binary).transpose()?);
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Uuids(FixedSizeBinaryBuilder);

impl Decoder for Uuids {
    fn push(&mut self, text: Option<&[u8]>) -> Result<(), Fault> {
        match text.map(parse::uuid).transpose()? {
            // Sixteen bytes always fit.
            Some(value) => self.0.append_value(value).map_err(|_| Fault::Form)?,
            None => self.0.append_null(),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Whether a text file's column can be read as `dtype`.
///
/// # Errors
/// Type mapping: nested types are read as JSON.
pub fn readable(field: &str, dtype: &DxtType) -> Result<()> {
    decoder(dtype).map(|_| ()).ok_or_else(|| {
        Error::new(ErrorKind::TypeMapping, format!("column {field} of a text file cannot be read as {dtype}"))
            .with_hint("declare it as json or string")
    })
}

fn decoder(dtype: &DxtType) -> Option<Box<dyn Decoder>> {
    Some(match *dtype {
        DxtType::Int8 => primitive::<Int8Type>(dtype, parse::int),
        DxtType::Int16 => primitive::<Int16Type>(dtype, parse::int),
        DxtType::Int32 => primitive::<Int32Type>(dtype, parse::int),
        DxtType::Int64 => primitive::<Int64Type>(dtype, parse::int),
        DxtType::Uint8 => primitive::<UInt8Type>(dtype, parse::int),
        DxtType::Uint16 => primitive::<UInt16Type>(dtype, parse::int),
        DxtType::Uint32 => primitive::<UInt32Type>(dtype, parse::int),
        DxtType::Uint64 => primitive::<UInt64Type>(dtype, parse::int),
        DxtType::Float32 => primitive::<Float32Type>(dtype, parse::float32),
        DxtType::Float64 => primitive::<Float64Type>(dtype, parse::float64),
        DxtType::Decimal { precision, scale } if precision <= 38 => {
            primitive::<Decimal128Type>(dtype, move |t| parse::decimal128(t, precision, scale))
        }
        DxtType::Decimal { precision, scale } => {
            primitive::<Decimal256Type>(dtype, move |t| parse::decimal256(t, precision, scale))
        }
        DxtType::String => Box::new(Strings { builder: StringBuilder::new(), parse: parse::string }),
        DxtType::Json => Box::new(Strings { builder: StringBuilder::new(), parse: parse::json }),
        DxtType::Bool => Box::new(Bools(BooleanBuilder::new())),
        DxtType::Binary => Box::new(Binaries(BinaryBuilder::new())),
        DxtType::Uuid => Box::new(Uuids(FixedSizeBinaryBuilder::new(16))),
        DxtType::Date => primitive::<Date32Type>(dtype, parse::date),
        DxtType::Time { precision } => match precision {
            0 => primitive::<Time32SecondType>(dtype, |t| Ok(parse::time(t, 0)? as i32)),
            1..=3 => primitive::<Time32MillisecondType>(dtype, |t| Ok(parse::time(t, 3)? as i32)),
            4..=6 => primitive::<Time64MicrosecondType>(dtype, |t| parse::time(t, 6)),
            _ => primitive::<Time64NanosecondType>(dtype, |t| parse::time(t, 9)),
        },
        DxtType::Timestamp { precision } => moments(dtype, precision, parse::timestamp),
        DxtType::TimestampTz { precision } => moments(dtype, precision, parse::timestamp_tz),
        DxtType::Array(_) | DxtType::Object(_) => return None,
    })
}

fn moments(dtype: &DxtType, precision: u8, parse: fn(&[u8], u8) -> Result<i64, Fault>) -> Box<dyn Decoder> {
    match precision {
        0 => primitive::<TimestampSecondType>(dtype, move |t| parse(t, 0)),
        1..=3 => primitive::<TimestampMillisecondType>(dtype, move |t| parse(t, 3)),
        4..=6 => primitive::<TimestampMicrosecondType>(dtype, move |t| parse(t, 6)),
        _ => primitive::<TimestampNanosecondType>(dtype, move |t| parse(t, 9)),
    }
}

/// Columns that are being decoded, row by row, into batches.
pub struct Columns {
    schema: SchemaRef,
    fields: Vec<DxtField>,
    decoders: Vec<Box<dyn Decoder>>,
    rows: usize,
    bytes: usize,
    batch_size: usize,
}

impl Columns {
    /// Columns of these fields; batches close at `batch_size` rows.
    ///
    /// # Errors
    /// Type mapping: see [`readable`].
    pub fn new(fields: &[DxtField], batch_size: usize) -> Result<Self> {
        let made = fields.iter().map(|f| {
            readable(&f.name, &f.dtype)?;
            Ok(decoder(&f.dtype))
        });
        let decoders = made.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let schema = DxtSchema::new(fields.to_vec()).to_arrow();
        Ok(Self { schema, fields: fields.to_vec(), decoders, rows: 0, bytes: 0, batch_size: batch_size.max(1) })
    }

    /// Adds a value to a column; `None` is NULL. `place` gives file and line for an error.
    ///
    /// # Errors
    /// Validation: the text is no value of the column's type; names place, column and value.
    pub fn push(&mut self, column: usize, text: Option<&[u8]>, place: impl Fn() -> String) -> Result<()> {
        self.bytes += text.map_or(0, <[u8]>::len);
        self.decoders[column].push(text).map_err(|fault| {
            let (name, dtype) = (&self.fields[column].name, self.fields[column].dtype.to_string());
            let value = shortened(text.unwrap_or_default());
            let message = format!("{}: column {name}: {value} {}", place(), fault.explain(&dtype));
            Error::new(ErrorKind::Validation, message).with_hint(match fault {
                Fault::Utf8 => "dxt reads UTF-8; convert the file, with iconv for example".to_string(),
                _ => format!("declare another dtype for {name}, such as string, or correct the file"),
            })
        })
    }

    /// Ends a row; `true` where the batch is full.
    pub fn end_row(&mut self) -> bool {
        self.rows += 1;
        self.rows >= self.batch_size || self.bytes >= BATCH_BYTES
    }

    /// The rows so far as a batch; `None` where there are none.
    ///
    /// # Errors
    /// Pipeline: rows of unequal width, which would be dxt's own fault.
    pub fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let arrays = self.decoders.iter_mut().map(|d| d.finish()).collect();
        // A batch without columns still has rows: `count(*)` asks for that.
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map(Some)
            .map_err(|e| Error::new(ErrorKind::Pipeline, "decoded columns do not make a batch").with_source(e))
    }
}

/// A value for an error: in backquotes, cut after 40 characters.
pub fn shortened(text: &[u8]) -> String {
    const SHOWN: usize = 40;
    let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN * 4)]);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};

    fn decode(dtype: DxtType, texts: &[Option<&str>]) -> Result<RecordBatch> {
        let mut columns = Columns::new(&[DxtField::new("x", dtype)], 100)?;
        for (row, text) in texts.iter().enumerate() {
            columns.push(0, text.map(str::as_bytes), || format!("f.csv:{}", row + 2))?;
            columns.end_row();
        }
        Ok(columns.take()?.unwrap())
    }

    #[test]
    fn every_flat_type_has_its_own_arrow_type() {
        let types = [
            (DxtType::Int8, "1"),
            (DxtType::Uint64, "1"),
            (DxtType::Float32, "1.5"),
            (DxtType::Decimal { precision: 5, scale: 2 }, "1.50"),
            (DxtType::Decimal { precision: 50, scale: 2 }, "1.50"),
            (DxtType::Bool, "true"),
            (DxtType::Date, "2024-02-29"),
            (DxtType::Time { precision: 0 }, "01:02:03"),
            (DxtType::Time { precision: 3 }, "01:02:03.5"),
            (DxtType::Time { precision: 9 }, "01:02:03"),
            (DxtType::Timestamp { precision: 0 }, "2024-01-01 00:00:00"),
            (DxtType::TimestampTz { precision: 6 }, "2024-01-01T00:00:00Z"),
            (DxtType::Json, "[1]"),
            (DxtType::Binary, "\\x00"),
            (DxtType::Uuid, "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"),
            (DxtType::String, "x"),
        ];
        for (dtype, text) in types {
            let batch = decode(dtype.clone(), &[Some(text), None]).unwrap();
            assert_eq!(batch.column(0).data_type(), &dtype.to_arrow());
            assert_eq!(batch.column(0).null_count(), 1);
        }
        assert_eq!(readable("x", &DxtType::Object(vec![])).unwrap_err().kind(), ErrorKind::TypeMapping);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        let long = "9".repeat(60);
        let error = decode(DxtType::Int32, &[Some("1"), Some(&long)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Validation);
        assert!(error.message().starts_with("f.csv:3: column x: `99999"), "{error}");
        assert!(error.message().ends_with("…` does not fit into int32"), "{error}");
        let error = decode(DxtType::Uuid, &[Some("a0eebc99")]).unwrap_err();
        assert!(error.message().ends_with("`a0eebc99` is not a value of type uuid"), "{error}");
    }

    #[test]
    fn batches_close_by_rows_and_count_them_without_columns() {
        let mut columns = Columns::new(&[], 2).unwrap();
        assert!(!columns.end_row());
        assert!(columns.end_row());
        assert_eq!(columns.take().unwrap().unwrap().num_rows(), 2);
        assert!(columns.take().unwrap().is_none());
    }

    #[test]
    fn texts_keep_their_characters() {
        let batch = decode(DxtType::String, &[Some("日本 \"x\"\n"), Some("")]).unwrap();
        assert_eq!(batch.column(0).as_string::<i32>().value(0), "日本 \"x\"\n");
    }
}
