//! `dxt run`, `dxt extract`, `dxt load`.

use std::io::IsTerminal;
use std::sync::Arc;

use super::args::{Global, LogFormat, ResultFormat, RunArgs, SelectArgs};
use super::interrupt::Interrupt;
use super::progress::Shown;
use super::{FAILED, load, logs, pressure, print};
use crate::connector::Registry;
use crate::error::{ErrorKind, Result};
use crate::model::selector::Selector;
use crate::runner::{self, Action, Observer, RunOptions, RunResult, Silent, StreamResult};

/// The selectors of a command line.
pub fn selectors(args: &SelectArgs) -> Result<(Option<Selector>, Option<Selector>)> {
    let parse = |text: &Option<String>| text.as_deref().map(Selector::parse).transpose();
    Ok((parse(&args.select)?, parse(&args.exclude)?))
}

pub async fn run(args: RunArgs, action: Action, buffer_run: Option<String>, global: &Global) -> Result<u8> {
    let registry = Registry::builtin();
    let pipeline = load(&args.select.pipeline, &registry)?;
    let (select, exclude) = selectors(&args.select)?;
    let logs_on_stderr = logs::on_stderr(global);
    // A program that reads JSON on stderr finds nothing else between.
    let observer: Arc<dyn Observer> = match global.quiet || (logs_on_stderr && global.log_format == LogFormat::Json) {
        true => Arc::new(Silent),
        false => Arc::new(Shown::new(std::io::stderr().is_terminal() && !logs_on_stderr)),
    };
    let notice = "interrupted: what is not committed is rolled back. A second signal ends dxt at once";
    let interrupt = Interrupt::listen((!global.quiet).then_some(notice), None)?;
    let options = RunOptions {
        action: if args.dry_run { Action::DryRun } else { action },
        threads: usize::from(args.threads),
        fail_fast: args.fail_fast,
        select,
        exclude,
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
    let result = match runner::run(&pipeline, &options).await {
        // Before the first stream: it waited for another run.
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            print::error(&error);
            return Ok(interrupt.code().unwrap_or(FAILED));
        }
        done => done?,
    };
    match args.format {
        ResultFormat::Json => print::json(&result)?,
        ResultFormat::Table => {
            if !global.quiet {
                print::out(&table(&result))?;
                repeats(&result);
            }
            for report in result.streams.iter().filter_map(|s| s.error.as_ref()) {
                print::note(report.report.trim_end());
            }
        }
    }
    // A signal that came when all was done has interrupted nothing.
    Ok(match result.succeeded() {
        true => 0,
        false => interrupt.code().unwrap_or(FAILED),
    })
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

fn table(result: &RunResult) -> String {
    let row = |s: &StreamResult| {
        let watermark = match (&s.watermark_from, &s.watermark_to) {
            (None, None) => String::new(),
            (from, to) => format!("{} → {}", from.as_deref().unwrap_or("none"), to.as_deref().unwrap_or("nothing new")),
        };
        vec![
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
        ]
    };
    let header = [
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
    let rows = result.streams.iter().map(row).collect();
    let summary = format!("{} in {:.2} s, run {}\n", result.pipeline, result.seconds, result.run_id);
    print::table(&header, rows, &header[2..12]) + &summary
}
