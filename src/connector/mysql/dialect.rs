//! Comparisons in MySQL's SQL, where they mean there what they mean in DataFusion.
//!
//! `=` of texts goes by the column's collation, which may take `a` for `A` and blanks at the end for nothing. So texts are
//! compared as the bytes of their UTF-8, which is DataFusion's order. For an equality the collation's own `=` stands
//! beside, which an index of the column serves: texts of the same bytes are equal in every collation.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate};
use datafusion::common::ScalarValue;

use super::types::MyType;
use crate::connector::sql::literal::{integer, micros, string, time_of_day};
use crate::connector::sql::{Comparison, Dialect, Pushed, Terms};
use crate::model::{DxtField, DxtType, RelationName, uuid_text};

/// Digits of a decimal that a literal keeps.
const LITERAL_DIGITS: usize = 65;
/// Items of a list that is sent.
const LIST: usize = 20_000;

/// MySQL's SQL over the columns of one relation or query.
#[derive(Debug, Default)]
pub(super) struct MysqlDialect {
    /// Columns that are JSON by the server's own type, and not text that is checked.
    json: BTreeSet<String>,
    /// The character sets of texts, by column.
    charsets: BTreeMap<String, String>,
    /// Whether zero dates are read as NULL.
    zero_dates_are_null: bool,
    /// Whether the server joins by hashes where no index serves.
    hashes_joins: bool,
}

impl MysqlDialect {
    pub(super) fn new(charsets: BTreeMap<String, String>, json: BTreeSet<String>) -> Self {
        Self { json, charsets, ..Self::default() }
    }

    /// The same, which reads zero dates as NULL.
    pub(super) fn zero_dates_as_null(mut self, yes: bool) -> Self {
        self.zero_dates_are_null = yes;
        self
    }

    /// The same, on a server that joins by hashes or does not.
    pub(super) fn with_hash_joins(mut self, yes: bool) -> Self {
        self.hashes_joins = yes;
        self
    }

    /// Whether the server joins by hashes.
    pub(super) fn hashes_joins(&self) -> bool {
        self.hashes_joins
    }

    /// Whether zero dates are read as NULL.
    pub(super) fn reads_zero_dates_as_null(&self) -> bool {
        self.zero_dates_are_null
    }

    /// What a column gives as text, in UTF-8.
    fn text(&self, field: &DxtField, native: Option<&MyType>) -> String {
        let name = self.quote(&field.name);
        match native {
            Some(MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_)) => {
                format!("CONVERT({name} USING utf8mb4)")
            }
            Some(MyType::Date | MyType::Datetime(_) | MyType::Timestamp(_)) => self.moment(field),
            _ => format!("CAST({name} AS CHAR)"),
        }
    }

    /// A date or time as text; a zero date as NULL where that was asked for.
    fn moment(&self, field: &DxtField) -> String {
        let name = self.quote(&field.name);
        match self.zero_dates_are_null {
            // A month or day of 0 in any year is none.
            true => format!("IF(MONTH({name}) = 0 OR DAYOFMONTH({name}) = 0, NULL, CAST({name} AS CHAR))"),
            false => format!("CAST({name} AS CHAR)"),
        }
    }

    /// Compares a text by its bytes.
    fn by_bytes(
        &self,
        field: &DxtField,
        native: Option<&MyType>,
        op: Comparison,
        value: &ScalarValue,
    ) -> Option<Pushed> {
        let value = string(value)?;
        let literal = quote_text(value);
        let exact = format!("CAST({} AS BINARY) {} CAST({literal} AS BINARY)", self.text(field, native), op.as_sql());
        let utf8 = self.charsets.get(&field.name).is_some_and(|charset| charset == "utf8mb4");
        let indexed = op == Comparison::Eq
            && native.is_some_and(MyType::is_text)
            // Another character set may have no such letter, and the comparison would be an error.
            && (utf8 || (value.is_ascii() && self.charsets.contains_key(&field.name)));
        let sql = match indexed {
            true => format!("({} = {literal} AND {exact})", self.quote(&field.name)),
            false => exact,
        };
        Some(Pushed { sql, exact: true })
    }
}

impl Dialect for MysqlDialect {
    fn quote(&self, identifier: &str) -> String {
        quote(identifier)
    }

    fn relation(&self, name: &RelationName) -> String {
        relation(name)
    }

    fn select(&self, field: &DxtField) -> String {
        let name = self.quote(&field.name);
        let native = field.native_in(super::types::SYSTEM).and_then(MyType::parse);
        let item = match (&field.dtype, &native) {
            (DxtType::String, Some(MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_))) => return name,
            // What the pipeline takes as text, and addresses.
            (DxtType::String, native) => self.text(field, native.as_ref()),
            (DxtType::Date | DxtType::Timestamp { .. } | DxtType::TimestampTz { .. }, _) => self.moment(field),
            (DxtType::Float32, _) => format!("{name} + 0e0"),
            (_, Some(MyType::Bit(_) | MyType::Year)) => format!("CAST({name} AS UNSIGNED)"),
            (DxtType::Time { .. } | DxtType::Decimal { .. } | DxtType::Uuid, _) => format!("CAST({name} AS CHAR)"),
            (DxtType::Json, _) if self.json.contains(&field.name) => format!("CAST({name} AS CHAR)"),
            // As it is stored, with its SRID.
            (_, Some(MyType::Geometry)) => format!("UNHEX(HEX({name}))"),
            _ => return name,
        };
        format!("{item} AS {name}")
    }

    fn compare(&self, field: &DxtField, op: Comparison, value: &ScalarValue) -> Option<Pushed> {
        let name = self.quote(&field.name);
        let native = field.native_in(super::types::SYSTEM).and_then(MyType::parse);
        let equality = matches!(op, Comparison::Eq | Comparison::NotEq);
        let exact = |left: &str, literal: String| {
            Some(Pushed { sql: format!("{left} {} {literal}", op.as_sql()), exact: true })
        };
        if field.dtype == DxtType::String {
            return self.by_bytes(field, native.as_ref(), op, value);
        }
        let native = native.filter(|native| native.dtype() == field.dtype)?;
        // Where they are read as NULL, they have to be compared as such, too.
        if self.zero_dates_are_null
            && matches!(native, MyType::Date | MyType::Datetime(_) | MyType::Timestamp(_))
            && op != Comparison::Eq
        {
            return None;
        }
        match native {
            MyType::Int(..) => exact(&name, integer(value)?.to_string()),
            MyType::Bool if equality => match value {
                ScalarValue::Boolean(Some(flag)) => exact(&name, u8::from(*flag).to_string()),
                _ => None,
            },
            // A year of two digits would be taken for another.
            MyType::Bit(_) | MyType::Year => exact(&format!("CAST({name} AS UNSIGNED)"), integer(value)?.to_string()),
            MyType::Decimal(..) => exact(&name, decimal(value)?),
            MyType::Float(_) => match value {
                ScalarValue::Float32(Some(f)) => exact(&name, float(f64::from(*f))?),
                _ => None,
            },
            MyType::Double(_) => match value {
                ScalarValue::Float64(Some(f)) => exact(&name, float(*f)?),
                _ => None,
            },
            MyType::Date => match value {
                ScalarValue::Date32(Some(days)) => exact(&name, format!("DATE'{}'", day(i64::from(*days))?)),
                _ => None,
            },
            MyType::Time(_) => exact(&name, format!("TIME'{}'", clock(time_of_day(value)?))),
            MyType::Datetime(_) => match micros(value)? {
                (micros, false) => exact(&name, format!("TIMESTAMP'{}'", moment(micros)?)),
                _ => None,
            },
            MyType::Timestamp(_) => match micros(value)? {
                // Within what the column can hold, so that the literal is compared as one of it.
                (micros, true) if (86_400_000_000..2_147_000_000_000_000).contains(&micros) => {
                    exact(&name, format!("TIMESTAMP'{}'", moment(micros)?))
                }
                _ => None,
            },
            MyType::Binary(_) | MyType::Varbinary | MyType::Blob => match value {
                ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => exact(&name, hex(bytes)),
                _ => None,
            },
            // Their order there is not that of their bytes.
            MyType::Uuid if equality => match value {
                ScalarValue::FixedSizeBinary(16, Some(bytes)) => {
                    exact(&name, format!("'{}'", uuid_text(bytes.as_slice().try_into().ok()?)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn is_null(&self, field: &DxtField, negated: bool) -> Pushed {
        let not = if negated { "NOT " } else { "" };
        let name = self.quote(&field.name);
        let native = field.native_in(super::types::SYSTEM).and_then(MyType::parse);
        let dated = matches!(native, Some(MyType::Date | MyType::Datetime(_) | MyType::Timestamp(_)));
        let what = match native {
            // `IS NULL` of a date that is NOT NULL finds zero dates, as ODBC has wanted it.
            _ if dated && self.zero_dates_are_null => self.moment(field),
            _ if dated => format!("CAST({name} AS CHAR)"),
            _ => name,
        };
        Pushed { sql: format!("{what} IS {not}NULL"), exact: true }
    }

    fn terms(&self) -> Option<&dyn Terms> {
        Some(self)
    }

    fn one_of(&self, field: &DxtField, values: &[&ScalarValue]) -> Option<Pushed> {
        let native = MyType::of(field)?;
        if !matches!(native, MyType::Int(..)) || values.is_empty() || values.len() > LIST {
            return None;
        }
        let literals = values.iter().map(|value| integer(value).map(|n| n.to_string())).collect::<Option<Vec<_>>>()?;
        Some(Pushed { sql: format!("{} IN ({})", self.quote(&field.name), literals.join(", ")), exact: true })
    }

    fn like(&self, field: &DxtField, pattern: &str) -> Option<Pushed> {
        let native = field.native_in(super::types::SYSTEM).and_then(MyType::parse);
        if field.dtype != DxtType::String || pattern.contains('\\') || !native.as_ref().is_some_and(MyType::is_text) {
            return None;
        }
        let text = self.text(field, native.as_ref());
        // By code points, as LIKE counts them there and here; it takes blanks at the end for what they are.
        Some(Pushed { sql: format!("{text} COLLATE utf8mb4_bin LIKE {}", quote_text(pattern)), exact: true })
    }
}

/// An identifier in backticks.
pub(super) fn quote(identifier: &str) -> String {
    format!("`{}`", identifier.replace('`', "``"))
}

/// A relation's name, each part in backticks.
pub(super) fn relation(name: &RelationName) -> String {
    name.parts.iter().map(|part| quote(part)).collect::<Vec<_>>().join(".")
}

/// A text as a literal that means the same in every sql_mode: whether a backslash escapes is one of its matters, and a
/// statement may be prepared before the session is set up.
pub(super) fn quote_text(text: &str) -> String {
    match text.contains(['\\', '\0']) {
        true => format!("_utf8mb4 {}", hex(text.as_bytes())),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

fn decimal(value: &ScalarValue) -> Option<String> {
    let (digits, scale) = match value {
        ScalarValue::Decimal128(Some(n), _, scale) => (n.to_string(), *scale),
        ScalarValue::Decimal256(Some(n), _, scale) => (n.to_string(), *scale),
        other => (integer(other)?.to_string(), 0),
    };
    let text = pointed(&digits, scale);
    (text.bytes().filter(u8::is_ascii_digit).count() <= LITERAL_DIGITS && scale <= 30).then_some(text)
}

/// Sets the point into the digits of a whole number.
pub(super) fn pointed(digits: &str, scale: i8) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        let zeros = if digits == "0" { 0 } else { places };
        return format!("{sign}{digits}{:0<zeros$}", "");
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    format!("{sign}{whole}.{fraction}")
}

/// A float's literal. DataFusion orders -0 before 0, and MySQL has no NaN and no infinities.
fn float(value: f64) -> Option<String> {
    (value.is_finite() && value != 0.0).then(|| format!("{value:e}"))
}

/// A day as its text, of the years 1 to 9999.
pub(super) fn day(days: i64) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?.checked_add(719_163)?)?;
    (1..=9999).contains(&date.year()).then(|| format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()))
}

/// Microseconds of a day as their text.
pub(super) fn clock(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { text } else { format!("{text}.{fraction:06}") }
}

/// Microseconds since 1970 as their text.
pub(super) fn moment(micros: i64) -> Option<String> {
    const DAY: i64 = 86_400_000_000;
    Some(format!("{} {}", day(micros.div_euclid(DAY))?, clock(micros.rem_euclid(DAY))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::mysql::types::SYSTEM;

    fn dialect() -> MysqlDialect {
        let charsets = [("x".to_string(), "utf8mb4".to_string()), ("l".to_string(), "latin1".to_string())];
        MysqlDialect::new(charsets.into(), BTreeSet::new())
    }

    fn field(native: &str) -> DxtField {
        DxtField::new("x", MyType::parse(native).unwrap().dtype()).native(SYSTEM, native)
    }

    fn pushed(native: &str, op: Comparison, value: ScalarValue) -> Option<String> {
        dialect().compare(&field(native), op, &value).map(|pushed| {
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
    fn texts_are_compared_by_their_bytes_and_an_index_serves_for_equality() {
        let bytes = "CAST(CONVERT(`x` USING utf8mb4) AS BINARY)";
        let sql = eq("varchar(9)", text("it's ä")).unwrap();
        assert_eq!(sql, format!("(`x` = 'it''s ä' AND {bytes} = CAST('it''s ä' AS BINARY))"));
        let sql = pushed("varchar(9)", Comparison::Lt, text("a\\\0")).unwrap();
        assert_eq!(sql, format!("{bytes} < CAST(_utf8mb4 x'615c00' AS BINARY)"));
        assert_eq!(eq("enum('a')", text("a")).unwrap(), format!("{bytes} = CAST('a' AS BINARY)"));
        // latin1 has no such letter: the comparison itself would be an error.
        let latin1 = DxtField { name: "l".into(), ..field("varchar(9)") };
        let sql = |value| dialect().compare(&latin1, Comparison::Eq, &text(value)).unwrap().sql;
        assert!(sql("a").starts_with("(`l` = 'a' AND"));
        assert!(sql("日").starts_with("CAST(CONVERT(`l`"));
    }

    #[test]
    fn literals_keep_their_value_exactly() {
        assert_eq!(eq("bigint unsigned", ScalarValue::UInt64(Some(u64::MAX))).unwrap(), "`x` = 18446744073709551615");
        let cents = ScalarValue::Decimal128(Some(-1205), 12, 2);
        assert_eq!(pushed("decimal(12,2)", Comparison::GtEq, cents).unwrap(), "`x` >= -12.05");
        assert_eq!(eq("float", ScalarValue::Float32(Some(0.1))).unwrap(), "`x` = 1.0000000149011612e-1");
        assert_eq!(eq("date", ScalarValue::Date32(Some(19_782))).unwrap(), "`x` = DATE'2024-02-29'");
        assert_eq!(eq("year", ScalarValue::UInt16(Some(99))).unwrap(), "CAST(`x` AS UNSIGNED) = 99");
        let wall = ScalarValue::TimestampMillisecond(Some(-1), None);
        assert_eq!(eq("datetime(3)", wall).unwrap(), "`x` = TIMESTAMP'1969-12-31 23:59:59.999000'");
        assert_eq!(eq("blob", ScalarValue::Binary(Some(vec![0, 255]))).unwrap(), "`x` = x'00ff'");
        let uuid = ScalarValue::FixedSizeBinary(16, Some(vec![0xA0; 16]));
        assert_eq!(eq("uuid", uuid).unwrap(), "`x` = 'a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0'");
    }

    #[test]
    fn what_would_mean_another_thing_stays_here() {
        assert_eq!(eq("double", ScalarValue::Float64(Some(-0.0))), None);
        assert_eq!(eq("double", ScalarValue::Float64(Some(f64::NAN))), None);
        assert_eq!(eq("datetime(6)", ScalarValue::TimestampNanosecond(Some(1), None)), None);
        let instant = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
        assert_eq!(eq("datetime(6)", instant(1)), None);
        assert_eq!(eq("timestamp(6)", instant(0)), None);
        assert!(eq("timestamp(6)", instant(1_700_000_000_000_000)).is_some());
        assert_eq!(pushed("uuid", Comparison::Lt, ScalarValue::FixedSizeBinary(16, Some(vec![0; 16]))), None);
        assert_eq!(eq("json", text("1")), None);
        assert_eq!(pushed("tinyint(1)", Comparison::Lt, ScalarValue::Boolean(Some(true))), None);
    }

    #[test]
    fn zero_dates_that_are_read_as_null_are_null_in_conditions() {
        let dialect = dialect().zero_dates_as_null(true);
        let zero = "IF(MONTH(`x`) = 0 OR DAYOFMONTH(`x`) = 0, NULL, CAST(`x` AS CHAR))";
        assert_eq!(dialect.select(&field("date")), format!("{zero} AS `x`"));
        assert_eq!(dialect.is_null(&field("date"), false).sql, format!("{zero} IS NULL"));
        let as_text = DxtField { dtype: DxtType::String, ..field("date") };
        let sql = dialect.compare(&as_text, Comparison::Eq, &text("0000-00-00")).unwrap().sql;
        assert_eq!(sql, format!("CAST({zero} AS BINARY) = CAST('0000-00-00' AS BINARY)"));
        let day = ScalarValue::Date32(Some(1));
        assert_eq!(dialect.compare(&field("date"), Comparison::Lt, &day), None);
        assert!(dialect.compare(&field("date"), Comparison::Eq, &day).is_some());
    }

    #[test]
    fn the_select_list_casts_what_the_reader_has_no_type_for() {
        let item = |native: &str| dialect().select(&field(native));
        assert_eq!(item("bigint"), "`x`");
        assert_eq!(item("float"), "`x` + 0e0 AS `x`");
        assert_eq!(item("time"), "CAST(`x` AS CHAR) AS `x`");
        assert_eq!(item("bit(3)"), "CAST(`x` AS UNSIGNED) AS `x`");
        assert_eq!(item("point"), "UNHEX(HEX(`x`)) AS `x`");
        let declared = DxtField::new("a`b", DxtType::String).native(SYSTEM, "time");
        assert_eq!(dialect().select(&declared), "CAST(`a``b` AS CHAR) AS `a``b`");
    }

    #[test]
    fn a_pattern_is_matched_there_unless_it_escapes() {
        let like = |native, pattern| dialect().like(&field(native), pattern).map(|pushed| pushed.sql);
        let sql = "CONVERT(`x` USING utf8mb4) COLLATE utf8mb4_bin LIKE 'it''s_%'";
        assert_eq!(like("varchar(9)", "it's_%").unwrap(), sql);
        assert_eq!((like("text", "a\\%"), like("int", "1%")), (None, None));
    }
}
