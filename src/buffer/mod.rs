//! Buffers: what is extracted and not yet loaded.
//!
//! ```text
//! lock ─▶ sweep ─▶ write ─▶ finalize (seal) ─▶ commit ─▶ read ─▶ loaded or cleaned up ─▶ unlock
//!                    └──────────┴─▶ rollback (abort, drop, kill)
//! ```
//!
//! # Layout
//!
//! ```text
//! <location>/<pipeline>/.<stream>.lock                     who runs
//! <location>/<pipeline>/<stream>/<run id>/part-00000.parquet …
//!                                         manifest.json     published last: the buffer is committed
//!                                         loaded            published after the load
//! ```
//!
//! The location is a local folder or a prefix of an object store; both have the same layout and protocol. Names are
//! those of folders on every system, and lead nowhere else.
//!
//! # Protocol and guarantees
//!
//! Each is shown by the tests named, in `tests/suite/buffers.rs` and, of manifest and fingerprint, beside the code.
//!
//! - **Committed is what has a manifest.** It is published in one step after all parts are safe: on the local disk parts and
//!   folders are synced, the manifest is written aside, synced and renamed; in an object store it is one conditional put.
//!   An extract that fails leaves nothing (`an_extract_that_fails_leaves_no_folder`), also on S3
//!   (`a_buffer_on_s3_goes_through_the_same_protocol`).
//! - **The manifest says all that a load needs**: fields, source, fingerprint, rows, bytes and checksum of each part, the
//!   watermark from and to (`a_manifest_says_what_the_buffer_holds`), and no secret (`no_secret_is_in_a_fingerprint`).
//! - **Rows are those that were written.** Before a row is read, each part's size and then its BLAKE3 hash are compared with
//!   the manifest's; a part that is missing, damaged or not of the buffer is an error that names the file
//!   (`a_damaged_part_is_an_error_that_names_the_file`). So is a manifest that is cut or does not fit
//!   (`a_damaged_manifest_is_an_error_that_names_the_file`,
//!   `parts_outside_of_the_folder_and_counts_that_do_not_fit_are_refused`); what is no file at all is one too
//!   (`a_pipe_in_the_place_of_a_file_is_an_error_and_no_hang`).
//! - **The newest counts.** It is the one that was committed last
//!   (`the_buffer_that_is_committed_last_is_the_newest_whatever_its_run_is_called`). A load takes the newest committed buffer of a stream that is not loaded; older ones are superseded
//!   and are loaded by their run's id (`an_older_buffer_is_loaded_by_its_run_id`). One that is loaded is not loaded again
//!   (`a_loaded_buffer_is_not_loaded_again`). The source may be off (`a_load_needs_no_source`).
//! - **A changed pipeline does not load an old buffer**: its [`Fingerprint`] differs, and the error says in what
//!   (`a_changed_pipeline_does_not_load_an_old_buffer`).
//! - **One run at a time for each stream.** Its lock is held from the run's start to its end; a second run waits
//!   (`a_second_run_waits_for_the_first`) or fails at once (`a_second_run_fails_at_once_where_it_is_asked_to`), and says who
//!   has it. A run that is killed lets go of it (`a_killed_run_lets_go_of_its_lock`): at once on the local disk, within three
//!   minutes in an object store (`a_stale_lock_on_s3_is_taken_over`).
//! - **What is not committed goes** at the next extract of its stream after a grace time
//!   (`what_has_no_manifest_is_swept_after_the_grace_time`); what a live run writes is safe by its lock.
//! - **Nothing is written or removed outside of the location**: no symbolic link below it is followed
//!   (`symbolic_links_in_buffer_folders_are_not_followed`), no name leads out of it
//!   (`names_that_lead_elsewhere_are_refused`, `a_buffer_in_code_takes_no_name_that_leads_elsewhere`).
//!
//! # Limits
//!
//! - A lock of an object store depends on clocks: hosts that differ by more than two minutes must not share a location. A
//!   run that finds its lock taken over stops before it loads.
//! - What a killed run has sent of an unfinished upload is not seen by listings: let the bucket's rules expire such parts.
//! - The newest buffer is the one that was committed last by the clock of its host.
//! - A folder that is made a link between dxt's look at it and its use is followed: who may write to the location is trusted.
//! - `format: none` and `format: memory` have no files and take no locks.

mod fingerprint;
mod lock;
mod manifest;
mod memory;
mod parquet;
mod store;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;

use crate::connector::Load;
use crate::error::{Error, Result};
use crate::model::{BufferConfig, BufferFormat, ConnectionConfig, DxtSchema, LockMode};
use crate::plan::sink::{Progress, Staging};

pub use fingerprint::Fingerprint;
pub use lock::Holder;
pub use manifest::{Header, Manifest, Part};
pub use memory::MemoryBuffer;
pub use parquet::ParquetBuffer;
pub use store::Guard;

/// Whose buffer: one extract of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BufferId {
    /// The pipeline's name.
    pub pipeline: String,
    /// The stream's id.
    pub stream: String,
    /// The run that extracted it.
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

impl Committed {
    /// What orders buffers of one stream: the greater was committed later. A run's id does not tell, as runs that wait
    /// for a lock get it in any order.
    pub fn age(&self) -> (DateTime<Utc>, &str) {
        (self.manifest.created_at, &self.id.run_id)
    }
}

/// What has become of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no manifest: a run writes it, or was killed while it did.
    Uncommitted,
    /// It is the newest, and not loaded.
    Committed,
    /// It was never loaded, and a newer one is committed.
    Superseded,
    /// It has been loaded.
    Loaded,
    /// Its manifest cannot be read.
    Damaged,
}

impl State {
    /// The state as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uncommitted => "uncommitted",
            Self::Committed => "committed",
            Self::Superseded => "superseded",
            Self::Loaded => "loaded",
            Self::Damaged => "damaged",
        }
    }
}

/// One folder of a stream: a buffer, or what is left of one.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose it is.
    pub id: BufferId,
    /// What has become of it.
    pub state: State,
    /// What it holds, where it is committed.
    pub manifest: Option<Manifest>,
    /// Why its manifest cannot be read.
    pub problem: Option<Error>,
    /// The size of all its files.
    pub bytes: u64,
    /// When something of it was last written.
    pub changed: Option<DateTime<Utc>>,
}

/// A store of buffers.
#[async_trait]
pub trait Buffer: Debug + Send + Sync {
    /// Begins to write. Rows become a buffer when the [`Load`] commits: its seal finalizes the files, its abort rolls back.
    /// `progress` is that of the extract; the greatest watermark that it has seen by then is the buffer's.
    ///
    /// # Errors
    /// Buffer: the place cannot be written.
    async fn begin(&self, id: &BufferId, header: &Header, progress: &Arc<Progress>) -> Result<Box<dyn Load>>;

    /// The pipelines and their streams that have, or have had, buffers here, in order of name. Who cannot tell lists none.
    ///
    /// # Errors
    /// Buffer: the place cannot be listed.
    async fn streams(&self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    /// The committed buffers of a stream, the newest first.
    ///
    /// # Errors
    /// Buffer: the place cannot be listed, or a manifest cannot be read.
    async fn committed(&self, pipeline: &str, stream: &str) -> Result<Vec<Committed>>;

    /// One committed buffer; `None` where it is not there or not committed.
    ///
    /// # Errors
    /// Buffer: its manifest cannot be read.
    async fn find(&self, id: &BufferId) -> Result<Option<Committed>> {
        Ok(self.committed(&id.pipeline, &id.stream).await?.into_iter().find(|c| c.id == *id))
    }

    /// A committed buffer as a table.
    ///
    /// # Errors
    /// Buffer: a file of its manifest is missing or damaged.
    async fn read(&self, buffer: &Committed) -> Result<Arc<dyn TableProvider>>;

    /// Marks a buffer as loaded.
    async fn mark_loaded(&self, id: &BufferId) -> Result<()>;

    /// Removes a buffer, committed or not.
    async fn cleanup(&self, id: &BufferId) -> Result<()>;

    /// Removes what is not committed and has not changed for `grace`, and says what it was. Who calls it holds the
    /// stream's lock.
    ///
    /// # Errors
    /// Buffer: something cannot be removed.
    async fn sweep(&self, _pipeline: &str, _stream: &str, _grace: Duration) -> Result<Vec<BufferId>> {
        Ok(Vec::new())
    }

    /// Takes a stream for one run, until the guard goes. `None` where nothing can be shared with another process.
    ///
    /// # Errors
    /// Buffer: another run has it and the mode is not to wait, or the place cannot be written.
    async fn lock(
        &self,
        _pipeline: &str,
        _stream: &str,
        _holder: &Holder,
        _mode: LockMode,
    ) -> Result<Option<Box<dyn Guard>>> {
        Ok(None)
    }

    /// Whether buffers outlive their process, so that a load of one may be repeated.
    fn outlives(&self) -> bool {
        true
    }
}

/// The buffer that a pipeline asks for; `None` where it asks for none. `connections` are those that it may name.
///
/// # Errors
/// Configuration: its connection is not there or cannot hold a buffer, or its URL is wrong.
pub fn open(config: &BufferConfig, connections: &[ConnectionConfig]) -> Result<Option<Arc<dyn Buffer>>> {
    Ok(match config.format {
        BufferFormat::Parquet => Some(Arc::new(ParquetBuffer::open(config, connections)?)),
        BufferFormat::Memory => Some(Arc::new(MemoryBuffer::default())),
        BufferFormat::None => None,
    })
}

/// A buffer as the sink of an extract.
#[derive(Debug)]
pub struct BufferStaging {
    buffer: Option<Arc<dyn Buffer>>,
    id: BufferId,
    header: Header,
    progress: Arc<Progress>,
}

impl BufferStaging {
    /// Rows go into `buffer` under `id`; `progress` is that of the plan.
    pub fn new(buffer: Arc<dyn Buffer>, id: BufferId, header: Header, progress: Arc<Progress>) -> Self {
        Self { buffer: Some(buffer), id, header, progress }
    }

    /// The same for a plan that is only looked at.
    pub fn planned(id: BufferId, header: Header) -> Self {
        Self { buffer: None, id, header, progress: Arc::default() }
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
            Some(buffer) => buffer.begin(&self.id, &self.header, &self.progress).await,
            None => Err(crate::Error::new(crate::ErrorKind::Buffer, "this plan is for looking at only")),
        }
    }
}
