//! MySQL as source and target: what is refused, what is kept, and what conditions mean there.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

use crate::support::{Kind, Ran, System, env, mysql, people, ran, write_parquet};

#[track_caller]
fn error(ran: Ran, code: i32) -> String {
    ran.exits(code).stream("s")["error"]["report"].as_str().expect("an error").to_string()
}

fn load(system: &System, table: &str, rest: &str) -> Ran {
    system.project.run(&system.load("in.parquet", table, rest))
}

fn texts(system: &System, values: &[&str]) {
    let ids = Int64Array::from_iter_values(1..=values.len() as i64);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("id", Arc::new(ids)), ("t", Arc::new(StringArray::from(values.to_vec())))];
    write_parquet(&system.project.path("in.parquet"), columns);
}

/// What dxt builds aside and has not taken away.
fn left(system: &System) -> String {
    system.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name LIKE 'dxt\\_aside%'")
}

#[test]
fn the_product_and_its_version_are_told() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[]);
    system.project.write("p.yaml", &system.load("in.parquet", "t", ""));
    let out = system.project.dxt(&["test", "p.yaml"]).exits(0).out;
    let version = mysql("SELECT version()");
    let number: String = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    assert!(out.contains(&format!("MariaDB {number}")) || out.contains(&format!("MySQL {number}")), "{out}");
    assert!(!out.contains("dxt-test-secret"), "{out}");
}

#[test]
fn a_table_without_transactions_is_refused_before_a_row_moves() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(1, Some("a"), None)]);
    system.sql("CREATE TABLE t (id BIGINT, name TEXT, v BIGINT) ENGINE=MyISAM");
    let text = error(load(&system, "t", "    load: {mode: append}\n"), 1);
    assert!(text.contains("MyISAM") && text.contains("ENGINE=InnoDB"), "{text}");
    assert!(system.rows("t").is_empty());
}

#[test]
fn what_the_server_would_cut_or_change_is_an_error_that_names_row_column_and_value() {
    let system = System::new(Kind::Mysql);
    for method in ["load_data", "insert"] {
        let rest = format!("    load: {{mode: append, options: {{load_method: {method}}}}}\n");
        // What the server tells of by warnings, and what it does not.
        for (native, value) in [
            ("VARCHAR(3)", "abcd"),
            ("CHAR(5)", "ab "),
            ("ENUM('a','b')", "1"),
            ("ENUM('a','b')", "A"),
            ("SET('a','b')", "b,a"),
            ("VARCHAR(9) CHARACTER SET latin1", "日"),
            ("VARCHAR(3)", "ab   "),
        ] {
            system.sql(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (id BIGINT, t {native})"));
            texts(&system, &["a", value]);
            let text = error(load(&system, "t", &rest), 1);
            let shown = format!("`{value}`");
            assert!(
                text.contains("row 2") && text.contains("column t") && text.contains(&shown),
                "{native} {method}: {text}"
            );
            assert!(system.rows("t").is_empty(), "{native} {method}");
        }
    }
}

#[test]
fn a_row_that_is_there_already_ends_an_append_as_a_whole() {
    let system = System::new(Kind::Mysql);
    for method in ["load_data", "insert"] {
        system.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT, v BIGINT); INSERT INTO t VALUES (2, 'old', 0)");
        people(&system.project.path("in.parquet"), &[(1, Some("a"), None), (2, Some("b"), None)]);
        let rest = format!("    load: {{mode: append, options: {{load_method: {method}}}}}\n");
        let text = error(load(&system, "t", &rest), 1);
        assert!(text.contains("Duplicate entry '2'") && text.contains("upsert"), "{text}");
        assert_eq!(system.rows("t"), ["2|old|0"]);
    }
}

#[test]
fn nulls_that_a_column_does_not_take_are_named_and_never_become_defaults() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(1)), (2, None, Some(1))]);
    system.sql("CREATE TABLE t (id BIGINT, name VARCHAR(9) NOT NULL DEFAULT 'x', v BIGINT)");
    let text = error(load(&system, "t", "    load: {mode: append}\n"), 1);
    assert!(text.contains("field name") && text.contains("NULL"), "{text}");
    assert!(system.rows("t").is_empty());
}

#[test]
fn a_zero_is_no_wish_for_the_next_number() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(0, Some("zero"), None), (7, Some("seven"), None)]);
    system.sql("CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT, name TEXT, v BIGINT)");
    for mode in ["append", "replace", "upsert, upsert_keys: [id]"] {
        load(&system, "t", &format!("    load: {{mode: {mode}}}\n")).exits(0);
        assert_eq!(system.rows("t"), ["0|zero|NULL", "7|seven|NULL"], "{mode}");
    }
}

#[test]
fn a_load_that_fails_leaves_no_table_where_there_was_none_and_the_old_rows_where_there_were() {
    let system = System::new(Kind::Mysql);
    texts(&system, &["1", "x"]);
    let fields = "    fields: [id, {id: t, dtype: int64}]\n";
    for rest in ["    load: {mode: replace}\n", "    load: {mode: upsert, upsert_keys: [id]}\nbuffer: {format: none}\n"]
    {
        error(load(&system, "made", &format!("{fields}{rest}")), 1);
        assert_eq!(system.sql("SHOW TABLES LIKE 'made'"), "");
    }
    system.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, t VARCHAR(3)); INSERT INTO t VALUES (9, 'old')");
    texts(&system, &["new", "too long"]);
    for options in ["", ", options: {replace_strategy: swap}"] {
        let text = error(load(&system, "t", &format!("    load: {{mode: replace{options}}}\n")), 1);
        assert!(text.contains("too long"), "{text}");
        assert_eq!(system.rows("t"), ["9|old"], "{options}");
    }
    assert_eq!(left(&system), "0");
}

#[test]
fn a_swap_keeps_indexes_and_numbers_and_is_refused_where_something_would_not_follow() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(10))]);
    let swap = "    load: {mode: replace, options: {replace_strategy: swap}}\n";
    system.sql(
        "CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20), v BIGINT, KEY by_name (name)) COMMENT 'mine';
         INSERT INTO t VALUES (500, 'old', 0); CREATE VIEW seen AS SELECT name FROM t",
    );
    load(&system, "t", swap).exits(0);
    assert_eq!(system.rows("t"), ["1|a|10"]);
    assert_eq!(system.rows("seen"), ["a"]);
    let made = system.sql("SHOW CREATE TABLE t");
    assert!(
        made.contains("KEY `by_name`") && made.contains("COMMENT='mine'") && made.contains("AUTO_INCREMENT=501"),
        "{made}"
    );
    assert_eq!(left(&system), "0");
    system.sql("CREATE TABLE child (id BIGINT, FOREIGN KEY (id) REFERENCES t (id))");
    let text = error(load(&system, "t", swap), 1);
    assert!(text.contains("foreign key") && text.contains("replace_strategy: delete"), "{text}");
    system.sql("DROP TABLE child; CREATE TRIGGER noted BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1");
    let text = error(load(&system, "t", swap), 1);
    assert!(text.contains("trigger noted"), "{text}");
    assert_eq!(system.rows("t"), ["1|a|10"]);
}

#[test]
fn a_replace_that_would_delete_rows_of_other_tables_is_refused() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(2, Some("b"), None)]);
    system.sql(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT, v BIGINT); INSERT INTO t VALUES (1, 'a', 0);
         CREATE TABLE child (id BIGINT, FOREIGN KEY (id) REFERENCES t (id) ON DELETE CASCADE); INSERT INTO child VALUES (1)",
    );
    let text = error(load(&system, "t", "    load: {mode: replace}\n"), 1);
    assert!(text.contains("child") && text.contains("upsert"), "{text}");
    assert_eq!((system.rows("t").len(), system.rows("child").len()), (1, 1));
    // One that only refuses does so itself.
    system.sql("DROP TABLE child; CREATE TABLE child (id BIGINT, FOREIGN KEY (id) REFERENCES t (id)); INSERT INTO child VALUES (1)");
    let text = error(load(&system, "t", "    load: {mode: replace}\n"), 1);
    assert!(text.contains("foreign key") && text.contains("upsert"), "{text}");
    assert_eq!(system.rows("t"), ["1|a|0"]);
    let counted = load(&system, "child2", "    load: {mode: replace}\n").exits(0);
    assert_eq!(counted.counts("s"), [1, 1, 0, 0]);
    assert_eq!(load(&system, "child2", "    load: {mode: replace}\n").exits(0).stream("s")["rows_deleted"], 1);
}

#[test]
fn an_upsert_goes_by_the_targets_own_equality_of_keys_and_finds_changes_by_their_bytes() {
    let system = System::new(Kind::Mysql);
    let columns = |names: &[&str], values: &[&str]| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(StringArray::from(names.to_vec()))),
            ("v", Arc::new(StringArray::from(values.to_vec()))),
        ];
        write_parquet(&system.project.path("in.parquet"), columns);
    };
    let upsert = "    load: {mode: upsert, upsert_keys: [k]}\n";
    system.sql(
        "CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v VARCHAR(20) COLLATE utf8mb4_general_ci) CHARACTER SET utf8mb4;
         INSERT INTO t VALUES ('Anna', 'x'), ('Bob', 'y'), ('Cleo', 'z')",
    );
    columns(&["anna", "Bob", "Cleo", "Dora"], &["x", "Y", "z", "w"]);
    assert_eq!(load(&system, "t", upsert).exits(0).counts("s"), [4, 1, 2, 1]);
    assert_eq!(system.rows("t"), ["Bob|Y", "Cleo|z", "Dora|w", "anna|x"]);
    assert_eq!(load(&system, "t", upsert).exits(0).counts("s"), [4, 0, 0, 4]);
    // Two texts that are one key there.
    columns(&["eva", "EVA"], &["1", "2"]);
    let text = error(load(&system, "t", upsert), 1);
    assert!(text.contains("k=") && text.to_lowercase().contains("eva"), "{text}");
    // In a table that dxt makes they are two.
    assert_eq!(load(&system, "made", upsert).exits(0).counts("s"), [2, 2, 0, 0]);
}

#[test]
fn an_upsert_without_a_unique_key_needs_one_row_for_each_key() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(1, Some("new"), None), (2, Some("two"), None)]);
    let upsert = "    load: {mode: upsert, upsert_keys: [id]}\n";
    system.sql("CREATE TABLE t (id BIGINT, name TEXT, v BIGINT); INSERT INTO t VALUES (1, 'old', NULL), (3, 'a', 1), (3, 'b', 1)");
    assert_eq!(load(&system, "t", upsert).exits(0).counts("s"), [2, 1, 1, 0]);
    assert_eq!(system.rows("t"), ["1|new|NULL", "2|two|NULL", "3|a|1", "3|b|1"]);
    people(&system.project.path("in.parquet"), &[(3, Some("c"), None)]);
    let text = error(load(&system, "t", upsert), 1);
    assert!(text.contains("id=3") && text.contains("several rows of the target"), "{text}");
    assert_eq!(system.rows("t").len(), 4);
}

#[test]
fn of_rows_of_one_key_the_greatest_watermark_wins_and_a_tie_is_refused() {
    let system = System::new(Kind::Mysql);
    let rest = "    extract: {watermark_field: v}\n    load: {mode: upsert, upsert_keys: [id]}\n";
    people(
        &system.project.path("in.parquet"),
        &[(1, Some("a"), Some(1)), (1, Some("b"), Some(3)), (1, Some("c"), None), (2, Some("d"), Some(1))],
    );
    let ran = load(&system, "t", rest).exits(0);
    assert_eq!(system.rows("t"), ["1|b|3", "2|d|1"]);
    assert_eq!(ran.stream("s")["rows_dropped"], 2);
    people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(5)), (1, Some("b"), Some(5))]);
    let text = error(load(&system, "t", rest), 1);
    assert!(text.contains("id=1") && text.contains("watermark"), "{text}");
}

#[test]
fn a_lock_is_waited_for_as_long_as_the_load_says() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(1, Some("new"), None)]);
    system.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT, v BIGINT); INSERT INTO t VALUES (1, 'old', 0)");
    let holding = format!("START TRANSACTION; UPDATE {} SET v = 1; DO SLEEP(4); ROLLBACK", system.sql_name("t"));
    let holder = std::thread::spawn(move || mysql(&holding));
    std::thread::sleep(Duration::from_millis(700));
    let rest = |timeout: &str| {
        format!("    load: {{mode: upsert, upsert_keys: [id], options: {{lock_timeout: {timeout}}}}}\nretries: 0\n")
    };
    let text = error(load(&system, "t", &rest("1s")), 1);
    assert!(text.contains("lock_timeout"), "{text}");
    assert_eq!(load(&system, "t", &rest("30s")).exits(0).counts("s"), [1, 0, 1, 0]);
    holder.join().unwrap();
    assert_eq!(system.rows("t"), ["1|new|NULL"]);
}

#[test]
fn of_two_incremental_appends_at_once_one_wins() {
    let system = System::new(Kind::Mysql);
    let rows: Vec<(i64, Option<&str>, Option<i64>)> = (0..20_000).map(|id| (id, Some("x"), Some(id))).collect();
    people(&system.project.path("in.parquet"), &rows);
    system.sql("CREATE TABLE t (id BIGINT, name TEXT, v BIGINT)");
    let rest = "    extract: {mode: incremental, watermark_field: v}\n    load: {mode: append}\nbuffer: {format: none}\nretries: 0\n";
    system.project.write("p.yaml", &system.load("in.parquet", "t", rest));
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
        command.args(["run", "p.yaml", "--quiet"]).current_dir(system.project.root());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dxt starts")
    };
    for child in [start(), start()] {
        ran(child.wait_with_output().expect("dxt ends"));
    }
    assert_eq!(system.rows("t").len(), 20_000);
}

/// Each condition gives the same rows as over a copy in a file, where DataFusion alone decides.
#[test]
fn conditions_mean_there_what_they_mean_here() {
    let system = System::new(Kind::Mysql);
    system.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, l VARCHAR(20) CHARACTER SET latin1,
           c CHAR(4), e ENUM('b','a'), n DECIMAL(12,3), f FLOAT, d DOUBLE, day DATE, at DATETIME(6), ts TIMESTAMP(6) NULL,
           ti TIME(6), y YEAR, b BIT(8), flag TINYINT(1), u BIGINT UNSIGNED, vb VARBINARY(9), KEY (name), KEY (l));
         INSERT INTO t VALUES
           (1, 'a', 'a', 'a', 'a', 1.5, 0.1, 0.1, '2024-01-01', '2024-01-01 00:00:00.000001', '2024-01-01 12:00:00', '01:00:00', 1999, 5, 1, 18446744073709551615, 'a'),
           (2, 'A', 'A', 'A', 'b', -1.5, -0.1, -0.1, '1969-12-31', '1969-12-31 23:59:59', '2024-01-01 12:00:00.5', '02:00:00', 0, 0, 0, 0, 'A'),
           (3, 'a ', 'a ', NULL, NULL, 0, 0, 0, '9999-12-31', '9999-12-31 23:59:59', NULL, NULL, NULL, NULL, NULL, NULL, 'a '),
           (4, 'ä', 'ä', 'ä', 'a', 1.500, 1e10, 1e300, NULL, NULL, '2037-12-31 00:00:00', '23:59:59', 2155, 255, 1, 7, x'00'),
           (5, NULL, NULL, '', NULL, NULL, NULL, NULL, '0001-01-01', '0001-01-01 00:00:00', '1970-01-02 00:00:00', '00:00:00', 1901, 1, 0, 1, ''),
           (6, 'it''s \\\\ %', 'x_y', 'x', 'b', 2, 2, 2, '2024-02-29', '2024-02-29 12:00:00', '2024-02-29 12:00:00', '12:00:00', 2024, 64, 1, 64, 'x_y')",
    );
    system.project.run(&system.unload("t", "")).exits(0);
    let table = format!("sys.{}.t", system.schema());
    let ids = |from: &str, condition: &str| {
        let sql = format!("SELECT id FROM {from} WHERE {condition} ORDER BY id");
        system.project.dxt(&["query", &sql, "p.yaml", "--format", "csv"]).exits(0).out
    };
    for condition in [
        "name = 'a'",
        "name = 'A'",
        "name <> 'a'",
        "name < 'a'",
        "name >= 'a'",
        "name IN ('a', 'ä')",
        "name = 'it''s \\ %'",
        "name LIKE 'a%'",
        "name LIKE '_'",
        "name NOT LIKE 'A%'",
        "l = 'a'",
        "l = 'ä'",
        "l = '日'",
        "l LIKE 'x_y'",
        "c = 'a'",
        "c = ''",
        "e = 'a'",
        "e < 'b'",
        "e > 'A'",
        "n = 1.5",
        "n > 0.0",
        "n < 0.001",
        "d = 0.1",
        "d > 1000000",
        "f > CAST(0.05 AS FLOAT)",
        "day = DATE '2024-02-29'",
        "day < DATE '1970-01-01'",
        "at > TIMESTAMP '2024-01-01 00:00:00'",
        "at <= TIMESTAMP '1969-12-31 23:59:59'",
        "ts = TIMESTAMP '2024-01-01 12:00:00Z'",
        "ts > TIMESTAMP '2024-01-01 12:00:00.25Z'",
        "ts < TIMESTAMP '2100-01-01 00:00:00Z'",
        "ti >= arrow_cast('02:00:00', 'Time64(Microsecond)')",
        "y = 1999",
        "y < 1902",
        "y = 99",
        "b = 5",
        "b > 60",
        "flag",
        "NOT flag",
        "flag IS NULL",
        "flag = false",
        "u = 18446744073709551615",
        "u > 5",
        "u < 0",
        "id IN (1, 2, 9)",
        "id NOT IN (1, 2)",
        "id BETWEEN 2 AND 4",
        "NOT (name = 'a')",
        "name = 'a' OR n IS NULL",
        "name IS NOT NULL AND id > 1",
        "day IS NULL",
        "vb = X'61'",
        "vb > X'61'",
    ] {
        assert_eq!(ids(&table, condition), ids("files.\"back.parquet\"", condition), "{condition}");
    }
}

#[test]
fn conditions_columns_and_limits_reach_the_server() {
    let system = System::new(Kind::Mysql);
    system.sql("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET utf8mb4, v INT, KEY (name)); INSERT INTO t VALUES (1, 'a', 2)");
    let yaml = system.unload("t", "    fields: [id]\n    criteria: {where: \"name = 'a' AND v > 1\"}\n");
    system.project.write("p.yaml", &yaml);
    let shown = system.project.dxt(&["explain", "p.yaml"]).exits(0).out;
    let sql = format!("SELECT `id` FROM `{}`.`t` WHERE", system.schema());
    assert!(shown.contains(&sql) && shown.contains("`name` = 'a' AND") && shown.contains("`v` > 1"), "{shown}");
    system.project.dxt(&["run", "p.yaml"]).exits(0);
    let log = std::fs::read_to_string(env("DXT_TEST_MYSQL_LOG")).unwrap();
    assert!(log.contains(&sql), "{sql} is not in the server's log");
}

#[test]
fn a_query_in_mysqls_own_sql_has_the_types_of_its_columns() {
    let system = System::new(Kind::Mysql);
    system.sql("CREATE TABLE t (id INT, d DECIMAL(10,2), at DATETIME(6)); INSERT INTO t VALUES (1, 1.50, '2024-01-01 00:00:00.5'), (2, 2.25, NULL)");
    let yaml = format!(
        "version: 1\nname: p\nconnections:\n  files: {{type: file, path: .}}\n  sys: '{}'\nstreams:\n  - id: s\n    source: {{connection: sys, sql: \"\
         SELECT count(*) AS n, sum(d) AS total, max(at) AS latest, 'it''s' AS word, max(`id`) IS NULL AS flag, NULL AS nothing FROM {} -- the end\"}}\n    \
         target: {{connection: files, value: out.csv}}\n    load: {{mode: replace}}\n",
        env("DXT_TEST_MYSQL_URL"),
        system.sql_name("t")
    );
    system.project.run(&yaml).exits(0);
    let out = system.project.read("out.csv");
    assert_eq!(out.lines().nth(1).unwrap(), "2,3.75,2024-01-01 00:00:00.500,it's,0,", "{out}");
}

#[test]
fn parts_of_a_column_give_every_row_once() {
    let system = System::new(Kind::Mysql);
    system.sql(
        "CREATE TABLE t (id INT, day DATE, at DATETIME);
         INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
           SELECT IF(i % 10 = 0, NULL, i), '2020-01-01' + INTERVAL i DAY, '2020-01-01' + INTERVAL i HOUR FROM n",
    );
    for field in ["id", "day", "at"] {
        let rest = format!("    extract: {{partitions: 4, partition_field: {field}}}\n");
        assert_eq!(system.project.run(&system.unload("t", &rest)).exits(0).counts("s")[0], 900, "{field}");
        let shown = system.project.dxt(&["explain", "p.yaml"]).exits(0).out;
        assert!(shown.matches("SELECT `id`").count() >= 4, "{shown}");
    }
}

#[test]
fn a_checksum_is_of_what_the_table_holds() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(1, Some("a"), Some(10)), (2, None, None)]);
    for mode in ["replace", "upsert, upsert_keys: [id]"] {
        load(&system, "t", &format!("    load: {{mode: {mode}, verify: checksum}}\n")).exits(0);
    }
    system.sql("CREATE TRIGGER louder BEFORE INSERT ON t FOR EACH ROW SET NEW.name = UPPER(NEW.name)");
    let text = error(load(&system, "t", "    load: {mode: replace, verify: checksum}\n"), 1);
    assert!(text.contains("name"), "{text}");
    assert_eq!(system.rows("t"), ["1|a|10", "2|NULL|NULL"]);
}

#[test]
fn encrypted_connections_are_verified_as_ssl_mode_says() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[]);
    let url = env("DXT_TEST_MYSQL_URL");
    let test = |parameters: &str| {
        let yaml = system.load("in.parquet", "t", "").replace(&url, &format!("{url}{parameters}"));
        system.project.write("p.yaml", &yaml);
        system.project.dxt(&["test", "p.yaml"])
    };
    let ca = env("DXT_TEST_MYSQL_CA");
    test("?ssl-mode=disabled").exits(0);
    test("?ssl-mode=required").exits(0);
    test(&format!("?ssl-mode=verify_identity&ssl-ca={ca}")).exits(0);
    test(&format!("?ssl-mode=verify_ca&ssl-ca={ca}")).exits(0);
    let refused = test("?ssl-mode=verify_identity").exits(1);
    assert!(refused.out.contains("ssl_ca") || refused.err.contains("ssl_ca"), "{}{}", refused.out, refused.err);
    // The user of such a session is told so by the server.
    mysql("CREATE USER IF NOT EXISTS dxt_tls@'%' IDENTIFIED BY 'tls' REQUIRE SSL; GRANT ALL ON *.* TO dxt_tls@'%'");
    let server = url.rsplit_once('@').unwrap().1;
    let tls = |parameters: &str| {
        let yaml =
            system.load("in.parquet", "t", "").replace(&url, &format!("mysql://dxt_tls:tls@{server}{parameters}"));
        system.project.write("p.yaml", &yaml);
        system.project.dxt(&["test", "p.yaml"])
    };
    tls("").exits(0);
    let refused = tls("?ssl-mode=disabled").exits(1);
    assert!(!format!("{}{}", refused.out, refused.err).contains(":tls@"), "{}{}", refused.out, refused.err);
}

#[test]
fn a_socket_is_taken_in_the_place_of_a_host() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[(1, Some("a"), None)]);
    let url = env("DXT_TEST_MYSQL_URL");
    let user = url.rsplit_once('@').unwrap().0;
    let by_socket = format!("{user}@/dxt?socket={}", env("DXT_TEST_MYSQL_SOCKET"));
    let yaml = system.load("in.parquet", "t", "    load: {mode: append}\n").replace(&url, &by_socket);
    system.project.run(&yaml).exits(0);
    assert_eq!(system.rows("t"), ["1|a|NULL"]);
    let back = system.unload("t", "").replace(&url, &by_socket);
    assert_eq!(system.project.run(&back).exits(0).counts("s")[0], 1);
}

#[test]
fn a_login_that_is_refused_says_what_to_check_and_shows_no_password() {
    let system = System::new(Kind::Mysql);
    people(&system.project.path("in.parquet"), &[]);
    let url = env("DXT_TEST_MYSQL_URL");
    let server = url.rsplit_once('@').unwrap().1;
    let run = |login: &str| {
        let yaml = system.load("in.parquet", "t", "retries: 0\n").replace(&url, login);
        system.project.write("p.yaml", &yaml);
        let ran = system.project.dxt(&["test", "p.yaml"]).exits(1);
        format!("{}{}", ran.out, ran.err)
    };
    let wrong = run(&format!("mysql://dxt:hush-hush@{server}"));
    assert!(wrong.contains("check the user dxt") && !wrong.contains("hush-hush"), "{wrong}");
    let missing = run(&format!("{}/nowhere_at_all", url.rsplit_once('/').unwrap().0));
    assert!(missing.contains("SHOW DATABASES"), "{missing}");
    let closed = run("mysql://dxt:hush-hush@127.0.0.1:1/dxt");
    assert!(closed.contains("check host and port") && !closed.contains("hush-hush"), "{closed}");
}
