//! Decimals beside floats. DataFusion brings both to a decimal with 15 digits behind the point: there 1e-20 is 0, 1e16 is
//! an error, and no source takes the condition. Here the float's type wins, as in every database.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, cast, lit};

/// Functions whose arguments are brought to one type.
const LIKE_TYPED: [&str; 6] = ["coalesce", "nullif", "greatest", "least", "nvl", "ifnull"];

/// One expression, whose parts are done: every decimal that meets a float is read as a float.
pub(super) fn one(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            settle(vec![binary.left.as_mut(), binary.right.as_mut()], schema)
        }
        Expr::Between(between) => {
            settle(vec![between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()], schema)
        }
        Expr::InList(list) => settle([list.expr.as_mut()].into_iter().chain(&mut list.list).collect(), schema),
        Expr::Case(case) => {
            let (mut when, mut then) = (Vec::new(), Vec::new());
            for (condition, value) in &mut case.when_then_expr {
                when.push(condition.as_mut());
                then.push(value.as_mut());
            }
            then.extend(case.else_expr.as_deref_mut());
            let compared = match case.expr.as_deref_mut() {
                Some(subject) => {
                    when.push(subject);
                    settle(when, schema)
                }
                None => false,
            };
            settle(then, schema) || compared
        }
        Expr::ScalarFunction(call) if LIKE_TYPED.contains(&call.func.name()) => {
            settle(call.args.iter_mut().collect(), schema)
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn compares(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Where one of the values is a float, makes floats of those that are decimals.
fn settle(values: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    // A type that cannot be told is reported by the planner.
    let types: Vec<Option<DataType>> = values.iter().map(|value| value.get_type(schema).ok()).collect();
    if !types.iter().flatten().any(DataType::is_floating) {
        return false;
    }
    let mut changed = false;
    for (value, dtype) in values.into_iter().zip(types) {
        if dtype.is_some_and(|t| t.is_decimal()) {
            let decimal = std::mem::take(value);
            *value = float(&decimal).map_or_else(|| cast(decimal, DataType::Float64), lit);
            changed = true;
        }
    }
    changed
}

/// A literal as the float nearest to it, which a cast by division does not always give.
fn float(expr: &Expr) -> Option<f64> {
    let Expr::Literal(value, _) = expr else { return None };
    let text = match value {
        ScalarValue::Decimal128(Some(n), _, scale) => format!("{n}e{}", -i32::from(*scale)),
        ScalarValue::Decimal256(Some(n), _, scale) => format!("{n}e{}", -i32::from(*scale)),
        _ => return None,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::rewrite::{in_expr, in_plan};
    use super::*;
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::prelude::{SessionConfig, SessionContext};

    fn rewritten(sql: &str) -> String {
        let fields = [("f", DataType::Float64), ("r", DataType::Float32), ("d", DataType::Decimal128(10, 2))];
        let schema = Schema::new(fields.map(|(name, dtype)| Field::new(name, dtype, true)).to_vec());
        let schema = DFSchema::try_from(schema).unwrap();
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let state = SessionContext::new_with_config(config).state();
        in_expr(state.create_logical_expr(sql, &schema).unwrap(), &schema).unwrap().to_string()
    }

    #[test]
    fn a_decimal_that_meets_a_float_is_a_float() {
        assert_eq!(rewritten("f > 0.1"), "f > Float64(0.1)");
        assert_eq!(rewritten("-0.5 < r"), "Float64(-0.5) < r");
        assert_eq!(rewritten("f = d"), "f = CAST(d AS Float64)");
        assert_eq!(rewritten("f BETWEEN 0.25 AND 1"), "f BETWEEN Float64(0.25) AND Int64(1)");
        assert_eq!(rewritten("f IN (0.1, 2)"), "f IN ([Float64(0.1), Int64(2)])");
        assert_eq!(rewritten("coalesce(f, 0.1)"), "coalesce(f, Float64(0.1))");
        assert_eq!(
            rewritten("CASE WHEN f > 0.5 THEN f ELSE 0.1 END"),
            "CASE WHEN f > Float64(0.5) THEN f ELSE Float64(0.1) END"
        );
    }

    #[test]
    fn decimals_among_themselves_stay() {
        assert_eq!(rewritten("d > 0.1"), "d > Decimal128(0.1,1,1)");
        assert_eq!(rewritten("coalesce(d, 0.1)"), "coalesce(d, Decimal128(0.1,1,1))");
    }

    #[test]
    fn a_literal_of_many_digits_is_the_nearest_float() {
        let literal = lit(ScalarValue::Decimal128(Some(12_345_678_901_234_567_890_123), 25, 24));
        assert_eq!(float(&literal), "0.012345678901234567890123".parse().ok());
    }

    #[tokio::test]
    async fn a_plan_has_the_types_of_its_new_expressions() {
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let context = SessionContext::new_with_config(config);
        let sql = "SELECT x, coalesce(x, 0.5) AS y FROM (SELECT coalesce(f, 0.25) AS x FROM (VALUES (CAST(1e0 AS double))) AS t(f)) AS u WHERE x > 0.5";
        let plan = in_plan(context.state().create_logical_plan(sql).await.unwrap()).unwrap();
        let types: Vec<_> = plan.schema().fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
        assert_eq!(types, [("x", DataType::Float64), ("y", DataType::Float64)]);
        assert!(plan.to_string().contains("x > Float64(0.5)"), "{plan}");
    }
}
