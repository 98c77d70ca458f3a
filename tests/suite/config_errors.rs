//! The configuration from outside: every feature of the YAML, and every error with its line, column and way out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dxt::config::{self, DraftEnd, DraftLoad, DraftStream, PipelineDraft};
use dxt::connector::Registry;
use dxt::model::{
    BufferFormat, Compression, ExtractConfig, ExtractMode, FieldSource, Generator, LoadConfig, LoadMode, Lookback,
    Pipeline, RelationName, Source, SourceKind, Stream, Target, TargetKind, TypeName,
};
use dxt::{Error, ErrorKind};
use proptest::prelude::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Pipeline, Error> {
    config::from_yaml(text, Path::new("base"), &Registry::builtin(), &env(variables))
}

fn parse(text: &str) -> Pipeline {
    parse_with(text, &[]).unwrap()
}

/// All findings of a text, one a line.
fn faults(text: &str) -> String {
    let error = parse_with(text, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let lines: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
    assert!(error.diagnostics().iter().all(|d| d.hint.is_some()), "a finding has no way out: {lines:#?}");
    lines.join("\n")
}

const HEAD: &str = "\
version: 1
name: p
connections:
  shop: postgresql://ada:s3cret@localhost/shop
  lake: {type: file, path: ./lake/}
  warehouse: sqlite:///./warehouse.db
source: {connection: shop}
target: {connection: warehouse}
";

/// A pipeline with these streams; the first of their lines is the tenth.
fn with_streams(streams: &str) -> String {
    format!("{HEAD}streams:\n{streams}")
}

fn one_stream(stream: &str) -> Stream {
    let pipeline = parse(&with_streams(stream));
    assert_eq!(pipeline.streams.len(), 1);
    pipeline.streams.into_iter().next().unwrap()
}

fn relation(name: &str) -> RelationName {
    RelationName::parse(name).unwrap()
}

// ---- what the YAML means -------------------------------------------------------------------------------------------

#[test]
fn the_pipeline_of_the_documentation_loads() {
    let text = r#"
version: 1
name: shop_to_warehouse
connections:
  shop: postgresql://${PGUSER}:${PGPASSWORD:-}@${PGHOST:-localhost}/shop
  lake: {type: file, path: ./lake/}
  warehouse: sqlite:///./warehouse.db
source: {connection: shop}
target: {connection: warehouse}
buffer: {format: parquet, compression: zstd, location: ./.dxt/buffer}
extract: {batch_size: 1000}
load: {mode: append}
streams:
  - id: customers
    source: public.customers
    target: customers
    load: {mode: replace}
  - id: orders
    source: public.orders
    target: orders
    tags: [critical, daily]
    criteria: {where: "status <> 'draft'", limit: 10}
    fields:
      - id: order_id
      - {id: total, dtype: decimal, precision: 12, scale: 2, source: amount, target: order_total}
      - {id: order_year, dtype: int32, source: {expression: "extract(year from created_at)"}}
      - {id: loaded_at, dtype: timestamp_tz, metadata: {generated_by: dxt, generator: current_timestamp, owner: ada}}
      - updated_at
      - {id: note, nullable: false, source: {name: Note Text}, target: {name: remark, type: varchar(20)}}
    extract: {mode: incremental, watermark_field: updated_at, watermark_type: timestamp, lookback: 1h, partitions: 4}
    load: {mode: upsert, upsert_keys: [order_id], on_duplicate: error, batch_size: 500}
  - id: big_spenders
    source: {type: sql, sql: "SELECT customer_id, sum(amount) AS spent FROM orders GROUP BY 1"}
    target: big_spenders
  - id: enriched
    source:
      type: query
      sql: |
        SELECT o.*, s.segment FROM shop.public.orders o
        JOIN lake."segments.parquet" s USING (customer_id)
    target: enriched
  - id: events
    source: {connection: lake, value: "events/**/*.parquet", options: {}}
    target: {type: relation, value: events}
    load: {mode: append}
  - id: export
    target: {connection: lake, value: out/orders.parquet}
    source: public.orders
    load: {mode: replace, options: {compression: zstd}}
"#;
    let pipeline = parse_with(text, &[("PGUSER", "ada@work")]).unwrap();
    assert_eq!(pipeline.name, "shop_to_warehouse");
    assert_eq!(
        pipeline.connection("shop").unwrap().url.as_ref().unwrap().reveal(),
        "postgresql://ada%40work:@localhost/shop"
    );
    assert_eq!(pipeline.connection("lake").unwrap().fields["path"], "./lake/");
    assert_eq!(pipeline.connection("warehouse").unwrap().base_dir, Path::new("base"));
    assert_eq!(pipeline.buffer.location, Path::new("base/.dxt/buffer"));
    assert_eq!((pipeline.buffer.format, pipeline.buffer.compression), (BufferFormat::Parquet, Compression::Zstd));
    assert!(!pipeline.buffer.persist && pipeline.buffer.cleanup_on_success && pipeline.buffer.retain_on_failure);

    let [customers, orders, spenders, enriched, events, export] = pipeline.streams.as_slice() else { panic!() };
    assert_eq!(customers.source.kind, SourceKind::Relation(relation("public.customers")));
    assert_eq!(customers.source.connection, "shop");
    assert_eq!((customers.load.mode, customers.load.mode_explicit), (LoadMode::Replace, true));
    assert_eq!(customers.extract.batch_size, 1000);
    let position = customers.position.as_ref().unwrap();
    assert_eq!((position.line, position.column), (14, 5));

    assert_eq!(orders.tags, ["critical", "daily"]);
    let criteria = orders.criteria.as_ref().unwrap();
    assert_eq!((criteria.filter.as_deref(), criteria.limit), (Some("status <> 'draft'"), Some(10)));
    let [order_id, total, year, loaded, updated, note] = orders.fields.as_slice() else { panic!() };
    assert_eq!((order_id.id.as_str(), order_id.dtype, &order_id.source), ("order_id", None, &None));
    assert_eq!((total.dtype, total.precision, total.scale), (Some(TypeName::Decimal), Some(12), Some(2)));
    assert_eq!(total.source, Some(FieldSource::Column("amount".into())));
    assert_eq!(total.target_name(), "order_total");
    assert_eq!(year.source, Some(FieldSource::Expression("extract(year from created_at)".into())));
    assert_eq!(loaded.generator, Some(Generator::CurrentTimestamp));
    assert_eq!(loaded.metadata.keys().collect::<Vec<_>>(), ["owner"]);
    assert_eq!(updated.target_name(), "updated_at");
    assert_eq!(note.nullable, Some(false));
    assert_eq!(note.source, Some(FieldSource::Column("Note Text".into())));
    assert_eq!((note.target_name(), note.target.native_type.as_deref()), ("remark", Some("varchar(20)")));
    assert_eq!(
        orders.extract,
        ExtractConfig {
            mode: ExtractMode::Incremental,
            watermark_field: Some("updated_at".into()),
            lookback: Some(Lookback::Duration(Duration::from_secs(3600))),
            partitions: Some(4),
            partition_field: None,
            batch_size: 1000,
            require_pushdown: Vec::new(),
        }
    );
    assert_eq!(orders.load.upsert_keys, ["order_id"]);
    assert_eq!(orders.load.batch_size, Some(500));

    assert!(matches!(&spenders.source.kind, SourceKind::Sql(sql) if sql.starts_with("SELECT customer_id")));
    assert!(matches!(&enriched.source.kind, SourceKind::Query(sql) if sql.contains("lake.\"segments.parquet\"")));
    assert_eq!(events.source.kind, SourceKind::File("events/**/*.parquet".into()));
    assert_eq!(events.target.kind, TargetKind::Relation(relation("events")));
    assert_eq!(export.target.kind, TargetKind::File("out/orders.parquet".into()));
    assert_eq!(export.load.options["compression"], "zstd");
}

#[test]
fn the_type_of_a_source_follows_from_its_connection_and_text() {
    let kind = |source: &str| one_stream(&format!("  - id: s\n    target: t\n    source: {source}\n")).source.kind;
    assert_eq!(kind("public.orders"), SourceKind::Relation(relation("public.orders")));
    assert_eq!(kind("selected"), SourceKind::Relation(relation("selected")));
    assert_eq!(kind("'\"select\"'"), SourceKind::Relation(relation("\"select\"")));
    assert_eq!(kind("select 1"), SourceKind::Sql("select 1".into()));
    assert_eq!(
        kind("\"-- why\\n WITH x AS (SELECT 1) TABLE x\""),
        SourceKind::Sql("-- why\n WITH x AS (SELECT 1) TABLE x".into())
    );
    assert_eq!(kind("{sql: SELECT 1}"), SourceKind::Sql("SELECT 1".into()));
    assert_eq!(kind("{type: query, sql: SELECT 1}"), SourceKind::Query("SELECT 1".into()));
    assert_eq!(kind("{type: relation, value: select}"), SourceKind::Relation(relation("select")));
    assert_eq!(kind("{connection: lake, value: select.csv}"), SourceKind::File("select.csv".into()));
}

#[test]
fn a_query_needs_no_connection() {
    let text = "version: 1\nname: p\nstreams:\n- id: s\n  source: {type: query, sql: SELECT 1}\n  \
                target: {connection: 'sqlite:///x.db', value: t}\n";
    let pipeline = parse(text);
    assert_eq!(pipeline.streams[0].source.connection, "");
    assert_eq!(pipeline.streams[0].target.connection, "sqlite_1");
}

#[test]
fn a_connection_right_there_is_made_once_for_the_same_url() {
    let text = with_streams(
        "  - {id: a, source: {connection: 'sqlite:///x.db', value: t}, target: t}\n  \
           - {id: b, source: {connection: 'sqlite:///x.db', value: u}, target: u}\n  \
           - {id: c, source: {connection: 'sqlite:///y.db', value: u}, target: v}\n  \
           - {id: d, source: {connection: {type: file, path: ./in/}, value: a.csv}, target: w}\n  \
           - {id: e, source: {connection: 'sqlite:///./warehouse.db', value: t}, target: x}\n",
    );
    let pipeline = parse(&text);
    let sources: Vec<&str> = pipeline.streams.iter().map(|s| s.source.connection.as_str()).collect();
    assert_eq!(sources, ["sqlite_1", "sqlite_1", "sqlite_2", "file_1", "warehouse"]);
    assert_eq!(pipeline.connections.len(), 6);
}

#[test]
fn a_streams_own_settings_win_key_by_key() {
    let text = format!(
        "{HEAD}extract: {{mode: incremental, watermark_field: at, lookback: 1h, batch_size: 10}}\n\
         load: {{mode: upsert, upsert_keys: [id], options: {{primary_key: none}}}}\n\
         streams:\n\
         - {{id: a, source: t, target: t}}\n\
         - {{id: b, source: t, target: t, extract: {{mode: full}}, load: {{mode: append, options: {{primary_key: [id]}}}}}}\n\
         - {{id: c, source: t, target: t, extract: {{lookback: null, batch_size: 7}}}}\n"
    );
    let pipeline = parse(&text);
    let [a, b, c] = pipeline.streams.as_slice() else { panic!() };
    assert_eq!((a.extract.mode, a.extract.batch_size), (ExtractMode::Incremental, 10));
    assert_eq!((a.load.mode, a.load.upsert_keys.as_slice()), (LoadMode::Upsert, ["id".to_string()].as_slice()));
    assert_eq!((b.extract.mode, b.extract.lookback, b.extract.batch_size), (ExtractMode::Full, None, 10));
    assert_eq!(serde_json::to_string(&b.load.options).unwrap(), r#"{"primary_key":["id"]}"#);
    assert_eq!((c.extract.mode, c.extract.lookback, c.extract.batch_size), (ExtractMode::Incremental, None, 7));
}

#[test]
fn a_defaults_type_and_options_stay_with_its_connection() {
    let text = "version: 1\nname: p\nconnections: {lake: {type: file, path: x}, db: 'sqlite:///x.db'}\n\
                source: {connection: lake, type: file, options: {header: true}}\ntarget: db\nstreams:\n\
                - {id: a, source: a.csv, target: a}\n\
                - {id: b, source: {value: b.csv, options: {delimiter: ;}}, target: b}\n\
                - {id: c, source: {connection: db, value: t}, target: c}\n\
                - {id: d, source: {type: query, sql: SELECT 1}, target: d}\n";
    let pipeline = parse(text);
    let options: Vec<String> =
        pipeline.streams.iter().map(|s| serde_json::to_string(&s.source.options).unwrap()).collect();
    assert_eq!(options, [r#"{"header":true}"#, r#"{"delimiter":";","header":true}"#, "{}", "{}"]);
    assert_eq!(pipeline.streams[2].source.kind, SourceKind::Relation(relation("t")));
}

#[test]
fn append_counts_as_said_only_where_it_is_written() {
    let explicit = |load: &str| one_stream(&format!("  - {{id: s, source: t, target: t{load}}}\n")).load.mode_explicit;
    assert!(!explicit(""));
    assert!(!explicit(", load: {mode: null}"));
    assert!(explicit(", load: {mode: append}"));
}

#[test]
fn scalars_are_those_of_yaml_1_2_and_keep_their_text() {
    let stream = one_stream(
        "  - id: s\n    source: t\n    target: t\n    tags: [no, on, 007, 1.10, 2024-01-01]\n    load:\n      options: {primary_key: \
         {a: no, b: 007, c: 1.10, d: 12, e: true, f: null, g: \"12\", h: 0x10, i: [1, x], j: {k: ~}, l: 1e3}}\n",
    );
    assert_eq!(stream.tags, ["no", "on", "007", "1.10", "2024-01-01"]);
    assert_eq!(
        serde_json::to_string(&stream.load.options["primary_key"]).unwrap(),
        r#"{"a":"no","b":"007","c":"1.10","d":12,"e":true,"f":null,"g":"12","h":"0x10","i":[1,"x"],"j":{"k":null},"l":"1e3"}"#
    );
}

#[test]
fn anchors_aliases_and_merge_keys() {
    let text = with_streams(
        "  - &base\n    id: a\n    source: t\n    target: t\n    load: &up {mode: upsert, upsert_keys: [id]}\n  \
           - <<: *base\n    id: b\n    load: {<<: *up, upsert_keys: [k]}\n  \
           - {<<: [{id: c}, *base], target: u, load: *up}\n",
    );
    let pipeline = parse(&text);
    let [a, b, c] = pipeline.streams.as_slice() else { panic!() };
    assert_eq!((a.id.as_str(), b.id.as_str(), c.id.as_str()), ("a", "b", "c"));
    assert_eq!((b.load.mode, b.load.upsert_keys.as_slice()), (LoadMode::Upsert, ["k".to_string()].as_slice()));
    assert_eq!(c.target.kind, TargetKind::Relation(relation("u")));
    assert_eq!(c.load, a.load);
}

#[test]
fn lookback_takes_units_or_a_number() {
    let lookback = |text: &str| {
        let stream = format!(
            "  - {{id: s, source: t, target: t, extract: {{mode: incremental, watermark_field: w, lookback: {text}}}, \
             load: {{mode: upsert, upsert_keys: k}}}}\n"
        );
        one_stream(&stream).extract.lookback.unwrap()
    };
    let seconds = |s| Lookback::Duration(Duration::from_secs(s));
    assert_eq!(lookback("90s"), seconds(90));
    assert_eq!(lookback("15m"), seconds(900));
    assert_eq!(lookback("7d"), seconds(604_800));
    assert_eq!(lookback("2w"), seconds(1_209_600));
    assert_eq!(lookback("1000"), Lookback::Count(1000));
}

#[test]
fn variables_expand_after_parsing() {
    let nasty = "x\nload: {mode: replace}\n# }]";
    let text =
        with_streams("  - {id: s, source: t, target: t, tags: [\"${TAG}\"], criteria: {where: \"a = '$${X} $1'\"}}\n");
    let stream = parse_with(&text, &[("TAG", nasty)]).unwrap().streams.remove(0);
    assert_eq!(stream.tags, [nasty], "a value cannot change the structure");
    assert_eq!(stream.load.mode, LoadMode::Append);
    assert_eq!(stream.criteria.unwrap().filter.as_deref(), Some("a = '${X} $1'"));
    let text = with_streams(
        "  - id: s\n    source: t\n    target: t\n    extract:\n      batch_size: \"${N}\"\n      partitions: ${N}\n",
    );
    let error = parse_with(&text, &[("N", "8")]).unwrap_err();
    assert_eq!(
        error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["<yaml>:14:19: batch_size must be a whole number, not `${N}` … write digits only, without quotes or units"],
        "what stands in quotes is a text, the other a number"
    );
}

#[test]
fn the_project_file_is_shared_and_the_pipeline_wins() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    let project = "connections:\n  db: sqlite:///x.db\n  lake: {type: file, path: ./lake/}\n  \
                   prod: postgresql://u:${PROD_PW}@h/db\nbuffer: {compression: lz4, location: buf}\n\
                   load: {mode: replace}\nsource: {connection: lake}\ntarget: {connection: db}\n";
    std::fs::write(folder.path().join("dxt_project.yaml"), project).unwrap();
    std::fs::write(deep.join("q.sql"), "SELECT 1 -- ${NOT_A_VARIABLE}\n").unwrap();
    let path = deep.join("p.yaml");
    let pipeline = "version: 1\nname: p\nconnections: {db: 'sqlite:///own.db'}\nbuffer: {compression: zstd}\nstreams:\n\
                    - {id: a, source: a.csv, target: a}\n- {id: b, source: {connection: db, sql_file: q.sql}, target: b}\n";
    std::fs::write(&path, pipeline).unwrap();
    let loaded = config::load(&path, &Registry::builtin(), &env(&[])).unwrap();
    assert_eq!(loaded.connection("db").unwrap().url.as_ref().unwrap().reveal(), "sqlite:///own.db");
    assert_eq!(loaded.connection("db").unwrap().base_dir, deep);
    assert_eq!(loaded.connection("lake").unwrap().base_dir, folder.path());
    assert!(loaded.connection("prod").is_none(), "an unused connection's missing variable is of no account");
    assert_eq!(loaded.buffer.compression, Compression::Zstd);
    assert_eq!(loaded.buffer.location, folder.path().join("buf"));
    assert_eq!(loaded.streams[0].load.mode, LoadMode::Replace);
    assert_eq!(loaded.streams[1].source.kind, SourceKind::Sql("SELECT 1 -- ${NOT_A_VARIABLE}\n".into()));

    let used = format!("{pipeline}- {{id: c, source: {{type: query, sql: SELECT * FROM prod.public.t}}, target: c}}\n");
    std::fs::write(&path, used).unwrap();
    let error = config::load(&path, &Registry::builtin(), &env(&[])).unwrap_err();
    let place = format!("{}:4:9", folder.path().join("dxt_project.yaml").display());
    assert_eq!(
        error.message(),
        format!("{place}: the variable PROD_PW is not set … set it, or write ${{PROD_PW:-default}}")
    );

    let connections = config::load_connections(&deep, &Registry::builtin(), &env(&[("PROD_PW", "x")])).unwrap();
    assert_eq!(connections.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["db", "lake", "prod"]);
    let error = config::load_connections(&deep, &Registry::builtin(), &env(&[])).unwrap_err();
    assert!(error.message().contains("the variable PROD_PW is not set"), "{error}");
}

#[test]
fn a_draft_loads_again_as_it_was_meant() {
    let mut draft = PipelineDraft::new("found");
    draft.connections.insert("shop".into(), "postgresql://${PGUSER}@localhost/shop".into());
    draft.connections.insert("out".into(), serde_json::json!({"type": "file", "path": "./out/"}));
    draft.source = Some(DraftEnd::connection("shop"));
    draft.target = Some(DraftEnd::connection("out"));
    let names =
        ["public.orders", "\"no\".\"a.b\"", "select", "\"${X}\"", "\"007\"", "\"a: b # c\"", "with.tables", "日本"];
    for (i, name) in names.iter().enumerate() {
        draft.streams.push(DraftStream {
            id: format!("s{i}_{}", config::stream_id(name)),
            source: DraftEnd::relation(*name),
            target: DraftEnd::file(format!("{i}.parquet")),
            load: Some(DraftLoad { mode: LoadMode::Replace, upsert_keys: Vec::new() }),
        });
    }
    let yaml = config::to_yaml(&draft).unwrap();
    let pipeline = parse_with(&yaml, &[("PGUSER", "ada")]).unwrap_or_else(|e| panic!("{}\n{yaml}", e.report()));
    for (stream, name) in pipeline.streams.iter().zip(names) {
        assert_eq!(stream.source.kind, SourceKind::Relation(relation(name)), "{yaml}");
    }
    assert_eq!(pipeline.streams[0].target.kind, TargetKind::File("0.parquet".into()));
}

#[test]
fn a_pipeline_built_in_code_passes_the_same_checks() {
    let stream = |id: &str, load| {
        let source = Source::relation("db", "orders").unwrap();
        Stream::new(id, source, Target::file("lake", "out.parquet")).with_load(load)
    };
    let builder = || Pipeline::builder("p").connection("db", "sqlite:///x.db").connection("lake", "file:///tmp/lake");
    let pipeline = builder().stream(stream("orders", LoadConfig::replace())).build().unwrap();
    assert_eq!(pipeline.streams[0].load.mode, LoadMode::Replace);
    let wrong = builder()
        .connection("dxt", "sqlite:///y.db")
        .stream(stream("a/b", LoadConfig::replace()))
        .stream(stream("c", LoadConfig::append()).with_extract(ExtractConfig::incremental("")))
        .stream(stream("d", LoadConfig::upsert(["id"])))
        .build()
        .unwrap_err();
    assert_eq!(
        wrong.report(),
        "the connection name dxt is reserved … rename it: SQL names other things by buffer, information_schema, dxt\n\
         the stream's id cannot be the name of a folder: it has `/` … use letters, digits, `_`, `-` and `.`, the dot not at the beginning\n\
         stream c: one file cannot be appended to … write `load: {mode: replace}`, or a folder of parts as the target: `out/`\n\
         streams a/b and c have one target, and one of them replaces it … give them targets of their own, or append\n\
         stream d: connection lake (file) cannot upsert; load modes it can: append, replace … write `load: {mode: …}` with one of append, replace\n\
         streams a/b and d have one target, and one of them replaces it … give them targets of their own, or append\n"
    );
}

// ---- what is wrong, where, and the way out ---------------------------------------------------------------------------

#[test]
fn sql_that_cannot_be_read_is_found_with_the_text() {
    let found = faults(&with_streams(
        "  - {id: s, source: t, target: t, criteria: {where: \"status <> \"}}
  - {id: u, source: t, target: u, fields: [a, {id: b, source: {expression: \"a b c\"}}]}
  - {id: v, source: {type: query, sql: \"SELEC 1\"}, target: v}
  - {id: w, source: t, target: w, criteria: {where: \"a in (1, 2)\"}, fields: [{id: b, source: {expression: \"sum(a)\"}}]}
",
    ));
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 3, "{found}");
    assert!(lines[0].starts_with("<yaml>:10:45: stream s: criteria `status <> `: Expected: an expression"), "{found}");
    assert!(lines[1].starts_with("<yaml>:11:") && lines[1].contains("field b: expression `a b c`: "), "{found}");
    assert!(lines[2].starts_with("<yaml>:12:") && lines[2].contains("the query cannot be read: Expected: "), "{found}");
    assert!(lines.iter().all(|l| l.ends_with("the SQL is DataFusion's dialect, much like PostgreSQL's")), "{found}");
}

#[test]
fn all_errors_of_a_file_are_reported_at_once() {
    let text = "\
version: 2
name: shop/x
connections:
  shop: postgresql://ada:${SECRET_PW}@localhost/shop
  lake: {type: flie, path: ./lake/}
  warehouse: sqlite:///./warehouse.db
  out: {type: file, path: ./out/}
  buffer: sqlite:///x.db
  broken: hunter2
source: {connection: shopp}
target: {connection: warehouse}
buffer: {format: parqet, persist: yes}
extract: {batch_size: 0}
streams:
  - id: orders
    source: {connection: warehouse, value: orders}
    target: orders
    load: {mode: upsert, upsert_key: [order_id]}
    lod: 1
  - id: orders
    source: {connection: warehouse, value: a..b}
    target: {connection: out, value: x.parquet}
    fields:
      - order_id
      - order_id
      - {id: total, dtype: decimal, precision: 4, scale: 6}
      - {id: price, dtype: \"numeric(10,2)\", target: amount}
      - {id: a, target: amount}
      - {id: b, source: {}}
      - {id: c, metadata: {generated_by: dxt, generator: current_timestmp}}
  - id: ../evil
    source: {connection: out, sql: SELECT 1}
    target: customers
    extract: {mode: incremental}
    load: {mode: replace}
    tags: {a: b}
  - id: up
    source: {connection: \"postgresql://u:secretpw@h/db\", value: t}
    target: {connection: out, value: up/}
    load: {mode: upsert, upsert_keys: id}
  - id: look
    source: {connection: warehouse, value: t}
    target: t
    fields: [id, updated_at, {id: n, target: m}]
    extract: {mode: incremental, watermark_field: updatd_at, lookback: 1 hour}
    load: {mode: upsert, upsert_keys: [idd, m]}
  - id: again
    source: {connection: warehouse, value: t}
    target: t
    extract: {mode: incremental, watermark_field: updated_at, lookback: 1h}
  - id: keyless
    source: {connection: warehouse, value: t}
    target: t
    load: {mode: upsert}
  - 5
";
    let expected = "\
<yaml>:1:10: version must be 1, not 2 … write `version: 1`
<yaml>:2:7: the pipeline's name cannot be the name of a folder: it has `/` … use letters, digits, `_`, `-` and `.`, the dot not at the beginning
<yaml>:4:9: the variable SECRET_PW is not set … set it, or write ${SECRET_PW:-default}
<yaml>:5:16: unknown connection type `flie` … did you mean file?
<yaml>:8:3: the connection name buffer is reserved … rename it: SQL names other things by buffer, information_schema, dxt
<yaml>:9:11: connection broken must be a URL or a map … write `sqlite:///./shop.db`, or `{type: file, path: ./data/}`
<yaml>:10:22: unknown connection shopp … did you mean shop?
<yaml>:12:18: unknown format `parqet` … did you mean parquet?
<yaml>:12:35: persist must be true or false, not `yes` … write true or false, without quotes
<yaml>:13:23: batch_size must be from 1 to 16777216, not 0 … take a number within these bounds
<yaml>:18:26: unknown key upsert_key … did you mean upsert_keys?
<yaml>:19:5: unknown key lod … did you mean load?
<yaml>:20:9: duplicate stream id orders … rename this stream or the first one (line 15)
<yaml>:21:44: stream orders: `a..b` is not a relation's name: a part is empty … write `table`, `schema.table`, or quote a part that has dots: \"my.table\"
<yaml>:22:38: stream orders: one file cannot be appended to, and append is the default mode … write `load: {mode: replace}`, or a folder of parts as the target: `x/`
<yaml>:25:9: stream orders: duplicate field id order_id … rename one: `{id: other, source: column}` takes one column twice
<yaml>:26:58: stream orders: field total: scale 6 is greater than precision 4 … precision counts all digits, scale those after the point
<yaml>:27:28: unknown dtype `numeric(10,2)` … write `dtype: decimal, precision: …, scale: …`
<yaml>:28:25: stream orders: two fields go into the target column amount … give one of them another `target:`
<yaml>:29:25: a field's source has neither name nor expression … write `{name: column}` for a column, or `{expression: \"SQL\"}`
<yaml>:30:58: unknown generator `current_timestmp` … did you mean current_timestamp?
<yaml>:31:9: the stream's id cannot be the name of a folder: it begins with a dot … use letters, digits, `_`, `-` and `.`, the dot not at the beginning
<yaml>:32:36: a stream: connection out (file) runs no SQL of its own … write `type: query`: dxt runs the SQL itself, over all connections
<yaml>:34:21: a stream: an incremental extract needs a watermark_field … add `watermark_field:` with a field that only grows, such as updated_at
<yaml>:35:18: a stream: an incremental extract with load mode replace would drop all earlier rows … write `mode: append` or `mode: upsert` in load, or `mode: full` in extract
<yaml>:36:11: tags must be a text or a list of texts, not a map … write `[one, two]`
<yaml>:40:18: stream up: connection out (file) cannot upsert; load modes it can: append, replace … write `load: {mode: …}` with one of append, replace
<yaml>:45:51: stream look: watermark_field updatd_at is not a field of the stream … did you mean updated_at?
<yaml>:45:72: lookback must be a duration or a whole number, not `1 hour` … write 90s, 15m, 1h, 7d or 2w for a time, or a whole number for a number
<yaml>:46:40: stream look: upsert key idd is not a field of the stream … did you mean id?
<yaml>:46:45: stream look: upsert key m is not a field of the stream … that is the target's name of the field: write n
<yaml>:50:73: stream again: lookback with load mode append would load rows twice … write `load: {mode: upsert, upsert_keys: […]}`, or remove lookback
<yaml>:54:18: stream keyless: load mode upsert needs upsert_keys … add `upsert_keys: [id]` with the fields that name a row
<yaml>:55:5: a stream must be a map, not 5 … known keys: id, description, tags, source, target, criteria, fields, extract, load, retries, retry_wait";
    assert_eq!(faults(text), expected);
    assert_eq!(parse_with(text, &[]).unwrap_err().report(), format!("{expected}\n"));
}

#[test]
fn errors_name_the_file_as_the_user_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub/../pipeline.yaml");
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let text = with_streams("  - id: orders\n    source: t\n    target: t\n    load: {mode: upsert, upsert_key: x}\n");
    std::fs::write(&path, text).unwrap();
    let error = config::load(&path, &Registry::builtin(), &env(&[])).unwrap_err();
    let expected = format!("{}:13:26: unknown key upsert_key … did you mean upsert_keys?", path.display());
    assert_eq!(error.message(), expected);
    assert_eq!(error.diagnostics()[0].position.as_ref().unwrap().file, path);

    let missing = config::load(&PathBuf::from("no_such.yaml"), &Registry::builtin(), &env(&[])).unwrap_err();
    assert!(missing.message().starts_with("cannot read no_such.yaml: "), "{missing}");
    assert!(missing.hint().is_some());
}

#[test]
fn each_single_fault_is_found() {
    // The stream begins in line 10, column 5.
    let cases = [
        ("- {id: s, source: t}", "<yaml>:10:5: stream s: target is missing … add `target: orders_copy`"),
        ("- {source: t, target: t}", "<yaml>:10:5: a stream has no id … add `id: orders`"),
        (
            "- {id: s, source: {type: relation}, target: t}",
            "<yaml>:10:21: stream s: source has no value … add `value: orders`",
        ),
        (
            "- {id: s, source: {sql: SELECT 1, value: x}, target: t}",
            "<yaml>:10:27: a source takes only one of value, sql and sql_file … remove the others",
        ),
        (
            "- {id: s, source: {type: relation, sql: SELECT 1}, target: t}",
            "<yaml>:10:43: stream s: a source of type relation or file takes a value, not SQL … write `type: sql`, or `value:` with a name in the place of the SQL",
        ),
        (
            "- {id: s, source: {type: table, value: x}, target: t}",
            "<yaml>:10:28: unknown type `table` … one of relation, sql, query, file",
        ),
        (
            "- {id: s, source: {connection: lake, type: relation, value: x}, target: t}",
            "<yaml>:10:46: stream s: connection lake (file) has files, not relations … write `type: file`, or no type",
        ),
        (
            "- {id: s, source: t, target: {type: file, value: x}}",
            "<yaml>:10:39: stream s: connection warehouse (sqlite) has relations, not files … write `type: relation`, or no type",
        ),
        (
            "- {id: s, source: t, target: {connection: warehose, value: x}}",
            "<yaml>:10:45: unknown connection warehose … did you mean warehouse?",
        ),
        (
            "- {id: s, source: t, target: {connection: lake, value: out/x.csv}, load: {mode: append}}",
            "<yaml>:10:83: stream s: one file cannot be appended to … write `load: {mode: replace}`, or a folder of parts as the target: `out/x/`",
        ),
        (
            "- {id: s, source: t, target: {connection: lake, value: out/*.csv}, load: {mode: replace}}",
            "<yaml>:10:58: stream s: a target is one file or a folder, not a pattern … write `out/orders.parquet` for one file, or `out/orders/` for a folder of parts",
        ),
        (
            "- {id: s, source: {type: query, sql: SELECT 1, options: {a: 1}}, target: t}",
            "<yaml>:10:28: stream s: a source of type query takes no options … remove them: files within a query are read with their connection's options",
        ),
        (
            "- {id: s, source: t, target: t, extract: {lookback: 1h}}",
            "<yaml>:10:55: stream s: lookback means nothing in a full extract … write `mode: incremental` with a watermark_field, or remove lookback",
        ),
        (
            "- {id: s, source: t, target: t, load: {mode: upsert, upsert_keys: [a, b, a]}}",
            "<yaml>:10:76: stream s: upsert key a stands twice … remove one of them",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, scale: 2}]}",
            "<yaml>:10:59: stream s: field a: a field without dtype takes no scale … write `dtype: decimal`, or remove it",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, dtype: int32, precision: 2}]}",
            "<yaml>:10:77: stream s: field a: dtype int32 takes no precision … write `dtype: decimal`, or remove it",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, dtype: decimal, scale: 2}]}",
            "<yaml>:10:75: stream s: field a: scale without precision … add `precision:`, which counts all digits",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, dtype: decimal, precision: 77}]}",
            "<yaml>:10:79: stream s: field a: the precision of a decimal is from 1 to 76 … precision counts all digits",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, dtype: timestamp, precision: 4}]}",
            "<yaml>:10:81: stream s: field a: the precision of a time is 0, 3, 6 or 9 … it counts the digits after the second: 3 for milliseconds, 6 for microseconds",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, dtype: bigint}]}",
            "<yaml>:10:59: unknown dtype `bigint` … did you mean int64?",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, type: int32}]}",
            "<yaml>:10:52: unknown key type … did you mean dtype?",
        ),
        (
            "- {id: s, source: t, target: t, fields: [{id: a, source: x, metadata: {generated_by: dxt, generator: uuid}}]}",
            "<yaml>:10:60: stream s: field a has both a source and a generator … remove one of them",
        ),
        (
            "- {id: s, source: t, target: t, fields: [a, {id: w, dtype: json}], extract: {mode: incremental, watermark_field: w}}",
            "<yaml>:10:116: stream s: watermark_field w is a json, which has no order to follow … take a number, a date, a timestamp or a string",
        ),
        (
            "- {id: true, source: t, target: t}",
            "<yaml>:10:10: id must be a text, not true … quote it if the word is meant: \"true\"",
        ),
        (
            "- {id: s, source: t, target: t, id: u}",
            "<yaml>:10:35: duplicate key id … it stands in line 10 already: remove one of them",
        ),
        (
            "- {id: s, source: t, target: t, extract: 5}",
            "<yaml>:10:44: extract must be a map, not 5 … known keys: mode, watermark_field, watermark_type, lookback, partitions, partition_field, batch_size, require_pushdown",
        ),
        (
            "- {id: s, source: t, target: t, criteria: {limit: -1}}",
            "<yaml>:10:53: limit must be from 0 to 18446744073709551615, not -1 … take a number within these bounds",
        ),
        (
            "- {id: \"a\\0b\", source: t, target: t}",
            "<yaml>:10:10: id must be a text without NUL, not a text with control characters … remove the NUL",
        ),
        (
            "- {id: \"a\\tb\", source: t, target: t}",
            "<yaml>:10:10: the stream's id cannot be the name of a folder: it has a control character … use letters, digits, `_`, `-` and `.`, the dot not at the beginning",
        ),
        (
            "- {id: a..b, source: t, target: t}",
            "<yaml>:10:10: the stream's id cannot be the name of a folder: it has two dots in a row … use letters, digits, `_`, `-` and `.`, the dot not at the beginning",
        ),
        (
            "- {id: !odd s, source: t, target: t}",
            "<yaml>:10:10: a tag that dxt does not know … remove the word that begins with `!`",
        ),
        (
            "- {id: s, source: t, target: t, load: {mode: upsrt, upsert_keys: [a]}}",
            "<yaml>:10:48: unknown mode `upsrt` … did you mean upsert?",
        ),
    ];
    for (stream, expected) in cases {
        assert_eq!(faults(&with_streams(&format!("  {stream}\n"))), expected, "{stream}");
    }
}

#[test]
fn what_follows_from_a_reported_error_is_not_reported() {
    let text = "version: 1\nname: p\nconections: {db: 'sqlite:///x.db'}\nstreams:\n\
                - {id: s, source: {connection: db, value: t}, target: {connection: db, value: u}}\n";
    assert_eq!(faults(text), "<yaml>:3:1: unknown key conections … did you mean connections?");
    let text =
        with_streams("  - {id: s, source: \"${NOPE}\", target: t, extract: {mode: \"${MODE}\", lookback: 1h}}\n");
    assert_eq!(
        faults(&text),
        "<yaml>:10:21: the variable NOPE is not set … set it, or write ${NOPE:-default}\n\
         <yaml>:10:59: the variable MODE is not set … set it, or write ${MODE:-default}"
    );
}

#[test]
fn what_is_no_pipeline_at_all() {
    assert_eq!(faults(""), "<yaml>:1:1: the file is empty … `dxt init` writes a project to begin with");
    assert_eq!(
        faults("[1]"),
        "<yaml>:1:1: a pipeline must be a map, not a list … known keys: version, name, description, connections, vars, source, target, buffer, extract, load, retries, retry_wait, streams"
    );
    assert_eq!(
        faults("name: p\nstreams: []"),
        "<yaml>:1:1: version is missing … add `version: 1`\n\
         <yaml>:2:10: streams is empty … add a stream: `- {id: orders, source: orders, target: orders}`"
    );
    assert_eq!(
        faults("version: 1\n"),
        "<yaml>:1:1: name is missing … add `name: my_pipeline`; buffers and reports use it\n\
         <yaml>:1:1: streams is missing … add `streams:` with `- {id: orders, source: orders, target: orders}`"
    );
    assert!(faults("a: [1").starts_with("<yaml>:"));
    assert!(faults("a: 1\n\tb: 2").ends_with("indent with spaces, YAML takes no tabs"), "{}", faults("a: 1\n\tb: 2"));
    assert!(faults("a: {b: ${X}}\n").contains("quote a variable that stands within"), "{}", faults("a: {b: ${X}}\n"));
    assert_eq!(
        faults("a: 1\n---\nb: 2\n"),
        "<yaml>:2:1: a second document begins here … a file holds one pipeline: remove the `---`"
    );
}

#[test]
fn no_secret_gets_into_an_error() {
    let text = "\
version: postgresql://u:hunter2@h/db
name: p
connections:
  a: {type: postgresql://u:hunter2@h/db}
  b: {url: hunter2}
  c: hunter2
  d: [hunter2]
  e: postgrs://u:hunter2@h/db
  f: {type: sqlite, url: 'postgresql://u:hunter2@h/db'}
  g: sqlite:///x.db
  'postgresql://u:hunter2@h/db': 1
postgresql://u:hunter2@h/db: 1
streams:
  - {id: s, source: postgresql://u:hunter2@h/db, target: {connection: postgresql://u:hunter2@h/db}}
  - {id: t, source: {connection: b, type: \"${PW}\", value: x}, target: {connection: c, value: x}, load: {mode: \"${PW}\"}}
  - {id: v, source: {connection: host=h password=hunter2, value: x}, target: {connection: g, value: \"${PW}.\"}}
  - {id: u, source: {connection: b, value: \"${PW}.\"}, target: {connection: c, value: x}, tags: {a: hunter2}}
";
    let error = parse_with(text, &[("PW", "hunter2")]).unwrap_err();
    let printed = format!("{error} {error:?} {}", error.report());
    assert!(error.diagnostics().len() > 8, "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let previous = format!("*a{}", i - 1);
        laughs += &format!("a{i}: &a{i} [{}]\n", [previous.as_str(); 10].join(", "));
    }
    assert!(faults(&laughs).contains("more than 1000000 values once its aliases are expanded"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100_000].join(", "));
    assert!(faults(&long).contains("more than 1000000 values once its aliases are expanded"));
    let deep = format!("a: {}{}\n", "[".repeat(200), "]".repeat(200));
    assert!(faults(&deep).contains("more than 100 lists and maps within each other"));
    let deep_block: String = (0..5_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(faults(&deep_block).contains("more than 100 lists and maps within each other"));
    assert!(faults("a: &a [*a]\n").contains("an alias refers to the node that it is in"));
}

// ---- nothing panics ----------------------------------------------------------------------------------------------------

const VALID: &str = r#"version: 1
name: p
connections: &c
  shop: postgresql://${PGUSER}:${PGPASSWORD:-x}@localhost/shop
  lake: {type: file, path: ./lake/}
source: {connection: shop}
target: {connection: lake, type: file, options: {format: csv, header: true}}
buffer: {format: none}
streams:
  - &s
    id: orders
    source: {sql: "SELECT 1"}
    target: out/x.csv
    tags: [a, 'b']
    fields:
      - {id: total, dtype: decimal, precision: 12, scale: 2, source: amount, target: {name: t, type: "num"}}
      - |-
        folded
    extract: {mode: full, batch_size: 10, lookback: ~}
    load: {mode: replace}
  - {<<: *s, id: more, target: out/more.csv, criteria: {where: "a > 1", limit: 3}}
"#;

/// Loads and looks at the outcome as a program would.
fn survive(text: &str) {
    match parse_with(text, &[("PGUSER", "ada")]) {
        Ok(pipeline) => assert!(!pipeline.streams.is_empty()),
        Err(error) => assert!(!error.report().is_empty() && !error.diagnostics().is_empty()),
    }
}

#[test]
fn the_text_that_is_mutated_is_valid() {
    parse_with(VALID, &[("PGUSER", "ada")]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_pipeline_or_an_error(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn any_soup_of_yaml_gives_a_pipeline_or_an_error(text in "([a-z]{1,3}|[ \\n\\-:\\[\\]{},&*!|>%@`#?'\"~<$]|: |- |\\n  |<<: ){0,60}") {
        survive(&text);
    }

    #[test]
    fn any_mutation_gives_a_pipeline_or_an_error(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[ \\n\\-:\\[\\]{},&*!|>%@`#?'\"~$a0\\.é\\t]{0,4}"), 1..5)
    ) {
        let mut chars: Vec<char> = VALID.chars().collect();
        for (at, removed, added) in edits {
            let at = at.index(chars.len().max(1)).min(chars.len());
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, added.chars());
        }
        survive(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn every_beginning_gives_a_pipeline_or_an_error(length in 0..VALID.len()) {
        if let Some(text) = VALID.get(..length) {
            survive(text);
        }
    }
}
