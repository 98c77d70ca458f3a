//! A relation (or query) of a remote system as a table of DataFusion.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::scan::{RemoteScanExec, of_columns};
use super::{RemoteQuery, RemoteSource, filter};
use crate::model::{DxtField, DxtSchema};

/// Turns each scan into one remote SELECT with the projection, the filters that mean the same there, and the limit.
pub struct RemoteTable {
    source: Arc<dyn RemoteSource>,
    from: String,
    fields: DxtSchema,
    schema: SchemaRef,
    batch_size: usize,
    relation: bool,
}

impl RemoteTable {
    /// A table over `from`, the text behind FROM: a query in parentheses with an alias.
    pub fn query(source: Arc<dyn RemoteSource>, from: String, fields: DxtSchema, batch_size: usize) -> Self {
        let schema = fields.to_arrow();
        Self { source, from, fields, schema, batch_size, relation: false }
    }

    /// A table over `from`, a quoted relation.
    pub fn relation(source: Arc<dyn RemoteSource>, from: String, fields: DxtSchema, batch_size: usize) -> Self {
        Self { relation: true, ..Self::query(source, from, fields, batch_size) }
    }

    /// Where it is read.
    pub fn source(&self) -> &Arc<dyn RemoteSource> {
        &self.source
    }

    /// The text behind FROM.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Its columns.
    pub fn fields(&self) -> &DxtSchema {
        &self.fields
    }

    /// Whether it is a relation, and no query.
    pub fn is_relation(&self) -> bool {
        self.relation
    }

    /// The tables that a scan reads: [`RemoteSource::reads`].
    pub fn reads(&self) -> &[String] {
        self.source.reads()
    }

    /// The column of this name, as its system has it.
    pub fn field(&self, name: &str) -> Option<&DxtField> {
        self.fields.field(name)
    }

    fn select(&self, fields: &[DxtField], filters: &[Expr], limit: Option<usize>, part: Option<&str>) -> String {
        let dialect = self.source.dialect();
        let mut items: Vec<String> = fields.iter().map(|f| dialect.select(f)).collect();
        items.extend(self.source.locator());
        let mut sql = format!("SELECT {} FROM {}", items.join(", "), self.from);
        let mut conditions: Vec<String> =
            filters.iter().filter_map(|f| filter::to_sql(f, &self.fields, dialect)).map(|p| p.sql).collect();
        conditions.extend(part.map(str::to_string));
        if !conditions.is_empty() {
            sql += &format!(" WHERE {}", conditions.join(" AND "));
        }
        match limit {
            Some(rows) => dialect.limited(sql, rows),
            None => sql,
        }
    }
}

impl fmt::Debug for RemoteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTable").field("source", &self.source.label()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for RemoteTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut indices = projection.cloned().unwrap_or_else(|| (0..self.fields.fields.len()).collect());
        // SQL has no empty select list: for count(*) one column is read and projected away here.
        let counts_only = indices.is_empty();
        if counts_only {
            indices.push(0);
        }
        let fields: Vec<DxtField> = indices.iter().map(|i| self.fields.fields[*i].clone()).collect();
        let schema = DxtSchema::new(fields.clone()).to_arrow();
        let query = |part| RemoteQuery {
            sql: self.select(&fields, filters, limit, part),
            fields: fields.clone(),
            batch_size: self.batch_size,
        };
        let queries = match self.source.parts() {
            [] => vec![query(None)],
            // Each part would send up to the limit.
            _ if limit.is_some() => vec![query(None)],
            parts => parts.iter().map(|part| query(Some(part.as_str()))).collect(),
        };
        let scan = RemoteScanExec::new(self.source.clone(), queries, schema).sized(self.source.size(), limit);
        of_columns(Arc::new(scan), counts_only)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let dialect = self.source.dialect();
        let answer = |f: &&Expr| match filter::to_sql(f, &self.fields, dialect) {
            Some(pushed) if pushed.exact => TableProviderFilterPushDown::Exact,
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }
}
