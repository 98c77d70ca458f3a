//! A web server as a store: for reading, and discreet. Its errors name URLs, and a URL may hold a token or a password.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::http::HttpStore;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::timeout;

use crate::transient::{self, Transient};

/// Reads from a server without telling its URL's query and user info in errors.
pub struct ReadOnlyServer {
    inner: HttpStore,
    secrets: Vec<String>,
    /// How long it may say nothing: before its answer, and between two pieces of it.
    patience: Duration,
}

impl ReadOnlyServer {
    /// `url` is the URL that the store was made with.
    pub fn new(inner: HttpStore, url: &str, patience: Duration) -> Self {
        let mut secrets = Vec::new();
        if let Ok(url) = url::Url::parse(url) {
            secrets.extend(url.query().map(str::to_string));
            secrets.extend(url.password().map(str::to_string));
            secrets.push(url.username().to_string());
        }
        secrets.retain(|s| !s.is_empty());
        Self { inner, secrets, patience }
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout(self.patience, asked).await {
            Ok(answer) => answer.map_err(|e| discreet(&self.secrets, e)),
            Err(_) => Err(silent(self.patience)),
        }
    }
}

/// The same error without secrets. Only that there is no such object is told apart by callers.
fn discreet(secrets: &[String], error: Error) -> Error {
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    let transient = transient::is_transient(&error);
    match error {
        _ if transient => Error::Generic { store: "HTTP", source: Box::new(Transient(text)) },
        Error::NotFound { path, .. } => Error::NotFound { path, source: text.into() },
        _ => Error::Generic { store: "HTTP", source: text.into() },
    }
}

fn silent(patience: Duration) -> Error {
    let text =
        format!("the server has sent nothing for {} s (the connection's option `timeout`)", patience.as_secs_f64());
    Error::Generic { store: "HTTP", source: Box::new(Transient(text)) }
}

/// The pieces of an answer. A silence of longer than `patience` is an error, and the end.
fn patient(
    pieces: BoxStream<'static, Result<Bytes>>,
    secrets: Vec<String>,
    patience: Duration,
) -> BoxStream<'static, Result<Bytes>> {
    let next = move |pieces: Option<BoxStream<'static, Result<Bytes>>>| {
        let secrets = secrets.clone();
        async move {
            let mut pieces = pieces?;
            match timeout(patience, pieces.next()).await {
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
                Ok(Some(Err(e))) => Some((Err(discreet(&secrets, e)), None)),
                Ok(None) => None,
                Err(_) => Some((Err(silent(patience)), None)),
            }
        }
    };
    futures::stream::unfold(Some(pieces), next).boxed()
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "a web server is read, not written or listed".into() })
}

impl fmt::Debug for ReadOnlyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadOnlyServer")
    }
}

impl fmt::Display for ReadOnlyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("web server")
    }
}

#[async_trait]
impl ObjectStore for ReadOnlyServer {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut got = self.answer(self.inner.get_opts(location, options)).await?;
        if let GetResultPayload::Stream(stream) = got.payload {
            got.payload = GetResultPayload::Stream(patient(stream, self.secrets.clone(), self.patience));
        }
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // Each by `get_opts`, which is patient and discreet.
        let wanted = ranges.iter().cloned().map(|range| async move { self.get_range(location, range).await });
        futures::future::try_join_all(wanted).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        read_only()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_url_are_in_no_error() {
        let secrets = vec!["sig=hush".to_string(), "pass".to_string()];
        let error = |source: &str| Error::Generic { store: "HTTP", source: source.to_string().into() };
        let shown = discreet(&secrets, error("GET https://me:pass@host/x?sig=hush failed"));
        assert!(!format!("{shown:?} {shown}").contains("hush") && !shown.to_string().contains("pass"), "{shown}");
        let missing = Error::NotFound { path: "x".into(), source: "sig=hush".into() };
        let missing = discreet(&secrets, missing);
        assert!(matches!(missing, Error::NotFound { .. }) && !format!("{missing:?}").contains("hush"));
    }
}
