//! PostgreSQL at the edges: rights on columns only, the ends of the calendar, sessions that are left in the middle.

use crate::support::{Kind, Ran, System, env, psql};

/// Runs one stream over the connection `url`.
fn copied(system: &System, url: &str, source: &str, extract: &str, rest: &str) -> (Ran, String) {
    let target = system.sql_name("out");
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: '{url}'}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{source}'}}\n    \
         target: {{connection: sys, value: '{target}'}}\n    extract: {extract}\n    load: {{mode: replace}}\n{rest}"
    );
    (system.project.run(&yaml), target)
}

/// How many sessions run what the text names.
fn running(named: &str) -> String {
    let asked = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%{named}%'"
    );
    psql(&asked)
}

#[test]
fn a_user_with_rights_on_some_columns_reads_them_in_parts_or_whole() {
    let system = System::new(Kind::Postgres);
    let (src, role) = (system.sql_name("src"), system.sql_name("reader").replace(['.', '"'], "_"));
    let schema = src.split('.').next().unwrap();
    psql(&format!(
        "CREATE TABLE {src} (id int PRIMARY KEY, name text, secret text); \
         INSERT INTO {src} SELECT i, repeat('x', 200), 's' FROM generate_series(1, 5000) i; \
         CREATE ROLE {role} LOGIN PASSWORD 'reader'; GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}; GRANT SELECT (id, name) ON {src} TO {role}"
    ));
    let (_, server) = env("DXT_TEST_PG_URL").rsplit_once('@').map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
    let url = format!("postgresql://{role}:reader@{server}");
    for extract in ["{}", "{partitions: 3}", "{partitions: 3, partition_field: id}"] {
        let (ran, target) = copied(&system, &url, &src, extract, "    fields: [id, name]\n");
        ran.exits(0);
        assert_eq!(psql(&format!("SELECT count(*), count(DISTINCT id) FROM {target}")), "5000|5000", "{extract}");
    }
    psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}

#[test]
fn timestamps_from_one_end_of_the_calendar_to_the_other_are_read_in_ranges() {
    let system = System::new(Kind::Postgres);
    for native in ["timestamp", "timestamptz"] {
        let src = system.sql_name(native);
        psql(&format!(
            "CREATE TABLE {src} (at {native}); INSERT INTO {src} VALUES ('-infinity'), ('4713-11-24 00:00 BC'), ('0044-03-15 BC'), \
             ('2024-02-29 12:00'), ('150000-01-01'), ('294276-12-31 23:59:59.999999'), ('infinity'), (NULL)"
        ));
        let fields = "    fields: [{id: at, dtype: string}]\n";
        for parts in [2, 5, 64] {
            let extract = format!("{{partitions: {parts}, partition_field: at}}");
            let (ran, target) = copied(&system, &env("DXT_TEST_PG_URL"), &src, &extract, fields);
            ran.exits(0);
            let missing = format!("SELECT count(*) FROM (SELECT at FROM {src} EXCEPT ALL SELECT at FROM {target}) d");
            assert_eq!(psql(&missing), "0", "{native} in {parts}");
            assert_eq!(psql(&format!("SELECT count(*) FROM {target}")), "8", "{native} in {parts}");
            psql(&format!("DROP TABLE {target}"));
        }
    }
}

#[test]
fn a_run_that_fails_leaves_no_query_running_on_the_server() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    // The first part fails at once; the second would go on for long, and sends nothing meanwhile.
    psql(&format!(
        "CREATE VIEW {src} AS SELECT g AS id, CASE WHEN g < 500 THEN 1 / (g - g) \
         ELSE (SELECT count(*) FROM generate_series(1, 1000000000) x WHERE x <> g) END AS n FROM generate_series(1, 1000) g"
    ));
    for buffer in ["", "buffer: {format: none}\n"] {
        let (ran, _) = copied(&system, &env("DXT_TEST_PG_URL"), &src, "{partitions: 2, partition_field: id}", buffer);
        let report = ran.exits(1).stream("s")["error"]["report"].to_string();
        assert!(report.contains("division by zero"), "{report}");
        assert_eq!(running(&src.replace('"', "")), "0");
    }
}

#[test]
fn a_query_leaves_its_server_in_order() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    psql(&format!("CREATE TABLE {src} AS SELECT i AS id, repeat('x', 500) AS pad FROM generate_series(1, 20000) i"));
    let name = format!("query_{}", src.replace(['.', '"'], "_"));
    let connection = format!("sys={}?application_name={name}", env("DXT_TEST_PG_URL"));
    for sql in ["SELECT count(*) FROM", "SELECT * FROM"] {
        for limit in ["", " LIMIT 3"] {
            for _ in 0..4 {
                let sql = format!("{sql} sys.{src}{limit}");
                system.project.dxt(&["query", &sql, "--format", "csv", "--connection", &connection]).exits(0);
            }
        }
    }
    let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
    let own: Vec<&str> = log.lines().filter(|line| line.contains(&format!("] {name} "))).collect();
    assert!(own.iter().any(|line| line.contains("COPY")), "the log names the application");
    let broken: Vec<&&str> = own
        .iter()
        .filter(|line| {
            ["EOF", "connection to client lost", "reset by peer", "Broken pipe"].iter().any(|w| line.contains(w))
        })
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
