//! The ledger of loads in the target's file: what has an entry is not loaded again.

use rusqlite::{Connection, params};

use super::client::failed;
use crate::connector::Once;
use crate::error::{ErrorKind, Result};

/// Makes the table where it is missing.
pub const CREATE: &str = include_str!("../../../sql/sqlite/ledger_create.sql");
/// Asks for an entry.
pub const FIND: &str = include_str!("../../../sql/sqlite/ledger_find.sql");
/// Makes an entry.
pub const ENTER: &str = include_str!("../../../sql/sqlite/ledger_enter.sql");

/// The entry of one load.
pub struct Entry {
    once: Once,
    target: String,
}

impl Entry {
    /// The entry of a load into `target` in the ledger, which is made where it is missing; also whether it is there
    /// already. `None`, and a warning, where the ledger cannot be used. Within the load's transaction.
    ///
    /// # Errors
    /// Loader: it cannot be used, and the pipeline asks for it.
    pub fn find(connection: &Connection, label: &str, target: &str, once: &Once) -> Result<Option<(Self, bool)>> {
        let Once { pipeline, stream, run_id, .. } = once;
        let found = connection.execute_batch(CREATE).and_then(|()| {
            // An INSERT that is only prepared: whether the table has the columns.
            connection.prepare(ENTER)?;
            connection.query_row(FIND, params![pipeline, stream, run_id, target], |row| row.get(0))
        });
        match found {
            Ok(found) => Ok(Some((Self { once: once.clone(), target: target.to_string() }, found))),
            Err(error) => once.unguarded(label, &error.to_string(), "rename what has its name").map(|()| None),
        }
    }

    /// Makes the entry.
    pub fn enter(&self, connection: &Connection, rows: u64) -> Result<()> {
        let Once { pipeline, stream, run_id, .. } = &self.once;
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let values = params![pipeline, stream, run_id, self.target, rows, env!("CARGO_PKG_VERSION")];
        let entered = connection.execute(ENTER, values);
        entered.map(|_| ()).map_err(|e| failed(ErrorKind::Loader, "writing into the ledger of loads", e))
    }
}
