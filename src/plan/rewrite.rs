//! Expressions as people mean them: what DataFusion would compare otherwise, or not at all, is made plain before anyone
//! looks at its types.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::utils::NamePreserver;

use super::{floats, uuids};

/// The plan with all of its expressions rewritten.
pub(super) fn in_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    let whole = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let done = expr.transform_up(|expr| one(expr, &schema))?;
            Ok(done.update_data(|expr| name.restore(expr)))
        })?;
        // What is below may have changed its types, too.
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(whole.data)
}

/// The same for one expression over `schema`.
pub(super) fn in_expr(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(expr.transform_up(|expr| one(expr, schema))?.data)
}

fn one(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    floats::one(expr, schema)?.transform_data(|expr| uuids::one(expr, schema))
}
