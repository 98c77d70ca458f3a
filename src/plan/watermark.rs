//! Where an incremental extract starts: after the greatest value that the target has, asked at run time.

use std::sync::Arc;

use datafusion::arrow::datatypes::i256;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator, binary_expr, lit};

use super::Engine;
use super::fields::PlannedField;
use super::strict::{cast_strict, strict_cast};
use crate::connector::Loader;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType, ExtractMode, LoadMode, Lookback, Stream};

/// The watermark of one extract.
#[derive(Debug, Clone)]
pub struct Watermark {
    /// The field's id: the column of the buffer.
    pub field: String,
    /// The target's column.
    pub column: String,
    /// The target's greatest value, in the target's type. `None`: the target is missing or has none.
    pub from: Option<ScalarValue>,
    /// The condition on the source; `None` where all is extracted.
    pub filter: Option<Expr>,
    /// What the source's rows are compared by.
    pub value: Expr,
}

/// The watermark of `stream`, or `None` where the extract is full.
///
/// # Errors
/// Schema: the target's column is coarser than the source's, or has no order. Validation: an append would add rows
/// again because the target's column holds nothing but NULL.
pub async fn resolve(stream: &Stream, fields: &[PlannedField], loader: &dyn Loader) -> Result<Option<Watermark>> {
    if stream.extract.mode != ExtractMode::Incremental {
        return Ok(None);
    }
    let id = stream.extract.watermark_field.clone().unwrap_or_default();
    let field = fields.iter().find(|f| f.field.name == id).ok_or_else(|| {
        Error::new(ErrorKind::Configuration, format!("watermark_field {id} is no field of the stream"))
            .with_hint("name the field's id, and list it in `fields` where they are listed")
    })?;
    let column = field.spec.target_name().to_string();
    if !field.field.dtype.is_ordered() {
        let text = format!("watermark_field {id} is {}, which has no order to follow", field.field.dtype);
        return Err(Error::new(ErrorKind::Schema, text).with_hint("use a number, date, timestamp or text"));
    }
    if let Some(existing) = loader.existing() {
        let Some(stored) = existing.field(&column) else {
            let text = format!("{} has no column {column}, which holds the watermark", loader.target());
            return Err(Error::new(ErrorKind::Schema, text).with_hint("add the column, or name its field `target`"));
        };
        if loader.keeps_types() && is_coarser(&stored.dtype, &field.source_type) {
            let text = format!(
                "{}.{column} is {}, coarser than the source's {}: rows between two of its values would be missed",
                loader.target(),
                stored.dtype,
                field.source_type
            );
            return Err(Error::new(ErrorKind::Schema, text)
                .with_hint("give the target's column the source's type, or choose another watermark_field"));
        }
    }
    let from = match loader.existing() {
        Some(_) => loader.watermark(&column).await?,
        None => {
            let incoming = DxtField { name: column.clone(), ..field.field.clone() };
            loader.follows(&loader.stored(&incoming, field.spec.target.native_type.as_deref())?)?;
            None
        }
    };
    // Nothing is greater than NaN or infinity: every later row would be missed.
    if from.as_ref().is_some_and(|v| matches!(as_float(v), Some(v) if !v.is_finite())) {
        let text = format!("the greatest {column} of {} is not a finite number", loader.target());
        return Err(
            Error::new(ErrorKind::Validation, text).with_hint("correct that row, or choose another watermark_field")
        );
    }
    let Some(greatest) = &from else {
        if stream.load.mode == LoadMode::Append && loader.existing().is_some() && loader.has_rows().await? {
            let text = format!("{} has rows, but {column} is NULL in all of them", loader.target());
            return Err(Error::new(ErrorKind::Validation, text)
                .with_hint("an append would add every row again: fill the column, or use `mode: upsert`"));
        }
        return Ok(Some(Watermark { field: id, column, from, filter: None, value: value(field) }));
    };
    // Asked only now: an empty CSV has no types yet.
    let stored = loader.existing().and_then(|s| s.field(&column)).map(|f| &f.dtype);
    if let Some(stored) = stored.filter(|stored| !is_ordered_alike(stored, field)) {
        let text = format!(
            "{}.{column} is {stored}, which has another order than the source's {}: as text, 9 comes after 10",
            loader.target(),
            field.source_type
        );
        return Err(Error::new(ErrorKind::Schema, text).with_hint(
            "give field and column one type, by `dtype` and in the target, or choose another watermark_field",
        ));
    }
    let filter = condition(stream, field, greatest)?;
    Ok(Some(Watermark { field: id, column, from, filter: Some(filter), value: value(field) }))
}

/// Checks that a watermark that is carried as text has the order of text, too. `connection` tells which one a column of the
/// source comes from.
///
/// # Errors
/// Type mapping: it is of a type with an order of its own; as text, 9 comes after 10.
pub fn expect_order(
    engine: &Engine,
    stream: &Stream,
    fields: &[PlannedField],
    connection: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    let id = stream.extract.watermark_field.as_deref().filter(|_| stream.extract.mode == ExtractMode::Incremental);
    let planned = fields.iter().find(|f| Some(f.field.name.as_str()) == id && f.field.dtype == DxtType::String);
    let Some((planned, native)) = planned.and_then(|f| Some((f, f.field.native.as_ref()?))) else { return Ok(()) };
    let field = &planned.field;
    let Expr::Column(column) = &planned.source else { return Ok(()) };
    let Some(connection) = connection(&column.name) else { return Ok(()) };
    if engine.connector(&connection)?.types().is_text(&native.name) {
        return Ok(());
    }
    let text = format!(
        "watermark_field {} is {}, whose values are carried as text, which has another order",
        field.name, native.name
    );
    Err(Error::new(ErrorKind::TypeMapping, text).with_hint(
        "choose another watermark_field, or give the column a type that dxt knows in the source: numeric(38,0) for numeric",
    ))
}

/// `source >= start` for an upsert, where ties change nothing; `source > start` for an append.
fn condition(stream: &Stream, field: &PlannedField, greatest: &ScalarValue) -> Result<Expr> {
    // In the source's own type, so that the source can use an index; in the field's where only the cast has an order
    // that means the same (a date kept as text).
    let dtype = compared(field);
    let start = convert(greatest, dtype, &field.field.name)?;
    let start = match stream.extract.lookback {
        Some(lookback) => back(start, lookback, &field.field.name)?,
        None => start,
    };
    let op = if stream.load.mode == LoadMode::Upsert { Operator::GtEq } else { Operator::Gt };
    Ok(binary_expr(value(field), op, lit(start)))
}

/// The type that the source is compared in.
fn compared(field: &PlannedField) -> &DxtType {
    if kind(&field.source_type) == kind(&field.field.dtype) { &field.source_type } else { &field.field.dtype }
}

fn value(field: &PlannedField) -> Expr {
    let dtype = compared(field);
    match *dtype == field.source_type {
        true => field.source.clone(),
        false => strict_cast(field.source.clone(), dtype.to_arrow(), &field.field.name),
    }
}

/// Whether the greatest value of the target's column is the greatest of the source's, too. Texts have an order of
/// their own. Dates and times that are kept as text are written so that it is the same.
fn is_ordered_alike(stored: &DxtType, field: &PlannedField) -> bool {
    let is_text = |t: &DxtType| *t == DxtType::String;
    let is_number = |t: &DxtType| matches!(kind(t), 0 | 1);
    match (is_text(stored), is_text(compared(field))) {
        (true, _) => !is_number(&field.source_type) && !is_number(compared(field)),
        (false, compared_as_text) => !compared_as_text,
    }
}

fn as_float(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Float64(v) => *v,
        ScalarValue::Float32(v) => v.map(f64::from),
        _ => None,
    }
}

/// Types of one kind compare alike.
fn kind(dtype: &DxtType) -> u8 {
    use DxtType::*;
    match dtype {
        Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64 | Decimal { .. } => 0,
        Float32 | Float64 => 1,
        Date | Timestamp { .. } => 2,
        TimestampTz { .. } => 3,
        Time { .. } => 4,
        // Texts may spell one in several ways, and so have another order.
        Uuid => 5,
        String | Bool | Binary | Json | Array(_) | Object(_) => 6,
    }
}

/// A value in another type, exactly.
pub(crate) fn convert(value: &ScalarValue, dtype: &DxtType, field: &str) -> Result<ScalarValue> {
    let array = cast_strict(&value.to_array().map_err(Error::from)?, &dtype.to_arrow(), field)?;
    Ok(ScalarValue::try_from_array(&array, 0)?)
}

fn back(start: ScalarValue, lookback: Lookback, field: &str) -> Result<ScalarValue> {
    use ScalarValue::*;
    let misfit = || {
        let text = format!("lookback does not fit the watermark {field} of type {}", start.data_type());
        Error::new(ErrorKind::Configuration, text)
            .with_hint("write a duration such as 1h for dates and timestamps, and a whole number for numbers")
    };
    let nanos = |d: std::time::Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    Ok(match (&start, lookback) {
        (TimestampSecond(Some(v), z), Lookback::Duration(d)) => {
            TimestampSecond(Some(v.saturating_sub(d.as_secs() as i64)), z.clone())
        }
        (TimestampMillisecond(Some(v), z), Lookback::Duration(d)) => {
            TimestampMillisecond(Some(v.saturating_sub(d.as_millis() as i64)), z.clone())
        }
        (TimestampMicrosecond(Some(v), z), Lookback::Duration(d)) => {
            TimestampMicrosecond(Some(v.saturating_sub(d.as_micros() as i64)), z.clone())
        }
        (TimestampNanosecond(Some(v), z), Lookback::Duration(d)) => {
            TimestampNanosecond(Some(v.saturating_sub(nanos(d))), z.clone())
        }
        // A part of a day goes back a whole one: a superset.
        (Date32(Some(v)), Lookback::Duration(d)) => {
            Date32(Some(v.saturating_sub(i32::try_from(d.as_secs().div_ceil(86_400)).unwrap_or(i32::MAX))))
        }
        (
            Int8(_) | Int16(_) | Int32(_) | Int64(_) | UInt8(_) | UInt16(_) | UInt32(_) | UInt64(_),
            Lookback::Count(n),
        ) => {
            let wide = convert(&start, &DxtType::Decimal { precision: 38, scale: 0 }, field)?;
            let Decimal128(Some(v), p, s) = wide else { return Err(misfit()) };
            // At the type's own end where it goes below: a superset still.
            let dtype = DxtType::from_arrow(&start.data_type())?;
            let moved = Decimal128(Some(v - i128::from(n)), p, s);
            return convert(&moved, &dtype, field).or_else(|_| ScalarValue::min(&start.data_type()).ok_or_else(misfit));
        }
        (Decimal128(Some(v), p, s), Lookback::Count(n)) => {
            let unit = 10i128.checked_pow(u32::try_from(*s).unwrap_or(0)).ok_or_else(misfit)?;
            Decimal128(Some(v.saturating_sub(unit.saturating_mul(i128::from(n)))), *p, *s)
        }
        (Decimal256(Some(v), p, s), Lookback::Count(n)) => {
            let unit = i256::from_i128(10).checked_pow(u32::try_from(*s).unwrap_or(0)).ok_or_else(misfit)?;
            let steps = unit.checked_mul(i256::from_i128(i128::from(n))).ok_or_else(misfit)?;
            Decimal256(Some(v.checked_sub(steps).unwrap_or(i256::MIN)), *p, *s)
        }
        (Float64(Some(v)), Lookback::Count(n)) => Float64(Some(v - n as f64)),
        (Float32(Some(v)), Lookback::Count(n)) => Float32(Some(v - n as f32)),
        _ => return Err(misfit()),
    })
}

/// Whether two values that differ in the source may be one in the target.
fn is_coarser(target: &DxtType, source: &DxtType) -> bool {
    use DxtType::*;
    match (target, source) {
        (Date, Timestamp { .. } | TimestampTz { .. }) => true,
        (
            Timestamp { precision: t } | TimestampTz { precision: t } | Time { precision: t },
            Timestamp { precision: s } | TimestampTz { precision: s } | Time { precision: s },
        ) => t < s,
        (Decimal { scale: t, .. }, Decimal { scale: s, .. }) => t < s,
        (Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64, Decimal { scale, .. }) => *scale > 0,
        (Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64, Float32 | Float64) => true,
        (Float32, Float64 | Int64 | Uint64 | Int32 | Uint32 | Decimal { .. }) => true,
        (Float64, Int64 | Uint64 | Decimal { .. }) => true,
        _ => false,
    }
}

/// The greater of two marks, for the report.
pub fn text(value: &ScalarValue) -> String {
    let array = value.to_array().and_then(|a| Ok(cast_strict(&a, &datafusion::arrow::datatypes::DataType::Utf8, "")?));
    match array {
        Ok(array) => datafusion::arrow::array::AsArray::as_string::<i32>(&array).value(0).to_string(),
        Err(_) => value.to_string(),
    }
}

/// A watermark's text, as [`text`] gave it, in its type again.
pub fn parse(text: &str, dtype: &DxtType, field: &str) -> Result<ScalarValue> {
    let array = datafusion::arrow::array::StringArray::from(vec![text]);
    let array = cast_strict(&(Arc::new(array) as _), &dtype.to_arrow(), field)?;
    Ok(ScalarValue::try_from_array(&array, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_lookback_moves_the_start_back_in_the_columns_own_unit() {
        let hour = Lookback::Duration(Duration::from_secs(3600));
        let at = |v| ScalarValue::TimestampMillisecond(Some(v), None);
        assert_eq!(back(at(3_600_500), hour, "f").unwrap(), at(500));
        assert_eq!(back(ScalarValue::Date32(Some(10)), hour, "f").unwrap(), ScalarValue::Date32(Some(9)));
        assert_eq!(back(ScalarValue::Int64(Some(10)), Lookback::Count(3), "f").unwrap(), ScalarValue::Int64(Some(7)));
        assert_eq!(
            back(ScalarValue::Decimal128(Some(1050), 10, 2), Lookback::Count(3), "f").unwrap(),
            ScalarValue::Decimal128(Some(750), 10, 2)
        );
        let wide = |n| ScalarValue::Decimal256(Some(i256::from_i128(n)), 50, 2);
        assert_eq!(back(wide(1050), Lookback::Count(3), "f").unwrap(), wide(750));
        assert!(back(ScalarValue::Int64(Some(10)), hour, "f").is_err());
        let least = back(ScalarValue::UInt8(Some(1)), Lookback::Count(3), "f").unwrap();
        assert_eq!(least, ScalarValue::UInt8(Some(0)));
    }

    #[test]
    fn a_watermark_survives_the_manifests_text() {
        for value in [
            ScalarValue::TimestampMicrosecond(Some(-1), Some("UTC".into())),
            ScalarValue::TimestampNanosecond(Some(1_700_000_000_123_456_789), None),
            ScalarValue::Date32(Some(-1)),
            ScalarValue::Decimal128(Some(-105), 10, 2),
            ScalarValue::Float64(Some(0.1)),
            ScalarValue::UInt64(Some(u64::MAX)),
            ScalarValue::Utf8(Some("a\n'b".into())),
            ScalarValue::FixedSizeBinary(16, Some((0..16).collect())),
        ] {
            let dtype = DxtType::from_arrow(&value.data_type()).unwrap();
            assert_eq!(parse(&text(&value), &dtype, "f").unwrap(), value);
        }
    }

    #[test]
    fn numbers_and_texts_are_ordered_differently() {
        let alike = |stored: DxtType, source: DxtType, field: DxtType| {
            let field = PlannedField {
                source: lit(1),
                source_type: source,
                field: crate::model::DxtField::new("f", field),
                spec: crate::model::FieldSpec::new("f"),
            };
            is_ordered_alike(&stored, &field)
        };
        use DxtType::{Date, Int32, Int64, String, Uuid};
        // Canonical texts sort as their values do; a source's own may be in upper case.
        assert!(alike(Uuid, Uuid, Uuid) && alike(String, Uuid, Uuid) && alike(Uuid, String, Uuid));
        assert!(!alike(Uuid, String, String));
        assert!(alike(Int64, Int32, Int32) && alike(String, String, String) && alike(Int64, String, Int64));
        assert!(!alike(String, Int64, Int64) && !alike(String, Int64, String));
        assert!(!alike(Int64, String, String) && !alike(String, String, Int64));
        // ISO dates sort as dates do; a source's own texts may be written otherwise.
        assert!(alike(String, Date, Date) && alike(String, Date, String) && !alike(Date, String, String));
    }

    #[test]
    fn a_target_that_merges_values_is_coarser() {
        let ts = |precision| DxtType::Timestamp { precision };
        assert!(is_coarser(&ts(3), &ts(6)));
        assert!(!is_coarser(&ts(6), &ts(3)));
        assert!(is_coarser(&DxtType::Date, &ts(0)));
        assert!(is_coarser(&DxtType::Int64, &DxtType::Decimal { precision: 9, scale: 1 }));
        assert!(!is_coarser(&DxtType::Int64, &DxtType::Int32));
    }
}
