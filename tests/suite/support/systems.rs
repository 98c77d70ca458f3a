//! Every system that the conformance suite runs over, as source and target.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Project, env, mysql, mysql_in, psql, python, sqlite3};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Postgres,
    Mysql,
    Sqlite,
    Parquet,
    Csv,
    Jsonl,
    Ipc,
}

/// One system with a place of its own for one test.
pub struct System {
    pub project: Project,
    pub kind: Kind,
    schema: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Prints a file's or folder's rows as the other clients do.
const READ_FILES: &str = r#"
import sys, os, glob, csv, json
import pyarrow as pa, pyarrow.parquet as pq, pyarrow.ipc as ipc
path, fmt = sys.argv[1:3]
files = sorted(f for f in glob.glob(os.path.join(path, "*")) if not os.path.basename(f).startswith((".", "_"))) if os.path.isdir(path) else [path]
rows = []
for f in files:
    if fmt == "csv":
        # A quoted empty field is text, an unquoted one NULL: csv cannot tell, and no test here needs it to.
        with open(f, newline="") as h:
            rows += [[("NULL" if v == "" else v) for v in r] for r in list(csv.reader(h))[1:]]
        continue
    if fmt == "jsonl":
        names = None
        for line in open(f):
            r = json.loads(line)
            names = names or list(r)
            rows.append([r.get(n) for n in names])
        continue
    table = pq.read_table(f, partitioning=None) if fmt == "parquet" else ipc.open_file(f).read_all()
    rows += [list(r.values()) for r in table.to_pylist()]
for r in rows:
    print("|".join("NULL" if v is None else str(v) for v in r))
"#;

impl System {
    pub fn new(kind: Kind) -> Self {
        let schema = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        if kind == Kind::Postgres {
            psql(&format!("CREATE SCHEMA {schema}"));
        }
        if kind == Kind::Mysql {
            mysql(&format!("CREATE DATABASE {schema}"));
        }
        Self { project: Project::new(), kind, schema }
    }

    fn extension(&self) -> &'static str {
        match self.kind {
            Kind::Parquet => "parquet",
            Kind::Csv => "csv",
            Kind::Jsonl => "jsonl",
            Kind::Ipc => "arrow",
            _ => "",
        }
    }

    pub fn is_file(&self) -> bool {
        !self.extension().is_empty()
    }

    pub fn can_upsert(&self) -> bool {
        !self.is_file()
    }

    /// The connection as YAML.
    pub fn connection(&self) -> String {
        match self.kind {
            Kind::Postgres => format!("'{}'", env("DXT_TEST_PG_URL")),
            Kind::Mysql => format!("'{}'", env("DXT_TEST_MYSQL_URL")),
            Kind::Sqlite => "sqlite:///t.db".into(),
            _ => "{type: file, path: ./out/}".into(),
        }
    }

    /// A table as a target that can be appended to and replaced, as YAML.
    pub fn target(&self, table: &str) -> String {
        match self.kind {
            Kind::Postgres | Kind::Mysql => format!("'{}.{}'", self.schema, quoted(table)),
            Kind::Sqlite => format!("'{}'", quoted(table)),
            _ => format!("{{value: '{table}/', options: {{format: {}}}}}", self.extension()),
        }
    }

    /// The same table as a source.
    pub fn source(&self, table: &str) -> String {
        self.target(table)
    }

    /// Runs SQL in the system's own place, by its client.
    pub fn sql(&self, sql: &str) -> String {
        match self.kind {
            Kind::Postgres => psql(&format!("SET search_path = {}; {sql}", self.schema)),
            Kind::Mysql => mysql_in(&self.schema, sql),
            _ => sqlite3(&self.project.path("t.db"), sql),
        }
    }

    /// The schema or database that it has for itself.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table as SQL of its own system names it.
    pub fn sql_name(&self, table: &str) -> String {
        match self.kind {
            Kind::Postgres => format!("{}.{}", self.schema, quoted(table)),
            Kind::Mysql => format!("{}.`{}`", self.schema, table.replace('`', "``")),
            _ => quoted(table),
        }
    }

    fn folder(&self, table: &str) -> PathBuf {
        self.project.path("out").join(table)
    }

    /// All rows, sorted, as text by the system's own client.
    pub fn rows(&self, table: &str) -> Vec<String> {
        let name = self.sql_name(table);
        let text = match self.kind {
            Kind::Postgres => psql(&format!("SELECT * FROM {name}")),
            Kind::Mysql => mysql(&format!("SELECT * FROM {name}")),
            Kind::Sqlite => sqlite3(&self.project.path("t.db"), &format!("SELECT * FROM {name}")),
            _ => {
                let folder = self.folder(table);
                let format = if self.kind == Kind::Ipc { "ipc" } else { self.extension() };
                python(READ_FILES, &[&folder.to_string_lossy(), format])
            }
        };
        let mut rows: Vec<String> = text.lines().map(str::to_string).collect();
        rows.sort();
        rows
    }

    /// A pipeline of one stream `s` from Parquet files of the project into a table of this system.
    pub fn load(&self, file: &str, table: &str, rest: &str) -> String {
        format!(
            "version: 1\nname: p\nconnections:\n  files: {{type: file, path: .}}\n  sys: {}\nstreams:\n  - id: s\n    \
             source: {{connection: files, value: {file}}}\n    target: {}\n{rest}",
            self.connection(),
            with_connection(&self.target(table)),
        )
    }

    /// A pipeline of one stream `s` from a table of this system into a Parquet file `back.parquet`.
    pub fn unload(&self, table: &str, rest: &str) -> String {
        format!(
            "version: 1\nname: q\nconnections:\n  files: {{type: file, path: .}}\n  sys: {}\nstreams:\n  - id: s\n    \
             source: {}\n    target: {{connection: files, value: back.parquet}}\n    load: {{mode: replace}}\n{rest}",
            self.connection(),
            with_connection(&self.source(table)),
        )
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.kind == Kind::Postgres && !std::thread::panicking() {
            psql(&format!("SET client_min_messages = warning; DROP SCHEMA {} CASCADE", self.schema));
        }
        if self.kind == Kind::Mysql && !std::thread::panicking() {
            mysql(&format!("DROP DATABASE {}", self.schema));
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn with_connection(value: &str) -> String {
    match value.strip_prefix('{') {
        Some(rest) => format!("{{connection: sys, {rest}"),
        None => format!("{{connection: sys, value: {value}}}"),
    }
}
