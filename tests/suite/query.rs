//! `dxt query` as a user runs it: what can be named, how rows are written, and what is refused.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::object_store::boto;
use crate::support::{Kind, Project, Ran, Running, System, env, people, psql, python, ran, sqlite3, wait_for};

/// A server that is not there.
const DEAD: &str = "dead=postgresql://nobody@127.0.0.1:1/none";

fn csv(project: &Project, sql: &str, rest: &[&str]) -> String {
    let mut args = vec!["query", sql, "--format", "csv"];
    args.extend(rest);
    project.dxt(&args).exits(0).out
}

/// Runs dxt with a text on stdin.
fn piped(project: &Project, args: &[&str], text: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
    command.args(args).current_dir(project.root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    ran(child.wait_with_output().unwrap())
}

/// A SQLite file with a table and a view, a folder of files, and a buffer.
fn project() -> Project {
    let project = Project::new();
    sqlite3(
        &project.path("t.db"),
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, total DECIMAL(12,2), made TIMESTAMP NOT NULL DEFAULT '2026-01-01 00:00:00');
         INSERT INTO orders (id, total) VALUES (1, 9.50), (2, 20.25); CREATE VIEW dear AS SELECT * FROM orders WHERE total > 10;
         CREATE TABLE \"Mixed Case\" (\"A\" TEXT)",
    );
    people(&project.path("lake/people.parquet"), &[(1, Some("a"), Some(5)), (2, None, None)]);
    project.write("lake/more.csv", "x,y\n1,2\n");
    project.write(
        "p.yaml",
        "version: 1\nname: p\nconnections: {db: 'sqlite:///t.db', lake: {type: file, path: ./lake/}}\nstreams:\n  - {id: s, \
         source: {connection: lake, value: people.parquet}, target: {connection: db, value: people}}\n",
    );
    project
}

#[test]
fn the_information_schema_tells_connections_files_and_buffers() {
    let project = project();
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let sql = "SELECT table_catalog AS c, table_schema AS s, table_name AS t, table_type AS k FROM information_schema.tables \
               WHERE table_schema <> 'information_schema' ORDER BY 1, 2, 3";
    let listed = "c,s,t,k\nbuffer,p,s,BASE TABLE\ndxt,db,Mixed Case,BASE TABLE\ndxt,db,dear,VIEW\ndxt,db,orders,BASE TABLE\n\
                  dxt,lake,more.csv,BASE TABLE\ndxt,lake,people.parquet,BASE TABLE\n";
    assert_eq!(csv(&project, sql, &["p.yaml"]), listed);
    let shown = csv(&project, "SHOW TABLES", &["p.yaml"]);
    assert_eq!(shown.lines().skip(1).collect::<Vec<_>>(), listed.lines().skip(1).collect::<Vec<_>>());
    let one = csv(&project, "SHOW TABLES FROM db LIKE 'o%'", &["p.yaml"]);
    assert_eq!(one, "table_catalog,table_schema,table_name,table_type\ndxt,db,orders,BASE TABLE\n");
    assert!(csv(&project, "SHOW TABLES FROM buffer", &["p.yaml"]).ends_with("\nbuffer,p,s,BASE TABLE\n"));
    let views = csv(&project, "SELECT table_name FROM information_schema.views", &["p.yaml"]);
    assert_eq!(views, "table_name\ndear\n");
    let schemata = csv(&project, "SHOW SCHEMAS", &["p.yaml"]);
    assert_eq!(schemata, "catalog_name,schema_name\nbuffer,p\ndxt,db\ndxt,information_schema\ndxt,lake\n");
    assert_eq!(csv(&project, "SHOW CATALOGS", &["p.yaml"]), "catalog_name\nbuffer\ndxt\n");
    let columns = csv(
        &project,
        "SELECT column_name AS n, ordinal_position AS o, is_nullable AS z, data_type AS t, numeric_precision AS p, \
         numeric_scale AS s, native_type AS native FROM information_schema.columns WHERE table_schema = 'db' AND table_name = \
         'orders' ORDER BY 2",
        &["p.yaml"],
    );
    let orders = "n,o,z,t,p,s,native\nid,1,NO,int64,64,0,INTEGER\ntotal,2,YES,\"decimal(12,2)\",12,2,\"DECIMAL(12,2)\"\n\
                  made,3,NO,timestamp,,,TIMESTAMP\n";
    assert_eq!(columns, orders);
    let buffered = "SELECT column_name FROM information_schema.columns WHERE table_catalog = 'buffer' ORDER BY 1";
    assert_eq!(csv(&project, buffered, &["p.yaml"]), "column_name\nid\nname\nv\n");
    assert!(csv(&project, "SELECT count(*) AS n FROM information_schema.df_settings", &[]).len() > 4);
    assert_eq!(csv(&project, "SHOW timezone", &[]), "name,value\ndatafusion.execution.time_zone,UTC\n");
    let none = project.dxt(&["query", "SELECT * FROM information_schema.nope", "p.yaml"]).exits(1);
    assert!(none.err.contains("its tables: tables, views, columns"), "{}", none.err);
}

#[test]
fn tables_are_described_in_the_types_of_dxt() {
    let project = project();
    let orders = "column_name,data_type,is_nullable,native_type,key\nid,int64,NO,INTEGER,primary\n\
                  total,\"decimal(12,2)\",YES,\"DECIMAL(12,2)\",\nmade,timestamp,NO,TIMESTAMP,\n";
    assert_eq!(csv(&project, "DESCRIBE db.orders", &["p.yaml"]), orders);
    assert_eq!(
        csv(&project, "DESCRIBE 'lake/more.csv'", &[]),
        "column_name,data_type,is_nullable,native_type,key\nx,int64,YES,,\ny,int64,YES,,\n"
    );
    let select = csv(&project, "DESCRIBE SELECT total * 2 AS twice FROM db.orders", &["p.yaml"]);
    assert!(select.contains("\ntwice,\"decimal("), "{select}");
    let shown = csv(&project, "SHOW COLUMNS FROM db.orders LIKE 't%'", &["p.yaml"]);
    assert_eq!(
        shown,
        "table_catalog,table_schema,table_name,column_name,data_type,is_nullable\ndxt,db,orders,total,\"decimal(12,2)\",YES\n"
    );
    assert!(csv(&project, "SHOW COLUMNS FROM 'lake/more.csv'", &[]).contains("dxt,dxt,lake/more.csv,x,int64,YES"));
    for missing in ["DESCRIBE db.nope", "SHOW COLUMNS FROM db.nope", "DESCRIBE nowhere.t"] {
        let ran = project.dxt(&["query", missing, "p.yaml"]).exits(1);
        assert!(ran.err.contains("nope") || ran.err.contains("there is no connection nowhere"), "{}", ran.err);
    }
}

#[test]
fn only_what_a_query_names_is_asked() {
    let project = project();
    let with_dead = ["p.yaml", "--connection", DEAD];
    for sql in [
        "SELECT 1 AS n",
        "SELECT id FROM db.orders",
        "SHOW TABLES FROM db",
        "SHOW SCHEMAS FROM lake",
        "SHOW CATALOGS",
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'dxt' AND table_schema = 'db'",
        "SELECT table_name FROM information_schema.tables WHERE table_catalog <> 'dead'",
        "SELECT table_name FROM information_schema.tables WHERE table_catalog IN ('dxt', 'buffer') AND table_name LIKE 'o%'",
        "SELECT column_name FROM information_schema.columns WHERE table_catalog = 'dxt' AND table_name = 'orders'",
        "SELECT count(*) AS n FROM range(3)",
        "EXPLAIN SELECT * FROM information_schema.tables",
        "DESCRIBE information_schema.columns",
    ] {
        csv(&project, sql, &with_dead);
    }
    for sql in ["SHOW TABLES", "SELECT * FROM information_schema.columns", "SHOW SCHEMAS"] {
        let mut args = vec!["query", sql];
        args.extend(with_dead);
        let ran = project.dxt(&args).exits(1);
        assert!(ran.err.contains("connection error: listing connection dead"), "{sql}: {}", ran.err);
        assert!(ran.err.contains("<> 'dead'"), "{sql}: {}", ran.err);
    }
    let ran =
        project.dxt(&["query", "SELECT * FROM db.orders; SELECT * FROM dead.public.t", "p.yaml", "-c", DEAD]).exits(1);
    assert!(ran.out.contains("20.25") && ran.err.contains("table dead.public.t"), "{}\n{}", ran.out, ran.err);
}

#[test]
fn a_file_that_cannot_be_read_hides_no_other() {
    let project = project();
    project.write("lake/bad.parquet", "no parquet at all");
    let columns = "SELECT table_name AS t, count(*) AS n FROM information_schema.columns WHERE table_schema = 'lake'";
    let ran =
        project.dxt(&["query", &format!("{columns} GROUP BY 1 ORDER BY 1"), "p.yaml", "--format", "csv"]).exits(0);
    assert_eq!(ran.out, "t,n\nmore.csv,2\npeople.parquet,3\n");
    assert!(ran.err.contains("bad.parquet") && ran.err.contains("left out"), "{}", ran.err);
    let other = format!("{columns} AND table_name = 'more.csv' GROUP BY 1");
    let ran = project.dxt(&["query", &other, "p.yaml", "--format", "csv"]).exits(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("t,n\nmore.csv,2\n", ""), "it is not looked at");
    let named = format!("{columns} AND table_catalog = 'dxt' AND table_name = 'bad.parquet' GROUP BY 1");
    let ran = project.dxt(&["query", &named, "p.yaml"]).exits(1);
    assert!(ran.err.contains("bad.parquet is not a whole Parquet file"), "{}", ran.err);
}

#[test]
fn a_servers_schemas_are_listed_and_its_own_information_schema_is_read() {
    let system = System::new(Kind::Postgres);
    let (table, connection) = (system.sql_name("t"), format!("pg={}", env("DXT_TEST_PG_URL")));
    psql(&format!("CREATE TABLE {table} (id bigint PRIMARY KEY, span int4range, name varchar(20) NOT NULL)"));
    let schema = table.split('.').next().unwrap().to_string();
    let rest = ["--connection", &connection];
    let listed = csv(&system.project, &format!("SHOW TABLES FROM pg.{schema}"), &rest);
    assert_eq!(listed, format!("table_catalog,table_schema,table_name,table_type\npg,{schema},t,BASE TABLE\n"));
    let columns = csv(&system.project, &format!("DESCRIBE pg.{table}"), &rest);
    assert_eq!(
        columns,
        "column_name,data_type,is_nullable,native_type,key\nid,int64,NO,bigint,primary\nspan,string,YES,int4range,\n\
         name,string,NO,character varying(20),\n"
    );
    let sql = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_catalog = 'pg' AND table_schema = '{schema}' AND \
         table_name = 't' ORDER BY ordinal_position"
    );
    assert_eq!(csv(&system.project, &sql, &rest), "column_name\nid\nspan\nname\n");
    let own = format!("SELECT count(*) AS n FROM pg.information_schema.columns WHERE table_schema = '{schema}'");
    assert_eq!(csv(&system.project, &own, &rest), "n\n3\n");
    assert!(csv(&system.project, "SHOW SCHEMAS FROM pg", &rest).contains(&format!("pg,{schema}\n")));
}

#[test]
fn an_older_buffer_is_named_by_its_run() {
    let project = project();
    for v in 1..=2 {
        people(&project.path("lake/people.parquet"), &[(v, None, None)]);
        project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    }
    let list = project.dxt(&["buffer", "list", "p.yaml", "--format", "json"]).exits(0).out;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let older = list[1]["run_id"].as_str().unwrap();
    assert_eq!(csv(&project, "SELECT id FROM buffer.p.s", &["p.yaml"]), "id\n2\n");
    for name in [format!("\"s@{older}\""), format!("s@{}", older.replace('-', ""))] {
        assert_eq!(csv(&project, &format!("SELECT id FROM buffer.p.{name}"), &["p.yaml"]), "id\n1\n", "{name}");
    }
    let ran = project.dxt(&["query", "SELECT id FROM buffer.p.s@ffff", "p.yaml"]).exits(1);
    assert!(ran.err.contains("by run ffff") && ran.err.contains(older), "{}", ran.err);
}

#[test]
fn explain_shows_plans_and_changes_nothing() {
    let project = project();
    let explain = |how: &str| project.dxt(&["query", &format!("EXPLAIN {how}"), "p.yaml"]).exits(0).out;
    assert!(explain("SELECT id FROM db.orders WHERE id > 1").contains("SELECT \"id\""));
    assert!(explain("FORMAT tree SELECT id FROM db.orders").contains("┌──"));
    let analyzed = explain("ANALYZE SELECT id FROM db.orders");
    assert!(analyzed.contains("output_rows=2"), "{analyzed}");
    let insert = "INSERT INTO db.orders SELECT 9, 1.5, TIMESTAMP '2026-01-01 00:00:00'";
    let plan = explain(insert);
    assert!(plan.contains("LoadExec: target=db.orders, mode=append"), "{plan}");
    assert!(explain("COPY db.orders TO 'x.parquet'").contains("LoadExec"));
    assert!(!project.path("x.parquet").exists());
    let refused = project.dxt(&["query", &format!("EXPLAIN ANALYZE {insert}"), "p.yaml"]).exits(2);
    assert!(refused.err.contains("EXPLAIN ANALYZE INSERT changes data"), "{}", refused.err);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM orders"), "2");
    project.dxt(&["query", "--write", &format!("EXPLAIN ANALYZE {insert}"), "p.yaml"]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM orders"), "3");
}

#[test]
fn sql_comes_as_an_argument_from_a_file_or_by_stdin() {
    let project = project();
    let sql = "SELECT count(*) AS n FROM db.orders";
    let expected = "n\n2\n";
    for args in [
        vec!["query", "p.yaml", "--format", "csv"],
        vec!["query", "-", "p.yaml", "--format", "csv"],
        vec!["query", "--format", "csv", "--connection", "db=sqlite:///t.db"],
    ] {
        assert_eq!(piped(&project, &args, sql).exits(0).out, expected, "{args:?}");
    }
    let commented = format!("-- orders --x\n{sql}");
    assert_eq!(project.dxt(&["query", &commented, "p.yaml", "--format", "csv"]).exits(0).out, expected);
    // Paths in a file start where the file is.
    project.write("reports/one.sql", &format!("-- orders\n{sql};\nSELECT count(*) AS n FROM '../lake/more.csv';\n"));
    let both = project.dxt(&["query", "-f", "reports/one.sql", "p.yaml", "--format", "csv"]).exits(0);
    assert_eq!(both.out, "n\n2\n\nn\n1\n");
    project.write("proj/dxt_project.yaml", "version: 1\nconnections: {mine: 'sqlite:///../t.db'}\n");
    assert_eq!(csv(&project, "SELECT count(*) AS n FROM mine.orders", &["--project", "proj"]), expected);
    for (args, said) in [
        (vec!["query", "-f", "csv", "SELECT 1"], "not both"),
        (vec!["query", "-f", "csv"], "the format is --format csv"),
        (vec!["query", "SELECT 1", "p.yaml", "-f", "reports/one.sql"], "the SQL is given twice"),
        (vec!["query", "SELECT 1", "--project", "lake"], "there is no dxt_project.yaml in lake"),
    ] {
        let ran = project.dxt(&args).exits(2);
        assert!(ran.err.contains(said), "{args:?}: {}", ran.err);
    }
    assert!(piped(&project, &["query", "p.yaml"], " -- nothing\n;").exits(1).err.contains("there is no SQL statement"));
}

#[test]
fn statements_run_in_order_up_to_the_first_that_fails() {
    let project = project();
    let two = "SELECT 1 AS a;\n\nSELECT nope FROM db.orders;\nSELECT 3 AS c";
    let ran = project.dxt(&["query", two, "p.yaml", "--format", "csv"]).exits(1);
    assert_eq!(ran.out, "a\n1\n");
    assert!(ran.err.contains("statement 2 (line 3): ") && ran.err.contains("nope"), "{}", ran.err);
    // What does not parse is found before anything runs.
    let ran = project.dxt(&["query", "--write", "INSERT INTO db.orders (id) VALUES (3);\nSELEC 1", "p.yaml"]).exits(1);
    assert!(ran.err.contains("statement 2 (line 2): "), "{}", ran.err);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM orders"), "2");
    let views = "CREATE VIEW big AS SELECT * FROM db.orders WHERE total > 10; SELECT id FROM big; DROP VIEW big; SELECT * FROM big";
    let ran = project.dxt(&["query", views, "p.yaml", "--format", "csv"]).exits(1);
    assert_eq!(ran.out, "id\n2\n");
    assert!(ran.err.contains("statement 4") && ran.err.contains("there is no table big"), "{}", ran.err);
    let set = "SET datafusion.execution.batch_size = 17; SHOW datafusion.execution.batch_size";
    assert!(csv(&project, set, &[]).ends_with("datafusion.execution.batch_size,17\n"));
    let ran = project.dxt(&["query", "SET datafusion.catalog.information_schema = true"]).exits(1);
    assert!(ran.err.contains("cannot be set here"), "{}", ran.err);
    let json = project.dxt(&["query", "SELECT 1 AS a; SELECT 2 AS b", "--format", "json"]).exits(0).out;
    assert_eq!(json, "[{\"a\":1}]\n[{\"b\":2}]\n");
}

#[test]
fn rows_are_written_in_every_format() {
    let project = project();
    let sql = "SELECT id, name, v FROM lake.\"people.parquet\" ORDER BY id";
    let markdown = project.dxt(&["query", sql, "p.yaml", "--format", "markdown"]).exits(0).out;
    assert_eq!(markdown, "| id | name | v |\n| ---: | --- | ---: |\n| 1 | a | 5 |\n| 2 | NULL | NULL |\n");
    for name in ["x.parquet", "x.arrow", "x.csv", "x.csv.gz", "x.json", "x.jsonl", "x.md"] {
        project.dxt(&["query", sql, "p.yaml", "--output", name]).exits(0);
    }
    for format in ["parquet", "arrow"] {
        let shell = format!("{} query \"$0\" p.yaml --format {format} > stdout.{format}", env!("CARGO_BIN_EXE_dxt"));
        let done = Command::new("sh").args(["-c", &shell, sql]).current_dir(project.root()).status().unwrap();
        assert!(done.success());
    }
    let program = r#"
import sys, csv, gzip, json, pyarrow.parquet as pq, pyarrow.ipc as ipc
root = sys.argv[1] + "/"
show = lambda rows: print([[r["id"], r["name"], r["v"]] for r in rows])
for f in ["x.parquet", "stdout.parquet"]: show(pq.read_table(root + f).to_pylist())
show(ipc.open_file(root + "x.arrow").read_all().to_pylist())
show(ipc.open_stream(root + "stdout.arrow").read_all().to_pylist())
show(json.load(open(root + "x.json")))
show([json.loads(l) for l in open(root + "x.jsonl")])
print(open(root + "x.csv").read() == gzip.open(root + "x.csv.gz", "rt").read() == "id,name,v\n1,a,5\n2,,\n")
"#;
    let said = python(program, &[&project.root().to_string_lossy()]);
    let expected = "[[1, 'a', 5], [2, None, None]]\n".repeat(6) + "True";
    assert_eq!(said, expected);
    assert_eq!(project.read("x.md"), markdown);
}

/// The names in the project's folder that were not there before.
fn strays(project: &Project) -> Vec<String> {
    let names = std::fs::read_dir(project.root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !["t.db", "lake", "p.yaml"].contains(&name.as_str())).collect();
    names.sort();
    names
}

#[test]
fn an_output_takes_its_place_when_it_is_whole() {
    let project = project();
    project.write("x.csv", "old");
    // The second batch fails, when the first is written.
    let fails = "SELECT 100 / (50000 - value) AS n FROM range(0, 100000)";
    for name in ["x.csv", "x.parquet", "x.json"] {
        project.dxt(&["query", fails, "--output", name]).exits(1);
    }
    project.dxt(&["query", &format!("COPY ({fails}) TO 'x.csv'"), "--write"]).exits(1);
    assert_eq!((project.read("x.csv").as_str(), strays(&project)), ("old", vec!["x.csv".to_string()]));
    let endless = "WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n) SELECT n FROM n";
    for args in [
        vec!["query", endless, "--output", "x.csv"],
        vec![
            "query",
            "--write",
            "COPY (WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n) SELECT n FROM n) TO 'x.csv'",
        ],
    ] {
        let running = Running::start(&project, &args);
        wait_for("the file in the making", || strays(&project).len() > 1);
        running.signal("INT");
        running.ends_within(Duration::from_secs(5)).exits(130);
        assert_eq!((project.read("x.csv").as_str(), strays(&project)), ("old", vec!["x.csv".to_string()]), "{args:?}");
    }
    for (args, said) in [
        (vec!["query", "SELECT 1", "--output", "x.xlsx"], "does not say its format"),
        (vec!["query", "SELECT 1; SELECT 2", "--output", "x.csv"], "2 statements give rows"),
        (vec!["query", "SELECT 1; SELECT 2", "--format", "parquet"], "2 statements give rows"),
        (vec!["query", "SET datafusion.execution.batch_size = 7", "--output", "x.csv"], "no statement gives rows"),
    ] {
        let ran = project.dxt(&args).exits(2);
        assert!(ran.err.contains(said), "{args:?}: {}", ran.err);
    }
    for (path, said) in [("lake", "is a folder"), ("/dev/null", "is no file")] {
        let ran = project.dxt(&["query", "SELECT 1 AS n", "--output", path, "--format", "csv"]).exits(1);
        assert!(ran.err.contains(said), "{path}: {}", ran.err);
    }
    let copied = project.dxt(&["query", "--write", "COPY (SELECT 1 AS n) TO '/dev/null' STORED AS CSV"]).exits(1);
    assert!(copied.err.contains("is no file"), "{}", copied.err);
    project.dxt(&["query", "SELECT 1 AS n", "--output", "x.csv"]).exits(0);
    assert_eq!(project.read("x.csv"), "n\n1\n");
}

#[test]
fn what_changes_data_needs_leave() {
    let project = project();
    for sql in [
        "INSERT INTO db.orders (id) VALUES (3)",
        "INSERT OVERWRITE db.orders (id) VALUES (3)",
        "COPY db.orders TO 'x.parquet'",
        "SELECT 1; INSERT INTO db.orders (id) VALUES (3)",
    ] {
        for read_only in [vec![], vec!["--read-only"]] {
            let mut args = vec!["query", sql, "p.yaml"];
            args.extend(read_only);
            let ran = project.dxt(&args).exits(2);
            assert!(ran.err.contains("changes data") && ran.err.contains("--write"), "{sql}: {}", ran.err);
            assert_eq!(ran.out, "", "nothing runs");
        }
    }
    for sql in [
        "CREATE TABLE db.new AS SELECT 1 AS n",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION 'lake/more.csv'",
        "DROP TABLE db.orders",
        "DELETE FROM db.orders",
        "UPDATE db.orders SET total = 0",
        "TRUNCATE TABLE db.orders",
        "BEGIN",
    ] {
        let ran = project.dxt(&["query", "--write", sql, "p.yaml"]).exits(2);
        assert!(ran.err.contains("is no statement that dxt runs") && ran.err.contains("hint: "), "{sql}: {}", ran.err);
    }
    let ran = project.dxt(&["query", "--write", "SELECT * INTO db.new FROM db.orders", "p.yaml"]).exits(1);
    assert!(ran.err.contains("would change something"), "{}", ran.err);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*), sum(total) FROM orders"), "2|29.75");
    assert_eq!(strays(&project), Vec::<String>::new());
}

#[test]
fn an_insert_is_a_load_with_all_its_checks() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let system = System::new(kind);
        let project = &system.project;
        let (name, connection) = (system.sql_name("t"), system.connection().trim_matches('\'').to_string());
        let ddl = format!(
            "CREATE TABLE {name} (id BIGINT PRIMARY KEY, total DECIMAL(12,2), day DATE NOT NULL DEFAULT '2026-01-01', twice BIGINT \
             GENERATED ALWAYS AS (id * 2) STORED)"
        );
        match kind {
            Kind::Sqlite => sqlite3(&project.path("t.db"), &ddl),
            _ => psql(&ddl),
        };
        let given = format!("sys={connection}");
        let target = format!("sys.{name}");
        let query =
            |sql: &str| project.dxt(&["query", "--write", &sql.replace("TARGET", &target), "--connection", &given]);
        let rows = || system.rows("t");

        let ran = query("INSERT INTO TARGET VALUES (1, 9.5, '2026-02-01'), (2, NULL, '2026-02-02')").exits(0);
        assert!(ran.out.starts_with("2 rows inserted into sys."), "{}", ran.out);
        query("INSERT INTO TARGET (id, total) SELECT id + 2, 1 FROM TARGET").exits(0);
        let four = ["1|9.50|2026-02-01|2", "2|NULL|2026-02-02|4", "3|1.00|2026-01-01|6", "4|1.00|2026-01-01|8"];
        let four = four
            .map(|row| if kind == Kind::Sqlite { row.replace("9.50", "9.5").replace("1.00", "1") } else { row.into() });
        assert_eq!(rows(), four, "{kind:?}");

        // All or nothing, and never another value.
        for (sql, said) in [
            ("INSERT INTO TARGET VALUES (5, 1, '2026-02-01'), (6, 1.005, '2026-02-01')", "total"),
            ("INSERT INTO TARGET VALUES (5, 1, '2026-02-30')", "day"),
            ("INSERT INTO TARGET VALUES (9223372036854775808, 1, '2026-02-01')", "id"),
            ("INSERT INTO TARGET VALUES (5, 1, NULL)", "day"),
            (
                "INSERT INTO TARGET SELECT value, 1, '2026-02-01' FROM range(5, 90000) UNION ALL SELECT 1, 1, '2026-02-01'",
                "",
            ),
            ("INSERT INTO TARGET (id, nope) VALUES (5, 1)", "has no column nope"),
            ("INSERT INTO TARGET VALUES (5, 1)", "the query has 2 columns"),
            ("INSERT INTO TARGET SELECT total, day, id FROM TARGET", "in another order"),
            ("INSERT INTO TARGET (id, total) SELECT true, now()", ""),
            ("INSERT INTO TARGET (id, id) VALUES (5, 5)", "two columns are called id"),
            ("INSERT INTO TARGET (id) VALUES (5) RETURNING id", "RETURNING"),
            ("INSERT INTO TARGET (id) VALUES (5) ON CONFLICT DO NOTHING", "takes no ON"),
            ("INSERT INTO sys.nope VALUES (1)", "there is no table sys.nope"),
        ] {
            let ran = query(sql).exits(1);
            assert!(ran.err.contains(said), "{kind:?} {sql}: {}", ran.err);
            assert_eq!(rows(), four, "{kind:?} {sql}");
        }

        let counted = project.dxt(&[
            "query",
            "--write",
            &format!(
                "REPLACE INTO {target} VALUES (1, 7, '2026-03-01'), (2, NULL, '2026-02-02'), (5, 5, '2026-03-05')"
            ),
            "--connection",
            &given,
            "--format",
            "json",
        ]);
        let counted = counted.exits(0).out;
        assert_eq!(counted, "[{\"rows\":3,\"inserted\":1,\"updated\":1,\"unchanged\":1}]\n", "{kind:?}");
        assert_eq!(rows().len(), 5);
        assert!(query("REPLACE INTO TARGET (id) VALUES (1)").exits(1).err.contains("takes whole rows"));
        let ran = query("INSERT OVERWRITE TARGET VALUES (7, 7, '2026-07-07')").exits(0);
        assert!(ran.out.starts_with("1 row written to sys."), "{}", ran.out);
        assert_eq!(rows().len(), 1, "{kind:?}");
    }
}

#[test]
fn a_copy_writes_a_file_or_a_part() {
    let project = project();
    let write = |sql: &str| project.dxt(&["query", "--write", sql, "p.yaml"]);
    let ran = write("COPY db.orders TO 'out/orders.parquet'").exits(0);
    assert_eq!(ran.out, "2 rows written to 'out/orders.parquet'\n");
    write(
        "COPY (SELECT id, total FROM db.orders ORDER BY id) TO 'out/x.csv' OPTIONS (delimiter ';', 'format.null' 'NA')",
    )
    .exits(0);
    assert_eq!(project.read("out/x.csv"), "id;total\n1;9.50\n2;20.25\n");
    write("COPY (SELECT 1 AS n) TO 'out/x.csv'").exits(0);
    assert_eq!(project.read("out/x.csv"), "n\n1\n");
    write("COPY (SELECT 1 AS n) TO 'out/lines' STORED AS JSON").exits(0);
    assert_eq!(project.read("out/lines"), "{\"n\":1}\n");
    let program = "import sys, pyarrow.parquet as pq\nt = pq.read_table(sys.argv[1] + '/out/orders.parquet')\n\
                   print(t.schema.field('total').type, t.num_rows)";
    assert_eq!(python(program, &[&project.root().to_string_lossy()]), "decimal128(12, 2) 2");

    write("COPY (SELECT 1 AS n) TO 'parts/'").exits(0);
    let again = write("COPY (SELECT 2 AS n) TO 'parts/'").exits(1);
    assert!(again.err.contains("has rows already") && again.err.contains("mode append"), "{}", again.err);
    write("COPY (SELECT 2 AS n) TO 'parts/' OPTIONS (mode append)").exits(0);
    write("INSERT INTO 'parts/' SELECT 3").exits(0);
    assert_eq!(csv(&project, "SELECT n FROM 'parts/' ORDER BY n", &[]), "n\n1\n2\n3\n");
    write("COPY (SELECT 9 AS n) TO 'parts/' OPTIONS (mode replace)").exits(0);
    assert_eq!(csv(&project, "SELECT n FROM 'parts/' ORDER BY n", &[]), "n\n9\n");
    write("INSERT OVERWRITE lake.\"made.csv\" SELECT 1 AS a").exits(0);
    assert_eq!(project.read("lake/made.csv"), "a\n1\n");

    for (sql, said) in [
        ("COPY (SELECT 1 AS n) TO 'x.csv' OPTIONS (delimeter ';')", "did you mean delimiter?"),
        ("COPY (SELECT 1 AS n) TO 'x'", "does not say its format"),
        ("COPY (SELECT 1 AS n) TO 'x.csv' STORED AS CSV OPTIONS (format 'csv')", "format twice"),
        ("COPY (SELECT 1 AS n) TO 'x/' PARTITIONED BY (n)", "no folders of partitions"),
        ("COPY (SELECT a.id, b.id FROM db.orders a, db.orders b) TO 'x.csv'", "two columns are called id"),
        ("INSERT INTO 'out/x.csv' SELECT 1", "is one file"),
        ("INSERT INTO buffer.p.s SELECT 1", "is a buffer"),
    ] {
        let ran = write(sql).exits(1);
        assert!(ran.err.contains(said), "{sql}: {}", ran.err);
    }
    assert_eq!(strays(&project), ["out", "parts"]);
}

#[test]
fn a_statement_that_is_killed_leaves_its_target_as_it_was() {
    let project = project();
    project.write("x.csv", "old");
    for (sql, point) in [
        ("INSERT INTO db.orders (id) SELECT value FROM range(10, 50000)", "plan.verified"),
        ("COPY db.orders TO 'x.csv'", "file.replace.before"),
    ] {
        let vars = [("DXT_FAILPOINT", format!("{point}=kill@1"))];
        let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let ran = project.dxt_with(&["query", "--write", sql, "p.yaml"], &vars);
        assert_eq!(ran.code, -1, "{sql} passes {point}: {}", ran.err);
        assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM orders"), "2", "{sql}");
        assert_eq!(project.read("x.csv"), "old", "{sql}");
    }
}

#[test]
fn files_and_urls_stand_in_from() {
    let project = project();
    people(&project.path("lake/sub/people.parquet"), &[(3, None, None)]);
    for (from, ids) in [
        ("'lake/people.parquet'", "1 2"),
        ("'lake/**/*.parquet'", "1 2 3"),
        ("'lake/sub/'", "3"),
        ("'./lake/{sub,none}/people.parquet'", "3"),
    ] {
        let found = csv(&project, &format!("SELECT id FROM {from} ORDER BY id"), &[]);
        assert_eq!(found.lines().skip(1).collect::<Vec<_>>().join(" "), ids, "{from}");
    }
    let url = format!("file://{}/lake/more.csv", project.root().display());
    assert_eq!(csv(&project, &format!("SELECT x FROM '{url}'"), &[]), "x\n1\n");
    let (port, _) = crate::support::web("a,b\n1,2\n".into(), crate::support::Harm::Status(0, ""));
    assert_eq!(csv(&project, &format!("SELECT b FROM 'http://127.0.0.1:{port}/x.csv'"), &[]), "b\n2\n");
    let ran = project.dxt(&["query", "SELECT * FROM 'lake/*.arrow'"]).exits(1);
    assert!(ran.err.contains("*.arrow"), "{}", ran.err);
}

#[test]
fn objects_are_read_and_written_with_credentials_of_the_environment() {
    let project = project();
    let bucket = format!("query-{}", std::process::id());
    let boto = |code: &str| boto(code, &bucket);
    boto("s3.create_bucket(Bucket=b)");
    let endpoint = env("DXT_TEST_S3_ENDPOINT");
    let vars = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
        ("AWS_REGION", "us-east-1"),
    ];
    let copy = format!("COPY db.orders TO 's3://{bucket}/a/orders.parquet'");
    project.dxt_with(&["query", "--write", &copy, "p.yaml"], &vars).exits(0);
    let output = format!("s3://{bucket}/a/x.csv");
    let from = format!("SELECT id FROM 's3://{bucket}/a/orders.parquet' ORDER BY id");
    project.dxt_with(&["query", &from, "--output", &output], &vars).exits(0);
    assert_eq!(boto("print(s3.get_object(Bucket=b, Key='a/x.csv')['Body'].read().decode(), end='')"), "id\n1\n2");
    let fails = "SELECT 100 / (50000 - value) AS n FROM range(0, 100000)";
    project.dxt_with(&["query", fails, "--output", &output], &vars).exits(1);
    assert_eq!(boto("print(s3.get_object(Bucket=b, Key='a/x.csv')['Body'].read().decode(), end='')"), "id\n1\n2");
    assert_eq!(boto("print(len(s3.list_multipart_uploads(Bucket=b).get('Uploads', [])))"), "0");
}
