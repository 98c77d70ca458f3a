//! SQLite: a file is the database, and each step opens a connection of its own.
//!
//! Columns have declared types, but any column may hold any value: [`types`] takes the declaration at its word, and a
//! value that disagrees is an error with table, column and rowid, or text where the pipeline asks for text.
//!
//! - `client`: the file, how it is opened, and SQLite's errors.
//! - `catalog`: relations, columns, keys; types by looking where none is declared.
//! - `types`, `codec`: declared types and values, both ways.
//! - `source`, `dialect`: scans, with projection, filters and limit pushed down.
//! - `sink`, `load`, `merge`, `ledger`, `reread`, `watermark`: targets, in one transaction per load.

mod catalog;
mod client;
mod codec;
mod dialect;
mod ledger;
mod load;
mod merge;
mod reread;
mod sink;
mod source;
pub mod types;
mod watermark;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

use self::client::{Client, failed};
use self::sink::SqliteLoader;
use self::source::SqliteExtractor;
use self::types::{SYSTEM, SqliteTypes};
use super::{
    Addressing, Capabilities, Connector, Dataset, ExtractRequest, Extractor, Factory, Loader, RelationInfo, ServerInfo,
    TypeMapper,
};
use crate::error::{ErrorKind, Result};
use crate::model::{OptionReader, Options, RelationName};

const CAPABILITIES: Capabilities = Capabilities {
    addressing: Addressing::Tables,
    read: true,
    sql: true,
    append: true,
    replace: true,
    upsert: true,
    transactional: true,
    partitions: false,
    ledger: true,
};

/// Makes SQLite connectors. A connection is `sqlite:///relative.db`, `sqlite:////absolute.db`, or the field `path` (also
/// `database`); its one option is `busy_timeout`: seconds to wait for another connection's lock, 30 by default.
pub fn factory() -> Factory {
    Factory {
        kind: SYSTEM,
        schemes: &["sqlite3"],
        capabilities: CAPABILITIES,
        make: Arc::new(|config| Ok(Arc::new(Sqlite { client: Client::from_config(config)? }))),
    }
}

/// One database file.
#[derive(Debug)]
struct Sqlite {
    client: Client,
}

#[async_trait]
impl Connector for Sqlite {
    fn name(&self) -> &str {
        &self.client.name
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn types(&self) -> &dyn TypeMapper {
        &SqliteTypes
    }

    async fn test(&self) -> Result<ServerInfo> {
        let ask = |client: &Client| {
            client
                .open_read()?
                .query_row("SELECT sqlite_version()", [], |row| row.get::<_, String>(0))
                .map_err(|e| failed(ErrorKind::Connection, "asking for SQLite's version", e))
        };
        let version = self.client.run(ask).await?;
        Ok(ServerInfo { version: format!("SQLite {version}"), location: self.client.path.display().to_string() })
    }

    async fn list(&self) -> Result<Vec<RelationInfo>> {
        let relations = self.client.run(|client| catalog::list(&client.open_read()?)).await?;
        let info = |(name, kind)| RelationInfo { dataset: Dataset::Relation(RelationName { parts: vec![name] }), kind };
        Ok(relations.into_iter().map(info).collect())
    }

    fn check_source(&self, options: &Options) -> Result<()> {
        OptionReader::new(options, "source options of a sqlite connection").finish()
    }

    fn check_target(&self, options: &Options, load: &Options) -> Result<()> {
        OptionReader::new(options, "target options of a sqlite connection").finish()?;
        sink::check_load_options(load)
    }

    async fn extractor(&self, request: &ExtractRequest) -> Result<Arc<dyn Extractor>> {
        self.check_source(&request.options)?;
        let request = request.clone();
        Ok(Arc::new(self.client.run(move |client| SqliteExtractor::open(client, &request)).await?))
    }

    async fn loader(&self, dataset: &Dataset, options: &Options) -> Result<Arc<dyn Loader>> {
        self.check_target(options, &Options::new())?;
        let dataset = dataset.clone();
        Ok(Arc::new(self.client.run(move |client| SqliteLoader::open(client, &dataset)).await?))
    }
}
