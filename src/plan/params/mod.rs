//! Variables of a pipeline in SQL: `$day` becomes a literal of a type, and never a part of the text.
//!
//! ```text
//! SQL ─ parser ─▶ tree, `$day` a placeholder ─ declared types as casts ─▶ plan ─ types by context ─▶ typed literals
//! ```
//!
//! A placeholder has the variable's declared type. Without one it has the type of what it is compared with
//! (`updated_at >= $day`), of the cast that it stands in, a whole number in LIMIT, and is text anywhere else. As literals
//! the values are pushed to sources as any other condition is.

use std::ops::ControlFlow;

use datafusion::arrow::array::{Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, lit};
use datafusion::optimizer::utils::NamePreserver;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::fields::plain_type;
use crate::error::{Error, ErrorKind, Position, Result};
use crate::model::{DxtType, FieldSource, Param, Params, SourceKind, Stream, TypeName, nearest};
use crate::plan::strict::cast_strict;

/// A variable that a SQL text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its name without the `$`.
    pub name: String,
    /// Line and column in the text, from 1.
    pub line: usize,
    pub column: usize,
}

/// The variables that a SQL text names, in its order; none where it is malformed. What stands in quotes and comments
/// is none.
pub(crate) fn named(sql: &str) -> Vec<Named> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else { return Vec::new() };
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let found = tokens.into_iter().filter_map(|token| match token.token {
        Token::Placeholder(text) => Some(Named {
            name: text.strip_prefix('$').unwrap_or(&text).to_string(),
            line: place(token.span.start.line),
            column: place(token.span.start.column),
        }),
        _ => None,
    });
    found.collect()
}

/// A SQL text of a stream that dxt itself runs, in which variables are bound.
pub(crate) enum Text<'a> {
    /// The query of its source.
    Query(&'a str),
    /// The condition of its criteria.
    Criteria(&'a str),
    /// The expression of the field with this index.
    Expression(usize, &'a str),
}

/// The SQL texts of a stream that dxt itself runs.
pub(crate) fn texts(stream: &Stream) -> Vec<Text<'_>> {
    let query = match &stream.source.kind {
        SourceKind::Query(sql) => Some(Text::Query(sql)),
        _ => None,
    };
    let criteria = stream.criteria.as_ref().and_then(|c| c.filter.as_deref()).map(Text::Criteria);
    let expressions = stream.fields.iter().enumerate().filter_map(|(i, field)| match &field.source {
        Some(FieldSource::Expression(sql)) => Some(Text::Expression(i, sql)),
        _ => None,
    });
    query.into_iter().chain(criteria).chain(expressions).collect()
}

/// The variables that a stream's SQL names, each with what is known of it, in order of name.
pub(crate) fn of_stream<'a>(stream: &Stream, params: &'a Params) -> Vec<(&'a str, &'a Param)> {
    let mut names: Vec<String> = texts(stream)
        .into_iter()
        .flat_map(|text| match text {
            Text::Query(sql) | Text::Criteria(sql) | Text::Expression(_, sql) => named(sql),
        })
        .map(|found| found.name)
        .collect();
    names.sort();
    names.dedup();
    names.iter().filter_map(|name| params.get_key_value(name).map(|(name, param)| (name.as_str(), param))).collect()
}

/// The value of a declared variable in its type.
///
/// # Errors
/// Configuration: the text is no value of that type.
pub(crate) fn check(name: &str, text: &str, dtype: TypeName) -> Result<()> {
    scalar(name, text, &full_type(text, dtype)).map(|_| ())
}

/// A declared type with the parameters that the value needs.
fn full_type(text: &str, dtype: TypeName) -> DxtType {
    let seconds = |text: &str| {
        let digits = text.split_once('.').map_or(0, |(_, rest)| rest.chars().take_while(char::is_ascii_digit).count());
        if digits > 6 { 9 } else { 6 }
    };
    match dtype {
        TypeName::Decimal => decimal(text),
        TypeName::Time => DxtType::Time { precision: seconds(text) },
        TypeName::Timestamp => DxtType::Timestamp { precision: seconds(text) },
        TypeName::TimestampTz => DxtType::TimestampTz { precision: seconds(text) },
        // As it is written.
        TypeName::Binary | TypeName::Json => DxtType::String,
        plain => plain_type(plain),
    }
}

/// The decimal that holds a number as it is written.
fn decimal(text: &str) -> DxtType {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |part: &str| part.chars().filter(char::is_ascii_digit).count();
    let scale = digits(fraction).min(76);
    let precision = (digits(whole) + scale).clamp(1, 76);
    // Both are at most 76.
    DxtType::Decimal { precision: precision as u8, scale: scale as i8 }
}

/// A text as a value of a type, exactly.
fn scalar(name: &str, text: &str, dtype: &DxtType) -> Result<ScalarValue> {
    let arrow = dtype.to_arrow();
    if arrow == DataType::Utf8 {
        return Ok(ScalarValue::Utf8(Some(text.to_string())));
    }
    let texts: datafusion::arrow::array::ArrayRef = std::sync::Arc::new(StringArray::from(vec![text]));
    let value = cast_strict(&texts, &arrow, name).ok().filter(|value| value.is_valid(0));
    match value {
        Some(value) => Ok(ScalarValue::try_from_array(&value, 0)?),
        None => {
            let shown: String = text.chars().take(60).collect();
            let text = format!("the variable {name} is `{shown}`, which is no {dtype}");
            Err(Error::new(ErrorKind::Configuration, text).with_hint(example(name, dtype)))
        }
    }
}

fn example(name: &str, dtype: &DxtType) -> String {
    let value = match dtype {
        DxtType::Bool => "true",
        DxtType::Date => "2026-01-31",
        DxtType::Time { .. } => "13:30:00",
        DxtType::Timestamp { .. } => "'2026-01-31 13:30:00'",
        DxtType::TimestampTz { .. } => "2026-01-31T13:30:00Z",
        DxtType::Uuid => "123e4567-e89b-12d3-a456-426614174000",
        DxtType::Float32 | DxtType::Float64 | DxtType::Decimal { .. } => "12.50",
        _ => "12",
    };
    format!("such as `--var {name}={value}`; another type is declared by `vars: {{{name}: {{type: …}}}}`")
}

/// The literal for a placeholder that stands where `context` is expected.
fn literal(id: &str, context: Option<&DataType>, params: &Params) -> Result<ScalarValue> {
    let (name, param) = find(id, params)?;
    let text = param.value.as_deref().ok_or_else(|| missing(name))?;
    if let Some(dtype) = param.dtype {
        return scalar(name, text, &full_type(text, dtype));
    }
    let dtype = match context {
        None | Some(DataType::Null) => DxtType::String,
        Some(arrow) => DxtType::from_arrow(arrow)?,
    };
    match &dtype {
        DxtType::Array(_) | DxtType::Object(_) | DxtType::Binary => {
            let text = format!("the variable {name} stands where a value of type {dtype} is expected");
            Err(Error::new(ErrorKind::Configuration, text).with_hint("compare it with a number, text, date or time"))
        }
        // A number of more digits than the column has is compared as it is written.
        DxtType::Decimal { .. } => scalar(name, text, &dtype).or_else(|_| scalar(name, text, &decimal(text))),
        _ => scalar(name, text, &dtype),
    }
}

/// The variable that a placeholder names.
fn find<'a>(id: &str, params: &'a Params) -> Result<(&'a str, &'a Param)> {
    let name = id.strip_prefix('$').unwrap_or(id);
    if let Some((name, param)) = params.get_key_value(name) {
        return Ok((name, param));
    }
    if crate::model::param_fault(name).is_some() {
        let error = Error::new(ErrorKind::Configuration, format!("`{id}` names no variable"));
        return Err(error.with_hint("variables have names: write `$day`, and give it by `--var day=…`"));
    }
    let known: Vec<&str> = params.keys().map(String::as_str).collect();
    let error = missing(name);
    Err(match nearest(name, &known) {
        Some(near) => error.with_hint(format!("did you mean ${near}?")),
        None => error,
    })
}

/// The error of a variable that has no value.
fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("the variable {name} has no value"))
        .with_hint(format!("give it by `--var {name}=…`, or a default by `vars: {{{name}: {{default: …}}}}`"))
}

/// Puts the types that are known before the SQL is planned around placeholders, as casts.
struct Typed<'a>(&'a dyn Fn(&str) -> Option<ast::DataType>);

impl VisitorMut for Typed<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        let ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(id), .. }) = &*expr else {
            return ControlFlow::Continue(());
        };
        if let Some(data_type) = (self.0)(id.strip_prefix('$').unwrap_or(id)) {
            let value = Box::new(expr.clone());
            let kind = ast::CastKind::Cast;
            *expr = ast::Expr::Cast { kind, expr: value, data_type, array: false, format: None };
        }
        ControlFlow::Continue(())
    }
}

fn typed(mut statement: Statement, types: &dyn Fn(&str) -> Option<ast::DataType>) -> Statement {
    match &mut statement {
        Statement::Statement(statement) => drop(statement.visit(&mut Typed(types))),
        Statement::Explain(explain) => {
            let inner = (*explain.statement).clone();
            *explain.statement = typed(inner, types);
        }
        _ => {}
    }
    statement
}

/// The declared type of a variable as SQL has it.
fn sql_type(name: &str, params: &Params) -> Option<ast::DataType> {
    let param = params.get(name)?;
    let dtype = full_type(param.value.as_deref().unwrap_or_default(), param.dtype?);
    let zone = ast::TimezoneInfo::WithTimeZone;
    Some(match dtype {
        DxtType::Int8 => ast::DataType::TinyInt(None),
        DxtType::Int16 => ast::DataType::SmallInt(None),
        DxtType::Int32 => ast::DataType::Int(None),
        DxtType::Int64 => ast::DataType::BigInt(None),
        DxtType::Uint8 => ast::DataType::TinyIntUnsigned(None),
        DxtType::Uint16 => ast::DataType::SmallIntUnsigned(None),
        DxtType::Uint32 => ast::DataType::IntUnsigned(None),
        DxtType::Uint64 => ast::DataType::BigIntUnsigned(None),
        DxtType::Float32 => ast::DataType::Real,
        DxtType::Float64 => ast::DataType::DoublePrecision,
        DxtType::Decimal { precision, scale } => {
            ast::DataType::Decimal(ast::ExactNumberInfo::PrecisionAndScale(precision.into(), scale.into()))
        }
        DxtType::Bool => ast::DataType::Boolean,
        DxtType::Date => ast::DataType::Date,
        DxtType::Time { .. } => ast::DataType::Time(None, ast::TimezoneInfo::None),
        DxtType::Timestamp { precision } => ast::DataType::Timestamp(Some(precision.into()), ast::TimezoneInfo::None),
        DxtType::TimestampTz { precision } => ast::DataType::Timestamp(Some(precision.into()), zone),
        DxtType::Uuid => ast::DataType::Uuid,
        _ => ast::DataType::Varchar(None),
    })
}

/// Plans a statement with its variables bound. `at` is where the SQL stands in a file: an error whose place DataFusion
/// knows is told with it.
///
/// # Errors
/// Configuration: the SQL does not parse, or a variable has no value or one that does not fit. Schema: it names what is
/// not there.
pub(crate) async fn plan(
    context: &SessionContext,
    sql: &str,
    params: &Params,
    at: Option<&Position>,
) -> Result<LogicalPlan> {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    plan_statement(context, state.sql_to_statement(sql, &dialect)?, params, at).await
}

/// The same for a statement that is parsed.
///
/// # Errors
/// As [`plan`].
pub(crate) async fn plan_statement(
    context: &SessionContext,
    statement: Statement,
    params: &Params,
    at: Option<&Position>,
) -> Result<LogicalPlan> {
    let state = context.state();
    let names = named(&statement.to_string());
    let statement = typed(statement, &|name| sql_type(name, params));
    let planned = match state.statement_to_plan(statement.clone()).await {
        // A function may take no value of an unknown type: then it is told that of text.
        Err(_) if names.iter().any(|found| params.get(&found.name).is_some_and(|p| p.dtype.is_none())) => {
            let text = |name: &str| params.get(name).is_some_and(|p| p.dtype.is_none()).then_some(TEXT);
            state.statement_to_plan(typed(statement, &text)).await
        }
        planned => planned,
    };
    let plan = planned.map_err(|error| placed(error, at))?;
    if names.is_empty() { Ok(plan) } else { Ok(in_plan(plan, params)?) }
}

const TEXT: ast::DataType = ast::DataType::Varchar(None);

/// An expression over `schema` with its variables bound.
///
/// # Errors
/// As [`plan`].
pub(crate) fn expr(state: &SessionState, sql: &str, schema: &DFSchema, params: &Params) -> Result<Expr> {
    let dialect = state.config().options().sql_parser.dialect;
    let mut parsed = state.sql_to_expr_with_alias(sql, &dialect)?;
    let _ = parsed.expr.visit(&mut Typed(&|name: &str| sql_type(name, params)));
    let expr = state.create_logical_expr_from_sql_expr(parsed, schema)?;
    Ok(bound(expr, schema, None, params)?.data)
}

/// The error with the place that DataFusion knows of it.
fn placed(error: DataFusionError, at: Option<&Position>) -> Error {
    let start = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.start);
    let place = start.filter(|start| start.line > 0).and_then(|start| {
        let (line, column) = (usize::try_from(start.line).ok()?, usize::try_from(start.column).ok()?);
        Some(match at {
            Some(at) => at.within(line, column).to_string(),
            None => format!("line {line}, column {column}"),
        })
    });
    let error = Error::from(error);
    match place {
        Some(place) => error.context(place),
        None => error,
    }
}

fn in_plan(plan: LogicalPlan, params: &Params) -> DfResult<LogicalPlan> {
    let whole = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let whole_number = matches!(node, LogicalPlan::Limit(_)).then_some(DataType::Int64);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let done = bound(expr, &schema, whole_number.as_ref(), params)?;
            Ok(done.update_data(|expr| name.restore(expr)))
        })?;
        if !node.transformed {
            // Its types follow from those below, which may have changed.
            return node.map_data(LogicalPlan::recompute_schema);
        }
        node.map_data(|node| match node {
            LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build(),
            node => node.recompute_schema(),
        })
    })?;
    Ok(whole.data)
}

/// One expression with literals in the place of its placeholders. `alone` is the type of one that stands for itself.
fn bound(expr: Expr, schema: &DFSchema, alone: Option<&DataType>, params: &Params) -> DfResult<Transformed<Expr>> {
    if !expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))? {
        return Ok(Transformed::no(expr));
    }
    let expr = expr.transform_down(|mut expr| {
        match &mut expr {
            Expr::BinaryExpr(binary) if compares(binary.op) => {
                fit(&mut binary.left, &binary.right, schema, params)?;
                fit(&mut binary.right, &binary.left, schema, params)?;
            }
            Expr::Between(between) => {
                fit(&mut between.low, &between.expr, schema, params)?;
                fit(&mut between.high, &between.expr, schema, params)?;
            }
            Expr::InList(list) => list.list.iter_mut().try_for_each(|item| fit(item, &list.expr, schema, params))?,
            Expr::Cast(Cast { expr: value, field }) => {
                if let Expr::Placeholder(Placeholder { field: unknown @ None, .. }) = value.as_mut() {
                    *unknown = Some(Field::new("", field.data_type().clone(), true).into());
                }
            }
            _ => {}
        }
        Ok(Transformed::no(expr))
    })?;
    let (expr, _) = expr.data.infer_placeholder_types(schema)?;
    expr.transform_up(|expr| match &expr {
        Expr::Placeholder(Placeholder { id, field }) => {
            let context = field.as_ref().map(|field| field.data_type()).or(alone);
            Ok(Transformed::yes(lit(literal(id, context, params)?)))
        }
        _ => Ok(Transformed::no(expr)),
    })
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Makes a declared variable a literal of the type that it is compared with, where it is the same value in that: a date as
/// the instant at which it begins. DataFusion would convert the column, which then no source is asked by.
fn fit(value: &mut Expr, other: &Expr, schema: &DFSchema, params: &Params) -> DfResult<()> {
    let Expr::Cast(Cast { expr: inner, .. }) = &*value else { return Ok(()) };
    let Expr::Placeholder(Placeholder { id, .. }) = inner.as_ref() else { return Ok(()) };
    let Ok(to) = other.get_type(schema) else { return Ok(()) };
    if find(id, params)?.1.dtype.is_none() {
        return Ok(());
    }
    let from = literal(id, None, params)?;
    let is_number = |dtype: &DataType| dtype.is_integer() || dtype.is_decimal();
    let alike = match (&from.data_type(), &to) {
        (DataType::Date32, DataType::Timestamp(..)) => true,
        (DataType::Timestamp(_, from), DataType::Timestamp(_, to)) => from.is_some() == to.is_some(),
        (from, to) => is_number(from) && is_number(to),
    };
    if alike && let Ok(array) = cast_strict(&from.to_array()?, &to, id) {
        *value = lit(ScalarValue::try_from_array(&array, 0)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
