//! The statements of an upsert: stage, check the keys, drop what changes nothing, update, insert the rest.
//!
//! Not by ON DUPLICATE KEY UPDATE, which takes a row of any unique key for the one that is meant, and cannot tell rows that
//! it changed from rows that it found so.

use super::aside;
use super::catalog::Relation;
use super::client::Server;
use super::dialect::{quote, quote_text, relation};
use super::encode::Target;
use super::statements::render;
use super::types::MyType;
use crate::connector::LoadSpec;
use crate::model::RelationName;

const STAGE: &str = include_str!("../../../sql/mysql/stage.sql");
const LOSERS: &str = include_str!("../../../sql/mysql/losers.sql");
const DUPLICATES: &str = include_str!("../../../sql/mysql/duplicates.sql");
const TIED_KEYS: &str = include_str!("../../../sql/mysql/tied_keys.sql");
const NOTE_LOSERS: &str = include_str!("../../../sql/mysql/note_losers.sql");
const DROP_LOSERS: &str = include_str!("../../../sql/mysql/drop_losers.sql");
const AMBIGUOUS_KEYS: &str = include_str!("../../../sql/mysql/ambiguous_keys.sql");
const DROP_UNCHANGED: &str = include_str!("../../../sql/mysql/drop_unchanged.sql");
const UPDATE: &str = include_str!("../../../sql/mysql/update.sql");
const DROP_MATCHED: &str = include_str!("../../../sql/mysql/drop_matched.sql");
const INSERT_STAGED: &str = include_str!("../../../sql/mysql/insert_staged.sql");

/// Letters of a text's beginning that an index of the staging table has.
const PREFIX: u32 = 64;

/// Rows of one key, of which the one with the greatest watermark stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Losers {
    pub(super) make: String,
    pub(super) note: String,
    pub(super) drop: String,
}

/// The statements around the staging table, in the order in which they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upsert {
    /// The staging table, quoted.
    pub(super) staged: String,
    pub(super) stage: String,
    pub(super) duplicates: String,
    pub(super) tied: String,
    /// Where the load has a watermark.
    pub(super) losers: Option<Losers>,
    /// Where no unique key says that there are none.
    pub(super) ambiguous: Option<String>,
    pub(super) unchanged: String,
    pub(super) update: String,
    pub(super) matched: String,
    pub(super) insert: String,
}

impl Upsert {
    /// The statements for `held`, the table that is merged into: `found` where it exists already.
    pub(super) fn new(
        held: &RelationName,
        found: Option<&Relation>,
        spec: &LoadSpec,
        columns: &[Target],
        server: &Server,
    ) -> Self {
        let database = held.schema().unwrap_or_default().to_string();
        let temporary =
            |name: &str| relation(&RelationName { parts: vec![database.clone(), format!("{}{name}", aside::PREFIX)] });
        let mut row = "dxt_row".to_string();
        while columns.iter().any(|column| column.field.name.eq_ignore_ascii_case(&row)) {
            row.push('_');
        }
        let unique = found.is_none_or(|found| found.is_unique(&spec.keys));
        let each = |columns: &mut dyn Iterator<Item = &Target>, separator: &str, write: &dyn Fn(&str) -> String| {
            columns.map(|column| write(&quote(&column.field.name))).collect::<Vec<_>>().join(separator)
        };
        let keys = || columns.iter().filter(|column| column.key);
        let shown = keys().map(|key| {
            let label = quote_text(&format!("{}=", key.field.name));
            format!("CONCAT({label}, CAST(s.{} AS CHAR))", quote(&key.field.name))
        });
        let shown = format!("CONCAT_WS(', ', {})", shown.collect::<Vec<_>>().join(", "));
        let mut staged_columns: Vec<String> = columns.iter().map(|column| staged(column, found)).collect();
        if !unique {
            // Without one of the target's own, the join goes by this.
            let parts = keys().map(|key| match is_long(key) {
                true => format!("{}({PREFIX})", quote(&key.field.name)),
                false => quote(&key.field.name),
            });
            staged_columns.push(format!("KEY ({})", parts.collect::<Vec<_>>().join(", ")));
        }
        let same = columns.iter().map(|column| same(column, found)).collect::<Vec<_>>().join(" AND ");
        let order = spec.watermark.as_deref().and_then(|name| columns.iter().find(|c| c.field.name == name));
        let order = order.map(|column| {
            let name = format!("s.{}", quote(&column.field.name));
            let by = match column.native.as_ref() {
                Some(MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_)) => {
                    format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")
                }
                Some(MyType::Uuid) => format!("CAST({name} AS CHAR)"),
                _ => name,
            };
            // NULLs come last so.
            format!("ORDER BY {by} DESC")
        });
        let values = [
            ("target", relation(held)),
            ("stage", temporary("stage")),
            ("losers", temporary("losers")),
            ("row", quote(&row)),
            ("table", aside::table(server)),
            ("keys", each(&mut keys(), ", ", &|c| format!("s.{c}"))),
            ("match", each(&mut keys(), " AND ", &|c| format!("t.{c} = s.{c}"))),
            ("shown", shown),
            ("order", order.clone().unwrap_or_default()),
            ("same", same),
            ("assignments", each(&mut columns.iter(), ", ", &|c| format!("t.{c} = s.{c}"))),
            ("staged", each(&mut columns.iter(), ", ", &|c| format!("s.{c}"))),
        ];
        let sql = |template: &str, columns: String| {
            let mut all: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
            all.push(("columns", &columns));
            render(template, &all)
        };
        let plain = |template: &str| sql(template, String::new());
        Self {
            staged: temporary("stage"),
            stage: sql(STAGE, staged_columns.join(", ")),
            duplicates: plain(DUPLICATES),
            tied: plain(TIED_KEYS),
            losers: order.is_some().then(|| Losers {
                make: plain(LOSERS),
                note: plain(NOTE_LOSERS),
                drop: plain(DROP_LOSERS),
            }),
            ambiguous: (!unique).then(|| plain(AMBIGUOUS_KEYS)),
            unchanged: plain(DROP_UNCHANGED),
            update: plain(UPDATE),
            matched: plain(DROP_MATCHED),
            insert: sql(INSERT_STAGED, each(&mut columns.iter(), ", ", &str::to_string)),
        }
    }

    /// What makes the temporary tables.
    pub(super) fn make(&self) -> Vec<String> {
        std::iter::once(self.stage.clone()).chain(self.losers.iter().map(|losers| losers.make.clone())).collect()
    }

    /// What changes the target once all is staged, for people, in order.
    pub(super) fn statements(&self) -> Vec<String> {
        let losers = self.losers.iter().flat_map(|losers| [losers.note.clone(), losers.drop.clone()]);
        losers.chain([&self.unchanged, &self.update, &self.matched, &self.insert].map(String::clone)).collect()
    }
}

/// A column of the staging table: as the target has it, and NULL or not.
fn staged(column: &Target, found: Option<&Relation>) -> String {
    let collation = found.and_then(|found| found.collations.get(&column.field.name));
    let collation = match (collation, &column.native) {
        (Some((charset, collation)), Some(MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_))) => {
            format!(" CHARACTER SET {charset} COLLATE {collation}")
        }
        _ => String::new(),
    };
    format!("{} {}{collation} NULL", quote(&column.field.name), aside::native(column))
}

/// Whether an index needs a prefix of it.
fn is_long(column: &Target) -> bool {
    let native = aside::native(column).to_lowercase();
    let word = native.split('(').next().unwrap_or_default();
    let size = native.split(['(', ')']).nth(1).and_then(|n| n.trim().parse::<u32>().ok()).unwrap_or(0);
    word.ends_with("text")
        || word.ends_with("blob")
        || (word.contains("char") || word.contains("binary")) && size > PREFIX
}

/// Whether a column holds the very same in both, as no collation and no equality of numbers has it.
fn same(column: &Target, found: Option<&Relation>) -> String {
    let name = quote(&column.field.name);
    let by = |left: &str, right: &str| format!("{left}s.{name}{right} <=> {left}t.{name}{right}");
    let own_json = found.is_some_and(|found| found.json.contains(&column.field.name));
    match &column.native {
        Some(MyType::Json) if own_json => by("CAST(CAST(", " AS CHAR) AS BINARY)"),
        Some(MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_) | MyType::Json) | None => {
            by("CAST(", " AS BINARY)")
        }
        // -0 and 0 are equal and not the same.
        Some(MyType::Float(_) | MyType::Double(_)) => format!("({} AND {})", by("", ""), by("CAST(", " AS CHAR)")),
        Some(MyType::Geometry) => by("HEX(", ")"),
        Some(_) => by("", ""),
    }
}
