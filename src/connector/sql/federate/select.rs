//! One SELECT that grows from the plan's leaves upwards, and becomes a subquery where SQL's own order of clauses wants it.

use super::term::{Term, Terms};

/// The clauses of a SELECT.
#[derive(Debug, Clone)]
pub struct Select {
    /// The text behind FROM, without parentheses.
    from: String,
    /// Whether `from` has more than one item.
    joined: bool,
    /// How many tables are joined in it, those of plain subqueries among them.
    tables: usize,
    conditions: Vec<String>,
    /// The keys where it is grouped: none of them is one group of all rows.
    group: Option<Vec<String>>,
    having: Vec<String>,
    order: Vec<String>,
    fetch: Option<usize>,
    skip: usize,
    /// Its columns, in the order of the plan's.
    pub columns: Vec<Term>,
}

/// How rows of two sides meet, of those joins that SQL writes with JOIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    Inner,
    Left,
    Right,
    Full,
}

impl Meeting {
    fn as_sql(self) -> &'static str {
        match self {
            Self::Inner => "JOIN",
            Self::Left => "LEFT JOIN",
            Self::Right => "RIGHT JOIN",
            Self::Full => "FULL JOIN",
        }
    }
}

/// Gives out the names of tables within one statement.
#[derive(Debug, Default)]
pub struct Names(std::cell::Cell<usize>);

impl Names {
    /// One that is not given out yet.
    pub fn next(&self) -> String {
        self.0.set(self.0.get() + 1);
        format!("t{}", self.0.get())
    }
}

impl Select {
    /// All rows of one item of FROM.
    pub fn new(from: String, columns: Vec<Term>) -> Self {
        Self {
            from,
            joined: false,
            tables: 1,
            conditions: Vec::new(),
            group: None,
            having: Vec::new(),
            order: Vec::new(),
            fetch: None,
            skip: 0,
            columns,
        }
    }

    /// Whether it has one row exactly, before its conditions on groups.
    pub fn one_row(&self) -> bool {
        self.group.as_ref().is_some_and(Vec::is_empty) && self.having.is_empty()
    }

    /// How many rows it has at most, where it says so itself.
    pub fn most_rows(&self) -> Option<usize> {
        if self.one_row() { Some(1) } else { self.fetch }
    }

    fn limited(&self) -> bool {
        self.fetch.is_some() || self.skip > 0
    }

    /// Whether it is a join and conditions, and nothing that comes after those.
    fn plain(&self) -> bool {
        self.group.is_none() && !self.limited()
    }

    /// The rows that meet a condition on its columns.
    pub fn filter(&mut self, condition: String) {
        match self.group {
            Some(_) => self.having.push(condition),
            None => self.conditions.push(condition),
        }
    }

    /// Whether a condition, or an order, can be added as it is.
    pub fn open(&self) -> bool {
        !self.limited()
    }

    /// Groups its rows: the columns become the keys and the aggregates.
    pub fn group(&mut self, keys: Vec<Term>, aggregates: Vec<Term>) {
        self.order.clear();
        self.group = Some(keys.iter().map(|key| key.sql.clone()).collect());
        self.columns = keys.into_iter().chain(aggregates).collect();
    }

    /// Whether its rows can be grouped as it stands.
    pub fn groupable(&self) -> bool {
        self.plain()
    }

    /// Whether its columns are no keys or aggregates.
    pub fn is_ungrouped(&self) -> bool {
        self.group.is_none()
    }

    /// Sorts it.
    pub fn sort(&mut self, order: Vec<String>) {
        self.order = order;
    }

    /// Takes some of its rows.
    pub fn limit(&mut self, fetch: Option<usize>, skip: usize) {
        (self.fetch, self.skip) = (fetch, skip);
    }

    /// The same as a subquery.
    pub fn nested(self, terms: &dyn Terms, names: &Names, quote: &dyn Fn(&str) -> String) -> Self {
        let table = names.next();
        let name = |at: usize| quote(&format!("c{}", at + 1));
        let columns = self.columns.iter().enumerate();
        let columns = columns.map(|(at, term)| terms.within(term, format!("{table}.{}", name(at)))).collect();
        let items: Vec<String> =
            self.columns.iter().enumerate().map(|(at, t)| format!("{} AS {}", t.sql, name(at))).collect();
        // A subquery of plain rows may become part of the one around it.
        let tables = if self.plain() { self.tables } else { 1 };
        Self { tables, ..Self::new(format!("({}) AS {table}", self.text(&items, terms)), columns) }
    }

    /// Joins two, of which each is plain. Rows meet where `on` holds.
    pub fn join(self, meeting: Meeting, right: Self, on: &[String]) -> Self {
        let mut on = on.to_vec();
        let mut conditions = Vec::new();
        let tables = self.tables + right.tables;
        // Of inner joins the one that is there comes first: each table that follows meets those before it.
        let swapped = meeting == Meeting::Inner && right.tables > 1 && self.tables == 1;
        let (mut left, right_side) = if swapped { (right.item(), self.item()) } else { (self.item(), right.item()) };
        // The conditions of a side that may be missing hold before the rows meet.
        match meeting {
            Meeting::Inner => conditions.extend(self.conditions.into_iter().chain(right.conditions)),
            Meeting::Left => {
                conditions.extend(self.conditions);
                on.extend(right.conditions);
            }
            Meeting::Right => {
                on.extend(self.conditions);
                conditions.extend(right.conditions);
            }
            Meeting::Full => {}
        }
        left += &match on.is_empty() && meeting == Meeting::Inner {
            true => format!(" CROSS JOIN {right_side}"),
            false => format!(" {} {right_side} ON {}", meeting.as_sql(), all(&on)),
        };
        let columns = self.columns.into_iter().chain(right.columns).collect();
        Self { joined: true, tables, conditions, ..Self::new(left, columns) }
    }

    /// Whether it may be a side of a join as it stands; as one whose rows may be missing where `outer`.
    pub fn joinable(&self, outer: bool, full: bool) -> bool {
        // A computed value would not be NULL where the row is missing.
        let columns_only = !outer || self.columns.iter().all(|term| term.plain);
        self.plain() && columns_only && (!full || self.conditions.is_empty())
    }

    /// Whether two such joined in the order of the statement would make a product first.
    pub fn meets_late(&self, meeting: Meeting, right: &Self) -> bool {
        match meeting {
            Meeting::Inner => self.tables > 1 && right.tables > 1,
            Meeting::Left | Meeting::Full => right.tables > 1,
            Meeting::Right => self.tables > 1,
        }
    }

    fn item(&self) -> String {
        if self.joined { format!("({})", self.from) } else { self.from.clone() }
    }

    /// `EXISTS (…)` of its rows that meet `on`.
    pub fn exists(&self, on: &[String]) -> String {
        let conditions: Vec<String> = self.conditions.iter().chain(on).cloned().collect();
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", all(&conditions)) };
        format!("EXISTS (SELECT 1 FROM {}{filter})", self.from)
    }

    /// The whole statement with the given items.
    pub fn text(&self, items: &[String], terms: &dyn Terms) -> String {
        let verb = if terms.joins_in_order() && self.tables > 2 { "SELECT STRAIGHT_JOIN" } else { "SELECT" };
        let mut sql = format!("{verb} {} FROM {}", items.join(", "), self.from);
        if !self.conditions.is_empty() {
            sql += &format!(" WHERE {}", all(&self.conditions));
        }
        match &self.group {
            Some(keys) if !keys.is_empty() => sql += &format!(" GROUP BY {}", keys.join(", ")),
            _ => {}
        }
        if !self.having.is_empty() {
            sql += &format!(" HAVING {}", all(&self.having));
        }
        if !self.order.is_empty() {
            sql += &format!(" ORDER BY {}", self.order.join(", "));
        }
        sql + &terms.limit(self.fetch, self.skip)
    }
}

fn all(conditions: &[String]) -> String {
    match conditions {
        [] => "TRUE".to_string(),
        conditions => conditions.join(" AND "),
    }
}
