//! What the server's catalog says of relations and of the columns of a query.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::Column;
use mysql_async::consts::{ColumnFlags, ColumnType};

use super::client::Session;
use super::dialect::{self, MysqlDialect};
use super::types::{MyType, SYSTEM};
use crate::connector::sql::Size;
use crate::connector::{Dataset, RelationInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType, RelationName};

const RELATION: &str = include_str!("../../../sql/mysql/relation.sql");
const RELATIONS: &str = include_str!("../../../sql/mysql/relations.sql");
const COLUMNS: &str = include_str!("../../../sql/mysql/columns.sql");
const JSON_COLUMNS: &str = include_str!("../../../sql/mysql/json_columns.sql");
const UNIQUE_KEYS: &str = include_str!("../../../sql/mysql/unique_keys.sql");
const REFERENCES: &str = include_str!("../../../sql/mysql/references.sql");
const TRIGGERS: &str = include_str!("../../../sql/mysql/triggers.sql");
const SCHEMA_EXISTS: &str = include_str!("../../../sql/mysql/schema_exists.sql");

/// The number of the character set `binary` in a result's columns.
const BINARY: u16 = 63;
/// Bytes of a value in memory, where the pages of a table are not measured yet.
const VALUE: u64 = 16;

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelationKind {
    Table,
    /// MariaDB's, which keeps its history.
    Versioned,
    View,
    /// A sequence, or one of the server's own views.
    Other,
}

impl RelationKind {
    fn parse(word: &str) -> Self {
        match word {
            "BASE TABLE" => Self::Table,
            "SYSTEM VERSIONED" => Self::Versioned,
            "VIEW" => Self::View,
            _ => Self::Other,
        }
    }

    /// For people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Versioned => "versioned table",
            Self::View => "view",
            Self::Other => "relation",
        }
    }
}

/// A foreign key that refers to a table, or that is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) constraint: String,
    /// The table that refers.
    pub(super) table: String,
    /// Whether it refers to this table.
    pub(super) here: bool,
    /// Whether it is this table's.
    pub(super) own: bool,
    /// Whether a DELETE here would delete or change rows there.
    pub(super) follows: bool,
}

/// A relation that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    /// Database and table.
    pub(super) name: RelationName,
    pub(super) kind: RelationKind,
    /// The storage engine; of a view there is none.
    pub(super) engine: Option<String>,
    /// Whether that has transactions.
    pub(super) transactional: bool,
    pub(super) schema: DxtSchema,
    /// Character set and collation of texts, by column.
    pub(super) collations: BTreeMap<String, (String, String)>,
    /// Columns of the server's own JSON.
    pub(super) json: BTreeSet<String>,
    /// Columns of each unique key.
    pub(super) unique: Vec<BTreeSet<String>>,
    pub(super) references: Vec<Reference>,
    pub(super) triggers: Vec<String>,
    /// About how many there are in a table.
    rows: Option<u64>,
    /// Bytes of a table's pages.
    bytes: Option<u64>,
}

impl Relation {
    /// Looks a relation up; `None` where there is none of the name.
    ///
    /// # Errors
    /// Schema: the name has no database, or three parts. Type mapping: a column is of a type that dxt does not know.
    pub(super) async fn find(session: &mut Session, name: &RelationName) -> Result<Option<Self>> {
        let doing = format!("looking for {name}");
        let (database, table) = parts(name)?;
        let at = [database, table];
        type Row = (String, Option<String>, bool, Option<u64>, Option<u64>);
        let found: Vec<Row> = session.rows_of(RELATION, &at, &doing).await?;
        let Some((kind, engine, transactional, rows, bytes)) = found.into_iter().next() else { return Ok(None) };
        let mut relation = Self {
            name: name.clone(),
            kind: RelationKind::parse(&kind),
            engine,
            transactional,
            schema: DxtSchema::default(),
            collations: BTreeMap::new(),
            json: BTreeSet::new(),
            unique: Vec::new(),
            references: Vec::new(),
            triggers: Vec::new(),
            rows,
            bytes,
        };
        relation.columns(session, &at, &doing).await?;
        relation.keys(session, &at, &doing).await?;
        Ok(Some(relation))
    }

    async fn columns(&mut self, session: &mut Session, at: &[&str], doing: &str) -> Result<()> {
        type Row = (String, String, bool, bool, bool, Option<String>, Option<String>);
        let mut checked = BTreeSet::new();
        if session.server().mariadb && session.server().version >= (10, 2, 22) {
            let clauses: Vec<(String,)> = session.rows_of(JSON_COLUMNS, at, doing).await?;
            checked = clauses.iter().filter_map(|(clause,)| json_column(clause)).collect();
        }
        for (name, native, nullable, generated, has_default, charset, collation) in
            session.rows_of::<Row>(COLUMNS, at, doing).await?
        {
            let native = if checked.contains(&name) { "json".to_string() } else { native };
            let Some(of) = MyType::parse(&native) else { return Err(unknown(&name, &native)) };
            if of == MyType::Json && charset.is_none() {
                self.json.insert(name.clone());
            }
            if let Some(pair) = charset.zip(collation) {
                self.collations.insert(name.clone(), pair);
            }
            let mut field = DxtField::new(name, of.dtype()).native(SYSTEM, native);
            // A view's NOT NULL is no promise.
            field.nullable = nullable || !self.is_table();
            (field.generated, field.has_default) = (generated, has_default);
            self.schema.fields.push(field);
        }
        Ok(())
    }

    async fn keys(&mut self, session: &mut Session, at: &[&str], doing: &str) -> Result<()> {
        let mut keys: Vec<(String, Vec<String>, bool)> = Vec::new();
        for (index, column, whole, nullable) in
            session.rows_of::<(String, Option<String>, bool, Option<bool>)>(UNIQUE_KEYS, at, doing).await?
        {
            if keys.last().is_none_or(|(name, _, _)| *name != index) {
                keys.push((index.clone(), Vec::new(), true));
            }
            if let Some((_, columns, holds)) = keys.last_mut() {
                columns.extend(column);
                *holds &= whole && nullable != Some(true);
            }
        }
        for (index, columns, holds) in keys {
            if index == "PRIMARY" {
                self.schema.primary_key = columns.clone();
            }
            if holds {
                self.unique.push(columns.into_iter().collect());
            }
        }
        type Row = (String, String, String, bool, bool, bool);
        let around = [at[0], at[1], at[0], at[1], at[0], at[1]];
        for (constraint, schema, table, here, follows, _) in session.rows_of::<Row>(REFERENCES, &around, doing).await? {
            let own = [schema.as_str(), table.as_str()] == *at;
            let table = RelationName { parts: vec![schema, table] }.to_string();
            self.references.push(Reference { constraint, table, here, own, follows });
        }
        let triggers: Vec<(String,)> = session.rows_of(TRIGGERS, at, doing).await?;
        self.triggers = triggers.into_iter().map(|(name,)| name).collect();
        Ok(())
    }

    /// Whether it holds rows itself.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind, RelationKind::Table | RelationKind::Versioned)
    }

    /// About how much a scan of it reads. The server counts rows as they come and go, but measures pages now and then.
    pub(super) fn size(&self) -> Size {
        let Some(rows) = self.rows.filter(|_| self.is_table()) else { return Size::UNKNOWN };
        let fields = self.schema.fields.len() as u64;
        let bytes = self.bytes.unwrap_or_default().saturating_mul(2).max(rows.saturating_mul(fields * VALUE));
        let of = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Size { rows: of(rows), bytes: of(bytes) }
    }

    /// Its SQL.
    pub(super) fn dialect(&self) -> MysqlDialect {
        let charsets = self.collations.iter().map(|(name, (charset, _))| (name.clone(), charset.clone())).collect();
        MysqlDialect::new(charsets, self.json.clone())
    }

    /// Whether a unique key is within `columns`.
    pub(super) fn is_unique(&self, columns: &[String]) -> bool {
        self.unique.iter().any(|key| key.iter().all(|column| columns.contains(column)))
    }
}

/// Database and table of a name that has both.
pub(super) fn parts(name: &RelationName) -> Result<(&str, &str)> {
    match name.parts.as_slice() {
        [database, table] => Ok((database, table)),
        _ => Err(Error::new(ErrorKind::Schema, format!("{name} is not a table's name with its database"))
            .with_hint("write `database.table`, or name the database in the connection's URL")),
    }
}

/// A name with the database that it is looked for in.
///
/// # Errors
/// Schema: nobody names a database, or there are three parts.
pub(super) fn within(name: &RelationName, database: Option<&str>) -> Result<RelationName> {
    match (name.parts.as_slice(), database) {
        ([table], Some(database)) => Ok(RelationName { parts: vec![database.to_string(), table.clone()] }),
        ([_], None) => Err(Error::new(ErrorKind::Schema, format!("no database is named for the table {name}"))
            .with_hint("write `database.table`, or name the database in the connection's URL")),
        ([_, _], _) => Ok(name.clone()),
        _ => Err(Error::new(ErrorKind::Schema, format!("{name} has three parts, and MySQL's tables have two"))
            .with_hint("write `database.table`")),
    }
}

/// Whether there is a database of the name.
pub(super) async fn has_schema(session: &mut Session, database: &str) -> Result<bool> {
    let rows: Vec<(u64,)> = session.rows_of(SCHEMA_EXISTS, &[database], "looking for the database").await?;
    Ok(rows.first().is_some_and(|(count,)| *count > 0))
}

/// The column of `json_valid(`x`)`.
fn json_column(clause: &str) -> Option<String> {
    let quoted = clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?;
    // Anything else has a backtick that is none of a doubled pair.
    let plain = quoted.replace("``", "");
    (!plain.contains('`')).then(|| quoted.replace("``", "`"))
}

fn unknown(column: &str, native: &str) -> Error {
    let what = format!("column {column} is of type {native}, which dxt does not know");
    Error::new(ErrorKind::TypeMapping, what).with_hint("read it by SQL that casts it: `CAST(… AS CHAR)`, `HEX(…)`")
}

/// The error that a relation does not exist, with the names nearest to it.
pub(super) async fn missing(session: &mut Session, name: &RelationName) -> Error {
    let error = Error::new(ErrorKind::Schema, format!("there is no table or view {name}"));
    let Ok(all) = list(session).await else { return error };
    let wanted = name.table().to_lowercase();
    let mut near: Vec<(usize, String)> = all
        .iter()
        .filter_map(|info| match &info.dataset {
            Dataset::Relation(other) => Some(other),
            _ => None,
        })
        .map(|other| (strsim::damerau_levenshtein(&wanted, &other.table().to_lowercase()), other.to_string()))
        .filter(|(distance, _)| *distance <= 1 + wanted.chars().count() / 3)
        .collect();
    near.sort();
    let names: Vec<String> = near.into_iter().take(3).map(|(_, other)| other).collect();
    error.with_hint(match names.as_slice() {
        [] if all.is_empty() => "this user can read no table of the server".into(),
        [] => "`dxt discover` lists the tables; names are case-sensitive, and a database may have to be named".into(),
        names => format!("did you mean {}?", names.join(" or ")),
    })
}

/// Everything that can be read, in order of name.
pub(super) async fn list(session: &mut Session) -> Result<Vec<RelationInfo>> {
    let rows: Vec<(String, String, String)> = session.rows(RELATIONS, "listing tables and views").await?;
    let info = |(schema, table, kind): (String, String, String)| RelationInfo {
        dataset: Dataset::Relation(RelationName { parts: vec![schema, table] }),
        kind: RelationKind::parse(&kind).as_str().to_string(),
    };
    Ok(rows.into_iter().map(info).collect())
}

/// The columns of a query that stands in a FROM clause, without running it; and the dialect for them.
///
/// # Errors
/// Extractor: the server does not take it as one SELECT. Schema: two columns of one name. Type mapping: a column is of a
/// type that dxt does not know.
pub(super) async fn describe(session: &mut Session, from_sql: &str) -> Result<(DxtSchema, MysqlDialect)> {
    const DOING: &str = "preparing the source's SQL";
    // The user's text is read as the server reads it by default; that is how the reading driver prepares it, too.
    session.run("SET SESSION sql_mode = DEFAULT", DOING).await?;
    let columns = session.describe(&format!("SELECT * FROM {from_sql}"), DOING).await;
    let columns = columns.map_err(|e| e.or_hint("the SQL must be one SELECT that can stand in a FROM clause"))?;
    let (mut schema, mut json, mut charsets) = (DxtSchema::default(), BTreeSet::new(), BTreeMap::new());
    for column in &columns {
        let name = column.name_str().into_owned();
        let native = native(column);
        let Some(of) = MyType::parse(&native) else { return Err(unknown(&name, &native)) };
        if schema.field(&name).is_some() {
            let what = format!("the source's SQL gives two columns of the name {name}");
            return Err(Error::new(ErrorKind::Schema, what).with_hint("name one of them otherwise with AS"));
        }
        if of == MyType::Json {
            json.insert(name.clone());
        }
        // Texts come as the session wants them, whatever they are stored in.
        if of.dtype() == DxtType::String {
            charsets.insert(name.clone(), "unknown".to_string());
        }
        schema.fields.push(DxtField::new(name, of.dtype()).native(SYSTEM, native));
    }
    if schema.fields.is_empty() {
        return Err(Error::new(ErrorKind::Schema, "the source's SQL gives no columns"));
    }
    Ok((schema, MysqlDialect::new(charsets, json)))
}

/// The type of a result's column, spelled as a column's.
fn native(column: &Column) -> String {
    let unsigned = if column.flags().contains(ColumnFlags::UNSIGNED_FLAG) { " unsigned" } else { "" };
    let length = column.column_length();
    let decimals = column.decimals();
    let bytes = column.character_set() == BINARY;
    let sized = |name: &str| if (1..=6).contains(&decimals) { format!("{name}({decimals})") } else { name.to_string() };
    match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY if length == 1 && unsigned.is_empty() => "tinyint(1)".into(),
        ColumnType::MYSQL_TYPE_TINY => format!("tinyint{unsigned}"),
        ColumnType::MYSQL_TYPE_SHORT => format!("smallint{unsigned}"),
        ColumnType::MYSQL_TYPE_INT24 => format!("mediumint{unsigned}"),
        ColumnType::MYSQL_TYPE_LONG => format!("int{unsigned}"),
        ColumnType::MYSQL_TYPE_LONGLONG => format!("bigint{unsigned}"),
        ColumnType::MYSQL_TYPE_FLOAT => "float".into(),
        ColumnType::MYSQL_TYPE_DOUBLE => "double".into(),
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => {
            // The length counts a sign and a point.
            let extra = u32::from(unsigned.is_empty()) + u32::from(decimals > 0);
            let digits = length.saturating_sub(extra).clamp(1, 65).max(u32::from(decimals));
            format!("decimal({digits},{decimals}){unsigned}")
        }
        ColumnType::MYSQL_TYPE_BIT => format!("bit({})", length.clamp(1, 64)),
        ColumnType::MYSQL_TYPE_YEAR => "year".into(),
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => "date".into(),
        ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => sized("time"),
        ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_DATETIME2 => sized("datetime"),
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => sized("timestamp"),
        ColumnType::MYSQL_TYPE_JSON => "json".into(),
        ColumnType::MYSQL_TYPE_GEOMETRY => "geometry".into(),
        // An expression that is nothing but NULL is a text without any.
        ColumnType::MYSQL_TYPE_NULL => "varchar(1)".into(),
        ColumnType::MYSQL_TYPE_STRING | ColumnType::MYSQL_TYPE_VAR_STRING | ColumnType::MYSQL_TYPE_VARCHAR if bytes => {
            if length <= 65_535 {
                format!("varbinary({length})")
            } else {
                "longblob".into()
            }
        }
        // In the session's character set a letter has up to four bytes.
        ColumnType::MYSQL_TYPE_STRING | ColumnType::MYSQL_TYPE_VAR_STRING | ColumnType::MYSQL_TYPE_VARCHAR
            if length <= 65_532 =>
        {
            format!("varchar({})", (length / 4).max(1))
        }
        ColumnType::MYSQL_TYPE_TINY_BLOB
        | ColumnType::MYSQL_TYPE_BLOB
        | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
        | ColumnType::MYSQL_TYPE_LONG_BLOB
            if bytes =>
        {
            "longblob".into()
        }
        ColumnType::MYSQL_TYPE_STRING
        | ColumnType::MYSQL_TYPE_VAR_STRING
        | ColumnType::MYSQL_TYPE_VARCHAR
        | ColumnType::MYSQL_TYPE_ENUM
        | ColumnType::MYSQL_TYPE_SET
        | ColumnType::MYSQL_TYPE_TINY_BLOB
        | ColumnType::MYSQL_TYPE_BLOB
        | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
        | ColumnType::MYSQL_TYPE_LONG_BLOB => "longtext".into(),
        other => format!("{other:?}"),
    }
}

/// `SELECT 1` where the relation has a row.
pub(super) async fn has_rows(session: &mut Session, name: &RelationName) -> Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", dialect::relation(name));
    session.value(&sql, "looking for rows").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_one_part_is_in_the_connections_database() {
        let name = |text: &str| RelationName::parse(text).unwrap();
        assert_eq!(within(&name("orders"), Some("shop")).unwrap().to_string(), "shop.orders");
        assert_eq!(within(&name("other.orders"), Some("shop")).unwrap().to_string(), "other.orders");
        assert!(within(&name("orders"), None).unwrap_err().hint().unwrap().contains("database.table"));
        assert_eq!(within(&name("a.b.c"), Some("shop")).unwrap_err().kind(), ErrorKind::Schema);
    }

    #[test]
    fn a_check_that_is_json_valid_of_one_column_names_it() {
        assert_eq!(json_column("json_valid(`j`)").as_deref(), Some("j"));
        assert_eq!(json_column("json_valid(`a``b`)").as_deref(), Some("a`b"));
        assert_eq!(json_column("json_valid(`a`) or json_valid(`b`)"), None);
    }
}
