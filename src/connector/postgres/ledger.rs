//! The ledger of loads in the target's schema: what has an entry is not loaded again.
//!
//! The table is made before the transaction of the first load that needs it, so that nobody waits for its making; the
//! entry is part of the load's own.

use super::catalog::get;
use super::client::Session;
use super::dialect::{PostgresDialect, quote_text};
use super::statements::{TURN, render};
use crate::connector::sql::Dialect;
use crate::connector::{LEDGER, Once};
use crate::error::{Error, ErrorKind, Result};
use crate::model::RelationName;

const STATE: &str = include_str!("../../../sql/postgres/ledger_state.sql");
const CREATE: &str = include_str!("../../../sql/postgres/ledger_create.sql");
const FIND: &str = include_str!("../../../sql/postgres/ledger_find.sql");
const ENTER: &str = include_str!("../../../sql/postgres/ledger_enter.sql");

/// The statements for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    once: Once,
    schema: String,
    /// The table, quoted.
    name: String,
    pub(super) create: String,
    pub(super) find: String,
    /// Takes the number of rows.
    pub(super) enter: String,
}

struct State {
    there: bool,
    ours: bool,
    usable: bool,
    creatable: bool,
}

impl Ledger {
    /// The ledger beside `target`, which has its schema, and the entry of a load into it.
    ///
    /// # Errors
    /// Configuration: a name has a NUL.
    pub(super) fn new(target: &RelationName, once: &Once) -> Result<Self> {
        let text = |text: &str| {
            let nul = || Error::new(ErrorKind::Configuration, "load.once: a name of the pipeline or stream has a NUL");
            quote_text(text).ok_or_else(nul)
        };
        let schema = target.schema().unwrap_or_default().to_string();
        let table = RelationName { parts: vec![schema.clone(), LEDGER.into()] };
        let name = PostgresDialect::default().relation(&table);
        let values = [
            ("ledger", name.clone()),
            ("name", text(&name)?),
            ("turn", TURN.to_string()),
            ("pipeline", text(&once.pipeline)?),
            ("stream", text(&once.stream)?),
            ("run_id", text(&once.run_id)?),
            ("target", text(target.table())?),
            ("dxt", text(env!("CARGO_PKG_VERSION"))?),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(Self {
            once: once.clone(),
            schema,
            create: render(CREATE, &values),
            find: render(FIND, &values),
            enter: render(ENTER, &values),
            name,
        })
    }

    async fn state(&self, session: &Session) -> Result<State> {
        let rows = session.rows(STATE, &[&self.schema], "looking for the ledger of loads").await?;
        let Some(row) = rows.first() else {
            return Err(Error::new(ErrorKind::Loader, format!("the schema {} is gone", self.schema)));
        };
        let flag = |index| get::<bool>(row, index);
        Ok(State { there: flag(0)?, ours: flag(1)?, usable: flag(2)?, creatable: flag(3)? })
    }

    /// Makes sure that there is a ledger which can be used; `false`, and a warning, where there is none. Outside of the
    /// load's transaction.
    ///
    /// # Errors
    /// Loader: there is none, and the pipeline asks for it.
    pub(super) async fn prepare(&self, session: &Session, target: &str) -> Result<bool> {
        let mut state = self.state(session).await?;
        let mut said = None;
        if !state.there && state.creatable {
            said = session.run(&self.create, "making the ledger of loads").await.err();
            state = self.state(session).await?;
        }
        let Self { name, schema, .. } = self;
        let schema = PostgresDialect::default().quote(schema);
        let (why, grant) = match (state, said) {
            (State { there: true, ours: true, usable: true, .. }, _) => return Ok(true),
            (State { there: true, ours: false, .. }, _) => {
                (format!("{name} is another table"), format!("rename {name}"))
            }
            (State { there: true, .. }, _) => {
                (format!("the user may not read and write {name}"), format!("GRANT SELECT, INSERT ON {name}"))
            }
            (_, Some(error)) => (error.message().to_string(), "look at the server's log".into()),
            _ => (
                format!("the user may not create {name}"),
                format!(
                    "GRANT CREATE ON SCHEMA {schema}, or create it as `dxt explain` shows and GRANT SELECT, INSERT ON it"
                ),
            ),
        };
        self.once.unguarded(target, &why, &grant).map(|()| false)
    }

    /// Whether the entry is there. Within the transaction, when other loads of the target are locked out.
    pub(super) async fn has(&self, session: &Session) -> Result<bool> {
        session.value(&self.find, &[], "looking into the ledger of loads").await
    }

    /// Makes the entry.
    pub(super) async fn enter(&self, session: &Session, rows: u64) -> Result<()> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        session.rows(&self.enter, &[&rows], "writing into the ledger of loads").await.map(|_| ())
    }
}
