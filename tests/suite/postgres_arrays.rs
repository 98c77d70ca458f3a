//! Arrays of PostgreSQL: lists on their way, and the same arrays again at its end, as the server itself compares them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Builder, ListArray, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::Int64Type;

use crate::support::{Kind, System, psql, write_parquet};

/// Element types with their edge values, as SQL of one array each.
const ARRAYS: [(&str, &str); 24] = [
    ("boolean", "true,NULL,false"),
    ("smallint", "-32768,NULL,32767"),
    ("integer", "-2147483648,NULL,2147483647"),
    ("bigint", "-9223372036854775808,NULL,9223372036854775807"),
    ("oid", "0,NULL,4294967295"),
    ("real", "'NaN','-Infinity',NULL,0.1,'-0'"),
    ("double precision", "'NaN','Infinity',NULL,0.1,1e-300"),
    ("numeric(12,2)", "-9999999999.99,NULL,0,0.01"),
    ("numeric(60,5)", "1234567890123456789012345678901234567890.12345,NULL,-0.00001"),
    ("numeric(5,-2)", "1200,NULL,-9999900"),
    ("text", r#"'',NULL,'NULL','a"b\c{,}',E'tab\tnl\ncr\r','日本',' x '"#),
    ("character varying(20)", "'abc  ',NULL,''"),
    ("character(3)", "'ab',NULL,'äöü'"),
    ("name", "'n',NULL,'Name'"),
    ("json", r#"'{"a": 1, "a": [2,  3]}',NULL,'"x\ny"'"#),
    ("jsonb", r#"'{"a": 1}',NULL,'null'"#),
    ("bytea", r"'\x00ff5c22',NULL,''"),
    ("date", "'0001-01-01 BC',NULL,'2024-02-29'"),
    ("time without time zone", "'00:00',NULL,'23:59:59.999999'"),
    ("time(0) without time zone", "'12:00:01',NULL"),
    ("timestamp without time zone", "'0044-03-15 10:00:00.000001 BC',NULL,'2024-02-29 01:02:03'"),
    ("timestamp(3) without time zone", "'2024-02-29 01:02:03.123',NULL"),
    ("timestamp with time zone", "'2024-02-29 01:02:03.5+02',NULL,'0001-01-01 00:00+00 BC'"),
    ("timestamp(0) with time zone", "'1969-12-31 23:59:59+00',NULL"),
];

/// A table with a column of arrays for each element type: values, no elements, one NULL, and NULL.
fn all_arrays(table: &str) {
    let columns: Vec<String> = ARRAYS.iter().enumerate().map(|(i, (native, _))| format!("c{i} {native}[]")).collect();
    psql(&format!("CREATE TABLE {table} (id int PRIMARY KEY, {})", columns.join(", ")));
    let row = |write: &dyn Fn(&str, &str) -> String| {
        ARRAYS.iter().map(|(native, values)| write(native, values)).collect::<Vec<_>>().join(", ")
    };
    for (id, values) in [
        (1, row(&|native, values| format!("ARRAY[{values}]::{native}[]"))),
        (2, row(&|_, _| "'{}'".into())),
        (3, row(&|_, _| "'{NULL}'".into())),
        (4, row(&|_, _| "NULL".into())),
    ] {
        psql(&format!("INSERT INTO {table} VALUES ({id}, {values})"));
    }
}

fn pipeline(system: &System, source: &str, target: &str, rest: &str) -> String {
    format!(
        "version: 1\nname: p\nconnections: {{sys: {}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{source}'}}\n    \
         target: {{connection: sys, value: '{target}'}}\n{rest}",
        system.connection()
    )
}

/// Rows that only one of the two tables has, by their text.
fn differences(a: &str, b: &str) -> String {
    let only = |a: &str, b: &str| format!("(SELECT x::text FROM {a} x EXCEPT ALL SELECT x::text FROM {b} x)");
    psql(&format!("SELECT * FROM ({} UNION ALL {}) d", only(a, b), only(b, a)))
}

fn types(table: &str) -> String {
    psql(&format!(
        "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = '{table}'::regclass AND attnum > 0"
    ))
}

/// The statements for the target, as explain shows them.
fn copy_of(system: &System, yaml: &str) -> String {
    system.project.write("e.yaml", yaml);
    let shown = system.project.dxt(&["explain", "e.yaml"]).exits(0).out;
    shown.lines().find(|line| line.trim().starts_with("COPY ")).unwrap_or_else(|| panic!("{shown}")).trim().to_string()
}

#[test]
fn arrays_of_every_element_go_through_a_buffer_and_back_in_both_formats() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    all_arrays(&src);
    let texts = system.sql_name("texts");
    // One column without a binary form makes the whole load one of text.
    psql(&format!("CREATE TABLE {texts} AS SELECT *, interval '1 day' AS iv FROM {src}"));
    for (source, format) in [(&src, "binary"), (&texts, "text")] {
        for mode in ["{mode: replace}", "{mode: upsert, upsert_keys: [id]}"] {
            let dst = system.sql_name(&format!("{format}_{}", &mode[7..10]));
            let yaml = pipeline(&system, source, &dst, &format!("    load: {mode}\n"));
            assert!(copy_of(&system, &yaml).ends_with(&format!("WITH (FORMAT {format})")));
            for run in 0..2 {
                system.project.run(&yaml).exits(0);
                assert_eq!(differences(source, &dst), "", "{format} {mode} {run}");
            }
            assert_eq!(types(&dst), types(source));
        }
    }
}

#[test]
fn an_array_is_a_list_to_sql_over_it() {
    let system = System::new(Kind::Postgres);
    let src = system.sql_name("src");
    psql(&format!("CREATE TABLE {src} AS SELECT 1 AS id, '{{5,NULL,7}}'::int[] AS a"));
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{sys: {}, out: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    source: {{connection: sys, value: '{src}'}}\n    \
         target: {{connection: out, value: back.jsonl}}\n    fields: [a, {{id: n, source: {{expression: 'array_length(a)'}}}}, {{id: last, source: {{expression: 'a[3]'}}}}]\n    load: {{mode: replace}}\n",
        system.connection()
    );
    system.project.run(&yaml).exits(0);
    assert_eq!(system.project.read("back.jsonl").trim(), r#"{"a":[5,null,7],"n":3,"last":7}"#);
}

#[test]
fn an_array_that_is_no_list_is_shown_and_goes_as_text_where_the_field_says_so() {
    let system = System::new(Kind::Postgres);
    let (src, dst) = (system.sql_name("src"), system.sql_name("dst"));
    let yaml = |fields: &str| pipeline(&system, &src, &dst, &format!("{fields}    load: {{mode: replace}}\n"));
    psql(&format!("CREATE TABLE {src} (id int, a int[], t varchar(4)[], d date)"));
    for (values, shown) in [
        ("'{{1,2},{3,NULL}}', NULL, NULL", "column a: {{1,2},{3,NULL}}"),
        ("'[0:2]={1,2,3}', NULL, NULL", "column a: [0:2]={1,2,3}"),
        ("NULL, '[-1:0]={\"a b\",c}', NULL", "column t: [-1:0]={\"a b\",c}"),
    ] {
        psql(&format!("TRUNCATE {src}; INSERT INTO {src} VALUES (1, {values})"));
        let error = system.project.run(&yaml("")).exits(1).stream("s")["error"].clone();
        let report = error["report"].as_str().unwrap();
        assert!(report.contains(shown) && report.contains("dtype: string"), "{report}");
        assert_eq!(error["kind"], "validation");
    }
    psql(&format!(
        "INSERT INTO {src} VALUES (2, '{{{{1,2}},{{3,NULL}}}}', '[0:1]={{ab,\"c,d\"}}', 'infinity'), \
         (3, '[2:3][0:1]={{{{1,2}},{{3,4}}}}', '{{}}', '4713-01-01 BC'), (4, NULL, NULL, NULL)"
    ));
    let fields = "    fields: [id, {id: a, dtype: string}, {id: t, dtype: string}, {id: d, dtype: string}]\n";
    // Once into a table that is created, once into the table that is there.
    for run in 0..2 {
        system.project.run(&yaml(fields)).exits(0);
        assert_eq!(differences(&src, &dst), "", "{run}");
        assert_eq!(types(&dst), "integer,integer[],character varying(4)[],date");
    }
}

#[test]
fn lists_of_files_create_arrays_and_what_does_not_fit_an_element_is_refused() {
    let system = System::new(Kind::Postgres);
    let n = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), Some(vec![])]);
    let mut t = ListBuilder::new(StringBuilder::new());
    t.append_value([Some("a\"b"), Some("")]);
    t.append_null();
    let mut nested = ListBuilder::new(ListBuilder::new(Int64Builder::new()));
    nested.values().append_value([Some(1), Some(2)]);
    nested.values().append_value([Some(3)]);
    nested.append(true);
    nested.append_null();
    let columns: [(&str, ArrayRef); 3] =
        [("n", Arc::new(n)), ("t", Arc::new(t.finish())), ("nested", Arc::new(nested.finish()))];
    write_parquet(&system.project.path("in.parquet"), columns.to_vec());
    system.project.run(&system.load("in.parquet", "t", "    load: {mode: replace}\n")).exits(0);
    let table = system.sql_name("t");
    assert_eq!(types(&table), "bigint[],text[],json");
    assert_eq!(
        psql(&format!("SELECT n, t, nested FROM {table} ORDER BY t")),
        "{1,NULL}|{\"a\\\"b\",\"\"}|[[1,2],[3]]\n{}|NULL|NULL"
    );
    // Into a column of json the same lists go as JSON.
    psql(&format!("DROP TABLE {table}; CREATE TABLE {table} (n json, t jsonb, nested json)"));
    system.project.run(&system.load("in.parquet", "t", "    load: {mode: replace}\n")).exits(0);
    assert_eq!(
        psql(&format!("SELECT n, t, nested FROM {table} WHERE t IS NOT NULL")),
        "[1,null]|[\"a\\\"b\", \"\"]|[[1,2],[3]]"
    );
    psql(&format!("DROP TABLE {table}; CREATE TABLE {table} (n smallint[], t varchar(2)[])"));
    let yaml = system.load("in.parquet", "t", "    fields: [n, t]\n    load: {mode: replace}\n");
    let error = system.project.run(&yaml).exits(1).stream("s")["error"].clone();
    let report = error["report"].as_str().unwrap();
    assert!(report.contains("column t") && report.contains("2 characters"), "{report}");
    assert_eq!(psql(&format!("SELECT count(*) FROM {table}")), "0");
}

#[test]
fn arrays_of_elements_without_a_decoder_stay_text_of_their_own_type() {
    let system = System::new(Kind::Postgres);
    let (src, dst, mood) = (system.sql_name("src"), system.sql_name("dst"), system.sql_name("mood"));
    psql(&format!(
        "CREATE TYPE {mood} AS ENUM ('ok', 'so so'); \
         CREATE TABLE {src} (m {mood}[], i inet[], v interval[], n numeric[]); \
         INSERT INTO {src} VALUES ('{{ok,NULL,\"so so\"}}', '{{10.0.0.1/8}}', '{{\"1 mon\",NULL}}', '{{1.10,NaN,1e30}}'), \
         ('{{}}', '[0:1]={{::1,NULL}}', '{{{{\"1 day\"}},{{NULL}}}}', NULL)"
    ));
    let yaml = pipeline(&system, &src, &dst, "    load: {mode: replace}\n");
    for _ in 0..2 {
        system.project.run(&yaml).exits(0);
        assert_eq!((differences(&src, &dst), types(&dst)), (String::new(), types(&src)));
    }
}
