//! Streams that are queries of dxt over connections: what a stream of one table has, they have.

use crate::support::{Kind, System, env, people, psql, sqlite3};

/// The statements that the server has logged since `mark`.
fn sent_since(mark: &str) -> String {
    let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
    log.rsplit_once(mark).expect("the mark").1.to_string()
}

fn mark(text: &str) {
    psql(&format!("SELECT $m${text}$m$"));
}

/// A table of events in PostgreSQL.
fn events(system: &System, from: i64, to: i64) -> String {
    let table = system.sql_name("events");
    psql(&format!(
        "CREATE TABLE IF NOT EXISTS {table} (id bigint PRIMARY KEY, at timestamptz, who bigint, amount numeric(12,2)); INSERT INTO {table} \
         SELECT i, TIMESTAMPTZ '2026-01-01 00:00Z' + i * interval '1 hour', i % 3 + 1, i + 0.25 FROM generate_series({from}, {to}) i"
    ));
    table
}

#[test]
fn the_watermark_of_a_querys_column_reaches_the_server() {
    let system = System::new(Kind::Postgres);
    let table = events(&system, 1, 10);
    people(
        &system.project.path("who.parquet"),
        &[(1, Some("Ada"), None), (2, Some("Bo"), None), (3, Some("Cy"), None)],
    );
    let yaml = |sql: &str, extract: &str, load: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{pg: {}, files: {{type: file, path: .}}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    target: {{connection: db, value: t}}\n    \
             source:\n      type: query\n      sql: |\n        {sql}\n    extract: {{mode: incremental, watermark_field: changed{extract}}}\n    load: {{{load}}}\n",
            system.connection()
        )
    };
    let upsert = "mode: upsert, upsert_keys: [id]";
    let plain = format!("SELECT id, at AS changed, amount * 2 AS twice FROM pg.{table} WHERE id <> 5");
    let nested = format!(
        "SELECT id, changed, twice FROM (SELECT e.id, e.at AS changed, e.amount AS twice FROM pg.{table} e WHERE e.id <> 5) x"
    );
    let joined = format!(
        "SELECT e.id, e.at AS changed, e.amount AS twice FROM pg.{table} e JOIN files.\"who.parquet\" w ON w.id = e.who WHERE e.id <> 5"
    );
    let grouped =
        format!("SELECT id, at AS changed, sum(amount) AS twice FROM pg.{table} WHERE id <> 5 GROUP BY id, at");
    for (i, (sql, extract, load, condition, counts)) in [
        // Ties are taken again by an upsert, and change nothing.
        (&plain, "", upsert, "\"at\" >= ", [4, 3, 0, 1]),
        (&plain, ", lookback: 2h", upsert, "\"at\" >= ", [6, 3, 0, 3]),
        (&plain, "", "mode: append", "\"at\" > ", [3, 3, 0, 0]),
        (&nested, "", upsert, "\"at\" >= ", [4, 3, 0, 1]),
        (&joined, "", upsert, "\"at\" >= ", [4, 3, 0, 1]),
        (&grouped, "", upsert, "\"at\" >= ", [4, 3, 0, 1]),
    ]
    .into_iter()
    .enumerate()
    {
        psql(&format!("DELETE FROM {table} WHERE id > 10"));
        let _ = std::fs::remove_file(system.project.path("t.db"));
        let yaml = yaml(sql, extract, load);
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), [9, 9, 0, 0], "{sql}");
        events(&system, 11, 13);
        let plan = system.project.dxt(&["explain", "p.yaml"]).exits(0).out;
        let asks = |line: &str| line.contains("SELECT") && line.contains(condition) && line.contains("2026-01-01 ");
        assert!(plan.lines().any(asks), "{sql}: {plan}");
        let begin = format!("mark {table} {i}");
        mark(&begin);
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), counts, "{sql} {extract} {load}");
        let sent = sent_since(&begin);
        let read = sent
            .lines()
            .find(|line| line.contains("COPY") && line.contains("events"))
            .unwrap_or_else(|| panic!("{sent}"));
        assert!(read.contains(condition) && read.contains("\"id\" <> "), "{sql}: {read}");
    }
    assert_eq!(sqlite3(&system.project.path("t.db"), "SELECT count(*) FROM t"), "12");
}

#[test]
fn a_filter_on_an_aggregate_stays_right() {
    let system = System::new(Kind::Postgres);
    let table = events(&system, 1, 9);
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    target: {{connection: db, value: t}}\n    \
         source: {{type: query, sql: 'SELECT who, max(at) AS last, sum(amount) AS total FROM pg.{table} GROUP BY who'}}\n    \
         extract: {{mode: incremental, watermark_field: last}}\n    load: {{mode: upsert, upsert_keys: [who]}}\n",
        system.connection()
    );
    assert_eq!(system.project.run(&yaml).exits(0).counts("s"), [3, 3, 0, 0]);
    // Of one group only: its total is that of all its rows, and not of the new ones.
    psql(&format!("INSERT INTO {table} VALUES (100, '2026-02-01 00:00Z', 2, 1000)"));
    assert_eq!(system.project.run(&yaml).exits(0).counts("s")[..3], [2, 0, 1]);
    let expected = psql(&format!(
        "SELECT string_agg(who || ' ' || total, ',' ORDER BY who) FROM (SELECT who, sum(amount) AS total FROM {table} GROUP BY who) x"
    ));
    assert_eq!(
        sqlite3(
            &system.project.path("t.db"),
            "SELECT group_concat(who || ' ' || total) FROM (SELECT * FROM t ORDER BY who)"
        ),
        expected
    );
}

#[test]
fn columns_that_a_query_passes_on_keep_their_types() {
    let system = System::new(Kind::Postgres);
    let (src, dst, mood) = (system.sql_name("src"), system.sql_name("dst"), system.sql_name("mood"));
    psql(&format!(
        "CREATE TYPE {mood} AS ENUM ('sad', 'glad'); CREATE TABLE {src} (id int PRIMARY KEY, amount numeric(9,3), at timestamptz, \
         at_ms timestamp(3), day date, u uuid, name varchar(20), data jsonb, net inet, m {mood}, tags text[]); \
         INSERT INTO {src} VALUES (1, 1.5, '2026-01-01 12:00+02', '2026-01-01 12:00:00.123', '2026-01-01', '123e4567-e89b-12d3-a456-426614174000', \
         'Ada', '{{\"a\": 1}}', '10.0.0.0/8', 'glad', '{{x,y}}'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    ));
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}}}\nstreams:\n  - id: s\n    target: {{connection: pg, value: '{dst}'}}\n    \
         source: {{type: query, sql: 'SELECT s.*, s.amount * 2 AS twice, o.name AS other FROM pg.{src} s LEFT JOIN pg.{src} o ON o.id = s.id + 1'}}\n    \
         load: {{mode: upsert, upsert_keys: [id]}}\n",
        system.connection()
    );
    for counts in [[2, 2, 0, 0], [2, 0, 0, 2]] {
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), counts);
    }
    let types = |table: &str| {
        psql(&format!(
            "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attnum BETWEEN 1 AND 11"
        ))
    };
    assert_eq!(types(&dst), types(&src));
    let differ = psql(&format!(
        "SELECT count(*) FROM (SELECT id, amount, at, at_ms, day, u, name, data, net, m, tags FROM {dst} EXCEPT SELECT * FROM {src}) x"
    ));
    assert_eq!(differ, "0");
    let more = psql(&format!(
        "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '{dst}'::regclass AND attnum > 11"
    ));
    assert!(more.starts_with("numeric(") && more.ends_with("character varying(20)"), "{more}");
    // The key of the target is that of the upsert.
    assert_eq!(
        psql(&format!(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{dst}'::regclass AND contype = 'p'"
        )),
        "PRIMARY KEY (id)"
    );
}

#[test]
fn a_watermark_that_only_travels_as_text_is_refused_in_a_query_too() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    psql(&format!("CREATE TABLE {src} (n numeric, id int); INSERT INTO {src} VALUES (9, 1), (10, 2)"));
    let yaml = |column: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    target: {{connection: db, value: t}}\n    \
             source: {{type: query, sql: 'SELECT {column} AS mark FROM pg.{src}'}}\n    extract: {{mode: incremental, watermark_field: mark}}\n    load: {{mode: append}}\n",
            system.connection()
        )
    };
    let error = system.project.run(&yaml("n")).exits(1).stream("s")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("carried as text"), "{error}");
    system.project.run(&yaml("id")).exits(0);
}

#[test]
fn a_query_is_tried_again_and_loaded_from_its_buffer() {
    let system = System::new(Kind::Postgres);
    let table = events(&system, 1, 4);
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    target: {{connection: db, value: t}}\n    \
         source: {{type: query, sql: 'SELECT id, amount FROM pg.{table}'}}\n    load: {{mode: append, verify: checksum}}\n",
        system.connection()
    );
    system.project.write("p.yaml", &yaml);
    system.project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    psql(&format!("DROP TABLE {table}"));
    // The source is not asked again.
    system.project.dxt(&["load", "p.yaml", "--quiet"]).exits(0);
    assert_eq!(sqlite3(&system.project.path("t.db"), "SELECT count(*), sum(amount) FROM t"), "4|11.0");
    system.project.dxt(&["load", "p.yaml", "--quiet"]).exits(1);
}
