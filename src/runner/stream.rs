//! One stream: plan, extract, load, clean up.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt};
use tracing::Instrument;

use super::{Action, Phase, Run, Status, StreamResult, retry};
use crate::buffer::{Buffer, BufferId, BufferStaging, Committed, Fingerprint, Header};
use crate::connector::{Loader, Once, filled_meanwhile};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::{ExtractMode, Stream, Verify};
use crate::plan::sink::{Observed, SummedTable, Tally, Watch, interrupted};
use crate::plan::stream::{self as plans, ExtractPlan, LoadPlan};
use crate::plan::{once, physical_plan, watermark};

/// Runs a stream; its error, a panic included, is in the result.
pub(super) async fn run(run: &Run<'_>, stream: &Stream) -> StreamResult {
    let span = tracing::info_span!(
        "stream",
        pipeline = run.pipeline.name,
        stream = stream.id,
        run_id = run.info.run_id,
        phase = tracing::field::Empty
    );
    let mut result = StreamResult::new(&stream.id, Status::Succeeded);
    let work = Work { run, stream, committed: AtomicBool::new(false) };
    let all = work.attempts(&mut result).instrument(span.clone());
    let ended = match std::panic::AssertUnwindSafe(all).catch_unwind().await {
        Ok(ended) => ended,
        Err(_) => Err(Error::new(ErrorKind::Pipeline, "a bug in dxt: the stream's task panicked")
            .with_hint("look whether its rows have arrived, and please report it with the pipeline and --verbose")),
    };
    let _entered = span.enter();
    match ended {
        Ok(()) => tracing::info!(
            rows = result.rows_read,
            written = result.rows_written,
            updated = result.rows_updated,
            bytes = result.bytes,
            "stream done"
        ),
        Err(error) => {
            let error = error.context(format!("stream {}", stream.id));
            let interrupted = error.kind() == ErrorKind::Interrupted;
            tracing::error!(kind = error.kind().as_str(), error = %error, hint = error.hint(), "stream failed");
            result.status = if interrupted { Status::Interrupted } else { Status::Failed };
            result.error = Some((&error).into());
        }
    }
    result
}

struct Work<'a> {
    run: &'a Run<'a>,
    stream: &'a Stream,
    /// Whether something of it is committed, its buffer or its load: from then on it does not begin anew.
    committed: AtomicBool,
}

impl Work<'_> {
    /// All of it, again where it failed before anything was committed and a repeat may help.
    async fn attempts(&self, result: &mut StreamResult) -> Result<()> {
        loop {
            match self.all(result).await {
                Err(error) if !self.committed.load(Ordering::Relaxed) => {
                    self.another(result, error).await?;
                    *result = result.renewed();
                }
                ended => return ended,
            }
        }
    }

    async fn another(&self, result: &mut StreamResult, error: Error) -> Result<()> {
        let mut config = self.stream.retry;
        config.retries = self.run.options.retries.unwrap_or(config.retries);
        retry::another(&config, &self.run.options.cancel, result, error).await
    }

    /// Does what commits nothing; where the run is cancelled it is dropped at once.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.run.options.cancel.cancelled() => Err(interrupted()),
            done = work => done,
        }
    }

    async fn all(&self, result: &mut StreamResult) -> Result<()> {
        match (self.run.options.action, &self.run.buffer) {
            (Action::Load, Some(buffer)) => self.load_only(buffer, result).await,
            (Action::Extract, Some(buffer)) => self.extract_only(buffer, result).await,
            (_, buffer) => self.both(buffer.as_ref(), result).await,
        }
    }

    async fn both(&self, buffer: Option<&Arc<dyn Buffer>>, result: &mut StreamResult) -> Result<()> {
        let context = plans::context(&self.run.engine, self.stream);
        let planned = async {
            let loader = self.loader().await?;
            let extract = self.plan_extract(&context, Some(loader.as_ref()), result).await?;
            Ok((loader, extract))
        };
        let (loader, extract) = self.unless_cancelled(planned).await?;
        // The load is planned before a row moves: a target that does not fit is found now.
        let from = extract.watermark.as_ref().map(|w| w.from.clone());
        let mut load = plans::load(self.stream, loader, &extract.schema, from, &self.run.info)?;
        load.spec.once = self.once(&self.buffer_id(), buffer)?;
        if buffer.is_none() {
            plans::guard_itself(&extract.select, &load)?;
        }
        if self.run.options.action == Action::DryRun {
            result.status = Status::Planned;
            return Ok(());
        }
        let Some(buffer) = buffer else {
            let column = extract.watermark.as_ref().map(|w| w.column.clone());
            let observed = {
                let watch = Watch { column, checksum: self.sums(), ..self.watch() };
                self.load(&context, &load, extract.select, watch, result).await?
            };
            result.rows_read = observed.rows;
            self.watermark_to(&observed, result);
            return Ok(());
        };
        fault::point("run.planned");
        let committed = self.extract(&context, buffer, extract, result).await?;
        fault::point("run.extracted");
        let loaded = self.load_committed(buffer, &load, &committed, result).await;
        self.clean_up(buffer, &committed, loaded).await
    }

    async fn extract_only(&self, buffer: &Arc<dyn Buffer>, result: &mut StreamResult) -> Result<()> {
        let context = plans::context(&self.run.engine, self.stream);
        // Only an incremental extract needs the target.
        let planned = async {
            let loader = match self.stream.extract.mode {
                ExtractMode::Incremental => Some(self.run.engine.loader(self.stream).await?),
                ExtractMode::Full => None,
            };
            self.plan_extract(&context, loader.as_deref(), result).await
        };
        let extract = self.unless_cancelled(planned).await?;
        self.extract(&context, buffer, extract, result).await.map(|_| ())
    }

    async fn load_only(&self, buffer: &Arc<dyn Buffer>, result: &mut StreamResult) -> Result<()> {
        let committed = self.buffer_to_load(buffer.as_ref()).await?;
        let header = &committed.manifest.header;
        header.fingerprint.check_unchanged(&Fingerprint::of(self.run.pipeline, self.stream))?;
        let once = self.once(&committed.id, Some(buffer))?;
        let looked = async {
            let loader = self.run.engine.loader(self.stream).await?;
            // A target that has rows may have just these: its ledger, which is asked within the transaction, knows.
            let accident = plans::guard_accident(self.stream, loader.as_ref()).await;
            if once.is_none() {
                accident.clone()?;
            }
            Ok((loader, accident))
        };
        let (loader, accident) = self.unless_cancelled(looked).await?;
        let from = match (header.incremental, &header.watermark_from) {
            (false, _) => None,
            (true, None) => Some(None),
            (true, Some(text)) => Some(Some(self.parse_watermark(loader.as_ref(), text)?)),
        };
        result.watermark_from = header.watermark_from.clone();
        result.rows_buffered = committed.manifest.rows;
        result.bytes = committed.manifest.bytes;
        let mut load = plans::load(self.stream, loader, &header.schema, from, &self.run.info)?;
        load.spec.once = once;
        let loaded = self.load_committed(buffer, &load, &committed, result).await;
        let loaded = loaded.map_err(|error| match accident {
            Err(accident) if error.message() == filled_meanwhile().message() => accident,
            _ => error,
        });
        self.clean_up(buffer, &committed, loaded).await
    }

    /// The buffer of the run that is asked for, else the newest; one that is not loaded yet.
    async fn buffer_to_load(&self, buffer: &dyn Buffer) -> Result<Committed> {
        let (pipeline, id) = (&self.run.pipeline.name, &self.stream.id);
        let none = |text: String, hint: String| Err(Error::new(ErrorKind::Buffer, text).with_hint(hint));
        let found = buffer.committed(pipeline, id).await?;
        let waiting: Vec<&str> = found.iter().filter(|c| !c.loaded).map(|c| c.id.run_id.as_str()).collect();
        let mut hint = "`dxt extract` fills it; `dxt run` does both steps".to_string();
        if !waiting.is_empty() {
            hint += &format!("; not loaded, for `--run-id`: {}", waiting.join(", "));
        }
        let (wanted, whose) = match &self.run.options.buffer_run {
            Some(run) => (found.into_iter().find(|c| c.id.run_id == *run), format!("of {pipeline}.{id} by run {run}")),
            None => (found.into_iter().next(), format!("of {pipeline}.{id}")),
        };
        match (wanted, &self.run.options.buffer_run) {
            (None, _) => none(format!("there is no committed buffer {whose}"), hint),
            (Some(there), Some(_)) if there.loaded => none(format!("the buffer {whose} has been loaded already"), hint),
            (Some(there), None) if there.loaded => {
                none(format!("the newest buffer {whose} has been loaded already"), hint)
            }
            (Some(there), _) => Ok(there),
        }
    }

    /// Checks that nobody has taken the stream over from this run.
    fn check_lock(&self) -> Result<()> {
        self.run.locks.get(self.stream.id.as_str()).map_or(Ok(()), |guard| guard.check())
    }

    /// What a killed run has left goes when it is old enough. A failure costs no more than its place.
    async fn sweep(&self, buffer: &dyn Buffer) {
        let grace = self.run.pipeline.buffer.grace;
        match buffer.sweep(&self.run.pipeline.name, &self.stream.id, grace).await {
            Ok(swept) => {
                for id in swept {
                    tracing::info!(run_id = id.run_id, "what run has not committed is removed");
                }
            }
            Err(error) => tracing::warn!(error = %error, "what is not committed could not be removed"),
        }
    }

    /// The watermark that the extract started from, in the type of the target's column.
    fn parse_watermark(&self, loader: &dyn Loader, text: &str) -> Result<datafusion::common::ScalarValue> {
        let id = self.stream.extract.watermark_field.as_deref().unwrap_or_default();
        let spec = self.stream.fields.iter().find(|f| f.id == id);
        let column = spec.map_or(id, |f| f.target_name());
        let Some(field) = loader.existing().and_then(|s| s.field(column)) else {
            let text = format!("{} has lost the column {column} since the extract", loader.target());
            return Err(Error::new(ErrorKind::Schema, text).with_hint("extract again"));
        };
        watermark::parse(text, &field.dtype, column)
    }

    async fn loader(&self) -> Result<Arc<dyn Loader>> {
        let loader = self.run.engine.loader(self.stream).await?;
        plans::guard_accident(self.stream, loader.as_ref()).await?;
        Ok(loader)
    }

    async fn plan_extract(
        &self,
        context: &SessionContext,
        loader: Option<&dyn Loader>,
        result: &mut StreamResult,
    ) -> Result<ExtractPlan> {
        let plan = plans::extract(&self.run.engine, context, self.stream, loader, &self.run.info).await?;
        let from = plan.watermark.as_ref().and_then(|w| w.from.as_ref());
        result.watermark_from = from.map(watermark::text);
        Ok(plan)
    }

    async fn extract(
        &self,
        context: &SessionContext,
        buffer: &Arc<dyn Buffer>,
        plan: ExtractPlan,
        result: &mut StreamResult,
    ) -> Result<Committed> {
        let id = self.buffer_id();
        let header = Header {
            incremental: plan.watermark.is_some(),
            watermark_from: result.watermark_from.clone(),
            fingerprint: Fingerprint::of(self.run.pipeline, self.stream),
            ..Header::new(plan.schema, plan.source)
        };
        self.sweep(buffer.as_ref()).await;
        let watch = Watch { column: plan.watermark.map(|w| w.field), checksum: self.sums(), ..self.watch() };
        let staging = Arc::new(BufferStaging::new(buffer.clone(), id.clone(), header, watch.progress.clone()));
        let insert = plans::insert(plan.select, staging, watch.clone())?;
        let started = Instant::now();
        let ended = self.execute(context, &insert, Phase::Extract, &watch, None).await;
        result.extract_seconds = started.elapsed().as_secs_f64();
        let observed = watch.progress.observed();
        result.rows_read = observed.rows;
        ended.map_err(|e| e.context("extract"))?;
        self.watermark_to(&observed, result);
        result.rows_buffered = observed.counts.map_or(0, |c| c.staged);
        result.bytes = observed.counts.map_or(0, |c| c.bytes);
        buffer
            .find(&id)
            .await?
            .ok_or_else(|| Error::new(ErrorKind::Buffer, "the buffer that was just committed is not there"))
    }

    /// The buffer of what this run extracts.
    fn buffer_id(&self) -> BufferId {
        BufferId::new(&self.run.pipeline.name, &self.stream.id, &self.run.info.run_id)
    }

    fn once(&self, id: &BufferId, buffer: Option<&Arc<dyn Buffer>>) -> Result<Option<Once>> {
        once(&self.run.engine, self.stream, id, buffer.is_some_and(|buffer| buffer.outlives()))
    }

    fn sums(&self) -> bool {
        self.stream.load.verify == Verify::Checksum
    }

    /// Has the rows of a buffer summed as they are read, where that is asked for.
    fn tally(&self, table: &mut Arc<dyn TableProvider>, header: &Header) -> Option<Arc<Tally>> {
        if !self.sums() {
            return None;
        }
        let Some(sums) = header.sums.clone() else {
            tracing::warn!(
                "the buffer has no checksums, as it was extracted without `verify: checksum`: its rows are counted"
            );
            return None;
        };
        let (summed, tally) = SummedTable::new(table.clone(), header.schema.clone(), sums);
        *table = Arc::new(summed);
        Some(tally)
    }

    fn watermark_to(&self, observed: &Observed, result: &mut StreamResult) {
        result.watermark_to = observed.greatest.as_ref().map(watermark::text);
        result.rows_null_watermark = observed.nulls;
    }

    async fn load_committed(
        &self,
        buffer: &Arc<dyn Buffer>,
        load: &LoadPlan,
        committed: &Committed,
        result: &mut StreamResult,
    ) -> Result<()> {
        self.committed.store(true, Ordering::Relaxed);
        // A query runs in parts; what it put in order is to stay so.
        let context = &plans::plain_context(&self.run.engine, self.stream);
        loop {
            let loaded = async {
                self.check_lock()?;
                let mut table = buffer.read(committed).await?;
                let tally = self.tally(&mut table, &committed.manifest.header);
                let scan = plans::scan_buffer(&committed.id.pipeline, &committed.id.stream, table)?;
                let expected_rows = Some(committed.manifest.rows);
                let watch = Watch { expected_rows, checksum: self.sums(), tally, ..self.watch() };
                self.load(context, load, scan, watch, result).await
            };
            match loaded.await {
                Ok(_) => return Ok(()),
                Err(error) => self.another(result, error).await?,
            }
        }
    }

    fn watch(&self) -> Watch {
        Watch { cancel: self.run.options.cancel.clone(), ..Watch::default() }
    }

    async fn load(
        &self,
        context: &SessionContext,
        load: &LoadPlan,
        input: LogicalPlan,
        watch: Watch,
        result: &mut StreamResult,
    ) -> Result<Observed> {
        let insert = load.insert(input, watch.clone())?;
        let started = Instant::now();
        let ended = self.execute(context, &insert, Phase::Load, &watch, watch.expected_rows).await;
        result.load_seconds = started.elapsed().as_secs_f64();
        let observed = watch.progress.observed();
        let counts = observed.counts.unwrap_or_default();
        // Also where they differ.
        result.rows_staged = counts.staged;
        ended.map_err(|e| e.context("load"))?;
        result.already_loaded = observed.already_loaded;
        if observed.already_loaded {
            tracing::info!(target_table = load.loader.target(), "already loaded: the target's ledger has these rows");
        }
        result.rows_written = counts.inserted;
        result.rows_updated = counts.updated;
        result.rows_unchanged = counts.unchanged;
        result.rows_dropped = counts.dropped;
        result.rows_deleted = counts.deleted;
        if result.bytes == 0 {
            result.bytes = if counts.bytes > 0 { counts.bytes } else { observed.bytes };
        }
        Ok(observed)
    }

    async fn execute(
        &self,
        context: &SessionContext,
        plan: &LogicalPlan,
        phase: Phase,
        watch: &Watch,
        total: Option<u64>,
    ) -> Result<()> {
        tracing::Span::current().record("phase", phase.as_str());
        self.run.options.observer.phase(&self.stream.id, phase, &watch.progress, total);
        let planned = async { Ok(physical_plan(context, plan).await?) };
        let physical = self.unless_cancelled(planned).await?;
        let mut rows = physical.execute()?;
        while let Some(batch) = rows.next().await {
            batch?;
        }
        self.committed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// After a load: the buffer goes, or stays with a mark; after a failed one it stays as it is.
    async fn clean_up(&self, buffer: &Arc<dyn Buffer>, committed: &Committed, loaded: Result<()>) -> Result<()> {
        fault::point("run.loaded");
        let config = &self.run.pipeline.buffer;
        match loaded {
            Ok(()) if config.persist || !config.cleanup_on_success => buffer.mark_loaded(&committed.id).await,
            Ok(()) => {
                // Older buffers that were never loaded are superseded. They go first: with the newest gone, a later
                // `dxt load` would take one of them for what is to be loaded.
                let (pipeline, stream) = (&committed.id.pipeline, &committed.id.stream);
                // One of them may be damaged: the load is done all the same.
                let all = buffer.committed(pipeline, stream).await.unwrap_or_else(|error| {
                    tracing::warn!(error = %error, "superseded buffers could not be listed");
                    Vec::new()
                });
                for older in all {
                    if !older.loaded && older.age() < committed.age() {
                        buffer.cleanup(&older.id).await?;
                    }
                }
                fault::point("run.superseded.gone");
                buffer.cleanup(&committed.id).await
            }
            Err(error) if config.retain_on_failure => {
                let kept = "the extracted rows are kept: `dxt load` repeats the load without the source";
                Err(match error.hint() {
                    Some(hint) => {
                        let hint = format!("{hint}; {kept}");
                        error.with_hint(hint)
                    }
                    None => error.with_hint(kept),
                })
            }
            Err(error) => {
                buffer.cleanup(&committed.id).await?;
                Err(error)
            }
        }
    }
}
