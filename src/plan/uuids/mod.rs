//! uuid in SQL. To DataFusion it is 16 bytes, which it compares with no text and casts to none.
//!
//! Here a literal beside a uuid is the uuid that it spells (or an error that names it), so that sources and row groups
//! are asked by value; beside a column of text, and in LIKE, patterns, `||` and the functions that would take its
//! bytes, it is its canonical text. The type has its name: `CAST('…' AS uuid)`, `'…'::uuid`, `id::text`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, cast, lit};
use datafusion::sql::sqlparser::ast;

use super::strict::strict_cast;
use crate::error::{Error, ErrorKind};
use crate::model::{UUID_BYTES, is_uuid, parse_uuid, uuid_text};

/// Functions of text that DataFusion would give the bytes to.
const OF_TEXT: [&str; 10] =
    ["concat", "concat_ws", "octet_length", "bit_length", "md5", "sha224", "sha256", "sha384", "sha512", "digest"];

/// The type's name in SQL, and its operators, which DataFusion checks while it reads the SQL.
#[derive(Debug)]
pub(super) struct UuidSql;

impl TypePlanner for UuidSql {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let uuid = || Arc::new(Field::new("", DataType::FixedSizeBinary(16), true));
        Ok(matches!(sql_type, ast::DataType::Uuid).then(uuid))
    }
}

impl ExprPlanner for UuidSql {
    fn plan_binary_op(&self, mut raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use ast::BinaryOperator::*;
        match raw.op {
            Eq | NotEq | Lt | LtEq | Gt | GtEq | Spaceship => {
                settle(vec![&mut raw.left, &mut raw.right], schema)?;
            }
            StringConcat | PGRegexMatch | PGRegexIMatch | PGRegexNotMatch | PGRegexNotIMatch | PGLikeMatch
            | PGILikeMatch | PGNotLikeMatch | PGNotILikeMatch => {
                as_texts([&mut raw.left, &mut raw.right], schema);
            }
            _ => {}
        }
        Ok(PlannerResult::Original(raw))
    }
}

/// One expression, whose parts are done.
pub(super) fn one(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            settle(vec![binary.left.as_mut(), binary.right.as_mut()], schema)?
        }
        Expr::BinaryExpr(binary) if matches_text(binary.op) => {
            as_texts([binary.left.as_mut(), binary.right.as_mut()], schema)
        }
        Expr::Between(between) => {
            settle(vec![between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()], schema)?
        }
        Expr::InList(list) => settle([list.expr.as_mut()].into_iter().chain(&mut list.list).collect(), schema)?,
        Expr::Case(case) => match case.expr.as_deref_mut() {
            Some(subject) => {
                let when = case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut());
                settle([subject].into_iter().chain(when).collect(), schema)?
            }
            None => false,
        },
        Expr::Like(like) | Expr::SimilarTo(like) => as_texts([like.expr.as_mut(), like.pattern.as_mut()], schema),
        Expr::ScalarFunction(call) if OF_TEXT.contains(&call.func.name()) => as_texts(&mut call.args, schema),
        Expr::Cast(Cast { expr: value, field }) => match converted(value, field.data_type(), schema)? {
            Some(done) => return Ok(Transformed::yes(done)),
            None => false,
        },
        Expr::TryCast(TryCast { expr: value, field }) => {
            let to = field.data_type();
            let done = match text_of(value) {
                // The one cast that gives NULL where there is no value.
                Some(text) if is_uuid(to) => Some(literal(parse_uuid(text.as_bytes()))),
                _ if is_text(to) => converted(value, to, schema)?,
                _ => None,
            };
            match done {
                Some(done) => return Ok(Transformed::yes(done)),
                None => false,
            }
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn compares(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn matches_text(op: Operator) -> bool {
    use Operator::*;
    matches!(
        op,
        StringConcat
            | RegexMatch
            | RegexIMatch
            | RegexNotMatch
            | RegexNotIMatch
            | LikeMatch
            | ILikeMatch
            | NotLikeMatch
            | NotILikeMatch
    )
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Where one of the values that are compared is a uuid: literals beside it become uuids; where there is other text, all of
/// them are compared as text.
fn settle(values: Vec<&mut Expr>, schema: &DFSchema) -> Result<bool> {
    // A type that cannot be told is reported by the planner.
    let types: Vec<Option<DataType>> = values.iter().map(|value| value.get_type(schema).ok()).collect();
    if !types.iter().flatten().any(is_uuid) {
        return Ok(false);
    }
    let text = |value: &Expr, dtype: &Option<DataType>| dtype.as_ref().is_some_and(is_text) && text_of(value).is_none();
    if values.iter().zip(&types).any(|(value, dtype)| text(value, dtype)) {
        return Ok(as_texts(values, schema));
    }
    let mut changed = false;
    for value in values {
        let Some(text) = text_of(value) else { continue };
        *value = parsed(text)?;
        changed = true;
    }
    Ok(changed)
}

/// Makes texts of those values that are uuids.
fn as_texts<'a>(values: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let mut changed = false;
    for value in values {
        if value.get_type(schema).is_ok_and(|dtype| is_uuid(&dtype)) {
            *value = printed(std::mem::take(value));
            changed = true;
        }
    }
    changed
}

/// A cast between uuid and text.
fn converted(value: &mut Expr, to: &DataType, schema: &DFSchema) -> Result<Option<Expr>> {
    let Ok(from) = value.get_type(schema) else { return Ok(None) };
    if is_uuid(to) && is_text(&from) {
        return match text_of(value) {
            Some(text) => parsed(text).map(Some),
            None => Ok(Some(strict_cast(std::mem::take(value), to.clone(), "cast"))),
        };
    }
    if is_uuid(&from) && is_text(to) {
        let text = printed(std::mem::take(value));
        return Ok(Some(if *to == DataType::Utf8 { text } else { cast(text, to.clone()) }));
    }
    Ok(None)
}

/// A uuid as text.
fn printed(value: Expr) -> Expr {
    match &value {
        Expr::Literal(ScalarValue::FixedSizeBinary(_, bytes), _) => {
            let bytes = bytes.as_ref().and_then(|bytes| <[u8; UUID_BYTES]>::try_from(bytes.as_slice()).ok());
            lit(ScalarValue::Utf8(bytes.map(uuid_text)))
        }
        _ => strict_cast(value, DataType::Utf8, "cast"),
    }
}

/// The text of a literal.
fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

fn literal(value: Option<[u8; UUID_BYTES]>) -> Expr {
    lit(ScalarValue::FixedSizeBinary(UUID_BYTES as i32, value.map(Vec::from)))
}

fn parsed(text: &str) -> Result<Expr> {
    if let Some(value) = parse_uuid(text.as_bytes()) {
        return Ok(literal(Some(value)));
    }
    let shown: String = text.chars().take(60).collect();
    Err(Error::new(ErrorKind::Configuration, format!("'{shown}' is no uuid, and is compared with one"))
        .with_hint("write all of its 32 digits; `CAST(… AS varchar)` compares its text")
        .into())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::datatypes::Schema;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::super::rewrite;
    use super::*;

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
        ] {
            assert!(rows(sql).await.is_err(), "{sql}: {:?}", rows(sql).await);
        }
    }
}
