//! Expressions of a type over the columns in scope, in SQL that PostgreSQL and DataFusion both take.
//!
//! None fails by its values: SQL does not say in which order conditions are evaluated, so that one system may meet a row
//! that another has filtered out. Hence divisors are literals, and casts always fit.

use super::random::Random;

/// A type as far as expressions tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    Int,
    Big,
    Decimal,
    Float,
    Text,
    Date,
    Timestamp,
    Instant,
    Bool,
}

/// The columns of every table.
pub const COLUMNS: [(&str, Type); 13] = [
    ("id", Type::Int),
    ("k", Type::Int),
    ("s", Type::Int),
    ("n", Type::Big),
    ("d", Type::Decimal),
    ("w", Type::Decimal),
    ("f", Type::Float),
    ("t", Type::Text),
    ("u", Type::Text),
    ("day", Type::Date),
    ("at", Type::Timestamp),
    ("tz", Type::Instant),
    ("ok", Type::Bool),
];

/// The types that every scope has a column of.
pub const TYPES: [Type; 9] = [
    Type::Int,
    Type::Big,
    Type::Decimal,
    Type::Float,
    Type::Text,
    Type::Date,
    Type::Timestamp,
    Type::Instant,
    Type::Bool,
];

const COMPARISONS: [&str; 8] = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
const PATTERNS: [&str; 12] = ["a%", "%b", "%a%", "_", "a_", "%", "", "A%", "%ä%", "a\\%b", "a\\_%", "__"];

/// What an expression may name.
#[derive(Clone, Default)]
pub struct Scope(pub Vec<(String, Type)>);

impl Scope {
    /// All columns of a table by an alias.
    pub fn table(alias: &str) -> Self {
        Self(COLUMNS.iter().map(|(name, of)| (format!("{alias}.{name}"), *of)).collect())
    }

    /// Those of both.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    fn of(&self, of: Type) -> Vec<&str> {
        self.0.iter().filter(|(_, t)| *t == of).map(|(name, _)| name.as_str()).collect()
    }

    /// The types that it has columns of.
    pub fn types(&self) -> Vec<Type> {
        TYPES.into_iter().filter(|of| !self.of(*of).is_empty()).collect()
    }
}

/// Makes expressions over one scope.
pub struct Exprs<'a> {
    pub random: &'a mut Random,
    pub scope: &'a Scope,
}

impl Exprs<'_> {
    /// A column of a type; a literal where the scope has none.
    pub fn column(&mut self, of: Type) -> String {
        match self.scope.of(of).as_slice() {
            [] => self.literal(of),
            columns => self.random.pick(columns).to_string(),
        }
    }

    pub fn literal(&mut self, of: Type) -> String {
        let list: &[&str] = match of {
            Type::Int => {
                &["0", "1", "-1", "2", "3", "-3", "7", "10", "32767", "2147483647", "2147483648", "-2147483648"]
            }
            Type::Big => {
                &["0", "1", "-1", "42", "9223372036854775807", "-9223372036854775807", "9007199254740993", "2147483648"]
            }
            Type::Decimal => {
                &["0.00", "1.0", "-0.01", "2.5", "1.05", "10.1", "-7.77", "9999999999.99", "0.001", "1.5", "100"]
            }
            Type::Float => &["0.5", "-2.5", "1", "0", "1000000000", "-0.25", "1e0"],
            Type::Text => {
                &["''", "'a'", "'A'", "'ab'", "'ä'", "'Z'", "'b'", "'a '", "'10'", "'日本'", "'ß'", "''''", "'e'"]
            }
            Type::Date => &[
                "date '2024-02-29'",
                "date '1970-01-01'",
                "date '1582-10-10'",
                "date '9999-12-31'",
                "date '2024-12-31'",
            ],
            Type::Timestamp => &[
                "timestamp '2024-03-31 01:30:00'",
                "timestamp '1969-12-31 23:59:59.999999'",
                "timestamp '2024-02-29 00:00:00'",
                "timestamp '2250-01-01 00:00:00.000001'",
            ],
            Type::Instant => &[
                "timestamp with time zone '2024-03-31 01:30:00+00:00'",
                "timestamp with time zone '2024-03-31 03:30:00+02:00'",
                "timestamp with time zone '1970-01-02 00:00:00+00:00'",
            ],
            Type::Bool => &["true", "false"],
        };
        self.random.pick(list).to_string()
    }

    /// Any expression of a type, so many levels deep at most.
    pub fn expr(&mut self, of: Type, depth: usize) -> String {
        if depth == 0 || self.random.percent(30) {
            return if self.random.percent(80) { self.column(of) } else { self.literal(of) };
        }
        if self.random.percent(20) {
            return self.choice(of, depth - 1);
        }
        match of {
            Type::Int => self.int(depth - 1),
            // Near its limits it is only moved by little.
            Type::Big => format!("({} {} {})", self.column(of), self.random.pick(&["+", "-"]), self.literal(Type::Int)),
            Type::Decimal => self.decimal(depth - 1),
            Type::Float => self.float(depth - 1),
            Type::Text => self.text(depth - 1),
            Type::Date => self.date(),
            Type::Timestamp => self.timestamp(depth - 1),
            Type::Instant => self.column(of),
            Type::Bool => self.condition(depth - 1),
        }
    }

    /// CASE, COALESCE and NULLIF.
    fn choice(&mut self, of: Type, depth: usize) -> String {
        let (a, b) = (self.column(of), self.expr(of, depth));
        match self.random.below(4) {
            0 => format!("CASE WHEN {} THEN {a} ELSE {b} END", self.condition(depth)),
            1 => format!("CASE WHEN {} THEN {a} END", self.condition(depth)),
            2 => format!("coalesce({a}, {b})"),
            _ => format!("nullif({a}, {b})"),
        }
    }

    fn int(&mut self, depth: usize) -> String {
        let a = self.expr(Type::Int, depth);
        match self.random.below(10) {
            0..=2 => {
                let op = self.random.pick(&["+", "-", "*"]);
                format!("({a} {op} {})", self.expr(Type::Int, depth))
            }
            3 => format!("({a} / {})", self.random.pick(&["-7", "-3", "-2", "2", "3", "10"])),
            4 => format!("({a} % {})", self.random.pick(&["-7", "-3", "-2", "2", "3", "10"])),
            5 => format!("(- {})", self.column(Type::Int)),
            6 => format!("abs(CAST({} AS bigint))", self.column(Type::Int)),
            7 => format!("character_length({})", self.expr(Type::Text, depth)),
            8 => format!(
                "CAST(extract({} FROM {}) AS integer)",
                self.random.pick(&["year", "month", "day"]),
                self.column(Type::Date)
            ),
            _ => format!("CAST({a} AS bigint)"),
        }
    }

    fn decimal(&mut self, depth: usize) -> String {
        let a = self.column(Type::Decimal);
        match self.random.below(6) {
            0 | 1 => format!("({a} {} {})", self.random.pick(&["+", "-"]), self.expr(Type::Decimal, depth)),
            // One product only: of a second one, or of wide decimals, there are more digits than a decimal has.
            2 => format!("({a} * {})", self.random.pick(&["-1", "0.5", "1.05", "3"])),
            3 => format!("({a} / {})", self.random.pick(&["3", "-2", "7.0"])),
            4 => format!("({a} + {})", self.column(Type::Int)),
            _ => format!("abs({a})"),
        }
    }

    fn float(&mut self, depth: usize) -> String {
        let a = self.column(Type::Float);
        match self.random.below(4) {
            0 => format!("({a} {} {})", self.random.pick(&["+", "-"]), self.expr(Type::Float, depth)),
            // Quarters and halves: exact, in whatever order they are added up.
            1 => format!("({a} * {})", self.random.pick(&["2", "-1", "0.5"])),
            2 => format!("floor({a})"),
            _ => format!("ceil({a})"),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        let a = self.expr(Type::Text, depth);
        match self.random.below(7) {
            0 => format!("lower({a})"),
            1 => format!("upper({a})"),
            2 => format!("({a} || {})", self.expr(Type::Text, 0)),
            3 => format!("substr({a}, {}, {})", self.random.pick(&["1", "2"]), self.random.pick(&["1", "2"])),
            4 => format!("trim({a})"),
            5 => format!("replace({a}, 'a', 'ä')"),
            _ => format!("CAST({} AS varchar)", self.column(Type::Int)),
        }
    }

    fn date(&mut self) -> String {
        match self.random.below(2) {
            0 => format!("CAST({} AS date)", self.column(Type::Timestamp)),
            _ => format!("CAST({} AS date)", self.column(Type::Instant)),
        }
    }

    fn timestamp(&mut self, depth: usize) -> String {
        let a = self.expr(Type::Timestamp, depth);
        match self.random.below(2) {
            0 => format!("date_trunc('{}', {a})", self.random.pick(&["month", "day", "hour", "year"])),
            _ => format!("({a} + interval '{}')", self.random.pick(&["1 day", "1 month", "90 minutes"])),
        }
    }

    /// A condition, so many levels deep at most.
    pub fn condition(&mut self, depth: usize) -> String {
        if depth > 0 && self.random.percent(40) {
            let a = self.condition(depth - 1);
            return match self.random.below(6) {
                0 | 1 => format!("({a} AND {})", self.condition(depth - 1)),
                2 | 3 => format!("({a} OR {})", self.condition(depth - 1)),
                4 => format!("(NOT {a})"),
                _ => format!("({a} {})", self.random.pick(&["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NULL"])),
            };
        }
        let types = self.scope.types();
        let of = self.random.pick(&types);
        match self.random.below(12) {
            0..=3 => self.comparison(of, depth),
            4 => {
                let not = self.random.pick(&["", "NOT "]);
                let list: Vec<String> = (0..=self.random.below(4)).map(|_| self.literal(of)).collect();
                format!("({} {not}IN ({}))", self.column(of), list.join(", "))
            }
            5 => {
                let not = self.random.pick(&["", "NOT "]);
                let (low, high) = (self.literal(of), self.expr(of, 0));
                format!("({} {not}BETWEEN {low} AND {high})", self.expr(of, depth.min(1)))
            }
            6 | 7 => {
                let like = self.random.pick(&["LIKE", "NOT LIKE"]);
                format!("({} {like} '{}')", self.expr(Type::Text, depth.min(1)), self.random.pick(&PATTERNS))
            }
            8 | 9 => format!("({} IS {}NULL)", self.expr(of, depth.min(1)), self.random.pick(&["", "NOT "])),
            10 => self.column(Type::Bool),
            _ => {
                // Numbers of two types.
                let numbers = [Type::Int, Type::Big, Type::Decimal, Type::Float];
                let (a, b) = (self.random.pick(&numbers), self.random.pick(&numbers));
                let op = self.random.pick(&COMPARISONS);
                format!("({} {op} {})", self.column(a), self.column(b))
            }
        }
    }

    fn comparison(&mut self, of: Type, depth: usize) -> String {
        let op = self.random.pick(&COMPARISONS);
        let (a, b) = (self.expr(of, depth.min(1)), self.expr(of, 0));
        format!("({a} {op} {b})")
    }
}
