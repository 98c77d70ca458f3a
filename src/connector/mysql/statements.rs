//! The statements of a load, made before it begins: what `explain` shows is what is sent.

use super::aside::{Aside, lock};
use super::catalog::Relation;
use super::client::Server;
use super::dialect::{quote, relation};
use super::encode::{Target, insert, load_data};
use super::ledger::Ledger;
use super::options::{LoadOptions, Method, ReplaceStrategy};
use super::types::{MyType, SYSTEM};
use super::upsert::Upsert;
use crate::connector::LoadSpec;
use crate::connector::sql::Dialect;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, LoadMode, RelationName};

const GREATEST: &str = include_str!("../../../sql/mysql/greatest.sql");
const GREATEST_TEXT: &str = include_str!("../../../sql/mysql/greatest_text.sql");

pub(super) const BEGIN: &str = "START TRANSACTION";

/// Everything that a load sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) options: LoadOptions,
    pub(super) columns: Vec<Target>,
    /// The table that is filled: the target, or one that will take its place.
    pub(super) held: RelationName,
    pub(super) aside: Option<Aside>,
    /// Deletes what the target has.
    pub(super) empty: Option<String>,
    pub(super) merge: Option<Upsert>,
    /// Gives the rows of the load back, where they can be told from others.
    pub(super) reread: Option<String>,
    pub(super) ledger: Option<Ledger>,
    lock: String,
}

impl Plan {
    /// The plan of a load into `target`, which is `found` where it exists.
    ///
    /// # Errors
    /// Configuration: an option. Loader: the target cannot be replaced so. Type mapping: a key cannot be one.
    pub(super) fn new(
        target: &RelationName,
        found: Option<&Relation>,
        spec: &LoadSpec,
        server: &Server,
    ) -> Result<Self> {
        let options = LoadOptions::read(&spec.options)?;
        let columns: Vec<Target> = spec
            .schema
            .fields
            .iter()
            .map(|field| {
                let column = found.and_then(|found| found.schema.field(&field.name)).unwrap_or(field);
                let key = spec.mode == LoadMode::Upsert && spec.keys.contains(&field.name)
                    || found.is_none() && spec.keys.contains(&field.name);
                let nullable = column.nullable && field.nullable;
                Target::new(DxtField { native: column.native.clone(), nullable, ..field.clone() }, key)
            })
            .collect();
        let swaps = spec.mode == LoadMode::Replace && options.replace == ReplaceStrategy::Swap;
        let aside = match found {
            None => Some(Aside::create(target, spec, &columns, server)?),
            Some(found) if swaps => Some(Aside::swap(found, spec)?),
            Some(_) => None,
        };
        let empty = match found {
            Some(found) if spec.mode == LoadMode::Replace && aside.is_none() => Some(delete(found)?),
            _ => None,
        };
        let held = aside.as_ref().map_or(target, |aside| &aside.name).clone();
        let merge = (spec.mode == LoadMode::Upsert).then(|| Upsert::new(&held, found, spec, &columns, server));
        let whole = spec.mode != LoadMode::Append || aside.is_some();
        let reread = (spec.reread && whole).then(|| {
            let dialect = found.map(Relation::dialect).unwrap_or_default();
            let items: Vec<String> = columns.iter().map(|column| dialect.select(&column.field)).collect();
            let from = merge.as_ref().map_or_else(|| relation(&held), |merge| merge.staged.clone());
            format!("SELECT {} FROM {from}", items.join(", "))
        });
        let ledger = spec.once.as_ref().map(|once| Ledger::new(target, once, server));
        Ok(Self { lock: lock(target), options, columns, held, aside, empty, merge, reread, ledger })
    }

    /// The table that rows are written into, quoted.
    pub(super) fn into(&self) -> String {
        self.merge.as_ref().map_or_else(|| relation(&self.held), |merge| merge.staged.clone())
    }

    /// Waits for the turn of this load, for so many seconds.
    pub(super) fn turn(&self, seconds: u64) -> String {
        format!("SELECT GET_LOCK({}, {seconds})", self.lock)
    }

    /// Bounds all other waiting for locks.
    pub(super) fn bound(&self) -> String {
        let seconds = self.options.patience();
        format!("SET SESSION innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}")
    }

    /// The statement that brings rows, and whether it is LOAD DATA.
    pub(super) fn transfer(&self, has_local_infile: bool) -> (String, bool) {
        let files = match self.options.method {
            Method::Auto => has_local_infile,
            Method::LoadData => true,
            Method::Insert => false,
        };
        let make = if files { load_data } else { insert };
        (make(&self.into(), &self.columns), files)
    }

    /// All that will be sent, for people, in order.
    pub(super) fn statements(&self) -> Vec<String> {
        let mut all = vec![self.bound(), self.turn(self.options.patience())];
        all.extend(self.ledger.iter().map(|ledger| ledger.create.clone()));
        all.extend(self.aside.iter().map(|aside| aside.make.clone()));
        all.extend(self.merge.iter().flat_map(Upsert::make));
        all.push(BEGIN.to_string());
        all.extend(self.ledger.iter().map(|ledger| ledger.find.clone()));
        all.extend(self.empty.iter().cloned());
        all.push(self.transfer(true).0);
        all.extend(self.reread.iter().cloned());
        all.extend(self.merge.iter().flat_map(Upsert::statements));
        all.extend(self.ledger.iter().map(|ledger| ledger.enter(0)));
        all.push("COMMIT".into());
        if let Some(aside) = &self.aside {
            all.push(aside.place.clone());
            all.extend(aside.drop_old.iter().cloned());
        }
        all
    }
}

/// The DELETE of a replace.
fn delete(found: &Relation) -> Result<String> {
    if let Some(reference) = found.references.iter().find(|reference| reference.here && reference.follows) {
        let what = format!(
            "replacing {} would delete or change rows of {} by its foreign key {}",
            found.name, reference.table, reference.constraint
        );
        return Err(Error::new(ErrorKind::Loader, what).with_hint("use `mode: upsert`, which deletes no row"));
    }
    Ok(format!("DELETE FROM {}", relation(&found.name)))
}

/// A query for the greatest value of a column, and the field as which its result is read.
///
/// # Errors
/// Type mapping: the column has no order that dxt follows as the server does.
pub(super) fn watermark(
    target: &RelationName,
    found: Option<&Relation>,
    field: &DxtField,
) -> Result<(String, DxtField)> {
    let dialect = found.map(Relation::dialect).unwrap_or_default();
    let native = MyType::of(field).filter(|_| field.dtype.is_ordered());
    let Some(native) = native else {
        let native = field.native_in(SYSTEM).unwrap_or("unknown");
        let what = format!("column {} of {target} is of type {native}, which cannot be a watermark", field.name);
        return Err(Error::new(ErrorKind::TypeMapping, what)
            .with_hint("take a column of an integer, decimal, date, datetime, timestamp or text type"));
    };
    let column = quote(&field.name);
    let bytes = match native {
        MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_) => {
            Some(format!("CAST(CONVERT({column} USING utf8mb4) AS BINARY)"))
        }
        MyType::Uuid | MyType::Inet => Some(format!("CAST({column} AS CHAR)")),
        _ => None,
    };
    let (item, target) = (dialect.select(field), relation(target));
    let values = [("item", item.as_str()), ("column", &column), ("target", &target)];
    let sql = match &bytes {
        Some(bytes) => render(GREATEST_TEXT, &[&values[..], &[("bytes", bytes.as_str())]].concat()),
        None => render(GREATEST, &values),
    };
    Ok((sql, field.clone().nullable(true)))
}

/// A template with its `{name}`s filled in, in one pass: what is filled in may hold braces of its own. Its comments, which
/// are lines of their own, are left out.
pub(super) fn render(template: &str, values: &[(&str, &str)]) -> String {
    let lines = template.lines().filter(|line| !line.trim_start().starts_with("--"));
    let template = lines.collect::<Vec<_>>().join("\n");
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template.trim();
    while let Some(open) = rest.find('{') {
        out += &rest[..open];
        let after = &rest[open + 1..];
        let found = after.find('}').and_then(|close| {
            let (_, value) = values.iter().find(|(name, _)| *name == &after[..close])?;
            Some((close, value))
        });
        match found {
            Some((close, value)) => {
                out += value;
                rest = &after[close + 1..];
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DxtSchema, DxtType, Options};

    const SERVER: Server = Server { mariadb: true, version: (10, 11, 6) };

    fn spec(mode: LoadMode, options: &str) -> LoadSpec {
        let field = |name: &str, dtype, native: &str| DxtField::new(name, dtype).native(SYSTEM, native);
        let fields = vec![field("id", DxtType::Int64, "bigint"), field("na`me", DxtType::String, "longtext")];
        LoadSpec {
            mode,
            schema: DxtSchema::new(fields),
            keys: if mode == LoadMode::Upsert { vec!["na`me".into()] } else { Vec::new() },
            watermark: Some("id".into()),
            expected_watermark: None,
            expect_empty: false,
            once: None,
            reread: false,
            run_id: "r-1".into(),
            options: serde_json::from_str::<Options>(options).unwrap(),
        }
    }

    fn statements(mode: LoadMode, options: &str) -> Vec<String> {
        let target = RelationName { parts: vec!["db".into(), "t".into()] };
        Plan::new(&target, None, &spec(mode, options), &SERVER).unwrap().statements()
    }

    #[test]
    fn a_target_that_is_missing_is_filled_aside_and_renamed_after_the_commit() {
        let all = statements(LoadMode::Append, "{}");
        let at =
            |text: &str| all.iter().position(|sql| sql.starts_with(text)).unwrap_or_else(|| panic!("{text}: {all:#?}"));
        let order =
            ["SET SESSION", "SELECT GET_LOCK", "CREATE TABLE", "START", "LOAD DATA", "COMMIT", "RENAME"].map(at);
        assert!(order.is_sorted(), "{all:#?}");
        assert!(all[at("CREATE TABLE")].contains("`id` bigint NULL, `na``me` longtext NULL) ENGINE=InnoDB"));
        assert!(all[at("RENAME")].ends_with("TO `db`.`t`"));
    }

    #[test]
    fn a_text_key_is_as_long_as_an_index_can_have_it() {
        let all = statements(LoadMode::Upsert, r#"{"load_method": "insert"}"#);
        let create = all.iter().find(|sql| sql.starts_with("CREATE TABLE")).unwrap();
        assert!(create.contains("`na``me` varchar(768) NOT NULL, PRIMARY KEY (`na``me`)"), "{create}");
        let update = all.iter().find(|sql| sql.starts_with("UPDATE")).unwrap();
        assert!(
            update.ends_with("ON t.`na``me` = s.`na``me` SET t.`id` = s.`id`, t.`na``me` = s.`na``me`"),
            "{update}"
        );
    }

    #[test]
    fn what_is_filled_in_may_hold_braces_and_comments_stay_here() {
        assert_eq!(render("-- {a}\nSELECT {a}, {b}\n", &[("a", "'{b}'"), ("b", "1")]), "SELECT '{b}', 1");
        assert_eq!(render("SELECT {c}", &[]), "SELECT {c}");
    }

    #[test]
    fn a_watermark_goes_by_the_order_that_dxt_has() {
        let target = RelationName { parts: vec!["db".into(), "t".into()] };
        let of = |native: &str| {
            let dtype = MyType::parse(native).unwrap().dtype();
            watermark(&target, None, &DxtField::new("x", dtype).native(SYSTEM, native)).map(|(sql, _)| sql)
        };
        assert_eq!(of("bigint").unwrap(), "SELECT `x` FROM (SELECT MAX(`x`) AS `x` FROM `db`.`t`) AS dxt_greatest");
        assert!(of("varchar(9)").unwrap().contains("ORDER BY CAST(CONVERT(`x` USING utf8mb4) AS BINARY) DESC"));
        for native in ["tinyint(1)", "blob", "json"] {
            assert_eq!(of(native).unwrap_err().kind(), ErrorKind::TypeMapping, "{native}");
        }
    }
}
