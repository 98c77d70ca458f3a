//! The plan node of one remote SELECT, or of one per part. EXPLAIN shows the SQL as it is sent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::{RemoteQuery, RemoteSource, keys};

/// About how much a scan reads, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    /// In memory.
    pub bytes: usize,
}

impl Size {
    /// Where nobody can say: more than anything that is known, so that a join begins with its other side.
    pub const UNKNOWN: Self = Self { rows: 10_000_000, bytes: 10 << 30 };

    /// Of so many rows at most.
    pub fn limited(self, rows: Option<usize>) -> Self {
        match rows.filter(|rows| *rows < self.rows) {
            Some(rows) => Self { rows, bytes: self.bytes / self.rows.max(1) * rows },
            None => self,
        }
    }
}

/// Runs a SELECT per partition on a remote system when executed, and nothing before.
#[derive(Debug, Clone)]
pub struct RemoteScanExec {
    source: Arc<dyn RemoteSource>,
    queries: Vec<RemoteQuery>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// What other parts of the plan know of its rows when it begins.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    size: Size,
    limited: bool,
    /// The SELECTs as they were sent, where that is known by now.
    sent: Arc<Mutex<BTreeMap<usize, String>>>,
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
        let metrics = ExecutionPlanMetricsSet::new();
        Self {
            source,
            queries,
            properties,
            metrics,
            filters: Vec::new(),
            size: Size::UNKNOWN,
            limited: false,
            sent: Arc::default(),
        }
    }

    /// The same of about so many rows and bytes, and of `limit` rows at most where its SELECTs say so.
    pub(in crate::connector::sql) fn sized(self, size: Size, limit: Option<usize>) -> Self {
        Self { size: size.limited(limit), limited: limit.is_some(), ..self }
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

    /// The SELECTs for the remote system, one per partition, as they are planned.
    pub fn queries(&self) -> &[RemoteQuery] {
        &self.queries
    }

    /// Whether its system says how large what it reads is.
    pub fn is_sized(&self) -> bool {
        self.size != Size::UNKNOWN
    }

    /// Whether each of the SELECTs has a limit of its own.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// Whether something that is known only later may narrow what they read.
    pub fn narrows(&self) -> bool {
        !self.filters.is_empty()
    }

    /// The SELECTs that were sent, as far as they are begun.
    pub fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The query of a partition with what is known by now of the rows that are wanted.
    fn narrowed(&self, partition: usize) -> Option<RemoteQuery> {
        let mut query = self.queries.get(partition).cloned()?;
        if let Some(condition) = keys::condition(&self.filters, &query.fields, self.source.dialect()) {
            query.sql = format!("SELECT * FROM ({}) AS dxt_scan WHERE {condition}", query.sql);
        }
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, query.sql.clone());
        Some(query)
    }

    /// Where they run.
    pub fn source(&self) -> &Arc<dyn RemoteSource> {
        &self.source
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sql = self.sent();
        if sql.is_empty() {
            sql = self.queries.iter().map(|query| query.sql.clone()).collect();
        }
        let filters: Vec<String> = self.filters.iter().map(ToString::to_string).collect();
        let narrowed =
            if filters.is_empty() { String::new() } else { format!(", narrowed by={}", filters.join(" AND ")) };
        match t {
            DisplayFormatType::TreeRender => write!(f, "source={}\nsql={}", self.source.label(), sql.join("\nsql=")),
            _ => write!(f, "RemoteScanExec: source={}, sql={}{narrowed}", self.source.label(), sql.join("; ")),
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
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.filters.iter().try_fold(TreeNodeRecursion::Continue, |_, filter| f(filter))
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        let (this, begin) = (self.clone(), context);
        // Asked for its first row, and not before: a join reads its other side first, and knows the keys then.
        let stream = stream::once(async move {
            let Some(query) = this.narrowed(partition) else {
                return Err(DataFusionError::Internal(format!("RemoteScanExec has no partition {partition}")));
            };
            tracing::debug!(source = this.source.label(), sql = query.sql, "remote query");
            this.source.open(query, begin).map_err(|e| DataFusionError::External(e.into()))
        });
        let counted = stream.try_flatten().inspect(move |batch| {
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        results: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // Whoever made a filter goes on to apply it: here it saves reading. One around a statement would undo its order.
        let ordered = self.properties.eq_properties.oeq_class().iter().next().is_some();
        let mut done = FilterPushdownPropagation::with_parent_pushdown_result(
            results.parent_filters.iter().map(|_| PushedDown::No).collect(),
        );
        if phase == FilterPushdownPhase::Post && !ordered && !results.parent_filters.is_empty() {
            let more = results.parent_filters.into_iter().map(|result| result.filter);
            let filters = self.filters.iter().cloned().chain(more).collect();
            let narrowed: Arc<dyn ExecutionPlan> =
                Arc::new(Self { filters, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() });
            done = done.with_updated_node(narrowed);
        }
        Ok(done)
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let parts = if args.partition().is_some() { self.queries.len().max(1) } else { 1 };
        let mut known = Statistics::new_unknown(&self.schema());
        known.num_rows = Precision::Inexact(self.size.rows / parts);
        known.total_byte_size = Precision::Inexact(self.size.bytes / parts);
        Ok(Arc::new(known))
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
