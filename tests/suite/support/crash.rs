//! Transfers that are killed: a target of each kind, how it is before, and what has to be true afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime};

use datafusion::arrow::array::{Int64Array, StringArray};

use super::{Project, env, mysql, psql, sqlite3, write_parquet};

/// Where the rows go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Postgres,
    Mysql,
    Sqlite,
    Folder,
    File,
}

/// What the load does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The target is not there before.
    Create,
    Replace,
    /// A replace by key.
    Keyed,
    /// A replace by a table aside.
    Swap,
    /// A replace without a buffer.
    Unbuffered,
    /// A replace whose buffer stays, with a mark.
    Kept,
    Upsert,
    /// An append of what is past the watermark.
    Incremental,
    /// An append of all.
    Append,
}

impl Target {
    pub fn takes(self, mode: Mode) -> bool {
        match self {
            Self::Postgres => true,
            Self::Mysql => mode != Mode::Keyed,
            Self::Sqlite => !matches!(mode, Mode::Keyed | Mode::Swap),
            Self::Folder => !matches!(mode, Mode::Keyed | Mode::Swap | Mode::Upsert),
            Self::File => matches!(mode, Mode::Create | Mode::Replace | Mode::Unbuffered),
        }
    }
}

impl Mode {
    fn appends(self) -> bool {
        matches!(self, Self::Append | Self::Incremental)
    }

    fn yaml(self) -> &'static str {
        match self {
            Self::Create | Self::Replace | Self::Unbuffered | Self::Kept => "{mode: replace}",
            Self::Keyed => "{mode: replace, options: {replace_strategy: keyed}}",
            Self::Swap => "{mode: replace, options: {replace_strategy: swap}}",
            Self::Upsert => "{mode: upsert, upsert_keys: [id]}",
            Self::Incremental | Self::Append => "{mode: append}",
        }
    }
}

/// What an undisturbed run does.
#[derive(Clone)]
pub struct Reference {
    pub before: String,
    pub after: String,
    rows_after: String,
    /// After the load has been repeated by mistake.
    twice: Option<String>,
    /// The points in the order in which they were passed.
    pub passed: Arc<Vec<String>>,
    pub took: Duration,
}

impl Reference {
    /// The first, the middle and the last pass of each point, and more of one that each statement passes.
    pub fn kills(&self) -> Vec<(String, u64)> {
        let mut counts = BTreeMap::<&str, u64>::new();
        for name in self.passed.iter() {
            *counts.entry(name).or_default() += 1;
        }
        let mut kills = Vec::new();
        for (name, count) in counts {
            let steps = if name.ends_with(".statement") { 8 } else { 2 };
            let mut at: Vec<u64> = (0..=steps).map(|step| 1 + (count - 1) * step / steps).collect();
            at.dedup();
            kills.extend(at.into_iter().map(|at| (name.to_string(), at)));
        }
        kills
    }
}

/// A run that was killed, and the points that it passed before.
pub struct Killed {
    passed: Vec<String>,
    /// Whether it was killed at the last of them, and not somewhere behind it.
    exactly: bool,
}

/// A project and a target of its own, which can be put back to how it was.
pub struct Bench {
    pub target: Target,
    pub mode: Mode,
    project: Project,
    /// The schema in PostgreSQL, and the name of its sessions; the database in MySQL.
    schema: String,
}

const OLD: std::ops::RangeInclusive<i64> = 1..=300;
static NEXT: AtomicU32 = AtomicU32::new(0);

type Columns = Vec<(&'static str, datafusion::arrow::array::ArrayRef)>;

fn rows(ids: impl Iterator<Item = i64> + Clone, name: &str) -> Columns {
    vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("name", Arc::new(StringArray::from_iter_values(ids.clone().map(|id| format!("{name} {id}"))))),
        ("v", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("g", Arc::new(Int64Array::from_iter_values(ids.map(|id| id % 10)))),
    ]
}

impl Bench {
    pub fn new(target: Target, mode: Mode) -> Self {
        let schema = format!("crash{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let bench = Self { target, mode, project: Project::new(), schema };
        assert!(target.takes(mode));
        // What is new overlaps with what is there, but for an append.
        let new = if mode.appends() { 301..=1300 } else { 201..=1200 };
        write_parquet(&bench.project.path("in.parquet"), rows(new, "new"));
        let connection = match target {
            Target::Postgres => format!("'{}?application_name={}'", env("DXT_TEST_PG_URL"), bench.schema),
            Target::Mysql => format!("'{}/{}'", env("DXT_TEST_MYSQL_URL").trim_end_matches("/dxt"), bench.schema),
            Target::Sqlite => "sqlite:///t.db".into(),
            Target::Folder | Target::File => "{type: file, path: ./out/}".into(),
        };
        let value = match target {
            Target::Postgres => format!("{}.t", bench.schema),
            Target::Mysql | Target::Sqlite => "t".into(),
            Target::Folder => "t/".into(),
            Target::File => "t.parquet".into(),
        };
        let extract = match mode {
            Mode::Incremental => "{mode: incremental, watermark_field: v, batch_size: 250}",
            _ => "{batch_size: 250}",
        };
        let buffer = match mode {
            Mode::Unbuffered => "buffer: {format: none}\n",
            Mode::Kept => "buffer: {persist: true}\n",
            _ => "",
        };
        let yaml = format!(
            "version: 1\nname: p\nconnections:\n  files: {{type: file, path: .}}\n  sys: {connection}\n{buffer}streams:\n  \
             - id: s\n    source: {{connection: files, value: in.parquet}}\n    target: {{connection: sys, value: '{value}'}}\n    \
             extract: {extract}\n    load: {}\n",
            mode.yaml()
        );
        bench.project.write("p.yaml", &yaml);
        bench
    }

    /// The target has a key, but where a load that is repeated by mistake has to be seen and not refused.
    fn keyed(&self, tables: &str) -> String {
        tables.replace("{key}", if self.mode == Mode::Append { "" } else { "PRIMARY KEY" })
    }

    /// Puts the target and the buffer back to how they are before.
    fn reset(&self) {
        let _ = fs::remove_dir_all(self.project.path(".dxt"));
        let there = self.mode != Mode::Create;
        match self.target {
            Target::Postgres => {
                let schema = &self.schema;
                let table = if there { self.keyed(TABLES).replace("{s}", schema) } else { String::new() };
                psql(&format!(
                    "SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};{table}"
                ));
            }
            Target::Mysql => {
                let schema = &self.schema;
                let tables = if self.mode == Mode::Swap { MYSQL_TABLE } else { MYSQL_TABLES };
                let tables = if there { self.keyed(tables) } else { String::new() };
                mysql(&format!("DROP DATABASE IF EXISTS {schema}; CREATE DATABASE {schema}; USE {schema};{tables}"));
            }
            Target::Sqlite => {
                for name in ["t.db", "t.db-journal", "t.db-wal", "t.db-shm"] {
                    let _ = fs::remove_file(self.project.path(name));
                }
                let template = self.project.path("template.db");
                if there && !template.exists() {
                    sqlite3(&template, &self.keyed(SQLITE_TABLES));
                }
                if there {
                    fs::copy(template, self.project.path("t.db")).unwrap();
                }
            }
            Target::Folder | Target::File => {
                let _ = fs::remove_dir_all(self.project.path("out"));
                let name = if self.target == Target::File { "out/t.parquet" } else { "out/t/old.parquet" };
                if there {
                    write_parquet(&self.project.path(name), rows(OLD, "old"));
                } else {
                    fs::create_dir(self.project.path("out")).unwrap();
                }
            }
        }
    }

    /// The first point behind the target's commit.
    fn committed(&self) -> &'static str {
        match (self.target, self.mode) {
            (Target::Postgres, _) => "postgres.committed",
            (Target::Mysql, Mode::Create | Mode::Swap) => "mysql.aside.placed",
            (Target::Mysql, _) => "mysql.committed",
            (Target::Sqlite, _) => "sqlite.end.after",
            (Target::File, _) => "file.replace.after",
            (Target::Folder, mode) if mode.appends() => "file.part.published",
            (Target::Folder, Mode::Create) => "file.folder.placed",
            (Target::Folder, _) => "file.exchange.after",
        }
    }

    fn dxt(&self, command: &str) -> super::Ran {
        self.project.dxt(&[command, "p.yaml", "--quiet"])
    }

    /// The rows by the system's own client, as their number and a digest.
    fn rows(&self) -> String {
        match self.target {
            Target::Postgres => {
                // Sessions of a killed run end when the server notices; one that went on to commit would be one too many.
                let schema = &self.schema;
                psql(&WAIT.replace("{app}", schema));
                if psql(&format!("SELECT to_regclass('{schema}.t')")) == "NULL" {
                    return "missing".into();
                }
                psql(&format!(
                    "SELECT count(*), md5(string_agg((id, name, v, g)::text, ',' ORDER BY id, name)) FROM {schema}.t"
                ))
            }
            Target::Mysql => {
                let schema = &self.schema;
                self.mysql_sessions_end();
                let there = format!(
                    "SELECT count(*) FROM information_schema.tables WHERE table_schema = '{schema}' AND table_name = 't'"
                );
                if mysql(&there) == "0" {
                    return "missing".into();
                }
                let rows = mysql(&format!("SELECT id, name, v, g FROM {schema}.t ORDER BY id, name"));
                let mut digest = DefaultHasher::new();
                rows.hash(&mut digest);
                format!("{} {:x}", rows.lines().count(), digest.finish())
            }
            Target::Sqlite => {
                let file = self.project.path("t.db");
                if !file.exists() || sqlite3(&file, "SELECT count(*) FROM sqlite_master WHERE name = 't'") == "0" {
                    return "missing".into();
                }
                let rows = sqlite3(&file, "SELECT id, name, v, g FROM t ORDER BY id, name");
                let mut digest = DefaultHasher::new();
                rows.hash(&mut digest);
                format!("{} {:x}", rows.lines().count(), digest.finish())
            }
            Target::Folder => pyarrow(self.project.path("out/t")),
            Target::File => pyarrow(self.project.path("out/t.parquet")),
        }
    }

    /// Waits for a run's sessions to end, and fails where they do not.
    fn mysql_sessions_end(&self) {
        let ask = format!("SELECT count(*) FROM information_schema.processlist WHERE db = '{}'", self.schema);
        let begun = Instant::now();
        while mysql(&ask) != "0" {
            assert!(begun.elapsed() < Duration::from_secs(10), "a session of a killed run is left");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The rows, and what the target's trigger has written: a load that did not commit must not have fired either.
    fn state(&self) -> String {
        let rows = self.rows();
        let fired = match self.target {
            _ if self.mode == Mode::Create => String::new(),
            Target::Postgres => {
                psql(&format!("SELECT op, count(*) FROM {}.audit GROUP BY op ORDER BY op", self.schema))
            }
            Target::Mysql if self.mode == Mode::Swap => String::new(),
            Target::Mysql => mysql(&format!("SELECT op, count(*) FROM {}.audit GROUP BY op ORDER BY op", self.schema)),
            Target::Sqlite => {
                sqlite3(&self.project.path("t.db"), "SELECT op, count(*) FROM audit GROUP BY op ORDER BY op")
            }
            _ => String::new(),
        };
        format!("{rows}\n{fired}")
    }

    /// Runs it undisturbed.
    pub fn reference(&self) -> Reference {
        self.reset();
        let (before, log, begun) = (self.state(), self.project.path("points"), Instant::now());
        let named = log.to_string_lossy().into_owned();
        self.project.dxt_with(&["run", "p.yaml", "--quiet"], &[("DXT_FAILPOINT_LOG", &named)]).exits(0);
        let took = begun.elapsed();
        let passed = self.passed();
        assert!(!passed.is_empty(), "dxt has no fail points: build it with --features failpoints, as tests/run does");
        assert!(passed.iter().any(|p| p == self.committed()), "{} is not among {passed:?}", self.committed());
        let (after, rows_after) = (self.state(), self.rows());
        let twice = (self.mode == Mode::Append).then(|| {
            self.dxt("run").exits(0);
            self.rows()
        });
        assert_ne!(before, after);
        Reference { before, after, rows_after, twice, passed: Arc::new(passed), took }
    }

    fn passed(&self) -> Vec<String> {
        let log = self.project.path("points");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines().map(str::to_string).collect()
    }

    /// Kills a run when it passes a point for the `at`th time.
    pub fn kill_at(&self, point: &str, at: u64) -> Killed {
        self.reset();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
        command.args(["run", "p.yaml", "--quiet"]).current_dir(self.project.root());
        command.env("DXT_FAILPOINT", format!("{point}=kill@{at}"));
        command.env("DXT_FAILPOINT_LOG", self.project.path("points"));
        let output = command.output().unwrap();
        let killed = Killed { passed: self.passed(), exactly: true };
        assert_eq!(output.status.signal(), Some(9), "not killed: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(killed.passed.iter().filter(|p| *p == point).count() as u64, at, "killed elsewhere");
        assert_eq!(killed.passed.last().map(String::as_str), Some(point), "went on behind the point");
        killed
    }

    /// Kills a run after a time; none where it has ended before.
    pub fn kill_after(&self, time: Duration) -> Option<Killed> {
        self.reset();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
        command.args(["run", "p.yaml", "--quiet"]).current_dir(self.project.root());
        command.env("DXT_FAILPOINT_LOG", self.project.path("points"));
        let mut child = command.spawn().unwrap();
        std::thread::sleep(time);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let killed = Killed { passed: self.passed(), exactly: false };
        (status.signal() == Some(9)).then_some(killed)
    }

    /// All that has to be true after a kill; whether the target had been committed.
    pub fn check_and_recover(&self, reference: &Reference, killed: &Killed) -> bool {
        let state = self.state();
        let committed = state == reference.after;
        if killed.passed.iter().any(|p| p == self.committed()) {
            assert_eq!(state, reference.after, "committed, and not as after");
        } else if killed.exactly {
            assert_eq!(state, reference.before, "not committed, and not as before");
        } else {
            // The commit itself lies between two points: a kill at a random time may fall on either side of it.
            assert!(committed || state == reference.before, "neither before nor after: {state}");
        }
        self.age();
        let buffered = self.buffers() > 0;
        if buffered {
            let ran = self.dxt("load");
            // A load that was done already may be refused; it may not be done again.
            if !(committed && self.mode.appends()) {
                assert_eq!(ran.code, 0, "dxt load: {}", ran.err);
            }
            let rows = self.rows();
            let twice = reference.twice.as_ref().filter(|_| committed && self.target == Target::Folder);
            assert!(rows == reference.rows_after || Some(&rows) == twice, "after dxt load: {rows}");
        }
        // A full append that is run again appends again, as it should.
        if self.mode != Mode::Append || !(buffered || committed) {
            let ran = self.dxt("run");
            assert_eq!(ran.code, 0, "dxt run: {}", ran.err);
            assert_eq!(self.rows(), reference.rows_after, "after dxt run");
        }
        self.nothing_is_left();
        committed
    }

    /// Makes what the killed run has left older than it is, as what is new is left alone.
    fn age(&self) {
        let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
        let age = |dir: PathBuf| {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with('.') {
                    fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
                }
            }
        };
        age(self.project.path("out"));
        age(self.project.path("out/t"));
    }

    /// Buffers that are committed and not loaded.
    fn buffers(&self) -> usize {
        let runs = fs::read_dir(self.project.path(".dxt/buffer/p/s")).into_iter().flatten().flatten();
        runs.filter(|run| run.path().join("manifest.json").exists() && !run.path().join("loaded").exists()).count()
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.buffers(), 0, "a buffer is left");
        match self.target {
            Target::Postgres => {
                let schema = &self.schema;
                // `dxt_loads` is the ledger of loads that are done.
                let tables = psql(&format!(
                    "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relkind = 'r' \
                     AND relnamespace = '{schema}'::regnamespace AND relname <> 'dxt_loads'"
                ));
                assert_eq!(tables, if self.mode == Mode::Create { "t" } else { "audit,groups,t" });
                psql(&WAIT.replace("{app}", schema));
            }
            Target::Mysql => {
                let tables = mysql(&format!(
                    "SELECT group_concat(table_name ORDER BY table_name) FROM information_schema.tables \
                     WHERE table_schema = '{}' AND table_name <> 'dxt_loads'",
                    self.schema
                ));
                assert_eq!(tables, if matches!(self.mode, Mode::Create | Mode::Swap) { "t" } else { "audit,groups,t" });
                self.mysql_sessions_end();
            }
            Target::Sqlite => {
                for name in ["t.db-journal", "t.db-wal"] {
                    assert!(!self.project.path(name).exists(), "{name}");
                }
            }
            Target::Folder | Target::File => {
                for dir in ["out", "out/t"] {
                    for entry in fs::read_dir(self.project.path(dir)).into_iter().flatten().flatten() {
                        let name = entry.file_name();
                        assert!(!name.to_string_lossy().starts_with('.'), "{name:?} is left in {dir}");
                    }
                }
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.target == Target::Mysql {
            mysql(&format!("DROP DATABASE IF EXISTS {}", self.schema));
        }
        if self.target == Target::Postgres {
            psql(&format!("SET client_min_messages = warning; DROP SCHEMA IF EXISTS {} CASCADE", self.schema));
        }
    }
}

/// A table with rows, a trigger that notes every change, and a foreign key.
const TABLES: &str = "
CREATE TABLE {s}.groups (g bigint PRIMARY KEY);
INSERT INTO {s}.groups SELECT generate_series(0, 9);
CREATE TABLE {s}.audit (op text, id bigint);
CREATE TABLE {s}.t (id bigint {key}, name text, v bigint, g bigint REFERENCES {s}.groups);
INSERT INTO {s}.t SELECT i, 'old ' || i, i, i % 10 FROM generate_series(1, 300) i;
CREATE FUNCTION {s}.note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO {s}.audit VALUES (TG_OP, coalesce(NEW.id, OLD.id)); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {s}.t FOR EACH ROW EXECUTE FUNCTION {s}.note();";

const SQLITE_TABLES: &str = "
CREATE TABLE groups (g BIGINT PRIMARY KEY);
INSERT INTO groups WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n;
CREATE TABLE audit (op TEXT, id BIGINT);
CREATE TABLE t (id BIGINT {key}, name TEXT, v BIGINT, g BIGINT REFERENCES groups);
INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    SELECT i, 'old ' || i, i, i % 10 FROM n;
CREATE TRIGGER on_insert AFTER INSERT ON t BEGIN INSERT INTO audit VALUES ('insert', NEW.id); END;
CREATE TRIGGER on_update AFTER UPDATE ON t BEGIN INSERT INTO audit VALUES ('update', NEW.id); END;
CREATE TRIGGER on_delete AFTER DELETE ON t BEGIN INSERT INTO audit VALUES ('delete', OLD.id); END;";

const MYSQL_TABLES: &str = "
CREATE TABLE `groups` (g BIGINT PRIMARY KEY);
INSERT INTO `groups` WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n;
CREATE TABLE audit (op VARCHAR(9), id BIGINT);
CREATE TABLE t (id BIGINT {key}, name VARCHAR(50), v BIGINT, g BIGINT, FOREIGN KEY (g) REFERENCES `groups` (g));
INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    SELECT i, concat('old ', i), i, i % 10 FROM n;
CREATE TRIGGER on_insert AFTER INSERT ON t FOR EACH ROW INSERT INTO audit VALUES ('insert', NEW.id);
CREATE TRIGGER on_update AFTER UPDATE ON t FOR EACH ROW INSERT INTO audit VALUES ('update', NEW.id);
CREATE TRIGGER on_delete AFTER DELETE ON t FOR EACH ROW INSERT INTO audit VALUES ('delete', OLD.id);";

/// The same with nothing that hangs on it.
const MYSQL_TABLE: &str = "
CREATE TABLE t (id BIGINT {key}, name VARCHAR(50), v BIGINT, g BIGINT);
INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    SELECT i, concat('old ', i), i, i % 10 FROM n;";

/// Waits for a run's sessions to end, and fails where they do not.
const WAIT: &str = "DO $$ BEGIN
    FOR i IN 1..1000 LOOP
        PERFORM pg_stat_clear_snapshot();
        IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '{app}') THEN RETURN; END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE 'a session of a killed run is left';
END $$";

/// One Python for all questions, as starting it takes longer than they do.
struct Asked {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

const READER: &str = r#"
import sys, os, glob, hashlib
import pyarrow.parquet as pq
for path in sys.stdin:
    path = path.rstrip("\n")
    if not os.path.exists(path):
        print("missing", flush=True)
        continue
    files = [path] if os.path.isfile(path) else sorted(f for f in glob.glob(os.path.join(path, "*")))
    rows = []
    for f in files:
        rows += [tuple(r.values()) for r in pq.read_table(f, partitioning=None).to_pylist()]
    print(len(rows), hashlib.md5(repr(sorted(rows)).encode()).hexdigest(), flush=True)
"#;

static PYTHON: LazyLock<Mutex<Asked>> = LazyLock::new(|| {
    let mut command = Command::new(env("DXT_TEST_PYTHON"));
    command.args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    Mutex::new(Asked { _child: child, stdin, stdout })
});

/// The rows of a Parquet file or of a folder of them, by pyarrow.
fn pyarrow(path: PathBuf) -> String {
    let mut python = PYTHON.lock().unwrap();
    writeln!(python.stdin, "{}", path.display()).unwrap();
    let mut line = String::new();
    assert!(python.stdout.read_line(&mut line).unwrap() > 0, "pyarrow cannot read {}", path.display());
    line.trim_end().to_string()
}
