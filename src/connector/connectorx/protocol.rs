//! What differs between connectorx's sources: how one is made, which value its columns give, what its errors mean.

use connectorx::sources::{Source, SourcePartition};

use super::Scan;
use super::destination::Cell;
use crate::error::{Error, Result};

/// A source of connectorx's.
pub(super) type SourceOf<P> = <P as Protocol>::Source;
/// The types of its columns.
pub(super) type TypeOf<P> = <SourceOf<P> as Source>::TypeSystem;
/// What reads the rows of a query.
pub(super) type ParserOf<'a, P> = <<SourceOf<P> as Source>::Partition as SourcePartition>::Parser<'a>;
/// Its errors.
pub(super) type ErrorOf<P> = <SourceOf<P> as Source>::Error;

/// What ends the reading of a row.
pub(super) enum Fault<E> {
    /// The source has failed.
    Source(E),
    /// A value does not fit its column.
    Misfit(String),
}

impl<E> From<E> for Fault<E> {
    fn from(error: E) -> Self {
        Self::Source(error)
    }
}

/// A column behind those that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// There is none.
    None,
    /// It says how many rows the result has: the driver may lose some without a word.
    Total,
    /// It says nothing: the driver needs a second column.
    #[allow(dead_code)] // a driver behind a Cargo feature needs it
    Filler,
}

/// Takes the next value of a row; `None` is NULL.
pub(super) type Put<'p> = dyn FnMut(Option<Cell<'_>>) -> Result<(), String> + 'p;

/// Hands a value on.
pub(super) fn give<E>(put: &mut Put<'_>, value: Option<Cell<'_>>) -> Result<(), Fault<E>> {
    put(value).map_err(Fault::Misfit)
}

/// One system, read by one of connectorx's sources. All of it runs on one thread, and blocks.
pub(super) trait Protocol: Sized {
    /// The source.
    type Source: Source;

    /// The column behind those that were asked for.
    const EXTRA: Extra = Extra::None;

    /// Connects.
    fn connect(scan: &Scan) -> Result<Self::Source, ErrorOf<Self>>;

    /// A query without rows that has the columns of `sql`, where asking for the metadata of `sql` itself would run it.
    fn probe(sql: &str) -> Option<String> {
        let _ = sql;
        None
    }

    /// A query of one whole number: the rows of `sql`. Asked where there was no row to say it, of [`Extra::Total`].
    fn count(sql: &str) -> Option<String> {
        let _ = sql;
        None
    }

    /// The native type of a column, as far as the driver tells it.
    fn native(column: TypeOf<Self>) -> Option<&'static str> {
        let _ = column;
        None
    }

    /// Why a column's values would not arrive whole: the end of a sentence that begins with the column.
    fn refuses(column: TypeOf<Self>) -> Option<&'static str> {
        let _ = column;
        None
    }

    /// Reads the next value of the row, of a column of this type, in the form that loses nothing.
    fn read(
        parser: &mut ParserOf<'_, Self>,
        column: TypeOf<Self>,
        put: &mut Put<'_>,
    ) -> Result<(), Fault<ErrorOf<Self>>>;

    /// The source's error as one of dxt's; `doing` is what was being done.
    fn failed(scan: &Scan, doing: &str, error: ErrorOf<Self>) -> Error;
}

/// An error of a driver whose errors dxt does not take apart.
#[cfg(any(feature = "mssql", feature = "clickhouse", feature = "trino", feature = "bigquery", feature = "oracle"))]
pub(super) fn plainly(doing: &str, error: &dyn std::error::Error) -> Error {
    Error::new(crate::error::ErrorKind::Extractor, format!("{doing}: {error}"))
}

/// A runtime for drivers that want one of their own.
#[cfg(any(feature = "mssql", feature = "clickhouse", feature = "trino", feature = "bigquery"))]
pub(super) fn runtime() -> Result<std::sync::Arc<tokio::runtime::Runtime>, connectorx::errors::ConnectorXError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    Ok(std::sync::Arc::new(runtime))
}
