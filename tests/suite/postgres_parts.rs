//! PostgreSQL read by several connections: every row once, in one state of the database.

use std::collections::BTreeSet;

use crate::support::{Kind, Ran, System, env, psql};

/// The connections that have read what the text names since `mark` stood in the server's log: what each sent, and the
/// snapshot that it took over.
fn readers(mark: &str, named: &str) -> Vec<(String, Option<String>)> {
    let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
    let (_, after) = log.rsplit_once(mark).expect("the mark");
    let process = |line: &str| Some(line.split_once('[')?.1.split_once(']')?.0.to_string());
    let copies = after.lines().filter(|line| line.contains("COPY (SELECT") && line.contains(named));
    let reader = |copy: &str| {
        let mut own = after.lines().filter(|line| process(line).is_some() && process(line) == process(copy));
        let taken = own.find_map(|line| line.split_once("SET TRANSACTION SNAPSHOT ").map(|(_, id)| id.to_string()));
        (copy.to_string(), taken)
    };
    copies.map(reader).collect()
}

/// Runs one stream from `source` into a table of its own, and gives that table's name.
fn copied(system: &System, source: &str, extract: &str, name: &str) -> (Ran, String) {
    let target = system.sql_name(name);
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {source}\n    target: {{connection: sys, value: '{target}'}}\n    \
         extract: {extract}\n    load: {{mode: replace}}\n",
        system.connection()
    );
    (system.project.run(&yaml), target)
}

fn from(table: &str) -> String {
    format!("{{connection: sys, value: '{table}'}}")
}

/// Rows that only one of two tables has.
fn difference(a: &str, b: &str) -> String {
    psql(&format!(
        "SELECT (SELECT count(*) FROM (SELECT x::text FROM {a} x EXCEPT ALL SELECT x::text FROM {b} x) d) + \
         (SELECT count(*) FROM (SELECT x::text FROM {b} x EXCEPT ALL SELECT x::text FROM {a} x) d)"
    ))
}

#[test]
fn a_table_is_read_by_ranges_of_its_blocks_whatever_its_statistics_say() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    // Statistics of a table that was almost empty; then many rows, holes, and a last block that is not full.
    psql(&format!(
        "CREATE TABLE {src} (id int, pad text) WITH (autovacuum_enabled = off); INSERT INTO {src} VALUES (0, 'x'); ANALYZE {src}; \
         INSERT INTO {src} SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i; DELETE FROM {src} WHERE id % 7 = 0 OR id BETWEEN 5000 AND 9000"
    ));
    for parts in [2, 3, 16] {
        let mark = format!("mark {src} {parts}");
        psql(&format!("SELECT '{mark}'"));
        let (ran, target) = copied(&system, &from(&src), &format!("{{partitions: {parts}}}"), &format!("t{parts}"));
        ran.exits(0);
        assert_eq!(difference(&src, &target), "0", "{parts}");
        let readers = readers(&mark, src.split('.').next().unwrap());
        assert_eq!(readers.iter().filter(|(sql, _)| sql.contains("ctid")).count(), parts, "{readers:?}");
        let snapshots: BTreeSet<_> =
            readers.iter().map(|(_, snapshot)| snapshot.clone().expect("a snapshot")).collect();
        assert_eq!(snapshots.len(), 1, "one for all parts: {readers:?}");
    }
}

#[test]
fn the_server_reads_only_the_blocks_of_a_part() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    psql(&format!("CREATE TABLE {src} AS SELECT i, repeat('x', 100) AS pad FROM generate_series(1, 20000) i"));
    let explained = psql(&format!("EXPLAIN SELECT * FROM {src} WHERE (ctid >= '(5,0)'::tid AND ctid < '(50,0)'::tid)"));
    assert!(explained.contains("Tid Range Scan"), "{explained}");
}

#[test]
fn parts_and_streams_read_one_state_while_others_write() {
    let system = System::new(Kind::Postgres);
    let (accounts, stop) = (system.sql_name("accounts"), system.sql_name("stop"));
    psql(&format!(
        "CREATE TABLE {accounts} (id int PRIMARY KEY, balance int NOT NULL, pad text); CREATE TABLE {stop} (now bool); \
         INSERT INTO {accounts} SELECT i, 100, repeat('x', 200) FROM generate_series(1, 5000) i"
    ));
    // Each transaction moves money from one account to another, and both rows to other blocks.
    let moving = format!(
        "DO $$ DECLARE a int; b int; BEGIN FOR i IN 1..1000000 LOOP \
         a := 1 + (random() * 4999)::int; b := 1 + (random() * 4999)::int; \
         UPDATE {accounts} SET balance = balance - 1 WHERE id = a; UPDATE {accounts} SET balance = balance + 1 WHERE id = b; \
         COMMIT; EXIT WHEN EXISTS (SELECT FROM {stop}); END LOOP; END $$"
    );
    let writer = std::thread::spawn(move || psql(&moving));
    let stream = |id: &str| {
        format!(
            "  - id: {id}\n    source: {{connection: sys, value: '{accounts}'}}\n    target: {{connection: lite, value: {id}}}\n    load: {{mode: replace}}\n"
        )
    };
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}, lite: 'sqlite:///t.db'}}\nextract: {{partitions: 4}}\nstreams:\n{}{}",
        system.connection(),
        stream("a"),
        stream("b")
    );
    let mut states = BTreeSet::new();
    for _ in 0..6 {
        let ran = system.project.run(&yaml).exits(0);
        assert_eq!(ran.counts("a")[0], 5000);
        let db = system.project.path("t.db");
        let sum = crate::support::sqlite3(&db, "SELECT count(DISTINCT id), sum(balance) FROM a");
        assert_eq!(sum, "5000|500000", "no row twice, none missed, none of two states");
        let same = crate::support::sqlite3(&db, "SELECT count(*) FROM a JOIN b USING (id, balance)");
        assert_eq!(same, "5000", "the second stream reads the state of the first");
        states.insert(crate::support::sqlite3(
            &db,
            "SELECT group_concat(balance) FROM (SELECT balance FROM a ORDER BY id)",
        ));
    }
    psql(&format!("INSERT INTO {stop} VALUES (true)"));
    writer.join().expect("the writer");
    assert!(states.len() > 1, "the writer has written meanwhile");
}

#[test]
fn a_stream_reads_what_an_earlier_one_of_the_run_has_loaded() {
    let system = System::new(Kind::Postgres);
    let (first, second, third) = (system.sql_name("first"), system.sql_name("second"), system.sql_name("third"));
    psql(&format!(
        "CREATE TABLE {first} AS SELECT i AS id FROM generate_series(1, 10) i; CREATE TABLE {second} (id int)"
    ));
    let stream = |id: &str, source: &str, target: &str| {
        format!("  - id: {id}\n    source: '{source}'\n    target: '{target}'\n    load: {{mode: replace}}\n")
    };
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}}}\nsource: {{connection: sys}}\ntarget: {{connection: sys}}\nstreams:\n{}{}",
        system.connection(),
        stream("a", &first, &second),
        stream("b", &second, &third)
    );
    let ran = system.project.run(&yaml).exits(0);
    assert_eq!((ran.counts("a")[0], ran.counts("b")[0]), (10, 10));
}

#[test]
fn partitioned_tables_and_materialized_views_are_read_by_blocks_and_views_by_a_column() {
    let system = System::new(Kind::Postgres);
    let name = |n: &str| system.sql_name(n).replace('"', "");
    let rows = "SELECT i, i % 3, DATE '2020-01-01' + i / 100, TIMESTAMPTZ '2020-01-01' + i * INTERVAL '1 hour', (i / 7.0)::numeric(10,3), \
                CASE WHEN i % 10 = 0 THEN NULL ELSE i END FROM generate_series(-500, 9500) i";
    let columns = "id int, kind int, day date, at timestamptz, n numeric(10,3), maybe bigint";
    psql(&format!(
        "CREATE TABLE {0} ({columns}) PARTITION BY LIST (kind); CREATE TABLE {0}_0 PARTITION OF {0} FOR VALUES IN (0); \
         CREATE TABLE {0}_1 PARTITION OF {0} DEFAULT; INSERT INTO {0} {rows}; INSERT INTO {0} VALUES (7, 7, 'infinity', '-infinity', 'NaN', NULL); \
         CREATE MATERIALIZED VIEW {1} AS SELECT * FROM {0} WHERE day < 'infinity'; CREATE VIEW {2} AS SELECT * FROM {1}; \
         CREATE TABLE {3} ({columns}); CREATE TABLE {4} () INHERITS ({3}); INSERT INTO {3} {rows}; INSERT INTO {4} {rows}",
        name("parted"),
        name("mat"),
        name("view"),
        name("parent"),
        name("child")
    ));
    let string = "[{id: id}, {id: kind}, {id: day, dtype: string}, {id: at, dtype: string}, {id: n, dtype: string}, {id: maybe}]";
    let parted = format!("{}\n    fields: {string}", from(&name("parted")));
    let sql = format!("{{connection: sys, type: sql, sql: 'SELECT * FROM {} WHERE id > 0'}}", name("mat"));
    let cases = [
        (parted.clone(), "{partitions: 3}", 3, "10002"),
        (parted, "{partitions: 3, partition_field: maybe}", 3, "10002"),
        (from(&name("mat")), "{partitions: 2}", 2, "10001"),
        (from(&name("parent")), "{partitions: 4}", 4, "20002"),
        (from(&name("view")), "{partitions: 4, partition_field: id}", 4, "10001"),
        (from(&name("view")), "{partitions: 4, partition_field: day}", 4, "10001"),
        (from(&name("view")), "{partitions: 4, partition_field: at}", 4, "10001"),
        (from(&name("view")), "{partitions: 4, partition_field: n}", 4, "10001"),
        (from(&name("view")), "{partitions: 4, partition_field: maybe}", 4, "10001"),
        (from(&name("view")), "{partitions: 4}", 1, "10001"),
        (sql, "{partitions: 2, partition_field: maybe}", 2, "9500"),
    ];
    for (index, (source, extract, parts, count)) in cases.into_iter().enumerate() {
        let mark = format!("mark {} {index}", name("x"));
        psql(&format!("SELECT '{mark}'"));
        let (ran, target) = copied(&system, &source, extract, "out");
        ran.exits(0);
        let got = psql(&format!("SELECT count(*) || ' ' || count(DISTINCT (id, kind)) FROM {target}"));
        let distinct = if count == "20002" { "10001".to_string() } else { count.to_string() };
        assert_eq!(got, format!("{count} {distinct}"), "{source} {extract}");
        assert_eq!(readers(&mark, "\"maybe\"").len(), parts, "{source} {extract}");
        psql(&format!("DROP TABLE {target}"));
    }
}

#[test]
fn a_foreign_table_is_read_by_a_column() {
    let system = System::new(Kind::Postgres);
    let (src, foreign) = (system.sql_name("src"), system.sql_name("foreign"));
    let (schema, table) = src.split_once('.').unwrap();
    let table = table.trim_matches('"');
    let url = env("DXT_TEST_PG_URL");
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    psql(&format!(
        "CREATE EXTENSION IF NOT EXISTS postgres_fdw; CREATE TABLE {src} AS SELECT i AS id FROM generate_series(1, 1000) i; \
         CREATE SERVER {schema}_srv FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname 'dxt'); \
         CREATE USER MAPPING FOR dxt SERVER {schema}_srv OPTIONS (user 'dxt', password 'dxt-test-secret'); \
         CREATE FOREIGN TABLE {foreign} (id int) SERVER {schema}_srv OPTIONS (schema_name '{schema}', table_name '{table}')"
    ));
    for extract in ["{partitions: 3}", "{partitions: 3, partition_field: id}"] {
        let (ran, target) = copied(&system, &from(&foreign), extract, "out");
        ran.exits(0);
        assert_eq!(difference(&src, &target), "0", "{extract}");
    }
    psql(&format!("DROP SERVER {schema}_srv CASCADE"));
}

#[test]
fn a_limit_and_an_empty_table_have_their_rows_whatever_the_parts() {
    let system = System::new(Kind::Postgres);
    let (src, empty) = (system.sql_name("src"), system.sql_name("empty"));
    psql(&format!(
        "CREATE TABLE {src} AS SELECT i AS id FROM generate_series(1, 10000) i; CREATE TABLE {empty} (id int)"
    ));
    let limited = format!("{}\n    criteria: {{limit: 7}}", from(&src));
    for (source, extract, rows) in [
        (limited, "{partitions: 4}", 7),
        (from(&empty), "{partitions: 4}", 0),
        (from(&empty), "{partitions: 4, partition_field: id}", 0),
    ] {
        let (ran, _) = copied(&system, &source, extract, "out");
        assert_eq!(ran.exits(0).counts("s")[1], rows, "{extract}");
    }
}

#[test]
fn a_partition_field_that_has_no_ranges_is_named() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    psql(&format!("CREATE TABLE {src} (id int, name text)"));
    for (field, said, hint) in
        [("nme", "no column nme", "did you mean name?"), ("name", "name is text", "integer type")]
    {
        let (ran, _) = copied(&system, &from(&src), &format!("{{partitions: 2, partition_field: {field}}}"), "out");
        let error = ran.exits(1).stream("s")["error"].clone();
        assert!(
            error["message"].as_str().unwrap_or_default().contains(said)
                || error["report"].as_str().unwrap().contains(said),
            "{error}"
        );
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    }
}

#[test]
fn a_source_may_have_a_snapshot_of_its_own() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    psql(&format!("CREATE TABLE {src} AS SELECT i AS id FROM generate_series(1, 10000) i"));
    for (parts, exported) in [(1, 0), (3, 1)] {
        let mark = format!("mark own {src} {parts}");
        psql(&format!("SELECT '{mark}'"));
        let source = format!("{{connection: sys, value: '{src}', options: {{snapshot: stream}}}}");
        let (ran, target) = copied(&system, &source, &format!("{{partitions: {parts}}}"), "out");
        ran.exits(0);
        assert_eq!(difference(&src, &target), "0");
        let snapshots: BTreeSet<_> =
            readers(&mark, src.split('.').next().unwrap()).into_iter().filter_map(|(_, snapshot)| snapshot).collect();
        assert_eq!(snapshots.len(), exported, "{parts}");
    }
}
