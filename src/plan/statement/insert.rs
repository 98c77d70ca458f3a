//! `INSERT INTO`, `INSERT OVERWRITE` and `REPLACE INTO`: rows of a query into a table of a connection, or a file.

use datafusion::sql::sqlparser::ast::{Insert, ObjectName, SqliteOnConflict, TableObject};

use super::Planner;
use super::change::{Change, Way};
use super::show::reference;
use crate::connector::file::FileConnector;
use crate::connector::{Addressing, Connector, Dataset, Loader};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtSchema, LoadMode, Options, nearest};
use crate::plan::catalog::{Names, Place};

fn wrong(text: impl Into<String>, hint: &str) -> Error {
    Error::new(ErrorKind::Configuration, text).with_hint(hint)
}

/// The parts of an INSERT that dxt knows.
struct Asked {
    target: ObjectName,
    columns: Vec<ObjectName>,
    mode: LoadMode,
}

fn asked(insert: &Insert) -> Result<Asked> {
    let TableObject::TableName(target) = &insert.table else {
        return Err(wrong("INSERT goes into a table", "name it, as in INSERT INTO warehouse.orders SELECT …"));
    };
    let replaces = insert.replace_into || insert.or == Some(SqliteOnConflict::Replace);
    let unknown = [
        (insert.or.is_some() && !replaces, "OR"),
        (insert.ignore, "IGNORE"),
        (insert.table_alias.is_some(), "an alias"),
        (!insert.assignments.is_empty(), "SET"),
        (insert.partitioned.is_some() || !insert.after_columns.is_empty(), "PARTITION"),
        (insert.on.is_some(), "ON"),
        (insert.returning.is_some() || insert.output.is_some(), "RETURNING"),
        (insert.priority.is_some() || !insert.optimizer_hints.is_empty(), "a priority or a hint"),
        (insert.insert_alias.is_some(), "an alias"),
        (insert.settings.is_some() || insert.format_clause.is_some(), "FORMAT"),
        (
            insert.multi_table_insert_type.is_some()
                || !insert.multi_table_into_clauses.is_empty()
                || !insert.multi_table_when_clauses.is_empty()
                || insert.multi_table_else_clause.is_some(),
            "several tables",
        ),
    ];
    if let Some((_, part)) = unknown.iter().find(|(there, _)| *there) {
        let hint = "write INSERT INTO target [(columns)] SELECT …; a stream with `load: {mode: upsert}` merges by keys of \
                    its own";
        return Err(wrong(format!("an INSERT of dxt takes no {part}"), hint));
    }
    let mode = match (insert.overwrite, replaces) {
        (true, true) => return Err(wrong("OVERWRITE and REPLACE exclude each other", "leave one of them out")),
        (true, false) => LoadMode::Replace,
        (false, true) => LoadMode::Upsert,
        (false, false) => LoadMode::Append,
    };
    Ok(Asked { target: target.clone(), columns: insert.columns.clone(), mode })
}

impl Planner<'_> {
    /// Plans an INSERT: the query's columns go to the target's by their places, or by the list of names. OVERWRITE replaces
    /// all rows; `REPLACE INTO` updates the rows whose primary key is there, and inserts the others.
    ///
    /// # Errors
    /// Schema: the target is not there, or its columns do not fit. Loader, configuration: it cannot be written so.
    pub(super) async fn insert(&self, insert: Insert) -> Result<Change> {
        let Asked { target, columns, mode } = asked(&insert)?;
        let Some(query) = insert.source else {
            return Err(wrong("the INSERT has no rows", "write INSERT INTO target SELECT … or VALUES (…)"));
        };
        let name = reference(target)?;
        let place = self.names.place(&Names::full(name.clone()))?;
        let shown = match &place {
            Place::File(path) => format!("'{path}'"),
            Place::Relation { connection, dataset: Dataset::Path(path) } => format!("{connection}.\"{path}\""),
            Place::Relation { connection, dataset } => format!("{connection}.{dataset}"),
            Place::Buffer { .. } => return Err(wrong(format!("{name} is a buffer"), "`dxt extract` fills it")),
            Place::View(_) | Place::Information(_) => {
                return Err(wrong(format!("{name} is no table of a connection"), "insert into the tables behind it"));
            }
        };
        let one_file = matches!(&place, Place::File(path) | Place::Relation { dataset: Dataset::Path(path), .. } if !path.ends_with('/'));
        if one_file && mode == LoadMode::Append {
            let text = format!("{shown} is one file, and INSERT INTO adds a part to a folder");
            let hint = "end the path with `/`; INSERT OVERWRITE replaces a file, as COPY (SELECT …) TO 'file' does";
            return Err(Error::new(ErrorKind::Loader, text).with_hint(hint));
        }
        let select = self.query(query).await?;
        let (loader, addressing) = self.target(&place, mode, &shown).await?;
        // A target that the statement names is another's to make, but for files, which are nothing but their rows.
        if loader.existing().is_none() && addressing != Addressing::Files {
            return Err(Error::new(ErrorKind::Schema, format!("there is no table {shown}"))
                .with_hint("make it by the system's own client, or load it by a stream, which creates its target"));
        }
        let listed = listed(columns)?;
        let given: Vec<&str> = select.schema().fields().iter().map(|f| f.name().as_str()).collect();
        let columns = match loader.existing() {
            Some(existing) => positions(existing, listed, &given, &shown)?,
            None => unique(listed.unwrap_or_else(|| given.iter().map(|name| name.to_string()).collect()), given.len())?,
        };
        let keys = match mode {
            LoadMode::Upsert => keys(loader.existing(), &columns, &shown)?,
            _ => Vec::new(),
        };
        let way = Way { mode, keys, options: Options::new(), expect_empty: false };
        self.change(select, &columns, loader, way, shown)
    }

    async fn target(
        &self,
        place: &Place,
        mode: LoadMode,
        shown: &str,
    ) -> Result<(std::sync::Arc<dyn Loader>, Addressing)> {
        let local;
        let (connector, dataset): (&dyn Connector, Dataset) = match place {
            Place::Relation { connection, dataset } => {
                (self.names.engine.connector(connection)?.as_ref(), dataset.clone())
            }
            Place::File(path) => {
                local = FileConnector::local("files", self.names.engine.base_dir())?;
                (&local, Dataset::Path(path.clone()))
            }
            _ => return Err(Error::new(ErrorKind::Pipeline, format!("{shown} is no target"))),
        };
        let capabilities = connector.capabilities();
        if !capabilities.supports(mode) {
            let text = format!("{shown}: its system cannot {}", mode.as_str());
            let hint = format!("it can: {}", capabilities.modes());
            return Err(Error::new(ErrorKind::Loader, text).with_hint(hint));
        }
        let loader = connector.loader(&dataset, &Options::new()).await;
        Ok((loader.map_err(|e| e.context(format!("target {shown}")))?, capabilities.addressing))
    }
}

/// The names of a column list; `None` where there is no list.
fn listed(columns: Vec<ObjectName>) -> Result<Option<Vec<String>>> {
    if columns.is_empty() {
        return Ok(None);
    }
    let one = |name: ObjectName| {
        let name = reference(name)?;
        match (name.schema(), name.table()) {
            (None, column) => Ok(column.to_string()),
            _ => Err(wrong(format!("{name} is no column's name"), "write the names of columns alone: (a, b)")),
        }
    };
    columns.into_iter().map(one).collect::<Result<Vec<_>>>().map(Some)
}

fn count(given: usize, wanted: usize, shown: &str, names: &[&str]) -> Error {
    let text = format!("the query has {given} columns, and {shown} takes {wanted}");
    Error::new(ErrorKind::Schema, text).with_hint(format!(
        "its columns, in order: {}; a list names some of them: INSERT INTO t (a, b)",
        names.join(", ")
    ))
}

/// The target's column for each of the query's.
fn positions(existing: &DxtSchema, listed: Option<Vec<String>>, given: &[&str], shown: &str) -> Result<Vec<String>> {
    let known = existing.names();
    if let Some(listed) = listed {
        if let Some(unknown) = listed.iter().find(|name| existing.field(name).is_none()) {
            let error = Error::new(ErrorKind::Schema, format!("{shown} has no column {unknown}"));
            return Err(error.with_hint(match nearest(unknown, &known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("its columns: {}", known.join(", ")),
            }));
        }
        if listed.len() != given.len() {
            let names: Vec<&str> = listed.iter().map(String::as_str).collect();
            return Err(count(given.len(), listed.len(), shown, &names));
        }
        return unique(listed, given.len());
    }
    // What the target generates is left to it.
    let taken: Vec<&str> = existing.fields.iter().filter(|f| !f.generated).map(|f| f.name.as_str()).collect();
    if taken.len() != given.len() {
        return Err(count(given.len(), taken.len(), shown, &taken));
    }
    // The same names in another order: by place, values would come into columns that are called otherwise.
    let same = given.iter().all(|name| taken.contains(name));
    if same && given != taken.as_slice() {
        let text = format!("the query has the columns of {shown} in another order, and INSERT goes by place");
        return Err(Error::new(ErrorKind::Schema, text)
            .with_hint(format!("say which goes where: INSERT INTO {shown} ({}) SELECT …", quoted(given))));
    }
    Ok(taken.into_iter().map(str::to_string).collect())
}

fn quoted(names: &[&str]) -> String {
    let one = |name: &&str| {
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
    };
    names.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The names, each of which is there once, and as many as the query has columns.
pub(super) fn unique(names: Vec<String>, given: usize) -> Result<Vec<String>> {
    if names.len() != given {
        let text = format!("the query has {given} columns, and the list {}", names.len());
        return Err(Error::new(ErrorKind::Schema, text).with_hint("name as many columns as the query has"));
    }
    match (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
        None => Ok(names),
        Some(twice) => Err(Error::new(ErrorKind::Schema, format!("two columns are called {}", names[twice]))
            .with_hint("give one of them another name with AS, or leave one out of the list")),
    }
}

/// The primary key, by which rows are replaced: of rows that are there, no column may be left as it was.
fn keys(existing: Option<&DxtSchema>, columns: &[String], shown: &str) -> Result<Vec<String>> {
    let key = existing.map(|schema| schema.primary_key.clone()).unwrap_or_default();
    if key.is_empty() {
        let text = format!("{shown} has no primary key, by which REPLACE INTO finds the rows that it replaces");
        return Err(wrong(text, "INSERT OVERWRITE replaces all rows; a stream may name `upsert_keys`"));
    }
    let left = existing.iter().flat_map(|schema| &schema.fields).filter(|f| !f.generated && !columns.contains(&f.name));
    let left: Vec<&str> = left.map(|f| f.name.as_str()).collect();
    if !left.is_empty() {
        let text = format!("REPLACE INTO takes whole rows, and {shown} has more columns: {}", left.join(", "));
        return Err(wrong(text, "give them all; a stream with `load: {mode: upsert}` leaves the others as they are"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DxtField, DxtType};

    fn table() -> DxtSchema {
        let mut schema =
            DxtSchema::new(["id", "Name", "total", "made"].map(|name| DxtField::new(name, DxtType::Int64)).to_vec());
        schema.fields[3].generated = true;
        schema.primary_key = vec!["id".into()];
        schema
    }

    fn names(listed: Option<&[&str]>, given: &[&str]) -> Result<Vec<String>> {
        let listed = listed.map(|names| names.iter().map(|name| name.to_string()).collect());
        positions(&table(), listed, given, "db.t")
    }

    #[test]
    fn columns_go_by_place_and_generated_ones_are_left_to_the_target() {
        assert_eq!(names(None, &["a", "b", "c"]).unwrap(), ["id", "Name", "total"]);
        assert_eq!(names(None, &["id", "Name", "total"]).unwrap(), ["id", "Name", "total"]);
        assert_eq!(names(Some(&["total", "id"]), &["x", "y"]).unwrap(), ["total", "id"]);
    }

    #[test]
    fn what_does_not_fit_by_place_is_refused() {
        let error = names(None, &["a", "b", "c", "d"]).unwrap_err();
        assert_eq!(error.to_string(), "the query has 4 columns, and db.t takes 3");
        assert!(error.hint().unwrap().contains("id, Name, total"));
        let error = names(None, &["total", "id", "Name"]).unwrap_err();
        assert!(error.hint().unwrap().contains("INSERT INTO db.t (total, id, \"Name\")"), "{error:?}");
        assert!(names(Some(&["idd"]), &["x"]).unwrap_err().hint().unwrap().contains("did you mean id?"));
        assert!(names(Some(&["id", "id"]), &["x", "y"]).unwrap_err().to_string().contains("two columns are called id"));
        assert!(names(Some(&["id"]), &["x", "y"]).is_err());
    }

    #[test]
    fn whole_rows_are_replaced_by_their_key() {
        let all = ["id", "Name", "total"].map(str::to_string);
        assert_eq!(keys(Some(&table()), &all, "db.t").unwrap(), ["id"]);
        assert!(keys(Some(&table()), &all[..2], "db.t").unwrap_err().to_string().contains("total"));
        let keyless = DxtSchema { primary_key: Vec::new(), ..table() };
        assert!(keys(Some(&keyless), &all, "db.t").is_err());
    }
}
