//! PostgreSQL: what keeps a load, its source and everybody else apart.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Kind, Ran, System, env, psql, sqlite3};

fn schema(system: &System) -> String {
    system.sql_name("x").split('.').next().expect("a schema").to_string()
}

/// A pipeline of one stream `s` between two tables, over connections `from` and `to`.
fn copy(from: &str, to: &str, src: &str, dst: &str, rest: &str) -> String {
    format!(
        "version: 1\nname: p\nconnections: {{a: '{from}', b: '{to}'}}\nstreams:\n  - id: s\n    source: {{connection: a, value: '{src}'}}\n    \
         target: {{connection: b, value: '{dst}'}}\n{rest}"
    )
}

fn run(system: &System, src: &str, dst: &str, load: &str) -> Ran {
    let url = env("DXT_TEST_PG_URL");
    system.project.run(&copy(&url, &url, src, dst, &format!("    load: {load}\n")))
}

#[track_caller]
fn report(ran: Ran) -> String {
    ran.exits(1).stream("s")["error"]["report"].as_str().expect("a report").to_string()
}

/// The server as a role of its own, which goes by the name that it gives.
fn role(system: &System, rights: &str) -> (String, String) {
    let name = format!("role_{}", schema(system));
    psql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'guards'; {}", rights.replace('$', &name)));
    let (_, server) = env("DXT_TEST_PG_URL").rsplit_once('@').map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
    (format!("postgresql://{name}:guards@{server}"), name)
}

#[test]
fn a_keyed_replace_is_refused_where_an_update_would_change_rows_of_another_table() {
    let system = System::new(Kind::Postgres);
    for action in ["CASCADE", "SET NULL", "SET DEFAULT"] {
        let name = |what: &str| system.sql_name(&format!("{what} {action}"));
        let (src, dst, child) = (name("src"), name("dst"), name("child"));
        psql(&format!(
            "CREATE TABLE {src} (id int, code text, v int); INSERT INTO {src} VALUES (1, 'a', 1), (2, 'changed', 2), (3, 'd', 3); \
             CREATE TABLE {dst} (id int PRIMARY KEY, code text UNIQUE, v int); INSERT INTO {dst} VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0); \
             CREATE TABLE {child} (code text DEFAULT 'a', CONSTRAINT moved FOREIGN KEY (code) REFERENCES {dst} (code) ON UPDATE {action}); \
             INSERT INTO {child} VALUES ('a'), ('b')"
        ));
        let report = report(run(&system, &src, &dst, "{mode: replace}"));
        assert!(report.contains("moved") && report.contains("key (id=2)"), "{action}: {report}");
        let child_rows = || psql(&format!("SELECT string_agg(code, ' ' ORDER BY code) FROM {child}"));
        assert_eq!((child_rows(), psql(&format!("SELECT sum(v) FROM {dst}"))), ("a b".into(), "0".into()), "{action}");
        // The third row's code may change: nothing refers to it.
        psql(&format!("UPDATE {src} SET code = 'b' WHERE id = 2"));
        assert_eq!(run(&system, &src, &dst, "{mode: replace}").exits(0).counts("s"), [3, 0, 3, 0], "{action}");
        assert_eq!(child_rows(), "a b", "{action}");
    }
}

#[test]
fn a_stream_without_a_buffer_is_refused_where_it_reads_what_it_replaces_by_whatever_name() {
    let system = System::new(Kind::Postgres);
    let [parent, one, view] = ["parent", "one", "a_view"].map(|name| system.sql_name(name));
    psql(&format!(
        "CREATE TABLE {parent} (id int) PARTITION BY RANGE (id); CREATE TABLE {one} PARTITION OF {parent} DEFAULT; \
         INSERT INTO {parent} VALUES (1), (2); CREATE VIEW {view} AS SELECT id + 1 AS id FROM {one}"
    ));
    let url = env("DXT_TEST_PG_URL");
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let socket = format!("{}?host={}", url.replace("127.0.0.1", ""), env("DXT_TEST_PG_SOCKET"));
    for from in [&url, &elsewhere, &socket] {
        for (src, dst) in [(&parent, &one), (&one, &parent), (&view, &parent), (&one, &one)] {
            let rest = "    load: {mode: replace}\nbuffer: {format: none}\n";
            let report = report(system.project.run(&copy(from, &url, src, dst, rest)));
            assert!(report.contains("which its load locks to replace it"), "{src} to {dst}: {report}");
        }
    }
    assert_eq!(psql(&format!("SELECT count(*) FROM {parent}")), "2");
}

#[test]
fn all_connections_to_one_database_read_one_state_but_of_what_the_run_has_loaded() {
    let system = System::new(Kind::Postgres);
    let [counter, stop, loaded] = ["counter", "stop", "loaded"].map(|name| system.sql_name(name));
    psql(&format!("CREATE TABLE {counter} (n int); INSERT INTO {counter} VALUES (0); CREATE TABLE {stop} (now bool)"));
    let counting = format!(
        "DO $$ BEGIN FOR i IN 1..1000000 LOOP UPDATE {counter} SET n = n + 1; COMMIT; EXIT WHEN EXISTS (SELECT FROM {stop}); \
         PERFORM pg_sleep(0.001); END LOOP; END $$"
    );
    let writer = std::thread::spawn(move || psql(&counting));
    let url = env("DXT_TEST_PG_URL");
    let stream = |id: &str, from: &str, table: &str, to: &str| {
        format!(
            "  - id: {id}\n    source: {{connection: {from}, value: '{table}'}}\n    target: {to}\n    load: {{mode: replace}}\n"
        )
    };
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{one: '{url}', two: '{}', lite: 'sqlite:///t.db'}}\nstreams:\n{}{}{}{}",
        url.replace("127.0.0.1", "localhost"),
        stream("a", "one", &counter, "{connection: lite, value: a}"),
        stream("b", "two", &counter, &format!("{{connection: two, value: '{loaded}'}}")),
        stream("c", "one", &loaded, "{connection: lite, value: c}"),
        stream("d", "two", &counter, "{connection: lite, value: d}"),
    );
    let ran = system.project.run(&yaml).exits(0);
    psql(&format!("INSERT INTO {stop} VALUES (true)"));
    writer.join().expect("the writer");
    assert_eq!(ran.counts("c")[0], 1, "what the run has loaded is read");
    let read = |table: &str| sqlite3(&system.project.path("t.db"), &format!("SELECT n FROM {table}"));
    assert_eq!((read("c"), read("d")), (read("a"), read("a")), "{}", psql(&format!("SELECT n FROM {counter}")));
}

#[test]
fn others_read_the_target_and_do_not_write_to_it_while_a_load_is_in_flight() {
    let system = System::new(Kind::Postgres);
    for load in ["{mode: append}", "{mode: upsert, upsert_keys: [id]}"] {
        let dst = system.sql_name(load);
        psql(&format!("CREATE TABLE {dst} (id int PRIMARY KEY, waited text)"));
        let url = env("DXT_TEST_PG_URL");
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{pg: '{url}'}}\nbuffer: {{format: none}}\nstreams:\n  - id: s\n    \
             source: {{connection: pg, type: sql, sql: \"SELECT 1 AS id, pg_sleep(4)::text AS waited\"}}\n    \
             target: {{connection: pg, value: '{dst}'}}\n    load: {load}\n"
        );
        system.project.write("p.yaml", &yaml);
        let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
        command.args(["run", "p.yaml", "--quiet"]).current_dir(system.project.root()).stderr(Stdio::piped());
        let child = command.spawn().expect("dxt runs");
        let locked = format!(
            "SELECT count(*) FROM pg_locks WHERE relation = '{dst}'::regclass AND mode = 'ShareRowExclusiveLock' AND granted"
        );
        let since = Instant::now();
        while psql(&locked) == "0" {
            assert!(since.elapsed() < Duration::from_secs(20), "{load}: the target is not locked");
            std::thread::sleep(Duration::from_millis(20));
        }
        psql(&format!(
            "SET lock_timeout = '300ms'; DO $$ BEGIN INSERT INTO {dst} VALUES (7); RAISE EXCEPTION 'another has written'; \
             EXCEPTION WHEN lock_not_available THEN NULL; END $$"
        ));
        assert_eq!(psql(&format!("SET lock_timeout = '300ms'; SELECT count(*) FROM {dst}")), "0", "{load}");
        let output = child.wait_with_output().expect("dxt ends");
        assert!(output.status.success(), "{load}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(psql(&format!("SELECT count(*) FROM {dst}")), "1", "{load}");
    }
}

#[test]
fn an_upsert_keeps_the_keys_that_it_brings_to_an_identity_column() {
    let system = System::new(Kind::Postgres);
    for key in ["PRIMARY KEY", ""] {
        let (src, dst) = (system.sql_name(&format!("src {key}")), system.sql_name(&format!("dst {key}")));
        psql(&format!(
            "CREATE TABLE {src} (id bigint, v text); INSERT INTO {src} VALUES (5, 'five'), (70, 'seventy'); \
             CREATE TABLE {dst} (id bigint GENERATED ALWAYS AS IDENTITY {key}, v text); \
             INSERT INTO {dst} OVERRIDING SYSTEM VALUE VALUES (5, 'old')"
        ));
        let upsert = || run(&system, &src, &dst, "{mode: upsert, upsert_keys: [id]}").exits(0).counts("s");
        assert_eq!((upsert(), upsert()), ([2, 1, 1, 0], [2, 0, 0, 2]), "{key}");
        let next = psql(&format!("INSERT INTO {dst} (v) VALUES ('own') RETURNING id"));
        assert_eq!(next, "71", "{key}");
    }
}

#[test]
fn an_upsert_tells_values_apart_by_their_images_whatever_their_types_equality_says() {
    let system = System::new(Kind::Postgres);
    // One box has the area of the other, and no type here but the last has an equality that could be asked.
    let cases = [
        ("xml", "<a/>", "<a></a>"),
        ("json", "{\"a\":1}", "{\"a\": 1}"),
        ("point", "(1,2)", "(1,3)"),
        ("box", "(2,1),(0,0)", "(1,2),(0,0)"),
        ("circle", "<(0,0),1>", "<(5,5),1>"),
        ("numeric", "1.0", "1.00"),
    ];
    for (native, was, is) in cases {
        let (src, dst) = (system.sql_name(&format!("src_{native}")), system.sql_name(&format!("dst_{native}")));
        psql(&format!(
            "CREATE TABLE {src} (id int, v {native}); INSERT INTO {src} VALUES (1, '{is}'), (2, '{was}'); \
             CREATE TABLE {dst} (id int PRIMARY KEY, v {native}); INSERT INTO {dst} VALUES (1, '{was}'), (2, '{was}')"
        ));
        let upsert = || run(&system, &src, &dst, "{mode: upsert, upsert_keys: [id]}").exits(0).counts("s");
        assert_eq!((upsert(), upsert()), ([2, 0, 1, 1], [2, 0, 0, 2]), "{native}");
        assert_eq!(psql(&format!("SELECT v FROM {dst} WHERE id = 1")), psql(&format!("SELECT '{is}'::{native}")));
    }
}

#[test]
fn rows_that_row_security_would_hide_are_an_error_and_not_missing() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    let schema = schema(&system);
    psql(&format!(
        "CREATE TABLE {src} (id int, owner text); INSERT INTO {src} VALUES (1, 'me'), (2, 'other'); \
         CREATE TABLE {dst} (id int, owner text); \
         ALTER TABLE {src} ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON {src} USING (owner = 'me'); \
         ALTER TABLE {dst} ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON {dst} USING (owner = 'me')"
    ));
    let rights = format!("GRANT ALL ON SCHEMA {schema} TO $; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO $");
    let (url, name) = role(&system, &rights);
    let admin = env("DXT_TEST_PG_URL");
    for (from, to, side) in [(&url, &admin, "reading"), (&admin, &url, "writing")] {
        let report = report(system.project.run(&copy(from, to, &src, &dst, "    load: {mode: append}\n")));
        assert!(report.contains("row-level security") && report.contains("BYPASSRLS"), "{side}: {report}");
    }
    assert_eq!(psql(&format!("SELECT count(*) FROM {dst}")), "0");
    psql(&format!("DROP OWNED BY {name} CASCADE; DROP ROLE {name}"));
}

#[test]
fn a_key_that_contradicts_the_upserts_is_refused_and_none_makes_none() {
    let system = System::new(Kind::Postgres);
    let (src, dst, keyless) = (system.sql_name("src"), system.sql_name("dst"), system.sql_name("keyless"));
    psql(&format!("CREATE TABLE {src} (id int PRIMARY KEY, v int); INSERT INTO {src} VALUES (1, 2)"));
    let report = report(run(&system, &src, &dst, "{mode: upsert, upsert_keys: [id], options: {primary_key: [v]}}"));
    assert!(report.contains("primary_key is [v], and upsert_keys are [id]"), "{report}");
    let keys = |table: &str| psql(&format!("SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass"));
    run(&system, &src, &dst, "{mode: upsert, upsert_keys: [id], options: {primary_key: source}}").exits(0);
    run(&system, &src, &keyless, "{mode: replace, upsert_keys: [id], options: {primary_key: none}}").exits(0);
    assert_eq!((keys(&dst), keys(&keyless)), ("1".into(), "0".into()));
}

/// What the server was asked since `mark` stood in its log, of statements that name the schema.
fn copies_since(mark: &str, schema: &str) -> Vec<String> {
    let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
    let (_, after) = log.rsplit_once(mark).expect("the mark");
    after.lines().filter(|line| line.contains("COPY (SELECT") && line.contains(schema)).map(str::to_string).collect()
}

#[test]
fn conditions_on_text_enums_and_patterns_are_evaluated_by_the_server_as_they_are_here() {
    let system = System::new(Kind::Postgres);
    let (src, schema) = (system.sql_name("src"), schema(&system));
    psql(&format!(
        "CREATE TYPE {schema}.mood AS ENUM ('sad', 'ok', 'Happy'); \
         CREATE COLLATION {schema}.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE {src} (code text COLLATE \"C\", name text, free text COLLATE {schema}.loose, mood {schema}.mood, flag char(3), ok bool); \
         INSERT INTO {src} VALUES ('a', 'Ärger', 'X', 'sad', 'a', true), ('B', 'zebra', 'x', 'ok', 'a b', false), \
           ('b', 'Zoo', 'Y', 'Happy', NULL, NULL), ('é', 'a_b', '', 'ok', 'abc', true), (NULL, NULL, NULL, NULL, NULL, NULL)"
    ));
    let columns = "code, name, free, mood, flag, ok";
    let run = |name: &str, source: &str, criteria: &str| {
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{pg: {}, files: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    source: {source}\n    \
             target: {{connection: files, value: {name}.csv}}\n    load: {{mode: replace}}\n    fields: [{columns}]\n{criteria}",
            system.connection()
        );
        system.project.run(&yaml).exits(0);
        system.project.read(&format!("{name}.csv"))
    };
    run("all", &format!("{{connection: pg, value: '{src}'}}"), "");
    let conditions = [
        ("name < 'Zz'", true),
        ("name >= 'a' AND code <> 'a'", true),
        ("free = 'x'", true),
        ("mood = 'ok'", true),
        ("mood > 'Z'", true),
        ("code NOT IN ('a', 'b', 'c', 'd', 'e')", true),
        ("name LIKE 'Z%' OR name LIKE '_rger'", true),
        ("name NOT LIKE '%\\_b'", false),
        ("flag = 'a  '", true),
        ("flag = 'a'", true),
        ("ok IS NOT TRUE", true),
        ("ok IS FALSE OR code IS NULL", true),
    ];
    for (i, (condition, pushed)) in conditions.into_iter().enumerate() {
        let quoted = condition.replace('\\', "\\\\").replace('"', "\\\"");
        let mark = format!("mark {src} {i}");
        psql(&format!("SELECT '{mark}'"));
        let criteria = format!("    criteria: {{where: \"{quoted}\"}}\n");
        let there = run("there", &format!("{{connection: pg, value: '{src}'}}"), &criteria);
        let sent = copies_since(&mark, &schema).join("\n");
        assert_eq!(sent.contains("WHERE"), pushed, "{condition}: {sent}");
        // The same over a file of the same rows is evaluated here.
        let here = run("here", "{connection: files, value: all.csv}", &criteria);
        assert_eq!(there, here, "{condition}: {sent}");
    }
}

#[test]
fn a_watermark_of_text_is_asked_of_the_server() {
    let system = System::new(Kind::Postgres);
    let (src, dst, schema) = (system.sql_name("src"), system.sql_name("dst"), schema(&system));
    psql(&format!("CREATE TABLE {src} (code text, v int); INSERT INTO {src} VALUES ('B', 1), ('a', 2), (NULL, 3)"));
    let rest = "    extract: {mode: incremental, watermark_field: code}\n    load: {mode: append}\n";
    let url = env("DXT_TEST_PG_URL");
    system.project.run(&copy(&url, &url, &src, &dst, rest)).exits(0);
    psql(&format!("INSERT INTO {src} VALUES ('C', 4), ('b', 5)"));
    let mark = format!("mark {src}");
    psql(&format!("SELECT '{mark}'"));
    assert_eq!(system.project.run(&copy(&url, &url, &src, &dst, rest)).exits(0).counts("s"), [1, 1, 0, 0]);
    let sent = copies_since(&mark, &schema).join("\n");
    assert!(sent.contains("COLLATE \"C\" > 'a'"), "{sent}");
}

/// A psql that runs `sql` in the background, once `until` is true.
fn meanwhile(sql: &str, until: &str) -> std::process::Child {
    let mut command = Command::new(env("PSQL"));
    command.args([&env("DXT_TEST_PG_URL"), "-qX", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    let child = command.stdout(Stdio::null()).spawn().expect("psql");
    let since = Instant::now();
    while psql(&format!("SELECT {until}")) != "t" {
        assert!(since.elapsed() < Duration::from_secs(20), "{sql}");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn a_table_that_another_process_empties_and_fills_is_read_as_it_is_then() {
    let system = System::new(Kind::Postgres);
    for (i, change) in
        ["TRUNCATE $", "ALTER TABLE $ ALTER v TYPE text USING v::text || '!'", "VACUUM FULL $"].iter().enumerate()
    {
        let src = system.sql_name(&format!("src{i}"));
        psql(&format!(
            "CREATE TABLE {src} (id int, v text); INSERT INTO {src} SELECT i, 'old' FROM generate_series(1, 5) i"
        ));
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{pg: {}, files: {{type: file, path: .}}}}\nload: {{mode: replace}}\nstreams:\n  \
             - {{id: a, source: {{connection: pg, type: sql, sql: \"SELECT pg_sleep(3)::text AS waited\"}}, target: {{connection: files, value: a.csv}}}}\n  \
             - {{id: b, source: {{connection: pg, value: '{src}'}}, target: {{connection: files, value: b.csv}}}}\n",
            system.connection()
        );
        system.project.write("p.yaml", &yaml);
        let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
        command.args(["run", "p.yaml"]).current_dir(system.project.root()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().expect("dxt runs");
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND query LIKE 'COPY%AS waited%'";
        let since = Instant::now();
        while psql(sleeping) == "0" {
            assert!(since.elapsed() < Duration::from_secs(20), "the first stream does not read");
            std::thread::sleep(Duration::from_millis(20));
        }
        psql(&change.replace('$', &src));
        psql(&format!("INSERT INTO {src} VALUES (6, 'new')"));
        let output = child.wait_with_output().expect("dxt ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{change}: {said}");
        assert!(said.contains("truncated or rewritten"), "{change}: {said}");
        let rows = psql(&format!("SELECT count(*) FROM {src}"));
        assert_eq!(
            system.project.read("b.csv").lines().count().to_string(),
            (rows.parse::<u32>().unwrap() + 1).to_string()
        );
    }
}

#[test]
fn a_read_that_waits_for_a_truncate_reads_what_comes_after_it() {
    let system = System::new(Kind::Postgres);
    for options in ["{}", "{snapshot: stream}"] {
        let src = system.sql_name(options);
        psql(&format!("CREATE TABLE {src} (id int); INSERT INTO {src} SELECT generate_series(1, 5)"));
        let held = format!(
            "EXISTS (SELECT FROM pg_locks WHERE relation = '{src}'::regclass AND mode = 'AccessExclusiveLock' AND granted)"
        );
        let sql = format!("BEGIN; TRUNCATE {src}; INSERT INTO {src} VALUES (7), (8); SELECT pg_sleep(2); COMMIT");
        let mut writer = meanwhile(&sql, &held);
        // What the catalog says waits for nobody; the rows do.
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{pg: {}, files: {{type: file, path: .}}}}\nload: {{mode: replace}}\nstreams:\n  \
             - {{id: s, source: {{connection: pg, value: '{src}', options: {options}}}, target: {{connection: files, value: b.csv}}}}\n",
            system.connection()
        );
        assert_eq!(system.project.run(&yaml).exits(0).counts("s")[0], 2, "{options}");
        assert!(writer.wait().expect("psql ends").success());
    }
}

#[test]
fn a_watermark_that_is_only_carried_as_text_is_refused() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id numeric, at interval); INSERT INTO {src} VALUES (99, '1 day'); CREATE TABLE {dst} (id text, at text)"
    ));
    let url = env("DXT_TEST_PG_URL");
    for column in ["id", "at"] {
        let rest =
            format!("    extract: {{mode: incremental, watermark_field: {column}}}\n    load: {{mode: append}}\n");
        let report = report(system.project.run(&copy(&url, &url, &src, &dst, &rest)));
        assert!(report.contains("carried as text"), "{report}");
    }
}

#[test]
fn a_swap_goes_on_with_an_identity_that_it_does_not_bring() {
    let system = System::new(Kind::Postgres);
    for (name, identity, next) in [
        ("up", "GENERATED BY DEFAULT AS IDENTITY", 14),
        ("down", "GENERATED ALWAYS AS IDENTITY (INCREMENT -1 START -1)", -14),
    ] {
        let (src, dst) = (system.sql_name(&format!("src_{name}")), system.sql_name(&format!("dst_{name}")));
        psql(&format!(
            "CREATE TABLE {src} (v text); INSERT INTO {src} VALUES ('a'), ('b'), ('c'); \
             CREATE TABLE {dst} (id bigint {identity} PRIMARY KEY, v text); INSERT INTO {dst} (v) SELECT 'old' FROM generate_series(1, 10)"
        ));
        let load = "{mode: replace, options: {replace_strategy: swap}}";
        run(&system, &src, &dst, load).exits(0);
        assert_eq!(psql(&format!("INSERT INTO {dst} (v) VALUES ('own') RETURNING id")), next.to_string(), "{name}");
        assert_eq!(psql(&format!("SELECT count(DISTINCT id) FROM {dst}")), "4", "{name}");
    }
}

#[test]
fn a_row_of_nulls_is_a_value_and_is_asked_for_as_one() {
    let system = System::new(Kind::Postgres);
    let (src, schema) = (system.sql_name("src"), schema(&system));
    psql(&format!(
        "CREATE TYPE {schema}.addr AS (street text, zip text); CREATE TABLE {src} (id int, home {schema}.addr); \
         INSERT INTO {src} VALUES (1, ('s', 'z')), (2, ('s', NULL)), (3, (NULL, NULL)), (4, NULL)"
    ));
    for (condition, rows) in [("home IS NOT NULL", 3), ("home IS NULL", 1), ("NOT (home IS NULL)", 3)] {
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{pg: {}, files: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    source: {{connection: pg, value: '{src}'}}\n    \
             target: {{connection: files, value: t.csv}}\n    load: {{mode: replace}}\n    criteria: {{where: \"{condition}\"}}\n",
            system.connection()
        );
        assert_eq!(system.project.run(&yaml).exits(0).counts("s")[0], rows, "{condition}");
    }
}

#[test]
fn a_column_that_would_round_what_it_is_given_as_text_is_refused() {
    let system = System::new(Kind::Postgres);
    let schema = schema(&system);
    psql(&format!("CREATE DOMAIN {schema}.price AS numeric(12,2); CREATE DOMAIN {schema}.short AS varchar(3)"));
    let price = format!("{schema}.price");
    let short = format!("{schema}.short");
    let cases = [
        ("interval", "'1.5 s'", "interval(0)", false),
        ("interval", "'1 day'", "interval year to month", false),
        ("timetz", "'12:00:00.5+00'", "timetz(0)", false),
        ("numeric", "1.239", "money", false),
        ("numeric", "1.239", price.as_str(), false),
        ("text", "'abc   '", short.as_str(), false),
        ("numeric(12,2)", "1.23", price.as_str(), true),
        ("integer", "7", price.as_str(), true),
        ("interval(0)", "'2 s'", "interval(0)", true),
        (price.as_str(), "1.5", price.as_str(), true),
    ];
    for (i, (from, value, to, fits)) in cases.into_iter().enumerate() {
        let (src, dst) = (system.sql_name(&format!("src{i}")), system.sql_name(&format!("dst{i}")));
        psql(&format!(
            "CREATE TABLE {src} (v {from}); INSERT INTO {src} VALUES ({value}); CREATE TABLE {dst} (v {to})"
        ));
        let ran = run(&system, &src, &dst, "{mode: append}");
        if fits {
            ran.exits(0);
            assert_eq!(psql(&format!("SELECT v::text FROM {dst}")), psql(&format!("SELECT v::{to}::text FROM {src}")));
        } else {
            let report = report(ran);
            assert!(report.contains("column v is") && report.contains("rounds or cuts"), "{from} to {to}: {report}");
        }
    }
}

#[test]
fn an_upsert_finds_rows_of_tables_that_inherit() {
    let system = System::new(Kind::Postgres);
    let [src, dst, child] = ["src", "dst", "child"].map(|name| system.sql_name(name));
    psql(&format!(
        "CREATE TABLE {src} (id int, v text); INSERT INTO {src} VALUES (1, 'new'), (2, 'new'), (3, 'new'); \
         CREATE TABLE {dst} (id int PRIMARY KEY, v text); INSERT INTO {dst} VALUES (1, 'old'); \
         CREATE TABLE {child} () INHERITS ({dst}); INSERT INTO {child} VALUES (2, 'old')"
    ));
    let upsert = || run(&system, &src, &dst, "{mode: upsert, upsert_keys: [id]}").exits(0).counts("s");
    assert_eq!((upsert(), upsert()), ([3, 1, 2, 0], [3, 0, 0, 3]));
    assert_eq!(psql(&format!("SELECT count(*), count(DISTINCT id), min(v) FROM {dst}")), "3|3|new");
}

#[test]
fn of_two_runs_that_would_append_by_default_the_second_is_refused() {
    let system = System::new(Kind::Postgres);
    let dst = system.sql_name("dst");
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}}}\nbuffer: {{format: none}}\nstreams:\n  - id: s\n    \
         source: {{connection: pg, type: sql, sql: \"SELECT 1 AS id, pg_sleep(3)::text AS waited\"}}\n    target: {{connection: pg, value: '{dst}'}}\n",
        system.connection()
    );
    system.project.write("p.yaml", &yaml);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
    command.args(["run", "p.yaml", "--quiet"]).current_dir(system.project.root());
    let mut first = command.spawn().expect("dxt runs");
    let since = Instant::now();
    while psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 6584436 AND granted") == "0" {
        assert!(since.elapsed() < Duration::from_secs(20), "the first load does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    let report = report(system.project.dxt(&["run", "p.yaml", "--format", "json", "--quiet"]));
    assert!(report.contains("has filled the target"), "{report}");
    assert!(first.wait().expect("dxt ends").success());
    assert_eq!(psql(&format!("SELECT count(*) FROM {dst}")), "1");
}

#[test]
fn a_field_that_is_not_nullable_takes_no_null_with_and_without_a_buffer() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id int, v text); INSERT INTO {src} VALUES (1, NULL); CREATE TABLE {dst} (id int, v text)"
    ));
    let url = env("DXT_TEST_PG_URL");
    for buffer in ["none", "parquet"] {
        let rest = format!(
            "    fields: [id, {{id: v, nullable: false}}]\n    load: {{mode: append}}\nbuffer: {{format: {buffer}}}\n"
        );
        let report = report(system.project.run(&copy(&url, &url, &src, &dst, &rest)));
        assert!(report.contains("field v: a NULL"), "{buffer}: {report}");
    }
    assert_eq!(psql(&format!("SELECT count(*) FROM {dst}")), "0");
}

#[test]
fn a_keyed_replace_may_drop_rows_with_those_of_the_same_table_that_refer_to_them() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id int, up int); INSERT INTO {src} VALUES (1, NULL), (4, 2); \
         CREATE TABLE {dst} (id int PRIMARY KEY, up int CONSTRAINT tree REFERENCES {dst} ON DELETE CASCADE); \
         INSERT INTO {dst} VALUES (1, NULL), (2, NULL), (3, 2), (4, 2)"
    ));
    let keyed = "{mode: replace, options: {replace_strategy: keyed}}";
    let report = report(run(&system, &src, &dst, keyed));
    assert!(
        report.contains("tree") && report.contains("id=2"),
        "the fourth row stays, and refers to the second: {report}"
    );
    psql(&format!("DELETE FROM {src} WHERE id = 4"));
    run(&system, &src, &dst, keyed).exits(0);
    assert_eq!(psql(&format!("SELECT string_agg(id::text, ' ') FROM {dst}")), "1");
}
