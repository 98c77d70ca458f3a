//! Batches as the text of a file for LOAD DATA, or as the VALUES of an INSERT; and the refusal of values that the server
//! would change without a word.
//!
//! Of these not even a warning tells: fractions of a second that a column has no digits for are rounded, blanks at the end
//! of a `char` are dropped, a `binary(n)` is filled up, texts that are no members of an enum but numbers are taken as
//! members' numbers, a set is put in order, and a year of one or two digits is another year.

use std::io::Write;

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, PrimitiveArray,
    RecordBatch, StringArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::dialect::{clock, day, moment, pointed, quote};
use super::types::{MyType, SYSTEM};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, uuid_text};
use crate::plan::strict::shown;

/// The form in which rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Lines of fields with tabs between.
    File,
    /// `(1,'a'),(2,'b')`.
    Values,
}

/// A column as the target has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) field: DxtField,
    /// Its native type.
    pub(super) native: Option<MyType>,
    /// Whether it is a key: a NULL there is an error of its own.
    pub(super) key: bool,
}

impl Target {
    pub(super) fn new(field: DxtField, key: bool) -> Self {
        Self { native: field.native_in(SYSTEM).and_then(MyType::parse), field, key }
    }

    /// The variable that a field of a file goes through, and what makes the column's value of it.
    fn through(&self, at: usize) -> Option<(String, String)> {
        let variable = format!("@dxt_{at}");
        let value = match &self.native {
            Some(MyType::Bit(_)) => format!("CAST({variable} AS UNSIGNED)"),
            Some(MyType::Binary(_) | MyType::Varbinary | MyType::Blob | MyType::Geometry) => {
                format!("UNHEX({variable})")
            }
            _ => return None,
        };
        Some((variable, value))
    }
}

/// `LOAD DATA …` into a table, quoted, for files of [`Framing::File`].
pub(super) fn load_data(table: &str, columns: &[Target]) -> String {
    let (mut items, mut sets) = (Vec::with_capacity(columns.len()), Vec::new());
    for (at, column) in columns.iter().enumerate() {
        let name = quote(&column.field.name);
        match column.through(at) {
            Some((variable, value)) => {
                sets.push(format!("{name} = {value}"));
                items.push(variable);
            }
            None => items.push(name),
        }
    }
    let set = if sets.is_empty() { String::new() } else { format!(" SET {}", sets.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE 'dxt' INTO TABLE {table} CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' \
         LINES TERMINATED BY '\\n' ({}){set}",
        items.join(", ")
    )
}

/// `INSERT …` into a table, quoted, up to the values.
pub(super) fn insert(table: &str, columns: &[Target]) -> String {
    let names: Vec<String> = columns.iter().map(|column| quote(&column.field.name)).collect();
    format!("INSERT INTO {table} ({}) VALUES ", names.join(", "))
}

/// Rows in their form, and the batches that they are of.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) body: Vec<u8>,
    pub(super) rows: u64,
    batches: Vec<RecordBatch>,
}

impl Chunk {
    /// A value for an error, shortened: row from 1, and column.
    pub(super) fn shown(&self, row: u64, column: &str) -> Option<String> {
        let mut left = usize::try_from(row.checked_sub(1)?).ok()?;
        for batch in &self.batches {
            if left < batch.num_rows() {
                return Some(shown(batch.column_by_name(column)?.as_ref(), left));
            }
            left -= batch.num_rows();
        }
        None
    }
}

/// Writes batches of one schema into chunks.
#[derive(Debug)]
pub(super) struct Encoder {
    columns: Vec<Target>,
    schema: DxtSchema,
    framing: Framing,
    /// Rows in the chunks so far.
    rows: u64,
    scratch: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(columns: Vec<Target>, framing: Framing) -> Self {
        let schema = DxtSchema::new(columns.iter().map(|column| column.field.clone()).collect());
        Self { columns, schema, framing, rows: 0, scratch: Vec::new() }
    }

    /// Appends the rows from `from` on to a chunk, until it has `limit` bytes; gives the row that comes next.
    ///
    /// # Errors
    /// Validation: a value that the column would not keep as it is. Schema: the batch has other columns.
    pub(super) fn encode(
        &mut self,
        batch: &RecordBatch,
        from: usize,
        chunk: &mut Chunk,
        limit: usize,
    ) -> Result<usize> {
        let expected = self.schema.to_arrow();
        let same = batch.num_columns() == self.columns.len()
            && batch.columns().iter().zip(expected.fields()).all(|(a, f)| a.data_type() == f.data_type());
        if !same {
            let what = format!("a batch has other columns than the load: {:?}", batch.schema());
            return Err(Error::new(ErrorKind::Schema, what));
        }
        let cells = batch.columns().iter().map(|array| Cells::of(array.as_ref())).collect::<Result<Vec<_>>>()?;
        let mut row = from;
        while row < batch.num_rows() && (chunk.body.len() < limit || row == from && chunk.rows == 0) {
            let done = (row - from) as u64;
            let place = Place { row, number: self.rows + done + 1, first: chunk.rows + done == 0 };
            self.row(&cells, batch, place, &mut chunk.body)?;
            row += 1;
        }
        chunk.rows += (row - from) as u64;
        self.rows += (row - from) as u64;
        chunk.batches.push(batch.slice(from, row - from));
        Ok(row)
    }

    fn row(&mut self, cells: &[Cells<'_>], batch: &RecordBatch, place: Place, out: &mut Vec<u8>) -> Result<()> {
        let Place { row, number, first } = place;
        if self.framing == Framing::Values {
            out.extend_from_slice(if first { b"(" } else { b",(" });
        }
        for (at, (cell, column)) in cells.iter().zip(&self.columns).enumerate() {
            if at > 0 {
                out.push(if self.framing == Framing::File { b'\t' } else { b',' });
            }
            let array = batch.column(at);
            let wrong = |why: &str, hint: &str| {
                let what = format!("column {}, row {number} of the load: {why}", column.field.name);
                Err(Error::new(ErrorKind::Validation, what).with_hint(hint))
            };
            if array.is_null(row) {
                if column.key {
                    return wrong(
                        "the key is NULL",
                        "filter such rows out with `criteria`, or name other `upsert_keys`",
                    );
                }
                if !column.field.nullable {
                    return wrong("NULL, and the column takes none", "fill the column, or allow NULL in the target");
                }
                out.extend_from_slice(if self.framing == Framing::File { b"\\N" } else { b"NULL" });
                continue;
            }
            self.scratch.clear();
            let kind = match cell.write(row, column.native.as_ref(), &mut self.scratch) {
                Ok(kind) => kind,
                Err(why) => {
                    let native = column.field.native_in(SYSTEM).unwrap_or_default();
                    let text = format!("the value {} {why} ({native})", shown(array.as_ref(), row));
                    return wrong(
                        &text,
                        "give the target's column another type, or shape the value with an expression",
                    );
                }
            };
            match (self.framing, kind) {
                (Framing::File, Kind::Text) => escape_file(&self.scratch, out),
                (Framing::File, _) | (Framing::Values, Kind::Plain) => out.extend_from_slice(&self.scratch),
                (Framing::Values, Kind::Text) => escape_quoted(&self.scratch, out),
                (Framing::Values, Kind::Hex) => {
                    out.extend_from_slice(b"x'");
                    out.extend_from_slice(&self.scratch);
                    out.push(b'\'');
                }
            }
        }
        out.push(if self.framing == Framing::File { b'\n' } else { b')' });
        Ok(())
    }
}

/// Where a row is: in its batch, in the load (from 1), and whether its chunk begins with it.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    number: u64,
    first: bool,
}

fn escape_file(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0 => out.extend_from_slice(b"\\0"),
            other => out.push(*other),
        }
    }
}

fn escape_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\'' => out.extend_from_slice(b"''"),
            0 => out.extend_from_slice(b"\\0"),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
}

/// What was written.
enum Kind {
    /// Digits and the like, which need neither quotes nor escapes.
    Plain,
    Text,
    /// Bytes in hexadecimal digits.
    Hex,
}

/// A column of a batch, by its type.
enum Cells<'a> {
    Bool(&'a BooleanArray),
    I8(&'a PrimitiveArray<Int8Type>),
    I16(&'a PrimitiveArray<Int16Type>),
    I32(&'a PrimitiveArray<Int32Type>),
    I64(&'a PrimitiveArray<Int64Type>),
    U8(&'a PrimitiveArray<UInt8Type>),
    U16(&'a PrimitiveArray<UInt16Type>),
    U32(&'a PrimitiveArray<UInt32Type>),
    U64(&'a PrimitiveArray<UInt64Type>),
    F32(&'a PrimitiveArray<Float32Type>),
    F64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a Decimal128Array, i8),
    Decimal256(&'a Decimal256Array, i8),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    /// Counts, and nanoseconds of one.
    Time(Counts<'a>, i64),
    Timestamp(Counts<'a>, i64),
}

/// Counts of any width.
enum Counts<'a> {
    Seconds32(&'a PrimitiveArray<Time32SecondType>),
    Millis32(&'a PrimitiveArray<Time32MillisecondType>),
    Micros64(&'a PrimitiveArray<Time64MicrosecondType>),
    Nanos64(&'a PrimitiveArray<Time64NanosecondType>),
    Seconds(&'a PrimitiveArray<TimestampSecondType>),
    Millis(&'a PrimitiveArray<TimestampMillisecondType>),
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>),
    Nanos(&'a PrimitiveArray<TimestampNanosecondType>),
}

impl Counts<'_> {
    fn value(&self, row: usize) -> i64 {
        match self {
            Self::Seconds32(array) => array.value(row).into(),
            Self::Millis32(array) => array.value(row).into(),
            Self::Micros64(array) => array.value(row),
            Self::Nanos64(array) => array.value(row),
            Self::Seconds(array) => array.value(row),
            Self::Millis(array) => array.value(row),
            Self::Micros(array) => array.value(row),
            Self::Nanos(array) => array.value(row),
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array) -> &PrimitiveArray<T> {
    array.as_primitive()
}

impl<'a> Cells<'a> {
    fn of(array: &'a dyn Array) -> Result<Self> {
        use DataType as D;
        use TimeUnit as U;
        Ok(match array.data_type() {
            D::Boolean => Self::Bool(array.as_boolean()),
            D::Int8 => Self::I8(primitive(array)),
            D::Int16 => Self::I16(primitive(array)),
            D::Int32 => Self::I32(primitive(array)),
            D::Int64 => Self::I64(primitive(array)),
            D::UInt8 => Self::U8(primitive(array)),
            D::UInt16 => Self::U16(primitive(array)),
            D::UInt32 => Self::U32(primitive(array)),
            D::UInt64 => Self::U64(primitive(array)),
            D::Float32 => Self::F32(primitive(array)),
            D::Float64 => Self::F64(primitive(array)),
            D::Decimal128(_, scale) => Self::Decimal128(primitive::<Decimal128Type>(array), *scale),
            D::Decimal256(_, scale) => Self::Decimal256(primitive::<Decimal256Type>(array), *scale),
            D::Utf8 => Self::Text(array.as_string()),
            D::Binary => Self::Bytes(array.as_binary()),
            D::FixedSizeBinary(16) => Self::Uuid(array.as_fixed_size_binary()),
            D::Date32 => Self::Date(primitive(array)),
            D::Time32(U::Second) => Self::Time(Counts::Seconds32(primitive(array)), 1_000_000_000),
            D::Time32(U::Millisecond) => Self::Time(Counts::Millis32(primitive(array)), 1_000_000),
            D::Time64(U::Microsecond) => Self::Time(Counts::Micros64(primitive(array)), 1_000),
            D::Time64(U::Nanosecond) => Self::Time(Counts::Nanos64(primitive(array)), 1),
            D::Timestamp(U::Second, _) => Self::Timestamp(Counts::Seconds(primitive(array)), 1_000_000_000),
            D::Timestamp(U::Millisecond, _) => Self::Timestamp(Counts::Millis(primitive(array)), 1_000_000),
            D::Timestamp(U::Microsecond, _) => Self::Timestamp(Counts::Micros(primitive(array)), 1_000),
            D::Timestamp(U::Nanosecond, _) => Self::Timestamp(Counts::Nanos(primitive(array)), 1),
            other => {
                return Err(Error::new(ErrorKind::TypeMapping, format!("MySQL takes no values of Arrow's {other}")));
            }
        })
    }

    /// Writes a value that is not NULL.
    ///
    /// # Errors
    /// The end of a sentence that begins with the value.
    fn write(&self, row: usize, native: Option<&MyType>, out: &mut Vec<u8>) -> std::result::Result<Kind, String> {
        // Writing to memory does not fail.
        let mut plain = |text: std::fmt::Arguments<'_>| {
            let _ = out.write_fmt(text);
            Ok(Kind::Plain)
        };
        match self {
            Self::Bool(array) => plain(format_args!("{}", u8::from(array.value(row)))),
            Self::I8(array) => plain(format_args!("{}", array.value(row))),
            Self::I16(array) => plain(format_args!("{}", array.value(row))),
            Self::I32(array) => plain(format_args!("{}", array.value(row))),
            Self::I64(array) => plain(format_args!("{}", array.value(row))),
            Self::U8(array) => plain(format_args!("{}", array.value(row))),
            Self::U16(array) if native == Some(&MyType::Year) => {
                let year = array.value(row);
                if year != 0 && !(1901..=2155).contains(&year) {
                    return Err("is no year from 1901 to 2155".into());
                }
                let _ = write!(out, "{year:04}");
                Ok(Kind::Text)
            }
            Self::U16(array) => plain(format_args!("{}", array.value(row))),
            Self::U32(array) => plain(format_args!("{}", array.value(row))),
            Self::U64(array) => plain(format_args!("{}", array.value(row))),
            // The double of the same value: its digits are read as one, and then made a float again.
            Self::F32(array) => float(f64::from(array.value(row)), out),
            Self::F64(array) => float(array.value(row), out),
            Self::Decimal128(array, scale) => plain(format_args!("{}", pointed(&array.value(row).to_string(), *scale))),
            Self::Decimal256(array, scale) => plain(format_args!("{}", pointed(&array.value(row).to_string(), *scale))),
            Self::Text(array) => {
                let text = array.value(row);
                keeps(native, text)?;
                out.extend_from_slice(text.as_bytes());
                Ok(Kind::Text)
            }
            Self::Bytes(array) => {
                let bytes = array.value(row);
                if let Some(MyType::Binary(length)) = native
                    && bytes.len() != *length as usize
                {
                    return Err(format!("has {} bytes, and the column would fill it up with zeros", bytes.len()));
                }
                for byte in bytes {
                    let _ = write!(out, "{byte:02x}");
                }
                Ok(Kind::Hex)
            }
            Self::Uuid(array) => {
                let bytes: [u8; 16] = array.value(row).try_into().map_err(|_| "has not 16 bytes".to_string())?;
                out.extend_from_slice(uuid_text(bytes).as_bytes());
                Ok(Kind::Text)
            }
            Self::Date(array) => {
                let text = day(i64::from(array.value(row))).ok_or_else(years)?;
                out.extend_from_slice(text.as_bytes());
                Ok(Kind::Text)
            }
            Self::Time(counts, nanos) => {
                let micros = micros(counts.value(row), *nanos, native)?;
                if !(0..86_400_000_000).contains(&micros) {
                    return Err("is no time of a day".into());
                }
                out.extend_from_slice(clock(micros).as_bytes());
                Ok(Kind::Text)
            }
            Self::Timestamp(counts, nanos) => {
                let text = moment(micros(counts.value(row), *nanos, native)?).ok_or_else(years)?;
                out.extend_from_slice(text.as_bytes());
                Ok(Kind::Text)
            }
        }
    }
}

fn years() -> String {
    "is outside of the years 1 to 9999".into()
}

/// As a text: of a literal -0 the sign would be lost.
fn float(value: f64, out: &mut Vec<u8>) -> std::result::Result<Kind, String> {
    if !value.is_finite() {
        return Err("has no place in MySQL, which has neither NaN nor infinities".into());
    }
    let _ = write!(out, "{value:e}");
    Ok(Kind::Text)
}

/// A count as microseconds, where the column has digits for all of it.
fn micros(count: i64, nanos: i64, native: Option<&MyType>) -> std::result::Result<i64, String> {
    let digits = match native {
        Some(MyType::Time(digits) | MyType::Datetime(digits) | MyType::Timestamp(digits)) => *digits,
        _ => 6,
    };
    let step = i128::from(10_i64.pow(9 - u32::from(digits.min(6))));
    let all = i128::from(count) * i128::from(nanos);
    if all % step != 0 {
        return Err(format!("has more than {digits} digits in its fraction of a second"));
    }
    i64::try_from(all / 1_000).map_err(|_| years())
}

/// Whether a column keeps a text as it is.
fn keeps(native: Option<&MyType>, text: &str) -> std::result::Result<(), String> {
    match native {
        Some(MyType::Char) if text.ends_with(' ') => Err("ends in a blank, which the column drops".into()),
        Some(MyType::Enum(members)) if !members.iter().any(|member| member == text) => {
            Err("is no member of the enum, as it is spelled".into())
        }
        Some(MyType::Set(members)) if !text.is_empty() => {
            let mut last = None;
            for part in text.split(',') {
                let at = members.iter().position(|member| member == part);
                let Some(at) = at else { return Err("is no member of the set, as it is spelled".into()) };
                if last.is_some_and(|last| last >= at) {
                    return Err("has the set's members in another order, or twice".into());
                }
                last = Some(at);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray, UInt16Array};

    use super::*;

    fn encode(native: &str, array: ArrayRef, framing: Framing) -> Result<String> {
        let field = DxtField::new("x", MyType::parse(native).unwrap().dtype()).native(SYSTEM, native);
        let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
        let mut encoder = Encoder::new(vec![Target::new(field, false)], framing);
        let mut chunk = Chunk::default();
        encoder.encode(&batch, 0, &mut chunk, usize::MAX)?;
        Ok(String::from_utf8(chunk.body).unwrap())
    }

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn texts_that_would_break_a_file_or_a_statement_are_escaped() {
        let nasty = ["a\tb\n\\N", "it's \0", ""];
        assert_eq!(encode("text", texts(&nasty), Framing::File).unwrap(), "a\\tb\\n\\\\N\nit's \\0\n\n");
        let values = encode("text", texts(&nasty), Framing::Values).unwrap();
        assert_eq!(values, "('a\tb\n\\\\N'),('it''s \\0'),('')");
    }

    #[test]
    fn nulls_bytes_and_bits_have_forms_of_their_own() {
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&[0u8, 255][..]), None, Some(b"")]));
        assert_eq!(encode("blob", bytes.clone(), Framing::File).unwrap(), "00ff\n\\N\n\n");
        assert_eq!(encode("blob", bytes, Framing::Values).unwrap(), "(x'00ff'),(NULL),(x'')");
        let columns = ["bit(3)", "blob", "int"].map(|native| {
            let field = DxtField::new("a`b", MyType::parse(native).unwrap().dtype()).native(SYSTEM, native);
            Target::new(field, false)
        });
        let sql = load_data("`t`", &columns);
        let end = "(@dxt_0, @dxt_1, `a``b`) SET `a``b` = CAST(@dxt_0 AS UNSIGNED), `a``b` = UNHEX(@dxt_1)";
        assert!(sql.ends_with(end), "{sql}");
    }

    #[test]
    fn what_the_server_would_change_without_a_word_is_refused() {
        let refused = |native, array| {
            let error = encode(native, array, Framing::File).unwrap_err();
            assert!(error.kind() == ErrorKind::Validation && error.message().contains("column x, row 1"), "{error}");
        };
        refused("char(5)", texts(&["a "]));
        refused("enum('a','b')", texts(&["1"]));
        refused("enum('a','b')", texts(&["A"]));
        refused("set('a','b')", texts(&["b,a"]));
        refused("set('a','b')", texts(&["a,a"]));
        refused("binary(3)", Arc::new(BinaryArray::from(vec![&b"ab"[..]])));
        refused("datetime(2)", Arc::new(TimestampMillisecondArray::from(vec![1])));
        refused("year", Arc::new(UInt16Array::from(vec![99])));
        refused("double", Arc::new(arrow::array::Float64Array::from(vec![f64::NAN])));
        assert_eq!(encode("set('a','b')", texts(&["a,b", ""]), Framing::File).unwrap(), "a,b\n\n");
        let hundredths = Arc::new(TimestampMillisecondArray::from(vec![10]));
        assert_eq!(encode("datetime(2)", hundredths, Framing::File).unwrap(), "1970-01-01 00:00:00.010000\n");
        assert_eq!(encode("year", Arc::new(UInt16Array::from(vec![0])), Framing::Values).unwrap(), "('0000')");
    }

    #[test]
    fn a_chunk_ends_at_its_limit_and_knows_its_values() {
        let field = DxtField::new("x", crate::model::DxtType::Int64).native(SYSTEM, "bigint");
        let batch =
            RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from_iter_values(0..10)) as ArrayRef)]).unwrap();
        let mut encoder = Encoder::new(vec![Target::new(field, false)], Framing::Values);
        let mut chunk = Chunk::default();
        let next = encoder.encode(&batch, 0, &mut chunk, 10).unwrap();
        assert_eq!((next, chunk.rows, String::from_utf8_lossy(&chunk.body)), (3, 3, "(0),(1),(2)".into()));
        assert_eq!(chunk.shown(3, "x").as_deref(), Some("`2`"));
        let mut chunk = Chunk::default();
        // One row at least, whatever its size.
        assert_eq!(encoder.encode(&batch, next, &mut chunk, 0).unwrap(), 4);
    }
}
