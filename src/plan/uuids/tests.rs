//! SQL over uuids, run.

use datafusion::arrow::array::{FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;
use crate::plan::rewrite;

const IDS: [&str; 3] = [
    "00000000-0000-0000-0000-000000000001",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
];

/// `t`: n 1 to 4, a uuid each but the last, and its text.
fn context() -> SessionContext {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let state = SessionStateBuilder::new().with_config(config).with_expr_planners(vec![Arc::new(UuidSql)]);
    let state = state.with_type_planner(Arc::new(UuidSql)).with_default_features();
    let context = SessionContext::new_with_state(state.build());
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("id", DataType::FixedSizeBinary(16), true),
        Field::new("s", DataType::Utf8, true),
    ]));
    let ids = IDS.iter().map(|id| parse_uuid(id.as_bytes())).chain([None]);
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 16).unwrap()),
            Arc::new(StringArray::from_iter(IDS.iter().map(Some).chain([None]))),
        ],
    );
    let table = MemTable::try_new(schema, vec![vec![batch.unwrap()]]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

/// The rows of a query, their values parted by a blank.
async fn rows(sql: &str) -> Result<Vec<String>> {
    let context = context();
    let plan = rewrite::in_plan(context.state().create_logical_plan(sql).await?)?;
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    let table = pretty_format_batches(&batches)?.to_string();
    let lines = table.lines().skip(3).filter(|line| line.starts_with('|'));
    Ok(lines.map(|line| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

async fn numbers(condition: &str) -> String {
    let sql = format!("SELECT n FROM t WHERE {condition} ORDER BY n");
    rows(&sql).await.unwrap_or_else(|e| panic!("{condition}: {e}")).join(",")
}

#[tokio::test]
async fn a_literal_beside_a_uuid_is_the_uuid_that_it_spells() {
    let id = "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}";
    for (condition, expected) in [
        (format!("id = '{id}'"), "2"),
        (format!("'{id}' = id"), "2"),
        (format!("id <> '{id}'"), "1,3"),
        (format!("id > '{id}'"), "3"),
        (format!("id <= '{id}'::uuid"), "1,2"),
        (format!("id IN ('{id}', '{}')", IDS[2]), "2,3"),
        (format!("id NOT IN ('{id}', NULL)"), ""),
        (format!("id BETWEEN '{}' AND '{id}'", IDS[0]), "1,2"),
        (format!("id IS DISTINCT FROM '{id}'"), "1,3,4"),
        (format!("CASE id WHEN '{id}' THEN true ELSE false END"), "2"),
        ("id = NULL".to_string(), ""),
        (format!("id = (SELECT max(id) FROM t WHERE id < '{}')", IDS[2]), "2"),
        (format!("id = CAST(lower('{}') AS uuid)", IDS[1]), "2"),
        ("id = TRY_CAST('none' AS uuid)".to_string(), ""),
    ] {
        assert_eq!(numbers(&condition).await, expected, "{condition}");
    }
    assert_eq!(rows(&format!("SELECT id = '{id}' AS same FROM t WHERE n = 2")).await.unwrap(), ["true"]);
}

#[tokio::test]
async fn a_literal_that_is_no_uuid_is_an_error_that_names_it() {
    for sql in [
        "SELECT n FROM t WHERE id = 'abc'",
        "SELECT id = 'abc' FROM t",
        "SELECT n FROM t WHERE id IN ('00000000-0000-0000-0000-000000000001', 'abc')",
        "SELECT n FROM t WHERE id BETWEEN 'abc' AND 'abd'",
        "SELECT 'abc'::uuid",
    ] {
        let error = rows(sql).await.unwrap_err().to_string();
        assert!(error.contains("'abc' is no uuid"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn beside_a_column_of_text_and_in_patterns_it_is_its_text() {
    for (condition, expected) in [
        ("id = s", "1,2,3"),
        ("upper(s) = id", "1"),
        ("id IN (s, '')", "1,2,3"),
        ("id LIKE 'a0ee%'", "2"),
        ("id ~ '^f+-'", "3"),
        ("id || 'x' = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11x'", "2"),
        ("concat(id, '-', n) = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-2'", "2"),
        ("octet_length(id) = 36", "1,2,3"),
        ("md5(id) = md5(s)", "1,2,3"),
        ("cast(id AS varchar) = s", "1,2,3"),
        ("length(id::text) = 36", "1,2,3"),
    ] {
        assert_eq!(numbers(condition).await, expected, "{condition}");
    }
    let texts = rows("SELECT concat(id, id) AS a, id || '?' AS b, id::text AS c FROM t WHERE n = 2").await;
    assert_eq!(texts.unwrap(), [format!("{0}{0} {0}? {0}", IDS[1])]);
}

#[tokio::test]
async fn uuids_are_joined_grouped_ordered_and_counted() {
    let joined = "SELECT a.n, b.n FROM t a JOIN t b ON a.id = b.id ORDER BY a.n";
    assert_eq!(rows(joined).await.unwrap(), ["1 1", "2 2", "3 3"]);
    let text = "SELECT a.n, b.n FROM t a JOIN t b ON a.id = b.s ORDER BY a.n";
    assert_eq!(rows(text).await.unwrap(), ["1 1", "2 2", "3 3"]);
    let grouped = "SELECT id::text, count(*) FROM (SELECT id FROM t UNION ALL SELECT id FROM t) GROUP BY id ORDER BY id DESC NULLS LAST LIMIT 2";
    assert_eq!(rows(grouped).await.unwrap(), [format!("{} 2", IDS[2]), format!("{} 2", IDS[1])]);
    let whole = "SELECT count(DISTINCT id), min(id)::text, max(id)::text FROM t";
    assert_eq!(rows(whole).await.unwrap(), [format!("3 {} {}", IDS[0], IDS[2])]);
}

#[tokio::test]
async fn what_has_no_meaning_is_refused_and_never_compared_by_bytes() {
    for sql in [
        "SELECT n FROM t WHERE id = 5",
        "SELECT n FROM t WHERE length(id) = 36",
        "SELECT length(id) FROM t",
        "SELECT concat(id, '!') FROM t",
        "SELECT n FROM t WHERE id = ANY(make_array('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'))",
        "SELECT n FROM t WHERE array_has(make_array(id), 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')",
        "SELECT a.n FROM t a JOIN (SELECT s AS id FROM t) b USING (id)",
        "SELECT id FROM t INTERSECT SELECT s FROM t",
        "SELECT CASE WHEN n = 1 THEN id ELSE s END FROM t",
        "SELECT greatest(id, s) FROM t",
        "SELECT coalesce(id, s) FROM t",
        "SELECT n FROM t WHERE id IN (SELECT s FROM t)",
        "SELECT id FROM t UNION ALL SELECT s FROM t",
        "SELECT CAST(n AS uuid) FROM t",
        "SELECT CAST(id AS bigint) FROM t",
        "SELECT string_agg(id, ',') FROM t",
        "SELECT arrow_cast(id, 'Utf8') FROM t",
        "SELECT TRY_CAST(s AS uuid) FROM t",
    ] {
        assert!(rows(sql).await.is_err(), "{sql}: {:?}", rows(sql).await);
    }
}

#[tokio::test]
async fn a_text_that_is_no_uuid_is_named_with_its_column() {
    let error = rows("SELECT CAST(x AS uuid) FROM (SELECT substr(s, 2) AS x FROM t)").await.unwrap_err().to_string();
    assert!(error.contains("field x") && error.contains(&format!("`{}`", &IDS[0][1..])), "{error}");
}
