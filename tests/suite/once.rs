//! The ledger of loads: the rows of one extract are in the target once, whatever happens after its commit.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Kind, Project, Ran, System, env, people, psql, ran, sqlite3};

const ROWS: [(i64, Option<&str>, Option<i64>); 3] =
    [(1, Some("a"), Some(10)), (2, Some("b"), None), (3, None, Some(30))];

fn json(project: &Project, command: &str) -> Ran {
    project.dxt(&[command, "p.yaml", "--format", "json"])
}

#[track_caller]
fn already(ran: &Ran) -> bool {
    ran.stream("s")["already_loaded"].as_bool().expect("already_loaded")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => std::fs::copy(entry.path(), target).map(|_| ()).expect("a copy"),
        }
    }
}

/// Takes the buffers back to what they were before a load marked or removed them: what a crash right after the commit
/// leaves.
fn crashed_before_cleanup(project: &Project, load: impl FnOnce() -> Ran) -> Ran {
    let (buffers, before) = (project.path(".dxt"), project.path("before"));
    copy(&buffers, &before);
    let loaded = load().exits(0);
    let _ = std::fs::remove_dir_all(&buffers);
    std::fs::rename(before, buffers).expect("the buffers as they were");
    loaded
}

/// Those that keep a ledger.
fn all() -> [System; 3] {
    [System::new(Kind::Postgres), System::new(Kind::Mysql), System::new(Kind::Sqlite)]
}

/// The ledger beside the target.
fn ledger(system: &System) -> String {
    let sql = |table: &str| format!("SELECT pipeline, stream, target, \"rows\" FROM {table} ORDER BY 1, 2, 3, 4");
    match system.kind {
        Kind::Postgres => psql(&sql(&system.sql_name("dxt_loads"))),
        Kind::Mysql => system.sql(&sql("dxt_loads").replace('"', "`")),
        _ => sqlite3(&system.project.path("t.db"), &sql("dxt_loads")),
    }
}

#[test]
fn an_append_repeated_after_a_crash_between_commit_and_cleanup_changes_nothing() {
    for system in all() {
        let project = &system.project;
        people(&project.path("in.parquet"), &ROWS);
        project.write("p.yaml", &system.load("in.parquet", "t", "    load: {mode: append}\n"));
        json(project, "extract").exits(0);
        let first = crashed_before_cleanup(project, || json(project, "load"));
        assert!(!already(&first));
        assert_eq!(
            (first.stream("s")["rows_written"].clone(), first.stream("s")["rows_staged"].clone()),
            (3.into(), 3.into())
        );
        let rows = system.rows("t");
        let second = json(project, "load").exits(0);
        assert!(already(&second), "{}", second.out);
        assert_eq!(
            (second.stream("s")["rows_written"].clone(), second.stream("s")["status"].clone()),
            (0.into(), "succeeded".into())
        );
        assert_eq!(system.rows("t"), rows);
        assert_eq!(ledger(&system), "p|s|t|3");
        // The buffer went as after a load.
        let third = json(project, "load").exits(1);
        assert!(
            third.stream("s")["error"]["message"].as_str().unwrap().contains("no committed buffer"),
            "{}",
            third.out
        );
        // Other rows are another load.
        json(project, "run").exits(0);
        assert_eq!(system.rows("t").len(), 6);
        assert_eq!(ledger(&system), "p|s|t|3\np|s|t|3");
    }
}

#[test]
fn a_run_that_crashed_before_its_cleanup_is_not_doubled_by_a_load() {
    for system in all() {
        let project = &system.project;
        people(&project.path("in.parquet"), &ROWS);
        let yaml = system.load("in.parquet", "t", "    load: {mode: append}\nbuffer: {persist: true}\n");
        project.run(&yaml).exits(0);
        // The mark is what the crash would have left out.
        let stream = project.path(".dxt/buffer/p/s");
        let run = std::fs::read_dir(&stream).unwrap().next().unwrap().unwrap().path();
        std::fs::remove_file(run.join("loaded")).unwrap();
        let shown = project.dxt(&["load", "p.yaml"]).exits(0);
        assert!(shown.out.contains("already loaded"), "{}", shown.out);
        assert_eq!(system.rows("t").len(), 3);
    }
}

#[test]
fn a_repeat_is_found_before_the_watermark_and_the_rows_that_it_has_left() {
    for system in all() {
        let project = &system.project;
        people(&project.path("in.parquet"), &ROWS);
        // Incremental: the watermark has moved by the load itself.
        let rest = "    extract: {mode: incremental, watermark_field: id}\n    load: {mode: append}\n";
        project.write("p.yaml", &system.load("in.parquet", "incremental", rest));
        json(project, "extract").exits(0);
        crashed_before_cleanup(project, || json(project, "load"));
        assert!(already(&json(project, "load").exits(0)));
        assert_eq!(system.rows("incremental").len(), 3);
        // A full append that nobody asked for: the target has rows by the load itself.
        project.write("p.yaml", &system.load("in.parquet", "full", ""));
        json(project, "extract").exits(0);
        crashed_before_cleanup(project, || json(project, "load"));
        assert!(already(&json(project, "load").exits(0)));
        // Those of another extract are still refused.
        json(project, "extract").exits(0);
        let refused = json(project, "load").exits(1);
        let error = refused.stream("s")["error"]["message"].as_str().unwrap().to_string();
        assert!(error.contains("has rows already"), "{error}");
        assert_eq!(system.rows("full").len(), 3);
    }
}

#[test]
fn of_two_loads_of_one_buffer_at_once_one_wins() {
    for system in all() {
        let project = &system.project;
        let many: Vec<(i64, Option<&str>, Option<i64>)> = (0..5000).map(|id| (id, Some("x"), Some(id))).collect();
        people(&project.path("in.parquet"), &many);
        let yaml = system.load("in.parquet", "t", "    load: {mode: append}\n");
        let yaml = yaml.replace("sqlite:///t.db", &format!("sqlite:///{}", project.path("t.db").display()));
        project.write("p.yaml", &yaml);
        json(project, "extract").exits(0);
        // Buffers of their own, so that neither sees the other's mark.
        let other = Project::new();
        copy(project.root(), other.root());
        let start = |project: &Project| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
            command.args(["load", "p.yaml", "--format", "json"]).current_dir(project.root());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dxt starts")
        };
        let children = [start(project), start(&other)];
        let ended = children.map(|child| ran(child.wait_with_output().expect("dxt ends")).exits(0));
        let mut outcomes = ended.map(|ran| (already(&ran), ran.stream("s")["rows_written"].as_u64().unwrap()));
        outcomes.sort_unstable();
        assert_eq!(outcomes, [(false, 5000), (true, 0)]);
        assert_eq!(system.rows("t").len(), 5000);
    }
}

#[test]
fn only_appends_from_a_buffer_are_entered_unless_the_pipeline_asks_for_it() {
    for system in all() {
        let project = &system.project;
        people(&project.path("in.parquet"), &ROWS);
        let tables = || {
            match system.kind {
            Kind::Postgres => psql(&format!("SELECT to_regclass('{}') IS NOT NULL", system.sql_name("dxt_loads"))),
            Kind::Mysql => system.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = 'dxt_loads'"),
            _ => sqlite3(&project.path("t.db"), "SELECT count(*) FROM sqlite_schema WHERE name = 'dxt_loads'"),
        }
        };
        for rest in [
            "    load: {mode: replace}\n",
            "    load: {mode: upsert, upsert_keys: [id]}\n",
            "    load: {mode: append, once: false}\n",
            "    load: {mode: append}\nbuffer: {format: none}\n",
            "    load: {mode: append}\nbuffer: {format: memory}\n",
        ] {
            project.run(&system.load("in.parquet", "t", rest)).exits(0);
            assert!(["0", "f"].contains(&tables().as_str()), "{rest}");
        }
        // From the defaults, and for any mode.
        let yaml = system.load("in.parquet", "t", "    load: {mode: replace}\nload: {once: true}\n");
        project.write("p.yaml", &yaml);
        json(project, "extract").exits(0);
        crashed_before_cleanup(project, || json(project, "load"));
        assert!(already(&json(project, "load").exits(0)));
        assert_eq!(system.rows("t").len(), 3);
        // A replace leaves the ledger as it is.
        json(project, "run").exits(0);
        assert_eq!(ledger(&system), "p|s|t|3\np|s|t|3");
    }
}

#[test]
fn the_ledger_is_shown_by_explain_left_out_of_a_draft_and_no_target() {
    for system in all() {
        let project = &system.project;
        people(&project.path("in.parquet"), &ROWS);
        project.run(&system.load("in.parquet", "t", "    load: {mode: append}\n")).exits(0);
        let shown = project.dxt(&["explain", "p.yaml"]).exits(0).out;
        for part in ["CREATE TABLE IF NOT EXISTS", "SELECT EXISTS", "dxt_loads", "INSERT"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let draft = project.dxt(&["discover", "sys", "p.yaml", "--format", "yaml"]).exits(0).out;
        assert!(draft.contains('t') && !draft.contains("dxt_loads"), "{draft}");
        let refused = project.run(&system.load("in.parquet", "dxt_loads", "    load: {mode: append}\n")).exits(2);
        assert!(refused.err.contains("keeps the ids of its loads"), "{}", refused.err);
    }
}

#[test]
fn asking_files_for_a_ledger_is_an_error_that_says_why() {
    let system = System::new(Kind::Parquet);
    people(&system.project.path("in.parquet"), &ROWS);
    let ran = system.project.run(&system.load("in.parquet", "t", "    load: {mode: append, once: true}\n")).exits(2);
    assert!(ran.err.contains("p.yaml:10:") && ran.err.contains("one transaction"), "{}", ran.err);
    system.project.run(&system.load("in.parquet", "t", "    load: {mode: append}\n")).exits(0);
}

#[test]
fn who_may_not_write_the_ledger_loads_with_a_warning_or_not_at_all() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("t");
    let schema = table.split('.').next().unwrap();
    let role = format!("once_{schema}");
    psql(&format!(
        "CREATE TABLE {table} (id bigint, name text, v bigint); CREATE ROLE {role} LOGIN PASSWORD 'once'; \
         GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT, INSERT ON {table} TO {role}"
    ));
    let url = env("DXT_TEST_PG_URL");
    let server = url.rsplit_once('@').unwrap().1;
    let project = &system.project;
    people(&project.path("in.parquet"), &ROWS);
    let run = |once: &str| {
        let yaml = system.load("in.parquet", "t", &format!("    load: {{mode: append{once}}}\n"));
        project.write("p.yaml", &yaml.replace(&url, &format!("postgresql://{role}:once@{server}")));
        json(project, "run")
    };
    let warned = run("").exits(0);
    assert_eq!(warned.counts("s"), [3, 3, 0, 0]);
    for part in ["not guarded", "GRANT CREATE ON SCHEMA", "once: false"] {
        assert!(warned.err.contains(part), "{part}: {}", warned.err);
    }
    assert!(!run(", once: false").exits(0).err.contains("not guarded"));
    let refused = run(", once: true").exits(1);
    let error = refused.stream("s")["error"]["report"].as_str().unwrap().to_string();
    assert!(error.contains("load.once") && error.contains("GRANT"), "{error}");
    assert_eq!(system.rows("t").len(), 6);
    // The ledger is there, but not for this user; then it is.
    psql(&format!("GRANT CREATE ON SCHEMA {schema} TO {role}"));
    assert!(!run(", once: true").exits(0).err.contains("not guarded"));
    psql(&format!("REVOKE INSERT ON {schema}.dxt_loads FROM {role}"));
    assert!(run("").exits(0).err.contains("GRANT SELECT, INSERT ON"));
    // A table of that name which is not dxt's is left alone.
    psql(&format!("DROP TABLE {schema}.dxt_loads; CREATE TABLE {schema}.dxt_loads (id int)"));
    assert!(run("").exits(0).err.contains("is another table"));
    assert_eq!(psql(&format!("SELECT count(*) FROM {schema}.dxt_loads")), "0");
    psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}

#[test]
fn rows_that_are_relayed_are_entered_where_it_is_asked_for() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!("CREATE TABLE {src} AS SELECT generate_series(1, 5) AS id; CREATE TABLE {dst} (id int)"));
    let url = env("DXT_TEST_PG_URL");
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: '{url}'}}\nbuffer: {{format: none}}\nstreams:\n  - id: s\n    \
         source: {{connection: sys, value: '{src}'}}\n    target: {{connection: sys, value: '{dst}'}}\n    \
         load: {{mode: append, once: true}}\n"
    );
    system.project.write("p.yaml", &yaml);
    assert!(system.project.dxt(&["explain", "p.yaml"]).exits(0).out.contains("RelayExec"));
    system.project.run(&yaml).exits(0);
    assert_eq!(ledger(&system), "p|s|dst|5");
}
