//! SHOW and DESCRIBE: what there is to be named, in dxt's own types.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::MemTable;
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::DFParser;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    ObjectName, ShowStatementFilter, ShowStatementFilterPosition, ShowStatementIn, ShowStatementOptions,
};

use super::Planner;
use crate::connector::Addressing;
use crate::error::{Error, ErrorKind, Result};
use crate::model::DxtSchema;
use crate::plan::catalog::{BUFFERS, DEFAULT_CATALOG, INFORMATION, Names};

/// What a SHOW asks for, beside its kind.
struct Asked {
    /// The name behind FROM or IN.
    parent: Option<TableReference>,
    filter: Option<ShowStatementFilter>,
}

fn asked(options: ShowStatementOptions) -> Result<Asked> {
    let ShowStatementOptions { show_in, starts_with, limit, limit_from, filter_position } = options;
    if starts_with.is_some() || limit.is_some() || limit_from.is_some() {
        let error = Error::new(ErrorKind::Configuration, "SHOW takes no STARTS WITH and no LIMIT here");
        return Err(error.with_hint("SELECT … FROM information_schema.tables takes any condition"));
    }
    let parent = match show_in {
        None => None,
        Some(ShowStatementIn { parent_name: Some(name), .. }) => Some(reference(name)?),
        Some(_) => return Err(Error::new(ErrorKind::Configuration, "SHOW … FROM needs a name")),
    };
    let filter = filter_position.map(|position| match position {
        ShowStatementFilterPosition::Infix(filter) | ShowStatementFilterPosition::Suffix(filter) => filter,
    });
    Ok(Asked { parent, filter })
}

/// A name as tables are looked up by it: unquoted parts in lower case.
pub(super) fn reference(name: ObjectName) -> Result<TableReference> {
    Ok(object_name_to_table_reference(name, true)?)
}

/// A text as a literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A SHOW's LIKE or WHERE as a condition on a column.
fn condition(filter: &ShowStatementFilter, column: &str) -> String {
    match filter {
        ShowStatementFilter::Like(pattern) | ShowStatementFilter::NoKeyword(pattern) => {
            format!("{column} LIKE {}", quoted(pattern))
        }
        ShowStatementFilter::ILike(pattern) => format!("{column} ILIKE {}", quoted(pattern)),
        ShowStatementFilter::Where(condition) => format!("({condition})"),
    }
}

impl Planner<'_> {
    /// SHOW TABLES [FROM connection | connection.schema] [LIKE pattern].
    pub(super) async fn show_tables(&self, options: ShowStatementOptions) -> Result<LogicalPlan> {
        let mut conditions = self.within(options, "table_catalog", "table_schema", "table_name")?;
        conditions.push(format!("table_schema <> '{INFORMATION}'"));
        let select = "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables";
        self.sql(&format!("{select} WHERE {} ORDER BY 1, 2, 3", conditions.join(" AND "))).await
    }

    /// SHOW VIEWS, in the same form.
    pub(super) async fn show_views(&self, options: ShowStatementOptions) -> Result<LogicalPlan> {
        let mut conditions = self.within(options, "table_catalog", "table_schema", "table_name")?;
        conditions.push("true".into());
        let select = "SELECT table_catalog, table_schema, table_name, definition FROM information_schema.views";
        self.sql(&format!("{select} WHERE {} ORDER BY 1, 2, 3", conditions.join(" AND "))).await
    }

    /// SHOW SCHEMAS [FROM connection] [LIKE pattern].
    pub(super) async fn show_schemas(&self, options: ShowStatementOptions) -> Result<LogicalPlan> {
        let mut conditions = self.within(options, "catalog_name", "schema_name", "schema_name")?;
        conditions.push("true".into());
        let select = "SELECT catalog_name, schema_name FROM information_schema.schemata";
        self.sql(&format!("{select} WHERE {} ORDER BY 1, 2", conditions.join(" AND "))).await
    }

    /// SHOW CATALOGS: the connections with schemas, `dxt` and `buffer`.
    pub(super) fn show_catalogs(&self, options: ShowStatementOptions) -> Result<LogicalPlan> {
        let asked = asked(options)?;
        if asked.parent.is_some() || asked.filter.is_some() {
            return Err(Error::new(ErrorKind::Configuration, "SHOW CATALOGS takes nothing more")
                .with_hint("SHOW SCHEMAS and SHOW TABLES take FROM and LIKE"));
        }
        let names = self.names.catalogs().into_iter().map(Some).collect();
        table("catalogs", &["catalog_name"], vec![names])
    }

    /// SHOW COLUMNS FROM table [LIKE pattern].
    pub(super) async fn show_columns(&self, options: ShowStatementOptions, full: bool) -> Result<LogicalPlan> {
        let Asked { parent: Some(name), filter } = asked(options)? else {
            let error = Error::new(ErrorKind::Configuration, "SHOW COLUMNS needs a table");
            return Err(error.with_hint("write SHOW COLUMNS FROM shop.public.orders"));
        };
        let name = Names::full(name);
        // First the look that says what is wrong: the listing is silent about a table that is not there.
        self.names.columns(&self.names.place(&name)?).await?;
        let columns =
            if full { "*" } else { "table_catalog, table_schema, table_name, column_name, data_type, is_nullable" };
        let mut sql = format!(
            "SELECT {columns} FROM information_schema.columns WHERE table_catalog = {} AND table_schema = {} AND \
             table_name = {}",
            quoted(&name.catalog),
            quoted(&name.schema),
            quoted(&name.table)
        );
        if let Some(filter) = filter {
            sql += &format!(" AND {}", condition(&filter, "column_name"));
        }
        self.sql(&(sql + " ORDER BY ordinal_position")).await
    }

    /// DESCRIBE table.
    pub(super) async fn describe_table(&self, name: ObjectName) -> Result<LogicalPlan> {
        let place = self.names.place(&Names::full(reference(name)?))?;
        described(&self.names.columns(&place).await?)
    }

    /// DESCRIBE SELECT …
    pub(super) fn describe_plan(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        described(&DxtSchema::from_arrow(plan.schema().as_arrow())?)
    }

    /// The conditions of a SHOW, which name the columns of a connection's own catalog and schema: nobody else is asked then.
    fn within(&self, options: ShowStatementOptions, catalog: &str, schema: &str, name: &str) -> Result<Vec<String>> {
        let Asked { parent, filter } = asked(options)?;
        let mut conditions = Vec::new();
        let mut equals = |column: &str, value: &str| conditions.push(format!("{column} = {}", quoted(value)));
        match parent {
            None => {}
            Some(TableReference::Bare { table }) if [BUFFERS, DEFAULT_CATALOG].contains(&&*table) => {
                equals(catalog, &table);
            }
            Some(TableReference::Bare { table }) => {
                let addressing = self.names.engine.connector(&table)?.capabilities().addressing;
                match addressing {
                    Addressing::SchemasAndTables => equals(catalog, &table),
                    _ => {
                        equals(catalog, DEFAULT_CATALOG);
                        equals(schema, &table);
                    }
                }
            }
            Some(TableReference::Partial { schema: parent, table }) => {
                if ![BUFFERS, DEFAULT_CATALOG].contains(&&*parent) {
                    self.names.engine.connector(&parent)?;
                }
                equals(catalog, &parent);
                equals(schema, &table);
            }
            Some(full) => {
                let error =
                    Error::new(ErrorKind::Configuration, format!("{full} is a table, and SHOW lists those within"));
                return Err(error.with_hint("name a connection, or a schema of one: shop.public"));
            }
        }
        conditions.extend(filter.map(|filter| condition(&filter, name)));
        Ok(conditions)
    }

    /// The plan of a query that dxt writes itself.
    pub(super) async fn sql(&self, sql: &str) -> Result<LogicalPlan> {
        let mut statements = DFParser::parse_sql(sql)?;
        match (statements.pop_front(), statements.is_empty()) {
            (Some(statement), true) => self.select(statement).await,
            _ => Err(Error::new(ErrorKind::Configuration, "the SQL must be one statement")),
        }
    }
}

/// The columns of a table as rows.
fn described(schema: &DxtSchema) -> Result<LogicalPlan> {
    let text = |text: &str| Some(text.to_string());
    let key = |name: &String| schema.primary_key.contains(name);
    let fields = schema.fields.iter();
    let columns = vec![
        fields.clone().map(|f| text(&f.name)).collect(),
        fields.clone().map(|f| text(&f.dtype.to_string())).collect(),
        fields.clone().map(|f| text(if f.nullable { "YES" } else { "NO" })).collect(),
        fields.clone().map(|f| f.native.as_ref().map(|native| native.name.clone())).collect(),
        fields.map(|f| key(&f.name).then(|| "primary".to_string())).collect(),
    ];
    table("columns", &["column_name", "data_type", "is_nullable", "native_type", "key"], columns)
}

/// Texts as a table.
fn table(name: &str, columns: &[&str], values: Vec<Vec<Option<String>>>) -> Result<LogicalPlan> {
    let fields = columns.iter().map(|column| Field::new(*column, DataType::Utf8, true)).collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let arrays = values.into_iter().map(|texts| Arc::new(StringArray::from(texts)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays)
        .map_err(|e| Error::new(ErrorKind::Pipeline, "the rows cannot be made").with_source(e))?;
    let provider = Arc::new(MemTable::try_new(schema, vec![vec![batch]])?);
    Ok(LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?.build()?)
}
