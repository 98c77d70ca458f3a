//! The engine of one run: its connectors, its buffers, and DataFusion contexts in which SQL finds both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::catalog::{self, Catalogs};
use super::counts::FooterCounts;
use super::federate::FederatedPlanner;
use super::filter::BoundFilters;
use super::memory::{self, Resources};
use super::relay::Relays;
use super::uuids::UuidSql;
use crate::buffer::Buffer;
use crate::config::connection_fault;
use crate::connector::{Connector, Dataset, Loader, Registry};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, Stream, TargetKind, nearest};

/// Keys of one side of a join that narrow what is read of the other; of more, their least and greatest do.
const KEYS: usize = 20_000;

/// Rows per batch of a query at most: sorts and joins hold many batches at once, and those of a plain transfer are too long
/// for them.
pub const QUERY_ROWS: usize = 8192;

/// Connectors by connection name, the buffer, and the folder that paths in ad-hoc SQL start at.
#[derive(Debug)]
pub struct Engine {
    connectors: BTreeMap<String, Arc<dyn Connector>>,
    buffer: Option<Arc<dyn Buffer>>,
    base_dir: PathBuf,
    /// One for all contexts: the memory limit is that of the process.
    runtime: Arc<RuntimeEnv>,
}

impl Engine {
    /// Makes a connector for each connection. Connects to nothing.
    ///
    /// # Errors
    /// Configuration: a connection's kind, fields or options are wrong.
    pub fn new(
        registry: &Registry,
        connections: &[ConnectionConfig],
        buffer: Option<Arc<dyn Buffer>>,
        base_dir: impl Into<PathBuf>,
    ) -> Result<Self> {
        let mut connectors = BTreeMap::new();
        for config in connections {
            connectors.insert(config.name.clone(), registry.connect(config)?);
        }
        let runtime = Resources::default().runtime()?;
        Ok(Self { connectors, buffer, base_dir: base_dir.into(), runtime })
    }

    /// The same engine with other bounds of memory.
    ///
    /// # Errors
    /// Configuration: the limit is too small, or the folder for temporary files cannot be used.
    pub fn with_resources(mut self, resources: &Resources) -> Result<Self> {
        self.runtime = resources.runtime()?;
        Ok(self)
    }

    /// All connectors in the order of their names.
    pub fn connectors(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.connectors.values()
    }

    /// The connector of a connection.
    ///
    /// # Errors
    /// Configuration: there is none of this name.
    pub fn connector(&self, name: &str) -> Result<&Arc<dyn Connector>> {
        self.connectors.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.connectors.keys().map(String::as_str).collect();
            // What is no name may be a malformed URL, or a list of `key=value`, and hold a password.
            let shown = if connection_fault(name).is_some() { "of this name" } else { name };
            let error = Error::new(ErrorKind::Configuration, format!("there is no connection {shown}"));
            error.with_hint(match nearest(name, &known) {
                Some(near) => format!("did you mean {near}?"),
                None if known.is_empty() => "give a URL, such as sqlite:///shop.db, or a pipeline that names it".into(),
                None => format!("connections: {}", known.join(", ")),
            })
        })
    }

    /// Ends what the connectors hold open between streams.
    pub async fn close(&self) {
        for connector in self.connectors() {
            connector.close().await;
        }
    }

    /// Looks at a stream's target.
    pub async fn loader(&self, stream: &Stream) -> Result<Arc<dyn Loader>> {
        let dataset = match &stream.target.kind {
            TargetKind::Relation(name) => Dataset::Relation(name.clone()),
            TargetKind::File(path) => Dataset::Path(path.clone()),
        };
        let connector = self.connector(&stream.target.connection)?;
        let doing = || format!("target {}.{dataset}", stream.target.connection);
        connector.loader(&dataset, &stream.target.options).await.map_err(|e| e.context(doing()))
    }

    /// A context whose SQL finds every connection, buffer and path. `partitions`: how many parts of a plan run at
    /// once; one keeps the source's order of rows.
    pub fn context(self: &Arc<Self>, partitions: usize, batch_size: usize) -> SessionContext {
        let partitions = memory::parts(&self.runtime, partitions);
        let mut config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_batch_size(batch_size)
            .with_default_catalog_and_schema(catalog::DEFAULT_CATALOG, catalog::DEFAULT_SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false);
        let options = config.options_mut();
        // One physical type per DXT type: views would meet every codec and sink.
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.parquet.schema_force_view_types = false;
        // 0.1 is a decimal here, as in every database that the SQL may have come from.
        options.sql_parser.parse_float_as_decimal = true;
        // So many keys of a join's smaller side are sent along to the system that its other side is read from.
        options.optimizer.hash_join_inlist_pushdown_max_distinct_values = KEYS;
        options.optimizer.hash_join_inlist_pushdown_max_size = KEYS * 64;
        // Errors of names and types say where in the SQL they are.
        options.sql_parser.collect_spans = true;
        options.execution.sort_spill_reservation_bytes = memory::sort_reservation(&self.runtime, partitions);
        options.execution.time_zone = Some("UTC".into());
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.runtime.clone())
            .with_catalog_list(Arc::new(Catalogs::new(self)))
            // Before those of DataFusion, which come with its features.
            .with_expr_planners(vec![Arc::new(UuidSql)])
            .with_type_planner(Arc::new(UuidSql))
            .with_default_features()
            .with_query_planner(Arc::new(FederatedPlanner))
            .with_physical_optimizer_rules(FooterCounts::among(PhysicalOptimizer::new().rules))
            .with_physical_optimizer_rule(Arc::new(BoundFilters))
            .with_physical_optimizer_rule(Arc::new(Relays))
            .build();
        SessionContext::new_with_state(state)
    }

    /// A context for queries, which run in as many parts as there are cores. `batch_size`: [`QUERY_ROWS`] at most.
    pub fn query_context(self: &Arc<Self>, batch_size: usize) -> SessionContext {
        // Two at least: DataFusion joins by sorting only in parts.
        let partitions = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        self.context(partitions, batch_size)
    }

    pub(super) fn buffer(&self) -> Option<&Arc<dyn Buffer>> {
        self.buffer.as_ref()
    }

    pub(super) fn base_dir(&self) -> &PathBuf {
        &self.base_dir
    }
}
