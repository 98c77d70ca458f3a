//! What a plan's systems do themselves: proved by the statements that PostgreSQL has logged, and by how many rows came.

use crate::support::{Kind, System, env, psql, sqlite3};

/// The SELECTs of a test's scans that the server has logged since `mark`.
fn scans_since(mark: &str, system: &System) -> Vec<String> {
    let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
    let tail = log.rsplit_once(mark).expect("the mark").1;
    let ours = |line: &&str| line.contains("COPY (SELECT") && line.contains(&format!("\"{}\"", system.schema()));
    tail.lines().filter(ours).map(str::to_string).collect()
}

/// Runs a query of a system's connection, and gives its rows as CSV and the scans that the server has seen.
fn asked(system: &System, mark: &str, sql: &str) -> (String, Vec<String>) {
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}, files: {{type: file, path: .}}, lite: 'sqlite:///lite.db'}}\nstreams:\n  - {{id: s, source: {{connection: files, value: none.csv}}, \
         target: {{connection: files, value: out/}}}}\n",
        system.connection()
    );
    system.project.write("q.yaml", &yaml);
    psql(&format!("SELECT $m${mark}$m$"));
    let ran = system.project.dxt(&["query", "--format", "csv", "--", sql, "q.yaml"]).exits(0);
    (ran.out, scans_since(mark, system))
}

/// Customers and their orders: 100 of the former, 10,000 of the latter.
fn shop(system: &System) -> (String, String) {
    let (orders, customers) = (system.sql_name("orders"), system.sql_name("customers"));
    psql(&format!(
        "CREATE TABLE {customers} (id bigint PRIMARY KEY, name text, city text);
         INSERT INTO {customers} SELECT i, 'n' || i, CASE WHEN i % 10 > 0 THEN 'c' || i % 10 END FROM generate_series(1, 100) i;
         CREATE TABLE {orders} (id bigint PRIMARY KEY, customer bigint, at timestamptz, total numeric(12,2), items int);
         INSERT INTO {orders} SELECT i, i % 100 + 1, TIMESTAMPTZ '2026-01-01Z' + i * interval '1 minute', i * 0.25, i % 7 FROM generate_series(1, 10000) i;
         ANALYZE {customers}; ANALYZE {orders}"
    ));
    (orders, customers)
}

/// Adds rows, so that a table is none that a join would take for its small side.
fn grown(table: &str, row: &str) {
    psql(&format!("INSERT INTO {table} SELECT {row} FROM generate_series(10001, 60000) i; ANALYZE {table}"));
}

#[test]
fn a_join_a_group_and_a_sorted_limit_of_one_server_are_one_statement() {
    let system = System::new(Kind::Postgres);
    let (orders, customers) = shop(&system);
    let sql = format!(
        "SELECT c.city, count(*) AS n, sum(o.total) AS total, avg(o.total) AS mean, max(c.name) AS last FROM pg.{orders} o \
         JOIN pg.{customers} c ON c.id = o.customer WHERE o.items / 2 = 1 AND c.name LIKE 'n%' GROUP BY c.city \
         HAVING sum(o.total) > 10 ORDER BY total DESC, c.city LIMIT 3"
    );
    let (rows, scans) = asked(&system, "pushdown-whole", &sql);
    assert_eq!(rows.lines().count(), 4, "{rows}");
    let [scan] = scans.as_slice() else { panic!("{scans:#?}") };
    for part in [" JOIN ", "GROUP BY", "HAVING", "ORDER BY", "DESC NULLS FIRST", "LIMIT 3", "COLLATE \"C\""] {
        assert!(scan.contains(part), "{part}: {scan}");
    }
    let expected = psql(&format!(
        "SELECT c.city, count(*), sum(o.total), trunc(avg(o.total), 6), max(c.name COLLATE \"C\") FROM {orders} o JOIN {customers} c ON c.id = o.customer \
         WHERE o.items / 2 = 1 AND c.name LIKE 'n%' GROUP BY 1 HAVING sum(o.total) > 10 ORDER BY 3 DESC NULLS FIRST, 1 NULLS LAST LIMIT 3"
    ));
    assert_eq!(rows.lines().skip(1).collect::<Vec<_>>().join("\n"), expected.replace('|', ",").replace("NULL", ""));
}

#[test]
fn semi_joins_and_subqueries_of_one_server_run_there() {
    let system = System::new(Kind::Postgres);
    let (orders, customers) = shop(&system);
    for (i, (condition, part, rows)) in [
        (format!("EXISTS (SELECT 1 FROM pg.{orders} o WHERE o.customer = c.id AND o.total > 2490)"), "EXISTS (", 40),
        (format!("c.id NOT IN (SELECT o.customer FROM pg.{orders} o WHERE o.total > 2490)"), "NOT ", 60),
        (format!("c.id = (SELECT max(o.customer) FROM pg.{orders} o)"), "max(", 1),
        (format!("c.id IN (SELECT o.customer FROM pg.{orders} o WHERE o.id < 5) OR c.id = 50"), "EXISTS (", 5),
    ]
    .into_iter()
    .enumerate()
    {
        let sql = format!("SELECT c.id FROM pg.{customers} c WHERE {condition}");
        let (out, scans) = asked(&system, &format!("pushdown-semi-{i}"), &sql);
        assert_eq!(out.lines().count(), rows + 1, "{condition}");
        assert!(matches!(scans.as_slice(), [scan] if scan.contains(part)), "{condition}: {scans:#?}");
    }
}

#[test]
fn what_would_mean_another_thing_there_stays_here() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("t");
    psql(&format!(
        "CREATE TABLE {table} (id bigint, f double precision, t text, d numeric(10,2));
         INSERT INTO {table} VALUES (1, 0, 'a', 1), (2, '-0', 'A', 3), (3, 'NaN', 'ä', NULL), (4, 1.5, NULL, 7)"
    ));
    for (i, (sql, kept)) in [
        // -0 and 0 are two groups here.
        (format!("SELECT f, count(*) AS n FROM pg.{table} GROUP BY f"), "GROUP BY"),
        // A quotient of decimals has another number of digits there.
        (format!("SELECT sum(d / 3) AS x FROM pg.{table}"), "sum("),
        // Letters depend on the server's locale.
        (format!("SELECT upper(t) AS u, count(*) AS n FROM pg.{table} GROUP BY upper(t)"), "GROUP BY"),
        (format!("SELECT id FROM pg.{table} ORDER BY f LIMIT 2"), "LIMIT"),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, scans) = asked(&system, &format!("pushdown-here-{i}"), &sql);
        assert!(matches!(scans.as_slice(), [scan] if !scan.contains(kept)), "{sql}: {scans:#?}");
    }
}

#[test]
fn a_join_with_a_small_table_of_another_system_reads_the_keys_that_it_has_and_no_others() {
    let system = System::new(Kind::Postgres);
    let (orders, _) = shop(&system);
    grown(&orders, "i, 1, NULL, 1, 1");
    sqlite3(
        &system.project.path("lite.db"),
        "CREATE TABLE who (id BIGINT, name TEXT); INSERT INTO who VALUES (17, 'Ada'), (4711, 'Bo'), (99999, NULL)",
    );
    let sql = |kind: &str| {
        format!("SELECT o.id, w.name FROM lite.who w {kind} JOIN pg.{orders} o ON w.id = o.id ORDER BY o.id")
    };
    let (rows, scans) = asked(&system, "pushdown-keys", &sql(""));
    assert_eq!(rows, "id,name\n17,Ada\n4711,Bo\n");
    let [scan] = scans.as_slice() else { panic!("{scans:#?}") };
    assert!(["17", "4711", "99999"].iter().all(|key| scan.contains(key)), "{scan}");
    // How many rows came is what counts.
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}, files: {{type: file, path: .}}, lite: 'sqlite:///lite.db'}}\nstreams:\n  - id: s\n    source: {{type: query, sql: '{}'}}\n    \
         target: {{connection: files, value: out.csv}}\n    load: {{mode: replace}}\n",
        system.connection(),
        sql("").replace('\'', "''")
    );
    system.project.write("a.yaml", &yaml);
    let explained = system.project.dxt(&["explain", "a.yaml", "--analyze", "--format", "json"]).exits(0);
    let explained: serde_json::Value = serde_json::from_str(&explained.out).unwrap();
    let analyzed = &explained[0]["analyzed"];
    assert_eq!(analyzed["rows"], 2, "{explained:#}");
    let fetched = analyzed["fetched"].as_array().unwrap();
    let from =
        |part: &str| fetched.iter().find(|f| f["source"].as_str().unwrap().contains(part)).unwrap()["rows"].clone();
    assert_eq!((from("orders"), from("lite.who")), (2.into(), 3.into()), "{explained:#}");
    assert!(explained[0]["sql"].to_string().contains("4711"), "{explained:#}");
    assert!(!system.project.path("out.csv").exists(), "nothing is loaded");
    // All rows of a side that is kept whole are wanted.
    let (rows, scans) = asked(&system, "pushdown-outer", &sql("RIGHT"));
    assert_eq!(rows.lines().count(), 60_001);
    assert!(matches!(scans.as_slice(), [scan] if !scan.contains("4711")), "{scans:#?}");
}

#[test]
fn keys_of_other_types_and_thousands_of_them_are_sent_along() {
    let system = System::new(Kind::Postgres);
    let (orders, customers) = shop(&system);
    grown(&orders, "i, 1, NULL, 1, 1");
    grown(&customers, "i, 'n' || i, repeat('x', 40)");
    sqlite3(
        &system.project.path("lite.db"),
        "CREATE TABLE keys (id BIGINT, name TEXT); WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 999) \
         INSERT INTO keys SELECT i * 10 + 1, 'n7' FROM c",
    );
    let sql = format!("SELECT count(*) AS n FROM lite.keys k JOIN pg.{orders} o ON k.id = o.id");
    let (rows, scans) = asked(&system, "pushdown-thousand", &sql);
    assert_eq!(rows, "n\n1000\n");
    assert!(matches!(scans.as_slice(), [scan] if scan.contains(" IN (") && scan.contains("9991")), "{}", scans.len());
    let sql = format!("SELECT DISTINCT c.id FROM lite.keys k JOIN pg.{customers} c ON c.name = k.name");
    let (rows, scans) = asked(&system, "pushdown-text", &sql);
    assert_eq!(rows, "id\n7\n");
    assert!(matches!(scans.as_slice(), [scan] if scan.contains("'n7'")), "{scans:#?}");
}

#[test]
fn the_keys_of_a_small_file_are_sent_along_to_a_large_table() {
    let system = System::new(Kind::Postgres);
    let (orders, _) = shop(&system);
    grown(&orders, "i, 1, NULL, 1, 1");
    system.project.write("keys.csv", "id,name\n17,Ada\n4711,Bo\n");
    system.project.write("keys.jsonl", "{\"id\": 17, \"name\": \"Ada\"}\n{\"id\": 4711, \"name\": \"Bo\"}\n");
    for file in ["keys.parquet", "keys.arrow"] {
        let copy = format!("COPY (SELECT * FROM 'keys.csv') TO '{file}'");
        system.project.dxt(&["query", "--write", "--", &copy]).exits(0);
    }
    for (i, file) in ["keys.csv", "keys.jsonl", "keys.parquet", "keys.arrow"].into_iter().enumerate() {
        let sql = format!("SELECT o.id, k.name FROM pg.{orders} o JOIN '{file}' k ON k.id = o.id ORDER BY o.id");
        let (rows, scans) = asked(&system, &format!("pushdown-file-{i}"), &sql);
        assert_eq!(rows, "id,name\n17,Ada\n4711,Bo\n", "{file}");
        let [scan] = scans.as_slice() else { panic!("{scans:#?}") };
        assert!(scan.contains("17") && scan.contains("4711"), "{file}: {scan}");
    }
}

#[test]
fn the_keys_of_a_small_table_of_mysql_are_sent_along_to_postgres_and_the_other_way_around() {
    let (system, other) = (System::new(Kind::Postgres), System::new(Kind::Mysql));
    let (orders, _) = shop(&system);
    grown(&orders, "i, 1, NULL, 1, 1");
    let (small, large) = (other.sql_name("small"), other.sql_name("large"));
    other.sql(&format!(
        "CREATE TABLE {small} (id bigint PRIMARY KEY, t text); INSERT INTO {small} VALUES (17, 'a'), (4711, 'b');
         CREATE TABLE {large} (id bigint PRIMARY KEY, t text); INSERT INTO {large} VALUES (1, 'x')"
    ));
    for power in 0..16 {
        other.sql(&format!("INSERT INTO {large} SELECT id + {}, t FROM {large}", 1 << power));
    }
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}, my: {}}}\nstreams:\n  - {{id: s, source: {{connection: pg, value: {orders}}}, target: {{connection: my, value: o}}}}\n",
        system.connection(),
        other.connection()
    );
    system.project.write("q.yaml", &yaml);
    let few = "SELECT 17 AS id UNION ALL SELECT 4711";
    for (sql, asked) in [
        (format!("SELECT o.id FROM pg.{orders} o JOIN my.{small} s ON s.id = o.id ORDER BY 1"), "orders"),
        (format!("SELECT l.id FROM my.{large} l JOIN ({few}) k ON k.id = l.id ORDER BY 1"), "large"),
    ] {
        let found = system.project.dxt(&["query", "--format", "csv", "--", &sql, "q.yaml"]).exits(0).out;
        assert_eq!(found, "id\n17\n4711\n", "{sql}");
        let analyze = format!("EXPLAIN ANALYZE {sql}");
        let plan = system.project.dxt(&["query", "--format", "csv", "--", &analyze, "q.yaml"]).exits(0).out;
        let scan = plan.lines().find(|line| line.contains("sql=") && line.contains(asked)).expect("a scan");
        assert!(scan.contains("4711") && scan.contains("output_rows=2,"), "{scan}");
    }
}

#[test]
fn mysql_joins_by_numbers_what_it_holds_and_is_sent_no_other_joins() {
    let system = System::new(Kind::Mysql);
    let name = |table: &str| system.sql_name(table);
    let (a, b, c) = (name("a"), name("b"), name("c"));
    system.sql(&format!(
        "CREATE TABLE {a} (id bigint, t varchar(20)); CREATE TABLE {b} (id int, c bigint, t varchar(20)); CREATE TABLE {c} (id bigint, n int);
         INSERT INTO {a} VALUES (1, 'x'), (2, 'y'), (3, NULL); INSERT INTO {b} VALUES (1, 7, 'x'), (1, 8, 'y'), (3, 9, NULL);
         INSERT INTO {c} VALUES (7, 70), (8, 80), (10, 100)"
    ));
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{my: {}}}\nstreams:\n  - {{id: s, source: {{connection: my, value: {a}}}, target: {{connection: my, value: o}}}}\n",
        system.connection()
    );
    system.project.write("q.yaml", &yaml);
    let ask = |sql: &str| {
        let rows = system.project.dxt(&["query", "--format", "csv", "--", sql, "q.yaml"]).exits(0).out;
        let plan =
            system.project.dxt(&["query", "--format", "csv", "--", &format!("EXPLAIN {sql}"), "q.yaml"]).exits(0).out;
        let sent: Vec<String> =
            plan.lines().filter_map(|line| line.split_once("sql=")).map(|(_, sql)| sql.to_string()).collect();
        (rows, sent)
    };
    for (sql, rows, parts) in [
        (
            format!("SELECT a.id, b.c FROM my.{a} a JOIN my.{b} b ON a.id = b.id ORDER BY b.c"),
            "id,c\n1,7\n1,8\n3,9\n",
            vec![" JOIN "],
        ),
        (
            format!("SELECT a.id, b.c FROM my.{a} a LEFT JOIN my.{b} b ON a.id = b.id ORDER BY a.id, b.c"),
            "id,c\n1,7\n1,8\n2,\n3,9\n",
            vec![" LEFT JOIN "],
        ),
        // A condition of the side that may be missing is no condition of the rows that come.
        (
            format!(
                "SELECT b.c, a.t FROM my.{a} a RIGHT JOIN my.{b} b ON a.id = b.id AND a.t = 'x' WHERE b.c > 7 ORDER BY b.c"
            ),
            "c,t\n8,x\n9,\n",
            vec![" RIGHT JOIN "],
        ),
        (
            format!(
                "SELECT concat(t, '!') AS u, count(*) AS n, max(id) + 1 AS m FROM my.{b} GROUP BY t ORDER BY u NULLS LAST"
            ),
            "u,n,m\n!,1,4\nx!,1,2\ny!,1,2\n",
            vec!["GROUP BY"],
        ),
        // Two tables that nothing joins must not meet first.
        (
            format!(
                "SELECT a.t, s.n FROM my.{a} a JOIN (SELECT b.id, c.n FROM my.{b} b JOIN my.{c} c ON c.id = b.c) s ON a.id = s.id ORDER BY s.n"
            ),
            "t,n\nx,70\nx,80\n",
            vec!["SELECT STRAIGHT_JOIN"],
        ),
        // A product of two small tables would be made first by their own order.
        (
            format!(
                "SELECT a.t, sum(c.n) AS n FROM my.{a} a JOIN my.{b} b ON a.id = b.id JOIN my.{c} c ON c.id = b.c GROUP BY a.t"
            ),
            "t,n\nx,150\n",
            vec!["SELECT STRAIGHT_JOIN", "GROUP BY"],
        ),
    ] {
        let (found, sent) = ask(&sql);
        assert_eq!(found, rows, "{sql}");
        let [sent] = sent.as_slice() else { panic!("{sql}: {sent:#?}") };
        assert!(parts.iter().all(|part| sent.contains(part)), "{sql}: {sent}");
    }
    for (sql, rows) in [
        (format!("SELECT a.id FROM my.{a} a JOIN my.{b} b ON a.t = b.t ORDER BY 1"), "id\n1\n2\n"),
        (format!("SELECT a.id FROM my.{a} a WHERE NOT EXISTS (SELECT 1 FROM my.{b} b WHERE b.id = a.id)"), "id\n2\n"),
    ] {
        let (found, sent) = ask(&sql);
        assert_eq!(found, rows, "{sql}");
        assert!(
            sent.len() == 2 && !sent.iter().any(|sent| sent.contains("JOIN") || sent.contains("EXISTS")),
            "{sent:#?}"
        );
    }
}

#[test]
fn a_stream_may_demand_what_runs_at_its_source() {
    let system = System::new(Kind::Postgres);
    let (orders, _) = shop(&system);
    let run = |source: &str, rest: &str, demand: &str| {
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    source: {source}\n    target: {{connection: db, value: t}}\n    \
             load: {{mode: replace}}\n    extract: {{require_pushdown: [{demand}]}}\n{rest}",
            system.connection()
        );
        system.project.write("p.yaml", &yaml);
        let _ = std::fs::remove_file(system.project.path("t.db"));
        system.project.dxt(&["run", "p.yaml", "--format", "json", "--quiet"])
    };
    let table = format!("{{connection: pg, value: {orders}}}");
    let query = |sql: &str| format!("{{type: query, sql: '{}'}}", sql.replace('\'', "''"));
    for (source, rest, demand) in [
        (
            table.clone(),
            "    criteria: {where: 'items > 3 AND total * 2 > 100'}\n    fields: [id, total]\n",
            "filter, projection",
        ),
        (table.clone(), "    criteria: {limit: 10}\n", "limit"),
        (
            query(&format!("SELECT customer, sum(total) AS t FROM pg.{orders} GROUP BY customer")),
            "",
            "aggregate, filter",
        ),
    ] {
        run(&source, rest, demand).exits(0);
    }
    for (source, rest, demand, told) in [
        (
            table.clone(),
            "    criteria: {where: \"upper(cast(items AS text)) = '3'\"}\n",
            "filter",
            "the filter would run here",
        ),
        (
            query(&format!("SELECT customer, stddev(items) AS t FROM pg.{orders} GROUP BY customer")),
            "",
            "aggregate",
            "the aggregate would",
        ),
        (
            table.clone(),
            "    fields: [id, {id: x, dtype: int64, source: {expression: 'items * 2'}}]\n",
            "projection",
            "the projection would",
        ),
        (
            query(&format!("SELECT id FROM pg.{orders} WHERE upper(cast(items AS text)) = '3' LIMIT 3")),
            "",
            "limit",
            "the limit would",
        ),
    ] {
        let ran = run(&source, rest, demand).exits(1);
        let error = ran.stream("s")["error"].to_string();
        assert!(error.contains(told) && error.contains("require_pushdown"), "{error}");
    }
    let wrong = run(&table, "", "filters").exits(2);
    assert!(wrong.err.contains("did you mean filter?"), "{}", wrong.err);
}

#[test]
fn explain_has_plans_in_each_form_and_the_sql_of_each_system() {
    let system = System::new(Kind::Postgres);
    let (orders, customers) = shop(&system);
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    source:\n      type: query\n      sql: |\n        \
         SELECT c.city, count(*) AS n FROM pg.{orders} o JOIN pg.{customers} c ON c.id = o.customer GROUP BY c.city\n    \
         target: {{connection: db, value: t}}\n    load: {{mode: upsert, upsert_keys: [city]}}\n",
        system.connection()
    );
    system.project.write("p.yaml", &yaml);
    let explain = |format: &str| system.project.dxt(&["explain", "p.yaml", "--format", format]).exits(0).out;
    for (format, parts) in [
        ("indent", ["TableScan: remote", "SQL for pg.", "GROUP BY t2.\"city\""]),
        ("tree", ["┌───", "RemoteScanExec", "GROUP BY t2.\"city\""]),
        ("graphviz", ["digraph {", "RemoteScanExec", "GROUP BY t2.\"city\""]),
    ] {
        let text = explain(format);
        assert!(parts.iter().all(|part| text.contains(part)), "{format}:\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&explain("json")).unwrap();
    assert_eq!((&json[0]["pipeline"], &json[0]["stream"]), (&"p".into(), &"s".into()));
    assert_eq!(json[0]["steps"][0]["physical"]["node"], "LoadExec", "{json:#}");
    assert!(json[0]["sql"][0]["sql"].as_str().unwrap().contains("GROUP BY"), "{json:#}");
    assert!(!json[0]["statements"].as_array().unwrap().is_empty(), "{json:#}");
}
