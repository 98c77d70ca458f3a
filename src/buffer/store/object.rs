//! Buffers' files in an object store: a buffer is committed by one conditional put, and a lock is an object that its
//! holder keeps fresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutPayload, PutResult, UpdateVersion};

use super::super::lock::{Holder, Tried};
use super::{Files, Found, Guard, Listing, PartFile, SMALL, too_large};
use crate::connector::file::FileConnector;
use crate::connector::file::store::Store;
use crate::connector::file::upload::Upload;
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// How often a lock is made fresh.
const REFRESH: Duration = Duration::from_secs(30);
/// A lock this old belongs to a process that is gone. Clocks may differ by what is between the two.
const STALE: Duration = Duration::from_secs(180);

/// Files below a prefix of a store.
#[derive(Debug, Clone)]
pub struct ObjectFiles {
    store: Store,
    root: String,
}

impl ObjectFiles {
    pub fn new(store: Store, root: impl Into<String>) -> Self {
        Self { store, root: root.into() }
    }

    fn key(&self, key: &str) -> String {
        let parts = [self.root.as_str(), key].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("/")
    }

    fn path(&self, key: &str) -> Result<Path> {
        self.store.path(&self.key(key))
    }

    fn doing(&self, doing: &str, key: &str) -> impl FnOnce() -> String {
        let text = format!("{doing} {}", self.shown(key));
        move || text
    }

    async fn delete(&self, path: &Path, key: &str) -> Result<()> {
        match self.store.object.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(e) => Err(e).during(ErrorKind::Buffer, self.doing("removing", key)),
        }
    }
}

fn name_of(path: &Path) -> Option<String> {
    path.filename().map(str::to_string)
}

#[async_trait]
impl Files for ObjectFiles {
    fn shown(&self, key: &str) -> String {
        self.store.shown(&self.key(key))
    }

    /// A folder is but the beginning of names: there is nothing to make.
    async fn create_folder(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    async fn create(&self, key: &str) -> Result<PartFile> {
        Ok(PartFile::Object(Upload::new(&self.store, self.path(key)?)))
    }

    /// What a store has answered for is safe.
    async fn settle(&self, _folder: &str) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, key: &str, text: &[u8]) -> Result<()> {
        let (path, payload) = (self.path(key)?, PutPayload::from(text.to_vec()));
        let put = self.store.object.put_opts(&path, payload.clone(), PutMode::Create.into()).await;
        let put = match put {
            // Stores that know no condition. A run's folder is its own, so that nobody else writes there.
            Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
                self.store.object.put(&path, payload).await
            }
            // A put that was repeated because its answer was lost finds what it has put itself.
            Err(taken @ StoreError::AlreadyExists { .. }) => match self.read(key).await? {
                Some(there) if there == text => return Ok(()),
                _ => Err(taken),
            },
            put => put,
        };
        put.map(|_| ()).during(ErrorKind::Buffer, self.doing("writing", key))
    }

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let got = match self.store.object.get(&self.path(key)?).await {
            Ok(got) if got.meta.size > SMALL => return Err(too_large(self.shown(key), got.meta.size)),
            Ok(got) => got.bytes().await,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(e) => Err(e),
        };
        got.map(|bytes| Some(bytes.to_vec())).during(ErrorKind::Buffer, self.doing("reading", key))
    }

    async fn list(&self, key: &str) -> Result<Listing> {
        let path = self.path(key)?;
        let prefix = (!path.as_ref().is_empty()).then_some(&path);
        let listed = self.store.object.list_with_delimiter(prefix).await;
        let listed = listed.during(ErrorKind::Buffer, self.doing("reading", key))?;
        let mut folders: Vec<String> = listed.common_prefixes.iter().filter_map(name_of).collect();
        let found = listed.objects.iter().filter_map(|object| {
            let name = name_of(&object.location)?;
            Some(Found { name, bytes: object.size, modified: object.last_modified })
        });
        let mut files: Vec<Found> = found.collect();
        folders.sort();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Listing { folders, files, modified: None })
    }

    async fn checksum(&self, key: &str) -> Result<String> {
        let doing = || format!("reading {}", self.shown(key));
        let got = self.store.object.get(&self.path(key)?).await.during(ErrorKind::Buffer, doing)?;
        let (mut pieces, mut hasher) = (got.into_stream(), blake3::Hasher::new());
        while let Some(piece) = pieces.next().await {
            hasher.update(&piece.during(ErrorKind::Buffer, doing)?);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.delete(&self.path(key)?, key).await
    }

    async fn remove_folder(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        let listed: Vec<_> = self
            .store
            .object
            .list(Some(&path))
            .try_collect()
            .await
            .during(ErrorKind::Buffer, self.doing("reading", key))?;
        for object in listed {
            self.delete(&object.location, key).await?;
        }
        Ok(())
    }

    fn discard(&self, key: &str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (files, key) = (self.clone(), key.to_string());
        runtime.spawn(async move {
            let _ = files.remove_folder(&key).await;
        });
    }

    async fn try_lock(&self, key: &str, holder: &Holder) -> Result<Tried> {
        let path = self.path(key)?;
        let doing = || format!("locking {}", self.shown(key));
        let payload = || PutPayload::from(holder.renewed().to_json());
        let store = &self.store.object;
        let put = match store.put_opts(&path, payload(), PutMode::Create.into()).await {
            Ok(put) => put,
            Err(StoreError::AlreadyExists { .. }) => {
                let got = match store.get(&path).await {
                    Ok(got) => got,
                    // Let go of in this moment: the next try takes it.
                    Err(StoreError::NotFound { .. }) => return Ok(Tried::Held(None)),
                    Err(e) => return Err(e).during(ErrorKind::Buffer, doing),
                };
                let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
                let written = got.meta.last_modified;
                let text = got.bytes().await.during(ErrorKind::Buffer, doing)?;
                let held = Holder::parse(&text);
                // A put that was repeated because its answer was lost finds its own lock.
                let own = held.as_ref().is_some_and(|held| held.same(holder));
                let renewed = held.as_ref().map_or(written, |held| held.renewed);
                if !own && Utc::now() - renewed < TimeDelta::from_std(STALE).unwrap_or(TimeDelta::MAX) {
                    return Ok(Tried::Held(held));
                }
                if !own {
                    tracing::warn!(lock = self.shown(key), "the lock is of a run that is gone, and is taken over");
                }
                // Of several that take it over at once, one is right.
                match store.put_opts(&path, payload(), PutMode::Update(version).into()).await {
                    Ok(put) => put,
                    Err(StoreError::Precondition { .. } | StoreError::NotFound { .. }) => {
                        return Ok(Tried::Held(None));
                    }
                    Err(e) => return Err(e).during(ErrorKind::Buffer, doing),
                }
            }
            Err(e) => {
                let refused = Err(e).during(ErrorKind::Buffer, doing);
                return refused.map_err(|e| e.or_hint("a buffer's store must know conditional puts"));
            }
        };
        let lost = Arc::new(AtomicBool::new(false));
        let lease =
            Lease { files: self.clone(), path, key: key.to_string(), holder: holder.clone(), lost: lost.clone() };
        let keeper = tokio::spawn(lease.clone().keep(put));
        Ok(Tried::Taken(Box::new(ObjectGuard { lease: Some(lease), keeper })))
    }

    fn connector(&self, key: &str) -> Result<FileConnector> {
        Ok(FileConnector::within("buffer", self.store.clone(), self.key(key)))
    }
}

/// A lock's object, and who holds it.
#[derive(Debug, Clone)]
struct Lease {
    files: ObjectFiles,
    path: Path,
    key: String,
    holder: Holder,
    lost: Arc<AtomicBool>,
}

impl Lease {
    /// Keeps the object fresh until somebody else has it, or it could not be reached for so long that somebody may.
    async fn keep(self, mut put: PutResult) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(REFRESH).await;
            let payload = PutPayload::from(self.holder.renewed().to_json());
            let mode = PutMode::Update(put.clone().into());
            match self.files.store.object.put_opts(&self.path, payload, mode.into()).await {
                Ok(next) => (put, renewed) = (next, Instant::now()),
                Err(StoreError::Precondition { .. } | StoreError::NotFound { .. }) => break,
                Err(e) if renewed.elapsed() < STALE - REFRESH => {
                    tracing::warn!(lock = self.files.shown(&self.key), error = %e, "the lock could not be refreshed");
                }
                Err(_) => break,
            }
        }
        self.lost.store(true, Ordering::Relaxed);
        tracing::warn!(lock = self.files.shown(&self.key), "the lock has been lost");
    }

    async fn remove(self) {
        // Another run's lock stays: that of who took over.
        if self.lost.load(Ordering::Relaxed) {
            return;
        }
        let held = self.files.read(&self.key).await.ok().flatten().and_then(|text| Holder::parse(&text));
        if held.is_some_and(|held| held.same(&self.holder)) {
            let _ = self.files.remove(&self.key).await;
        }
    }
}

#[derive(Debug)]
struct ObjectGuard {
    lease: Option<Lease>,
    keeper: tokio::task::JoinHandle<()>,
}

impl Guard for ObjectGuard {
    fn check(&self) -> Result<()> {
        match &self.lease {
            Some(lease) if lease.lost.load(Ordering::Relaxed) => {
                let text =
                    format!("the lock {} has been lost: another run may have begun", lease.files.shown(&lease.key));
                Err(Error::new(ErrorKind::Buffer, text).with_hint("look at the store's connection, and run it again"))
            }
            _ => Ok(()),
        }
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.keeper.abort();
            if let Some(lease) = self.lease.take() {
                lease.remove().await;
            }
        })
    }
}

impl Drop for ObjectGuard {
    fn drop(&mut self) {
        self.keeper.abort();
        if let (Some(lease), Ok(runtime)) = (self.lease.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(lease.remove());
        }
    }
}
