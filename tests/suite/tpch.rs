//! The 22 queries of TPC-H: over PostgreSQL alone, over Parquet files, over other databases alone, and over tables that are
//! split between them. What the PostgreSQL server itself answers is right.
//!
//! Their parameters are those that the specification validates by, but in q08 and q17: of so little data these would give
//! zeros and a NULL.

mod answer;
mod data;

use datafusion::physical_plan::displayable;
use dxt::plan::stream::select_only;

use crate::support::Spread;
use answer::{Shape, difference};
use data::{TABLES, loaded};

/// A query: its name, its SQL, which is PostgreSQL's and DataFusion's alike, and the shape of its answer.
struct Query {
    name: &'static str,
    sql: &'static str,
    shape: Shape,
}

macro_rules! queries {
    ($($name:literal: ordered by [$($ordered:literal),*] $(rounded [$($rounded:literal),*])?;)*) => {
        [$(Query {
            name: $name,
            sql: include_str!(concat!("tpch/", $name, ".sql")),
            shape: Shape { ordered: &[$($ordered),*], rounded: &[$($($rounded),*)?] },
        }),*]
    };
}

const QUERIES: [Query; 22] = queries! {
    "q01": ordered by ["l_returnflag", "l_linestatus"] rounded ["avg_qty", "avg_price", "avg_disc"];
    "q02": ordered by ["s_acctbal", "n_name", "s_name", "p_partkey"];
    "q03": ordered by ["revenue", "o_orderdate"];
    "q04": ordered by ["o_orderpriority"];
    "q05": ordered by ["revenue"];
    "q06": ordered by [];
    "q07": ordered by ["supp_nation", "cust_nation", "l_year"];
    "q08": ordered by ["o_year"] rounded ["mkt_share"];
    "q09": ordered by ["nation", "o_year"];
    "q10": ordered by ["revenue"];
    "q11": ordered by ["value"];
    "q12": ordered by ["l_shipmode"];
    "q13": ordered by ["custdist", "c_count"];
    "q14": ordered by [] rounded ["promo_revenue"];
    "q15": ordered by ["s_suppkey"];
    "q16": ordered by ["supplier_cnt", "p_brand", "p_type", "p_size"];
    "q17": ordered by [] rounded ["avg_yearly"];
    "q18": ordered by ["o_totalprice", "o_orderdate"];
    "q19": ordered by [];
    "q20": ordered by ["s_name"];
    "q21": ordered by ["numwait", "s_name"];
    "q22": ordered by ["cntrycode"];
};

/// The query with each table that stands behind FROM, JOIN or a comma replaced by its name in dxt.
fn placed(sql: &str, name: &dyn Fn(&str) -> String) -> String {
    let (mut placed, mut last, mut rest) = (String::new(), String::new(), sql);
    while let Some(first) = rest.chars().next() {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match first {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            c if in_word(c) => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        let begins = matches!(last.as_str(), "from" | "join" | ",");
        match begins && TABLES.contains(&token) {
            true => placed += &name(token),
            false => placed += token,
        }
        if !first.is_whitespace() && !token.starts_with("--") {
            last = token.to_ascii_lowercase();
        }
        rest = after;
    }
    placed
}

/// What PostgreSQL itself answers, as CSV.
fn answer(data: &Spread, sql: &str) -> String {
    data.psql(&format!("COPY ({sql}) TO STDOUT (FORMAT csv, HEADER)"))
}

/// Runs all queries with each table in its connection, and names every one whose answer is another than PostgreSQL's.
#[track_caller]
fn answers_as_postgres(data: &Spread, place: impl Fn(&str) -> &'static str) {
    let mut wrong = Vec::new();
    for Query { name, sql, shape } in &QUERIES {
        let expected = answer(data, sql);
        let sql = placed(sql, &|table| data.name(place(table), table));
        let ran = data.project().dxt(&["query", "--format", "csv", "--", &sql, Spread::PIPELINE]);
        let fault = match ran.code {
            0 => difference(&expected, &ran.out, shape),
            code => Some(format!("exit {code}: {}", ran.err)),
        };
        wrong.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
    assert!(wrong.is_empty(), "{} of {} queries differ:\n{}", wrong.len(), QUERIES.len(), wrong.join("\n"));
}

#[test]
fn tables_are_named_where_they_are_read_and_nowhere_else() {
    let name = |table: &str| format!("x.\"{table}\"");
    let sql = "SELECT nation, extract(year FROM part) FROM part, nation n1 JOIN region ON 'from part' = nation -- from part\n\
               WHERE nation IN (SELECT 1 FROM supplier)";
    assert_eq!(
        placed(sql, &name),
        "SELECT nation, extract(year FROM x.\"part\") FROM x.\"part\", x.\"nation\" n1 JOIN x.\"region\" ON 'from part' = nation -- from part\n\
         WHERE nation IN (SELECT 1 FROM x.\"supplier\")"
    );
}

#[test]
fn the_answers_of_record_have_rows_without_null() {
    let data = loaded();
    let is_whole = |row: &Vec<String>| row.iter().all(|cell| !cell.is_empty());
    let says = |query: &&Query| answer::rows(&answer(&data, query.sql)).iter().skip(1).any(is_whole);
    let empty: Vec<&str> = QUERIES.iter().filter(|query| !says(query)).map(|query| query.name).collect();
    assert_eq!(empty, [""; 0], "these compare nothing");
}

/// The statements of each query over one database.
async fn sent_to(place: &str) -> String {
    let data = loaded();
    let engine = data.engine();
    let mut sent = String::new();
    for Query { name, sql, .. } in &QUERIES {
        let context = engine.context(2, 8192);
        let plan = select_only(&context, &placed(sql, &|table| data.name(place, table))).await.expect(name);
        let plan = context.state().create_physical_plan(&plan).await.expect(name);
        let text = displayable(plan.as_ref()).indent(false).to_string();
        sent += &format!("{name}\n");
        // Which of several comes first goes by how large the server believes its tables to be.
        let plain = |sql: &str| sql.split(", narrowed by=").next().unwrap_or(sql).replace(data.schema(), "tpch");
        let sql = text.lines().filter_map(|line| line.split_once("sql=")).map(|(_, sql)| plain(sql));
        let mut sql: Vec<String> = sql.collect();
        sql.sort();
        sql.iter().for_each(|sql| sent += &format!("  {sql}\n"));
    }
    engine.close().await;
    sent
}

#[tokio::test]
async fn what_postgres_is_sent_for_each_query() {
    insta::assert_snapshot!("tpch_sent_to_postgres", sent_to("pg").await);
}

#[tokio::test]
async fn what_mariadb_is_sent_for_each_query() {
    insta::assert_snapshot!("tpch_sent_to_mariadb", sent_to("my").await);
}

#[test]
fn tpch_over_postgres_alone() {
    answers_as_postgres(&loaded(), |_| "pg");
}

#[test]
fn tpch_over_parquet_files_alone() {
    answers_as_postgres(&loaded(), |_| "lake");
}

#[test]
fn tpch_over_each_other_database_alone() {
    let data = loaded();
    for other in data.others() {
        answers_as_postgres(&data, |_| other);
    }
}

/// The facts in PostgreSQL, who buys in each of the other databases in turn, and what is sold in files: tables are joined
/// within one system and across two.
#[test]
fn tpch_over_tables_split_between_postgres_files_and_another_database() {
    let data = loaded();
    for other in data.others() {
        answers_as_postgres(&data, |table| match table {
            "orders" | "lineitem" => "pg",
            "customer" | "nation" => other,
            _ => "lake",
        });
    }
}
