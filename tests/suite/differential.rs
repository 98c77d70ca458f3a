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
const QUERIES: u64 = 300;

/// The same tables in each system.
struct Tables {
    spread: Spread,
    engine: Arc<Engine>,
}

/// Queries, what DataFusion answers over the files, and how other systems differ, each with the query.
struct Compared {
    queries: usize,
    /// Answers with rows.
    with_rows: usize,
    failed: Vec<String>,
    different: Vec<String>,
}

/// What servers say of a sum that DataFusion wraps around: an error in the place of a wrong number is welcome.
const OVERFLOW: [&str; 2] = ["out of range", "does not fit into int64"];

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
            // MySQL's own instants end in 2038: dxt keeps them there as wall clock times of UTC, which are another type.
            if system == "my" && (sql.contains(".tz") || sql.contains("with time zone")) {
                continue;
            }
            let got = self.ask(system, sql).await;
            if got.as_ref().is_err_and(|error| expected.is_ok() && OVERFLOW.iter().any(|said| error.contains(said))) {
                continue;
            }
            let found = difference(&expected, &got, same);
            differences.extend(found.map(|text| format!("{FILES} and {system}: {text}")));
        }
        (expected, differences)
    }

    async fn compare_generated(&self, seed: u64, count: usize) -> Compared {
        let mut queries = Queries::new(seed);
        let queries: Vec<Query> = (0..count).map(|_| queries.query()).collect();
        let answers = futures::stream::iter(&queries).map(|query| self.compare(&query.sql, query.same));
        let answers: Vec<_> = answers.buffered(4).collect().await;
        let mut compared = Compared { queries: count, with_rows: 0, failed: Vec::new(), different: Vec::new() };
        for (i, (query, (expected, differences))) in queries.iter().zip(&answers).enumerate() {
            match expected {
                Ok(answer) => compared.with_rows += usize::from(!answer.rows.is_empty()),
                Err(error) => compared.failed.push(format!("query {i}: {}\n  {error}", query.sql)),
            }
            compared.different.extend(differences.iter().map(|text| format!("query {i}: {}\n  {text}", query.sql)));
        }
        // The shortest says best what is wrong.
        compared.different.sort_by_key(String::len);
        compared
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
    let count = usize::try_from(number("DXT_TEST_QUERIES", QUERIES)).expect("a number of queries");
    let Compared { queries, with_rows, failed, different } = tables.compare_generated(seed, count).await;
    tables.engine.close().await;
    println!("seed {seed}: {queries} queries, {with_rows} answers with rows, {} errors", failed.len());
    let list = |items: &[String]| items.join("\n");
    assert!(different.is_empty(), "seed {seed}: {} of {queries} differ:\n{}", different.len(), list(&different));
    // Queries that no system answers, or none with a row, prove nothing.
    assert!(failed.len() * 50 <= queries, "seed {seed}: {} of {queries} fail:\n{}", failed.len(), list(&failed));
    assert!(with_rows * 3 >= queries * 2, "seed {seed}: {with_rows} of {queries} answers have rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_one_system_has_otherwise_is_found() {
    let tables = Tables::make();
    tables.spread.psql("UPDATE a SET k = coalesce(k, 4), d = -d, t = t || '!' WHERE id % 9 = 0");
    let Compared { different, .. } = tables.compare_generated(SEED, 30).await;
    tables.engine.close().await;
    assert!(different.len() > 3, "{} differences", different.len());
    assert!(different.iter().all(|text| text.contains("lake and pg:")), "{different:?}");
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
