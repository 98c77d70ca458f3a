//! `dxt query`: one SELECT over connections, buffers and files.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder as JsonBuilder};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::args::{QueryArgs, RowFormat};
use super::interrupt::Interrupt;
use super::{FAILED, load, print};
use crate::buffer::{self, Buffer};
use crate::config;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BufferConfig, ConnectionConfig};
use crate::plan::strict::{cast_strict, readable, readable_type};
use crate::plan::{Engine, named_disk, physical_plan, stream};

/// What the SQL of a command may name.
pub struct Named {
    pub connections: Vec<ConnectionConfig>,
    pub buffer: Option<Arc<dyn Buffer>>,
    /// What `buffer` was opened by.
    pub buffer_config: BufferConfig,
}

/// The connections of a command: those of a pipeline (or of the project file here), and those given by `NAME=URL`.
pub fn named(registry: &Registry, pipeline: Option<&Path>, given: &[String]) -> Result<Named> {
    named_in(registry, None, pipeline, given)
}

/// The same with the project of another folder, where its buffers are, too.
pub fn named_in(
    registry: &Registry,
    project: Option<&Path>,
    pipeline: Option<&Path>,
    given: &[String],
) -> Result<Named> {
    let here = std::env::current_dir()
        .map_err(|e| Error::new(ErrorKind::Configuration, "the current folder cannot be read").with_source(e))?;
    let (mut connections, buffer_config) = match pipeline {
        Some(path) => {
            let pipeline = load(path, registry)?;
            (pipeline.connections, pipeline.buffer)
        }
        None => {
            let folder = project.map_or(here.clone(), |folder| here.join(folder));
            let found = config::load_connections(&folder, registry, &config::ProcessEnv)?;
            let mut buffer = BufferConfig::default();
            if project.is_some() {
                buffer.location = folder.join(buffer.location);
            }
            (found, buffer)
        }
    };
    let buffer = buffer::open(&buffer_config, &connections)?;
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
    Ok(Named { connections, buffer, buffer_config })
}

/// How long the systems may take to end an interrupted query. A reader of stdout that stands still may hold it up, too.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn run(args: QueryArgs) -> Result<u8> {
    let registry = Registry::builtin();
    let Named { connections, buffer, .. } = named(&registry, args.pipeline.as_deref(), &args.connection)?;
    let here = std::env::current_dir().unwrap_or_default();
    let engine = Engine::new(&registry, &connections, buffer, here)?;
    let engine = Arc::new(engine.with_resources(&args.resources.resources())?);
    let interrupt = Interrupt::listen(None, Some(PATIENCE))?;
    // The command itself is right from here on: whatever fails is the query's failure.
    let done = tokio::select! {
        biased;
        () = interrupt.cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "the query was interrupted")),
        done = rows(&engine, &args) => done,
    };
    engine.close().await;
    if let Some(code) = interrupt.code() {
        return Ok(code);
    }
    match done {
        Ok(()) => Ok(0),
        Err(error) => {
            print::error(&error);
            Ok(FAILED)
        }
    }
}

async fn rows(engine: &Arc<Engine>, args: &QueryArgs) -> Result<()> {
    // Two at least: DataFusion joins by sorting only in parts.
    let partitions = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let context = engine.context(partitions, 8192);
    let plan = stream::select_only(&context, &args.sql).await?;
    let physical = physical_plan(&context, &plan).await?;
    if matches!(args.format, RowFormat::Json | RowFormat::Jsonl) {
        unique_names(&physical.plan.schema())?;
    }
    let rows = in_words(physical.execute()?, context.runtime_env());
    let out = || std::io::BufWriter::new(std::io::stdout().lock());
    // A NULL is named, too: a program need not know the columns from elsewhere.
    let objects = JsonBuilder::new().with_explicit_nulls(true);
    match args.format {
        RowFormat::Table => table(rows).await,
        RowFormat::Csv => {
            // CSV has no lists and structs: they are JSON there, as in files.
            let schema = flat(&RecordBatch::new_empty(rows.schema()))?.schema();
            let mut writer = WriterBuilder::new().with_header(true).build(out());
            // The header is there for no rows, too.
            let more = more_wanted(writer.write(&RecordBatch::new_empty(schema)))?;
            let flat = |batch: &RecordBatch| flat(batch).map_err(|e| ArrowError::from_external_error(Box::new(e)));
            match each(rows, more, |batch| writer.write(&flat(batch)?)).await? {
                true => print::written(writer.into_inner().flush()),
                // It would panic: what it holds cannot be written any more.
                false => Ok(()),
            }
        }
        RowFormat::Json => {
            let mut writer = objects.build::<_, JsonArray>(out());
            if each(rows, true, |batch| writer.write(batch)).await? {
                more_wanted(writer.finish())?;
            }
            let mut out = writer.into_inner();
            print::written(out.write_all(b"\n").and_then(|()| out.flush()))
        }
        RowFormat::Jsonl => {
            let mut writer = objects.build::<_, LineDelimited>(out());
            each(rows, true, |batch| writer.write(batch)).await?;
            print::written(writer.into_inner().flush())
        }
    }
}

/// The rows with each uuid as its text: Arrow's own writers know it as bytes.
pub fn in_words(rows: SendableRecordBatchStream, runtime: Arc<RuntimeEnv>) -> SendableRecordBatchStream {
    let raw = rows.schema();
    let fields = raw.fields().iter().map(|field| {
        let data_type = readable_type(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let words = schema.clone();
    let batches = rows.map(move |batch| {
        let batch = batch.map_err(|e| named_disk(e, &runtime))?;
        let columns = batch.columns().iter().zip(words.fields());
        let columns = columns.map(|(column, field)| readable(column, field.name())).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(words.clone(), columns, &options)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// The batch with each nested column as JSON text.
pub fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let column = match field.data_type().is_nested() {
            true => cast_strict(column, &DataType::Utf8, field.name())?,
            false => column.clone(),
        };
        Ok((field.name(), column, true))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|e| Error::new(ErrorKind::Pipeline, "the rows cannot be written").with_source(e))
}

/// An object of JSON has each name once: readers keep one of two values.
pub fn unique_names(schema: &Schema) -> Result<()> {
    let mut seen = HashSet::new();
    match schema.fields().iter().find(|f| !seen.insert(f.name())) {
        None => Ok(()),
        Some(twice) => Err(Error::new(ErrorKind::Schema, format!("two columns are called {}", twice.name()))
            .with_hint("give one of them another name with AS, or take --format csv")),
    }
}

type ArrowResult = std::result::Result<(), ArrowError>;

/// Writes rows until there are no more, or nobody reads them any more; `false` then.
async fn each(
    mut rows: SendableRecordBatchStream,
    mut more: bool,
    mut write: impl FnMut(&RecordBatch) -> ArrowResult,
) -> Result<bool> {
    while more {
        let Some(batch) = rows.next().await else { break };
        more = more_wanted(write(&batch?))?;
    }
    Ok(more)
}

/// Whether the reader is still there.
fn more_wanted(result: ArrowResult) -> Result<bool> {
    match result {
        Err(ArrowError::IoError(_, e)) => {
            let gone = e.kind() == std::io::ErrorKind::BrokenPipe;
            print::written(Err(e)).map(|()| !gone)
        }
        Err(e) if e.to_string().contains("Broken pipe") => Ok(false),
        Err(e) => Err(Error::new(ErrorKind::Pipeline, "the rows cannot be written").with_source(e)),
        Ok(()) => Ok(true),
    }
}

/// Rows that are laid out together: a longer result comes as several tables, so that none is held as a whole.
const TABLE_ROWS: usize = 10_000;

async fn table(mut rows: SendableRecordBatchStream) -> Result<()> {
    let empty = RecordBatch::new_empty(rows.schema());
    let (mut batches, mut held, mut printed) = (vec![empty.clone()], 0, false);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        held += batch.num_rows();
        batches.push(batch);
        if held >= TABLE_ROWS {
            if !print_table(&batches)? {
                return Ok(());
            }
            (batches, held, printed) = (vec![empty.clone()], 0, true);
        }
    }
    if held > 0 || !printed {
        print_table(&batches)?;
    }
    Ok(())
}

/// Prints one table; `false` where the reader has gone.
fn print_table(batches: &[RecordBatch]) -> Result<bool> {
    let options = FormatOptions::default().with_null("NULL");
    let text = pretty_format_batches_with_options(batches, &options)
        .map_err(|e| Error::new(ErrorKind::Pipeline, "the rows cannot be printed").with_source(e))?;
    more_wanted(writeln!(std::io::stdout().lock(), "{text}").map_err(ArrowError::from))
}
