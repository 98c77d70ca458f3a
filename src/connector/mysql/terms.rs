//! Expressions in MySQL's SQL, where they mean there what they mean to DataFusion.
//!
//! | here | there |
//! | --- | --- |
//! | text is compared by its bytes | it is bytes in every statement, and text again in what is read of it |
//! | 7 / 2 is 3, and a quotient by 0 an error | `DIV`, by a literal that is not 0: by 0 MySQL makes NULL |
//! | integers wrap at their own width | 64 bits alone, where MySQL says that a number is out of range |
//! | `avg` of decimals is cut after four more digits | the sum by the count, cut, and corrected where the quotient was rounded up |
//! | NULLs come where the plan says | `ISNULL(x)` before `x` |
//! | joins hash one side | inner, left and right ones by integers, decimals, dates and timestamps, of servers that hash, too; of three tables and more in our order, as theirs may be a product of two. The others are nested loops there, and stay here |
//! | casts, arithmetic of floats and unsigned integers, other functions | stay here: MySQL clips what does not fit |

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{JoinType, ScalarValue};

use super::dialect::{MysqlDialect, quote_text};
use super::types::{MyType, SYSTEM};
use crate::connector::sql::federate::{AggregateCall, Arithmetic, Term, Terms, second_digits};
use crate::connector::sql::{Comparison, Dialect};
use crate::model::{DxtField, DxtType};

/// Digits of a decimal, and of its fraction, that MySQL counts with.
const DIGITS: u8 = 65;
const FRACTION: i8 = 30;

/// Types whose values are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Bool,
    /// Integers and decimals.
    Number,
    Text,
    Date,
    Timestamp,
    Instant,
    /// What is only handed on, as it is read.
    Other,
}

fn class(term: &Term) -> Class {
    match MyType::of(&term.field) {
        Some(MyType::Bool) => Class::Bool,
        Some(MyType::Int(..) | MyType::Decimal(..)) => Class::Number,
        Some(MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_)) if term.collated => Class::Text,
        Some(MyType::Date) => Class::Date,
        Some(MyType::Datetime(_)) => Class::Timestamp,
        Some(MyType::Timestamp(_)) => Class::Instant,
        _ => Class::Other,
    }
}

/// The type that has just the values of one of DataFusion's, as it is spelled there.
fn native_of(to: &DataType) -> Option<String> {
    Some(match to {
        DataType::Boolean => "tinyint(1)".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 => "longtext".into(),
        DataType::Date32 => "date".into(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) if *p <= DIGITS && (0..=FRACTION).contains(s) => {
            format!("decimal({p},{s})")
        }
        DataType::Timestamp(unit, None) => format!("datetime({})", second_digits(*unit)?),
        DataType::Timestamp(unit, Some(_)) => format!("timestamp({})", second_digits(*unit)?),
        _ => return None,
    })
}

/// Digits before the point that a number has at most.
fn whole_digits(term: &Term) -> Option<i16> {
    Some(match term.field.dtype {
        DxtType::Int8 | DxtType::Uint8 => 3,
        DxtType::Int16 | DxtType::Uint16 => 5,
        DxtType::Int32 | DxtType::Uint32 => 10,
        DxtType::Int64 => 19,
        DxtType::Uint64 => 20,
        DxtType::Decimal { precision, scale } => i16::from(precision) - i16::from(scale),
        _ => return None,
    })
}

fn is_signed(term: &Term) -> bool {
    !matches!(term.field.dtype, DxtType::Uint8 | DxtType::Uint16 | DxtType::Uint32 | DxtType::Uint64)
}

impl MysqlDialect {
    /// Text as bytes.
    fn bytes(sql: String, field: DxtField) -> Term {
        Term { collated: true, plain: false, ..Term::column(sql, field) }
    }
}

impl Terms for MysqlDialect {
    fn column(&self, table: &str, field: &DxtField) -> Term {
        let quoted = self.quote(&field.name);
        let name = if table.is_empty() { quoted.clone() } else { format!("{table}.{quoted}") };
        let plain = |sql: String| Term::column(sql, field.clone());
        match MyType::of(field) {
            Some(MyType::Char | MyType::Text | MyType::Enum(_) | MyType::Set(_)) => {
                // NULL stays NULL, so that it may be the column of a row that is missing.
                let sql = format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)");
                Term { plain: true, ..Self::bytes(sql, field.clone()) }
            }
            Some(MyType::Date | MyType::Datetime(_) | MyType::Timestamp(_)) if self.reads_zero_dates_as_null() => {
                self.as_read(&quoted, &name, field)
            }
            Some(
                MyType::Bool
                | MyType::Int(..)
                | MyType::Decimal(..)
                | MyType::Date
                | MyType::Datetime(_)
                | MyType::Timestamp(_),
            ) => plain(name),
            _ => self.as_read(&quoted, &name, field),
        }
    }

    fn within(&self, term: &Term, sql: String) -> Term {
        Term { sql, plain: true, ..term.clone() }
    }

    fn literal(&self, value: &ScalarValue) -> Option<Term> {
        let to = match value.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            other => other,
        };
        let native = native_of(&to)?;
        let field = DxtField::new("", DxtType::from_arrow(&to).ok()?).native(SYSTEM, native);
        if value.is_null() {
            return None;
        }
        if let Some(text) = value.try_as_str().flatten() {
            return Some(Self::bytes(format!("CAST({} AS BINARY)", quote_text(text)), field));
        }
        // As a column is compared with it.
        let probe = DxtField { name: "x".into(), ..field.clone() };
        let compared = self.compare(&probe, Comparison::Eq, value).filter(|pushed| pushed.exact)?;
        let sql = compared.sql.strip_prefix("`x` = ")?.to_string();
        let sql = if sql.starts_with('-') { format!("({sql})") } else { sql };
        Some(Term { plain: false, ..Term::column(sql, field) })
    }

    fn typed(&self, sql: String, to: &DataType) -> Option<Term> {
        let field = DxtField::new("", DxtType::from_arrow(to).ok()?).native(SYSTEM, native_of(to)?);
        Some(match to {
            DataType::Utf8 => Self::bytes(sql, field),
            _ => Term { plain: false, ..Term::column(sql, field) },
        })
    }

    fn branch(&self, term: &Term) -> String {
        term.sql.clone()
    }

    fn cast(&self, term: &Term, to: &DataType) -> Option<Term> {
        let same = || Some(Term { plain: term.plain, ..self.typed(term.sql.clone(), to)? });
        match (class(term), to) {
            // MySQL counts with 64 bits always.
            (Class::Number, DataType::Int64) if term.field.dtype.is_integer() && is_signed(term) => same(),
            (Class::Number, DataType::Decimal128(p, s) | DataType::Decimal256(p, s)) if *s >= term.scale() => {
                let fits = whole_digits(term)? <= i16::from(*p) - i16::from(*s) && native_of(to).is_some();
                fits.then(|| self.typed(format!("CAST({} AS DECIMAL({p},{s}))", term.sql), to))?
            }
            (Class::Text, DataType::Utf8) => Some(term.clone()),
            (Class::Date, DataType::Timestamp(_, None)) => self.typed(format!("CAST({} AS DATETIME(6))", term.sql), to),
            (Class::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None))
            | (Class::Instant, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => same(),
            _ => None,
        }
    }

    fn comparison(&self, left: &Term, op: Comparison, right: &Term) -> Option<String> {
        let fits = class(left) == class(right) && class(left) != Class::Other;
        fits.then(|| format!("({} {} {})", left.sql, op.as_sql(), right.sql))
    }

    fn same(&self, left: &Term, right: &Term) -> Option<String> {
        let fits = class(left) == class(right) && class(left) != Class::Other;
        fits.then(|| format!("({} <=> {})", left.sql, right.sql))
    }

    fn groups(&self, term: &Term) -> bool {
        // A number in GROUP BY and ORDER BY is a column's place.
        class(term) != Class::Other && term.sql.trim_matches(['(', ')']).parse::<f64>().is_err()
    }

    fn groups_within(&self) -> bool {
        true
    }

    fn joins(&self, kind: JoinType, keys: &[(Term, Term)]) -> bool {
        // Else by nested loops: where no index serves, a table would be read once for each row of the other.
        let stored = |term: &Term| term.plain && !matches!(class(term), Class::Text | Class::Other);
        let hashed = keys.iter().any(|(left, right)| stored(left) && stored(right));
        self.hashes_joins() && hashed && matches!(kind, JoinType::Inner | JoinType::Left | JoinType::Right)
    }

    fn joins_in_order(&self) -> bool {
        // Their optimizers reckon with nested loops, to which a product of two small tables is as good as any join.
        true
    }

    fn full_join(&self) -> bool {
        false
    }

    fn scans_first(&self) -> bool {
        true
    }

    fn null_test(&self, term: &Term, negated: bool) -> Option<String> {
        // `IS NULL` of a date that is NOT NULL finds zero dates.
        let sql = match class(term) {
            Class::Date | Class::Timestamp | Class::Instant => format!("CAST({} AS CHAR)", term.sql),
            _ => term.sql.clone(),
        };
        Some(format!("({sql} IS {}NULL)", if negated { "NOT " } else { "" }))
    }

    fn arithmetic(&self, left: &Term, op: Arithmetic, right: &Term, to: &DataType) -> Option<Term> {
        let numbers = class(left) == Class::Number && class(right) == Class::Number;
        (numbers && is_signed(left) && is_signed(right)).then_some(())?;
        let whole = left.field.dtype.is_integer() && right.field.dtype.is_integer();
        let divisor = || right.sql.trim_matches(['(', ')']).parse::<i64>().is_ok_and(|n| n != 0);
        let fits = match (to, op) {
            (DataType::Int64, Arithmetic::Divide | Arithmetic::Modulo) => whole && divisor(),
            (DataType::Int64, _) => whole,
            (DataType::Decimal128(_, s) | DataType::Decimal256(_, s), Arithmetic::Plus | Arithmetic::Minus) => {
                *s == left.scale().max(right.scale())
            }
            (DataType::Decimal128(_, s) | DataType::Decimal256(_, s), Arithmetic::Times) => {
                i32::from(*s) == i32::from(left.scale()) + i32::from(right.scale()) && *s <= FRACTION
            }
            _ => false,
        };
        let op = if op == Arithmetic::Divide { "DIV" } else { op.as_sql() };
        fits.then(|| self.typed(format!("({} {op} {})", left.sql, right.sql), to))?
    }

    fn pattern(&self, term: &Term, pattern: &str) -> Option<String> {
        (class(term) == Class::Text && !pattern.contains('\\')).then_some(())?;
        // By code points, as LIKE counts them here.
        let text = format!("CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin", term.sql);
        Some(format!("({text} LIKE {})", quote_text(pattern)))
    }

    fn function(&self, name: &str, args: &[Term], to: &DataType) -> Option<Term> {
        let texts = args.iter().all(|arg| class(arg) == Class::Text);
        match (name, args) {
            ("concat_op", [a, b]) if texts => self.typed(format!("CONCAT({}, {})", a.sql, b.sql), to),
            ("date_part", [part, moment])
                if matches!(class(moment), Class::Date | Class::Timestamp | Class::Instant) =>
            {
                let part = part.sql.strip_prefix("CAST('")?.strip_suffix("' AS BINARY)")?.to_ascii_uppercase();
                let known = ["YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE"].contains(&part.as_str());
                let number = DxtField::new("", DxtType::Int32).native(SYSTEM, "int");
                let sql = format!("EXTRACT({part} FROM {})", moment.sql);
                (known && *to == DataType::Int32).then(|| Term { plain: false, ..Term::column(sql, number) })
            }
            _ => None,
        }
    }

    fn aggregate(&self, call: &AggregateCall<'_>) -> Option<Term> {
        // There is no FILTER: what does not count is NULL.
        let counted = |sql: &str| match call.filter {
            Some(condition) => format!("CASE WHEN {condition} THEN {sql} END"),
            None => sql.to_string(),
        };
        let Some(arg) = call.arg else {
            let all = if call.filter.is_some() { counted("1") } else { "*".into() };
            return self.typed(format!("COUNT({all})"), call.to);
        };
        (!call.distinct || self.groups(arg)).then_some(())?;
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let of = |name: &str| format!("{name}({distinct}{})", counted(&arg.sql));
        let number = class(arg) == Class::Number && is_signed(arg);
        match (call.name, call.to) {
            ("count", _) => self.typed(of("COUNT"), call.to),
            ("sum", DataType::Int64) if number && arg.field.dtype.is_integer() => self.typed(of("SUM"), call.to),
            ("sum", DataType::Decimal128(_, s) | DataType::Decimal256(_, s)) if number && *s == arg.scale() => {
                self.typed(of("SUM"), call.to)
            }
            ("avg", DataType::Decimal128(_, s)) if number && *s == arg.scale() + 4 && *s <= FRACTION => {
                let tens = 10_i128.pow(u32::try_from(*s).ok()?);
                let (sum, count) = (format!("({} * {tens})", of("SUM")), of("COUNT"));
                let cut = format!("TRUNCATE({sum} / {count}, 0)");
                let over = format!("(ABS({cut} * {count}) > ABS({sum}))");
                let unit = format!("0.{:0>width$}", 1, width = usize::try_from(*s).ok()?);
                self.typed(format!("(({cut} - {over} * SIGN({sum})) * {unit})"), call.to)
            }
            ("avg", DataType::Float64) if number && arg.field.dtype.is_integer() => {
                self.typed(format!("(({} + 0e0) / {})", of("SUM"), of("COUNT")), call.to)
            }
            ("min" | "max", to)
                if arg.field.dtype.to_arrow() == *to && class(arg) != Class::Bool && self.groups(arg) =>
            {
                Some(Term { sql: of(&call.name.to_ascii_uppercase()), plain: false, ..arg.clone() })
            }
            _ => None,
        }
    }

    fn order(&self, term: &Term, ascending: bool, nulls_first: bool) -> Option<String> {
        self.groups(term).then_some(())?;
        let direction = if ascending { "ASC" } else { "DESC" };
        let nulls = if nulls_first { "DESC" } else { "ASC" };
        Some(format!("ISNULL({0}) {nulls}, {0} {direction}", term.sql))
    }

    fn output(&self, term: &Term) -> String {
        match class(term) {
            Class::Text => format!("CONVERT({} USING utf8mb4)", term.sql),
            Class::Date | Class::Timestamp | Class::Instant => format!("CAST({} AS CHAR)", term.sql),
            _ => term.sql.clone(),
        }
    }

    fn limit(&self, fetch: Option<usize>, skip: usize) -> String {
        match (fetch, skip) {
            (None, 0) => String::new(),
            (Some(rows), 0) => format!(" LIMIT {rows}"),
            // There is no OFFSET without a LIMIT.
            (fetch, skip) => format!(" LIMIT {} OFFSET {skip}", fetch.map_or(u64::MAX, |rows| rows as u64)),
        }
    }
}

impl MysqlDialect {
    /// A column in the form that is read of it, to be handed on.
    fn as_read(&self, quoted: &str, name: &str, field: &DxtField) -> Term {
        let item = self.select(field);
        let sql = item.strip_suffix(&format!(" AS {quoted}")).unwrap_or(&item).replace(quoted, name);
        // Of a type that no other term has.
        let field = DxtField { native: None, ..field.clone() };
        Term { plain: false, ..Term::column(sql, field) }
    }
}
