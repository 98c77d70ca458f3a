//! DataFusion's errors as dxt's: an error of ours that has passed through a plan comes out as it went in.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::object_store;
use datafusion::parquet::errors::ParquetError;

use crate::error::{Error, ErrorKind};

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let Some(own) = own(&error) {
            return own.clone();
        }
        let text = error.strip_backtrace();
        let (kind, hint) = match error.find_root() {
            DataFusionError::SQL(..) => {
                (ErrorKind::Configuration, Some("the SQL is DataFusion's dialect, much like PostgreSQL's"))
            }
            DataFusionError::SchemaError(..) => (
                ErrorKind::Schema,
                Some("unquoted names are read in lower case: put \"Mixed Case\" into double quotes"),
            ),
            DataFusionError::Plan(_) => (ErrorKind::Schema, None),
            DataFusionError::ResourcesExhausted(_) => {
                (ErrorKind::Pipeline, Some("the query needs more memory than it may have: read less at once"))
            }
            _ => (ErrorKind::Pipeline, None),
        };
        // DataFusion says which of its layers failed, which says nothing to a user.
        let message =
            ["SQL error: ", "Schema error: ", "Error during planning: ", "Execution error: ", "Arrow error: "]
                .iter()
                .fold(text.as_str(), |t, prefix| t.strip_prefix(prefix).unwrap_or(t))
                .to_string();
        let error = Error::new(kind, message);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The error of ours within, however deeply it is wrapped.
fn own(error: &DataFusionError) -> Option<&Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(found) = at.downcast_ref::<Error>() {
            return Some(found);
        }
        // Their `source()` skips the box that an external error sits in.
        let inner: Option<&(dyn std::error::Error + 'static)> = match at.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(e)) => Some(e.as_ref()),
            Some(DataFusionError::Context(_, e)) => Some(e.as_ref()),
            Some(DataFusionError::Diagnostic(_, e)) => Some(e.as_ref()),
            Some(DataFusionError::Shared(e)) => Some(e.as_ref()),
            Some(DataFusionError::ArrowError(e, _)) => Some(e.as_ref()),
            Some(DataFusionError::ParquetError(e)) => Some(e.as_ref()),
            Some(DataFusionError::ObjectStore(e)) => Some(e.as_ref()),
            Some(DataFusionError::Collection(all)) => all.first().map(|e| e as _),
            _ => None,
        };
        let arrow = at.downcast_ref::<ArrowError>().and_then(|e| match e {
            ArrowError::ExternalError(e) => Some(e.as_ref() as &(dyn std::error::Error + 'static)),
            _ => None,
        });
        let parquet = at.downcast_ref::<ParquetError>().and_then(|e| match e {
            ParquetError::External(e) => Some(e.as_ref() as &(dyn std::error::Error + 'static)),
            _ => None,
        });
        let store = at.downcast_ref::<object_store::Error>().and_then(|e| match e {
            object_store::Error::Generic { source, .. } => Some(source.as_ref() as &(dyn std::error::Error + 'static)),
            _ => None,
        });
        cause = inner.or(arrow).or(parquet).or(store).or_else(|| at.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ours_comes_out_of_any_wrapping_as_it_went_in() {
        let ours = Error::new(ErrorKind::Validation, "too long").with_hint("make it shorter").context("stream s");
        let wrapped = DataFusionError::Context(
            "outer".into(),
            Box::new(DataFusionError::ArrowError(
                Box::new(ArrowError::ExternalError(Box::new(DataFusionError::from(ours)))),
                None,
            )),
        );
        let back = Error::from(wrapped);
        assert_eq!((back.kind(), back.to_string()), (ErrorKind::Validation, "stream s: too long".to_string()));
        assert_eq!(back.hint(), Some("make it shorter"));
    }
}
