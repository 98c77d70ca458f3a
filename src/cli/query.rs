//! `dxt query`: one SELECT over connections, buffers and files.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::json::{ArrayWriter, LineDelimitedWriter};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;

use super::args::{QueryArgs, RowFormat};
use super::{FAILED, load, print};
use crate::buffer::{self, Buffer};
use crate::config;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BufferConfig, ConnectionConfig};
use crate::plan::{Engine, stream};

/// What the SQL of a command may name.
pub struct Named {
    pub connections: Vec<ConnectionConfig>,
    pub buffer: Option<Arc<dyn Buffer>>,
}

/// The connections of a command: those of a pipeline (or of the project file here), and those given by `NAME=URL`.
pub fn named(registry: &Registry, pipeline: Option<&Path>, given: &[String]) -> Result<Named> {
    let here = std::env::current_dir()
        .map_err(|e| Error::new(ErrorKind::Configuration, "the current folder cannot be read").with_source(e))?;
    let (mut connections, buffer) = match pipeline {
        Some(path) => {
            let pipeline = load(path, registry)?;
            let buffer = buffer::open(&pipeline.buffer);
            (pipeline.connections, buffer)
        }
        None => {
            let found = config::load_connections(&here, registry, &config::ProcessEnv)?;
            (found, buffer::open(&BufferConfig::default()))
        }
    };
    for text in given {
        let Some((name, url)) = text.split_once('=').filter(|(n, u)| !n.is_empty() && u.contains(':')) else {
            return Err(Error::new(ErrorKind::Configuration, "--connection takes NAME=URL")
                .with_hint("such as --connection shop=sqlite:///shop.db"));
        };
        let mut config = ConnectionConfig::from_url(name, url, &here);
        config.kind = registry.factory(&config.kind)?.kind.to_string();
        connections.retain(|c| c.name != name);
        connections.push(config);
    }
    Ok(Named { connections, buffer })
}

pub async fn run(args: QueryArgs) -> Result<u8> {
    let registry = Registry::builtin();
    let Named { connections, buffer } = named(&registry, args.pipeline.as_deref(), &args.connection)?;
    let here = std::env::current_dir().unwrap_or_default();
    let engine = Arc::new(Engine::new(&registry, &connections, buffer, here)?);
    // The command itself is right from here on: whatever fails is the query's failure.
    match rows(&engine, &args).await {
        Ok(()) => Ok(0),
        Err(error) => {
            print::error(&error);
            Ok(FAILED)
        }
    }
}

async fn rows(engine: &Arc<Engine>, args: &QueryArgs) -> Result<()> {
    let partitions = std::thread::available_parallelism().map_or(1, usize::from);
    let context = engine.context(partitions, 8192);
    let plan = stream::select_only(&context, &args.sql).await?;
    let physical = context.state().create_physical_plan(&plan).await?;
    let rows = execute_stream(physical, context.task_ctx())?;
    match args.format {
        RowFormat::Table => table(rows).await,
        RowFormat::Csv => {
            let schema = rows.schema();
            let out = std::io::BufWriter::new(std::io::stdout().lock());
            let mut writer = WriterBuilder::new().with_header(true).build(out);
            // The header is there for no rows, too.
            let written = writer.write(&RecordBatch::new_empty(schema));
            each(rows, written, |batch| writer.write(batch)).await?;
            print::written(writer.into_inner().flush())
        }
        RowFormat::Json => {
            let mut writer = ArrayWriter::new(std::io::BufWriter::new(std::io::stdout().lock()));
            each(rows, Ok(()), |batch| writer.write(batch)).await?;
            let ended = writer.finish();
            each_written(ended)?;
            let mut out = writer.into_inner();
            print::written(out.write_all(b"\n").and_then(|()| out.flush()))
        }
        RowFormat::Jsonl => {
            let mut writer = LineDelimitedWriter::new(std::io::BufWriter::new(std::io::stdout().lock()));
            each(rows, Ok(()), |batch| writer.write(batch)).await?;
            print::written(writer.into_inner().flush())
        }
    }
}

type ArrowResult = std::result::Result<(), datafusion::arrow::error::ArrowError>;

async fn each(
    mut rows: SendableRecordBatchStream,
    first: ArrowResult,
    mut write: impl FnMut(&RecordBatch) -> ArrowResult,
) -> Result<()> {
    each_written(first)?;
    while let Some(batch) = rows.next().await {
        each_written(write(&batch?))?;
    }
    Ok(())
}

fn each_written(result: ArrowResult) -> Result<()> {
    use datafusion::arrow::error::ArrowError;
    match result {
        Err(ArrowError::IoError(_, e)) => print::written(Err(e)),
        Err(e) if e.to_string().contains("Broken pipe") => Ok(()),
        Err(e) => Err(Error::new(ErrorKind::Pipeline, "the rows cannot be written").with_source(e)),
        Ok(()) => Ok(()),
    }
}

async fn table(mut rows: SendableRecordBatchStream) -> Result<()> {
    let mut batches = vec![RecordBatch::new_empty(rows.schema())];
    while let Some(batch) = rows.next().await {
        batches.push(batch?);
    }
    let options = FormatOptions::default().with_null("NULL");
    let text = pretty_format_batches_with_options(&batches, &options)
        .map_err(|e| Error::new(ErrorKind::Pipeline, "the rows cannot be printed").with_source(e))?;
    print::out(&format!("{text}\n"))
}
