//! Loads that take rows in their source's own form: a shorter way that a loader offers where a plan changes nothing.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::sink::LoadExec;

/// Asks each load whether it has a shorter way. The last of the rules, as it takes the finished plan below the load.
#[derive(Debug)]
pub struct Relays;

impl PhysicalOptimizerRule for Relays {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let relayed = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<LoadExec>().and_then(LoadExec::relayed) {
            Some(shorter) => Ok(Transformed::yes(Arc::new(shorter) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(node)),
        };
        plan.transform_up(relayed).data()
    }

    fn name(&self) -> &str {
        "relays"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
