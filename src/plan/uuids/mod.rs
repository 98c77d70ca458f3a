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

use super::strict;
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
            None => Ok(Some(strict_cast(std::mem::take(value), to.clone()))),
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
        _ => strict_cast(value, DataType::Utf8),
    }
}

/// A strict cast whose errors name the value.
fn strict_cast(value: Expr, to: DataType) -> Expr {
    let name = match &value {
        Expr::Column(column) => column.name.clone(),
        other => other.schema_name().to_string(),
    };
    strict::strict_cast(value, to, &name)
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
mod tests;
