//! The same tables in several systems: made in PostgreSQL, and copied by dxt into files and other databases.

use std::sync::Arc;

use dxt::config::{self, ProcessEnv};
use dxt::{Engine, Registry};

use super::{Kind, Project, System, env, psql};

/// A database beside PostgreSQL, with tables of one test.
pub struct Database {
    /// The connection's name.
    pub connection: &'static str,
    url: String,
    /// What stands before a table's name in SQL, and in a stream's target.
    in_sql: String,
    in_target: String,
}

impl Database {
    /// SQLite, and MySQL where dxt has a connector for it. `unique` tells the tables of a test from those of others.
    fn all(unique: &str) -> Vec<Self> {
        let mut all = vec![Self {
            connection: "lite",
            url: "sqlite:///lite.db".into(),
            in_sql: "lite.".into(),
            in_target: String::new(),
        }];
        if Registry::builtin().factory("mysql").is_ok() {
            let url = env("DXT_TEST_MYSQL_URL");
            let path = url.split('?').next().and_then(|url| url.rsplit('/').next());
            let database = path.expect("a URL with a database");
            let in_sql = format!("my.{database}.{unique}_");
            all.push(Self { connection: "my", in_sql, in_target: format!("{unique}_"), url });
        }
        all
    }
}

/// Tables of PostgreSQL (connection `pg`), and places for copies of them: Parquet files (`lake`) and the other databases.
/// SQL may name them all, in pipelines and by [`Spread::engine`].
pub struct Spread {
    postgres: System,
    databases: Vec<Database>,
}

impl Spread {
    /// The pipeline's file.
    pub const PIPELINE: &str = "spread.yaml";

    /// Runs SQL that makes tables in a schema of its own.
    pub fn new(sql: &str) -> Self {
        let postgres = System::new(Kind::Postgres);
        let databases = Database::all(postgres.schema());
        let spread = Self { postgres, databases };
        spread.psql(sql);
        spread
    }

    /// Copies the tables into every other place.
    pub fn copy(&self, tables: &[&str]) {
        let places = self.others().into_iter().chain(["lake"]);
        let streams: String = places
            .flat_map(|connection| tables.iter().map(move |table| (connection, table)))
            .map(|(connection, table)| {
                let (source, target) = (self.source(table), self.target(connection, table));
                format!("  - {{id: {connection}_{table}, source: {source}, target: {target}}}\n")
            })
            .collect();
        let rest = "buffer: {format: none}\nload: {mode: replace}\n";
        self.project().write(Self::PIPELINE, &self.pipeline("spread", rest, &streams));
        self.project().dxt(&["run", Self::PIPELINE, "--quiet"]).exits(0);
    }

    pub fn project(&self) -> &Project {
        &self.postgres.project
    }

    /// The schema of the tables in PostgreSQL.
    pub fn schema(&self) -> &str {
        self.postgres.schema()
    }

    /// The connections of the databases beside PostgreSQL.
    pub fn others(&self) -> Vec<&'static str> {
        self.databases.iter().map(|database| database.connection).collect()
    }

    fn database(&self, connection: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.connection == connection)
    }

    /// The name in dxt's SQL of a table in a connection.
    pub fn name(&self, connection: &str, table: &str) -> String {
        match self.database(connection) {
            Some(database) => format!("{}{table}", database.in_sql),
            None if connection == "lake" => format!("lake.\"{table}.parquet\""),
            None => format!("{connection}.{}.{table}", self.schema()),
        }
    }

    /// A table of PostgreSQL as a stream's source or target.
    pub fn source(&self, table: &str) -> String {
        format!("{{connection: pg, value: {}.{table}}}", self.schema())
    }

    /// A table of another connection as a stream's target.
    pub fn target(&self, connection: &str, table: &str) -> String {
        match self.database(connection) {
            Some(database) => format!("{{connection: {connection}, value: {}{table}}}", database.in_target),
            None => format!("{{connection: {connection}, value: {table}.parquet}}"),
        }
    }

    /// A pipeline that names all connections.
    pub fn pipeline(&self, name: &str, rest: &str, streams: &str) -> String {
        let url = env("DXT_TEST_PG_URL");
        let others = self.databases.iter().map(|database| format!("  {}: '{}'\n", database.connection, database.url));
        let others = others.collect::<String>();
        format!(
            "version: 1\nname: {name}\n{rest}connections:\n  pg: '{url}'\n  lake: {{type: file, path: lake}}\n{others}streams:\n{streams}"
        )
    }

    /// Runs SQL on PostgreSQL, whose tables go without their schema there.
    pub fn psql(&self, sql: &str) -> String {
        psql(&format!("SET search_path TO {};\n{sql}", self.schema()))
    }

    /// An engine within this process for all connections.
    pub fn engine(&self) -> Arc<Engine> {
        let registry = Registry::builtin();
        let pipeline = config::load(&self.project().path(Self::PIPELINE), &registry, &ProcessEnv).expect("a pipeline");
        Arc::new(Engine::new(&registry, &pipeline.connections, None, self.project().root()).expect("an engine"))
    }
}
