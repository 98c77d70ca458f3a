//! Which files a dataset is: one, the matches of a glob, or all of a folder.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use globset::{GlobBuilder, GlobMatcher};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::format::{Format, Named, by_name};
use super::location::{Location, What};
use super::store::{Store, StoreKind};
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// A file that is there.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its key, size and age.
    pub meta: ObjectMeta,
    /// Its path or URL for people.
    pub shown: Arc<str>,
    /// What its name says.
    pub named: Option<Named>,
}

/// Deeper folders than this are taken for a circle of symbolic links.
const MAX_DEPTH: usize = 64;

/// The files of a dataset in order of name. Empty where nothing is there or nothing matches.
///
/// # Errors
/// Extractor: the place cannot be listed. Schema: a glob is malformed, or the server cannot list.
pub async fn files(location: &Location) -> Result<Vec<SourceFile>> {
    let store = &location.store;
    match &location.what {
        What::File => {
            if let Some(file) = single(store, &location.key).await? {
                return Ok(vec![file]);
            }
            match store.is_local() && store.fs_path(&location.key).is_dir() {
                true => below(store, &location.key, None).await,
                false => Ok(Vec::new()),
            }
        }
        What::Folder => below(store, &location.key, None).await,
        What::Glob { pattern, literal } => {
            // A file may be called `a[1].csv`.
            let exact = !pattern.contains('*') && !pattern.contains('?');
            if exact && let Some(file) = single(store, literal).await? {
                return Ok(vec![file]);
            }
            let glob = GlobBuilder::new(pattern)
                .literal_separator(true)
                .build()
                .map_err(|e| Error::new(ErrorKind::Schema, format!("`{pattern}` is not a pattern")).with_source(e))?;
            below(store, &location.key, Some((pattern, glob.compile_matcher()))).await
        }
    }
}

async fn single(store: &Store, key: &str) -> Result<Option<SourceFile>> {
    if store.is_local() && !store.fs_path(key).is_file() {
        return Ok(None);
    }
    match store.object.head(&store.path(key)?).await {
        Ok(meta) => Ok(Some(source_file(store, meta))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(e).during(ErrorKind::Extractor, || store.shown(key)),
    }
}

fn source_file(store: &Store, meta: ObjectMeta) -> SourceFile {
    let shown = store.shown(meta.location.as_ref()).into();
    let named = by_name(meta.location.as_ref());
    SourceFile { meta, shown, named }
}

async fn below(store: &Store, key: &str, glob: Option<(&String, GlobMatcher)>) -> Result<Vec<SourceFile>> {
    let wanted = |relative: &str| match &glob {
        Some((pattern, matcher)) => matcher.is_match(relative) && !hidden(relative, pattern),
        None => !hidden(relative, ""),
    };
    let mut found = Vec::new();
    match store.kind {
        StoreKind::Http => return Err(cannot_list(store)),
        StoreKind::Local => {
            let dir = store.fs_path(key);
            for relative in walk_in_background(dir).await? {
                if wanted(&relative)
                    && let Some(file) = single(store, &join(key, &relative)).await?
                {
                    found.push(file);
                }
            }
        }
        StoreKind::Cloud => {
            let prefix = (!key.is_empty()).then(|| store.path(key)).transpose()?;
            let mut listing = store.object.list(prefix.as_ref());
            while let Some(meta) = listing.try_next().await.during(ErrorKind::Extractor, || store.shown(key))? {
                let relative = meta.location.as_ref().strip_prefix(key).unwrap_or_default().trim_start_matches('/');
                if !relative.is_empty() && wanted(relative) {
                    found.push(source_file(store, meta));
                }
            }
        }
    }
    found.sort_by(|a, b| a.meta.location.as_ref().cmp(b.meta.location.as_ref()));
    Ok(found)
}

fn cannot_list(store: &Store) -> Error {
    Error::new(ErrorKind::Schema, format!("{} is a web server, whose folders cannot be listed", store.root))
        .with_hint("name one file by its whole path")
}

/// `relative` below `key`.
pub fn join(key: &str, relative: &str) -> String {
    if key.is_empty() { relative.to_string() } else { format!("{key}/{relative}") }
}

/// Whether a part of the path begins with `.` or `_` (unfinished or internal files of this and other tools), unless
/// the pattern asks for such names itself.
fn hidden(relative: &str, pattern: &str) -> bool {
    let asked = |mark: char| pattern.split('/').any(|part| part.starts_with(mark));
    ['.', '_'].into_iter().any(|mark| !asked(mark) && relative.split('/').any(|part| part.starts_with(mark)))
}

async fn walk_in_background(dir: PathBuf) -> Result<Vec<String>> {
    tokio::task::spawn_blocking(move || walk(&dir)).await.during(ErrorKind::Extractor, || "listing files".into())?
}

/// The files below a local folder, relative to it, hidden ones included. Empty where there is no such folder.
///
/// # Errors
/// Extractor: a folder cannot be read, or a name is not UTF-8.
pub fn walk(dir: &FsPath) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![(dir.to_path_buf(), String::new(), 0)];
    while let Some((path, relative, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(Error::new(ErrorKind::Extractor, format!("{} is nested too deeply", path.display()))
                .with_hint("is there a symbolic link that leads back up?"));
        }
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) if depth == 0 && e.kind() == std::io::ErrorKind::NotADirectory => continue,
            Err(e) => return Err(e).during(ErrorKind::Extractor, || path.display().to_string()),
        };
        for entry in entries {
            let entry = entry.during(ErrorKind::Extractor, || path.display().to_string())?;
            let name = entry.file_name().into_string().map_err(|name| {
                Error::new(ErrorKind::Extractor, format!("{} holds a name that is not UTF-8: {name:?}", path.display()))
                    .with_hint("rename the file, or name the wanted files by a pattern in a folder without it")
            })?;
            // Unlike the entry's own, this metadata follows links; a file may be gone by now.
            let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
            let relative = join(&relative, &name);
            if metadata.is_dir() {
                open.push((entry.path(), relative, depth + 1));
            } else if metadata.is_file() {
                found.push(relative);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The error for a dataset without files; its hint says what is there.
pub async fn nothing_there(location: &Location) -> Error {
    let error = Error::new(ErrorKind::Schema, format!("no file at {}", location.shown()));
    match neighbours(location).await {
        Some((place, names)) if names.is_empty() => error.with_hint(format!("{place} is empty")),
        Some((place, names)) => error.with_hint(format!("{place} has {}", names.join(", "))),
        None => error.with_hint("check the connection's path and the dataset's"),
    }
}

async fn neighbours(location: &Location) -> Option<(String, Vec<String>)> {
    const SHOWN: usize = 6;
    let store = &location.store;
    let mut key = match location.what {
        What::File => location.key.rsplit_once('/').map(|(dir, _)| dir).unwrap_or_default(),
        _ => &location.key,
    };
    let mut names: Vec<String> = match store.kind {
        StoreKind::Http => return None,
        StoreKind::Local => {
            while !store.fs_path(key).is_dir() {
                key = key.rsplit_once('/').map(|(dir, _)| dir).unwrap_or_default();
            }
            let entries = std::fs::read_dir(store.fs_path(key)).ok()?.flatten();
            let shown = entries.map(|e| {
                let slash = if e.path().is_dir() { "/" } else { "" };
                format!("{}{slash}", e.file_name().to_string_lossy())
            });
            shown.filter(|name| !name.starts_with('.')).collect()
        }
        StoreKind::Cloud => {
            let prefix = (!key.is_empty()).then(|| store.path(key)).transpose().ok()?;
            let listed = store.object.list_with_delimiter(prefix.as_ref()).await.ok()?;
            let folders = listed.common_prefixes.iter().filter_map(|p| p.filename().map(|n| format!("{n}/")));
            folders.chain(listed.objects.iter().filter_map(|o| o.location.filename().map(str::to_string))).collect()
        }
    };
    names.sort();
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("…".into());
    }
    Some((store.shown(key), names))
}

/// The one format of files: the option's, or the one that all extensions name.
///
/// # Errors
/// Schema: no extension says it, or they name several formats.
pub fn common_format(files: &[SourceFile], given: Option<Format>, default: Option<Format>) -> Result<Format> {
    if let Some(format) = given {
        return Ok(format);
    }
    let mut first: Option<(&SourceFile, Format)> = None;
    for file in files {
        let Some(format) = file.named.map(|n| n.format).or(default) else { continue };
        match first {
            Some((other, known)) if known != format => {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!("{} and {} are of different formats", other.shown, file.shown),
                )
                .with_hint("choose one by `options: {format: …}` or a pattern such as `*.parquet`"));
            }
            Some(_) => {}
            None => first = Some((file, format)),
        }
    }
    first.map(|(_, format)| format).ok_or_else(|| {
        let named = files.first().map(|f| f.shown.to_string()).unwrap_or_default();
        Error::new(ErrorKind::Schema, format!("{named}: its name does not say its format"))
            .with_hint("name it: `options: {format: parquet}` (or csv, tsv, json, arrow)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::file::location::Place;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        dir
    }

    async fn found(dir: &tempfile::TempDir, path: &str) -> Vec<String> {
        let place = Place::local(dir.path()).unwrap();
        let files = files(&place.locate(path).unwrap()).await.unwrap();
        let root = format!("{}/", place.store.shown(&place.root));
        files.iter().map(|f| f.shown.strip_prefix(root.as_str()).unwrap().to_string()).collect()
    }

    #[tokio::test]
    async fn globs_stop_at_slashes_and_double_stars_do_not() {
        let dir = folder(&["e/a.csv", "e/x/b.csv", "e/x/y/c.csv", "e/_tmp/d.csv", "e/.h.csv", "e/n.txt"]);
        assert_eq!(found(&dir, "e/*.csv").await, ["e/a.csv"]);
        assert_eq!(found(&dir, "e/**/*.csv").await, ["e/a.csv", "e/x/b.csv", "e/x/y/c.csv"]);
        assert_eq!(found(&dir, "*/x/*.csv").await, ["e/x/b.csv"]);
        assert_eq!(found(&dir, "e/_*/*.csv").await, ["e/_tmp/d.csv"]);
        assert_eq!(found(&dir, "e/").await, ["e/a.csv", "e/n.txt", "e/x/b.csv", "e/x/y/c.csv"]);
        assert_eq!(found(&dir, "e").await.len(), 4);
    }

    #[tokio::test]
    async fn odd_names_are_found_as_they_stand() {
        let names = ["100%.csv", "a b.csv", "a[1].csv", "%41.csv", "日本.csv"];
        let dir = folder(&names);
        for name in names {
            assert_eq!(found(&dir, name).await, [name]);
        }
    }

    #[tokio::test]
    async fn a_missing_file_is_an_error_that_names_place_and_neighbours() {
        let dir = folder(&["real.csv"]);
        let place = Place::local(dir.path()).unwrap();
        let location = place.locate("sub/raal.csv").unwrap();
        assert!(files(&location).await.unwrap().is_empty());
        let error = nothing_there(&location).await;
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert!(error.message().contains("sub/raal.csv"));
        assert!(error.hint().unwrap().contains("real.csv"), "{error:?}");
    }
}
