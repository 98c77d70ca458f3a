//! The arguments of all commands, and the help that teaches them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::VarValues;
use crate::error::{Error, ErrorKind};
use crate::model::{LockMode, param_fault};
use crate::plan::{PlanForm, Resources};

#[derive(Debug, Parser)]
#[command(
    name = "dxt",
    version,
    about = "Declarative SQL transfers: YAML and SQL pipelines compiled to DataFusion plans",
    after_help = "Start with `dxt init shop`, then `dxt run shop/pipeline.yaml`.\n\
                  Exit codes: 0 all is done, 1 a stream, query or connection failed, 2 the command or pipeline is wrong, \
                  130 and 143 interrupted by SIGINT or SIGTERM."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Log what is done to stderr; twice: the SQL that is sent, too
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// No progress and no summary: results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Form of the logs
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
    /// Write the logs to this file and not to stderr
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Extract and load the streams of a pipeline, or of all in a folder
    #[command(
        after_help = "Examples:\n  dxt run shop.yaml\n  dxt run shop.yaml --select 'sales_*,tag:daily' --threads 4\n  \
                            dxt run transfers/ --var day=2026-01-31\n  dxt run shop.yaml --format json > result.json"
    )]
    Run(RunArgs),
    /// Extract into the buffer and leave it there
    Extract(RunArgs),
    /// Load what `extract`, or a run whose load failed, has left in the buffer; sources may be off
    #[command(after_help = "The newest buffer of each stream that is not loaded yet is taken; older ones by --run-id.")]
    Load(LoadArgs),
    /// List, show and remove buffers
    #[command(subcommand)]
    Buffer(BufferCommand),
    /// List the streams of a pipeline
    List(ListArgs),
    /// Check a pipeline; connects to nothing unless asked to
    Validate(ValidateArgs),
    /// Show the plans of each stream, the SQL for its source and the statements for its target; changes nothing
    Explain(ExplainArgs),
    /// Run SQL over connections, buffers and files
    #[command(after_help = "Names in SQL:\n  shop.public.orders        a table of a system with schemas\n  \
        warehouse.orders          a table of a system without (SQLite), or lake.\"a/b.parquet\"\n  \
        buffer.pipeline.stream    the newest committed buffer of a stream; buffer.pipeline.\"stream@run_id\" an older one\n  \
        'data/orders.parquet'     a file, a glob or a folder by its path or URL\n  \
        information_schema        tables, columns, views, schemata; also SHOW TABLES [FROM shop], DESCRIBE name\n\n\
        Statements are parted by semicolons and run in order, up to the first that fails. INSERT INTO and COPY … TO change \
        data and need --write; each is a load like a stream's, all or nothing.\n\n\
        Examples:\n  dxt query \"SELECT count(*) FROM 'orders.parquet'\"\n  \
        dxt query \"SELECT * FROM warehouse.orders LIMIT 5\" shop.yaml --format csv\n  \
        dxt query \"SELECT * FROM db.customers\" --connection db=sqlite:///shop.db --output customers.parquet\n  \
        dxt query -f report.sql shop.yaml --format markdown\n  \
        echo 'SHOW TABLES' | dxt query --project .\n  \
        dxt query --write \"INSERT INTO warehouse.orders SELECT * FROM 'new/*.csv'\" shop.yaml")]
    Query(QueryArgs),
    /// An interactive shell for SQL over connections, buffers and files; without a terminal, statements from stdin
    #[command(after_help = "Statements end with a semicolon; \\? lists the commands, \\h says how tables are named.\n\
        Where stdin or stdout is no terminal, the statements of stdin are run, and their results printed, without a prompt. The first \
        error ends it with exit code 1.\n\n\
        Examples:\n  dxt sql shop.yaml\n  dxt sql --connection db=sqlite:///shop.db\n  dxt sql shop.yaml < report.sql")]
    Sql(SqlArgs),
    /// Test each connection: reachable, version, what it can do
    Test(TestArgs),
    /// Show the tables and fields of a connection, or make a pipeline of them
    #[command(after_help = "Examples:\n  dxt discover shop pipeline.yaml\n  \
                            dxt discover sqlite:///shop.db --format yaml > pipeline.yaml")]
    Discover(DiscoverArgs),
    /// Make a project that runs as it stands
    Init(InitArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct SelectArgs {
    /// The pipeline's YAML or SQL file, or a folder of them
    pub pipeline: PathBuf,
    /// Only these streams: ids, globs (sales_*), tags (tag:daily), `a,b` for or, `a+b` for and, `all`
    #[arg(short, long, value_name = "SELECTOR")]
    pub select: Option<String>,
    /// Not these streams
    #[arg(short, long, value_name = "SELECTOR")]
    pub exclude: Option<String>,
    #[command(flatten)]
    pub vars: VarArgs,
}

#[derive(Debug, Clone, Default, Args)]
pub struct VarArgs {
    /// A value for a variable of the SQL (`$NAME`), bound as a typed value; may be repeated. No place for a secret
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = var)]
    pub vars: Vec<(String, String)>,
}

impl VarArgs {
    /// The values by their names.
    ///
    /// # Errors
    /// Configuration: a variable has two.
    pub fn values(&self) -> Result<VarValues, Error> {
        let mut values = VarValues::new();
        for (name, value) in &self.vars {
            if values.insert(name.clone(), value.clone()).is_some() {
                let error = Error::new(ErrorKind::Configuration, format!("--var {name} is given twice"));
                return Err(error.with_hint("give it one value"));
            }
        }
        Ok(values)
    }
}

/// `NAME=VALUE`, in which the value may be anything.
fn var(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as day=2026-01-31")?;
    match param_fault(name) {
        Some(fault) => Err(fault.into()),
        None => Ok((name.into(), value.into())),
    }
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Run each extract, too, throw its rows away, and show how many each system gave; the target is left alone
    #[arg(long)]
    pub analyze: bool,
    #[command(flatten)]
    pub resources: ResourceArgs,
    /// Form of the plans
    #[arg(short, long, value_enum, default_value_t = ExplainFormat::Indent)]
    pub format: ExplainFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// A line for each node
    Indent,
    /// Boxes
    Tree,
    /// One array of objects, with everything
    Json,
    /// For `dot`
    Graphviz,
}

impl From<ExplainFormat> for PlanForm {
    fn from(format: ExplainFormat) -> Self {
        match format {
            ExplainFormat::Indent => Self::Indent,
            ExplainFormat::Tree => Self::Tree,
            ExplainFormat::Json => Self::Json,
            ExplainFormat::Graphviz => Self::Graphviz,
        }
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Streams at once
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Start no further stream once one has failed
    #[arg(long)]
    pub fail_fast: bool,
    /// Plan everything, check every target, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Attempts after the first of a stream whose error may be gone a little later, in the place of the pipeline's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: Option<u32>,
    #[command(flatten)]
    pub resources: ResourceArgs,
    /// What to do while another run of a stream is at work; else as the pipeline says
    #[arg(long, value_enum)]
    pub lock: Option<LockArg>,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = ResultFormat::Table)]
    pub format: ResultFormat,
}

#[derive(Debug, Args)]
pub struct ResourceArgs {
    /// Memory for the whole process, such as 2GB; half of what the machine or the cgroup has by default
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory_limit: Option<u64>,
    /// Folder for what joins, sorts and groups do not hold in memory; the system's by default
    #[arg(long, value_name = "DIR")]
    pub temp_dir: Option<PathBuf>,
}

impl ResourceArgs {
    /// What they say, for a run or an engine.
    pub fn resources(&self) -> Resources {
        Resources { memory_limit: self.memory_limit, temp_dir: self.temp_dir.clone() }
    }
}

/// A size: bytes, or kB, MB, GB, TB, which are powers of 1024 here as in every memory setting.
fn size(text: &str) -> Result<u64, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(unit_at);
    let power = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err("write a whole number and kB, MB, GB or TB".into()),
    };
    let count: u64 = count.parse().map_err(|_| "write a whole number and kB, MB, GB or TB".to_string())?;
    count.checked_mul(1024_u64.pow(power)).ok_or_else(|| "that is more than any machine has".into())
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// The buffers of this run and not the newest ones; `dxt buffer list` shows them
    #[arg(long, value_name = "ID", conflicts_with = "dry_run")]
    pub run_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LockArg {
    /// Wait for the other run to end
    Wait,
    /// Fail at once
    Fail,
}

impl From<LockArg> for LockMode {
    fn from(lock: LockArg) -> Self {
        match lock {
            LockArg::Wait => Self::Wait,
            LockArg::Fail => Self::Fail,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum BufferCommand {
    /// List buffers and what is left of unfinished ones, the newest first
    List(BufferListArgs),
    /// Show what one buffer holds: its manifest
    Show(BufferShowArgs),
    /// Remove buffers; says what it removed
    Rm(BufferRmArgs),
}

/// Which buffers are looked at.
#[derive(Debug, Args)]
pub struct BufferPlace {
    /// The pipeline whose buffers are meant; without one, all at the location
    pub pipeline: Option<PathBuf>,
    /// A folder or URL of buffers, in the place of the pipeline's own; .dxt/buffer here without either
    #[arg(long, value_name = "DIR", conflicts_with = "pipeline")]
    pub location: Option<String>,
    /// Only those of this stream
    #[arg(long, value_name = "ID")]
    pub stream: Option<String>,
}

#[derive(Debug, Args)]
pub struct BufferListArgs {
    #[command(flatten)]
    pub place: BufferPlace,
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = ResultFormat::Table)]
    pub format: ResultFormat,
}

#[derive(Debug, Args)]
pub struct BufferShowArgs {
    #[command(flatten)]
    pub place: BufferPlace,
    /// The run whose buffer is shown; the newest without it
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Form of the manifest
    #[arg(short, long, value_enum, default_value_t = ResultFormat::Table)]
    pub format: ResultFormat,
}

#[derive(Debug, Args)]
pub struct BufferRmArgs {
    #[command(flatten)]
    pub place: BufferPlace,
    #[command(flatten)]
    pub which: BufferWhich,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = ResultFormat::Table)]
    pub format: ResultFormat,
}

/// What is to be removed; one of them is needed.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct BufferWhich {
    /// What this run has left
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// What has been loaded
    #[arg(long)]
    pub loaded: bool,
    /// What was never loaded and is older than the newest
    #[arg(long)]
    pub superseded: bool,
    /// Everything, also what is not loaded or not committed
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = ResultFormat::Table)]
    pub format: ResultFormat,
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Connect, too: sources, targets and their types are checked as a run would
    #[arg(long)]
    pub connect: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Statements in DataFusion's SQL; `-`, or none in a pipe, reads them from stdin
    pub sql: Option<String>,
    /// A pipeline whose connections and buffers the SQL may name
    pub pipeline: Option<PathBuf>,
    /// Read the SQL from a file; relative paths in it start at its folder
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A folder whose dxt_project.yaml has the connections, and whose .dxt/buffer has the buffers
    #[arg(short, long, value_name = "DIR", conflicts_with = "pipeline")]
    pub project: Option<PathBuf>,
    /// A connection that the SQL may name, beside those of the pipeline or of dxt_project.yaml here
    #[arg(short, long, value_name = "NAME=URL")]
    pub connection: Vec<String>,
    /// Let INSERT INTO and COPY … TO change data
    #[arg(short, long, conflicts_with = "read_only")]
    pub write: bool,
    /// Refuse what changes data; the default
    #[arg(long)]
    pub read_only: bool,
    #[command(flatten)]
    pub vars: VarArgs,
    #[command(flatten)]
    pub resources: ResourceArgs,
    /// Form of the rows; by default as --output is called, else a table
    #[arg(long, value_enum)]
    pub format: Option<RowFormat>,
    /// Write the rows into a file or object, which takes its place when it is whole
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
}

#[derive(Debug, Args)]
pub struct SqlArgs {
    /// A pipeline whose connections and buffers the SQL may name
    pub pipeline: Option<PathBuf>,
    /// The folder of a dxt_project.yaml whose connections the SQL may name, in the place of the one here
    #[arg(long, value_name = "DIR", conflicts_with = "pipeline")]
    pub project: Option<PathBuf>,
    /// A connection that the SQL may name, beside those of the pipeline or project
    #[arg(short, long, value_name = "NAME=URL")]
    pub connection: Vec<String>,
    /// Let INSERT INTO and COPY … TO change data
    #[arg(short, long)]
    pub write: bool,
    #[command(flatten)]
    pub resources: ResourceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// For people
    Table,
    /// With a header
    Csv,
    /// One array of objects
    Json,
    /// One object a line
    Jsonl,
    /// A table for documents
    Markdown,
    /// Compressed by snappy
    Parquet,
    /// Arrow IPC: a stream to stdout, a file with --output
    Arrow,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The pipeline, or folder of them, whose connections are tested; without one, those of dxt_project.yaml here
    pub pipeline: Option<PathBuf>,
    /// A connection beside those
    #[arg(short, long, value_name = "NAME=URL")]
    pub connection: Vec<String>,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = ResultFormat::Table)]
    pub format: ResultFormat,
}

#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// A connection's name, or a URL
    pub connection: String,
    /// The pipeline that names it; without one, dxt_project.yaml here
    pub pipeline: Option<PathBuf>,
    /// Only relations whose name matches this glob
    #[arg(short, long, value_name = "GLOB")]
    pub select: Option<String>,
    /// Form of the listing; yaml is a pipeline that is ready to run
    #[arg(short, long, value_enum, default_value_t = DiscoverFormat::Table)]
    pub format: DiscoverFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiscoverFormat {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The project's name: a folder that is made here
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_name_and_any_text() {
        let pair = |name: &str, value: &str| Ok((name.to_string(), value.to_string()));
        assert_eq!(var("day=2026-01-31"), pair("day", "2026-01-31"));
        assert_eq!(var("_q1=a=b; 'c'"), pair("_q1", "a=b; 'c'"));
        assert_eq!(var("empty="), pair("empty", ""));
        for text in ["", "day", "=x", "1=x", "a b=x", "$day=x", "a-b=x"] {
            assert!(var(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_with_a_unit() {
        for (text, bytes) in
            [("1048576", 1 << 20), ("512MB", 512 << 20), ("2g", 2 << 30), ("1GiB", 1 << 30), ("64 kB", 64 << 10)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "1.5GB", "-1", "2XB", "99999999999TB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
