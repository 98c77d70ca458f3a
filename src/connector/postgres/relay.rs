//! From one PostgreSQL to another without a look at the values, where nothing is done to them and both ends agree on the
//! types: the bytes of the source's COPY are those that the target's COPY takes.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, stream};

use super::catalog::Relation;
use super::client::Session;
use super::codec::{FrameReader, frame_schema};
use super::snapshot::Lease;
use super::source::{PostgresSource, ended, read};
use super::types::PgType;
use super::watch::CopyOut;
use crate::connector::LoadSpec;
use crate::connector::sql::{RemoteQuery, RemoteScanExec};
use crate::error::Result;
use crate::model::DxtField;

/// The plan that relays rows, in the place of one that decodes them; `None` where `input` does anything to the rows,
/// where a column's type there is not the one here, or where a NULL would have to be looked for. `relation`: the target,
/// where it exists.
pub(super) fn relay(
    spec: &LoadSpec,
    relation: Option<&Relation>,
    input: &Arc<dyn ExecutionPlan>,
) -> Option<Arc<dyn ExecutionPlan>> {
    let scan = find(input)?;
    let scan = scan.downcast_ref::<RemoteScanExec>()?;
    let source = (scan.source().as_ref() as &dyn Any).downcast_ref::<PostgresSource>()?;
    let fields = &scan.queries().first()?.fields;
    let agree =
        fields.len() == spec.schema.fields.len() && fields.iter().zip(&spec.schema.fields).all(|(a, b)| same(a, b));
    // A column that is NOT NULL itself, or is made so, is looked after by the server.
    let open = |to: &DxtField| relation.and_then(|r| r.schema.field(&to.name)).is_some_and(|column| column.nullable);
    let unchecked = |(from, to): (&DxtField, &DxtField)| !to.nullable && from.nullable && open(to);
    if !agree || fields.iter().zip(&spec.schema.fields).any(unchecked) {
        return None;
    }
    let relay = RelayExec::new(source.label_text(), source.lease(), scan.queries().to_vec());
    let relay: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(Arc::new(relay)));
    Some(match scan.queries().len() {
        1 => relay,
        _ => Arc::new(CoalescePartitionsExec::new(relay)),
    })
}

/// The scan below nodes that leave rows as they are: a gathering of partitions, a yield, another name for each column.
fn find(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if plan.downcast_ref::<RemoteScanExec>().is_some() {
        return Some(plan);
    }
    if let Some(gathering) = plan.downcast_ref::<CoalescePartitionsExec>() {
        return if gathering.fetch().is_none() { find(gathering.input()) } else { None };
    }
    if let Some(yielding) = plan.downcast_ref::<CooperativeExec>() {
        return find(yielding.input());
    }
    let projection = plan.downcast_ref::<ProjectionExec>()?;
    let input = projection.input();
    let in_place = |(index, item): (usize, &datafusion::physical_plan::projection::ProjectionExpr)| {
        item.expr.downcast_ref::<Column>().is_some_and(|column| column.index() == index)
    };
    let all = projection.expr().len() == input.schema().fields().len();
    (all && projection.expr().iter().enumerate().all(in_place)).then(|| find(input)).flatten()
}

/// Whether a column's bytes mean the same at both ends: one type in one spelling, of those that dxt reads in binary.
fn same(from: &DxtField, to: &DxtField) -> bool {
    let binary = |field: &DxtField| PgType::of(field).is_some_and(|native| native.is_binary());
    from.native == to.native && binary(from) && binary(to)
}

/// Reads a COPY per partition as rows that are not decoded.
#[derive(Debug)]
struct RelayExec {
    label: String,
    lease: Arc<Lease>,
    queries: Vec<RemoteQuery>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RelayExec {
    fn new(label: String, lease: Arc<Lease>, queries: Vec<RemoteQuery>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(frame_schema()),
            Partitioning::UnknownPartitioning(queries.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { label, lease, queries, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for RelayExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sql: Vec<&str> = self.queries.iter().map(|query| query.sql.as_str()).collect();
        match t {
            DisplayFormatType::TreeRender => write!(f, "source={}\nsql={}", self.label, sql.join("\nsql=")),
            _ => write!(f, "RelayExec: source={}, sql={}", self.label, sql.join("; ")),
        }
    }
}

impl ExecutionPlan for RelayExec {
    fn name(&self) -> &str {
        "RelayExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let Some(query) = self.queries.get(partition).cloned() else {
            return Err(DataFusionError::Internal(format!("RelayExec has no partition {partition}")));
        };
        tracing::debug!(source = self.label, sql = query.sql, "remote query, relayed");
        let (label, lease) = (self.label.clone(), self.lease.clone());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::try_unfold(Relay::Begin(lease, query), move |relay| {
            let label = label.clone();
            async move {
                let next = relay.next().await;
                next.map_err(|e| DataFusionError::External(Box::new(e.context(format!("reading {label}")))))
            }
        });
        let counted = batches.inspect(move |batch| {
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(frame_schema(), counted)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A relay between two batches. Dropped before its end, it cancels the query with its session.
enum Relay {
    Begin(Arc<Lease>, RemoteQuery),
    Running(Box<Running>),
    Ended,
}

struct Running {
    session: Session,
    copy: Pin<Box<CopyOut>>,
    frames: FrameReader,
}

impl Relay {
    async fn next(self) -> Result<Option<(datafusion::arrow::array::RecordBatch, Self)>> {
        let mut running = match self {
            Self::Begin(lease, query) => {
                let (session, copy) = read(&lease, &query.sql).await?;
                Box::new(Running { session, copy, frames: FrameReader::new(query.fields.len()) })
            }
            Self::Running(running) => running,
            Self::Ended => return Ok(None),
        };
        while let Some(piece) = running.copy.next().await {
            match piece {
                Ok(piece) => {
                    if let Some(batch) = running.frames.push(&piece)? {
                        return Ok(Some((batch, Self::Running(running))));
                    }
                }
                Err(e) => return Err(running.session.failed("the query", e).await),
            }
        }
        let last = running.frames.finish()?;
        ended(running.session, running.copy).await?;
        Ok(last.map(|batch| (batch, Self::Ended)))
    }
}
