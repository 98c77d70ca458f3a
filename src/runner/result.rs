//! What a run did, for people and programs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::model::Pipeline;
use crate::plan::RunInfo;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All of it is done.
    Succeeded,
    /// It failed; the target is as it was.
    Failed,
    /// The run was interrupted before it was committed; the target is as it was.
    Interrupted,
    /// It was not started, because another had failed or the run was interrupted.
    Skipped,
    /// It was planned only.
    Planned,
}

impl Status {
    /// The status as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
            Self::Planned => "planned",
        }
    }
}

/// An error in a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The kind, as [`crate::ErrorKind::as_str`] gives it.
    pub kind: String,
    /// What was being done, and what happened.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
    /// The whole text for people, causes included.
    pub report: String,
}

impl From<&Error> for ErrorReport {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind().as_str().into(),
            message: error.to_string(),
            hint: error.hint().map(str::to_string),
            report: error.report(),
        }
    }
}

/// What one stream did. Counts are of rows that were committed, or staged up to an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamResult {
    /// The stream's id.
    pub stream: String,
    /// How it ended.
    pub status: Status,
    /// Rows that came from the source.
    pub rows_read: u64,
    /// Rows in the buffer.
    pub rows_buffered: u64,
    /// Rows staged in the target before it committed.
    #[serde(default)]
    pub rows_staged: u64,
    /// Rows new to the target.
    pub rows_written: u64,
    /// Rows of the target that got another value.
    pub rows_updated: u64,
    /// Rows that were in the target just so.
    pub rows_unchanged: u64,
    /// Rows that lost against another row of the same key.
    pub rows_dropped: u64,
    /// Rows of the target that a replace deleted, where it does so row by row.
    #[serde(default)]
    pub rows_deleted: u64,
    /// Whether the target's ledger had these rows already, so that nothing was done.
    #[serde(default)]
    pub already_loaded: bool,
    /// Rows whose watermark is NULL, of an incremental extract.
    pub rows_null_watermark: u64,
    /// Bytes in the buffer, or written to the target where there is no buffer.
    pub bytes: u64,
    /// Wall time of the extract, in seconds; without a buffer all of it is the load's.
    pub extract_seconds: f64,
    /// Wall time of the load, in seconds.
    pub load_seconds: f64,
    /// The target's greatest value before the run.
    pub watermark_from: Option<String>,
    /// The greatest value that was extracted.
    pub watermark_to: Option<String>,
    /// How often it was tried; 0 where it was not started.
    #[serde(default)]
    pub attempts: u32,
    /// Why each attempt but the last one failed, in their order.
    #[serde(default)]
    pub retried: Vec<String>,
    /// Why it failed.
    pub error: Option<ErrorReport>,
}

impl StreamResult {
    pub(super) fn new(stream: &str, status: Status) -> Self {
        Self {
            stream: stream.into(),
            status,
            rows_read: 0,
            rows_buffered: 0,
            rows_staged: 0,
            rows_written: 0,
            rows_updated: 0,
            rows_unchanged: 0,
            rows_dropped: 0,
            rows_deleted: 0,
            already_loaded: false,
            rows_null_watermark: 0,
            bytes: 0,
            extract_seconds: 0.0,
            load_seconds: 0.0,
            watermark_from: None,
            watermark_to: None,
            attempts: 1,
            retried: Vec::new(),
            error: None,
        }
    }

    pub(super) fn skipped(stream: &str) -> Self {
        Self { attempts: 0, ..Self::new(stream, Status::Skipped) }
    }

    /// What is left of it where the stream begins anew.
    pub(super) fn renewed(&self) -> Self {
        let (attempts, retried) = (self.attempts, self.retried.clone());
        Self { attempts, retried, ..Self::new(&self.stream, Status::Succeeded) }
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's id.
    pub run_id: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Wall time in seconds.
    pub seconds: f64,
    /// The streams in the order of the pipeline.
    pub streams: Vec<StreamResult>,
}

impl RunResult {
    /// The result of a pipeline that was not started.
    pub fn skipped(pipeline: &Pipeline) -> Self {
        Self::of(pipeline, StreamResult::skipped)
    }

    /// The result of a pipeline that failed as a whole, before its first stream.
    pub fn failed(pipeline: &Pipeline, error: &Error) -> Self {
        let status = if error.kind() == ErrorKind::Interrupted { Status::Interrupted } else { Status::Failed };
        Self::of(pipeline, |stream| StreamResult { error: Some(error.into()), ..StreamResult::new(stream, status) })
    }

    fn of(pipeline: &Pipeline, stream: impl Fn(&str) -> StreamResult) -> Self {
        let info = RunInfo::new(pipeline);
        Self {
            pipeline: info.pipeline,
            run_id: info.run_id,
            started_at: info.started_at,
            seconds: 0.0,
            streams: pipeline.streams.iter().map(|item| stream(&item.id)).collect(),
        }
    }

    /// Whether every stream did all of its work.
    pub fn succeeded(&self) -> bool {
        self.streams.iter().all(|s| matches!(s.status, Status::Succeeded | Status::Planned))
    }

    /// The result of one stream.
    pub fn stream(&self, id: &str) -> Option<&StreamResult> {
        self.streams.iter().find(|s| s.stream == id)
    }
}
