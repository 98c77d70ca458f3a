//! An upload to an object store, which nobody sees before it is published.

use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutPayload};

use super::store::Store;
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Bytes per part of an upload: all but the last are of this size, as some stores want. Stores take 10 000 parts.
const PART: usize = 16 << 20;

/// An object that appears when its upload is completed. A small one is put in one request.
pub struct Upload {
    store: Store,
    path: ObjectPath,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    /// An upload to `path`; nothing is sent yet.
    pub fn new(store: &Store, path: ObjectPath) -> Self {
        Self { store: store.clone(), path, buffer: Vec::new(), parts: None }
    }

    fn doing(&self) -> String {
        format!("writing {}", self.store.shown(self.path.as_ref()))
    }

    /// Adds bytes; sends a part when there is one.
    ///
    /// # Errors
    /// Loader: the store refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() > PART {
            let rest = self.buffer.split_off(PART);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<()> {
        let doing = self.doing();
        if self.parts.is_none() {
            let begun = self.store.object.put_multipart(&self.path).await;
            self.parts = Some(begun.during(ErrorKind::Loader, || doing.clone())?);
        }
        match &mut self.parts {
            Some(parts) => parts.put_part(PutPayload::from(part)).await.during(ErrorKind::Loader, || doing),
            None => Ok(()),
        }
    }

    /// Sends the last part, where parts have been sent.
    ///
    /// # Errors
    /// Loader: the store refuses.
    pub async fn seal(&mut self) -> Result<()> {
        if self.parts.is_some() && !self.buffer.is_empty() {
            let last = std::mem::take(&mut self.buffer);
            self.send(last).await?;
        }
        Ok(())
    }

    /// Makes the object visible. With `new` an object that is there already is an error, where the store can tell.
    ///
    /// # Errors
    /// Loader: the store refuses.
    pub async fn publish(mut self, new: bool) -> Result<()> {
        let doing = self.doing();
        if let Some(mut parts) = self.parts.take() {
            if new && self.store.object.head(&self.path).await.is_ok() {
                let _ = parts.abort().await;
                return Err(Error::new(ErrorKind::Loader, format!("{doing}: the name has been taken by now"))
                    .with_hint("run it again"));
            }
            let done = parts.complete().await;
            return done.map(|_| ()).during(ErrorKind::Loader, || doing);
        }
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        let store = &self.store.object;
        let done = match new {
            true => store.put_opts(&self.path, payload.clone(), PutMode::Create.into()).await,
            false => store.put(&self.path, payload.clone()).await,
        };
        let done = match done {
            // Stores that know no condition: the name was free when the load began.
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) if new => {
                store.put(&self.path, payload).await
            }
            done => done,
        };
        done.map(|_| ()).during(ErrorKind::Loader, || doing)
    }

    /// Removes what was sent.
    pub async fn abort(mut self) {
        if let Some(mut parts) = self.parts.take() {
            // The store removes unfinished uploads itself at some time; the load has failed for another reason.
            let _ = parts.abort().await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(mut parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = parts.abort().await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::staged::Staged;
    use super::*;

    #[tokio::test]
    async fn an_upload_appears_when_it_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::local();
        let key = format!("{}/x.bin", dir.path().to_str().unwrap().trim_start_matches('/'));
        let path = store.path(&key).unwrap();
        for (size, new) in [(3 * PART + 5, true), (10, false)] {
            let mut staged = Staged::Remote(Upload::new(&store, path.clone()));
            staged.write(&vec![7; size]).await.unwrap();
            staged.seal().await.unwrap();
            assert_ne!(fs::metadata(dir.path().join("x.bin")).ok().map(|m| m.len()), Some(size as u64));
            let Staged::Remote(upload) = staged else { unreachable!() };
            upload.publish(new).await.unwrap();
            assert_eq!(fs::metadata(dir.path().join("x.bin")).unwrap().len(), size as u64);
        }
        let mut again = Upload::new(&store, path);
        again.write(b"x").await.unwrap();
        assert!(again.publish(true).await.is_err());
    }
}
