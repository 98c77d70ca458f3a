use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, TimeUnit};
use proptest::prelude::*;

use super::{can_cast, cast_strict};

fn to<A: Array + 'static>(array: A, to: DataType) -> Result<ArrayRef, String> {
    cast_strict(&(Arc::new(array) as ArrayRef), &to, "f").map_err(|e| e.message().to_string())
}

fn dec(values: Vec<i128>, p: u8, s: i8) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(p, s).unwrap()
}

#[test]
fn a_decimal_that_would_round_is_an_error_with_its_value() {
    let error = to(dec(vec![1000, 1005], 10, 3), DataType::Decimal128(10, 2)).unwrap_err();
    assert_eq!(error, "field f: the value `1.005` does not fit decimal(10,2) exactly");
    assert!(to(dec(vec![1000, 1010], 10, 3), DataType::Decimal128(10, 2)).is_ok());
}

#[test]
fn a_decimal_with_too_many_digits_is_an_error_and_not_null() {
    assert!(to(dec(vec![99999], 10, 2), DataType::Decimal128(4, 2)).unwrap_err().contains("`999.99`"));
}

#[test]
fn integers_do_not_wrap() {
    assert!(to(Int64Array::from(vec![1, 300]), DataType::Int8).unwrap_err().contains("`300`"));
    assert!(to(Int64Array::from(vec![-1]), DataType::UInt64).unwrap_err().contains("`-1`"));
    assert!(to(UInt64Array::from(vec![u64::MAX]), DataType::Int64).unwrap_err().contains("18446744073709551615"));
}

#[test]
fn floats_are_not_cut() {
    assert!(to(Float64Array::from(vec![1.5]), DataType::Int32).unwrap_err().contains("`1.5`"));
    assert!(to(Float64Array::from(vec![f64::NAN]), DataType::Int32).is_err());
    assert!(to(Float64Array::from(vec![0.1]), DataType::Float32).is_err());
    assert!(to(Float64Array::from(vec![0.125]), DataType::Decimal128(5, 2)).is_err());
    assert!(to(Int64Array::from(vec![i64::MAX]), DataType::Float64).is_err());
    assert!(to(Int64Array::from(vec![1 << 53]), DataType::Float64).is_ok());
}

#[test]
fn fractions_of_seconds_and_times_of_day_are_not_cut() {
    let micros = TimestampMicrosecondArray::from(vec![1_000_001]);
    assert!(to(micros.clone(), DataType::Timestamp(TimeUnit::Millisecond, None)).is_err());
    assert!(to(micros, DataType::Date32).is_err());
    let midnight = TimestampMicrosecondArray::from(vec![86_400_000_000]);
    assert_eq!(to(midnight, DataType::Date32).unwrap().as_primitive::<arrow::datatypes::Date32Type>().value(0), 1);
}

#[test]
fn a_date_beyond_nanoseconds_is_an_error() {
    let far = TimestampMicrosecondArray::from(vec![253_402_300_799_000_000]); // 9999-12-31
    assert!(to(far, DataType::Timestamp(TimeUnit::Nanosecond, None)).is_err());
}

#[test]
fn text_is_parsed_whole_or_refused() {
    let text = |t: &str, ty| to(StringArray::from(vec![t]), ty);
    assert!(text("12.345", DataType::Decimal128(10, 2)).is_err());
    assert!(text("12.340", DataType::Decimal128(10, 2)).is_ok());
    assert!(text("-0.00", DataType::Decimal128(10, 0)).is_ok());
    assert!(text("12x", DataType::Int32).unwrap_err().contains("`12x`"));
    assert!(text("", DataType::Int32).is_err());
    assert!(text("1.0", DataType::Int32).is_err());
    assert!(text("1e999", DataType::Float64).is_err());
    assert!(text("inf", DataType::Float64).is_ok());
    assert!(text("1e-400", DataType::Float64).is_err());
    assert!(text("0e-400", DataType::Float64).is_ok());
    assert!(text("2024-02-30", DataType::Date32).is_err());
    assert!(text("2024-02-29 10:00:00", DataType::Date32).is_err());
    assert!(text("2024-02-29 10:00:00.1234567", DataType::Timestamp(TimeUnit::Microsecond, None)).is_err());
    assert!(text(" 42 ", DataType::Int32).is_ok());
    assert!(text("maybe", DataType::Boolean).is_err());
}

#[test]
fn a_times_text_is_not_moved() {
    let text = |t: &str, ty| to(StringArray::from(vec![t]), ty);
    let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for zoned in ["2024-01-01 00:00:00+02:00", "2024-01-01T00:00:00-0500", "2024-01-01 00:00:00 Europe/Berlin"] {
        assert!(text(zoned, micros()).unwrap_err().contains(zoned));
        assert!(text(zoned, instant()).is_ok(), "{zoned}");
    }
    for plain in ["2024-01-01", "2024-01-01 10:00:00.5", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00+00:00"] {
        assert!(text(plain, micros()).is_ok(), "{plain}");
    }
    assert!(text("2024-01-01 23:59:60", micros()).is_err());
    assert!(text("2024-01-01 23:59:60Z", instant()).is_err());
    assert!(text("23:59:60", DataType::Time64(TimeUnit::Microsecond)).is_err());
    assert!(text("23:59:59", DataType::Time64(TimeUnit::Microsecond)).is_ok());
}

#[test]
fn a_type_without_a_way_back_is_named_as_it_was_asked_for() {
    let error = to(TimestampMicrosecondArray::from(vec![0]), DataType::Time64(TimeUnit::Microsecond)).unwrap_err();
    assert_eq!(error, "field f: there is no cast from timestamp to time");
}

#[test]
fn nulls_stay_and_nothing_else_becomes_null() {
    let out = to(Int64Array::from(vec![None, Some(5)]), DataType::Int16).unwrap();
    assert_eq!((out.is_null(0), out.is_null(1)), (true, false));
}

#[test]
fn instants_print_in_utc_and_read_back() {
    let tz = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let instant = TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC");
    let text = to(instant.clone(), DataType::Utf8).unwrap();
    assert_eq!(text.as_string::<i32>().value(0), "1969-12-31 23:59:59.999999+00:00");
    let back = cast_strict(&text, &tz, "f").unwrap();
    assert_eq!(back.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0), -1);
}

#[test]
fn lists_are_cast_by_their_items_and_print_as_json() {
    let list = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(vec![
        Some(vec![Some(1), None, Some(300)]),
        None,
    ]);
    let narrow = |t| DataType::List(Arc::new(arrow::datatypes::Field::new("item", t, true)));
    assert!(to(list.clone(), narrow(DataType::Int8)).unwrap_err().contains("`300`"));
    assert!(to(list.clone(), narrow(DataType::Int16)).is_ok());
    let text = to(list, DataType::Utf8).unwrap();
    assert_eq!(text.as_string::<i32>().value(0), "[1,null,300]");
    let back = cast_strict(&text, &narrow(DataType::Int64), "f").unwrap();
    assert_eq!((back.as_list::<i32>().value_length(0), back.is_null(1)), (3, true));
}

#[test]
fn a_number_is_no_date_and_a_time_of_day_has_no_way_back() {
    assert!(to(Int64Array::from(vec![20240131]), DataType::Date32).unwrap_err().contains("no cast from int64 to date"));
    assert!(to(Int64Array::from(vec![1]), DataType::Timestamp(TimeUnit::Second, None)).is_err());
    let micros = TimestampMicrosecondArray::from(vec![1]);
    assert!(to(micros.clone(), DataType::Int64).is_err());
    let time = DataType::Time64(TimeUnit::Microsecond);
    assert!(!super::can_cast(micros.data_type(), &time));
    assert_eq!(to(micros, time).unwrap_err(), "field f: there is no cast from timestamp to time");
}

#[test]
fn nan_within_a_list_is_no_null_in_json() {
    let list =
        |v| ListArray::from_iter_primitive::<arrow::datatypes::Float64Type, _, _>(vec![Some(vec![Some(1.5), v])]);
    assert!(to(list(Some(f64::NAN)), DataType::Utf8).unwrap_err().contains("NaN"));
    assert!(to(list(Some(f64::INFINITY)), DataType::Utf8).is_err());
    assert_eq!(to(list(None), DataType::Utf8).unwrap().as_string::<i32>().value(0), "[1.5,null]");
}

#[test]
fn values_within_json_are_taken_as_strictly_as_others() {
    let of = |t: DataType| DataType::List(Arc::new(arrow::datatypes::Field::new("item", t, true)));
    let text = |t: &str, ty| to(StringArray::from(vec!["[]", t]), of(ty));
    assert!(text("[1.00, 1.005]", DataType::Decimal128(10, 2)).unwrap_err().contains("`1.005`"));
    assert!(text("[1.00, 1.50]", DataType::Decimal128(10, 2)).is_ok());
    assert!(text("[300]", DataType::Int8).unwrap_err().contains("`300`"));
    assert!(text("[1.5]", DataType::Int8).is_err());
    assert!(text("[\"1\"]", DataType::Int8).is_ok());
    assert!(text("[\"1.5\"]", DataType::Int8).is_err());
    assert!(text("[1]", DataType::Utf8).is_err());
    assert!(text("[true, null]", DataType::Boolean).is_ok());
    assert!(text("[\"2026-01-01 10:00:00.123456789\"]", DataType::Timestamp(TimeUnit::Microsecond, None)).is_err());
    let days = text("[\"2026-01-01\", null]", DataType::Date32).unwrap();
    assert_eq!(days.as_list::<i32>().value(1).len(), 2);
}

#[test]
fn structs_print_with_their_nulls_and_without_nan() {
    let field = |name, t| Arc::new(arrow::datatypes::Field::new(name, t, true));
    let record = |number: f64| {
        StructArray::from(vec![
            (field("a", DataType::Float64), Arc::new(Float64Array::from(vec![number])) as ArrayRef),
            (field("b", DataType::LargeUtf8), Arc::new(LargeStringArray::from(vec![None::<&str>])) as ArrayRef),
        ])
    };
    let text = to(record(1.5), DataType::Utf8).unwrap();
    assert_eq!(text.as_string::<i32>().value(0), r#"{"a":1.5,"b":null}"#);
    assert!(to(record(f64::NAN), DataType::Utf8).unwrap_err().contains("NaN"));
}

proptest! {
    /// Whatever passes from one integer type to another is the same number.
    #[test]
    fn integers_arrive_as_they_are_or_not_at_all(values in prop::collection::vec(any::<i64>(), 1..20)) {
        for ty in [DataType::Int8, DataType::UInt16, DataType::Int32, DataType::UInt64, DataType::Float64,
                   DataType::Decimal128(12, 2), DataType::Utf8] {
            if let Ok(out) = to(Int64Array::from(values.clone()), ty.clone()) {
                let back = arrow::compute::cast(&out, &DataType::Int64).unwrap();
                prop_assert_eq!(back.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec(), values.clone());
            }
        }
    }

    /// Whatever decimal text is taken prints as the same number.
    #[test]
    fn decimal_texts_arrive_exactly_or_not_at_all(whole in -9999i64..9999, fraction in "[0-9]{0,6}") {
        let text = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
        let significant = fraction.trim_end_matches('0').len();
        let out = to(StringArray::from(vec![text.as_str()]), DataType::Decimal128(12, 3));
        prop_assert_eq!(out.is_ok(), significant <= 3, "{}", text);
        if let Ok(out) = out {
            let printed = to(out.as_primitive::<arrow::datatypes::Decimal128Type>().clone(), DataType::Utf8).unwrap();
            let same = printed.as_string::<i32>().value(0).parse::<f64>().unwrap() == text.parse::<f64>().unwrap();
            prop_assert!(same, "{} became {}", text, printed.as_string::<i32>().value(0));
        }
    }
}

const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

fn uuids() -> arrow::array::FixedSizeBinaryArray {
    let value = crate::model::parse_uuid(UUID.as_bytes());
    let values = vec![value, None].into_iter();
    arrow::array::FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16).unwrap()
}

#[test]
fn a_uuid_is_its_text_and_its_bytes_and_nothing_else() {
    let uuid = DataType::FixedSizeBinary(16);
    for form in [UUID, "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11"] {
        let parsed = to(StringArray::from(vec![Some(form), None]), uuid.clone()).unwrap();
        assert_eq!(parsed.as_fixed_size_binary(), &uuids(), "{form}");
    }
    let text = to(uuids(), DataType::Utf8).unwrap();
    assert_eq!(text.as_string::<i32>().iter().collect::<Vec<_>>(), [Some(UUID), None]);
    let bytes = to(uuids(), DataType::Binary).unwrap();
    assert_eq!(bytes.as_binary::<i32>().value(0), uuids().value(0));
    assert_eq!(cast_strict(&bytes, &uuid, "f").unwrap().as_fixed_size_binary(), &uuids());
    let error = to(StringArray::from(vec!["not one"]), uuid.clone()).unwrap_err();
    assert!(error.contains("`not one` does not fit uuid"), "{error}");
    assert!(to(arrow::array::BinaryArray::from(vec![&b"15 bytes, no mor"[..15]]), uuid.clone()).is_err());
    assert!(to(Int64Array::from(vec![1]), uuid.clone()).unwrap_err().contains("no cast from int64 to uuid"));
    for other in [DataType::Int64, DataType::Boolean, DataType::FixedSizeBinary(8), DataType::Date32] {
        assert!(to(uuids(), other.clone()).is_err(), "{other}");
        assert!(!can_cast(&uuid, &other) && !can_cast(&other, &uuid), "{other}");
    }
}

#[test]
fn uuids_within_lists_and_objects_are_texts_in_json() {
    let of = |t: DataType| DataType::List(Arc::new(arrow::datatypes::Field::new("item", t, true)));
    let list = of(DataType::FixedSizeBinary(16));
    let json = format!("[\"{UUID}\",null]");
    let parsed = to(StringArray::from(vec![json.as_str()]), list.clone()).unwrap();
    assert_eq!(parsed.as_list::<i32>().values().as_fixed_size_binary(), &uuids());
    assert_eq!(cast_strict(&parsed, &DataType::Utf8, "f").unwrap().as_string::<i32>().value(0), json);
    assert!(to(StringArray::from(vec!["[\"x\"]"]), list).unwrap_err().contains("`x`"));
}
