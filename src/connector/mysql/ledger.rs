//! The ledger of loads in the target's database: what has an entry is not loaded again.
//!
//! The table is made before the transaction of the first load that needs it, as making it would commit; the entry is part
//! of the load's own transaction. Of a load that fills a table aside the transaction is not the last step: until that table
//! is in place, it is there to say that the entry is void (`aside`).

use super::aside;
use super::catalog::Relation;
use super::client::{Server, Session};
use super::dialect::{quote_text, relation};
use super::statements::render;
use crate::connector::{LEDGER, Once};
use crate::error::Result;
use crate::model::RelationName;

const CREATE: &str = include_str!("../../../sql/mysql/ledger_create.sql");
const FIND: &str = include_str!("../../../sql/mysql/ledger_find.sql");
const ENTER: &str = include_str!("../../../sql/mysql/ledger_enter.sql");
const VOID: &str = include_str!("../../../sql/mysql/ledger_void.sql");

const COLUMNS: [&str; 7] = ["pipeline", "stream", "run_id", "target", "rows", "loaded_at", "dxt"];
/// Characters of a name in it.
const NAME_CHARS: usize = 191;

/// The ledger beside `target`, which has its database.
pub(super) fn beside(target: &RelationName) -> RelationName {
    RelationName { parts: vec![target.schema().unwrap_or_default().to_string(), LEDGER.into()] }
}

/// The statements for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    once: Once,
    name: RelationName,
    pub(super) create: String,
    pub(super) find: String,
    /// Has `{rows}` for the number of rows.
    enter: String,
    fits: bool,
}

impl Ledger {
    /// The ledger beside `target`, and the entry of a load into it.
    pub(super) fn new(target: &RelationName, once: &Once, server: &Server) -> Self {
        let name = beside(target);
        let values = [
            ("ledger", relation(&name)),
            ("collation", server.collation().to_string()),
            ("pipeline", quote_text(&once.pipeline)),
            ("stream", quote_text(&once.stream)),
            ("run_id", quote_text(&once.run_id)),
            ("target", quote_text(target.table())),
            ("dxt", quote_text(env!("CARGO_PKG_VERSION"))),
            ("rows", "{rows}".into()),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let fits = [&once.pipeline, &once.stream].iter().all(|name| name.chars().count() <= NAME_CHARS)
            && aside::is_plain(&once.run_id);
        Self {
            once: once.clone(),
            create: render(CREATE, &values),
            find: render(FIND, &values),
            enter: render(ENTER, &values),
            name,
            fits,
        }
    }

    /// The statement that makes the entry.
    pub(super) fn enter(&self, rows: u64) -> String {
        // The last braces: a name may have some of its own.
        match self.enter.rsplit_once("{rows}") {
            Some((before, after)) => format!("{before}{rows}{after}"),
            None => self.enter.clone(),
        }
    }

    /// Makes the table where it is missing. Whether it can be used; else there is a warning, or an error where the pipeline
    /// asks for it. Not within a transaction, which it would end.
    pub(super) async fn prepare(&self, session: &mut Session, label: &str) -> Result<bool> {
        const GRANT: &str = "GRANT the user CREATE on the database, or INSERT and SELECT on its table dxt_loads";
        let unguarded = |why: &str, grant: &str| self.once.unguarded(label, why, grant).map(|()| false);
        if !self.fits {
            return unguarded(
                "a name of the pipeline or stream has more than 191 characters, or the run's id is none of dxt's",
                "shorten it",
            );
        }
        let mut found = Relation::find(session, &self.name).await?;
        if found.is_none() {
            if let Err(error) = session.run(&self.create, "making the ledger of loads").await {
                return unguarded(error.message(), GRANT);
            }
            found = Relation::find(session, &self.name).await?;
        }
        let Some(found) = found else { return unguarded("this user cannot see it", GRANT) };
        if found.schema.names() != COLUMNS {
            return unguarded("another table has its name", "rename what has its name");
        }
        if !found.transactional {
            return unguarded("its engine has no transactions", "alter the table dxt_loads to ENGINE=InnoDB");
        }
        // Whether this user may read it.
        if let Err(error) = session.value::<bool>(&self.find, "asking the ledger of loads").await {
            return unguarded(error.message(), GRANT);
        }
        Ok(true)
    }

    /// Whether it has the entry.
    pub(super) async fn has(&self, session: &mut Session) -> Result<bool> {
        session.value(&self.find, "asking the ledger of loads").await
    }
}

/// Takes an entry back of which the table that was built aside says that it is void: `mark` is in its name.
pub(super) async fn void(session: &mut Session, target: &RelationName, mark: &str) -> Result<()> {
    let ledger = beside(target);
    if Relation::find(session, &ledger).await?.is_none() {
        return Ok(());
    }
    let (ledger, table, mark) = (relation(&ledger), quote_text(target.table()), quote_text(mark));
    let sql = render(VOID, &[("ledger", &ledger), ("target", &table), ("mark", &mark)]);
    session.run(&sql, "taking an entry of the ledger of loads back").await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_places_or_end_a_text_stay_names() {
        let once = Once { pipeline: "{rows}".into(), stream: "it's".into(), run_id: "r-1".into(), required: false };
        let target = RelationName { parts: vec!["db".into(), "t".into()] };
        let ledger = Ledger::new(&target, &once, &Server { mariadb: true, version: (10, 11, 0) });
        let sql = ledger.enter(7);
        assert!(sql.contains("'{rows}', 'it''s', 'r-1', 't', 7, UTC_TIMESTAMP(6)"), "{sql}");
        assert!(ledger.create.contains("`db`.`dxt_loads`"), "{}", ledger.create);
    }
}
