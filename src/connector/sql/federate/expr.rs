//! DataFusion's expressions as a remote system's, as far as they mean the same there.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, InList, ScalarFunction};
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Like, LogicalPlan, Operator, SortExpr,
};

use super::term::{AggregateCall, Arithmetic, Term, Terms};
use crate::connector::sql::Comparison;

/// The longest expression that is made: one that doubles with each level of a plan is computed here.
const LONGEST: usize = 16 << 10;
/// The longest list of an IN.
const MOST: usize = 20_000;

/// What expressions over one input are made of.
pub struct Scope<'a> {
    pub terms: &'a dyn Terms,
    /// The input's columns as DataFusion knows them.
    pub schema: &'a DFSchema,
    /// The same columns there, in order.
    pub columns: &'a [Term],
    /// Makes a subquery that gives one value, or `None` where it cannot be asked in the same statement.
    pub subquery: &'a dyn Fn(&LogicalPlan) -> Option<Term>,
}

impl Scope<'_> {
    /// The expression there.
    pub fn term(&self, expr: &Expr) -> Option<Term> {
        let term = match expr {
            Expr::Alias(alias) => self.term(&alias.expr),
            Expr::Column(column) => {
                let index = self.schema.maybe_index_of_column(column)?;
                self.columns.get(index).cloned()
            }
            Expr::Literal(value, _) => self.terms.literal(value),
            Expr::Cast(Cast { expr: inner, field }) => {
                let term = self.term(inner)?;
                match inner.get_type(self.schema).ok()? == *field.data_type() {
                    true => Some(term),
                    false => self.terms.cast(&term, field.data_type()),
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.binary(expr, left, *op, right),
            Expr::Negative(inner) => {
                let zero = ScalarValue::new_zero(&inner.get_type(self.schema).ok()?).ok()?;
                let zero = self.terms.literal(&zero)?;
                self.terms.arithmetic(&zero, Arithmetic::Minus, &self.term(inner)?, &self.type_of(expr)?)
            }
            Expr::Case(case) => self.case(case, &self.type_of(expr)?),
            Expr::ScalarFunction(call) => self.function(call, &self.type_of(expr)?),
            Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                (self.subquery)(&subquery.subquery)
            }
            Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_) => self.terms.typed(self.predicate(expr)?, &DataType::Boolean),
            _ => None,
        };
        term.filter(|term| term.sql.len() <= LONGEST)
    }

    /// A condition there, in parentheses where it needs them.
    pub fn condition(&self, expr: &Expr) -> Option<String> {
        self.term(expr).map(|term| term.sql)
    }

    fn type_of(&self, expr: &Expr) -> Option<DataType> {
        expr.get_type(self.schema).ok()
    }

    fn binary(&self, whole: &Expr, left: &Expr, op: Operator, right: &Expr) -> Option<Term> {
        let (left, right) = (self.term(left)?, self.term(right)?);
        let number = |op| self.terms.arithmetic(&left, op, &right, &self.type_of(whole)?);
        let condition = match op {
            Operator::And => format!("({} AND {})", left.sql, right.sql),
            Operator::Or => format!("({} OR {})", left.sql, right.sql),
            Operator::IsNotDistinctFrom => self.terms.same(&left, &right)?,
            Operator::IsDistinctFrom => format!("(NOT {})", self.terms.same(&left, &right)?),
            Operator::Plus => return number(Arithmetic::Plus),
            Operator::Minus => return number(Arithmetic::Minus),
            Operator::Multiply => return number(Arithmetic::Times),
            Operator::Divide => return number(Arithmetic::Divide),
            Operator::Modulo => return number(Arithmetic::Modulo),
            Operator::StringConcat => return self.terms.function("concat_op", &[left, right], &self.type_of(whole)?),
            op => self.terms.comparison(&left, Comparison::of(op)?, &right)?,
        };
        self.terms.typed(condition, &DataType::Boolean)
    }

    fn predicate(&self, expr: &Expr) -> Option<String> {
        let is = |inner: &Expr, what: &str| Some(format!("({} IS {what})", self.condition(inner)?));
        match expr {
            Expr::Not(inner) => Some(format!("(NOT {})", self.condition(inner)?)),
            Expr::IsNull(inner) => self.terms.null_test(&self.term(inner)?, false),
            Expr::IsNotNull(inner) => self.terms.null_test(&self.term(inner)?, true),
            Expr::IsTrue(inner) => is(inner, "TRUE"),
            Expr::IsFalse(inner) => is(inner, "FALSE"),
            Expr::IsNotTrue(inner) => is(inner, "NOT TRUE"),
            Expr::IsNotFalse(inner) => is(inner, "NOT FALSE"),
            Expr::Between(Between { expr, negated, low, high }) => {
                let value = self.term(expr)?;
                let low = self.terms.comparison(&value, Comparison::GtEq, &self.term(low)?)?;
                let high = self.terms.comparison(&value, Comparison::LtEq, &self.term(high)?)?;
                Some(unless(*negated, format!("({low} AND {high})")))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let value = self.term(expr)?;
                let fits = (1..=MOST).contains(&list.len()) && self.terms.groups(&value);
                fits.then_some(())?;
                let items = list.iter().map(|item| {
                    let item = self.term(item)?;
                    // Whether the two can be compared at all.
                    self.terms.comparison(&value, Comparison::Eq, &item)?;
                    Some(item.sql)
                });
                let items = items.collect::<Option<Vec<_>>>()?;
                Some(unless(*negated, format!("({} IN ({}))", value.sql, items.join(", "))))
            }
            Expr::Like(Like { negated, expr, pattern, escape_char: None, case_insensitive: false }) => {
                let Expr::Literal(pattern, _) = pattern.as_ref() else { return None };
                Some(unless(*negated, self.terms.pattern(&self.term(expr)?, pattern.try_as_str()??)?))
            }
            _ => None,
        }
    }

    fn case(&self, case: &Case, to: &DataType) -> Option<Term> {
        let subject = case.expr.as_ref().map(|subject| self.term(subject));
        let subject = match subject {
            Some(term) => Some(term?),
            None => None,
        };
        let mut sql = "(CASE".to_string();
        for (when, then) in &case.when_then_expr {
            let when = self.term(when)?;
            let when = match &subject {
                Some(subject) => self.terms.comparison(subject, Comparison::Eq, &when)?,
                None => when.sql,
            };
            sql += &format!(" WHEN {when} THEN {}", self.branch(then, to)?);
        }
        if let Some(otherwise) = &case.else_expr {
            sql += &format!(" ELSE {}", self.branch(otherwise, to)?);
        }
        self.terms.typed(sql + " END)", to)
    }

    /// A value of a CASE or COALESCE, which has the type of the whole.
    fn branch(&self, expr: &Expr, to: &DataType) -> Option<String> {
        if let Expr::Literal(value, _) = expr
            && value.is_null()
        {
            return Some("NULL".into());
        }
        let term = self.term(expr)?;
        (self.type_of(expr)? == *to && self.terms.typed(String::new(), to).is_some()).then_some(())?;
        Some(self.terms.branch(&term))
    }

    fn function(&self, call: &ScalarFunction, to: &DataType) -> Option<Term> {
        match call.func.name() {
            "coalesce" => {
                let args = call.args.iter().map(|arg| self.branch(arg, to)).collect::<Option<Vec<_>>>()?;
                self.terms.typed(format!("COALESCE({})", args.join(", ")), to)
            }
            "nullif" => {
                let [value, other] = call.args.as_slice() else { return None };
                let (value, other) = (self.term(value)?, self.term(other)?);
                let equal = self.terms.comparison(&value, Comparison::Eq, &other)?;
                self.terms.typed(format!("(CASE WHEN {equal} THEN NULL ELSE {} END)", self.terms.branch(&value)), to)
            }
            name => {
                let args = call.args.iter().map(|arg| self.term(arg)).collect::<Option<Vec<_>>>()?;
                self.terms.function(name, &args, to)
            }
        }
    }

    /// An aggregate over the input's rows.
    pub fn aggregate(&self, expr: &Expr) -> Option<Term> {
        match expr {
            Expr::Alias(alias) => self.aggregate(&alias.expr),
            Expr::AggregateFunction(AggregateFunction {
                func,
                params: AggregateFunctionParams { args, distinct, filter, order_by, null_treatment: None },
            }) if order_by.is_empty() => {
                let filter = match filter {
                    Some(filter) => Some(self.condition(filter)?),
                    None => None,
                };
                let arg = match args.as_slice() {
                    [] if func.name() == "count" => None,
                    // count(1) is count(*).
                    [Expr::Literal(value, _)] if func.name() == "count" && !value.is_null() && !distinct => None,
                    // The mean of integers is that of floats, of which sums are not the same in any order.
                    [Expr::Cast(Cast { expr: whole, field })]
                        if func.name() == "avg"
                            && *field.data_type() == DataType::Float64
                            && self.type_of(whole)?.is_integer() =>
                    {
                        Some(self.term(whole)?)
                    }
                    [arg] => Some(self.term(arg)?),
                    _ => return None,
                };
                let to = self.type_of(expr)?;
                self.terms.aggregate(&AggregateCall {
                    name: func.name(),
                    arg: arg.as_ref(),
                    distinct: *distinct,
                    filter: filter.as_deref(),
                    to: &to,
                })
            }
            _ => None,
        }
    }

    /// An item of ORDER BY.
    pub fn order(&self, item: &SortExpr) -> Option<String> {
        self.terms.order(&self.term(&item.expr)?, item.asc, item.nulls_first)
    }
}

fn unless(negated: bool, condition: String) -> String {
    if negated { format!("(NOT {condition})") } else { condition }
}
