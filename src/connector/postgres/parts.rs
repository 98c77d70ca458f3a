//! How a scan is split into parts that several connections read at once.
//!
//! Parts are conditions that no row meets twice and each row meets once, whatever the sizes and values were when they
//! were looked at: the first and the last are open. By a table's blocks (`ctid`) where the server can scan a range of
//! them; by ranges of a column else.

use super::catalog::{Relation, RelationKind, get};
use super::client::Session;
use super::dialect::PostgresDialect;
use super::statements::render;
use super::types::{PgType, SYSTEM};
use crate::connector::ExtractRequest;
use crate::connector::sql::Dialect;
use crate::connector::sql::parts::ranges;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, nearest};

const STORAGE: &str = include_str!("../../../sql/postgres/storage.sql");
const BOUNDS_NUMBER: &str = include_str!("../../../sql/postgres/bounds_number.sql");
const BOUNDS_DATE: &str = include_str!("../../../sql/postgres/bounds_date.sql");
const BOUNDS_TIMESTAMP: &str = include_str!("../../../sql/postgres/bounds_timestamp.sql");
const DOING: &str = "planning the parts of the scan";

/// Bytes of a table below which another connection would cost more than it gives.
const PART_BYTES: u64 = 64 << 20;
/// Parts that are made where nobody asked for a number.
const DEFAULT_LIMIT: usize = 8;

/// What a table's files say.
struct Storage {
    by_place: bool,
    blocks: u64,
    bytes: u64,
}

/// The conditions of the parts; none where the scan is to be read as a whole.
///
/// # Errors
/// Schema: there is no column `partition_field`. Type mapping: it has no ranges.
pub(super) async fn plan(
    session: &Session,
    request: &ExtractRequest,
    relation: Option<&Relation>,
    from_sql: &str,
    schema: &DxtSchema,
) -> Result<Vec<String>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if let Some(name) = &request.partition_field {
        let field = column(schema, name)?;
        let Some(bounds) = Bounds::of(field) else { return Err(unsuitable(field)) };
        return by_column(session, field, bounds, from_sql, request.partitions.unwrap_or(cores.min(DEFAULT_LIMIT)))
            .await;
    }
    if request.partitions == Some(1) {
        return Ok(Vec::new());
    }
    let storage = match relation {
        Some(relation) if relation.kind != RelationKind::View => Some(storage(session, relation).await?),
        _ => None,
    };
    let by_size = || storage.as_ref().map_or(1, |storage| default_parts(storage.bytes, cores));
    let parts = request.partitions.unwrap_or_else(by_size);
    if let Some(storage) = storage.as_ref().filter(|storage| storage.by_place) {
        return Ok(by_place(storage.blocks, parts));
    }
    if parts < 2 {
        return Ok(Vec::new());
    }
    let key = schema.primary_key.first().and_then(|name| schema.field(name));
    match key.and_then(|field| Some((field, Bounds::of(field)?))) {
        Some((field, bounds)) => by_column(session, field, bounds, from_sql, parts).await,
        None => {
            if request.partitions.is_some() {
                tracing::warn!(
                    parts,
                    "read by one connection: name a `partition_field` with ranges to read it by several"
                );
            }
            Ok(Vec::new())
        }
    }
}

/// The parts of a table of so many bytes, where nobody says how many.
fn default_parts(bytes: u64, cores: usize) -> usize {
    cores.min(DEFAULT_LIMIT).min(usize::try_from(bytes / PART_BYTES).unwrap_or(usize::MAX)).max(1)
}

fn column<'a>(schema: &'a DxtSchema, name: &str) -> Result<&'a DxtField> {
    schema.field(name).ok_or_else(|| {
        let error = Error::new(ErrorKind::Schema, format!("the source has no column {name}, its partition_field"));
        error.with_hint(match nearest(name, &schema.names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("its columns: {}", schema.names().join(", ")),
        })
    })
}

fn unsuitable(field: &DxtField) -> Error {
    let native = field.native_in(SYSTEM).unwrap_or_default();
    let what = format!("partition_field {} is {native}, of which dxt makes no ranges", field.name);
    Error::new(ErrorKind::TypeMapping, what)
        .with_hint("take a column of an integer type, numeric(p,s), date or timestamp")
}

async fn storage(session: &Session, relation: &Relation) -> Result<Storage> {
    let rows = session.rows(STORAGE, &[&relation.oid], DOING).await?;
    let Some(row) = rows.first() else {
        return Err(Error::new(ErrorKind::Extractor, format!("{DOING}: the server knows no files of it")));
    };
    let count = |index| get::<i64>(row, index).map(|n| u64::try_from(n).unwrap_or_default());
    // NULL where the relation has gone meanwhile: the scan will say so.
    let by_place = get::<Option<bool>>(row, 0)?.unwrap_or(false);
    Ok(Storage { by_place, blocks: count(1)?, bytes: count(2)? })
}

/// Ranges of blocks. Rows that came after the sizes were asked are in the last one.
fn by_place(blocks: u64, parts: usize) -> Vec<String> {
    let parts = (parts as u64).min(blocks);
    if parts < 2 {
        return Vec::new();
    }
    let cuts: Vec<String> = (1..parts).map(|part| format!("'({},0)'::tid", blocks * part / parts)).collect();
    ranges("ctid", &cuts, "")
}

async fn by_column(
    session: &Session,
    field: &DxtField,
    bounds: Bounds,
    from_sql: &str,
    parts: usize,
) -> Result<Vec<String>> {
    if parts < 2 {
        return Ok(Vec::new());
    }
    let column = PostgresDialect::default().quote(&field.name);
    let parts = parts.to_string();
    let sql = render(bounds.sql, &[("column", &column), ("from", from_sql), ("parts", &parts)]);
    let rows = session.rows(&sql, &[], DOING).await?;
    let cuts = rows.iter().map(|row| Ok(format!("'{}'::{}", get::<String>(row, 0)?, bounds.native)));
    let cuts = cuts.collect::<Result<Vec<_>>>()?;
    Ok(ranges(&column, &cuts, &format!(" OR {column} IS NULL")))
}

/// How a column's ranges are found.
struct Bounds {
    sql: &'static str,
    /// The type of the cuts, in which they are compared with the column.
    native: &'static str,
}

impl Bounds {
    fn of(field: &DxtField) -> Option<Self> {
        let (sql, native) = match PgType::parse(field.native_in(SYSTEM)?) {
            PgType::Int2 | PgType::Int4 | PgType::Int8 => (BOUNDS_NUMBER, "bigint"),
            PgType::Numeric(_) => (BOUNDS_NUMBER, "numeric"),
            PgType::Date => (BOUNDS_DATE, "date"),
            PgType::Timestamp(_) => (BOUNDS_TIMESTAMP, "timestamp"),
            PgType::TimestampTz(_) => (BOUNDS_TIMESTAMP, "timestamptz"),
            _ => return None,
        };
        Some(Self { sql, native })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_tables_are_read_by_as_many_connections_as_there_are_cores() {
        let parts = [0, (128 << 20) - 1, 128 << 20, 200 << 20, 1 << 40].map(|bytes| default_parts(bytes, 4));
        assert_eq!(parts, [1, 1, 2, 3, 4]);
        assert_eq!((default_parts(1 << 40, 64), default_parts(1 << 40, 1)), (8, 1));
    }

    #[test]
    fn the_first_and_the_last_range_of_blocks_are_open() {
        assert_eq!(by_place(10, 2), ["(ctid < '(5,0)'::tid)", "(ctid >= '(5,0)'::tid)"]);
        let three = by_place(10, 3);
        assert_eq!(three[1], "(ctid >= '(3,0)'::tid AND ctid < '(6,0)'::tid)");
        assert_eq!(three.len(), 3);
    }

    #[test]
    fn there_are_never_more_parts_than_blocks() {
        assert!(by_place(0, 4).is_empty());
        assert!(by_place(1, 4).is_empty());
        assert_eq!(by_place(3, 400).len(), 3);
    }

    #[test]
    fn a_null_is_in_the_first_range() {
        let cuts = ["'5'::bigint".to_string()];
        assert_eq!(
            ranges("\"a\"", &cuts, " OR \"a\" IS NULL"),
            ["(\"a\" < '5'::bigint OR \"a\" IS NULL)", "(\"a\" >= '5'::bigint)"]
        );
    }
}
