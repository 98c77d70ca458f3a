//! Names in SQL: connections as catalogs or schemas, buffers, and files by path. Everything is looked up when a query
//! names it, and not before.
//!
//! | name | what it is |
//! | --- | --- |
//! | `shop.public.orders` | a table of a system with schemas |
//! | `warehouse.orders`, `lake."a/b.parquet"` | a table of a system without, a file of a file connection |
//! | `buffer.pipeline.stream` | the newest committed buffer of a stream |
//! | `buffer.pipeline."stream@run_id"` | that of one run; as much of the id as only one run has, hyphens left out at will |
//! | `'data/x.parquet'` | a file, a glob or a folder by its path or URL |
//! | `information_schema.tables` | what there is to be named: connections are listed when a query asks for theirs |
//!
//! In three parts, which `information_schema` tells, what has two is in the catalog `dxt`, whose schemas are connections
//! without schemas of their own; a path is in `dxt.dxt`, and so are the views of a session.

mod information;
mod names;
mod walk;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, TableProvider,
};
use datafusion::common::ResolvedTableReference;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::SessionStateDefaults;

use super::Engine;
use crate::connector::Addressing;
pub(crate) use names::{Names, Place};

/// The catalog of connections without schemas.
pub const DEFAULT_CATALOG: &str = "dxt";
/// The schema of bare names: files by path, and views. A reserved word, so that no connection has it.
pub const DEFAULT_SCHEMA: &str = "dxt";
/// The schema that tells what there is.
pub(crate) const INFORMATION: &str = "information_schema";
/// The catalog of buffers.
pub(crate) const BUFFERS: &str = "buffer";

/// All catalogs of one context.
pub(super) struct Catalogs {
    names: Names,
    /// Those that a user of the library adds.
    added: MemoryCatalogProviderList,
}

impl Catalogs {
    /// The connections and buffers of an engine, without a view.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { names: Names::new(engine.clone()), added: MemoryCatalogProviderList::new() }
    }
}

impl fmt::Debug for Catalogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalogs")
    }
}

impl CatalogProviderList for Catalogs {
    fn register_catalog(&self, name: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        self.added.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        let mut names = self.names.catalogs();
        names.extend(self.added.catalog_names());
        names
    }

    /// Whether there is such a connection is seen when a table is looked up, so that the error can name those there are.
    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let own =
            || Arc::new(Catalog { names: self.names.clone(), name: name.to_string() }) as Arc<dyn CatalogProvider>;
        Some(self.added.catalog(name).unwrap_or_else(own))
    }
}

/// One catalog: a connection with schemas, the buffers, or everything else.
struct Catalog {
    names: Names,
    name: String,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Catalog").field(&self.name).finish()
    }
}

impl CatalogProvider for Catalog {
    /// Those that are known without asking anyone.
    fn schema_names(&self) -> Vec<String> {
        if self.name != DEFAULT_CATALOG {
            return Vec::new();
        }
        let engine = &self.names.engine;
        let flat = engine.connectors().filter(|c| c.capabilities().addressing != Addressing::SchemasAndTables);
        let own = [DEFAULT_SCHEMA, INFORMATION].map(str::to_string);
        flat.map(|c| c.name().to_string()).chain(own).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let (catalog, schema) = (self.name.clone(), name.to_string());
        Some(Arc::new(Lazy { names: self.names.clone(), catalog, schema }))
    }
}

/// Whether a bare name is that of a function which gives a table.
fn is_function(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
        SessionStateDefaults::default_table_functions().iter().map(|function| function.name().to_string()).collect()
    });
    NAMES.contains(name)
}

/// One schema, whose tables are looked up when they are named.
struct Lazy {
    names: Names,
    catalog: String,
    schema: String,
}

impl Lazy {
    fn holds_views(&self) -> bool {
        self.catalog == DEFAULT_CATALOG && self.schema == DEFAULT_SCHEMA
    }

    fn no_views(&self) -> DataFusionError {
        DataFusionError::Plan(format!("{}.{} takes no tables of a session", self.catalog, self.schema))
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.catalog).field(&self.schema).finish()
    }
}

#[async_trait]
impl SchemaProvider for Lazy {
    fn table_names(&self) -> Vec<String> {
        if self.holds_views() { self.names.views.names() } else { Vec::new() }
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let full = ResolvedTableReference {
            catalog: self.catalog.as_str().into(),
            schema: self.schema.as_str().into(),
            table: name.into(),
        };
        // The planner asks for `range(…)` as for a table, before it looks among its functions.
        if self.holds_views() && is_function(name) && !self.names.views.has(name) {
            return Ok(None);
        }
        let place = self.names.place(&full)?;
        Ok(Some(self.names.look(&place).await?.provider))
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> DfResult<Option<Arc<dyn TableProvider>>> {
        if self.holds_views() { Ok(self.names.views.put(name, table)) } else { Err(self.no_views()) }
    }

    fn deregister_table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        if self.holds_views() { Ok(self.names.views.remove(name)) } else { Err(self.no_views()) }
    }

    fn table_exist(&self, _name: &str) -> bool {
        true
    }
}
