//! A project folder of its own for each test, the dxt binary, and each system's own client.

pub mod chaos;
mod clients;
pub mod crash;
mod data;
mod peak;
mod proxy;
mod pty;
mod running;
mod spread;
mod systems;
mod web;

pub use clients::{mysql, mysql_in, psql, psql_at, python, sqlite3};
pub use data::{people, write_parquet};
pub use peak::{Measured, measured, measured_script};
pub use proxy::{Fault, port, proxy};
pub use pty::Typist;
pub use running::{Running, wait_for};
pub use spread::Spread;
pub use systems::{Kind, System};
pub use web::{Harm, web};

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `tests/run` exports.
pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `tests/run`"))
}

/// A project in a folder that goes with it.
pub struct Project {
    dir: tempfile::TempDir,
}

/// What a run of dxt left.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// The JSON result's stream.
    #[track_caller]
    pub fn stream(&self, id: &str) -> serde_json::Value {
        let result: serde_json::Value = serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out));
        let streams = result["streams"].as_array().expect("streams");
        streams.iter().find(|s| s["stream"] == id).unwrap_or_else(|| panic!("no stream {id}: {}", self.out)).clone()
    }

    /// rows read, written, updated, unchanged of a stream.
    #[track_caller]
    pub fn counts(&self, id: &str) -> [u64; 4] {
        let stream = self.stream(id);
        ["rows_read", "rows_written", "rows_updated", "rows_unchanged"].map(|k| stream[k].as_u64().expect(k))
    }
}

impl Project {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Runs dxt in the project's folder.
    pub fn dxt(&self, args: &[&str]) -> Ran {
        self.dxt_with(args, &[])
    }

    pub fn dxt_with(&self, args: &[&str], vars: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
        command.args(args).current_dir(self.root()).envs(vars.iter().copied());
        let output = command.output().expect("dxt runs");
        ran(output)
    }

    /// Writes `p.yaml` and runs it with JSON results.
    pub fn run(&self, yaml: &str) -> Ran {
        self.write("p.yaml", yaml);
        self.dxt(&["run", "p.yaml", "--format", "json", "--quiet"])
    }
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
