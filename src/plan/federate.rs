//! Parts of a plan that one system can run go there as one statement: the last step of a logical plan, after DataFusion's
//! own rules have brought filters and columns as far down as they go.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, PlanType, ToStringifiedPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use crate::connector::sql::federate::{DerivedTable, render, split_filter};

/// DataFusion's planner, for plans of which each system has its part.
#[derive(Debug)]
pub struct FederatedPlanner;

#[async_trait]
impl QueryPlanner for FederatedPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = federated(plan.clone(), state.config().batch_size())?;
        let planner = DefaultPhysicalPlanner::default();
        let physical = planner.create_physical_plan(&plan, state).await?;
        let whole = state.as_any().downcast_ref::<SessionState>();
        let Some(whole) = whole.filter(|_| misleads(&physical)) else { return Ok(physical) };
        let mut state = whole.clone();
        let optimizer = &mut state.config_mut().options_mut().optimizer;
        optimizer.enable_join_dynamic_filter_pushdown = false;
        optimizer.enable_topk_dynamic_filter_pushdown = false;
        optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        planner.create_physical_plan(&plan, &state).await
    }
}

/// Whether what a node learns while it runs could reach another column than the one it is about. DataFusion hands such filters
/// down by the columns' names: where two columns of one name meet below, it takes the first.
fn misleads(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let names = |expr: &Arc<dyn PhysicalExpr>| collect_columns(expr).into_iter().map(|c| c.name().to_string());
    let (learns, below): (Vec<String>, _) = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        (join.on().iter().flat_map(|(_, key)| names(key)).collect(), Some(join.right()))
    } else if let Some(sort) = plan.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some()) {
        (sort.expr().iter().flat_map(|item| names(&item.expr)).collect(), Some(sort.input()))
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let args = aggregate.aggr_expr().iter().flat_map(|call| call.expressions());
        (args.flat_map(|arg| names(&arg).collect::<Vec<_>>()).collect(), Some(aggregate.input()))
    } else {
        (Vec::new(), None)
    };
    below.is_some_and(|below| learns.iter().any(|name| is_twice(below, name)))
        || plan.children().into_iter().any(misleads)
}

/// Whether a node within the plan has two columns of a name.
fn is_twice(plan: &Arc<dyn ExecutionPlan>, name: &str) -> bool {
    plan.schema().fields().iter().filter(|field| field.name() == name).count() > 1
        || plan.children().into_iter().any(|child| is_twice(child, name))
}

/// The optimized plan with the parts that run elsewhere as tables.
pub fn federated(plan: LogicalPlan, batch_size: usize) -> Result<LogicalPlan> {
    if let LogicalPlan::Explain(mut explain) = plan {
        let inner = federated(explain.plan.as_ref().clone(), batch_size)?;
        for shown in &mut explain.stringified_plans {
            if shown.plan_type == PlanType::FinalLogicalPlan {
                *shown = inner.to_stringified(PlanType::FinalLogicalPlan);
            }
        }
        explain.plan = Arc::new(inner);
        return Ok(LogicalPlan::Explain(explain));
    }
    if let Some(table) = remote(&plan, batch_size)? {
        return Ok(table);
    }
    // Of a filter a part may go there, and the rest stays.
    if let LogicalPlan::Filter(filter) = &plan
        && let Some((there, here)) = split_filter(filter)
        && !here.is_empty()
        && let (Some(there), Some(here)) = (conjunction(there), conjunction(here))
    {
        let below = LogicalPlan::Filter(Filter::try_new(there, filter.input.clone())?);
        if let Some(table) = remote(&below, batch_size)? {
            return Ok(LogicalPlan::Filter(Filter::try_new(here, Arc::new(table))?));
        }
    }
    let deeper = |node: LogicalPlan| Ok(Transformed::yes(federated(node, batch_size)?));
    let plan = plan.map_subqueries(deeper).data()?;
    plan.map_children(deeper).data()
}

/// The plan as a table of the system that runs all of it, under the names of its own columns.
fn remote(plan: &LogicalPlan, batch_size: usize) -> Result<Option<LogicalPlan>> {
    let Some(table) = render(plan).and_then(|rendered| DerivedTable::new(rendered, plan, batch_size)) else {
        return Ok(None);
    };
    let scan =
        LogicalPlanBuilder::scan(TableReference::bare(REMOTE), provider_as_source(Arc::new(table)), None)?.build()?;
    let columns = scan.schema().columns().into_iter().zip(plan.schema().iter());
    let items = columns.map(|(column, (qualifier, field))| {
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name().as_str())
    });
    let mut table = LogicalPlanBuilder::from(scan).project(items)?.build()?;
    // The order in which its rows come is kept: the sort finds it done.
    if let LogicalPlan::Sort(sort) = plan {
        table = LogicalPlan::Sort(datafusion::logical_expr::Sort { input: Arc::new(table), ..sort.clone() });
    }
    Ok(Some(table))
}

/// What such a table is called in plans.
const REMOTE: &str = "remote";
