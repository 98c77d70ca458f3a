//! Variables of SQL: bound as typed values, pushed to the source, and a part of what a buffer depends on.

use crate::support::{Kind, Project, System, env, people, psql, sqlite3};

const HEAD: &str = "version: 1\nname: p\nconnections: {files: {type: file, path: .}, db: 'sqlite:///t.db'}\ntarget: {connection: db}\n";

/// A project with `in.parquet`: id, name, v.
fn project() -> Project {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("Ada"), Some(10)), (2, Some("it's"), Some(20)), (3, None, None)]);
    project
}

fn ids(project: &Project) -> String {
    sqlite3(&project.path("t.db"), "SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)")
}

/// The statements that the server has logged since `mark`.
fn sent_since(mark: &str) -> String {
    let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
    log.rsplit_once(mark).expect("the mark").1.to_string()
}

#[test]
fn a_variable_reaches_the_server_as_a_typed_condition() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("events");
    psql(&format!(
        "CREATE TABLE {table} (id bigint PRIMARY KEY, day date, at timestamptz, amount numeric(12,2), note text); INSERT INTO {table} \
         SELECT i, DATE '2026-01-01' + i, TIMESTAMPTZ '2026-01-01 00:00Z' + i * interval '1 day', i, 'n' || i FROM generate_series(1, 9) i"
    ));
    let yaml = |rest: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\ntarget: {{connection: db}}\n{rest}",
            system.connection()
        )
    };
    let query = |condition: &str| {
        format!(
            "{{id: s, target: t, load: {{mode: replace}}, source: {{type: query, sql: 'SELECT id FROM pg.{table} WHERE {condition}'}}}}"
        )
    };
    let vars = "vars: {d: date, n: {type: int32}, t: timestamp_tz, x: decimal, s: string}\n";
    for (i, (stream, var, expected, ids_of)) in [
        (query("day >= $d"), "d=2026-01-09", "2026-01-09", "8,9"),
        (query("at >= $d"), "d=2026-01-09", "2026-01-09 00:00:00", "8,9"),
        (query("at > $t"), "t=2026-01-09T00:00:00Z", "2026-01-09 00:00:00", "9"),
        (query("amount = $x"), "x=7.5", "7.5", "NULL"),
        (query("amount = $x"), "x=7", "7", "7"),
        (query("note = $s AND id > 0"), "s=n3", "n3", "3"),
        (query("id IN ($n, 2)"), "n=4", "4", "2,4"),
        (format!("{{id: s, target: t, load: {{mode: replace}}, source: {{connection: pg, value: '{table}'}}, fields: [id], criteria: {{where: 'day < $d'}}}}"), "d=2026-01-03", "2026-01-03", "1"),
    ]
    .into_iter()
    .enumerate()
    {
        // Declared, and with the type of the column.
        for vars in [vars, ""] {
            let mark = format!("mark {table} {i} {}", vars.len());
            system.project.write("p.yaml", &yaml(&format!("{vars}streams:\n  - {stream}\n")));
            psql(&format!("SELECT $m${mark}$m$"));
            system.project.dxt(&["run", "p.yaml", "--quiet", "--var", var]).exits(0);
            let sent = sent_since(&mark);
            let copied = sent.lines().find(|line| line.contains("COPY") && line.contains("events")).unwrap_or_else(|| panic!("{sent}"));
            assert!(copied.contains("WHERE") && copied.contains(expected), "{var}: {copied}");
            assert_eq!(ids(&system.project), ids_of, "{var} {vars}");
        }
    }
}

#[test]
fn a_hostile_value_arrives_as_that_text() {
    let project = project();
    project.write(
        "p.yaml",
        &format!("{HEAD}streams:\n  - {{id: s, target: t, load: {{mode: replace}}, source: {{type: query, sql: 'SELECT id, $x AS x FROM files.\"in.parquet\" WHERE name <> $x'}}}}\n"),
    );
    for hostile in ["'; DROP TABLE t; --", "' OR '1'='1", "it's", "$x", "{{x}} ${HOME}", "\\", "日本\n\"", ""] {
        project.dxt(&["run", "p.yaml", "--quiet", "--var", &format!("x={hostile}")]).exits(0);
        let stored = sqlite3(&project.path("t.db"), "SELECT DISTINCT hex(x) FROM t");
        let expected: String = hostile.bytes().map(|b| format!("{b:02X}")).collect();
        assert_eq!(stored, expected, "{hostile}");
        assert_eq!(ids(&project), if hostile == "it's" { "1" } else { "1,2" }, "{hostile}");
    }
}

#[test]
fn a_hostile_value_is_text_for_the_server_too() {
    let system = System::new(Kind::Postgres);
    let table = system.sql_name("t");
    psql(&format!(
        "CREATE TABLE {table} (id int, s text); INSERT INTO {table} VALUES (1, $x$'; DROP TABLE x; --$x$), (2, 'b')"
    ));
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - {{id: s, target: {{connection: db, value: t}}, \
         load: {{mode: replace}}, source: {{type: query, sql: 'SELECT id FROM pg.{table} WHERE s = $s'}}}}\n",
        system.connection()
    );
    system.project.write("p.yaml", &yaml);
    system.project.dxt(&["run", "p.yaml", "--quiet", "--var", "s='; DROP TABLE x; --"]).exits(0);
    assert_eq!((ids(&system.project), psql(&format!("SELECT count(*) FROM {table}"))), ("1".into(), "2".into()));
}

#[test]
fn values_that_are_missing_unused_or_wrong_are_errors_with_their_place() {
    let project = project();
    let sql = "/* dxt\nconnections: {files: {type: file, path: .}, db: 'sqlite:///t.db'}\ntarget: {connection: db, value: t}\nmode: replace\nVARS*/\n\
               SELECT id FROM files.\"in.parquet\"\nWHERE v >= $least AND DATE '2026-01-01' < $day";
    let of = |vars: &str| project.write("f.sql", &sql.replace("VARS", vars));
    of("");
    let run = |args: &[&str]| project.dxt(&[&["run", "f.sql", "--quiet"], args].concat());
    let ran = run(&[]).exits(2);
    assert!(
        ran.err.contains("f.sql:7:12: stream f: the variable $least has no value … give it by `--var least=…`"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("f.sql:7:43: stream f: the variable $day has no value"), "{}", ran.err);
    assert!(!project.path("t.db").exists());
    // A name that no pipeline declares may be misspelt, so it is found without values, too.
    assert!(project.dxt(&["validate", "f.sql"]).exits(2).err.contains("$least has no value"));
    project.dxt(&["list", "f.sql"]).exits(0);
    let ran = run(&["--var", "least=1", "--var", "dya=2026-01-01"]).exits(2);
    assert!(ran.err.contains("--var dya: no SQL names $dya") && ran.err.contains("did you mean day?"), "{}", ran.err);
    assert!(run(&["--var", "least=1", "--var", "least=2"]).exits(2).err.contains("--var least is given twice"));
    assert!(run(&["--var", "least"]).exits(2).err.contains("NAME=VALUE"));
    let ran = run(&["--var", "least=1", "--var", "day=tomorrow"]).exits(1);
    assert!(ran.err.contains("the variable day is `tomorrow`, which is no date"), "{}", ran.err);

    of("vars: {day: date, least: {type: int64, default: 15}}\n");
    project.dxt(&["validate", "f.sql"]).exits(0);
    assert!(run(&[]).exits(2).err.contains("the variable $day has no value"));
    let ran = run(&["--var", "day=tomorrow"]).exits(2);
    assert!(ran.err.contains("--var day: the variable day is `tomorrow`, which is no date"), "{}", ran.err);
    run(&["--var", "day=2026-01-02"]).exits(0);
    assert_eq!(ids(&project), "2");
    run(&["--var", "day=2026-01-02", "--var", "least=5"]).exits(0);
    assert_eq!(ids(&project), "1,2");

    for (vars, said) in [
        ("vars: {day: dat}\n", "f.sql:5:13: unknown type `dat` … did you mean date?"),
        ("vars: {day: {type: date, default: soon}}\n", "f.sql:5:35: the variable day is `soon`, which is no date"),
        ("vars: {1day: date}\n", "f.sql:5:8: the variable 1day: a variable's name"),
        ("vars: [day]\n", "f.sql:5:7: vars must be a map of names"),
        ("vars: {day: {typ: date}}\n", "f.sql:5:14: unknown key typ … did you mean type?"),
    ] {
        of(vars);
        let ran = run(&["--var", "least=1", "--var", "day=2026-01-02"]).exits(2);
        assert!(ran.err.contains(said), "{vars}: {}", ran.err);
    }
}

#[test]
fn variables_are_bound_in_criteria_and_expressions_too() {
    let project = project();
    project.write(
        "p.yaml",
        &format!(
            "{HEAD}vars: {{least: {{default: 15}}, mark: {{type: string, default: none}}}}\nstreams:\n  - id: s\n    source: {{connection: files, value: in.parquet}}\n    \
             target: t\n    load: {{mode: replace}}\n    criteria: {{where: 'v >= $least'}}\n    fields: [id, {{id: mark, source: {{expression: \"$mark || ' ' || id\"}}}}]\n"
        ),
    );
    project.dxt(&["run", "p.yaml", "--quiet", "--var", "mark=it's"]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT id, mark FROM t"), "2|it's 2");
    let plan = project.dxt(&["explain", "p.yaml", "--var", "least=3"]).exits(0).out;
    assert!(plan.contains("variable: least = 3\nvariable: mark = none (string)\n"), "{plan}");
    assert!(plan.contains("v >= Int64(3)"), "{plan}");
}

#[test]
fn only_the_streams_that_run_need_their_variables() {
    let project = project();
    project.write(
        "p.yaml",
        &format!("{HEAD}load: {{mode: replace}}\nstreams:\n  - {{id: a, target: a, source: {{type: query, sql: SELECT 1 AS id}}}}\n  - {{id: b, target: t, source: {{type: query, sql: SELECT $n AS id}}}}\n"),
    );
    project.dxt(&["run", "p.yaml", "--quiet", "--select", "a"]).exits(0);
    project.dxt(&["run", "p.yaml", "--quiet"]).exits(2);
    project.dxt(&["test", "p.yaml"]).exits(0);
    project.dxt(&["query", "SELECT * FROM db.a", "p.yaml"]).exits(0);
}

#[test]
fn sql_of_the_source_takes_no_variables_and_says_what_does() {
    let system = System::new(Kind::Postgres);
    let yaml = |sql: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{pg: {}, db: 'sqlite:///t.db'}}\nstreams:\n  - {{id: s, target: {{connection: db, value: t}}, load: {{mode: replace}}, \
             source: {{connection: pg, type: sql, sql: \"{sql}\"}}, criteria: {{where: 'id > $n'}}}}\n",
            system.connection()
        )
    };
    system.project.write("p.yaml", &yaml("SELECT id FROM generate_series(1, 5) id WHERE id < $n"));
    let ran = system.project.dxt(&["run", "p.yaml", "--var", "n=2", "--quiet"]).exits(2);
    assert!(
        ran.err.contains("$n stands in SQL that the source runs as it is") && ran.err.contains("criteria: {where: …}"),
        "{}",
        ran.err
    );
    // What only looks like one is the system's own: a text between dollar signs, and names in quotes.
    system.project.write("p.yaml", &yaml("SELECT id, $n$x$n$ AS t, '$n' AS u FROM generate_series(1, 5) id"));
    let mark = format!("mark {}", system.sql_name("x"));
    psql(&format!("SELECT $m${mark}$m$"));
    system.project.dxt(&["run", "p.yaml", "--var", "n=3", "--quiet"]).exits(0);
    assert_eq!(sqlite3(&system.project.path("t.db"), "SELECT id, t, u FROM t"), "4|x|$n\n5|x|$n");
    let sent = sent_since(&mark);
    assert!(sent.contains("AS dxt_source WHERE \"id\" > 3"), "{sent}");
}

#[test]
fn a_buffer_of_another_value_is_not_loaded() {
    let project = project();
    project.write(
        "p.yaml",
        &format!("{HEAD}streams:\n  - {{id: s, target: t, load: {{mode: replace}}, source: {{type: query, sql: 'SELECT id FROM files.\"in.parquet\" WHERE v >= $least'}}}}\n"),
    );
    project.dxt(&["extract", "p.yaml", "--quiet", "--var", "least=15"]).exits(0);
    let ran = project.dxt(&["load", "p.yaml", "--quiet", "--var", "least=5"]).exits(1);
    assert!(ran.err.contains("variable least was `15` and is `5`"), "{}", ran.err);
    project.dxt(&["load", "p.yaml", "--quiet"]).exits(2);
    project.dxt(&["load", "p.yaml", "--quiet", "--var", "least=15"]).exits(0);
    assert_eq!(ids(&project), "2");
}

#[test]
fn a_query_of_the_command_line_takes_variables() {
    let project = project();
    let sql = "SELECT id FROM 'in.parquet' WHERE v >= $least AND name <> $name";
    let ran = project.dxt(&["query", sql, "--var", "least=15", "--var", "name='; --", "--format", "csv"]).exits(0);
    assert_eq!(ran.out, "id\n2\n");
    assert!(project.dxt(&["query", sql, "--var", "least=15"]).err.contains("the variable name has no value"));
    assert!(project.dxt(&["query", sql, "--var", "leest=15"]).exits(2).err.contains("did you mean least?"));
}

#[test]
fn a_folders_variables_are_for_all_of_its_pipelines() {
    let project = project();
    project.write("t/dxt_project.yaml", "connections: {db: 'sqlite:///../t.db'}\ntarget: {connection: db}\nload: {mode: replace}\nvars: {n: {type: int32, default: 1}}\n");
    project.write("t/a.sql", "/* dxt target: a */ SELECT $n AS n");
    project.write("t/b.sql", "/* dxt {target: b, vars: {n: {type: string, default: x}}} */ SELECT $n AS n, $m AS m");
    project.write("t/c.sql", "/* dxt target: c */ SELECT 1 AS n");
    let ran = project.dxt(&["run", "t", "--quiet"]).exits(2);
    assert!(ran.err.contains("t/b.sql:1:78: stream b: the variable $m has no value"), "{}", ran.err);
    project.dxt(&["run", "t", "--quiet", "--var", "m=m"]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT a.n, typeof(a.n), b.n, b.m FROM a, b"), "1|integer|x|m");
    project.dxt(&["run", "t", "--quiet", "--var", "m=m", "--var", "n=7"]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT a.n, b.n FROM a, b"), "7|7");
    assert!(
        project
            .dxt(&["run", "t", "--quiet", "--var", "m=m", "--var", "k=7"])
            .exits(2)
            .err
            .contains("--var k: no SQL names $k")
    );
}
