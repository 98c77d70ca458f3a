//! Reading: one SELECT on a blocking thread, decoded into batches that go through a short channel.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, Row};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::catalog::{Kind, Relation, missing, table_of};
use super::client::{Client, failed};
use super::codec::{Decoder, Misfit, show};
use super::dialect::SqliteDialect;
use crate::connector::sql::{Dialect, RemoteQuery, RemoteSource, RemoteTable, Size};
use crate::connector::{Dataset, ExtractRequest, Extractor};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema};

/// Batches between the reading thread and the plan.
const CHANNEL_BATCHES: usize = 2;
/// A batch closes at about so many bytes.
const BATCH_BYTES: usize = 2 << 20;

/// A table, view or query of a file.
#[derive(Debug)]
pub struct SqliteExtractor {
    schema: DxtSchema,
    provider: Arc<RemoteTable>,
}

impl SqliteExtractor {
    /// Looks at the dataset. Blocks.
    pub fn open(client: &Client, request: &ExtractRequest) -> Result<Self> {
        let (source, schema) = SqliteSource::open(client, request)?;
        let from_sql = source.from_sql.clone();
        let make =
            if matches!(request.dataset, Dataset::Relation(_)) { RemoteTable::relation } else { RemoteTable::query };
        let table = make(Arc::new(source), from_sql, schema.clone(), request.batch_size);
        Ok(Self { schema, provider: Arc::new(table) })
    }
}

impl Extractor for SqliteExtractor {
    fn schema(&self) -> &DxtSchema {
        &self.schema
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }
}

/// One relation or query as the source of remote SELECTs.
#[derive(Debug)]
pub struct SqliteSource {
    client: Client,
    label: String,
    dialect: SqliteDialect,
    names: Vec<String>,
    loose: BTreeSet<String>,
    rowid: Option<&'static str>,
    from_sql: String,
}

impl SqliteSource {
    /// Looks at the dataset. Blocks.
    pub fn open(client: &Client, request: &ExtractRequest) -> Result<(Self, DxtSchema)> {
        let connection = client.open_read()?;
        let (relation, label) = match &request.dataset {
            Dataset::Relation(name) => {
                let table = table_of(name)?;
                let found = Relation::find(&connection, table, &request.declared)?;
                (found.ok_or_else(|| missing(&connection, table))?, format!("{}.{name}", client.name))
            }
            Dataset::Sql(sql) => {
                let label = format!("{} (SQL)", client.name);
                (Relation::query(&connection, sql, &request.declared).map_err(|e| e.context(label.clone()))?, label)
            }
            Dataset::Path(_) => {
                return Err(Error::new(ErrorKind::Connector, "a sqlite connection has tables, not files")
                    .with_hint("give the source a table's name, or SQL"));
            }
        };
        let schema = relation.schema();
        let source = Self {
            client: client.clone(),
            label,
            dialect: SqliteDialect::new(&relation),
            names: relation.columns.iter().map(|c| c.field.name.clone()).collect(),
            loose: relation.columns.iter().filter(|c| c.loose).map(|c| c.field.name.clone()).collect(),
            rowid: relation.rowid.filter(|_| relation.kind == Kind::Table),
            from_sql: relation.from_sql,
        };
        Ok((source, schema))
    }
}

impl RemoteSource for SqliteSource {
    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn size(&self) -> Size {
        // No table is larger than its file, in which numbers take less room than here.
        let Ok(file) = std::fs::metadata(&self.client.path) else { return Size::UNKNOWN };
        let bytes = usize::try_from(file.len()).unwrap_or(usize::MAX);
        Size { rows: bytes / (self.names.len() + 2), bytes: bytes.saturating_mul(8) }
    }

    fn locator(&self) -> Option<String> {
        self.rowid.map(str::to_string)
    }

    fn open(&self, query: RemoteQuery, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let decoder = Decoder::new(&query.fields, |name| self.loose.contains(name))?;
        let schema = decoder.schema();
        let scan = Scan {
            client: self.client.clone(),
            label: self.label.clone(),
            from_sql: self.from_sql.clone(),
            names: self.names.clone(),
            has_rowid: self.rowid.is_some(),
            query,
        };
        let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
        let cancel = Arc::new(Cancel::default());
        let reader = {
            let cancel = cancel.clone();
            tokio::task::spawn_blocking(move || scan.run(decoder, &sender, &cancel))
        };
        let state = Reading { receiver, reader: Some(reader), _cancel: CancelOnDrop(cancel) };
        let batches = stream::unfold(state, |mut state| async move { Some((state.next().await?, state)) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Lets a dropped stream stop a query that is between two rows.
#[derive(Default)]
struct Cancel(Mutex<Signal>);

#[derive(Default)]
enum Signal {
    #[default]
    Waiting,
    Running(InterruptHandle),
    Cancelled,
}

impl Cancel {
    /// Makes the connection one that can be interrupted; `false` where that has been asked for already.
    fn arm(&self, connection: &Connection) -> bool {
        let mut signal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*signal, Signal::Cancelled) {
            return false;
        }
        *signal = Signal::Running(connection.get_interrupt_handle());
        true
    }

    fn cancelled(&self) -> bool {
        matches!(*self.0.lock().unwrap_or_else(PoisonError::into_inner), Signal::Cancelled)
    }
}

struct CancelOnDrop(Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let mut signal = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Signal::Running(handle) = std::mem::replace(&mut *signal, Signal::Cancelled) {
            handle.interrupt();
        }
    }
}

struct Reading {
    receiver: mpsc::Receiver<RecordBatch>,
    reader: Option<JoinHandle<Result<()>>>,
    _cancel: CancelOnDrop,
}

impl Reading {
    /// The next batch; after the last one, how the reader ended: only a reader that saw SQLite's end of rows ends well.
    async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        if let Some(batch) = self.receiver.recv().await {
            return Some(Ok(batch));
        }
        let error = match self.reader.take()?.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(error) => Error::new(ErrorKind::Extractor, "reading from SQLite ended in a panic").with_source(error),
        };
        Some(Err(DataFusionError::External(Box::new(error))))
    }
}

/// One SELECT on its way to its thread.
struct Scan {
    client: Client,
    label: String,
    from_sql: String,
    names: Vec<String>,
    has_rowid: bool,
    query: RemoteQuery,
}

impl Scan {
    /// Reads all rows; leaves early where nobody takes them any more.
    fn run(self, mut decoder: Decoder, sender: &mpsc::Sender<RecordBatch>, cancel: &Cancel) -> Result<()> {
        let result = self.read(&mut decoder, sender, cancel);
        if cancel.cancelled() { Ok(()) } else { result }
    }

    fn read(&self, decoder: &mut Decoder, sender: &mpsc::Sender<RecordBatch>, cancel: &Cancel) -> Result<()> {
        let doing = |e| failed(ErrorKind::Extractor, format!("reading {}", self.label), e);
        let connection = self.client.open_read()?;
        if !cancel.arm(&connection) {
            return Ok(());
        }
        // One transaction: the columns that are checked are those that are read.
        connection.execute_batch("BEGIN").map_err(doing)?;
        self.check_columns(&connection)?;
        let mut statement = connection.prepare(&self.query.sql).map_err(doing)?;
        let width = self.query.fields.len();
        if statement.column_count() != width + usize::from(self.has_rowid) {
            let message =
                format!("reading {}: the query gives {} columns, not {width}", self.label, statement.column_count());
            return Err(Error::new(ErrorKind::Extractor, message));
        }
        let mut rows = statement.query([]).map_err(doing)?;
        let mut number = 0_u64;
        while let Some(row) = rows.next().map_err(doing)? {
            number += 1;
            let value = |i: usize| row.get_ref(i).unwrap_or(ValueRef::Null);
            decoder.append(value).map_err(|(i, misfit)| self.disagrees(&self.query.fields[i], row, number, misfit))?;
            let full = decoder.rows() >= self.query.batch_size.max(1) || decoder.bytes() >= BATCH_BYTES;
            if full && sender.blocking_send(decoder.finish()?).is_err() {
                return Ok(());
            }
        }
        if decoder.rows() > 0 {
            // Nobody there to take it: then nobody misses it.
            sender.blocking_send(decoder.finish()?).ok();
        }
        Ok(())
    }

    /// SQLite takes a quoted name that no column has for a text: a column that is gone would read as its own name.
    fn check_columns(&self, connection: &Connection) -> Result<()> {
        let statement = connection
            .prepare(&format!("SELECT * FROM {}", self.from_sql))
            .map_err(|e| failed(ErrorKind::Extractor, format!("reading {}", self.label), e))?;
        if statement.column_names() != self.names {
            let message = format!("reading {}: its columns have changed since it was looked at", self.label);
            return Err(Error::new(ErrorKind::Schema, message).with_hint("run again"));
        }
        Ok(())
    }

    fn disagrees(&self, field: &DxtField, row: &Row<'_>, number: u64, misfit: Misfit) -> Error {
        let place = match self.has_rowid.then(|| row.get_ref(self.query.fields.len())) {
            Some(Ok(ValueRef::Integer(rowid))) => format!("rowid {rowid}"),
            Some(Ok(other)) => format!("rowid {}", show(other)),
            _ => format!("row {number} of the scan"),
        };
        let declared = match field.native_in(super::types::SYSTEM) {
            Some(native) => format!("declared {native}, read as {}", field.dtype),
            None => format!("read as {}", field.dtype),
        };
        let message = format!("{}: column {} ({declared}), {place}: {misfit}", self.label, field.name);
        Error::new(ErrorKind::Validation, message).with_hint(
            misfit.hint.unwrap_or(
                "correct the value, or read the column as text: `dtype: string` for it in the stream's fields",
            ),
        )
    }
}
