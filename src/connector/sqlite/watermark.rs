//! The greatest value of a column, by its type and not by its text.

use std::cmp::Ordering;

use arrow::compute::{SortOptions, sort_to_indices};
use datafusion::common::ScalarValue;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::catalog::{Column, Relation};
use super::client::{failed, quote};
use super::codec::Decoder;
use super::types::{Affinity, SYSTEM};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtType, nearest};

const BATCH: usize = 8192;

/// The greatest value of `column` in `table`; `None` where the table is missing or has only NULLs there.
///
/// # Errors
/// Schema: there is no such column. Validation: a value disagrees with the column's declared type.
pub fn watermark(connection: &Connection, label: &str, table: &str, column: &str) -> Result<Option<ScalarValue>> {
    let Some(relation) = Relation::find(connection, table, &[])? else { return Ok(None) };
    let Some(found) = relation.column(column) else {
        let names = relation.schema();
        let error = Error::new(ErrorKind::Schema, format!("{label} has no column {column}"));
        return Err(match nearest(column, &names.names()) {
            Some(name) => error.with_hint(format!("did you mean {name}?")),
            None => error,
        });
    };
    let name = quote(column);
    // SQLite's max() where its order is the type's; else every value is decoded and compared here.
    let item = match &found.field.dtype {
        _ if !found.own_type => name,
        DxtType::Int8 | DxtType::Int16 | DxtType::Int32 | DxtType::Int64 => format!("max({name})"),
        DxtType::Float32 | DxtType::Float64 | DxtType::Uint64 | DxtType::Date => format!("max({name})"),
        DxtType::Decimal { .. } if found.affinity == Affinity::Numeric => format!("max({name})"),
        DxtType::String if found.affinity == Affinity::Text && relation.utf8 => format!("max({name} COLLATE BINARY)"),
        _ => name,
    };
    greatest(connection, &format!("SELECT {item} FROM {}", relation.from_sql), found, label)
}

fn greatest(connection: &Connection, sql: &str, column: &Column, label: &str) -> Result<Option<ScalarValue>> {
    let doing = |e| failed(ErrorKind::Loader, format!("asking {label} for the greatest {}", column.field.name), e);
    let field = column.field.clone().nullable(true);
    let mut decoder = Decoder::new(std::slice::from_ref(&field), |_| false)?;
    let mut statement = connection.prepare(sql).map_err(doing)?;
    let mut rows = statement.query([]).map_err(doing)?;
    let mut best: Option<ScalarValue> = None;
    loop {
        let row = rows.next().map_err(doing)?;
        if let Some(row) = row {
            let value = |i: usize| row.get_ref(i).unwrap_or(ValueRef::Null);
            decoder.append(value).map_err(|(_, misfit)| {
                let native = field.native_in(SYSTEM).unwrap_or("nothing");
                let message = format!("{label}: column {} (declared {native}): {misfit}", field.name);
                Error::new(ErrorKind::Validation, message).with_hint("correct the value: its order is not known")
            })?;
        }
        let ended = row.is_none();
        if decoder.rows() >= BATCH || (ended && decoder.rows() > 0) {
            let batch = decoder.finish()?;
            let order = SortOptions { descending: true, nulls_first: false };
            let first = sort_to_indices(batch.column(0), Some(order), Some(1))
                .during(ErrorKind::Loader, || format!("comparing the values of {}", field.name))?;
            let top = ScalarValue::try_from_array(batch.column(0), first.value(0) as usize)
                .during(ErrorKind::Loader, || format!("comparing the values of {}", field.name))?;
            let greater = best.as_ref().is_none_or(|b| top.partial_cmp(b) == Some(Ordering::Greater));
            if !top.is_null() && greater {
                best = Some(top);
            }
        }
        if ended {
            return Ok(best);
        }
    }
}

/// Whether the watermark of `column` still is the one that the extract took.
///
/// # Errors
/// Loader: it has moved.
pub fn confirm(
    connection: &Connection,
    label: &str,
    table: &str,
    column: &str,
    expected: Option<&ScalarValue>,
) -> Result<()> {
    let now = watermark(connection, label, table, column)?;
    let same = match (&now, expected) {
        (None, None) => true,
        (Some(now), Some(expected)) => {
            now == expected || expected.cast_to(&now.data_type()).is_ok_and(|expected| expected == *now)
        }
        _ => false,
    };
    if same {
        return Ok(());
    }
    let text = |value: Option<&ScalarValue>| value.map_or("nothing".to_string(), ToString::to_string);
    let message = format!(
        "{label}: the greatest {column} was {} when the extract began and is {} now: another load came between",
        text(expected),
        text(now.as_ref())
    );
    Err(Error::new(ErrorKind::Loader, message).with_hint("run the stream again: it starts at the new watermark"))
}
