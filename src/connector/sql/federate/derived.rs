//! What a region gives, as a table of DataFusion.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, TableType};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;

use super::region::Rendered;
use super::select::Select;
use crate::connector::sql::scan::of_columns;
use crate::connector::sql::{RemoteQuery, RemoteScanExec, RemoteSource, Size};
use crate::model::{DxtField, DxtSchema};

/// One statement for one system. Its columns are those of the plan that it stands for, in order, under names of their own.
pub struct DerivedTable {
    source: Arc<dyn RemoteSource>,
    select: Select,
    fields: Vec<DxtField>,
    schema: SchemaRef,
    /// Columns that its rows come in the order of.
    order: Vec<(usize, SortOptions)>,
    batch_size: usize,
}

impl DerivedTable {
    /// The table for `plan`, which `rendered` came of. `None` where its types or sources do not fit together.
    pub fn new(rendered: Rendered, plan: &LogicalPlan, batch_size: usize) -> Option<Self> {
        let Rendered { select, ordered, sources } = rendered;
        // SQL has no empty select list.
        (!select.columns.is_empty()).then_some(())?;
        let (first, others) = sources.split_first()?;
        let source = first.joined(others)?;
        let mut taken = HashSet::new();
        let columns = plan.schema().fields().iter().zip(&select.columns);
        let fields = columns.map(|(field, term)| {
            let name = (1..).map(|n| if n == 1 { field.name().clone() } else { format!("{}_{n}", field.name()) });
            let name = name.into_iter().find(|name| taken.insert(name.clone()))?;
            let made = DxtField { name, nullable: field.is_nullable(), ..term.field.clone() };
            (made.dtype.to_arrow() == *field.data_type()).then_some(made)
        });
        let fields = fields.collect::<Option<Vec<_>>>()?;
        let schema = DxtSchema::new(fields.clone()).to_arrow();
        let order = if ordered { order_of(plan) } else { Vec::new() };
        Some(Self { source, select, fields, schema, order, batch_size })
    }
}

/// The columns that a sorted plan is in the order of; as many of them as are columns.
fn order_of(plan: &LogicalPlan) -> Vec<(usize, SortOptions)> {
    let sort = match plan {
        LogicalPlan::Sort(sort) => Some(sort),
        LogicalPlan::Limit(limit) => match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => Some(sort),
            _ => None,
        },
        _ => None,
    };
    let Some(Sort { expr, input, .. }) = sort else { return Vec::new() };
    let column = |item: &datafusion::logical_expr::SortExpr| {
        let Expr::Column(column) = &item.expr else { return None };
        let at = input.schema().maybe_index_of_column(column)?;
        Some((at, SortOptions { descending: !item.asc, nulls_first: item.nulls_first }))
    };
    expr.iter().map_while(column).collect()
}

impl fmt::Debug for DerivedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DerivedTable").field("source", &self.source.label()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for DerivedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.fields.len()).collect());
        // SQL has no empty select list: a column is read that nobody looks at.
        let read = if wanted.is_empty() { vec![0] } else { wanted.clone() };
        let fields: Vec<DxtField> = read.iter().map(|at| self.fields[*at].clone()).collect();
        let dialect = self.source.dialect();
        let Some(terms) = dialect.terms() else {
            return datafusion::common::internal_err!("the dialect of {} has no expressions", self.source.label());
        };
        let item = |at: &usize| {
            format!("{} AS {}", terms.output(&self.select.columns[*at]), dialect.quote(&self.fields[*at].name))
        };
        let items: Vec<String> = read.iter().map(item).collect();
        let sql = self.select.text(&items, terms);
        let schema = DxtSchema::new(fields.clone()).to_arrow();
        let order = self.order.iter().map_while(|(at, options)| {
            let at = read.iter().position(|read| read == at)?;
            Some(PhysicalSortExpr::new(Arc::new(Column::new(&fields[at].name, at)), *options))
        });
        let order: Vec<PhysicalSortExpr> = order.collect();
        let query = RemoteQuery { sql, fields, batch_size: self.batch_size };
        let scan = RemoteScanExec::new(self.source.clone(), vec![query], schema).ordered(order);
        of_columns(Arc::new(scan.sized(Size::UNKNOWN, self.select.most_rows())), wanted.is_empty())
    }
}
