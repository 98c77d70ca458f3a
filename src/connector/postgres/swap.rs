//! A replace by a table that is built aside and renamed into the target's place.

use super::catalog::{Relation, get};
use super::client::Session;
use super::dialect::PostgresDialect;
use super::patience::Patience;
use crate::connector::sql::Dialect;
use crate::error::{Error, ErrorKind, Result};
use crate::model::RelationName;

const BLOCKERS: &str = include_str!("../../../sql/postgres/swap_blockers.sql");
const PROPERTIES: &str = include_str!("../../../sql/postgres/swap_properties.sql");
const STATEMENTS: &str = include_str!("../../../sql/postgres/swap_statements.sql");
const OTHERWISE: &str = "take `replace_strategy: truncate`, `delete` or `keyed`, which keep the table itself";

/// What the catalog says of a swap of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Swappable {
    /// What hangs on the table and could not follow.
    blockers: Vec<String>,
    statements: Vec<(i32, String)>,
}

/// The statements of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Swap {
    /// The table that is built, quoted.
    pub(super) aside: String,
    oid: u32,
    /// The target, quoted.
    target: String,
    /// Before the rows come.
    pub(super) make: Vec<String>,
    /// When they are in.
    pub(super) build: Vec<String>,
    /// What locks the target for all, and puts the other into its place. The lock comes first.
    pub(super) place: Vec<String>,
}

fn aside(relation: &Relation) -> RelationName {
    let mut parts = relation.name.parts.clone();
    parts.pop();
    parts.push(format!("dxt_swap_{}", relation.oid));
    RelationName { parts }
}

impl Swappable {
    /// Asks the catalog.
    pub(super) async fn look(session: &Session, relation: &Relation) -> Result<Self> {
        const DOING: &str = "looking at what hangs on the target";
        let rows = session.rows(BLOCKERS, &[&relation.oid], DOING).await?;
        let blockers = rows.iter().map(|row| get(row, 0)).collect::<Result<_>>()?;
        let aside = PostgresDialect::default().relation(&aside(relation));
        let prefix = format!("dxt_swap_{}_", relation.oid);
        let rows = session.rows(STATEMENTS, &[&relation.oid, &aside, &prefix], DOING).await?;
        let statements = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect::<Result<_>>()?;
        Ok(Self { blockers, statements })
    }
}

impl Swap {
    /// The swap of `relation`.
    ///
    /// # Errors
    /// Loader: what hangs on the table could not follow.
    pub(super) fn new(relation: &Relation) -> Result<Self> {
        let refused = |why: String| {
            let what = format!("{} cannot be swapped for another table: {why}", relation.name);
            Err(Error::new(ErrorKind::Loader, what).with_hint(OTHERWISE))
        };
        let Some(swappable) = &relation.swappable else {
            return refused(format!("it is a {}", relation.kind.as_str()));
        };
        if !swappable.blockers.is_empty() {
            return refused(format!("{} would not follow", swappable.blockers.join(", ")));
        }
        let step = |wanted: i32| {
            swappable.statements.iter().filter(|(step, _)| *step == wanted).map(|(_, sql)| sql.clone()).collect()
        };
        let dialect = PostgresDialect::default();
        Ok(Self {
            aside: dialect.relation(&aside(relation)),
            oid: relation.oid,
            target: dialect.relation(&relation.name),
            make: step(1),
            build: step(2),
            place: step(3),
        })
    }

    /// Makes the table aside.
    pub(super) async fn make(&self, session: &Session) -> Result<()> {
        for sql in &self.make {
            session.run(sql, "making the table aside").await?;
        }
        Ok(())
    }

    /// Builds what the target has on the table aside, puts it into the target's place, and compares both.
    pub(super) async fn place(&self, session: &Session, patience: &Patience) -> Result<()> {
        for sql in &self.build {
            session.run(sql, "building the table aside").await?;
        }
        let doing = "putting the table aside into the target's place";
        let Some((lock, rest)) = self.place.split_first() else {
            return Err(Error::new(ErrorKind::Loader, "a swap without statements"));
        };
        patience.wait(doing, session.run(lock, doing)).await?;
        let before = properties(session, self.oid).await?;
        for sql in rest {
            session.run(sql, doing).await?;
        }
        const OID: &str = "SELECT pg_catalog.to_regclass($1::text)::oid";
        let now: u32 = session.value(OID, &[&self.target], doing).await?;
        let after = properties(session, now).await?;
        // Whatever the statements above do not know of is found here, and nothing of it lost in silence.
        let lost = before.iter().filter(|one| !after.contains(one));
        let new = after.iter().filter(|one| !before.contains(one));
        let mut names: Vec<&str> = lost.chain(new).map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Ok(());
        }
        let what = format!("the table that was built aside differs from the target in: {}", names.join(", "));
        Err(Error::new(ErrorKind::Loader, what).with_hint(OTHERWISE))
    }
}

/// All that a table is besides its rows.
async fn properties(session: &Session, oid: u32) -> Result<Vec<(String, String)>> {
    let rows = session.rows(PROPERTIES, &[&oid], "comparing the table aside with the target").await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get::<Option<String>>(row, 1)?.unwrap_or_default()))).collect()
}
