//! PostgreSQL's types: each goes through a Parquet buffer and back, and the server itself compares.

mod cases;
mod readable;

use cases::{CASES, Case, DOMAINS, TYPES, VECTORS};
use readable::{READ, READABLE};

use crate::support::{Kind, Project, Ran, System, env, psql, psql_at, python, sqlite3};

/// A system with the types of the cases, and the cases that its server has.
fn prepared() -> (System, Vec<&'static Case>) {
    let system = System::new(Kind::Postgres);
    // Several tests at once would make one extension twice.
    let extension = |name: &str| format!("CREATE EXTENSION IF NOT EXISTS {name} SCHEMA public;");
    let names = ["hstore", "citext", "ltree", "postgres_fdw"].map(extension).concat();
    psql(&format!("SET client_min_messages = warning; SELECT pg_advisory_lock(7011); {names}"));
    psql(&within(&system, TYPES));
    let version: u32 = psql("SHOW server_version_num").parse().expect("a version");
    let all = CASES.iter().filter(|case| case.since <= version / 10_000).collect();
    (system, all)
}

/// SQL with the test's own schema in the place of `§`.
fn within(system: &System, sql: &str) -> String {
    let name = system.sql_name("x");
    sql.replace('§', name.split('.').next().expect("a schema"))
}

/// The fields of a table of `id` and one column for each case.
fn fields(columns: &[(String, &Case)]) -> String {
    let one = |(name, case): &(String, &Case)| match case.text {
        true => format!("{{id: {name}, dtype: string}}"),
        false => name.clone(),
    };
    format!("[id, {}]", columns.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// A table with a column for each case; a row for each of their values, and one of NULLs.
fn wide(system: &System, table: &str, cases: &[&'static Case]) -> Vec<(String, &'static Case)> {
    let columns: Vec<(String, &Case)> = cases.iter().enumerate().map(|(i, case)| (format!("c{i}"), *case)).collect();
    let name = system.sql_name(table);
    let definitions: Vec<String> = columns.iter().map(|(c, case)| format!("{c} {}", case.native)).collect();
    let mut sql = format!("CREATE TABLE {name} (id integer NOT NULL, {});", definitions.join(", "));
    let rows = cases.iter().map(|case| case.values.len()).max().unwrap_or(0);
    for row in 0..=rows {
        let values = columns.iter().map(|(_, case)| match case.values.get(row) {
            Some(value) => format!("({value})::{}", case.native),
            None => "NULL".to_string(),
        });
        sql += &format!("INSERT INTO {name} VALUES ({row}, {});", values.collect::<Vec<_>>().join(", "));
    }
    psql(&within(system, &sql));
    columns
}

/// A pipeline of streams `(id, source, target, fields)`.
fn pipeline(system: &System, streams: &[(String, String, String, String)]) -> String {
    let connection = system.connection();
    let mut yaml = format!("version: 1\nname: p\nconnections: {{sys: {connection}}}\nstreams:\n");
    for (id, source, target, fields) in streams {
        yaml += &format!(
            "  - id: {id}\n    source: {{connection: sys, {source}}}\n    target: {{connection: sys, value: '{target}'}}\n    \
             fields: {fields}\n"
        );
    }
    yaml
}

fn relation(name: &str) -> String {
    format!("value: '{name}'")
}

/// Runs a pipeline all of whose streams have to succeed; of those that do not, each says why.
#[track_caller]
fn run(system: &System, yaml: &str) -> Ran {
    system.project.write("p.yaml", yaml);
    let ran = system.project.dxt(&["run", "p.yaml", "--format", "json", "--quiet", "--threads", "4"]);
    let result: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.err));
    let failed = result["streams"].as_array().expect("streams").iter().filter(|s| !s["error"].is_null());
    let failed: Vec<String> = failed.map(|s| format!("{}: {}", s["stream"], s["error"]["report"])).collect();
    assert!(failed.is_empty(), "{} streams:\n{}", failed.len(), failed.join("\n"));
    ran.exits(0)
}

/// Which of the columns differ between two tables, in a text or in a record's image.
fn differences(a: &str, b: &str, columns: &[String]) -> Vec<String> {
    all_differences(&[(a.to_string(), b.to_string(), columns.to_vec())])
}

/// The same of many pairs of tables, asked at once.
fn all_differences(pairs: &[(String, String, Vec<String>)]) -> Vec<String> {
    let one = |a: &str, b: &str, c: &str| {
        let except = |a, b| format!("EXISTS (SELECT id, {c}::text FROM {a} EXCEPT ALL SELECT id, {c}::text FROM {b})");
        format!(
            "SELECT $q${b}.{c}$q$ WHERE {} OR {} OR EXISTS (SELECT FROM {a} a JOIN {b} b USING (id) \
             WHERE ROW(a.{c})::record *<> ROW(b.{c})::record);\n",
            except(a, b),
            except(b, a)
        )
    };
    let sql: String = pairs.iter().flat_map(|(a, b, columns)| columns.iter().map(move |c| one(a, b, c))).collect();
    psql(&sql).lines().map(str::to_string).collect()
}

/// A table's columns as the catalog has them.
fn catalog(table: &str) -> String {
    psql(&format!(
        "SELECT string_agg(format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull), E'\\n' ORDER BY attnum) \
         FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
    ))
}

#[test]
fn every_type_comes_back_through_the_buffer_as_it_was_into_created_and_existing_tables() {
    let (system, cases) = prepared();
    let mut sql = String::new();
    let mut streams = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let [src, empty, made, there, none] =
            ["src", "empty", "made", "there", "none"].map(|name| system.sql_name(&format!("{name}_{i}")));
        for table in [&src, &empty, &there] {
            sql += &format!("CREATE TABLE {table} (id integer NOT NULL, v {});", case.native);
        }
        sql += &format!("INSERT INTO {src} VALUES (0, NULL);");
        for (row, value) in case.values.iter().enumerate() {
            sql += &format!("INSERT INTO {src} VALUES ({}, ({value})::{});", row + 1, case.native);
        }
        let fields = fields(&[("v".into(), case)]);
        for (from, to) in [(&src, &made), (&src, &there), (&empty, &none), (&empty, &there)] {
            let id = format!("s{}", streams.len());
            streams.push((id, relation(from), to.clone(), fields.clone()));
        }
    }
    psql(&within(&system, &sql));
    // The empty table is appended to what is there in a second run, as streams of one run have no order.
    let (second, first): (Vec<_>, Vec<_>) = streams.into_iter().enumerate().partition(|(i, _)| i % 4 == 3);
    let only = |all: Vec<(usize, _)>| all.into_iter().map(|(_, stream)| stream).collect::<Vec<_>>();
    run(&system, &pipeline(&system, &only(first)));
    let second = pipeline(&system, &only(second)).replace("    fields:", "    load: {mode: append}\n    fields:");
    run(&system, &second);
    let pairs = (0..cases.len()).flat_map(|i| [("src", "made", i), ("src", "there", i), ("empty", "none", i)]);
    let pairs: Vec<(String, String, Vec<String>)> = pairs
        .map(|(a, b, i)| (system.sql_name(&format!("{a}_{i}")), system.sql_name(&format!("{b}_{i}")), vec!["v".into()]))
        .collect();
    let typed = |table: &str| {
        format!(
            "SELECT string_agg(format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull), ',' ORDER BY attnum) \
             FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
        )
    };
    let other_types: String = pairs
        .iter()
        .map(|(a, b, _)| format!("SELECT $q${b}$q$, ({}) WHERE ({}) <> ({});\n", typed(b), typed(a), typed(b)))
        .collect();
    let differ = [all_differences(&pairs), psql(&other_types).lines().map(str::to_string).collect()].concat();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let filled = psql(&format!("SELECT count(*) FROM {}", system.sql_name("made_0")));
    assert_eq!(filled, (1 + cases[0].values.len()).to_string());
}

#[test]
fn pgvectors_types_come_back_on_a_server_that_has_them() {
    let (url, project) = (env("DXT_TEST_PG_VECTOR_URL"), Project::new());
    let ask = |sql: &str| psql_at(&url, sql);
    ask(
        "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS vector; DROP TABLE IF EXISTS src, made, there",
    );
    let columns: String = VECTORS.iter().enumerate().map(|(i, case)| format!(", v{i} {}", case.native)).collect();
    ask(&format!("CREATE TABLE src (id integer{columns}); CREATE TABLE there (LIKE src)"));
    for row in 0..=VECTORS.iter().map(|case| case.values.len()).max().unwrap_or(0) {
        let value = |case: &Case| match case.values.get(row) {
            Some(value) => format!(", ({value})::{}", case.native),
            None => ", NULL".to_string(),
        };
        let values: String = VECTORS.iter().map(value).collect();
        ask(&format!("INSERT INTO src VALUES ({row}{values})"));
    }
    let stream = |to: &str| format!("  - {{id: {to}, source: src, target: {to}}}\n");
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{pg: '{url}'}}\nsource: {{connection: pg}}\ntarget: {{connection: pg}}\nstreams:\n{}{}",
        stream("made"),
        stream("there")
    );
    project.run(&yaml).exits(0);
    for table in ["made", "there"] {
        assert_eq!(ask(&format!("SELECT count(*) FROM src JOIN {table} USING (id)")), ask("SELECT count(*) FROM src"));
        for i in 0..VECTORS.len() {
            let other = format!(
                "SELECT id FROM src a JOIN {table} b USING (id) WHERE ROW(a.v{i})::record *<> ROW(b.v{i})::record"
            );
            assert_eq!(ask(&other), "", "{table}.v{i}");
        }
    }
    let types = |table: &str| {
        ask(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        ))
    };
    assert_eq!(types("made"), types("src"));
}

#[test]
fn views_partitions_foreign_tables_and_sql_give_every_type_as_its_table_does() {
    let (system, cases) = prepared();
    let columns = wide(&system, "wide", &cases);
    let [wide, view, stored, parts, part_1, part_2, foreign] =
        ["wide", "a_view", "stored", "parts", "part_1", "part_2", "abroad"].map(|name| system.sql_name(name));
    let url = env("DXT_TEST_PG_URL");
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap().to_string();
    let schema = within(&system, "§");
    let definitions: Vec<String> = columns.iter().map(|(c, case)| format!("{c} {}", case.native)).collect();
    psql(&within(
        &system,
        &format!(
            "CREATE VIEW {view} AS SELECT * FROM {wide}; CREATE MATERIALIZED VIEW {stored} AS SELECT * FROM {wide}; \
             CREATE TABLE {parts} (LIKE {wide}) PARTITION BY RANGE (id); \
             CREATE TABLE {part_1} PARTITION OF {parts} FOR VALUES FROM (0) TO (2); \
             CREATE TABLE {part_2} PARTITION OF {parts} DEFAULT; INSERT INTO {parts} SELECT * FROM {wide}; \
             CREATE SERVER {schema}_loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname 'dxt'); \
             CREATE USER MAPPING FOR CURRENT_USER SERVER {schema}_loop OPTIONS (user 'dxt', password 'dxt-test-secret'); \
             CREATE FOREIGN TABLE {foreign} (id integer, {}) SERVER {schema}_loop OPTIONS (schema_name '{schema}', table_name 'wide')",
            definitions.join(", ")
        ),
    ));
    let sql = format!("type: sql, sql: 'SELECT * FROM {wide}'");
    let sources = [relation(&view), relation(&stored), relation(&parts), relation(&foreign), sql];
    let target = |i: usize| system.sql_name(&format!("to_{i}"));
    let streams: Vec<_> = sources
        .iter()
        .enumerate()
        .map(|(i, source)| (format!("s{i}"), source.clone(), target(i), fields(&columns)))
        .collect();
    run(&system, &pipeline(&system, &streams));
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let mut differ = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        let (was, is) = (catalog(&wide), catalog(&target(i)));
        for (was, is) in was.lines().zip(is.lines()) {
            // The NOT NULL of a table is none of a view, a foreign table or a result.
            let was = if i == 2 { was.to_string() } else { was.replace("id integer t", "id integer f") };
            let base = DOMAINS.iter().find(|(domain, _)| was.ends_with(&within(&system, &format!(" {domain} f"))));
            let was = match base {
                Some((domain, base)) if source.contains("sql:") => was.replace(&within(&system, domain), base),
                _ => was,
            };
            if was != is {
                differ.push(format!("{source}: {was} is {is}"));
            }
        }
        // Images are compared of one type only; these casts change none.
        for (column, case) in columns.iter().filter(|(_, case)| DOMAINS.iter().any(|(d, _)| *d == case.native)) {
            let sql = format!("ALTER TABLE {} ALTER {column} TYPE {}", target(i), case.native);
            psql(&within(&system, &sql));
        }
        // What the wrapper changes on its way (the declaration of an xml) is not dxt's doing.
        differ.extend(differences(if i == 3 { &foreign } else { &wide }, &target(i), &names));
    }
    psql(&format!("SET client_min_messages = warning; DROP SERVER {schema}_loop CASCADE"));
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn what_arrow_cannot_hold_names_column_value_and_the_way_out() {
    let (system, _) = prepared();
    let cases = [
        ("date", "infinity", "infinity"),
        ("date", "-infinity", "-infinity"),
        ("timestamp", "infinity", "infinity"),
        ("timestamp", "294276-12-31 23:59:59.999999", "294276-12-31 23:59:59.999999"),
        ("timestamptz", "-infinity", "-infinity"),
        ("timestamptz", "294276-12-31 23:59:59+00", "294276-12-31 23:59:59"),
        ("time", "24:00", "24:00"),
        ("numeric(10,2)", "NaN", "NaN"),
        ("numeric(50,2)", "NaN", "NaN"),
    ];
    for (i, (native, value, shown)) in cases.into_iter().enumerate() {
        let (src, dst) = (system.sql_name(&format!("src_{i}")), system.sql_name(&format!("dst_{i}")));
        psql(&format!("CREATE TABLE {src} (id int, v {native}); INSERT INTO {src} VALUES (1, '{value}')"));
        let stream = |fields: &str| [("s".to_string(), relation(&src), dst.clone(), fields.to_string())];
        let error = system.project.run(&pipeline(&system, &stream("[id, v]"))).exits(1).stream("s")["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("column v") && message.contains(shown), "{native}: {error}");
        assert!(error["hint"].as_str().unwrap().contains("dtype: string"), "{native}: {error}");
        assert_eq!(psql(&format!("SELECT to_regclass('{dst}')")), "NULL");
        let upsert = "[id, {id: v, dtype: string}]\n    load: {mode: upsert, upsert_keys: [id]}";
        for counts in [[1, 1, 0, 0], [1, 0, 0, 1]] {
            assert_eq!(
                system.project.run(&pipeline(&system, &stream(upsert))).exits(0).counts("s"),
                counts,
                "{native}"
            );
            assert_eq!(differences(&src, &dst, &["v".into()]), [""; 0], "{native}");
        }
        let type_of = |t: &str| psql(&format!("SELECT pg_typeof(v)::text FROM {t}"));
        assert_eq!(type_of(&dst), type_of(&src));
    }
}

#[test]
fn a_text_of_another_type_than_the_columns_is_still_cast_strictly() {
    let (system, _) = prepared();
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&format!(
        "CREATE TABLE {src} (id int, v timestamp); INSERT INTO {src} VALUES (1, '2024-02-29 12:00:00.5'); \
         CREATE TABLE {dst} (id int, v timestamp(0))"
    ));
    let stream = [("s".to_string(), relation(&src), dst.clone(), "[id, {id: v, dtype: string}]".to_string())];
    let error = system.project.run(&pipeline(&system, &stream)).exits(1).stream("s")["error"].clone();
    assert_eq!(error["kind"], "validation", "{error}");
    assert_eq!(psql(&format!("SELECT count(*) FROM {dst}")), "0");
    // Where the pipeline names text, text it is.
    let as_text = "[id, {id: v, dtype: string, target: {type: text}}]".to_string();
    let other = system.sql_name("texts");
    run(&system, &pipeline(&system, &[("s".to_string(), relation(&src), other.clone(), as_text)]));
    assert!(catalog(&other).contains("v text"), "{}", catalog(&other));
    assert_eq!(psql(&format!("SELECT v FROM {other}")), "2024-02-29 12:00:00.5");
}

#[test]
fn a_type_that_the_targets_database_lacks_is_named_with_the_way_out() {
    let (system, _) = prepared();
    let schema = within(&system, "§");
    let other = format!("other_{schema}");
    psql(&format!("CREATE DATABASE {other}"));
    psql(&format!("CREATE TABLE {schema}.src (id int, m {schema}.mood); INSERT INTO {schema}.src VALUES (1, 'ok')"));
    let url = env("DXT_TEST_PG_URL");
    let url = format!("{}/{other}", url.strip_suffix("/dxt").expect("the database dxt"));
    let yaml = |fields: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{sys: {}, other: '{url}'}}\nstreams:\n  - id: s\n    \
             source: {{connection: sys, value: '{schema}.src'}}\n    target: {{connection: other, value: public.dst}}\n    fields: {fields}\n",
            system.connection()
        )
    };
    let error = system.project.run(&yaml("[id, m]")).exits(1).stream("s")["error"].clone();
    assert_eq!(error["kind"], "type mapping", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("column m") && message.contains(&format!("{schema}.mood")), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("target: {type: text}"), "{error}");
    system.project.run(&yaml("[id, {id: m, target: {type: text}}]")).exits(0);
    psql(&format!("DROP DATABASE {other}"));
}

#[test]
fn sql_as_a_source_says_which_domains_it_loses_and_keeps_enums() {
    let (system, _) = prepared();
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    psql(&within(
        &system,
        &format!("CREATE TABLE {src} (id int, e §.email, m §.mood); INSERT INTO {src} VALUES (1, 'a@b', 'ok')"),
    ));
    let stream = |source: String, dst: &str| [("s".to_string(), source, dst.to_string(), "[id, e, m]".to_string())];
    system.project.write("p.yaml", &pipeline(&system, &stream(format!("type: sql, sql: 'SELECT * FROM {src}'"), &dst)));
    let ran = system.project.dxt(&["run", "p.yaml", "--verbose"]).exits(0);
    let said = ran.err.lines().find(|line| line.contains("base type")).unwrap_or_else(|| panic!("{}", ran.err));
    assert!(said.contains("column=\"e\"") && said.contains("email") && said.contains("text"), "{said}");
    let mood = within(&system, "§.mood");
    assert_eq!(catalog(&dst), format!("id integer f\ne text f\nm {mood} f"));
    let kept = system.sql_name("kept");
    run(&system, &pipeline(&system, &stream(relation(&src), &kept)));
    assert_eq!(catalog(&kept), catalog(&src));
}

#[test]
fn what_a_role_has_set_for_itself_changes_nothing() {
    let (system, all) = prepared();
    let columns = wide(&system, "wide", &all);
    let schema = within(&system, "§");
    let role = format!("odd_{schema}");
    psql(&format!(
        "CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'dxt-test-secret'; ALTER ROLE {role} SET xmloption = document; \
         ALTER ROLE {role} SET \"DateStyle\" = 'German, DMY'; ALTER ROLE {role} SET \"IntervalStyle\" = 'sql_standard'; \
         ALTER ROLE {role} SET \"TimeZone\" = 'Asia/Kathmandu'; ALTER ROLE {role} SET search_path = ''; \
         ALTER ROLE {role} SET extra_float_digits = -15; ALTER ROLE {role} SET bytea_output = 'escape'; \
         ALTER ROLE {role} SET array_nulls = off; ALTER ROLE {role} SET quote_all_identifiers = on; \
         ALTER ROLE {role} SET standard_conforming_strings = off; ALTER ROLE {role} SET default_transaction_read_only = on; \
         ALTER ROLE {role} SET default_transaction_isolation = 'serializable'; ALTER ROLE {role} SET row_security = on; \
         ALTER ROLE {role} SET statement_timeout = '300ms'; ALTER ROLE {role} SET transform_null_equals = on; \
         ALTER ROLE {role} SET client_encoding = 'LATIN1'; ALTER ROLE {role} SET backslash_quote = off"
    ));
    let odd = env("DXT_TEST_PG_URL").replace("//dxt:", &format!("//{role}:"));
    let [wide, made, there, slow] = ["wide", "made", "there", "slow"].map(|name| system.sql_name(name));
    psql(&format!("CREATE TABLE {there} (LIKE {wide})"));
    let wait = format!("type: sql, sql: 'SELECT id, pg_sleep(0.5)::text AS waited FROM {wide} WHERE id = 0'");
    let yaml = pipeline(
        &system,
        &[
            ("a".into(), relation(&wide), made.clone(), fields(&columns)),
            ("b".into(), relation(&wide), there.clone(), fields(&columns)),
            ("c".into(), wait, slow.clone(), "[id]".into()),
        ],
    );
    run(&system, &yaml.replace(&system.connection(), &format!("'{odd}'")));
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let differ = [differences(&wide, &made, &names), differences(&wide, &there, &names)].concat();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(catalog(&made), catalog(&wide));
    psql(&format!("REASSIGN OWNED BY {role} TO dxt; DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_timeout_that_the_connection_itself_asks_for_holds() {
    let (system, _) = prepared();
    let url = format!("{}?options=-c%20statement_timeout%3D300", env("DXT_TEST_PG_URL"));
    let wait = "type: sql, sql: 'SELECT 1 AS id, pg_sleep(5)::text AS waited'".to_string();
    let yaml = pipeline(&system, &[("s".into(), wait, system.sql_name("dst"), "[id, waited]".into())]);
    let ran = system.project.run(&yaml.replace(&system.connection(), &format!("'{url}'"))).exits(1);
    assert!(ran.out.contains("statement timeout"), "{}", ran.out);
}

#[test]
fn sqlite_csv_json_and_parquet_get_readable_values() {
    let (system, _) = prepared();
    let table = system.sql_name("src");
    let column =
        |make: &dyn Fn(&readable::Readable) -> String| READABLE.iter().map(make).collect::<Vec<_>>().join(", ");
    let names: Vec<String> = (0..READABLE.len()).map(|i| format!("c{i}")).collect();
    let definitions: Vec<String> = names.iter().zip(READABLE).map(|(c, r)| format!("{c} {}", r.native)).collect();
    psql(&within(
        &system,
        &format!(
            "CREATE TABLE {table} ({}); INSERT INTO {table} VALUES ({}); INSERT INTO {table} VALUES ({})",
            definitions.join(", "),
            column(&|r| format!("({})::{}", r.value, r.native)),
            column(&|_| "NULL".into()),
        ),
    ));
    let mut yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}, lite: 'sqlite:///out.db', files: {{type: file, path: .}}}}\n\
         source: {{connection: sys, value: '{table}'}}\nload: {{mode: replace}}\nstreams:\n",
        system.connection()
    );
    for (id, target) in
        [("sqlite", "lite, value: t"), ("csv", "files, value: out.csv"), ("json", "files, value: out.jsonl")]
    {
        yaml += &format!("  - {{id: {id}, target: {{connection: {target}}}}}\n");
    }
    yaml += "  - {id: parquet, target: {connection: files, value: out.parquet}}\n";
    run(&system, &yaml);

    let read = format!("import os\nos.chdir({:?})\n{READ}", system.project.root());
    let read = python(&read, &[]);
    assert_eq!(read.lines().count(), 3 * READABLE.len());
    let mut wrong = Vec::new();
    for line in read.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let expected = &READABLE[parts[1][1..].parse::<usize>().unwrap()];
        let text = within(&system, expected.text);
        // JSON in JSON is an object, whose blanks are nobody's.
        let same = parts[2] == text || (parts[0] == "json" && parts[2] == text.replace("  ", " "));
        let typed = parts[0] != "parquet" || expected.arrow.split('|').any(|arrow| arrow == parts[4]);
        if !same || !typed || parts[3] != "True" {
            wrong.push(format!("{}: {line}", expected.native));
        }
    }
    for (name, expected) in names.iter().zip(READABLE) {
        let sql =
            format!("SELECT quote({name}) FROM t WHERE c0 IS NOT NULL; SELECT quote({name}) FROM t WHERE c0 IS NULL");
        let there = sqlite3(&system.project.path("out.db"), &sql);
        if there != format!("{}\nNULL", within(&system, expected.sqlite)) {
            wrong.push(format!("{}: sqlite: {there}", expected.native));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
