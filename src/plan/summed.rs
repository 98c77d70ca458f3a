//! A table whose rows are summed on their way out: what came out of a buffer is compared with what went in.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::checksum::{Checksums, Sums};
use crate::error::{Error, ErrorKind, Result};
use crate::model::DxtSchema;

/// What has come out of a buffer so far, and what went in.
#[derive(Debug)]
pub struct Tally {
    expected: Sums,
    /// `None` until the table is read.
    found: Mutex<Option<Checksums>>,
}

impl Tally {
    /// Compares, once all is read.
    ///
    /// # Errors
    /// Validation: a value is not what it was, or was not read; the error names the columns.
    pub fn verify(&self) -> Result<()> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let differ = match found.as_ref() {
            Some(found) => self.expected.difference(&found.sums()),
            None => Some("nothing was read".into()),
        };
        match differ {
            None => Ok(()),
            Some(what) => Err(differs("what went into the buffer and what came out of it", &what)),
        }
    }
}

/// The error of checksums that are not the same.
pub(super) fn differs(between: &str, what: &str) -> Error {
    Error::new(ErrorKind::Validation, format!("the checksums of {between} differ: {what}"))
}

/// A table over another one, with a tally.
#[derive(Debug)]
pub struct SummedTable {
    inner: Arc<dyn TableProvider>,
    schema: DxtSchema,
    tally: Arc<Tally>,
}

impl SummedTable {
    /// Sums the rows of `inner`, whose columns are those of `schema`, to be compared with `expected`.
    pub fn new(inner: Arc<dyn TableProvider>, schema: DxtSchema, expected: Sums) -> (Self, Arc<Tally>) {
        let tally = Arc::new(Tally { expected, found: Mutex::new(None) });
        (Self { inner, schema, tally: tally.clone() }, tally)
    }
}

#[async_trait]
impl TableProvider for SummedTable {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = self.inner.scan(state, projection, filters, limit).await?;
        let read = input.schema();
        let fields = self.schema.fields.iter().filter(|f| read.index_of(&f.name).is_ok()).cloned().collect();
        Ok(Arc::new(SumExec { input, fields: DxtSchema::new(fields), tally: self.tally.clone() }))
    }
}

/// Lets all through and sums it.
#[derive(Debug)]
struct SumExec {
    input: Arc<dyn ExecutionPlan>,
    fields: DxtSchema,
    tally: Arc<Tally>,
}

impl DisplayAs for SumExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SumExec")
    }
}

impl ExecutionPlan for SumExec {
    fn name(&self) -> &str {
        "SumExec"
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
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, fields: self.fields.clone(), tally: self.tally.clone() })),
            _ => Err(DataFusionError::Internal("SumExec has one child".into())),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, tally, fields) = (input.schema(), self.tally.clone(), self.fields.clone());
        tally.found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Checksums::new(&fields));
        let summed = input.map(move |batch| {
            let batch = batch?;
            if let Some(found) = tally.found.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                found.add(&batch)?;
            }
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, summed)))
    }
}
