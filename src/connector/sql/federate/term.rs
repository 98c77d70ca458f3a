//! Expressions in a remote system's SQL, and what a dialect knows of them.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{JoinType, ScalarValue};

use crate::connector::sql::Comparison;
use crate::model::{DxtField, DxtType};

/// An expression of a remote system that gives, for each row, just the value that DataFusion would compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The expression. It can stand beside any operator.
    pub sql: String,
    /// Its type: DXT's, and the system's own that is decoded. The name means nothing.
    pub field: DxtField,
    /// Whether the system's type of the expression may be another one than the field's: an output is cast to it.
    pub loose: bool,
    /// Whether it is a column, and so NULL where an outer join has no row for it.
    pub plain: bool,
    /// Whether it is text with an order and equality of bytes that was asked for explicitly.
    pub collated: bool,
}

impl Term {
    /// A column as it is stored.
    pub fn column(sql: String, field: DxtField) -> Self {
        Self { sql, field, loose: false, plain: true, collated: false }
    }

    /// A computed value.
    pub fn computed(sql: String, field: DxtField) -> Self {
        Self { sql, field, loose: true, plain: false, collated: false }
    }

    /// Digits behind the point of a number; of an integer none.
    pub fn scale(&self) -> i8 {
        match self.field.dtype {
            DxtType::Decimal { scale, .. } => scale,
            _ => 0,
        }
    }
}

/// Digits behind the point of a second; `None` where they are finer than these systems have.
pub fn second_digits(unit: TimeUnit) -> Option<u8> {
    match unit {
        TimeUnit::Second => Some(0),
        TimeUnit::Millisecond => Some(3),
        TimeUnit::Microsecond => Some(6),
        TimeUnit::Nanosecond => None,
    }
}

/// An operator on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

impl Arithmetic {
    /// The operator in every SQL.
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// An aggregate whose argument is in the system's SQL.
#[derive(Debug, Clone, Copy)]
pub struct AggregateCall<'a> {
    /// DataFusion's name of it: `sum`.
    pub name: &'a str,
    /// The argument; `None` for `count(*)`.
    pub arg: Option<&'a Term>,
    /// Whether each value counts once.
    pub distinct: bool,
    /// The condition of the rows that count.
    pub filter: Option<&'a str>,
    /// DataFusion's type of the result.
    pub to: &'a DataType,
}

/// How a system writes expressions beyond [`Dialect`](super::super::Dialect)'s comparisons of a column with a literal. Each
/// method gives `None` where the result would not be, for every value, what DataFusion computes: another collation, another
/// rounding, another type. An error of the system in the place of a value that DataFusion wraps or rounds is fine.
pub trait Terms {
    /// A column of the table known as `table` there, or of the only one where that is empty: in the form that is read of it.
    fn column(&self, table: &str, field: &DxtField) -> Term;

    /// `sql` as a column of a subquery that gives `term`.
    fn within(&self, term: &Term, sql: String) -> Term;

    /// A literal with its type.
    fn literal(&self, value: &ScalarValue) -> Option<Term>;

    /// A computed expression whose value has DataFusion's type `to`, such as a CASE of such values.
    fn typed(&self, sql: String, to: &DataType) -> Option<Term>;

    /// A value of a CASE or COALESCE, in the type of the whole.
    fn branch(&self, term: &Term) -> String {
        self.output(&Term { loose: true, ..term.clone() })
    }

    /// Whether groups are made in a subquery, as what is read of their keys is an expression around them.
    fn groups_within(&self) -> bool {
        false
    }

    /// Whether such a join runs there as fast as here, also where no index serves. `keys`: the two sides of each equality
    /// by which rows meet.
    fn joins(&self, _kind: JoinType, _keys: &[(Term, Term)]) -> bool {
        true
    }

    /// Whether tables are joined there in the order of the statement, where there are three and more.
    fn joins_in_order(&self) -> bool {
        false
    }

    /// Whether there is a FULL JOIN.
    fn full_join(&self) -> bool {
        true
    }

    /// Whether a condition on a table is best put as its own scan would put it, so that indexes serve.
    fn scans_first(&self) -> bool {
        false
    }

    /// A cast that loses nothing.
    fn cast(&self, term: &Term, to: &DataType) -> Option<Term>;

    /// A comparison, in parentheses; NULL where one of the two is.
    fn comparison(&self, left: &Term, op: Comparison, right: &Term) -> Option<String>;

    /// Whether two are the same or both NULL.
    fn same(&self, left: &Term, right: &Term) -> Option<String>;

    /// Whether GROUP BY, DISTINCT and `IN` take values for equal just where DataFusion does.
    fn groups(&self, term: &Term) -> bool;

    /// `term IS NULL`, or its opposite.
    fn null_test(&self, term: &Term, negated: bool) -> Option<String>;

    /// An operation on numbers, whose type in DataFusion is `to`.
    fn arithmetic(&self, left: &Term, op: Arithmetic, right: &Term, to: &DataType) -> Option<Term>;

    /// `term LIKE pattern`, where no escape character is in the pattern.
    fn pattern(&self, term: &Term, pattern: &str) -> Option<String>;

    /// A scalar function by DataFusion's name, whose type there is `to`.
    fn function(&self, name: &str, args: &[Term], to: &DataType) -> Option<Term>;

    /// An aggregate.
    fn aggregate(&self, call: &AggregateCall<'_>) -> Option<Term>;

    /// An item of ORDER BY.
    fn order(&self, term: &Term, ascending: bool, nulls_first: bool) -> Option<String>;

    /// An item of the outermost select list, in the form that is decoded; without its name.
    fn output(&self, term: &Term) -> String;

    /// LIMIT and OFFSET.
    fn limit(&self, fetch: Option<usize>, skip: usize) -> String {
        let mut sql = fetch.map(|rows| format!(" LIMIT {rows}")).unwrap_or_default();
        if skip > 0 {
            sql += &format!(" OFFSET {skip}");
        }
        sql
    }
}
