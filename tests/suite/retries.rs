//! What is tried again, and what never is: the rows arrive once, and each attempt is told.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::{Fault, Harm, Kind, Project, Ran, System, env, port, proxy, psql, sqlite3, web};

/// The URL of the server by a proxy.
fn through(fault: Fault) -> String {
    let by = proxy("127.0.0.1", fault);
    format!("{}?sslmode=disable", env("DXT_TEST_PG_URL").replace(&format!(":{}/", port()), &format!(":{by}/")))
}

/// Asserts how often stream `s` was tried, and that each failed attempt says why.
#[track_caller]
fn tried(ran: &Ran, attempts: u64, says: &str) {
    let stream = ran.stream("s");
    let retried = stream["retried"].as_array().unwrap();
    assert_eq!((stream["attempts"].as_u64(), retried.len() as u64), (Some(attempts), attempts - 1), "{stream}");
    assert!(retried.iter().all(|why| why.as_str().unwrap().contains(says)), "{stream}");
}

fn yaml(head: &str, connections: &str, source: &str, target: &str) -> String {
    format!(
        "version: 1\nname: p\nretry_wait: 20ms\n{head}connections: {{{connections}}}\nstreams:\n  \
         - {{id: s, source: {source}, target: {target}, load: {{mode: append}}}}\n"
    )
}

#[test]
fn a_server_that_refuses_twice_is_asked_three_times() {
    let project = Project::new();
    let connections = format!("pg: '{}', lite: 'sqlite:///t.db'", through(Fault::RefuseFirst(2)));
    let source = "{connection: pg, type: sql, sql: SELECT 7 AS id}";
    let ran = project.run(&yaml("", &connections, source, "{connection: lite, value: t}")).exits(0);
    tried(&ran, 3, "cannot connect");
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t"), "7");
    // The report for people says it, too; a log has a line for each.
    let connections = format!("pg: '{}', lite: 'sqlite:///u.db'", through(Fault::RefuseFirst(1)));
    project.write("p.yaml", &yaml("", &connections, source, "{connection: lite, value: t}"));
    let ran = project.dxt(&["run", "p.yaml", "--verbose"]).exits(0);
    assert!(ran.err.contains("s: 2 attempts") && ran.err.contains("it is repeated"), "{}", ran.err);
}

#[test]
fn attempts_are_counted_by_the_stream_the_pipeline_and_the_command() {
    let project = Project::new();
    for (head, own, args, attempts) in [
        ("retries: 0\n", "", &[][..], 1),
        ("retries: 0\n", ", retries: 1", &[], 2),
        ("", ", retries: 5", &["--retries", "1"], 2),
        ("", "", &[], 3),
    ] {
        let connections = format!("pg: '{}', lite: 'sqlite:///t.db'", through(Fault::RefuseFirst(99)));
        let text = yaml(head, &connections, "{connection: pg, value: t}", "{connection: lite, value: t}");
        project.write("p.yaml", &text.replace("mode: append}", &format!("mode: append}}{own}")));
        let ran = project.dxt(&[&["run", "p.yaml", "--format", "json", "--quiet"][..], args].concat()).exits(1);
        tried(&ran, attempts, "cannot connect");
    }
    for (head, says) in [("retries: -1\n", "from 0 to 100"), ("retry_wait: 3\n", "must be a duration")] {
        let text = yaml("", "lite: 'sqlite:///t.db'", "{connection: lite, value: t}", "{connection: lite, value: u}");
        let ran = project.run(&text.replace("retry_wait: 20ms\n", head)).exits(2);
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn an_extract_that_breaks_off_twice_begins_anew_and_its_rows_arrive_once() {
    let project = Project::new();
    for buffer in ["parquet", "none"] {
        let connections = format!("pg: '{}', lite: 'sqlite:///{buffer}.db'", through(Fault::DropFirst(2, 1 << 20)));
        let source =
            "{connection: pg, type: sql, sql: \"SELECT i, repeat('x', 200) AS v FROM generate_series(1, 20000) i\"}";
        let head = format!("buffer: {{format: {buffer}}}\n");
        let ran = project.run(&yaml(&head, &connections, source, "{connection: lite, value: t}")).exits(0);
        tried(&ran, 3, "broke");
        assert_eq!(ran.counts("s"), [20_000, 20_000, 0, 0]);
        let file = project.path(&format!("{buffer}.db"));
        assert_eq!(sqlite3(&file, "SELECT count(*), count(DISTINCT i), sum(i) FROM t"), "20000|20000|200010000");
    }
}

#[test]
fn a_serialization_failure_or_deadlock_repeats_the_load_and_not_the_extract() {
    for code in ["40001", "40P01"] {
        let system = System::new(Kind::Postgres);
        let (table, name) = (system.sql_name("t"), |n: &str| system.sql_name(n));
        psql(&format!(
            "CREATE TABLE {table} (id bigint, name text); CREATE SEQUENCE {tries};
             CREATE FUNCTION {f}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF nextval('{tries}') <= 2 THEN RAISE EXCEPTION 'the moment is wrong' USING ERRCODE = '{code}'; END IF;
               RETURN NULL; END $$;
             CREATE TRIGGER x AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {f}()",
            tries = name("tries"),
            f = name("f"),
        ));
        let tag = format!("read {table} once").replace('"', "");
        let source = format!("{{connection: pg, type: sql, sql: \"SELECT 1::bigint AS id, '{tag}' AS name\"}}");
        let connections = format!("pg: '{}'", env("DXT_TEST_PG_URL"));
        let ran =
            system.project.run(&yaml("", &connections, &source, &format!("{{connection: pg, value: '{table}'}}")));
        let ran = ran.exits(0);
        tried(&ran, 3, &format!("SQLSTATE {code}"));
        assert_eq!(psql(&format!("SELECT * FROM {table}")), format!("1|{tag}"));
        let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).unwrap();
        let reads = log.split("LOG:").filter(|entry| entry.contains("COPY (") && entry.contains(&tag)).count();
        assert_eq!(reads, 1, "the extract was repeated");
    }
}

#[test]
fn a_commit_that_nobody_heard_of_is_not_repeated() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("t");
    psql(&format!("CREATE TABLE {table} (id bigint)"));
    system.project.write("in.csv", "id\n1\n");
    let connections = format!("pg: '{}', files: {{type: file, path: .}}", through(Fault::CutCommit));
    let target = format!("{{connection: pg, value: '{table}'}}");
    let ran = system.project.run(&yaml("", &connections, "{connection: files, value: in.csv}", &target)).exits(1);
    tried(&ran, 1, "");
    let error = ran.stream("s")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("whether it took place is not known"), "{error}");
    assert_eq!(psql(&format!("SELECT count(*) FROM {table}")), "1");
}

#[test]
fn a_web_server_that_is_busy_is_asked_again() {
    let project = Project::new();
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        // A request is tried four times by itself: six answers are one attempt and a half.
        let (port, asked) = web("id,name\n1,a\n2,b\n".into(), Harm::Status(6, status));
        let connections = format!("web: 'http://127.0.0.1:{port}/', lite: 'sqlite:///{}.db'", &status[..3]);
        let source = "{connection: web, value: t.csv}";
        let ran = project.run(&yaml("", &connections, source, "{connection: lite, value: t}")).exits(0);
        tried(&ran, 2, &status[..3]);
        assert!(asked.load(Ordering::SeqCst) > 6);
        assert_eq!(sqlite3(&project.path(&format!("{}.db", &status[..3])), "SELECT * FROM t"), "1|a\n2|b");
    }
    // What is not there, or not for us, is asked for once.
    let (port, asked) = web("id\n1\n".into(), Harm::Status(99, "403 Forbidden"));
    let connections = format!("web: 'http://127.0.0.1:{port}/', lite: 'sqlite:///x.db'");
    let ran = project.run(&yaml("", &connections, "{connection: web, value: t.csv}", "{connection: lite, value: t}"));
    tried(&ran.exits(1), 1, "");
    assert!(asked.load(Ordering::SeqCst) <= 2);
}

#[test]
fn a_web_server_that_stalls_in_the_middle_is_an_error_within_the_timeout() {
    let project = Project::new();
    let text: String = "id,name\n".to_string() + &(0..200_000).map(|i| format!("{i},name {i}\n")).collect::<String>();
    let (port, _) = web(text, Harm::Stall);
    let connections =
        format!("web: {{url: 'http://127.0.0.1:{port}/', options: {{timeout: 1s}}}}, lite: 'sqlite:///t.db'");
    let text = yaml("retries: 1\n", &connections, "{connection: web, value: t.csv}", "{connection: lite, value: t}");
    let begun = Instant::now();
    let ran = project.run(&text).exits(1);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    tried(&ran, 2, "has sent nothing for 1 s");
    assert!(!project.path("t.db").exists());
    let wrong = project.run(&yaml(
        "",
        &connections.replace("1s", "soon"),
        "{connection: web, value: t.csv}",
        "{connection: lite, value: t}",
    ));
    assert!(wrong.exits(2).err.contains("must be a duration"));
}

#[test]
fn a_locked_sqlite_file_is_tried_again() {
    let project = Project::new();
    project.write("in.csv", "id\n1\n");
    let holder = rusqlite::Connection::open(project.path("t.db")).unwrap();
    holder.execute_batch("CREATE TABLE t (id INTEGER); BEGIN IMMEDIATE").unwrap();
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        holder.execute_batch("ROLLBACK").unwrap();
    });
    let connections = "files: {type: file, path: .}, lite: 'sqlite:///t.db?busy_timeout=0'";
    let text =
        yaml("retries: 100\n", connections, "{connection: files, value: in.csv}", "{connection: lite, value: t}");
    let ran = project.run(&text.replace("20ms", "200ms")).exits(0);
    release.join().unwrap();
    let attempts = ran.stream("s")["attempts"].as_u64().unwrap();
    assert!(attempts > 1, "{}", ran.out);
    tried(&ran, attempts, "locked");
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t"), "1");
}

#[test]
fn what_will_fail_again_is_tried_once() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("t");
    psql(&format!("CREATE TABLE {table} (id bigint NOT NULL)"));
    system.project.write("in.csv", "id\n1\nx\n");
    let connections = format!("pg: '{}', files: {{type: file, path: .}}", env("DXT_TEST_PG_URL"));
    let target = format!("{{connection: pg, value: '{table}'}}");
    for (source, more) in [
        ("{connection: files, value: in.csv}", ", fields: [{id: id, dtype: int64}]"),
        ("{connection: files, value: none.csv}", ""),
        ("{connection: pg, type: sql, sql: \"SELECT 1 / (i - 1) AS id FROM generate_series(1::bigint, 2) i\"}", ""),
    ] {
        let text = yaml("", &connections, source, &target);
        let ran = system.project.run(&text.replace("mode: append}", &format!("mode: append}}{more}"))).exits(1);
        tried(&ran, 1, "");
    }
    assert_eq!(psql(&format!("SELECT count(*) FROM {table}")), "0");
}
