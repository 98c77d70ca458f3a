//! A filter whose batches close by bytes, too. DataFusion's own gathers what it keeps until there are enough rows,
//! however wide they are.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

/// A batch closes at about so many bytes.
const BATCH_BYTES: usize = 2 << 20;

const RECOMPUTE: ReplaceChildrenOptions = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);

/// Puts [`BoundFilterExec`] in the place of DataFusion's filter. The last of the rules, as others look for that one.
#[derive(Debug)]
pub struct BoundFilters;

impl PhysicalOptimizerRule for BoundFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let bound = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<FilterExec>() {
            Some(_) => Ok(Transformed::yes(Arc::new(BoundFilterExec { filter: node }) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(node)),
        };
        plan.transform_up(bound).data()
    }

    fn name(&self) -> &str {
        "bound_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// DataFusion's filter, planned and shown by it, and run here.
#[derive(Debug)]
struct BoundFilterExec {
    /// A [`FilterExec`].
    filter: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for BoundFilterExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt_as(t, f)
    }
}

impl ExecutionPlan for BoundFilterExec {
    fn name(&self) -> &str {
        self.filter.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.filter.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.filter.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.filter.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { filter: self.filter.clone().replace_children(children, RECOMPUTE)? }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(filter) = self.filter.downcast_ref::<FilterExec>() else {
            return Err(DataFusionError::Internal("there is no filter to run".into()));
        };
        let kept = Kept {
            input: Some(filter.input().execute(partition, context)?),
            predicate: filter.predicate().clone(),
            projection: filter.projection().as_ref().map(|p| p.to_vec()),
            left: filter.fetch(),
            batch_size: filter.batch_size().max(1),
            schema: self.schema(),
            held: Vec::new(),
            rows: 0,
            bytes: 0,
        };
        let batches =
            futures::stream::try_unfold(
                kept,
                |mut kept| async move { Ok(kept.next().await?.map(|batch| (batch, kept))) },
            );
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn fetch(&self) -> Option<usize> {
        self.filter.fetch()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.filter.cardinality_effect()
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.filter.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.filter.statistics_from_inputs(inputs, args)
    }
}

/// What a filter has kept of its input and not yet handed on.
struct Kept {
    /// `None` where no more rows are wanted, or there are none.
    input: Option<SendableRecordBatchStream>,
    predicate: Arc<dyn PhysicalExpr>,
    projection: Option<Vec<usize>>,
    /// The rows that are still wanted, where there is a limit.
    left: Option<usize>,
    batch_size: usize,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Kept {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        // What is held is copied where it is more than one batch: a filter that keeps most rows hands each on as it is.
        let enough = self.batch_size.div_ceil(2);
        while self.rows < enough && self.bytes < BATCH_BYTES && self.left != Some(0) {
            let Some(input) = &mut self.input else { break };
            match input.next().await {
                Some(batch) => self.push(&batch?)?,
                None => self.input = None,
            }
        }
        if self.left == Some(0) {
            self.input = None;
        }
        (self.rows, self.bytes) = (0, 0);
        match &std::mem::take(&mut self.held)[..] {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            many => Ok(Some(concat_batches(&self.schema, many)?)),
        }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let wanted = self.predicate.evaluate(batch)?.into_array(batch.num_rows())?;
        let batch = match &self.projection {
            Some(projection) => filter_record_batch(&batch.project(projection)?, as_boolean_array(&wanted)?)?,
            None => filter_record_batch(batch, as_boolean_array(&wanted)?)?,
        };
        let rows = self.left.map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
        if rows == 0 {
            return Ok(());
        }
        self.left = self.left.map(|left| left - rows);
        self.rows += rows;
        self.bytes += batch.get_array_memory_size();
        self.held.push(batch.slice(0, rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// What `sql` gives over 100 batches of 10 rows, each with a text of `width` bytes.
    async fn batches(sql: &str, width: usize) -> Vec<RecordBatch> {
        let text = "x".repeat(width);
        let batch = |from: i64| {
            let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 10));
            let t: ArrayRef = Arc::new(StringArray::from_iter_values((0..10).map(|_| text.as_str())));
            RecordBatch::try_from_iter([("n", n), ("t", t)]).unwrap()
        };
        let all: Vec<RecordBatch> = (0..100).map(|i| batch(i * 10)).collect();
        let table = datafusion::datasource::MemTable::try_new(all[0].schema(), vec![all]).unwrap();
        let state = SessionStateBuilder::new()
            .with_config(SessionConfig::new().with_target_partitions(1))
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(BoundFilters))
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_table("x", Arc::new(table)).unwrap();
        context.sql(sql).await.unwrap().collect().await.unwrap()
    }

    fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[tokio::test]
    async fn wide_rows_are_not_gathered_and_narrow_ones_are() {
        let even: Vec<i64> = (0..1000).step_by(2).collect();
        let wide = batches("SELECT * FROM x WHERE n % 2 = 0", 100_000).await;
        assert_eq!(numbers(&wide), even);
        assert!(wide.len() > 2, "{} batches", wide.len());
        assert!(wide.iter().all(|b| b.get_array_memory_size() < 3 * BATCH_BYTES));
        let narrow = batches("SELECT * FROM x WHERE n % 2 = 0", 1).await;
        assert_eq!((narrow.len(), numbers(&narrow)), (1, even));
    }

    #[tokio::test]
    async fn projections_limits_and_no_rows_are_as_before() {
        let limited = batches("SELECT n + 1 FROM x WHERE t = 'x' AND n > 4 LIMIT 12", 1).await;
        assert_eq!(numbers(&limited), (6..18).collect::<Vec<i64>>());
        assert!(numbers(&batches("SELECT n FROM x WHERE n < 0", 1).await).is_empty());
        assert_eq!(numbers(&batches("SELECT count(*) FROM x WHERE n >= 990", 1).await), [10]);
    }
}
