//! The statements of a load, made before it begins: what `explain` shows is what is sent.

use super::catalog::Relation;
use super::dialect::PostgresDialect;
use super::types::{PgType, PostgresTypes};
use super::upsert::{Merge, STAGED, Upsert};
use crate::connector::sql::Dialect;
use crate::connector::{LoadSpec, TypeMapper};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, LoadMode, OptionReader, Options, RelationName, nearest};

const WATERMARK: &str = include_str!("../../../sql/postgres/watermark.sql");

/// How every load begins. Each statement sees what was committed before it, so that what is asked after the lock holds.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// How a replace empties its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaceStrategy {
    Truncate,
    Delete,
}

/// Reads the loader's options: `replace_strategy`.
pub(super) fn options(options: &Options) -> Result<ReplaceStrategy> {
    let mut reader = OptionReader::new(options, "load options of PostgreSQL");
    let strategy = match reader.string("replace_strategy")?.as_deref() {
        None | Some("truncate") => ReplaceStrategy::Truncate,
        Some("delete") => ReplaceStrategy::Delete,
        Some(other) => {
            let what = format!("load options of PostgreSQL: replace_strategy must be truncate or delete, not {other}");
            let error = Error::new(ErrorKind::Configuration, what);
            return Err(match nearest(other, &["truncate", "delete"]) {
                Some(name) => error.with_hint(format!("did you mean {name}?")),
                None => error,
            });
        }
    };
    reader.finish()?;
    Ok(strategy)
}

/// All statements of one load between BEGIN and COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Where the target does not exist.
    pub(super) create: Option<String>,
    /// Where it does.
    pub(super) lock: Option<String>,
    /// What empties it.
    pub(super) empty: Vec<String>,
    /// Asks whether it has rows.
    pub(super) left: String,
    pub(super) copy: String,
    pub(super) upsert: Option<Upsert>,
}

impl Plan {
    /// The plan of a load into `target`, which is `relation` where it exists.
    ///
    /// # Errors
    /// Configuration: the load's options. Loader: other tables' rows would go with those that a replace deletes.
    pub(super) fn new(target: &RelationName, relation: Option<&Relation>, spec: &LoadSpec) -> Result<Self> {
        let strategy = options(&spec.options)?;
        let name = PostgresDialect::default().relation(target);
        let empty = match relation {
            Some(relation) if spec.mode == LoadMode::Replace => empty(&name, relation, strategy)?,
            _ => Vec::new(),
        };
        let mode = if truncates(&empty) { "ACCESS EXCLUSIVE" } else { "SHARE ROW EXCLUSIVE" };
        let into = if spec.mode == LoadMode::Upsert { STAGED } else { &name };
        let columns = list(spec.schema.fields.iter().map(|f| f.name.as_str()), "");
        Ok(Self {
            create: relation.is_none().then(|| create(&name, spec)).transpose()?,
            lock: relation.map(|_| format!("LOCK TABLE {name} IN {mode} MODE")),
            empty,
            left: format!("SELECT EXISTS (SELECT FROM {name})"),
            copy: format!("COPY {into} ({columns}) FROM STDIN"),
            upsert: (spec.mode == LoadMode::Upsert).then(|| Upsert::new(&name, relation, spec)),
        })
    }

    /// Whether it keeps others from reading the target.
    pub(super) fn locks_out(&self) -> bool {
        truncates(&self.empty)
    }

    /// For people, in order.
    pub(super) fn statements(&self) -> Vec<String> {
        let mut all = vec![BEGIN.to_string()];
        all.extend(self.create.iter().chain(&self.lock).chain(&self.empty).cloned());
        all.extend(self.upsert.iter().map(|upsert| upsert.stage.clone()));
        all.push(self.copy.clone());
        if let Some(upsert) = &self.upsert {
            all.extend(upsert.losers.iter().cloned());
            all.push(upsert.unchanged.clone());
            match &upsert.merge {
                Merge::Conflict(merge) => all.push(merge.clone()),
                Merge::UpdateInsert { update, insert } => all.extend(update.iter().chain([insert]).cloned()),
            }
        }
        all.push("COMMIT".into());
        all
    }
}

fn truncates(empty: &[String]) -> bool {
    empty.iter().any(|sql| sql.starts_with("TRUNCATE"))
}

/// TRUNCATE where no other table refers to the target, as it is refused otherwise.
fn empty(name: &str, relation: &Relation, strategy: ReplaceStrategy) -> Result<Vec<String>> {
    if strategy == ReplaceStrategy::Truncate && relation.references.is_empty() {
        return Ok(vec![format!("TRUNCATE TABLE {name}")]);
    }
    if let Some(reference) = relation.references.iter().find(|reference| reference.follows) {
        let what = format!(
            "replacing {} would delete or change rows of {} by its foreign key {}",
            relation.name, reference.table, reference.constraint
        );
        let error = Error::new(ErrorKind::Loader, what);
        return Err(error.with_hint("use `mode: upsert`, or make the foreign key ON DELETE NO ACTION"));
    }
    let mut statements = Vec::new();
    if !relation.references.is_empty() {
        // Deferrable keys may then refer again to what the load brings; the others fail at the DELETE.
        statements.push("SET CONSTRAINTS ALL DEFERRED".to_string());
    }
    statements.push(format!("DELETE FROM {name}"));
    Ok(statements)
}

fn create(name: &str, spec: &LoadSpec) -> Result<String> {
    let dialect = PostgresDialect::default();
    let mut items = Vec::with_capacity(spec.schema.fields.len() + 1);
    for field in &spec.schema.fields {
        let native = PostgresTypes.to_native(field)?;
        let not_null = if field.nullable { "" } else { " NOT NULL" };
        items.push(format!("{} {native}{not_null}", dialect.quote(&field.name)));
    }
    if !spec.keys.is_empty() {
        items.push(format!("PRIMARY KEY ({})", list(spec.keys.iter().map(String::as_str), "")));
    }
    Ok(format!("CREATE TABLE {name} ({})", items.join(", ")))
}

/// A query for the greatest value of a column, and the field as which its result is read.
///
/// # Errors
/// Type mapping: the column has no order that dxt follows as the server does.
pub(super) fn watermark(target: &RelationName, field: &DxtField) -> Result<(String, DxtField)> {
    let dialect = PostgresDialect::default();
    let column = dialect.quote(&field.name);
    let native = PgType::of(field);
    let followed = match native {
        Some(native) => field.dtype.is_ordered() && native.is_binary(),
        None => false,
    };
    if !followed {
        let native = field.native.as_ref().map_or("unknown", |n| n.name.as_str());
        let what = format!("column {} of {target} is of type {native}, which cannot be a watermark", field.name);
        return Err(Error::new(ErrorKind::TypeMapping, what)
            .with_hint("take a column of an integer, numeric(p,s), date, timestamp or text type"));
    }
    let greatest = match native {
        // PostgreSQL has no max() of uuid before 18; their texts have the same order.
        Some(PgType::Uuid) => format!("max({column}::text COLLATE \"C\")::uuid"),
        _ => format!("max({})", ordered(field, "")),
    };
    let relation = dialect.relation(target);
    let values = [("greatest", greatest.as_str()), ("column", column.as_str()), ("target", relation.as_str())];
    Ok((render(WATERMARK, &values), field.clone().nullable(true)))
}

/// A column in the order in which dxt compares: text by its bytes.
pub(super) fn ordered(field: &DxtField, alias: &str) -> String {
    let column = format!("{alias}{}", PostgresDialect::default().quote(&field.name));
    match PgType::of(field) {
        Some(native) if native.is_text() => format!("{column} COLLATE \"C\""),
        _ => column,
    }
}

pub(super) fn list<'a>(columns: impl Iterator<Item = &'a str>, alias: &str) -> String {
    let dialect = PostgresDialect::default();
    columns.map(|column| format!("{alias}{}", dialect.quote(column))).collect::<Vec<_>>().join(", ")
}

/// Fills a template's `{names}` in one pass, so that a value with braces stays as it is; its comments are left out.
pub(super) fn render(template: &str, values: &[(&str, &str)]) -> String {
    let lines: Vec<&str> = template.lines().filter(|line| !line.starts_with("--")).collect();
    let template = lines.join("\n");
    let mut sql = String::with_capacity(template.len() * 2);
    let mut rest = template.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        sql += before;
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        sql += values.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        rest = after;
    }
    sql += rest;
    sql.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{Reference, RelationKind};
    use super::super::types::SYSTEM;
    use super::*;
    use crate::model::{DxtSchema, DxtType};
    use serde_json::json;
    use std::collections::BTreeSet;

    fn schema() -> DxtSchema {
        DxtSchema::new(vec![
            DxtField::new("id", DxtType::Int64).native(SYSTEM, "bigint").nullable(false),
            DxtField::new("na\"me", DxtType::String).native(SYSTEM, "character varying(20)"),
        ])
    }

    fn spec(mode: LoadMode) -> LoadSpec {
        LoadSpec {
            mode,
            schema: schema(),
            keys: if mode == LoadMode::Upsert { vec!["id".into()] } else { Vec::new() },
            watermark: None,
            expected_watermark: None,
            run_id: "r".into(),
            options: Options::new(),
        }
    }

    fn relation() -> Relation {
        Relation {
            oid: 1,
            name: name(),
            kind: RelationKind::Table,
            schema: schema(),
            always_identity: BTreeSet::new(),
            loose: BTreeSet::new(),
            unique: vec![BTreeSet::from(["id".to_string()])],
            references: Vec::new(),
        }
    }

    fn name() -> RelationName {
        RelationName { parts: vec!["public".into(), "t".into()] }
    }

    fn statements(relation: Option<&Relation>, spec: &LoadSpec) -> Vec<String> {
        let all = Plan::new(&name(), relation, spec).unwrap().statements();
        all[1..all.len() - 1].to_vec()
    }

    #[test]
    fn a_missing_target_is_created_and_not_locked() {
        let all = statements(None, &spec(LoadMode::Upsert));
        assert_eq!(
            all[0],
            "CREATE TABLE \"public\".\"t\" (\"id\" bigint NOT NULL, \"na\"\"me\" character varying(20), \
             PRIMARY KEY (\"id\"))"
        );
        assert!(all.iter().all(|sql| !sql.starts_with("LOCK")));
    }

    #[test]
    fn a_replace_truncates_where_nothing_refers_to_the_target() {
        let mut relation = relation();
        let all = statements(Some(&relation), &spec(LoadMode::Replace));
        assert_eq!(
            all[..2],
            [
                "LOCK TABLE \"public\".\"t\" IN ACCESS EXCLUSIVE MODE".to_string(),
                "TRUNCATE TABLE \"public\".\"t\"".into()
            ]
        );
        let mut deleting = spec(LoadMode::Replace);
        deleting.options.insert("replace_strategy".into(), json!("delete"));
        assert_eq!(statements(Some(&relation), &deleting)[1], "DELETE FROM \"public\".\"t\"");
        let reference = Reference { constraint: "fk".into(), table: "lines".into(), follows: false };
        relation.references.push(reference);
        let all = statements(Some(&relation), &spec(LoadMode::Replace));
        assert_eq!(all[1..3], ["SET CONSTRAINTS ALL DEFERRED".to_string(), "DELETE FROM \"public\".\"t\"".into()]);
        relation.references[0].follows = true;
        let error = Plan::new(&name(), Some(&relation), &spec(LoadMode::Replace)).unwrap_err();
        assert!(error.message().contains("lines") && error.message().contains("fk"), "{error}");
    }

    #[test]
    fn an_upsert_goes_by_the_unique_index_or_by_two_statements() {
        let mut relation = relation();
        let all = statements(Some(&relation), &spec(LoadMode::Upsert));
        let merge = all.last().unwrap();
        assert!(merge.contains("ON CONFLICT (\"id\") DO UPDATE SET \"id\" = EXCLUDED.\"id\""), "{merge}");
        assert!(all.iter().any(|sql| sql.starts_with("COPY pg_temp.dxt_stage (\"id\", \"na\"\"me\")")));
        relation.unique.clear();
        let all = statements(Some(&relation), &spec(LoadMode::Upsert));
        assert!(all[all.len() - 2].starts_with("UPDATE") && all[all.len() - 1].starts_with("INSERT"), "{all:?}");
    }

    #[test]
    fn an_upsert_of_keys_alone_updates_nothing() {
        let mut keys = spec(LoadMode::Upsert);
        keys.schema.fields.truncate(1);
        let all = statements(Some(&relation()), &keys);
        assert!(all.last().unwrap().ends_with("ON CONFLICT (\"id\") DO NOTHING"), "{all:?}");
    }

    #[test]
    fn an_unknown_option_is_an_error() {
        let mut wrong = spec(LoadMode::Append);
        wrong.options.insert("replace_stratgy".into(), json!("delete"));
        let error = Plan::new(&name(), None, &wrong).unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Configuration, Some("did you mean replace_strategy?")));
    }

    #[test]
    fn a_name_with_braces_is_not_taken_for_a_template() {
        assert_eq!(render("-- why\nSELECT {a}, {b}", &[("a", "\"{b}\""), ("b", "2")]), "SELECT \"{b}\", 2");
    }

    #[test]
    fn a_watermark_of_text_goes_by_bytes_and_others_have_to_be_ordered() {
        let field = |native: &str| DxtField::new("w", PgType::parse(native).dtype()).native(SYSTEM, native);
        let sql = |native| watermark(&name(), &field(native)).map(|(sql, _)| sql);
        assert_eq!(sql("text").unwrap(), "SELECT max(\"w\" COLLATE \"C\") AS \"w\" FROM \"public\".\"t\"");
        let uuid = "SELECT max(\"w\"::text COLLATE \"C\")::uuid AS \"w\" FROM \"public\".\"t\"";
        assert_eq!(sql("uuid").unwrap(), uuid);
        assert_eq!(sql("integer").unwrap(), "SELECT max(\"w\") AS \"w\" FROM \"public\".\"t\"");
        for native in ["numeric", "boolean", "jsonb", "interval", "integer[]"] {
            assert_eq!(sql(native).unwrap_err().kind(), ErrorKind::TypeMapping, "{native}");
        }
    }
}
