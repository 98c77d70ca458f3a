//! `dxt list`: the streams of a pipeline. Connects to nothing.

use serde::Serialize;

use super::args::{ListArgs, ResultFormat};
use super::run::selectors;
use super::{load, print};
use crate::connector::Registry;
use crate::error::Result;
use crate::model::{ExtractMode, SourceKind, Stream, TargetKind, selector};

#[derive(Serialize)]
struct Listed {
    id: String,
    source: String,
    target: String,
    extract: &'static str,
    load: &'static str,
    tags: Vec<String>,
    description: Option<String>,
}

fn listed(stream: &Stream) -> Listed {
    let at = |value: &str| format!("{}.{value}", stream.source.connection);
    let source = match &stream.source.kind {
        SourceKind::Relation(name) => at(&name.to_string()),
        SourceKind::File(path) => at(path),
        SourceKind::Sql(_) => at("(sql)"),
        SourceKind::Query(_) => "(query)".into(),
    };
    let target = match &stream.target.kind {
        TargetKind::Relation(name) => name.to_string(),
        TargetKind::File(path) => path.clone(),
    };
    Listed {
        id: stream.id.clone(),
        source,
        target: format!("{}.{target}", stream.target.connection),
        extract: if stream.extract.mode == ExtractMode::Incremental { "incremental" } else { "full" },
        load: stream.load.mode.as_str(),
        tags: stream.tags.clone(),
        description: stream.description.clone(),
    }
}

pub fn run(args: &ListArgs) -> Result<u8> {
    let pipeline = load(&args.select.pipeline, &Registry::builtin())?;
    let (select, exclude) = selectors(&args.select)?;
    let chosen = selector::select(&pipeline.streams, select.as_ref(), exclude.as_ref())?;
    let streams: Vec<Listed> = chosen.into_iter().map(|i| listed(&pipeline.streams[i])).collect();
    match args.format {
        ResultFormat::Json => print::json(&streams)?,
        ResultFormat::Table => {
            let row = |s: Listed| vec![s.id, s.source, s.target, s.extract.into(), s.load.into(), s.tags.join(", ")];
            let header = ["stream", "source", "target", "extract", "load", "tags"];
            print::out(&print::table(&header, streams.into_iter().map(row).collect(), &[]))?;
        }
    }
    Ok(0)
}
