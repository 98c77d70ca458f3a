//! What users rely on, each with a test of its own.

use std::sync::Arc;

use datafusion::arrow::array::*;

use crate::support::{Kind, Project, System, people, psql, python, sqlite3, write_parquet};

fn to_sqlite(stream: &str) -> String {
    format!(
        "version: 1\nname: p\nconnections:\n  files: {{type: file, path: .}}\n  db: sqlite:///t.db\nsource: {{connection: files}}\n\
         target: {{connection: db}}\nstreams:\n  - id: s\n    source: in.parquet\n    target: t\n{stream}"
    )
}

#[test]
fn a_full_extract_never_appends_to_rows_by_default() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), None)]);
    project.run(&to_sqlite("")).exits(0);
    let ran = project.run(&to_sqlite("")).exits(1);
    let error = ran.stream("s")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("has rows already"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("mode: replace"), "{error}");
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM t"), "1");
    project.run(&to_sqlite("    load: {mode: append}\n")).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM t"), "2");
}

#[test]
fn extract_and_load_are_two_steps_and_the_source_may_be_gone_for_the_second() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5)), (2, None, None)]);
    project.write("p.yaml", &to_sqlite("    load: {mode: replace}\n"));
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    assert!(!project.path("t.db").exists(), "an extract touches no target");
    std::fs::remove_file(project.path("in.parquet")).unwrap();
    let ran =
        project.dxt(&["query", "SELECT id, name FROM buffer.p.s ORDER BY id", "p.yaml", "--format", "csv"]).exits(0);
    assert_eq!(ran.out, "id,name\n1,a\n2,\n");
    project.dxt(&["load", "p.yaml", "--quiet"]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t ORDER BY id"), "1|a|5\n2|NULL|NULL");
    let again = project.dxt(&["load", "p.yaml", "--quiet"]).exits(1);
    assert!(again.err.contains("there is no committed buffer of p.s"), "{}", again.err);
}

#[test]
fn a_load_that_failed_is_repeated_from_the_buffer() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
    sqlite3(&project.path("t.db"), "CREATE TABLE t (id BIGINT, name TEXT, v BIGINT CHECK (v < 3))");
    let ran = project.run(&to_sqlite("    load: {mode: append}\n")).exits(1);
    assert!(ran.stream("s")["error"]["hint"].as_str().unwrap().contains("dxt load"), "{}", ran.out);
    std::fs::remove_file(project.path("in.parquet")).unwrap();
    sqlite3(&project.path("t.db"), "DROP TABLE t; CREATE TABLE t (id BIGINT, name TEXT, v BIGINT)");
    project.dxt(&["load", "p.yaml", "--quiet"]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t"), "1|a|5");
}

#[test]
fn a_persisted_buffer_is_loaded_once() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
    project.run(&(to_sqlite("    load: {mode: append}\n") + "buffer: {persist: true}\n")).exits(0);
    let ran = project.dxt(&["query", "SELECT count(*) AS n FROM buffer.p.s", "p.yaml", "--format", "csv"]).exits(0);
    assert_eq!(ran.out, "n\n1\n");
    let again = project.dxt(&["load", "p.yaml", "--quiet"]).exits(1);
    assert!(again.err.contains("has been loaded already"), "{}", again.err);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM t"), "1");
}

#[test]
fn every_format_of_buffer_gives_the_same_rows() {
    for buffer in [
        "{format: parquet, compression: zstd}",
        "{format: parquet, compression: snappy}",
        "{format: parquet, compression: lz4}",
        "{format: parquet, compression: none}",
        "{format: memory}",
        "{format: none}",
    ] {
        let project = Project::new();
        people(&project.path("in.parquet"), &[(1, Some("a"), Some(5)), (2, None, None)]);
        let ran = project.run(&(to_sqlite("    load: {mode: replace}\n") + &format!("buffer: {buffer}\n"))).exits(0);
        assert_eq!(ran.counts("s"), [2, 2, 0, 0], "{buffer}");
        assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t ORDER BY id"), "1|a|5\n2|NULL|NULL", "{buffer}");
    }
}

#[test]
fn a_value_that_does_not_fit_names_stream_field_and_value() {
    for (field, value) in [
        ("{id: v, source: name, dtype: int32}", "`a`"),
        ("{id: v, source: id, dtype: int8}", "`300`"),
        ("{id: v, source: {expression: \"id / 7.0\"}, dtype: decimal, precision: 6, scale: 2}", "`"),
        ("{id: v, source: id, dtype: date}", "no cast from int64 to date"),
        ("{id: v, nullable: false}", "a NULL"),
    ] {
        let project = Project::new();
        people(&project.path("in.parquet"), &[(300, Some("a"), None)]);
        let ran =
            project.run(&to_sqlite(&format!("    fields: [id, {field}]\n    load: {{mode: replace}}\n"))).exits(1);
        let message = ran.stream("s")["error"]["message"].as_str().unwrap().to_string();
        assert!(
            message.starts_with("stream s: ") && message.contains("field v") && message.contains(value),
            "{message}"
        );
        assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM sqlite_master"), "0", "nothing is created");
    }
}

#[test]
fn a_target_that_does_not_fit_is_found_before_a_row_moves() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
    for (ddl, said) in [
        ("CREATE TABLE t (id BIGINT, name TEXT)", "has no column v"),
        ("CREATE TABLE t (id BIGINT, name TEXT, v BIGINT, must TEXT NOT NULL)", "must"),
        ("CREATE VIEW t AS SELECT 1 AS id, 'x' AS name, 2 AS v", "view"),
    ] {
        sqlite3(&project.path("t.db"), ddl);
        let ran = project.run(&to_sqlite("    load: {mode: append}\n")).exits(1);
        let stream = ran.stream("s");
        assert!(stream["error"]["message"].as_str().unwrap().contains(said), "{stream}");
        assert_eq!(stream["rows_read"], 0, "{ddl}");
        let kind = if ddl.contains("VIEW") { "VIEW" } else { "TABLE" };
        sqlite3(&project.path("t.db"), &format!("DROP {kind} t"));
    }
}

#[test]
fn one_failed_stream_does_not_stop_the_others_unless_asked() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
    let yaml = to_sqlite("    fields: [{id: name, dtype: int64}]\n")
        + "  - {id: good, source: in.parquet, target: g, load: {mode: replace}}\n";
    for threads in ["1", "4"] {
        project.write("p.yaml", &yaml);
        let ran = project.dxt(&["run", "p.yaml", "--format", "json", "--quiet", "--threads", threads]).exits(1);
        assert_eq!(
            (ran.stream("s")["status"].as_str(), ran.stream("good")["status"].as_str()),
            (Some("failed"), Some("succeeded"))
        );
    }
    let ran = project.dxt(&["run", "p.yaml", "--format", "json", "--quiet", "--fail-fast"]).exits(1);
    assert_eq!(ran.stream("good")["status"], "skipped");
}

#[test]
fn replace_keeps_views_grants_indexes_and_foreign_keys() {
    let system = System::new(Kind::Postgres);
    let project = &system.project;
    let table = system.sql_name("t");
    people(&project.path("one.parquet"), &[(1, Some("a"), Some(1))]);
    people(&project.path("two.parquet"), &[(2, Some("b"), Some(2))]);
    project.run(&system.load("one.parquet", "t", "    load: {mode: replace}\n")).exits(0);
    let view = system.sql_name("view");
    psql(&format!(
        "CREATE INDEX ON {table} (v); CREATE VIEW {view} AS SELECT * FROM {table}; GRANT SELECT ON {table} TO PUBLIC"
    ));
    project.run(&system.load("two.parquet", "t", "    load: {mode: replace}\n")).exits(0);
    assert_eq!(psql(&format!("SELECT * FROM {view}")), "2|b|2");
    let kept = psql(&format!(
        "SELECT (SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass), relacl::text LIKE '%=r/%' FROM pg_class WHERE oid = '{table}'::regclass"
    ));
    assert_eq!(kept, "1|t");
}

#[test]
fn the_greatest_watermark_wins_among_rows_of_one_key() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let system = System::new(kind);
        let project = &system.project;
        people(
            &project.path("in.parquet"),
            &[(1, Some("old"), Some(1)), (1, Some("new"), Some(2)), (2, Some("x"), Some(1))],
        );
        let rest =
            "    extract: {mode: incremental, watermark_field: v}\n    load: {mode: upsert, upsert_keys: [id]}\n";
        let ran = project.run(&system.load("in.parquet", "t", rest)).exits(0);
        assert_eq!(ran.stream("s")["rows_dropped"], 1, "{kind:?}");
        assert_eq!(system.rows("t"), ["1|new|2", "2|x|1"], "{kind:?}");
    }
}

#[test]
fn upsert_keys_become_the_primary_key_of_a_created_target() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let system = System::new(kind);
        people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
        let rest = "    fields: [id, name, {id: v, target: amount}]\n    load: {mode: upsert, upsert_keys: [id, v]}\n";
        system.project.run(&system.load("in.parquet", "t", rest)).exits(0);
        let key = match kind {
            Kind::Postgres => psql(&format!(
                "SELECT string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
                 AND a.attnum = ANY(i.indkey) WHERE i.indisprimary AND i.indrelid = '{}'::regclass",
                system.sql_name("t")
            )),
            _ => sqlite3(
                &system.project.path("t.db"),
                "SELECT group_concat(name) FROM pragma_table_info('t') WHERE pk > 0",
            ),
        };
        assert_eq!(key, "id,amount", "{kind:?}");
    }
}

#[test]
fn a_csv_column_is_typed_only_if_every_text_comes_back() {
    let project = Project::new();
    let mut csv = String::from("zip,n,price,day,mixed,code\n");
    for i in 0..5000 {
        csv += &format!("0{i:04},{i},{i}.50,2026-01-01,{i},{i}\n");
    }
    // The last row of the whole file decides.
    csv += "99999,7,8.25,2026-01-02,x,007\n";
    project.write("in.csv", &csv);
    let yaml = to_sqlite("    load: {mode: replace}\n").replace("in.parquet", "in.csv");
    project.run(&yaml).exits(0);
    let types = sqlite3(&project.path("t.db"), "SELECT group_concat(type) FROM pragma_table_info('t')");
    assert_eq!(types, "TEXT,BIGINT,DECIMAL(15,2),DATE,TEXT,TEXT");
    assert_eq!(
        sqlite3(&project.path("t.db"), "SELECT zip, code FROM t WHERE n = 7 ORDER BY zip"),
        "00007|7\n99999|007"
    );
}

#[test]
fn a_file_target_is_whole_or_not_there() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
    let yaml = |mode: &str, target: &str, fields: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{files: {{type: file, path: .}}}}\nsource: {{connection: files}}\ntarget: {{connection: files}}\n\
             streams:\n  - {{id: s, source: in.parquet, target: {target}, load: {{mode: {mode}}}{fields}}}\n"
        )
    };
    project.run(&yaml("replace", "out/deep/x.csv", "")).exits(0);
    assert_eq!(project.read("out/deep/x.csv"), "id,name,v\n1,a,1\n");
    project.run(&yaml("replace", "out/deep/x.csv", ", fields: [{id: name, dtype: int64}]")).exits(1);
    assert_eq!(project.read("out/deep/x.csv"), "id,name,v\n1,a,1\n");
    let ran = project.run(&yaml("append", "out/deep/x.csv", "")).exits(2);
    assert!(ran.err.contains("folder"), "{}", ran.err);
}

#[test]
fn compressed_text_files_are_read_and_written() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1)), (2, Some("b"), None)]);
    for (file, open) in [("x.csv.gz", "gzip"), ("x.jsonl.gz", "gzip")] {
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{files: {{type: file, path: .}}}}\nsource: {{connection: files}}\ntarget: {{connection: files}}\n\
             streams:\n  - {{id: s, source: in.parquet, target: {file}, load: {{mode: replace}}}}\n"
        );
        project.run(&yaml).exits(0);
        let path = project.path(file);
        let lines = python(
            &format!("import {open},sys; print(len({open}.open(sys.argv[1]).read().splitlines()))"),
            &[&path.to_string_lossy()],
        );
        assert_eq!(lines, if file.contains("csv") { "3" } else { "2" });
        let ran =
            project.dxt(&["query", &format!("SELECT id, v FROM '{file}' ORDER BY id"), "--format", "csv"]).exits(0);
        assert_eq!(ran.out, "id,v\n1,1\n2,\n", "{file}");
    }
}

#[test]
fn fields_are_renamed_cast_made_up_and_computed() {
    let project = Project::new();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1]))),
        ("amount", Arc::new(StringArray::from(vec!["12.50"]))),
        ("created", Arc::new(TimestampMicrosecondArray::from(vec![1_767_225_600_000_000]))),
    ];
    write_parquet(&project.path("in.parquet"), columns);
    let fields = "    fields:\n      - id\n      - {id: total, dtype: decimal, precision: 12, scale: 2, source: amount, target: order_total}\n      \
                  - {id: year, dtype: int32, source: {expression: \"extract(year from created)\"}, target: {name: y, type: SMALLINT}}\n      \
                  - {id: loaded_at, dtype: timestamp_tz, metadata: {generated_by: dxt, generator: current_timestamp, owner: me}}\n      \
                  - {id: run, metadata: {generated_by: dxt, generator: run_id}}\n    load: {mode: replace}\n";
    let ran = project.run(&to_sqlite(fields)).exits(0);
    let run_id = serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["run_id"].as_str().unwrap().to_string();
    let row = sqlite3(&project.path("t.db"), "SELECT id, order_total, y, loaded_at > '2026', run FROM t");
    assert_eq!(row, format!("1|12.5|2026|1|{run_id}"));
    let types = sqlite3(&project.path("t.db"), "SELECT group_concat(type) FROM pragma_table_info('t')");
    assert_eq!(types, "BIGINT,DECIMAL(12,2),SMALLINT,TIMESTAMPTZ,TEXT");
}

#[test]
fn a_json_null_is_refused_where_it_would_come_back_as_null() {
    let project = Project::new();
    let columns: Vec<(&str, ArrayRef)> = vec![("j", Arc::new(StringArray::from(vec!["null"])))];
    write_parquet(&project.path("in.parquet"), columns);
    let yaml = "version: 1\nname: p\nconnections: {files: {type: file, path: .}}\nsource: {connection: files}\ntarget: {connection: files}\n\
                streams:\n  - {id: s, source: in.parquet, target: x.jsonl, load: {mode: replace}, fields: [{id: j, dtype: json}]}\n";
    let ran = project.run(yaml).exits(1);
    assert!(ran.stream("s")["error"]["message"].as_str().unwrap().contains("field j"), "{}", ran.out);
    assert!(!project.path("x.jsonl").exists());
}

#[test]
fn a_query_with_one_name_twice_is_refused_by_that_name() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
    let query =
        "source: {type: query, sql: 'SELECT * FROM files.\"in.parquet\" a JOIN files.\"in.parquet\" b ON a.id = b.id'}";
    let ran = project.run(&to_sqlite("    load: {mode: replace}\n").replace("source: in.parquet", query)).exits(1);
    let error = ran.stream("s")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("two columns of the source are called id"), "{error}");
}

#[test]
fn text_of_digits_is_appended_to_a_csv_folder_as_it_is() {
    let project = Project::new();
    let yaml = "version: 1\nname: p\nconnections: {files: {type: file, path: .}}\nsource: {connection: files}\ntarget: {connection: files}\n\
                streams:\n  - {id: s, source: in.parquet, target: {value: out/, options: {format: csv}}, load: {mode: append}}\n";
    for name in ["7", "x", "007"] {
        people(&project.path("in.parquet"), &[(1, Some(name), None)]);
        project.run(yaml).exits(0);
    }
    let ran = project.dxt(&["query", "SELECT name FROM 'out/*.csv' ORDER BY name", "--format", "csv"]).exits(0);
    assert_eq!(ran.out, "name\n007\n7\nx\n");
}

#[test]
fn a_superseded_buffer_is_not_loaded() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("old"), Some(1))]);
    project.write("p.yaml", &to_sqlite("    load: {mode: replace}\n"));
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    people(&project.path("in.parquet"), &[(1, Some("new"), Some(1))]);
    project.dxt(&["run", "p.yaml", "--quiet"]).exits(0);
    let ran = project.dxt(&["load", "p.yaml", "--quiet"]).exits(1);
    assert!(ran.err.contains("there is no committed buffer of p.s"), "{}", ran.err);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT name FROM t"), "new");
}

#[test]
fn a_load_after_the_fields_have_changed_is_refused() {
    for (now, said) in [
        ("[id, {id: other, source: v}]", "field v was `column v` and is gone"),
        ("[id, v, name]", "field name is new: `column name`"),
        ("[id, {id: v, dtype: string}]", "field v was `column v` and is `column v, dtype string`"),
    ] {
        let project = Project::new();
        people(&project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
        project.write("p.yaml", &to_sqlite("    fields: [id, v]\n    load: {mode: replace}\n"));
        project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
        project.write("p.yaml", &to_sqlite(&format!("    fields: {now}\n    load: {{mode: replace}}\n")));
        let ran = project.dxt(&["load", "p.yaml", "--quiet"]).exits(1);
        assert!(ran.err.contains(said), "{}", ran.err);
        assert!(!project.path("t.db").exists(), "nothing is created");
        // Another name in the target is no change of the buffer.
        project.write("p.yaml", &to_sqlite("    fields: [id, {id: v, target: amount}]\n    load: {mode: replace}\n"));
        project.dxt(&["load", "p.yaml", "--quiet"]).exits(0);
        assert_eq!(sqlite3(&project.path("t.db"), "SELECT amount FROM t"), "1");
    }
}

#[test]
fn a_buffer_in_memory_is_not_extracted_for_nobody() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
    project.write("p.yaml", &(to_sqlite("    load: {mode: replace}\n") + "buffer: {format: memory}\n"));
    for half in ["extract", "load"] {
        assert!(project.dxt(&[half, "p.yaml"]).exits(2).err.contains("format: memory"));
    }
}

#[test]
fn nan_is_found_in_a_parquet_file_whose_statistics_leave_it_out() {
    let project = Project::new();
    let columns: Vec<(&str, ArrayRef)> = vec![("f", Arc::new(Float64Array::from(vec![1.0, f64::NAN])))];
    write_parquet(&project.path("in.parquet"), columns);
    let sql = "SELECT count(*) AS n FROM 'in.parquet' WHERE f = 'NaN'::double OR f > 5::double";
    assert_eq!(project.dxt(&["query", sql, "--format", "csv"]).exits(0).out, "n\n1\n");
}
