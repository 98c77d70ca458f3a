//! Files from end to end: what a load writes is what an extract reads.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::json;

use super::FileConnector;
use crate::connector::{Connector, Dataset, ExtractRequest, LoadCounts, LoadSpec};
use crate::error::{ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, DxtType, LoadMode, Options};

fn connector(dir: &Path) -> FileConnector {
    FileConnector::local("lake", dir).unwrap()
}

fn schema() -> DxtSchema {
    DxtSchema::new(vec![DxtField::new("id", DxtType::Int64), DxtField::new("a \"b\"", DxtType::String)])
}

fn batch(ids: &[Option<i64>], texts: &[Option<&str>]) -> RecordBatch {
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(StringArray::from(texts.to_vec()))];
    RecordBatch::try_new(schema().to_arrow(), columns).unwrap()
}

fn spec(mode: LoadMode, run_id: &str) -> LoadSpec {
    LoadSpec {
        mode,
        schema: schema(),
        keys: Vec::new(),
        watermark: None,
        expected_watermark: None,
        expect_empty: false,
        once: None,
        reread: false,
        run_id: run_id.into(),
        options: Options::new(),
    }
}

async fn load(dir: &Path, path: &str, spec: &LoadSpec, batches: Vec<RecordBatch>) -> Result<LoadCounts> {
    let loader = connector(dir).loader(&Dataset::Path(path.into()), &Options::new()).await?;
    let mut load = loader.begin(spec).await?;
    for batch in batches {
        load.write(batch).await?;
    }
    let counts = load.seal().await?;
    load.commit().await?;
    Ok(counts)
}

async fn select(dir: &Path, path: &str, sql: &str) -> Result<String> {
    let extractor = connector(dir).extractor(&ExtractRequest::new(Dataset::Path(path.into()))).await?;
    let context = SessionContext::new();
    context.register_table("t", extractor.provider()).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

fn names(dir: &Path) -> Vec<String> {
    super::listing::walk(dir).unwrap()
}

const ROWS: &str = "\
+----+-------+
| id | a \"b\" |
+----+-------+
| 1  | x     |
| 2  |       |
|    | 日本  |
+----+-------+";

fn rows() -> RecordBatch {
    batch(&[Some(1), Some(2), None], &[Some("x"), None, Some("日本")])
}

#[tokio::test]
async fn a_file_of_every_format_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.parquet", "x.csv", "x.tsv.gz", "sub/x.jsonl.zst", "100% x.arrow"] {
        let counts = load(dir.path(), name, &spec(LoadMode::Replace, "r"), vec![rows()]).await.unwrap();
        assert_eq!((counts.staged, counts.inserted), (3, 3), "{name}");
        let shown = select(dir.path(), name, "SELECT * FROM t ORDER BY id NULLS LAST").await.unwrap();
        assert_eq!(shown, ROWS, "{name}");
        let count = select(dir.path(), name, "SELECT count(*) AS n FROM t").await.unwrap();
        assert!(count.contains("| 3 |"), "{name}: {count}");
        let limited = select(dir.path(), name, "SELECT id FROM t LIMIT 1").await.unwrap();
        assert!(limited.contains("| 1  |"), "{name}: {limited}");
    }
}

#[tokio::test]
async fn appending_adds_parts_and_replacing_leaves_one() {
    let dir = tempfile::tempdir().unwrap();
    for run in ["r1", "r2"] {
        load(dir.path(), "out/", &spec(LoadMode::Append, run), vec![rows()]).await.unwrap();
    }
    load(dir.path(), "out/", &spec(LoadMode::Append, "r2"), vec![rows()]).await.unwrap();
    assert_eq!(names(&dir.path().join("out")), ["part-r1.parquet", "part-r2-2.parquet", "part-r2.parquet"]);
    assert!(select(dir.path(), "out/", "SELECT count(*) AS n FROM t").await.unwrap().contains("| 9 |"));
    load(dir.path(), "out/", &spec(LoadMode::Replace, "r3"), vec![rows()]).await.unwrap();
    assert_eq!(names(dir.path()), ["out/part-r3.parquet"]);
    load(dir.path(), "out/", &spec(LoadMode::Replace, "r4"), vec![]).await.unwrap();
    assert!(select(dir.path(), "out/", "SELECT count(*) AS n FROM t").await.unwrap().contains("| 0 |"));
}

#[tokio::test]
async fn a_load_that_ends_early_leaves_the_target_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    for (path, mode) in [("x.csv", LoadMode::Replace), ("p/", LoadMode::Append), ("q/", LoadMode::Replace)] {
        load(dir.path(), path, &spec(mode, "old"), vec![rows()]).await.unwrap();
    }
    let before = names(dir.path());
    for (path, mode) in [("x.csv", LoadMode::Replace), ("p/", LoadMode::Append), ("q/", LoadMode::Replace)] {
        let loader = connector(dir.path()).loader(&Dataset::Path(path.into()), &Options::new()).await.unwrap();
        let mut dropped = loader.begin(&spec(mode, "new")).await.unwrap();
        dropped.write(rows()).await.unwrap();
        assert_ne!(names(dir.path()), before, "{path}: it is staged");
        drop(dropped);
        assert_eq!(names(dir.path()), before, "{path}");
        let mut aborted = loader.begin(&spec(mode, "new")).await.unwrap();
        aborted.write(rows()).await.unwrap();
        aborted.seal().await.unwrap();
        aborted.abort().await.unwrap();
        assert_eq!(names(dir.path()), before, "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_loaded_is_refused_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("own")).unwrap();
    std::fs::write(dir.path().join("own/notes.txt"), "keep me").unwrap();
    for (path, mode, said) in [
        ("x.csv", LoadMode::Append, "appending needs a folder"),
        ("x/", LoadMode::Upsert, "cannot be upserted"),
        ("./", LoadMode::Replace, "own folder"),
        ("own/", LoadMode::Replace, "notes.txt"),
        ("x.txt", LoadMode::Replace, "does not say its format"),
        ("*.csv", LoadMode::Replace, "pattern"),
    ] {
        let error = load(dir.path(), path, &spec(mode, "r"), vec![rows()]).await.unwrap_err();
        assert!(error.message().contains(said) && error.hint().is_some(), "{path}: {error:?}");
    }
    assert_eq!(names(dir.path()), ["own/notes.txt"]);
}

#[tokio::test]
async fn the_watermark_is_typed_and_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["p/", "c.csv"] {
        let mode = if path == "p/" { LoadMode::Append } else { LoadMode::Replace };
        let dataset = Dataset::Path(path.into());
        let loader = connector(dir.path()).loader(&dataset, &Options::new()).await.unwrap();
        assert_eq!((loader.watermark("id").await.unwrap(), loader.has_rows().await.unwrap()), (None, false));
        load(dir.path(), path, &spec(mode, "r1"), vec![rows()]).await.unwrap();
        assert_eq!(loader.watermark("id").await.unwrap(), Some(ScalarValue::Int64(Some(2))), "{path}");
        assert!(loader.has_rows().await.unwrap());
    }
    let stale = LoadSpec {
        watermark: Some("id".into()),
        expected_watermark: Some(Some(ScalarValue::Int64(Some(1)))),
        expect_empty: false,
        ..spec(LoadMode::Append, "r2")
    };
    let error = load(dir.path(), "p/", &stale, vec![rows()]).await.unwrap_err();
    assert!(error.message().contains("has moved from 1 to 2"), "{error}");
    assert_eq!(names(&dir.path().join("p")), ["part-r1.parquet"]);
}

#[tokio::test]
async fn parts_that_do_not_agree_are_named() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path(), "a.parquet", &spec(LoadMode::Replace, "r"), vec![rows()]).await.unwrap();
    let other =
        LoadSpec { schema: DxtSchema::new(vec![DxtField::new("id", DxtType::String)]), ..spec(LoadMode::Replace, "r") };
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let texts = RecordBatch::try_new(other.schema.to_arrow(), vec![text]).unwrap();
    load(dir.path(), "b.parquet", &other, vec![texts]).await.unwrap();
    let error = select(dir.path(), "*.parquet", "SELECT 1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    for said in ["column id", "int64", "string", "a.parquet", "b.parquet"] {
        assert!(error.message().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_column_that_a_file_lacks_is_null_there() {
    let dir = tempfile::tempdir().unwrap();
    for (extension, format) in [("parquet", "parquet"), ("arrow", "arrow"), ("csv", "csv"), ("jsonl", "json")] {
        let narrow = LoadSpec {
            schema: DxtSchema::new(vec![DxtField::new("id", DxtType::Int64)]),
            ..spec(LoadMode::Replace, "r")
        };
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let ids = RecordBatch::try_new(narrow.schema.to_arrow(), vec![ids]).unwrap();
        load(dir.path(), &format!("{format}/a.{extension}"), &narrow, vec![ids]).await.unwrap();
        let both = spec(LoadMode::Replace, "r");
        load(dir.path(), &format!("{format}/b.{extension}"), &both, vec![rows()]).await.unwrap();
        let sql = "SELECT count(*) AS n FROM t WHERE id = 7 AND \"a \"\"b\"\"\" IS NULL";
        let shown = select(dir.path(), &format!("{format}/"), sql).await.unwrap();
        assert!(shown.contains("| 1 |"), "{format}: {shown}");
    }
}

#[tokio::test]
async fn projection_and_filter_reach_parquet() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path(), "x.parquet", &spec(LoadMode::Replace, "r"), vec![rows()]).await.unwrap();
    let extractor = connector(dir.path()).extractor(&ExtractRequest::new(Dataset::Path("x.parquet".into()))).await;
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_table("t", extractor.unwrap().provider()).unwrap();
    let plan = context.sql("SELECT id FROM t WHERE id > 1").await.unwrap().create_physical_plan().await.unwrap();
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    assert!(shown.contains("projection=[id]"), "{shown}");
    assert!(shown.contains("predicate=id@0 > 1") && shown.contains("pruning_predicate="), "{shown}");
    assert!(shown.contains("FileExec: lake.\"x.parquet\""), "{shown}");
}

#[tokio::test]
async fn damaged_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.parquet", "x.arrow", "x.csv.gz"] {
        load(dir.path(), name, &spec(LoadMode::Replace, "r"), vec![rows()]).await.unwrap();
        let path = dir.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 6]).unwrap();
        let error = select(dir.path(), name, "SELECT * FROM t").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Extractor);
        assert!(error.to_string().contains(name) && error.hint().is_some(), "{error:?}");
    }
}

#[tokio::test]
async fn declared_types_win_over_inferred_ones() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.csv"), "id,code\n1,007\n2,\n").unwrap();
    let mut request = ExtractRequest::new(Dataset::Path("x.csv".into()));
    let connector = connector(dir.path());
    let types = |schema: &DxtSchema| schema.fields.iter().map(|f| f.dtype.to_string()).collect::<Vec<_>>();
    assert_eq!(types(connector.extractor(&request).await.unwrap().schema()), ["int64", "string"]);
    request.declared = vec![("code".into(), DxtType::Int32), ("id".into(), DxtType::String)];
    let extractor = connector.extractor(&request).await.unwrap();
    assert_eq!(types(extractor.schema()), ["string", "int32"]);
    request.options = Options::from([("delimiter".to_string(), json!(";"))]);
    assert_eq!(types(connector.extractor(&request).await.unwrap().schema()), ["string"]);
}

#[tokio::test]
async fn a_connection_lists_its_files() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b/x.parquet", "a.csv", "notes.txt", ".hidden.csv"] {
        std::fs::create_dir_all(dir.path().join("b")).unwrap();
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let listed = connector(dir.path()).list().await.unwrap();
    let shown: Vec<_> = listed.iter().map(|r| format!("{} {}", r.dataset, r.kind)).collect();
    assert_eq!(shown, ["a.csv csv", "b/x.parquet parquet"]);
    assert!(connector(dir.path()).test().await.is_ok());
    assert_eq!(connector(&dir.path().join("none")).test().await.unwrap_err().kind(), ErrorKind::Connection);
}
