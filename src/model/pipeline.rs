//! A pipeline with all defaults merged: what a stream says here is all that holds for it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConnectionConfig, FieldSpec, Options, Params, RelationName};
use crate::error::Position;

/// A checked pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name; buffers and reports use it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Every connection that it names, inline ones included, under names unique in the pipeline.
    pub connections: Vec<ConnectionConfig>,
    /// The variables that its SQL may name as `$name`.
    pub params: Params,
    /// Where extracted rows wait for their load.
    pub buffer: BufferConfig,
    /// What is moved, in the order of the file.
    pub streams: Vec<Stream>,
    /// The folder that relative paths start at.
    pub base_dir: PathBuf,
}

impl Pipeline {
    /// The connection with this name.
    pub fn connection(&self, name: &str) -> Option<&ConnectionConfig> {
        self.connections.iter().find(|c| c.name == name)
    }
}

/// One dataset to move.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Unique in the pipeline.
    pub id: String,
    /// What it is for.
    pub description: Option<String>,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// Where rows come from.
    pub source: Source,
    /// Where they go.
    pub target: Target,
    /// Which rows.
    pub criteria: Option<Criteria>,
    /// Which columns; empty: all of the source, as they are.
    pub fields: Vec<FieldSpec>,
    /// How to read.
    pub extract: ExtractConfig,
    /// How to write.
    pub load: LoadConfig,
    /// How often it is tried again.
    pub retry: RetryConfig,
    /// Where the stream stands in its file, for errors.
    pub position: Option<Position>,
    /// Where the first character of its SQL stands in a SQL file.
    pub sql_position: Option<Position>,
}

/// A source of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The connection's name. Of no account for [`SourceKind::Query`].
    pub connection: String,
    /// What to read there.
    pub kind: SourceKind,
    /// The reader's options, such as a CSV's delimiter.
    pub options: Options,
}

/// What to read.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// A table or view.
    Relation(RelationName),
    /// SQL run by the source as it stands.
    Sql(String),
    /// SQL run by DataFusion across connections.
    Query(String),
    /// A file, a glob or a folder, relative to its connection.
    File(String),
}

/// A target of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The connection's name.
    pub connection: String,
    /// What to write there.
    pub kind: TargetKind,
    /// The writer's options, such as `format`.
    pub options: Options,
}

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetKind {
    /// A table.
    Relation(RelationName),
    /// A file, or a folder of parts where the path ends with `/`.
    File(String),
}

/// Which rows of the source to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criteria {
    /// A condition over the source's columns, in DataFusion's SQL.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// At most so many rows.
    pub limit: Option<u64>,
}

/// All rows, or those past the target's watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtractMode {
    Full,
    Incremental,
}

/// How far an incremental extract goes back before the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookback {
    /// For dates and timestamps: `90s`, `15m`, `1h`, `7d`.
    Duration(Duration),
    /// For numbers.
    Count(u64),
}

/// How to read.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractConfig {
    pub mode: ExtractMode,
    /// The id of the field whose greatest value in the target is the watermark. Always set where the mode is incremental.
    pub watermark_field: Option<String>,
    pub lookback: Option<Lookback>,
    /// Parts read at once, where the source can.
    pub partitions: Option<usize>,
    /// The column to part by, where the source cannot choose.
    pub partition_field: Option<String>,
    /// Rows per batch at most.
    pub batch_size: usize,
    /// What has to run at the source: the stream fails where it would not.
    pub require_pushdown: Vec<PushedPart>,
}

impl Default for ExtractConfig {
    fn default() -> Self {
        Self {
            mode: ExtractMode::Full,
            watermark_field: None,
            lookback: None,
            partitions: None,
            partition_field: None,
            batch_size: 65_536,
            require_pushdown: Vec::new(),
        }
    }
}

/// A part of an extract that a source may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushedPart {
    /// Rows are left out there.
    Filter,
    /// Columns are left out, and expressions computed, there.
    Projection,
    /// No more rows than are wanted leave it.
    Limit,
    /// Groups are made there.
    Aggregate,
}

impl PushedPart {
    /// Every part by its name in YAML.
    pub const ALL: [(&'static str, Self); 4] = [
        ("filter", Self::Filter),
        ("projection", Self::Projection),
        ("limit", Self::Limit),
        ("aggregate", Self::Aggregate),
    ];

    /// The name as in YAML.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, part)| *part == self).map_or("filter", |(name, _)| *name)
    }
}

/// What a load does with the rows that the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadMode {
    /// Adds rows.
    Append,
    /// Leaves the target with exactly the rows of this load.
    Replace,
    /// Updates rows of the same key, inserts the others.
    Upsert,
}

impl LoadMode {
    /// The mode as in YAML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Upsert => "upsert",
        }
    }
}

/// What to do with two rows of one key in one load that no watermark tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// The load fails and shows the key.
    Error,
}

/// What is compared before a load commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The rows of each step.
    #[default]
    Counts,
    /// These, and a checksum of each column: of what was read, of the buffer, and of what the target holds.
    Checksum,
}

/// How to write.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadConfig {
    pub mode: LoadMode,
    /// Whether the pipeline says the mode itself: only then a full extract may append to a target that has rows.
    pub mode_explicit: bool,
    /// Field ids that name a row. Never empty where the mode is upsert.
    pub upsert_keys: Vec<String>,
    pub on_duplicate: OnDuplicate,
    /// Whether the run's id is kept in the target's ledger, so that the same rows are never loaded twice. Not said: an
    /// append from a buffer that outlives its process is, where the target can.
    pub once: Option<bool>,
    pub verify: Verify,
    /// Rows per batch at most, where the target takes batches.
    pub batch_size: Option<usize>,
    /// The loader's options.
    pub options: Options,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self {
            mode: LoadMode::Append,
            mode_explicit: false,
            upsert_keys: Vec::new(),
            on_duplicate: OnDuplicate::Error,
            once: None,
            verify: Verify::Counts,
            batch_size: None,
            options: Options::new(),
        }
    }
}

/// How often a stream is tried again after an error that may be gone a little later, and how long it waits before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// Attempts after the first one, of the whole stream together.
    pub retries: u32,
    /// The longest wait before the second attempt. It doubles with each one, up to a minute; how much of it is waited is
    /// drawn by chance, so that streams which failed together do not come back together.
    pub wait: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { retries: 2, wait: Duration::from_secs(1) }
    }
}

/// Where rows wait between extract and load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferFormat {
    Parquet,
    /// In this process; gone with it.
    Memory,
    /// No buffer: one plan from source to target.
    None,
}

/// Compression of Parquet pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    Zstd,
    Snappy,
    Lz4,
    None,
}

/// What a run does that finds another run of the same stream at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// It waits for the other to end.
    Wait,
    /// It fails at once.
    Fail,
}

/// The buffer of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferConfig {
    pub format: BufferFormat,
    pub compression: Compression,
    /// A folder, absolute or from where the process runs once the config is loaded; or the URL of an object store's prefix,
    /// such as `s3://bucket/prefix`. With a connection, a path within that.
    pub location: PathBuf,
    /// The file connection that the location is in, for a store that needs options.
    pub connection: Option<String>,
    /// What has no manifest is removed when it is this old.
    pub grace: Duration,
    /// What a run does that finds another at work.
    pub lock: LockMode,
    /// Keeps the buffer after a load that succeeded.
    pub persist: bool,
    /// Removes the buffer after a load that succeeded, unless `persist`.
    pub cleanup_on_success: bool,
    /// Keeps a committed buffer whose load failed.
    pub retain_on_failure: bool,
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self {
            format: BufferFormat::Parquet,
            compression: Compression::Zstd,
            location: PathBuf::from(".dxt/buffer"),
            connection: None,
            grace: Duration::from_secs(24 * 3_600),
            lock: LockMode::Wait,
            persist: false,
            cleanup_on_success: true,
            retain_on_failure: true,
        }
    }
}
