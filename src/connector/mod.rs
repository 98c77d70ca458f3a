//! The contract of connectors, the registry, and one folder per system.
//!
//! A connector is reached by [`Connector`]; reading gives an [`Extractor`], which is a table provider with a DXT schema
//! beside it; writing gives a [`Loader`], whose [`Load`] stages rows and then commits or aborts. What a system can do is
//! asked of its [`Capabilities`], never of its name.
//!
//! To add a system: one folder with `mod.rs`, `source.rs`, `sink.rs`, `types.rs`, and one line in [`Registry::builtin`].

mod capability;
mod connectorx;
pub mod file;
pub mod mysql;
pub mod postgres;
mod registry;
pub mod sql;
pub mod sqlite;
mod types;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::ExecutionPlan;
use futures::stream::BoxStream;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType, LoadMode, Options, RelationName};
use crate::plan::checksum::Sums;

pub use capability::{Addressing, Capabilities};
pub use registry::{Factory, Make, Registry};
pub use types::DxtTypes;

/// A named system that is configured and can be reached. Making one connects to nothing.
#[async_trait]
pub trait Connector: Debug + Send + Sync {
    /// The connection's name.
    fn name(&self) -> &str;

    /// What the system can do.
    fn capabilities(&self) -> &Capabilities;

    /// Its types; by default DXT's own, by their names.
    fn types(&self) -> &dyn TypeMapper {
        &types::DxtTypes
    }

    /// Connects, and says what answered.
    ///
    /// # Errors
    /// Connection: it cannot be reached, or refuses the login.
    async fn test(&self) -> Result<ServerInfo>;

    /// Whether [`Connector::list`] can tell what there is.
    fn lists(&self) -> bool {
        true
    }

    /// The relations (or files) that can be read, in order of name. A system that cannot tell lists none.
    async fn list(&self) -> Result<Vec<RelationInfo>> {
        Ok(Vec::new())
    }

    /// Checks a source's options before anything is connected to.
    ///
    /// # Errors
    /// Configuration: an option that does not exist, or a value that is none.
    fn check_source(&self, options: &Options) -> Result<()> {
        let _ = options;
        Ok(())
    }

    /// Checks a target's options, and those of its load, before anything is connected to.
    ///
    /// # Errors
    /// Configuration: an option that does not exist, or a value that is none.
    fn check_target(&self, options: &Options, load: &Options) -> Result<()> {
        let _ = (options, load);
        Ok(())
    }

    /// Looks at a dataset and makes it a table provider. Reads metadata only (a CSV's types need its text).
    ///
    /// # Errors
    /// Schema: there is no such dataset. Extractor: it cannot be read. Type mapping: a column has no type of dxt.
    async fn extractor(&self, request: &ExtractRequest) -> Result<Arc<dyn Extractor>>;

    /// Ends what it holds open between the streams of a run, and waits for what is ending. Called once, after the last.
    async fn close(&self) {}

    /// Looks at a target, which need not exist yet.
    ///
    /// # Errors
    /// Loader: nothing can be written there.
    async fn loader(&self, dataset: &Dataset, options: &Options) -> Result<Arc<dyn Loader>> {
        let _ = options;
        let text = format!("{}.{dataset}: this connector only reads", self.name());
        Err(Error::new(ErrorKind::Connector, text).with_hint("name another connection as the target"))
    }
}

/// What answered a test.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// The product and its version, such as `PostgreSQL 15.18`.
    pub version: String,
    /// Where it is, without secrets.
    pub location: String,
}

/// One relation of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationInfo {
    /// Its dataset, as an extract would name it.
    pub dataset: Dataset,
    /// `table`, `view`, `file` and the like.
    pub kind: String,
}

/// What is read or written within a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dataset {
    /// A table or view.
    Relation(RelationName),
    /// A query in the system's own SQL.
    Sql(String),
    /// A file, a glob or a folder (with a `/` at its end), relative to the connection.
    Path(String),
}

impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Relation(name) => write!(f, "{name}"),
            Self::Sql(_) => f.write_str("SQL"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// What an extract asks of a source.
#[derive(Debug, Clone)]
pub struct ExtractRequest {
    /// What to read.
    pub dataset: Dataset,
    /// The source's options.
    pub options: Options,
    /// Types that the pipeline declares for columns of the source, by column name. A source whose own types are
    /// loose (CSV, SQLite) takes them in the place of its own; others leave them to dxt's strict cast.
    pub declared: Vec<(String, DxtType)>,
    /// Parts to read at once, where the source can.
    pub partitions: Option<usize>,
    /// The column whose ranges are the parts, where the source cannot choose.
    pub partition_field: Option<String>,
    /// Rows per batch at most.
    pub batch_size: usize,
}

impl ExtractRequest {
    /// A request for all of `dataset`, with defaults.
    pub fn new(dataset: Dataset) -> Self {
        Self {
            dataset,
            options: Options::new(),
            declared: Vec::new(),
            partitions: None,
            partition_field: None,
            batch_size: 65_536,
        }
    }
}

/// A source that has been looked at.
pub trait Extractor: Debug + Send + Sync {
    /// Its columns. In the order and with the Arrow types ([`DxtType::to_arrow`]) of the provider.
    fn schema(&self) -> &DxtSchema;

    /// The source as a table. It pushes down projection, filters and limit where they mean the same there. A scan that
    /// ends without the source's end marker is an error.
    fn provider(&self) -> Arc<dyn TableProvider>;
}

/// Any table provider as an extractor; its columns are those of the provider.
#[derive(Debug)]
pub struct TableExtractor {
    schema: DxtSchema,
    provider: Arc<dyn TableProvider>,
}

impl TableExtractor {
    /// An extractor over `provider`.
    ///
    /// # Errors
    /// Type mapping: a column has no type of dxt.
    pub fn new(provider: Arc<dyn TableProvider>) -> Result<Self> {
        Ok(Self { schema: DxtSchema::from_arrow(&provider.schema())?, provider })
    }
}

impl Extractor for TableExtractor {
    fn schema(&self) -> &DxtSchema {
        &self.schema
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }
}

/// A target that has been looked at.
#[async_trait]
pub trait Loader: Debug + Send + Sync {
    /// The target's name for people, with its connection: `warehouse.orders`.
    fn target(&self) -> String;

    /// The target's columns as they were when it was looked at; `None` where it does not exist.
    fn existing(&self) -> Option<&DxtSchema>;

    /// Whether the target keeps types. One that does not (text files) takes every field as it is, and only the names
    /// of its columns have to fit.
    fn keeps_types(&self) -> bool {
        true
    }

    /// How the target will hold `field` where it is created: name, type and native type as they come back when it is
    /// read. `declared` is the native type that the pipeline asks for.
    ///
    /// # Errors
    /// Type mapping: the target cannot hold it.
    fn stored(&self, field: &DxtField, declared: Option<&str>) -> Result<DxtField>;

    /// How a load brings `field` into `column`, which the target has: the column, in another type where it takes values
    /// of `field` that its own type in dxt does not hold.
    ///
    /// # Errors
    /// Schema: the column would change values of `field` without a word.
    fn takes(&self, field: &DxtField, column: &DxtField) -> Result<DxtField> {
        let _ = field;
        Ok(column.clone())
    }

    /// Checks what cannot wait for the load: that this target takes this load at all.
    ///
    /// # Errors
    /// Loader or schema, with the way out.
    fn check(&self, spec: &LoadSpec) -> Result<()>;

    /// The statements of the load for people, in order: DDL and DML that `begin` to `commit` will send.
    fn statements(&self, spec: &LoadSpec) -> Vec<String>;

    /// Whether the target has at least one row now.
    async fn has_rows(&self) -> Result<bool>;

    /// Whether [`Loader::watermark`] could answer for a column that is not there yet, as [`Loader::stored`] gave it.
    ///
    /// # Errors
    /// Type mapping: the column will have no order that dxt follows. Found now, and not by the second run.
    fn follows(&self, _stored: &DxtField) -> Result<()> {
        Ok(())
    }

    /// The greatest value of a column, in the column's own type; `None` where there is none.
    async fn watermark(&self, column: &str) -> Result<Option<ScalarValue>>;

    /// Whether [`Load::staged`] gives the rows of this load back.
    fn rereads(&self, _spec: &LoadSpec) -> bool {
        false
    }

    /// The table that nobody can read while this load is in flight, where it locks readers out. A stream without a
    /// buffer that reads it would wait for itself.
    fn locks_out(&self, _spec: &LoadSpec) -> Option<String> {
        None
    }

    /// A shorter way for rows that come from a system of the same kind and are to be stored just as they are: asked
    /// with the physical plan that feeds the load. What it gives must bring the same rows, and refuse the same ones.
    fn relay(&self, _spec: &LoadSpec, _input: &Arc<dyn ExecutionPlan>) -> Option<Relay> {
        None
    }

    /// Begins a load. Nothing of it is seen by others before it commits.
    async fn begin(&self, spec: &LoadSpec) -> Result<Box<dyn Load>>;
}

/// A plan whose batches are in a form that only one loader understands, one row for each row of the load.
#[derive(Debug, Clone)]
pub struct Relay {
    /// The plan.
    pub input: Arc<dyn ExecutionPlan>,
    /// The same target, for batches of that plan.
    pub loader: Arc<dyn Loader>,
}

/// What a load is to do.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// Append, replace or upsert.
    pub mode: LoadMode,
    /// The columns of the batches that come, in order, named and typed as the target holds them.
    pub schema: DxtSchema,
    /// Target columns that name a row: of an upsert, and of a replace where it is told; the primary key of a target that
    /// is created.
    pub keys: Vec<String>,
    /// The target column whose greatest value wins among rows of one key.
    pub watermark: Option<String>,
    /// What the extract took as the watermark. The load asks again inside of its transaction, and aborts where it
    /// has moved. `None`: nothing to compare; `Some(None)`: the target had none.
    pub expected_watermark: Option<Option<ScalarValue>>,
    /// Whether the load was allowed only because the target had no rows: then it aborts where it has some by now.
    pub expect_empty: bool,
    /// The entry in the target's ledger that this load makes, or finds. The capability `ledger` says who can.
    pub once: Option<Once>,
    /// Whether [`Load::staged`] will be asked.
    pub reread: bool,
    /// The run's id, for the names of what is staged.
    pub run_id: String,
    /// The loader's options.
    pub options: Options,
}

/// The table of a target, beside the target itself, that keeps the ids of loads: what has an entry there is not loaded
/// again. The entry is written in the transaction of the rows.
pub const LEDGER: &str = "dxt_loads";

/// The rows of one extract, as a target's ledger knows them; the target's own name completes the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The pipeline's name.
    pub pipeline: String,
    /// The stream's id.
    pub stream: String,
    /// The run that extracted them: the buffer's, not that of the load.
    pub run_id: String,
    /// Whether the pipeline asks for it: then a ledger that cannot be used is an error, and else a warning.
    pub required: bool,
}

impl Once {
    /// What a ledger that cannot be used means, and the way out: an error where it was asked for, else a warning.
    pub(crate) fn unguarded(&self, target: &str, why: &str, grant: &str) -> Result<()> {
        let way = format!("{grant}, or write `load: {{once: false}}`");
        if self.required {
            let what = format!("load.once: the ledger {LEDGER} of {target} cannot be used: {why}");
            return Err(Error::new(ErrorKind::Loader, what).with_hint(way));
        }
        tracing::warn!(
            target_table = target,
            "the load is not guarded against being repeated, as the ledger {LEDGER} cannot be used: {why}; to end this \
             warning: {way}"
        );
        Ok(())
    }
}

/// Rows that a load gives back.
pub type StagedRows<'a> = BoxStream<'a, Result<RecordBatch>>;

/// The error of a load for which [`LoadSpec::expect_empty`] does not hold any more.
pub(crate) fn filled_meanwhile() -> Error {
    Error::new(ErrorKind::Loader, "another load has filled the target since this one was planned, and would be doubled")
        .with_hint("run it again with `load: {mode: append}`, replace or upsert, whichever is meant")
}

/// What a load has staged. `staged = inserted + updated + unchanged + dropped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LoadCounts {
    /// Rows that came.
    pub staged: u64,
    /// Rows new to the target.
    pub inserted: u64,
    /// Rows that had another value.
    pub updated: u64,
    /// Rows that were there just so.
    pub unchanged: u64,
    /// Rows of a key that another row of this load has won by its watermark.
    pub dropped: u64,
    /// Rows of the target that a replace deleted. One that empties the target as a whole (TRUNCATE, another table or
    /// file in its place) does not count them.
    pub deleted: u64,
    /// Bytes written, where the target can tell.
    pub bytes: u64,
}

/// One load in flight: write…, seal, then commit or abort. Dropping it without a commit leaves the target as it was.
#[async_trait]
pub trait Load: Send {
    /// Stages a batch of exactly the load's schema.
    async fn write(&mut self, batch: RecordBatch) -> Result<()>;

    /// Whether the target's ledger has the entry of [`LoadSpec::once`] already. Asked after `begin`; such a load is
    /// aborted, and has nothing to write.
    fn already_loaded(&self) -> bool {
        false
    }

    /// Gives back what this load has staged, with the load's columns, as the target holds it now: what a type, a trigger
    /// or a rule of it has made of the rows. Of rows that are merged by a key, as they are before the merge. Asked once,
    /// when all is written and before `seal`, and only of a load with [`LoadSpec::reread`]. `None`: it cannot.
    async fn staged(&mut self) -> Result<Option<StagedRows<'_>>> {
        Ok(None)
    }

    /// Takes the checksums of what was written, when all is: a buffer keeps them with its rows.
    fn summed(&mut self, sums: &Sums) {
        let _ = sums;
    }

    /// Ends the writing: all is staged and checked, the counts are known, nothing is visible yet.
    async fn seal(&mut self) -> Result<LoadCounts>;

    /// Makes it visible, all at once. Called once, after `seal`.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// Leaves the target as it was.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// Remote type ⇄ DXT type, with what a target needs for DDL.
// The pair of names says which way a type goes; a mapper is a value, so both take it.
#[allow(clippy::wrong_self_convention)]
pub trait TypeMapper: Debug + Send + Sync {
    /// Whether values of a native type that is [`DxtType::String`] here are text by nature, and not numbers or the like
    /// that are only carried as text.
    fn is_text(&self, native: &str) -> bool {
        let _ = native;
        true
    }

    /// The DXT type of a native type's spelling.
    ///
    /// # Errors
    /// Type mapping: dxt does not carry it.
    fn from_native(&self, native: &str) -> Result<DxtType>;

    /// The native type in which the system holds a field: its own native type where it has one of this system.
    ///
    /// # Errors
    /// Type mapping: the system has no type for it.
    fn to_native(&self, field: &DxtField) -> Result<String>;
}
