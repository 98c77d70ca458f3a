//! `dxt sql` as a person at a terminal has it, and as a script.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Project, Ran, Running, Typist, env, measured_script, people, psql, ran, sqlite3, wait_for};

const DB: [&str; 2] = ["--connection", "db=sqlite:///shop.db"];
/// A statement that comes to no end.
const ENDLESS: &str = "SELECT count(*) FROM (SELECT unnest(range(0, 1000000)) AS x) a, (SELECT unnest(range(0, 1000000)) AS x) b WHERE a.x + b.x < 0;";
/// Rows that come to no end.
const ROWS: &str = "WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n) SELECT n FROM n;";

/// A project with two tables of SQLite, and a Parquet file.
fn project() -> Project {
    let project = Project::new();
    sqlite3(
        &project.path("shop.db"),
        "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, total DECIMAL(10, 2) NOT NULL, \"Placed At\" TEXT); \
         CREATE TABLE customers (customer_id INTEGER, city TEXT); \
         INSERT INTO orders VALUES (1, 10.5, 'may'), (2, 20.25, 'june'); INSERT INTO customers VALUES (7, 'Graz')",
    );
    people(&project.path("people.parquet"), &[(1, Some("a"), Some(1))]);
    project
}

/// Runs `dxt sql` with a script on stdin.
fn batch(project: &Project, args: &[&str], script: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
    command.arg("sql").args(args).current_dir(project.root());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who stops at an error reads no further.
    let _ = child.stdin.take().unwrap().write_all(script.as_bytes());
    ran(child.wait_with_output().unwrap())
}

/// Types a text and goes back to the place of a mark `|` in it.
fn typed_around(shell: &mut Typist, marked: &str) {
    let (before, behind) = marked.split_once('|').unwrap();
    shell.keys(&format!("{before}{behind}{}", "\x1b[D".repeat(behind.chars().count())));
}

#[test]
fn statements_of_several_lines_run_when_they_end_and_errors_go_on() {
    let project = project();
    let mut shell = Typist::shell(&project, &DB, &[]);
    // A semicolon within a text ends nothing.
    shell.keys("SELECT 40\r-- no end;\r+ 2 AS n,\r");
    let shown = shell.line("';' AS s FROM db.customers;");
    assert!(shown.contains("| 42 | ; |") && shown.contains("(1 row)"), "{shown}");
    let shown = shell.line("SELECT nope FROM db.orders;");
    assert!(shown.contains("schema error") && shown.contains("nope"), "{shown}");
    let shown = shell.line("SELECT 1 AS one; SELECT nope; SELECT 2 AS two;");
    assert!(shown.contains("| one |") && shown.contains("error") && shown.contains("| two |"), "{shown}");
    let shown = shell.line("\\nonsense");
    assert!(shown.contains("there is no command \\nonsense"), "{shown}");
    let shown = shell.line("\\formt");
    assert!(shown.contains("did you mean \\format?"), "{shown}");
    let shown = shell.line("SELECT count(*) AS n FROM db.orders;");
    assert!(shown.contains("| 2 |"), "{shown}");
    // Ctrl-C clears the line, and Ctrl-D on an empty one leaves.
    let shown = shell.prompt_after("SELECT 1 AS cleared\r, 2\x03");
    assert!(!shown.contains("error"), "{shown}");
    let shown = shell.line("SELECT 3 AS n;");
    assert!(shown.contains("| 3 |") && !shown.contains("cleared"), "{shown}");
    shell.keys("\x04");
    assert_eq!(shell.ends().0, 0);
}

#[test]
fn the_words_of_other_shells_are_understood() {
    let project = project();
    for leave in ["\\q\r", "exit\r", "quit;\r"] {
        let mut shell = Typist::shell(&project, &[], &[]);
        assert!(shell.line("help").contains("\\? lists the commands"));
        shell.keys(leave);
        assert_eq!(shell.ends().0, 0, "{leave:?}");
    }
}

#[test]
fn nothing_is_changed() {
    let project = project();
    let mut shell = Typist::shell(&project, &DB, &[]);
    for sql in ["DELETE FROM db.orders;", "INSERT INTO db.customers VALUES (8, 'Linz');", "DROP TABLE db.orders;"] {
        let shown = shell.line(sql);
        assert!(shown.contains("error"), "{shown}");
    }
    assert_eq!(
        sqlite3(&project.path("shop.db"), "SELECT count(*) FROM orders; SELECT count(*) FROM customers"),
        "2\n1"
    );
}

#[test]
fn tab_completes_connections_tables_columns_and_paths() {
    let project = project();
    let mut shell = Typist::shell(&project, &DB, &[]);
    let shown = shell.line("SELECT count(*) + 40 AS n FROM d\to\t;");
    assert!(shown.contains("db.orders;") && shown.contains("| 42 |"), "{shown}");
    // What is named behind the place counts, too.
    typed_around(&mut shell, "SELECT sum(o.|) AS s FROM db.orders o;");
    let shown = shell.line("to\t");
    assert!(shown.contains("sum(o.total)") && shown.contains("30.75"), "{shown}");
    // A name that needs quotes gets them.
    typed_around(&mut shell, "SELECT | FROM db.orders WHERE order_id = 2;");
    let shown = shell.line("pla\t");
    assert!(shown.contains("\"Placed At\"") && shown.contains("| june"), "{shown}");
    let shown = shell.line("SELECT id + 41 AS n FROM 'peo\t;");
    assert!(shown.contains("'people.parquet';") && shown.contains("| 42 |"), "{shown}");
    let shown = shell.line("sel\t 42 as n;");
    assert!(shown.contains("select 42") && shown.contains("| 42 |"), "{shown}");
    // Several: all are shown.
    shell.keys("SELECT * FROM db.\t");
    shell.sees("customers");
    shell.sees("orders");
    shell.prompt_after("\x03");
    let shown = shell.line("\\d db.cust\t");
    assert!(shown.contains("customer_id"), "{shown}");
}

#[test]
fn a_server_that_says_nothing_holds_up_no_prompt() {
    let project = project();
    // It takes connections.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = format!("far=postgresql://me@127.0.0.1:{}/x?connect_timeout=60", listener.local_addr().unwrap().port());
    let mut shell = Typist::shell(&project, &[DB[0], DB[1], "--connection", &far], &[]);
    let begun = Instant::now();
    shell.prompt_after("SELECT * FROM far.\t\x03");
    let shown = shell.line("SELECT 42 AS n FROM db.cu\t;");
    assert!(shown.contains("| 42 |"), "{shown}");
    // Nor does it hold up what asks for it by name.
    shell.keys("SELECT * FROM far.public.t;\r");
    shell.left();
    std::thread::sleep(Duration::from_millis(500));
    shell.keys("\x03");
    shell.sees("the statement was interrupted");
    shell.sees("dxt> ");
    assert!(begun.elapsed() < Duration::from_secs(30), "it waited for the server");
}

#[test]
fn tables_and_columns_are_described() {
    let project = project();
    let mut shell = Typist::shell(&project, &[DB[0], DB[1], "--connection", "lake=file:."], &[]);
    let shown = shell.line("\\d");
    for expected in ["db.customers", "db.orders", "lake.\"people.parquet\"", "table", "parquet"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let shown = shell.line("\\d db");
    assert!(shown.contains("db.orders") && !shown.contains("people"), "{shown}");
    let shown = shell.line("\\d db.orders");
    let line = |name: &str| shown.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("{name}: {shown}"));
    assert!(line("order_id").contains("int64") && line("order_id").contains("key"), "{shown}");
    assert!(line("total").contains("decimal(10,2)") && line("total").contains("not null"), "{shown}");
    assert!(line("\"Placed At\"").contains("string") && !line("\"Placed At\"").contains("not null"), "{shown}");
    let shown = shell.line("\\d 'people.parquet'");
    assert!(shown.contains("name") && shown.contains("string"), "{shown}");
    let shown = shell.line("\\d bd");
    assert!(shown.contains("there is no connection bd") && shown.contains("did you mean db?"), "{shown}");
    let shown = shell.line("\\d db.nope");
    assert!(shown.contains("error") && shown.contains("nope"), "{shown}");
    let shown = shell.line("\\l");
    assert!(shown.contains("sqlite:///shop.db") && shown.contains("lake"), "{shown}");
    let help = shell.line("\\?");
    assert!(help.contains("\\timing [on|off]"), "{help}");
}

#[test]
fn tables_of_a_server_and_buffers_are_described_and_no_secret_is_shown() {
    let project = project();
    psql(
        "DROP SCHEMA IF EXISTS shell_d CASCADE; CREATE SCHEMA shell_d; CREATE TABLE shell_d.\"Odd\" (a int, b text, PRIMARY KEY (b, a))",
    );
    let pipeline = format!(
        "version: 1\nname: nightly\nconnections: {{pg: '{}', db: 'sqlite:///shop.db'}}\nbuffer: {{persist: true}}\nstreams:\n  \
         - {{id: orders, source: {{connection: db, value: orders}}, target: {{connection: db, value: copied}}}}\n",
        env("DXT_TEST_PG_URL")
    );
    project.write("p.yaml", &pipeline);
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let script = "\\l\n\\d pg.shell_d\n\\d pg.shell_d.\"Odd\"\n\\d buffer\n\\d buffer.nightly.orders\n\
                  SELECT count(*) + 40 AS n FROM buffer.nightly.orders;";
    let ran = batch(&project, &["p.yaml"], script).exits(0);
    assert!(!ran.out.contains("dxt-test-secret"), "{}", ran.out);
    for expected in ["pg.shell_d.\"Odd\"", "key 2", "key 1", "buffer.nightly.orders", "decimal(10,2)", "| 42 |"] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    psql("DROP SCHEMA shell_d CASCADE");
}

#[test]
fn a_connection_that_cannot_be_reached_hides_no_other() {
    let project = project();
    let ran = batch(&project, &[DB[0], DB[1], "--connection", "far=postgresql://me@127.0.0.1:1/x"], "\\d").exits(0);
    assert!(ran.out.contains("db.orders") && ran.out.contains("far: "), "{}", ran.out);
}

#[test]
fn settings_say_what_they_are_and_show_rows_accordingly() {
    let project = project();
    let mut shell = Typist::shell(&project, &DB, &[]);
    let select = "SELECT order_id, total FROM db.orders ORDER BY order_id DESC;";
    assert!(shell.line("\\x").contains("Expanded display is on."));
    let shown = shell.line(select);
    assert!(shown.contains("-[ RECORD 1 ]") && shown.contains("order_id | 2\ntotal    | 20.25\n"), "{shown:?}");
    assert!(shell.line("\\x off").contains("Expanded display is off."));
    assert!(!shell.line(select).contains("Time: "));
    assert!(shell.line("\\timing on").contains("Timing is on."));
    let shown = shell.line(select);
    assert!(
        shown.contains("|        2 | 20.25 |") && shown.contains("(2 rows)") && shown.contains("Time: "),
        "{shown}"
    );
    shell.line("\\timing");
    assert!(shell.line("\\format csv").contains("The format is csv."));
    let shown = shell.line(select);
    assert!(shown.contains("order_id,total\n2,20.25\n1,10.50\n") && !shown.contains("rows)"), "{shown:?}");
    assert!(shell.line("\\format cvs").contains("did you mean csv?"));
    // To a file, from a file, and back to the terminal.
    shell.line("\\o out.csv");
    project.write("report.sql", &format!("-- a report\n{select}\nSELECT 1 AS one"));
    let shown = shell.line("\\i report.sql");
    assert!(!shown.contains("20.25"), "{shown}");
    shell.line("\\o");
    assert!(shell.line("SELECT 42 AS n;").contains("n\n42\n"));
    assert_eq!(project.read("out.csv"), "order_id,total\n2,20.25\n1,10.50\none\n1\n");
    project.write("wrong.sql", "SELECT 1 AS one;\n\nSELECT nope;\nSELECT 3 AS three;\n");
    let shown = shell.line("\\i wrong.sql");
    assert!(shown.contains("wrong.sql:3:") && shown.contains("one\n") && !shown.contains("three"), "{shown}");
    project.write("circle.sql", "\\i circle.sql\n");
    let shown = shell.line("\\i circle.sql");
    assert!(shown.contains("has no end"), "{shown}");
}

#[test]
fn a_statement_is_ended_by_ctrl_c_and_the_shell_is_not() {
    let project = project();
    let name = format!("dxt_shell_{}", std::process::id());
    let pg = format!("pg={}?application_name={name}", env("DXT_TEST_PG_URL"));
    let mut shell = Typist::shell(&project, &["--connection", &pg], &[]);
    for _ in 0..2 {
        shell.keys(&format!("{ENDLESS}\r"));
        shell.left();
        std::thread::sleep(Duration::from_millis(700));
        shell.keys("\x03");
        shell.sees("the statement was interrupted");
        shell.sees("dxt> ");
        let shown = shell.line("SELECT 42 AS n;");
        assert!(shown.contains("| 42 |"), "{shown}");
    }
    // On the server's side, too.
    psql("CREATE OR REPLACE VIEW shell_slow AS SELECT i, pg_sleep(0.01)::text AS z FROM generate_series(1, 100000) i");
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND state = 'active' AND query ~ 'shell_slow'"
    );
    shell.keys("SELECT count(z) FROM pg.public.shell_slow;\r");
    shell.left();
    wait_for("the query on the server", || psql(&running) != "0");
    shell.keys("\x03");
    shell.sees("dxt> ");
    wait_for("the server's rest", || psql(&running) == "0");
    psql("DROP VIEW shell_slow");
    shell.keys("\x04");
    assert_eq!(shell.ends().0, 0);
}

#[test]
fn each_statement_sees_what_others_have_committed() {
    let project = project();
    psql("DROP TABLE IF EXISTS shell_seen; CREATE TABLE shell_seen (a int); INSERT INTO shell_seen VALUES (1)");
    let pg = format!("pg={}", env("DXT_TEST_PG_URL"));
    let mut shell = Typist::shell(&project, &["--connection", &pg], &[]);
    let count = "SELECT count(a) + 40 AS n FROM pg.public.shell_seen;";
    assert!(shell.line(count).contains("| 41 |"));
    psql("INSERT INTO shell_seen VALUES (2)");
    assert!(shell.line(count).contains("| 42 |"));
    psql("DROP TABLE shell_seen");
}

#[test]
fn the_history_is_kept_for_its_owner_and_without_secrets() {
    let project = project();
    let mut shell = Typist::shell(&project, &DB, &[]);
    shell.line("SELECT 40 + 1\rAS first;");
    shell.line("SELECT 40 + 2 AS second;");
    shell.line("SELECT 40 + 2 AS second;");
    shell.line("SELECT * FROM 'https://me:hush-hush@127.0.0.1:1/x.csv';");
    shell.keys("\x04");
    assert_eq!(shell.ends().0, 0);
    let file = project.path(".local/state/dxt/history");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(!kept.contains("hush-hush"), "{kept}");
    assert_eq!(kept.matches("second").count(), 1, "{kept}");
    let mut shell = Typist::shell(&project, &DB, &[]);
    let shown = shell.line("\x1b[A");
    assert!(shown.contains("     42 |") && shown.contains("second"), "{shown}");
    // That one has been repeated: above it stands the one of two lines.
    let shown = shell.line("\x1b[A\x1b[A");
    assert!(shown.contains("    41 |") && shown.contains("first"), "{shown}");
    shell.keys("\x04");
    shell.ends();
    // Elsewhere, where XDG says so.
    let state = project.path("state");
    let mut shell = Typist::shell(&project, &DB, &[("XDG_STATE_HOME", state.to_str().unwrap())]);
    shell.line("SELECT 7;");
    shell.keys("\x04");
    shell.ends();
    assert!(project.read("state/dxt/history").contains("SELECT 7;"));
}

#[test]
fn what_is_longer_or_wider_than_the_terminal_is_paged() {
    let project = project();
    let vars = [("DXT_PAGER", "cat > paged.txt")];
    let mut shell = Typist::shell(&project, &DB, &vars);
    assert!(shell.line("SELECT unnest(range(1, 6)) AS n;").contains("| 5 "));
    assert!(!project.path("paged.txt").exists());
    let shown = shell.line("SELECT unnest(range(1, 501)) AS n;");
    assert!(!shown.contains("| 499 "), "{shown}");
    assert!(project.read("paged.txt").contains("| 499 ") && project.read("paged.txt").contains("(500 rows)"));
    shell.line(&format!("SELECT '{}' AS wide;", "w".repeat(120)));
    assert!(project.read("paged.txt").contains("(1 row)"));
    shell.line("\\pager off");
    assert!(shell.line("SELECT unnest(range(1, 501)) AS n;").contains("| 499 "));
}

#[test]
fn a_pager_that_is_left_early_ends_the_statement_quietly() {
    let project = project();
    let mut shell = Typist::shell(&project, &DB, &[("DXT_PAGER", "head -c 200 > paged.txt")]);
    for format in ["table", "csv", "json", "jsonl"] {
        shell.line(&format!("\\format {format}"));
        let shown = shell.line(ROWS);
        assert!(!shown.contains("error") && !shown.contains("interrupted"), "{shown}");
    }
    // One that comes to no rows is ended, too.
    shell.line("\\format csv");
    let shown = shell.line("SELECT 42 AS n;");
    assert!(shown.contains("42\n"), "{shown}");
    // A pager that is not there loses nothing.
    let mut shell = Typist::shell(&project, &DB, &[("DXT_PAGER", "no-such-pager")]);
    let shown = shell.line("SELECT unnest(range(1, 501)) AS n;");
    assert!(shown.contains("| 499 ") && shown.contains("no-such-pager"), "{shown}");
}

#[test]
fn sigterm_gives_the_terminal_back() {
    let project = project();
    let mut shell = Typist::shell(&project, &DB, &[]);
    shell.keys("SELECT 1");
    shell.sees("1");
    assert!(!shell.is_as_it_was());
    shell.signal("TERM");
    assert_eq!(shell.ends().0, 143);
    assert!(shell.is_as_it_was());
    // While a statement runs, too.
    let mut shell = Typist::shell(&project, &DB, &[]);
    shell.keys(&format!("{ENDLESS}\r"));
    shell.left();
    std::thread::sleep(Duration::from_millis(500));
    shell.signal("TERM");
    assert_eq!(shell.ends().0, 143);
}

#[test]
fn a_script_runs_to_its_end_without_a_prompt() {
    let project = project();
    let script = "-- a script\n\\format csv\nSELECT order_id\n  FROM db.orders -- ; no end\n ORDER BY 1;;\nSELECT ';' AS s; SELECT 3 AS n";
    let ran = batch(&project, &DB, script).exits(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("The format is csv.\norder_id\n1\n2\ns\n;\nn\n3\n", ""));
    assert!(!project.path(".local").exists());
    for (script, out) in
        [("", ""), ("-- nothing\n", ""), ("\\q\nSELECT 1;", ""), ("SELECT 1 AS n; \\q\nSELECT 2;", "(1 row)\n")]
    {
        let ran = batch(&project, &DB, script).exits(0);
        assert!(ran.out.ends_with(out) && (!out.is_empty() || ran.out.is_empty()), "{script}: {}", ran.out);
    }
}

#[test]
fn a_script_ends_at_its_first_error_which_names_its_line() {
    let project = project();
    let ran = batch(
        &project,
        &DB,
        "\\format csv\nSELECT 1 AS one;\n\n-- two\nSELECT nope\nFROM db.orders;\nSELECT 3 AS three;\n",
    );
    let ran = ran.exits(1);
    assert!(ran.out.contains("one\n1\n") && !ran.out.contains("three"), "{}", ran.out);
    assert!(ran.err.contains("stdin:5:") && ran.err.contains("nope"), "{}", ran.err);
    for script in ["\\nonsense\n", "SELECT 'open;", "DELETE FROM db.orders;", "\\i nowhere.sql", "\\o no/such/folder/x"]
    {
        let ran = batch(&project, &DB, script).exits(1);
        assert!(ran.err.contains("error"), "{script}: {}", ran.err);
    }
    // What is wrong before the first statement is a wrong command.
    project.dxt(&["sql", "nowhere.yaml"]).exits(2);
    project.dxt(&["sql", "--connection", "db"]).exits(2);
}

#[test]
fn a_script_may_be_that_of_another_project() {
    let project = project();
    project.write("other/dxt_project.yaml", "version: 1\nconnections: {there: 'sqlite:///shop.db'}\n");
    std::fs::copy(project.path("shop.db"), project.path("other/shop.db")).unwrap();
    let ran = batch(&project, &["--project", "other"], "SELECT count(*) + 40 AS n FROM there.orders").exits(0);
    assert!(ran.out.contains("| 42 |"), "{}", ran.out);
}

#[test]
fn a_script_stops_when_its_reader_has_gone_and_when_it_is_interrupted() {
    let project = project();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
    command.arg("sql").current_dir(project.root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{ROWS}\n{ROWS}\n").as_bytes()).unwrap();
    let mut some = [0; 64];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let ended = ran(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(ended.err, "");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        project.write("endless.sql", ENDLESS);
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" sql < endless.sql", env!("CARGO_BIN_EXE_dxt")]);
        let running = Running::of(&mut command, &project);
        std::thread::sleep(Duration::from_millis(700));
        running.signal(signal);
        running.ends_within(Duration::from_secs(12)).exits(code);
    }
}

#[test]
fn a_long_result_is_not_held() {
    let project = project();
    // Hundreds of megabytes in each form, of a thousand times so many rows.
    for (format, rows, width) in [("csv", 2_500, 200), ("table", 20, 10_000)] {
        let sql = format!(
            "SELECT a.n, repeat('x', {width}) AS x FROM (SELECT unnest(range(0, 1000)) AS n) a, \
             (SELECT unnest(range(0, {rows})) AS n) b"
        );
        let script = project.write("long.sql", &format!("\\format {format}\n{sql};\n"));
        let measured = measured_script(&project, &["sql"], &script);
        println!("{format}: peak {} MB", measured.peak_mb);
        assert!(measured.peak_mb < 250, "{format}: peak {} MB", measured.peak_mb);
        measured.ran.exits(0);
    }
}
