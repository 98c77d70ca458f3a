//! SELECTs of every shape over the tables `{a}`, `{b}` and `{c}`, whose names are put in for each system.

use super::expr::{Exprs, Scope, TYPES, Type};
use super::random::Random;

/// What two answers to a query have to have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Same {
    /// Their rows and the order of these.
    Sequence,
    /// Their rows.
    Rows,
    /// The number of their rows: which ones are taken is not said.
    Count,
}

/// A query to be run everywhere.
pub struct Query {
    pub sql: String,
    pub same: Same,
}

/// A SELECT without ORDER BY, and the types of its columns `c0`, `c1`, ….
struct Select {
    sql: String,
    types: Vec<Type>,
}

pub struct Queries {
    pub random: Random,
}

impl Queries {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed) }
    }

    /// The next query.
    pub fn query(&mut self) -> Query {
        let select = match self.random.below(20) {
            0..=3 => self.plain(),
            4 | 5 => self.distinct(),
            6..=9 => self.aggregate(),
            10..=13 => self.join(),
            14 => self.join_of_three(),
            15 | 16 => self.filtered_by_a_query(),
            17 | 18 => self.union(),
            _ => self.derived(),
        };
        self.ended(select)
    }

    fn exprs<'a>(&'a mut self, scope: &'a Scope) -> Exprs<'a> {
        Exprs { random: &mut self.random, scope }
    }

    /// With an order of all columns, in which rows that tie are alike, and with limits where there is one.
    fn ended(&mut self, select: Select) -> Query {
        let Select { mut sql, types } = select;
        if self.random.percent(8) {
            sql += &format!(" LIMIT {}", self.random.below(20));
            return Query { sql, same: Same::Count };
        }
        if self.random.percent(55) {
            return Query { sql, same: Same::Rows };
        }
        let mut columns: Vec<usize> = (0..types.len()).collect();
        for i in (1..columns.len()).rev() {
            columns.swap(i, self.random.below(i + 1));
        }
        let directions = ["", " ASC", " DESC", " NULLS FIRST", " DESC NULLS LAST", " DESC", ""];
        let by = columns.iter().map(|c| format!("c{c}{}", self.random.pick(&directions)));
        sql += &format!(" ORDER BY {}", by.collect::<Vec<_>>().join(", "));
        if self.random.percent(60) {
            sql += &format!(" LIMIT {}", self.random.below(25));
        }
        if self.random.percent(30) {
            sql += &format!(" OFFSET {}", self.random.below(10));
        }
        Query { sql, same: Same::Sequence }
    }

    /// A select list over a scope, of so many columns at most.
    fn list(&mut self, scope: &Scope, most: usize) -> (String, Vec<Type>) {
        let available = scope.types();
        let types: Vec<Type> = (0..=self.random.below(most)).map(|_| self.random.pick(&available)).collect();
        (self.items(scope, &types, 2), types)
    }

    fn items(&mut self, scope: &Scope, types: &[Type], depth: usize) -> String {
        let items = types.iter().enumerate().map(|(i, of)| format!("{} AS c{i}", self.exprs(scope).expr(*of, depth)));
        items.collect::<Vec<_>>().join(", ")
    }

    /// A WHERE, or none.
    fn filter(&mut self, scope: &Scope) -> String {
        match self.random.percent(75) {
            true => format!(" WHERE {}", self.exprs(scope).condition(2)),
            false => String::new(),
        }
    }

    fn table(&mut self) -> &'static str {
        self.random.pick(&["{a}", "{b}", "{c}"])
    }

    fn plain(&mut self) -> Select {
        let scope = Scope::table("a");
        let (list, types) = self.list(&scope, 4);
        Select { sql: format!("SELECT {list} FROM {} AS a{}", self.table(), self.filter(&scope)), types }
    }

    fn distinct(&mut self) -> Select {
        let scope = Scope::table("a");
        let (list, types) = self.list(&scope, 2);
        Select { sql: format!("SELECT DISTINCT {list} FROM {} AS a{}", self.table(), self.filter(&scope)), types }
    }

    fn aggregate(&mut self) -> Select {
        let scope = Scope::table("a");
        let from = format!("{} AS a{}", self.table(), self.filter(&scope));
        self.grouped(&scope, &from)
    }

    /// Groups, or one whole, of what FROM and WHERE give.
    fn grouped(&mut self, scope: &Scope, from: &str) -> Select {
        let (mut items, mut types, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.random.below(3) {
            let of = self.random.pick(&TYPES);
            let group = self.group(scope, of);
            items.push(group.clone());
            groups.push(group);
            types.push(of);
        }
        for _ in 0..=self.random.below(3) {
            let (item, of) = self.aggregate_of(scope);
            items.push(item);
            types.push(of);
        }
        let items = items.iter().enumerate().map(|(i, item)| format!("{item} AS c{i}")).collect::<Vec<_>>();
        let mut sql = format!("SELECT {} FROM {from}", items.join(", "));
        if !groups.is_empty() {
            sql += &format!(" GROUP BY {}", groups.join(", "));
        }
        if self.random.percent(25) {
            let text = self.exprs(scope).column(Type::Text);
            let number = self.exprs(scope).column(Type::Decimal);
            let conditions = [
                "count(*) > 1".to_string(),
                format!("min({text}) < 'b'"),
                format!("sum({number}) >= 0"),
                format!("max({number}) IS NOT NULL"),
                format!("count(DISTINCT {text}) BETWEEN 1 AND 5"),
            ];
            sql += &format!(" HAVING {}", conditions[self.random.below(conditions.len())]);
        }
        Select { sql, types }
    }

    /// What is grouped by: never a literal, which would be the number of a column.
    fn group(&mut self, scope: &Scope, of: Type) -> String {
        let column = self.exprs(scope).column(of);
        match (of, self.random.below(4)) {
            (Type::Text, 0) => format!("lower({column})"),
            (Type::Int, 0) => format!("({column} % 3)"),
            (_, 1) => format!("coalesce({column}, {})", self.exprs(scope).literal(of)),
            _ => column,
        }
    }

    fn aggregate_of(&mut self, scope: &Scope) -> (String, Type) {
        let mut exprs = self.exprs(scope);
        let of = exprs.random.pick(&TYPES);
        match exprs.random.below(12) {
            0 => ("count(*)".into(), Type::Big),
            1 => (format!("count({})", exprs.expr(of, 1)), Type::Big),
            2 => (format!("count(DISTINCT {})", exprs.expr(of, 1)), Type::Big),
            3 => (format!("count(*) FILTER (WHERE {})", exprs.condition(1)), Type::Big),
            4 => (format!("sum(CASE WHEN {} THEN 1 ELSE 0 END)", exprs.condition(1)), Type::Big),
            5 => (format!("sum({})", exprs.column(Type::Int)), Type::Big),
            6 => {
                let of = exprs.random.pick(&[Type::Big, Type::Decimal, Type::Float]);
                (format!("sum({})", exprs.column(of)), of)
            }
            7 => {
                let of = exprs.random.pick(&[Type::Int, Type::Decimal, Type::Float]);
                (format!("avg({})", exprs.column(of)), if of == Type::Int { Type::Float } else { of })
            }
            8 => {
                let every = exprs.random.pick(&["bool_and", "bool_or"]);
                (format!("{every}({})", exprs.column(Type::Bool)), Type::Bool)
            }
            _ => {
                // PostgreSQL has no least or greatest bool.
                let of = if of == Type::Bool { Type::Text } else { of };
                (format!("{}({})", exprs.random.pick(&["min", "max"]), exprs.expr(of, 1)), of)
            }
        }
    }

    fn on(&mut self) -> String {
        let on = [
            "a.k = b.k",
            "a.id = b.k",
            "a.t = b.t",
            "a.u = b.t",
            "a.k = b.s",
            "a.day = b.day",
            "a.d = b.d",
            "a.tz = b.tz",
        ];
        let on = self.random.pick(&on).to_string();
        match self.random.below(4) {
            0 => on + " AND a.ok = b.ok",
            1 => on + " AND a.id < b.id",
            _ => on,
        }
    }

    fn join(&mut self) -> Select {
        let scope = Scope::table("a").and(&Scope::table("b"));
        let kind = self.random.pick(&["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let (left, right, on) = (self.table(), self.table(), self.on());
        let from = format!("{left} AS a {kind} {right} AS b ON {on}{}", self.filter(&scope));
        if self.random.percent(50) {
            return self.grouped(&scope, &from);
        }
        let (list, types) = self.list(&scope, 3);
        Select { sql: format!("SELECT {list} FROM {from}"), types }
    }

    fn join_of_three(&mut self) -> Select {
        let scope = Scope::table("a").and(&Scope::table("b")).and(&Scope::table("c"));
        let (first, second) = (self.random.pick(&["JOIN", "LEFT JOIN"]), self.random.pick(&["JOIN", "LEFT JOIN"]));
        let from = format!("{{a}} AS a {first} {{b}} AS b ON {} {second} {{c}} AS c ON b.k = c.id", self.on());
        let from = from + &self.filter(&scope);
        self.grouped(&scope, &from)
    }

    /// Semi joins, anti joins and scalar subqueries, each as one of the conditions.
    fn filtered_by_a_query(&mut self) -> Select {
        let (outer, inner) = (Scope::table("a"), Scope::table("x"));
        let (list, types) = self.list(&outer, 3);
        let (table, within, condition) = (self.table(), self.table(), self.exprs(&inner).condition(1));
        let key = self.random.pick(&["k", "t", "day", "d", "s"]);
        let tested = match self.random.below(7) {
            0 => format!("EXISTS (SELECT 1 FROM {within} AS x WHERE x.{key} = a.{key} AND {condition})"),
            1 => format!("NOT EXISTS (SELECT 1 FROM {within} AS x WHERE x.{key} = a.{key} AND {condition})"),
            2 => format!("a.{key} IN (SELECT x.{key} FROM {within} AS x WHERE {condition})"),
            3 => {
                format!("a.{key} NOT IN (SELECT x.{key} FROM {within} AS x WHERE {condition} AND x.{key} IS NOT NULL)")
            }
            4 => format!("a.{key} NOT IN (SELECT x.{key} FROM {within} AS x WHERE {condition})"),
            5 => format!("a.{key} > (SELECT min(x.{key}) FROM {within} AS x WHERE {condition})"),
            _ => format!("a.{key} = (SELECT max(x.{key}) FROM {within} AS x WHERE x.ok = a.ok)"),
        };
        let also = match self.random.percent(50) {
            true => format!(" AND {}", self.exprs(&outer).condition(1)),
            false => String::new(),
        };
        Select { sql: format!("SELECT {list} FROM {table} AS a WHERE {tested}{also}"), types }
    }

    fn union(&mut self) -> Select {
        let scope = Scope::table("a");
        let types: Vec<Type> = (0..=self.random.below(2)).map(|_| self.random.pick(&TYPES)).collect();
        let mut sql =
            format!("SELECT {} FROM {} AS a{}", self.items(&scope, &types, 1), self.table(), self.filter(&scope));
        for _ in 0..=self.random.below(2) {
            let all = self.random.pick(&["UNION ALL", "UNION ALL", "UNION"]);
            let (items, table, filter) = (self.items(&scope, &types, 1), self.table(), self.filter(&scope));
            sql += &format!(" {all} SELECT {items} FROM {table} AS a{filter}");
        }
        Select { sql, types }
    }

    /// A query over a query.
    fn derived(&mut self) -> Select {
        let inner = match self.random.below(3) {
            0 => self.aggregate(),
            1 => self.join(),
            _ => self.distinct(),
        };
        let columns = inner.types.iter().enumerate().map(|(i, of)| (format!("q.c{i}"), *of));
        let scope = Scope(columns.collect());
        let from = format!("({}) AS q{}", inner.sql, self.filter(&scope));
        let (list, types) = self.list(&scope, 3);
        Select { sql: format!("SELECT {list} FROM {from}"), types }
    }
}
