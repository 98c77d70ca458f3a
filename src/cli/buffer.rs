//! `dxt buffer list|show|rm`: what waits for its load, and what is left of it.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::Serialize;

use super::args::{
    BufferCommand, BufferListArgs, BufferPlace, BufferRmArgs, BufferShowArgs, BufferWhich, Global, ResultFormat,
};
use super::{load, print};
use crate::buffer::{Buffer, Entry, Holder, Manifest, ParquetBuffer, State};
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BufferConfig, BufferFormat, LockMode};

pub async fn run(command: BufferCommand, global: &Global) -> Result<u8> {
    match command {
        BufferCommand::List(args) => list(args).await,
        BufferCommand::Show(args) => show(args).await,
        BufferCommand::Rm(args) => remove(args, global).await,
    }
    .map(|()| 0)
}

/// A place of buffers, and the pipeline that is meant there.
struct Place {
    buffer: ParquetBuffer,
    pipeline: Option<String>,
    stream: Option<String>,
}

impl Place {
    fn open(args: &BufferPlace) -> Result<Self> {
        let stream = args.stream.clone();
        let Some(path) = &args.pipeline else {
            let config = match &args.location {
                Some(location) => BufferConfig { location: location.into(), ..BufferConfig::default() },
                None => BufferConfig::default(),
            };
            return Ok(Self { buffer: ParquetBuffer::open(&config, &[])?, pipeline: None, stream });
        };
        let pipeline = load(path, &Registry::builtin())?;
        if pipeline.buffer.format != BufferFormat::Parquet {
            return Err(Error::new(ErrorKind::Configuration, "the pipeline's buffer is not kept in files")
                .with_hint("only `buffer: {format: parquet}` has buffers that outlive a run"));
        }
        let buffer = ParquetBuffer::open(&pipeline.buffer, &pipeline.connections)?;
        Ok(Self { buffer, pipeline: Some(pipeline.name), stream })
    }

    /// What there is, by pipeline and stream, the newest of each first.
    async fn entries(&self) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        for (pipeline, stream) in self.buffer.streams().await? {
            let other = |wanted: &Option<String>, name: &str| wanted.as_ref().is_some_and(|wanted| wanted != name);
            if other(&self.pipeline, &pipeline) || other(&self.stream, &stream) {
                continue;
            }
            found.extend(self.buffer.entries(&pipeline, &stream).await?);
        }
        Ok(found)
    }

    fn nothing(&self, what: &str) -> Error {
        let text = format!("there is no {what} at {}", self.buffer.location());
        Error::new(ErrorKind::Buffer, text).with_hint("`dxt buffer list` shows what there is")
    }
}

/// An entry in a list.
#[derive(Serialize)]
struct Listed {
    pipeline: String,
    stream: String,
    run_id: String,
    state: &'static str,
    created_at: Option<String>,
    rows: Option<u64>,
    bytes: u64,
    source: Option<String>,
    problem: Option<String>,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        let manifest = entry.manifest.as_ref();
        let made = manifest.map(|m| m.created_at).or(entry.changed);
        Self {
            state: entry.state.as_str(),
            created_at: made.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            rows: manifest.map(|m| m.rows),
            bytes: entry.bytes,
            source: manifest.map(|m| m.header.source.clone()),
            problem: entry.problem.map(|problem| problem.to_string()),
            pipeline: entry.id.pipeline,
            stream: entry.id.stream,
            run_id: entry.id.run_id,
        }
    }
}

fn table(listed: Vec<Listed>) -> String {
    let header = ["pipeline", "stream", "run", "state", "made", "rows", "size", "source"];
    let row = |one: Listed| {
        vec![
            one.pipeline,
            one.stream,
            one.run_id,
            one.state.into(),
            one.created_at.unwrap_or_default(),
            one.rows.map(|rows| rows.to_string()).unwrap_or_default(),
            print::bytes(one.bytes),
            one.source.or(one.problem).unwrap_or_default(),
        ]
    };
    print::table(&header, listed.into_iter().map(row).collect(), &["rows", "size"])
}

async fn list(args: BufferListArgs) -> Result<()> {
    let place = Place::open(&args.place)?;
    let listed: Vec<Listed> = place.entries().await?.into_iter().map(Listed::from).collect();
    match args.format {
        ResultFormat::Json => print::json(&listed),
        ResultFormat::Table => print::out(&table(listed)),
    }
}

/// A manifest, whose it is and what has become of it.
#[derive(Serialize)]
struct Shown {
    pipeline: String,
    stream: String,
    run_id: String,
    state: &'static str,
    manifest: Manifest,
}

async fn show(args: BufferShowArgs) -> Result<()> {
    let place = Place::open(&args.place)?;
    let wanted = |entry: &Entry| match &args.run_id {
        Some(run) => entry.id.run_id == *run,
        None => entry.state != State::Uncommitted,
    };
    let mut found: Vec<Entry> = place.entries().await?.into_iter().filter(wanted).collect();
    found.dedup_by(|a, b| (&a.id.pipeline, &a.id.stream) == (&b.id.pipeline, &b.id.stream));
    let entry = match (found.pop(), found.as_slice()) {
        (None, _) => return Err(place.nothing("such buffer")),
        (Some(entry), []) => entry,
        (Some(last), others) => {
            let all = others.iter().chain([&last]).map(|e| format!("{}.{}", e.id.pipeline, e.id.stream));
            let text = format!("several streams have a buffer: {}", all.collect::<Vec<_>>().join(", "));
            return Err(Error::new(ErrorKind::Configuration, text).with_hint("name one by `--stream ID`"));
        }
    };
    let manifest = match (entry.manifest, entry.problem) {
        (Some(manifest), _) => manifest,
        (None, Some(problem)) => return Err(problem),
        (None, None) => return Err(place.nothing("committed buffer of this run")),
    };
    let (state, id) = (entry.state.as_str(), entry.id);
    let shown = Shown { pipeline: id.pipeline, stream: id.stream, run_id: id.run_id, state, manifest };
    match args.format {
        ResultFormat::Json => print::json(&shown),
        ResultFormat::Table => print::out(&for_people(&shown)),
    }
}

fn for_people(shown: &Shown) -> String {
    let Shown { pipeline, stream, run_id, state, manifest } = shown;
    let header = &manifest.header;
    let mark = |mark: &Option<String>| mark.clone().unwrap_or_else(|| "none".into());
    let mut text = format!("{pipeline}.{stream}, run {run_id}: {state}\n");
    let made = manifest.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    text += &format!("made {made} by dxt {}, of {}\n", manifest.dxt, header.source);
    if header.incremental {
        text += &format!("watermark {} to {}\n", mark(&header.watermark_from), mark(&manifest.watermark_to));
    }
    text += &format!("{} rows, {}\n\n", manifest.rows, print::bytes(manifest.bytes));
    let fields = header.schema.fields.iter().map(|field| {
        let native = field.native.as_ref().map(|n| format!("{} of {}", n.name, n.system)).unwrap_or_default();
        let key = if header.schema.primary_key.contains(&field.name) { "key" } else { "" };
        let null = if field.nullable { "" } else { "not null" };
        vec![field.name.clone(), field.dtype.to_string(), null.into(), key.into(), native]
    });
    text += &print::table(&["field", "type", "null", "key", "native type"], fields.collect(), &[]);
    let parts = manifest.parts.iter();
    let parts = parts.map(|p| vec![p.file.clone(), p.rows.to_string(), print::bytes(p.bytes), p.checksum.clone()]);
    text += &format!("\n{}", print::table(&["part", "rows", "size", "BLAKE3"], parts.collect(), &["rows", "size"]));
    let pieces = header.fingerprint.pieces.iter().map(|(name, piece)| vec![name.clone(), piece.clone()]);
    text + &format!("\n{}", print::table(&["depends on", "as"], pieces.collect(), &[]))
}

fn is_meant(which: &BufferWhich, entry: &Entry) -> bool {
    match &which.run_id {
        Some(run) => entry.id.run_id == *run,
        None => {
            which.all
                || (which.loaded && entry.state == State::Loaded)
                || (which.superseded && entry.state == State::Superseded)
        }
    }
}

async fn remove(args: BufferRmArgs, global: &Global) -> Result<()> {
    let place = Place::open(&args.place)?;
    let mut streams: BTreeMap<(String, String), Vec<Entry>> = BTreeMap::new();
    for entry in place.entries().await?.into_iter().filter(|entry| is_meant(&args.which, entry)) {
        streams.entry((entry.id.pipeline.clone(), entry.id.stream.clone())).or_default().push(entry);
    }
    if streams.is_empty() && args.which.run_id.is_some() {
        return Err(place.nothing("such buffer"));
    }
    let holder = Holder::new("dxt-buffer-rm");
    let mut removed: Vec<Listed> = Vec::new();
    for ((pipeline, stream), entries) in streams {
        // What a run writes or loads at this moment is left to it.
        let guard = place.buffer.lock(&pipeline, &stream, &holder, LockMode::Fail).await;
        let guard = guard.map_err(|error| match removed.is_empty() {
            true => error,
            false => error.context(format!("{} buffers have been removed, then", removed.len())),
        })?;
        let mut done = Ok(());
        // The oldest first: one that is superseded must not become the newest.
        for entry in entries.into_iter().rev() {
            done = place.buffer.cleanup(&entry.id).await;
            if done.is_err() {
                break;
            }
            removed.push(entry.into());
        }
        if let Some(guard) = guard {
            guard.release().await;
        }
        done?;
    }
    match args.format {
        ResultFormat::Json => print::json(&removed),
        ResultFormat::Table if global.quiet => Ok(()),
        ResultFormat::Table => {
            let lines = removed.iter().map(|one| {
                let size = print::bytes(one.bytes);
                format!("removed {}.{} of run {} ({}, {size})\n", one.pipeline, one.stream, one.run_id, one.state)
            });
            let text: String = lines.collect();
            print::out(if text.is_empty() { "nothing to remove\n" } else { &text })
        }
    }
}
