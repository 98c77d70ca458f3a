//! Record batches into the bytes of `COPY … FROM STDIN`.

use std::fmt::Write;

use arrow::array::{Array, RecordBatch};
use bytes::{BufMut, BytesMut};

use super::cell::{Cell, Limits, Wrong};
use crate::error::{Error, ErrorKind, Result};
use crate::model::DxtField;

/// Turns batches into one COPY's bytes. The format is the encoder's own: text here, binary in [`super::BinaryEncoder`].
pub trait CopyEncoder: Send {
    /// What `COPY … WITH (FORMAT …)` says.
    fn format(&self) -> &'static str;

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// Validation: a value that the target's column does not hold exactly; the error names both.
    fn encode(&mut self, batch: &RecordBatch, out: &mut BytesMut) -> Result<()>;

    /// Appends what ends the COPY.
    fn finish(&mut self, out: &mut BytesMut) {
        let _ = out;
    }
}

/// The text format: tabs between fields, one line a row, `\N` for NULL.
#[derive(Debug)]
pub struct TextEncoder {
    columns: Vec<(String, Limits)>,
}

impl TextEncoder {
    /// An encoder for columns of the target.
    pub fn new(fields: &[DxtField]) -> Self {
        Self { columns: fields.iter().map(|f| (f.name.clone(), Limits::of(f))).collect() }
    }
}

impl CopyEncoder for TextEncoder {
    fn format(&self) -> &'static str {
        "text"
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut BytesMut) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            let what = format!("a batch has {} columns, the load {}", batch.num_columns(), self.columns.len());
            return Err(Error::new(ErrorKind::Loader, what));
        }
        let mut cells = Vec::with_capacity(self.columns.len());
        for ((name, _), array) in self.columns.iter().zip(batch.columns()) {
            cells.push(Cell::new(array.as_ref()).ok_or_else(|| {
                let what = format!("column {name}: PostgreSQL takes no values of Arrow's {}", array.data_type());
                Error::new(ErrorKind::TypeMapping, what)
            })?);
        }
        for row in 0..batch.num_rows() {
            for (index, ((name, limits), cell)) in self.columns.iter().zip(&cells).enumerate() {
                if index > 0 {
                    out.put_u8(b'\t');
                }
                if batch.column(index).is_null(row) {
                    out.put_slice(b"\\N");
                } else {
                    cell.write(row, limits, out).map_err(|wrong| refused(name, wrong))?;
                }
            }
            out.put_u8(b'\n');
        }
        Ok(())
    }
}

pub(super) fn refused(column: &str, wrong: Wrong) -> Error {
    let Wrong { value, why, hint } = wrong;
    let value = super::shorten(&value);
    Error::new(ErrorKind::Validation, format!("column {column}: {value} cannot be stored: {why}")).with_hint(hint)
}

/// Appends text with what COPY would take for syntax escaped; `Err` at a NUL, which PostgreSQL has no place for.
pub(super) fn escape(text: &str, out: &mut BytesMut) -> Result<(), ()> {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let letter = match byte {
            b'\\' => b'\\',
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            0 => return Err(()),
            _ => continue,
        };
        out.put_slice(&bytes[from..at]);
        out.put_slice(&[b'\\', letter]);
        from = at + 1;
    }
    out.put_slice(&bytes[from..]);
    Ok(())
}

/// Appends bytes as `\x…`, whose backslash COPY wants doubled.
pub(super) fn hex(bytes: &[u8], out: &mut BytesMut) -> std::fmt::Result {
    out.put_slice(b"\\\\x");
    hex_digits(bytes, out);
    Ok(())
}

pub(super) fn hex_digits(bytes: &[u8], out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Appends a float in the shortest form that gives the same bits back.
pub(super) fn float(value: impl Into<f64> + std::fmt::LowerExp + Copy, out: &mut BytesMut) -> std::fmt::Result {
    let wide: f64 = value.into();
    match wide {
        _ if wide.is_nan() => out.write_str("NaN"),
        _ if wide.is_infinite() => out.write_str(if wide > 0.0 { "Infinity" } else { "-Infinity" }),
        _ => write!(out, "{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::postgres::types::SYSTEM;
    use crate::model::{DxtSchema, DxtType};
    use arrow::array::*;
    use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn field(native: &str, dtype: DxtType) -> DxtField {
        DxtField::new("c", dtype).native(SYSTEM, native)
    }

    fn encoded(fields: &[DxtField], arrays: Vec<ArrayRef>) -> Result<String> {
        let schema = DxtSchema::new(fields.to_vec()).to_arrow();
        let batch = RecordBatch::try_new(schema, arrays).unwrap();
        let mut out = BytesMut::new();
        TextEncoder::new(fields).encode(&batch, &mut out)?;
        Ok(String::from_utf8(out.to_vec()).unwrap())
    }

    fn one(native: &str, dtype: DxtType, array: impl Array + 'static) -> Result<String> {
        encoded(&[field(native, dtype)], vec![Arc::new(array)]).map(|text| text.trim_end_matches('\n').to_string())
    }

    #[test]
    fn rows_are_lines_and_null_is_not_its_own_spelling() {
        let fields = [DxtField::new("a", DxtType::Int32), DxtField::new("b", DxtType::String)];
        let a = Arc::new(Int32Array::from(vec![Some(i32::MIN), None]));
        let b = Arc::new(StringArray::from(vec![Some("\\N\t\n\r\\.日本"), Some("")]));
        assert_eq!(encoded(&fields, vec![a, b]).unwrap(), "-2147483648\t\\\\N\\t\\n\\r\\\\.日本\n\\N\t\n");
    }

    #[test]
    fn scalars_are_written_as_the_server_reads_them() {
        assert_eq!(one("boolean", DxtType::Bool, BooleanArray::from(vec![true])).unwrap(), "t");
        let floats = Float64Array::from(vec![0.1, -0.0, f64::NAN, f64::NEG_INFINITY, 1e300]);
        assert_eq!(one("double precision", DxtType::Float64, floats).unwrap(), "1e-1\n-0e0\nNaN\n-Infinity\n1e300");
        assert_eq!(one("real", DxtType::Float32, Float32Array::from(vec![0.1])).unwrap(), "1e-1");
        let uuid = FixedSizeBinaryArray::try_from_iter([[0xA0u8; 16]].into_iter()).unwrap();
        assert_eq!(one("uuid", DxtType::Uuid, uuid).unwrap(), "a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0");
        assert_eq!(one("bytea", DxtType::Binary, BinaryArray::from(vec![&b"\0\xff"[..]])).unwrap(), "\\\\x00ff");
        assert_eq!(one("date", DxtType::Date, Date32Array::from(vec![-719_163])).unwrap(), "0001-12-31 BC");
        let decimal = Decimal128Array::from(vec![-5]).with_precision_and_scale(5, 2).unwrap();
        assert_eq!(one("numeric(5,2)", DxtType::Decimal { precision: 5, scale: 2 }, decimal).unwrap(), "-0.05");
        let stamps = TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC");
        let text = one("timestamptz", DxtType::TimestampTz { precision: 6 }, stamps).unwrap();
        assert_eq!(text, "1969-12-31 23:59:59.999999+00");
        let times = Time32MillisecondArray::from(vec![1_001]);
        assert_eq!(one("time(3)", DxtType::Time { precision: 3 }, times).unwrap(), "00:00:01.001000");
    }

    fn list<T: ArrowPrimitiveType>(values: Vec<Option<Vec<Option<T::Native>>>>) -> ListArray {
        ListArray::from_iter_primitive::<T, _, _>(values)
    }

    fn texts(values: &[Option<&str>]) -> ListArray {
        let mut out = ListBuilder::new(StringBuilder::new());
        out.append_value(values.iter().copied());
        out.finish()
    }

    #[test]
    fn lists_are_arrays_quoted_for_the_array_and_escaped_for_copy() {
        let of = |item| DxtType::Array(Box::new(item));
        let numbers = list::<Int32Type>(vec![Some(vec![Some(1), None, Some(-3)]), Some(vec![]), None]);
        assert_eq!(one("integer[]", of(DxtType::Int32), numbers).unwrap(), "{1,NULL,-3}\n{}\n\\N");
        let odd = texts(&[Some("a\"b\\c\td,{}"), Some(""), Some("NULL"), None]);
        let text = one("text[]", of(DxtType::String), odd).unwrap();
        assert_eq!(text, r#"{"a\\"b\\\\c\td,{}","","NULL",NULL}"#);
        let mut bytes = ListBuilder::new(BinaryBuilder::new());
        bytes.append_value([Some(&b"\0\xff"[..]), None]);
        let text = one("bytea[]", of(DxtType::Binary), bytes.finish()).unwrap();
        assert_eq!(text, r#"{"\\\\x00ff",NULL}"#);
        let stamps = DxtType::Timestamp { precision: 6 };
        let text = one("timestamp[]", of(stamps.clone()), list::<TimestampMicrosecondType>(vec![Some(vec![Some(0)])]));
        assert_eq!(text.unwrap(), "{1970-01-01 00:00:00}");
        // The limits are those of the elements.
        let long = one("character varying(3)[]", of(DxtType::String), texts(&[Some("abc"), Some("abcd")]));
        assert!(long.unwrap_err().message().contains("\"abcd\""));
        assert!(one("character varying(3)[]", of(DxtType::String), texts(&[Some("abc"), Some("abc")])).is_ok());
        let fine = list::<TimestampMicrosecondType>(vec![Some(vec![Some(1)])]);
        assert!(one("timestamp(3)[]", of(stamps), fine).is_err());
        assert!(one("text[]", of(DxtType::String), texts(&[Some("a\0")])).unwrap_err().message().contains("NUL"));
        // The text of an array is no element.
        let whole = StringArray::from(vec!["[0:1]={abc,de}"]);
        assert_eq!(one("character varying(3)[]", DxtType::String, whole).unwrap(), "[0:1]={abc,de}");
    }

    #[test]
    fn a_nul_names_the_column() {
        let error = one("text", DxtType::String, StringArray::from(vec!["a\0b"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Validation);
        assert!(error.message().contains("column c") && error.message().contains("NUL"), "{error}");
    }

    #[test]
    fn what_the_server_would_round_or_cut_in_silence_is_an_error() {
        let refused = |result: Result<String>| result.unwrap_err().message().to_string();
        let stamps = || TimestampMillisecondArray::from(vec![1_230]);
        let dtype = DxtType::Timestamp { precision: 3 };
        assert!(refused(one("timestamp(1)", dtype.clone(), stamps())).contains("1970-01-01 00:00:01.230000"));
        assert!(one("timestamp(2)", dtype, stamps()).is_ok());
        let text = || StringArray::from(vec!["abc  "]);
        assert!(refused(one("character varying(3)", DxtType::String, text())).contains("3 characters"));
        assert!(one("character varying(5)", DxtType::String, text()).is_ok());
        assert!(refused(one("\"char\"", DxtType::String, text())).contains("1 byte"));
        for byte in ["", "a", "\\377"] {
            assert!(one("\"char\"", DxtType::String, StringArray::from(vec![byte])).is_ok(), "{byte}");
        }
        assert!(refused(one("\"char\"", DxtType::String, StringArray::from(vec!["\\999"]))).contains("1 byte"));
        assert!(one("name", DxtType::String, text()).is_ok());
        let decimal = |value| Decimal128Array::from(vec![value]).with_precision_and_scale(7, 0).unwrap();
        let dtype = DxtType::Decimal { precision: 7, scale: 0 };
        assert!(refused(one("numeric(5,-2)", dtype.clone(), decimal(1_250))).contains("1250"));
        assert!(one("numeric(5,-2)", dtype, decimal(1_200)).is_ok());
        let digits = |text| StringArray::from(vec![text]);
        assert!(refused(one("numeric(100,2)", DxtType::String, digits("1.239"))).contains("1.239"));
        assert!(one("numeric(100,2)", DxtType::String, digits("-1.2300")).is_ok());
    }

    #[test]
    fn times_outside_of_the_day_are_errors() {
        let late = Time64MicrosecondArray::from(vec![86_400_000_000]);
        assert!(one("time", DxtType::Time { precision: 6 }, late).is_err());
    }

    proptest! {
        #[test]
        fn escaped_text_is_one_field_of_one_line_and_comes_back(text in any::<String>()) {
            let mut out = BytesMut::new();
            let result = escape(&text, &mut out);
            prop_assert_eq!(result.is_err(), text.contains('\0'));
            if result.is_ok() {
                prop_assert!(!out.iter().any(|b| matches!(b, b'\t' | b'\n' | b'\r')));
                let mut back = Vec::new();
                let mut bytes = out.iter();
                while let Some(byte) = bytes.next() {
                    back.push(match byte {
                        b'\\' => match bytes.next().unwrap() {
                            b't' => b'\t',
                            b'n' => b'\n',
                            b'r' => b'\r',
                            other => *other,
                        },
                        other => *other,
                    });
                }
                prop_assert_eq!(back, text.as_bytes());
            }
        }
    }
}
