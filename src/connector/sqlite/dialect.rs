//! Comparisons in SQLite's SQL, where they mean there what they mean in DataFusion.
//!
//! SQLite applies the column's affinity to a literal before it compares, so a comparison is pushed only where the
//! field's type is the one that the column declares, or where affinity cannot matter.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use datafusion::common::ScalarValue;

use super::catalog::{Column, Relation};
use super::types::{Affinity, EXACT_DIGITS};
use crate::connector::sql::{Comparison, Dialect, Pushed};
use crate::model::{DxtField, DxtType};

/// SQLite's SQL over the columns of one relation or query.
#[derive(Debug)]
pub struct SqliteDialect {
    columns: BTreeMap<String, Column>,
    utf8: bool,
}

impl SqliteDialect {
    /// The dialect for scans of `relation`.
    pub fn new(relation: &Relation) -> Self {
        let columns = relation.columns.iter().map(|c| (c.field.name.clone(), c.clone())).collect();
        Self { columns, utf8: relation.utf8 }
    }
}

impl Dialect for SqliteDialect {
    fn compare(&self, field: &DxtField, op: Comparison, value: &ScalarValue) -> Option<Pushed> {
        let column = self.columns.get(&field.name).filter(|c| c.field.dtype == field.dtype)?;
        let name = self.quote(&field.name);
        let exact = |literal: String| Some(Pushed { sql: format!("{name} {} {literal}", op.as_sql()), exact: true });
        let equality = matches!(op, Comparison::Eq | Comparison::NotEq);
        // Values without a declared type have no affinity either; they were all of one class when they were looked at.
        let numeric = column.own_type || (column.field.native.is_none() && column.affinity == Affinity::Blob);
        match &field.dtype {
            DxtType::Int8 | DxtType::Int16 | DxtType::Int32 | DxtType::Int64 if numeric => {
                exact(whole(value)?.to_string())
            }
            DxtType::Bool if column.own_type && equality => match value {
                ScalarValue::Boolean(Some(b)) => exact(u8::from(*b).to_string()),
                _ => None,
            },
            DxtType::Float32 | DxtType::Float64 if numeric => exact(real(match value {
                ScalarValue::Float64(Some(f)) => *f,
                ScalarValue::Float32(Some(f)) => f64::from(*f),
                other => whole(other).filter(|w| w.unsigned_abs() < 1 << 53)? as f64,
            })?),
            DxtType::Decimal { precision, .. }
                if column.own_type && *precision <= EXACT_DIGITS && column.affinity == Affinity::Numeric =>
            {
                exact(decimal(value)?)
            }
            DxtType::Uint64 if column.own_type => match value {
                ScalarValue::UInt64(Some(n)) => exact(format!("'{n:020}'")),
                _ => None,
            },
            // The column's own collation may take 'a' for 'A'; BINARY compares bytes, as DataFusion does.
            DxtType::String
                if column.own_type && !column.loose && column.affinity == Affinity::Text && (equality || self.utf8) =>
            {
                let text = match value {
                    ScalarValue::Utf8(Some(t)) | ScalarValue::LargeUtf8(Some(t)) | ScalarValue::Utf8View(Some(t)) => t,
                    _ => return None,
                };
                // SQLite ends a statement at a NUL.
                let literal = (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")))?;
                Some(Pushed { sql: format!("{name} COLLATE BINARY {} {literal}", op.as_sql()), exact: true })
            }
            // Dates have one text form only, which sorts as they do.
            DxtType::Date => match value {
                ScalarValue::Date32(Some(days)) => exact(day(i64::from(*days))?),
                _ => None,
            },
            // Timestamps may stand in several forms and zones, all of which begin with the date: keep whole days around.
            DxtType::Timestamp { .. } | DxtType::TimestampTz { .. } => {
                let days = days(value)?;
                let sql = match op {
                    Comparison::Gt | Comparison::GtEq => format!("{name} >= {}", day(days - 1)?),
                    Comparison::Lt | Comparison::LtEq => format!("{name} < {}", day(days + 2)?),
                    Comparison::Eq | Comparison::NotEq => return None,
                };
                Some(Pushed { sql, exact: false })
            }
            _ => None,
        }
    }
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(Some(n)) => Some((*n).into()),
        ScalarValue::Int16(Some(n)) => Some((*n).into()),
        ScalarValue::Int32(Some(n)) => Some((*n).into()),
        ScalarValue::Int64(Some(n)) => Some(*n),
        ScalarValue::UInt8(Some(n)) => Some((*n).into()),
        ScalarValue::UInt16(Some(n)) => Some((*n).into()),
        ScalarValue::UInt32(Some(n)) => Some((*n).into()),
        ScalarValue::UInt64(Some(n)) => i64::try_from(*n).ok(),
        _ => None,
    }
}

/// An expression that SQLite evaluates to exactly this double. A literal would not do: SQLite's conversion of decimal
/// text may be one unit off in the last place, but whole numbers below 2^53 and one IEEE division of them are exact.
/// Zero is left out, for DataFusion tells -0.0 from 0.0.
fn real(value: f64) -> Option<String> {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if !value.is_finite() || value == 0.0 {
        return None;
    }
    if value.fract() == 0.0 && value.abs() < WHOLE {
        return Some(format!("{value:.1}"));
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let fraction = mantissa.split_once('.').map_or(0, |(_, f)| f.len() as i32);
    let places = fraction - exponent.parse::<i32>().ok()?;
    let digits: i64 = mantissa.replace('.', "").parse().ok()?;
    ((1..=15).contains(&places) && digits.unsigned_abs() < 1 << 53)
        .then(|| format!("({digits} / {}.0)", 10_i64.pow(places as u32)))
}

/// A decimal as SQLite's number, where both keep all of its digits.
fn decimal(value: &ScalarValue) -> Option<String> {
    let (mut unscaled, mut scale) = match value {
        ScalarValue::Decimal128(Some(v), _, scale) => (*v, *scale),
        other => return whole(other).map(|w| w.to_string()),
    };
    while scale > 0 && unscaled % 10 == 0 {
        (unscaled, scale) = (unscaled / 10, scale - 1);
    }
    if unscaled.unsigned_abs() >= 10_u128.pow(EXACT_DIGITS.into()) || !(0..=15).contains(&scale) {
        return None;
    }
    Some(match scale {
        0 => unscaled.to_string(),
        _ => format!("({unscaled} / {}.0)", 10_i64.pow(scale as u32)),
    })
}

/// The day of a date or timestamp, from 1970-01-01.
fn days(value: &ScalarValue) -> Option<i64> {
    let per_day = 86_400_i64;
    match value {
        ScalarValue::Date32(Some(days)) => Some((*days).into()),
        ScalarValue::TimestampSecond(Some(n), _) => Some(n.div_euclid(per_day)),
        ScalarValue::TimestampMillisecond(Some(n), _) => Some(n.div_euclid(per_day * 1_000)),
        ScalarValue::TimestampMicrosecond(Some(n), _) => Some(n.div_euclid(per_day * 1_000_000)),
        ScalarValue::TimestampNanosecond(Some(n), _) => Some(n.div_euclid(per_day * 1_000_000_000)),
        _ => None,
    }
}

/// A day as SQL text; `None` outside of the years whose texts sort as the days do.
fn day(days: i64) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?.checked_add(719_163)?)?;
    (1..=9999).contains(&date.year()).then(|| format!("'{:04}-{:02}-{:02}'", date.year(), date.month(), date.day()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    fn dialect() -> SqliteDialect {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE t (i INTEGER, s TEXT COLLATE NOCASE, d DECIMAL(10,2), w TEXT_DECIMAL(20,2), f DOUBLE, \
             u TEXT_UNSIGNED(64), day DATE, at TIMESTAMP, b BOOLEAN, n NUMERIC)",
        )
        .unwrap();
        SqliteDialect::new(&Relation::find(&db, "t", &[]).unwrap().unwrap())
    }

    fn pushed(name: &str, op: Comparison, value: ScalarValue) -> Option<(String, bool)> {
        let dialect = dialect();
        let field = dialect.columns[name].field.clone();
        dialect.compare(&field, op, &value).map(|p| (p.sql, p.exact))
    }

    #[test]
    fn comparisons_that_mean_the_same_are_exact() {
        let sql = |name, op, value| pushed(name, op, value).unwrap();
        let exact = |text: &str| (text.to_string(), true);
        assert_eq!(sql("i", Comparison::Gt, ScalarValue::Int64(Some(-5))), exact("\"i\" > -5"));
        assert_eq!(
            sql("s", Comparison::Eq, ScalarValue::Utf8(Some("it's".into()))),
            exact("\"s\" COLLATE BINARY = 'it''s'")
        );
        assert_eq!(
            sql("d", Comparison::LtEq, ScalarValue::Decimal128(Some(1250), 10, 2)),
            exact("\"d\" <= (125 / 10.0)")
        );
        assert_eq!(sql("f", Comparison::NotEq, ScalarValue::Float64(Some(0.1))), exact("\"f\" <> (1 / 10.0)"));
        assert_eq!(sql("u", Comparison::Eq, ScalarValue::UInt64(Some(7))), exact("\"u\" = '00000000000000000007'"));
        assert_eq!(sql("day", Comparison::Lt, ScalarValue::Date32(Some(-1))), exact("\"day\" < '1969-12-31'"));
        assert_eq!(sql("b", Comparison::Eq, ScalarValue::Boolean(Some(true))), exact("\"b\" = 1"));
    }

    #[test]
    fn timestamps_keep_a_day_more_on_either_side() {
        let noon = ScalarValue::TimestampMicrosecond(Some(43_200_000_000), None);
        let sql = |op| pushed("at", op, noon.clone());
        assert_eq!(sql(Comparison::Gt), Some(("\"at\" >= '1969-12-31'".into(), false)));
        assert_eq!(sql(Comparison::LtEq), Some(("\"at\" < '1970-01-03'".into(), false)));
        assert_eq!(sql(Comparison::Eq), None);
    }

    #[test]
    fn what_would_mean_another_thing_stays_here() {
        assert_eq!(pushed("w", Comparison::Gt, ScalarValue::Decimal128(Some(1), 20, 2)), None);
        assert_eq!(pushed("n", Comparison::Eq, ScalarValue::Utf8(Some("007".into()))), None);
        assert_eq!(pushed("s", Comparison::Eq, ScalarValue::Utf8(Some("a\0b".into()))), None);
        for value in [0.0, -0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(pushed("f", Comparison::Gt, ScalarValue::Float64(Some(value))), None);
        }
    }

    #[test]
    fn a_type_that_the_pipeline_declares_is_not_compared_by_the_columns_affinity() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (x TEXT, y TEXT)").unwrap();
        let declared = [("x".to_string(), DxtType::Int64), ("y".to_string(), DxtType::String)];
        let dialect = SqliteDialect::new(&Relation::find(&db, "t", &declared).unwrap().unwrap());
        let of = |name: &str| dialect.columns[name].field.clone();
        assert_eq!(dialect.compare(&of("x"), Comparison::Gt, &ScalarValue::Int64(Some(5))), None);
        assert_eq!(dialect.compare(&of("y"), Comparison::Eq, &ScalarValue::Utf8(Some("a".into()))), None);
    }

    proptest! {
        #[test]
        fn sqlite_reads_a_real_literal_as_the_same_bits(mantissa in -999_999_999_999_999_i64..999_999_999_999_999, places in 0_i32..15) {
            let value = mantissa as f64 / 10_f64.powi(places);
            if let Some(literal) = real(value) {
                let db = Connection::open_in_memory().unwrap();
                let read: f64 = db.query_row(&format!("SELECT {literal}"), [], |r| r.get(0)).unwrap();
                prop_assert_eq!(read.to_bits(), value.to_bits());
            }
        }

        #[test]
        fn sqlite_reads_a_decimal_literal_as_the_number_that_is_stored(unscaled in -999_999_999_999_999_i128..999_999_999_999_999, scale in 0_i8..15) {
            let literal = decimal(&ScalarValue::Decimal128(Some(unscaled), 15, scale)).unwrap();
            let stored: f64 = crate::connector::sqlite::dialect::tests::text(unscaled, scale).parse().unwrap();
            let db = Connection::open_in_memory().unwrap();
            let read: f64 = db.query_row(&format!("SELECT CAST({literal} AS REAL)"), [], |r| r.get(0)).unwrap();
            prop_assert_eq!(read, stored);
        }
    }

    fn text(unscaled: i128, scale: i8) -> String {
        format!("{unscaled}e-{scale}")
    }
}
