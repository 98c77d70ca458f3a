//! Reading: a relation or a query as a table, each part of a scan one binary COPY on a connection of its own.

use std::any::Any;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};

use super::catalog::{self, Relation, RelationKind};
use super::client::Session;
use super::codec::CopyDecoder;
use super::config::Settings;
use super::dialect::PostgresDialect;
use super::parts;
use super::snapshot::{Lease, Reading, Scope, Snapshots, database, identity};
use super::statements::copy_out;
use super::watch::CopyOut;
use crate::connector::sql::{Dialect, RemoteQuery, RemoteSource, RemoteTable, Size, subquery};
use crate::connector::{Dataset, ExtractRequest, Extractor};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType, OptionReader, Options};

/// A relation or a query that has been looked at.
#[derive(Debug)]
pub(super) struct PostgresExtractor {
    schema: DxtSchema,
    provider: Arc<RemoteTable>,
}

impl PostgresExtractor {
    /// Looks at the source that a request names. Reads the catalog only; a query is prepared, not run.
    pub(super) async fn look(
        connection: &str,
        settings: Arc<Settings>,
        snapshots: &Arc<Snapshots>,
        request: &ExtractRequest,
    ) -> Result<Self> {
        let scope = options(&request.options)?;
        let session = Session::open(&settings, ErrorKind::Extractor).await?;
        let utf8 = session.is_utf8();
        let mut stored = false;
        let (from_sql, label, mut schema, dialect, relation) = match &request.dataset {
            Dataset::Relation(name) => {
                let Some(relation) = Relation::find(&session, name, &settings.database).await? else {
                    return Err(catalog::missing(&session, name).await);
                };
                if relation.schema.fields.is_empty() {
                    return Err(Error::new(ErrorKind::Schema, format!("{name} has no columns")));
                }
                let from = PostgresDialect::default().relation(&relation.name);
                let label = relation.name.to_string();
                let dialect = PostgresDialect::new(relation.loose.clone())
                    .collated(relation.collated.clone())
                    .printed(relation.printed.clone());
                // Functions of a view may go by the search path; what is stored does not.
                stored = !matches!(relation.kind, RelationKind::View | RelationKind::Foreign);
                (from, label, relation.schema.clone(), dialect, Some(relation))
            }
            Dataset::Sql(sql) => {
                let from = subquery(sql, "AS dxt_source")?;
                let (schema, dialect) = catalog::describe(&session, &from).await?;
                (from, "SQL".to_string(), schema, dialect, None)
            }
            Dataset::Path(path) => {
                let error = Error::new(ErrorKind::Extractor, format!("PostgreSQL has no files such as {path}"));
                return Err(error.with_hint("name a table as `schema.table`, or give SQL"));
            }
        };
        let read = catalog::tables_read(&session, &from_sql).await?;
        let parts = parts::plan(&session, request, relation.as_ref(), &from_sql, &schema).await?;
        let database = database(&session).await?;
        session.close().await;
        declare(&mut schema, &request.declared);
        let foreign = read.iter().find(|table| table.kind == Some(RelationKind::Foreign));
        if let Some(foreign) = foreign.filter(|_| parts.len() > 1) {
            tracing::warn!(
                table = %foreign.name,
                "each of the parts reads a state of its own of a foreign table: write to it elsewhere meanwhile, and rows \
                 may be missed or doubled; `partitions: 1` reads one state"
            );
        }
        let tables = read.iter().map(|table| identity(&database, &table.name)).collect();
        let oids = read.iter().map(|table| table.oid).collect();
        let reading = Reading { scope, database, tables, oids, parted: parts.len() > 1, stored };
        let dialect = dialect.utf8(utf8);
        let source = PostgresSource {
            lease: Arc::new(Lease::new(settings, snapshots.clone(), reading)),
            label: format!("{connection}.{label}"),
            dialect,
            parts,
            size: relation.as_ref().map_or(Size::UNKNOWN, |relation| relation.size),
        };
        let make = if relation.is_some() { RemoteTable::relation } else { RemoteTable::query };
        let provider = make(Arc::new(source), from_sql, schema.clone(), request.batch_size);
        Ok(Self { schema, provider: Arc::new(provider) })
    }
}

impl Extractor for PostgresExtractor {
    fn schema(&self) -> &DxtSchema {
        &self.schema
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }
}

/// Reads a source's options: `snapshot`.
pub(super) fn options(options: &Options) -> Result<Scope> {
    const WHAT: &str = "source options of PostgreSQL";
    let mut reader = OptionReader::new(options, WHAT);
    let scope = match reader.string("snapshot")?.as_deref() {
        None | Some("run") => Scope::Run,
        Some("stream") => Scope::Stream,
        Some(other) => {
            let what = format!("{WHAT}: snapshot must be run or stream, not {other}");
            return Err(Error::new(ErrorKind::Configuration, what));
        }
    };
    reader.finish()?;
    Ok(scope)
}

/// Reads as text what the pipeline takes as text, as its own types could refuse values: NaN, infinity.
fn declare(schema: &mut DxtSchema, declared: &[(String, DxtType)]) {
    for field in &mut schema.fields {
        if declared.iter().any(|(name, dtype)| *name == field.name && *dtype == DxtType::String) {
            field.dtype = DxtType::String;
        }
    }
}

/// Runs SELECTs for a remote table.
#[derive(Debug)]
pub(super) struct PostgresSource {
    lease: Arc<Lease>,
    label: String,
    dialect: PostgresDialect,
    parts: Vec<String>,
    size: Size,
}

impl PostgresSource {
    /// The connection and dataset.
    pub(super) fn label_text(&self) -> String {
        self.label.clone()
    }

    /// The snapshot that its scans read.
    pub(super) fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }
}

impl RemoteSource for PostgresSource {
    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn reads(&self) -> &[String] {
        self.lease.tables()
    }

    fn parts(&self) -> &[String] {
        &self.parts
    }

    fn size(&self) -> Size {
        self.size
    }

    fn server(&self) -> Option<String> {
        Some(self.lease.server())
    }

    fn joined(&self, others: &[Arc<dyn RemoteSource>]) -> Option<Arc<dyn RemoteSource>> {
        let own = others.iter().map(|other| (other.as_ref() as &dyn Any).downcast_ref::<Self>());
        let others = own.collect::<Option<Vec<_>>>()?;
        let lease = self.lease.joined(others.iter().map(|other| other.lease.as_ref()));
        let labels: BTreeSet<&str> =
            others.iter().map(|other| other.label.as_str()).chain([self.label.as_str()]).collect();
        let label = labels.into_iter().collect::<Vec<_>>().join(", ");
        // What is special about columns has been said in the statement itself.
        let dialect = PostgresDialect::default().utf8(self.dialect.is_utf8());
        Some(Arc::new(Self { lease: Arc::new(lease), label, dialect, parts: Vec::new(), size: Size::UNKNOWN }))
    }

    fn open(&self, query: RemoteQuery, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let decoder = CopyDecoder::new(&query.fields, query.batch_size).map_err(|e| e.context(&self.label))?;
        let schema = decoder.schema().clone();
        let begin = Scan::Begin { lease: self.lease.clone(), sql: query.sql, decoder };
        let label = self.label.clone();
        let batches = stream::try_unfold(begin, move |scan| {
            let label = label.clone();
            async move {
                let next = scan.next().await;
                next.map_err(|e| DataFusionError::External(Box::new(e.context(format!("reading {label}")))))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A scan between two batches. Dropped before its end, it cancels the query with its session.
enum Scan {
    Begin { lease: Arc<Lease>, sql: String, decoder: CopyDecoder },
    Running(Box<Running>),
    Ended,
}

struct Running {
    session: Session,
    copy: Pin<Box<CopyOut>>,
    decoder: CopyDecoder,
}

impl Scan {
    async fn next(self) -> Result<Option<(RecordBatch, Self)>> {
        let running = match self {
            Self::Begin { lease, sql, decoder } => Box::new(Running::begin(&lease, &sql, decoder).await?),
            Self::Running(running) => running,
            Self::Ended => return Ok(None),
        };
        running.next().await
    }
}

impl Running {
    async fn begin(lease: &Lease, sql: &str, decoder: CopyDecoder) -> Result<Self> {
        let (session, copy) = read(lease, sql).await?;
        Ok(Self { session, copy, decoder })
    }

    async fn next(mut self: Box<Self>) -> Result<Option<(RecordBatch, Scan)>> {
        loop {
            if let Some(batch) = self.decoder.next_batch()? {
                return Ok(Some((batch, Scan::Running(self))));
            }
            match self.copy.next().await {
                Some(Ok(piece)) => self.decoder.push(piece),
                Some(Err(e)) => return Err(self.session.failed("the query", e).await),
                None => break,
            }
        }
        let last = self.decoder.finish()?;
        ended(self.session, self.copy).await?;
        Ok(last.map(|batch| (batch, Scan::Ended)))
    }
}

/// Starts a query on a session of its own.
pub(super) async fn read(lease: &Lease, sql: &str) -> Result<(Session, Pin<Box<CopyOut>>)> {
    let session = lease.session(sql).await?;
    let copy = session.copy_out(&copy_out(sql), "starting the query").await?;
    Ok((session, Box::pin(copy)))
}

/// Ends a query whose last byte has come.
///
/// # Errors
/// Extractor: it failed after that.
pub(super) async fn ended(session: Session, copy: Pin<Box<CopyOut>>) -> Result<()> {
    // The driver does not show how the command ended. Where it failed after its last byte, the SELECT fails.
    session.run("SELECT 1; COMMIT", "ending the query").await?;
    drop(copy);
    session.close().await;
    Ok(())
}

/// Runs a query to its end on a session that is in use, for results of few rows.
pub(super) async fn fetch(
    session: &Session,
    sql: &str,
    fields: &[DxtField],
    doing: &str,
) -> Result<Option<RecordBatch>> {
    let mut decoder = CopyDecoder::new(fields, usize::MAX)?;
    let copy = session.copy_out(&copy_out(sql), doing).await?;
    let mut copy = Box::pin(copy);
    while let Some(piece) = copy.next().await {
        match piece {
            Ok(piece) => decoder.push(piece),
            Err(e) => return Err(session.failed(doing, e).await),
        }
    }
    let first = decoder.next_batch()?;
    if first.is_some() {
        decoder.next_batch()?;
    }
    Ok(first.or(decoder.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_declared_as_string_keeps_its_native_type() {
        let mut schema = DxtSchema::new(vec![
            DxtField::new("a", DxtType::Date).native("postgres", "date"),
            DxtField::new("b", DxtType::Date).native("postgres", "date"),
        ]);
        declare(&mut schema, &[("a".into(), DxtType::String), ("b".into(), DxtType::Timestamp { precision: 6 })]);
        assert_eq!(schema.fields[0].dtype, DxtType::String);
        assert_eq!(schema.fields[0].native_in("postgres"), Some("date"));
        assert_eq!(schema.fields[1].dtype, DxtType::Date);
    }
}
