//! The binary as a user runs it: exit codes, selections, and what is said where.

use crate::support::{Project, env, people, sqlite3};

const TWO: &str = "version: 1\nname: p\nconnections:\n  files: {type: file, path: .}\n  db: sqlite:///t.db\nsource: {connection: files}\n\
                   target: {connection: db}\nload: {mode: replace}\nstreams:\n  - {id: sales_a, source: in.parquet, target: a, tags: [daily, critical]}\n  \
                   - {id: sales_b, source: in.parquet, target: b, tags: [daily]}\n  - {id: other, source: in.parquet, target: c}\n";

fn project() -> Project {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1))]);
    project.write("p.yaml", TWO);
    project
}

#[test]
fn a_selection_runs_what_it_names() {
    let project = project();
    for (args, expected) in [
        (vec!["--select", "sales_*"], "sales_a,sales_b"),
        (vec!["--select", "other,sales_a"], "sales_a,other"),
        (vec!["--select", "tag:daily+critical"], "sales_a"),
        (vec!["--select", "tag:daily", "--exclude", "sales_b"], "sales_a"),
        (vec!["--select", "all"], "sales_a,sales_b,other"),
    ] {
        let mut all = vec!["list", "p.yaml", "--format", "json"];
        all.extend(&args);
        let ran = project.dxt(&all).exits(0);
        let listed: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
        assert_eq!(ids.join(","), expected, "{args:?}");
    }
    let ran = project.dxt(&["run", "p.yaml", "--select", "slaes_a"]).exits(2);
    assert!(ran.err.contains("selector error") && ran.err.contains("sales_a"), "{}", ran.err);
    assert!(!project.path("t.db").exists());
}

#[test]
fn the_result_is_on_stdout_and_progress_on_stderr() {
    let project = project();
    let ran = project.dxt(&["run", "p.yaml"]).exits(0);
    assert!(ran.out.contains("sales_a") && ran.out.contains("succeeded"), "{}", ran.out);
    assert!(
        ran.err.contains("sales_a: extract begins") && ran.err.contains("sales_a: load of 1 rows begins"),
        "{}",
        ran.err
    );
    let ran = project.dxt(&["run", "p.yaml", "--quiet"]).exits(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let ran = project.dxt(&["run", "p.yaml", "--format", "json", "--quiet"]).exits(0);
    let result: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let mut keys: Vec<&str> = result["streams"][0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "already_loaded",
            "attempts",
            "bytes",
            "error",
            "extract_seconds",
            "load_seconds",
            "retried",
            "rows_buffered",
            "rows_deleted",
            "rows_dropped",
            "rows_null_watermark",
            "rows_read",
            "rows_staged",
            "rows_unchanged",
            "rows_updated",
            "rows_written",
            "status",
            "stream",
            "watermark_from",
            "watermark_to",
        ]
    );
}

#[test]
fn a_dry_run_and_a_validation_change_nothing() {
    let project = project();
    let ran = project.dxt(&["run", "p.yaml", "--dry-run", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(ran.stream("sales_a")["status"], "planned");
    project.dxt(&["validate", "p.yaml", "--connect"]).exits(0);
    let ran = project.dxt(&["validate", "p.yaml"]).exits(0);
    assert_eq!(ran.out, "p.yaml: 3 streams, 2 connections: valid\n");
    project.dxt(&["explain", "p.yaml"]).exits(0);
    assert!(!project.path("t.db").exists() && !project.path(".dxt").exists());
    // It connects to nothing: a server that is not there is no error yet.
    project.write("far.yaml", &TWO.replace("sqlite:///t.db", "postgresql://nobody@127.0.0.1:1/none"));
    project.dxt(&["validate", "far.yaml"]).exits(0);
    project.dxt(&["validate", "far.yaml", "--connect"]).exits(1);
}

#[test]
fn a_wrong_pipeline_exits_2_before_anything_is_touched() {
    let project = project();
    project.write(
        "p.yaml",
        &(TWO.to_string() + "  - {id: bad, source: in.parquet, target: d, load: {mode: upsert, upsert_key: [id]}}\n"),
    );
    let ran = project.dxt(&["run", "p.yaml"]).exits(2);
    assert!(
        ran.err.contains("p.yaml:13:")
            && ran.err.contains("unknown key upsert_key")
            && ran.err.contains("did you mean upsert_keys?"),
        "{}",
        ran.err
    );
    assert!(!project.path("t.db").exists());
    project.dxt(&["run", "nowhere.yaml"]).exits(2);
    project.dxt(&["run"]).exits(2);
    project.dxt(&["--help"]).exits(0);
    assert!(project.dxt(&["completions", "bash"]).exits(0).out.contains("dxt"));
}

#[test]
fn a_query_reads_files_connections_and_values_in_each_format() {
    let project = project();
    project.dxt(&["run", "p.yaml", "--quiet"]).exits(0);
    let query = |sql: &str, format: &str| project.dxt(&["query", sql, "p.yaml", "--format", format]).exits(0).out;
    assert_eq!(query("SELECT * FROM db.a", "csv"), "id,name,v\n1,a,1\n");
    assert_eq!(query("SELECT * FROM 'in.parquet'", "jsonl"), "{\"id\":1,\"name\":\"a\",\"v\":1}\n");
    assert_eq!(query("SELECT id, CAST(NULL AS INT) AS n FROM db.a", "jsonl"), "{\"id\":1,\"n\":null}\n");
    let nested = "SELECT make_array(id, NULL) AS l, named_struct('a', name) AS s FROM db.a";
    assert_eq!(query(nested, "csv"), "l,s\n\"[1,null]\",\"{\"\"a\"\":\"\"a\"\"}\"\n");
    assert_eq!(query("SELECT a.id FROM db.a JOIN files.\"in.parquet\" b USING (id)", "json"), "[{\"id\":1}]\n");
    assert_eq!(query("SELECT id, NULLIF(name, 'a') AS name FROM db.a", "jsonl"), "{\"id\":1,\"name\":null}\n");
    assert!(query("SELECT id FROM db.b WHERE id = 9", "table").contains("| id |"));
    let twice = ["query", "SELECT * FROM db.a JOIN db.b ON a.id = b.id", "p.yaml", "--format", "json"];
    assert!(project.dxt(&twice).exits(1).err.contains("two columns are called id"));
    let other =
        project.dxt(&["query", "SELECT count(*) AS n FROM w.c", "--connection", "w=sqlite:///t.db", "--format", "csv"]);
    assert_eq!(other.exits(0).out, "n\n1\n");
    for (wrong, code) in [
        ("SELECT nope FROM db.a", 1),
        ("DROP TABLE db.a", 2),
        ("INSERT INTO db.a SELECT 1, 'x', 2", 2),
        ("SELEC 1", 1),
        ("SELECT * FROM db.none", 1),
        ("SELECT * FROM none", 1),
    ] {
        let ran = project.dxt(&["query", wrong, "p.yaml"]).exits(code);
        assert!(ran.err.contains("error: "), "{wrong}: {}", ran.err);
    }
    assert_eq!(query("SELECT count(*) AS n FROM db.a", "csv"), "n\n1\n");
}

#[test]
fn a_new_project_runs_as_it_stands() {
    let project = Project::new();
    project.dxt(&["init", "shop"]).exits(0);
    let ran = project.dxt(&["run", "shop/pipeline.yaml", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(ran.counts("orders"), [3, 3, 0, 0]);
    let ran = project.dxt(&[
        "query",
        "SELECT name, spent FROM warehouse.spending ORDER BY spent",
        "shop/pipeline.yaml",
        "--format",
        "csv",
    ]);
    assert_eq!(ran.exits(0).out, "name,spent\nAda,19.75\nGrace,100.00\n");
    project.dxt(&["init", "shop"]).exits(2);
    project.dxt(&["init", "../.x"]).exits(2);
}

#[test]
fn connections_are_tested_and_discovered() {
    let project = project();
    project.dxt(&["run", "p.yaml", "--quiet"]).exits(0);
    let ran = project.dxt(&["test", "p.yaml"]).exits(0);
    assert!(ran.out.contains("SQLite 3.") && ran.out.contains("upsert"), "{}", ran.out);
    let wrong = env("DXT_TEST_PG_URL").replace("dxt-test-secret", "wrong-secret");
    let ran = project.dxt(&["test", "--connection", &format!("pg={wrong}"), "--format", "json"]).exits(1);
    assert!(
        ran.out.contains("\"reachable\": false")
            && !ran.out.contains("wrong-secret")
            && !ran.err.contains("wrong-secret")
    );
    let ran = project.dxt(&["discover", "db", "p.yaml"]).exits(0);
    assert!(ran.out.contains("BIGINT") && ran.out.contains("int64"), "{}", ran.out);
    let yaml = project.dxt(&["discover", "sqlite:///t.db", "--format", "yaml"]).exits(0).out;
    project.write("copy.yaml", &yaml);
    let ran = project.dxt(&["run", "copy.yaml", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(ran.counts("a"), [1, 1, 0, 0]);
    for name in ["a b", "a/b"] {
        sqlite3(&project.path("t.db"), &format!("CREATE TABLE \"{name}\" (x INT)"));
    }
    project.write("copy.yaml", &project.dxt(&["discover", "sqlite:///t.db", "--format", "yaml"]).exits(0).out);
    project.dxt(&["run", "copy.yaml", "--quiet"]).exits(0);
    assert!(project.path("copies/_a_b_.parquet").exists() && project.path("copies/_a_b__2.parquet").exists());
    project.dxt(&["discover", "db", "p.yaml", "--select", "nope*"]).exits(2);
    let json = project.dxt(&["discover", "db", "p.yaml", "--format", "json", "--select", "a"]).exits(0).out;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (found.as_array().unwrap().len(), found[0]["schema"]["fields"][0]["dtype"].as_str()),
        (1, Some("int64"))
    );
}

#[test]
fn logs_carry_pipeline_stream_run_and_phase() {
    let project = project();
    project
        .dxt(&["run", "p.yaml", "--quiet", "--log-format", "json", "--log-file", "dxt.log", "--select", "other"])
        .exits(0);
    let line: serde_json::Value =
        project.read("dxt.log").lines().last().map(|l| serde_json::from_str(l).unwrap()).unwrap();
    assert_eq!((line["span"]["stream"].as_str(), line["span"]["pipeline"].as_str()), (Some("other"), Some("p")));
    assert_eq!(line["span"]["phase"], "load");
    assert!(line["span"]["run_id"].is_string());
    let ran = project.dxt(&["run", "p.yaml", "--log-format", "json", "--select", "other"]).exits(0);
    assert!(
        !ran.err.is_empty() && ran.err.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()),
        "{}",
        ran.err
    );
}

#[test]
fn a_variable_that_is_missing_names_its_place() {
    let project = project();
    project.write("p.yaml", &TWO.replace("sqlite:///t.db", "sqlite:///${DXT_NO_SUCH_VARIABLE}.db"));
    let ran = project.dxt(&["run", "p.yaml"]).exits(2);
    assert!(ran.err.contains("p.yaml:5:") && ran.err.contains("DXT_NO_SUCH_VARIABLE"), "{}", ran.err);
    let ran = project.dxt_with(&["run", "p.yaml", "--quiet"], &[("DXT_NO_SUCH_VARIABLE", "set")]);
    ran.exits(0);
    assert!(project.path("set.db").exists());
}

#[test]
fn sql_that_does_not_parse_is_found_before_anything_runs() {
    let project = project();
    let yaml = TWO.replace("target: a, tags", "target: a, criteria: {where: \"v >> > 1\"}, tags")
        + "  - {id: q, source: {type: query, sql: 'SELEC 1'}, target: q}\n";
    project.write("p.yaml", &yaml);
    for command in ["validate", "run"] {
        let ran = project.dxt(&[command, "p.yaml"]).exits(2);
        assert!(ran.err.contains("p.yaml:10:") && ran.err.contains("criteria `v >> > 1`"), "{}", ran.err);
        assert!(ran.err.contains("p.yaml:13:") && ran.err.contains("the query cannot be read"), "{}", ran.err);
    }
    assert!(!project.path("t.db").exists());
}

#[test]
fn a_query_stops_when_its_reader_has_gone() {
    let project = project();
    let endless = "WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n) SELECT n FROM n";
    for format in ["csv", "json", "jsonl", "table"] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_dxt"))
            .args(["query", endless, "--format", format])
            .current_dir(project.root())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 64];
        std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut first).unwrap();
        // The pipe is closed now.
        assert_eq!(child.wait().unwrap().code(), Some(0), "{format}");
    }
}

#[test]
fn options_of_any_stream_are_checked_before_the_first_runs() {
    let project = project();
    let bad = "  - {id: bad, source: {value: in.csv, options: {delimeter: ';'}}, target: d}\n  \
               - {id: worse, source: in.parquet, target: e, load: {mode: replace, options: {speed: fast}}}\n";
    project.write("p.yaml", &(TWO.to_string() + bad));
    let ran = project.dxt(&["run", "p.yaml"]).exits(2);
    assert!(ran.err.contains("p.yaml:13:") && ran.err.contains("did you mean delimiter?"), "{}", ran.err);
    assert!(ran.err.contains("p.yaml:14:") && ran.err.contains("unknown option speed"), "{}", ran.err);
    assert!(!project.path("t.db").exists());
}

#[test]
fn two_streams_do_not_replace_one_target() {
    let project = project();
    project.write("p.yaml", &(TWO.to_string() + "  - {id: again, source: in.parquet, target: a}\n"));
    let ran = project.dxt(&["validate", "p.yaml"]).exits(2);
    assert!(
        ran.err.contains("p.yaml:13:") && ran.err.contains("streams sales_a and again have one target"),
        "{}",
        ran.err
    );
}
