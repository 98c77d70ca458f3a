//! Upsert: rows are staged in a temporary table, which spills to disk, and merged by key within the transaction.
//!
//! Keys compare as SQLite's BINARY collation does, whatever the target's columns say, and whether or not the target has
//! an index on them: the stage always has one.

use arrow::array::Array;
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::catalog::{Column, Relation};
use super::client::{failed, fill, quote};
use super::codec::{Decoder, encode};
use super::types::Affinity;
use crate::connector::LoadCounts;
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::DxtType;

/// The stage: columns `c0`, `c1` … as the load has them, `m` for rows that the target has, and `o` for what orders rows
/// of one key.
pub const STAGE: &str = "temp.dxt_stage";
const BATCH: usize = 4096;

/// The statements of one merge.
#[derive(Debug)]
pub struct Merge {
    /// What people call the target.
    label: String,
    /// The target, quoted.
    target: String,
    /// The load's columns, with the affinity that the target gives them.
    columns: Vec<(String, Affinity)>,
    /// Indexes of the key's columns.
    keys: Vec<usize>,
    /// Whether a watermark orders rows of one key.
    ordered: bool,
    /// Whether an index of the target makes the key unique there.
    unique: bool,
}

impl Merge {
    /// A merge of `columns` into `target` by the columns at `keys`.
    pub fn new(
        label: &str,
        target: String,
        columns: Vec<(String, Affinity)>,
        keys: Vec<usize>,
        ordered: bool,
        unique: bool,
    ) -> Self {
        Self { label: label.to_string(), target, columns, keys, ordered, unique }
    }

    /// Indexes of the key's columns.
    pub fn keys(&self) -> &[usize] {
        &self.keys
    }

    fn list(&self, each: impl Fn(usize, &str) -> String, separator: &str) -> String {
        let items: Vec<String> = self.columns.iter().enumerate().map(|(i, (name, _))| each(i, name)).collect();
        items.join(separator)
    }

    fn key_list(&self, prefix: &str) -> String {
        self.keys.iter().map(|i| format!("{prefix}c{i}")).collect::<Vec<_>>().join(", ")
    }

    /// Staged columns stand left: their collation, BINARY, is then the one that counts.
    fn on(&self) -> String {
        let each = |i: &usize| self.columns.get(*i).map(|(name, _)| format!("s.c{i} = t.{}", quote(name)));
        self.keys.iter().filter_map(each).collect::<Vec<_>>().join(" AND ")
    }

    fn create_stage(&self) -> String {
        let columns = self.list(|i, _| format!("c{i} {}", self.columns[i].1.as_sql()), ", ");
        let order = if self.ordered { ", o BLOB" } else { "" };
        format!("CREATE TEMP TABLE dxt_stage ({columns}{order}, m INTEGER NOT NULL DEFAULT 0)")
    }

    /// The INSERT that stages one row: its values, then the order key where there is one.
    pub fn insert_stage(&self) -> String {
        let width = self.columns.len() + usize::from(self.ordered);
        let columns = self.list(|i, _| format!("c{i}"), ", ") + if self.ordered { ", o" } else { "" };
        let values = (1..=width).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
        let template = include_str!("../../../sql/sqlite/insert_rows.sql");
        fill(template, &[("target", STAGE), ("columns", &columns), ("values", &values)])
    }

    fn filled(&self, template: &str, more: &[(&str, &str)]) -> String {
        let on = self.on();
        let mut values = vec![("stage", STAGE), ("target", self.target.as_str()), ("on", on.as_str())];
        values.extend_from_slice(more);
        fill(template, &values)
    }

    fn index(&self) -> String {
        format!("CREATE INDEX temp.dxt_stage_key ON dxt_stage ({})", self.key_list(""))
    }

    fn drop_losers(&self) -> String {
        self.filled(include_str!("../../../sql/sqlite/merge_drop_losers.sql"), &[("keys", &self.key_list(""))])
    }

    fn mark(&self) -> String {
        self.filled(include_str!("../../../sql/sqlite/merge_mark.sql"), &[])
    }

    /// `None` where the load has nothing but the key.
    fn update(&self) -> Option<String> {
        let others: Vec<usize> = (0..self.columns.len()).filter(|i| !self.keys.contains(i)).collect();
        if others.is_empty() {
            return None;
        }
        let list = |each: &dyn Fn(usize, String) -> String| {
            others.iter().map(|i| each(*i, quote(&self.columns[*i].0))).collect::<Vec<_>>().join(", ")
        };
        let values = [
            ("assignments", list(&|i, name| format!("{name} = s.c{i}"))),
            ("staged", list(&|i, _| format!("s.c{i}"))),
            ("existing", list(&|_, name| format!("t.{name}"))),
            ("staged_classes", list(&|i, _| format!("typeof(s.c{i})"))),
            ("existing_classes", list(&|_, name| format!("typeof(t.{name})"))),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(n, v)| (*n, v.as_str())).collect();
        Some(self.filled(include_str!("../../../sql/sqlite/merge_update.sql"), &values))
    }

    fn insert(&self) -> String {
        let (columns, staged) = (self.list(|_, name| quote(name), ", "), self.list(|i, _| format!("s.c{i}"), ", "));
        let template = include_str!("../../../sql/sqlite/merge_insert.sql");
        self.filled(template, &[("columns", &columns), ("staged", &staged)])
    }

    /// The statements for people, in order.
    pub fn statements(&self) -> Vec<String> {
        let mut all = vec![self.create_stage(), self.insert_stage(), self.index()];
        if self.ordered {
            all.push(self.drop_losers());
        }
        all.push(self.mark());
        all.extend(self.update());
        all.push(self.insert());
        all
    }

    /// Makes the stage.
    pub fn begin(&self, connection: &Connection) -> Result<()> {
        self.execute(connection, &self.create_stage()).map(|_| ())
    }

    fn execute(&self, connection: &Connection, sql: &str) -> Result<u64> {
        fault::point("sqlite.merge.statement");
        let changed = connection.execute(sql, []);
        changed.map(|n| n as u64).map_err(|e| failed(ErrorKind::Loader, format!("merging into {}", self.label), e))
    }

    /// The key of the first row that a query gives, as `id = 5, day = '2024-01-01'`.
    fn first_key(&self, connection: &Connection, sql: &str) -> Result<Option<String>> {
        let doing = |e| failed(ErrorKind::Loader, format!("looking for double keys in {}", self.label), e);
        let mut statement = connection.prepare(sql).map_err(doing)?;
        let mut rows = statement.query([]).map_err(doing)?;
        let Some(row) = rows.next().map_err(doing)? else { return Ok(None) };
        let mut parts = Vec::new();
        for (at, key) in self.keys.iter().enumerate() {
            let name = self.columns.get(*key).map_or("", |(name, _)| name);
            parts.push(format!("{name} = {}", literal(row.get_ref(at).map_err(doing)?)));
        }
        Ok(Some(parts.join(", ")))
    }

    /// Merges what is staged. `staged` is the number of rows that came.
    pub fn run(&self, connection: &Connection, staged: u64) -> Result<LoadCounts> {
        let mut counts = LoadCounts { staged, ..LoadCounts::default() };
        self.execute(connection, &self.index())?;
        let duplicate_key = include_str!("../../../sql/sqlite/merge_duplicate_key.sql");
        let duplicates = self.filled(duplicate_key, &[("keys", &self.key_list(""))]);
        let mut double = self.first_key(connection, &duplicates)?;
        if double.is_some() && self.ordered {
            counts.dropped = self.execute(connection, &self.drop_losers())?;
            double = self.first_key(connection, &duplicates)?;
        }
        if let Some(key) = double {
            let why = if self.ordered { "the same watermark" } else { "no watermark to tell which is the latest" };
            let message = format!("{}: two rows of this load have one key ({key}) and {why}", self.label);
            return Err(Error::new(ErrorKind::Loader, message).with_hint(
                "make upsert_keys name one row, or set extract.watermark_field to a field that grows with each change",
            ));
        }
        let matched = self.execute(connection, &self.mark())?;
        if !self.unique {
            self.refuse_double_targets(connection, matched)?;
        }
        if let Some(update) = self.update() {
            counts.updated = self.execute(connection, &update)?;
        }
        counts.unchanged = matched.checked_sub(counts.updated).ok_or_else(|| {
            Error::new(
                ErrorKind::Loader,
                format!("{}: more rows were updated than have a key of this load", self.label),
            )
        })?;
        counts.inserted = self.execute(connection, &self.insert())?;
        let (came, kept) = (staged - counts.dropped, counts.inserted + matched);
        if came != kept {
            let message = format!("{}: {came} rows were to be merged, and {kept} were", self.label);
            return Err(Error::new(ErrorKind::Loader, message).with_hint("does a trigger of the target ignore rows?"));
        }
        Ok(counts)
    }

    /// Where no index makes the key unique, the target may have several rows of one key: none of them is the one.
    fn refuse_double_targets(&self, connection: &Connection, matched: u64) -> Result<()> {
        let sql = self.filled(include_str!("../../../sql/sqlite/merge_count.sql"), &[]);
        let pairs: i64 = connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|e| failed(ErrorKind::Loader, format!("merging into {}", self.label), e))?;
        if pairs as u64 == matched {
            return Ok(());
        }
        let template = include_str!("../../../sql/sqlite/merge_duplicate_target.sql");
        let sql = self.filled(template, &[("keys", &self.key_list("s."))]);
        let key = self.first_key(connection, &sql)?.unwrap_or_default();
        let message = format!("{} has two rows of one key ({key})", self.label);
        Err(Error::new(ErrorKind::Loader, message)
            .with_hint("remove one of them, or make upsert_keys name one row of the target"))
    }
}

/// A value as it would stand in SQL, shortened.
fn literal(value: ValueRef<'_>) -> String {
    let shown = super::codec::show(value);
    ["integer ", "real ", "text ", "blob "].iter().find_map(|p| shown.strip_prefix(p)).unwrap_or(&shown).to_string()
}

/// Refuses a target whose keys of this column stand in another text form than dxt writes: rows of one key would not
/// find each other. Only types with several forms need the look.
pub fn check_key_form(connection: &Connection, label: &str, relation: &Relation, key: &Column) -> Result<()> {
    let many_forms = match key.field.dtype {
        DxtType::Timestamp { .. } | DxtType::TimestampTz { .. } | DxtType::Time { .. } => true,
        DxtType::Decimal { .. } => key.affinity == Affinity::Text,
        _ => false,
    };
    if !many_forms {
        return Ok(());
    }
    let name = &key.field.name;
    let doing = |e| failed(ErrorKind::Loader, format!("looking at the keys of {label}"), e);
    let field = key.field.clone().nullable(true);
    let mut decoder = Decoder::new(std::slice::from_ref(&field), |_| false)?;
    let sql = format!("SELECT {0} FROM {1} WHERE {0} IS NOT NULL", quote(name), relation.from_sql);
    let mut statement = connection.prepare(&sql).map_err(doing)?;
    let mut rows = statement.query([]).map_err(doing)?;
    let mut originals: Vec<Value> = Vec::with_capacity(BATCH);
    let hint = "rewrite the column once in the form that dxt writes, or choose another key";
    loop {
        let row = rows.next().map_err(doing)?;
        let ended = row.is_none();
        if let Some(row) = row {
            let value = row.get_ref(0).map_err(doing)?;
            decoder.append(|_| value).map_err(|(_, misfit)| {
                Error::new(ErrorKind::Validation, format!("{label}: key column {name}: {misfit}")).with_hint(hint)
            })?;
            originals.push(value.try_into().unwrap_or(Value::Null));
        }
        if originals.len() >= BATCH || ended {
            let batch = decoder.finish()?;
            compare_forms(batch.column(0).as_ref(), &originals, key).map_err(|what| {
                Error::new(ErrorKind::Loader, format!("{label}: key column {name} {what}")).with_hint(hint)
            })?;
            originals.clear();
        }
        if ended {
            return Ok(());
        }
    }
}

fn compare_forms(array: &dyn Array, originals: &[Value], key: &Column) -> Result<(), String> {
    for (row, original) in originals.iter().enumerate() {
        let ours = encode(array, row, &key.field.dtype, key.affinity).map_err(|misfit| misfit.reason)?;
        let ours = match ours {
            ToSqlOutput::Owned(value) => value,
            ToSqlOutput::Borrowed(value) => value.try_into().unwrap_or(Value::Null),
            _ => Value::Null,
        };
        if ours != *original {
            let (theirs, ours) = (super::codec::show(original.into()), super::codec::show((&ours).into()));
            return Err(format!("holds {theirs}, where dxt writes {ours}: their keys would not be found"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of SQLite's plan for a statement over `t (k, v)`.
    fn plan(target: &str, sql: impl Fn(&Merge) -> String) -> Vec<String> {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(target).unwrap();
        let columns = vec![("k".to_string(), Affinity::Integer), ("v".to_string(), Affinity::Text)];
        let merge = Merge::new("x.t", "main.\"t\"".into(), columns, vec![0], true, false);
        merge.begin(&db).unwrap();
        db.execute_batch(&merge.index()).unwrap();
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {}", sql(&merge))).unwrap();
        let steps = statement.query_map([], |row| row.get(3)).unwrap();
        steps.map(|s| s.unwrap()).collect()
    }

    #[test]
    fn no_join_of_a_merge_is_quadratic_with_or_without_an_index() {
        let targets = [
            "CREATE TABLE t (k BIGINT, v TEXT)",
            "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT)",
            "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)",
            "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v TEXT)",
        ];
        for target in targets {
            let statements: [fn(&Merge) -> String; 3] = [
                |m| m.mark(),
                |m| m.update().unwrap(),
                |m| m.filled(include_str!("../../../sql/sqlite/merge_count.sql"), &[]),
            ];
            for sql in statements {
                let steps = plan(target, sql);
                assert_eq!(steps.iter().filter(|s| s.starts_with("SCAN")).count(), 1, "{target}: {steps:#?}");
                assert_eq!(steps.iter().filter(|s| s.starts_with("SEARCH")).count(), 1, "{target}: {steps:#?}");
                assert!(!steps.iter().any(|s| s.contains("AUTOMATIC")), "{target}: {steps:#?}");
            }
        }
    }

    #[test]
    fn a_load_of_keys_alone_updates_nothing() {
        let merge = Merge::new("x.t", "main.t".into(), vec![("k".into(), Affinity::Text)], vec![0], false, true);
        assert_eq!(merge.update(), None);
        assert!(merge.statements().iter().all(|s| !s.contains("SET \"")));
    }
}
