//! uuid from system to system: PostgreSQL, SQLite, files of every format, buffers and SQL over them.

use crate::support::{Kind, Project, System, env, psql, python, sqlite3};

const A: &str = "00112233-4455-6677-8899-aabbccddeeff";
const B: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
const C: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

fn postgres_table(system: &System) -> String {
    let src = system.sql_name("src");
    psql(&format!(
        "CREATE TABLE {src} (id int PRIMARY KEY, u uuid, j jsonb); \
         INSERT INTO {src} VALUES (1, '{A}', '{{\"k\": 1}}'), (2, '{B}', NULL), (3, '{C}', '[]'), (4, NULL, 'null')"
    ));
    src
}

/// A pipeline of one stream `s` between connections `a` and `b`.
fn pipeline(a: &str, source: &str, b: &str, target: &str, rest: &str) -> String {
    format!(
        "version: 1\nname: p\nconnections:\n  a: {a}\n  b: {b}\nstreams:\n  - id: s\n    source: {{connection: a, value: {source}}}\n    \
         target: {{connection: b, value: {target}}}\n{rest}"
    )
}

const FILES: &str = "{type: file, path: .}";
const REPLACE: &str = "    load: {mode: replace}\n";

#[test]
fn uuids_of_postgres_come_back_through_files_of_every_format() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let pg = system.connection();
    for (file, fields) in [
        ("x.parquet", ""),
        ("x.arrow", ""),
        ("x.csv", "    fields: [{id: id, dtype: int32}, {id: u, dtype: uuid}, {id: j, dtype: json}]\n"),
        ("x.jsonl", "    fields: [{id: id, dtype: int32}, {id: u, dtype: uuid}, {id: j, dtype: json}]\n"),
    ] {
        // A JSON null cannot be told from NULL in JSON lines.
        let some = if file == "x.jsonl" { "    criteria: {where: 'id < 4'}\n" } else { "" };
        system.project.run(&pipeline(&pg, &format!("'{src}'"), FILES, file, &format!("{REPLACE}{some}"))).exits(0);
        let back = system.sql_name(&file.replace('.', "_"));
        system.project.run(&pipeline(FILES, file, &pg, &format!("'{back}'"), &format!("{fields}{REPLACE}"))).exits(0);
        let only = if some.is_empty() { "" } else { "WHERE id < 4" };
        let differ = |x: &str, y: &str| {
            let rows = |t: &str| format!("SELECT id, u, j::jsonb::text FROM {t} {only}");
            psql(&format!("SELECT count(*) FROM ({} EXCEPT ALL {}) d", rows(x), rows(y)))
        };
        assert_eq!((differ(&src, &back), differ(&back, &src)), ("0".into(), "0".into()), "{file}");
        let types = format!("SELECT pg_typeof(u) FROM {back} LIMIT 1");
        assert_eq!(psql(&types), "uuid", "{file}");
    }
    assert!(system.project.read("x.csv").contains(&format!("2,{B},")));
    assert!(system.project.read("x.jsonl").contains(&format!("\"u\":\"{B}\"")));
}

#[test]
fn files_and_buffers_name_uuid_and_json_to_other_readers() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let pg = system.connection();
    let keep = "buffer: {cleanup_on_success: false}\n";
    for file in ["x.parquet", "x.arrow"] {
        system.project.run(&format!("{}{keep}", pipeline(&pg, &format!("'{src}'"), FILES, file, REPLACE))).exits(0);
    }
    let program = r#"
import sys, glob, pyarrow as pa, pyarrow.parquet as pq, pyarrow.ipc as ipc
root = sys.argv[1]
buffered = glob.glob(root + "/.dxt/buffer/p/s/*/part-*.parquet")[0]
for path in [root + "/x.parquet", buffered]:
    schema = pq.ParquetFile(path).schema
    print([str(schema.column(i).logical_type).split("(")[0] for i in range(len(schema))])
    for v in pq.read_table(path).column("u").to_pylist()[1:2]: print(str(v) if not isinstance(v, bytes) else v.hex())
for path in [root + "/x.parquet", root + "/x.arrow"]:
    s = pq.read_schema(path) if path.endswith("parquet") else ipc.open_file(path).schema
    for name in ["u", "j"]:
        f = s.field(name)
        m = f.metadata or {}
        print(name, getattr(f.type, "extension_name", None) or m.get(b"ARROW:extension:name", b"").decode())
"#;
    let said = python(program, &[&system.project.root().to_string_lossy()]);
    let lines: Vec<&str> = said.lines().collect();
    for at in [0, 2] {
        assert!(lines[at].ends_with(", 'UUID', 'JSON']"), "{said}");
        assert_eq!(lines[at + 1].replace('-', ""), B.replace('-', ""), "{said}");
    }
    assert_eq!(lines[4..], ["u arrow.uuid", "j arrow.json", "u arrow.uuid", "j arrow.json"], "{said}");
}

#[test]
fn sixteen_bytes_are_a_uuid_only_where_their_file_says_so() {
    let project = Project::new();
    let program = r#"
import sys, uuid, pyarrow as pa, pyarrow.parquet as pq, pyarrow.ipc as ipc
root, values = sys.argv[1], [uuid.UUID(u).bytes for u in sys.argv[2:]]
plain = pa.array(values, pa.binary(16))
named = pa.field("u", pa.binary(16), metadata={"ARROW:extension:name": "arrow.uuid", "ARROW:extension:metadata": ""})
both = pa.table([plain, plain], schema=pa.schema([named, pa.field("b", pa.binary(16))]))
pq.write_table(both, root + "/x.parquet")
with ipc.new_file(root + "/x.arrow", both.schema) as w: w.write_table(both)
"#;
    python(program, &[&project.root().to_string_lossy(), A, B]);
    for file in ["x.parquet", "x.arrow"] {
        let ran = project.dxt(&[
            "query",
            &format!("SELECT u, b, arrow_typeof(b) AS t FROM '{file}' WHERE u = '{}'", B.to_uppercase()),
            "--format",
            "csv",
        ]);
        assert_eq!(ran.exits(0).out, format!("u,b,t\n{B},\\x{},Binary\n", B.replace('-', "")), "{file}");
    }
}

#[test]
fn a_uuid_literal_is_compared_by_value_and_by_the_server() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let upper = B.to_uppercase();
    for (condition, ids) in [
        (format!("u = '{upper}'"), "2"),
        (format!("u IN ('{A}', '{{{upper}}}')"), "1\n2"),
        (format!("u BETWEEN '{A}' AND '{upper}'"), "1\n2"),
        (format!("u > '{B}'"), "3"),
        (format!("u::text LIKE '%{}'", &B[30..]), "2"),
    ] {
        let mark = format!("mark {src} {}", condition.len());
        psql(&format!("SELECT $m${mark}$m$"));
        let rest = format!("    criteria: {{where: \"{condition}\"}}\n    fields: [id]\n{REPLACE}");
        system.project.run(&pipeline(&system.connection(), &format!("'{src}'"), FILES, "x.csv", &rest)).exits(0);
        assert_eq!(system.project.read("x.csv").trim_end(), format!("id\n{ids}"), "{condition}");
        let log = std::fs::read_to_string(env("DXT_TEST_PG_LOG")).expect("the server's log");
        let sent = log.rsplit_once(&mark).expect("the mark").1;
        assert_eq!(sent.contains("::uuid"), !condition.contains("LIKE"), "{condition}: {sent}");
    }
    let rest = format!("    criteria: {{where: \"u = 'abc'\"}}\n{REPLACE}");
    let ran = system.project.run(&pipeline(&system.connection(), &format!("'{src}'"), FILES, "x.csv", &rest)).exits(1);
    let error = ran.stream("s")["error"].clone();
    assert!(error["report"].as_str().unwrap().contains("'abc' is no uuid"), "{error}");
}

#[test]
fn queries_over_buffers_files_and_servers_show_canonical_text() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let keep = "buffer: {cleanup_on_success: false}\n";
    let yaml = pipeline(&system.connection(), &format!("'{src}'"), FILES, "x.parquet", REPLACE);
    system.project.run(&format!("{yaml}{keep}")).exits(0);
    let query = |sql: &str, format: &str| {
        system.project.dxt(&["query", sql, "p.yaml", "--format", format]).exits(0).out.trim_end().to_string()
    };
    let one = format!("SELECT id, u FROM buffer.p.s WHERE u = '{B}'");
    assert_eq!(query(&one, "csv"), format!("id,u\n2,{B}"));
    assert_eq!(query(&one, "jsonl"), format!("{{\"id\":2,\"u\":\"{B}\"}}"));
    assert_eq!(query(&one, "json"), format!("[{{\"id\":2,\"u\":\"{B}\"}}]"));
    assert!(query(&one, "table").contains(B));
    let joined = format!(
        "SELECT count(*) AS n, count(DISTINCT f.u) AS d, max(f.u) AS m FROM b.\"x.parquet\" f JOIN a.{src} USING (u) WHERE f.u <= '{C}'"
    );
    assert_eq!(query(&joined, "csv"), format!("n,d,m\n3,3,{C}"));
    let nested = "SELECT array_agg(u ORDER BY u DESC) AS us FROM buffer.p.s WHERE id < 3";
    assert_eq!(query(nested, "jsonl"), format!("{{\"us\":[\"{B}\",\"{A}\"]}}"));
    assert_eq!(query(nested, "csv"), format!("us\n\"[\"\"{B}\"\",\"\"{A}\"\"]\""));
    let grouped = "SELECT u FROM buffer.p.s WHERE u IS NOT NULL GROUP BY u ORDER BY u DESC";
    assert_eq!(query(grouped, "csv"), format!("u\n{C}\n{B}\n{A}"));
}

#[test]
fn arrays_and_objects_of_uuids_go_through_files_and_databases() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let pg = system.connection();
    let yaml = |target: &str, connection: &str| {
        format!(
            "version: 1\nname: p\nconnections:\n  a: {pg}\n  b: {connection}\nstreams:\n  - id: s\n    source:\n      type: query\n      \
             sql: SELECT id, make_array(u, CAST(NULL AS uuid)) AS us, named_struct('k', u) AS o FROM a.{src} WHERE id = 2\n    \
             target: {{connection: b, value: {target}}}\n{REPLACE}"
        )
    };
    for file in ["x.parquet", "x.arrow", "x.jsonl", "x.csv"] {
        system.project.run(&yaml(file, FILES)).exits(0);
    }
    assert_eq!(system.project.read("x.jsonl"), format!("{{\"id\":2,\"us\":[\"{B}\",null],\"o\":{{\"k\":\"{B}\"}}}}\n"));
    for file in ["x.parquet", "x.arrow"] {
        let sql = format!("SELECT us[1] = '{B}' AS a, o['k'] = '{B}' AS b FROM '{file}'");
        assert_eq!(system.project.dxt(&["query", &sql, "--format", "csv"]).exits(0).out, "a,b\ntrue,true\n", "{file}");
        let back = pipeline(FILES, file, "'sqlite:///t.db'", &file.replace('.', "_"), REPLACE);
        system.project.run(&back).exits(0);
        let rows = sqlite3(&system.project.path("t.db"), &format!("SELECT us, o FROM {}", file.replace('.', "_")));
        assert_eq!(rows, format!("[\"{B}\",null]|{{\"k\":\"{B}\"}}"), "{file}");
    }
    let there = system.sql_name("nested");
    system.project.run(&yaml(&format!("'{there}'"), &pg)).exits(0);
    assert_eq!(psql(&format!("SELECT o ->> 'k' FROM {there}")), B);
}

#[test]
fn a_sqlite_table_holds_readable_texts_that_come_back_as_uuids() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let pg = system.connection();
    let lite = "'sqlite:///t.db'";
    let upsert =
        "    load: {mode: upsert, upsert_keys: [u]}\n    criteria: {where: 'u IS NOT NULL'}\n    fields: [u, id]\n";
    let there = pipeline(&pg, &format!("'{src}'"), lite, "t", upsert);
    assert_eq!(system.project.run(&there).exits(0).counts("s"), [3, 3, 0, 0]);
    assert_eq!(system.project.run(&there).exits(0).counts("s"), [3, 0, 0, 3]);
    let db = system.project.path("t.db");
    assert_eq!(sqlite3(&db, "SELECT u, typeof(u) FROM t WHERE id = 2"), format!("{B}|text"));
    let back = system.sql_name("back");
    system.project.run(&pipeline(lite, "t", &pg, &format!("'{back}'"), REPLACE)).exits(0);
    assert_eq!(psql(&format!("SELECT u FROM {back} WHERE u = '{B}'")), B);
    assert_eq!(psql(&format!("SELECT DISTINCT pg_typeof(u) FROM {back}")), "uuid");

    sqlite3(&db, &format!("CREATE TABLE odd (u TEXT); INSERT INTO odd VALUES ('{}'), ('none')", B.to_uppercase()));
    let read = |where_: &str| {
        let rest = format!("    fields: [{{id: u, dtype: uuid}}]\n{where_}{REPLACE}");
        system.project.run(&pipeline(lite, "odd", FILES, "x.csv", &rest))
    };
    let error = read("").exits(1).stream("s")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("'none' is not a uuid"), "{error}");
    sqlite3(&db, "DELETE FROM odd WHERE u = 'none'");
    sqlite3(&db, &format!("INSERT INTO odd VALUES ('{A}')"));
    read(&format!("    criteria: {{where: \"u = '{B}'\"}}\n")).exits(0);
    assert_eq!(system.project.read("x.csv"), format!("u\n{B}\n"));
    let sql = format!("SELECT id FROM b.t WHERE u = '{}'", B.to_uppercase());
    let ran = system.project.dxt(&["query", &sql, "--connection", "b=sqlite:///t.db", "--format", "csv"]);
    assert_eq!(ran.exits(0).out, "id\n2\n");
}

#[test]
fn an_incremental_stream_follows_a_uuid() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let pg = system.connection();
    psql(&format!("DELETE FROM {src} WHERE id > 2"));
    let dst = system.sql_name("dst");
    for (connection, target) in
        [(pg.as_str(), format!("'{dst}'")), ("'sqlite:///t.db'", "t".into()), (FILES, "x/".into())]
    {
        let options = if target == "x/" { "x/, options: {format: parquet}".to_string() } else { target.clone() };
        let rest = "    fields: [u]\n    extract: {mode: incremental, watermark_field: u}\n    load: {mode: append}\n";
        let yaml = pipeline(&pg, &format!("'{src}'"), connection, &options, rest);
        psql(&format!("DELETE FROM {src} WHERE id = 3"));
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), [2, 2, 0, 0], "{target}");
        psql(&format!("INSERT INTO {src} VALUES (3, '{C}', NULL)"));
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), [1, 1, 0, 0], "{target}");
        assert_eq!(system.project.run(&yaml).exits(0).counts("s"), [0, 0, 0, 0], "{target}");
    }
    assert_eq!(psql(&format!("SELECT string_agg(u::text, ',' ORDER BY u) FROM {dst}")), format!("{A},{B},{C}"));
}

#[test]
fn a_text_file_is_read_as_uuid_where_the_pipeline_says_so_and_strictly() {
    let project = Project::new();
    project.write("in.csv", &format!("u\n{{{}}}\n{}\n", B.to_uppercase(), A.replace('-', "")));
    let rest = format!("    fields: [{{id: u, dtype: uuid}}]\n{REPLACE}");
    project.run(&pipeline(FILES, "in.csv", FILES, "x.jsonl", &rest)).exits(0);
    assert_eq!(project.read("x.jsonl"), format!("{{\"u\":\"{B}\"}}\n{{\"u\":\"{A}\"}}\n"));
    let made = "    fields: [{id: g, dtype: uuid, metadata: {generated_by: dxt, generator: uuid}}]\n";
    project.run(&pipeline(FILES, "in.csv", FILES, "x.parquet", &format!("{made}{REPLACE}"))).exits(0);
    let sql = "SELECT count(DISTINCT g) AS n, min(octet_length(g::text)) AS l FROM 'x.parquet' WHERE g > '00000000000000000000000000000000'";
    assert_eq!(project.dxt(&["query", sql, "--format", "csv"]).exits(0).out, "n,l\n2,36\n");
    project.write("in.csv", &format!("u\n{B}\n{}\n", &B[1..]));
    let error = project.run(&pipeline(FILES, "in.csv", FILES, "x.jsonl", &rest)).exits(1).stream("s")["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("in.csv:3") && message.contains(&B[1..]) && message.contains("uuid"), "{error}");
    let wrong = rest.replace("dtype: uuid", "dtype: uuid, precision: 3");
    let ran = project.run(&pipeline(FILES, "in.csv", FILES, "x.jsonl", &wrong)).exits(2);
    assert!(ran.err.contains("dtype uuid takes no precision"), "{}", ran.err);
}

#[test]
fn a_uuid_that_is_read_as_string_still_fills_a_uuid_column() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let (pg, dst) = (system.connection(), system.sql_name("dst"));
    let rest = format!("    fields: [id, {{id: u, dtype: string}}]\n{REPLACE}");
    for _ in 0..2 {
        system.project.run(&pipeline(&pg, &format!("'{src}'"), &pg, &format!("'{dst}'"), &rest)).exits(0);
    }
    assert_eq!(psql(&format!("SELECT pg_typeof(u), u FROM {dst} WHERE id = 2")), format!("uuid|{B}"));
    system.project.run(&pipeline(&pg, &format!("'{src}'"), FILES, "x.parquet", &rest)).exits(0);
    let typed = "SELECT arrow_typeof(u) AS t FROM 'x.parquet' LIMIT 1";
    assert_eq!(system.project.dxt(&["query", typed, "--format", "csv"]).exits(0).out, "t\nUtf8\n");
}

#[test]
fn discover_shows_the_type() {
    let system = System::new(Kind::Postgres);
    let src = postgres_table(&system);
    let url = env("DXT_TEST_PG_URL");
    let ran = system.project.dxt(&["discover", &url, "--select", &src.replace('"', ""), "--format", "json"]).exits(0);
    assert!(ran.out.contains("\"dtype\": \"uuid\""), "{}", ran.out);
}
