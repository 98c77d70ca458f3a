//! Buffers' files on the local disk: synced before they count, and no symbolic link below the location is followed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use rustix::fs::OFlags;

use super::super::lock::{Holder, Tried};
use super::{Files, Found, Guard, Listing, PartFile, SMALL, too_large};
use crate::connector::file::FileConnector;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::fault;

/// Bytes hashed at once.
const PIECE: usize = 1 << 20;

/// Files below a folder. The folder itself may be a link; nothing below it is.
#[derive(Debug, Clone)]
pub struct LocalFiles {
    location: PathBuf,
}

/// A file that is being written.
pub struct LocalPart {
    path: PathBuf,
    file: File,
}

impl LocalPart {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).during(ErrorKind::Buffer, wrong("writing", &self.path))
    }

    pub fn finish(self) -> Result<()> {
        self.file.sync_all().during(ErrorKind::Buffer, wrong("writing", &self.path))
    }
}

fn wrong(doing: &str, path: &Path) -> impl FnOnce() -> String {
    let text = format!("{doing} {}", path.display());
    move || text
}

/// Syncs a folder, so that a new or renamed file in it outlives a crash of the machine.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
}

/// Nothing that a link names is opened, and nothing waits for the other end of a pipe.
fn unlinked() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

fn not_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl LocalFiles {
    pub fn new(location: impl Into<PathBuf>) -> Self {
        Self { location: location.into() }
    }

    /// The path of a key, whose folders below the location are checked: each is a folder, or nothing yet.
    fn path(&self, key: &str) -> Result<PathBuf> {
        let mut path = self.location.clone();
        let parts: Vec<&str> = key.split('/').filter(|part| !part.is_empty()).collect();
        for (at, part) in parts.iter().enumerate() {
            path.push(part);
            if at + 1 < parts.len() {
                refuse_link(&path)?;
            }
        }
        Ok(path)
    }
}

/// # Errors
/// Buffer: the path is a symbolic link.
fn refuse_link(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let text = format!("{} is a symbolic link, which dxt does not follow within a buffer", path.display());
            Err(Error::new(ErrorKind::Buffer, text)
                .with_hint("remove the link, or name its target as `buffer: {location: …}`"))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl Files for LocalFiles {
    fn shown(&self, key: &str) -> String {
        self.location.join(key).display().to_string()
    }

    async fn create_folder(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        let hint = "check `buffer: {location: …}` and the folder's rights";
        fs::create_dir_all(path.parent().unwrap_or(&path))
            .and_then(|()| fs::create_dir(&path))
            .during(ErrorKind::Buffer, wrong("creating the buffer's folder", &path))
            .map_err(|e| e.or_hint(hint))
    }

    async fn create(&self, key: &str) -> Result<PartFile> {
        let path = self.path(key)?;
        let file = File::create_new(&path).during(ErrorKind::Buffer, wrong("creating", &path))?;
        Ok(PartFile::Local(LocalPart { path, file }))
    }

    async fn settle(&self, folder: &str) -> Result<()> {
        let path = self.path(folder)?;
        // Each folder is a name in the one above it, and may be new.
        let mut dirs = path.ancestors();
        for dir in dirs.by_ref().take(folder.split('/').count() + 1) {
            sync_folder(dir).during(ErrorKind::Buffer, wrong("syncing", dir))?;
        }
        for dir in dirs.take(2) {
            // Above the location, where dxt need not have the right to look.
            let _ = sync_folder(dir);
        }
        Ok(())
    }

    async fn publish(&self, key: &str, text: &[u8]) -> Result<()> {
        let path = self.path(key)?;
        let aside = path.with_extension("tmp");
        let put = || {
            match fs::remove_file(&aside) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = File::create_new(&aside)?;
            file.write_all(text)?;
            file.sync_all()?;
            fault::point("buffer.publish.before");
            fs::rename(&aside, &path)?;
            fault::point("buffer.publish.renamed");
            sync_folder(path.parent().unwrap_or(&path))
        };
        put().during(ErrorKind::Buffer, wrong("writing", &path))
    }

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(key)?;
        refuse_link(&path)?;
        match unlinked().read(true).open(&path) {
            Ok(mut file) => {
                let mut text = Vec::new();
                let bytes = file.metadata().during(ErrorKind::Buffer, wrong("reading", &path))?.len();
                if bytes > SMALL {
                    return Err(too_large(self.shown(key), bytes));
                }
                file.read_to_end(&mut text).during(ErrorKind::Buffer, wrong("reading", &path))?;
                Ok(Some(text))
            }
            Err(e) if not_there(&e) => Ok(None),
            Err(e) => Err(e).during(ErrorKind::Buffer, wrong("reading", &path)),
        }
    }

    async fn list(&self, key: &str) -> Result<Listing> {
        let path = self.path(key)?;
        if !key.is_empty() {
            refuse_link(&path)?;
        }
        let doing = || format!("reading {}", path.display());
        let mut listing = Listing::default();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if not_there(&e) => return Ok(listing),
            Err(e) => return Err(e).during(ErrorKind::Buffer, doing),
        };
        let changed = |found: &fs::Metadata| found.modified().ok().map(DateTime::<Utc>::from);
        listing.modified = fs::symlink_metadata(&path).ok().and_then(|found| changed(&found));
        for entry in entries {
            let entry = entry.during(ErrorKind::Buffer, doing)?;
            // Unlike a path's, an entry's metadata is that of a link itself. What has gone by now is nothing.
            let Ok(found) = entry.metadata() else { continue };
            // dxt gives no name that is not UTF-8.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if found.is_dir() {
                listing.folders.push(name);
            } else {
                let modified = changed(&found).unwrap_or(DateTime::UNIX_EPOCH);
                listing.files.push(Found { name, bytes: found.len(), modified });
            }
        }
        listing.folders.sort();
        listing.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listing)
    }

    async fn checksum(&self, key: &str) -> Result<String> {
        let path = self.path(key)?;
        refuse_link(&path)?;
        let shown = path.clone();
        let hash = move || {
            let mut file = unlinked().read(true).open(&path)?;
            let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; PIECE]);
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok(hasher.finalize().to_hex().to_string()),
                    read => hasher.update(&piece[..read]),
                };
            }
        };
        let done: io::Result<String> =
            tokio::task::spawn_blocking(hash).await.during(ErrorKind::Buffer, wrong("reading", &shown))?;
        done.during(ErrorKind::Buffer, wrong("reading", &shown))
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Err(e) if !not_there(&e) => Err(e).during(ErrorKind::Buffer, wrong("removing", &path)),
            _ => Ok(()),
        }
    }

    async fn remove_folder(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        refuse_link(&path)?;
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).during(ErrorKind::Buffer, wrong("removing", &path)),
            _ => Ok(()),
        }
    }

    fn discard(&self, key: &str) {
        if let Ok(path) = self.path(key) {
            let _ = fs::remove_dir_all(path);
        }
    }

    async fn try_lock(&self, key: &str, holder: &Holder) -> Result<Tried> {
        let path = self.path(key)?;
        let doing = || format!("locking {}", path.display());
        refuse_link(&path)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .during(ErrorKind::Buffer, doing)
                .map_err(|e| e.or_hint("check `buffer: {location: …}` and the folder's rights"))?;
        }
        let mut options = unlinked();
        options.read(true).write(true).create(true);
        let mut file = options.open(&path).during(ErrorKind::Buffer, doing)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = Vec::new();
                file.read_to_end(&mut text).during(ErrorKind::Buffer, doing)?;
                // Empty or half-written for a moment after it was taken.
                return Ok(Tried::Held(Holder::parse(&text)));
            }
            Err(TryLockError::Error(e)) => return Err(e).during(ErrorKind::Buffer, doing),
        }
        // For people and waiting runs alone: the lock is the kernel's.
        let text = holder.to_json();
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
        written.during(ErrorKind::Buffer, doing)?;
        Ok(Tried::Taken(Box::new(LocalGuard { file })))
    }

    fn connector(&self, key: &str) -> Result<FileConnector> {
        FileConnector::local("buffer", &self.path(key)?)
    }
}

/// A locked file. The kernel lets go of it with the process, however that ends.
#[derive(Debug)]
struct LocalGuard {
    file: File,
}

impl Guard for LocalGuard {
    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

impl Drop for LocalGuard {
    fn drop(&mut self) {
        // Whoever reads it next must not take this run for the holder.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}
