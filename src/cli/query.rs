//! `dxt query`: statements over connections, buffers and files.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use tokio_util::sync::CancellationToken;

use super::args::{Global, QueryArgs, RowFormat};
use super::interrupt::Interrupt;
use super::output::{Output, Written, write_rows};
use super::pipelines::variables;
use super::{FAILED, load, pressure, print};
use crate::buffer::{self, Buffer};
use crate::config;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{BufferConfig, ConnectionConfig, Params};
use crate::plan::statement::{self, Access, Change, Parsed, Statement};
use crate::plan::{Engine, QUERY_ROWS, physical_plan};

/// What the SQL of a command may name.
pub struct Named {
    pub connections: Vec<ConnectionConfig>,
    pub buffer: Option<Arc<dyn Buffer>>,
    /// What `buffer` was opened by.
    pub buffer_config: BufferConfig,
}

/// Where the connections of a command are written down.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// In a pipeline, and the project beside it.
    Pipeline(&'a Path),
    /// In the project file of a folder.
    Project(&'a Path),
    /// In the project file here, where there is one.
    Here,
}

/// The connections of a command: those of a pipeline (or of the project file here), and those given by `NAME=URL`.
pub fn named(registry: &Registry, pipeline: Option<&Path>, given: &[String]) -> Result<Named> {
    named_from(registry, pipeline.map_or(From::Here, From::Pipeline), given)
}

/// The connections of a command, and the buffers beside them.
pub fn named_from(registry: &Registry, from: From<'_>, given: &[String]) -> Result<Named> {
    let here = std::env::current_dir()
        .map_err(|e| Error::new(ErrorKind::Configuration, "the current folder cannot be read").with_source(e))?;
    let project = |folder: &Path, config: BufferConfig| -> Result<_> {
        Ok((config::load_connections(folder, registry, &config::ProcessEnv)?, config))
    };
    let (mut connections, buffer_config) = match from {
        From::Pipeline(path) => {
            let pipeline = load(path, registry)?;
            (pipeline.connections, pipeline.buffer)
        }
        From::Here => project(&here, BufferConfig::default())?,
        From::Project(folder) => {
            if !folder.join(PROJECT_FILE).is_file() {
                let text = format!("there is no {PROJECT_FILE} in {}", folder.display());
                return Err(Error::new(ErrorKind::Configuration, text)
                    .with_hint("--project names the folder that has it; `dxt init NAME` makes a project"));
            }
            let config = BufferConfig::default();
            let location = folder.join(&config.location);
            project(folder, BufferConfig { location, ..config })?
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

const PROJECT_FILE: &str = "dxt_project.yaml";

/// How long the systems may take to end an interrupted query. A reader of stdout that stands still may hold it up, too.
const PATIENCE: Duration = Duration::from_secs(3);

/// The SQL of a command, and where it stands.
struct Sql {
    text: String,
    pipeline: Option<PathBuf>,
    /// The folder that relative paths in it start at.
    base_dir: PathBuf,
}

fn wrong(text: impl Into<String>, hint: &str) -> Error {
    Error::new(ErrorKind::Configuration, text).with_hint(hint)
}

/// Whether an argument is a pipeline's path, and no SQL.
fn is_pipeline(argument: &str) -> bool {
    let name = argument.to_ascii_lowercase();
    (name.ends_with(".yaml") || name.ends_with(".yml")) && !argument.contains(char::is_whitespace)
}

fn sql(args: &QueryArgs) -> Result<Sql> {
    let here = std::env::current_dir().unwrap_or_default();
    let pipeline = args.pipeline.clone();
    if let Some(file) = &args.file {
        // With -f, the one argument that is left is the pipeline.
        let pipeline = match (&args.sql, pipeline) {
            (first, None) => first.as_ref().map(PathBuf::from),
            (Some(_), Some(_)) => return Err(wrong("the SQL is given twice", "give it as an argument, or by -f FILE")),
            (None, pipeline) => pipeline,
        };
        if let (Some(pipeline), false) =
            (&pipeline, pipeline.as_ref().is_some_and(|p| is_pipeline(&p.to_string_lossy())))
        {
            let text = format!("`{}` is no pipeline, and the SQL is in {}", pipeline.display(), file.display());
            return Err(wrong(
                text,
                "give SQL as an argument or by -f FILE, not both; -f names a file, --format a format",
            ));
        }
        let text = std::fs::read_to_string(file).map_err(|e| {
            let error = Error::new(ErrorKind::Configuration, format!("cannot read {}: {e}", file.display()));
            match <RowFormat as clap::ValueEnum>::from_str(&file.to_string_lossy(), true) {
                Ok(_) => error.with_hint(format!("-f names a file of SQL; the format is --format {}", file.display())),
                Err(_) => error.with_hint("-f names a file of SQL"),
            }
        })?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).map(|folder| here.join(folder));
        return Ok(Sql { text, pipeline, base_dir: folder.unwrap_or(here) });
    }
    let (text, pipeline) = match (args.sql.as_deref(), pipeline) {
        // The pipeline alone: its SQL comes by stdin.
        (Some(path), None) if is_pipeline(path) => (stdin()?, Some(PathBuf::from(path))),
        (None | Some("-"), pipeline) => (stdin()?, pipeline),
        (Some(text), pipeline) => (text.to_string(), pipeline),
    };
    Ok(Sql { text, pipeline, base_dir: here })
}

fn stdin() -> Result<String> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        let hint = "give it as an argument, by -f FILE, or in a pipe: echo 'SELECT 1' | dxt query";
        return Err(wrong("there is no SQL", hint));
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).during(ErrorKind::Configuration, || "reading SQL from stdin".into())?;
    Ok(text)
}

/// The format of the rows.
///
/// # Errors
/// Configuration: the file's name does not say it, or bytes would go to a terminal.
fn format(args: &QueryArgs) -> Result<RowFormat> {
    let format = match (args.format, &args.output) {
        (Some(format), _) => format,
        (None, None) => RowFormat::Table,
        (None, Some(name)) => RowFormat::of_name(name).ok_or_else(|| {
            let hint = "end it with .csv, .json, .jsonl, .md, .txt, .parquet or .arrow, or say --format";
            wrong(format!("{name}: its name does not say its format"), hint)
        })?,
    };
    if !format.is_text() && args.output.is_none() && std::io::stdout().is_terminal() {
        let hint = "write a file by --output FILE, or send stdout into a file or pipe";
        return Err(wrong("a terminal cannot show Parquet and Arrow", hint));
    }
    Ok(format)
}

pub async fn run(args: QueryArgs, global: &Global) -> Result<u8> {
    let format = format(&args)?;
    let Sql { text, pipeline, base_dir } = sql(&args)?;
    let params = variables(&args.vars, &text)?;
    let registry = Registry::builtin();
    let from = match (&pipeline, &args.project) {
        (Some(_), Some(_)) => return Err(wrong("a pipeline has its own project", "leave --project out")),
        (Some(path), None) => From::Pipeline(path),
        (None, Some(folder)) => From::Project(folder),
        (None, None) => From::Here,
    };
    let Named { connections, buffer, .. } = named_from(&registry, from, &args.connection)?;
    let engine = Engine::new(&registry, &connections, buffer, base_dir)?;
    let resources = args.resources.resources();
    let engine = Arc::new(engine.with_resources(&resources)?);
    pressure::watch(&resources);
    // Text that does not parse is a query that fails; what may not run is a wrong command.
    let statements = match statement::read(&text) {
        Ok(statements) => statements,
        Err(error) => {
            print::error(&error);
            return Ok(FAILED);
        }
    };
    let access = if args.write { Access::Write } else { Access::Read };
    statements.iter().try_for_each(|statement| statement.check(access))?;
    one_result(&statements, format, &args)?;
    // A commit that has begun is waited for; what only reads is given up.
    let patience = if statements.iter().any(Parsed::changes) { None } else { Some(PATIENCE) };
    let interrupt = Interrupt::listen(None, patience)?;
    let session = Session {
        context: engine.query_context(QUERY_ROWS),
        access,
        format,
        output: args.output.as_deref(),
        cancel: &interrupt.cancel,
        params: &params,
        quiet: global.quiet,
    };
    // The command itself is right from here on: whatever fails is the query's failure.
    let done = session.all(statements).await;
    engine.close().await;
    if let (Some(code), Err(error)) = (interrupt.code(), &done) {
        // Who has stopped a SELECT knows; of a change it is good to hear that it has not taken place.
        if patience.is_none() {
            print::error(error);
        }
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

/// A file holds one result, as does a stream of Parquet or Arrow.
fn one_result(statements: &[Parsed], format: RowFormat, args: &QueryArgs) -> Result<()> {
    let results = statements.iter().filter(|statement| statement.gives_rows()).count();
    match (&args.output, results) {
        (Some(name), 0) => {
            Err(wrong(format!("no statement gives rows for {name}"), "COPY (SELECT …) TO 'file' names its own file"))
        }
        (Some(name), 2..) => {
            let text = format!("{results} statements give rows, and {name} holds one result");
            Err(wrong(text, "COPY (SELECT …) TO 'file' writes one file each"))
        }
        (None, 2..) if !format.follows() => {
            let text = format!("{results} statements give rows, and one stream of this format holds one result");
            Err(wrong(text, "take --format jsonl or csv, or one SELECT"))
        }
        _ => Ok(()),
    }
}

struct Session<'a> {
    context: SessionContext,
    access: Access,
    format: RowFormat,
    output: Option<&'a str>,
    cancel: &'a CancellationToken,
    params: &'a Params,
    quiet: bool,
}

impl Session<'_> {
    /// Runs statements in order, up to the first that fails or whose reader goes away.
    async fn all(&self, statements: Vec<Parsed>) -> Result<()> {
        let mut printed = false;
        for statement in statements {
            let place = statement.clone();
            let analyzed = statement.changes() && statement.gives_rows();
            let done = self.one(statement, analyzed, &mut printed).await.map_err(|error| place.located(error))?;
            if done.is_some_and(|written| written.gone) {
                break;
            }
        }
        Ok(())
    }

    async fn one(&self, statement: Parsed, analyzed: bool, printed: &mut bool) -> Result<Option<Written>> {
        let planned = statement::plan(&self.context, statement, self.access, self.params, self.cancel);
        match self.unless_cancelled(planned).await? {
            Statement::Rows(plan) => {
                let rows = self.rows(plan, printed);
                // A change that is analyzed ends by itself, with its load rolled back or its commit waited for.
                let written = if analyzed { rows.await? } else { self.unless_cancelled(rows).await? };
                Ok(Some(written))
            }
            Statement::Change(change) => self.change(&change, printed).await,
            Statement::Done(what) => {
                if !self.quiet {
                    print::note(&what);
                }
                Ok(None)
            }
        }
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "the query was interrupted")),
            done = work => done,
        }
    }

    async fn rows(&self, plan: LogicalPlan, printed: &mut bool) -> Result<Written> {
        let here = std::env::current_dir().unwrap_or_default();
        let physical = physical_plan(&self.context, &plan).await?;
        let mut output = match self.output {
            None => Output::Stdout,
            Some(path) => Output::file(&here, path).await?,
        };
        if !self.part(&mut output, printed).await? {
            return Ok(Written { rows: 0, gone: true });
        }
        let written = write_rows(physical.rows()?, self.format, &mut output).await?;
        output.finish().await?;
        Ok(written)
    }

    /// Makes a change, and says what came of it: a row of counts for programs, a line for people.
    async fn change(&self, change: &Change, printed: &mut bool) -> Result<Option<Written>> {
        let counts = change.run(&self.context).await?;
        if self.output.is_some() || !self.format.is_text() {
            // Stdout, or the file, holds the rows of another statement.
            if !self.quiet {
                print::note(&change.outcome(&counts));
            }
            return Ok(None);
        }
        if self.format == RowFormat::Table {
            return match self.quiet {
                true => Ok(None),
                false => print::out(&(change.outcome(&counts) + "\n")).map(|()| None),
            };
        }
        let mut output = Output::Stdout;
        if !self.part(&mut output, printed).await? {
            return Ok(Some(Written { rows: 0, gone: true }));
        }
        let row = [
            ("rows", counts.staged),
            ("inserted", counts.inserted),
            ("updated", counts.updated),
            ("unchanged", counts.unchanged),
        ];
        let columns = row.map(|(name, count)| (name, Arc::new(UInt64Array::from(vec![count])) as ArrayRef));
        let batch = RecordBatch::try_from_iter(columns).during(ErrorKind::Pipeline, || "counting rows".into())?;
        let rows = RecordBatchStreamAdapter::new(batch.schema(), futures::stream::iter([Ok(batch)]));
        write_rows(Box::pin(rows), self.format, &mut output).await.map(Some)
    }

    /// Parts a result from the one before; `false` where nobody reads any more.
    async fn part(&self, output: &mut Output, printed: &mut bool) -> Result<bool> {
        let apart = matches!(self.format, RowFormat::Table | RowFormat::Csv | RowFormat::Markdown);
        if std::mem::replace(printed, true) && apart { output.write(b"\n").await } else { Ok(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_told_from_sql() {
        for path in ["shop.yaml", "./a/b.YML"] {
            assert!(is_pipeline(path), "{path}");
        }
        for sql in ["SELECT * FROM 'x.yaml'", "SHOW TABLES", "TABLE t", "SELECT 1 -- x.yaml"] {
            assert!(!is_pipeline(sql), "{sql}");
        }
    }
}
