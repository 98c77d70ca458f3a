//! MySQL and MariaDB, by the binary protocol: numbers arrive as numbers, all else as the bytes that the server sends.
//!
//! connectorx panics on zero dates, on times beyond a day, and on types that it does not know. So dates and times are to
//! be asked for as text, and geometry as bytes; no other column has a value that it could not give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use connectorx::sources::mysql::{BinaryProtocol, MySQLSource, MySQLSourceError, MySQLTypeSystem};
use connectorx::sources::{Produce, Source};
use connectorx::sql::CXQuery;

use super::Scan;
use super::destination::Cell;
use super::dispatch::{Interrupt, Progress, guarded};
use super::protocol::{ErrorOf, Fault, ParserOf, Protocol, Put, give};
use crate::error::{Error, ErrorKind, Result};

const INTERRUPT: &str = include_str!("../../../sql/mysql/interrupt.sql");

/// How long the end of a dropped query is tried.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// MySQL's wire protocol.
pub(super) struct MySql;

impl Protocol for MySql {
    type Source = MySQLSource<BinaryProtocol>;

    fn connect(scan: &Scan) -> Result<Self::Source, ErrorOf<Self>> {
        MySQLSource::new(&scan.url, 1)
    }

    fn refuses(column: MySQLTypeSystem) -> Option<&'static str> {
        use MySQLTypeSystem::*;
        match column {
            Datetime(_) | Timestamp(_) | Date(_) | Time(_) => Some("is a date or time, and must be asked for as text"),
            _ => None,
        }
    }

    fn read(
        parser: &mut ParserOf<'_, Self>,
        column: MySQLTypeSystem,
        put: &mut Put<'_>,
    ) -> Result<(), Fault<MySQLSourceError>> {
        use MySQLTypeSystem::*;
        match column {
            Tiny(_) | Short(_) | Long(_) | Int24(_) | LongLong(_) | UTiny(_) | UShort(_) | ULong(_) | UInt24(_)
            | Year(_) => {
                let value: Option<i64> = parser.produce()?;
                give(put, value.map(Cell::Int))
            }
            ULongLong(_) => {
                let value: Option<u64> = parser.produce()?;
                give(put, value.map(Cell::Uint))
            }
            Float(_) => {
                let value: Option<f32> = parser.produce()?;
                give(put, value.map(Cell::Float))
            }
            Double(_) => {
                let value: Option<f64> = parser.produce()?;
                give(put, value.map(Cell::Double))
            }
            // A decimal is sent as text, with all its digits.
            Decimal(_) | Char(_) | VarChar(_) | Enum(_) | Json(_) => {
                let value: Option<Vec<u8>> = parser.produce()?;
                give(put, value.as_deref().map(Cell::Text))
            }
            TinyBlob(_) | Blob(_) | MediumBlob(_) | LongBlob(_) => {
                let value: Option<Vec<u8>> = parser.produce()?;
                give(put, value.as_deref().map(Cell::Bytes))
            }
            Bit(_) => {
                let value: Option<Vec<u8>> = parser.produce()?;
                give(put, value.as_deref().map(Cell::Bits))
            }
            Datetime(_) | Timestamp(_) | Date(_) | Time(_) => {
                Err(Fault::Misfit("a date or time that was not asked for as text".into()))
            }
        }
    }

    fn failed(scan: &Scan, doing: &str, error: MySQLSourceError) -> Error {
        let said = error.to_string();
        match ServerSaid::find(&said) {
            Some(ServerSaid { code, state, message }) => match scan.server_error {
                Some(explain) => explain(doing, code, state, message),
                None => explain(doing, code, state, message),
            },
            None => broken(doing, &error, &said),
        }
    }
}

/// What a server's error says, in the text that the driver makes of it.
#[derive(Debug, PartialEq, Eq)]
struct ServerSaid<'a> {
    code: u16,
    state: &'a str,
    message: &'a str,
}

impl<'a> ServerSaid<'a> {
    /// Reads `MySqlError { ERROR 1146 (42S02): Table … }`, alone or within what the pool says.
    fn find(text: &'a str) -> Option<Self> {
        let (_, rest) = text.split_once("MySqlError { ERROR ")?;
        let (code, rest) = rest.split_once(" (")?;
        let (state, message) = rest.split_once("): ")?;
        Some(Self { code: code.parse().ok()?, state, message: message.strip_suffix(" }").unwrap_or(message) })
    }
}

/// A server's error where the connector has no words of its own for it.
fn explain(doing: &str, code: u16, state: &str, message: &str) -> Error {
    // Too many connections, shutdowns, a lost or aborted connection, a lock that was waited for, a deadlock.
    const TRANSIENT: [u16; 12] = [1040, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1205, 1213];
    Error::new(ErrorKind::Extractor, format!("{doing}: {message} (error {code}, SQLSTATE {state})"))
        .transient(TRANSIENT.contains(&code))
}

/// An error that no server has sent: of the network, of TLS, or of the driver.
fn broken(doing: &str, error: &MySQLSourceError, said: &str) -> Error {
    let said = match said.split_once(" { ") {
        Some((_, inner)) => inner.strip_suffix(" }").unwrap_or(inner),
        None => said,
    };
    match error {
        MySQLSourceError::MySQLUrlError(_) | MySQLSourceError::UrlParseError(_) => {
            Error::new(ErrorKind::Configuration, format!("{doing}: the connection's URL cannot be used: {said}"))
        }
        MySQLSourceError::MySQLError(_) | MySQLSourceError::MySQLPoolError(_) => {
            Error::new(ErrorKind::Connection, format!("{doing}: the connection to the server broke: {said}"))
                .with_hint("look at the server's log and the network between, and run it again")
                .transient(true)
        }
        _ => Error::new(ErrorKind::Extractor, format!("{doing}: {said}")),
    }
}

/// Dropped queries that have not been ended yet.
static PENDING: AtomicUsize = AtomicUsize::new(0);

/// Waits until dropped queries have been ended, for as long as that is tried at most.
pub(super) async fn settle() {
    let begin = Instant::now();
    while PENDING.load(Ordering::Acquire) > 0 && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The comment by which a query is found among those of its server.
pub(super) fn marked(sql: &str) -> (String, String) {
    let marker = format!("/* dxt {} */", uuid::Uuid::now_v7());
    (format!("{marker} {sql}"), marker)
}

/// Ends the query with this marker at its server. The driver would read all of its rows before it lets go of the
/// connection, and would wait for a server that is silent.
pub(super) fn interrupt(url: String, marker: String) -> Interrupt {
    Box::new(move |progress| {
        PENDING.fetch_add(1, Ordering::AcqRel);
        let run = move || {
            let ended = guarded(|| end_query(&url, &marker, &progress));
            PENDING.fetch_sub(1, Ordering::AcqRel);
            if let Err(error) = ended {
                tracing::warn!(%error, "a query whose rows nobody reads any more could not be ended at its server");
            }
        };
        if thread::Builder::new().name("dxt-interrupt".into()).spawn(run).is_err() {
            PENDING.fetch_sub(1, Ordering::AcqRel);
            tracing::warn!("no thread can be started to end a query whose rows nobody reads any more");
        }
    })
}

/// Tries until the scan's thread has let go of its connection.
fn end_query(url: &str, marker: &str, progress: &Arc<Progress>) -> Result<()> {
    let begin = Instant::now();
    // A thread between two rows of a short result ends by itself.
    thread::sleep(Duration::from_millis(20));
    while !progress.ended() {
        let killed = kill(url, marker);
        if begin.elapsed() > PATIENCE {
            let why = killed.err().map(|e| e.to_string()).unwrap_or_else(|| "it goes on".into());
            return Err(Error::new(ErrorKind::Connection, why));
        }
        // Not found: it has not begun, or has just ended.
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Finds the session that runs the query with this marker, and ends the query. Sessions of one's own need no privilege.
fn kill(url: &str, marker: &str) -> Result<(), MySQLSourceError> {
    let mut source = MySQLSource::<BinaryProtocol>::new(url, 1)?;
    source.set_queries(&[CXQuery::Naked("SELECT 1".to_string())]);
    let statements = INTERRUPT.replace("{marker}", marker);
    let statements: Vec<String> =
        statements.split(';').map(|s| s.trim().to_string()).filter(|s| !s.is_empty()).collect();
    source.set_pre_execution_queries(Some(&statements));
    source.partition().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_error_is_found_in_what_the_driver_says() {
        let said = ServerSaid::find("MySqlError { ERROR 1146 (42S02): Table 'shop.x' doesn't exist }");
        let expected = ServerSaid { code: 1146, state: "42S02", message: "Table 'shop.x' doesn't exist" };
        assert_eq!(said, Some(expected));
        let pooled = "timed out waiting for connection: MySqlError { ERROR 1045 (28000): Access denied }";
        assert_eq!(ServerSaid::find(pooled).map(|said| said.code), Some(1045));
        assert_eq!(ServerSaid::find("IoError { unexpected end of file }"), None);
    }

    #[test]
    fn deadlocks_are_worth_another_try_and_syntax_errors_are_not() {
        assert!(explain("reading", 1213, "40001", "Deadlock found").is_transient());
        assert!(!explain("reading", 1064, "42000", "You have an error").is_transient());
    }

    #[test]
    fn every_query_has_a_marker_of_its_own() {
        let (sql, marker) = marked("SELECT 1");
        assert_eq!(sql, format!("{marker} SELECT 1"));
        assert_ne!(marker, marked("SELECT 1").1);
        // It stands in a pattern and in a text.
        assert!(!marker.contains(['%', '_', '\'', '\\', ';']));
    }
}
