//! What is in the file: relations, their columns, keys and declared types.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::client::{failed, fill, main_table, quote};
use super::types::{Affinity, SYSTEM, SqliteTypes};
use crate::connector::TypeMapper;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType, RelationName, nearest};

/// What kind of relation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Table,
    View,
    Virtual,
    /// A query in SQLite's own SQL.
    Query,
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// As dxt sees it.
    pub field: DxtField,
    /// What SQLite makes of values stored or compared there.
    pub affinity: Affinity,
    /// Whether the field's type is that of the column's declared type, and not one that the pipeline declares or that
    /// was found by looking at the values.
    pub own_type: bool,
    /// Whether the pipeline asks for the text of whatever is stored.
    pub loose: bool,
}

/// A relation or query that has been looked at.
#[derive(Debug, Clone)]
pub struct Relation {
    /// The name as the file spells it; empty for a query.
    pub name: String,
    pub kind: Kind,
    /// What stands behind FROM.
    pub from_sql: String,
    /// Columns in order, without those that a virtual table hides.
    pub columns: Vec<Column>,
    /// The primary key's columns in its order.
    pub primary_key: Vec<String>,
    /// A select item that gives the row's id, for ordinary tables.
    pub rowid: Option<&'static str>,
    /// Sets of columns that are unique in every row, the primary key among them.
    pub unique: Vec<BTreeSet<String>>,
    /// Whether texts compare by their UTF-8 bytes: not so in a UTF-16 database.
    pub utf8: bool,
}

impl Relation {
    /// Whether it has at least one row.
    pub fn has_rows(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {})", self.from_sql), [], |row| row.get(0))
    }

    /// The columns and key as dxt's schema.
    pub fn schema(&self) -> DxtSchema {
        DxtSchema {
            fields: self.columns.iter().map(|c| c.field.clone()).collect(),
            primary_key: self.primary_key.clone(),
        }
    }

    /// The column of exactly this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.field.name == name)
    }

    /// Looks at a table or view; `None` where there is none of that name.
    pub fn find(connection: &Connection, table: &str, declared: &[(String, DxtType)]) -> Result<Option<Self>> {
        let doing = || format!("looking at {table}");
        let found = connection
            .query_row(
                "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE",
                [table],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?)),
            )
            .optional()
            .map_err(|e| failed(ErrorKind::Schema, doing(), e))?;
        let Some((name, kind, without_rowid)) = found else { return Ok(None) };
        let kind = match kind.as_str() {
            "view" => Kind::View,
            "virtual" => Kind::Virtual,
            _ => Kind::Table,
        };
        let from_sql = main_table(&name);
        let mut relation = Self::empty(connection, name, kind, from_sql)?;
        if kind == Kind::View {
            relation.describe_query(connection, declared)?;
        } else {
            relation.describe_table(connection, without_rowid, declared)?;
        }
        Ok(Some(relation))
    }

    /// Looks at a query: one SELECT without parameters and with a name of its own for each column.
    pub fn query(connection: &Connection, sql: &str, declared: &[(String, DxtType)]) -> Result<Self> {
        let refuse = |message: &str, hint: &str| Err(Error::new(ErrorKind::Schema, message).with_hint(hint));
        {
            let statement = connection
                .prepare(sql)
                .map_err(|e| failed(ErrorKind::Schema, "preparing the source's SQL".to_string(), e))?;
            if statement.column_count() == 0 || !statement.readonly() || statement.is_explain() != 0 {
                return refuse("the source's SQL is not a SELECT", "a source reads: write SELECT … or WITH … SELECT …");
            }
            if statement.parameter_count() > 0 {
                return refuse("the source's SQL has parameters", "write values into it, or a `criteria` beside it");
            }
            let mut seen = BTreeSet::new();
            if let Some(name) = statement.column_names().iter().find(|n| !seen.insert(n.to_lowercase())) {
                return refuse(
                    &format!("the source's SQL gives two columns named {name}"),
                    "name them apart with AS; SQLite does not tell upper from lower case in names",
                );
            }
        }
        // A line of its own, for the text may end with a comment.
        let sql = statement_text(sql);
        let mut relation = Self::empty(connection, String::new(), Kind::Query, format!("(\n{sql}\n) AS \"query\""))?;
        relation.describe_query(connection, declared)?;
        Ok(relation)
    }

    fn empty(connection: &Connection, name: String, kind: Kind, from_sql: String) -> Result<Self> {
        let encoding: String = connection
            .query_row("PRAGMA encoding", [], |row| row.get(0))
            .map_err(|e| failed(ErrorKind::Schema, "reading the database's encoding", e))?;
        Ok(Self {
            name,
            kind,
            from_sql,
            columns: Vec::new(),
            primary_key: Vec::new(),
            rowid: None,
            unique: Vec::new(),
            utf8: encoding == "UTF-8",
        })
    }

    fn describe_table(
        &mut self,
        connection: &Connection,
        without_rowid: bool,
        declared: &[(String, DxtType)],
    ) -> Result<()> {
        let doing = |e| failed(ErrorKind::Schema, format!("reading the columns of {}", self.name), e);
        let rows = table_info(connection, &self.name).map_err(doing)?;
        let mut unique = unique_indexes(connection, &self.name).map_err(doing)?;
        let mut key: Vec<_> = rows.iter().filter(|r| r.key > 0).collect();
        key.sort_by_key(|r| r.key);
        // Exactly this spelling makes a column another name of the rowid, which SQLite fills in by itself.
        let alias = match key.as_slice() {
            [one] if !without_rowid && one.declared.eq_ignore_ascii_case("INTEGER") => Some(one.name.clone()),
            _ => None,
        };
        self.primary_key = key.iter().map(|r| r.name.clone()).collect();
        if !key.is_empty() {
            unique.push(self.primary_key.iter().cloned().collect());
        }
        self.unique = unique;
        if self.kind == Kind::Table && !without_rowid {
            let taken = |name: &&str| rows.iter().any(|r| r.name.eq_ignore_ascii_case(name));
            self.rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name));
        }
        let visible: Vec<_> = rows.into_iter().filter(|r| r.hidden != 1).collect();
        let typed = visible.iter().map(|r| (r.name.clone(), r.declared.clone())).collect();
        self.columns = self.typed(connection, typed, declared)?;
        for (column, row) in self.columns.iter_mut().zip(&visible) {
            let is_alias = alias.as_ref() == Some(&row.name);
            let field = &mut column.field;
            field.nullable = !(row.not_null || is_alias || (without_rowid && row.key > 0));
            field.has_default = row.has_default || is_alias;
            field.generated = row.hidden >= 2;
        }
        Ok(())
    }

    fn describe_query(&mut self, connection: &Connection, declared: &[(String, DxtType)]) -> Result<()> {
        let columns = {
            let statement = connection
                .prepare(&format!("SELECT * FROM {}", self.from_sql))
                .map_err(|e| failed(ErrorKind::Schema, format!("reading the columns of {}", self.label()), e))?;
            let columns = statement.columns();
            columns.iter().map(|c| (c.name().to_string(), c.decl_type().unwrap_or_default().to_string())).collect()
        };
        self.columns = self.typed(connection, columns, declared)?;
        Ok(())
    }

    fn label(&self) -> &str {
        if self.kind == Kind::Query { "the source's SQL" } else { &self.name }
    }

    /// Gives each column, of a name and a declared type, its DXT type.
    fn typed(
        &self,
        connection: &Connection,
        columns: Vec<(String, String)>,
        declared: &[(String, DxtType)],
    ) -> Result<Vec<Column>> {
        let asked = |name: &str| {
            // Arrays and objects are made of JSON text by dxt's own cast.
            let of_name = declared.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
            of_name.filter(|t| !matches!(t, DxtType::Array(_) | DxtType::Object(_)))
        };
        let unknown: Vec<&str> = columns
            .iter()
            .filter(|(n, t)| t.trim().is_empty() && asked(n).is_none())
            .map(|(n, _)| n.as_str())
            .collect();
        let mut probed = self.probe(connection, &unknown)?.into_iter();
        let mut typed = Vec::with_capacity(columns.len());
        for (name, native) in &columns {
            let is_declared = !native.trim().is_empty();
            let asked = asked(name);
            let of_native = |native: &str| {
                SqliteTypes.from_native(native).map_err(|e| e.context(format!("column {name} of {}", self.label())))
            };
            let loose = asked == Some(DxtType::String);
            let (dtype, own_type) = match asked {
                Some(dtype) => {
                    (dtype.clone(), is_declared && SqliteTypes.from_native(native).is_ok_and(|t| t == dtype))
                }
                None if is_declared => (of_native(native)?, true),
                None => (probed.next().unwrap_or(DxtType::String), false),
            };
            let mut field = DxtField::new(name, dtype);
            if is_declared {
                field = field.native(SYSTEM, native.trim());
            }
            typed.push(Column { field, affinity: Affinity::of(native), own_type, loose });
        }
        Ok(typed)
    }

    /// The types of columns without a declared one: by the storage classes of all their values.
    fn probe(&self, connection: &Connection, names: &[&str]) -> Result<Vec<DxtType>> {
        const CLASSES: [&str; 4] = ["integer", "real", "text", "blob"];
        let mut types = Vec::with_capacity(names.len());
        // A result has at most 2000 columns.
        for names in names.chunks(400) {
            let classes: Vec<String> = names
                .iter()
                .flat_map(|n| CLASSES.map(|class| format!("ifnull(max(typeof({}) = '{class}'), 0)", quote(n))))
                .collect();
            let template = include_str!("../../../sql/sqlite/storage_classes.sql");
            let sql = fill(template, &[("classes", &classes.join(", ")), ("from", &self.from_sql)]);
            let found: Vec<bool> = connection
                .query_row(&sql, [], |row| (0..classes.len()).map(|i| row.get(i)).collect())
                .map_err(|e| failed(ErrorKind::Extractor, format!("reading the types in {}", self.label()), e))?;
            types.extend(found.chunks(CLASSES.len()).map(|occurs| match occurs {
                [true, false, false, false] => DxtType::Int64,
                [false, true, false, false] => DxtType::Float64,
                [false, false, false, true] => DxtType::Binary,
                _ => DxtType::String,
            }));
        }
        Ok(types)
    }
}

/// The text before the semicolon that ends the first statement, outside of quotes and comments: what may stand in
/// parentheses.
fn statement_text(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        let Some(at) = rest.find([';', '\'', '"', '`', '[', '-', '/']) else { return sql };
        let (here, found) = (&rest[at..], sql.len() - rest.len() + at);
        // Where the quote or comment that begins here ends; a doubled quote merely begins another one.
        let end = match here.as_bytes() {
            [b';', ..] => return &sql[..found],
            [quote @ (b'\'' | b'"' | b'`'), ..] => here[1..].find(char::from(*quote)).map(|e| e + 2),
            [b'[', ..] => here.find(']').map(|e| e + 1),
            [b'-', b'-', ..] => here.find('\n').map(|e| e + 1),
            [b'/', b'*', ..] => here[2..].find("*/").map(|e| e + 4),
            _ => Some(1),
        };
        match end {
            Some(end) => rest = &here[end..],
            None => return sql,
        }
    }
}

struct Info {
    name: String,
    declared: String,
    not_null: bool,
    has_default: bool,
    key: i64,
    hidden: i64,
}

fn table_info(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Info>> {
    let mut statement = connection.prepare(&fill(include_str!("../../../sql/sqlite/columns.sql"), &[]))?;
    let rows = statement.query_map([table], |row| {
        Ok(Info {
            name: row.get(0)?,
            declared: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            not_null: row.get(2)?,
            has_default: row.get(3)?,
            key: row.get(4)?,
            hidden: row.get(5)?,
        })
    })?;
    rows.collect()
}

fn unique_indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<BTreeSet<String>>> {
    let mut statement = connection.prepare(&fill(include_str!("../../../sql/sqlite/unique_indexes.sql"), &[]))?;
    let mut rows = statement.query([table])?;
    let mut indexes = std::collections::BTreeMap::<String, Option<BTreeSet<String>>>::new();
    while let Some(row) = rows.next()? {
        let columns = indexes.entry(row.get(0)?).or_insert_with(|| Some(BTreeSet::new()));
        match (row.get::<_, Option<String>>(1)?, columns) {
            (Some(name), Some(names)) => {
                names.insert(name);
            }
            (None, columns) => *columns = None,
            (Some(_), None) => {}
        }
    }
    Ok(indexes.into_values().flatten().collect())
}

/// All relations: name and kind.
pub fn list(connection: &Connection) -> Result<Vec<(String, String)>> {
    let read = || -> rusqlite::Result<Vec<(String, String)>> {
        let mut statement = connection.prepare(&fill(include_str!("../../../sql/sqlite/relations.sql"), &[]))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    let relations = read().map_err(|e| failed(ErrorKind::Connection, "listing the relations", e))?;
    let kind = |kind: String| if kind == "virtual" { "virtual table".to_string() } else { kind };
    Ok(relations.into_iter().map(|(name, k)| (name, kind(k))).collect())
}

/// The table's name in a relation's name.
///
/// # Errors
/// Schema: it names a schema, which SQLite does not have.
pub fn table_of(name: &RelationName) -> Result<&str> {
    match name.parts.as_slice() {
        [table] => Ok(table),
        [schema, table] if schema.eq_ignore_ascii_case("main") => Ok(table),
        _ => Err(Error::new(ErrorKind::Schema, format!("{name}: SQLite has no schemas"))
            .with_hint("write the table's name alone; quote a name that has dots: \"my.table\"")),
    }
}

/// There is no such relation; the nearest names stand in the hint.
pub fn missing(connection: &Connection, table: &str) -> Error {
    let error = Error::new(ErrorKind::Schema, format!("there is no table or view {table}"));
    let names: Vec<String> = list(connection).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    error.with_hint(match nearest(table, &known) {
        Some(name) => format!("did you mean {name}?"),
        None if known.is_empty() => "the database has no tables".into(),
        None => {
            let more = if known.len() > 10 { ", …" } else { "" };
            format!("there are: {}{more}", known.iter().take(10).copied().collect::<Vec<_>>().join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(sql: &str) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        connection
    }

    fn find(connection: &Connection, table: &str) -> Relation {
        Relation::find(connection, table, &[]).unwrap().unwrap()
    }

    #[test]
    fn a_table_tells_types_keys_defaults_and_generated_columns() {
        let db = memory(
            "CREATE TABLE \"Mixed Case\" (id INTEGER PRIMARY KEY, n VARCHAR(10) NOT NULL, d DECIMAL(5,2) DEFAULT 1, \
             g INT GENERATED ALWAYS AS (id + 1) STORED, u UNIQUE)",
        );
        let relation = find(&db, "mixed case");
        assert_eq!(relation.name, "Mixed Case");
        assert_eq!(relation.primary_key, ["id"]);
        assert_eq!(relation.rowid, Some("rowid"));
        let of = |name: &str| relation.column(name).unwrap().field.clone();
        assert!(!of("id").nullable && of("id").has_default);
        assert!(!of("n").nullable && !of("n").has_default);
        assert_eq!(of("d").dtype, DxtType::Decimal { precision: 5, scale: 2 });
        assert!(of("d").has_default && of("g").generated);
        assert_eq!(of("n").native_in(SYSTEM), Some("VARCHAR(10)"));
        assert!(relation.unique.contains(&BTreeSet::from(["u".to_string()])));
    }

    #[test]
    fn a_rowid_is_told_only_where_there_is_one() {
        let db = memory(
            "CREATE TABLE a (rowid TEXT); CREATE TABLE b (k TEXT PRIMARY KEY) WITHOUT ROWID; \
             CREATE TABLE c (rowid, oid, _rowid_); CREATE VIEW v AS SELECT * FROM a;",
        );
        assert_eq!(find(&db, "a").rowid, Some("_rowid_"));
        for table in ["b", "c", "v"] {
            assert_eq!(find(&db, table).rowid, None, "{table}");
        }
        assert!(!find(&db, "b").columns[0].field.nullable);
    }

    #[test]
    fn untyped_columns_take_the_type_of_their_values() {
        let db = memory(
            "CREATE TABLE t (i, r, s, b, m, n, d DATE); \
             INSERT INTO t VALUES (1, 1.5, 'x', x'00', 1, NULL, NULL), (NULL, 2.0, 'y', NULL, 'a', NULL, NULL)",
        );
        let types: Vec<DxtType> = find(&db, "t").columns.into_iter().map(|c| c.field.dtype).collect();
        use DxtType::{Binary, Date, Float64, Int64, String};
        assert_eq!(types, [Int64, Float64, String, Binary, String, String, Date]);
    }

    #[test]
    fn views_and_queries_keep_declared_types_and_look_at_the_rest() {
        let db = memory(
            "CREATE TABLE t (id INT4, at TIMESTAMP); INSERT INTO t VALUES (1, '2024-01-01 00:00:00'); \
             CREATE VIEW v AS SELECT at, count(*) AS n, max(id) AS top FROM t GROUP BY at",
        );
        let expected = [DxtType::Timestamp { precision: 6 }, DxtType::Int64, DxtType::Int64];
        let types = |r: Relation| r.columns.into_iter().map(|c| c.field.dtype).collect::<Vec<_>>();
        assert_eq!(types(find(&db, "v")), expected);
        let sql = "SELECT at, count(*) AS n, max(id) AS top FROM t GROUP BY at; -- the end";
        assert_eq!(types(Relation::query(&db, sql, &[]).unwrap()), expected);
        assert_eq!(types(Relation::query(&db, "SELECT * FROM v ;\n", &[]).unwrap()), expected);
    }

    #[test]
    fn a_statement_ends_at_its_semicolon_and_not_at_one_in_quotes() {
        assert_eq!(statement_text("SELECT ';' AS \";\" -- ;\n FROM t; -- end"), "SELECT ';' AS \";\" -- ;\n FROM t");
        assert_eq!(
            statement_text("SELECT 'it''s;', [;], `;`, 1-2/3 /* ; */"),
            "SELECT 'it''s;', [;], `;`, 1-2/3 /* ; */"
        );
        assert_eq!(statement_text("SELECT 1 -- ;"), "SELECT 1 -- ;");
    }

    #[test]
    fn queries_that_are_no_plain_select_are_refused() {
        let db = memory("CREATE TABLE t (a, b)");
        for sql in [
            "DELETE FROM t",
            "SELECT a, b AS A FROM t",
            "SELECT ?1 AS x",
            "SELECT 1; SELECT 2",
            "EXPLAIN SELECT 1",
            "SELECT",
        ] {
            assert_eq!(Relation::query(&db, sql, &[]).unwrap_err().kind(), ErrorKind::Schema, "{sql}");
        }
    }

    #[test]
    fn a_misspelt_table_gets_the_nearest_name() {
        let db = memory("CREATE TABLE orders (a); CREATE TABLE people (a)");
        assert_eq!(missing(&db, "ordres").hint(), Some("did you mean orders?"));
        assert!(table_of(&RelationName::parse("other.orders").unwrap()).is_err());
        assert_eq!(table_of(&RelationName::parse("main.orders").unwrap()).unwrap(), "orders");
    }
}
