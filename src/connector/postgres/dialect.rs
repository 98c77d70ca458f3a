//! PostgreSQL's SQL: select lists, literals, and comparisons that mean there what they mean in DataFusion.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;

use super::codec::text;
use super::types::PgType;
use crate::connector::sql::{Comparison, Dialect, Pushed};
use crate::model::{DxtField, uuid_text};

/// The dialect, for the columns of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct PostgresDialect {
    /// Text columns whose `=` may take unlike texts for equal.
    loose: BTreeSet<String>,
    /// Columns whose cast to text is another text than the type's own.
    printed: BTreeSet<String>,
}

impl PostgresDialect {
    /// The dialect where the named columns have (or may have) such a collation.
    pub(super) fn new(loose: BTreeSet<String>) -> Self {
        Self { loose, printed: BTreeSet::new() }
    }

    /// The same where the text of the named columns has to be had from the type's output, not by a cast.
    pub(super) fn printed(self, printed: BTreeSet<String>) -> Self {
        Self { printed, ..self }
    }
}

impl Dialect for PostgresDialect {
    fn select(&self, field: &DxtField) -> String {
        let name = self.quote(&field.name);
        match PgType::of(field) {
            Some(native) if native.is_binary() => name,
            // A row of NULLs `IS NULL`, but is none; and concat() makes nothing of a NULL.
            _ if self.printed.contains(&field.name) => {
                format!("CASE WHEN pg_catalog.num_nulls({name}) = 0 THEN pg_catalog.concat({name}) END AS {name}")
            }
            _ => format!("{name}::text AS {name}"),
        }
    }

    fn compare(&self, field: &DxtField, op: Comparison, value: &ScalarValue) -> Option<Pushed> {
        // A column that is read as another type (declared as string) is compared as that type, so not there.
        let native = PgType::of(field)?;
        let equality = matches!(op, Comparison::Eq | Comparison::NotEq);
        if native.is_text() && (!equality || self.loose.contains(&field.name)) {
            return None;
        }
        let literal = literal(native, value)?;
        Some(Pushed { sql: format!("{} {} {literal}", self.quote(&field.name), op.as_sql()), exact: true })
    }
}

/// A text in quotes; `None` where it has a NUL.
pub(super) fn quote_text(text: &str) -> Option<String> {
    // With standard_conforming_strings on, which every session sets, a backslash is a letter as any other.
    (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")))
}

fn literal(native: PgType, value: &ScalarValue) -> Option<String> {
    match native {
        PgType::Bool => match value {
            ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
            _ => None,
        },
        PgType::Int2 | PgType::Int4 | PgType::Int8 => integer(value).map(|n| match i64::try_from(n) {
            // Without quotes the minus would stand before a number that no bigint holds.
            Ok(i64::MIN) => format!("'{n}'::bigint"),
            _ => n.to_string(),
        }),
        // Its input takes a negative number for another one.
        PgType::Oid => integer(value).filter(|n| u32::try_from(*n).is_ok()).map(|n| n.to_string()),
        PgType::Numeric(Some(_)) => decimal(value),
        PgType::Float4 => match value {
            ScalarValue::Float32(Some(f)) => float(f64::from(*f), &format!("{f:e}"), "real"),
            _ => None,
        },
        PgType::Float8 => match value {
            ScalarValue::Float64(Some(f)) => float(*f, &format!("{f:e}"), "double precision"),
            _ => None,
        },
        PgType::Date => match value {
            ScalarValue::Date32(Some(days)) if text::DATE_RANGE.contains(&i64::from(*days)) => {
                Some(format!("DATE '{}'", written(|out| text::date(out, i64::from(*days)))?))
            }
            _ => None,
        },
        PgType::Time(_) => {
            let micros = match value {
                ScalarValue::Time32Second(Some(t)) => i64::from(*t).checked_mul(1_000_000)?,
                ScalarValue::Time32Millisecond(Some(t)) => i64::from(*t).checked_mul(1_000)?,
                ScalarValue::Time64Microsecond(Some(t)) => *t,
                ScalarValue::Time64Nanosecond(Some(t)) if t % 1_000 == 0 => t / 1_000,
                _ => return None,
            };
            let within = (0..86_400_000_000).contains(&micros);
            within.then_some(())?;
            Some(format!("TIME '{}'", written(|out| text::time(out, micros))?))
        }
        PgType::Timestamp(_) => match micros(value)? {
            (micros, false) => Some(format!("TIMESTAMP '{}'", written(|out| text::timestamp(out, micros, false))?)),
            _ => None,
        },
        PgType::TimestampTz(_) => match micros(value)? {
            (micros, true) => Some(format!("TIMESTAMPTZ '{}'", written(|out| text::timestamp(out, micros, true))?)),
            _ => None,
        },
        PgType::Uuid => match value {
            ScalarValue::FixedSizeBinary(16, Some(bytes)) => {
                let text = uuid_text(bytes.as_slice().try_into().ok()?);
                Some(format!("'{text}'::uuid"))
            }
            _ => None,
        },
        PgType::Text | PgType::Varchar(_) => string(value).and_then(quote_text),
        // As a name the literal would be cut after 63 bytes.
        PgType::Name => string(value).and_then(quote_text).map(|text| format!("{text}::text")),
        // char(n) ignores blanks at the end; the order and equality of the others is not that of their text.
        _ => None,
    }
}

fn written(write: impl FnOnce(&mut String) -> std::fmt::Result) -> Option<String> {
    let mut text = String::new();
    write(&mut text).ok().map(|()| text)
}

fn integer(value: &ScalarValue) -> Option<i128> {
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

fn decimal(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Decimal128(Some(n), _, scale) => written(|out| text::decimal128(out, *n, *scale)),
        ScalarValue::Decimal256(Some(n), _, scale) => written(|out| text::decimal256(out, *n, *scale)),
        other => integer(other).map(|n| n.to_string()),
    }
}

/// A float's literal. DataFusion orders -0 before 0 and tells NaNs apart; PostgreSQL does neither.
fn float(value: f64, shortest: &str, native: &str) -> Option<String> {
    match value {
        _ if value.is_nan() || value == 0.0 => None,
        f64::INFINITY => Some(format!("'Infinity'::{native}")),
        f64::NEG_INFINITY => Some(format!("'-Infinity'::{native}")),
        _ => Some(format!("'{shortest}'::{native}")),
    }
}

/// Microseconds since 1970 and whether they are an instant; `None` where they are finer or out of PostgreSQL's range.
fn micros(value: &ScalarValue) -> Option<(i64, bool)> {
    let (micros, zone) = match value {
        ScalarValue::TimestampSecond(Some(t), zone) => (t.checked_mul(1_000_000)?, zone),
        ScalarValue::TimestampMillisecond(Some(t), zone) => (t.checked_mul(1_000)?, zone),
        ScalarValue::TimestampMicrosecond(Some(t), zone) => (*t, zone),
        ScalarValue::TimestampNanosecond(Some(t), zone) if t % 1_000 == 0 => (t / 1_000, zone),
        _ => return None,
    };
    // The range begins with that of dates, and 64 bits from 1970 end before it does.
    let first = text::DATE_RANGE.start() * 86_400_000_000;
    (micros >= first).then_some((micros, zone.is_some()))
}

fn string(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::postgres::types::SYSTEM;
    use crate::model::DxtType;

    fn field(native: &str) -> DxtField {
        DxtField::new("x", PgType::parse(native).dtype()).native(SYSTEM, native)
    }

    fn pushed(native: &str, op: Comparison, value: ScalarValue) -> Option<String> {
        PostgresDialect::default().compare(&field(native), op, &value).map(|pushed| {
            assert!(pushed.exact);
            pushed.sql
        })
    }

    fn eq(native: &str, value: ScalarValue) -> Option<String> {
        pushed(native, Comparison::Eq, value)
    }

    fn text(text: &str) -> ScalarValue {
        ScalarValue::Utf8(Some(text.into()))
    }

    #[test]
    fn what_has_no_binary_decoder_is_selected_as_text() {
        let dialect = PostgresDialect::default();
        assert_eq!(dialect.select(&field("integer")), "\"x\"");
        assert_eq!(dialect.select(&field("integer[]")), "\"x\"");
        assert_eq!(dialect.select(&field("interval[]")), "\"x\"::text AS \"x\"");
        assert_eq!(dialect.select(&field("numeric")), "\"x\"::text AS \"x\"");
        let declared = DxtField::new("a\"b", DxtType::String).native(SYSTEM, "numeric(5,2)");
        assert_eq!(dialect.select(&declared), "\"a\"\"b\"::text AS \"a\"\"b\"");
        let dialect = dialect.printed(BTreeSet::from(["x".to_string()]));
        assert!(dialect.select(&field("inet")).contains("concat(\"x\")"), "{}", dialect.select(&field("inet")));
        assert_eq!(dialect.select(&field("character(3)")), "\"x\"");
    }

    #[test]
    fn literals_keep_their_value_exactly() {
        assert_eq!(eq("bigint", ScalarValue::Int64(Some(-5))).unwrap(), "\"x\" = -5");
        assert_eq!(eq("bigint", ScalarValue::Int64(Some(i64::MIN))).unwrap(), "\"x\" = '-9223372036854775808'::bigint");
        let cents = ScalarValue::Decimal128(Some(-1205), 12, 2);
        assert_eq!(pushed("numeric(12,2)", Comparison::GtEq, cents).unwrap(), "\"x\" >= -12.05");
        assert_eq!(eq("real", ScalarValue::Float32(Some(0.1))).unwrap(), "\"x\" = '1e-1'::real");
        assert_eq!(eq("date", ScalarValue::Date32(Some(19_782))).unwrap(), "\"x\" = DATE '2024-02-29'");
        let instant = ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into()));
        let sql = pushed("timestamp with time zone", Comparison::Gt, instant).unwrap();
        assert_eq!(sql, "\"x\" > TIMESTAMPTZ '1970-01-01 00:00:00.000001+00'");
        let uuid = ScalarValue::FixedSizeBinary(16, Some(vec![0xA0; 16]));
        let sql = pushed("uuid", Comparison::Lt, uuid).unwrap();
        assert_eq!(sql, "\"x\" < 'a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0'::uuid");
        let wall = ScalarValue::TimestampNanosecond(Some(1_000), None);
        let sql = eq("timestamp without time zone", wall).unwrap();
        assert_eq!(sql, "\"x\" = TIMESTAMP '1970-01-01 00:00:00.000001'");
    }

    #[test]
    fn text_is_quoted_and_compared_for_equality_alone() {
        assert_eq!(eq("text", text("it's \\ ok")).unwrap(), "\"x\" = 'it''s \\ ok'");
        assert_eq!(eq("name", text("n")).unwrap(), "\"x\" = 'n'::text");
        assert_eq!(eq("text", text("a\0b")), None);
        assert_eq!(pushed("text", Comparison::Lt, text("a")), None);
        for native in ["character(3)", "public.citext", "uuid", "jsonb", "numeric", "interval"] {
            assert_eq!(eq(native, text("a")), None, "{native}");
        }
        let loose = PostgresDialect::new(BTreeSet::from(["x".to_string()]));
        assert_eq!(loose.compare(&field("text"), Comparison::Eq, &text("a")), None);
    }

    #[test]
    fn what_would_mean_another_thing_stays_here() {
        assert_eq!(eq("double precision", ScalarValue::Float64(Some(f64::NAN))), None);
        assert_eq!(eq("double precision", ScalarValue::Float64(Some(-0.0))), None);
        assert_eq!(eq("oid", ScalarValue::Int64(Some(-1))), None);
        assert_eq!(eq("integer", ScalarValue::Float64(Some(1.5))), None);
        assert_eq!(eq("timestamp without time zone", ScalarValue::TimestampNanosecond(Some(1), None)), None);
        let instant = ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into()));
        assert_eq!(eq("timestamp without time zone", instant), None);
        let declared = DxtField::new("x", DxtType::String).native(SYSTEM, "integer");
        assert_eq!(PostgresDialect::default().compare(&declared, Comparison::Eq, &text("1")), None);
    }
}
