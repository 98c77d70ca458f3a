//! Files: Parquet, CSV, JSON lines and Arrow IPC, on the local disk, in S3, GCS and Azure, and from web servers.
//!
//! A dataset is one file, a glob or a folder. `store` and `location` say where it is, `listing` which files it is,
//! `format` how they are written down; `source` makes a table of them and `sink` takes loads.

mod calendar;
mod columns;
mod csv;
pub(crate) mod destination;
pub(crate) mod encode;
mod exec;
mod folder;
pub(crate) mod format;
mod http;
mod input;
mod ipc;
pub(crate) mod json;
mod labelled;
mod listing;
mod load;
pub(crate) mod location;
pub(crate) mod logical;
pub(crate) mod parquet;
pub(in crate::connector) mod parse;
mod sink;
mod source;
mod staged;
mod statistics;
pub(crate) mod store;
mod sweep;
mod text;
mod types;
pub(crate) mod upload;
mod views;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;

use super::{
    Addressing, Capabilities, Connector, Dataset, ExtractRequest, Extractor, Factory, Loader, RelationInfo, ServerInfo,
    TypeMapper,
};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{ConnectionConfig, Options};
use format::FileOptions;
use listing::{files, nothing_there};
use location::{Location, Place, What};
use sink::FileLoader;
use source::{FileTable, Look};
use store::{Store, StoreKind};
use types::{FileTypes, KIND};

pub(crate) use labelled::LabelledExec;
pub(crate) use types::stored;

/// What file connections can do. A web server only reads, which its loader says.
const CAPABILITIES: Capabilities = Capabilities {
    addressing: Addressing::Files,
    read: true,
    sql: false,
    append: true,
    replace: true,
    upsert: false,
    transactional: true,
    partitions: false,
    ledger: false,
};

/// The factory of file connections.
pub fn factory() -> Factory {
    Factory {
        kind: KIND,
        schemes: &[
            "local", "s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "adl", "http", "https", "parquet",
        ],
        capabilities: CAPABILITIES,
        make: Arc::new(|config| Ok(Arc::new(FileConnector::new(config)?))),
    }
}

/// A folder, a bucket or a web server.
#[derive(Debug)]
pub struct FileConnector {
    name: String,
    place: Place,
}

impl FileConnector {
    /// A connector of a configuration; nothing is opened.
    ///
    /// # Errors
    /// Configuration: the path, URL, a field or an option is wrong.
    pub fn new(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { name: config.name.clone(), place: Place::from_config(config)? })
    }

    /// A connector of a local folder, from which absolute paths and URLs can be read too: for paths in ad-hoc SQL.
    ///
    /// # Errors
    /// Configuration: the folder's path is not UTF-8.
    pub fn local(name: impl Into<String>, base_dir: &Path) -> Result<Self> {
        Ok(Self { name: name.into(), place: Place::local(base_dir)? })
    }

    /// A connector of the objects below a key of a store.
    pub(crate) fn within(name: impl Into<String>, store: Store, root: String) -> Self {
        Self { name: name.into(), place: Place { store, root, format: None } }
    }

    /// A dataset's place, and its name for people: as SQL names it, without the secrets of a URL.
    fn locate(&self, dataset: &Dataset) -> Result<(Location, String)> {
        let Dataset::Path(path) = dataset else {
            return Err(Error::new(
                ErrorKind::Connector,
                format!("{dataset} is no path, and {} has only files", self.name),
            )
            .with_hint("name a file, a glob or a folder: `type: file`"));
        };
        let location = self.place.locate(path)?;
        let path = if path.contains("://") { location.shown() } else { path.clone() };
        Ok((location, format!("{}.\"{}\"", self.name, path.replace('"', "\"\""))))
    }

    fn root(&self) -> Location {
        Location { store: self.place.store.clone(), key: self.place.root.clone(), what: What::Folder }
    }

    fn cannot_list(&self) -> Error {
        Error::new(ErrorKind::Connector, format!("{} is a web server, whose files cannot be listed", self.name))
            .with_hint("name a file by its path")
    }
}

#[async_trait]
impl Connector for FileConnector {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn types(&self) -> &dyn TypeMapper {
        &FileTypes
    }

    async fn test(&self) -> Result<ServerInfo> {
        let (store, root) = (&self.place.store, self.root());
        let version = match store.kind {
            StoreKind::Local => {
                let dir = store.fs_path(&root.key);
                if !dir.is_dir() {
                    let error = Error::new(ErrorKind::Connection, format!("{} is not a folder", dir.display()));
                    return Err(error.with_hint("make it, or correct the connection's path"));
                }
                "local files"
            }
            StoreKind::Cloud => {
                let prefix = (!root.key.is_empty()).then(|| store.path(&root.key)).transpose()?;
                let first = store.object.list(prefix.as_ref()).try_next().await;
                first.during(ErrorKind::Connection, || root.shown())?;
                "object store"
            }
            // A server need not answer for a folder: what it serves is known when a file is asked for.
            StoreKind::Http => "web server (not asked)",
        };
        Ok(ServerInfo { version: version.into(), location: root.shown() })
    }

    fn lists(&self) -> bool {
        self.place.store.kind != StoreKind::Http
    }

    async fn list(&self) -> Result<Vec<RelationInfo>> {
        if !self.lists() {
            return Err(self.cannot_list());
        }
        let root = self.root();
        let found = files(&root).await?;
        let relations = found.into_iter().filter_map(|file| {
            let named = file.named?;
            let key = file.meta.location.as_ref();
            let path = key.strip_prefix(root.key.as_str()).unwrap_or(key).trim_start_matches('/');
            Some(RelationInfo { dataset: Dataset::Path(path.to_string()), kind: named.format.as_str().to_string() })
        });
        Ok(relations.collect())
    }

    fn check_source(&self, options: &Options) -> Result<()> {
        FileOptions::read(&[options], "options of a file source").map(|_| ())
    }

    fn check_target(&self, options: &Options, load: &Options) -> Result<()> {
        FileOptions::read(&[options, load], "options of a file target").map(|_| ())
    }

    async fn extractor(&self, request: &ExtractRequest) -> Result<Arc<dyn Extractor>> {
        let (location, label) = self.locate(&request.dataset)?;
        let options = FileOptions::read(&[&request.options], &format!("options of {label}"))?;
        let look = Look {
            label,
            options: &options,
            format: self.place.format,
            declared: &request.declared,
            infer: true,
            batch_size: request.batch_size,
        };
        match FileTable::look(&location, &look).await? {
            Some(table) => Ok(Arc::new(table.with_columns()?)),
            None => Err(nothing_there(&location).await),
        }
    }

    async fn loader(&self, dataset: &Dataset, options: &Options) -> Result<Arc<dyn Loader>> {
        let (location, label) = self.locate(dataset)?;
        // The connection's folder, or one that it is in.
        let root = format!("{}/", self.place.root);
        let whole = location.key.is_empty() || root.starts_with(&format!("{}/", location.key));
        Ok(Arc::new(FileLoader::look(label, location, options, self.place.format, whole).await?))
    }
}

#[cfg(test)]
mod tests;
