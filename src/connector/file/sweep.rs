//! What loads that were killed have left: hidden files and folders, which nobody reads and nobody else would remove.
//!
//! A load holds a lock on what it stages for as long as its process lives. What can be locked, and has not been touched
//! for a while, belongs to no load any more.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

/// What is younger is left alone: its load may not have locked it yet, or hold a lock on another machine that does not
/// show here.
const GRACE: Duration = Duration::from_secs(600);

/// Whether a name is one of [`hidden_name`](super::staged::hidden_name)'s.
fn is_staged(name: &str) -> bool {
    let id = name.strip_prefix('.').and_then(|name| name.rsplit_once(".dxt-")).map(|(_, id)| id);
    id.and_then(|id| id.get(..Uuid::nil().hyphenated().to_string().len())).is_some_and(|id| Uuid::try_parse(id).is_ok())
}

/// Removes from `dir` what killed loads have left there. A failure is none of the load that comes now.
pub fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_staged) {
            continue;
        }
        let path = entry.path();
        // Of the entry itself, not of what a link leads to.
        let Ok(meta) = entry.metadata() else { continue };
        let old = meta.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > GRACE);
        if !old || meta.is_symlink() {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let gone = if meta.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match gone {
            Ok(()) => tracing::info!(path = %path.display(), "removed what a killed load has left"),
            Err(e) => {
                tracing::warn!(path = %path.display(), error = %e, "what a killed load has left cannot be removed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::staged::{hidden_name, tests::names};
    use super::*;

    #[test]
    fn only_what_is_old_and_of_no_living_load_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let run = || Uuid::now_v7().to_string();
        let long_ago = SystemTime::now() - 2 * GRACE;
        let make = |name: &str, folder: bool, old: bool| {
            let path = dir.path().join(name);
            if folder {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("part.csv"), "x").unwrap();
            } else {
                fs::write(&path, "x").unwrap();
            }
            let file = File::open(&path).unwrap();
            if old {
                file.set_modified(long_ago).unwrap();
            }
            file
        };
        make(&hidden_name("x.csv", &run(), ".tmp"), false, true);
        make(&hidden_name("t", &run(), ""), true, true);
        let new = hidden_name("new.csv", &run(), ".tmp");
        make(&new, false, false);
        let locked = hidden_name("locked.csv", &run(), ".tmp");
        let lock = make(&locked, false, true);
        lock.try_lock().unwrap();
        for other in ["x.csv", ".x.csv.dxt-mine.tmp", ".hidden", ".dxt-"] {
            make(other, false, true);
        }
        sweep(dir.path());
        let mut left =
            vec![new, locked, "x.csv".into(), ".x.csv.dxt-mine.tmp".into(), ".hidden".into(), ".dxt-".into()];
        left.sort();
        assert_eq!(names(dir.path()), left);
    }
}
