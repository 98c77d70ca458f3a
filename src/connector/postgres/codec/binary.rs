//! Record batches into the bytes of `COPY … FROM STDIN (FORMAT binary)`, which the server takes without parsing text.

use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::i256;
use bytes::{BufMut, BytesMut};

use super::cell::{Cell, Limits, Wrong, coarse, fits, octal, outside, tens};
use super::encode::{CopyEncoder, refused};
use super::{DAY_MICROS, EPOCH_DAYS, EPOCH_MICROS, numeric_write, text};
use crate::connector::postgres::types::{PgType, SYSTEM};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// What the server takes for a date, in days from 2000-01-01; outside of it are its infinities.
const DATES: std::ops::Range<i32> = -2_451_545..2_145_031_949;
/// What the server takes for a timestamp, in microseconds from 2000-01-01.
const STAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// The binary format, for loads all of whose columns have a binary form that is held exactly here.
#[derive(Debug)]
pub struct BinaryEncoder {
    columns: Vec<Target>,
    begun: bool,
}

/// A column of the target.
#[derive(Debug)]
struct Target {
    name: String,
    limits: Limits,
    form: Form,
}

/// What a value's bytes are, where its type in Arrow does not say so.
#[derive(Debug)]
enum Form {
    Plain,
    /// The version 1 before the text.
    Jsonb,
    /// The one byte of a `"char"`; none is 0 there.
    Byte,
    /// A number that travels as text: `numeric(100,2)`.
    Digits,
    /// An array of elements of this oid and form.
    Array(u32, Box<Form>),
}

impl BinaryEncoder {
    /// An encoder for columns of the target; `None` where one of them has to travel as text.
    pub fn new(fields: &[DxtField]) -> Option<Self> {
        let target = |f: &DxtField| Some(Target { name: f.name.clone(), limits: Limits::of(f), form: form(f)? });
        Some(Self { columns: fields.iter().map(target).collect::<Option<_>>()?, begun: false })
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !self.begun {
            out.put_slice(HEADER);
            self.begun = true;
        }
    }
}

/// The form of values of a field in the target's type; `None` where there is none that is held exactly here.
fn form(field: &DxtField) -> Option<Form> {
    let native = field.native_in(SYSTEM)?;
    // A name in quotes is another type than the one it spells.
    if native.contains('"') {
        return (native == "\"char\"" && field.dtype == DxtType::String).then_some(Form::Byte);
    }
    form_of(&PgType::parse(native), &field.dtype)
}

fn form_of(native: &PgType, dtype: &DxtType) -> Option<Form> {
    match (native, dtype) {
        (PgType::Array(element), DxtType::Array(item)) => {
            Some(Form::Array(element.element_oid()?, Box::new(form_of(element, item)?)))
        }
        (PgType::Bool, DxtType::Bool)
        | (PgType::Int2, DxtType::Int16)
        | (PgType::Int4, DxtType::Int32)
        | (PgType::Int8, DxtType::Int64)
        | (PgType::Float4, DxtType::Float32)
        | (PgType::Float8, DxtType::Float64)
        | (PgType::Oid, DxtType::Uint32)
        | (PgType::Text | PgType::Varchar(_) | PgType::Char(_) | PgType::Name, DxtType::String)
        | (PgType::Json, DxtType::Json)
        | (PgType::Bytea, DxtType::Binary)
        | (PgType::Uuid, DxtType::Uuid)
        | (PgType::Date, DxtType::Date)
        | (PgType::Time(_), DxtType::Time { .. })
        | (PgType::Timestamp(_), DxtType::Timestamp { .. })
        | (PgType::TimestampTz(_), DxtType::TimestampTz { .. }) => Some(Form::Plain),
        (PgType::Numeric(Some(_)), DxtType::Decimal { .. }) => (native.dtype() == *dtype).then_some(Form::Plain),
        // Without bounds it may have more digits than the binary form has: 12000.
        (PgType::Numeric(Some(_)), DxtType::String) => (native.dtype() == *dtype).then_some(Form::Digits),
        (PgType::Jsonb, DxtType::Json) => Some(Form::Jsonb),
        _ => None,
    }
}

impl CopyEncoder for BinaryEncoder {
    fn format(&self) -> &'static str {
        "binary"
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut BytesMut) -> Result<()> {
        self.begin(out);
        let count = i16::try_from(batch.num_columns()).ok().filter(|_| batch.num_columns() == self.columns.len());
        let Some(count) = count else {
            let what = format!("a batch has {} columns, the load {}", batch.num_columns(), self.columns.len());
            return Err(Error::new(ErrorKind::Loader, what));
        };
        let lanes = self.columns.iter().zip(batch.columns());
        let lanes = lanes.map(|(target, array)| Lane::new(target, array.as_ref()));
        let lanes = lanes.collect::<Result<Vec<_>>>()?;
        // Once for the batch: below, nothing has to move then.
        out.reserve(2 * batch.num_rows() + lanes.iter().map(|lane| lane.cell.room()).sum::<usize>());
        for row in 0..batch.num_rows() {
            out.put_i16(count);
            for lane in &lanes {
                if lane.nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    out.put_i32(-1);
                } else if let Err(wrong) = put(&lane.cell, row, lane.form, &lane.limits, out) {
                    return Err(refused(lane.name, *wrong));
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) {
        self.begin(out);
        out.put_slice(&TRAILER);
    }
}

/// One column of a batch, with all that is the same for its rows.
struct Lane<'a> {
    name: &'a str,
    form: &'a Form,
    limits: Limits,
    cell: Cell<'a>,
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Lane<'a> {
    fn new(target: &'a Target, array: &'a dyn Array) -> Result<Self> {
        let name = &target.name;
        let Some(cell) = Cell::new(array) else {
            let what = format!("column {name}: PostgreSQL takes no values of Arrow's {}", array.data_type());
            return Err(Error::new(ErrorKind::TypeMapping, what));
        };
        // Where no text of the batch has a NUL, none has to be looked through by itself.
        let limits = target.limits.with_nul(cell.has_nul());
        Ok(Self { name, form: &target.form, limits, cell, nulls: array.nulls().filter(|nulls| nulls.null_count() > 0) })
    }
}

/// What was wrong with a value. Boxed, as it is the rare way out of the hottest loop.
pub(super) type Put = std::result::Result<(), Box<Wrong>>;

/// One value with its length before it.
fn put(cell: &Cell<'_>, row: usize, form: &Form, limits: &Limits, out: &mut BytesMut) -> Put {
    match cell {
        Cell::Bool(a) => out.put_slice(&[0, 0, 0, 1, u8::from(a.value(row))]),
        Cell::Int16(a) => {
            let [a, b] = a.value(row).to_be_bytes();
            out.put_slice(&[0, 0, 0, 2, a, b]);
        }
        Cell::Int32(a) => four(a.value(row).to_be_bytes(), out),
        Cell::Int64(a) => eight(a.value(row).to_be_bytes(), out),
        Cell::Float32(a) => four(a.value(row).to_be_bytes(), out),
        Cell::Float64(a) => eight(a.value(row).to_be_bytes(), out),
        Cell::UInt32(a) => four(a.value(row).to_be_bytes(), out),
        Cell::Decimal128(a, scale) => {
            tens(|| i256::from_i128(a.value(row)), *scale, limits)?;
            numeric_write::put(a.value(row), scale.unsigned_abs(), out);
        }
        Cell::Decimal256(a, scale) => {
            tens(|| a.value(row), *scale, limits)?;
            match a.value(row).to_i128() {
                Some(value) => numeric_write::put(value, scale.unsigned_abs(), out),
                None => {
                    let mut digits = String::new();
                    let _ = text::decimal256(&mut digits, a.value(row), *scale);
                    numeric_write::encode(&digits, out)?;
                }
            }
        }
        Cell::Text(a) => {
            let text = a.value(row);
            if limits.concern(text) {
                fits(text, limits)?;
            }
            return match form {
                Form::Jsonb => jsonb(text, out),
                Form::Byte => {
                    out.put_slice(&[0, 0, 0, 1, octal(text).or(text.bytes().next()).unwrap_or(0)]);
                    Ok(())
                }
                Form::Digits => numeric_write::encode(text, out),
                Form::Plain | Form::Array(..) => bytes(text.as_bytes(), out),
            };
        }
        Cell::Binary(a) => return bytes(a.value(row), out),
        Cell::Uuid(a) => return bytes(a.value(row), out),
        Cell::Date(a) => {
            let days = a.value(row).checked_sub(EPOCH_DAYS).filter(|days| DATES.contains(days));
            let days = days.ok_or_else(|| outside(format!("a date of {} days since 1970", a.value(row))))?;
            four(days.to_be_bytes(), out);
        }
        Cell::Seconds32(a) => return time(i64::from(a.value(row)), 1_000_000, limits, out),
        Cell::Millis32(a) => return time(i64::from(a.value(row)), 1_000, limits, out),
        Cell::Micros64(a) => return time(a.value(row), 1, limits, out),
        Cell::Seconds(a, _) => return stamp(a.value(row), 1_000_000, limits, out),
        Cell::Millis(a, _) => return stamp(a.value(row), 1_000, limits, out),
        Cell::Micros(a, _) => return stamp(a.value(row), 1, limits, out),
        Cell::List(lists) => {
            let Form::Array(oid, form) = form else { return Err(outside("a list".into()).into()) };
            return lists.put(row, *oid, out, |cell, item, out| put(cell, item, form, limits, out));
        }
        _ => return Err(outside("a value".into()).into()),
    }
    Ok(())
}

/// Four bytes and their length in one piece.
fn four([a, b, c, d]: [u8; 4], out: &mut BytesMut) {
    out.put_slice(&[0, 0, 0, 4, a, b, c, d]);
}

/// Eight bytes and their length in one piece.
fn eight([a, b, c, d, e, f, g, h]: [u8; 8], out: &mut BytesMut) {
    out.put_slice(&[0, 0, 0, 8, a, b, c, d, e, f, g, h]);
}

fn bytes(value: &[u8], out: &mut BytesMut) -> Put {
    let length = i32::try_from(value.len()).map_err(|_| outside(format!("a value of {} bytes", value.len())))?;
    out.put_i32(length);
    out.put_slice(value);
    Ok(())
}

fn jsonb(text: &str, out: &mut BytesMut) -> Put {
    let length = i32::try_from(text.len() + 1).map_err(|_| outside(format!("a value of {} bytes", text.len())))?;
    out.put_i32(length);
    out.put_u8(1);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn time(count: i64, unit: i64, limits: &Limits, out: &mut BytesMut) -> Put {
    let micros = count.checked_mul(unit).filter(|micros| (0..DAY_MICROS).contains(micros));
    let micros = micros.ok_or_else(|| outside(format!("a time of {count} units since midnight")))?;
    exact(micros, limits)?;
    eight(micros.to_be_bytes(), out);
    Ok(())
}

fn stamp(count: i64, unit: i64, limits: &Limits, out: &mut BytesMut) -> Put {
    let micros = count.checked_mul(unit);
    let moved = micros.and_then(|m| m.checked_sub(EPOCH_MICROS)).filter(|m| STAMPS.contains(m));
    let (Some(micros), Some(moved)) = (micros, moved) else {
        return Err(outside(format!("a timestamp of {count} units since 1970")).into());
    };
    exact(micros, limits)?;
    eight(moved.to_be_bytes(), out);
    Ok(())
}

/// Refuses a time that the column would round.
fn exact(micros: i64, limits: &Limits) -> Put {
    match coarse(micros, limits) {
        None => Ok(()),
        Some(why) => Err(Wrong { why, ..outside(format!("a time of {micros} µs")) }.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::Int32Type;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::connector::postgres::codec::CopyDecoder;
    use crate::model::DxtSchema;

    fn field(native: &str, dtype: DxtType) -> DxtField {
        DxtField::new("c", dtype).native(SYSTEM, native)
    }

    fn encoded(field: &DxtField, array: ArrayRef) -> Result<BytesMut> {
        let batch = RecordBatch::try_new(DxtSchema::new(vec![field.clone()]).to_arrow(), vec![array]).unwrap();
        let mut encoder = BinaryEncoder::new(std::slice::from_ref(field)).expect("a binary form");
        let mut out = BytesMut::new();
        encoder.encode(&batch, &mut out)?;
        encoder.finish(&mut out);
        Ok(out)
    }

    /// What the server would send back of the same bytes.
    fn back(field: &DxtField, array: ArrayRef) -> ArrayRef {
        let mut decoder = CopyDecoder::new(std::slice::from_ref(field), 1000).unwrap();
        decoder.push(Bytes::from(encoded(field, array).unwrap().to_vec()));
        decoder.next_batch().unwrap().or_else(|| decoder.finish().unwrap()).expect("rows").column(0).clone()
    }

    fn decimals(values: Vec<Option<i128>>, p: u8, s: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(p, s).unwrap())
    }

    #[test]
    fn numerics_at_the_ends_come_back() {
        let most = 10i128.pow(38) - 1;
        for (p, s) in [(38, 0), (38, 1), (38, 10), (38, 35), (38, 36), (38, 37), (38, 38)] {
            let f = field(&format!("numeric({p},{s})"), DxtType::Decimal { precision: p, scale: s });
            let array = decimals(vec![Some(most), Some(-most), Some(0), None, Some(1), Some(-10_000)], p, s);
            assert_eq!(&back(&f, array.clone()), &array, "{p},{s}");
        }
    }

    #[test]
    fn numerics_of_every_size_come_back() {
        let powers = (0..38).map(|n| 10i128.pow(n));
        let values: Vec<_> = powers.flat_map(|p| [Some(p), Some(-p - 1), Some(p * 7 / 3 % 10i128.pow(37))]).collect();
        for scale in 0..=36 {
            let f = field(&format!("numeric(38,{scale})"), DxtType::Decimal { precision: 38, scale });
            let array = decimals(values.clone(), 38, scale);
            assert_eq!(&back(&f, array.clone()), &array, "{scale}");
        }
    }

    #[test]
    fn a_numeric_is_in_groups_of_four_digits_around_the_point() {
        let f = field("numeric(12,2)", DxtType::Decimal { precision: 12, scale: 2 });
        let bytes = encoded(&f, decimals(vec![Some(-1_234_550)], 12, 2)).unwrap();
        // -12345.50: 3 groups, weight 1, negative, scale 2: 1, 2345, 5000.
        let value = [0, 3, 0, 1, 0x40, 0, 0, 2, 0, 1, 0x09, 0x29, 0x13, 0x88];
        assert_eq!(bytes[HEADER.len() + 6..HEADER.len() + 6 + value.len()], value);
    }

    #[test]
    fn what_has_no_exact_binary_form_travels_as_text() {
        for (native, dtype) in [
            ("uuid", DxtType::String),
            ("integer[]", DxtType::String),
            ("uuid[]", DxtType::String),
            ("numeric", DxtType::String),
            ("numeric[]", DxtType::String),
            ("\"integer\"", DxtType::Int32),
            ("bigint", DxtType::Int32),
        ] {
            assert!(BinaryEncoder::new(&[field(native, dtype)]).is_none(), "{native}");
        }
    }

    #[test]
    fn a_load_of_no_rows_has_head_and_end() {
        let f = field("text", DxtType::String);
        let bytes = encoded(&f, Arc::new(StringArray::from(Vec::<&str>::new()))).unwrap();
        assert_eq!(bytes.len(), HEADER.len() + TRAILER.len());
    }

    #[test]
    fn what_the_server_would_take_for_infinity_or_cut_is_refused() {
        let stamp = field("timestamp without time zone", DxtType::Timestamp { precision: 6 });
        // The greatest of Arrow's is within PostgreSQL's; the least are not.
        assert!(encoded(&stamp, Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX]))).is_ok());
        for value in [i64::MIN, i64::MIN + EPOCH_MICROS] {
            assert!(encoded(&stamp, Arc::new(TimestampMicrosecondArray::from(vec![value]))).is_err());
        }
        let date = field("date", DxtType::Date);
        for value in [i32::MIN, i32::MAX, i32::MIN + EPOCH_DAYS] {
            assert!(encoded(&date, Arc::new(Date32Array::from(vec![value]))).is_err());
        }
        let text = |native: &str, value: &str| {
            encoded(&field(native, DxtType::String), Arc::new(StringArray::from(vec![value]))).is_ok()
        };
        assert!(text("character varying(3)", "äöü") && !text("character varying(3)", "abcd") && !text("text", "a\0b"));
        let coarse = field("timestamp(0) without time zone", DxtType::Timestamp { precision: 6 });
        assert!(encoded(&coarse, Arc::new(TimestampMicrosecondArray::from(vec![1]))).is_err());
    }

    #[test]
    fn uuids_travel_as_their_bytes() {
        let values = [Some([7u8; 16]), None, Some([255; 16])].into_iter();
        let array: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16).unwrap());
        assert_eq!(&back(&field("uuid", DxtType::Uuid), array.clone()), &array);
    }

    #[test]
    fn wide_numerics_and_numbers_as_text_have_the_digits_of_the_text() {
        let most = i256::from_string(&"9".repeat(76)).unwrap();
        let small = i256::from_i128(-10_001);
        for scale in [0, 1, 5, 38, 75, 76] {
            let f = field(&format!("numeric(76,{scale})"), DxtType::Decimal { precision: 76, scale });
            let array = Decimal256Array::from(vec![Some(most), Some(-most), None, Some(i256::ZERO), Some(small)]);
            let array: ArrayRef = Arc::new(array.with_precision_and_scale(76, scale).unwrap());
            assert_eq!(&back(&f, array.clone()), &array, "{scale}");
        }
        let value = |native: &str, text: &str| {
            let bytes = encoded(&field(native, DxtType::String), Arc::new(StringArray::from(vec![text])))?;
            Ok::<_, Error>(bytes[HEADER.len() + 6..bytes.len() - 2].to_vec())
        };
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        for (text, expected) in [
            ("0.00", words(&[0, 0, 0, 2])),
            ("-12345.50", words(&[3, 1, 0x4000, 2, 1, 2345, 5000])),
            ("+00120000.", words(&[1, 1, 0, 0, 12])),
            (" .0001 ", words(&[1, 0xFFFF, 0, 4, 1])),
            ("NaN", words(&[0, 0, 0xC000, 0])),
            ("-infinity", words(&[0, 0, 0xF000, 0])),
        ] {
            assert_eq!(value("numeric(100,4)", text).unwrap(), expected, "{text}");
        }
        for text in ["", ".", "-", "1,5", "1 2", "0x1f", "1.2.3", "١"] {
            let error = value("numeric(100,4)", text).unwrap_err();
            assert!(error.message().contains("column c"), "{text}: {error}");
        }
        assert!(value("numeric(100,2)", "1.239").is_err() && value("numeric(100,-2)", "150").is_err());
        assert!(value("numeric(100,-2)", "1500.0").is_ok());
        let tens = field("numeric(5,-2)", DxtType::Decimal { precision: 7, scale: 0 });
        assert!(encoded(&tens, decimals(vec![Some(1_250)], 7, 0)).is_err());
        assert_eq!(&back(&tens, decimals(vec![Some(1_200)], 7, 0)), &decimals(vec![Some(1_200)], 7, 0));
    }

    #[test]
    fn jsonb_names_oids_and_chars_have_their_forms() {
        let of =
            |native: &str, dtype, array| encoded(&field(native, dtype), array).unwrap()[HEADER.len() + 2..].to_vec();
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        assert_eq!(of("jsonb", DxtType::Json, text("{}"))[..7], [0, 0, 0, 3, 1, b'{', b'}']);
        assert_eq!(of("name", DxtType::String, text("n"))[..5], [0, 0, 0, 1, b'n']);
        assert_eq!(of("\"char\"", DxtType::String, text("r"))[..5], [0, 0, 0, 1, b'r']);
        assert_eq!(of("\"char\"", DxtType::String, text(""))[..5], [0, 0, 0, 1, 0]);
        assert_eq!(of("\"char\"", DxtType::String, text("\\377"))[..5], [0, 0, 0, 1, 255]);
        let most: ArrayRef = Arc::new(UInt32Array::from(vec![u32::MAX]));
        assert_eq!(of("oid", DxtType::Uint32, most)[..8], [0, 0, 0, 4, 255, 255, 255, 255]);
        for (native, long) in [("name", "n".repeat(64)), ("\"char\"", "ab".into())] {
            assert!(encoded(&field(native, DxtType::String), text(&long)).is_err(), "{native}");
        }
    }

    #[test]
    fn lists_come_back() {
        let of = |item| DxtType::Array(Box::new(item));
        let numbers = vec![Some(vec![Some(1), None, Some(-3)]), None, Some(vec![]), Some(vec![Some(5)])];
        let numbers: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(numbers));
        let f = field("integer[]", of(DxtType::Int32));
        assert_eq!(&back(&f, numbers.clone()), &numbers);
        // Of a slice, only its own items.
        assert_eq!(&back(&f, numbers.slice(2, 2)), &numbers.slice(2, 2));
        let mut texts = ListBuilder::new(StringBuilder::new());
        texts.append_value([Some("ä"), None, Some("")]);
        texts.append_value([Some("abc")]);
        let texts: ArrayRef = Arc::new(texts.finish());
        assert_eq!(&back(&field("character varying(3)[]", of(DxtType::String)), texts.clone()), &texts);
        let refused = encoded(&field("character varying(2)[]", of(DxtType::String)), texts).unwrap_err();
        assert!(refused.message().contains("column c: \"abc\""), "{refused}");
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were(
            numbers in prop::collection::vec(any::<Option<i64>>(), 1..20), scale in 0i8..=18, texts in prop::collection::vec("[^\0]{0,12}", 1..20),
        ) {
            let f = field(&format!("numeric(30,{scale})"), DxtType::Decimal { precision: 30, scale });
            let array = decimals(numbers.iter().map(|n| n.map(i128::from)).collect(), 30, scale);
            prop_assert_eq!(&back(&f, array.clone()), &array);
            let array: ArrayRef = Arc::new(Int64Array::from(numbers));
            prop_assert_eq!(&back(&field("bigint", DxtType::Int64), array.clone()), &array);
            let array: ArrayRef = Arc::new(StringArray::from(texts));
            prop_assert_eq!(&back(&field("text", DxtType::String), array.clone()), &array);
        }
    }
}
