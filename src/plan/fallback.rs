//! A plan whose joins hash, and the same with joins that sort, which spill: taken where a hash table was larger than it was
//! thought to be.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::StreamExt;

use super::sink::LoadExec;

/// How often, and how long between, it is asked whether the memory of the first plan is free again.
const ASKS: usize = 100;
const PAUSE: Duration = Duration::from_millis(5);

const RECOMPUTE: ReplaceChildrenOptions = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);

/// Both plans as one. What loads rows stays on top, so that a load is begun once.
///
/// # Errors
/// DataFusion's, where the plans are not alike.
pub fn either(hashed: Arc<dyn ExecutionPlan>, sorted: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if hashed.is::<LoadExec>() {
        let (Some(left), Some(right)) = (hashed.children().pop().cloned(), sorted.children().pop().cloned()) else {
            return Ok(hashed);
        };
        return hashed.replace_children(vec![Arc::new(FallbackExec::new(left, right))], RECOMPUTE);
    }
    Ok(Arc::new(FallbackExec::new(hashed, sorted.clone())))
}

/// Runs the one, and the other where that has no memory left before it has given a row. One partition.
#[derive(Debug)]
struct FallbackExec {
    hashed: Arc<dyn ExecutionPlan>,
    sorted: Arc<dyn ExecutionPlan>,
    /// Whether the other one runs.
    sorts: Arc<AtomicBool>,
}

impl FallbackExec {
    fn new(hashed: Arc<dyn ExecutionPlan>, sorted: Arc<dyn ExecutionPlan>) -> Self {
        let single = |plan: Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
            match plan.output_partitioning().partition_count() {
                1 => plan,
                _ => Arc::new(CoalescePartitionsExec::new(plan)),
            }
        };
        Self { hashed: single(hashed), sorted: single(sorted), sorts: Arc::default() }
    }
}

impl DisplayAs for FallbackExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FallbackExec: by sorting where a hash table does not fit")
    }
}

impl ExecutionPlan for FallbackExec {
    fn name(&self) -> &str {
        "FallbackExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.hashed.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    /// The one that runs.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![if self.sorts.load(Ordering::Relaxed) { &self.sorted } else { &self.hashed }]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(hashed), true) => Ok(Arc::new(Self::new(hashed, self.sorted.clone()))),
            _ => Err(DataFusionError::Internal("FallbackExec has one child".into())),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let running = Running {
            rows: Some(self.hashed.execute(partition, context.clone())?),
            other: Some(self.sorted.clone()),
            sorts: self.sorts.clone(),
            context,
        };
        let batches = futures::stream::try_unfold(running, |mut running| async move {
            Ok(running.next().await?.map(|b| (b, running)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

struct Running {
    rows: Option<SendableRecordBatchStream>,
    /// The plan that sorts, as long as no row has come.
    other: Option<Arc<dyn ExecutionPlan>>,
    sorts: Arc<AtomicBool>,
    context: Arc<TaskContext>,
}

impl Running {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(rows) = &mut self.rows else { return Ok(None) };
            match rows.next().await.transpose() {
                Ok(Some(batch)) if batch.num_rows() == 0 => continue,
                Ok(batch) => {
                    self.other = None;
                    return Ok(batch);
                }
                Err(error) => {
                    let memory = matches!(error.find_root(), DataFusionError::ResourcesExhausted(_));
                    let Some(other) = self.other.take().filter(|_| memory) else { return Err(error) };
                    tracing::info!("a join's hash table does not fit into memory: it is done by sorting");
                    self.rows = None;
                    freed(&self.context).await;
                    self.sorts.store(true, Ordering::Relaxed);
                    self.rows = Some(other.execute(0, self.context.clone())?);
                }
            }
        }
    }
}

/// Waits until the tasks of the first plan have let go of their memory.
async fn freed(context: &TaskContext) {
    let pool = context.memory_pool();
    let MemoryLimit::Finite(limit) = pool.memory_limit() else { return };
    for _ in 0..ASKS {
        if pool.reserved() < limit / 4 {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
