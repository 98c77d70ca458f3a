//! Filters of a plan in a remote system's SQL, as far as they mean the same there.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator, expr::InList};

use super::federate::{Scope, Terms};
use super::{Comparison, Dialect, Pushed};
use crate::model::{DxtField, DxtSchema};

/// A filter in the dialect's SQL, or `None` where any part of it has no exact or wider form there.
pub fn to_sql(filter: &Expr, schema: &DxtSchema, dialect: &dyn Dialect) -> Option<Pushed> {
    let compared = comparisons(filter, schema, dialect);
    if compared.as_ref().is_some_and(|pushed| pushed.exact) {
        return compared;
    }
    let exact = dialect.terms().and_then(|terms| computed(filter, schema, "", terms));
    match (compared, exact) {
        // An index may serve for the wider one.
        (Some(wider), Some(exact)) => Some(Pushed { sql: format!("({} AND {exact})", wider.sql), exact: true }),
        (None, Some(sql)) => Some(Pushed { sql, exact: true }),
        (wider, None) => wider,
    }
}

/// A filter of any expressions over the columns of the table that is known as `table` there.
pub fn computed(filter: &Expr, schema: &DxtSchema, table: &str, terms: &dyn Terms) -> Option<String> {
    // Its columns may carry the name that the plan gives the table.
    let bare = |expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))),
        other => Ok(Transformed::no(other)),
    };
    let filter = filter.clone().transform(bare).data().ok()?;
    let known = DFSchema::try_from(schema.to_arrow()).ok()?;
    let columns: Vec<_> = schema.fields.iter().map(|field| terms.column(table, field)).collect();
    Scope { terms, schema: &known, columns: &columns, subquery: &|_| None }.condition(&filter)
}

/// As [`to_sql`], of columns beside literals alone.
fn comparisons(filter: &Expr, schema: &DxtSchema, dialect: &dyn Dialect) -> Option<Pushed> {
    let recurse = |e: &Expr| to_sql(e, schema, dialect);
    match filter {
        Expr::Alias(alias) => recurse(&alias.expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            // One side alone keeps a superset of both.
            match (recurse(left), recurse(right)) {
                (Some(a), Some(b)) => Some(join(a, "AND", b)),
                (Some(one), None) | (None, Some(one)) => Some(Pushed { exact: false, ..one }),
                (None, None) => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(join(recurse(left)?, "OR", recurse(right)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let op = Comparison::of(*op)?;
            match (left.as_ref(), right.as_ref()) {
                (column, Expr::Literal(value, _)) => compare(field(column, schema)?, op, value, dialect),
                (Expr::Literal(value, _), column) => compare(field(column, schema)?, mirrored(op), value, dialect),
                _ => None,
            }
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (low.as_ref(), high.as_ref()) else { return None };
            let field = field(expr, schema)?;
            let low = compare(field, Comparison::GtEq, low, dialect)?;
            unless(*negated, join(low, "AND", compare(field, Comparison::LtEq, high, dialect)?))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let field = field(expr, schema)?;
            let value = |item: &Expr| match item {
                Expr::Literal(value, _) => Some(value.clone()).filter(|value| !value.is_null()),
                _ => None,
            };
            let values = list.iter().map(value).collect::<Option<Vec<_>>>()?;
            unless(*negated, one_of(field, &values, dialect)?)
        }
        Expr::Like(Like { negated, expr, pattern, escape_char: None, case_insensitive: false }) => {
            let Expr::Literal(pattern, _) = pattern.as_ref() else { return None };
            unless(*negated, dialect.like(field(expr, schema)?, pattern.try_as_str()??)?)
        }
        Expr::Not(inner) => unless(true, recurse(inner)?),
        Expr::IsTrue(inner) => is(inner, "TRUE", &recurse),
        Expr::IsFalse(inner) => is(inner, "FALSE", &recurse),
        Expr::IsNotTrue(inner) => is(inner, "NOT TRUE", &recurse),
        Expr::IsNotFalse(inner) => is(inner, "NOT FALSE", &recurse),
        Expr::IsNull(inner) => Some(dialect.is_null(field(inner, schema)?, false)),
        Expr::IsNotNull(inner) => Some(dialect.is_null(field(inner, schema)?, true)),
        Expr::Column(_) => compare(field(filter, schema)?, Comparison::Eq, &ScalarValue::Boolean(Some(true)), dialect),
        _ => None,
    }
}

/// Comparisons in one condition: systems have limits of how long and how deep it may be.
const TERMS: usize = 500;

fn one_of(field: &DxtField, values: &[ScalarValue], dialect: &dyn Dialect) -> Option<Pushed> {
    if let Some(pushed) = dialect.one_of(field, &values.iter().collect::<Vec<_>>()) {
        return Some(pushed);
    }
    if values.is_empty() || values.len() > TERMS {
        return None;
    }
    let terms = values.iter().map(|value| dialect.compare(field, Comparison::Eq, value)).collect::<Option<Vec<_>>>()?;
    let sql: Vec<&str> = terms.iter().map(|term| term.sql.as_str()).collect();
    Some(Pushed { sql: format!("({})", sql.join(" OR ")), exact: terms.iter().all(|term| term.exact) })
}

/// The condition, or where it is negated its opposite.
fn unless(negated: bool, condition: Pushed) -> Option<Pushed> {
    match negated {
        false => Some(condition),
        // The complement of a superset may miss rows.
        true => condition.exact.then(|| Pushed { sql: format!("NOT ({})", condition.sql), exact: true }),
    }
}

/// `condition IS what`, of a condition that means the same there.
fn is(condition: &Expr, what: &str, push: &dyn Fn(&Expr) -> Option<Pushed>) -> Option<Pushed> {
    let condition = push(condition)?;
    condition.exact.then(|| Pushed { sql: format!("({}) IS {what}", condition.sql), exact: true })
}

fn join(a: Pushed, op: &str, b: Pushed) -> Pushed {
    Pushed { sql: format!("({} {op} {})", a.sql, b.sql), exact: a.exact && b.exact }
}

fn field<'a>(expr: &Expr, schema: &'a DxtSchema) -> Option<&'a DxtField> {
    match expr {
        Expr::Column(column) => schema.field(&column.name),
        _ => None,
    }
}

fn compare(field: &DxtField, op: Comparison, value: &ScalarValue, dialect: &dyn Dialect) -> Option<Pushed> {
    // A comparison with NULL keeps no row anywhere, but inside of NOT and OR it is best left to DataFusion.
    if value.is_null() { None } else { dialect.compare(field, op, value) }
}

fn mirrored(op: Comparison) -> Comparison {
    match op {
        Comparison::Lt => Comparison::Gt,
        Comparison::LtEq => Comparison::GtEq,
        Comparison::Gt => Comparison::Lt,
        Comparison::GtEq => Comparison::LtEq,
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DxtType;
    use datafusion::prelude::{col, ident, lit};

    #[derive(Debug)]
    struct Plain;
    impl Dialect for Plain {
        fn compare(&self, field: &DxtField, op: Comparison, value: &ScalarValue) -> Option<Pushed> {
            // `vague` stands for columns that the remote side compares more widely.
            let exact = field.name != "vague";
            Some(Pushed { sql: format!("{} {} {value}", self.quote(&field.name), op.as_sql()), exact })
        }
    }

    fn push(filter: Expr) -> Option<Pushed> {
        let fields = ["a", "b", "vague", "Mixed \"Case"].map(|n| DxtField::new(n, DxtType::Int64));
        to_sql(&filter, &DxtSchema::new(fields.to_vec()), &Plain)
    }

    fn exact(sql: &str) -> Option<Pushed> {
        Some(Pushed { sql: sql.into(), exact: true })
    }

    #[test]
    fn comparisons_keep_their_side_and_quote_names() {
        assert_eq!(push(col("a").gt(lit(1i64))), exact("\"a\" > 1"));
        assert_eq!(push(lit(1i64).gt(col("a"))), exact("\"a\" < 1"));
        assert_eq!(push(ident("Mixed \"Case").eq(lit(1i64))), exact("\"Mixed \"\"Case\" = 1"));
    }

    #[test]
    fn an_and_pushes_the_half_it_can_and_filters_again() {
        let half = push(col("a").eq(lit(1i64)).and((col("a") + col("b")).gt(lit(2i64))));
        assert_eq!(half, Some(Pushed { sql: "\"a\" = 1".into(), exact: false }));
    }

    #[test]
    fn an_or_is_pushed_whole_or_not_at_all() {
        assert_eq!(push(col("a").eq(lit(1i64)).or(col("b").is_null())), exact("(\"a\" = 1 OR \"b\" IS NULL)"));
        assert_eq!(push(col("a").eq(lit(1i64)).or((col("a") + col("b")).gt(lit(2i64)))), None);
    }

    #[test]
    fn a_wider_condition_is_never_negated() {
        assert_eq!(push(!col("a").eq(lit(1i64))), exact("NOT (\"a\" = 1)"));
        assert_eq!(push(!col("vague").eq(lit(1i64))), None);
    }

    #[test]
    fn a_null_literal_stays_here() {
        assert_eq!(push(col("a").eq(lit(ScalarValue::Int64(None)))), None);
    }

    #[test]
    fn what_is_negated_is_pushed_where_it_is_exact() {
        let list = || vec![lit(1i64), lit(2i64)];
        assert_eq!(push(col("a").in_list(list(), true)), exact("NOT ((\"a\" = 1 OR \"a\" = 2))"));
        assert_eq!(push(col("vague").in_list(list(), true)), None);
        assert_eq!(push(col("a").not_between(lit(1i64), lit(2i64))), exact("NOT ((\"a\" >= 1 AND \"a\" <= 2))"));
        assert_eq!(push(col("a").gt(lit(1i64)).is_not_true()), exact("(\"a\" > 1) IS NOT TRUE"));
        assert_eq!(push(col("vague").gt(lit(1i64)).is_false()), None);
        assert_eq!(push(col("a").like(lit("x%"))), None);
    }

    #[test]
    fn lists_and_ranges_become_comparisons() {
        assert_eq!(push(col("a").in_list(vec![lit(1i64), lit(2i64)], false)), exact("(\"a\" = 1 OR \"a\" = 2)"));
        assert_eq!(push(col("a").between(lit(1i64), lit(2i64))), exact("(\"a\" >= 1 AND \"a\" <= 2)"));
    }
}
