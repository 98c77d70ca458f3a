//! Pipelines that are SQL files, and folders of pipelines.

use std::collections::BTreeMap;
use std::path::Path;

use dxt::config;
use dxt::connector::Registry;
use dxt::model::{Pipeline, SourceKind, Stream};

use crate::support::{Kind, Project, Ran, Running, System, env, people, psql, sqlite3, wait_for};

const PROJECT: &str = "connections:\n  files: {type: file, path: .}\n  db: sqlite:///t.db\ntarget: {connection: db}\n";

/// A project whose connections are shared, with a file `in.parquet` of three rows: id, name, v.
fn project() -> Project {
    let project = Project::new();
    project.write("dxt_project.yaml", PROJECT);
    people(&project.path("in.parquet"), &[(1, Some("Ada"), Some(10)), (2, Some("Bo"), Some(20)), (3, None, None)]);
    project
}

fn loaded(project: &Project, file: &str) -> Pipeline {
    let env = BTreeMap::<String, String>::new();
    config::load(&project.path(file), &Registry::builtin(), &env).unwrap_or_else(|e| panic!("{}", e.report()))
}

/// All findings of a SQL file `f.sql`, one a line.
fn faults(text: &str) -> String {
    let project = project();
    project.write("f.sql", text);
    let ran = project.dxt(&["validate", "f.sql"]);
    assert_eq!(ran.code, 2, "{text}\n{}{}", ran.out, ran.err);
    let text = ran.err.trim_end();
    // One finding is printed as an error, several as lines.
    text.strip_prefix("configuration error: ").unwrap_or(text).to_string()
}

fn rows(project: &Project, sql: &str) -> String {
    sqlite3(&project.path("t.db"), sql)
}

// ---- the form ------------------------------------------------------------------------------------------------------

#[test]
fn a_file_of_one_select_says_where_it_goes_in_one_block() {
    let project = project();
    project.write(
        "grown_ups.sql",
        "-- What this is for stands in a comment of its own; dxt: is no block here.\n\
         /* dxt\ntarget: grown_ups\ntags: [daily]\nmode: upsert\nkeys: [id]\nwatermark: v\n*/\n\
         SELECT id, coalesce(name, '; nobody') AS name, v -- all of it; really\nFROM files.\"in.parquet\" WHERE v IS NOT NULL\n;\n-- The end.\n",
    );
    let ran = project.dxt(&["run", "grown_ups.sql", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(ran.counts("grown_ups"), [2, 2, 0, 0]);
    assert!(ran.out.contains(r#""pipeline": "grown_ups""#), "the file's name is the pipeline's: {}", ran.out);
    assert_eq!(rows(&project, "SELECT id, name, v FROM grown_ups ORDER BY id"), "1|Ada|10\n2|Bo|20");
    people(
        &project.path("in.parquet"),
        &[(1, Some("Ada"), Some(10)), (2, Some("Bob"), Some(20)), (4, Some("Di"), Some(30))],
    );
    let ran = project.dxt(&["run", "grown_ups.sql", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(ran.counts("grown_ups"), [2, 1, 1, 0]);
    assert_eq!(ran.stream("grown_ups")["watermark_from"], "20");
}

#[test]
fn a_file_of_several_selects_has_a_block_for_each() {
    let project = project();
    project.write(
        "daily.sql",
        "/* dxt\nversion: 1\nname: shop\ntags: [daily]\nload: {mode: replace}\nbuffer: {format: none}\n*/\n\n\
         -- dxt: {id: people, target: people, tags: [first]}\nSELECT * FROM files.\"in.parquet\";\n\n\
         /* dxt\nid: count\ntarget: {connection: files, value: count.csv}\n*/\n\
         WITH p AS (SELECT * FROM files.\"in.parquet\")\nSELECT count(*) AS n FROM p;\n\n\
         -- dxt: id: names\n-- dxt: target: names\n-- dxt: fields: [{id: name, dtype: string}]\n(SELECT name FROM files.\"in.parquet\")",
    );
    let ran = project.dxt(&["run", "daily.sql", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(ran.counts("people"), [3, 3, 0, 0]);
    assert_eq!(project.read("count.csv"), "n\n3\n");
    assert_eq!(rows(&project, "SELECT count(*) FROM names"), "3");
    let list = project.dxt(&["list", "daily.sql", "--select", "tag:daily", "--format", "json"]).exits(0).out;
    let tags: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    assert_eq!(tags[0]["tags"], serde_json::json!(["daily", "first"]));
    assert_eq!(tags.len(), 3);
}

#[test]
fn blocks_with_ids_need_no_block_of_the_pipeline() {
    let project = project();
    project.write(
        "two.sql",
        "-- dxt: {id: a, target: a, mode: replace}\nSELECT 1 AS n;\n-- dxt: {id: b, target: b, mode: replace}\nSELECT 2 AS n;",
    );
    project.dxt(&["run", "two.sql", "--quiet"]).exits(0);
    assert_eq!(rows(&project, "SELECT a.n, b.n FROM a, b"), "1|2");
}

/// What a stream says, without its places.
fn said(mut stream: Stream) -> String {
    (stream.position, stream.sql_position) = (None, None);
    format!("{stream:#?}")
}

#[test]
fn a_sql_file_says_all_that_a_yaml_stream_says() {
    let project = project();
    let keys = "description: All of it\n    tags: [a, b]\n    criteria: {where: \"v > 1\", limit: 10}\n    \
                fields: [id, {id: total, dtype: decimal, precision: 12, scale: 2, source: v, target: sum}, v]\n    \
                extract: {mode: incremental, watermark_field: v, lookback: 5, batch_size: 10, partitions: 2}\n    \
                load: {mode: upsert, upsert_keys: [id], verify: checksum, once: true, options: {}}\n    retries: 7\n    retry_wait: 3s\n    \
                target: {connection: db, type: relation, value: t, options: {}}\n";
    let sql = "SELECT id, v FROM files.\"in.parquet\"";
    project.write(
        "all.yaml",
        &format!("version: 1\nname: all\nstreams:\n  - id: all\n    {keys}    source: {{type: query, sql: '{sql}'}}\n"),
    );
    project.write("all.sql", &format!("/* dxt\n{}*/\n{sql}\n", keys.replace("\n    ", "\n")));
    let short = "/* dxt\ndescription: All of it\nretries: 7\nretry_wait: 3s\n*/\n/* dxt\ntags: [a, b]\n\
                 target: {connection: db, type: relation, value: t, options: {}}\ncriteria: {where: \"v > 1\", limit: 10}\n\
                 fields: [id, {id: total, dtype: decimal, precision: 12, scale: 2, source: v, target: sum}, v]\nmode: upsert\nkeys: id\n\
                 load: {verify: checksum, once: true, options: {}}\nwatermark: v\nlookback: 5\nextract: {batch_size: 10, partitions: 2}\n\
                 description: All of it\n*/\n";
    project.write("short/all.sql", &format!("{short}{sql};"));
    let yaml = loaded(&project, "all.yaml").streams.remove(0);
    for file in ["all.sql", "short/all.sql"] {
        let mut pipeline = loaded(&project, file);
        assert_eq!(pipeline.name, "all", "{file}");
        assert_eq!(said(pipeline.streams.remove(0)), said(yaml.clone()), "{file}");
    }
}

#[test]
fn a_connection_lets_the_system_run_the_select_as_it_stands() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("t");
    psql(&format!("CREATE TABLE {table} AS SELECT i AS id, 'x;' || i AS s FROM generate_series(1, 5) i"));
    let select = format!("SELECT id, $$it's ;$$ AS q, s /* {table} ; */ FROM {table} WHERE s ~ '^x;[12]$'");
    let connections = format!("connections: {{pg: {}, db: 'sqlite:///t.db'}}", system.connection());
    let merged = format!(
        "/* dxt\n{connections}\nconnection: pg\ntarget: {{connection: db, value: a}}\nload: {{mode: replace}}\n*/\n{select};\n"
    );
    system.project.write("merged.sql", &merged);
    let several = format!(
        "/* dxt\n{connections}\nsource: pg\ntarget: db\nload: {{mode: replace}}\n*/\n\
         -- dxt: {{id: b, target: b}}\n{select};\n-- dxt: {{id: c, target: c, type: query}}\nSELECT count(*) AS n FROM pg.{table};\n"
    );
    system.project.write("several.sql", &several);
    for file in ["merged.sql", "several.sql"] {
        let mark = format!("before {file} {table}");
        psql(&format!("SELECT $m${mark}$m$"));
        system.project.dxt(&["run", file, "--quiet"]).exits(0);
        let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
        assert!(log.rsplit_once(&mark).expect("the mark").1.contains(&select), "the server runs it as it stands");
    }
    for table in ["a", "b"] {
        assert_eq!(rows(&system.project, &format!("SELECT * FROM {table} ORDER BY id")), "1|it's ;|x;1\n2|it's ;|x;2");
    }
    assert_eq!(rows(&system.project, "SELECT n FROM c"), "5");
}

#[test]
fn a_target_may_begin_with_its_connection_where_none_is_named() {
    let project = Project::new();
    let head = "/* dxt\nconnections: {db: 'sqlite:///t.db', files: {type: file, path: .}}\nload: {mode: replace}\n";
    project.write("a.sql", &format!("{head}target: db.t\n*/ SELECT 1 AS n"));
    project.write("b.sql", &format!("{head}target: files.\"out/x.y.csv\"\n*/ SELECT 1 AS n"));
    project.dxt(&["run", "a.sql", "--quiet"]).exits(0);
    project.dxt(&["run", "b.sql", "--quiet"]).exits(0);
    assert_eq!((rows(&project, "SELECT n FROM t"), project.read("out/x.y.csv")), ("1".into(), "n\n1\n".into()));
}

#[test]
fn variables_of_the_environment_are_for_blocks_and_not_for_sql() {
    let project = project();
    project
        .write("x.sql", "/* dxt\ntarget: ${TABLE:-t}\nload: {mode: replace}\n*/\nSELECT '${TABLE}' AS a, '$${' AS b");
    let pipeline = loaded(&project, "x.sql");
    assert_eq!(pipeline.streams[0].source.kind, SourceKind::Query("SELECT '${TABLE}' AS a, '$${' AS b".into()));
    project.dxt_with(&["run", "x.sql", "--quiet"], &[("TABLE", "u")]).exits(0);
    assert_eq!(rows(&project, "SELECT a, b FROM u"), "${TABLE}|$${");
}

// ---- errors --------------------------------------------------------------------------------------------------------

#[test]
fn each_fault_of_a_sql_file_has_its_place_and_a_way_out() {
    let cases = [
        (
            "/* dxt\ntarget: t\nupsert_key: [id]\n*/\nSELECT 1",
            "f.sql:3:1: unknown key upsert_key … did you mean upsert_keys?",
        ),
        (
            "-- dxt: {target: t, load: {mode: upsert, upsert_key: [a]}}\nSELECT 1 AS a",
            "f.sql:1:42: unknown key upsert_key … did you mean upsert_keys?",
        ),
        (
            "/* dxt\ntarget: t\n*/\nSELECT a,\n  FROM x WHERE",
            "f.sql:5:15: stream f: the query cannot be read: Expected: an expression, found: EOF",
        ),
        (
            "/* dxt target: t */ SELECT 1 AS é, 2 +* 3",
            "f.sql:1:39: stream f: the query cannot be read: Expected: an expression, found: *",
        ),
        ("SELECT 1", "f.sql:1:1: no dxt block says where the rows of this SELECT go"),
        ("-- only a comment\n", "f.sql:1:1: the file has no SELECT"),
        ("", "f.sql:1:1: the file has no SELECT"),
        ("/* dxt\ntarget: t\n*/\n-- nothing\n;", "f.sql:1:1: no SELECT follows this dxt block"),
        ("/* dxt\ntarget: t\n*/\nDELETE FROM x", "f.sql:4:1: DELETE is no SELECT"),
        (
            "/* dxt target: t */ WITH x AS (SELECT 1) INSERT INTO y SELECT * FROM x",
            "f.sql:1:21: stream f: the query is not one SELECT",
        ),
        ("/* dxt target: t */\nSELECT 1;\n\nSELECT 2", "f.sql:2:1: this SELECT has no dxt block"),
        ("/* dxt target: t */\nSELECT 1 -- dxt: {id: b}\n", "f.sql:2:10: a dxt block within a statement"),
        ("/* dxt target: t */\nSELECT 'a", "f.sql:2:8: a text in quotes is not closed"),
        ("/* dxt\ntarget: t\nsource: 'in/*.csv'\n*/\nSELECT 1", "f.sql:1:1: a comment `/*` is not closed"),
        ("/* dxt\ntarget: t\n\tx: 1\n*/ SELECT 1", "f.sql:2:9: this is not YAML"),
        ("/* dxt\n- a\n*/ SELECT 1", "f.sql:2:1: a dxt block must be a map, not a list"),
        ("/* dxt {target: t, source: x} */ SELECT 1", "f.sql:1:28: source is the SELECT below, not `x`"),
        ("/* dxt {target: t, source: {sql: x}} */ SELECT 1", "f.sql:1:29: sql has no place here"),
        ("/* dxt {target: t, type: relation} */ SELECT 1", "f.sql:1:26: a SELECT is no relation"),
        (
            "/* dxt {target: t, type: query, connection: db} */ SELECT 1",
            "f.sql:1:33: a query of dxt has no connection of its own",
        ),
        (
            "/* dxt {target: t, mode: replace, load: {mode: append}} */ SELECT 1",
            "f.sql:1:20: mode of load stands twice",
        ),
        ("/* dxt {target: t, mode: replce} */ SELECT 1", "f.sql:1:26: unknown mode `replce` … did you mean replace?"),
        ("/* dxt {target: db} */ SELECT 1", "f.sql:1:17: stream f: target db is a connection, and names no table"),
        (
            "/* dxt {id: a, target: t} */ -- dxt: {target: t}\nSELECT 1",
            "f.sql:1:9: id belongs to one SELECT, and this block is the pipeline's",
        ),
        (
            "-- dxt: {target: {connection: db}}\n\n-- dxt: {target: t}\n\n-- dxt: {target: t}\nSELECT 1",
            "f.sql:5:1: a second dxt block for one SELECT",
        ),
        ("/* dxt {target: t, streams: []} */ SELECT 1", "f.sql:1:20: unknown key streams"),
    ];
    for (text, expected) in cases {
        let found = faults(text);
        let first = found.lines().next().unwrap_or_default();
        assert!(first.starts_with(expected), "{text:?}\n{found}");
        assert!(found.contains(" … ") || found.contains("hint: "), "no way out: {found}");
    }
}

#[test]
fn all_faults_of_a_file_are_listed_at_once() {
    let text = "/* dxt\nnmae: x\nvars: {day: dat}\n*/\n-- dxt: {id: a, target: a, lod: {}}\nSELECT 1 AS n;\n\
                -- dxt: {id: a, target: b}\nSELECT 1 FROM;\n-- dxt: {id: c}\nSELECT 1;\n";
    insta::assert_snapshot!(faults(text), @r"
    f.sql:2:1: unknown key nmae … did you mean name?
    f.sql:3:13: unknown type `dat` … did you mean date?
    f.sql:5:28: unknown key lod … did you mean load?
    f.sql:7:14: duplicate stream id a … rename this stream or the first one (line 5)
    f.sql:8:14: stream a: the query cannot be read: Expected: identifier, found: EOF … the SQL is DataFusion's dialect, much like PostgreSQL's
    f.sql:9:1: stream c: target is missing … add `target: orders_copy`
    ");
}

#[test]
fn what_the_plan_finds_has_its_place_in_the_file() {
    let project = project();
    project.write("f.sql", "/* dxt\ntarget: t\n*/\nSELECT id,\n  nme\nFROM files.\"in.parquet\"");
    let ran = project.dxt(&["run", "f.sql", "--quiet"]).exits(1);
    assert!(ran.err.contains("f.sql:5:3: No field named nme"), "{}", ran.err);
    project.write("q.sql", "SELECT id,\n  nme\nFROM files.\"in.parquet\"");
    project.write(
        "p.yaml",
        "version: 1\nname: p\nstreams:\n  - {id: s, source: {type: query, sql_file: q.sql}, target: t}\n",
    );
    let ran = project.dxt(&["run", "p.yaml", "--quiet"]).exits(1);
    assert!(ran.err.contains("q.sql:2:3: No field named nme"), "{}", ran.err);
}

#[test]
fn hostile_files_are_errors_and_nothing_else() {
    let deep = format!("/* dxt target: t */ SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    let nested = format!("{} x", "/*".repeat(100_000));
    let many = "-- dxt: {id: a, target: t}\n\n".repeat(20_000);
    let statements = format!("/* dxt target: t */{}", "SELECT 1;".repeat(20_000));
    let bomb = "/* dxt\na: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n*/ SELECT 1";
    for text in [
        deep.as_str(),
        &nested,
        &many,
        &statements,
        bomb,
        "/* dxt target: \"t\0\" */ SELECT 1",
        "/* dxt id: ../x\ntarget: t */ SELECT 1",
    ] {
        let found = faults(text);
        assert!(found.contains("f.sql:"), "{}", &found[..found.len().min(500)]);
    }
    let project = project();
    std::fs::write(project.path("latin.sql"), b"/* dxt target: t */ SELECT '\xe9'").unwrap();
    assert!(project.dxt(&["validate", "latin.sql"]).exits(2).err.contains("UTF-8"));
}

// ---- folders -------------------------------------------------------------------------------------------------------

fn transfer(target: &str, sql: &str) -> String {
    format!("/* dxt {{target: {target}, mode: replace, tags: [{target}]}} */ {sql}")
}

fn results(ran: &Ran) -> Vec<(String, String, String)> {
    let all: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    let pipelines = all["pipelines"].as_array().expect("pipelines").clone();
    pipelines
        .iter()
        .flat_map(|p| {
            p["streams"]
                .as_array()
                .expect("streams")
                .iter()
                .map(|s| (text(&p["pipeline"]), text(&s["stream"]), text(&s["status"])))
        })
        .collect()
}

fn status(all: &[(String, String, String)]) -> Vec<String> {
    all.iter().map(|(pipeline, stream, status)| format!("{pipeline}.{stream} {status}")).collect()
}

#[test]
fn a_folder_is_run_as_the_pipelines_in_it_in_the_order_of_their_paths() {
    let project = project();
    project.write("transfers/b.sql", &transfer("b", "SELECT n + 1 AS n FROM db.a"));
    project.write("transfers/a.yml", "version: 1\nname: a\nstreams:\n  - {id: a, source: {type: query, sql_file: parts/a.sql}, target: a, load: {mode: replace}}\n");
    project.write("transfers/parts/a.sql", "SELECT 1 AS n");
    project.write("transfers/c/deep.sql", &transfer("c", "SELECT n + 1 AS n FROM db.b"));
    for other in [".hidden.sql", ".git/x.yaml", "notes.md", "dxt_project.yaml", "data.csv", "b.sql.bak"] {
        let text = if other == "dxt_project.yaml" { "load: {mode: replace}\n" } else { "nothing of dxt" };
        project.write(&format!("transfers/{other}"), text);
    }
    // The nearest project file holds for all of them.
    project.write(
        "transfers/dxt_project.yaml",
        PROJECT.replace("path: .", "path: ..").replace("t.db", "../t.db").as_str(),
    );
    let ran = project.dxt(&["run", "transfers/", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(status(&results(&ran)), ["a.a succeeded", "b.b succeeded", "deep.deep succeeded"]);
    assert_eq!(rows(&project, "SELECT n FROM c"), "3");
    let table = project.dxt(&["run", "transfers"]).exits(0);
    assert!(table.out.lines().next().unwrap().contains("pipeline"), "{}", table.out);
    assert!(table.err.contains("deep (transfers/c/deep.sql)"), "{}", table.err);
    let list = project.dxt(&["list", "transfers"]).exits(0).out;
    assert!(list.contains("deep") && !list.contains("parts"), "{list}");
    let valid = project.dxt(&["validate", "transfers"]).exits(0).out;
    assert_eq!(valid.lines().count(), 3, "{valid}");
    assert!(valid.starts_with("transfers/a.yml: 1 streams"), "{valid}");
    assert!(project.dxt(&["explain", "transfers"]).exits(0).out.contains("pipeline b (transfers/b.sql)"));
    project.dxt(&["validate", "transfers", "--connect", "--quiet"]).exits(0);
    let tested = project.dxt(&["test", "transfers"]).exits(0).out;
    assert_eq!(tested.matches("db").count(), 2, "one connection, and its file: {tested}");
    project.dxt(&["extract", "transfers", "--quiet"]).exits(0);
    project.dxt(&["load", "transfers", "--quiet"]).exits(0);
}

#[test]
fn the_result_of_one_file_is_as_it_was() {
    let project = project();
    project.write("one/a.sql", &transfer("a", "SELECT 1 AS n"));
    let keys = |args: &[&str]| {
        let out = project.dxt(&[args, &["--format", "json", "--quiet"]].concat()).exits(0).out;
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        let map = value.as_object().or(value[0].as_object()).expect("a map").clone();
        let mut keys: Vec<String> = map.keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(keys(&["run", "one/a.sql"]), "pipeline run_id seconds started_at streams");
    assert_eq!(keys(&["run", "one"]), "pipelines seconds");
    assert_eq!(keys(&["list", "one/a.sql"]), "description extract id load source tags target");
    assert_eq!(keys(&["list", "one"]), "description extract file id load pipeline source tags target");
}

#[test]
fn nothing_runs_where_one_file_of_a_folder_is_wrong() {
    let project = project();
    project.write("t/a.sql", &transfer("a", "SELECT 1 AS n"));
    project.write("t/b.sql", "/* dxt target: b */ SELECT 1 FROM");
    project.write("t/c.yaml", "version: 1\nname: c\nstreams:\n  - {id: c, sorce: x, target: c}\n");
    project.write("t/sub/a.sql", &transfer("d", "SELECT 1 AS n"));
    std::fs::write(project.path("t/d.sql"), b"\xff").unwrap();
    let ran = project.dxt(&["run", "t"]).exits(2);
    for said in [
        "t/b.sql:1:",
        "t/c.yaml:4:",
        "t/d.sql",
        "t/sub/a.sql:1:1: two pipelines are called a, this one and that of t/a.sql",
    ] {
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
    assert!(!project.path("t.db").exists());
    assert!(project.dxt(&["run", "no_such_folder/"]).exits(2).err.contains("no_such_folder"));
    std::fs::create_dir(project.path("empty")).unwrap();
    assert!(project.dxt(&["run", "empty"]).exits(2).err.contains("there is no pipeline in the folder empty"));
}

#[test]
fn a_selection_holds_over_all_pipelines_of_a_folder() {
    let project = project();
    for name in ["a", "b", "c"] {
        project.write(&format!("t/{name}.sql"), &transfer(name, "SELECT 1 AS n"));
    }
    let ran = project.dxt(&["run", "t", "--select", "b,tag:c", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(status(&results(&ran)), ["b.b succeeded", "c.c succeeded"]);
    assert_eq!(
        rows(
            &project,
            "SELECT group_concat(name) FROM (SELECT name FROM sqlite_master WHERE name IN ('a', 'b', 'c') ORDER BY name)"
        ),
        "b,c"
    );
    let ran = project.dxt(&["run", "t", "--exclude", "tag:b", "--format", "json", "--quiet"]).exits(0);
    assert_eq!(status(&results(&ran)), ["a.a succeeded", "c.c succeeded"]);
    assert!(project.dxt(&["run", "t", "--select", "tag:d"]).exits(2).err.contains("matches no stream"));
    assert!(project.dxt(&["run", "t", "--select", "a,dd"]).exits(2).err.contains("no stream has the id dd"));
}

#[test]
fn one_that_fails_stops_the_others_only_where_that_is_asked_for() {
    let project = project();
    project.write("t/a.sql", &transfer("a", "SELECT CAST('x' AS int) AS n"));
    project.write("t/b.sql", &transfer("b", "SELECT 1 AS n"));
    let ran = project.dxt(&["run", "t", "--format", "json", "--quiet", "--retries", "0"]).exits(1);
    assert_eq!(status(&results(&ran)), ["a.a failed", "b.b succeeded"]);
    let ran = project.dxt(&["run", "t", "--format", "json", "--quiet", "--retries", "0", "--fail-fast"]).exits(1);
    assert_eq!(status(&results(&ran)), ["a.a failed", "b.b skipped"]);
}

#[test]
fn a_signal_ends_all_pipelines_of_a_folder() {
    let project = project();
    let head = format!("connections: {{pg: '{}'}}\nextract: {{batch_size: 10}}\n", env("DXT_TEST_PG_URL"));
    let slow =
        "SELECT i AS id, repeat('x', 1000) AS name, pg_sleep(0.005)::text AS z FROM generate_series(1, 100000) i";
    project.write("t/a.sql", &transfer("a", "SELECT 1 AS n"));
    project.write(
        "t/b.sql",
        &format!("/* dxt\n{head}*/\n-- dxt: {{id: b, target: b, connection: pg, mode: replace}}\n{slow}"),
    );
    project.write("t/c.sql", &transfer("c", "SELECT 1 AS n"));
    let running = Running::start(&project, &["run", "t", "--format", "json", "--quiet"]);
    let buffer = project.path("t/.dxt/buffer/b");
    wait_for("a part of the buffer", || buffer.exists());
    running.signal("INT");
    let ran = running.ends_within(std::time::Duration::from_secs(12)).exits(130);
    assert_eq!(status(&results(&ran)), ["a.a succeeded", "b.b interrupted", "c.c skipped"]);
    assert_eq!(rows(&project, "SELECT group_concat(name) FROM sqlite_master WHERE name IN ('a', 'b', 'c')"), "a");
}

#[test]
fn the_folder_of_examples_runs_as_it_stands() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let project = Project::new();
    for part in ["quickstart/data", "transfers", "transfers/reports"] {
        std::fs::create_dir_all(project.path(part)).unwrap();
        for file in std::fs::read_dir(from.join(part)).unwrap().map(Result::unwrap).filter(|f| f.path().is_file()) {
            if !file.file_name().to_string_lossy().contains("warehouse.db") {
                std::fs::copy(file.path(), project.path(part).join(file.file_name())).unwrap();
            }
        }
    }
    let counts = |ran: &Ran| {
        let all: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let streams =
            all["pipelines"].as_array().unwrap().iter().flat_map(|p| p["streams"].as_array().unwrap().clone());
        streams
            .map(|s| (s["stream"].as_str().unwrap().to_string(), s["rows_read"].as_u64().unwrap()))
            .collect::<BTreeMap<_, _>>()
    };
    let first = project.dxt(&["run", "transfers", "--format", "json", "--quiet"]).exits(0);
    let second =
        project.dxt(&["run", "transfers", "--format", "json", "--quiet", "--var", "since=2200-01-01"]).exits(0);
    let (first, second) = (counts(&first), counts(&second));
    assert_eq!((first["orders"], second["orders"]), (1709, 8), "as in the quickstart");
    assert_eq!((first["best_customers"], second["best_customers"]), (20, 0));
    assert!(first["customers"] > 400 && first["revenue_by_segment"] > 1);
}
