//! Names in SQL: connections as catalogs or schemas, buffers, and files by path. Everything is looked up when a query
//! names it, and not before.
//!
//! | name | what it is |
//! | --- | --- |
//! | `shop.public.orders` | a table of a system with schemas |
//! | `warehouse.orders`, `lake."a/b.parquet"` | a table of a system without, a file of a file connection |
//! | `buffer.pipeline.stream` | the newest committed buffer of a stream |
//! | `'data/x.parquet'` | a file by its path or URL |

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::prelude::SessionContext;

use super::Engine;
use crate::connector::file::FileConnector;
use crate::connector::{Addressing, Connector, Dataset, ExtractRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::model::RelationName;

/// The catalog of connections without schemas.
pub const DEFAULT_CATALOG: &str = "dxt";
/// The schema of bare names: files by path. A reserved word, so that no connection has it.
pub const DEFAULT_SCHEMA: &str = "dxt";

pub(super) fn register(context: &SessionContext, engine: &Arc<Engine>) {
    context.register_catalog(DEFAULT_CATALOG, Arc::new(Root { engine: engine.clone() }));
    for connector in engine.connectors() {
        if connector.capabilities().addressing == Addressing::SchemasAndTables {
            context.register_catalog(
                connector.name(),
                Arc::new(Schemas { engine: engine.clone(), connection: connector.name().to_string() }),
            );
        }
    }
    if engine.buffer().is_some() {
        context.register_catalog("buffer", Arc::new(Pipelines { engine: engine.clone() }));
    }
}

/// How a name of SQL becomes a table.
#[async_trait]
trait Lookup: Send + Sync {
    async fn find(&self, name: &str) -> Result<Arc<dyn TableProvider>>;
}

struct Lazy<L>(L);

impl<L> fmt::Debug for Lazy<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lazy")
    }
}

#[async_trait]
impl<L: Lookup + 'static> SchemaProvider for Lazy<L> {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(Some(self.0.find(name).await?))
    }

    fn table_exist(&self, _name: &str) -> bool {
        true
    }
}

/// The relations of a connection, or of one schema of it. Whether there is such a connection is seen when a table is
/// looked up, so that the error can name those there are.
struct Relations {
    engine: Arc<Engine>,
    connection: String,
    schema: Option<String>,
}

#[async_trait]
impl Lookup for Relations {
    async fn find(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        let connector = self.engine.connector(&self.connection)?;
        let dataset = match connector.capabilities().addressing {
            Addressing::Files => Dataset::Path(name.to_string()),
            _ => {
                let parts = self.schema.iter().cloned().chain([name.to_string()]).collect();
                Dataset::Relation(RelationName { parts })
            }
        };
        let doing = || format!("table {}.{dataset}", self.connection);
        let found = connector.extractor(&ExtractRequest::new(dataset.clone())).await;
        Ok(found.map_err(|e| e.context(doing()))?.provider())
    }
}

struct Files {
    engine: Arc<Engine>,
}

#[async_trait]
impl Lookup for Files {
    async fn find(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        if !name.contains(['/', '.']) {
            let known: Vec<&str> = self.engine.connectors().map(|c| c.name()).collect();
            return Err(Error::new(ErrorKind::Schema, format!("there is no table {name}")).with_hint(format!(
                "name it with its connection (of {}), or put a file's path into quotes: 'data/{name}.parquet'",
                if known.is_empty() { "none".to_string() } else { known.join(", ") }
            )));
        }
        let connector = FileConnector::local("files", self.engine.base_dir())?;
        Ok(connector.extractor(&ExtractRequest::new(Dataset::Path(name.to_string()))).await?.provider())
    }
}

struct Buffers {
    engine: Arc<Engine>,
    pipeline: String,
}

#[async_trait]
impl Lookup for Buffers {
    async fn find(&self, stream: &str) -> Result<Arc<dyn TableProvider>> {
        let missing = || {
            Error::new(ErrorKind::Buffer, format!("there is no committed buffer of {}.{stream}", self.pipeline))
                .with_hint(
                    "`dxt extract` makes one; `dxt run` keeps it with `buffer: {persist: true}`; \
                            names with upper case stand in double quotes",
                )
        };
        let buffer = self.engine.buffer().ok_or_else(missing)?;
        let newest = buffer.committed(&self.pipeline, stream).await?.into_iter().next().ok_or_else(missing)?;
        buffer.read(&newest).await
    }
}

#[derive(Debug)]
struct Root {
    engine: Arc<Engine>,
}

impl CatalogProvider for Root {
    fn schema_names(&self) -> Vec<String> {
        self.engine.connectors().map(|c| c.name().to_string()).chain([DEFAULT_SCHEMA.to_string()]).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == DEFAULT_SCHEMA {
            return Some(Arc::new(Lazy(Files { engine: self.engine.clone() })));
        }
        let relations = Relations { engine: self.engine.clone(), connection: name.to_string(), schema: None };
        Some(Arc::new(Lazy(relations)))
    }
}

#[derive(Debug)]
struct Schemas {
    engine: Arc<Engine>,
    connection: String,
}

impl CatalogProvider for Schemas {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let (engine, connection) = (self.engine.clone(), self.connection.clone());
        Some(Arc::new(Lazy(Relations { engine, connection, schema: Some(name.to_string()) })))
    }
}

#[derive(Debug)]
struct Pipelines {
    engine: Arc<Engine>,
}

impl CatalogProvider for Pipelines {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Lazy(Buffers { engine: self.engine.clone(), pipeline: name.to_string() })))
    }
}
