//! Reading through connectorx 0.4.6, into batches of our own.
//!
//! connectorx brings drivers that read many systems. Its own Arrow destination holds a whole result, rounds decimals and
//! panics where a value does not fit; dxt uses its sources alone. [`scan`] runs one query on a thread of its own
//! (`dispatch`), each system gives the values that arrive whole (`protocol`, `mysql`, …), and they go into Arrow builders
//! of the fields that were asked for (`destination`, `decode`): exactly, or as an error that names column and value.
//!
//! - Bounded: a batch closes by rows and at about 2 MB, two wait for the plan, and connectorx holds 32 rows.
//! - A stream that is dropped ends its query: the thread leaves at its next batch, and a MySQL server is told by
//!   KILL QUERY from another session, as it may be silent for long.
//! - A source that ends without its end of rows is an error.
//!
//! [`factory`] makes connections of systems that dxt reads this way and in no other (`remote`, `systems`).

mod decode;
mod destination;
mod dispatch;
mod mysql;
mod parts;
mod protocol;
mod remote;
mod systems;

#[cfg(test)]
mod live;
#[cfg(test)]
mod tests;

use std::fmt;

use datafusion::execution::SendableRecordBatchStream;

use crate::error::{Error, ErrorKind, Result};
use crate::model::DxtField;

pub use remote::factory;

/// The systems that are read this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector) enum System {
    /// MySQL and MariaDB.
    MySql,
    /// SQL Server.
    MsSql,
    /// ClickHouse.
    ClickHouse,
    /// Trino.
    Trino,
    /// BigQuery.
    BigQuery,
    /// Oracle.
    Oracle,
}

/// Makes an error of what a server says: what was being done, the system's code, its SQLSTATE and its message.
pub(in crate::connector) type ServerError = fn(&str, u16, &str, &str) -> Error;

/// One query, and what its columns are.
#[derive(Clone)]
pub(in crate::connector) struct Scan {
    /// The system.
    pub(in crate::connector) system: System,
    /// Where it is, with user, password and the parameters that the driver knows.
    pub(in crate::connector) url: String,
    /// Statements for the session, run before the query (and after it was prepared). For MySQL only.
    pub(in crate::connector) prelude: Vec<String>,
    /// The query.
    pub(in crate::connector) sql: String,
    /// Its columns in order.
    pub(in crate::connector) fields: Vec<DxtField>,
    /// Rows per batch at most.
    pub(in crate::connector) batch_size: usize,
    /// Connection and dataset for errors: `shop.db.orders`.
    pub(in crate::connector) label: String,
    /// How errors of the server are told; `None`: in general words.
    pub(in crate::connector) server_error: Option<ServerError>,
}

impl Scan {
    fn doing(&self) -> String {
        format!("reading {}", self.label)
    }
}

/// Without the URL, which holds a password.
impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("system", &self.system)
            .field("label", &self.label)
            .field("sql", &self.sql)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// Does `$work` by the protocol of a system, which it sees as the type `$protocol`.
macro_rules! by_protocol {
    ($system:expr, $protocol:ident => $work:expr) => {
        match $system {
            System::MySql => {
                type $protocol = mysql::MySql;
                $work
            }
            #[cfg(feature = "mssql")]
            System::MsSql => {
                type $protocol = systems::mssql::wire::MsSql;
                $work
            }
            #[cfg(feature = "clickhouse")]
            System::ClickHouse => {
                type $protocol = systems::clickhouse::wire::ClickHouse;
                $work
            }
            #[cfg(feature = "trino")]
            System::Trino => {
                type $protocol = systems::trino::wire::Trino;
                $work
            }
            #[cfg(feature = "bigquery")]
            System::BigQuery => {
                type $protocol = systems::bigquery::wire::BigQuery;
                $work
            }
            #[cfg(feature = "oracle")]
            System::Oracle => {
                type $protocol = systems::oracle::wire::Oracle;
                $work
            }
            #[allow(unreachable_patterns)] // where all are built
            other => {
                Err(Error::new(ErrorKind::Connector, format!("this dxt was built without a driver for {other:?}")))
            }
        }
    };
}

/// Starts a query. Batches have exactly the Arrow schema of its fields; the stream fails where the source ends early or a
/// value does not fit, and ends the query when it is dropped.
///
/// # Errors
/// Type mapping: a field is an array or an object. Connector: there is no driver. Pipeline: no thread can be started.
pub(in crate::connector) fn scan(mut request: Scan) -> Result<SendableRecordBatchStream> {
    let mut interrupt = None;
    if request.system == System::MySql {
        let (sql, marker) = mysql::marked(&request.sql);
        request.sql = sql;
        interrupt = Some(mysql::interrupt(request.url.clone(), marker));
    }
    by_protocol!(request.system, P => dispatch::start::<P>(request, interrupt))
}

/// The names of a query's columns, and their native types as far as the driver tells them.
async fn names(request: Scan) -> Result<Vec<(String, Option<&'static str>)>> {
    by_protocol!(request.system, P => dispatch::columns::<P>(request).await)
}

/// Waits until the queries of dropped streams have been ended at their servers, for some seconds at most.
pub(in crate::connector) async fn settle() {
    mysql::settle().await;
}
