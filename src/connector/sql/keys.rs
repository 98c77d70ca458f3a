//! What a plan learns while it runs, as a condition for a scan that has not begun: a join that has read its smaller side
//! knows which keys the other may have.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, expr::InList, lit};
use datafusion::physical_expr::expressions::{
    BinaryExpr as PhysicalBinary, CaseExpr, Column as PhysicalColumn, DynamicFilterPhysicalExpr, InListExpr,
    IsNullExpr, Literal,
};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};

use super::{Dialect, filter};
use crate::model::{DxtField, DxtSchema};

/// The condition that keeps every row the filters keep, and perhaps more, in the dialect's SQL; `None` where they say
/// nothing, or nothing yet, that has a form there.
pub fn condition(filters: &[Arc<dyn PhysicalExpr>], fields: &[DxtField], dialect: &dyn Dialect) -> Option<String> {
    let schema = DxtSchema::new(fields.to_vec());
    let parts = filters.iter().flat_map(known);
    let sql: Vec<String> = parts.filter_map(|part| Some(filter::to_sql(&part, &schema, dialect)?.sql)).collect();
    (!sql.is_empty()).then(|| sql.join(" AND "))
}

/// The parts of a filter, all of which hold for the rows that it keeps.
fn known(filter: &Arc<dyn PhysicalExpr>) -> Vec<Expr> {
    if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return dynamic.current().map(|current| known(&current)).unwrap_or_default();
    }
    split_conjunction(filter).into_iter().filter_map(logical).collect()
}

/// The expression as one of a logical plan; `None` of a kind that a join does not make, or that says nothing.
fn logical(expr: &Arc<dyn PhysicalExpr>) -> Option<Expr> {
    if let Some(column) = expr.downcast_ref::<PhysicalColumn>() {
        return Some(Expr::Column(Column::new_unqualified(column.name())));
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Some(lit(literal.value().clone()));
    }
    if let Some(dynamic) = expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return logical(&dynamic.current().ok()?);
    }
    if let Some(binary) = expr.downcast_ref::<PhysicalBinary>() {
        let (left, right) = (logical(binary.left()), logical(binary.right()));
        let (left, right) = match binary.op() {
            // One side alone keeps more rows.
            Operator::And => match (left, right) {
                (Some(left), Some(right)) => (left, right),
                (one, other) => return one.or(other),
            },
            _ => (left?, right?),
        };
        return Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *binary.op(), Box::new(right))));
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        let items = list.list().iter().map(logical).collect::<Option<Vec<_>>>()?;
        return Some(Expr::InList(InList::new(Box::new(logical(list.expr())?), items, list.negated())));
    }
    if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
        return Some(Expr::IsNull(Box::new(logical(null.arg())?)));
    }
    // Which branch holds for a row depends on a hash that is known here alone: one of them does.
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        let values = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
        let values = values.filter(|value| !is_false(value)).map(logical).collect::<Option<Vec<_>>>()?;
        return values.into_iter().reduce(Expr::or);
    }
    None
}

fn is_false(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| *literal.value() == false.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::sql::{Comparison, Pushed};
    use crate::model::DxtType;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ScalarValue;
    use datafusion::physical_expr::expressions::{binary, col, in_list, lit as physical};

    #[derive(Debug)]
    struct Plain;
    impl Dialect for Plain {
        fn compare(&self, field: &DxtField, op: Comparison, value: &ScalarValue) -> Option<Pushed> {
            Some(Pushed { sql: format!("{} {} {value}", field.name, op.as_sql()), exact: true })
        }
    }

    fn schema() -> Schema {
        Schema::new(vec![Field::new("k", DataType::Int64, true)])
    }

    fn k() -> Arc<dyn PhysicalExpr> {
        col("k", &schema()).unwrap()
    }

    fn sql(filter: Arc<dyn PhysicalExpr>) -> Option<String> {
        condition(&[filter], &[DxtField::new("k", DxtType::Int64)], &Plain)
    }

    fn at_least(value: i64) -> Arc<dyn PhysicalExpr> {
        binary(k(), Operator::GtEq, physical(value), &schema()).unwrap()
    }

    #[test]
    fn a_filter_says_what_it_knows_when_it_is_asked() {
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![k()], physical(true)));
        assert_eq!(sql(dynamic.clone()), None);
        let keys = in_list(k(), vec![physical(1_i64), physical(2_i64)], &false, &schema()).unwrap();
        dynamic.update(binary(at_least(1), Operator::And, keys, &schema()).unwrap()).unwrap();
        assert_eq!(sql(dynamic), Some("k >= 1 AND (k = 1 OR k = 2)".into()));
    }

    #[test]
    fn of_parts_by_hash_any_may_hold() {
        let case = CaseExpr::try_new(
            Some(k()),
            vec![(physical(0_i64), at_least(7)), (physical(1_i64), at_least(9))],
            Some(physical(false)),
        );
        assert_eq!(sql(Arc::new(case.unwrap())), Some("(k >= 7 OR k >= 9)".into()));
        let open = CaseExpr::try_new(Some(k()), vec![(physical(0_i64), at_least(7))], Some(physical(true)));
        assert_eq!(sql(Arc::new(open.unwrap())), None);
    }
}
