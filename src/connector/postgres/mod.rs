//! PostgreSQL: tables, views and SQL as sources; tables as targets.
//!
//! A scan is one binary COPY, or several that read `parts` of a table under one `snapshot`, decoded straight into Arrow
//! (`codec`); a load is one transaction around one COPY, into the target itself, into a staging table that is then merged,
//! or into a table that takes the target's place. What a load may be told beyond its mode stands in `options.rs`.
//!
//! A connection is made by `connect` from what `config`, `url` and `passfile` found, by `tls` as `sslmode` has it; `watch`
//! tells a server that works for long from one that is lost. `PGSERVICE` is not read.
//!
//! Loads of dxt into one table wait for each other by an advisory lock on its name. Other writers are locked out by SHARE
//! ROW EXCLUSIVE where the user may (it takes UPDATE, DELETE or TRUNCATE on the table); a user with INSERT alone appends
//! beside them.

mod catalog;
mod client;
pub mod codec;
mod config;
mod connect;
mod dialect;
mod error;
mod ledger;
mod load;
mod options;
mod parts;
mod passfile;
mod patience;
mod relay;
mod sequences;
mod sink;
mod snapshot;
mod source;
mod statements;
mod swap;
mod terms;
mod tls;
mod types;
mod upsert;
mod url;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;

use self::client::Session;
use self::config::Settings;
use self::snapshot::Snapshots;
use super::{
    Addressing, Capabilities, Connector, Dataset, ExtractRequest, Extractor, Factory, Loader, RelationInfo, ServerInfo,
    TypeMapper,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, OptionReader, Options};

pub use types::PostgresTypes;

const CAPABILITIES: Capabilities = Capabilities {
    addressing: Addressing::SchemasAndTables,
    read: true,
    sql: true,
    append: true,
    replace: true,
    upsert: true,
    transactional: true,
    partitions: true,
    ledger: true,
};

/// Makes PostgreSQL connectors. Those of one registry share their snapshots and know of each other's loads.
pub fn factory() -> Factory {
    let snapshots = Arc::new(Snapshots::default());
    Factory {
        kind: types::SYSTEM,
        schemes: &["postgresql", "postgres", "pg"],
        capabilities: CAPABILITIES,
        make: Arc::new(move |config| Ok(Arc::new(PostgresConnector::new(config, snapshots.clone())?))),
    }
}

/// One database of a PostgreSQL server.
#[derive(Debug)]
struct PostgresConnector {
    name: String,
    settings: Arc<Settings>,
    snapshots: Arc<Snapshots>,
}

impl PostgresConnector {
    fn new(config: &ConnectionConfig, snapshots: Arc<Snapshots>) -> Result<Self> {
        Ok(Self { name: config.name.clone(), settings: Arc::new(Settings::new(config)?), snapshots })
    }

    fn during(&self, error: Error) -> Error {
        error.context(format!("connection {}", self.name))
    }
}

#[async_trait]
impl Connector for PostgresConnector {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn types(&self) -> &dyn TypeMapper {
        &PostgresTypes
    }

    async fn test(&self) -> Result<ServerInfo> {
        let session = Session::open(&self.settings, ErrorKind::Connection).await.map_err(|e| self.during(e))?;
        let version: String = session.value("SHOW server_version", &[], "asking for the version").await?;
        session.close().await;
        // Distributions add their own after a blank: `15.18 (Debian 15.18-0+deb12u1)`.
        let number = version.split_whitespace().next().unwrap_or_default();
        Ok(ServerInfo { version: format!("PostgreSQL {number}"), location: self.settings.location() })
    }

    async fn list(&self) -> Result<Vec<RelationInfo>> {
        let session = Session::open(&self.settings, ErrorKind::Connector).await.map_err(|e| self.during(e))?;
        let relations = catalog::list(&session).await.map_err(|e| self.during(e))?;
        session.close().await;
        Ok(relations)
    }

    fn check_source(&self, options: &Options) -> Result<()> {
        source::options(options).map(|_| ())
    }

    fn check_target(&self, options: &Options, load: &Options) -> Result<()> {
        OptionReader::new(options, "target options of PostgreSQL").finish()?;
        options::LoadOptions::read(load).map(|_| ())
    }

    async fn extractor(&self, request: &ExtractRequest) -> Result<Arc<dyn Extractor>> {
        let extractor =
            source::PostgresExtractor::look(&self.name, self.settings.clone(), &self.snapshots, request).await;
        Ok(Arc::new(extractor.map_err(|e| self.during(e))?))
    }

    async fn close(&self) {
        self.snapshots.close().await;
        self.settings.open.ended().await;
    }

    async fn loader(&self, dataset: &Dataset, options: &Options) -> Result<Arc<dyn Loader>> {
        self.check_target(options, &Options::new())?;
        let Dataset::Relation(name) = dataset else {
            let error = Error::new(ErrorKind::Loader, format!("PostgreSQL loads tables, not {dataset}"));
            return Err(self.during(error.with_hint("name the target as `table` or `schema.table`")));
        };
        let loader = sink::PostgresLoader::look(&self.name, self.settings.clone(), self.snapshots.clone(), name).await;
        Ok(Arc::new(loader.map_err(|e| self.during(e))?))
    }
}
