//! Buffers: what is extracted and not yet loaded.
//!
//! ```text
//! write ─▶ finalize (seal) ─▶ commit ─▶ read ─▶ cleanup
//!   └──────────┴─▶ rollback (abort, drop, kill)
//! ```
//!
//! A buffer is committed by its manifest, which is published last and at once: what has no manifest does not exist.
//! A committed buffer is loaded or not, by a marker beside its manifest. The newest one of a stream counts; older ones
//! that were never loaded are superseded.

mod manifest;
mod memory;
mod parquet;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;

use crate::connector::Load;
use crate::error::Result;
use crate::model::{BufferConfig, BufferFormat, DxtSchema};
use crate::plan::sink::Staging;

pub use manifest::{Header, Manifest, Part};
pub use memory::MemoryBuffer;
pub use parquet::ParquetBuffer;

/// Whose buffer: one extract of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BufferId {
    /// The pipeline's name.
    pub pipeline: String,
    /// The stream's id.
    pub stream: String,
    /// The run that extracted it; later runs sort behind earlier ones.
    pub run_id: String,
}

impl BufferId {
    /// The id of what `run_id` extracts.
    pub fn new(pipeline: &str, stream: &str, run_id: &str) -> Self {
        Self { pipeline: pipeline.into(), stream: stream.into(), run_id: run_id.into() }
    }
}

/// A committed buffer.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Whose it is.
    pub id: BufferId,
    /// What it holds.
    pub manifest: Manifest,
    /// Whether it has been loaded.
    pub loaded: bool,
}

/// A store of buffers.
#[async_trait]
pub trait Buffer: Debug + Send + Sync {
    /// Begins to write. Rows become a buffer when the [`Load`] commits: its seal finalizes the files, its abort rolls back.
    ///
    /// # Errors
    /// Buffer: the place cannot be written.
    async fn begin(&self, id: &BufferId, header: &Header) -> Result<Box<dyn Load>>;

    /// The committed buffers of a stream, the newest first.
    async fn committed(&self, pipeline: &str, stream: &str) -> Result<Vec<Committed>>;

    /// A committed buffer as a table.
    ///
    /// # Errors
    /// Buffer: a file of its manifest is missing or damaged.
    async fn read(&self, buffer: &Committed) -> Result<Arc<dyn TableProvider>>;

    /// Marks a buffer as loaded.
    async fn mark_loaded(&self, id: &BufferId) -> Result<()>;

    /// Removes a buffer, committed or not.
    async fn cleanup(&self, id: &BufferId) -> Result<()>;
}

/// The buffer that a pipeline asks for; `None` where it asks for none.
pub fn open(config: &BufferConfig) -> Option<Arc<dyn Buffer>> {
    match config.format {
        BufferFormat::Parquet => Some(Arc::new(ParquetBuffer::new(&config.location, config.compression))),
        BufferFormat::Memory => Some(Arc::new(MemoryBuffer::default())),
        BufferFormat::None => None,
    }
}

/// A buffer as the sink of an extract.
#[derive(Debug)]
pub struct BufferStaging {
    buffer: Option<Arc<dyn Buffer>>,
    id: BufferId,
    header: Header,
}

impl BufferStaging {
    /// Rows go into `buffer` under `id`.
    pub fn new(buffer: Arc<dyn Buffer>, id: BufferId, header: Header) -> Self {
        Self { buffer: Some(buffer), id, header }
    }

    /// The same for a plan that is only looked at.
    pub fn planned(id: BufferId, header: Header) -> Self {
        Self { buffer: None, id, header }
    }
}

#[async_trait]
impl Staging for BufferStaging {
    fn label(&self) -> String {
        format!("buffer.{}.{}", self.id.pipeline, self.id.stream)
    }

    fn schema(&self) -> &DxtSchema {
        &self.header.schema
    }

    fn describe(&self) -> String {
        "mode=append".into()
    }

    async fn begin(&self) -> Result<Box<dyn Load>> {
        match &self.buffer {
            Some(buffer) => buffer.begin(&self.id, &self.header).await,
            None => Err(crate::Error::new(crate::ErrorKind::Buffer, "this plan is for looking at only")),
        }
    }
}
