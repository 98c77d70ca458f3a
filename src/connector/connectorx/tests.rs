//! Values into builders, without a server.

use arrow::array::{Array, AsArray, types::*};
use arrow::record_batch::RecordBatch;

use super::destination::{Cell, Destination};
use crate::model::{DxtField, DxtType};

/// One column of `dtype` with these values.
fn read(dtype: DxtType, values: &[Option<Cell<'_>>]) -> Result<RecordBatch, String> {
    let mut destination = Destination::new(&[DxtField::new("x", dtype)], 1000).unwrap();
    for value in values {
        destination.put(0, *value)?;
        destination.end_row();
    }
    Ok(destination.finish().unwrap())
}

fn refused(dtype: DxtType, value: Cell<'_>) -> String {
    read(dtype.clone(), &[Some(value)]).expect_err(&format!("{value} as {dtype}"))
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.as_bytes())
}

#[test]
fn whole_numbers_fit_or_are_refused_by_value() {
    let batch = read(DxtType::Uint64, &[Some(Cell::Uint(u64::MAX)), None, Some(Cell::Int(0))]).unwrap();
    let column = batch.column(0).as_primitive::<UInt64Type>();
    assert_eq!((column.value(0), column.is_null(1), column.value(2)), (u64::MAX, true, 0));
    assert_eq!(refused(DxtType::Int8, Cell::Int(128)), "the value 128 does not fit into int8");
    assert_eq!(refused(DxtType::Uint8, Cell::Int(-1)), "the value -1 does not fit into uint8");
    assert_eq!(refused(DxtType::Int64, Cell::Uint(1 << 63)), "the value 9223372036854775808 does not fit into int64");
    assert!(refused(DxtType::Int64, Cell::Double(1.0)).contains("is not a value of type int64"));
}

#[test]
fn bit_strings_are_numbers_with_the_most_significant_byte_first() {
    let batch = read(DxtType::Uint64, &[Some(Cell::Bits(&[0xff; 8])), Some(Cell::Bits(&[1, 0]))]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<UInt64Type>().values(), &[u64::MAX, 256]);
    let batch = read(DxtType::Bool, &[Some(Cell::Bits(&[0])), Some(Cell::Bits(&[1]))]).unwrap();
    assert!(!batch.column(0).as_boolean().value(0) && batch.column(0).as_boolean().value(1));
    assert_eq!(refused(DxtType::Bool, Cell::Bits(&[2])), "the value bits x'02' is not a bool (0 or 1)");
    assert!(refused(DxtType::Uint64, Cell::Bits(&[1; 9])).contains("does not fit"));
}

#[test]
fn bools_are_zero_or_one_and_nothing_else() {
    assert_eq!(refused(DxtType::Bool, Cell::Int(2)), "the value 2 is not a bool (0 or 1)");
    assert_eq!(read(DxtType::Bool, &[Some(Cell::Int(1))]).unwrap().column(0).as_boolean().true_count(), 1);
}

#[test]
fn decimals_keep_every_digit_or_are_refused() {
    let wide = DxtType::Decimal { precision: 65, scale: 30 };
    let digits = "12345678901234567890123456789012345.012345678901234567890123456789";
    let batch = read(wide, &[Some(text(digits))]).unwrap();
    let value = batch.column(0).as_primitive::<Decimal256Type>().value(0).to_string();
    assert_eq!(value, digits.replace('.', ""));
    let narrow = DxtType::Decimal { precision: 4, scale: 2 };
    let batch = read(narrow.clone(), &[Some(text("-0.05")), Some(Cell::Int(7))]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().values(), &[-5, 700]);
    let why = refused(narrow.clone(), text("1.005"));
    assert_eq!(why, "the value '1.005' has more fractional digits than decimal(4,2) holds");
    // A float's digits are not those of the decimal that it once was.
    assert!(refused(narrow, Cell::Double(1.5)).contains("is not a value of type"));
}

#[test]
fn floats_are_taken_as_they_are_and_never_rounded() {
    let batch = read(DxtType::Float64, &[Some(Cell::Float(0.1)), Some(Cell::Int(1 << 53))]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Float64Type>().values(), &[f64::from(0.1_f32), 9_007_199_254_740_992.0]);
    assert!(refused(DxtType::Float64, Cell::Int((1 << 53) + 1)).contains("more digits than a float64 keeps"));
    assert!(refused(DxtType::Float32, Cell::Double(0.1)).contains("more digits than a float32 keeps"));
    assert!(refused(DxtType::Float32, Cell::Int((1 << 24) + 1)).contains("more digits than a float32 keeps"));
    let batch = read(DxtType::String, &[Some(Cell::Float(0.1)), Some(Cell::Double(0.1))]).unwrap();
    assert_eq!(
        (batch.column(0).as_string::<i32>().value(0), batch.column(0).as_string::<i32>().value(1)),
        ("0.1", "0.1")
    );
}

#[test]
fn zero_dates_and_times_beyond_a_day_are_refused_by_value_and_whole_as_text() {
    for zero in ["0000-00-00", "2024-02-00", "2023-02-29"] {
        assert_eq!(refused(DxtType::Date, text(zero)), format!("the value '{zero}' does not fit into date"));
    }
    let timestamp = DxtType::Timestamp { precision: 6 };
    assert!(refused(timestamp, text("0000-00-00 00:00:00.000000")).contains("does not fit into timestamp"));
    for long in ["838:59:59.000000", "-838:59:59", "24:00:00", "-00:00:01"] {
        let why = refused(DxtType::Time { precision: 6 }, text(long));
        assert!(why.contains("is not a time of day (00:00:00 to 23:59:59)"), "{why}");
        let batch = read(DxtType::String, &[Some(text(long))]).unwrap();
        assert_eq!(batch.column(0).as_string::<i32>().value(0), long);
    }
}

#[test]
fn timestamps_keep_their_fraction_and_instants_are_in_utc() {
    let batch = read(DxtType::Timestamp { precision: 6 }, &[Some(text("1969-12-31 23:59:59.999999"))]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0), -1);
    let instants = [Some(text("1970-01-01 00:00:01")), Some(text("1970-01-01 01:00:01.000 +01:00"))];
    let batch = read(DxtType::TimestampTz { precision: 3 }, &instants).unwrap();
    assert_eq!(batch.column(0).as_primitive::<TimestampMillisecondType>().values(), &[1000, 1000]);
    let why = refused(DxtType::Timestamp { precision: 3 }, text("1970-01-01 00:00:00.0001"));
    assert!(why.contains("more fractional digits"), "{why}");
}

#[test]
fn text_is_utf8_and_json_is_json() {
    assert!(refused(DxtType::String, Cell::Text(b"\xff")).contains("is not UTF-8"));
    assert!(refused(DxtType::Json, text("{a: 1}")).contains("is not a value of type json"));
    let number = r#"{"a": 1.10}"#;
    assert_eq!(read(DxtType::Json, &[Some(text(number))]).unwrap().column(0).as_string::<i32>().value(0), number);
}

#[test]
fn bytes_come_as_they_are_and_uuids_in_both_forms() {
    let batch = read(DxtType::Binary, &[Some(Cell::Bytes(b"\0\xff")), Some(text("\\x00ff"))]).unwrap();
    let column = batch.column(0).as_binary::<i32>();
    assert_eq!((column.value(0), column.value(1)), (&b"\0\xff"[..], &b"\0\xff"[..]));
    let uuid = "b90f66c4-e949-11f1-8c19-02fc00000001";
    let batch = read(DxtType::Uuid, &[Some(text(uuid)), Some(Cell::Bytes(&[7; 16]))]).unwrap();
    assert_eq!(batch.column(0).as_fixed_size_binary().value(1), &[7; 16]);
    assert_eq!(batch.column(0).as_fixed_size_binary().value(0)[..4], [0xb9, 0x0f, 0x66, 0xc4]);
    assert!(refused(DxtType::Uuid, Cell::Bytes(&[7; 15])).contains("uuid"));
}

#[test]
fn a_null_in_a_column_declared_not_null_is_refused() {
    let mut destination = Destination::new(&[DxtField::new("x", DxtType::Int64).nullable(false)], 10).unwrap();
    assert_eq!(destination.put(0, None).unwrap_err(), "NULL in a column that is declared NOT NULL");
}

#[test]
fn batches_close_by_rows_and_by_bytes() {
    let mut by_rows = Destination::new(&[DxtField::new("x", DxtType::Int64)], 2).unwrap();
    by_rows.put(0, Some(Cell::Int(1))).unwrap();
    assert!(!by_rows.end_row());
    by_rows.put(0, None).unwrap();
    assert!(by_rows.end_row());
    assert_eq!(by_rows.finish().unwrap().num_rows(), 2);
    assert!(by_rows.is_empty());
    let mut by_bytes = Destination::new(&[DxtField::new("x", DxtType::Binary)], usize::MAX).unwrap();
    by_bytes.put(0, Some(Cell::Bytes(&vec![0; 1 << 20]))).unwrap();
    assert!(!by_bytes.end_row());
    by_bytes.put(0, Some(Cell::Bytes(&vec![0; 1 << 20]))).unwrap();
    assert!(by_bytes.end_row());
}

#[test]
fn a_long_value_is_shortened_in_an_error() {
    let shown = Cell::Text("ä".repeat(100).as_bytes()).to_string();
    assert_eq!(shown, format!("'{}…'", "ä".repeat(60)));
    assert_eq!(Cell::Bytes(&[0xab; 20]).to_string(), format!("x'{}…'", "ab".repeat(16)));
}
