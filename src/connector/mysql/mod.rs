//! MySQL and MariaDB: tables, views and SQL as sources; tables as targets. A database of the server is a schema here.
//!
//! Rows are read by the connector `connectorx`, in the form that `dialect` selects them; all else goes by sessions of
//! `client`: the catalog, watermarks, loads.
//!
//! A load is one transaction. Rows go into the target itself, or into a temporary table that is then merged, or into a
//! table aside that one RENAME puts in its place: where the target does not exist yet, and for `replace_strategy: swap`. In
//! this system DDL commits by itself, and RENAME is the one statement that does so at once for several tables. They
//! travel by LOAD DATA LOCAL where the server has it on, else by INSERTs of many rows. LOAD DATA LOCAL turns
//! errors into warnings: a warning of any kind ends the load. What even warnings do not tell (fractions of seconds that are
//! rounded, blanks that are dropped, numbers that name members of an enum) is refused before it is sent (`encode`).
//!
//! Loads of dxt into one table wait for each other by a named lock (`GET_LOCK`). Other writers are not locked out.
//!
//! - `config`, `url`, `client`, `error`: connections, and what servers say.
//! - `catalog`, `types`: relations, columns, keys; native types both ways.
//! - `source`, `parts`, `dialect`: scans, with projection, filters and limit pushed down.
//! - `sink`, `statements`, `load`, `transfer`, `encode`, `upsert`, `aside`, `ledger`, `options`: targets.
//! - `decode`: the few rows that loads read back.

mod aside;
mod catalog;
mod client;
mod config;
mod decode;
mod dialect;
mod encode;
mod error;
mod ledger;
mod load;
mod options;
mod parts;
mod sink;
mod source;
mod statements;
mod terms;
mod transfer;
mod types;
mod upsert;
mod url;

use std::sync::Arc;

use async_trait::async_trait;

use self::client::Session;
use self::config::Settings;
use super::connectorx::settle;
use super::{
    Addressing, Capabilities, Connector, Dataset, ExtractRequest, Extractor, Factory, Loader, RelationInfo, ServerInfo,
    TypeMapper,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, OptionReader, Options};

pub use types::MysqlTypes;

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

/// Makes connectors of MySQL and MariaDB.
pub fn factory() -> Factory {
    Factory {
        kind: types::SYSTEM,
        schemes: &["mariadb"],
        capabilities: CAPABILITIES,
        make: Arc::new(|config| Ok(Arc::new(MysqlConnector::new(config)?))),
    }
}

/// One server, with a database that names of one part mean.
#[derive(Debug)]
struct MysqlConnector {
    name: String,
    settings: Arc<Settings>,
}

impl MysqlConnector {
    fn new(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { name: config.name.clone(), settings: Arc::new(Settings::new(config)?) })
    }

    fn during(&self, error: Error) -> Error {
        error.context(format!("connection {}", self.name))
    }
}

#[async_trait]
impl Connector for MysqlConnector {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn types(&self) -> &dyn TypeMapper {
        &MysqlTypes
    }

    async fn test(&self) -> Result<ServerInfo> {
        let session = Session::open(&self.settings, ErrorKind::Connection).await.map_err(|e| self.during(e))?;
        let version = session.server().to_string();
        session.close().await;
        Ok(ServerInfo { version, location: self.settings.location() })
    }

    async fn list(&self) -> Result<Vec<RelationInfo>> {
        let mut session = Session::open(&self.settings, ErrorKind::Connector).await.map_err(|e| self.during(e))?;
        let relations = catalog::list(&mut session).await.map_err(|e| self.during(e))?;
        session.close().await;
        Ok(relations)
    }

    fn check_source(&self, options: &Options) -> Result<()> {
        source::options(options).map(|_| ())
    }

    fn check_target(&self, options: &Options, load: &Options) -> Result<()> {
        OptionReader::new(options, "target options of MySQL").finish()?;
        options::LoadOptions::read(load).map(|_| ())
    }

    async fn extractor(&self, request: &ExtractRequest) -> Result<Arc<dyn Extractor>> {
        let extractor = source::MysqlExtractor::look(&self.name, self.settings.clone(), request).await;
        Ok(Arc::new(extractor.map_err(|e| self.during(e))?))
    }

    async fn close(&self) {
        settle().await;
        self.settings.open.ended().await;
    }

    async fn loader(&self, dataset: &Dataset, options: &Options) -> Result<Arc<dyn Loader>> {
        self.check_target(options, &Options::new())?;
        let Dataset::Relation(name) = dataset else {
            let error = Error::new(ErrorKind::Loader, format!("MySQL loads tables, not {dataset}"));
            return Err(self.during(error.with_hint("name the target as `table` or `database.table`")));
        };
        let loader = sink::MysqlLoader::look(&self.name, self.settings.clone(), name).await;
        Ok(Arc::new(loader.map_err(|e| self.during(e))?))
    }
}
