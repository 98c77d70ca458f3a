//! Targets and buffers as tables that take rows: one provider and one plan node for all of them.
//!
//! `DataSink::write_all` knows no moment between "all is written" and "committed". [`LoadExec`] does: it begins, writes,
//! seals, compares the counts, and only then commits; on any error, and when it is dropped, the load is rolled back.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{SortOptions, sort_to_indices};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements, Partitioning,
    PlanProperties,
};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::checksum::Checksums;
use super::memory::named_disk;
pub use super::summed::{SummedTable, Tally};
use super::verify::{arrived, compare, verify};
use crate::connector::{Load, LoadCounts, LoadSpec, Loader, Relay};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::DxtSchema;

/// Something that rows can be staged in: a target or a buffer.
#[async_trait]
pub trait Staging: fmt::Debug + Send + Sync {
    /// Its name for plans and errors.
    fn label(&self) -> String;
    /// The columns that it takes, in order.
    fn schema(&self) -> &DxtSchema;
    /// What the load does, for EXPLAIN: `mode=append`.
    fn describe(&self) -> String;
    /// Begins a load.
    async fn begin(&self) -> Result<Box<dyn Load>>;
    /// Whether its loads give back what they have staged, to be compared with what was written.
    fn rereads(&self) -> bool {
        false
    }
    /// A shorter way for what `input` brings: [`Loader::relay`].
    fn relay(&self, _input: &Arc<dyn ExecutionPlan>) -> Option<(Arc<dyn ExecutionPlan>, Arc<dyn Staging>)> {
        None
    }
}

/// A target with what is to be done to it.
#[derive(Debug)]
pub struct TargetStaging {
    pub loader: Arc<dyn Loader>,
    pub spec: LoadSpec,
}

#[async_trait]
impl Staging for TargetStaging {
    fn label(&self) -> String {
        self.loader.target()
    }

    fn schema(&self) -> &DxtSchema {
        &self.spec.schema
    }

    fn describe(&self) -> String {
        let mut text = format!("mode={}", self.spec.mode.as_str());
        if !self.spec.keys.is_empty() {
            text += &format!(", keys=[{}]", self.spec.keys.join(", "));
        }
        if self.loader.existing().is_none() {
            text += ", create=true";
        }
        text
    }

    async fn begin(&self) -> Result<Box<dyn Load>> {
        self.loader.begin(&self.spec).await
    }

    fn rereads(&self) -> bool {
        self.spec.reread
    }

    fn relay(&self, input: &Arc<dyn ExecutionPlan>) -> Option<(Arc<dyn ExecutionPlan>, Arc<dyn Staging>)> {
        let Relay { input, loader } = self.loader.relay(&self.spec, input)?;
        Some((input, Arc::new(Self { loader, spec: self.spec.clone() })))
    }
}

/// What a load saw and did, filled while it runs. Progress reads it at any time.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<Observed>,
}

/// The figures of [`Progress`].
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Rows handed to the sink so far.
    pub rows: u64,
    /// Their size in memory.
    pub bytes: u64,
    /// The greatest value of the observed column so far.
    pub greatest: Option<ScalarValue>,
    /// Rows in which the observed column is NULL.
    pub nulls: u64,
    /// What the sink counted; set when it is sealed.
    pub counts: Option<LoadCounts>,
    /// Whether the target's ledger says that these rows are there already; then nothing was done.
    pub already_loaded: bool,
    /// Whether the commit has returned.
    pub committed: bool,
}

impl Progress {
    /// The figures as they are now.
    pub fn observed(&self) -> Observed {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Observed> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What a load is watched for.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Filled while the load runs.
    pub progress: Arc<Progress>,
    /// The column whose greatest value is kept: the watermark.
    pub column: Option<String>,
    /// Rows that must arrive, where it is known: those of the buffer.
    pub expected_rows: Option<u64>,
    /// Ends the load before its commit, which itself is never cut short.
    pub cancel: CancellationToken,
    /// Whether checksums are made of the rows, for what keeps them or gives its rows back.
    pub checksum: bool,
    /// What comes out of the buffer, to be compared with what went in.
    pub tally: Option<Arc<Tally>>,
}

/// A staging as a table that INSERT can name. It is for writing only.
#[derive(Debug, Clone)]
pub struct SinkTable {
    staging: Arc<dyn Staging>,
    watch: Watch,
    schema: SchemaRef,
}

impl SinkTable {
    /// A table over `staging`.
    pub fn new(staging: Arc<dyn Staging>, watch: Watch) -> Self {
        // NOT NULL is checked here, with an error that names the field, and not by the planner.
        let fields = staging.schema().fields.iter().map(|f| f.to_arrow().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { staging, watch, schema }
    }
}

#[async_trait]
impl TableProvider for SinkTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let text = format!("{} is open for writing and cannot be read here", self.staging.label());
        Err(Error::new(ErrorKind::Connector, text).into())
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        _op: InsertOp,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(LoadExec::new(input, self.staging.clone(), self.watch.clone(), false)))
    }
}

/// The plan node of every load. Gives one row: the count of rows staged, as INSERT does.
#[derive(Debug)]
pub struct LoadExec {
    input: Arc<dyn ExecutionPlan>,
    staging: Arc<dyn Staging>,
    watch: Watch,
    /// Whether batches are in the loader's own form, and not of the staging's schema.
    own_form: bool,
    properties: Arc<PlanProperties>,
}

impl LoadExec {
    fn new(input: Arc<dyn ExecutionPlan>, staging: Arc<dyn Staging>, watch: Watch, own_form: bool) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]));
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        Self { input, staging, watch, own_form, properties }
    }

    /// The same load by the staging's shorter way, where it has one and nobody looks at the rows' values.
    pub(super) fn relayed(&self) -> Option<Self> {
        if self.own_form || self.watch.column.is_some() || self.watch.checksum {
            return None;
        }
        let (input, staging) = self.staging.relay(&self.input)?;
        Some(Self::new(input, staging, self.watch.clone(), true))
    }
}

impl DisplayAs for LoadExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match t {
            DisplayFormatType::TreeRender => {
                write!(f, "target={}\n{}", self.staging.label(), self.staging.describe().replace(", ", "\n"))
            }
            _ => write!(f, "LoadExec: target={}, {}", self.staging.label(), self.staging.describe()),
        }
    }
}

impl ExecutionPlan for LoadExec {
    fn name(&self) -> &str {
        "LoadExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => {
                Ok(Arc::new(Self::new(input, self.staging.clone(), self.watch.clone(), self.own_form)))
            }
            _ => Err(DataFusionError::Internal("LoadExec has one child".into())),
        }
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let plan = self.input.clone();
        let input = decoupled(plan.clone(), context);
        let (staging, watch, schema) = (self.staging.clone(), self.watch.clone(), self.schema());
        let shape = (!self.own_form).then(|| staging.schema().to_arrow());
        let mut builder = RecordBatchReceiverStream::builder(schema.clone(), 1);
        let sender = builder.tx();
        // A task of its own, so that streams which run at once encode and write on several cores. It is aborted, and
        // the load rolled back, when the plan is dropped.
        let load = async move {
            let count = run(input, &plan, staging.as_ref(), &watch, shape.as_ref()).await?;
            let batch = RecordBatch::try_new(schema, vec![Arc::new(UInt64Array::from(vec![count]))])?;
            let _ = sender.send(Ok(batch)).await;
            Ok(())
        };
        builder.spawn(load.instrument(tracing::Span::current()));
        Ok(builder.build())
    }
}

/// Runs the input in a task of its own, a few batches ahead, so that reading and writing use two cores.
fn decoupled(input: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStream::builder(input.schema(), 2);
    let sender = builder.tx();
    let read = async move {
        let runtime = context.runtime_env();
        let mut stream = input.execute(0, context)?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|e| named_disk(e, &runtime));
            let failed = batch.is_err();
            // Nobody listens any more when the load has failed; the error, if there is one, is the last thing sent.
            if sender.send(batch).await.is_err() || failed {
                break;
            }
        }
        Ok(())
    };
    // Logs of the source carry the stream and the run.
    builder.spawn(read.instrument(tracing::Span::current()));
    builder.build()
}

async fn run(
    mut input: SendableRecordBatchStream,
    plan: &Arc<dyn ExecutionPlan>,
    staging: &dyn Staging,
    watch: &Watch,
    shape: Option<&SchemaRef>,
) -> Result<u64> {
    let doing = || format!("loading {}", staging.label());
    // What is dropped in its middle ends by itself: a wait for a lock, above all.
    let begun = unless_cancelled(watch, Duration::ZERO, staging.begin()).await;
    let mut load = begun.map_err(|e| e.context(doing()))?;
    if load.already_loaded() {
        abort(load, staging).await;
        watch.progress.lock().already_loaded = true;
        return Ok(0);
    }
    match stage(&mut input, plan, load.as_mut(), staging, watch, shape).await {
        Ok(counts) => {
            fault::point("plan.verified");
            // A commit that failed may have taken place all the same: whatever its cause, it is not repeated.
            let done = load.commit().await;
            done.map_err(|e| e.context(format!("committing {}", staging.label())).transient(false))?;
            watch.progress.lock().committed = true;
            Ok(counts.staged)
        }
        Err(error) => {
            abort(load, staging).await;
            Err(error)
        }
    }
}

/// How long a step that has begun may go on after the run was cancelled.
const GRACE: Duration = Duration::from_secs(2);

/// Does `work`, and gives it up where the run is cancelled and it does not end within `grace`.
async fn unless_cancelled<T>(watch: &Watch, grace: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = async {
        watch.cancel.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        () = late => Err(interrupted()),
        done = work => done,
    }
}

/// The error of what was ended by [`Watch::cancel`].
pub(crate) fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "the run was interrupted before this was committed")
}

async fn abort(load: Box<dyn Load>, staging: &dyn Staging) {
    if let Err(second) = load.abort().await {
        tracing::warn!(target = staging.label(), error = %second, "rolling back failed; the connection was closed");
    }
}

async fn stage(
    input: &mut SendableRecordBatchStream,
    plan: &Arc<dyn ExecutionPlan>,
    load: &mut dyn Load,
    staging: &dyn Staging,
    watch: &Watch,
    shape: Option<&SchemaRef>,
) -> Result<LoadCounts> {
    let observed = watch.column.as_ref().zip(shape).and_then(|(column, schema)| schema.index_of(column).ok());
    let mut sums = watch.checksum.then(|| Checksums::new(staging.schema()));
    loop {
        let next = tokio::select! {
            biased;
            () = watch.cancel.cancelled() => return Err(interrupted()),
            next = input.next() => next,
        };
        let Some(batch) = next else { break };
        let mut batch = batch.map_err(Error::from)?;
        fault::point("plan.batch.read");
        if let Some(schema) = shape {
            batch = shaped(batch, schema)?;
        }
        if batch.num_rows() == 0 {
            continue;
        }
        {
            let mut seen = watch.progress.lock();
            seen.rows += batch.num_rows() as u64;
            seen.bytes += batch.get_array_memory_size() as u64;
            if let Some(column) = observed {
                observe(&mut seen, batch.column(column))?;
            }
        }
        if let Some(sums) = &mut sums {
            sums.add(&batch)?;
        }
        unless_cancelled(watch, GRACE, load.write(batch))
            .await
            .map_err(|e| e.context(format!("writing to {}", staging.label())))?;
    }
    arrived(plan, watch.progress.lock().rows).map_err(|e| e.context(format!("verifying {}", staging.label())))?;
    if let Some(sums) = &sums {
        let verified = unless_cancelled(watch, GRACE, compare(&sums.sums(), load, staging, watch)).await;
        verified.map_err(|e| e.context(format!("verifying {}", staging.label())))?;
    }
    let counts = unless_cancelled(watch, GRACE, load.seal())
        .await
        .map_err(|e| e.context(format!("writing to {}", staging.label())))?;
    let rows = {
        let mut seen = watch.progress.lock();
        seen.counts = Some(counts);
        seen.rows
    };
    verify(rows, watch.expected_rows, &counts).map_err(|e| e.context(format!("verifying {}", staging.label())))?;
    match watch.cancel.is_cancelled() {
        true => Err(interrupted()),
        false => Ok(counts),
    }
}

/// The batch under the sink's schema, its NOT NULL columns checked.
fn shaped(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            let text = format!("field {}: a NULL, but the field is not nullable", field.name());
            return Err(Error::new(ErrorKind::Validation, text).with_hint(format!(
                "fill it with a source expression such as coalesce({}, …), or leave such rows out with `criteria`",
                field.name()
            )));
        }
    }
    RecordBatch::try_new(schema.clone(), batch.columns().to_vec())
        .map_err(|e| Error::new(ErrorKind::Pipeline, "a batch does not have the plan's types").with_source(e))
}

fn observe(seen: &mut Observed, column: &ArrayRef) -> Result<()> {
    seen.nulls += column.null_count() as u64;
    let wrong = |e| Error::new(ErrorKind::Pipeline, "the watermark cannot be compared").with_source(e);
    let order = SortOptions { descending: true, nulls_first: false };
    let greatest = sort_to_indices(column, Some(order), Some(1)).map_err(wrong)?;
    if greatest.is_empty() || column.is_null(greatest.value(0) as usize) {
        return Ok(());
    }
    let value = ScalarValue::try_from_array(column, greatest.value(0) as usize).map_err(Error::from)?;
    let greater = seen.greatest.as_ref().is_none_or(|g| value.partial_cmp(g) == Some(std::cmp::Ordering::Greater));
    if greater {
        seen.greatest = Some(value);
    }
    Ok(())
}
