//! Values of DataFusion as dialects look at them before they write literals.

use datafusion::common::ScalarValue;

/// A whole number of any width; `None` of NULL and of everything else, as below.
pub fn integer(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int8(Some(n)) => i128::from(*n),
        ScalarValue::Int16(Some(n)) => i128::from(*n),
        ScalarValue::Int32(Some(n)) => i128::from(*n),
        ScalarValue::Int64(Some(n)) => i128::from(*n),
        ScalarValue::UInt8(Some(n)) => i128::from(*n),
        ScalarValue::UInt16(Some(n)) => i128::from(*n),
        ScalarValue::UInt32(Some(n)) => i128::from(*n),
        ScalarValue::UInt64(Some(n)) => i128::from(*n),
        _ => return None,
    })
}

/// A text, however it is laid out.
pub fn string(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

/// Microseconds of a day; `None` where the time is finer, or is none of a day.
pub fn time_of_day(value: &ScalarValue) -> Option<i64> {
    let micros = match value {
        ScalarValue::Time32Second(Some(t)) => i64::from(*t).checked_mul(1_000_000)?,
        ScalarValue::Time32Millisecond(Some(t)) => i64::from(*t).checked_mul(1_000)?,
        ScalarValue::Time64Microsecond(Some(t)) => *t,
        ScalarValue::Time64Nanosecond(Some(t)) if t % 1_000 == 0 => t / 1_000,
        _ => return None,
    };
    (0..86_400_000_000).contains(&micros).then_some(micros)
}

/// Microseconds since 1970 and whether they are an instant; `None` where they are finer.
pub fn micros(value: &ScalarValue) -> Option<(i64, bool)> {
    let (micros, zone) = match value {
        ScalarValue::TimestampSecond(Some(t), zone) => (t.checked_mul(1_000_000)?, zone),
        ScalarValue::TimestampMillisecond(Some(t), zone) => (t.checked_mul(1_000)?, zone),
        ScalarValue::TimestampMicrosecond(Some(t), zone) => (*t, zone),
        ScalarValue::TimestampNanosecond(Some(t), zone) if t % 1_000 == 0 => (t / 1_000, zone),
        _ => return None,
    };
    Some((micros, zone.is_some()))
}
