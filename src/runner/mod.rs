//! Runs pipelines: one stream after the other or several at once, each extract → buffer → load, and says what it did.
//!
//! A run that is cancelled ([`RunOptions::cancel`]) starts no further stream, and rolls back what those that run have not
//! committed. A commit that has begun is waited for. A buffer that was committed stays, and `dxt load` goes on from it.
//!
//! What fails for a reason that may be gone a little later ([`crate::Error::is_transient`]) is tried again: from the
//! committed buffer where there is one, else from the start. A commit is never repeated, whatever became of it, and nothing
//! that comes after one.

mod result;
mod retry;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::buffer::{self, Buffer};
use crate::config;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::selector::{self, Selector};
use crate::model::{BufferFormat, Pipeline};
use crate::plan::sink::Progress;
use crate::plan::{Engine, Resources, RunInfo};

pub use result::{ErrorReport, RunResult, Status, StreamResult};

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// Extract, load, clean up.
    #[default]
    Run,
    /// Extract into the buffer and leave it.
    Extract,
    /// Load what is in the buffer; sources may be off.
    Load,
    /// Plan everything and change nothing.
    DryRun,
}

/// A part of a stream's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From the source into the buffer.
    Extract,
    /// From the buffer (or, without one, the source) into the target.
    Load,
}

impl Phase {
    /// The phase as logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Load => "load",
        }
    }
}

/// Is told how a run goes on. Called from the tasks of the streams: it must not block.
pub trait Observer: Send + Sync {
    /// A phase begins. `progress` is filled while it runs; `total` is the rows to come, where that is known.
    fn phase(&self, stream: &str, phase: Phase, progress: &Arc<Progress>, total: Option<u64>);
    /// A stream has ended.
    fn ended(&self, result: &StreamResult);
}

/// Tells nobody.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn phase(&self, _stream: &str, _phase: Phase, _progress: &Arc<Progress>, _total: Option<u64>) {}
    fn ended(&self, _result: &StreamResult) {}
}

/// How to run.
#[derive(Clone)]
pub struct RunOptions {
    /// What to do.
    pub action: Action,
    /// Streams at once, from 1.
    pub threads: usize,
    /// Whether the first failure keeps further streams from starting.
    pub fail_fast: bool,
    /// Only these streams.
    pub select: Option<Selector>,
    /// Not these.
    pub exclude: Option<Selector>,
    /// The kinds of connectors.
    pub registry: Registry,
    /// Is told how it goes on.
    pub observer: Arc<dyn Observer>,
    /// The buffer in the place of the pipeline's own: for buffers that live longer than a run, or of another kind.
    pub buffer: Option<Arc<dyn Buffer>>,
    /// Ends the run when it is cancelled, by a signal for example: soon, and with nothing half done.
    pub cancel: CancellationToken,
    /// Attempts after the first, in the place of what the pipeline says.
    pub retries: Option<u32>,
    /// The memory that the run may take, and where it spills.
    pub resources: Resources,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            action: Action::Run,
            threads: 1,
            fail_fast: false,
            select: None,
            exclude: None,
            registry: Registry::builtin(),
            observer: Arc::new(Silent),
            buffer: None,
            cancel: CancellationToken::new(),
            retries: None,
            resources: Resources::default(),
        }
    }
}

/// Everything that the streams of one run share.
pub(crate) struct Run<'a> {
    pipeline: &'a Pipeline,
    options: &'a RunOptions,
    engine: Arc<Engine>,
    buffer: Option<Arc<dyn Buffer>>,
    info: RunInfo,
}

/// Runs a pipeline. A stream that fails is in the result, with its error, and does not stop the others.
///
/// # Errors
/// Configuration: the pipeline does not hold together. Selector: nothing is selected. Nothing has been touched then.
pub async fn run(pipeline: &Pipeline, options: &RunOptions) -> Result<RunResult> {
    config::check(pipeline, &options.registry)?;
    let selected = selector::select(&pipeline.streams, options.select.as_ref(), options.exclude.as_ref())?;
    let one_half = matches!(options.action, Action::Extract | Action::Load);
    if one_half && options.buffer.is_none() && pipeline.buffer.format == BufferFormat::Memory {
        let error = Error::new(ErrorKind::Configuration, "the pipeline has `buffer: {format: memory}`");
        return Err(error.with_hint("such a buffer is gone with its process: use `dxt run`, or another format"));
    }
    let buffer = options.buffer.clone().or_else(|| buffer::open(&pipeline.buffer));
    if buffer.is_none() && one_half {
        let error = Error::new(ErrorKind::Configuration, "the pipeline has `buffer: {format: none}`");
        return Err(error.with_hint("extract and load need a buffer between them: use `dxt run`, or another format"));
    }
    let engine = Engine::new(&options.registry, &pipeline.connections, buffer.clone(), &pipeline.base_dir)?
        .with_resources(&options.resources)?;
    let info = RunInfo::new(&pipeline.name);
    let run = Run { pipeline, options, engine: Arc::new(engine), buffer, info };
    let started = Instant::now();
    let failed = AtomicBool::new(false);
    let mut results: Vec<(usize, StreamResult)> = futures::stream::iter(selected)
        .map(|index| {
            let (run, failed) = (&run, &failed);
            async move {
                let item = &pipeline.streams[index];
                let failed_before = options.fail_fast && failed.load(Ordering::Relaxed);
                if failed_before || options.cancel.is_cancelled() {
                    return (index, StreamResult::skipped(&item.id));
                }
                let result = stream::run(run, item).await;
                if result.status == Status::Failed {
                    failed.store(true, Ordering::Relaxed);
                }
                options.observer.ended(&result);
                (index, result)
            }
        })
        .buffer_unordered(options.threads.max(1))
        .collect()
        .await;
    run.engine.close().await;
    results.sort_by_key(|(index, _)| *index);
    Ok(RunResult {
        pipeline: pipeline.name.clone(),
        run_id: run.info.run_id,
        started_at: run.info.started_at,
        seconds: started.elapsed().as_secs_f64(),
        streams: results.into_iter().map(|(_, r)| r).collect(),
    })
}
