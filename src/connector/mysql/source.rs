//! Reading: a relation or a query as a table; each part of a scan is one SELECT on a connection of its own.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use super::catalog::{self, Relation, within};
use super::client::{SETUP, Session};
use super::config::Settings;
use super::dialect::{self, MysqlDialect};
use super::error;
use super::parts;
use super::types::{MyType, SYSTEM};
use crate::connector::connectorx::{Scan, System, scan};
use crate::connector::sql::{Dialect, RemoteQuery, RemoteSource, RemoteTable, Size, subquery};
use crate::connector::{Dataset, ExtractRequest, Extractor};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType, OptionReader, Options};

/// One state of the server's data for all of a part, whatever it reads.
const BEGIN: &str = "START TRANSACTION READ ONLY";

/// A relation or a query that has been looked at.
#[derive(Debug)]
pub(super) struct MysqlExtractor {
    schema: DxtSchema,
    provider: Arc<RemoteTable>,
}

impl MysqlExtractor {
    /// Looks at the source that a request names. Reads the catalog only; a query is prepared, not run.
    pub(super) async fn look(connection: &str, settings: Arc<Settings>, request: &ExtractRequest) -> Result<Self> {
        let zero_dates_are_null = options(&request.options)?;
        let mut session = Session::open(&settings, ErrorKind::Extractor).await?;
        let (from_sql, label, mut schema, dialect, size) = match &request.dataset {
            Dataset::Relation(name) => {
                let name = within(name, settings.database.as_deref())?;
                let Some(relation) = Relation::find(&mut session, &name).await? else {
                    return Err(catalog::missing(&mut session, &name).await);
                };
                let (dialect, size) = (relation.dialect(), relation.size());
                (dialect::relation(&relation.name), relation.name.to_string(), relation.schema, dialect, size)
            }
            Dataset::Sql(sql) => {
                let from = subquery(sql, "AS dxt_source")?;
                let (schema, dialect) = catalog::describe(&mut session, &from).await?;
                (from, "SQL".to_string(), schema, dialect, Size::UNKNOWN)
            }
            Dataset::Path(path) => {
                let error = Error::new(ErrorKind::Extractor, format!("MySQL has no files such as {path}"));
                return Err(error.with_hint("name a table as `database.table`, or give SQL"));
            }
        };
        let parts = parts::plan(&mut session, request, &from_sql, &schema).await?;
        let (encrypted, hashes_joins) = (session.is_encrypted(), session.server().hashes_joins());
        session.close().await;
        declare(&mut schema, &request.declared);
        if zero_dates_are_null {
            for field in &mut schema.fields {
                let native = field.native_in(SYSTEM).and_then(MyType::parse);
                field.nullable |= matches!(native, Some(MyType::Date | MyType::Datetime(_) | MyType::Timestamp(_)));
            }
        }
        let source = MysqlSource {
            settings,
            encrypted,
            label: format!("{connection}.{label}"),
            dialect: dialect.zero_dates_as_null(zero_dates_are_null).with_hash_joins(hashes_joins),
            parts,
            size,
        };
        let make = match &request.dataset {
            Dataset::Relation(_) => RemoteTable::relation,
            _ => RemoteTable::query,
        };
        let provider = make(Arc::new(source), from_sql, schema.clone(), request.batch_size);
        Ok(Self { schema, provider: Arc::new(provider) })
    }
}

impl Extractor for MysqlExtractor {
    fn schema(&self) -> &DxtSchema {
        &self.schema
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }
}

/// Reads a source's options: `zero_dates`, which is `error` or `null`. Whether they are NULL.
pub(super) fn options(options: &Options) -> Result<bool> {
    const WHAT: &str = "source options of MySQL";
    let mut reader = OptionReader::new(options, WHAT);
    // In YAML a bare null is no text.
    let bare = options.get("zero_dates").is_some_and(serde_json::Value::is_null);
    let null = match reader.string("zero_dates")?.as_deref() {
        None => bare,
        Some("error") => false,
        Some("null") => true,
        Some(other) => {
            let what = format!("{WHAT}: zero_dates must be error or null, not {other}");
            return Err(Error::new(ErrorKind::Configuration, what));
        }
    };
    reader.finish()?;
    Ok(null)
}

/// Takes types that the pipeline declares where the server's own could refuse values: texts of dates, and numbers that a
/// `tinyint(1)` holds besides 0 and 1.
fn declare(schema: &mut DxtSchema, declared: &[(String, DxtType)]) {
    for field in &mut schema.fields {
        let Some((_, dtype)) = declared.iter().find(|(name, _)| *name == field.name) else { continue };
        let moment = matches!(
            field.dtype,
            DxtType::Date | DxtType::Time { .. } | DxtType::Timestamp { .. } | DxtType::TimestampTz { .. }
        );
        if *dtype == DxtType::String && moment {
            field.dtype = DxtType::String;
        } else if field.dtype == DxtType::Bool && dtype.is_integer() {
            field.dtype = DxtType::Int8;
        }
    }
}

/// An error of a value, with the way out that columns of its type have here.
fn hinted(error: Error, fields: &[DxtField]) -> Error {
    let of = |field: &&DxtField| error.message().contains(&format!(": column {} (", field.name));
    let Some(field) = fields.iter().find(of).filter(|_| error.kind() == ErrorKind::Validation) else { return error };
    let native = field.native_in(SYSTEM).and_then(MyType::parse);
    match (native, &field.dtype) {
        (Some(MyType::Bool), DxtType::Bool) => error.with_hint("read the column as a number: `dtype: int8` for it in the stream's fields"),
        (Some(MyType::Date | MyType::Datetime(_) | MyType::Timestamp(_)), dtype) if *dtype != DxtType::String => error
            .with_hint(
                "read zero dates as NULL by the source's `options: {zero_dates: \"null\"}`, or the column as text: `dtype: \
                 string` for it in the stream's fields",
            ),
        _ => error,
    }
}

/// Runs SELECTs for a remote table.
#[derive(Debug)]
struct MysqlSource {
    settings: Arc<Settings>,
    /// Whether the session that looked at it was.
    encrypted: bool,
    label: String,
    dialect: MysqlDialect,
    parts: Vec<String>,
    size: Size,
}

impl RemoteSource for MysqlSource {
    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn parts(&self) -> &[String] {
        &self.parts
    }

    fn size(&self) -> Size {
        self.size
    }

    fn server(&self) -> Option<String> {
        Some(format!("mysql {:p}", Arc::as_ptr(&self.settings)))
    }

    fn joined(&self, others: &[Arc<dyn RemoteSource>]) -> Option<Arc<dyn RemoteSource>> {
        let own = others.iter().map(|other| (other.as_ref() as &dyn Any).downcast_ref::<Self>());
        let others = own.collect::<Option<Vec<_>>>()?;
        let labels: BTreeSet<&str> =
            others.iter().map(|other| other.label.as_str()).chain([self.label.as_str()]).collect();
        Some(Arc::new(Self {
            settings: self.settings.clone(),
            encrypted: self.encrypted,
            label: labels.into_iter().collect::<Vec<_>>().join(", "),
            // What is special about columns has been said in the statement itself.
            dialect: MysqlDialect::default().with_hash_joins(self.dialect.hashes_joins()),
            parts: Vec::new(),
            size: Size::UNKNOWN,
        }))
    }

    fn open(&self, query: RemoteQuery, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let fields = query.fields.clone();
        let batches = scan(Scan {
            system: System::MySql,
            url: self.settings.reader_url(self.encrypted).reveal().to_string(),
            prelude: SETUP.split(';').map(|statement| statement.trim().to_string()).chain([BEGIN.into()]).collect(),
            sql: query.sql,
            fields: query.fields,
            batch_size: query.batch_size,
            label: self.label.clone(),
            server_error: Some(error::reading),
        })?;
        let schema = batches.schema();
        let hinted = batches.map_err(move |e| DataFusionError::External(Box::new(hinted(e.into(), &fields))));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, hinted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zero_dates_are_an_error_unless_null_is_asked_for() {
        let read = |value: serde_json::Value| options(&serde_json::from_value(value).unwrap());
        assert!(!read(json!({})).unwrap() && !read(json!({"zero_dates": "error"})).unwrap());
        assert!(read(json!({"zero_dates": "null"})).unwrap() && read(json!({"zero_dates": null})).unwrap());
        assert!(read(json!({"zero_dates": "drop"})).is_err() && read(json!({"zero_datse": "null"})).is_err());
    }

    #[test]
    fn a_bool_that_is_declared_as_a_number_and_a_date_as_text_are_read_so() {
        let field = |name: &str, dtype, native: &str| DxtField::new(name, dtype).native(SYSTEM, native);
        let mut schema = DxtSchema::new(vec![
            field("b", DxtType::Bool, "tinyint(1)"),
            field("d", DxtType::Date, "date"),
            field("n", DxtType::Int64, "bigint"),
        ]);
        let declared = [("b", DxtType::Int32), ("d", DxtType::String), ("n", DxtType::Int8)];
        declare(&mut schema, &declared.map(|(name, dtype)| (name.to_string(), dtype)));
        let types: Vec<_> = schema.fields.iter().map(|f| f.dtype.clone()).collect();
        assert_eq!(types, [DxtType::Int8, DxtType::String, DxtType::Int64]);
    }
}
