//! A local folder of parts that replaces another in one step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::staged::{hidden_name, make_folders, remove_folders, safe, sync_parent};
use super::sweep::sweep;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::fault;

/// A folder in the making beside the one that it will replace. Dropping it removes it.
pub struct LocalFolder {
    path: PathBuf,
    made: Vec<PathBuf>,
    /// Locked until it has its name.
    _lock: Option<fs::File>,
    published: bool,
}

impl LocalFolder {
    /// Makes a hidden folder beside `target`.
    ///
    /// # Errors
    /// Loader: it cannot be made.
    pub fn create(target: &Path, run_id: &str) -> Result<Self> {
        let doing = || format!("making a folder beside {}", target.display());
        let (Some(parent), Some(name)) = (target.parent(), target.file_name().and_then(|n| n.to_str())) else {
            return Err(Error::new(ErrorKind::Loader, format!("{} cannot be replaced", target.display())));
        };
        let made = make_folders(parent).during(ErrorKind::Loader, doing)?;
        sweep(parent);
        let id = format!("{}-{}", safe(run_id), uuid::Uuid::now_v7().simple());
        let plain = parent.join(hidden_name(name, run_id, ""));
        let path = if plain.exists() { parent.join(hidden_name(name, &id, "")) } else { plain };
        let mut folder = Self { path, made, _lock: None, published: false };
        fs::create_dir(&folder.path).during(ErrorKind::Loader, doing)?;
        folder._lock = fs::File::open(&folder.path).ok().filter(|dir| dir.try_lock().is_ok());
        fault::point("file.folder.made");
        Ok(folder)
    }

    /// Where files are put.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the folder in the place of `target` in one step, then removes what was there.
    ///
    /// # Errors
    /// Loader: the file system cannot exchange folders; what was there is as it was.
    pub fn replace(mut self, target: &Path) -> Result<()> {
        let doing = || format!("publishing {}", target.display());
        fs::File::open(&self.path).and_then(|dir| dir.sync_all()).during(ErrorKind::Loader, doing)?;
        if !target.exists() {
            rename_new_folder(&self.path, target).during(ErrorKind::Loader, doing)?;
            fault::point("file.folder.placed");
            self.published = true;
            let _ = sync_parent(target);
            return Ok(());
        }
        if let Ok(old) = fs::metadata(target) {
            fs::set_permissions(&self.path, old.permissions()).during(ErrorKind::Loader, doing)?;
        }
        fault::point("file.exchange.before");
        renameat_with(CWD, &self.path, CWD, target, RenameFlags::EXCHANGE).map_err(|e| {
            Error::new(ErrorKind::Loader, format!("{} cannot be replaced in one step", target.display()))
                .with_source(io::Error::from(e))
                .with_hint("the file system cannot exchange folders: write one file instead, such as `x.parquet`")
        })?;
        fault::point("file.exchange.after");
        // From here on the new rows are there: what follows only tidies up, and what it leaves is hidden.
        self.published = true;
        let _ = sync_parent(target);
        let _ = fs::remove_dir_all(&self.path);
        fault::point("file.exchange.tidied");
        Ok(())
    }
}

fn rename_new_folder(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Without the flag a rename of a folder takes the place of an empty one at most.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to),
        done => Ok(done?),
    }
}

impl Drop for LocalFolder {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_dir_all(&self.path);
            remove_folders(&self.made);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::file::staged::tests::names;

    #[test]
    fn a_folder_is_exchanged_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("t");
        for round in ["one", "two"] {
            let folder = LocalFolder::create(&target, "r").unwrap();
            fs::write(folder.path().join(round), "x").unwrap();
            folder.replace(&target).unwrap();
            assert_eq!(names(&target), [round]);
            assert_eq!(names(dir.path()), ["t"]);
        }
        let folder = LocalFolder::create(&target, "r").unwrap();
        fs::write(folder.path().join("three"), "x").unwrap();
        drop(folder);
        assert_eq!(names(&target), ["two"]);
        assert_eq!(names(dir.path()), ["t"]);
    }
}
