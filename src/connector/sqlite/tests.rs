//! The connector over real files: scans, the load modes, watermarks, and what goes wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use futures::{StreamExt, TryStreamExt};
use rusqlite::Connection;
use tempfile::TempDir;

use super::client::Client;
use super::sink::SqliteLoader;
use super::source::SqliteSource;
use super::types::SYSTEM;
use crate::connector::sql::{RemoteQuery, RemoteSource};
use crate::connector::{Dataset, ExtractRequest, LoadCounts, LoadSpec, Loader};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, DxtField, DxtSchema, DxtType, LoadMode, Options, RelationName};

struct Shop {
    folder: TempDir,
    client: Client,
}

impl Shop {
    fn new(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::of("shop", folder.path().join("shop.db"));
        let shop = Self { folder, client };
        if !sql.is_empty() {
            shop.sql(sql);
        }
        shop
    }

    fn connection(&self) -> Connection {
        let connection = Connection::open(&self.client.path).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        connection
    }

    fn sql(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    /// All rows as SQLite itself shows them, one text per row.
    fn rows(&self, sql: &str) -> Vec<String> {
        let connection = self.connection();
        let mut statement = connection.prepare(sql).unwrap();
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let cells = (0..width).map(|i| match row.get_ref(i).unwrap() {
                rusqlite::types::ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned(),
                other => super::codec::show(other).replace("integer ", "").replace("real ", ""),
            });
            Ok(cells.collect::<Vec<_>>().join("|"))
        };
        statement.query_map([], row).unwrap().map(|r| r.unwrap()).collect()
    }

    fn loader(&self, table: &str) -> SqliteLoader {
        let dataset = Dataset::Relation(RelationName { parts: vec![table.into()] });
        SqliteLoader::open(&self.client, &dataset).unwrap()
    }

    async fn load(&self, table: &str, spec: &LoadSpec, batches: Vec<RecordBatch>) -> Result<LoadCounts> {
        let loader = self.loader(table);
        loader.check(spec)?;
        let mut load = loader.begin(spec).await?;
        for batch in batches {
            load.write(batch).await?;
        }
        let counts = load.seal().await?;
        load.commit().await?;
        Ok(counts)
    }

    async fn read(&self, dataset: Dataset, declared: &[(&str, DxtType)]) -> Result<RecordBatch> {
        let mut request = ExtractRequest::new(dataset);
        request.declared = declared.iter().map(|(n, t)| (n.to_string(), t.clone())).collect();
        let (source, schema) = SqliteSource::open(&self.client, &request)?;
        let query = query_of(&source, &schema, &from(&request.dataset));
        collect(&source, query).await
    }
}

fn from(dataset: &Dataset) -> String {
    match dataset {
        Dataset::Sql(sql) => format!("({sql})"),
        Dataset::Relation(name) => format!("\"{}\"", name.table()),
        Dataset::Path(_) => unreachable!(),
    }
}

fn table(name: &str) -> Dataset {
    Dataset::Relation(RelationName { parts: vec![name.into()] })
}

fn query_of(source: &SqliteSource, schema: &DxtSchema, from: &str) -> RemoteQuery {
    let mut items: Vec<String> = schema.fields.iter().map(|f| source.dialect().select(f)).collect();
    items.extend(source.locator());
    let sql = format!("SELECT {} FROM {from}", items.join(", "));
    RemoteQuery { sql, fields: schema.fields.clone(), batch_size: 2 }
}

async fn collect(source: &SqliteSource, query: RemoteQuery) -> Result<RecordBatch> {
    let schema = DxtSchema::new(query.fields.clone()).to_arrow();
    let stream = source.open(query, Arc::new(TaskContext::default()))?;
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(|e| match e {
        DataFusionError::External(e) => *e.downcast::<Error>().unwrap(),
        other => panic!("{other}"),
    })?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn spec(mode: LoadMode, fields: Vec<DxtField>, keys: &[&str]) -> LoadSpec {
    LoadSpec {
        mode,
        schema: DxtSchema::new(fields),
        keys: keys.iter().map(|k| k.to_string()).collect(),
        watermark: None,
        expected_watermark: None,
        expect_empty: false,
        once: None,
        reread: false,
        run_id: "run".into(),
        options: Options::new(),
    }
}

fn id_and_name() -> Vec<DxtField> {
    vec![DxtField::new("id", DxtType::Int64), DxtField::new("name", DxtType::String)]
}

fn people(rows: &[(Option<i64>, &str)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|r| r.0).collect();
    let names: StringArray = rows.iter().map(|r| Some(r.1)).collect();
    RecordBatch::try_new(DxtSchema::new(id_and_name()).to_arrow(), vec![Arc::new(ids), Arc::new(names)]).unwrap()
}

fn counts(staged: u64, inserted: u64, updated: u64, unchanged: u64, dropped: u64) -> LoadCounts {
    LoadCounts { staged, inserted, updated, unchanged, dropped, ..LoadCounts::default() }
}

fn uncounted(counts: LoadCounts) -> LoadCounts {
    LoadCounts { bytes: 0, ..counts }
}

#[tokio::test]
async fn a_missing_target_is_created_and_reads_back_as_it_was_stored() {
    let shop = Shop::new("");
    let loader = shop.loader("select");
    assert!(loader.existing().is_none() && !loader.has_rows().await.unwrap());
    let sources = [
        DxtField::new("a\"b", DxtType::Uint32).nullable(false),
        DxtField::new("日本", DxtType::Timestamp { precision: 9 }),
        DxtField::new("Mixed Case", DxtType::Decimal { precision: 20, scale: 2 }),
    ];
    let fields: Vec<DxtField> = sources.iter().map(|f| loader.stored(f, None).unwrap()).collect();
    assert_eq!(fields[0].dtype, DxtType::Int64);
    assert_eq!(fields[2].native_in(SYSTEM), Some("TEXT_DECIMAL(20,2)"));
    let spec = spec(LoadMode::Append, fields.clone(), &[]);
    let decimals = Decimal128Array::from(vec![Some(-150), None]).with_precision_and_scale(20, 2).unwrap();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(1), None])),
        Arc::new(decimals),
    ];
    let batch = RecordBatch::try_new(spec.schema.to_arrow(), arrays).unwrap();
    let done = shop.load("select", &spec, vec![batch.clone()]).await.unwrap();
    assert_eq!(uncounted(done), counts(2, 2, 0, 0, 0));
    assert!(done.bytes > 0);
    assert_eq!(shop.rows("SELECT * FROM \"select\""), ["1|1970-01-01 00:00:00.000000001|-1.50", "2|NULL|NULL"]);
    let back = shop.loader("SELECT");
    assert_eq!(back.existing().unwrap().fields, fields);
    assert!(back.has_rows().await.unwrap());
    assert_eq!(shop.read(table("select"), &[]).await.unwrap(), batch);
}

#[tokio::test]
async fn replace_leaves_the_rows_of_the_load_and_all_that_hangs_on_the_table() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE child (t REFERENCES t ON DELETE CASCADE); \
         CREATE INDEX i ON t (name); CREATE VIEW v AS SELECT name FROM t; \
         INSERT INTO t VALUES (1, 'old'), (2, 'older'); INSERT INTO child VALUES (1);",
    );
    let spec = spec(LoadMode::Replace, id_and_name(), &[]);
    let done = shop.load("t", &spec, vec![people(&[(Some(1), "new")])]).await.unwrap();
    assert_eq!(uncounted(done), counts(1, 1, 0, 0, 0));
    assert_eq!(shop.rows("SELECT * FROM v"), ["new"]);
    assert_eq!(shop.rows("SELECT * FROM child"), ["1"]);
    assert_eq!(shop.rows("SELECT name FROM sqlite_schema WHERE type = 'index'"), ["i"]);
    shop.load("t", &spec, vec![]).await.unwrap();
    assert!(shop.rows("SELECT * FROM t").is_empty());
}

#[tokio::test]
async fn an_error_in_the_last_batch_leaves_the_target_as_it_was_in_every_mode() {
    for mode in [LoadMode::Append, LoadMode::Replace, LoadMode::Upsert] {
        let shop =
            Shop::new("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a')");
        let spec = spec(mode, id_and_name(), &["id"]);
        let batches = vec![people(&[(Some(2), "b"), (Some(1), "x")]), people(&[(None, "c")])];
        let batches = if mode == LoadMode::Append { batches[1..].to_vec() } else { batches };
        let error = shop.load("t", &spec, batches).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Validation, "{error:?}");
        assert!(error.message().contains("column id") && error.message().contains("shop.t"), "{error:?}");
        assert_eq!(shop.rows("SELECT * FROM t"), ["1|a"], "{mode:?}");
    }
}

#[tokio::test]
async fn a_load_that_is_aborted_or_dropped_leaves_nothing_behind() {
    let shop = Shop::new("CREATE TABLE other (x)");
    let spec = spec(LoadMode::Append, id_and_name(), &["id"]);
    for abort in [true, false] {
        let mut load = shop.loader("t").begin(&spec).await.unwrap();
        load.write(people(&[(Some(1), "a")])).await.unwrap();
        load.seal().await.unwrap();
        if abort {
            load.abort().await.unwrap();
        } else {
            drop(load);
        }
        assert!(shop.loader("t").existing().is_none());
    }
    let load = shop.loader("t").begin(&spec).await.unwrap();
    assert_eq!(load.commit().await.unwrap_err().kind(), ErrorKind::Loader, "a commit without a seal");
}

#[tokio::test]
async fn an_upsert_counts_what_it_does_and_changes_nothing_the_second_time() {
    for ddl in [
        "id BIGINT NOT NULL PRIMARY KEY, name TEXT",
        "id BIGINT, name TEXT",
        "id BIGINT PRIMARY KEY, name TEXT) WITHOUT ROWID --",
    ] {
        let shop = Shop::new(&format!("CREATE TABLE t ({ddl}\n)").replace("--\n)", ""));
        shop.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
        let spec = spec(LoadMode::Upsert, id_and_name(), &["id"]);
        let rows = || vec![people(&[(Some(1), "a"), (Some(2), "B")]), people(&[(Some(4), "d")])];
        assert_eq!(uncounted(shop.load("t", &spec, rows()).await.unwrap()), counts(3, 1, 1, 1, 0), "{ddl}");
        assert_eq!(shop.rows("SELECT * FROM t ORDER BY id"), ["1|a", "2|B", "3|c", "4|d"]);
        assert_eq!(uncounted(shop.load("t", &spec, rows()).await.unwrap()), counts(3, 0, 0, 3, 0), "{ddl}");
    }
}

#[tokio::test]
async fn keys_compare_by_their_bytes_whatever_the_targets_collation() {
    let shop =
        Shop::new("CREATE TABLE t (name TEXT COLLATE NOCASE, id BIGINT); INSERT INTO t VALUES ('Ann', 1), ('ann', 2)");
    let spec = spec(LoadMode::Upsert, id_and_name(), &["name"]);
    let done = shop.load("t", &spec, vec![people(&[(Some(3), "ann"), (Some(4), "ANN")])]).await.unwrap();
    assert_eq!(uncounted(done), counts(2, 1, 1, 0, 0));
    assert_eq!(shop.rows("SELECT name, id FROM t ORDER BY id"), ["Ann|1", "ann|3", "ANN|4"]);
    let upper = shop.load("t", &spec, vec![people(&[(Some(3), "ann"), (Some(4), "ANN")])]).await.unwrap();
    assert_eq!(uncounted(upper), counts(2, 0, 0, 2, 0));
}

#[tokio::test]
async fn a_change_of_case_or_of_storage_class_is_an_update() {
    let shop = Shop::new(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT COLLATE NOCASE); INSERT INTO t VALUES (1, 'a'), (2, CAST('b' AS BLOB)), (3, NULL)",
    );
    let spec = spec(LoadMode::Upsert, id_and_name(), &["id"]);
    let done = shop.load("t", &spec, vec![people(&[(Some(1), "A"), (Some(2), "b"), (Some(3), "c")])]).await.unwrap();
    assert_eq!(uncounted(done), counts(3, 0, 3, 0, 0));
    assert_eq!(shop.rows("SELECT name, typeof(name) FROM t"), ["A|text", "b|text", "c|text"]);
}

#[tokio::test]
async fn two_rows_of_one_key_need_a_watermark_that_tells_them_apart() {
    let shop = Shop::new("CREATE TABLE t (id BIGINT, name TEXT, v TEXT_DECIMAL(20,1))");
    let mut fields = id_and_name();
    fields.push(DxtField::new("v", DxtType::Decimal { precision: 20, scale: 1 }));
    let mut spec = spec(LoadMode::Upsert, fields, &["id"]);
    let batch = |rows: &[(&str, Option<i128>)]| {
        let ids: Int64Array = rows.iter().map(|_| Some(7)).collect();
        let names: StringArray = rows.iter().map(|r| Some(r.0)).collect();
        let marks: Decimal128Array = rows.iter().map(|r| r.1).collect();
        let marks = marks.with_precision_and_scale(20, 1).unwrap();
        let schema = DxtSchema::new(vec![
            id_and_name()[0].clone(),
            id_and_name()[1].clone(),
            DxtField::new("v", DxtType::Decimal { precision: 20, scale: 1 }),
        ]);
        RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(ids), Arc::new(names), Arc::new(marks)]).unwrap()
    };
    // As texts, 9.0 is greater than 10.0; as numbers it is not.
    let rows = || vec![batch(&[("nine", Some(90)), ("ten", Some(100)), ("none", None), ("minus", Some(-200))])];
    let error = shop.load("t", &spec, rows()).await.unwrap_err();
    assert!(error.message().contains("id = 7") && error.message().contains("no watermark"), "{error:?}");
    spec.watermark = Some("v".into());
    assert_eq!(uncounted(shop.load("t", &spec, rows()).await.unwrap()), counts(4, 1, 0, 0, 3));
    assert_eq!(shop.rows("SELECT name, v FROM t"), ["ten|10.0"]);
    for tie in [[("a", Some(5)), ("b", Some(5))], [("a", None), ("b", None)]] {
        let error = shop.load("t", &spec, vec![batch(&tie)]).await.unwrap_err();
        assert!(error.message().contains("the same watermark"), "{error:?}");
    }
    assert_eq!(shop.rows("SELECT name, v FROM t"), ["ten|10.0"]);
}

#[tokio::test]
async fn a_target_with_two_rows_of_one_key_is_refused() {
    let shop =
        Shop::new("CREATE TABLE t (id BIGINT, name TEXT); INSERT INTO t VALUES (1, 'a'), (1, 'b'), (2, 'c'), (2, 'd')");
    let spec = spec(LoadMode::Upsert, id_and_name(), &["id"]);
    let error = shop.load("t", &spec, vec![people(&[(Some(2), "x"), (Some(3), "y")])]).await.unwrap_err();
    assert!(error.message().contains("two rows of one key (id = 2)"), "{error:?}");
    assert!(shop.load("t", &spec, vec![people(&[(Some(3), "y")])]).await.is_ok(), "their keys do not come");
}

#[tokio::test]
async fn keys_in_another_text_form_are_refused() {
    let shop = Shop::new("CREATE TABLE t (at TIMESTAMP, id BIGINT); INSERT INTO t VALUES ('2024-01-01T00:00:00Z', 1)");
    let fields = vec![DxtField::new("at", DxtType::Timestamp { precision: 6 }), DxtField::new("id", DxtType::Int64)];
    let spec = spec(LoadMode::Upsert, fields, &["at"]);
    let error = shop.load("t", &spec, vec![]).await.unwrap_err();
    assert!(error.message().contains("2024-01-01T00:00:00Z"), "{error:?}");
    shop.sql("UPDATE t SET at = '2024-01-01 00:00:00.000000'");
    assert!(shop.load("t", &spec, vec![]).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_there_already_stops_an_append() {
    let shop = Shop::new(
        "CREATE TABLE t (id BIGINT PRIMARY KEY ON CONFLICT REPLACE, name TEXT); INSERT INTO t VALUES (1, 'a')",
    );
    let spec = spec(LoadMode::Append, id_and_name(), &[]);
    let error = shop.load("t", &spec, vec![people(&[(Some(2), "b"), (Some(1), "x")])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Loader);
    assert!(error.to_string().contains("row 2") && error.hint().unwrap().contains("upsert"), "{error:?}");
    assert_eq!(shop.rows("SELECT * FROM t"), ["1|a"]);
}

#[tokio::test]
async fn watermarks_are_typed_and_texts_of_any_form_compare_as_values() {
    let shop = Shop::new(
        "CREATE TABLE t (i INTEGER, d DECIMAL(10,2), w TEXT_DECIMAL(20,1), at TIMESTAMP, tz TIMESTAMPTZ, day DATE, \
         s TEXT COLLATE NOCASE, u TEXT_UNSIGNED(64), empty INTEGER); \
         INSERT INTO t VALUES (9, 9.5, '9.0', '2024-01-01T10:00:00', '2024-01-01 10:00:00+05:00', '2024-01-01', 'b', \
         '00000000000000000009', NULL), (10, 10, '10.0', '2024-01-01 11:00', '2024-01-01 09:00:00Z', '2024-02-01', 'C', \
         '00000000000000000010', NULL), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    );
    let loader = shop.loader("t");
    let mark = async |column: &str| loader.watermark(column).await.unwrap();
    assert_eq!(mark("i").await, Some(ScalarValue::Int64(Some(10))));
    assert_eq!(mark("d").await, Some(ScalarValue::Decimal128(Some(1000), 10, 2)));
    assert_eq!(mark("w").await, Some(ScalarValue::Decimal128(Some(100), 20, 1)));
    let micros = |seconds: i64| Some((1_704_067_200 + seconds) * 1_000_000);
    assert_eq!(mark("at").await, Some(ScalarValue::TimestampMicrosecond(micros(11 * 3600), None)));
    assert_eq!(mark("tz").await, Some(ScalarValue::TimestampMicrosecond(micros(9 * 3600), Some("UTC".into()))));
    assert_eq!(mark("day").await, Some(ScalarValue::Date32(Some(19_754))));
    assert_eq!(mark("s").await, Some(ScalarValue::Utf8(Some("b".into()))));
    assert_eq!(mark("u").await, Some(ScalarValue::UInt64(Some(10))));
    assert_eq!(mark("empty").await, None);
    assert_eq!(shop.loader("none").watermark("x").await.unwrap(), None);
    let error = loader.watermark("dya").await.unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Schema, Some("did you mean day?")));
}

#[tokio::test]
async fn a_watermark_that_has_moved_since_the_extract_stops_the_load() {
    let shop = Shop::new("CREATE TABLE t (id BIGINT, name TEXT); INSERT INTO t VALUES (5, 'a')");
    let mut spec = spec(LoadMode::Append, id_and_name(), &[]);
    spec.watermark = Some("id".into());
    for (expected, fits) in [(None, false), (Some(4), false), (Some(5), true)] {
        spec.expected_watermark = Some(expected.map(|v| ScalarValue::Int64(Some(v))));
        let result = shop.load("t", &spec, vec![]).await;
        assert_eq!(result.is_ok(), fits, "{expected:?}");
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Loader, "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_value_that_disagrees_is_named_by_table_column_and_rowid() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, d DATE); INSERT INTO t VALUES (1, 1, NULL), (17, 'abc', NULL)",
    );
    let error = shop.read(table("t"), &[]).await.unwrap_err();
    for part in ["shop.t", "column n", "INTEGER", "rowid 17", "'abc'"] {
        assert!(error.message().contains(part), "{part}: {error:?}");
    }
    assert!(error.hint().unwrap().contains("dtype: string"));
    let text = shop.read(table("t"), &[("n", DxtType::String)]).await.unwrap();
    assert_eq!(text.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), Some("abc")]);
    shop.sql("CREATE TABLE w (k TEXT PRIMARY KEY, n TINYINT) WITHOUT ROWID; INSERT INTO w VALUES ('a', 1), ('b', 300)");
    let error = shop.read(table("w"), &[]).await.unwrap_err();
    assert!(error.message().contains("row 2 of the scan"), "{error:?}");
}

#[tokio::test]
async fn declared_types_take_the_place_of_the_columns_own() {
    let shop = Shop::new("CREATE TABLE t (price TEXT, at TEXT, n); INSERT INTO t VALUES ('1.50', '2024-01-01', 5)");
    let declared =
        [("price", DxtType::Decimal { precision: 10, scale: 2 }), ("at", DxtType::Date), ("n", DxtType::Uint8)];
    let batch = shop.read(table("t"), &declared).await.unwrap();
    assert_eq!(batch.column(0).as_primitive::<types::Decimal128Type>().value(0), 150);
    assert_eq!(batch.column(1).as_primitive::<types::Date32Type>().value(0), 19_723);
    assert_eq!(batch.column(2).as_primitive::<types::UInt8Type>().value(0), 5);
}

#[tokio::test]
async fn queries_and_views_are_read_in_batches() {
    let shop = Shop::new(
        "CREATE TABLE t (a INT4); INSERT INTO t VALUES (1), (2), (3), (4), (5); CREATE VIEW v AS SELECT a, a * 2 AS b FROM t",
    );
    let batch = shop.read(table("v"), &[]).await.unwrap();
    assert_eq!(batch.column(1).as_primitive::<types::Int64Type>().values(), &[2, 4, 6, 8, 10]);
    let sql = Dataset::Sql("SELECT a FROM t WHERE a > 3 -- the rest\n".into());
    assert_eq!(shop.read(sql, &[]).await.unwrap().num_rows(), 2);
    assert_eq!(shop.read(Dataset::Sql("SELECT a FROM t WHERE a > 9".into()), &[]).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn a_scan_notices_a_column_that_is_gone() {
    let shop = Shop::new("CREATE TABLE t (a INT4, b INT4); INSERT INTO t VALUES (1, 2)");
    let (source, schema) = SqliteSource::open(&shop.client, &ExtractRequest::new(table("t"))).unwrap();
    shop.sql("ALTER TABLE t RENAME COLUMN b TO c");
    let error = collect(&source, query_of(&source, &schema, "t")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
}

#[test]
fn a_dropped_stream_stops_a_query_that_would_never_end() {
    let shop = Shop::new("CREATE TABLE t (a)");
    let (source, _) =
        SqliteSource::open(&shop.client, &ExtractRequest::new(Dataset::Sql("SELECT 1 AS a".into()))).unwrap();
    let sql = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT a FROM n WHERE a < 0";
    let query = RemoteQuery { sql: sql.into(), fields: vec![DxtField::new("a", DxtType::Int64)], batch_size: 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut stream = source.open(query, Arc::new(TaskContext::default())).unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
        assert!(waiting.is_err(), "there is no row to come");
    });
    // Waits for the reading thread, which only the interrupt ends.
    let began = Instant::now();
    drop(runtime);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_locked_database_says_so() {
    let shop = Shop::new("CREATE TABLE t (id BIGINT, name TEXT)");
    let other = shop.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = shop.load("t", &spec(LoadMode::Append, id_and_name(), &[]), vec![]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Loader);
    assert!(error.hint().unwrap().contains("busy_timeout"), "{error:?}");
}

#[tokio::test]
async fn a_file_whose_writer_was_killed_reads_as_before() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a')");
    let writer = shop.connection();
    writer.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE t SET name = 'z'").unwrap();
    for _ in 0..2000 {
        writer.execute("INSERT INTO t (name) VALUES (?1)", ["x".repeat(500)]).unwrap();
    }
    // What a kill leaves: the file half written, and its journal.
    let left = shop.folder.path().join("left.db");
    std::fs::copy(&shop.client.path, &left).unwrap();
    std::fs::copy(shop.folder.path().join("shop.db-journal"), shop.folder.path().join("left.db-journal")).unwrap();
    drop(writer);
    let (source, schema) = SqliteSource::open(&Client::of("left", left), &ExtractRequest::new(table("t"))).unwrap();
    let batch = collect(&source, query_of(&source, &schema, "t")).await.unwrap();
    assert_eq!(batch.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a")]);
}

#[test]
fn what_a_target_does_not_take_is_refused_beforehand() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, Name TEXT NOT NULL, g INT AS (id + 1)); CREATE VIEW v AS SELECT * FROM t",
    );
    let check = |table: &str, fields: Vec<DxtField>, keys: &[&str]| {
        shop.loader(table).check(&spec(LoadMode::Append, fields, keys)).unwrap_err()
    };
    let int = |name: &str| DxtField::new(name, DxtType::Int64);
    let text = |name: &str| DxtField::new(name, DxtType::String);
    let cases = [
        (check("t", vec![int("id"), text("name")], &[]), "there is no column name", Some("Name")),
        (check("t", vec![int("id"), text("Nmae")], &[]), "there is no column Nmae", Some("did you mean Name?")),
        (check("t", vec![int("id")], &[]), "NOT NULL without a default, and not in the load: Name", None),
        (check("t", vec![text("Name"), int("g")], &[]), "column g is generated", None),
        (check("t", vec![int("Name")], &[]), "column Name holds string, and int64 comes", None),
        (check("v", vec![text("Name")], &[]), "is a view", None),
        (check("new", vec![int("a"), int("A")], &[]), "two columns are named A", None),
        (check("new", vec![int("a")], &["b"]), "the key b", None),
        (check("new", vec![], &[]), "no columns", None),
        (check("sqlite_x", vec![int("a")], &[]), "SQLite's own", None),
    ];
    for (error, message, hint) in cases {
        assert_eq!(error.kind(), ErrorKind::Schema, "{error:?}");
        assert!(error.message().contains(message), "{message}: {error:?}");
        assert!(error.hint().is_some() || message == "no columns", "{error:?}");
        assert!(hint.is_none_or(|h| error.hint().unwrap().contains(h)), "{error:?}");
    }
    assert!(shop.loader("t").check(&spec(LoadMode::Append, vec![text("Name")], &[])).is_ok(), "the rowid fills id in");
    let mut options = spec(LoadMode::Append, vec![text("Name")], &[]);
    options.options.insert("primary_kye".into(), "source".into());
    assert_eq!(shop.loader("t").check(&options).unwrap_err().hint(), Some("it takes no options"));
}

#[test]
fn the_statements_of_a_load_are_those_that_run() {
    let shop = Shop::new("CREATE TABLE t (id BIGINT, name TEXT)");
    let append = shop.loader("new").statements(&spec(LoadMode::Append, id_and_name(), &["id"]));
    assert_eq!(
        append,
        [
            "BEGIN IMMEDIATE",
            "CREATE TABLE main.\"new\" (\n    \"id\" BIGINT NOT NULL,\n    \"name\" TEXT,\n    PRIMARY KEY (\"id\")\n)",
            "INSERT OR ABORT INTO main.\"new\" (\"id\", \"name\")\nVALUES (?1, ?2)",
            "COMMIT",
        ]
    );
    let replace = shop.loader("t").statements(&spec(LoadMode::Replace, id_and_name(), &[]));
    assert_eq!(replace[1], "DELETE FROM main.\"t\"");
    let upsert = shop.loader("t").statements(&spec(LoadMode::Upsert, id_and_name(), &["id"]));
    assert!(upsert.iter().any(|s| s.contains("UPDATE OR ABORT main.\"t\" AS t\nSET \"name\" = s.c1")), "{upsert:#?}");
}

#[test]
fn a_declared_native_type_must_be_one() {
    let shop = Shop::new("");
    let loader = shop.loader("t");
    let field = DxtField::new("x", DxtType::String);
    let stored = loader.stored(&field, Some("varchar(20)")).unwrap();
    assert_eq!((stored.dtype, stored.native.unwrap().name.as_str()), (DxtType::String, "varchar(20)"));
    for text in ["TEXT); DROP TABLE t; --", "TEXT DEFAULT 1", "", "TEXT(a)"] {
        assert_eq!(loader.stored(&field, Some(text)).unwrap_err().kind(), ErrorKind::TypeMapping, "{text}");
    }
}

#[tokio::test]
async fn a_connection_is_tested_listed_and_misses_are_told() {
    let shop =
        Shop::new("CREATE TABLE orders (a); CREATE VIEW v AS SELECT 1 AS x; CREATE VIRTUAL TABLE f USING fts5(body)");
    let url = format!("sqlite:///{}", shop.client.path.display());
    let make = super::factory().make;
    let connector = make(&ConnectionConfig::from_url("shop", &url, "/")).unwrap();
    assert!(connector.test().await.unwrap().version.starts_with("SQLite 3."));
    let listed: Vec<String> =
        connector.list().await.unwrap().iter().map(|r| format!("{} {}", r.dataset, r.kind)).collect();
    assert_eq!(listed, ["f virtual table", "orders table", "v view"]);
    let error = connector.extractor(&ExtractRequest::new(table("ordrs"))).await.unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Schema, Some("did you mean orders?")));
    let missing = make(&ConnectionConfig::from_url("shop", "sqlite:///none.db", shop.folder.path())).unwrap();
    assert_eq!(missing.test().await.unwrap_err().kind(), ErrorKind::Connection);
    assert!(!shop.folder.path().join("none.db").exists());
}

#[tokio::test]
async fn wide_tables_are_loaded_merged_and_read() {
    let shop = Shop::new("");
    let fields: Vec<DxtField> = (0..1500).map(|i| DxtField::new(format!("c{i}"), DxtType::Int64)).collect();
    let spec = spec(LoadMode::Upsert, fields, &["c0"]);
    let batch = |value: i64| {
        let arrays = (0..1500).map(|i| Arc::new(Int64Array::from(vec![if i == 0 { 1 } else { value }])) as ArrayRef);
        RecordBatch::try_new(spec.schema.to_arrow(), arrays.collect()).unwrap()
    };
    assert_eq!(uncounted(shop.load("wide", &spec, vec![batch(1)]).await.unwrap()), counts(1, 1, 0, 0, 0));
    assert_eq!(uncounted(shop.load("wide", &spec, vec![batch(2)]).await.unwrap()), counts(1, 0, 1, 0, 0));
    assert_eq!(shop.read(table("wide"), &[]).await.unwrap().num_columns(), 1500);
}
