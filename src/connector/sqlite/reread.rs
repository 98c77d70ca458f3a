//! The rows of a load as the file holds them before its commit.

use arrow::record_batch::RecordBatch;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::catalog::Relation;
use super::client::{failed, fill, quote};
use super::codec::Decoder;
use super::merge::STAGE;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema};

const STAGED_ROWS: &str = include_str!("../../../sql/sqlite/staged_rows.sql");
const PAGE: usize = 4096;

/// Reads the rows of a load back, in the order of their rowids.
pub struct Reread {
    sql: String,
    fields: Vec<DxtField>,
    /// Whether the target has other rows too, so that those of the load are noted one by one.
    noted: bool,
}

impl Reread {
    /// For a load into `relation`; `staged`: its rows are in the stage. `None`: they cannot be told from others.
    pub fn new(
        connection: &Connection,
        relation: &Relation,
        schema: &DxtSchema,
        staged: bool,
        appended: bool,
    ) -> Result<Option<Self>> {
        let rowid = if staged { Some("rowid") } else { relation.rowid };
        let Some(rowid) = rowid else { return Ok(None) };
        if appended {
            let made = connection.execute_batch("CREATE TEMP TABLE dxt_rows (id INTEGER PRIMARY KEY)");
            made.map_err(|e| failed(ErrorKind::Loader, "noting the rows of the load", e))?;
        }
        let names = schema.fields.iter().enumerate();
        let column = |(index, field): (usize, &DxtField)| if staged { format!("c{index}") } else { quote(&field.name) };
        let columns = names.map(column).collect::<Vec<_>>().join(", ");
        let mine = match appended {
            true => format!("{rowid} IN (SELECT id FROM temp.dxt_rows)"),
            false => "true".to_string(),
        };
        let from = if staged { STAGE } else { relation.from_sql.as_str() };
        let page = PAGE.to_string();
        let values =
            [("columns", columns.as_str()), ("rowid", rowid), ("from", from), ("mine", &mine), ("page", &page)];
        let fields = schema.fields.iter().map(|field| field.clone().nullable(true)).collect();
        Ok(Some(Self { sql: fill(STAGED_ROWS, &values), fields, noted: appended }))
    }

    /// Notes the row that was just inserted, where that is needed.
    pub fn note(&self, connection: &Connection) -> Result<()> {
        if !self.noted {
            return Ok(());
        }
        let rowid = connection.last_insert_rowid();
        let noted = connection.prepare_cached("INSERT INTO temp.dxt_rows VALUES (?1)");
        let noted = noted.and_then(|mut statement| statement.execute([rowid]));
        noted.map(|_| ()).map_err(|e| failed(ErrorKind::Loader, "noting the rows of the load", e))
    }

    /// The rows from a rowid on, and where the next ones begin; `None` where there are no more.
    pub fn page(&self, connection: &Connection, label: &str, from: i64) -> Result<Option<(RecordBatch, Option<i64>)>> {
        let doing = |e| failed(ErrorKind::Loader, format!("reading back what is staged for {label}"), e);
        let mut decoder = Decoder::new(&self.fields, |_| false)?;
        let mut statement = connection.prepare_cached(&self.sql).map_err(doing)?;
        let mut rows = statement.query([from]).map_err(doing)?;
        let mut last = None;
        while let Some(row) = rows.next().map_err(doing)? {
            decoder.append(|i| row.get_ref(i).unwrap_or(ValueRef::Null)).map_err(|(index, misfit)| {
                let name = self.fields.get(index).map_or("", |field| field.name.as_str());
                let what = format!("{label}: column {name} holds what is not of its type: {misfit}");
                Error::new(ErrorKind::Validation, what)
                    .with_hint("look for a trigger of the target that changes values")
            })?;
            last = Some(row.get::<_, i64>(self.fields.len()).map_err(doing)?);
        }
        match last {
            Some(last) => Ok(Some((decoder.finish()?, last.checked_add(1)))),
            None => Ok(None),
        }
    }
}
