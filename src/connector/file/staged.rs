//! A file that is written and not yet seen: a hidden file on the local disk, an unfinished upload elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt;

use super::sweep::sweep;
use super::upload::Upload;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::fault;

/// A file in the making. Dropping it removes it.
pub enum Staged {
    Local(LocalFile),
    Remote(Upload),
}

impl Staged {
    /// Adds bytes.
    ///
    /// # Errors
    /// Loader: the disk is full, the store refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Local(file) => file.write(bytes).await,
            Self::Remote(upload) => upload.write(bytes).await,
        }
    }

    /// Ends the writing: on the local disk all bytes are safe, elsewhere they have been sent but for a last small part
    /// that goes with the publication.
    ///
    /// # Errors
    /// Loader: as for writing.
    pub async fn seal(&mut self) -> Result<()> {
        match self {
            Self::Local(file) => file.seal().await,
            Self::Remote(upload) => upload.seal().await,
        }
    }

    /// Removes it.
    pub async fn abort(self) {
        if let Self::Remote(upload) = self {
            upload.abort().await;
        }
    }
}

/// A hidden file, and the folders that were made for it.
pub struct LocalFile {
    path: PathBuf,
    made: Vec<PathBuf>,
    file: Option<tokio::fs::File>,
    /// Locked until the file has its name: what is not, nobody writes to any more.
    _lock: Option<fs::File>,
    published: bool,
}

/// A name for what is staged beside `name`: hidden, of the run, and short enough for every file system.
pub fn hidden_name(name: &str, run_id: &str, suffix: &str) -> String {
    const LONGEST: usize = 120;
    let cut = (0..=LONGEST.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    format!(".{}.dxt-{}{suffix}", &name[..cut], safe(run_id))
}

/// A run's id as a part of a name.
pub fn safe(run_id: &str) -> String {
    run_id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

impl LocalFile {
    /// Makes a hidden file in `dir` for a file that will be called `name`. Missing folders are made.
    ///
    /// # Errors
    /// Loader: a folder or the file cannot be made.
    pub async fn create(dir: &Path, name: &str, run_id: &str) -> Result<Self> {
        let doing = || format!("making a file in {}", dir.display());
        let made = make_folders(dir).during(ErrorKind::Loader, doing)?;
        sweep(dir);
        let path = dir.join(hidden_name(name, run_id, ".tmp"));
        let mut staged = Self { path, made, file: None, _lock: None, published: false };
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        let file = match options.open(&staged.path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // Of another stream of this run, or of one that was killed: leave it alone.
                let other = format!("{}-{}", safe(run_id), uuid::Uuid::now_v7().simple());
                staged.path = dir.join(hidden_name(name, &other, ".tmp"));
                options.open(&staged.path)
            }
            opened => opened,
        };
        match file {
            Ok(file) => {
                fault::point("file.made");
                staged._lock = file.try_clone().ok().filter(|file| file.try_lock().is_ok());
                staged.file = Some(file.into());
            }
            Err(e) => {
                staged.published = true;
                remove_folders(&staged.made);
                return Err(e).during(ErrorKind::Loader, doing);
            }
        }
        Ok(staged)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let shown = self.path.display().to_string();
        match &mut self.file {
            Some(file) => file.write_all(bytes).await.during(ErrorKind::Loader, || format!("writing {shown}")),
            None => Err(Error::new(ErrorKind::Loader, format!("{shown} is sealed"))),
        }
    }

    async fn seal(&mut self) -> Result<()> {
        if let Some(mut file) = self.file.take() {
            let doing = || format!("writing {}", self.path.display());
            file.flush().await.during(ErrorKind::Loader, doing)?;
            file.sync_all().await.during(ErrorKind::Loader, doing)?;
        }
        Ok(())
    }

    /// Gives the file its name, in the place of a file that has it. What was there keeps its permissions.
    ///
    /// # Errors
    /// Loader: the disk refuses; what was there is as it was.
    pub fn replace(mut self, target: &Path) -> Result<()> {
        let doing = || format!("publishing {}", target.display());
        if let Ok(old) = fs::metadata(target) {
            fs::set_permissions(&self.path, old.permissions()).during(ErrorKind::Loader, doing)?;
        }
        fault::point("file.replace.before");
        fs::rename(&self.path, target).during(ErrorKind::Loader, doing)?;
        fault::point("file.replace.after");
        self.published = true;
        // The rows are there for all to see: a failure to sync may not say that they are not.
        let _ = sync_parent(target);
        Ok(())
    }

    /// Gives the file the first of `names` that no file in its folder has.
    ///
    /// # Errors
    /// Loader: the disk refuses, or all names are taken.
    pub fn publish_new(mut self, dir: &Path, names: impl Iterator<Item = String>) -> Result<()> {
        let doing = || format!("publishing a part in {}", dir.display());
        for name in names {
            let target = dir.join(name);
            match rename_new(&self.path, &target) {
                Ok(()) => {
                    fault::point("file.part.published");
                    self.published = true;
                    let _ = sync_parent(&target);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e).during(ErrorKind::Loader, doing),
            }
        }
        Err(Error::new(ErrorKind::Loader, doing() + ": every name is taken"))
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a failure here; a hidden file that stays is read by nobody.
            let _ = fs::remove_file(&self.path);
            remove_folders(&self.made);
        }
    }
}

/// Makes a folder and those above it; gives those that it made, outermost first.
pub fn make_folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made: Vec<PathBuf> = dir.ancestors().take_while(|d| !d.exists()).map(Path::to_path_buf).collect();
    made.reverse();
    fs::create_dir_all(dir)?;
    Ok(made)
}

/// Removes those of the folders that are still empty.
pub fn remove_folders(made: &[PathBuf]) {
    // Only empty folders can be removed so: what others have put there stays.
    for dir in made.iter().rev() {
        let _ = fs::remove_dir(dir);
    }
}

/// Renames without ever taking another's place.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            // A hard link fails where the name is taken, on file systems that know no better.
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        done => Ok(done?),
    }
}

/// Makes a rename safe.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What is in a folder, in order.
    pub fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn staged(dir: &Path, text: &str) -> LocalFile {
        let mut file = LocalFile::create(dir, "x.csv", "run/1").await.unwrap();
        file.write(text.as_bytes()).await.unwrap();
        file.seal().await.unwrap();
        file
    }

    #[tokio::test]
    async fn a_file_is_hidden_until_it_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.csv");
        fs::write(&target, "old").unwrap();
        let file = staged(dir.path(), "new").await;
        assert_eq!(names(dir.path()), [".x.csv.dxt-run_1.tmp", "x.csv"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        file.replace(&target).unwrap();
        assert_eq!(names(dir.path()), ["x.csv"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[tokio::test]
    async fn a_dropped_file_leaves_nothing_not_even_folders() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        let file = staged(&deep, "new").await;
        let second = LocalFile::create(&deep, "x.csv", "run/1").await.unwrap();
        assert_eq!(names(&deep).len(), 2);
        drop(second);
        drop(file);
        assert!(names(dir.path()).is_empty());
    }

    #[tokio::test]
    async fn a_part_never_takes_anothers_place() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("p.csv"), "old").unwrap();
        let names = ["p.csv", "p-2.csv"].map(str::to_string);
        staged(dir.path(), "new").await.publish_new(dir.path(), names.clone().into_iter()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("p.csv")).unwrap(), "old");
        assert_eq!(fs::read_to_string(dir.path().join("p-2.csv")).unwrap(), "new");
        assert!(staged(dir.path(), "x").await.publish_new(dir.path(), names.into_iter()).is_err());
        assert_eq!(super::tests::names(dir.path()), ["p-2.csv", "p.csv"]);
    }

    #[test]
    fn names_are_cut_between_characters() {
        let name = hidden_name(&"日".repeat(100), "r", ".tmp");
        assert!(name.len() < 200 && name.ends_with(".dxt-r.tmp"));
    }
}
