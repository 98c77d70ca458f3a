//! SIGINT and SIGTERM at every place of a run: soon over, nothing half done, and said so.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Fault, Kind, Project, Ran, Running, System, env, port, proxy, psql, sqlite3, wait_for};

const SOON: Duration = Duration::from_secs(12);
/// Rows that come for minutes.
const SLOW: &str =
    "SELECT i::bigint AS id, repeat('x', 1000) AS name, pg_sleep(0.005)::text AS z FROM generate_series(1, 100000) i";

/// The server's URL under a name by which its sessions are found.
fn url(name: &str) -> String {
    format!("{}?application_name={name}", env("DXT_TEST_PG_URL"))
}

fn sessions(name: &str) -> String {
    psql(&format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"))
}

/// A name that no other test has.
fn unique(what: &str) -> String {
    format!("dxt_{what}_{}", std::process::id())
}

/// Every file below a folder, by its path within.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.to_string_lossy().into_owned()),
        }
    }
    found
}

fn has_hidden(project: &Project) -> bool {
    files(project.root()).iter().any(|f| f.contains(".dxt-"))
}

#[track_caller]
fn interrupted(ran: &Ran, stream: &str) {
    let stream = ran.stream(stream);
    assert_eq!(
        (&stream["status"], &stream["error"]["kind"]),
        (&"interrupted".into(), &"interrupted".into()),
        "{stream}"
    );
    assert_eq!(stream["rows_written"], 0, "{stream}");
}

#[test]
fn an_extract_that_is_interrupted_leaves_no_buffer_no_session_and_later_streams_unstarted() {
    let (project, name) = (Project::new(), unique("extract"));
    sqlite3(
        &project.path("t.db"),
        "CREATE TABLE t (id INTEGER, name TEXT, z TEXT); INSERT INTO t VALUES (1, 'old', '')",
    );
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: '{}', lite: 'sqlite:///t.db'}}\nextract: {{batch_size: 10}}\nload: {{mode: append}}\nstreams:\n  \
         - {{id: a, source: {{connection: pg, type: sql, sql: \"{SLOW}\"}}, target: {{connection: lite, value: t}}}}\n  \
         - {{id: b, source: {{connection: pg, type: sql, sql: SELECT 1 AS id}}, target: {{connection: lite, value: u}}}}\n",
        url(&name)
    );
    project.write("p.yaml", &yaml);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let running = Running::start(&project, &["run", "p.yaml", "--format", "json"]);
        wait_for("a part of the buffer", || files(&project.path(".dxt")).iter().any(|f| f.ends_with(".parquet")));
        running.signal(signal);
        let ran = running.ends_within(SOON).exits(code);
        interrupted(&ran, "a");
        assert_eq!((&ran.stream("b")["status"], &ran.stream("b")["attempts"]), (&"skipped".into(), &0.into()));
        assert!(ran.err.contains("rolled back"), "{}", ran.err);
        // The file of a lock stays, and nobody holds it.
        let left = files(&project.path(".dxt")).into_iter().filter(|file| !file.ends_with(".lock"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
        assert_eq!(sessions(&name), "0");
        assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t; SELECT name FROM sqlite_schema"), "1|old|\nt");
    }
}

#[test]
fn a_load_that_is_interrupted_leaves_every_target_as_it_was() {
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Parquet, Kind::Csv] {
        let (system, name) = (System::new(kind), unique(&format!("load_{kind:?}").to_lowercase()));
        let project = &system.project;
        // Rows that are there before.
        project.write("one.csv", "id,name,z\n1,old,q\n");
        project.write("p.yaml", &system.load("one.csv", "t", "    load: {mode: replace}\n"));
        project.dxt(&["run", "p.yaml"]).exits(0);
        let (before, listing) = (system.rows("t"), files(&project.path("out")));
        let yaml = system.load("one.csv", "t", "    load: {mode: replace}\n    extract: {batch_size: 10}\n");
        let yaml = yaml.replace("version: 1", "version: 1\nbuffer: {format: none}").replace(
            "source: {connection: files, value: one.csv}",
            &format!("source: {{connection: '{}', type: sql, sql: \"{SLOW}\"}}", url(&name)),
        );
        project.write("slow.yaml", &yaml);
        let running = Running::start(project, &["run", "slow.yaml", "--format", "json"]);
        wait_for("the load", || match kind {
            Kind::Sqlite => project.path("t.db-journal").exists(),
            Kind::Postgres => {
                psql(&format!(
                    "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = to_regclass('{}')",
                    system.sql_name("t")
                )) == "1"
            }
            _ => has_hidden(project),
        });
        std::thread::sleep(Duration::from_millis(300));
        running.signal("INT");
        let ran = running.ends_within(SOON).exits(130);
        interrupted(&ran, "s");
        assert_eq!(sessions(&name), "0", "{kind:?}");
        assert_eq!((system.rows("t"), files(&project.path("out"))), (before, listing), "{kind:?}");
        assert!(!has_hidden(project) && !project.path("t.db-journal").exists(), "{kind:?}");
    }
}

/// An empty table of the server, by its quoted name, and a pipeline that appends two rows to it in a session of this name.
fn appends_two_rows(system: &System, name: &str) -> String {
    let (project, table) = (&system.project, system.sql_name("t"));
    psql(&format!("CREATE TABLE {table} (id bigint, name text)"));
    project.write("in.csv", "id,name\n1,a\n2,b\n");
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{files: {{type: file, path: .}}, pg: '{}'}}\nstreams:\n  \
         - {{id: s, source: {{connection: files, value: in.csv}}, target: {{connection: pg, value: '{table}'}}, load: {{mode: append}}}}\n",
        url(name)
    );
    project.write("p.yaml", &yaml);
    table
}

#[test]
fn a_wait_for_a_lock_of_postgres_is_given_up_and_the_buffer_is_loaded_later() {
    let (system, name) = (System::new(Kind::Postgres), unique("lock"));
    let (project, table) = (&system.project, appends_two_rows(&system, &name));
    let holder = std::thread::spawn({
        let table = table.clone();
        move || psql(&format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep(8); ROLLBACK"))
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = ";
    // Looking at the target waits as well; a lock of readers too would stop that. So the run is started before the lock is asked for.
    let running = Running::start(project, &["run", "p.yaml", "--format", "json"]);
    wait_for("the wait for the lock", || psql(&format!("{waits} '{name}'")) == "1");
    running.signal("TERM");
    let ran = running.ends_within(SOON).exits(143);
    assert_eq!(ran.stream("s")["status"], "interrupted");
    assert_eq!(sessions(&name), "0");
    let committed = files(&project.path(".dxt")).iter().any(|f| f.ends_with("manifest.json"));
    holder.join().unwrap();
    assert_eq!(psql(&format!("SELECT count(*) FROM {table}")), "0");
    if committed {
        assert!(ran.stream("s")["error"]["hint"].as_str().unwrap().contains("dxt load"), "{}", ran.out);
        project.dxt(&["load", "p.yaml"]).exits(0);
    } else {
        project.dxt(&["run", "p.yaml"]).exits(0);
    }
    assert_eq!(psql(&format!("SELECT string_agg(name, '' ORDER BY id) FROM {table}")), "ab");
}

#[test]
fn a_wait_for_another_load_is_given_up_and_the_committed_buffer_is_loaded_later() {
    let (system, name) = (System::new(Kind::Postgres), unique("turn"));
    let (project, table) = (&system.project, appends_two_rows(&system, &name));
    // A writer: it lets readers look at the table, and a load wait.
    let holder = std::thread::spawn({
        let table = table.clone();
        move || psql(&format!("BEGIN; LOCK TABLE {table} IN ROW EXCLUSIVE MODE; SELECT pg_sleep(6); ROLLBACK"))
    });
    wait_for("the writer", || {
        psql(&format!(
            "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock' AND relation = to_regclass('{table}')"
        )) == "1"
    });
    let running = Running::start(project, &["run", "p.yaml", "--format", "json"]);
    let waits =
        format!("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = '{name}'");
    wait_for("the wait", || psql(&waits) == "1");
    running.signal("INT");
    let begun = Instant::now();
    let ran = running.ends_within(SOON).exits(130);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    interrupted(&ran, "s");
    assert_eq!((sessions(&name), ran.stream("s")["rows_buffered"].as_u64()), ("0".into(), Some(2)));
    assert!(ran.stream("s")["error"]["hint"].as_str().unwrap().contains("dxt load"), "{}", ran.out);
    std::fs::remove_file(project.path("in.csv")).unwrap();
    holder.join().unwrap();
    assert_eq!(psql(&format!("SELECT count(*) FROM {table}")), "0");
    project.dxt(&["load", "p.yaml"]).exits(0);
    assert_eq!(psql(&format!("SELECT string_agg(name, '' ORDER BY id) FROM {table}")), "ab");
}

#[test]
fn a_wait_for_the_lock_of_a_sqlite_file_is_given_up() {
    let system = System::new(Kind::Sqlite);
    let project = &system.project;
    project.write("in.csv", "id,name\n1,a\n");
    project.write("p.yaml", &system.load("in.csv", "t", "    load: {mode: replace}\n"));
    let holder = rusqlite::Connection::open(project.path("t.db")).unwrap();
    holder.execute_batch("CREATE TABLE other (x); BEGIN IMMEDIATE").unwrap();
    let running = Running::start(project, &["run", "p.yaml", "--format", "json"]);
    wait_for("the buffer", || files(&project.path(".dxt")).iter().any(|f| f.ends_with("manifest.json")));
    std::thread::sleep(Duration::from_millis(300));
    running.signal("INT");
    let ran = running.ends_within(Duration::from_secs(5)).exits(130);
    interrupted(&ran, "s");
    holder.execute_batch("ROLLBACK").unwrap();
    project.dxt(&["load", "p.yaml"]).exits(0);
    assert_eq!(system.rows("t"), ["1|a"]);
}

#[test]
fn connecting_is_given_up() {
    let deaf = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let project = Project::new();
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: 'postgresql://u:p@127.0.0.1:{}/d?connect_timeout=100', files: {{type: file, path: .}}}}\nstreams:\n  \
         - {{id: s, source: {{connection: pg, value: t}}, target: {{connection: files, value: x.csv}}, load: {{mode: replace}}}}\n",
        deaf.local_addr().unwrap().port()
    );
    project.write("p.yaml", &yaml);
    let running = Running::start(&project, &["run", "p.yaml"]);
    let _client = deaf.accept().unwrap();
    running.signal("INT");
    let ran = running.ends_within(Duration::from_secs(5)).exits(130);
    // For people: a table that says it, and the error.
    assert!(
        ran.out.contains("interrupted") && ran.err.contains("interrupted error: stream s"),
        "{}{}",
        ran.out,
        ran.err
    );
}

#[test]
fn a_query_stops_at_once_and_its_session_is_gone() {
    let (project, name) = (Project::new(), unique("query"));
    let connection = format!("pg={}", url(&name));
    let sql = "SELECT count(*) FROM pg.information_schema.columns a CROSS JOIN pg.information_schema.columns b \
               CROSS JOIN pg.information_schema.columns c";
    let running = Running::start(&project, &["query", sql, "--connection", &connection]);
    wait_for("the query", || sessions(&name) != "0");
    std::thread::sleep(Duration::from_millis(500));
    running.signal("TERM");
    running.ends_within(Duration::from_secs(5)).exits(143);
    assert_eq!(sessions(&name), "0");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let system = System::new(Kind::Postgres);
    let project = &system.project;
    // Nothing more reaches the server: rolling back takes as long as dxt has patience.
    let stalled = proxy("127.0.0.1", Fault::StallUp(200 << 10));
    let target = env("DXT_TEST_PG_URL").replace(&format!(":{}/", port()), &format!(":{stalled}/"));
    let yaml = format!(
        "version: 1\nname: p\nbuffer: {{format: none}}\nconnections: {{a: '{}', b: '{target}?sslmode=disable&application_name={}'}}\nstreams:\n  \
         - {{id: s, source: {{connection: a, type: sql, sql: \"SELECT i AS id, repeat('x', 1000) AS v FROM generate_series(1, 1000000) i\"}}, \
         target: {{connection: b, value: '{}'}}, load: {{mode: replace}}}}\n",
        env("DXT_TEST_PG_URL"),
        unique("second"),
        system.sql_name("t")
    );
    project.write("p.yaml", &yaml);
    let running = Running::start(project, &["run", "p.yaml", "--format", "json"]);
    wait_for("the load", || sessions(&unique("second")) == "1");
    std::thread::sleep(Duration::from_secs(2));
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    running.signal("TERM");
    let ran = running.ends_within(Duration::from_secs(1)).exits(143);
    assert_eq!(ran.out, "");
    // The proxy holds the connection for a while; the table's locks go with it.
    psql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
        unique("second")
    ));
}
