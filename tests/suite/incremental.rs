//! Watermarks: typed, in UTC, moved back, never coarser than the source.

use std::sync::Arc;

use datafusion::arrow::array::*;

use crate::support::{Kind, Project, System, psql, sqlite3, write_parquet};

fn events(project: &Project, stamps: &[(i64, &str)]) {
    let parse = |t: &str| chrono::DateTime::parse_from_rfc3339(t).unwrap().timestamp_micros();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(stamps.iter().map(|s| s.0)))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(stamps.iter().map(|s| parse(s.1))).with_timezone("UTC"),
            ),
        ),
    ];
    write_parquet(&project.path("in.parquet"), columns);
}

#[test]
fn lookback_takes_late_rows_and_instants_compare_in_utc() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let system = System::new(kind);
        let project = &system.project;
        let rest = "    extract: {mode: incremental, watermark_field: at, lookback: 1h}\n    load: {mode: upsert, upsert_keys: [id]}\n";
        events(project, &[(1, "2026-01-01T12:00:00Z")]);
        project.run(&system.load("in.parquet", "t", rest)).exits(0);
        // One on the bound, one late within the hour, one too old, one new; the zone is only another spelling.
        let rows = [
            (1, "2026-01-01T12:00:00Z"),
            (2, "2026-01-01T13:30:00+02:00"),
            (3, "2026-01-01T10:59:59Z"),
            (4, "2026-01-01T12:00:00.000001Z"),
        ];
        events(project, &rows);
        let ran = project.run(&system.load("in.parquet", "t", rest)).exits(0);
        assert_eq!(ran.counts("s"), [3, 2, 0, 1], "{kind:?}");
        assert_eq!(ran.stream("s")["watermark_from"], "2026-01-01 12:00:00+00:00");
        assert_eq!(ran.stream("s")["watermark_to"], "2026-01-01 12:00:00.000001+00:00");
    }
}

#[test]
fn a_target_coarser_than_the_source_is_refused() {
    let system = System::new(Kind::Postgres);
    psql(&format!(
        "CREATE TABLE {} (id bigint PRIMARY KEY, at timestamptz(0)); CREATE TABLE {} (id bigint, at date)",
        system.sql_name("t"),
        system.sql_name("d")
    ));
    events(&system.project, &[(1, "2026-01-01T12:00:00Z")]);
    let rest = "    extract: {mode: incremental, watermark_field: at}\n    load: {mode: append}\n";
    let ran = system.project.run(&system.load("in.parquet", "d", rest)).exits(1);
    assert!(ran.stream("s")["error"]["message"].as_str().unwrap().contains("coarser"), "{}", ran.out);
}

#[test]
fn an_append_whose_target_has_only_null_watermarks_is_refused() {
    let project = Project::new();
    sqlite3(&project.path("t.db"), "CREATE TABLE t (id BIGINT, at TIMESTAMPTZ); INSERT INTO t VALUES (1, NULL)");
    events(&project, &[(1, "2026-01-01T12:00:00Z")]);
    let yaml = "version: 1\nname: p\nconnections: {files: {type: file, path: .}, db: 'sqlite:///t.db'}\nstreams:\n  - id: s\n    \
                source: {connection: files, value: in.parquet}\n    target: {connection: db, value: t}\n    \
                extract: {mode: incremental, watermark_field: at}\n    load: {mode: append}\n";
    let ran = project.run(yaml).exits(1);
    assert!(ran.stream("s")["error"]["message"].as_str().unwrap().contains("NULL in all of them"), "{}", ran.out);
}

#[test]
fn a_watermark_is_asked_of_the_mapped_column_and_the_filter_reaches_sqlite() {
    let project = Project::new();
    sqlite3(&project.path("src.db"), "CREATE TABLE t (id BIGINT, n BIGINT); INSERT INTO t VALUES (1, 1), (2, 2)");
    let yaml = "version: 1\nname: p\nconnections: {src: 'sqlite:///src.db', db: 'sqlite:///t.db'}\nstreams:\n  - id: s\n    \
                source: {connection: src, value: t}\n    target: {connection: db, value: t}\n    fields: [id, {id: mark, source: n, target: m}]\n    \
                extract: {mode: incremental, watermark_field: mark}\n    load: {mode: append}\n";
    project.run(yaml).exits(0);
    sqlite3(&project.path("src.db"), "INSERT INTO t VALUES (3, 3)");
    let plan = project.dxt(&["explain", "p.yaml"]).exits(0).out;
    assert!(plan.contains("watermark: m of db.t = 2"), "{plan}");
    assert!(plan.contains(r#"FROM main."t" WHERE "n" > 2"#), "{plan}");
    assert_eq!(project.run(yaml).exits(0).counts("s"), [1, 1, 0, 0]);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT group_concat(m) FROM t"), "1,2,3");
}

#[test]
fn a_limited_incremental_extract_goes_on_where_it_stopped() {
    let project = Project::new();
    // The least comes last: taken in the source's order, it would be left behind the watermark.
    events(&project, &[(3, "2026-01-03T00:00:00Z"), (2, "2026-01-02T00:00:00Z"), (1, "2026-01-01T00:00:00Z")]);
    let yaml = |load: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{files: {{type: file, path: .}}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    \
             source: {{connection: files, value: in.parquet}}\n    target: {{connection: db, value: t}}\n    criteria: {{limit: 2}}\n    \
             extract: {{mode: incremental, watermark_field: at}}\n    load: {{{load}}}\n"
        )
    };
    let upsert = yaml("mode: upsert, upsert_keys: [id]");
    project.run(&upsert).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)"), "1,2");
    project.run(&upsert).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM t"), "3");
    assert!(project.run(&yaml("mode: append")).exits(2).err.contains("criteria.limit"));
}

#[test]
fn numbers_kept_as_text_are_no_watermark() {
    let project = Project::new();
    let yaml = "version: 1\nname: p\nconnections: {src: 'sqlite:///src.db', db: 'sqlite:///t.db'}\nstreams:\n  - id: s\n    \
                source: {connection: src, value: t}\n    target: {connection: db, value: t}\n    \
                extract: {mode: incremental, watermark_field: n}\n    load: {mode: append}\n";
    sqlite3(&project.path("src.db"), "CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (9), (10)");
    sqlite3(&project.path("t.db"), "CREATE TABLE t (n TEXT); INSERT INTO t VALUES ('9'), ('10')");
    let ran = project.run(yaml).exits(1);
    assert!(ran.stream("s")["error"]["message"].as_str().unwrap().contains("another order"), "{}", ran.out);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM t"), "2");
}
