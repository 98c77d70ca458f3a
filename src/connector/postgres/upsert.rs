//! The statements of an upsert, and of a replace by key: stage, check the keys, delete what is gone where the load
//! replaces, drop what changes nothing, merge the rest.

use std::collections::BTreeSet;

use super::catalog::{Reference, Relation};
use super::dialect::{PostgresDialect, quote_text};
use super::statements::{list, ordered, render};
use crate::connector::LoadSpec;
use crate::connector::sql::Dialect;

const STAGE: &str = include_str!("../../../sql/postgres/stage.sql");
const NULL_KEYS: &str = include_str!("../../../sql/postgres/null_keys.sql");
const DUPLICATES: &str = include_str!("../../../sql/postgres/duplicates.sql");
const TIED_KEYS: &str = include_str!("../../../sql/postgres/tied_keys.sql");
const DROP_LOSERS: &str = include_str!("../../../sql/postgres/drop_losers.sql");
const AMBIGUOUS_KEYS: &str = include_str!("../../../sql/postgres/ambiguous_keys.sql");
const DROP_UNCHANGED: &str = include_str!("../../../sql/postgres/drop_unchanged.sql");
const COUNT_MATCHED: &str = include_str!("../../../sql/postgres/count_matched.sql");
const UPSERT: &str = include_str!("../../../sql/postgres/upsert.sql");
const UPSERT_MERGE: &str = include_str!("../../../sql/postgres/upsert_merge.sql");
const GONE_COUNT: &str = include_str!("../../../sql/postgres/gone_count.sql");
const GONE_DELETE: &str = include_str!("../../../sql/postgres/gone_delete.sql");
const GONE_CASCADE: &str = include_str!("../../../sql/postgres/gone_cascade.sql");
const MOVED_CASCADE: &str = include_str!("../../../sql/postgres/moved_cascade.sql");
const UPSERT_UPDATE: &str = include_str!("../../../sql/postgres/upsert_update.sql");
const UPSERT_INSERT: &str = include_str!("../../../sql/postgres/upsert_insert.sql");

/// The staging table, which `sql/postgres` names so throughout.
pub(super) const STAGED: &str = "pg_temp.dxt_stage";

/// Lets constraints that can be deferred wait for the end of the load.
pub(super) const DEFERRED: &str = "SET CONSTRAINTS ALL DEFERRED";

/// The statements around the staging table of an upsert, in the order in which they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upsert {
    pub(super) keys: Vec<String>,
    pub(super) stage: String,
    /// One count for each of `keys`.
    pub(super) null_keys: String,
    pub(super) duplicates: String,
    pub(super) tied: String,
    /// Where the load has a watermark.
    pub(super) losers: Option<String>,
    /// Where no unique index says that there are none.
    pub(super) ambiguous: Option<String>,
    /// Where the load replaces the target's rows.
    pub(super) gone: Option<Gone>,
    /// There, too: foreign keys that would change rows of another table with those that the load changes.
    pub(super) moved: Vec<Cascade>,
    pub(super) unchanged: String,
    /// Rows left, and those of them that the target has by their key.
    pub(super) matched: String,
    pub(super) merge: Merge,
}

/// How staged rows get into the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Merge {
    /// By the unique index on the key.
    Conflict(String),
    /// Without one, by MERGE, which the server has from 15 on.
    Statement(String),
    /// By two statements under the lock; no update where the load has key columns only.
    UpdateInsert { update: Option<String>, insert: String },
}

/// The statements for the rows of the target that a load did not bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) count: String,
    /// Foreign keys that would delete or change rows of another table with those.
    pub(super) cascades: Vec<Cascade>,
    pub(super) delete: String,
}

/// A foreign key that acts on the rows that refer to the target's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cascade {
    /// For people.
    pub(super) key: String,
    /// Asks for rows of the target on whose referring rows it would act.
    pub(super) sql: String,
}

/// From here on there is MERGE.
const MERGE_FROM: i32 = 150_000;

impl Upsert {
    /// The statements for `target`, which is `relation` where it exists, by the columns `by`. A load that replaces
    /// deletes what it did not bring.
    pub(super) fn new(
        target: &str,
        relation: Option<&Relation>,
        spec: &LoadSpec,
        by: &[String],
        replaces: bool,
    ) -> Self {
        let dialect = PostgresDialect::default();
        let columns: Vec<&str> = spec.schema.fields.iter().map(|f| f.name.as_str()).collect();
        let key_list: Vec<&str> = by.iter().map(String::as_str).collect();
        let always = |column: &str| relation.is_some_and(|r| r.always_identity.contains(column));
        // Keys are set as well: two that are equal may still be written differently (1.0 and 1.00).
        let only_keys = columns.iter().all(|column| key_list.contains(column));
        let set: Vec<&str> = columns.iter().copied().filter(|column| !only_keys && !always(column)).collect();

        let (named, staged) = (list(columns.iter().copied(), ""), list(columns.iter().copied(), "s."));
        let (keys, conflict) = (list(key_list.iter().copied(), "s."), list(key_list.iter().copied(), ""));
        let each = |columns: &[&str], separator: &str, write: &dyn Fn(&str) -> String| {
            columns.iter().map(|column| write(&dialect.quote(column))).collect::<Vec<_>>().join(separator)
        };
        let matching = each(&key_list, " AND ", &|c| format!("t.{c} = s.{c}"));
        let counts = each(&key_list, ", ", &|c| format!("count(*) FILTER (WHERE s.{c} IS NULL)"));
        let same = match set.is_empty() {
            true => "true".to_string(),
            false => {
                let image = |alias| format!("ROW({})::record", list(set.iter().copied(), alias));
                format!("{} *= {}", image("t."), image("s."))
            }
        };
        let watermark = spec.watermark.as_deref().and_then(|name| spec.schema.field(name));
        let order = watermark.map(|field| format!("ORDER BY {} DESC NULLS LAST", ordered(field, "s.")));
        let overriding = if columns.iter().any(|c| always(c)) { "OVERRIDING SYSTEM VALUE" } else { "" };
        let values = [
            ("target", target),
            ("columns", &named),
            ("staged", &staged),
            ("keys", &keys),
            ("conflict", &conflict),
            ("match", &matching),
            ("counts", &counts),
            ("same", &same),
            ("shown", &shown(&key_list, "s")),
            ("order", order.as_deref().unwrap_or_default()),
            ("overriding", overriding),
            ("assignments", &each(&set, ", ", &|c| format!("{c} = s.{c}"))),
            (
                "matched",
                &match set.is_empty() {
                    true => "DO NOTHING".to_string(),
                    false => format!("UPDATE SET {}", each(&set, ", ", &|c| format!("{c} = s.{c}"))),
                },
            ),
            (
                "action",
                &match set.is_empty() {
                    true => "DO NOTHING".to_string(),
                    false => format!("DO UPDATE SET {}", each(&set, ", ", &|c| format!("{c} = EXCLUDED.{c}"))),
                },
            ),
        ];
        let wanted: BTreeSet<String> = by.iter().cloned().collect();
        let unique = relation.is_some_and(|r| r.unique.contains(&wanted));
        let sql = |template| render(template, &values);
        let cascade = |template: &str, reference: &Reference| {
            // Of those columns that the load does not bring none is changed.
            let here = || reference.columns.iter().map(|(_, here)| here.as_str()).filter(|here| columns.contains(here));
            let on =
                |(there, here): &(String, String)| format!("c.{} = t.{}", dialect.quote(there), dialect.quote(here));
            let on = reference.columns.iter().map(on).collect::<Vec<_>>().join(" AND ");
            let (shown, child) = (shown(&key_list, "t"), reference.table.as_str());
            // A row of the table itself that goes, too, is none that would be changed.
            let itself = each(&key_list, " AND ", &|c| format!("c.{c} = s.{c}"));
            let stays = format!("AND EXISTS (SELECT FROM {STAGED} AS s WHERE {itself})");
            let values = [
                ("target", target),
                ("match", matching.as_str()),
                ("shown", &shown),
                ("child", child),
                ("reference", &on),
                ("stays", if reference.own { &stays } else { "" }),
                ("there", &list(here(), "t.")),
                ("brought", &list(here(), "s.")),
            ];
            let key = format!("{} of {}", reference.constraint, reference.table);
            Cascade { key, sql: render(template, &values) }
        };
        let references = || relation.into_iter().flat_map(|r| &r.references).filter(|_| replaces);
        let following = references().filter(|reference| reference.follows);
        let gone = replaces.then(|| Gone {
            count: sql(GONE_COUNT),
            cascades: following.map(|reference| cascade(GONE_CASCADE, reference)).collect(),
            delete: sql(GONE_DELETE),
        });
        let brought =
            |reference: &Reference| reference.columns.iter().any(|(_, here)| columns.contains(&here.as_str()));
        let moving = references().filter(|reference| reference.moves && !set.is_empty() && brought(reference));
        let moved = moving.map(|reference| cascade(MOVED_CASCADE, reference)).collect();
        Self {
            keys: by.to_vec(),
            stage: sql(STAGE),
            null_keys: sql(NULL_KEYS),
            duplicates: sql(DUPLICATES),
            tied: sql(TIED_KEYS),
            losers: order.is_some().then(|| sql(DROP_LOSERS)),
            ambiguous: (!unique && relation.is_some()).then(|| sql(AMBIGUOUS_KEYS)),
            gone,
            moved,
            unchanged: sql(DROP_UNCHANGED),
            matched: sql(COUNT_MATCHED),
            merge: match relation {
                Some(_) if unique => Merge::Conflict(sql(UPSERT)),
                Some(relation) if relation.version >= MERGE_FROM => Merge::Statement(sql(UPSERT_MERGE)),
                relation => Merge::UpdateInsert {
                    // A table that the load creates has no rows.
                    update: (!set.is_empty() && relation.is_some()).then(|| sql(UPSERT_UPDATE)),
                    insert: sql(UPSERT_INSERT),
                },
            },
        }
    }

    /// Whether rows that refer to the target's must stay as they are until the commit.
    pub(super) fn guards(&self) -> bool {
        !self.moved.is_empty() || self.gone.as_ref().is_some_and(|gone| !gone.cascades.is_empty())
    }

    /// What changes the target once all is staged, for people, in order.
    pub(super) fn statements(&self) -> Vec<String> {
        let mut all: Vec<String> = self.losers.iter().cloned().collect();
        if let Some(gone) = &self.gone {
            all.push(DEFERRED.into());
            all.extend(gone.cascades.iter().chain(&self.moved).map(|cascade| cascade.sql.clone()));
            all.push(gone.delete.clone());
        }
        all.push(self.unchanged.clone());
        match &self.merge {
            Merge::Conflict(merge) | Merge::Statement(merge) => all.push(merge.clone()),
            Merge::UpdateInsert { update, insert } => all.extend(update.iter().chain([insert]).cloned()),
        }
        all
    }
}

/// An expression for a key as errors show it: `order_id=5, line=2`.
fn shown(keys: &[&str], alias: &str) -> String {
    let dialect = PostgresDialect::default();
    let one = |key: &&str| {
        let label = quote_text(&format!("{key}=")).unwrap_or_else(|| "''".into());
        format!("{label} || {alias}.{}::text", dialect.quote(key))
    };
    format!("concat_ws(', ', {})", keys.iter().map(one).collect::<Vec<_>>().join(", "))
}
