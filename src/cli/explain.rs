//! `dxt explain`: the plans of each stream.

use std::sync::Arc;

use super::args::SelectArgs;
use super::run::selectors;
use super::{exit_code, load, print};
use crate::connector::Registry;
use crate::error::Result;
use crate::model::selector;
use crate::plan::{self, Engine, RunInfo};

pub async fn run(args: SelectArgs) -> Result<u8> {
    let registry = Registry::builtin();
    let pipeline = load(&args.pipeline, &registry)?;
    let (select, exclude) = selectors(&args)?;
    let chosen = selector::select(&pipeline.streams, select.as_ref(), exclude.as_ref())?;
    let buffer = crate::buffer::open(&pipeline.buffer, &pipeline.connections)?;
    let engine = Arc::new(Engine::new(&registry, &pipeline.connections, buffer, &pipeline.base_dir)?);
    let info = RunInfo::new(&pipeline.name);
    let mut code = 0;
    for index in chosen {
        let stream = &pipeline.streams[index];
        match plan::explain(&engine, &pipeline, stream, &info).await {
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
