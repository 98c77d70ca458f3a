//! `dxt list`: the streams of a pipeline, or of those in a folder. Connects to nothing.

use serde::Serialize;

use super::args::{ListArgs, ResultFormat};
use super::pipelines::{self, Pipelines, Values};
use super::print;
use crate::connector::Registry;
use crate::error::Result;
use crate::model::{ExtractMode, SourceKind, Stream, TargetKind};

#[derive(Serialize)]
struct Listed {
    /// Of the streams of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
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
        pipeline: None,
        file: None,
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
    let Pipelines { all, of_folder } = pipelines::load(&args.select, &Registry::builtin(), Values::MayLack)?;
    let streams: Vec<Listed> = all
        .iter()
        .flat_map(|(path, pipeline)| {
            let of_pipeline = || of_folder.then(|| (pipeline.name.clone(), path.display().to_string())).unzip();
            pipeline.streams.iter().map(move |stream| {
                let (pipeline, file) = of_pipeline();
                Listed { pipeline, file, ..listed(stream) }
            })
        })
        .collect();
    match args.format {
        ResultFormat::Json => print::json(&streams)?,
        ResultFormat::Table => {
            let row = |s: Listed| {
                let cells = [s.id, s.source, s.target, s.extract.into(), s.load.into(), s.tags.join(", ")];
                s.pipeline.into_iter().chain(cells).collect()
            };
            let header = ["pipeline", "stream", "source", "target", "extract", "load", "tags"];
            let shown = if of_folder { &header[..] } else { &header[1..] };
            print::out(&print::table(shown, streams.into_iter().map(row).collect(), &[]))?;
        }
    }
    Ok(0)
}
