//! Where the columns of a query come from: one that is a column of a remote table, passed on as it is, keeps the type that
//! it has there. A plan alone knows Arrow's types, in which an enum, an inet and a varchar(20) are one.

use datafusion::common::TableReference;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

use crate::connector::sql::RemoteTable;
use crate::model::{DxtField, DxtSchema};

/// A column of a remote table.
struct Origin {
    field: DxtField,
    /// The connection of the table.
    connection: String,
}

/// The columns of a query. Names and whether NULL may occur are the plan's, for a join may add NULLs.
///
/// # Errors
/// Type mapping: a column has no type of dxt.
pub(super) fn columns(plan: &LogicalPlan) -> crate::error::Result<DxtSchema> {
    let mut columns = DxtSchema::from_arrow(plan.schema().as_arrow())?;
    for (index, column) in columns.fields.iter_mut().enumerate() {
        let Some(origin) = origin(plan, index) else { continue };
        // The plan may have another type, as of a column that a declared type has changed.
        if origin.field.dtype.to_arrow() == column.dtype.to_arrow() {
            column.dtype = origin.field.dtype;
            column.native = origin.field.native;
        }
    }
    Ok(columns)
}

/// The connection that a column of a query comes from, where it is passed on as it is.
pub(super) fn connection(plan: &LogicalPlan, column: &str) -> Option<String> {
    let index = plan.schema().fields().iter().position(|field| field.name() == column)?;
    origin(plan, index).map(|origin| origin.connection)
}

/// The remote column that the column at `index` is.
fn origin(plan: &LogicalPlan, index: usize) -> Option<Origin> {
    match plan {
        LogicalPlan::Projection(projection) => of_expr(projection.expr.get(index)?, &projection.input),
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.get(index)? {
            Expr::GroupingSet(_) => None,
            group => of_expr(group, &aggregate.input),
        },
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, index),
        LogicalPlan::Filter(filter) => origin(&filter.input, index),
        LogicalPlan::Sort(sort) => origin(&sort.input, index),
        LogicalPlan::Limit(limit) => origin(&limit.input, index),
        LogicalPlan::Distinct(Distinct::All(input)) => origin(input, index),
        // What a window adds stands behind the columns of its input.
        LogicalPlan::Window(window) => within(&window.input, index),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => origin(&join.right, index),
                JoinType::LeftSemi | JoinType::LeftAnti => origin(&join.left, index),
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full if index < left => {
                    origin(&join.left, index)
                }
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                    within(&join.right, index - left)
                }
                _ => None,
            }
        }
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<RemoteTable>()?;
            let field = table.field(scan.projected_schema.fields().get(index)?.name())?.clone();
            // A system without schemas is a schema itself.
            let connection = match &scan.table_name {
                TableReference::Full { catalog, .. } if catalog.as_ref() != super::catalog::DEFAULT_CATALOG => catalog,
                TableReference::Full { schema, .. } | TableReference::Partial { schema, .. } => schema,
                TableReference::Bare { .. } => return None,
            };
            Some(Origin { field, connection: connection.to_string() })
        }
        _ => None,
    }
}

fn within(plan: &LogicalPlan, index: usize) -> Option<Origin> {
    if index < plan.schema().fields().len() { origin(plan, index) } else { None }
}

fn of_expr(expr: &Expr, input: &LogicalPlan) -> Option<Origin> {
    match expr {
        Expr::Alias(alias) => of_expr(&alias.expr, input),
        Expr::Column(column) => origin(input, input.schema().maybe_index_of_column(column)?),
        _ => None,
    }
}
