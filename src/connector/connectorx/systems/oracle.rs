//! Oracle. **Never tried against a live server**; it needs Oracle's client library at run time.
//!
//! Numbers come as text with all of their digits, dates and times as text of a fixed form.

use super::{Columns, Profile, Source, System, decimal, double_quoted, fraction, literal, parameters};
use crate::model::DxtType;

pub(in crate::connector::connectorx) static PROFILE: Profile = Profile {
    system: System::Oracle,
    name: "oracle",
    product: "Oracle",
    built: cfg!(feature = "oracle"),
    schemes: &["oracle"],
    version: "SELECT banner FROM v$version WHERE ROWNUM = 1",
    relations: Some(include_str!("../../../../sql/oracle/relations.sql")),
    quote: double_quoted,
    columns,
    dtype,
    select,
    extra: None,
    limit: Some(|sql, rows| format!("SELECT * FROM (\n{sql}\n) WHERE ROWNUM <= {rows}")),
};

const COLUMNS: &str = include_str!("../../../../sql/oracle/columns.sql");

fn columns(source: &Source<'_>) -> Columns {
    let Some(relation) = source.relation else { return Columns::Driver };
    let owner = match relation.schema() {
        Some(owner) => literal(owner),
        None => "SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')".into(),
    };
    Columns::Catalog(COLUMNS.replace("{owner}", &owner).replace("{table}", &literal(relation.table())))
}

fn dtype(native: &str) -> Option<DxtType> {
    let (name, parameters) = parameters(native);
    let digits = || parameters.first().map_or(Some(6), |digits| digits.parse().ok()).map(fraction);
    let upper = native.to_uppercase();
    Some(match name.as_str() {
        // Without a precision it may have any number of digits after the point.
        "number" if parameters.is_empty() => DxtType::String,
        "number" => return decimal(&parameters, (38, 0)).or(Some(DxtType::String)),
        // Up to 126 binary digits, which no float holds.
        "float" => DxtType::String,
        "binary_float" => DxtType::Float32,
        "binary_double" => DxtType::Float64,
        "date" => DxtType::Timestamp { precision: 0 },
        _ if upper.starts_with("TIMESTAMP") && upper.contains("TIME ZONE") => {
            DxtType::TimestampTz { precision: digits()? }
        }
        _ if upper.starts_with("TIMESTAMP") => DxtType::Timestamp { precision: digits()? },
        _ if upper.starts_with("INTERVAL") => DxtType::String,
        "varchar2" | "nvarchar2" | "char" | "nchar" | "clob" | "nclob" | "rowid" | "urowid" => DxtType::String,
        "raw" | "blob" => DxtType::Binary,
        _ => return None,
    })
}

fn select(column: &str, native: &str) -> String {
    let upper = native.to_uppercase();
    match parameters(native).0.as_str() {
        "date" => dated(column, "YYYY-MM-DD HH24:MI:SS"),
        _ if upper.starts_with("TIMESTAMP") && upper.contains("TIME ZONE") => {
            dated(&format!("SYS_EXTRACT_UTC({column})"), "YYYY-MM-DD HH24:MI:SS.FF9")
        }
        _ if upper.starts_with("TIMESTAMP") => dated(column, "YYYY-MM-DD HH24:MI:SS.FF9"),
        _ if upper.starts_with("INTERVAL") => format!("TO_CHAR({column})"),
        // Text and NULL joined are the text there.
        "raw" => format!("CASE WHEN {column} IS NOT NULL THEN '\\x' || RAWTOHEX({column}) END"),
        "rowid" | "urowid" => format!("ROWIDTOCHAR({column})"),
        "nclob" => format!("TO_CLOB({column})"),
        _ => column.to_string(),
    }
}

/// A date or time in this form. Before Christ it is no date of dxt's, and reads as none.
fn dated(column: &str, form: &str) -> String {
    format!(
        "CASE WHEN {column} < DATE '0001-01-01' THEN TO_CHAR({column}, 'YYYY-MM-DD BC') ELSE TO_CHAR({column}, '{form}') END"
    )
}

#[cfg(feature = "oracle")]
pub(in crate::connector::connectorx) mod wire {
    use connectorx::sources::Produce;
    use connectorx::sources::oracle::{OracleSource, OracleSourceError, OracleTypeSystem};

    use crate::connector::connectorx::Scan;
    use crate::connector::connectorx::destination::Cell;
    use crate::connector::connectorx::protocol::{ErrorOf, Fault, ParserOf, Protocol, Put, give, plainly};
    use crate::error::Error;

    pub(in crate::connector::connectorx) struct Oracle;

    impl Protocol for Oracle {
        type Source = OracleSource;

        fn connect(scan: &Scan) -> Result<Self::Source, ErrorOf<Self>> {
            OracleSource::new(&scan.url, 1)
        }

        fn refuses(column: OracleTypeSystem) -> Option<&'static str> {
            use OracleTypeSystem::*;
            match column {
                Date(_) | Timestamp(_) | TimestampTz(_) | TimestampNano(_) | TimestampTzNano(_) => {
                    Some("is a date or time, and must be asked for as text")
                }
                _ => None,
            }
        }

        fn native(column: OracleTypeSystem) -> Option<&'static str> {
            use OracleTypeSystem::*;
            Some(match column {
                NumInt(_) => "NUMBER(38,0)",
                NumDecimal(_) => "NUMBER",
                Float(_) | NumFloat(_) => "FLOAT",
                BinaryFloat(_) => "BINARY_FLOAT",
                BinaryDouble(_) => "BINARY_DOUBLE",
                Blob(_) => "BLOB",
                Clob(_) => "CLOB",
                VarChar(_) => "VARCHAR2",
                NVarChar(_) => "NVARCHAR2",
                Char(_) => "CHAR",
                NChar(_) => "NCHAR",
                Date(_) => "DATE",
                Timestamp(_) => "TIMESTAMP(6)",
                TimestampNano(_) => "TIMESTAMP(9)",
                TimestampTz(_) => "TIMESTAMP(6) WITH TIME ZONE",
                TimestampTzNano(_) => "TIMESTAMP(9) WITH TIME ZONE",
            })
        }

        fn read(
            parser: &mut ParserOf<'_, Self>,
            column: OracleTypeSystem,
            put: &mut Put<'_>,
        ) -> Result<(), Fault<OracleSourceError>> {
            use OracleTypeSystem::*;
            match column {
                BinaryFloat(_) | BinaryDouble(_) => {
                    let value: Option<f64> = parser.produce()?;
                    give(put, value.map(Cell::Double))
                }
                Blob(_) => {
                    let value: Option<Vec<u8>> = parser.produce()?;
                    give(put, value.as_deref().map(Cell::Bytes))
                }
                _ => {
                    let value: Option<String> = parser.produce()?;
                    give(put, value.as_ref().map(|text| Cell::Text(text.as_bytes())))
                }
            }
        }

        fn failed(_scan: &Scan, doing: &str, error: OracleSourceError) -> Error {
            plainly(doing, &error)
        }
    }
}
