//! `dxt validate`: checks a pipeline; with `--connect`, plans every stream against its systems.

use super::args::{Global, ResourceArgs, ResultFormat, RunArgs, ValidateArgs};
use super::pipelines::{self, Pipelines, Values};
use super::print;
use crate::connector::Registry;
use crate::error::Result;
use crate::plan::Engine;
use crate::runner::Action;

pub async fn run(args: ValidateArgs, global: &Global) -> Result<u8> {
    if args.connect {
        let select = args.select;
        let format = ResultFormat::Table;
        let resources = ResourceArgs { memory_limit: None, temp_dir: None };
        let run = RunArgs {
            select,
            threads: 1,
            fail_fast: false,
            dry_run: true,
            retries: None,
            resources,
            lock: None,
            format,
        };
        return super::run::run(run, Action::DryRun, None, global).await;
    }
    let registry = Registry::builtin();
    let Pipelines { all, .. } = pipelines::load(&args.select, &registry, Values::OfDeclaredMayLack)?;
    for (path, pipeline) in all {
        // Fields and options of connections are checked by making their connectors.
        Engine::new(&registry, &pipeline.connections, None, &pipeline.base_dir)?;
        if !global.quiet {
            print::out(&format!(
                "{}: {} streams, {} connections: valid\n",
                path.display(),
                pipeline.streams.len(),
                pipeline.connections.len()
            ))?;
        }
    }
    Ok(0)
}
