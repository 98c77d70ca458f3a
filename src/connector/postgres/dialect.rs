//! PostgreSQL's SQL: select lists, literals, and comparisons that mean there what they mean in DataFusion.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;

use super::codec::text;
use super::types::PgType;
use crate::connector::sql::literal::{self, integer, string, time_of_day};
use crate::connector::sql::{Comparison, Dialect, Pushed, Terms};
use crate::model::{DxtField, DxtType, uuid_text};

/// The dialect, for the columns of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct PostgresDialect {
    /// Text columns whose `=` may take unlike texts for equal.
    loose: BTreeSet<String>,
    /// Columns whose cast to text is another text than the type's own.
    printed: BTreeSet<String>,
    /// Text columns of another collation than the database's own.
    collated: BTreeSet<String>,
    /// Whether the order of text's bytes there is that of UTF-8.
    utf8: bool,
}

impl PostgresDialect {
    /// The dialect where the named columns have (or may have) such a collation.
    pub(super) fn new(loose: BTreeSet<String>) -> Self {
        Self { loose, ..Self::default() }
    }

    /// The same where the text of the named columns has to be had from the type's output, not by a cast.
    pub(super) fn printed(self, printed: BTreeSet<String>) -> Self {
        Self { printed, ..self }
    }

    /// The same where the named columns have a collation of their own.
    pub(super) fn collated(self, collated: BTreeSet<String>) -> Self {
        Self { collated, ..self }
    }

    /// Whether a column's equality, or its order, is not that of the database's own texts.
    pub(super) fn is_collated(&self, column: &str) -> bool {
        self.loose.contains(column) || self.collated.contains(column)
    }

    /// Whether the database keeps text in UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// The same for a database that keeps text in UTF-8.
    pub(super) fn utf8(self, utf8: bool) -> Self {
        Self { utf8, ..self }
    }

    /// A column's text as it is read, for one that is read as text.
    fn text(&self, field: &DxtField) -> String {
        self.text_of(&self.quote(&field.name), &field.name)
    }

    /// The text of the column `column`, which is `name` there.
    pub(super) fn text_of(&self, name: &str, column: &str) -> String {
        // A row of NULLs `IS NULL`, but is none; and concat() makes nothing of a NULL.
        match self.printed.contains(column) {
            true => format!("CASE WHEN pg_catalog.num_nulls({name}) = 0 THEN pg_catalog.concat({name}) END"),
            false => format!("{name}::text"),
        }
    }

    /// A comparison of text by its bytes, as DataFusion compares.
    fn by_bytes(&self, text: &str, op: Comparison, value: &ScalarValue) -> Option<Pushed> {
        let equality = matches!(op, Comparison::Eq | Comparison::NotEq);
        (equality || self.utf8).then_some(())?;
        let literal = quote_text(string(value)?)?;
        Some(Pushed { sql: format!("({text}) COLLATE \"C\" {} {literal}", op.as_sql()), exact: true })
    }
}

impl Dialect for PostgresDialect {
    fn select(&self, field: &DxtField) -> String {
        let name = self.quote(&field.name);
        match PgType::of(field) {
            Some(native) if native.is_binary() => name,
            _ => format!("{} AS {name}", self.text(field)),
        }
    }

    fn compare(&self, field: &DxtField, op: Comparison, value: &ScalarValue) -> Option<Pushed> {
        let name = self.quote(&field.name);
        let Some(native) = PgType::of(field).filter(PgType::is_binary) else {
            // Read as text, and so compared: 1.0 is not 1.00.
            let text = (field.dtype == DxtType::String).then(|| self.text(field))?;
            return self.by_bytes(&text, op, value);
        };
        let equality = matches!(op, Comparison::Eq | Comparison::NotEq);
        match native {
            // Its blanks at the end count here, and not there.
            PgType::Char(_) if op == Comparison::Eq && !self.loose.contains(&field.name) => {
                Some(Pushed { sql: format!("{name} = {}", quote_text(string(value)?)?), exact: false })
            }
            PgType::Char(_) => None,
            // An index of the column serves for its own collation.
            _ if native.is_text() && (!equality || self.loose.contains(&field.name)) => {
                let text = if native == PgType::Name { format!("{name}::text") } else { name };
                self.by_bytes(&text, op, value)
            }
            _ => Some(Pushed { sql: format!("{name} {} {}", op.as_sql(), literal(native, value)?), exact: true }),
        }
    }

    fn is_null(&self, field: &DxtField, negated: bool) -> Pushed {
        let name = self.quote(&field.name);
        let sql = match (PgType::of(field).is_some_and(|native| native.is_binary()), negated) {
            (true, false) => format!("{name} IS NULL"),
            (true, true) => format!("{name} IS NOT NULL"),
            // A row of NULLs `IS NULL`, and one with a NULL in it is not NOT NULL: neither is what is asked.
            (false, _) => format!("pg_catalog.num_nulls({name}) = {}", u8::from(!negated)),
        };
        Pushed { sql, exact: true }
    }

    fn terms(&self) -> Option<&dyn Terms> {
        Some(self)
    }

    fn one_of(&self, field: &DxtField, values: &[&ScalarValue]) -> Option<Pushed> {
        const MOST: usize = 20_000;
        let native = PgType::of(field).filter(PgType::is_binary)?;
        let plain = matches!(native, PgType::Text | PgType::Varchar(_)) && !self.loose.contains(&field.name);
        if (native.is_text() && !plain) || values.is_empty() || values.len() > MOST {
            return None;
        }
        let literals = values.iter().map(|value| literal(native.clone(), value)).collect::<Option<Vec<_>>>()?;
        Some(Pushed { sql: format!("{} IN ({})", self.quote(&field.name), literals.join(", ")), exact: true })
    }

    fn like(&self, field: &DxtField, pattern: &str) -> Option<Pushed> {
        // A backslash at the end is an error there.
        if pattern.contains('\\') {
            return None;
        }
        let text = match PgType::of(field).filter(PgType::is_binary) {
            Some(PgType::Text | PgType::Varchar(_)) => self.quote(&field.name),
            Some(_) => return None,
            None => (field.dtype == DxtType::String).then(|| self.text(field))?,
        };
        Some(Pushed { sql: format!("({text}) COLLATE \"C\" LIKE {}", quote_text(pattern)?), exact: true })
    }
}

/// A text in quotes; `None` where it has a NUL.
pub(super) fn quote_text(text: &str) -> Option<String> {
    // With standard_conforming_strings on, which every session sets, a backslash is a letter as any other.
    (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")))
}

/// A literal of a type; `None` where the type has none that means the same.
pub(super) fn literal(native: PgType, value: &ScalarValue) -> Option<String> {
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
            let micros = time_of_day(value)?;
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
        // The order and equality of the others is not that of their text.
        _ => None,
    }
}

fn written(write: impl FnOnce(&mut String) -> std::fmt::Result) -> Option<String> {
    let mut text = String::new();
    write(&mut text).ok().map(|()| text)
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
    // The range begins with that of dates, and 64 bits from 1970 end before it does.
    let first = text::DATE_RANGE.start() * 86_400_000_000;
    literal::micros(value).filter(|(micros, _)| *micros >= first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::postgres::types::SYSTEM;

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
    fn text_is_quoted_and_compared_by_its_bytes() {
        assert_eq!(eq("text", text("it's \\ ok")).unwrap(), "\"x\" = 'it''s \\ ok'");
        assert_eq!(eq("name", text("n")).unwrap(), "\"x\" = 'n'::text");
        assert_eq!(eq("text", text("a\0b")), None);
        // In another encoding the bytes have another order.
        assert_eq!(pushed("text", Comparison::Lt, text("a")), None);
        for native in ["uuid", "jsonb"] {
            assert_eq!(eq(native, text("a")), None, "{native}");
        }
        let utf8 = PostgresDialect::default().utf8(true);
        let sql = |dialect: &PostgresDialect, field: &DxtField, op| {
            let pushed = dialect.compare(field, op, &text("a"));
            pushed.map(|pushed| (pushed.sql, pushed.exact))
        };
        let by_bytes = |text: &str| Some((format!("{text} COLLATE \"C\" < 'a'"), true));
        assert_eq!(sql(&utf8, &field("text"), Comparison::Lt), by_bytes("(\"x\")"));
        assert_eq!(sql(&utf8, &field("name"), Comparison::Lt), by_bytes("(\"x\"::text)"));
        let loose = PostgresDialect::new(BTreeSet::from(["x".to_string()]));
        let equal = Some(("(\"x\") COLLATE \"C\" = 'a'".to_string(), true));
        assert_eq!(sql(&loose, &field("text"), Comparison::Eq), equal);
    }

    #[test]
    fn what_is_read_as_text_is_compared_as_that_text() {
        let declared = DxtField::new("x", DxtType::String).native(SYSTEM, "integer");
        for field in [field("public.citext"), field("numeric"), field("interval"), declared] {
            let pushed = PostgresDialect::default().compare(&field, Comparison::Eq, &text("a")).unwrap();
            assert_eq!((pushed.sql.as_str(), pushed.exact), ("(\"x\"::text) COLLATE \"C\" = 'a'", true));
        }
        let printed = PostgresDialect::default().printed(BTreeSet::from(["x".to_string()]));
        let pushed = printed.compare(&field("inet"), Comparison::Eq, &text("::1")).unwrap();
        assert!(pushed.sql.starts_with("(CASE WHEN") && pushed.sql.ends_with("COLLATE \"C\" = '::1'"), "{pushed:?}");
    }

    #[test]
    fn blanks_at_the_end_of_a_char_are_compared_again() {
        let blanks = |op| PostgresDialect::default().compare(&field("character(3)"), op, &text("a"));
        assert_eq!(blanks(Comparison::Eq), Some(Pushed { sql: "\"x\" = 'a'".into(), exact: false }));
        assert_eq!((blanks(Comparison::NotEq), blanks(Comparison::Lt)), (None, None));
    }

    #[test]
    fn a_pattern_is_matched_there_unless_it_escapes() {
        let like = |native, pattern| PostgresDialect::default().like(&field(native), pattern).map(|pushed| pushed.sql);
        assert_eq!(like("text", "it's_%").unwrap(), "(\"x\") COLLATE \"C\" LIKE 'it''s_%'");
        assert_eq!((like("text", "a\\%"), like("character(3)", "a%"), like("integer", "1%")), (None, None, None));
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
    }
}
