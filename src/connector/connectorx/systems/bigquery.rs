//! BigQuery. **Never tried against the service.**
//!
//! All but integers, floats and booleans is asked for as text, as the driver takes NUMERIC for a float. It reads the first row of
//! a page twice where a result has one column: there are always two.

use super::{Columns, Profile, Source, System, decimal, literal, parameters};
use crate::model::DxtType;

pub(in crate::connector::connectorx) static PROFILE: Profile = Profile {
    system: System::BigQuery,
    name: "bigquery",
    product: "BigQuery",
    built: cfg!(feature = "bigquery"),
    schemes: &["bigquery"],
    version: "SELECT 'BigQuery', 0",
    // A listing is one of a dataset or of a region.
    relations: None,
    quote: quoted,
    columns,
    dtype,
    select,
    extra: Some("0"),
    limit: Some(|sql, rows| format!("{sql} LIMIT {rows}")),
};

const COLUMNS: &str = include_str!("../../../../sql/bigquery/columns.sql");

fn quoted(identifier: &str) -> String {
    format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
}

fn columns(source: &Source<'_>) -> Columns {
    match source.relation.map(|relation| relation.parts.as_slice()) {
        Some([within @ .., table]) if !within.is_empty() => {
            let within: Vec<String> = within.iter().map(|part| quoted(part)).collect();
            let table = literal(&table.replace('\\', "\\\\"));
            Columns::Catalog(COLUMNS.replace("{dataset}", &within.join(".")).replace("{table}", &table))
        }
        _ => Columns::Driver,
    }
}

fn dtype(native: &str) -> Option<DxtType> {
    let (name, parameters) = parameters(native);
    let name = name.split('<').next().unwrap_or_default();
    Some(match name {
        "bool" | "boolean" => DxtType::Bool,
        "int64" | "integer" => DxtType::Int64,
        "float64" | "float" => DxtType::Float64,
        "numeric" if parameters.is_empty() => DxtType::Decimal { precision: 38, scale: 9 },
        "bignumeric" if parameters.is_empty() => DxtType::Decimal { precision: 76, scale: 38 },
        "numeric" | "bignumeric" => return decimal(&parameters, (38, 9)),
        "date" => DxtType::Date,
        "time" => DxtType::Time { precision: 6 },
        "datetime" => DxtType::Timestamp { precision: 6 },
        "timestamp" => DxtType::TimestampTz { precision: 6 },
        "string" | "geography" | "interval" => DxtType::String,
        "bytes" => DxtType::Binary,
        "json" | "array" | "struct" | "record" => DxtType::Json,
        _ => return None,
    })
}

fn select(column: &str, native: &str) -> String {
    let (name, _) = parameters(native);
    match name.split('<').next().unwrap_or_default() {
        "bool" | "boolean" | "int64" | "integer" | "float64" | "float" | "string" => column.to_string(),
        "bytes" => format!("CONCAT('\\\\x', TO_HEX({column}))"),
        "geography" => format!("ST_ASTEXT({column})"),
        "json" | "array" | "struct" | "record" => format!("TO_JSON_STRING({column})"),
        _ => format!("CAST({column} AS STRING)"),
    }
}

#[cfg(feature = "bigquery")]
pub(in crate::connector::connectorx) mod wire {
    use connectorx::sources::Produce;
    use connectorx::sources::bigquery::{BigQuerySource, BigQuerySourceError, BigQueryTypeSystem};

    use crate::connector::connectorx::Scan;
    use crate::connector::connectorx::destination::Cell;
    use crate::connector::connectorx::protocol::{
        ErrorOf, Extra, Fault, ParserOf, Protocol, Put, give, plainly, runtime,
    };
    use crate::error::Error;

    pub(in crate::connector::connectorx) struct BigQuery;

    impl Protocol for BigQuery {
        type Source = BigQuerySource;
        const EXTRA: Extra = Extra::Filler;

        fn connect(scan: &Scan) -> Result<Self::Source, ErrorOf<Self>> {
            BigQuerySource::new(runtime()?, &scan.url)
        }

        fn refuses(column: BigQueryTypeSystem) -> Option<&'static str> {
            use BigQueryTypeSystem::*;
            match column {
                Bool(_) | Boolean(_) | Int64(_) | Integer(_) | Float(_) | Float64(_) | String(_) => None,
                _ => Some("must be asked for as text"),
            }
        }

        fn native(column: BigQueryTypeSystem) -> Option<&'static str> {
            use BigQueryTypeSystem::*;
            Some(match column {
                Bool(_) | Boolean(_) => "BOOL",
                Int64(_) | Integer(_) => "INT64",
                Float(_) | Float64(_) => "FLOAT64",
                Numeric(_) => "NUMERIC",
                Bignumeric(_) => "BIGNUMERIC",
                String(_) => "STRING",
                Bytes(_) => "BYTES",
                Date(_) => "DATE",
                Datetime(_) => "DATETIME",
                Time(_) => "TIME",
                Timestamp(_) => "TIMESTAMP",
            })
        }

        fn read(
            parser: &mut ParserOf<'_, Self>,
            column: BigQueryTypeSystem,
            put: &mut Put<'_>,
        ) -> Result<(), Fault<BigQuerySourceError>> {
            use BigQueryTypeSystem::*;
            match column {
                Int64(_) | Integer(_) => {
                    let value: Option<i64> = parser.produce()?;
                    give(put, value.map(Cell::Int))
                }
                Float(_) | Float64(_) => {
                    let value: Option<f64> = parser.produce()?;
                    give(put, value.map(Cell::Double))
                }
                Bool(_) | Boolean(_) => {
                    let value: Option<bool> = parser.produce()?;
                    give(put, value.map(Cell::Bool))
                }
                String(_) => {
                    let value: Option<std::string::String> = parser.produce()?;
                    give(put, value.as_ref().map(|text| Cell::Text(text.as_bytes())))
                }
                _ => Err(Fault::Misfit("a value that was not asked for as text".into())),
            }
        }

        fn failed(_scan: &Scan, doing: &str, error: BigQuerySourceError) -> Error {
            plainly(doing, &error)
        }
    }
}
