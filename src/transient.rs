//! Which causes are gone a little later: what networks and servers say of themselves.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use object_store::client::{HttpError, HttpErrorKind};

use crate::error::Error;

/// An error and the causes within, however they are wrapped.
pub(crate) fn causes<'a>(
    first: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> + 'a {
    std::iter::successors(Some(first), |at| within(*at))
}

/// The next cause. The `source()` of many wrappers skips the error that they hold.
fn within<'a>(at: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(error) = at.downcast_ref::<DataFusionError>() {
        let inner: Option<&(dyn StdError + 'static)> = match error {
            DataFusionError::External(e) => Some(e.as_ref()),
            DataFusionError::Context(_, e) | DataFusionError::Diagnostic(_, e) => Some(e.as_ref()),
            DataFusionError::Shared(e) => Some(e.as_ref()),
            DataFusionError::ArrowError(e, _) => Some(e.as_ref()),
            DataFusionError::ParquetError(e) => Some(e.as_ref()),
            DataFusionError::ObjectStore(e) => Some(e.as_ref()),
            DataFusionError::IoError(e) => Some(e),
            DataFusionError::Collection(all) => all.first().map(|e| e as _),
            _ => None,
        };
        return inner.or_else(|| at.source());
    }
    match at.downcast_ref::<ArrowError>() {
        Some(ArrowError::ExternalError(e)) => return Some(e.as_ref()),
        Some(ArrowError::IoError(_, e)) => return Some(e),
        _ => {}
    }
    if let Some(ParquetError::External(e)) = at.downcast_ref::<ParquetError>() {
        return Some(e.as_ref());
    }
    if let Some(object_store::Error::Generic { source, .. }) = at.downcast_ref::<object_store::Error>() {
        return Some(source.as_ref());
    }
    match at.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => at.source(),
    }
}

/// Whether a cause within says that the same work may succeed later. An error of dxt within has the last word.
pub(crate) fn is_transient(error: &(dyn StdError + 'static)) -> bool {
    match causes(error).find_map(|cause| cause.downcast_ref::<Error>()) {
        Some(own) => own.is_transient(),
        None => causes(error).any(one),
    }
}

fn one(cause: &(dyn StdError + 'static)) -> bool {
    if cause.is::<Transient>() {
        return true;
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return broken(error.kind());
    }
    if let Some(error) = cause.downcast_ref::<HttpError>() {
        let kinds =
            [HttpErrorKind::Connect, HttpErrorKind::Request, HttpErrorKind::Timeout, HttpErrorKind::Interrupted];
        return kinds.contains(&error.kind());
    }
    // object_store keeps the type of this one to itself.
    let text = cause.to_string();
    let status =
        text.strip_prefix("Server returned non-2xx status code: ").and_then(|s| s.get(..3)).unwrap_or_default();
    matches!(status.as_bytes(), b"429" | b"408" | [b'5', b'0'..=b'9', b'0'..=b'9'])
}

/// Whether a connection could not be made or has broken. None of these comes from a local disk.
pub(crate) fn broken(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(
        kind,
        K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::BrokenPipe
            | K::TimedOut
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::NetworkDown
    )
}

/// Whether a cause within says that a disk has no room left.
pub(crate) fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| kinds.contains(&e.kind())))
}

/// A cause that is known to be transient and of which only the text is left.
#[derive(Debug)]
pub(crate) struct Transient(pub(crate) String);

impl fmt::Display for Transient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Transient {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, ResultExt};

    fn wrapped(inner: impl StdError + Send + Sync + 'static) -> DataFusionError {
        let inner = object_store::Error::Generic { store: "S3", source: Box::new(inner) };
        DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(inner))))
    }

    #[test]
    fn a_broken_connection_is_seen_through_every_wrapping_and_a_missing_file_is_none() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(is_transient(&wrapped(reset())));
        assert!(is_transient(&io::Error::other(wrapped(reset()))));
        assert!(Error::from(wrapped(reset())).is_transient());
        let during: crate::Result<()> = Err(wrapped(reset())).during(ErrorKind::Extractor, || "reading".into());
        assert!(during.unwrap_err().is_transient());
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull] {
            assert!(!is_transient(&wrapped(io::Error::from(kind))), "{kind}");
        }
    }

    #[test]
    fn statuses_of_a_busy_server_are_transient_and_others_are_not() {
        let status = |code: &str| wrapped(io::Error::other(format!("Server returned non-2xx status code: {code}: x")));
        for (code, transient) in [("503 Service Unavailable", true), ("429 Too Many Requests", true), ("403", false)] {
            assert_eq!(is_transient(&status(code)), transient, "{code}");
        }
    }

    #[test]
    fn an_error_of_ours_within_has_the_last_word() {
        let ours = Error::new(ErrorKind::Validation, "status code: 503").context("a value");
        assert!(!is_transient(&DataFusionError::from(ours)));
        let ours = Error::new(ErrorKind::Loader, "a deadlock").transient(true);
        assert!(Error::from(DataFusionError::from(ours)).is_transient());
    }
}
