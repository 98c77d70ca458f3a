//! One load in flight: a connection of its own, one transaction, and a thread that may block for each step.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::{StreamExt, stream};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, InterruptHandle};

use super::catalog::Relation;
use super::client::{Client, FULL, blocking, failed, fill, main_table, quote};
use super::codec::{Misfit, encode, order_key};
use super::ledger::Entry;
use super::merge::{Merge, check_key_form};
use super::reread::Reread;
use super::sink::{check, ddl};
use super::types::Affinity;
use super::watermark::confirm;
use crate::connector::{Load, LoadCounts, LoadSpec, StagedRows, filled_meanwhile};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::{DxtType, LoadMode};

/// Extended codes of a key that is there already.
const UNIQUE_VIOLATIONS: [i32; 2] = [1555, 2067];

/// One column of the load, as the target holds it.
struct Target {
    name: String,
    dtype: DxtType,
    affinity: Affinity,
    nullable: bool,
}

/// An open transaction. Dropping it rolls back.
struct Session {
    connection: Connection,
    label: String,
    spec: LoadSpec,
    columns: Vec<Target>,
    /// The INSERT for one row: into the target, or into the stage.
    insert: String,
    merge: Option<Merge>,
    /// The index of the watermark's column, where the merge needs an order.
    order: Option<usize>,
    counts: LoadCounts,
    /// The entry that the load makes in the ledger.
    entry: Option<Entry>,
    /// Whether it is there already.
    already: bool,
    /// Where the rows are that the load gives back.
    reread: Option<Reread>,
    sealed: bool,
}

/// The INSERT for rows of the target itself.
pub fn insert_rows(table: &str, names: &[&str]) -> String {
    let columns = names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
    let values = (1..=names.len()).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
    let template = include_str!("../../../sql/sqlite/insert_rows.sql");
    fill(template, &[("target", &main_table(table)), ("columns", &columns), ("values", &values)])
}

impl Session {
    fn begin(client: &Client, table: &str, label: &str, spec: LoadSpec) -> Result<Self> {
        let doing = |e| failed(ErrorKind::Loader, format!("beginning the load of {label}"), e);
        let connection = client.open_write()?;
        fault::point("sqlite.begin");
        connection.execute_batch("BEGIN IMMEDIATE").map_err(doing)?;
        fault::point("sqlite.locked");
        let found = Relation::find(&connection, table, &[])?;
        let target = found.as_ref().map_or(table, |relation| relation.name.as_str());
        let entry = match &spec.once {
            Some(once) => Entry::find(&connection, label, target, once)?,
            None => None,
        };
        if let Some((_, true)) = entry {
            return Ok(Self {
                connection,
                label: label.to_string(),
                spec,
                columns: Vec::new(),
                insert: String::new(),
                merge: None,
                order: None,
                counts: LoadCounts::default(),
                entry: None,
                already: true,
                reread: None,
                sealed: false,
            });
        }
        if let (Some(column), Some(expected)) = (&spec.watermark, &spec.expected_watermark) {
            confirm(&connection, label, table, column, expected.as_ref())?;
        }
        // Again, within the transaction: the target may have changed since it was looked at.
        check(label, table, found.as_ref(), &spec)?;
        let is_new = found.is_none();
        if let Some(relation) = found.as_ref().filter(|_| spec.expect_empty)
            && relation.has_rows(&connection).map_err(doing)?
        {
            return Err(filled_meanwhile().context(label.to_string()));
        }
        let relation = match found {
            Some(relation) => relation,
            None => {
                connection.execute_batch(&ddl(table, &spec)?).map_err(doing)?;
                fault::point("sqlite.created");
                let made = Relation::find(&connection, table, &[])?;
                made.ok_or_else(|| Error::new(ErrorKind::Loader, format!("{label} was created and is not there")))?
            }
        };
        if spec.mode == LoadMode::Replace && !is_new {
            connection.execute_batch(&delete_rows(&relation.name)).map_err(doing)?;
            fault::point("sqlite.emptied");
        }
        let mut columns = Vec::with_capacity(spec.schema.fields.len());
        for field in &spec.schema.fields {
            let column = relation
                .column(&field.name)
                .ok_or_else(|| Error::new(ErrorKind::Schema, format!("{label} has no column {}", field.name)))?;
            columns.push(Target {
                name: field.name.clone(),
                dtype: field.dtype.clone(),
                affinity: column.affinity,
                nullable: column.field.nullable,
            });
        }
        let mut session = Self {
            insert: insert_rows(&relation.name, &spec.schema.names()),
            connection,
            label: label.to_string(),
            columns,
            merge: None,
            order: None,
            counts: LoadCounts::default(),
            entry: entry.map(|(entry, _)| entry),
            already: false,
            reread: None,
            sealed: false,
            spec,
        };
        if session.spec.mode == LoadMode::Upsert {
            for key in &session.spec.keys {
                if let Some(column) = relation.column(key) {
                    check_key_form(&session.connection, label, &relation, column)?;
                }
            }
            let merge = merge_of(label, &relation.name, &session.spec, Some(&relation))?;
            merge.begin(&session.connection)?;
            session.insert = merge.insert_stage();
            session.order =
                session.spec.watermark.as_ref().and_then(|w| session.columns.iter().position(|c| c.name == *w));
            session.merge = Some(merge);
        }
        if session.spec.reread {
            let upsert = session.spec.mode == LoadMode::Upsert;
            let append = session.spec.mode == LoadMode::Append && !is_new;
            session.reread = Reread::new(&session.connection, &relation, &session.spec.schema, upsert, append)?;
        }
        Ok(session)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.sealed {
            return Err(Error::new(ErrorKind::Loader, format!("{}: the load is sealed", self.label)));
        }
        let expected = self.spec.schema.to_arrow();
        let same = batch.num_columns() == expected.fields().len()
            && batch.columns().iter().zip(expected.fields()).all(|(a, f)| a.data_type() == f.data_type());
        if !same {
            let message = format!("{}: a batch has other columns than the load: {:?}", self.label, batch.schema());
            return Err(Error::new(ErrorKind::Schema, message));
        }
        let mut statement = self
            .connection
            .prepare_cached(&self.insert)
            .map_err(|e| failed(ErrorKind::Loader, format!("writing to {}", self.label), e))?;
        for row in 0..batch.num_rows() {
            let bytes = self.bind(&mut statement, batch.columns(), row)?;
            let changed = statement.raw_execute().map_err(|e| self.refused(e, row))?;
            if changed != 1 {
                let number = self.counts.staged + row as u64 + 1;
                let message = format!("{}: row {number} of the load was not inserted", self.label);
                let error = Error::new(ErrorKind::Loader, message);
                return Err(error.with_hint("does a trigger of the target ignore rows?"));
            }
            if let Some(reread) = &self.reread {
                reread.note(&self.connection)?;
            }
            self.counts.bytes += bytes;
        }
        self.counts.staged += batch.num_rows() as u64;
        fault::point("sqlite.written");
        Ok(())
    }

    fn bind(&self, statement: &mut CachedStatement<'_>, arrays: &[ArrayRef], row: usize) -> Result<u64> {
        let keys = self.merge.as_ref().map_or(&[][..], Merge::keys);
        let mut bytes = 0;
        for (i, (array, column)) in arrays.iter().zip(&self.columns).enumerate() {
            if array.is_null(row) && (keys.contains(&i) || !column.nullable) {
                let what = if keys.contains(&i) { "NULL in a key" } else { "NULL in a column that takes none" };
                return Err(self.misfit(column, row, what, None));
            }
            let value = encode(array.as_ref(), row, &column.dtype, column.affinity);
            let value = value.map_err(|Misfit { reason, hint }| self.misfit(column, row, &reason, hint))?;
            bytes += size(&value);
            self.set(statement, i + 1, value)?;
        }
        if let Some(order) = self.order
            && let (Some(array), Some(column)) = (arrays.get(order), self.columns.get(order))
        {
            let value = order_key(array.as_ref(), row, &column.dtype, column.affinity);
            let value = value.map_err(|Misfit { reason, hint }| self.misfit(column, row, &reason, hint))?;
            self.set(statement, arrays.len() + 1, value)?;
        }
        Ok(bytes)
    }

    fn set(&self, statement: &mut CachedStatement<'_>, at: usize, value: ToSqlOutput<'_>) -> Result<()> {
        let bound = statement.raw_bind_parameter(at, value);
        bound.map_err(|e| failed(ErrorKind::Loader, format!("writing to {}", self.label), e))
    }

    fn misfit(&self, column: &Target, row: usize, reason: &str, hint: Option<&str>) -> Error {
        let number = self.counts.staged + row as u64 + 1;
        let message = format!("{}: column {}, row {number} of the load: {reason}", self.label, column.name);
        let error = Error::new(ErrorKind::Validation, message);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    fn refused(&self, error: rusqlite::Error, row: usize) -> Error {
        let unique = error.sqlite_error().is_some_and(|e| UNIQUE_VIOLATIONS.contains(&e.extended_code));
        let number = self.counts.staged + row as u64 + 1;
        let error = failed(ErrorKind::Loader, format!("writing row {number} of the load to {}", self.label), error);
        if unique {
            error.or_hint("rows of this key are there already: load with mode upsert or replace")
        } else {
            error
        }
    }

    fn seal(&mut self) -> Result<LoadCounts> {
        if self.sealed {
            return Ok(self.counts);
        }
        fault::point("sqlite.seal.before");
        self.counts = match &self.merge {
            Some(merge) => LoadCounts { bytes: self.counts.bytes, ..merge.run(&self.connection, self.counts.staged)? },
            None => LoadCounts { inserted: self.counts.staged, ..self.counts },
        };
        if let Some(entry) = &self.entry {
            entry.enter(&self.connection, self.counts.staged)?;
        }
        self.sealed = true;
        fault::point("sqlite.sealed");
        Ok(self.counts)
    }

    /// The staged rows from a rowid on, and where the next ones begin.
    fn page(&mut self, from: i64) -> Result<Option<(RecordBatch, Option<i64>)>> {
        match &self.reread {
            Some(reread) => reread.page(&self.connection, &self.label, from),
            None => Ok(None),
        }
    }

    fn end(&self, statement: &str) -> Result<()> {
        if statement == "COMMIT" && !self.sealed {
            return Err(Error::new(ErrorKind::Loader, format!("{}: the load is not sealed", self.label)));
        }
        fault::point("sqlite.end.before");
        let ended = self.connection.execute_batch(statement);
        fault::point("sqlite.end.after");
        ended.map_err(|e| failed(ErrorKind::Loader, format!("ending the load of {} ({statement})", self.label), e))
    }
}

fn size(value: &ToSqlOutput<'_>) -> u64 {
    let length = match value {
        ToSqlOutput::Borrowed(ValueRef::Text(b) | ValueRef::Blob(b)) => b.len(),
        ToSqlOutput::Owned(Value::Text(t)) => t.len(),
        ToSqlOutput::Borrowed(ValueRef::Null) => 0,
        _ => 8,
    };
    length as u64
}

/// Empties the target; its views, indexes and triggers stay.
pub fn delete_rows(table: &str) -> String {
    format!("DELETE FROM {}", main_table(table))
}

/// The merge of a load; `relation` is the target where it exists.
pub fn merge_of(label: &str, table: &str, spec: &LoadSpec, relation: Option<&Relation>) -> Result<Merge> {
    let mut columns = Vec::with_capacity(spec.schema.fields.len());
    for field in &spec.schema.fields {
        let existing = relation.and_then(|r| r.column(&field.name)).map(|c| c.affinity);
        let affinity = match existing {
            Some(affinity) => affinity,
            None => Affinity::of(&super::sink::ddl_type(field)?),
        };
        columns.push((field.name.clone(), affinity));
    }
    let keys = spec.keys.iter().filter_map(|k| columns.iter().position(|(n, _)| n == k)).collect();
    let key: BTreeSet<String> = spec.keys.iter().cloned().collect();
    let unique = relation.is_some_and(|r| r.unique.iter().any(|columns| columns.is_subset(&key)));
    let ordered = spec.watermark.as_ref().is_some_and(|w| columns.iter().any(|(n, _)| n == w));
    Ok(Merge::new(label, main_table(table), columns, keys, ordered, unique))
}

/// A load of a SQLite table.
pub struct SqliteLoad {
    label: String,
    client: Client,
    already: bool,
    /// Taken while a step runs, and gone after one that failed: dropping it has rolled back.
    session: Option<Session>,
}

impl SqliteLoad {
    /// Opens the transaction, and creates or empties the target within it.
    pub async fn begin(client: &Client, table: &str, label: &str, spec: &LoadSpec) -> Result<Self> {
        let (table, owned, spec) = (table.to_string(), label.to_string(), spec.clone());
        let session = client.run(move |client| Session::begin(client, &table, &owned, spec)).await;
        match session {
            Ok(session) => Ok(Self {
                label: label.to_string(),
                client: client.clone(),
                already: session.already,
                session: Some(session),
            }),
            Err(error) => Err(named(client, error).await),
        }
    }

    /// A step that may be given up: dropped in its middle, it is interrupted and the load rolled back.
    async fn step<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let handle = self.session.as_ref().map(|session| session.connection.get_interrupt_handle());
        let mut unless_done = Interrupt(handle);
        let done = self.whole(work).await;
        unless_done.0 = None;
        done
    }

    /// A step that goes on to its end whatever becomes of who waits for it.
    async fn whole<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut session = self.session.take().ok_or_else(|| {
            Error::new(ErrorKind::Loader, format!("{}: the load has failed or ended already", self.label))
        })?;
        let done = blocking(move || {
            let result = work(&mut session)?;
            Ok((session, result))
        });
        let client = self.client.clone();
        let (session, result) = match done.await {
            Ok(done) => done,
            Err(error) => return Err(named(&client, error).await),
        };
        self.session = Some(session);
        Ok(result)
    }
}

/// Names the file of an error of a full disk. SQLite leaves its journal there, for the next who opens the file to roll back:
/// that is done here, as a reader could not.
async fn named(client: &Client, error: Error) -> Error {
    if error.hint() != Some(FULL) {
        return error;
    }
    let path = client.path.display().to_string();
    if let Err(second) = client.run(|client| client.open_write().map(drop)).await {
        tracing::warn!(path, error = %second, "rolling back failed; whoever writes to the file next does it");
    }
    error.context(path)
}

/// Interrupts what runs on a connection when it is dropped with a handle.
struct Interrupt(Option<InterruptHandle>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.interrupt();
        }
    }
}

#[async_trait]
impl Load for SqliteLoad {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.step(move |session| session.write(&batch)).await
    }

    fn already_loaded(&self) -> bool {
        self.already
    }

    async fn staged(&mut self) -> Result<Option<StagedRows<'_>>> {
        if self.session.as_ref().is_some_and(|session| session.reread.is_none()) {
            return Ok(None);
        }
        let pages = stream::try_unfold((self, Some(i64::MIN)), async |(load, from)| {
            let Some(from) = from else { return Ok(None) };
            let page = load.step(move |session| session.page(from)).await?;
            Ok(page.map(|(batch, next)| (batch, (load, next))))
        });
        Ok(Some(pages.boxed()))
    }

    async fn seal(&mut self) -> Result<LoadCounts> {
        self.step(Session::seal).await
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        self.whole(|session| session.end("COMMIT")).await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        if self.session.is_none() {
            return Ok(());
        }
        self.whole(|session| session.end("ROLLBACK")).await
    }
}
