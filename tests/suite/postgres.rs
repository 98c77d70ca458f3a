//! PostgreSQL: what is sent to it, and whole round trips.

use crate::support::{Kind, System, env, psql};

/// What the server was asked since `mark` stood in its log.
fn statements_since(mark: &str) -> String {
    let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
    log.rsplit_once(mark).map(|(_, after)| after.to_string()).expect("the mark")
}

#[test]
fn projection_criteria_watermark_and_limit_are_in_the_statement_that_the_server_logs() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("src");
    psql(&format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, status text, n bigint, secret text); \
         INSERT INTO {table} SELECT i, CASE WHEN i % 2 = 0 THEN 'draft' ELSE 'done' END, i, 'x' FROM generate_series(1, 100) i"
    ));
    let yaml = |rest: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{sys: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{table}'}}\n    \
             target: {{connection: db, value: t}}\n    fields: [id, n]\n{rest}",
            system.connection()
        )
    };
    let incremental = "    criteria: {where: \"status <> 'draft'\"}\n    extract: {mode: incremental, watermark_field: n}\n    load: {mode: append}\n";
    assert_eq!(system.project.run(&yaml(incremental)).exits(0).counts("s"), [50, 50, 0, 0]);
    psql(&format!("INSERT INTO {table} VALUES (101, 'done', 101, 'x'), (102, 'draft', 102, 'x')"));
    let schema = table.split('.').next().unwrap();
    let mark = format!("mark {table}");
    psql(&format!("SELECT '{mark}'"));
    assert_eq!(system.project.run(&yaml(incremental)).exits(0).counts("s"), [1, 1, 0, 0]);
    let sent = statements_since(&mark);
    let copy =
        sent.lines().find(|l| l.contains("COPY (SELECT") && l.contains(schema)).unwrap_or_else(|| panic!("{sent}"));
    assert!(copy.contains(r#"SELECT "id", "n" FROM"#) && !copy.contains("secret"), "{copy}");
    assert!(copy.contains(r#""status" <> 'draft'"#) && copy.contains(r#""n" > 99"#), "{copy}");

    let mark = format!("limit {table}");
    psql(&format!("SELECT '{mark}'"));
    let limited = system.project.run(&yaml("    criteria: {limit: 7}\n    load: {mode: replace}\n")).exits(0);
    assert_eq!(limited.counts("s"), [7, 7, 0, 0]);
    assert!(statements_since(&mark).lines().any(|l| l.contains(schema) && l.contains("LIMIT 7")));
}

#[test]
fn tables_views_and_sql_go_through_a_buffer_and_back_in_every_mode_twice() {
    let system = System::new(Kind::Postgres);
    let (src, view) = (system.sql_name("src"), system.sql_name("view"));
    psql(&format!(
        "CREATE TABLE {src} (id int PRIMARY KEY, name varchar(20) NOT NULL, amount numeric(12,2), raw numeric, at timestamptz, day date, ok bool, \
         tags text[], doc jsonb, u uuid, kind char(3), b bytea, f float8, iv interval); \
         INSERT INTO {src} VALUES (1, 'ä', 10.50, 1.2345678901234567890123456789012345678901234, '2026-01-01 10:00+02', '0001-01-01', true, '{{a,NULL,\"b c\"}}', \
         '{{\"k\": [1, 2.50]}}', '00000000-0000-0000-0000-000000000001', 'ab', '\\x00ff5c', 'NaN', '1 mon 2 days'), \
         (2, E'tab\\tnl\\nbs\\\\', NULL, 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '-Infinity', NULL); \
         CREATE VIEW {view} AS SELECT * FROM {src}"
    ));
    for (source, table) in [
        (format!("{{connection: sys, value: '{src}'}}"), "from_table"),
        (format!("{{connection: sys, value: '{view}'}}"), "from_view"),
        (format!("{{connection: sys, type: sql, sql: 'SELECT * FROM {src};'}}"), "from_sql"),
    ] {
        for (mode, second) in [("{mode: replace}", [2, 2, 0, 0]), ("{mode: upsert, upsert_keys: [id]}", [2, 0, 0, 2])] {
            let target = format!("{table}_{}", &mode[7..10]);
            let yaml = format!(
                "version: 1\nname: p\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {source}\n    target: {{connection: sys, value: '{}'}}\n    load: {mode}\n",
                system.connection(),
                system.sql_name(&target),
            );
            assert_eq!(system.project.run(&yaml).exits(0).counts("s"), [2, 2, 0, 0], "{target}");
            assert_eq!(system.project.run(&yaml).exits(0).counts("s"), second, "{target}");
            let there = system.sql_name(&target);
            let differ = |a: &str, b: &str| {
                psql(&format!(
                    "SELECT count(*) FROM (SELECT x::text FROM {a} x EXCEPT ALL SELECT x::text FROM {b} x) d"
                ))
            };
            assert_eq!((differ(&src, &there), differ(&there, &src)), ("0".into(), "0".into()), "{target}");
        }
    }
    let types = |t: &str| {
        psql(&format!(
            "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '{t}'::regclass AND attnum > 0"
        ))
    };
    assert_eq!(types(&system.sql_name("from_table_rep")), types(&src));
}

#[test]
fn a_sqlite_table_goes_to_postgres_in_every_mode_twice() {
    let system = System::new(Kind::Postgres);
    crate::support::sqlite3(
        &system.project.path("s.db"),
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, amount DECIMAL(10,2), at TIMESTAMP); \
         INSERT INTO t VALUES (1, 'a', 1.10, '2026-01-01 10:00:00'), (2, NULL, NULL, NULL)",
    );
    for (mode, second, rows) in
        [("append", [2, 2, 0, 0], 4), ("replace", [2, 2, 0, 0], 2), ("upsert, upsert_keys: [id]", [2, 0, 0, 2], 2)]
    {
        let target = format!("t_{}", &mode[..6]);
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{sys: {}, lite: 'sqlite:///s.db'}}\nstreams:\n  - id: s\n    source: {{connection: lite, value: t}}\n    \
             target: {{connection: sys, value: '{}'}}\n    load: {{mode: {mode}}}\n",
            system.connection(),
            system.sql_name(&target)
        );
        system.project.run(&yaml).exits(0);
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), second, "{mode}");
        let name = system.sql_name(&target);
        assert_eq!(psql(&format!("SELECT count(*) FROM {name}")), rows.to_string());
        assert_eq!(psql(&format!("SELECT DISTINCT * FROM {name} WHERE id = 1")), "1|a|1.10|2026-01-01 10:00:00");
    }
}

#[test]
fn a_login_that_fails_says_so_without_the_password() {
    let system = System::new(Kind::Postgres);
    let url = env("DXT_TEST_PG_URL");
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap().to_string();
    for (wrong, said) in [
        (url.replace("dxt-test-secret", "hunter2-wrong"), "password"),
        (url.replace(&format!("{port}/dxt"), "1/dxt"), "127.0.0.1"),
        (url.replace(&format!("{port}/dxt"), &format!("{port}/nowhere")), "nowhere"),
    ] {
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{sys: '{wrong}', out: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: public.t}}\n    \
             target: {{connection: out, value: x.csv}}\n    load: {{mode: replace}}\n"
        );
        let ran = system.project.run(&yaml).exits(1);
        let error = ran.stream("s")["error"].clone();
        assert_eq!(error["kind"], "connection", "{error}");
        assert!(error["report"].as_str().unwrap().contains(said), "{error}");
        assert!(error["hint"].is_string(), "{error}");
        assert!(!ran.out.contains("hunter2-wrong") && !ran.out.contains("dxt-test-secret"));
    }
}

#[test]
fn two_incremental_appends_at_once_do_not_both_win() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id int); INSERT INTO {src} SELECT generate_series(1, 10); CREATE TABLE {dst} AS SELECT 0 AS id"
    ));
    let yaml = |name: &str| {
        format!(
            "version: 1\nname: {name}\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{src}'}}\n    \
             target: {{connection: sys, value: '{dst}'}}\n    extract: {{mode: incremental, watermark_field: id}}\n    load: {{mode: append}}\n",
            system.connection()
        )
    };
    // Both extract from the watermark 0; then both load.
    for name in ["one", "two"] {
        system.project.write(&format!("{name}.yaml"), &yaml(name));
        system.project.dxt(&["extract", &format!("{name}.yaml"), "--quiet"]).exits(0);
    }
    system.project.dxt(&["load", "one.yaml", "--quiet"]).exits(0);
    let ran = system.project.dxt(&["load", "two.yaml", "--quiet"]).exits(1);
    assert!(ran.err.contains("moved the watermark"), "{}", ran.err);
    assert_eq!(psql(&format!("SELECT count(*), count(DISTINCT id) FROM {dst}")), "11|11");
}

#[test]
fn a_float_is_compared_with_a_decimal_literal_as_a_float_and_by_the_server() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id int, f float8); \
         INSERT INTO {src} VALUES (1, 0.5), (2, 0.5000000000000001), (3, 1e16), (4, 1e-20), (5, 'NaN'), (6, NULL)"
    ));
    for (condition, ids) in [("f > 0.5", "2,3,5"), ("f <= 0.5", "1,4"), ("coalesce(f, 0.75) = 0.75", "6")] {
        let mark = format!("mark {dst} {ids}");
        psql(&format!("SELECT '{mark}'"));
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{src}'}}\n    \
             target: {{connection: sys, value: '{dst}'}}\n    criteria: {{where: '{condition}'}}\n    fields: [id, {{id: g, source: {{expression: 'coalesce(f, 0.25)'}}}}]\n    load: {{mode: replace}}\n",
            system.connection()
        );
        system.project.run(&yaml).exits(0);
        assert_eq!(psql(&format!("SELECT string_agg(id::text, ',' ORDER BY id) FROM {dst}")), ids, "{condition}");
        if condition == "f > 0.5" {
            let sent = statements_since(&mark);
            assert!(sent.contains(r#"WHERE "f" > '5e-1'::double precision"#), "{sent}");
        }
        if ids == "1,4" {
            // A value that a decimal of 15 digits would have made 0.
            assert_eq!(psql(&format!("SELECT g FROM {dst} WHERE id = 4")), "1e-20");
        }
    }
}

#[test]
fn a_replace_that_leaves_old_rows_behind_fails_and_changes_nothing() {
    let system = System::new(Kind::Postgres);
    let (src, dst, keep) = (system.sql_name("src"), system.sql_name("dst"), system.sql_name("keep"));
    psql(&format!(
        "CREATE TABLE {src} (id int, v text); INSERT INTO {src} VALUES (1, 'new'); \
         CREATE TABLE {dst} (id int, v text); INSERT INTO {dst} VALUES (9, 'old'); \
         CREATE FUNCTION {keep}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER keep BEFORE DELETE ON {dst} FOR EACH ROW EXECUTE FUNCTION {keep}()"
    ));
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{src}'}}\n    \
         target: {{connection: sys, value: '{dst}'}}\n    load: {{mode: replace, options: {{replace_strategy: delete}}}}\n",
        system.connection()
    );
    let ran = system.project.run(&yaml).exits(1);
    assert!(ran.stream("s")["error"]["message"].as_str().unwrap().contains("rows are left"), "{}", ran.out);
    assert_eq!(psql(&format!("SELECT * FROM {dst}")), "9|old");
}

#[test]
fn a_watermark_that_a_second_run_could_not_follow_is_refused_by_the_first() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!("CREATE TABLE {src} (id int, w text); INSERT INTO {src} VALUES (1, '9'), (2, '10')"));
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{src}'}}\n    \
         target: {{connection: sys, value: '{dst}'}}\n    extract: {{mode: incremental, watermark_field: w}}\n    load: {{mode: append}}\n    \
         fields: [id, {{id: w, target: {{type: numeric}}}}]\n",
        system.connection()
    );
    let error = system.project.run(&yaml).exits(1).stream("s")["error"].clone();
    assert_eq!(error["kind"], "type mapping", "{error}");
    assert!(error["message"].as_str().unwrap().contains("cannot be a watermark"), "{error}");
    assert_eq!(psql(&format!("SELECT to_regclass('{dst}')")), "NULL");
}

#[test]
fn a_stream_without_a_buffer_that_would_wait_for_itself_is_refused() {
    let system = System::new(Kind::Postgres);
    let (table, view) = (system.sql_name("t"), system.sql_name("v"));
    // More rows than are on the way at once, so that the reader cannot end before the load begins.
    psql(&format!(
        "CREATE TABLE {table} (id int, v text); INSERT INTO {table} SELECT i, repeat('x', 200) FROM generate_series(1, 200000) i; \
         CREATE VIEW {view} AS SELECT * FROM {table}"
    ));
    let yaml = |source: &str, options: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{sys: {}}}\nbuffer: {{format: none}}\nstreams:\n  - id: s\n    source: {{connection: sys, {source}}}\n    \
             target: {{connection: sys, value: '{table}'}}\n    criteria: {{where: 'id <= 100000'}}\n    load: {{mode: replace{options}}}\n",
            system.connection()
        )
    };
    for source in [
        format!("value: '{table}'"),
        format!("value: '{view}'"),
        format!("type: sql, sql: 'SELECT * FROM {view}'"),
        format!("type: query, sql: 'SELECT * FROM sys.{table}'"),
    ] {
        let error = system.project.run(&yaml(&source, "")).exits(1).stream("s")["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("which its load locks"), "{source}: {error}");
    }
    assert_eq!(psql(&format!("SELECT count(*) FROM {table}")), "200000");
    let deleting = yaml(&format!("value: '{view}'"), ", options: {replace_strategy: delete}");
    system.project.run(&deleting).exits(0);
    assert_eq!(psql(&format!("SELECT count(*) FROM {table}")), "100000");
}

#[test]
fn a_postgres_table_is_appended_to_postgres_through_a_buffer_twice() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id int, u uuid, n numeric(9,2)); INSERT INTO {src} VALUES (1, gen_random_uuid(), 1.5), (2, NULL, NULL)"
    ));
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{src}'}}\n    \
         target: {{connection: sys, value: '{dst}'}}\n    load: {{mode: append}}\n",
        system.connection()
    );
    for _ in 0..2 {
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), [2, 2, 0, 0]);
    }
    let differ = psql(&format!(
        "SELECT count(*) FROM (SELECT x::text FROM {dst} x EXCEPT ALL (SELECT x::text FROM {src} x UNION ALL SELECT x::text FROM {src} x)) d"
    ));
    assert_eq!((psql(&format!("SELECT count(*) FROM {dst}")), differ), ("4".into(), "0".into()));
}
