//! `dxt run`, `dxt extract`, `dxt load`.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::args::{Global, LogFormat, ResultFormat, RunArgs};
use super::interrupt::Interrupt;
use super::pipelines::{self, Pipelines, Values};
use super::progress::Shown;
use super::{FAILED, logs, pressure, print};
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::runner::{self, Action, Observer, RunOptions, RunResult, Silent, StreamResult};

/// What the pipelines of a folder did.
#[derive(Serialize)]
struct FolderResult {
    /// Wall time of all of them, in seconds.
    seconds: f64,
    /// The pipelines in the order of their paths.
    pipelines: Vec<RunResult>,
}

pub async fn run(args: RunArgs, action: Action, buffer_run: Option<String>, global: &Global) -> Result<u8> {
    let registry = Registry::builtin();
    let Pipelines { all, of_folder } = pipelines::load(&args.select, &registry, Values::Needed)?;
    if of_folder && buffer_run.is_some() {
        let error = Error::new(ErrorKind::Configuration, "--run-id names a run of one pipeline");
        return Err(error.with_hint("name that pipeline's file in the place of the folder"));
    }
    let logs_on_stderr = logs::on_stderr(global);
    // A program that reads JSON on stderr finds nothing else between.
    let silent = global.quiet || (logs_on_stderr && global.log_format == LogFormat::Json);
    let observer: Arc<dyn Observer> = match silent {
        true => Arc::new(Silent),
        false => Arc::new(Shown::new(std::io::stderr().is_terminal() && !logs_on_stderr)),
    };
    let notice = "interrupted: what is not committed is rolled back. A second signal ends dxt at once";
    let interrupt = Interrupt::listen((!global.quiet).then_some(notice), None)?;
    let options = RunOptions {
        action: if args.dry_run { Action::DryRun } else { action },
        threads: usize::from(args.threads),
        fail_fast: args.fail_fast,
        select: None,
        exclude: None,
        registry,
        observer,
        buffer: None,
        cancel: interrupt.cancel.clone(),
        retries: args.retries,
        resources: args.resources.resources(),
        buffer_run,
        lock: args.lock.map(Into::into),
    };
    pressure::watch(&options.resources);
    // All of them before anything of the first is touched.
    all.iter().try_for_each(|(_, pipeline)| runner::check(pipeline, &options))?;
    let started = Instant::now();
    let mut results: Vec<RunResult> = Vec::new();
    for (path, pipeline) in &all {
        let failed = options.fail_fast && results.iter().any(|result| !result.succeeded());
        if failed || interrupt.cancel.is_cancelled() && !results.is_empty() {
            results.push(RunResult::skipped(pipeline));
            continue;
        }
        if of_folder && !silent {
            print::note(&format!("{} ({})", pipeline.name, path.display()));
        }
        match runner::run(pipeline, &options).await {
            Ok(result) => results.push(result),
            Err(error) if of_folder => results.push(RunResult::failed(pipeline, &error)),
            // Before the first stream: it waited for another run.
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                print::error(&error);
                return Ok(interrupt.code().unwrap_or(FAILED));
            }
            Err(error) => return Err(error),
        }
    }
    let succeeded = results.iter().all(RunResult::succeeded);
    report(results, of_folder, started.elapsed().as_secs_f64(), args.format, global.quiet)?;
    // A signal that came when all was done has interrupted nothing.
    Ok(match succeeded {
        true => 0,
        false => interrupt.code().unwrap_or(FAILED),
    })
}

fn report(results: Vec<RunResult>, of_folder: bool, seconds: f64, format: ResultFormat, quiet: bool) -> Result<()> {
    match (format, results.as_slice()) {
        (ResultFormat::Json, [result]) if !of_folder => print::json(result)?,
        (ResultFormat::Json, _) => print::json(&FolderResult { seconds, pipelines: results })?,
        (ResultFormat::Table, _) => {
            if !quiet {
                print::out(&table(&results, of_folder))?;
                results.iter().for_each(repeats);
            }
            let mut said: Vec<&str> = Vec::new();
            for report in results.iter().flat_map(|r| &r.streams).filter_map(|s| s.error.as_ref()) {
                let text = report.report.trim_end();
                // What keeps a whole pipeline from beginning is the error of each of its streams.
                if !said.contains(&text) {
                    print::note(text);
                    said.push(text);
                }
            }
        }
    }
    Ok(())
}

/// Says which streams were tried more than once, and why.
fn repeats(result: &RunResult) {
    for stream in result.streams.iter().filter(|s| !s.retried.is_empty()) {
        let why: Vec<String> = stream.retried.iter().zip(1..).map(|(why, n)| format!("\n  {n}: {why}")).collect();
        print::note(&format!(
            "{}: {} attempts; those before the last:{}",
            stream.stream,
            stream.attempts,
            why.concat()
        ));
    }
}

fn table(results: &[RunResult], of_folder: bool) -> String {
    let row = |(pipeline, s): (&RunResult, &StreamResult)| {
        let watermark = match (&s.watermark_from, &s.watermark_to) {
            (None, None) => String::new(),
            (from, to) => format!("{} → {}", from.as_deref().unwrap_or("none"), to.as_deref().unwrap_or("nothing new")),
        };
        let pipeline = of_folder.then(|| pipeline.pipeline.clone());
        let cells = [
            s.stream.clone(),
            if s.already_loaded { "already loaded".into() } else { s.status.as_str().into() },
            s.rows_read.to_string(),
            s.rows_buffered.to_string(),
            s.rows_staged.to_string(),
            s.rows_written.to_string(),
            s.rows_updated.to_string(),
            s.rows_unchanged.to_string(),
            s.rows_deleted.to_string(),
            print::bytes(s.bytes),
            format!("{:.2}", s.extract_seconds),
            format!("{:.2}", s.load_seconds),
            watermark,
        ];
        pipeline.into_iter().chain(cells).collect()
    };
    let header = [
        "pipeline",
        "stream",
        "status",
        "read",
        "buffered",
        "staged",
        "written",
        "updated",
        "unchanged",
        "deleted",
        "size",
        "extract s",
        "load s",
        "watermark",
    ];
    let rows = results.iter().flat_map(|result| result.streams.iter().map(move |stream| row((result, stream))));
    let summary =
        results.iter().map(|result| format!("{} in {:.2} s, run {}\n", result.pipeline, result.seconds, result.run_id));
    let shown = if of_folder { &header[..] } else { &header[1..] };
    print::table(shown, rows.collect(), &header[3..13]) + &summary.collect::<String>()
}
