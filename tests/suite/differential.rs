//! Some hundred generated queries over the same rows in databases and in Parquet files. Over databases, parts of them
//! are answered by the system itself; over files, everything is DataFusion's. All have to answer alike, or to fail alike.
//!
//! A failure names seed and number: `DXT_TEST_SEED=7 DXT_TEST_QUERIES=1000 tests/run generated_queries` tries others.

mod answer;
mod expr;
mod query;
mod random;

use std::sync::Arc;

use dxt::Engine;
use futures::StreamExt;

use crate::support::Spread;
use answer::{Answer, ask, difference};
use query::{Queries, Query, Same};

const SEED: u64 = 20_261_126;
const QUERIES: usize = 400;

/// The same tables in each system.
struct Tables {
    spread: Spread,
    engine: Arc<Engine>,
}

/// The connection whose answers are right.
const FILES: &str = "lake";

const TABLES: [&str; 3] = ["a", "b", "c"];

impl Tables {
    fn make() -> Self {
        let spread = Spread::new(include_str!("differential/tables.sql"));
        spread.copy(&TABLES);
        let engine = spread.engine();
        Self { spread, engine }
    }

    async fn ask(&self, system: &str, sql: &str) -> Result<Answer, String> {
        let over = |sql: String, table: &&str| sql.replace(&format!("{{{table}}}"), &self.spread.name(system, table));
        ask(self.engine.clone(), TABLES.iter().fold(sql.to_string(), over)).await
    }

    /// What DataFusion answers over the files, and each answer of another system that differs from it.
    async fn compare(&self, sql: &str, same: Same) -> (Result<Answer, String>, Vec<String>) {
        let expected = self.ask(FILES, sql).await;
        let mut differences = Vec::new();
        for system in self.spread.others().into_iter().chain(["pg"]) {
            let got = self.ask(system, sql).await;
            let found = difference(&expected, &got, same);
            differences.extend(found.map(|text| format!("{FILES} and {system}: {text}")));
        }
        (expected, differences)
    }
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn generated_queries_answer_alike_in_every_system() {
    let tables = Tables::make();
    let seed = number("DXT_TEST_SEED", SEED);
    let count = usize::try_from(number("DXT_TEST_QUERIES", QUERIES as u64)).expect("a number of queries");
    let mut queries = Queries::new(seed);
    let queries: Vec<Query> = (0..count).map(|_| queries.query()).collect();
    let answers = futures::stream::iter(&queries).map(|query| tables.compare(&query.sql, query.same));
    let answers: Vec<_> = answers.buffered(4).collect().await;

    let mut wrong = Vec::new();
    let (mut failed, mut with_rows) = (Vec::new(), 0);
    for (i, (query, (expected, differences))) in queries.iter().zip(&answers).enumerate() {
        match expected {
            Ok(answer) => with_rows += usize::from(!answer.rows.is_empty()),
            Err(error) => failed.push(format!("query {i}: {}\n{error}", query.sql)),
        }
        wrong.extend(differences.iter().map(|text| format!("query {i}: {}\n  {text}", query.sql)));
    }
    assert!(wrong.is_empty(), "seed {seed}: {} answers of {count} queries differ:\n{}", wrong.len(), wrong.join("\n"));
    // Queries that no system answers, or none with a row, prove nothing.
    assert!(
        failed.len() * 50 <= count,
        "seed {seed}: {} of {count} queries fail:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(with_rows * 3 >= count * 2, "seed {seed}: {with_rows} of {count} answers have rows");
    tables.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_over_files_fails_in_every_system() {
    let tables = Tables::make();
    for sql in [
        "SELECT a.k / (a.s - a.s) AS x FROM {a} AS a",
        "SELECT a.k % 0 AS x FROM {a} AS a",
        "SELECT a.d / (a.d - a.d) AS x FROM {a} AS a",
        "SELECT CAST(a.t AS integer) AS x FROM {a} AS a",
        "SELECT CAST(a.u AS date) AS x FROM {a} AS a",
        "SELECT CAST(a.n AS integer) AS x FROM {a} AS a",
        "SELECT sum(CAST(a.k AS smallint)) AS x FROM {a} AS a",
        "SELECT a.id FROM {a} AS a WHERE a.k = (SELECT b.k FROM {b} AS b)",
        "SELECT a.missing FROM {a} AS a",
        "SELECT a.ok + 1 AS x FROM {a} AS a",
        "SELECT a.id, count(*) AS n FROM {a} AS a",
        "SELECT a.id FROM {a} AS a UNION ALL SELECT b.id, b.k FROM {b} AS b",
    ] {
        let (expected, differences) = tables.compare(sql, Same::Rows).await;
        assert!(expected.is_err(), "{sql}: an answer of {} rows", expected.map_or(0, |answer| answer.rows.len()));
        assert_eq!(differences, [""; 0], "{sql}");
    }
    tables.engine.close().await;
}
