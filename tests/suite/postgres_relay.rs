//! PostgreSQL to PostgreSQL without a buffer: the bytes of one COPY go to the other where nothing is done to them.

use crate::support::{Kind, Ran, System, psql};

const COLUMNS: &str = "id int PRIMARY KEY, name varchar(20) NOT NULL, amount numeric(12,2), at timestamptz(3), day date, ok bool, doc jsonb, \
                       u uuid, kind char(3), b bytea, f float8, t time";

fn fill(table: &str) {
    psql(&format!(
        "CREATE TABLE {table} ({COLUMNS}); INSERT INTO {table} VALUES \
         (1, 'ä', 10.50, '2026-01-01 10:00+02', '0044-03-15 BC', true, '{{\"k\": 1.50}}', '00000000-0000-0000-0000-000000000001', 'ab', '\\x00ff', 'NaN', '23:59'), \
         (2, '', 'NaN', 'infinity', '-infinity', NULL, NULL, NULL, NULL, NULL, '-0', '24:00'); \
         INSERT INTO {table} (id, name) SELECT i, repeat('x', i % 20) FROM generate_series(3, 30000) i"
    ));
}

fn yaml(system: &System, source: &str, target: &str, rest: &str) -> String {
    format!(
        "version: 1\nname: p\nbuffer: {{format: none}}\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{source}'}}\n    \
         target: {{connection: sys, value: '{target}'}}\n{rest}",
        system.connection()
    )
}

/// The plan, and whether it relays.
fn relays(system: &System, yaml: &str) -> bool {
    system.project.write("p.yaml", yaml);
    let plan = system.project.dxt(&["explain", "p.yaml"]).exits(0).out;
    assert_ne!(plan.contains("RelayExec"), plan.contains("RemoteScanExec"), "{plan}");
    plan.contains("RelayExec")
}

fn difference(a: &str, b: &str) -> String {
    psql(&format!(
        "SELECT (SELECT count(*) FROM (SELECT x::text FROM {a} x EXCEPT ALL SELECT x::text FROM {b} x) d) + \
         (SELECT count(*) FROM (SELECT x::text FROM {b} x EXCEPT ALL SELECT x::text FROM {a} x) d)"
    ))
}

fn run(system: &System, yaml: &str) -> Ran {
    system.project.run(yaml)
}

#[test]
fn rows_arrive_as_they_were_in_every_mode_from_one_part_or_several() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    fill(&src);
    for (name, rest, second) in [
        ("replaced", "    load: {mode: replace}\n", [30_000, 30_000, 0, 0]),
        ("parted", "    extract: {partitions: 3}\n    load: {mode: replace}\n", [30_000, 30_000, 0, 0]),
        ("upserted", "    load: {mode: upsert, upsert_keys: [id]}\n", [30_000, 0, 0, 30_000]),
    ] {
        let target = system.sql_name(name);
        let yaml = yaml(&system, &src, &target, rest);
        assert!(relays(&system, &yaml), "{name}");
        assert_eq!(run(&system, &yaml).exits(0).counts("s"), [30_000, 30_000, 0, 0], "{name}");
        assert_eq!(run(&system, &yaml).exits(0).counts("s"), second, "{name}");
        assert_eq!(difference(&src, &target), "0", "{name}");
    }
    let all = yaml(&system, &src, &system.sql_name("replaced"), "    load: {mode: append}\n");
    psql(&format!("TRUNCATE {}", system.sql_name("replaced")));
    assert_eq!(run(&system, &all).exits(0).counts("s"), [30_000, 30_000, 0, 0]);
}

#[test]
fn only_rows_that_stay_as_they_are_go_undecoded() {
    let system = System::new(Kind::Postgres);
    let (src, wider) = (system.sql_name("src"), system.sql_name("wider"));
    fill(&src);
    psql(&format!("CREATE TABLE {wider} (id bigint, name varchar(20))"));
    let new = system.sql_name("new");
    for (target, rest, relayed) in [
        (&new, "    criteria: {where: \"id < 100\"}\n", true),
        (&new, "    criteria: {limit: 10}\n", false),
        (&new, "    fields: [{id: number, source: id}, name, amount]\n", true),
        (&new, "    fields: [id, {id: name, dtype: string, source: {expression: \"upper(name)\"}}]\n", false),
        (&new, "    fields: [{id: id, dtype: int64}, name]\n", false),
        (&new, "    fields: [id, {id: amount, dtype: string}]\n", false),
        (&new, "    fields: [name, id]\n", false),
        (&new, "    extract: {mode: incremental, watermark_field: id}\n    load: {mode: append}\n", false),
        (&wider, "    fields: [id, name]\n", false),
    ] {
        let yaml = yaml(&system, &src, target, rest);
        assert_eq!(relays(&system, &yaml), relayed, "{rest}");
    }
    let renamed =
        "    criteria: {where: \"id = 1\"}\n    fields: [{id: number, source: id}, {id: who, source: name}, amount]\n";
    run(&system, &yaml(&system, &src, &new, renamed)).exits(0);
    assert_eq!(psql(&format!("SELECT number, who, amount FROM {new}")), "1|ä|10.50");
}

#[test]
fn what_the_target_refuses_leaves_it_as_it_was() {
    let system = System::new(Kind::Postgres);
    let (src, target) = (system.sql_name("src"), system.sql_name("target"));
    psql(&format!(
        "CREATE TABLE {src} (id int, name text); INSERT INTO {src} VALUES (1, 'a'), (2, NULL); \
         CREATE TABLE {target} (id int, name text NOT NULL); INSERT INTO {target} VALUES (9, 'old')"
    ));
    let yaml = yaml(&system, &src, &target, "    load: {mode: replace}\n");
    assert!(relays(&system, &yaml));
    let error = run(&system, &yaml).exits(1).stream("s")["error"].clone();
    assert!(error["report"].as_str().unwrap().contains("name"), "{error}");
    assert_eq!(psql(&format!("SELECT * FROM {target}")), "9|old");
}
