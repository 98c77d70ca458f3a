//! Where buffers' files are: what differs between the local disk and an object store, and nothing else. Keys are paths
//! below the buffers' location, parted by `/`; who makes them has checked each part.

mod local;
mod object;

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use super::lock::{Holder, Tried};
use crate::connector::file::FileConnector;
use crate::connector::file::location::Place;
use crate::connector::file::store::StoreKind;
use crate::connector::file::upload::Upload;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BufferConfig, ConnectionConfig};

pub(super) use local::LocalFiles;
pub(super) use object::ObjectFiles;

/// Manifests, markers and locks are smaller than this by far: whatever is not, dxt has not written.
const SMALL: u64 = 64 << 20;

/// The error for a file that is too large to be read at once.
fn too_large(shown: String, bytes: u64) -> Error {
    Error::new(ErrorKind::Buffer, format!("{shown} has {bytes} bytes, which is no file of dxt's"))
        .with_hint("the buffer is damaged: remove it by `dxt buffer rm`, and extract again")
}

/// A file in a folder.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its name within the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: DateTime<Utc>,
}

/// What there is in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The names of folders. Symbolic links are none.
    pub folders: Vec<String>,
    /// The files, links to files and whatever else is no folder included.
    pub files: Vec<Found>,
    /// When the folder itself changed last, where it has a time of its own.
    pub modified: Option<DateTime<Utc>>,
}

/// A part in the making.
pub(super) enum PartFile {
    /// A file of the local disk, blocking: parts are written by a task that does nothing else.
    Local(local::LocalPart),
    /// An upload, which appears when it is finished.
    Object(Upload),
}

impl PartFile {
    /// Adds bytes.
    ///
    /// # Errors
    /// Buffer: the disk is full, the store refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Local(part) => part.write(bytes),
            Self::Object(upload) => upload.write(bytes).await.map_err(of_buffer),
        }
    }

    /// Gives the part up.
    pub async fn abort(self) {
        if let Self::Object(upload) = self {
            upload.abort().await;
        }
    }

    /// Ends the part: all of it is safe.
    ///
    /// # Errors
    /// As for writing.
    pub async fn finish(self) -> Result<()> {
        match self {
            Self::Local(part) => part.finish(),
            Self::Object(mut upload) => {
                upload.seal().await.map_err(of_buffer)?;
                upload.publish(true).await.map_err(of_buffer)
            }
        }
    }
}

/// The error of a target's file code, as one of a buffer.
fn of_buffer(error: Error) -> Error {
    let new = Error::new(ErrorKind::Buffer, error.to_string());
    match error.hint() {
        Some(hint) => new.with_hint(hint),
        None => new,
    }
    .with_source(error)
}

/// A place of files.
#[async_trait]
pub(super) trait Files: Debug + Send + Sync {
    /// A key for people: an absolute path or a URL.
    fn shown(&self, key: &str) -> String;

    /// Makes a folder that was not there.
    async fn create_folder(&self, key: &str) -> Result<()>;

    /// Begins a file that was not there.
    async fn create(&self, key: &str) -> Result<PartFile>;

    /// Makes what has been written to a folder outlive a crash of the machine.
    async fn settle(&self, folder: &str) -> Result<()>;

    /// Publishes a small file in one step. In an object store one that is there already stays, and is an error unless it
    /// is the same.
    async fn publish(&self, key: &str, text: &[u8]) -> Result<()>;

    /// The bytes of a small file; `None` where there is none. A larger one is an error.
    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// What is in a folder, in order of name; nothing where there is no such folder.
    async fn list(&self, key: &str) -> Result<Listing>;

    /// The BLAKE3 hash of a file, read in pieces.
    async fn checksum(&self, key: &str) -> Result<String>;

    /// Removes a file; nothing happens where there is none.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Removes a folder with all that is in it. Symbolic links in it are removed and not followed.
    async fn remove_folder(&self, key: &str) -> Result<()>;

    /// Begins to remove a folder where nobody can wait for it; what stays has no manifest and is swept later.
    fn discard(&self, key: &str);

    /// Tries to take a lock.
    async fn try_lock(&self, key: &str, holder: &Holder) -> Result<Tried>;

    /// A connector that reads the files of a folder.
    fn connector(&self, key: &str) -> Result<FileConnector>;
}

/// A lock that is held. It is let go when it is dropped, at the latest; a lock of an object store outlives the process
/// for some minutes then, unless it was released.
pub trait Guard: Debug + Send + Sync {
    /// Checks that nobody has taken it over.
    ///
    /// # Errors
    /// Buffer: it is no longer held.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Lets go of it.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The place that a configuration names: a folder, a URL, or a path of a connection.
///
/// # Errors
/// Configuration: the connection is not there, is no file connection or cannot be written, or the URL is wrong.
pub(super) fn open(config: &BufferConfig, connections: &[ConnectionConfig]) -> Result<Box<dyn Files>> {
    let wrong = |text: String| Error::new(ErrorKind::Configuration, text);
    let text = config.location.to_str();
    let place = match (&config.connection, text) {
        (Some(name), _) => {
            let Some(connection) = connections.iter().find(|c| c.name == *name) else {
                return Err(wrong(format!("the buffer's connection {name} is not there"))
                    .with_hint("name one of the pipeline's file connections"));
            };
            Place::from_config(connection).map_err(|e| e.context(format!("the buffer's connection {name}")))?
        }
        (None, Some(url)) if url.contains("://") => Place::from_config(&ConnectionConfig::from_url("buffer", url, "."))
            .map_err(|e| e.context("the buffer's location"))?,
        _ => return Ok(Box::new(LocalFiles::new(&config.location))),
    };
    let key = match (&config.connection, text) {
        (None, _) => place.root.clone(),
        (Some(_), Some(path)) => place.locate(path).map_err(|e| e.context("the buffer's location"))?.key,
        (Some(name), None) => return Err(wrong(format!("the buffer's location in {name} is not UTF-8"))),
    };
    match place.store.kind {
        StoreKind::Local => Ok(Box::new(LocalFiles::new(place.store.fs_path(&key)))),
        StoreKind::Cloud => Ok(Box::new(ObjectFiles::new(place.store, key))),
        StoreKind::Http => {
            Err(wrong("a web server cannot hold a buffer".into()).with_hint("name a folder, or an object store"))
        }
    }
}
