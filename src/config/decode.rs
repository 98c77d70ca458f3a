//! The raw form of a file: each key read and checked by itself, nothing merged yet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection::RawConnection;
use super::decode_end::RawEnd;
use super::decode_field::{self, RawField};
use super::decode_vars::{self, RawVar};
use super::findings::{Finding, Findings, Mark};
use super::node::{Node, Value};
use super::read::{Fields, Given};
use super::vars::{self, Env};
use crate::connector::Registry;
use crate::model::{
    BufferFormat, Compression, Criteria, ExtractMode, LoadMode, LockMode, Lookback, OnDuplicate, Options, PushedPart,
    Verify,
};

/// What decoding needs and fills.
pub(super) struct Cx<'a> {
    pub findings: Findings,
    pub registry: &'a Registry,
    pub env: &'a dyn Env,
    /// The folder of each file, by its index.
    pub bases: Vec<PathBuf>,
    /// The files whose SQL stands at its mark as it is: SQL files.
    pub sql_files: Vec<usize>,
    /// The files that `sql_file` names.
    pub included: Vec<PathBuf>,
}

impl<'a> Cx<'a> {
    pub fn new(registry: &'a Registry, env: &'a dyn Env) -> Self {
        let findings = Findings::default();
        Self { findings, registry, env, bases: Vec::new(), sql_files: Vec::new(), included: Vec::new() }
    }

    /// Takes a file in; relative paths in it start at `folder`.
    pub fn file(&mut self, path: &Path, folder: &Path) -> usize {
        self.bases.push(folder.to_path_buf());
        self.findings.file(path)
    }

    /// Whether SQL at this mark stands there as it is, character by character.
    pub fn is_sql(&self, mark: Mark) -> bool {
        self.sql_files.contains(&mark.file)
    }

    /// The folder that relative paths of the text at `mark` start at.
    pub fn base(&self, mark: Mark) -> &Path {
        self.bases.get(mark.file).map_or(Path::new("."), PathBuf::as_path)
    }
}

/// A pipeline's file or a project's.
#[derive(Debug)]
pub(super) struct RawFile {
    pub mark: Mark,
    pub name: Given<String>,
    pub description: Given<String>,
    pub connections: Given<Vec<RawConnection>>,
    pub vars: Given<Vec<RawVar>>,
    pub source: RawEnd,
    pub target: RawEnd,
    pub buffer: RawBuffer,
    pub extract: RawExtract,
    pub load: RawLoad,
    pub retry: RawRetry,
    pub streams: Given<Vec<RawStream>>,
}

#[derive(Debug, Default)]
pub(super) struct RawBuffer {
    pub format: Given<BufferFormat>,
    pub compression: Given<Compression>,
    pub location: Given<String>,
    pub connection: Given<String>,
    pub grace: Given<Duration>,
    pub lock: Given<LockMode>,
    pub persist: Given<bool>,
    pub cleanup_on_success: Given<bool>,
    pub retain_on_failure: Given<bool>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct RawExtract {
    pub mode: Given<ExtractMode>,
    pub watermark_field: Given<String>,
    pub lookback: Given<Lookback>,
    pub partitions: Given<usize>,
    pub partition_field: Given<String>,
    pub batch_size: Given<usize>,
    pub require_pushdown: Given<Vec<PushedPart>>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct RawLoad {
    pub mode: Given<LoadMode>,
    pub upsert_keys: Given<Vec<(String, Mark)>>,
    pub on_duplicate: Given<OnDuplicate>,
    pub once: Given<bool>,
    pub verify: Given<Verify>,
    pub batch_size: Given<usize>,
    pub options: Given<Options>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct RawRetry {
    pub retries: Given<usize>,
    pub wait: Given<Duration>,
}

#[derive(Debug)]
pub(super) struct RawStream {
    pub mark: Mark,
    pub id: Given<String>,
    pub description: Given<String>,
    pub tags: Given<Vec<(String, Mark)>>,
    pub source: RawEnd,
    pub target: RawEnd,
    pub criteria: Given<Criteria>,
    pub fields: Given<Vec<Option<RawField>>>,
    pub extract: RawExtract,
    pub load: RawLoad,
    pub retry: RawRetry,
}

/// Which of the two files is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Pipeline,
    Project,
}

/// Keys of every file. A pipeline has `streams` besides.
pub(super) const FILE_KEYS: [&str; 12] = [
    "version",
    "name",
    "description",
    "connections",
    "vars",
    "source",
    "target",
    "buffer",
    "extract",
    "load",
    "retries",
    "retry_wait",
];
const STREAM_KEYS: [&str; 11] =
    ["id", "description", "tags", "source", "target", "criteria", "fields", "extract", "load", "retries", "retry_wait"];
/// Attempts after the first at most.
const RETRY_LIMIT: i128 = 100;
/// Rows per batch at most: past this a batch alone would not fit into memory.
const BATCH_LIMIT: i128 = 1 << 24;
/// Parts read at once at most; each is a connection of its own.
const PARTITION_LIMIT: i128 = 1024;

impl RawFile {
    /// Expands the variables of a file's tree and reads it. `None` where it is no map.
    pub fn decode(node: &mut Node, role: Role, cx: &mut Cx<'_>) -> Option<Self> {
        let pending = expand(node, role, cx);
        let (what, more): (_, &[&'static str]) = match role {
            Role::Pipeline => ("a pipeline", &["streams"]),
            Role::Project => ("a project", &[]),
        };
        let known = [&FILE_KEYS[..], more].concat();
        let fields = Fields::open(node, what, &known, &mut cx.findings)?;
        version(&fields, role, &mut cx.findings);
        let name = fields.text("name", &mut cx.findings);
        if role == Role::Pipeline && matches!(name, Given::Absent | Given::Cleared(_)) {
            cx.findings.add(fields.mark, "name is missing", "add `name: my_pipeline`; buffers and reports use it");
        }
        Some(Self {
            mark: fields.mark,
            name,
            description: fields.text("description", &mut cx.findings),
            connections: connections(&fields, pending, cx),
            vars: decode_vars::list(&fields, &mut cx.findings),
            source: RawEnd::default_source(&fields, cx),
            target: RawEnd::default_target(&fields, cx),
            buffer: RawBuffer::decode(&fields, &mut cx.findings),
            extract: RawExtract::decode(&fields, &mut cx.findings),
            load: RawLoad::decode(&fields, &mut cx.findings),
            retry: RawRetry::decode(&fields, &mut cx.findings),
            streams: if role == Role::Pipeline { streams(&fields, cx) } else { Given::Absent },
        })
    }
}

/// Expands all values. What is missing in a project's connection is given back by the connection's name: a project
/// is shared, and a pipeline need not have the passwords of systems that it does not use.
fn expand(node: &mut Node, role: Role, cx: &mut Cx<'_>) -> Vec<(String, Vec<Finding>)> {
    let mut pending = Vec::new();
    let mut found = Vec::new();
    if let Value::Map(entries) = &mut node.value {
        for entry in entries {
            match &mut entry.value.value {
                Value::Map(connections) if role == Role::Project && entry.key == "connections" => {
                    for connection in connections {
                        let mut missing = Vec::new();
                        vars::expand(&mut connection.value, cx.env, &mut missing);
                        pending.push((connection.key.clone(), missing));
                    }
                }
                _ => vars::expand(&mut entry.value, cx.env, &mut found),
            }
        }
    }
    found.into_iter().for_each(|finding| cx.findings.push(finding));
    pending
}

fn version(fields: &Fields<'_>, role: Role, findings: &mut Findings) {
    let given = fields.get("version", |node| match &node.value {
        Value::Scalar(scalar) if scalar.plain && scalar.text == "1" => Some(()),
        _ => {
            findings.add(node.mark, format!("version must be 1, not {}", node.describe()), "write `version: 1`");
            None
        }
    });
    if role == Role::Pipeline && matches!(given, Given::Absent | Given::Cleared(_)) {
        findings.add(fields.mark, "version is missing", "add `version: 1`");
    }
}

fn connections(
    fields: &Fields<'_>,
    mut pending: Vec<(String, Vec<Finding>)>,
    cx: &mut Cx<'_>,
) -> Given<Vec<RawConnection>> {
    fields.get("connections", |node| match &node.value {
        Value::Map(entries) => Some(
            entries
                .iter()
                .map(|entry| {
                    let at = pending.iter().position(|(name, _)| *name == entry.key);
                    let missing = at.map(|i| pending.swap_remove(i).1).unwrap_or_default();
                    RawConnection::decode(entry, missing, cx)
                })
                .collect(),
        ),
        _ => {
            let message = format!("connections must be a map of names, not {}", node.describe());
            cx.findings.add(node.mark, message, "write `name: URL` for each connection");
            None
        }
    })
}

fn streams(fields: &Fields<'_>, cx: &mut Cx<'_>) -> Given<Vec<RawStream>> {
    let given = fields.get("streams", |node| match &node.value {
        Value::List(items) if !items.is_empty() => {
            Some(items.iter().filter_map(|item| RawStream::decode(item, cx)).collect())
        }
        Value::List(_) => {
            cx.findings.add(
                node.mark,
                "streams is empty",
                "add a stream: `- {id: orders, source: orders, target: orders}`",
            );
            None
        }
        _ => {
            let message = format!("streams must be a list, not {}", node.describe());
            cx.findings.add(node.mark, message, "begin each stream with `- id: …`");
            None
        }
    });
    if matches!(given, Given::Absent | Given::Cleared(_)) {
        let hint = "add `streams:` with `- {id: orders, source: orders, target: orders}`";
        cx.findings.add(fields.mark, "streams is missing", hint);
    }
    given
}

impl RawBuffer {
    fn decode(parent: &Fields<'_>, findings: &mut Findings) -> Self {
        let known = [
            "format",
            "compression",
            "location",
            "connection",
            "grace",
            "lock",
            "persist",
            "cleanup_on_success",
            "retain_on_failure",
        ];
        let read = parent.get("buffer", |node| {
            let fields = Fields::open(node, "buffer", &known, findings)?;
            let formats =
                [("parquet", BufferFormat::Parquet), ("memory", BufferFormat::Memory), ("none", BufferFormat::None)];
            let compressions = [
                ("zstd", Compression::Zstd),
                ("snappy", Compression::Snappy),
                ("lz4", Compression::Lz4),
                ("none", Compression::None),
            ];
            Some(Self {
                format: fields.word("format", &formats, findings),
                compression: fields.word("compression", &compressions, findings),
                location: fields.text("location", findings),
                connection: fields.text("connection", findings),
                grace: fields.duration("grace", findings),
                lock: fields.word("lock", &[("wait", LockMode::Wait), ("fail", LockMode::Fail)], findings),
                persist: fields.flag("persist", findings),
                cleanup_on_success: fields.flag("cleanup_on_success", findings),
                retain_on_failure: fields.flag("retain_on_failure", findings),
            })
        });
        read.value().unwrap_or_default()
    }
}

impl RawExtract {
    fn decode(parent: &Fields<'_>, findings: &mut Findings) -> Self {
        let known = [
            "mode",
            "watermark_field",
            "watermark_type",
            "lookback",
            "partitions",
            "partition_field",
            "batch_size",
            "require_pushdown",
        ];
        let read = parent.get("extract", |node| {
            let fields = Fields::open(node, "extract", &known, findings)?;
            // Earlier pipelines name the watermark's type; here it is the column's own.
            fields.text("watermark_type", findings);
            let modes = [("full", ExtractMode::Full), ("incremental", ExtractMode::Incremental)];
            Some(Self {
                mode: fields.word("mode", &modes, findings),
                watermark_field: fields.text("watermark_field", findings),
                lookback: fields.lookback("lookback", findings),
                partitions: count(fields.number("partitions", 1, PARTITION_LIMIT, findings)),
                partition_field: fields.text("partition_field", findings),
                batch_size: count(fields.number("batch_size", 1, BATCH_LIMIT, findings)),
                require_pushdown: fields.words("require_pushdown", &PushedPart::ALL, findings),
            })
        });
        match read {
            Given::Broken(mark) => Self::broken(mark),
            read => read.value().unwrap_or_default(),
        }
    }

    /// Of a whole map that is wrong, nothing is known.
    fn broken(mark: Mark) -> Self {
        Self {
            mode: Given::Broken(mark),
            watermark_field: Given::Broken(mark),
            lookback: Given::Broken(mark),
            ..Self::default()
        }
    }
}

impl RawLoad {
    fn decode(parent: &Fields<'_>, findings: &mut Findings) -> Self {
        let known = ["mode", "upsert_keys", "on_duplicate", "once", "verify", "batch_size", "options"];
        let read = parent.get("load", |node| {
            let fields = Fields::open(node, "load", &known, findings)?;
            let modes = [LoadMode::Append, LoadMode::Replace, LoadMode::Upsert].map(|mode| (mode.as_str(), mode));
            Some(Self {
                mode: fields.word("mode", &modes, findings),
                upsert_keys: fields.texts("upsert_keys", findings),
                on_duplicate: fields.word("on_duplicate", &[("error", OnDuplicate::Error)], findings),
                once: fields.flag("once", findings),
                verify: fields.word("verify", &[("counts", Verify::Counts), ("checksum", Verify::Checksum)], findings),
                batch_size: count(fields.number("batch_size", 1, BATCH_LIMIT, findings)),
                options: fields.options("options", findings),
            })
        });
        match read {
            Given::Broken(mark) => {
                Self { mode: Given::Broken(mark), upsert_keys: Given::Broken(mark), ..Self::default() }
            }
            read => read.value().unwrap_or_default(),
        }
    }
}

impl RawRetry {
    fn decode(parent: &Fields<'_>, findings: &mut Findings) -> Self {
        let retries = count(parent.number("retries", 0, RETRY_LIMIT, findings));
        Self { retries, wait: parent.duration("retry_wait", findings) }
    }
}

impl RawStream {
    fn decode(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        let fields = Fields::open(node, "a stream", &STREAM_KEYS, &mut cx.findings)?;
        let id = fields.text("id", &mut cx.findings);
        if matches!(id, Given::Absent | Given::Cleared(_)) {
            cx.findings.add(fields.mark, "a stream has no id", "add `id: orders`");
        }
        let criteria = fields.get("criteria", |node| criteria(node, &mut cx.findings));
        Some(Self {
            mark: fields.mark,
            id,
            description: fields.text("description", &mut cx.findings),
            tags: fields.texts("tags", &mut cx.findings),
            source: RawEnd::source(&fields, cx),
            target: RawEnd::target(&fields, cx),
            criteria,
            fields: fields.get("fields", |node| decode_field::list(node, &mut cx.findings)),
            extract: RawExtract::decode(&fields, &mut cx.findings),
            load: RawLoad::decode(&fields, &mut cx.findings),
            retry: RawRetry::decode(&fields, &mut cx.findings),
        })
    }
}

fn criteria(node: &Node, findings: &mut Findings) -> Option<Criteria> {
    let fields = Fields::open(node, "criteria", &["where", "limit"], findings)?;
    let limit = fields.number("limit", 0, i128::from(u64::MAX), findings).value();
    Some(Criteria {
        filter: fields.text("where", findings).value(),
        limit: limit.and_then(|limit| u64::try_from(limit).ok()),
    })
}

/// A number that is within its bounds as what the model takes.
fn count(given: Given<i128>) -> Given<usize> {
    match given {
        Given::Is(number, mark) => usize::try_from(number).map_or(Given::Broken(mark), |n| Given::Is(n, mark)),
        Given::Absent => Given::Absent,
        Given::Cleared(mark) => Given::Cleared(mark),
        Given::Broken(mark) => Given::Broken(mark),
    }
}
