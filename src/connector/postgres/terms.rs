//! Expressions in PostgreSQL's SQL, where they mean there what they mean to DataFusion.
//!
//! | here | there |
//! | --- | --- |
//! | text is compared by its bytes | `COLLATE "C"` for an order, in a UTF-8 database; `=` as it is where the collation tells unlike texts apart |
//! | floats: -0 is less than 0 | neither keys nor comparisons but with a literal other than zero |
//! | `avg` of decimals is cut after four more digits | `div` of the sum by the count |
//! | `avg` of integers divides floats | the sum is made a float, and then divided |
//! | NULLs come where the plan says | `NULLS FIRST`, `NULLS LAST` always |
//! | `extract(year …)` has a year 0 | one year more before it |
//! | arithmetic of floats, quotients of decimals, casts that round, upper and lower case | stay here |

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::dialect::{PostgresDialect, literal, quote_text};
use super::types::{PgType, SYSTEM};
use crate::connector::sql::federate::{AggregateCall, Arithmetic, Term, Terms, second_digits};
use crate::connector::sql::{Comparison, Dialect};
use crate::model::{DxtField, DxtType};

/// Types whose values are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Bool,
    /// Integers and decimals.
    Number,
    Float,
    Text,
    Date,
    Time,
    Timestamp,
    Instant,
    Uuid,
    Bytes,
    /// What is only handed on.
    Other,
}

fn class(term: &Term) -> Class {
    match PgType::of(&term.field) {
        Some(PgType::Bool) => Class::Bool,
        Some(PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Numeric(Some(_))) => Class::Number,
        Some(PgType::Float4 | PgType::Float8) => Class::Float,
        Some(PgType::Text | PgType::Varchar(_)) => Class::Text,
        Some(PgType::Date) => Class::Date,
        Some(PgType::Time(_)) => Class::Time,
        Some(PgType::Timestamp(_)) => Class::Timestamp,
        Some(PgType::TimestampTz(_)) => Class::Instant,
        Some(PgType::Uuid) => Class::Uuid,
        Some(PgType::Bytea) => Class::Bytes,
        _ => Class::Other,
    }
}

/// The type that has just the values of one of DataFusion's, as it is spelled there.
fn native_of(to: &DataType) -> Option<String> {
    Some(match to {
        DataType::Boolean => "boolean".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Utf8 => "text".into(),
        DataType::Date32 => "date".into(),
        DataType::FixedSizeBinary(16) => "uuid".into(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) if *s >= 0 => format!("numeric({p},{s})"),
        DataType::Timestamp(unit, None) => format!("timestamp({}) without time zone", second_digits(*unit)?),
        DataType::Timestamp(unit, Some(_)) => format!("timestamp({}) with time zone", second_digits(*unit)?),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time({}) without time zone", second_digits(*unit)?),
        _ => return None,
    })
}

impl PostgresDialect {
    /// Text whose order and equality are those of its bytes, spelled out.
    fn in_bytes(sql: &str, field: DxtField) -> Term {
        let sql = format!("({sql} COLLATE \"C\")");
        Term { sql, field, loose: false, plain: false, collated: true }
    }

    /// Text to be compared by the order of its bytes.
    fn ordered(&self, term: &Term) -> Option<String> {
        match (class(term), term.collated) {
            (Class::Text, _) if !self.is_utf8() => None,
            (Class::Text, false) => Some(format!("({} COLLATE \"C\")", term.sql)),
            (Class::Float | Class::Other, _) => None,
            _ => Some(term.sql.clone()),
        }
    }

    /// A computed value that is of its type already.
    fn exact(&self, sql: String, to: &DataType) -> Option<Term> {
        Some(Term { loose: false, ..self.typed(sql, to)? })
    }
}

impl Terms for PostgresDialect {
    fn column(&self, table: &str, field: &DxtField) -> Term {
        let name = match table {
            "" => self.quote(&field.name),
            table => format!("{table}.{}", self.quote(&field.name)),
        };
        let text = |native: &str| DxtField::new("", DxtType::String).native(SYSTEM, native);
        match PgType::of(field).filter(PgType::is_binary) {
            // Its blanks count here.
            Some(PgType::Char(Some(length))) => {
                Self::in_bytes(&format!("pg_catalog.rpad({name}::text, {length})"), text("text"))
            }
            Some(PgType::Name) => Self::in_bytes(&format!("{name}::text"), text("text")),
            Some(PgType::Text | PgType::Varchar(_)) if self.is_collated(&field.name) => {
                Term { plain: true, ..Self::in_bytes(&name, field.clone()) }
            }
            Some(_) => Term::column(name, field.clone()),
            None if field.dtype == DxtType::String => Self::in_bytes(&self.text_of(&name, &field.name), text("text")),
            None => Term { plain: false, ..Term::column(self.text_of(&name, &field.name), field.clone()) },
        }
    }

    fn within(&self, term: &Term, sql: String) -> Term {
        match term.collated {
            true => Term { plain: true, loose: term.loose, ..Self::in_bytes(&sql, term.field.clone()) },
            false => Term { sql, plain: true, ..term.clone() },
        }
    }

    fn literal(&self, value: &ScalarValue) -> Option<Term> {
        let to = match value.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            other => other,
        };
        let native = native_of(&to)?;
        if value.is_null() {
            return self.exact(format!("NULL::{native}"), &to);
        }
        let sql = literal(PgType::parse(&native), value)?;
        self.exact(
            match to {
                DataType::Int16 | DataType::Int32 | DataType::Int64 => format!("({sql})::{native}"),
                DataType::Decimal128(..) | DataType::Decimal256(..) => format!("({sql})::numeric"),
                DataType::Utf8 => format!("{sql}::text"),
                _ => sql,
            },
            &to,
        )
    }

    fn typed(&self, sql: String, to: &DataType) -> Option<Term> {
        let field = DxtField::new("", DxtType::from_arrow(to).ok()?).native(SYSTEM, native_of(to)?);
        Some(Term::computed(sql, field))
    }

    fn cast(&self, term: &Term, to: &DataType) -> Option<Term> {
        let native = native_of(to)?;
        let sql = &term.sql;
        let cast = || self.exact(format!("({sql})::{native}"), to);
        let same = || self.typed(sql.clone(), to);
        match (class(term), &term.field.dtype, to) {
            (Class::Number, from, DataType::Int16 | DataType::Int32 | DataType::Int64) if from.is_integer() => cast(),
            (Class::Number, from, DataType::Float64) if from.is_integer() => cast(),
            (Class::Number, from, DataType::Utf8) if from.is_integer() => cast(),
            (Class::Number, _, DataType::Decimal128(_, s) | DataType::Decimal256(_, s)) if *s >= term.scale() => cast(),
            (Class::Float, DxtType::Float32, DataType::Float64) => cast(),
            (Class::Text, _, DataType::Utf8) => Some(term.clone()),
            (Class::Date, _, DataType::Timestamp(_, None)) => cast(),
            (Class::Timestamp, DxtType::Timestamp { precision }, DataType::Timestamp(_, None))
            | (Class::Instant, DxtType::TimestampTz { precision }, DataType::Timestamp(_, Some(_))) => {
                let to = DxtType::from_arrow(to).ok()?;
                let wider = matches!(to, DxtType::Timestamp { precision: p } | DxtType::TimestampTz { precision: p } if p >= *precision);
                wider.then(same)?
            }
            (Class::Timestamp, _, DataType::Date32) => cast(),
            (Class::Instant, _, DataType::Date32) => self.exact(format!("({sql} AT TIME ZONE 'UTC')::date"), to),
            _ => None,
        }
    }

    fn comparison(&self, left: &Term, op: Comparison, right: &Term) -> Option<String> {
        let (a, b) = (class(left), class(right));
        // A literal stands in quotes, and is neither zero nor NaN.
        let is_literal = |term: &Term| term.sql.starts_with('\'');
        let fits = match a {
            Class::Other => false,
            Class::Float => is_literal(left) || is_literal(right),
            _ => true,
        };
        (a == b && fits).then_some(())?;
        let equality = matches!(op, Comparison::Eq | Comparison::NotEq);
        let (left, right) = match a {
            Class::Text if !equality => (self.ordered(left)?, self.ordered(right)?),
            _ => (left.sql.clone(), right.sql.clone()),
        };
        Some(format!("({left} {} {right})", op.as_sql()))
    }

    fn same(&self, left: &Term, right: &Term) -> Option<String> {
        (self.groups(left) && class(left) == class(right))
            .then(|| format!("({} IS NOT DISTINCT FROM {})", left.sql, right.sql))
    }

    fn groups(&self, term: &Term) -> bool {
        !matches!(class(term), Class::Float | Class::Other)
    }

    fn null_test(&self, term: &Term, negated: bool) -> Option<String> {
        Some(format!("({} IS {}NULL)", term.sql, if negated { "NOT " } else { "" }))
    }

    fn arithmetic(&self, left: &Term, op: Arithmetic, right: &Term, to: &DataType) -> Option<Term> {
        (class(left) == Class::Number && class(right) == Class::Number).then_some(())?;
        let whole = left.field.dtype.is_integer() && right.field.dtype.is_integer();
        let sql = format!("({} {} {})", left.sql, op.as_sql(), right.sql);
        match (to, op) {
            (DataType::Int16 | DataType::Int32 | DataType::Int64, _) if whole => self.typed(sql, to),
            (DataType::Decimal128(_, s) | DataType::Decimal256(_, s), Arithmetic::Plus | Arithmetic::Minus) => {
                (*s == left.scale().max(right.scale())).then(|| self.typed(sql, to))?
            }
            (DataType::Decimal128(_, s) | DataType::Decimal256(_, s), Arithmetic::Times) => {
                (i32::from(*s) == i32::from(left.scale()) + i32::from(right.scale())).then(|| self.typed(sql, to))?
            }
            _ => None,
        }
    }

    fn pattern(&self, term: &Term, pattern: &str) -> Option<String> {
        // A backslash at the end is an error there.
        (class(term) == Class::Text && !pattern.contains('\\')).then_some(())?;
        let text = if term.collated { term.sql.clone() } else { format!("({} COLLATE \"C\")", term.sql) };
        Some(format!("({text} LIKE {})", quote_text(pattern)?))
    }

    fn function(&self, name: &str, args: &[Term], to: &DataType) -> Option<Term> {
        let texts = args.iter().all(|arg| class(arg) == Class::Text);
        match (name, args) {
            ("concat_op", [a, b]) if texts => self.typed(format!("({} || {})", a.sql, b.sql), to),
            ("character_length", [text]) if texts && self.is_utf8() => {
                self.typed(format!("pg_catalog.length({})", text.sql), to)
            }
            ("substr", [text, rest @ ..]) if class(text) == Class::Text && self.is_utf8() => {
                let rest = rest.iter().map(|term| constant(term).filter(|n| i32::try_from(*n).is_ok()));
                let mut list = text.sql.clone();
                for number in rest {
                    list += &format!(", {}", number?);
                }
                self.typed(format!("pg_catalog.substr({list})"), to)
            }
            ("btrim", [text]) if texts => self.typed(format!("pg_catalog.btrim({})", text.sql), to),
            ("starts_with", [a, b]) if texts => {
                self.typed(format!("pg_catalog.starts_with({}, {})", self.ordered(a)?, self.ordered(b)?), to)
            }
            ("abs", [number]) if class(number) == Class::Number => {
                self.typed(format!("pg_catalog.abs({})", number.sql), to)
            }
            ("date_part", [part, moment]) => {
                let moment = self.wall_clock(moment)?;
                let part = quoted(part)?.to_ascii_lowercase();
                // Years are counted with a year 0 here.
                let sql = match part.as_str() {
                    "year" => format!("(EXTRACT(year FROM {moment})::integer + ({moment} < '0001-01-01')::integer)"),
                    "quarter" | "month" | "day" | "hour" | "minute" => {
                        format!("EXTRACT({part} FROM {moment})::integer")
                    }
                    _ => return None,
                };
                self.typed(sql, to)
            }
            ("date_trunc", [part, moment]) if class(moment) == Class::Timestamp => {
                let part = quoted(part)?.to_ascii_lowercase();
                let known = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"];
                known
                    .contains(&part.as_str())
                    .then(|| self.typed(format!("pg_catalog.date_trunc('{part}', {})", moment.sql), to))?
            }
            _ => None,
        }
    }

    fn aggregate(&self, call: &AggregateCall<'_>) -> Option<Term> {
        let filter = call.filter.map(|condition| format!(" FILTER (WHERE {condition})")).unwrap_or_default();
        let Some(arg) = call.arg else {
            return self.exact(format!("count(*){filter}"), call.to);
        };
        (!call.distinct || self.groups(arg)).then_some(())?;
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let of = |name: &str, sql: &str| format!("{name}({distinct}{sql}){filter}");
        match (call.name, class(arg), call.to) {
            ("count", _, _) => self.exact(of("count", &arg.sql), call.to),
            ("sum", Class::Number, DataType::Int64) if arg.field.dtype.is_integer() => {
                self.exact(format!("({})::bigint", of("sum", &arg.sql)), call.to)
            }
            ("sum", Class::Number, DataType::Decimal128(_, s) | DataType::Decimal256(_, s)) if *s == arg.scale() => {
                self.typed(of("sum", &arg.sql), call.to)
            }
            ("avg", Class::Number, DataType::Decimal128(_, s)) if *s == arg.scale() + 4 => {
                let (tens, unit) = (10_i128.pow(u32::try_from(*s).ok()?), format!("1e-{s}"));
                let quotient = format!("pg_catalog.div({} * {tens}, {})", of("sum", &arg.sql), of("count", &arg.sql));
                self.typed(format!("({quotient} * {unit})"), call.to)
            }
            ("avg", Class::Number, DataType::Float64) if arg.field.dtype.is_integer() => {
                let (sum, count) = (of("sum", &arg.sql), of("count", &arg.sql));
                self.exact(format!("(({sum})::double precision / ({count})::double precision)"), call.to)
            }
            ("min" | "max", Class::Text, DataType::Utf8) => {
                let field = DxtField::new("", DxtType::String).native(SYSTEM, "text");
                let sql = of(call.name, &self.ordered(arg)?);
                Some(Term { collated: true, ..Term::computed(sql, field) })
            }
            ("min" | "max", Class::Number | Class::Date | Class::Time | Class::Timestamp | Class::Instant, to) => {
                (arg.field.dtype.to_arrow() == *to).then(|| self.typed(of(call.name, &arg.sql), to))?
            }
            ("bool_and" | "bool_or", Class::Bool, to) => self.exact(of(call.name, &arg.sql), to),
            _ => None,
        }
    }

    fn order(&self, term: &Term, ascending: bool, nulls_first: bool) -> Option<String> {
        let direction = if ascending { "ASC" } else { "DESC" };
        let nulls = if nulls_first { "FIRST" } else { "LAST" };
        Some(format!("{} {direction} NULLS {nulls}", self.ordered(term)?))
    }

    fn output(&self, term: &Term) -> String {
        match term.field.native_in(SYSTEM).filter(|_| term.loose) {
            Some(native) => format!("({})::{native}", term.sql),
            None => term.sql.clone(),
        }
    }
}

impl PostgresDialect {
    /// A date or timestamp as the clocks of UTC show it.
    fn wall_clock(&self, term: &Term) -> Option<String> {
        match class(term) {
            Class::Date | Class::Timestamp => Some(term.sql.clone()),
            Class::Instant => Some(format!("({} AT TIME ZONE 'UTC')", term.sql)),
            _ => None,
        }
    }
}

/// The whole number that a term is, where it is a literal.
fn constant(term: &Term) -> Option<i64> {
    let (number, native) = term.sql.strip_prefix('(')?.split_once(")::")?;
    matches!(native, "bigint" | "integer" | "smallint").then(|| number.parse().ok())?
}

/// The text that a term is, where it is a literal without quotes in it.
fn quoted(term: &Term) -> Option<&str> {
    let text = term.sql.strip_prefix('\'')?.strip_suffix("'::text")?;
    (!text.contains('\'')).then_some(text)
}
