//! ClickHouse. **Never tried against a live server.**
//!
//! All but integers is asked for as text. The driver holds a whole result in memory, and stops in silence at a row that
//! it cannot decode: each row carries the number of all, and a result that has fewer is an error.

use super::{Columns, Profile, Source, System, decimal, fraction, parameters};
use crate::model::DxtType;

pub(in crate::connector::connectorx) static PROFILE: Profile = Profile {
    system: System::ClickHouse,
    name: "clickhouse",
    product: "ClickHouse",
    built: cfg!(feature = "clickhouse"),
    schemes: &["clickhouse"],
    version: "SELECT concat('ClickHouse ', version()), toInt64(1)",
    relations: Some(include_str!("../../../../sql/clickhouse/relations.sql")),
    quote: |identifier| format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`")),
    columns,
    dtype,
    select,
    extra: Some("toInt64(count() OVER ())"),
    // The number of all rows is that before the limit.
    limit: None,
};

fn columns(_source: &Source<'_>) -> Columns {
    Columns::Typed(|column| format!("toTypeName(any({column}))"))
}

/// The type without what says that it is nullable or how it is kept.
fn bare(native: &str) -> &str {
    let mut bare = native.trim();
    while let Some(inner) =
        ["Nullable(", "LowCardinality("].iter().find_map(|w| bare.strip_prefix(w)?.strip_suffix(')'))
    {
        bare = inner.trim();
    }
    bare
}

fn dtype(native: &str) -> Option<DxtType> {
    let (name, parameters) = parameters(bare(native));
    Some(match name.as_str() {
        "bool" => DxtType::Bool,
        "int8" => DxtType::Int8,
        "int16" => DxtType::Int16,
        "int32" => DxtType::Int32,
        "int64" => DxtType::Int64,
        "uint8" => DxtType::Uint8,
        "uint16" => DxtType::Uint16,
        "uint32" => DxtType::Uint32,
        "uint64" => DxtType::Uint64,
        "int128" | "uint128" => DxtType::Decimal { precision: 39, scale: 0 },
        "float32" => DxtType::Float32,
        "float64" => DxtType::Float64,
        "decimal" => return decimal(&parameters, (10, 0)),
        "date" | "date32" => DxtType::Date,
        // An instant, whatever zone it is shown in.
        "datetime" => DxtType::TimestampTz { precision: 0 },
        "datetime64" => {
            let digits = parameters.first().and_then(|digits| digits.parse().ok()).unwrap_or(3);
            DxtType::TimestampTz { precision: fraction(digits) }
        }
        "uuid" => DxtType::Uuid,
        "fixedstring" => DxtType::Binary,
        // Integers of 256 bits have more digits than a decimal of dxt.
        "string" | "enum8" | "enum16" | "ipv4" | "ipv6" | "int256" | "uint256" | "time" | "time64" => DxtType::String,
        "array" | "map" | "tuple" | "nested" | "json" | "object" | "variant" => DxtType::Json,
        _ => return None,
    })
}

fn select(column: &str, native: &str) -> String {
    match parameters(bare(native)).0.as_str() {
        "datetime" | "datetime64" => format!("toString(toTimeZone({column}, 'UTC'))"),
        "fixedstring" => format!("concat('\\\\x', hex({column}))"),
        "array" | "map" | "tuple" | "nested" | "json" | "object" | "variant" => format!("toJSONString({column})"),
        "string" => {
            format!("CAST({column} AS {})", if native.contains("Nullable(") { "Nullable(String)" } else { "String" })
        }
        _ => format!("toString({column})"),
    }
}

#[cfg(feature = "clickhouse")]
pub(in crate::connector::connectorx) mod wire {
    use connectorx::sources::Produce;
    use connectorx::sources::clickhouse::{ClickHouseSource, ClickHouseSourceError, ClickHouseTypeSystem};

    use crate::connector::connectorx::Scan;
    use crate::connector::connectorx::destination::Cell;
    use crate::connector::connectorx::protocol::{
        ErrorOf, Extra, Fault, ParserOf, Protocol, Put, give, plainly, runtime,
    };
    use crate::error::Error;

    pub(in crate::connector::connectorx) struct ClickHouse;

    impl Protocol for ClickHouse {
        type Source = ClickHouseSource;
        const EXTRA: Extra = Extra::Total;

        fn connect(scan: &Scan) -> Result<Self::Source, ErrorOf<Self>> {
            ClickHouseSource::new(runtime()?, &scan.url)
        }

        fn count(sql: &str) -> Option<String> {
            Some(format!("SELECT toInt64(count()) AS n FROM (\n{sql}\n) AS dxt_counted"))
        }

        fn refuses(column: ClickHouseTypeSystem) -> Option<&'static str> {
            use ClickHouseTypeSystem::*;
            match column {
                Int64(_) | String(_) => None,
                _ => Some("must be asked for as text"),
            }
        }

        fn read(
            parser: &mut ParserOf<'_, Self>,
            column: ClickHouseTypeSystem,
            put: &mut Put<'_>,
        ) -> Result<(), Fault<ClickHouseSourceError>> {
            match column {
                ClickHouseTypeSystem::Int64(_) => {
                    let value: Option<i64> = parser.produce()?;
                    give(put, value.map(Cell::Int))
                }
                ClickHouseTypeSystem::String(_) => {
                    let value: Option<String> = parser.produce()?;
                    give(put, value.as_ref().map(|text| Cell::Text(text.as_bytes())))
                }
                _ => Err(Fault::Misfit("a value that was not asked for as text".into())),
            }
        }

        fn failed(_scan: &Scan, doing: &str, error: ClickHouseSourceError) -> Error {
            plainly(doing, &error)
        }
    }
}
