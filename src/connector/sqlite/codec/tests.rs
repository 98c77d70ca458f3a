//! Values through a real SQLite and back.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::i256;
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::*;
use crate::connector::TypeMapper;
use crate::connector::sqlite::types::{Affinity, SYSTEM, SqliteTypes};
use crate::model::{DxtField, DxtType};

/// Stores the values in a column of the type's own native type, or of `native`; what storage class they got, and what reads back.
fn through(dtype: &DxtType, native: Option<&str>, array: ArrayRef) -> Result<(Vec<String>, ArrayRef), Misfit> {
    let own = SqliteTypes.to_native(&DxtField::new("x", dtype.clone())).unwrap();
    let native = native.unwrap_or(&own);
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(&format!("CREATE TABLE t (x {native})")).unwrap();
    for row in 0..array.len() {
        let value = encode(array.as_ref(), row, dtype, Affinity::of(native))?;
        db.execute("INSERT INTO t VALUES (?1)", [value]).unwrap();
    }
    let field = DxtField::new("x", dtype.clone()).native(SYSTEM, native);
    let mut decoder = Decoder::new(&[field], |_| false).unwrap();
    let mut classes = Vec::new();
    let mut statement = db.prepare("SELECT x, typeof(x) FROM t ORDER BY rowid").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        classes.push(row.get(1).unwrap());
        decoder.append(|_| row.get_ref(0).unwrap()).map_err(|(_, misfit)| misfit)?;
    }
    Ok((classes, decoder.finish().unwrap().column(0).clone()))
}

fn same(dtype: DxtType, array: ArrayRef) {
    assert_eq!(array.data_type(), &dtype.to_arrow(), "the test's array");
    let (_, back) = through(&dtype, None, array.clone()).unwrap();
    assert_eq!(&back, &array, "{dtype}");
}

fn decode(dtype: DxtType, loose: bool, value: ValueRef<'_>) -> Result<ArrayRef, String> {
    let mut decoder = Decoder::new(&[DxtField::new("x", dtype)], |_| loose).unwrap();
    decoder.append(|_| value).map_err(|(_, misfit)| misfit.reason)?;
    Ok(decoder.finish().unwrap().column(0).clone())
}

fn decimals(precision: u8, scale: i8, values: Vec<i128>) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
}

const DAY: i64 = 86_400;
/// Seconds of 0001-01-01 and of the end of 9999-12-31.
const YEARS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

proptest! {
    #[test]
    fn integers_come_back(a: i8, b: i16, c: i32, d: i64, u: u64) {
        same(DxtType::Int8, Arc::new(Int8Array::from(vec![a, i8::MIN, i8::MAX])));
        same(DxtType::Int16, Arc::new(Int16Array::from(vec![b, i16::MIN, i16::MAX])));
        same(DxtType::Int32, Arc::new(Int32Array::from(vec![c, i32::MIN, i32::MAX])));
        same(DxtType::Int64, Arc::new(Int64Array::from(vec![Some(d), None, Some(i64::MIN), Some(i64::MAX)])));
        same(DxtType::Uint64, Arc::new(UInt64Array::from(vec![u, 0, u64::MAX])));
    }

    #[test]
    fn floats_come_back(a: f32, b: f64) {
        // SQLite has no negative zero; adding 0.0 makes it the positive one.
        let (a, b) = (a + 0.0, b + 0.0);
        same(DxtType::Float32, Arc::new(Float32Array::from(vec![a])));
        same(DxtType::Float64, Arc::new(Float64Array::from(vec![b, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY])));
    }

    #[test]
    fn texts_blobs_and_bools_come_back(text: String, bytes: Vec<u8>, flag: bool) {
        same(DxtType::String, Arc::new(StringArray::from(vec![text.as_str(), "007", "1e5", "a\0b", "\\N", ""])));
        let json = serde_json::to_string(&text).unwrap();
        same(DxtType::Json, Arc::new(StringArray::from(vec![json.as_str(), "1.50", "{\"a\": [1, null]}"])));
        same(DxtType::Binary, Arc::new(BinaryArray::from(vec![bytes.as_slice(), b"", b"\0"])));
        same(DxtType::Bool, Arc::new(BooleanArray::from(vec![Some(flag), None])));
    }

    #[test]
    fn decimals_come_back(small in -999_999_999_999_999_i128..=999_999_999_999_999, wide: i64, scale in 0_i8..=15) {
        same(DxtType::Decimal { precision: 15, scale }, decimals(15, scale, vec![small, 0, 1, -1]));
        let wide = i128::from(wide) * 10_000_000_000_000_000_000;
        same(DxtType::Decimal { precision: 38, scale }, decimals(38, scale, vec![wide, -5]));
        let huge = i256::from_i128(wide).wrapping_mul(i256::from_i128(10_i128.pow(37)));
        let array = Decimal256Array::from(vec![huge]).with_precision_and_scale(76, scale).unwrap();
        same(DxtType::Decimal { precision: 76, scale }, Arc::new(array));
    }

    #[test]
    fn dates_and_times_come_back(second in YEARS, nano in 0_i64..1_000_000_000) {
        same(DxtType::Date, Arc::new(Date32Array::from(vec![second.div_euclid(DAY) as i32, -719_162, 2_932_896])));
        let of_day = second.rem_euclid(DAY);
        same(DxtType::Time { precision: 0 }, Arc::new(Time32SecondArray::from(vec![of_day as i32])));
        same(DxtType::Time { precision: 3 }, Arc::new(Time32MillisecondArray::from(vec![(of_day * 1000) as i32])));
        same(DxtType::Time { precision: 6 }, Arc::new(Time64MicrosecondArray::from(vec![of_day * 1_000_000 + nano / 1000])));
        same(DxtType::Time { precision: 9 }, Arc::new(Time64NanosecondArray::from(vec![of_day * 1_000_000_000 + nano])));
        let micros = second * 1_000_000 + nano / 1000;
        same(DxtType::Timestamp { precision: 0 }, Arc::new(TimestampSecondArray::from(vec![second])));
        same(DxtType::Timestamp { precision: 6 }, Arc::new(TimestampMicrosecondArray::from(vec![micros])));
        let zoned = TimestampMicrosecondArray::from(vec![micros, -1]).with_timezone("UTC");
        same(DxtType::TimestampTz { precision: 6 }, Arc::new(zoned));
        let zoned = TimestampMillisecondArray::from(vec![second * 1000]).with_timezone("UTC");
        same(DxtType::TimestampTz { precision: 3 }, Arc::new(zoned));
    }

    #[test]
    fn nanoseconds_come_back(nanos: i64) {
        same(DxtType::Timestamp { precision: 9 }, Arc::new(TimestampNanosecondArray::from(vec![nanos])));
    }

    #[test]
    fn stored_forms_sort_as_the_values_do(a in YEARS, b in YEARS, m: u64, n: u64) {
        let text = |array: &dyn Array, row, dtype: &DxtType| match encode(array, row, dtype, Affinity::Numeric).unwrap() {
            rusqlite::types::ToSqlOutput::Owned(Value::Text(t)) => t,
            other => panic!("{other:?}"),
        };
        let times = TimestampSecondArray::from(vec![a, b]);
        let dtype = DxtType::Timestamp { precision: 0 };
        prop_assert_eq!(text(&times, 0, &dtype).cmp(&text(&times, 1, &dtype)), a.cmp(&b));
        let numbers = UInt64Array::from(vec![m, n]);
        prop_assert_eq!(text(&numbers, 0, &DxtType::Uint64).cmp(&text(&numbers, 1, &DxtType::Uint64)), m.cmp(&n));
    }

    #[test]
    fn order_keys_of_decimals_sort_as_numbers(a: i128, b: i128) {
        let (a, b) = (a / 10, b / 10);
        let array = decimals(38, 2, vec![a, b]);
        let dtype = DxtType::Decimal { precision: 38, scale: 2 };
        let key = |row| match order_key(array.as_ref(), row, &dtype, Affinity::Text).unwrap() {
            rusqlite::types::ToSqlOutput::Owned(Value::Blob(b)) => b,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(key(0).cmp(&key(1)), a.cmp(&b));
    }

    #[test]
    fn text_in_a_column_of_numeric_affinity_comes_back_or_is_refused(text in "[ +-]?[0-9]{0,20}(\\.[0-9]{0,4})?(e[0-9]{1,2})?[a ]?") {
        let array: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
        match through(&DxtType::String, Some("NUMERIC"), array.clone()) {
            Ok((_, back)) => prop_assert_eq!(&back, &array),
            Err(misfit) => prop_assert!(misfit.reason.contains("would become a number"), "{}", misfit),
        }
    }
}

#[test]
fn a_text_that_would_come_back_as_the_digits_of_an_integer_is_refused() {
    for text in ["1e16", "1e18", "4503599627370497.0"] {
        let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let refused = through(&DxtType::String, Some("NUMERIC"), array).unwrap_err();
        assert!(refused.reason.contains("would become a number"), "{text}: {refused}");
    }
}

#[test]
fn every_written_type_gets_the_storage_class_that_it_counts_on() {
    let class = |dtype: DxtType, array: ArrayRef| through(&dtype, None, array).unwrap().0.join(" ");
    assert_eq!(class(DxtType::Int8, Arc::new(Int8Array::from(vec![1]))), "integer");
    assert_eq!(class(DxtType::Int16, Arc::new(Int16Array::from(vec![1]))), "integer");
    assert_eq!(class(DxtType::Int32, Arc::new(Int32Array::from(vec![1]))), "integer");
    assert_eq!(class(DxtType::Int64, Arc::new(Int64Array::from(vec![i64::MAX]))), "integer");
    assert_eq!(class(DxtType::Uint64, Arc::new(UInt64Array::from(vec![1, u64::MAX]))), "text text");
    assert_eq!(class(DxtType::Float32, Arc::new(Float32Array::from(vec![1.0, 0.1]))), "real real");
    assert_eq!(class(DxtType::Float64, Arc::new(Float64Array::from(vec![3.0, 1e300]))), "real real");
    assert_eq!(class(DxtType::Decimal { precision: 10, scale: 2 }, decimals(10, 2, vec![1250, 1200])), "real integer");
    assert_eq!(class(DxtType::Decimal { precision: 20, scale: 2 }, decimals(20, 2, vec![1250, 1200])), "text text");
    assert_eq!(class(DxtType::String, Arc::new(StringArray::from(vec!["12", "1.0", "x"]))), "text text text");
    assert_eq!(class(DxtType::Bool, Arc::new(BooleanArray::from(vec![true]))), "integer");
    assert_eq!(class(DxtType::Date, Arc::new(Date32Array::from(vec![0]))), "text");
    assert_eq!(class(DxtType::Time { precision: 6 }, Arc::new(Time64MicrosecondArray::from(vec![0]))), "text");
    assert_eq!(class(DxtType::Timestamp { precision: 6 }, Arc::new(TimestampMicrosecondArray::from(vec![0]))), "text");
    let zoned = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    assert_eq!(class(DxtType::TimestampTz { precision: 6 }, Arc::new(zoned)), "text");
    assert_eq!(class(DxtType::Binary, Arc::new(BinaryArray::from(vec![&b"1"[..]]))), "blob");
    assert_eq!(class(DxtType::Json, Arc::new(StringArray::from(vec!["1.50", "{}"]))), "text text");
}

#[test]
fn a_negative_zero_comes_back_as_zero() {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![-0.0]));
    let back = through(&DxtType::Float64, None, array).unwrap().1;
    assert_eq!(back.as_primitive::<types::Float64Type>().value(0), 0.0);
}

#[test]
fn stored_texts_have_the_documented_form() {
    let text = |dtype: DxtType, array: ArrayRef| match encode(array.as_ref(), 0, &dtype, Affinity::Text).unwrap() {
        rusqlite::types::ToSqlOutput::Owned(Value::Text(t)) => t,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(DxtType::Uint64, Arc::new(UInt64Array::from(vec![42]))), "00000000000000000042");
    assert_eq!(text(DxtType::Decimal { precision: 20, scale: 3 }, decimals(20, 3, vec![-5])), "-0.005");
    let micros = TimestampMicrosecondArray::from(vec![-1]);
    assert_eq!(text(DxtType::Timestamp { precision: 6 }, Arc::new(micros.clone())), "1969-12-31 23:59:59.999999");
    let zoned: ArrayRef = Arc::new(micros.with_timezone("UTC"));
    assert_eq!(text(DxtType::TimestampTz { precision: 6 }, zoned), "1969-12-31 23:59:59.999999+00:00");
    assert_eq!(text(DxtType::Date, Arc::new(Date32Array::from(vec![-719_162]))), "0001-01-01");
}

#[test]
fn values_without_a_faithful_form_are_refused() {
    let refused =
        |dtype: DxtType, native: Option<&str>, array: ArrayRef| through(&dtype, native, array).unwrap_err().reason;
    assert!(refused(DxtType::Float64, None, Arc::new(Float64Array::from(vec![f64::NAN]))).contains("NaN"));
    assert!(refused(DxtType::Date, None, Arc::new(Date32Array::from(vec![2_932_897]))).contains("9999"));
    assert!(refused(DxtType::Date, None, Arc::new(Date32Array::from(vec![i32::MIN]))).contains("9999"));
    let years = TimestampMicrosecondArray::from(vec![i64::MAX]);
    assert!(refused(DxtType::Timestamp { precision: 6 }, None, Arc::new(years)).contains("9999"));
    let wide = decimals(20, 2, vec![1_234_567_890_123_456_789]);
    assert!(refused(DxtType::Decimal { precision: 20, scale: 2 }, Some("DECIMAL(20,2)"), wide).contains("more digits"));
    assert!(refused(DxtType::Json, None, Arc::new(StringArray::from(vec!["{a}"]))).contains("not JSON"));
    for text in ["007", "1.50", " 1", "1e3", "3.0"] {
        let array = Arc::new(StringArray::from(vec![text]));
        assert!(refused(DxtType::String, Some("NUMERIC"), array).contains("would become a number"), "{text}");
    }
}

#[test]
fn uuids_are_canonical_text_in_any_column_for_them_and_read_from_other_forms() {
    let id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let value = crate::model::parse_uuid(id.as_bytes());
    let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(vec![value, None].into_iter(), 16).unwrap();
    for native in ["UUID_TEXT", "UUID", "TEXT"] {
        let (classes, back) = through(&DxtType::Uuid, Some(native), Arc::new(array.clone())).unwrap();
        assert_eq!(classes, ["text", "null"], "{native}");
        assert_eq!(back.as_fixed_size_binary(), &array, "{native}");
    }
    for stored in [ValueRef::Text(b"{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"), ValueRef::Blob(&value.unwrap())] {
        assert_eq!(decode(DxtType::Uuid, false, stored).unwrap().as_fixed_size_binary().value(0), value.unwrap());
    }
}

#[test]
fn values_that_disagree_with_the_type_are_refused() {
    use DxtType::*;
    let text = |t: &'static str| ValueRef::Text(t.as_bytes());
    let cases: Vec<(DxtType, ValueRef<'_>)> = vec![
        (Uuid, text("a0eebc99")),
        (Uuid, ValueRef::Integer(5)),
        (Uuid, ValueRef::Blob(b"x")),
        (Int64, text("5")),
        (Int64, ValueRef::Real(1.5)),
        (Int64, ValueRef::Real(9_223_372_036_854_775_808.0)),
        (Int8, ValueRef::Integer(300)),
        (Uint8, ValueRef::Integer(-1)),
        (Uint64, text("42")),
        (Bool, ValueRef::Integer(2)),
        (Bool, text("true")),
        (Float32, ValueRef::Real(0.1)),
        (Float64, ValueRef::Integer(9_007_199_254_740_993)),
        (Float64, text("1.5")),
        (Decimal { precision: 5, scale: 2 }, ValueRef::Real(12.345)),
        (Decimal { precision: 5, scale: 2 }, ValueRef::Integer(1000)),
        (Decimal { precision: 5, scale: 2 }, ValueRef::Real(f64::INFINITY)),
        (Decimal { precision: 5, scale: 2 }, text("1,5")),
        (Date, text("abc")),
        (Date, text("2024-02-30")),
        (Date, text("2024-01-01 00:00:00")),
        (Date, text("0000-01-01")),
        (Date, ValueRef::Integer(20_240_101)),
        (Time { precision: 6 }, text("24:00:00")),
        (Time { precision: 0 }, text("10:00:00.5")),
        (Timestamp { precision: 6 }, text("2024-01-01 10:00:00.1234567")),
        (Timestamp { precision: 6 }, text("2024-01-01 10:00:00+02:00")),
        (Timestamp { precision: 6 }, text("2024-01-01 10")),
        (Timestamp { precision: 6 }, text("")),
        (Timestamp { precision: 6 }, ValueRef::Integer(1_700_000_000)),
        (Timestamp { precision: 9 }, text("1600-01-01 00:00:00")),
        (Json, text("{")),
        (Json, ValueRef::Blob(b"{}")),
        (Binary, text("abc")),
        (String, ValueRef::Blob(b"abc")),
        (String, ValueRef::Text(b"\xff")),
    ];
    for (dtype, value) in cases {
        assert!(decode(dtype.clone(), false, value).is_err(), "{dtype} took {}", show(value));
    }
}

#[test]
fn values_of_another_class_that_say_the_same_are_taken() {
    let int = |value| decode(DxtType::Int64, false, value).unwrap().as_primitive::<types::Int64Type>().value(0);
    assert_eq!(int(ValueRef::Real(3.0)), 3);
    assert_eq!(int(ValueRef::Real(-9_223_372_036_854_775_808.0)), i64::MIN);
    let float = decode(DxtType::Float64, false, ValueRef::Integer(7)).unwrap();
    assert_eq!(float.as_primitive::<types::Float64Type>().value(0), 7.0);
    let decimal = |value| {
        let dtype = DxtType::Decimal { precision: 6, scale: 2 };
        decode(dtype, false, value).unwrap().as_primitive::<types::Decimal128Type>().value(0)
    };
    assert_eq!(decimal(ValueRef::Real(12.1)), 1210);
    assert_eq!(decimal(ValueRef::Integer(-12)), -1200);
    assert_eq!(decimal(ValueRef::Text(b"0012.500")), 1250);
    assert_eq!(decimal(ValueRef::Real(1e-2)), 1);
}

#[test]
fn timestamps_are_read_in_every_iso_form() {
    let read = |dtype: DxtType, text: &str| {
        let array = decode(dtype, false, ValueRef::Text(text.as_bytes())).unwrap();
        array.as_primitive::<types::TimestampMicrosecondType>().value(0)
    };
    let plain = |text| read(DxtType::Timestamp { precision: 6 }, text);
    let noon = 1_704_110_400_000_000;
    for text in [
        "2024-01-01 12:00",
        "2024-01-01 12:00:00",
        "2024-01-01T12:00:00.000000000",
        "2024-01-01T12:00:00Z",
        "2024-01-01 12:00:00+00:00",
    ] {
        assert_eq!(plain(text), noon, "{text}");
    }
    assert_eq!(plain("2024-01-01"), noon - 43_200_000_000);
    assert_eq!(plain("2024-01-01 12:00:00.5"), noon + 500_000);
    let zoned = |text| read(DxtType::TimestampTz { precision: 6 }, text);
    for text in [
        "2024-01-01 12:00:00",
        "2024-01-01 14:00:00+02:00",
        "2024-01-01T06:30:00-05:30",
        "2024-01-01 14:00:00+0200",
        "2024-01-01 14:00:00+02",
    ] {
        assert_eq!(zoned(text), noon, "{text}");
    }
}

#[test]
fn a_column_declared_string_reads_whatever_is_stored() {
    let read = |value| decode(DxtType::String, true, value).map(|a| a.as_string::<i32>().value(0).to_string());
    assert_eq!(read(ValueRef::Integer(12)), Ok("12".into()));
    assert_eq!(read(ValueRef::Real(0.1)), Ok("0.1".into()));
    assert_eq!(read(ValueRef::Real(3.0)), Ok("3.0".into()));
    assert_eq!(read(ValueRef::Real(1e300)), Ok("1e300".into()));
    assert_eq!(read(ValueRef::Blob("ü".as_bytes())), Ok("ü".into()));
    assert!(read(ValueRef::Blob(b"\xff")).is_err());
}

#[test]
fn errors_show_values_shortened() {
    let long = "x".repeat(500);
    let error = decode(DxtType::Int64, false, ValueRef::Text(long.as_bytes())).unwrap_err();
    assert!(error.len() < 120 && error.contains('…'), "{error}");
    assert_eq!(show(ValueRef::Blob(&[1, 255])), "blob x'01ff'");
}
