//! Writing: a table as a target, what it takes, and the statements that a load will send.

use std::collections::BTreeSet;

use async_trait::async_trait;
use datafusion::common::ScalarValue;

use super::catalog::{Kind, Relation, table_of};
use super::client::{Client, failed, fill, main_table, quote};
use super::ledger;
use super::load::{SqliteLoad, delete_rows, insert_rows, merge_of};
use super::types::{SYSTEM, SqliteTypes, is_spelling};
use super::watermark::watermark;
use crate::connector::{Dataset, Load, LoadSpec, Loader, TypeMapper};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, LoadMode, OptionReader, Options, nearest};

/// SQLite's own limit of columns in a table.
const MAX_COLUMNS: usize = 2000;

/// A table of a file, which need not exist yet.
#[derive(Debug)]
pub struct SqliteLoader {
    client: Client,
    /// The table's name, as the file spells it where it has it.
    table: String,
    label: String,
    existing: Option<(Relation, DxtSchema)>,
}

impl SqliteLoader {
    /// Looks at the target; changes nothing. Blocks.
    pub fn open(client: &Client, dataset: &Dataset) -> Result<Self> {
        let Dataset::Relation(name) = dataset else {
            return Err(Error::new(ErrorKind::Loader, format!("a sqlite connection cannot write to {dataset}"))
                .with_hint("give the target a table's name"));
        };
        let table = table_of(name)?;
        let found = match client.exists() {
            true => Relation::find(&client.open_read()?, table, &[])?,
            false => None,
        };
        Ok(Self {
            client: client.clone(),
            table: found.as_ref().map_or(table, |r| r.name.as_str()).to_string(),
            label: format!("{}.{name}", client.name),
            existing: found.map(|relation| {
                let schema = relation.schema();
                (relation, schema)
            }),
        })
    }

    fn relation(&self) -> Option<&Relation> {
        self.existing.as_ref().map(|(relation, _)| relation)
    }
}

#[async_trait]
impl Loader for SqliteLoader {
    fn target(&self) -> String {
        self.label.clone()
    }

    fn existing(&self) -> Option<&DxtSchema> {
        self.existing.as_ref().map(|(_, schema)| schema)
    }

    fn stored(&self, field: &DxtField, declared: Option<&str>) -> Result<DxtField> {
        let native = match declared {
            Some(text) if is_spelling(text) => text.trim().to_string(),
            Some(text) => {
                let message = format!("field {}: `{text}` is not a type's name for SQLite", field.name);
                return Err(Error::new(ErrorKind::TypeMapping, message)
                    .with_hint("write a name, and at most two numbers behind it: DECIMAL(10,2)"));
            }
            None => SqliteTypes.to_native(field)?,
        };
        let dtype = SqliteTypes.from_native(&native).map_err(|e| e.context(format!("field {}", field.name)))?;
        Ok(DxtField::new(&field.name, dtype).nullable(field.nullable).native(SYSTEM, native))
    }

    fn check(&self, spec: &LoadSpec) -> Result<()> {
        check(&self.label, &self.table, self.relation(), spec)
    }

    fn statements(&self, spec: &LoadSpec) -> Vec<String> {
        let mut all = vec!["BEGIN IMMEDIATE".to_string()];
        if spec.once.is_some() {
            all.extend([ledger::CREATE, ledger::FIND].map(str::to_string));
        }
        match self.relation() {
            None => all.extend(ddl(&self.table, spec).ok()),
            Some(_) if spec.mode == LoadMode::Replace => all.push(delete_rows(&self.table)),
            Some(_) => {}
        }
        match spec.mode {
            LoadMode::Upsert => {
                let merge = merge_of(&self.label, &self.table, spec, self.relation());
                all.extend(merge.map(|m| m.statements()).unwrap_or_default());
            }
            LoadMode::Append | LoadMode::Replace => all.push(insert_rows(&self.table, &spec.schema.names())),
        }
        all.extend(spec.once.iter().map(|_| ledger::ENTER.to_string()));
        all.push("COMMIT".into());
        all
    }

    fn rereads(&self, spec: &LoadSpec) -> bool {
        // Rows are told by their rowids; those of an upsert are in a table of its own.
        spec.mode == LoadMode::Upsert || self.relation().is_none_or(|relation| relation.rowid.is_some())
    }

    async fn has_rows(&self) -> Result<bool> {
        let (table, label) = (self.table.clone(), self.label.clone());
        let look = move |client: &Client| {
            if !client.exists() {
                return Ok(false);
            }
            let connection = client.open_read()?;
            let Some(relation) = Relation::find(&connection, &table, &[])? else { return Ok(false) };
            relation
                .has_rows(&connection)
                .map_err(|e| failed(ErrorKind::Loader, format!("looking for rows in {label}"), e))
        };
        self.client.run(look).await
    }

    async fn watermark(&self, column: &str) -> Result<Option<ScalarValue>> {
        let (table, label, column) = (self.table.clone(), self.label.clone(), column.to_string());
        let ask = move |client: &Client| match client.exists() {
            true => watermark(&client.open_read()?, &label, &table, &column),
            false => Ok(None),
        };
        self.client.run(ask).await
    }

    async fn begin(&self, spec: &LoadSpec) -> Result<Box<dyn Load>> {
        Ok(Box::new(SqliteLoad::begin(&self.client, &self.table, &self.label, spec).await?))
    }
}

/// The type that a created table declares for a field: the one that it was given, else dxt's own.
pub fn ddl_type(field: &DxtField) -> Result<String> {
    match field.native_in(SYSTEM) {
        Some(native) if is_spelling(native) && SqliteTypes.from_native(native).is_ok_and(|t| t == field.dtype) => {
            Ok(native.to_string())
        }
        _ => SqliteTypes.to_native(field),
    }
}

/// CREATE TABLE for a target that is missing.
pub fn ddl(table: &str, spec: &LoadSpec) -> Result<String> {
    let mut lines = Vec::with_capacity(spec.schema.fields.len() + 1);
    for field in &spec.schema.fields {
        let required = !field.nullable || spec.keys.contains(&field.name);
        let suffix = if required { " NOT NULL" } else { "" };
        lines.push(format!("{} {}{suffix}", quote(&field.name), ddl_type(field)?));
    }
    if !spec.keys.is_empty() {
        let keys = spec.keys.iter().map(|k| quote(k)).collect::<Vec<_>>().join(", ");
        lines.push(format!("PRIMARY KEY ({keys})"));
    }
    let template = include_str!("../../../sql/sqlite/create_table.sql");
    Ok(fill(template, &[("target", &main_table(table)), ("columns", &lines.join(",\n    "))]))
}

/// Reads the options of a load: there are none that change anything here.
///
/// # Errors
/// Configuration: an unknown option.
pub fn check_load_options(options: &Options) -> Result<()> {
    OptionReader::new(options, "load options of a sqlite connection").finish()
}

/// Whether a target, as it is (`None`: missing), takes a load.
///
/// # Errors
/// Schema, or configuration for an unknown option; with the way out.
pub fn check(label: &str, table: &str, relation: Option<&Relation>, spec: &LoadSpec) -> Result<()> {
    let schema = |message: String| Error::new(ErrorKind::Schema, format!("{label}: {message}"));
    check_load_options(&spec.options)?;
    if spec.schema.fields.is_empty() {
        return Err(schema("the load has no columns".into()));
    }
    let mut seen = BTreeSet::new();
    if let Some(field) = spec.schema.fields.iter().find(|f| !seen.insert(f.name.to_lowercase())) {
        return Err(schema(format!("two columns are named {}", field.name))
            .with_hint("SQLite does not tell upper from lower case in names: give one of them another `target` name"));
    }
    if let Some(field) = spec.schema.fields.iter().find(|f| f.name.contains('\0')) {
        return Err(schema(format!("SQLite's names hold no NUL, and the column {:?} does", field.name))
            .with_hint("give the field another `target` name"));
    }
    if let Some(key) = spec.keys.iter().find(|k| spec.schema.field(k).is_none()) {
        return Err(schema(format!("the key {key} is not among the load's columns")).with_hint("add it to the fields"));
    }
    if spec.mode == LoadMode::Upsert && spec.keys.is_empty() {
        return Err(schema("an upsert needs keys".into()).with_hint("name them in load.upsert_keys"));
    }
    match relation {
        Some(relation) => check_existing(label, relation, spec),
        None if table.get(..7).is_some_and(|p| p.eq_ignore_ascii_case("sqlite_")) => {
            Err(schema("names that begin with sqlite_ are SQLite's own".into()).with_hint("choose another name"))
        }
        None if spec.schema.fields.len() > MAX_COLUMNS => {
            Err(schema(format!("SQLite's tables have at most {MAX_COLUMNS} columns")).with_hint("load fewer fields"))
        }
        None => ddl(table, spec).map(|_| ()),
    }
}

fn check_existing(label: &str, relation: &Relation, spec: &LoadSpec) -> Result<()> {
    let schema = |message: String| Error::new(ErrorKind::Schema, format!("{label}: {message}"));
    if relation.kind == Kind::View {
        return Err(schema("the target is a view".into()).with_hint("load into the table behind it"));
    }
    for field in &spec.schema.fields {
        let Some(column) = relation.column(&field.name) else {
            let names: Vec<&str> = relation.columns.iter().map(|c| c.field.name.as_str()).collect();
            let error = schema(format!("there is no column {}", field.name));
            return Err(match names.iter().find(|n| n.eq_ignore_ascii_case(&field.name)) {
                Some(name) => {
                    error.with_hint(format!("the target spells it {name}: name it so in the field's `target`"))
                }
                None => match nearest(&field.name, &names) {
                    Some(name) => error.with_hint(format!("did you mean {name}? its columns: {}", names.join(", "))),
                    None => error.with_hint(format!("its columns: {}", names.join(", "))),
                },
            });
        };
        if column.field.generated {
            return Err(schema(format!("column {} is generated", field.name)).with_hint("leave it out of the fields"));
        }
        if column.field.dtype.to_arrow() != field.dtype.to_arrow() {
            let (held, comes) = (&column.field.dtype, &field.dtype);
            return Err(schema(format!("column {} holds {held}, and {comes} comes", field.name))
                .with_hint("give the field the target's type with `dtype`"));
        }
    }
    let left_out: Vec<&str> = relation
        .columns
        .iter()
        .map(|c| &c.field)
        .filter(|f| !f.nullable && !f.has_default && !f.generated && spec.schema.field(&f.name).is_none())
        .map(|f| f.name.as_str())
        .collect();
    if !left_out.is_empty() {
        return Err(schema(format!("NOT NULL without a default, and not in the load: {}", left_out.join(", ")))
            .with_hint("add fields for them, or give the columns defaults"));
    }
    Ok(())
}
