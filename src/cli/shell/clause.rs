//! What a place in a statement is: where a table is named, where an expression stands; and which tables the statement
//! names. A parser would refuse a statement that is being typed; this one takes what there is.

use super::lexer::{Kind, Token};
use super::names::Table;

/// What may stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A statement or a subquery begins.
    Start,
    /// A table is named.
    Table,
    /// A table has been named: an alias, or the next clause.
    AfterTable,
    /// A column, a function, a value.
    Expression,
}

/// A table that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub table: Table,
    pub alias: Option<String>,
}

impl Named {
    /// The table that a text names, where it says nothing else.
    pub fn alone(tokens: &[Token<'_>]) -> Option<Table> {
        let said: Vec<&Token<'_>> = tokens.iter().filter(|t| t.kind != Kind::Space).collect();
        let first = said.first().filter(|t| is_name(t))?;
        let dotted = said[1..].chunks(2).all(|pair| match pair {
            [dot, part] => dot.is_symbol('.') && matches!(part.kind, Kind::Word | Kind::Quoted),
            _ => false,
        });
        let whole = said.iter().all(|t| t.closed) && (first.kind != Kind::Text || said.len() == 1);
        (dotted && whole).then(|| table(&said, 0).0.table)
    }

    /// Whether a qualifier of columns means it: its alias, or else the end of its name.
    pub fn is(&self, qualifier: &[String]) -> bool {
        match (&self.alias, &self.table) {
            (Some(alias), _) => qualifier == [alias.clone()],
            (None, Table::Named(parts)) => parts.ends_with(qualifier),
            (None, Table::File(path)) => qualifier == [path.clone()],
        }
    }
}

/// What a statement has said up to some place.
#[derive(Debug, Default)]
pub struct Said {
    pub tables: Vec<Named>,
    /// The names of WITH.
    pub ctes: Vec<String>,
    levels: Vec<Level>,
}

/// The statement itself, or what stands within one pair of parentheses.
#[derive(Debug)]
struct Level {
    place: Place,
    /// Whether it is the arguments of a function that has a FROM of its own: `extract(year FROM t)` names no table.
    from: bool,
}

/// Those functions.
const FROM: [&str; 4] = ["EXTRACT", "SUBSTRING", "TRIM", "OVERLAY"];

impl Said {
    /// What is at the place behind the tokens that were read.
    pub fn place(&self) -> Place {
        self.levels.last().map_or(Place::Start, |level| level.place)
    }

    /// Reads a statement, or its beginning.
    pub fn read(tokens: &[Token<'_>]) -> Self {
        let tokens: Vec<&Token<'_>> = tokens.iter().filter(|t| t.significant()).collect();
        let mut this = Self { levels: vec![Level { place: Place::Start, from: false }], ..Self::default() };
        let mut at = 0;
        while at < tokens.len() {
            at += this.token(&tokens, at);
        }
        this
    }

    /// Reads what stands at a place; says how many tokens it took.
    fn token(&mut self, tokens: &[&Token<'_>], at: usize) -> usize {
        let token = tokens[at];
        if token.is_symbol('(') {
            let from = at.checked_sub(1).is_some_and(|before| FROM.iter().any(|name| tokens[before].is_word(name)));
            self.levels.push(Level { place: Place::Start, from });
            return 1;
        }
        if token.is_symbol(')') {
            if self.levels.len() > 1 {
                self.levels.pop();
            }
            if let Some(level) = self.levels.last_mut().filter(|level| level.place == Place::Table) {
                level.place = Place::AfterTable;
            }
            return 1;
        }
        let within = self.levels.len() > 1;
        let Some(level) = self.levels.last_mut() else { return 1 };
        if level.place == Place::Table && is_name(token) && !token.is_word("LATERAL") && !token.is_word("ONLY") {
            level.place = Place::AfterTable;
            let (named, taken) = table(tokens, at);
            self.tables.push(named);
            return taken;
        }
        if token.is_symbol(',') {
            if level.place == Place::AfterTable {
                level.place = Place::Table;
            }
            return 1;
        }
        if token.kind != Kind::Word {
            level.place = if level.place == Place::Start { Place::Expression } else { level.place };
            return 1;
        }
        let called = |index: usize, word: &str| tokens.get(index).is_some_and(|t| t.is_word(word));
        if called(at + 1, "AS") && tokens.get(at + 2).is_some_and(|t| t.is_symbol('(')) && level.place == Place::Start {
            self.ctes.push(token.name());
            return 2;
        }
        let word = token.text.to_ascii_uppercase();
        match word.as_str() {
            "SELECT" => level.place = Place::Expression,
            "FROM" if level.from => {}
            "FROM" | "JOIN" | "INTO" | "UPDATE" | "TABLE" | "DESCRIBE" => level.place = Place::Table,
            "COPY" | "DESC" if level.place == Place::Start => level.place = Place::Table,
            "WHERE" | "ON" | "USING" | "HAVING" | "QUALIFY" | "SET" | "VALUES" | "BY" | "LIMIT" | "OFFSET"
            | "RETURNING" | "TO" => level.place = Place::Expression,
            "WITH" | "UNION" | "EXCEPT" | "INTERSECT" | "ALL" if level.place != Place::Expression || word != "ALL" => {
                level.place = Place::Start;
            }
            "EXPLAIN" | "ANALYZE" | "VERBOSE" | "RECURSIVE" | "AS" if level.place == Place::Start => {}
            _ if level.place == Place::Start && within => level.place = Place::Expression,
            _ => {}
        }
        1
    }
}

/// Whether a token can be the beginning of a table's name.
fn is_name(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Text)
}

/// The table whose name begins at a place, with its alias, and how many tokens they are.
fn table(tokens: &[&Token<'_>], at: usize) -> (Named, usize) {
    let mut end = at + 1;
    let mut parts = vec![tokens[at].name()];
    while tokens.get(end).is_some_and(|t| t.is_symbol('.')) {
        end += 1;
        match tokens.get(end).filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted)) {
            Some(part) => parts.push(part.name()),
            None => break,
        }
        end += 1;
    }
    end = end.min(tokens.len());
    let table = match tokens[at].kind {
        Kind::Text => Table::File(parts.swap_remove(0)),
        _ => Table::Named(parts),
    };
    let mut next = end;
    if tokens.get(next).is_some_and(|t| t.is_word("AS")) {
        next += 1;
    }
    let named = tokens.get(next).filter(|t| t.kind == Kind::Quoted || t.kind == Kind::Word && !ends_table(t.text));
    match named {
        Some(alias) => (Named { table, alias: Some(alias.name()) }, next + 1 - at),
        None => (Named { table, alias: None }, end - at),
    }
}

/// Whether a word behind a table is no alias of it.
fn ends_table(word: &str) -> bool {
    const WORDS: [&str; 30] = [
        "AS",
        "WHERE",
        "JOIN",
        "INNER",
        "LEFT",
        "RIGHT",
        "FULL",
        "CROSS",
        "NATURAL",
        "ON",
        "USING",
        "GROUP",
        "ORDER",
        "HAVING",
        "LIMIT",
        "OFFSET",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "SET",
        "VALUES",
        "SELECT",
        "TABLESAMPLE",
        "QUALIFY",
        "WINDOW",
        "FETCH",
        "TO",
        "SEMI",
        "ANTI",
        "STORED",
    ];
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn the_place_is_known_while_the_statement_is_typed() {
        for (text, place) in [
            ("", Place::Start),
            ("EXPLAIN ANALYZE ", Place::Start),
            ("SELECT ", Place::Expression),
            ("SELECT a, count(", Place::Start),
            ("SELECT a, count(b + ", Place::Expression),
            ("SELECT a FROM ", Place::Table),
            ("SELECT a FROM t ", Place::AfterTable),
            ("SELECT a FROM t, ", Place::Table),
            ("SELECT a FROM t x JOIN ", Place::Table),
            ("SELECT a FROM t x JOIN u ON ", Place::Expression),
            ("SELECT a FROM t WHERE b IN (SELECT c FROM ", Place::Table),
            ("SELECT a FROM t WHERE b IN (SELECT c FROM u) AND ", Place::Expression),
            ("SELECT a FROM (SELECT 1) ", Place::AfterTable),
            ("SELECT extract(year FROM ", Place::Expression),
            ("SELECT a FROM t GROUP BY ", Place::Expression),
            ("SELECT a FROM t UNION ALL ", Place::Start),
            ("WITH x AS (SELECT 1) SELECT * FROM ", Place::Table),
            ("INSERT INTO ", Place::Table),
            ("DESCRIBE ", Place::Table),
            ("COPY ", Place::Table),
            ("COPY t TO ", Place::Expression),
        ] {
            assert_eq!(Said::read(&tokens(text)).place(), place, "{text}");
        }
    }

    #[test]
    fn tables_are_known_with_their_aliases_and_queries_of_with_by_name() {
        let said = Said::read(&tokens(
            "WITH recent AS (SELECT 1), old AS (SELECT extract(year FROM d) FROM l.\"a b.csv\") \
             SELECT o. FROM shop.Public.orders AS o, 'x.csv' f LEFT JOIN w.t USING (id) WHERE 1 IN (SELECT 2 FROM buffer.p.s)",
        ));
        let name = |parts: &[&str]| Table::Named(parts.iter().map(|p| (*p).to_string()).collect());
        let named = |table, alias: Option<&str>| Named { table, alias: alias.map(Into::into) };
        assert_eq!(
            said.tables,
            [
                named(name(&["l", "a b.csv"]), None),
                named(name(&["shop", "public", "orders"]), Some("o")),
                named(Table::File("x.csv".into()), Some("f")),
                named(name(&["w", "t"]), None),
                named(name(&["buffer", "p", "s"]), None),
            ]
        );
        assert_eq!(said.ctes, ["recent", "old"]);
        let is = |index: usize, parts: &[&str]| {
            said.tables[index].is(&parts.iter().map(|p| (*p).to_string()).collect::<Vec<_>>())
        };
        assert!(is(1, &["o"]) && !is(1, &["orders"]) && is(3, &["t"]) && is(3, &["w", "t"]) && !is(3, &["x", "t"]));
    }
}
