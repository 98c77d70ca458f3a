//! Object stores: the local disk and those behind URLs, each with a unique name in DataFusion's registry.

use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use percent_encoding::percent_decode_str;

use super::http::ReadOnlyServer;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Options, parse_duration};

/// What a store can do beyond reading an object by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The local disk.
    Local,
    /// S3, GCS or Azure.
    Cloud,
    /// A web server: single files, reading only.
    Http,
}

/// An object store, and how it is named.
#[derive(Clone)]
pub struct Store {
    /// The store. The local disk's starts at `/`.
    pub object: Arc<dyn ObjectStore>,
    /// Its name in DataFusion's registry. Unique for each connection: two credentials for one bucket must not meet.
    pub url: ObjectStoreUrl,
    /// What it can do.
    pub kind: StoreKind,
    /// The URL of its root for people, without secrets: `s3://bucket/`; `/` for the local disk.
    pub root: String,
}

/// Stores print their credentials' providers: show the name alone.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.root).finish()
    }
}

impl Store {
    /// The local disk.
    pub fn local() -> Self {
        Self {
            object: Arc::new(LocalFileSystem::new()),
            url: unique("local", "disk"),
            kind: StoreKind::Local,
            root: "/".into(),
        }
    }

    /// Whether this is the local disk.
    pub fn is_local(&self) -> bool {
        self.kind == StoreKind::Local
    }

    /// A key for people: an absolute path or a whole URL.
    pub fn shown(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    /// The path of a key on the local disk.
    pub fn fs_path(&self, key: &str) -> PathBuf {
        FsPath::new("/").join(key)
    }

    /// The object path of a key, taken as it stands: blanks, `%` and `日本` are part of names.
    ///
    /// # Errors
    /// Schema: an empty, `.` or `..` part, or a control character.
    pub fn path(&self, key: &str) -> Result<object_store::path::Path> {
        object_store::path::Path::parse(key).map_err(|e| {
            Error::new(ErrorKind::Schema, format!("{} is not a path that a store can hold", self.shown(key)))
                .with_source(e)
        })
    }

    /// The store of a URL such as `s3://bucket/prefix`, with the key that the URL names within it. Options are those of
    /// `object_store`; what they leave open comes from the environment.
    ///
    /// # Errors
    /// Configuration: the URL or an option is wrong. Never tells an option's value.
    pub fn from_url(url: &str, options: &Options) -> Result<(Self, String)> {
        let parts = UrlParts::parse(url)?;
        let built: Result<Arc<dyn ObjectStore>, Failure> = match parts.scheme.as_str() {
            "s3" | "s3a" => s3(&parts.bucket_url("s3"), options),
            "gs" | "gcs" => gcs(&parts.bucket_url("gs"), options),
            "az" | "azure" | "adl" | "abfs" | "abfss" => azure(&parts.bucket_url(&parts.scheme), options),
            "http" | "https" => http(&parts.server_url(), &parts.scheme, options),
            other => {
                return Err(Error::new(ErrorKind::Configuration, format!("{other}:// is not a file store's URL"))
                    .with_hint("schemes: file, s3, s3a, gs, gcs, az, azure, adl, abfs, abfss, http, https"));
            }
        };
        let shown = parts.shown();
        let object = built.map_err(|failure| match failure {
            Failure::Option(name) => Error::new(ErrorKind::Configuration, format!("{shown}: unknown option {name}"))
                .with_hint("options are those of object_store, such as region, endpoint, allow_http, access_key_id"),
            Failure::NotText(name) => {
                Error::new(ErrorKind::Configuration, format!("{shown}: option {name} must be a text"))
            }
            Failure::Duration(name) => {
                let error = Error::new(ErrorKind::Configuration, format!("{shown}: option {name} must be a duration"));
                error.with_hint("write 500ms, 30s or 5m")
            }
            Failure::Store(cause) => {
                Error::new(ErrorKind::Configuration, format!("{shown} cannot be used as a store")).with_source(cause)
            }
        })?;
        let kind = if parts.scheme.starts_with("http") { StoreKind::Http } else { StoreKind::Cloud };
        let store = Self { object, url: unique("remote", &uuid::Uuid::now_v7().to_string()), kind, root: shown };
        Ok((store, parts.key))
    }
}

/// How long a web server may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer of a web server may take in all: a week is for ever.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// How often one request is tried: what lasts longer than a few seconds is left to the stream's own `retries`, which are
/// reported.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(60) }
}

fn unique(kind: &str, id: &str) -> ObjectStoreUrl {
    ObjectStoreUrl::parse(format!("dxt-{kind}://{id}")).unwrap_or_else(|_| ObjectStoreUrl::local_filesystem())
}

/// A store's URL in its parts. `Url` is of no use here: a bucket's keys may hold `?`, `#` and `*`.
struct UrlParts {
    scheme: String,
    authority: String,
    key: String,
    query: Option<String>,
}

impl UrlParts {
    fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::Configuration, format!("the store's URL {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no `://`"))?;
        let scheme = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err(wrong("names no bucket or host"));
        }
        let (path, query) = match path.split_once('?') {
            Some((path, query)) if scheme.starts_with("http") => (path, Some(query.to_string())),
            _ => (path, None),
        };
        if authority.contains('@') && matches!(scheme.as_str(), "s3" | "s3a" | "gs" | "gcs") {
            return Err(wrong("has user info before its bucket").with_hint("give credentials as options"));
        }
        let key = percent_decode_str(path).decode_utf8().map_err(|_| wrong("is not UTF-8"))?.into_owned();
        Ok(Self { scheme, authority: authority.into(), key, query })
    }

    fn bucket_url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.authority)
    }

    fn server_url(&self) -> String {
        let query = self.query.as_ref().map(|q| format!("?{q}")).unwrap_or_default();
        format!("{}://{}/{query}", self.scheme, self.authority)
    }

    /// Without user info and query. Azure's container stands where others have a user, so it stays.
    fn shown(&self) -> String {
        let host = match self.authority.rsplit_once('@') {
            Some((_, host)) if self.scheme.starts_with("http") => host,
            Some((container, host)) => return format!("{}://{}@{host}/", self.scheme, before_colon(container)),
            None => &self.authority,
        };
        format!("{}://{host}/", self.scheme)
    }
}

fn before_colon(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

enum Failure {
    Option(String),
    NotText(String),
    Duration(&'static str),
    Store(object_store::Error),
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

/// Options as a builder's typed keys with their texts.
fn configs<K: FromStr>(options: &Options) -> Result<Vec<(K, String)>, Failure> {
    let typed = options.iter().map(|(name, value)| {
        let key = K::from_str(&name.to_ascii_lowercase()).map_err(|_| Failure::Option(name.clone()))?;
        match value {
            serde_json::Value::String(text) => Ok((key, text.clone())),
            serde_json::Value::Bool(flag) => Ok((key, flag.to_string())),
            serde_json::Value::Number(number) => Ok((key, number.to_string())),
            _ => Err(Failure::NotText(name.clone())),
        }
    });
    typed.collect()
}

fn s3(url: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, Failure> {
    let builder = configs::<AmazonS3ConfigKey>(options)?
        .into_iter()
        .fold(AmazonS3Builder::from_env().with_url(url).with_retry(retry()), |b, (key, value)| {
            b.with_config(key, value)
        });
    Ok(Arc::new(builder.build()?))
}

fn gcs(url: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, Failure> {
    let builder = configs::<GoogleConfigKey>(options)?
        .into_iter()
        .fold(GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retry()), |b, (key, value)| {
            b.with_config(key, value)
        });
    Ok(Arc::new(builder.build()?))
}

fn azure(url: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, Failure> {
    let builder = configs::<AzureConfigKey>(options)?
        .into_iter()
        .fold(MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry()), |b, (key, value)| {
            b.with_config(key, value)
        });
    Ok(Arc::new(builder.build()?))
}

fn http(url: &str, scheme: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, Failure> {
    // The URL itself says that it is plain HTTP: asking for `allow_http` besides would only annoy.
    let plain = HttpBuilder::new()
        .with_url(url)
        .with_retry(retry())
        .with_config(ClientConfigKey::AllowHttp, (scheme == "http").to_string());
    let mut configs = configs::<ClientConfigKey>(options)?;
    // A whole answer may take as long as it is long: `timeout` is for the silence within.
    let (given, rest): (Vec<_>, Vec<_>) = configs.drain(..).partition(|(key, _)| *key == ClientConfigKey::Timeout);
    let patience = match given.first() {
        Some((_, text)) => parse_duration(text).ok_or(Failure::Duration("timeout"))?,
        None => PATIENCE,
    };
    let builder = rest.into_iter().fold(plain, |b, (k, v)| b.with_config(k, v));
    let builder = builder.with_config(ClientConfigKey::Timeout, format!("{} seconds", LONGEST.as_secs()));
    Ok(Arc::new(ReadOnlyServer::new(builder.build()?, url, patience)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn url_gives_bucket_and_decoded_key() {
        let options = Options::from([("region".to_string(), json!("eu-west-1"))]);
        let (store, key) = Store::from_url("s3://bucket/some%20prefix/日本/", &options).unwrap();
        assert_eq!((store.root.as_str(), key.as_str()), ("s3://bucket/", "some prefix/日本/"));
        assert_eq!(store.kind, StoreKind::Cloud);
    }

    #[test]
    fn two_stores_of_one_bucket_have_two_names() {
        let one = Store::from_url("s3://bucket/", &Options::new()).unwrap().0;
        let two = Store::from_url("s3://bucket/", &Options::new()).unwrap().0;
        assert_ne!(one.url.as_str(), two.url.as_str());
    }

    #[test]
    fn secrets_are_in_no_error_and_no_debug() {
        let options = Options::from([
            ("aws_secret_access_key".to_string(), json!("hush-hush")),
            ("no_such_key".to_string(), json!("hush-hush")),
        ]);
        let error = Store::from_url("s3://bucket/x", &options).unwrap_err();
        assert!(error.to_string().contains("no_such_key"));
        assert!(!error.report().contains("hush-hush"));
        let (store, _) =
            Store::from_url("https://me:hush-hush@example.org/a?token=hush-hush", &Options::new()).unwrap();
        assert_eq!(format!("{store:?}"), "Store(\"https://example.org/\")");
    }

    #[test]
    fn names_stay_as_they_stand() {
        let store = Store::local();
        for name in ["tmp/a b.csv", "tmp/100%.csv", "tmp/%41.csv", "tmp/日本.csv", "tmp/{x}~.csv"] {
            assert_eq!(store.path(name).unwrap().as_ref(), name);
        }
        assert!(store.path("tmp/../x").is_err());
    }
}
