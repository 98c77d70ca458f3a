//! What the server's catalog says of relations and of the columns of a query.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

use super::client::Session;
use super::dialect::PostgresDialect;
use super::sequences::{self, Sequence};
use super::swap::Swappable;
use super::types::{PgType, SYSTEM};
use crate::connector::sql::{Dialect, Size};
use crate::connector::{Dataset, RelationInfo};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, RelationName};

const RELATION: &str = include_str!("../../../sql/postgres/relation.sql");
const COLUMNS: &str = include_str!("../../../sql/postgres/columns.sql");
const UNIQUE_KEYS: &str = include_str!("../../../sql/postgres/unique_keys.sql");
const REFERENCES: &str = include_str!("../../../sql/postgres/references.sql");
const RELATIONS: &str = include_str!("../../../sql/postgres/relations.sql");
const READ_TABLES: &str = include_str!("../../../sql/postgres/read_tables.sql");
const RESULT_TYPES: &str = include_str!("../../../sql/postgres/result_types.sql");

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelationKind {
    Table,
    Partitioned,
    View,
    MaterializedView,
    Foreign,
}

impl RelationKind {
    fn parse(letter: &str) -> Option<Self> {
        Some(match letter {
            "r" => Self::Table,
            "p" => Self::Partitioned,
            "v" => Self::View,
            "m" => Self::MaterializedView,
            "f" => Self::Foreign,
            _ => return None,
        })
    }

    /// For people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Partitioned => "partitioned table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Foreign => "foreign table",
        }
    }
}

/// A foreign key that refers to a table. `table` is quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) constraint: String,
    pub(super) table: String,
    /// Whether a DELETE here would delete or change rows there.
    pub(super) follows: bool,
    /// Whether an UPDATE of the columns here would change rows there.
    pub(super) moves: bool,
    /// Whether it is the table's own.
    pub(super) own: bool,
    /// Columns there and those here that they refer to.
    pub(super) columns: Vec<(String, String)>,
}

/// A relation that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    /// Schema and table, as they are.
    pub(super) name: RelationName,
    pub(super) kind: RelationKind,
    pub(super) schema: DxtSchema,
    /// Columns `GENERATED ALWAYS AS IDENTITY`.
    pub(super) always_identity: BTreeSet<String>,
    /// Text columns whose collation takes unlike texts for equal.
    pub(super) loose: BTreeSet<String>,
    /// Text columns of another collation than the database's own.
    pub(super) collated: BTreeSet<String>,
    /// Columns whose cast to text is another text than the type's own.
    pub(super) printed: BTreeSet<String>,
    /// Columns whose type rounds or cuts in silence what it is given as text, with the type that does.
    pub(super) rounding: BTreeMap<String, String>,
    /// Columns of each unique index that `ON CONFLICT` can name.
    pub(super) unique: Vec<BTreeSet<String>>,
    pub(super) references: Vec<Reference>,
    /// Those that its columns own.
    pub(super) sequences: Vec<Sequence>,
    /// The server's, such as 150004.
    pub(super) version: i32,
    /// Whether this user may lock other writers out.
    pub(super) lockable: bool,
    /// About how much it holds.
    pub(super) size: Size,
    /// Where it was asked for, and it is a table of its own.
    pub(super) swappable: Option<Swappable>,
}

impl Relation {
    /// Looks a relation up; `None` where there is none of the name.
    ///
    /// # Errors
    /// Schema: the name is that of an index, a sequence or the like, or of another database.
    pub(super) async fn find(session: &Session, name: &RelationName, database: &str) -> Result<Option<Self>> {
        let doing = format!("looking for {name}");
        let name = within(name, database)?;
        let quoted = PostgresDialect::default().relation(&name);
        let rows = session.rows(RELATION, &[&quoted], &doing).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let letter: String = get(row, 3)?;
        let Some(kind) = RelationKind::parse(&letter) else {
            let what = format!("{name} is no table or view, but an index, a sequence or a type");
            return Err(Error::new(ErrorKind::Schema, what));
        };
        let parts = vec![get::<String>(row, 1)?, get::<String>(row, 2)?];
        let mut relation = Self {
            oid: get(row, 0)?,
            name: RelationName { parts },
            kind,
            schema: DxtSchema::default(),
            always_identity: BTreeSet::new(),
            loose: BTreeSet::new(),
            collated: BTreeSet::new(),
            printed: BTreeSet::new(),
            rounding: BTreeMap::new(),
            unique: Vec::new(),
            references: Vec::new(),
            sequences: Vec::new(),
            version: get(row, 4)?,
            lockable: get(row, 5)?,
            size: Size::UNKNOWN,
            swappable: None,
        };
        relation.columns(session, &doing).await?;
        if let Some(bytes) = get::<Option<i64>>(row, 6)? {
            relation.size = relation.held(bytes, get(row, 7)?);
        }
        relation.keys(session, &doing).await?;
        Ok(Some(relation))
    }

    /// How much `bytes` of a table's files are here. Files compress long values, and rows have headers.
    fn held(&self, bytes: i64, rows: Option<f64>) -> Size {
        const HEADER: usize = 28;
        let bytes = usize::try_from(bytes).unwrap_or(0);
        let width: usize = self.schema.fields.iter().map(|f| f.dtype.to_arrow().primitive_width().unwrap_or(32)).sum();
        let rows = rows.map_or(bytes / (width + HEADER), |rows| rows as usize);
        Size { rows, bytes: bytes.max(rows.saturating_mul(width)) }
    }

    async fn columns(&mut self, session: &Session, doing: &str) -> Result<()> {
        for row in session.rows(COLUMNS, &[&self.oid], doing).await? {
            let (name, native): (String, String) = (get(&row, 0)?, get(&row, 1)?);
            let mut field = DxtField::new(name, PgType::parse(&native).dtype()).native(SYSTEM, native);
            field.nullable = !get::<bool>(&row, 2)?;
            field.generated = get(&row, 3)?;
            field.has_default = get(&row, 5)?;
            if get(&row, 4)? {
                self.always_identity.insert(field.name.clone());
            }
            if !get::<bool>(&row, 6)? {
                self.loose.insert(field.name.clone());
            }
            if get(&row, 9)? {
                self.collated.insert(field.name.clone());
            }
            if get(&row, 7)? {
                self.printed.insert(field.name.clone());
            }
            if let Some(base) = get::<Option<String>>(&row, 8)? {
                self.rounding.insert(field.name.clone(), base);
            }
            self.schema.fields.push(field);
        }
        Ok(())
    }

    async fn keys(&mut self, session: &Session, doing: &str) -> Result<()> {
        for row in session.rows(UNIQUE_KEYS, &[&self.oid], doing).await? {
            let columns: Vec<String> = get(&row, 1)?;
            if get(&row, 0)? {
                self.schema.primary_key = columns.clone();
            }
            if get(&row, 2)? {
                self.unique.push(columns.into_iter().collect());
            }
        }
        for row in session.rows(REFERENCES, &[&self.oid], doing).await? {
            // Of NO ACTION, RESTRICT, CASCADE, SET NULL and SET DEFAULT the first two only refuse.
            let acts = |action: String| !matches!(action.as_str(), "a" | "r");
            let (there, here): (Vec<String>, Vec<String>) = (get(&row, 5)?, get(&row, 6)?);
            self.references.push(Reference {
                constraint: get(&row, 0)?,
                table: get(&row, 1)?,
                follows: acts(get(&row, 2)?),
                moves: acts(get(&row, 3)?),
                own: get(&row, 4)?,
                columns: there.into_iter().zip(here).collect(),
            });
        }
        self.sequences = sequences::owned(session, self.oid, doing).await?;
        Ok(())
    }

    /// Asks as well whether another table could take its place.
    pub(super) async fn with_swap(mut self, session: &Session) -> Result<Self> {
        if self.kind == RelationKind::Table {
            self.swappable = Some(Swappable::look(session, &self).await?);
        }
        Ok(self)
    }

    /// Foreign keys of other tables.
    pub(super) fn referred(&self) -> impl Iterator<Item = &Reference> {
        self.references.iter().filter(|reference| !reference.own)
    }

    /// The columns that name a row of a load with `loaded` columns: the primary key, else a unique one without NULLs.
    pub(super) fn key(&self, loaded: &DxtSchema) -> Option<Vec<String>> {
        let brought = |column: &String| loaded.field(column).is_some();
        let filled = |column: &String| self.schema.field(column).is_some_and(|field| !field.nullable);
        let primary = Some(&self.schema.primary_key).filter(|key| !key.is_empty() && key.iter().all(brought));
        let unique = || self.unique.iter().find(|key| key.iter().all(brought) && key.iter().all(filled));
        primary.cloned().or_else(|| unique().map(|key| key.iter().cloned().collect()))
    }
}

/// The error that a relation does not exist, with the names nearest to it.
pub(super) async fn missing(session: &Session, name: &RelationName) -> Error {
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
        [] if all.is_empty() => "this user can read no table of the database".into(),
        [] => "`dxt discover` lists the tables; names are case-sensitive, and a schema may have to be named".into(),
        names => format!("did you mean {}?", names.join(" or ")),
    })
}

/// Everything that can be read, in order of name.
pub(super) async fn list(session: &Session) -> Result<Vec<RelationInfo>> {
    let rows = session.rows(RELATIONS, &[], "listing tables and views").await?;
    rows.iter()
        .map(|row| {
            let parts = vec![get::<String>(row, 0)?, get::<String>(row, 1)?];
            let kind = RelationKind::parse(&get::<String>(row, 2)?).map_or("relation", RelationKind::as_str);
            Ok(RelationInfo { dataset: Dataset::Relation(RelationName { parts }), kind: kind.to_string() })
        })
        .collect()
}

/// The columns of a query that stands in a FROM clause, without running it; and the dialect for them, as it is not known
/// of its texts that their collation tells unlike ones apart.
///
/// A result has a domain's base type only: where a table's column is selected as it is, the log says which domain goes.
///
/// # Errors
/// Extractor: the server does not take it as one SELECT. Schema: two columns of one name.
pub(super) async fn describe(session: &Session, from_sql: &str) -> Result<(DxtSchema, PostgresDialect)> {
    const HEAD: &str = "SELECT * FROM ";
    const DOING: &str = "preparing the source's SQL";
    let statement = match session.prepare(&format!("{HEAD}{from_sql}")).await {
        Ok(statement) => statement,
        Err(e) => {
            let place = e.as_db_error().and_then(|said| said.position()).map(|position| match position {
                tokio_postgres::error::ErrorPosition::Original(at) => place(from_sql, *at as usize, HEAD.len()),
                tokio_postgres::error::ErrorPosition::Internal { .. } => String::new(),
            });
            let error = session.failed(&format!("{DOING}{}", place.unwrap_or_default()), e).await;
            return Err(error.or_hint("the SQL must be one SELECT that can stand in a FROM clause"));
        }
    };
    let oids: Vec<u32> = statement.columns().iter().map(|c| c.type_().oid()).collect();
    let modifiers: Vec<i32> = statement.columns().iter().map(|c| c.type_modifier()).collect();
    let tables: Vec<u32> = statement.columns().iter().map(|c| c.table_oid().unwrap_or(0)).collect();
    let attributes: Vec<i16> = statement.columns().iter().map(|c| c.column_id().unwrap_or(0)).collect();
    let types = session.rows(RESULT_TYPES, &[&oids, &modifiers, &tables, &attributes], DOING).await?;
    let mut schema = DxtSchema::default();
    let (mut loose, mut printed, mut collated) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (column, row) in statement.columns().iter().zip(&types) {
        let native: String = get(row, 0)?;
        if schema.field(column.name()).is_some() {
            let what = format!("the source's SQL gives two columns of the name {}", column.name());
            return Err(Error::new(ErrorKind::Schema, what).with_hint("name one of them otherwise with AS"));
        }
        if get(row, 1)? {
            loose.insert(column.name().to_string());
        }
        if get(row, 2)? {
            printed.insert(column.name().to_string());
        }
        // Of a result nobody says which.
        collated.insert(column.name().to_string());
        if let Some(domain) = get::<Option<String>>(row, 3)? {
            tracing::warn!(
                column = column.name(),
                domain,
                r#type = native,
                "the result of SQL has the domain's base type; a table or view as the source keeps the domain"
            );
        }
        schema.fields.push(DxtField::new(column.name(), PgType::parse(&native).dtype()).native(SYSTEM, native));
    }
    if schema.fields.is_empty() {
        return Err(Error::new(ErrorKind::Schema, "the source's SQL gives no columns"));
    }
    Ok((schema, PostgresDialect::new(loose).collated(collated).printed(printed)))
}

/// A table that is read, by whatever views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadTable {
    pub(super) name: RelationName,
    pub(super) kind: Option<RelationKind>,
    pub(super) oid: u32,
}

/// The tables behind a relation or query that stands in a FROM clause, without running it.
pub(super) async fn tables_read(session: &Session, from_sql: &str) -> Result<Vec<ReadTable>> {
    const DOING: &str = "looking for the tables behind the source";
    session.run("BEGIN READ ONLY", DOING).await?;
    let prepared = session.prepare(&format!("SELECT * FROM {from_sql}")).await;
    if let Err(e) = prepared {
        return Err(session.failed(DOING, e).await);
    }
    let rows = session.rows(READ_TABLES, &[], DOING).await?;
    session.run("COMMIT", DOING).await?;
    let table = |row: &Row| {
        let name = RelationName { parts: vec![get(row, 0)?, get(row, 1)?] };
        Ok(ReadTable { name, kind: RelationKind::parse(&get::<String>(row, 2)?), oid: get(row, 3)? })
    };
    rows.iter().map(table).collect()
}

/// Line and column of the user's SQL, which begins in the second line of what was sent.
fn place(from_sql: &str, position: usize, head: usize) -> String {
    let before: String = from_sql.chars().take(position.saturating_sub(1 + head)).collect();
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    if line == 0 { String::new() } else { format!(" (line {line}, column {column})") }
}

/// The name without a database in front, which may only be the one that the session is in.
fn within(name: &RelationName, database: &str) -> Result<RelationName> {
    match name.parts.as_slice() {
        [first, rest @ ..] if rest.len() == 2 => {
            if first == database {
                return Ok(RelationName { parts: rest.to_vec() });
            }
            let what = format!("{name} is in database {first}, and the connection in {database}");
            Err(Error::new(ErrorKind::Schema, what).with_hint("make a connection of its own for each database"))
        }
        _ => Ok(name.clone()),
    }
}

/// A column of a catalog's row.
pub(super) fn get<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T> {
    row.try_get(index).during(ErrorKind::Connector, || "reading the catalog".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_sql_is_placed_in_the_users_text() {
        let from = "(\nSELECT a,\n  b FROM t\n) AS dxt_source";
        // The position counts from 1, from the head on: "SELECT * FROM (\nSELECT a,\n  b".
        let at = "SELECT * FROM (\nSELECT a,\n  b".chars().count();
        assert_eq!(place(from, at, "SELECT * FROM ".len()), " (line 2, column 3)");
        assert_eq!(place(from, 15, 14), "");
    }

    #[test]
    fn a_name_of_three_parts_is_within_its_own_database() {
        let name = RelationName::parse("shop.public.orders").unwrap();
        assert_eq!(within(&name, "shop").unwrap().to_string(), "public.orders");
        assert_eq!(within(&name, "other").unwrap_err().kind(), ErrorKind::Schema);
    }
}
