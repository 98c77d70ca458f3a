//! `dxt explain`: the plans of each stream.

use std::sync::Arc;

use super::args::SelectArgs;
use super::pipelines::{self, Pipelines, Values};
use super::{exit_code, print};
use crate::connector::Registry;
use crate::error::Result;
use crate::model::Pipeline;
use crate::plan::{self, Engine, RunInfo};

pub async fn run(args: SelectArgs) -> Result<u8> {
    let registry = Registry::builtin();
    let Pipelines { all, of_folder } = pipelines::load(&args, &registry, Values::Needed)?;
    let mut code = 0;
    for (path, pipeline) in all {
        if of_folder {
            print::out(&format!("pipeline {} ({})\n\n", pipeline.name, path.display()))?;
        }
        code = code.max(one(&registry, &pipeline).await?);
    }
    Ok(code)
}

async fn one(registry: &Registry, pipeline: &Pipeline) -> Result<u8> {
    let buffer = crate::buffer::open(&pipeline.buffer, &pipeline.connections)?;
    let engine = Arc::new(Engine::new(registry, &pipeline.connections, buffer, &pipeline.base_dir)?);
    let info = RunInfo::new(pipeline);
    let mut code = 0;
    for stream in &pipeline.streams {
        match plan::explain(&engine, pipeline, stream, &info).await {
            Ok(text) => print::out(&(text + "\n"))?,
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
