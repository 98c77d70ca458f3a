//! One file that is written as bytes, and seen by nobody before it is whole.

use std::path::{Path, PathBuf};

use super::location::{Location, Place, What, parent_dir};
use super::sink::check_replaceable;
use super::staged::{LocalFile, Staged};
use super::store::StoreKind;
use super::upload::Upload;
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// A file in the making, locally or in an object store. Dropping it leaves what was there as it was.
pub struct Destination {
    staged: Staged,
    /// The local file whose place it takes.
    target: Option<PathBuf>,
    shown: String,
}

impl Destination {
    /// Begins a file at a path, which starts at `base_dir`, or at a URL. Missing folders are made.
    ///
    /// # Errors
    /// Loader: nothing can be written there. Configuration: the URL is wrong.
    pub async fn create(base_dir: &Path, path: &str) -> Result<Self> {
        let refused = |text: String, hint: &str| Err(Error::new(ErrorKind::Loader, text).with_hint(hint));
        let location = Place::local(base_dir)?.locate(path)?;
        let shown = location.shown();
        let Location { store, key, what } = location;
        let key = match what {
            What::File => key,
            // Braces and brackets may be part of a name.
            What::Glob { literal, .. } if !path.contains(['*', '?']) => literal,
            What::Glob { .. } => return refused(format!("{shown} is a pattern"), "name one file"),
            What::Folder => return refused(format!("{shown} is a folder"), "name a file within it"),
        };
        if store.kind == StoreKind::Http {
            return refused(format!("{shown}: a web server cannot be written to"), "write to a file or a bucket");
        }
        if !store.is_local() {
            return Ok(Self { staged: Staged::Remote(Upload::new(&store, store.path(&key)?)), target: None, shown });
        }
        let path = store.fs_path(&key);
        check_replaceable(&path, "name a file within it")?;
        // Behind a symbolic link perhaps, which stays.
        let target = std::fs::canonicalize(&path).unwrap_or(path);
        let dir = target.parent().map_or_else(|| parent_dir(&store, &key), PathBuf::from);
        let name = target.file_name().and_then(|name| name.to_str()).unwrap_or("file");
        let file = LocalFile::create(&dir, name, &uuid::Uuid::now_v7().to_string()).await?;
        Ok(Self { staged: Staged::Local(file), target: Some(target), shown })
    }

    /// Where it will be, without secrets.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Loader: the disk is full, the store refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.staged.write(bytes).await
    }

    /// Ends the file, and puts it in the place of what was there.
    ///
    /// # Errors
    /// Loader: as for writing; what was there is as it was.
    pub async fn publish(mut self) -> Result<()> {
        self.staged.seal().await?;
        match (self.staged, self.target) {
            (Staged::Local(file), Some(target)) => {
                // In the background, where a caller that goes away cannot stop it half-way.
                let done = tokio::task::spawn_blocking(move || file.replace(&target));
                done.await.during(ErrorKind::Loader, || "publishing".into())?
            }
            (Staged::Remote(upload), _) => upload.publish(false).await,
            (Staged::Local(_), None) => Err(Error::new(ErrorKind::Loader, format!("{} has no name", self.shown))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::staged::tests::names;
    use super::*;

    #[tokio::test]
    async fn a_file_is_there_when_it_is_published_and_leaves_nothing_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.csv"), "old").unwrap();
        let mut file = Destination::create(dir.path(), "x.csv").await.unwrap();
        file.write(b"new").await.unwrap();
        assert_eq!(fs::read(dir.path().join("x.csv")).unwrap(), b"old");
        drop(file);
        assert_eq!(names(dir.path()), ["x.csv"]);
        for path in ["x.csv", "made/here/[1].csv"] {
            let mut file = Destination::create(dir.path(), path).await.unwrap();
            file.write(b"new").await.unwrap();
            file.publish().await.unwrap();
            assert_eq!(fs::read(dir.path().join(path)).unwrap(), b"new");
        }
        assert_eq!(names(dir.path()), ["made", "x.csv"]);
    }

    #[tokio::test]
    async fn what_is_no_file_is_not_replaced_by_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        for path in ["folder", "folder/", "*.csv", "socket", "/dev/null", "https://h/x.csv"] {
            let refused = Destination::create(dir.path(), path).await.err().map(|e| e.kind());
            assert_eq!(refused, Some(ErrorKind::Loader), "{path}");
        }
        drop(socket);
        assert_eq!(names(dir.path()), ["folder", "socket"]);
    }
}
