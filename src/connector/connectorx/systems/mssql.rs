//! SQL Server. **Never tried against a live server.**
//!
//! The server describes the columns of any query itself. Decimals, money, dates, times and UUIDs are asked for as text:
//! the driver has 28 digits for decimals, floats for money, and 1/300 of a second for `datetime`.

use super::{Columns, Profile, Source, System, decimal, fraction, literal, parameters};
use crate::model::DxtType;

pub(in crate::connector::connectorx) static PROFILE: Profile = Profile {
    system: System::MsSql,
    name: "mssql",
    product: "SQL Server",
    built: cfg!(feature = "mssql"),
    schemes: &["mssql", "sqlserver"],
    version: "SELECT CAST(@@VERSION AS nvarchar(1000))",
    relations: Some(include_str!("../../../../sql/mssql/relations.sql")),
    quote: |identifier| format!("[{}]", identifier.replace(']', "]]")),
    columns,
    dtype,
    select,
    extra: None,
    limit: Some(|sql, rows| sql.replacen("SELECT ", &format!("SELECT TOP ({rows}) "), 1)),
};

const DESCRIBE: &str = include_str!("../../../../sql/mssql/columns.sql");

fn columns(source: &Source<'_>) -> Columns {
    let query = format!("SELECT * FROM {}", source.from);
    Columns::Catalog(DESCRIBE.replace("{query}", &format!("N{}", literal(&query))))
}

fn dtype(native: &str) -> Option<DxtType> {
    let (name, parameters) = parameters(native);
    let digits = |default| parameters.first().and_then(|p| p.parse().ok()).map_or(default, fraction);
    Some(match name.as_str() {
        "bit" => DxtType::Bool,
        "tinyint" => DxtType::Uint8,
        "smallint" => DxtType::Int16,
        "int" => DxtType::Int32,
        "bigint" => DxtType::Int64,
        "real" => DxtType::Float32,
        "float" => DxtType::Float64,
        "decimal" | "numeric" => return decimal(&parameters, (18, 0)),
        "money" => DxtType::Decimal { precision: 19, scale: 4 },
        "smallmoney" => DxtType::Decimal { precision: 10, scale: 4 },
        "date" => DxtType::Date,
        "time" => DxtType::Time { precision: digits(9) },
        "smalldatetime" => DxtType::Timestamp { precision: 0 },
        "datetime" => DxtType::Timestamp { precision: 3 },
        "datetime2" => DxtType::Timestamp { precision: digits(9) },
        "datetimeoffset" => DxtType::TimestampTz { precision: digits(9) },
        "char" | "varchar" | "nchar" | "nvarchar" | "text" | "ntext" | "sysname" | "xml" => DxtType::String,
        "binary" | "varbinary" | "image" | "timestamp" | "rowversion" => DxtType::Binary,
        "uniqueidentifier" => DxtType::Uuid,
        _ => return None,
    })
}

fn select(column: &str, native: &str) -> String {
    match parameters(native).0.as_str() {
        "decimal" | "numeric" => format!("CONVERT(varchar(50), {column})"),
        // With all four digits after the point, and no commas.
        "money" | "smallmoney" => format!("CONVERT(varchar(50), {column}, 2)"),
        "date" => format!("CONVERT(varchar(10), {column}, 23)"),
        "time" => format!("CONVERT(varchar(16), {column})"),
        "smalldatetime" | "datetime" | "datetime2" => format!("CONVERT(varchar(27), {column}, 121)"),
        "datetimeoffset" => format!("CONVERT(varchar(34), SWITCHOFFSET({column}, '+00:00'), 121)"),
        "uniqueidentifier" => format!("CONVERT(char(36), {column})"),
        "xml" => format!("CONVERT(nvarchar(max), {column})"),
        "timestamp" | "rowversion" => format!("CONVERT(varbinary(8), {column})"),
        _ => column.to_string(),
    }
}

#[cfg(feature = "mssql")]
pub(in crate::connector::connectorx) mod wire {
    use connectorx::sources::Produce;
    use connectorx::sources::mssql::{FloatN, IntN, MsSQLSource, MsSQLSourceError, MsSQLTypeSystem};

    use crate::connector::connectorx::Scan;
    use crate::connector::connectorx::destination::Cell;
    use crate::connector::connectorx::protocol::{ErrorOf, Fault, ParserOf, Protocol, Put, give, plainly, runtime};
    use crate::error::Error;

    pub(in crate::connector::connectorx) struct MsSql;

    impl Protocol for MsSql {
        type Source = MsSQLSource;

        fn connect(scan: &Scan) -> Result<Self::Source, ErrorOf<Self>> {
            MsSQLSource::new(runtime()?, &scan.url, 1)
        }

        /// Asked for its metadata, the driver would run the query, and read all of its rows before it runs it again.
        fn probe(sql: &str) -> Option<String> {
            let items = sql.strip_prefix("SELECT ")?;
            let items =
                items.strip_prefix("TOP (").and_then(|limit| limit.split_once(") ")).map_or(items, |(_, rest)| rest);
            Some(format!("SELECT TOP (0) {items}"))
        }

        fn refuses(column: MsSQLTypeSystem) -> Option<&'static str> {
            use MsSQLTypeSystem::*;
            match column {
                Money(_) | SmallMoney(_) | Numeric(_) | Decimal(_) => {
                    Some("is a decimal, which the driver would round")
                }
                Datetime(_) | Datetime2(_) | Smalldatetime(_) | Date(_) | Time(_) | Datetimeoffset(_) => {
                    Some("is a date or time, and must be asked for as text")
                }
                Uniqueidentifier(_) => Some("is a uniqueidentifier, and must be asked for as text"),
                _ => None,
            }
        }

        fn read(
            parser: &mut ParserOf<'_, Self>,
            column: MsSQLTypeSystem,
            put: &mut Put<'_>,
        ) -> Result<(), Fault<MsSQLSourceError>> {
            use MsSQLTypeSystem::*;
            match column {
                Tinyint(_) => {
                    let value: Option<u8> = parser.produce()?;
                    give(put, value.map(|number| Cell::Int(number.into())))
                }
                Smallint(_) => {
                    let value: Option<i16> = parser.produce()?;
                    give(put, value.map(|number| Cell::Int(number.into())))
                }
                Int(_) => {
                    let value: Option<i32> = parser.produce()?;
                    give(put, value.map(|number| Cell::Int(number.into())))
                }
                Bigint(_) => {
                    let value: Option<i64> = parser.produce()?;
                    give(put, value.map(Cell::Int))
                }
                Intn(_) => {
                    let value: Option<IntN> = parser.produce()?;
                    give(put, value.map(|number| Cell::Int(number.0)))
                }
                Float24(_) => {
                    let value: Option<f32> = parser.produce()?;
                    give(put, value.map(Cell::Float))
                }
                Float53(_) => {
                    let value: Option<f64> = parser.produce()?;
                    give(put, value.map(Cell::Double))
                }
                Floatn(_) => {
                    let value: Option<FloatN> = parser.produce()?;
                    give(put, value.map(|number| Cell::Double(number.0)))
                }
                Bit(_) => {
                    let value: Option<bool> = parser.produce()?;
                    give(put, value.map(Cell::Bool))
                }
                Nvarchar(_) | Varchar(_) | Nchar(_) | Char(_) | Ntext(_) | Text(_) => {
                    let value: Option<&str> = parser.produce()?;
                    give(put, value.map(|text| Cell::Text(text.as_bytes())))
                }
                Binary(_) | Varbinary(_) | Image(_) => {
                    let value: Option<&[u8]> = parser.produce()?;
                    give(put, value.map(Cell::Bytes))
                }
                _ => Err(Fault::Misfit("a value that was not asked for as text".into())),
            }
        }

        fn failed(_scan: &Scan, doing: &str, error: MsSQLSourceError) -> Error {
            plainly(doing, &error)
        }
    }
}
