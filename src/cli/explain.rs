//! `dxt explain`: the plans of each stream.

use std::sync::Arc;

use serde::Serialize;

use super::args::{ExplainArgs, ExplainFormat};
use super::pipelines::{self, Pipelines, Values};
use super::{exit_code, print};
use crate::connector::Registry;
use crate::error::Result;
use crate::model::Pipeline;
use crate::plan::{self, Engine, Explained, RunInfo};

pub async fn run(args: ExplainArgs) -> Result<u8> {
    let registry = Registry::builtin();
    let Pipelines { all, of_folder } = pipelines::load(&args.select, &registry, Values::Needed)?;
    let mut code = 0;
    let mut objects = Vec::new();
    for (path, pipeline) in all {
        if of_folder && args.format != ExplainFormat::Json {
            print::out(&format!("pipeline {} ({})\n\n", pipeline.name, path.display()))?;
        }
        code = code.max(one(&registry, &pipeline, &args, &mut objects).await?);
    }
    if args.format == ExplainFormat::Json {
        print::json(&objects)?;
    }
    Ok(code)
}

/// What one stream of a pipeline will do.
#[derive(Serialize)]
struct Object {
    pipeline: String,
    #[serde(flatten)]
    explained: Explained,
}

async fn one(registry: &Registry, pipeline: &Pipeline, args: &ExplainArgs, objects: &mut Vec<Object>) -> Result<u8> {
    let buffer = crate::buffer::open(&pipeline.buffer, &pipeline.connections)?;
    let engine = Engine::new(registry, &pipeline.connections, buffer, &pipeline.base_dir)?;
    let engine = Arc::new(engine.with_resources(&args.resources.resources())?);
    let info = RunInfo::new(pipeline);
    let mut code = 0;
    for stream in &pipeline.streams {
        match plan::explain(&engine, pipeline, stream, &info, args.format.into(), args.analyze).await {
            Ok(explained) if args.format == ExplainFormat::Json => {
                objects.push(Object { pipeline: pipeline.name.clone(), explained });
            }
            Ok(explained) => print::out(&(explained.text() + "\n"))?,
            Err(error) => {
                let error = error.context(format!("stream {}", stream.id));
                print::error(&error);
                code = code.max(exit_code(&error));
            }
        }
    }
    engine.close().await;
    Ok(code)
}
