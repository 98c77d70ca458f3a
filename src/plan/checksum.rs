//! Checksums of columns that do not depend on the order of rows: a sum of a hash of each value.
//!
//! A value is hashed in a form of its own, so that what a system's types change in form and not in value stays the same:
//! the width of an integer, the scale of a decimal, the unit of a time, the sign of a zero, the blanks of JSON. NULL is a
//! value. A hash has 128 bits, and knows its column. Beside the columns stands a sum over whole rows: it tells values that
//! have changed places between rows from those that have not.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtSchema, DxtType};

/// One sum, modulo 2^128; 32 hexadecimal digits in a manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Sum(u128);

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        format!("{:032x}", sum.0)
    }
}

impl TryFrom<String> for Sum {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

/// The checksums of some rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    rows: u64,
    /// Over whole rows.
    whole: Sum,
    columns: Vec<(String, Sum)>,
}

impl Sums {
    /// What is not the same, for people; columns that only one of the two has are left out. `None`: nothing.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.rows != other.rows {
            return Some(format!("{} rows and {}", self.rows, other.rows));
        }
        let there = |name: &str| other.columns.iter().find(|(n, _)| n == name);
        let differ = |(name, sum): &&(String, Sum)| there(name).is_some_and(|(_, found)| found != sum);
        let names: Vec<&str> = self.columns.iter().filter(differ).map(|(name, _)| name.as_str()).collect();
        if let [name] = names.as_slice() {
            return Some(format!("column {name}"));
        }
        if !names.is_empty() {
            return Some(format!("columns {}", names.join(", ")));
        }
        let same = self.columns.len() == other.columns.len() && self.columns.iter().all(|(n, _)| there(n).is_some());
        (same && self.whole != other.whole).then(|| "values of one column have changed places between rows".into())
    }
}

struct Column {
    name: String,
    dtype: DxtType,
    /// Tells its hashes from those of other columns.
    seed: u64,
    sum: Sum,
}

/// Checksums in the making.
pub struct Checksums {
    rows: u64,
    whole: Sum,
    columns: Vec<Column>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Checksums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checksums").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Checksums {
    /// Of no rows yet, whose columns are those of `schema`.
    pub fn new(schema: &DxtSchema) -> Self {
        let column = |name: &String, dtype: &DxtType| Column {
            name: name.clone(),
            dtype: dtype.clone(),
            seed: XxHash64::oneshot(0, name.as_bytes()),
            sum: Sum::default(),
        };
        let columns = schema.fields.iter().map(|f| column(&f.name, &f.dtype)).collect();
        Self { rows: 0, whole: Sum::default(), columns, scratch: Vec::new() }
    }

    /// Adds the rows of a batch that has the columns, in any order.
    ///
    /// # Errors
    /// Pipeline: a column is missing or of another type.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut whole = vec![0_u128; batch.num_rows()];
        for column in &mut self.columns {
            let wrong = || Error::new(ErrorKind::Pipeline, format!("no checksum of column {}", column.name));
            let array = batch.column_by_name(&column.name).ok_or_else(wrong)?;
            for (row, whole) in whole.iter_mut().enumerate() {
                self.scratch.clear();
                canonical(array.as_ref(), row, &column.dtype, &mut self.scratch).ok_or_else(wrong)?;
                let hash = hash(column.seed, &self.scratch);
                column.sum.0 = column.sum.0.wrapping_add(hash);
                *whole = whole.wrapping_add(hash);
            }
        }
        for row in whole {
            self.whole.0 = self.whole.0.wrapping_add(hash(0, &row.to_le_bytes()));
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// The sums of all that was added.
    pub fn sums(&self) -> Sums {
        let columns = self.columns.iter().map(|c| (c.name.clone(), c.sum)).collect();
        Sums { rows: self.rows, whole: self.whole, columns }
    }
}

/// 128 bits: two hashes of 64, with seeds of their own.
fn hash(seed: u64, bytes: &[u8]) -> u128 {
    u128::from(XxHash64::oneshot(seed, bytes)) << 64 | u128::from(XxHash64::oneshot(!seed, bytes))
}

/// What a value's bytes begin with: values of unlike kinds are never equal.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Null,
    Bool,
    Number,
    Float,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    List,
    Object,
}

/// Appends the canonical form of a value; `None` where the array is not of the type.
fn canonical(array: &dyn Array, row: usize, dtype: &DxtType, out: &mut Vec<u8>) -> Option<()> {
    if array.is_null(row) {
        out.push(Kind::Null as u8);
        return Some(());
    }
    match array.data_type() {
        DataType::Boolean => {
            out.push(Kind::Bool as u8);
            out.push(u8::from(array.as_boolean_opt()?.value(row)));
        }
        DataType::Int8 => number(of::<Int8Type>(array, row)?.into(), 0, out),
        DataType::Int16 => number(of::<Int16Type>(array, row)?.into(), 0, out),
        DataType::Int32 => number(of::<Int32Type>(array, row)?.into(), 0, out),
        DataType::Int64 => number(of::<Int64Type>(array, row)?.into(), 0, out),
        DataType::UInt8 => number(of::<UInt8Type>(array, row)?.into(), 0, out),
        DataType::UInt16 => number(of::<UInt16Type>(array, row)?.into(), 0, out),
        DataType::UInt32 => number(of::<UInt32Type>(array, row)?.into(), 0, out),
        DataType::UInt64 => number(of::<UInt64Type>(array, row)?.into(), 0, out),
        DataType::Decimal128(_, scale) => number(of::<Decimal128Type>(array, row)?, i32::from(*scale), out),
        DataType::Decimal256(_, scale) => wide(of::<Decimal256Type>(array, row)?, i32::from(*scale), out),
        DataType::Float32 => float(of::<Float32Type>(array, row)?.into(), out),
        DataType::Float64 => float(of::<Float64Type>(array, row)?, out),
        DataType::Utf8 if *dtype == DxtType::Json => json_text(array.as_string_opt::<i32>()?.value(row), out),
        DataType::Utf8 => sized(Kind::Text, array.as_string_opt::<i32>()?.value(row).as_bytes(), out),
        DataType::Binary => sized(Kind::Bytes, array.as_binary_opt::<i32>()?.value(row), out),
        DataType::FixedSizeBinary(_) => sized(Kind::Bytes, array.as_fixed_size_binary_opt()?.value(row), out),
        DataType::Date32 => fixed(Kind::Date, of::<Date32Type>(array, row)?.into(), out),
        DataType::Time32(TimeUnit::Second) => units(Kind::Time, of::<Time32SecondType>(array, row)?, 0, out),
        DataType::Time32(_) => units(Kind::Time, of::<Time32MillisecondType>(array, row)?, 3, out),
        DataType::Time64(TimeUnit::Microsecond) => units(Kind::Time, of::<Time64MicrosecondType>(array, row)?, 6, out),
        DataType::Time64(_) => units(Kind::Time, of::<Time64NanosecondType>(array, row)?, 9, out),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => units(Kind::Timestamp, of::<TimestampSecondType>(array, row)?, 0, out),
            TimeUnit::Millisecond => units(Kind::Timestamp, of::<TimestampMillisecondType>(array, row)?, 3, out),
            TimeUnit::Microsecond => units(Kind::Timestamp, of::<TimestampMicrosecondType>(array, row)?, 6, out),
            TimeUnit::Nanosecond => units(Kind::Timestamp, of::<TimestampNanosecondType>(array, row)?, 9, out),
        },
        DataType::List(_) => {
            let DxtType::Array(item) = dtype else { return None };
            let items = array.as_list_opt::<i32>()?.value(row);
            length(Kind::List, items.len(), out);
            for index in 0..items.len() {
                canonical(items.as_ref(), index, item, out)?;
            }
        }
        DataType::Struct(_) => {
            let DxtType::Object(fields) = dtype else { return None };
            let object = array.as_struct_opt()?;
            length(Kind::Object, fields.len(), out);
            for field in fields {
                sized(Kind::Text, field.name.as_bytes(), out);
                canonical(object.column_by_name(&field.name)?.as_ref(), row, &field.dtype, out)?;
            }
        }
        _ => return None,
    }
    Some(())
}

fn of<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Option<T::Native> {
    Some(array.as_primitive_opt::<T>()?.value(row))
}

fn fixed(kind: Kind, value: i128, out: &mut Vec<u8>) {
    out.push(kind as u8);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A count of units of a second, as nanoseconds.
fn units(kind: Kind, value: impl Into<i64>, digits: u32, out: &mut Vec<u8>) {
    fixed(kind, i128::from(value.into()) * 10_i128.pow(9 - digits), out);
}

fn length(kind: Kind, length: usize, out: &mut Vec<u8>) {
    out.push(kind as u8);
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

/// Its length comes first, so that two values in a row are not taken for two others.
fn sized(kind: Kind, bytes: &[u8], out: &mut Vec<u8>) {
    length(kind, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// `mantissa` / 10^`scale`, without zeros at its end: 1.50 is 1.5, and 2.0 is 2.
fn number(mut mantissa: i128, scale: i32, out: &mut Vec<u8>) {
    let mut exponent = if mantissa == 0 { 0 } else { -scale };
    while mantissa != 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    fixed(Kind::Number, mantissa, out);
    out.extend_from_slice(&exponent.to_le_bytes());
}

fn wide(mut mantissa: i256, mut scale: i32, out: &mut Vec<u8>) {
    let ten = i256::from_i128(10);
    loop {
        if let Some(narrow) = mantissa.to_i128() {
            return number(narrow, scale, out);
        }
        match (mantissa.checked_rem(ten), mantissa.checked_div(ten)) {
            (Some(i256::ZERO), Some(shorter)) => (mantissa, scale) = (shorter, scale - 1),
            _ => break,
        }
    }
    out.push(Kind::Number as u8);
    out.extend_from_slice(&mantissa.to_le_bytes());
    out.extend_from_slice(&(-scale).to_le_bytes());
}

/// One zero, and one NaN.
fn float(value: f64, out: &mut Vec<u8>) {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    out.push(Kind::Float as u8);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// JSON without regard to blanks, the order of keys and the spelling of numbers, none of which a binary JSON type keeps.
fn json_text(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str(text) {
        Ok(value) => json(&value, out),
        Err(_) => sized(Kind::Text, text.as_bytes(), out),
    }
}

fn json(value: &serde_json::Value, out: &mut Vec<u8>) {
    use serde_json::Value;
    match value {
        Value::Null => out.push(Kind::Null as u8),
        Value::Bool(value) => out.extend_from_slice(&[Kind::Bool as u8, u8::from(*value)]),
        Value::Number(value) => match (value.as_i64(), value.as_u64()) {
            (Some(value), _) => number(value.into(), 0, out),
            (_, Some(value)) => number(value.into(), 0, out),
            _ => match value.as_f64() {
                // 1.0 and 1e0 are 1.
                Some(value) if value.fract() == 0.0 && value.abs() < 1e18 => number(value as i128, 0, out),
                value => float(value.unwrap_or(f64::NAN), out),
            },
        },
        Value::String(text) => sized(Kind::Text, text.as_bytes(), out),
        Value::Array(items) => {
            length(Kind::List, items.len(), out);
            items.iter().for_each(|item| json(item, out));
        }
        Value::Object(entries) => {
            length(Kind::Object, entries.len(), out);
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in entries {
                sized(Kind::Text, key.as_bytes(), out);
                json(value, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMillisecondArray, TimestampSecondArray,
    };
    use proptest::prelude::*;

    use super::*;

    type Rows = Vec<(Option<i64>, Option<String>)>;

    fn sums_of(columns: Vec<(&str, ArrayRef)>) -> Sums {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        let schema = DxtSchema::from_arrow(&batch.schema()).unwrap();
        let mut sums = Checksums::new(&schema);
        // In two pieces: where batches end is of no account.
        let half = batch.num_rows() / 2;
        sums.add(&batch.slice(0, half)).unwrap();
        sums.add(&batch.slice(half, batch.num_rows() - half)).unwrap();
        sums.sums()
    }

    fn sums(rows: &Rows) -> Sums {
        let numbers: Int64Array = rows.iter().map(|r| r.0).collect();
        let texts: StringArray = rows.iter().map(|r| r.1.as_deref()).collect();
        sums_of(vec![("n", Arc::new(numbers)), ("t", Arc::new(texts))])
    }

    fn one(array: impl Array + 'static) -> Sums {
        sums_of(vec![("x", Arc::new(array))])
    }

    fn rows() -> impl Strategy<Value = Rows> {
        let row = (proptest::option::of(-3_i64..4), proptest::option::of("[ab]{0,2}"));
        proptest::collection::vec(row, 1..20)
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter((rows, shuffled) in rows().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle()))) {
            prop_assert_eq!(sums(&rows).difference(&sums(&shuffled)), None);
        }

        #[test]
        fn a_changed_value_is_seen_in_its_column_alone(rows in rows(), at: prop::sample::Index, by in 1_i64..9) {
            let (mut changed, at) = (rows.clone(), at.index(rows.len()));
            changed[at].0 = Some(changed[at].0.map_or(100, |n| n + by));
            prop_assert_eq!(sums(&rows).difference(&sums(&changed)), Some("column n".into()));
        }

        #[test]
        fn a_null_for_a_value_is_seen(rows in rows(), at: prop::sample::Index) {
            let (mut with, at) = (rows.clone(), at.index(rows.len()));
            with[at].1 = Some(String::new());
            let mut without = with.clone();
            without[at].1 = None;
            prop_assert_eq!(sums(&with).difference(&sums(&without)), Some("column t".into()));
        }

        #[test]
        fn a_lost_or_doubled_row_is_seen(rows in rows(), at: prop::sample::Index) {
            let at = at.index(rows.len());
            let (mut lost, mut doubled) = (rows.clone(), rows.clone());
            lost.remove(at);
            doubled.push(rows[at].clone());
            prop_assert!(sums(&rows).difference(&sums(&lost)).is_some());
            prop_assert!(sums(&rows).difference(&sums(&doubled)).is_some());
            // Also where another row comes in its place.
            lost.push((Some(77), None));
            prop_assert!(sums(&rows).difference(&sums(&lost)).is_some());
        }

        #[test]
        fn values_that_change_places_between_rows_are_seen(mut rows in rows(), n in 10_i64..20) {
            rows.push((Some(n), Some("x".into())));
            rows.push((Some(n + 1), Some("y".into())));
            let (mut swapped, last) = (rows.clone(), rows.len() - 1);
            (swapped[last].0, swapped[last - 1].0) = (rows[last - 1].0, rows[last].0);
            let said = sums(&rows).difference(&sums(&swapped)).unwrap();
            prop_assert!(said.contains("changed places"), "{}", said);
        }

        #[test]
        fn the_widths_of_integers_and_scales_of_decimals_do_not_matter(n in any::<i32>(), scale in 0_i8..9) {
            let whole = one(Int32Array::from(vec![n]));
            let decimal = Decimal128Array::from(vec![i128::from(n) * 10_i128.pow(scale.unsigned_abs().into())]);
            let decimal = one(decimal.with_precision_and_scale(38, scale).unwrap());
            prop_assert_eq!(whole.difference(&one(Int64Array::from(vec![i64::from(n)]))), None);
            prop_assert_eq!(whole.difference(&decimal), None);
            let tenth = Decimal128Array::from(vec![i128::from(n) * 10 + 1]).with_precision_and_scale(38, 1).unwrap();
            prop_assert!(whole.difference(&one(tenth)).is_some());
        }
    }

    #[test]
    fn a_swap_of_two_columns_within_a_row_is_seen() {
        let column = |v: Vec<i64>| Arc::new(Int64Array::from(v)) as ArrayRef;
        let a = sums_of(vec![("a", column(vec![1, 5])), ("b", column(vec![2, 6]))]);
        let b = sums_of(vec![("a", column(vec![2, 5])), ("b", column(vec![1, 6]))]);
        assert_eq!(a.difference(&b), Some("columns a, b".into()));
    }

    #[test]
    fn forms_of_one_value_are_equal_and_unlike_values_are_not() {
        let wide = |v: i256, scale| one(Decimal256Array::from(vec![v]).with_precision_and_scale(76, scale).unwrap());
        let big = i256::from_i128(i128::MAX);
        assert_eq!(wide(i256::from_i128(15), 1).difference(&wide(i256::from_i128(1500), 3)), None);
        assert_eq!(wide(big * i256::from_i128(100), 3).difference(&wide(big * i256::from_i128(1000), 4)), None);
        assert!(wide(big * i256::from_i128(100), 3).difference(&wide(big * i256::from_i128(101), 3)).is_some());
        let seconds = one(TimestampSecondArray::from(vec![7]));
        assert_eq!(seconds.difference(&one(TimestampMillisecondArray::from(vec![7000]))), None);
        assert!(seconds.difference(&one(TimestampMillisecondArray::from(vec![7001]))).is_some());
        let float = |f: f64| one(Float64Array::from(vec![f]));
        assert_eq!(float(0.5).difference(&one(Float32Array::from(vec![0.5_f32]))), None);
        assert_eq!(float(-0.0).difference(&float(0.0)), None);
        assert_eq!(float(f64::NAN).difference(&float(-f64::NAN)), None);
        assert!(float(1.0).difference(&float(1.0 + f64::EPSILON)).is_some());
        let text = |t: &str| one(StringArray::from(vec![t]));
        assert!(text("a ").difference(&text("a")).is_some(), "padding is a value");
        assert!(text("1").difference(&one(Int64Array::from(vec![1]))).is_some());
    }

    #[test]
    fn json_is_compared_by_what_it_says() {
        let sums = |text: &str| {
            let schema = DxtSchema::new(vec![crate::model::DxtField::new("j", DxtType::Json)]);
            let mut sums = Checksums::new(&schema);
            let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
            sums.add(&RecordBatch::try_new(schema.to_arrow(), vec![column]).unwrap()).unwrap();
            sums.sums()
        };
        assert_eq!(sums(r#"{"a":1.0,"b":[1,2]}"#).difference(&sums(r#"{ "b": [1, 2], "a": 1 }"#)), None);
        for other in [r#"{"a":1,"b":[2,1]}"#, r#"{"a":null,"b":[1,2]}"#, r#"{"a":"1","b":[1,2]}"#, "[]", "x"] {
            assert!(sums(r#"{"a":1,"b":[1,2]}"#).difference(&sums(other)).is_some(), "{other}");
        }
    }

    #[test]
    fn sums_come_back_from_a_manifest() {
        let sums = sums(&vec![(Some(1), Some("a".into())), (None, None)]);
        let text = serde_json::to_string(&sums).unwrap();
        assert_eq!(serde_json::from_str::<Sums>(&text).unwrap(), sums);
    }
}
