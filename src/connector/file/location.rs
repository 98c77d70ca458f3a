//! Where a connection's datasets are: paths within its folder or bucket, absolute local paths, whole URLs.

use std::path::{Path as FsPath, PathBuf};

use percent_encoding::percent_decode_str;

use super::format::Format;
use super::store::{Store, StoreKind};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, OptionReader, Options};

/// The folder, bucket or server of a connection.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it is.
    pub store: Store,
    /// The key that relative paths start at, without slashes at its ends.
    pub root: String,
    /// The format of files whose extension does not say it.
    pub format: Option<Format>,
}

/// One dataset's place.
#[derive(Debug, Clone)]
pub struct Location {
    /// Where it is.
    pub store: Store,
    /// The file's or folder's key; of a glob, the folder that its literal parts name.
    pub key: String,
    /// What is there.
    pub what: What,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One file.
    File,
    /// All files below a folder.
    Folder,
    /// The files below the key that match a pattern. `literal` is the key of the file that is called just so.
    Glob { pattern: String, literal: String },
}

impl Location {
    /// The whole path or URL for people, without secrets.
    pub fn shown(&self) -> String {
        match &self.what {
            What::File => self.store.shown(&self.key),
            What::Folder if self.key.is_empty() => self.store.root.clone(),
            What::Folder => format!("{}/", self.store.shown(&self.key)),
            What::Glob { pattern, .. } if self.key.is_empty() => self.store.shown(pattern),
            What::Glob { pattern, .. } => format!("{}/{pattern}", self.store.shown(&self.key)),
        }
    }
}

const LOCAL_SCHEMES: [&str; 3] = ["file", "local", "parquet"];

impl Place {
    /// A local folder; a relative one is taken from where the process runs.
    pub fn local(folder: &FsPath) -> Result<Self> {
        let absolute = std::path::absolute(folder).map_err(|e| {
            Error::new(ErrorKind::Configuration, format!("{} is not a folder's path", folder.display())).with_source(e)
        })?;
        Ok(Self { store: Store::local(), root: local_key(&absolute)?, format: None })
    }

    /// The place that a connection's configuration names.
    ///
    /// # Errors
    /// Configuration: there is no path, or the URL, a field or an option is wrong.
    pub fn from_config(config: &ConnectionConfig) -> Result<Self> {
        let mut options = config.options.clone();
        options.extend(config.fields.iter().map(|(k, v)| (k.clone(), v.clone())));
        let place = take_place(&mut options, &["path", "bucket", "container"])?;
        let [path, bucket, container] = place;
        let url = match (&config.url, path, bucket.or(container)) {
            (Some(url), None, None) => url.reveal().to_string(),
            (None, Some(path), None) => path,
            (None, path, Some(bucket)) => {
                let key = path.unwrap_or_default();
                format!("{}://{bucket}/{}", config.kind, key.trim_start_matches('/').replace('%', "%25"))
            }
            (None, None, None) => {
                // A misspelt `path` is named as such.
                OptionReader::known(&options, "fields of a file connection", &["path", "url", "bucket", "container"])?;
                return Err(Error::new(ErrorKind::Configuration, "a file connection needs a path or URL")
                    .with_hint("write `path: ./folder/`, or `url: s3://bucket/prefix`"));
            }
            (Some(_), _, _) => {
                return Err(Error::new(ErrorKind::Configuration, "a URL and a path or bucket exclude each other"));
            }
        };
        let scheme = url.split_once(':').map(|(s, _)| s.split('+').next().unwrap_or(s).to_ascii_lowercase());
        let remote = url.contains("://") && scheme.as_ref().is_some_and(|s| !LOCAL_SCHEMES.contains(&s.as_str()));
        if remote {
            let (store, key) = Store::from_url(&url, &options)?;
            let root = normal("", &key, true)?;
            return Ok(Self { store, root, format: None });
        }
        // A local connection has no options; reading none of them makes the reader name whatever is there.
        OptionReader::new(&options, "options of a local file connection").finish()?;
        let path = match scheme.as_deref() {
            Some(scheme) if LOCAL_SCHEMES.contains(&scheme) => local_url_path(&url)?,
            _ => url,
        };
        let mut place = Self::local(&config.base_dir.join(path))?;
        place.format = (config.kind == "parquet").then_some(Format::Parquet);
        Ok(place)
    }

    /// The place of a dataset. On a local connection absolute paths and whole URLs stand for themselves.
    ///
    /// # Errors
    /// Schema: the path leaves a store's prefix by `..`, or is another store's. Configuration: a URL is wrong.
    pub fn locate(&self, path: &str) -> Result<Location> {
        if path.contains('\0') {
            return Err(Error::new(ErrorKind::Schema, "a path may not hold a NUL"));
        }
        let scheme = path.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme {
            Some(scheme) if self.store.is_local() && LOCAL_SCHEMES.contains(&scheme.as_str()) => {
                let path = local_url_path(path)?;
                self.within(&self.store, &self.root, &path)
            }
            Some(_) if self.store.is_local() => {
                let (store, key) = Store::from_url(path, &Options::new())?;
                self.within(&store, "", &key)
            }
            Some(_) => match path.strip_prefix(&self.store.root) {
                Some(key) => {
                    let key = percent_decode_str(key).decode_utf8().unwrap_or_default().into_owned();
                    self.within(&self.store, "", &key)
                }
                None => Err(Error::new(ErrorKind::Schema, format!("the path is not in {}", self.store.root))
                    .with_hint("give another bucket or server a connection of its own")),
            },
            None => self.within(&self.store, &self.root, path),
        }
    }

    fn within(&self, store: &Store, root: &str, path: &str) -> Result<Location> {
        let remote = !store.is_local();
        let root = if path.starts_with('/') && !remote { "" } else { root };
        let last = path.rsplit('/').next().unwrap_or_default();
        let literal = normal(root, path, remote)?;
        let glob = store.kind != StoreKind::Http && path.contains(['*', '?', '[', '{']);
        if glob {
            let parts: Vec<&str> = path.split('/').collect();
            let first = parts.iter().position(|p| p.contains(['*', '?', '[', '{'])).unwrap_or(parts.len());
            let (before, after) = parts.split_at(first);
            let mut pattern = after.join("/");
            if last.is_empty() {
                pattern.push_str("**");
            }
            let key = normal(root, &before.join("/"), remote)?;
            return Ok(Location { store: store.clone(), key, what: What::Glob { pattern, literal } });
        }
        let folder = last.is_empty() || last == "." || last == ".." || literal.is_empty();
        let what = if folder { What::Folder } else { What::File };
        Ok(Location { store: store.clone(), key: literal, what })
    }
}

fn take_place<const N: usize>(options: &mut Options, names: &[&str; N]) -> Result<[Option<String>; N]> {
    let mut taken = [const { None }; N];
    for (slot, name) in taken.iter_mut().zip(names) {
        *slot = match options.remove(*name) {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(text)) => Some(text),
            Some(_) => return Err(Error::new(ErrorKind::Configuration, format!("{name} must be a text"))),
        };
    }
    Ok(taken)
}

/// `path` below `root`, without empty and `.` parts. `..` goes up on the local disk and is refused elsewhere, where
/// prefixes are no folders.
fn normal(root: &str, path: &str, remote: bool) -> Result<String> {
    let mut parts: Vec<&str> = root.split('/').filter(|p| !p.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if remote => {
                return Err(Error::new(ErrorKind::Schema, format!("{path}: a store's paths have no `..`"))
                    .with_hint("let the connection start at a shorter prefix"));
            }
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn local_key(path: &FsPath) -> Result<String> {
    let text = path.to_str().ok_or_else(|| {
        Error::new(ErrorKind::Configuration, format!("{} is not UTF-8", path.display()))
            .with_hint("rename the folder; dxt's paths are UTF-8")
    })?;
    normal("", text, false)
}

/// The path of `file:///abs`, `file://./rel` or `file:rel`.
fn local_url_path(url: &str) -> Result<String> {
    let rest = url.split_once(':').map(|(_, rest)| rest).unwrap_or(url);
    let path = match rest.strip_prefix("//") {
        Some(path) => path.strip_prefix("localhost/").map(|p| format!("/{p}")).unwrap_or_else(|| path.to_string()),
        None => rest.to_string(),
    };
    let decoded = percent_decode_str(&path).decode_utf8();
    let decoded = decoded.map_err(|_| Error::new(ErrorKind::Configuration, "the file URL is not UTF-8"))?;
    if decoded.is_empty() {
        return Err(Error::new(ErrorKind::Configuration, "the file URL names no path")
            .with_hint("write file:///absolute/folder/ or file://./relative/folder/"));
    }
    Ok(decoded.into_owned())
}

/// The folder that holds a local key.
pub fn parent_dir(store: &Store, key: &str) -> PathBuf {
    store.fs_path(key.rsplit_once('/').map(|(dir, _)| dir).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: &str, url: Option<&str>, fields: &[(&str, &str)]) -> ConnectionConfig {
        let mut config = ConnectionConfig::from_url("lake", url.unwrap_or_default(), "/base");
        config.kind = kind.into();
        config.url = url.map(crate::model::Secret::new);
        config.fields = fields.iter().map(|(k, v)| (k.to_string(), serde_json::json!(v))).collect();
        config
    }

    fn root(kind: &str, url: Option<&str>, fields: &[(&str, &str)]) -> String {
        let place = Place::from_config(&config(kind, url, fields)).unwrap();
        place.store.shown(&place.root)
    }

    #[test]
    fn connections_name_folders_and_buckets() {
        assert_eq!(root("file", None, &[("path", "./lake/")]), "/base/lake");
        assert_eq!(root("file", Some("file:///abs/a%20b"), &[]), "/abs/a b");
        assert_eq!(root("file", Some("file://./rel"), &[]), "/base/rel");
        assert_eq!(root("file", None, &[("path", "s3://bucket/pre/fix/")]), "s3://bucket/pre/fix");
        assert_eq!(root("s3", None, &[("bucket", "b"), ("path", "x/100%")]), "s3://b/x/100%");
        assert_eq!(root("file", Some("https://me:pw@host/data/"), &[]), "https://host/data");
    }

    #[test]
    fn stray_fields_of_a_local_connection_are_errors() {
        let error = Place::from_config(&config("file", None, &[("path", "x"), ("region", "y")])).unwrap_err();
        assert!(error.message().contains("region"), "{error}");
        assert!(Place::from_config(&config("file", None, &[])).is_err());
    }

    #[test]
    fn paths_become_files_folders_and_globs() {
        let place = Place::local(FsPath::new("/lake")).unwrap();
        let located = |path: &str| place.locate(path).unwrap();
        assert_eq!((located("a/./b.csv").key.as_str(), located("a/b.csv").what), ("lake/a/b.csv", What::File));
        assert_eq!((located("a/").key.as_str(), located("a/").what), ("lake/a", What::Folder));
        assert_eq!(located("../x.csv").shown(), "/x.csv");
        assert_eq!(located("/tmp/100% 日本.csv").shown(), "/tmp/100% 日本.csv");
        let glob = located("events/**/*.parquet");
        assert_eq!((glob.key.as_str(), glob.shown().as_str()), ("lake/events", "/lake/events/**/*.parquet"));
        assert!(matches!(glob.what, What::Glob { pattern, .. } if pattern == "**/*.parquet"));
        assert_eq!(located("").what, What::Folder);
        assert_eq!(located("https://h/x%20y.csv?sig=1").shown(), "https://h/x y.csv");
    }

    #[test]
    fn remote_paths_stay_below_their_bucket() {
        let place = Place::from_config(&config("s3", Some("s3://bucket/pre"), &[])).unwrap();
        assert_eq!(place.locate("a/b.csv").unwrap().shown(), "s3://bucket/pre/a/b.csv");
        assert_eq!(place.locate("s3://bucket/other/b.csv").unwrap().shown(), "s3://bucket/other/b.csv");
        assert!(place.locate("../b.csv").is_err());
        assert!(place.locate("s3://elsewhere/b.csv").is_err());
    }
}
