//! What dxt knows of each system that is read through connectorx alone: its SQL for names, types and values.
//!
//! A value is asked for in a form that loses nothing: where connectorx has no faithful type, as text in the select list.
//! What is known here is compiled always; the drivers behind it are Cargo features of dxt.

pub(super) mod bigquery;
pub(super) mod clickhouse;
pub(super) mod mssql;
pub(super) mod oracle;
pub(super) mod trino;

use super::System;
use crate::model::{DxtType, RelationName};

/// One system's SQL.
pub(super) struct Profile {
    pub(super) system: System,
    /// The name in native types and errors, which is the Cargo feature's too.
    pub(super) name: &'static str,
    /// The product for people.
    pub(super) product: &'static str,
    /// Whether this dxt was built with its driver.
    pub(super) built: bool,
    /// URL schemes, the first of which the driver takes.
    pub(super) schemes: &'static [&'static str],
    /// A query of one row and one text: what answered.
    pub(super) version: &'static str,
    /// A query of schema, relation and kind, as text; `None`: it cannot be asked without knowing more.
    pub(super) relations: Option<&'static str>,
    /// An identifier in quotes.
    pub(super) quote: fn(&str) -> String,
    /// How the columns of a source are asked for.
    pub(super) columns: fn(&Source<'_>) -> Columns,
    /// The DXT type of a native type; `None`: dxt does not carry it.
    pub(super) dtype: fn(&str) -> Option<DxtType>,
    /// The select item that gives a quoted column of a native type whole.
    pub(super) select: fn(&str, &str) -> String,
    /// One more select item, where the driver needs it: [`Extra`](super::protocol::Extra).
    pub(super) extra: Option<&'static str>,
    /// How a SELECT says that it wants some rows only; `None`: it is left to DataFusion.
    pub(super) limit: Option<fn(&str, usize) -> String>,
}

/// What is read.
pub(super) struct Source<'a> {
    /// The relation, where it is none of SQL.
    pub(super) relation: Option<&'a RelationName>,
    /// The text behind FROM.
    pub(super) from: &'a str,
}

/// How the columns of a source are asked for.
pub(super) enum Columns {
    /// By a query of name, native type and `YES` or `NO` for NULL, as text, in the columns' order.
    Catalog(String),
    /// Their names from the driver, and their types by one row of texts: a select item around each quoted name.
    Typed(fn(&str) -> String),
    /// Names and types as the driver tells them.
    Driver,
}

/// All of them.
pub(super) static ALL: [&Profile; 5] =
    [&bigquery::PROFILE, &clickhouse::PROFILE, &mssql::PROFILE, &oracle::PROFILE, &trino::PROFILE];

/// A native type taken apart: its name in lower case, and its parameters.
pub(super) fn parameters(native: &str) -> (String, Vec<&str>) {
    let native = native.trim();
    match native.split_once('(') {
        Some((name, rest)) => {
            let inner = rest.rsplit_once(')').map_or(rest, |(inner, _)| inner);
            (name.trim().to_lowercase(), inner.split(',').map(str::trim).collect())
        }
        None => (native.to_lowercase(), Vec::new()),
    }
}

/// A decimal of these parameters, the scale being 0 where there is none; text where dxt has none so long.
pub(super) fn decimal(parameters: &[&str], default: (u8, i8)) -> Option<DxtType> {
    let (precision, scale) = match parameters {
        [] => default,
        [precision] => (precision.parse().ok()?, 0),
        [precision, scale, ..] => (precision.parse().ok()?, scale.parse().ok()?),
    };
    Some(match (1..=76).contains(&precision) && (0..=76).contains(&scale) {
        true => DxtType::Decimal { precision, scale },
        false => DxtType::String,
    })
}

/// The precision of DXT's times that holds so many digits of a second's fraction.
pub(super) fn fraction(digits: u8) -> u8 {
    digits.div_ceil(3).min(3) * 3
}

/// A text in quotes, as standard SQL has it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An identifier in double quotes.
pub(super) fn double_quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dtype(profile: &Profile, native: &str) -> String {
        (profile.dtype)(native).map_or("refused".into(), |dtype| dtype.to_string())
    }

    #[test]
    fn types_of_every_system_keep_their_digits() {
        for (profile, types) in [
            (
                &mssql::PROFILE,
                &[
                    ("tinyint", "uint8"),
                    ("decimal(38,10)", "decimal(38,10)"),
                    ("money", "decimal(19,4)"),
                    ("datetime2(7)", "timestamp(9)"),
                    ("datetime", "timestamp(3)"),
                    ("datetimeoffset(3)", "timestamp_tz(3)"),
                    ("time(0)", "time(0)"),
                    ("varbinary(max)", "binary"),
                    ("uniqueidentifier", "uuid"),
                    ("geography", "refused"),
                ][..],
            ),
            (
                &clickhouse::PROFILE,
                &[
                    ("Nullable(UInt64)", "uint64"),
                    ("LowCardinality(Nullable(String))", "string"),
                    ("UInt256", "string"),
                    ("Int128", "decimal(39,0)"),
                    ("Decimal(76, 20)", "decimal(76,20)"),
                    ("DateTime64(3, 'Europe/Berlin')", "timestamp_tz(3)"),
                    ("DateTime", "timestamp_tz(0)"),
                    ("Array(Tuple(a UInt8, b String))", "json"),
                    ("FixedString(16)", "binary"),
                    ("AggregateFunction(sum, UInt8)", "refused"),
                ][..],
            ),
            (
                &trino::PROFILE,
                &[
                    ("decimal(38,2)", "decimal(38,2)"),
                    ("timestamp(6) with time zone", "timestamp_tz"),
                    ("timestamp(9)", "timestamp(9)"),
                    ("timestamp(12)", "string"),
                    ("array(row(a integer))", "json"),
                    ("varbinary", "binary"),
                    ("HyperLogLog", "refused"),
                ][..],
            ),
            (
                &bigquery::PROFILE,
                &[
                    ("NUMERIC", "decimal(38,9)"),
                    ("BIGNUMERIC(50, 20)", "decimal(50,20)"),
                    ("STRUCT<a INT64>", "json"),
                    ("TIMESTAMP", "timestamp_tz"),
                    ("INT64", "int64"),
                    ("GEOGRAPHY", "string"),
                ][..],
            ),
            (
                &oracle::PROFILE,
                &[
                    ("NUMBER", "string"),
                    ("NUMBER(10,2)", "decimal(10,2)"),
                    ("NUMBER(5,-2)", "string"),
                    ("DATE", "timestamp(0)"),
                    ("TIMESTAMP(9) WITH TIME ZONE", "timestamp_tz(9)"),
                    ("RAW(16)", "binary"),
                    ("XMLTYPE", "refused"),
                ][..],
            ),
        ] {
            for (native, expected) in types {
                assert_eq!(dtype(profile, native), *expected, "{} of {}", native, profile.name);
            }
        }
    }

    #[test]
    fn identifiers_are_quoted_in_every_system() {
        assert_eq!((mssql::PROFILE.quote)("a]b"), "[a]]b]");
        assert_eq!((oracle::PROFILE.quote)("A\"b"), "\"A\"\"b\"");
        assert_eq!((bigquery::PROFILE.quote)("a`b"), "`a\\`b`");
        assert_eq!((clickhouse::PROFILE.quote)("a`\\b"), "`a\\`\\\\b`");
    }

    #[test]
    fn what_a_driver_would_round_is_asked_for_as_text() {
        for (profile, native, item) in [
            (&mssql::PROFILE, "decimal(38,10)", "CONVERT(varchar(50), [x])"),
            (&mssql::PROFILE, "money", "CONVERT(varchar(50), [x], 2)"),
            (&mssql::PROFILE, "int", "[x]"),
            (&trino::PROFILE, "decimal(38,2)", "CAST(\"x\" AS varchar)"),
            (&bigquery::PROFILE, "NUMERIC", "CAST(`x` AS STRING)"),
            (&clickhouse::PROFILE, "Decimal(76, 20)", "toString(`x`)"),
            (&oracle::PROFILE, "NUMBER(10,2)", "\"x\""),
        ] {
            assert_eq!((profile.select)(&(profile.quote)("x"), native), item, "{}", profile.name);
        }
    }
}
