//! `count(*)` of files whose footers have it.
//!
//! DataFusion's own rule answers more from statistics, and takes estimates for answers where a condition names one value:
//! its number of distinct values is 1 then, even if no row has it. So the rule is asked about plain counts alone.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use crate::connector::file::LabelledExec;

/// Takes the place of DataFusion's rule.
#[derive(Debug, Default)]
pub struct FooterCounts(AggregateStatistics);

impl FooterCounts {
    /// DataFusion's rules with this one in the place of its own.
    pub fn among(
        rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
    ) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        let own = AggregateStatistics::new();
        let placed = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| match rule.name() == own.name() {
            true => Arc::new(Self::default()) as _,
            false => rule,
        };
        rules.into_iter().map(placed).collect()
    }
}

impl PhysicalOptimizerRule for FooterCounts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let counted = |node: Arc<dyn ExecutionPlan>| match counts_all(&node) {
            true => Ok(Transformed::yes(self.0.optimize(node, config)?)),
            false => Ok(Transformed::no(node)),
        };
        plan.transform_down(counted).data()
    }

    fn name(&self) -> &str {
        "footer_counts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a node counts all rows of what is below, without groups and conditions.
fn counts_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return false };
    let plain = aggregate.aggr_expr().iter().all(|call| call.fun().name() == "count" && !call.is_distinct());
    let unfiltered = aggregate.filter_expr().iter().all(Option::is_none);
    aggregate.group_expr().is_empty() && plain && unfiltered && has_all_rows(aggregate.input())
}

/// Whether the rows of a plan are those of its files, as many as they are.
fn has_all_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let passes = plan.is::<LabelledExec>()
        || plan.is::<DataSourceExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<UnionExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
        || counts_all(plan);
    passes && plan.children().into_iter().all(has_all_rows)
}
