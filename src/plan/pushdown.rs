//! `extract.require_pushdown`: what a stream demands of its source is looked for in the plan before a row moves, so that a
//! changed condition or server does not turn a read of ten rows into one of all.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::SessionContext;

use super::physical_plan;
use super::strict::StrictCast;
use crate::connector::sql::RemoteScanExec;
use crate::error::{Error, ErrorKind, Result};
use crate::model::PushedPart;

/// Checks that none of `parts` of the extract would run here.
///
/// # Errors
/// Validation: one would. It names the node of the plan.
pub async fn require(context: &SessionContext, select: &LogicalPlan, parts: &[PushedPart]) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let plan = physical_plan(context, select).await?.plan;
    for part in parts {
        if let Some(node) = here(&plan, *part) {
            let line = displayable(node.as_ref()).one_line().to_string();
            let text = format!(
                "extract.require_pushdown: the {} would run here, and not at the source: {}",
                part.as_str(),
                line.trim()
            );
            let hint = format!(
                "`dxt explain` shows what reaches the source; put it so that the source takes it, let the source run the SQL \
                 itself (`type: sql`), or leave {} out of require_pushdown",
                part.as_str()
            );
            return Err(Error::new(ErrorKind::Validation, text).with_hint(hint));
        }
    }
    Ok(())
}

/// A node that does the part of the work here.
fn here(plan: &Arc<dyn ExecutionPlan>, part: PushedPart) -> Option<Arc<dyn ExecutionPlan>> {
    let found = match part {
        PushedPart::Filter => plan.name() == "FilterExec",
        PushedPart::Aggregate => plan.name() == "AggregateExec",
        PushedPart::Limit => plan.fetch().is_some() && !limited(plan),
        PushedPart::Projection => computes_or_drops(plan),
    };
    if found {
        return Some(plan.clone());
    }
    plan.children().into_iter().find_map(|child| here(child, part))
}

/// Whether what is below gives no more rows than are wanted, so that a limit here only repeats it.
fn limited(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(scan) = plan.downcast_ref::<RemoteScanExec>() {
        return scan.is_limited();
    }
    match plan.children().as_slice() {
        // Of files the readers stop by themselves.
        [] => plan.fetch().is_some(),
        [one] => limited(one),
        _ => false,
    }
}

/// Whether columns are computed here, or fetched and then thrown away.
fn computes_or_drops(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return false };
    let items: Vec<&Arc<dyn PhysicalExpr>> = projection.expr().iter().map(|item| &item.expr).collect();
    let used: HashSet<Column> = items.iter().flat_map(|item| collect_columns(item)).collect();
    let dropped = used.len() < projection.input().schema().fields().len();
    // count(*) reads one column, as SQL has no empty list.
    (dropped && !items.is_empty()) || items.into_iter().any(computed)
}

/// Whether an expression is more than a column, a constant, or one of them in a field's type.
fn computed(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let plain = |expr: &Arc<dyn PhysicalExpr>| {
        expr.downcast_ref::<Column>().is_some() || expr.downcast_ref::<Literal>().is_some()
    };
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return computed(cast.expr());
    }
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
        && (call.fun().inner().as_ref() as &dyn Any).is::<StrictCast>()
    {
        return call.args().iter().any(computed);
    }
    !plain(expr)
}
