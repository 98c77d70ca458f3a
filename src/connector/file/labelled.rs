//! A plan node that says in errors and in EXPLAIN which files the node below it reads.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as PlanResult, Statistics, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::exec::external;
use super::statistics::with_total;
use crate::error::{Error, ErrorKind};
use crate::transient::is_disk_full;

/// Lets everything through, both ways, and names the files in errors: DataFusion's readers do not.
#[derive(Debug)]
pub struct LabelledExec {
    label: String,
    input: Arc<dyn ExecutionPlan>,
}

impl LabelledExec {
    /// `label` names the dataset for people; `input` reads it.
    pub fn new(label: String, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { label, input }
    }

    fn around(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(self.label.clone(), input))
    }
}

impl DisplayAs for LabelledExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileExec: {}", self.label)
    }
}

impl ExecutionPlan for LabelledExec {
    fn name(&self) -> &str {
        "FileExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(self.around(input)),
            _ => internal_err!("FileExec has one input"),
        }
    }

    fn repartitioned(&self, partitions: usize, config: &ConfigOptions) -> PlanResult<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self.input.repartitioned(partitions, config)?.map(|input| self.around(input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, label) = (input.schema(), self.label.clone());
        // Damaged pages make the decoder panic at times; that ends this scan, not the program.
        let named = AssertUnwindSafe(input).catch_unwind().map(move |batch| match batch {
            Ok(batch) => batch.map_err(|e| named(&label, e)),
            Err(_) => Err(named(&label, internal_datafusion_err!("a page is malformed"))),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, named)))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> PlanResult<Arc<Statistics>> {
        let known = inputs.first().map(|known| with_total(known.as_ref().clone()));
        Ok(Arc::new(known.unwrap_or_else(|| Statistics::new_unknown(&self.schema()))))
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> PlanResult<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self.input.try_swapping_with_projection(projection)?.map(|input| self.around(input)))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> PlanResult<FilterDescription> {
        // Statistics leave NaN out, but a comparison with NaN holds or not like any other: a row group pruned by a float
        // column's bounds may have had rows to keep.
        let schema = self.schema();
        let exact = schema.fields().iter().enumerate().filter(|(_, f)| !f.data_type().is_floating());
        let exact = exact.map(|(index, _)| index).collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, exact, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> PlanResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child_pushdown_result))
    }
}

fn named(label: &str, error: DataFusionError) -> DataFusionError {
    let memory = matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) || is_disk_full(&error);
    match error {
        // An error of memory (a sort may stand below) or of a cancelled run is not one of the files.
        error if memory => error,
        DataFusionError::External(_) => error,
        other => external(
            Error::new(ErrorKind::Extractor, format!("reading {label}: {other}"))
                .with_source(other)
                .with_hint("the file may be damaged, or have changed since it was looked at"),
        ),
    }
}
