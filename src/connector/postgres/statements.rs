//! The statements of a load, made before it begins: what `explain` shows is what is sent.

use std::collections::BTreeSet;

use super::catalog::Relation;
use super::codec::encoder;
use super::dialect::{PostgresDialect, quote_text};
use super::ledger::Ledger;
use super::options::{LoadOptions, ReplaceStrategy};
use super::patience::bound;
use super::sequences::{Move, moves};
use super::swap::Swap;
use super::types::{PgType, PostgresTypes};
use super::upsert::{DEFERRED, STAGED, Upsert};
use crate::connector::sql::Dialect;
use crate::connector::{LoadSpec, TypeMapper};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, LoadMode, RelationName, nearest};

const STAGED_ROWS: &str = include_str!("../../../sql/postgres/staged_rows.sql");
const WATERMARK: &str = include_str!("../../../sql/postgres/watermark.sql");

/// How every load begins. Each statement sees what was committed before it, so that what is asked after the lock holds.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// The first part of the advisory locks that loads take: `dxt` as a number. `pg_locks` shows it as `classid`.
pub(super) const TURN: i32 = 0x64_78_74;

/// Waits for other loads into a table of this name, also where it does not exist yet or another takes its place; they
/// wait for the end of this one.
pub(super) fn turn(target: &RelationName) -> String {
    // A name of the catalog has no NUL.
    let name = quote_text(&PostgresDialect::default().relation(target)).unwrap_or_default();
    format!("SELECT pg_catalog.pg_advisory_xact_lock({TURN}, pg_catalog.hashtext({name}))")
}

/// All statements of one load between BEGIN and COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Bounds the waiting for locks, where the load says how.
    pub(super) bound: Option<String>,
    /// Keeps other loads of dxt out.
    pub(super) turn: String,
    /// Where the target does not exist.
    pub(super) create: Option<String>,
    /// Where it does.
    pub(super) lock: Option<String>,
    pub(super) way: Way,
    pub(super) copy: String,
    /// The columns of the COPY, with the target's own types: they say more of its limits than the load's, `varchar(20)`.
    pub(super) columns: Vec<DxtField>,
    /// The key and the indexes of a target that is created, once it has its rows.
    pub(super) finish: Vec<String>,
    pub(super) sequences: Vec<Move>,
    pub(super) ledger: Option<Ledger>,
    /// Reads what is staged, where the load gives it back.
    pub(super) reread: Option<String>,
}

/// The way of the rows into the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight in.
    Append,
    /// Straight in, when the old rows are out.
    Empty {
        empty: Vec<String>,
        /// Asks whether rows are left.
        left: String,
    },
    /// By a staging table and keys.
    Merge(Box<Upsert>),
    /// By a table of their own.
    Swap(Box<Swap>),
}

impl Plan {
    /// The plan of a load into `target`, which is `relation` where it exists.
    ///
    /// # Errors
    /// Configuration: the load's options. Loader: other tables' rows would go with those that a replace deletes, or the
    /// strategy does not fit the target.
    pub(super) fn new(target: &RelationName, relation: Option<&Relation>, spec: &LoadSpec) -> Result<Self> {
        let options = LoadOptions::read(&spec.options)?;
        let name = PostgresDialect::default().relation(target);
        let way = match (spec.mode, relation) {
            (LoadMode::Upsert, _) => Way::Merge(Box::new(Upsert::new(&name, relation, spec, &spec.keys, false))),
            (LoadMode::Replace, Some(relation)) => replace(&name, relation, spec, options.replace)?,
            _ => Way::Append,
        };
        let into = match &way {
            Way::Append | Way::Empty { .. } => name.as_str(),
            Way::Merge(_) => STAGED,
            Way::Swap(swap) => &swap.aside,
        };
        let reread = spec.reread.then(|| staged_rows(into, &way, relation, spec));
        let names = list(spec.schema.fields.iter().map(|f| f.name.as_str()), "");
        Ok(Self {
            bound: bound(options.lock_timeout),
            turn: turn(target),
            create: relation.is_none().then(|| create(&name, spec, &options)).transpose()?,
            lock: relation.map(|relation| format!("LOCK TABLE {name} IN {} MODE", mode(&way, relation))),
            copy: format!("COPY {into} ({names}) FROM STDIN"),
            columns: spec.schema.fields.iter().map(|field| typed(field, relation)).collect(),
            finish: finish(target, spec, &options, relation.is_none())?,
            sequences: relation.map(|relation| moves(&name, relation, spec)).unwrap_or_default(),
            ledger: spec.once.as_ref().map(|once| Ledger::new(target, once)).transpose()?,
            reread,
            way,
        })
    }

    /// Whether it keeps others from reading the target.
    pub(super) fn locks_out(&self) -> bool {
        match &self.way {
            Way::Empty { empty, .. } => truncates(empty),
            Way::Swap(_) => true,
            _ => false,
        }
    }

    /// The COPY in a format.
    pub(super) fn copy(&self, format: &str) -> String {
        format!("{} WITH (FORMAT {format})", self.copy)
    }

    /// For people, in order.
    pub(super) fn statements(&self) -> Vec<String> {
        let mut all: Vec<String> = self.ledger.iter().map(|ledger| ledger.create.clone()).collect();
        all.push(BEGIN.to_string());
        all.extend(self.bound.iter().cloned());
        all.push(self.turn.clone());
        all.extend(self.lock.iter().cloned());
        all.extend(self.ledger.iter().map(|ledger| ledger.find.clone()));
        all.extend(self.create.iter().cloned());
        match &self.way {
            Way::Append => {}
            Way::Empty { empty, .. } => all.extend(empty.iter().cloned()),
            Way::Merge(upsert) => all.push(upsert.stage.clone()),
            Way::Swap(swap) => all.extend(swap.make.iter().cloned()),
        }
        all.push(self.copy(encoder(&self.columns).format()));
        all.extend(self.reread.iter().map(|sql| copy_out(sql)));
        match &self.way {
            Way::Append | Way::Empty { .. } => {}
            Way::Merge(upsert) => all.extend(upsert.statements()),
            Way::Swap(swap) => all.extend(swap.build.iter().chain(&swap.place).cloned()),
        }
        all.extend(self.finish.iter().cloned());
        all.extend(self.sequences.iter().flat_map(Move::statements));
        all.extend(self.ledger.iter().map(|ledger| ledger.enter.clone()));
        all.push("SET CONSTRAINTS ALL IMMEDIATE".into());
        all.push("COMMIT".into());
        all
    }
}

/// The query for the rows of the load, where they are before they are merged.
fn staged_rows(held: &str, way: &Way, relation: Option<&Relation>, spec: &LoadSpec) -> String {
    let printed = relation.map(|relation| relation.printed.clone()).unwrap_or_default();
    let dialect = PostgresDialect::default().printed(printed);
    let fields = spec.schema.fields.iter().map(|field| typed(field, relation));
    let columns = fields.map(|field| dialect.select(&field)).collect::<Vec<_>>().join(", ");
    match (way, relation) {
        (Way::Append, Some(_)) => render(STAGED_ROWS, &[("columns", &columns), ("target", held)]),
        _ => format!("SELECT {columns} FROM {held}"),
    }
}

/// A query's rows as dxt reads them.
pub(super) fn copy_out(sql: &str) -> String {
    format!("COPY ({sql}) TO STDOUT (FORMAT binary)")
}

fn typed(field: &DxtField, relation: Option<&Relation>) -> DxtField {
    let column = relation.and_then(|relation| relation.schema.field(&field.name));
    DxtField { native: column.unwrap_or(field).native.clone(), ..field.clone() }
}

fn truncates(empty: &[String]) -> bool {
    empty.iter().any(|sql| sql.starts_with("TRUNCATE"))
}

/// The lock that keeps other writers out, and readers where they would see what they must not.
fn mode(way: &Way, relation: &Relation) -> &'static str {
    match way {
        Way::Empty { empty, .. } if truncates(empty) => "ACCESS EXCLUSIVE",
        // A row that refers to one that goes could come between the question and the DELETE.
        Way::Merge(upsert) if upsert.guards() => "EXCLUSIVE",
        // What every writer takes: the server gives no more to one who may only INSERT.
        Way::Append if !relation.lockable => "ROW EXCLUSIVE",
        _ => "SHARE ROW EXCLUSIVE",
    }
}

/// TRUNCATE where no other table refers to the target, as it is refused otherwise; then by keys, where there are some.
fn replace(name: &str, relation: &Relation, spec: &LoadSpec, strategy: ReplaceStrategy) -> Result<Way> {
    let keyed = |key: &[String]| Way::Merge(Box::new(Upsert::new(name, Some(relation), spec, key, true)));
    let left = format!("SELECT EXISTS (SELECT FROM {name})");
    match strategy {
        ReplaceStrategy::Truncate if relation.referred().next().is_none() => {
            return Ok(Way::Empty { empty: vec![format!("TRUNCATE TABLE {name}")], left });
        }
        ReplaceStrategy::Truncate => {
            if let Ok(key) = difference_key(relation, spec) {
                return Ok(keyed(&key));
            }
        }
        ReplaceStrategy::Keyed => return Ok(keyed(&difference_key(relation, spec)?)),
        ReplaceStrategy::Swap => return Ok(Way::Swap(Box::new(Swap::new(relation)?))),
        ReplaceStrategy::Delete => {}
    }
    if let Some(reference) = relation.referred().find(|reference| reference.follows) {
        let what = format!(
            "replacing {} would delete or change rows of {} by its foreign key {}",
            relation.name, reference.table, reference.constraint
        );
        let error = Error::new(ErrorKind::Loader, what);
        return Err(error.with_hint(
            "use `mode: upsert`, or `replace_strategy: keyed`, which deletes only rows that the load did not bring",
        ));
    }
    let mut empty = Vec::new();
    if relation.referred().next().is_some() {
        // Deferrable keys may then refer again to what the load brings; the others fail at the DELETE.
        empty.push(DEFERRED.to_string());
    }
    empty.push(format!("DELETE FROM {name}"));
    Ok(Way::Empty { empty, left })
}

/// The columns by which a replace tells which rows stay.
fn difference_key(relation: &Relation, spec: &LoadSpec) -> Result<Vec<String>> {
    let refused = |what: String, hint: &str| Err(Error::new(ErrorKind::Loader, what).with_hint(hint));
    let key = match spec.keys.as_slice() {
        [] => relation.key(&spec.schema),
        named => {
            let wanted: BTreeSet<&String> = named.iter().collect();
            let is_key = |key: &mut dyn Iterator<Item = &String>| key.collect::<BTreeSet<_>>() == wanted;
            if !is_key(&mut relation.schema.primary_key.iter())
                && !relation.unique.iter().any(|k| is_key(&mut k.iter()))
            {
                let what = format!("no primary key or unique index of {} is on {}", relation.name, named.join(", "));
                return refused(what, "name the columns of one in `upsert_keys`, or leave them out");
            }
            Some(named.to_vec())
        }
    };
    let Some(key) = key else {
        let what = format!("{} has no key among the columns of the load, by which to replace it", relation.name);
        return refused(
            what,
            "make a primary key, name a unique one in `upsert_keys`, or take another replace_strategy",
        );
    };
    let fixed =
        spec.schema.fields.iter().find(|f| relation.always_identity.contains(&f.name) && !key.contains(&f.name));
    if let Some(field) = fixed {
        let what = format!("column {} is GENERATED ALWAYS AS IDENTITY and cannot be updated", field.name);
        return refused(what, "leave it out of the stream's `fields`, or take another replace_strategy");
    }
    Ok(key)
}

fn create(name: &str, spec: &LoadSpec, options: &LoadOptions) -> Result<String> {
    let dialect = PostgresDialect::default();
    let mut items = Vec::with_capacity(spec.schema.fields.len());
    for field in &spec.schema.fields {
        let native = PostgresTypes.to_native(field)?;
        let not_null = if field.nullable { "" } else { " NOT NULL" };
        items.push(format!("{} {native}{not_null}", dialect.quote(&field.name)));
    }
    let unlogged = if options.unlogged { "UNLOGGED " } else { "" };
    Ok(format!("CREATE {unlogged}TABLE {name} ({})", items.join(", ")))
}

/// The key and indexes of a table that is created: faster made when the rows are in than kept while they come.
fn finish(target: &RelationName, spec: &LoadSpec, options: &LoadOptions, created: bool) -> Result<Vec<String>> {
    let dialect = PostgresDialect::default();
    let name = dialect.relation(target);
    let mut statements = Vec::new();
    if !spec.keys.is_empty() {
        let key = list(spec.keys.iter().map(String::as_str), "");
        statements.push(format!("ALTER TABLE {name} ADD PRIMARY KEY ({key})"));
    }
    let known = spec.schema.names();
    for index in &options.indexes {
        // A misspelt column is an error with a target that is there, too.
        if let Some(column) = index.columns.iter().find(|column| !known.contains(&column.as_str())) {
            let error =
                Error::new(ErrorKind::Schema, format!("an index is on {column}, which is no column of the load"));
            return Err(match nearest(column, &known) {
                Some(name) => error.with_hint(format!("did you mean {name}?")),
                None => error.with_hint(format!("the columns are {}", known.join(", "))),
            });
        }
        let unique = if index.unique { "UNIQUE " } else { "" };
        let named = index.name.as_ref().map(|name| format!("{} ", dialect.quote(name))).unwrap_or_default();
        let method = index.method.map(|method| format!(" USING {method}")).unwrap_or_default();
        let columns = list(index.columns.iter().map(String::as_str), "");
        statements.push(format!("CREATE {unique}INDEX {named}ON {name}{method} ({columns})"));
    }
    Ok(if created { statements } else { Vec::new() })
}

/// A query for the greatest value of a column, and the field as which its result is read.
///
/// # Errors
/// Type mapping: the column has no order that dxt follows as the server does.
pub(super) fn watermark(target: &RelationName, field: &DxtField) -> Result<(String, DxtField)> {
    let dialect = PostgresDialect::default();
    let column = dialect.quote(&field.name);
    let native = PgType::of(field);
    let followed = match &native {
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
    use crate::model::{DxtSchema, DxtType, Options};
    use serde_json::json;
    use std::collections::BTreeMap;

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
            expect_empty: false,
            once: None,
            reread: false,
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
            collated: BTreeSet::new(),
            loose: BTreeSet::new(),
            printed: BTreeSet::new(),
            rounding: BTreeMap::new(),
            unique: vec![BTreeSet::from(["id".to_string()])],
            references: Vec::new(),
            sequences: Vec::new(),
            version: 150_004,
            lockable: true,
            size: crate::connector::sql::Size::UNKNOWN,
            swappable: None,
        }
    }

    fn name() -> RelationName {
        RelationName { parts: vec!["public".into(), "t".into()] }
    }

    fn statements(relation: Option<&Relation>, spec: &LoadSpec) -> Vec<String> {
        let all = Plan::new(&name(), relation, spec).unwrap().statements();
        // Between what every load begins and ends with.
        all[2..all.len() - 2].to_vec()
    }

    #[test]
    fn a_missing_target_is_created_and_not_locked() {
        let all = statements(None, &spec(LoadMode::Upsert));
        let created = "CREATE TABLE \"public\".\"t\" (\"id\" bigint NOT NULL, \"na\"\"me\" character varying(20))";
        assert_eq!(all[0], created);
        assert_eq!(all.last().unwrap(), "ALTER TABLE \"public\".\"t\" ADD PRIMARY KEY (\"id\")");
        assert!(all.iter().all(|sql| !sql.starts_with("LOCK")));
    }

    #[test]
    fn a_replace_truncates_where_nothing_refers_to_the_target() {
        let relation = relation();
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
    }

    fn referred(follows: bool) -> Relation {
        let columns = vec![("t_id".to_string(), "id".to_string())];
        let (constraint, table) = ("fk".to_string(), "lines".to_string());
        let reference = Reference { constraint, table, follows, moves: false, own: false, columns };
        Relation { references: vec![reference], ..relation() }
    }

    #[test]
    fn a_replace_goes_by_keys_where_other_tables_refer_to_the_target() {
        let mut relation = referred(false);
        relation.schema.primary_key = vec!["id".into()];
        let all = statements(Some(&relation), &spec(LoadMode::Replace));
        assert!(all[0].contains("SHARE ROW EXCLUSIVE"), "{all:?}");
        assert!(all[1].starts_with("CREATE TEMPORARY TABLE"), "{all:?}");
        assert!(all.iter().any(|sql| sql.starts_with("DELETE FROM \"public\".\"t\" AS t WHERE NOT EXISTS")), "{all:?}");
        let all =
            statements(Some(&Relation { references: referred(true).references, ..relation }), &spec(LoadMode::Replace));
        assert!(all[0].contains("IN EXCLUSIVE"), "{all:?}");
    }

    #[test]
    fn without_a_key_it_deletes_unless_that_would_change_other_tables() {
        let mut relation = Relation { unique: Vec::new(), ..referred(false) };
        let all = statements(Some(&relation), &spec(LoadMode::Replace));
        assert_eq!(all[1..3], [DEFERRED.to_string(), "DELETE FROM \"public\".\"t\"".into()]);
        relation.references[0].follows = true;
        let error = Plan::new(&name(), Some(&relation), &spec(LoadMode::Replace)).unwrap_err();
        assert!(error.message().contains("lines") && error.message().contains("fk"), "{error}");
    }

    #[test]
    fn who_may_only_insert_appends_under_the_lock_of_every_writer() {
        let relation = Relation { lockable: false, ..relation() };
        let all = statements(Some(&relation), &spec(LoadMode::Append));
        assert!(all[0].contains("IN ROW EXCLUSIVE"), "{all:?}");
    }

    #[test]
    fn indexes_are_made_where_the_table_is_and_their_columns_checked_in_any_case() {
        let mut spec = spec(LoadMode::Append);
        spec.options.insert("indexes".into(), json!([{"columns": ["id"], "unique": true, "method": "btree"}]));
        let index = "CREATE UNIQUE INDEX ON \"public\".\"t\" USING btree (\"id\")";
        assert_eq!(statements(None, &spec).last().unwrap(), index);
        assert!(statements(Some(&relation()), &spec).iter().all(|sql| !sql.contains("INDEX")));
        spec.options.insert("indexes".into(), json!(["idd"]));
        let error = Plan::new(&name(), Some(&relation()), &spec).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean id?"));
    }

    #[test]
    fn an_upsert_goes_by_the_unique_index_or_merge_or_two_statements() {
        let mut relation = relation();
        let all = statements(Some(&relation), &spec(LoadMode::Upsert));
        let merge = all.last().unwrap();
        assert!(merge.contains("ON CONFLICT (\"id\") DO UPDATE SET \"id\" = EXCLUDED.\"id\""), "{merge}");
        assert!(all.iter().any(|sql| sql.starts_with("COPY pg_temp.dxt_stage (\"id\", \"na\"\"me\")")));
        relation.unique.clear();
        let all = statements(Some(&relation), &spec(LoadMode::Upsert));
        assert!(all.last().unwrap().starts_with("MERGE INTO"), "{all:?}");
        relation.version = 140_000;
        let all = statements(Some(&relation), &spec(LoadMode::Upsert));
        assert!(all[all.len() - 2].starts_with("UPDATE") && all[all.len() - 1].starts_with("INSERT"), "{all:?}");
    }

    #[test]
    fn the_format_of_the_copy_is_shown() {
        let mut spec = spec(LoadMode::Append);
        let copy = |spec: &LoadSpec, relation| statements(relation, spec).pop().unwrap();
        assert!(copy(&spec, None).ends_with("FROM STDIN WITH (FORMAT binary)"));
        spec.schema.fields[1] = DxtField::new("na\"me", DxtType::String).native(SYSTEM, "interval");
        assert!(copy(&spec, None).ends_with("FROM STDIN WITH (FORMAT text)"));
        // A table that is there says itself what its column is.
        assert!(copy(&spec, Some(&relation())).ends_with("FROM STDIN WITH (FORMAT binary)"));
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
