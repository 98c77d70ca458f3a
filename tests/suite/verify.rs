//! `load: {verify: checksum}`: what was read is what the target holds before it commits.

use crate::support::{Kind, System, people, psql, python, sqlite3};

/// One row per kind of value, and NULLs; written by pyarrow.
const VALUES: &str = r#"
import sys, datetime as d, decimal, pyarrow as pa, pyarrow.parquet as pq
D = decimal.Decimal
pq.write_table(pa.table({
    "id": pa.array([1, 2, 3], pa.int64()),
    "small": pa.array([-7, None, 32767], pa.int16()),
    "name": pa.array(["a,\"b\"\tc", "", None], pa.string()),
    "amount": pa.array([D("12.50"), D("-0.01"), None], pa.decimal128(12, 2)),
    "ratio": pa.array([0.1, -0.0, None], pa.float64()),
    "yes": pa.array([True, False, None], pa.bool_()),
    "day": pa.array([d.date(1969, 12, 31), d.date(2024, 2, 29), None], pa.date32()),
    "at": pa.array([d.datetime(2024, 1, 2, 3, 4, 5, 678901), d.datetime(1960, 1, 1), None], pa.timestamp("us")),
    "seen": pa.array([d.datetime(2024, 1, 2, 3, 4, 5), None, None], pa.timestamp("us", "UTC")),
}), sys.argv[1])
"#;

fn message(ran: crate::support::Ran) -> String {
    ran.exits(1).stream("s")["error"]["message"].as_str().expect("a message").to_string()
}

#[test]
fn rows_of_all_kinds_of_values_pass_into_every_target_in_every_mode() {
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Parquet, Kind::Csv, Kind::Jsonl, Kind::Ipc] {
        let system = System::new(kind);
        python(VALUES, &[&system.project.path("in.parquet").to_string_lossy()]);
        let load = |mode: &str, rest: &str| {
            let rest = format!("    load: {{mode: {mode}, verify: checksum}}\n{rest}");
            let ran = system.project.run(&system.load("in.parquet", "t", &rest));
            assert_eq!(ran.code, 0, "{kind:?} {mode}: {} {}", ran.out, ran.err);
        };
        load("append", "");
        load("append", "buffer: {format: none}\n");
        assert_eq!(system.rows("t").len(), 6, "{kind:?}");
        load("replace", "");
        load("replace", "buffer: {format: memory}\n");
        assert_eq!(system.rows("t").len(), 3, "{kind:?}");
        if system.can_upsert() {
            load("upsert, upsert_keys: [id]", "");
            assert_eq!(system.rows("t").len(), 3, "{kind:?}");
        }
    }
}

#[test]
fn extract_and_load_on_their_own_compare_with_the_sums_in_the_manifest() {
    let system = System::new(Kind::Sqlite);
    let project = &system.project;
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1)), (2, None, None)]);
    project.write("p.yaml", &system.load("in.parquet", "t", "    load: {mode: append, verify: checksum}\n"));
    project.dxt(&["extract", "p.yaml"]).exits(0);
    let run = std::fs::read_dir(project.path(".dxt/buffer/p/s")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(run.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let sums = &manifest["sums"];
    assert_eq!((sums["rows"].as_u64(), sums["columns"].as_array().map(Vec::len)), (Some(2), Some(3)), "{text}");
    // Another value than was read: the sum of `name` in the place of that of `v`.
    let (name, v) = (sums["columns"][1][1].as_str().unwrap(), sums["columns"][2][1].as_str().unwrap());
    std::fs::write(run.join("manifest.json"), text.replace(v, name)).unwrap();
    let said = message(project.dxt(&["load", "p.yaml", "--format", "json"]));
    assert!(said.contains("came out of it differ: column v"), "{said}");
    std::fs::write(run.join("manifest.json"), text).unwrap();
    project.dxt(&["load", "p.yaml"]).exits(0);
    assert_eq!(system.rows("t"), ["1|a|1", "2|NULL|NULL"]);
}

#[test]
fn a_trigger_of_postgres_that_changes_a_value_is_caught_and_named() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("t");
    let schema = table.split('.').next().unwrap();
    people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(1)), (2, Some("b"), None)]);
    psql(&format!(
        "CREATE TABLE {table} (id bigint, name text, v bigint); INSERT INTO {table} VALUES (0, 'old', 0); \
         CREATE FUNCTION {schema}.loud() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF NEW.id = 2 THEN NEW.name := upper(NEW.name); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER loud BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.loud()"
    ));
    for mode in ["append", "replace"] {
        let yaml =
            |verify: &str| system.load("in.parquet", "t", &format!("    load: {{mode: {mode}, verify: {verify}}}\n"));
        let said = message(system.project.run(&yaml("checksum")));
        assert!(said.contains("what the target holds differ: column name"), "{said}");
        assert_eq!(system.rows("t"), ["0|old|0"], "{mode}");
    }
    // Counted, it is a load like any other.
    system.project.run(&system.load("in.parquet", "t", "    load: {mode: append}\n")).exits(0);
    assert_eq!(system.rows("t"), ["0|old|0", "1|a|1", "2|B|NULL"]);
}

#[test]
fn a_trigger_of_sqlite_that_changes_a_value_is_caught_and_named() {
    let system = System::new(Kind::Sqlite);
    let file = system.project.path("t.db");
    people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(1)), (2, Some("b"), None)]);
    // Its ids are rowids, and those of the load are not the greatest.
    sqlite3(
        &file,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, v BIGINT); INSERT INTO t VALUES (9, 'old', 0); \
         CREATE TRIGGER loud AFTER INSERT ON t WHEN new.id = 2 BEGIN UPDATE t SET v = 7 WHERE id = new.id; END",
    );
    for mode in ["append", "replace"] {
        let yaml = system.load("in.parquet", "t", &format!("    load: {{mode: {mode}, verify: checksum}}\n"));
        let said = message(system.project.run(&yaml));
        assert!(said.contains("what the target holds differ: column v"), "{said}");
        assert_eq!(system.rows("t"), ["9|old|0"], "{mode}");
    }
    sqlite3(&file, "DROP TRIGGER loud");
    let yaml = system.load("in.parquet", "t", "    load: {mode: append, verify: checksum}\n");
    system.project.run(&yaml).exits(0);
    assert_eq!(system.rows("t"), ["1|a|1", "2|b|NULL", "9|old|0"]);
}

#[test]
fn what_cannot_give_its_rows_back_is_refused_before_a_row_moves() {
    let system = System::new(Kind::Sqlite);
    people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
    sqlite3(&system.project.path("t.db"), "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, v BIGINT) WITHOUT ROWID");
    let run = |load: &str| system.project.run(&system.load("in.parquet", "t", &format!("    load: {load}\n")));
    let ran = run("{mode: append, verify: checksum}").exits(1);
    let report = ran.stream("s")["error"]["report"].as_str().unwrap().to_string();
    assert!(report.contains("cannot give back") && report.contains("verify: counts"), "{report}");
    assert!(!system.project.path(".dxt/buffer/p/s").exists(), "nothing was extracted");
    run("{mode: upsert, upsert_keys: [id], verify: checksum}").exits(0);
    assert_eq!(system.rows("t"), ["1|a|1"]);
}

#[test]
fn rows_that_are_relayed_are_looked_at_for_their_sums() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id int, j jsonb, n numeric, a int[], i interval, c char(5)); \
         INSERT INTO {src} VALUES (1, '{{\"b\": 1, \"a\": [1.50, null]}}', 1.500, '{{1,NULL}}', '1 day 02:00', 'x'), (2, NULL, NULL, NULL, NULL, NULL); \
         CREATE TABLE {dst} (LIKE {src})"
    ));
    let url = crate::support::env("DXT_TEST_PG_URL");
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: '{url}'}}\nbuffer: {{format: none}}\nstreams:\n  - id: s\n    \
         source: {{connection: sys, value: '{src}'}}\n    target: {{connection: sys, value: '{dst}'}}\n    \
         load: {{mode: append, verify: checksum}}\n"
    );
    system.project.write("p.yaml", &yaml);
    assert!(!system.project.dxt(&["explain", "p.yaml"]).exits(0).out.contains("RelayExec"));
    system.project.run(&yaml).exits(0);
    assert_eq!(psql(&format!("SELECT count(*) FROM (TABLE {src} EXCEPT TABLE {dst}) AS x")), "0");
    assert_eq!(psql(&format!("SELECT count(*) FROM {dst}")), "2");
}
