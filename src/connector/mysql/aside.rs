//! A table that is filled aside and put in the target's place by one RENAME: where there is no target yet, and where a
//! replace is to swap it.
//!
//! CREATE and RENAME commit by themselves, so the order is: make the table, fill it in one transaction, rename. The rename
//! is what others see. What a killed load leaves is a table with the prefix `dxt_aside_`, the target's mark and the run's; the next
//! load of the target drops it, and before that the ledger's entry of that run, which the rename has not made true.

use super::catalog::{Relation, parts};
use super::client::{Server, Session};
use super::dialect::{quote, quote_text, relation};
use super::encode::Target;
use super::ledger;
use super::types::MyType;
use crate::connector::LoadSpec;
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::RelationName;

const LEFTOVERS: &str = include_str!("../../../sql/mysql/leftovers.sql");
const NEXT_NUMBER: &str = include_str!("../../../sql/mysql/next_number.sql");

/// Tables of this prefix are dxt's own.
pub(super) const PREFIX: &str = "dxt_aside_";
/// Behind the name of a table whose place another has taken.
const OLD: &str = "_o";
/// Bytes of all columns of a key, and of a letter in them.
const KEY_BYTES: usize = 3072;
const LETTER: usize = 4;

/// Marks a target in the names of what belongs to its loads: 16 hexadecimal digits.
pub(super) fn mark(target: &RelationName) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in &target.parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex()[..16].to_string()
}

/// Whether a run's id is found again by its mark: it is a UUID, or no longer than one.
pub(super) fn is_plain(run_id: &str) -> bool {
    let plain = run_id.replace('-', "");
    plain.len() <= 32 && plain.chars().all(|c| c.is_ascii_alphanumeric())
}

/// A run's id as it stands in a name: without its dashes.
fn run_mark(run_id: &str) -> String {
    match is_plain(run_id) {
        true => run_id.replace('-', ""),
        false => blake3::hash(run_id.as_bytes()).to_hex()[..32].to_string(),
    }
}

/// The table, and the statements around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) name: RelationName,
    pub(super) make: String,
    /// Whether it takes the place of a table that is there.
    swaps: bool,
    pub(super) place: String,
    /// Drops the table whose place was taken.
    pub(super) drop_old: Option<String>,
    target: RelationName,
    run: String,
}

impl Aside {
    /// For a target that is not there.
    ///
    /// # Errors
    /// Type mapping: a key cannot be one.
    pub(super) fn create(target: &RelationName, spec: &LoadSpec, columns: &[Target], server: &Server) -> Result<Self> {
        let (name, run) = named(target, spec);
        let make = format!("CREATE TABLE {} ({}) {}", relation(&name), definitions(spec, columns)?, table(server));
        let place = format!("RENAME TABLE {} TO {}", relation(&name), relation(target));
        Ok(Self { name, make, swaps: false, place, drop_old: None, target: target.clone(), run })
    }

    /// For a target that a replace swaps.
    ///
    /// # Errors
    /// Loader: what hangs on the target would not follow.
    pub(super) fn swap(found: &Relation, spec: &LoadSpec) -> Result<Self> {
        let refused = |what: String| {
            let error = Error::new(ErrorKind::Loader, format!("replace_strategy: swap cannot replace it: {what}"));
            Err(error.with_hint("use `replace_strategy: delete`"))
        };
        if let Some(trigger) = found.triggers.first() {
            return refused(format!("the trigger {trigger} would stay with the old table"));
        }
        if let Some(key) = found.references.first() {
            let of = if key.own { "its own".to_string() } else { format!("that of {}", key.table) };
            return refused(format!("the foreign key {} ({of}) would not follow", key.constraint));
        }
        if found.kind != super::catalog::RelationKind::Table {
            return refused("a table that keeps its history would lose it".into());
        }
        let (name, run) = named(&found.name, spec);
        let old = RelationName { parts: vec![name.parts[0].clone(), format!("{}{OLD}", name.table())] };
        let (target, aside, old) = (relation(&found.name), relation(&name), relation(&old));
        Ok(Self {
            name,
            make: format!("CREATE TABLE {aside} LIKE {target}"),
            swaps: true,
            place: format!("RENAME TABLE {target} TO {old}, {aside} TO {target}"),
            drop_old: Some(format!("DROP TABLE {old}")),
            target: found.name.clone(),
            run,
        })
    }

    /// Makes the table. It commits what is open.
    pub(super) async fn make(&self, session: &mut Session) -> Result<()> {
        session.run(&self.make, "making a table aside").await?;
        fault::point("mysql.aside.made");
        if !self.swaps {
            return Ok(());
        }
        // Numbers that the old table has given out are not given out again.
        const DOING: &str = "asking for the target's next number";
        if !session.server().mariadb {
            // Else it may be a day old.
            session.run("SET SESSION information_schema_stats_expiry = 0", DOING).await?;
        }
        let (database, table) = parts(&self.target)?;
        let rows: Vec<(Option<u64>,)> = session.rows_of(NEXT_NUMBER, &[database, table], DOING).await?;
        if let Some((Some(next),)) = rows.into_iter().next() {
            let sql = format!("ALTER TABLE {} AUTO_INCREMENT = {next}", relation(&self.name));
            session.run(&sql, "setting the next number").await?;
        }
        Ok(())
    }

    /// Puts it in its place, when its rows are committed.
    ///
    /// # Errors
    /// The target is as it was, where the server has said so.
    pub(super) async fn place(&self, session: &mut Session) -> Result<()> {
        fault::point("mysql.aside.filled");
        if let Err(error) = session.run(&self.place, "putting the filled table in place").await {
            if error.kind() != ErrorKind::Connection {
                self.remove(session).await;
            }
            return Err(error);
        }
        fault::point("mysql.aside.placed");
        if let Some(drop_old) = &self.drop_old
            && let Err(error) = session.run(drop_old, "dropping the old table").await
        {
            tracing::warn!("{error}; the next load of the table tries it again");
        }
        Ok(())
    }

    /// Drops it, after the ledger's entry that it makes void.
    pub(super) async fn remove(&self, session: &mut Session) {
        if let Err(error) = discard(session, &self.target, &self.name, &self.run).await {
            tracing::warn!("{error}; the next load of the table tries it again");
        }
    }
}

/// Drops what earlier loads of the target have left.
pub(super) async fn sweep(session: &mut Session, target: &RelationName) -> Result<()> {
    const DOING: &str = "looking for what earlier loads have left";
    let (database, _) = parts(target)?;
    let prefix = format!("{PREFIX}{}_", mark(target));
    let pattern = prefix.replace('_', "\\_") + "%";
    let found: Vec<(String,)> = session.rows_of(LEFTOVERS, &[database, &pattern], DOING).await?;
    for (table,) in found {
        let name = RelationName { parts: vec![database.to_string(), table.clone()] };
        let run = table.strip_prefix(&prefix).unwrap_or_default();
        tracing::info!(table = %name, "dropping what an earlier load has left");
        match run.ends_with(OLD) {
            true => session.run(&format!("DROP TABLE IF EXISTS {}", relation(&name)), DOING).await.map(|_| ())?,
            false => discard(session, target, &name, run).await?,
        }
    }
    Ok(())
}

async fn discard(session: &mut Session, target: &RelationName, aside: &RelationName, run: &str) -> Result<()> {
    ledger::void(session, target, run).await?;
    fault::point("mysql.aside.voided");
    let sql = format!("DROP TABLE IF EXISTS {}", relation(aside));
    session.run(&sql, "dropping a table that was built aside").await.map(|_| ())
}

fn named(target: &RelationName, spec: &LoadSpec) -> (RelationName, String) {
    let run = run_mark(spec.once.as_ref().map_or(&spec.run_id, |once| &once.run_id));
    let table = format!("{PREFIX}{}_{run}", mark(target));
    (RelationName { parts: vec![target.schema().unwrap_or_default().to_string(), table] }, run)
}

/// What stands behind the columns of a table that dxt makes.
pub(super) fn table(server: &Server) -> String {
    format!("ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {}", server.collation())
}

/// Columns and the key of a table that is created.
fn definitions(spec: &LoadSpec, columns: &[Target]) -> Result<String> {
    let long = |column: &&Target| {
        column.key && matches!(column.native, Some(MyType::Text | MyType::Blob)) && is_long(native(column))
    };
    let others = columns.iter().filter(|column| column.key && !long(column)).count();
    let share = KEY_BYTES.saturating_sub(16 * others) / columns.iter().filter(long).count().max(1);
    let mut items = Vec::with_capacity(columns.len() + 1);
    for column in columns {
        let mut own = native(column).to_string();
        if long(&column) {
            let (word, width) = match column.native {
                Some(MyType::Blob) => ("varbinary", share),
                _ => ("varchar", share / LETTER),
            };
            if width == 0 {
                let what = format!("the key column {} has no room in an index", column.field.name);
                return Err(Error::new(ErrorKind::TypeMapping, what).with_hint("name fewer keys"));
            }
            own = format!("{word}({width})");
        }
        let required = !column.field.nullable || column.key;
        // A timestamp would be given the present moment with each change otherwise.
        let default = match &column.native {
            Some(MyType::Timestamp(digits)) if required && !own.to_lowercase().contains("default") => {
                let digits = if *digits == 0 { String::new() } else { format!("({digits})") };
                format!(" DEFAULT CURRENT_TIMESTAMP{digits}")
            }
            _ => String::new(),
        };
        let null = if required { "NOT NULL" } else { "NULL" };
        items.push(format!("{} {own} {null}{default}", quote(&column.field.name)));
    }
    if !spec.keys.is_empty() {
        let keys = spec.keys.iter().map(|key| quote(key)).collect::<Vec<_>>().join(", ");
        items.push(format!("PRIMARY KEY ({keys})"));
    }
    Ok(items.join(", "))
}

/// Whether a type is too long for an index as it is.
fn is_long(native: &str) -> bool {
    let word = native.split('(').next().unwrap_or_default().to_lowercase();
    word.ends_with("text") || word.ends_with("blob")
}

/// The type's spelling.
pub(super) fn native(column: &Target) -> &str {
    column.field.native_in(super::types::SYSTEM).unwrap_or("longtext")
}

/// The named lock that loads of one table take turns by.
pub(super) fn lock(target: &RelationName) -> String {
    quote_text(&format!("dxt.{}", mark(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_within_the_servers_limit_and_differ_by_target_and_run() {
        let name = |parts: &[&str]| RelationName { parts: parts.iter().map(|p| p.to_string()).collect() };
        assert_ne!(mark(&name(&["a", "bc"])), mark(&name(&["ab", "c"])));
        let run = uuid::Uuid::now_v7().to_string();
        let longest = format!("{PREFIX}{}_{}{OLD}", mark(&name(&["a", "b"])), run_mark(&run));
        assert!(longest.len() <= 64, "{longest}");
        assert_eq!(run_mark("a-b"), "ab");
        assert_eq!(run_mark(&"x y".repeat(50)).len(), 32);
    }
}
