//! DataFusion's errors as dxt's: an error of ours that has passed through a plan comes out as it went in.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::error::{Error, ErrorKind};
use crate::transient;

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
            DataFusionError::ResourcesExhausted(_) => (
                ErrorKind::Pipeline,
                Some("the query needs more memory than it may have: raise --memory-limit, or read less at once"),
            ),
            _ => (ErrorKind::Pipeline, None),
        };
        // DataFusion says which of its layers failed, which says nothing to a user.
        let message =
            ["SQL error: ", "Schema error: ", "Error during planning: ", "Execution error: ", "Arrow error: "]
                .iter()
                .fold(text.as_str(), |t, prefix| t.strip_prefix(prefix).unwrap_or(t))
                .to_string();
        let message = match error.find_root() {
            DataFusionError::SQL(cause, _) => match cause.as_ref() {
                ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
                ParserError::RecursionLimitExceeded => "the SQL is nested too deeply".into(),
            },
            _ => message,
        };
        let error = Error::new(kind, message).transient(transient::is_transient(&error));
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The error of ours within, however deeply it is wrapped.
fn own(error: &DataFusionError) -> Option<&Error> {
    transient::causes(error).find_map(|cause| cause.downcast_ref::<Error>())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::error::ArrowError;

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
