//! Trino. **Never tried against a live server.**
//!
//! Everything is asked for as text, as the driver takes decimals for floats.

use super::{Columns, Profile, Source, System, decimal, double_quoted, fraction, literal, parameters};
use crate::model::DxtType;

pub(in crate::connector::connectorx) static PROFILE: Profile = Profile {
    system: System::Trino,
    name: "trino",
    product: "Trino",
    built: cfg!(feature = "trino"),
    schemes: &["trino"],
    version: "SELECT 'Trino ' || node_version FROM system.runtime.nodes WHERE coordinator",
    relations: Some(include_str!("../../../../sql/trino/relations.sql")),
    quote: double_quoted,
    columns,
    dtype,
    select,
    extra: None,
    limit: Some(|sql, rows| format!("{sql} LIMIT {rows}")),
};

const COLUMNS: &str = include_str!("../../../../sql/trino/columns.sql");

fn columns(source: &Source<'_>) -> Columns {
    let Some(relation) = source.relation else {
        return Columns::Typed(|column| format!("typeof(arbitrary({column}))"));
    };
    let mut parts = relation.parts.iter().rev();
    let (table, schema, catalog) = (parts.next(), parts.next(), parts.next());
    let catalog = catalog.map(|name| format!("{}.", double_quoted(name))).unwrap_or_default();
    let schema = schema.map_or("current_schema".into(), |name| literal(name));
    let table = literal(table.map(String::as_str).unwrap_or_default());
    Columns::Catalog(COLUMNS.replace("{catalog}", &catalog).replace("{schema}", &schema).replace("{table}", &table))
}

/// Digits of a second's fraction in `timestamp(6) with time zone`; 3 where it does not say.
fn digits(parameters: &[&str]) -> Option<u8> {
    parameters.first().map_or(Some(3), |digits| digits.parse().ok())
}

fn dtype(native: &str) -> Option<DxtType> {
    let (name, parameters) = parameters(native);
    // `timestamp(6) with time zone` has its parameters in the middle.
    let zoned = native.to_lowercase().ends_with("with time zone");
    Some(match name.trim_end_matches(" with time zone") {
        "boolean" => DxtType::Bool,
        "tinyint" => DxtType::Int8,
        "smallint" => DxtType::Int16,
        "integer" => DxtType::Int32,
        "bigint" => DxtType::Int64,
        "real" => DxtType::Float32,
        "double" => DxtType::Float64,
        "decimal" => return decimal(&parameters, (38, 0)),
        "date" => DxtType::Date,
        "timestamp" | "time" if digits(&parameters)? > 9 => DxtType::String,
        "timestamp" if zoned => DxtType::TimestampTz { precision: fraction(digits(&parameters)?) },
        "timestamp" => DxtType::Timestamp { precision: fraction(digits(&parameters)?) },
        // A time with a zone has no type in dxt.
        "time" if zoned => DxtType::String,
        "time" => DxtType::Time { precision: fraction(digits(&parameters)?) },
        "varchar" | "char" | "ipaddress" => DxtType::String,
        "interval day to second" | "interval year to month" => DxtType::String,
        "varbinary" => DxtType::Binary,
        "uuid" => DxtType::Uuid,
        "json" | "array" | "map" | "row" => DxtType::Json,
        _ => return None,
    })
}

fn select(column: &str, native: &str) -> String {
    let (name, parameters) = parameters(native);
    let zoned = native.to_lowercase().ends_with("with time zone");
    match name.trim_end_matches(" with time zone") {
        "timestamp" if zoned => {
            let digits = digits(&parameters).unwrap_or(12);
            format!("CAST(CAST({column} AT TIME ZONE 'UTC' AS timestamp({digits})) AS varchar)")
        }
        "varbinary" => format!("'\\x' || to_hex({column})"),
        "json" => format!("json_format({column})"),
        "array" | "map" | "row" => format!("json_format(CAST({column} AS json))"),
        _ => format!("CAST({column} AS varchar)"),
    }
}

#[cfg(feature = "trino")]
pub(in crate::connector::connectorx) mod wire {
    use connectorx::sources::Produce;
    use connectorx::sources::trino::{TrinoSource, TrinoSourceError, TrinoTypeSystem};

    use crate::connector::connectorx::Scan;
    use crate::connector::connectorx::destination::Cell;
    use crate::connector::connectorx::protocol::{ErrorOf, Fault, ParserOf, Protocol, Put, give, plainly, runtime};
    use crate::error::Error;

    pub(in crate::connector::connectorx) struct Trino;

    impl Protocol for Trino {
        type Source = TrinoSource;

        fn connect(scan: &Scan) -> Result<Self::Source, ErrorOf<Self>> {
            TrinoSource::new(runtime()?, &scan.url)
        }

        fn refuses(column: TrinoTypeSystem) -> Option<&'static str> {
            match column {
                TrinoTypeSystem::Varchar(_) => None,
                _ => Some("must be asked for as varchar"),
            }
        }

        fn read(
            parser: &mut ParserOf<'_, Self>,
            _column: TrinoTypeSystem,
            put: &mut Put<'_>,
        ) -> Result<(), Fault<TrinoSourceError>> {
            let value: Option<String> = parser.produce()?;
            give(put, value.as_ref().map(|text| Cell::Text(text.as_bytes())))
        }

        fn failed(_scan: &Scan, doing: &str, error: TrinoSourceError) -> Error {
            plainly(doing, &error)
        }
    }
}
