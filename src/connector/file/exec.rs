//! The plan node that reads files row by row: CSV, JSON lines and Arrow IPC.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as PlanResult, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use tokio::sync::mpsc::Sender;

use super::format::{Codec, Dialect};
use super::listing::SourceFile;
use super::store::Store;
use super::{csv, ipc, json};
use crate::error::{Error, Result};
use crate::model::{DxtField, DxtSchema};

/// How the bytes are read.
#[derive(Debug, Clone)]
pub enum Reader {
    Csv(Dialect),
    Json,
    Ipc,
}

/// What a scan reads.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The dataset for people.
    pub label: String,
    pub store: Store,
    pub files: Arc<Vec<(SourceFile, Codec)>>,
    pub reader: Reader,
    /// The columns wanted, in order.
    pub fields: Vec<DxtField>,
    /// About how many rows they have, and how large they are.
    pub known: Statistics,
    /// At most so many rows.
    pub limit: Option<usize>,
    /// Rows per batch at most.
    pub batch_size: usize,
}

impl Scan {
    async fn run(&self, out: &mut Output) -> Result<()> {
        for file in self.files.iter() {
            let more = match &self.reader {
                Reader::Csv(dialect) => csv::read::rows(&self.store, file, dialect, &self.fields, out).await?,
                Reader::Json => json::read::rows(&self.store, file, &self.fields, out).await?,
                Reader::Ipc => ipc::rows(&self.store, &file.0, &self.fields, out).await?,
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// Where decoded batches go.
pub struct Output {
    tx: Sender<PlanResult<RecordBatch>>,
    left: Option<usize>,
    batch_size: usize,
    metrics: BaselineMetrics,
}

impl Output {
    /// Rows per batch at most.
    pub fn batch_size(&self) -> usize {
        self.left.map_or(self.batch_size, |left| left.clamp(1, self.batch_size))
    }

    /// Hands a batch on. `false` where no more are wanted.
    pub async fn send(&mut self, batch: RecordBatch) -> bool {
        let rows = self.left.map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
        let batch = if rows < batch.num_rows() { batch.slice(0, rows) } else { batch };
        self.left = self.left.map(|left| left - rows);
        self.metrics.record_output(rows);
        self.tx.send(Ok(batch)).await.is_ok() && self.left != Some(0)
    }
}

/// Reads files one after another, decoding only the columns wanted. One partition; the rows keep the files' order.
#[derive(Debug)]
pub struct FileScanExec {
    scan: Scan,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FileScanExec {
    /// A scan that opens nothing until it is executed.
    pub fn new(scan: Scan) -> Self {
        let schema = DxtSchema::new(scan.fields.clone()).to_arrow();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { scan, schema, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for FileScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.scan.reader {
            Reader::Csv(_) => "csv",
            Reader::Json => "json",
            Reader::Ipc => "arrow",
        };
        let names: Vec<&str> = self.scan.fields.iter().map(|f| f.name.as_str()).collect();
        write!(f, "FileScanExec: {}, format={format}, files={}", self.scan.label, self.scan.files.len())?;
        write!(f, ", projection=[{}]", names.join(", "))?;
        match self.scan.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for FileScanExec {
    fn name(&self) -> &str {
        "FileScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), 2);
        let mut out = Output {
            tx: builder.tx(),
            left: self.scan.limit,
            batch_size: self.scan.batch_size,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let scan = self.scan.clone();
        builder.spawn(async move {
            if scan.limit == Some(0) {
                return Ok(());
            }
            let done = scan.run(&mut out).await;
            out.metrics.done();
            done.map_err(|e| external(e.context(format!("reading {}", scan.label))))
        });
        Ok(builder.build())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> PlanResult<Arc<Statistics>> {
        // There is one partition.
        Ok(Arc::new(self.scan.known.clone()))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// An error of dxt within DataFusion's, from which it can be taken again.
pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
