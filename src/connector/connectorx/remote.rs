//! Connections of kind `connectorx`: systems that dxt reads through connectorx alone, as sources.
//!
//! **None of them has been tried against a live server.** Each is behind a Cargo feature of its name. Conditions stay in
//! DataFusion, but for IS NULL; projections and, where the system has it, limits go there. With a `partition_field` of
//! whole numbers a scan is read by `partitions` connections at once, each of which sees a state of its own.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;

use super::systems::{self, Columns, Profile, Source};
use super::{Scan, names, parts, scan};
use crate::connector::sql::{Comparison, Dialect, Pushed, RemoteQuery, RemoteSource, RemoteTable, subquery};
use crate::connector::{
    Addressing, Capabilities, Connector, Dataset, ExtractRequest, Extractor, Factory, RelationInfo, ServerInfo,
    TypeMapper,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, DxtField, DxtSchema, DxtType, OptionReader, Options, RelationName, Secret};

/// The kind of these connections.
const KIND: &str = "connectorx";

const CAPABILITIES: Capabilities = Capabilities {
    addressing: Addressing::SchemasAndTables,
    read: true,
    sql: true,
    partitions: true,
    ..Capabilities::NONE
};

/// Makes connectors of systems that are read through connectorx. A connection is a URL, such as
/// `mssql://user:password@host:1433/database`; which parameters it takes is for the system's driver to say.
pub fn factory() -> Factory {
    Factory {
        kind: KIND,
        schemes: &["mssql", "sqlserver", "clickhouse", "trino", "bigquery", "oracle"],
        capabilities: CAPABILITIES,
        make: Arc::new(|config| Ok(Arc::new(Remote::new(config)?))),
    }
}

/// One system.
struct Remote {
    name: String,
    location: String,
    url: Secret,
    profile: &'static Profile,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("name", &self.name).field("location", &self.location).finish_non_exhaustive()
    }
}

impl Remote {
    fn new(config: &ConnectionConfig) -> Result<Self> {
        let wrong = |what: String| Error::new(ErrorKind::Configuration, what);
        OptionReader::new(&config.fields, "fields of a connectorx connection").finish()?;
        OptionReader::new(&config.options, "options of a connectorx connection").finish()?;
        let Some(url) = &config.url else {
            return Err(wrong("a connectorx connection needs a url".into())
                .with_hint("write {type: connectorx, url: \"mssql://user:password@host:1433/database\"}"));
        };
        let Some((scheme, rest)) = url.reveal().split_once("://") else {
            return Err(wrong("the url of a connectorx connection has no scheme".into()).with_hint(schemes()));
        };
        let system = scheme.split('+').next().unwrap_or_default().to_lowercase();
        let Some(profile) = systems::ALL.iter().find(|p| p.schemes.contains(&system.as_str())) else {
            return Err(wrong(format!("connectorx connections have no scheme {scheme}")).with_hint(schemes()));
        };
        if !profile.built {
            let what = format!("this dxt was built without its driver for {}", profile.product);
            return Err(
                wrong(what).with_hint(format!("build it with: cargo build --release --features {}", profile.name))
            );
        }
        // Drivers know one spelling; what follows a `+` says how, as in trino+https.
        let how = scheme.find('+').map_or("", |at| &scheme[at..]);
        let url = Secret::new(format!("{}{how}://{rest}", profile.schemes[0]));
        Ok(Self { name: config.name.clone(), location: config.redacted(), url, profile })
    }

    fn scan(&self, sql: String, fields: Vec<DxtField>, label: String) -> Scan {
        Scan {
            system: self.profile.system,
            url: self.url.reveal().to_string(),
            prelude: Vec::new(),
            sql,
            fields,
            batch_size: 8192,
            label,
            server_error: None,
        }
    }

    /// The rows of a query of `width` texts, which names the extra column where the driver needs one.
    async fn texts(&self, sql: String, width: usize, label: String) -> Result<Vec<Vec<Option<String>>>> {
        let fields = (0..width).map(|i| DxtField::new(format!("column {}", i + 1), DxtType::String)).collect();
        let stream = scan(self.scan(sql, fields, label))?;
        let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(|e: DataFusionError| Error::from(e))?;
        let text = |batch: &RecordBatch, column: usize, row: usize| {
            let texts = batch.column(column).as_string::<i32>();
            texts.is_valid(row).then(|| texts.value(row).to_string())
        };
        let row = |batch: &RecordBatch, row| (0..width).map(|column| text(batch, column, row)).collect();
        Ok(batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|i| row(batch, i)).collect::<Vec<_>>()).collect())
    }

    /// The columns of a source.
    async fn describe(&self, source: &Source<'_>, label: &str) -> Result<Vec<DxtField>> {
        let profile = self.profile;
        let doing = |what: &str| format!("{label} ({what})");
        let native: Vec<(String, Option<String>, bool)> = match (profile.columns)(source) {
            Columns::Catalog(sql) => {
                let rows = self.texts(sql, 3, doing("its columns")).await?;
                let column = |mut row: Vec<Option<String>>| {
                    let nullable = row.pop().flatten().as_deref() != Some("NO");
                    let native = row.pop().flatten();
                    (row.pop().flatten().unwrap_or_default(), native, nullable)
                };
                rows.into_iter().map(column).collect()
            }
            Columns::Driver => {
                let columns = names(self.all(source, doing("its columns"))).await?;
                columns.into_iter().map(|(name, native)| (name, native.map(str::to_string), true)).collect()
            }
            Columns::Typed(item) => {
                let columns = names(self.all(source, doing("its columns"))).await?;
                let mut items: Vec<String> = columns.iter().map(|(name, _)| item(&(profile.quote)(name))).collect();
                items.extend(profile.extra.map(str::to_string));
                let sql = format!("SELECT {} FROM {} WHERE 1 = 0", items.join(", "), source.from);
                let types = self.texts(sql, columns.len(), doing("its types")).await?.pop().unwrap_or_default();
                columns.into_iter().zip(types).map(|((name, _), native)| (name, native, true)).collect()
            }
        };
        if native.is_empty() {
            let what = format!("{label}: {} knows no such relation, or none that this user may read", profile.product);
            return Err(Error::new(ErrorKind::Schema, what)
                .with_hint("spell each part of its name as the system keeps it, in upper and lower case"));
        }
        native.into_iter().map(|(name, native, nullable)| self.field(label, name, native, nullable)).collect()
    }

    fn all(&self, source: &Source<'_>, label: String) -> Scan {
        self.scan(format!("SELECT * FROM {}", source.from), Vec::new(), label)
    }

    fn field(&self, label: &str, name: String, native: Option<String>, nullable: bool) -> Result<DxtField> {
        let profile = self.profile;
        let hint = "leave the column out, or cast it to text in SQL: `source: {type: sql, sql: …}`";
        let refused = |what: String| Err(Error::new(ErrorKind::TypeMapping, what).with_hint(hint));
        let Some(native) = native else {
            return refused(format!(
                "{label}: column {name} is of a type that {}'s driver does not tell",
                profile.product
            ));
        };
        match (profile.dtype)(&native) {
            Some(dtype) => Ok(DxtField::new(name, dtype).nullable(nullable).native(profile.name, native)),
            None => {
                refused(format!("{label}: column {name} is {native}, which dxt does not read from {}", profile.product))
            }
        }
    }
}

fn schemes() -> String {
    let all: Vec<String> =
        systems::ALL.iter().flat_map(|p| p.schemes.iter().map(|scheme| format!("{scheme}://"))).collect();
    format!("it is one of {}", all.join(", "))
}

#[async_trait]
impl Connector for Remote {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn types(&self) -> &dyn TypeMapper {
        self
    }

    async fn test(&self) -> Result<ServerInfo> {
        let rows = self.texts(self.profile.version.into(), 1, format!("the version of {}", self.name)).await?;
        let version = rows.into_iter().flatten().flatten().next().unwrap_or_else(|| self.profile.product.into());
        let version = version.lines().next().unwrap_or_default().to_string();
        Ok(ServerInfo { version, location: self.location.clone() })
    }

    async fn list(&self) -> Result<Vec<RelationInfo>> {
        let Some(sql) = self.profile.relations else { return Ok(Vec::new()) };
        let rows = self.texts(sql.into(), 3, format!("the relations of {}", self.name)).await?;
        let info = |row: Vec<Option<String>>| {
            let mut texts = row.into_iter().map(Option::unwrap_or_default);
            let parts = texts.by_ref().take(2).collect();
            let kind = texts.next().unwrap_or_default();
            RelationInfo { dataset: Dataset::Relation(RelationName { parts }), kind }
        };
        Ok(rows.into_iter().map(info).collect())
    }

    fn check_source(&self, options: &Options) -> Result<()> {
        OptionReader::new(options, "source options of a connectorx connection").finish()
    }

    async fn extractor(&self, request: &ExtractRequest) -> Result<Arc<dyn Extractor>> {
        self.check_source(&request.options)?;
        let dialect = RemoteDialect(self.profile);
        let (from, label, relation) = match &request.dataset {
            Dataset::Relation(name) => (dialect.relation(name), format!("{}.{name}", self.name), Some(name)),
            // Oracle knows no AS there.
            Dataset::Sql(sql) => (subquery(sql, "dxt_source")?, format!("{} (SQL)", self.name), None),
            Dataset::Path(path) => {
                let what = format!("{} has no files such as {path}", self.profile.product);
                return Err(Error::new(ErrorKind::Connector, what).with_hint("name a relation, or give SQL"));
            }
        };
        let source = Source { relation, from: &from };
        let mut schema = DxtSchema::new(self.describe(&source, &label).await?);
        let parts = self.parts(request, &schema, &from, &label).await?;
        for field in &mut schema.fields {
            // What the pipeline takes as text need not fit the column's own type in dxt.
            if request.declared.iter().any(|(name, dtype)| *name == field.name && *dtype == DxtType::String) {
                field.dtype = DxtType::String;
            }
        }
        let source = RemoteSystem {
            template: self.scan(String::new(), Vec::new(), label),
            dialect,
            parts,
            extra: self.profile.extra,
        };
        let make = match &request.dataset {
            Dataset::Relation(_) => RemoteTable::relation,
            _ => RemoteTable::query,
        };
        let provider = make(Arc::new(source), from, schema.clone(), request.batch_size);
        Ok(Arc::new(RemoteExtractor { schema, provider: Arc::new(provider) }))
    }

    async fn close(&self) {
        super::settle().await;
    }
}

impl Remote {
    /// The conditions of a scan's parts: ranges of whole numbers between the least and the greatest.
    async fn parts(
        &self,
        request: &ExtractRequest,
        schema: &DxtSchema,
        from: &str,
        label: &str,
    ) -> Result<Vec<String>> {
        let Some(field) = parts::field(request, schema)? else { return Ok(Vec::new()) };
        let column = (self.profile.quote)(&field.name);
        // As text by the same way as the column's values.
        let native = field.native.as_ref().map(|native| native.name.as_str()).unwrap_or_default();
        let ask = |aggregate: &str| (self.profile.select)(&format!("{aggregate}({column})"), native);
        let mut items = vec![ask("MIN"), ask("MAX")];
        items.extend(self.profile.extra.map(str::to_string));
        let sql = format!("SELECT {} FROM {from}", items.join(", "));
        let rows = self.texts(sql, 2, format!("{label} (the range of {})", field.name)).await?;
        let bounds: Vec<Option<String>> = rows.into_iter().flatten().collect();
        parts::ranges(&column, &bounds, request.partitions)
    }
}

// The pair of names says which way a type goes; a mapper is a value, so both take it.
impl TypeMapper for Remote {
    fn is_text(&self, native: &str) -> bool {
        let name = systems::parameters(native.trim_start_matches("Nullable(")).0;
        ["char", "text", "string", "clob", "enum"].iter().any(|word| name.contains(word))
    }

    fn from_native(&self, native: &str) -> Result<DxtType> {
        (self.profile.dtype)(native).ok_or_else(|| {
            Error::new(ErrorKind::TypeMapping, format!("dxt does not read {native} from {}", self.profile.product))
        })
    }

    fn to_native(&self, field: &DxtField) -> Result<String> {
        let what = format!("{} is a source only, and has no type for {}", self.profile.product, field.name);
        Err(Error::new(ErrorKind::TypeMapping, what))
    }
}

struct RemoteExtractor {
    schema: DxtSchema,
    provider: Arc<RemoteTable>,
}

impl std::fmt::Debug for RemoteExtractor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteExtractor").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Extractor for RemoteExtractor {
    fn schema(&self) -> &DxtSchema {
        &self.schema
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }
}

/// A system's SQL.
struct RemoteDialect(&'static Profile);

impl std::fmt::Debug for RemoteDialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RemoteDialect").field(&self.0.name).finish()
    }
}

impl Dialect for RemoteDialect {
    fn quote(&self, identifier: &str) -> String {
        (self.0.quote)(identifier)
    }

    fn select(&self, field: &DxtField) -> String {
        let column = self.quote(&field.name);
        match field.native_in(self.0.name) {
            Some(native) => (self.0.select)(&column, native),
            None => column,
        }
    }

    /// What these mean there has not been tried.
    fn compare(&self, _field: &DxtField, _op: Comparison, _value: &ScalarValue) -> Option<Pushed> {
        None
    }

    fn limited(&self, sql: String, rows: usize) -> String {
        match self.0.limit {
            Some(limit) => limit(&sql, rows),
            None => sql,
        }
    }
}

/// Runs SELECTs for a remote table.
#[derive(Debug)]
struct RemoteSystem {
    template: Scan,
    dialect: RemoteDialect,
    parts: Vec<String>,
    extra: Option<&'static str>,
}

impl RemoteSource for RemoteSystem {
    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn label(&self) -> String {
        self.template.label.clone()
    }

    fn locator(&self) -> Option<String> {
        self.extra.map(str::to_string)
    }

    fn parts(&self) -> &[String] {
        &self.parts
    }

    fn open(&self, query: RemoteQuery, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        scan(Scan { sql: query.sql, fields: query.fields, batch_size: query.batch_size, ..self.template.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str) -> Result<Remote> {
        Remote::new(&ConnectionConfig::from_url("erp", url, "."))
    }

    #[test]
    fn a_system_without_its_feature_says_which_to_build_with() {
        for profile in systems::ALL {
            let made = made(&format!("{}://me:hush@host/db", profile.schemes[0]));
            match profile.built {
                true => assert_eq!(made.unwrap().profile.name, profile.name),
                false => {
                    let error = made.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Configuration);
                    assert!(error.message().contains(profile.product), "{error:?}");
                    assert!(error.hint().unwrap().ends_with(&format!("--features {}", profile.name)), "{error:?}");
                    assert!(!error.report().contains("hush"));
                }
            }
        }
    }

    #[test]
    fn a_connection_without_a_known_url_says_what_there_is() {
        let error = made("db2://host/db").unwrap_err();
        assert!(error.hint().unwrap().contains("mssql://") && error.hint().unwrap().contains("oracle://"), "{error:?}");
        let mut config = ConnectionConfig::from_url("erp", "mssql://host/db", ".");
        config.url = None;
        assert!(Remote::new(&config).unwrap_err().message().contains("needs a url"));
    }

    #[test]
    fn every_scheme_of_a_system_leads_here() {
        let schemes = factory().schemes;
        assert!(systems::ALL.iter().flat_map(|p| p.schemes).all(|scheme| schemes.contains(scheme)));
    }

    fn remote(profile: &'static Profile) -> Remote {
        Remote { name: "erp".into(), location: "host".into(), url: Secret::new("x://me:hush@host"), profile }
    }

    #[test]
    fn a_column_of_a_type_that_is_not_read_is_refused_by_name() {
        let remote = remote(&systems::mssql::PROFILE);
        let error = remote.field("erp.t", "place".into(), Some("geography".into()), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeMapping);
        assert!(error.message().contains("erp.t: column place is geography"), "{error:?}");
        let field = remote.field("erp.t", "id".into(), Some("bigint".into()), false).unwrap();
        assert_eq!(field, DxtField::new("id", DxtType::Int64).nullable(false).native("mssql", "bigint"));
    }

    #[test]
    fn nothing_is_printed_of_a_url() {
        assert!(!format!("{:?}", remote(&systems::oracle::PROFILE)).contains("hush"));
    }

    #[test]
    fn numbers_that_travel_as_text_are_no_text() {
        let oracle = remote(&systems::oracle::PROFILE);
        assert!(oracle.is_text("VARCHAR2") && !oracle.is_text("NUMBER") && !oracle.is_text("FLOAT"));
        let clickhouse = remote(&systems::clickhouse::PROFILE);
        assert!(clickhouse.is_text("Nullable(String)") && !clickhouse.is_text("UInt256"));
    }
}
