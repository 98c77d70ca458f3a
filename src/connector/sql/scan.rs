//! The plan node of one remote SELECT, or of one per part. EXPLAIN shows the SQL as it is sent.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt;

use super::{RemoteQuery, RemoteSource};

/// Runs a SELECT per partition on a remote system when executed, and nothing before.
#[derive(Debug)]
pub struct RemoteScanExec {
    source: Arc<dyn RemoteSource>,
    queries: Vec<RemoteQuery>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RemoteScanExec {
    pub(in crate::connector::sql) fn new(
        source: Arc<dyn RemoteSource>,
        queries: Vec<RemoteQuery>,
        schema: SchemaRef,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(queries.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { source, queries, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same where its rows come in an order.
    pub(in crate::connector::sql) fn ordered(mut self, order: Vec<PhysicalSortExpr>) -> Self {
        if !order.is_empty() {
            let mut properties = PlanProperties::clone(&self.properties);
            properties.eq_properties.add_ordering(order);
            self.properties = Arc::new(properties);
        }
        self
    }

    /// The SELECTs as the remote system gets them, one per partition.
    pub fn queries(&self) -> &[RemoteQuery] {
        &self.queries
    }

    /// Where they run.
    pub fn source(&self) -> &Arc<dyn RemoteSource> {
        &self.source
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sql: Vec<&str> = self.queries.iter().map(|query| query.sql.as_str()).collect();
        match t {
            DisplayFormatType::TreeRender => write!(f, "source={}\nsql={}", self.source.label(), sql.join("\nsql=")),
            _ => write!(f, "RemoteScanExec: source={}, sql={}", self.source.label(), sql.join("; ")),
        }
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &str {
        "RemoteScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let Some(query) = self.queries.get(partition).cloned() else {
            return Err(DataFusionError::Internal(format!("RemoteScanExec has no partition {partition}")));
        };
        tracing::debug!(source = self.source.label(), sql = query.sql, "remote query");
        let stream = self.source.open(query, context).map_err(|e| DataFusionError::External(e.into()))?;
        let schema = self.schema();
        let counted = stream.inspect(move |batch| {
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A scan, or its rows without any columns.
pub(in crate::connector::sql) fn of_columns(scan: Arc<RemoteScanExec>, none: bool) -> Result<Arc<dyn ExecutionPlan>> {
    if none {
        return Ok(Arc::new(ProjectionExec::try_new(Vec::<ProjectionExpr>::new(), scan)?));
    }
    Ok(scan)
}
