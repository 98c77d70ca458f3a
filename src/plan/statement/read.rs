//! A text of SQL as its statements: where each stands, and what it may do.

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement as Ast};
use datafusion::sql::sqlparser::ast::{self, ObjectType};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::Access;
use crate::error::{Error, ErrorKind, Result};

/// A statement that was read, and not looked at further.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Its number within the text, from 1.
    pub number: usize,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// How many statements the text has.
    pub of: usize,
    verb: String,
    class: Class,
    pub(super) ast: Ast,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It gives rows and changes nothing.
    Rows,
    /// It gives rows, and makes a change to tell how it went.
    AnalyzedChange,
    /// It changes data.
    Change,
    /// It concerns the session alone.
    Session,
    /// dxt does not run it; the way out.
    Refused(&'static str),
}

/// Reads a text. Nothing of it is run: a mistake in its last statement is found before the first.
///
/// # Errors
/// Configuration: it does not parse, or has no statement.
pub fn read(sql: &str) -> Result<Vec<Parsed>> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location();
    let tokens = tokens.map_err(|e| Error::from(DataFusionError::from(ParserError::from(e))))?;
    let blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let texts: Vec<&[TokenWithSpan]> =
        tokens.split(|t| t.token == Token::SemiColon).filter(|part| !part.iter().all(blank)).collect();
    if texts.is_empty() {
        let error = Error::new(ErrorKind::Configuration, "there is no SQL statement in the text");
        return Err(error.with_hint("write one, such as SELECT 1"));
    }
    let of = texts.len();
    let statements = texts.iter().enumerate().map(|(index, part)| {
        let line = part.iter().find(|token| !blank(token)).map_or(1, |token| token.span.start.line);
        let parsed = parse(part.to_vec()).map_err(|error| located(error, index + 1, of, line))?;
        Ok(Parsed { number: index + 1, line, of, verb: verb(part), class: classify(&parsed), ast: parsed })
    });
    statements.collect()
}

fn parse(tokens: Vec<TokenWithSpan>) -> Result<Ast> {
    let mut statements = DFParserBuilder::new(tokens).build()?.parse_statements()?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        _ => Err(Error::new(ErrorKind::Configuration, "the SQL must be one statement between two semicolons")),
    }
}

fn located(error: Error, number: usize, of: usize, line: u64) -> Error {
    if of == 1 { error } else { error.context(format!("statement {number} (line {line})")) }
}

impl Parsed {
    /// Whether it gives rows.
    pub fn gives_rows(&self) -> bool {
        matches!(self.class, Class::Rows | Class::AnalyzedChange)
    }

    /// Whether it changes data, which needs [`Access::Write`].
    pub fn changes(&self) -> bool {
        matches!(self.class, Class::Change | Class::AnalyzedChange)
    }

    /// An error of this statement with its number and line, where the text has several.
    pub fn located(&self, error: Error) -> Error {
        located(error, self.number, self.of, self.line)
    }

    /// Checks that it may run.
    ///
    /// # Errors
    /// Configuration: dxt does not run such a statement, or it changes data and `access` is to read only.
    pub fn check(&self, access: Access) -> Result<()> {
        let wrong =
            |text: String, hint: &str| Err(self.located(Error::new(ErrorKind::Configuration, text).with_hint(hint)));
        match self.class {
            Class::Refused(hint) => wrong(format!("{} is no statement that dxt runs", self.verb), hint),
            Class::Change | Class::AnalyzedChange if access == Access::Read => wrong(
                format!("{} changes data, and statements may only read", self.verb),
                "--write permits it: the rows are loaded as by a stream, all or nothing",
            ),
            _ => Ok(()),
        }
    }
}

/// The statement's first words, as people call it: `INSERT`, `DROP TABLE`, `EXPLAIN ANALYZE INSERT`.
fn verb(tokens: &[TokenWithSpan]) -> String {
    let words = tokens.iter().filter_map(|token| match &token.token {
        Token::Word(word) if word.keyword != Keyword::NoKeyword => Some(word.value.to_uppercase()),
        _ => None,
    });
    let mut verb = String::new();
    for word in words.take(4) {
        let goes_on = matches!(
            word.as_str(),
            "CREATE" | "DROP" | "ALTER" | "EXPLAIN" | "ANALYZE" | "VERBOSE" | "OR" | "REPLACE" | "EXTERNAL"
        );
        // `ANALYZE t` stands alone.
        let goes_on = goes_on && !(verb.is_empty() && matches!(word.as_str(), "ANALYZE" | "REPLACE"));
        if !verb.is_empty() {
            verb.push(' ');
        }
        verb += &word;
        if !goes_on {
            break;
        }
    }
    if verb.is_empty() { "this".into() } else { verb }
}

const OWN_CLIENT: &str = "run it by the system's own client; a stream creates the target that it loads";

fn classify(statement: &Ast) -> Class {
    use ast::Statement as Sql;
    let inner = match statement {
        Ast::CopyTo(_) => return Class::Change,
        Ast::Reset(_) => return Class::Session,
        Ast::CreateExternalTable(_) => {
            return Class::Refused("name the file itself, as in FROM 'data/x.csv', or a connection by --connection");
        }
        Ast::Explain(explain) => {
            return match (classify(&explain.statement), explain.options.analyze) {
                (Class::Rows | Class::Change, false) | (Class::Rows, true) => Class::Rows,
                (Class::Change | Class::AnalyzedChange, _) => Class::AnalyzedChange,
                (Class::Session, _) => Class::Refused("only SELECT, INSERT and COPY have a plan"),
                (refused, _) => refused,
            };
        }
        Ast::Statement(inner) => inner.as_ref(),
    };
    match inner {
        Sql::Query(_)
        | Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowViews { .. }
        | Sql::ShowSchemas { .. }
        | Sql::ShowCatalogs { .. }
        | Sql::ShowDatabases { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. }
        | Sql::ShowCreate { .. } => Class::Rows,
        Sql::Explain { statement, .. } => match statement.as_ref() {
            Sql::Query(_) => Class::Rows,
            _ => Class::Refused("DESCRIBE takes a table or a SELECT"),
        },
        Sql::Insert(_) => Class::Change,
        Sql::Set(_) => Class::Session,
        Sql::CreateView(view) if !view.materialized => Class::Session,
        Sql::Drop { object_type: ObjectType::View, .. } => Class::Session,
        Sql::CreateTable(_) => Class::Refused(
            "a stream creates the target that it loads; COPY (SELECT …) TO 'x.parquet' makes a file, and CREATE VIEW \
             names a SELECT for the statements behind it",
        ),
        Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_) => Class::Refused(
            "run it by the system's own client, or load the rows by a stream with `load: {mode: upsert}` or `mode: replace`",
        ),
        Sql::StartTransaction { .. } | Sql::Commit { .. } | Sql::Rollback { .. } | Sql::Savepoint { .. } => {
            Class::Refused("leave it out: each statement commits by itself, as a whole or not at all")
        }
        Sql::Prepare { .. } | Sql::Execute { .. } | Sql::Deallocate { .. } => {
            Class::Refused("write the values into the statement itself")
        }
        Sql::Copy { .. } => {
            Class::Refused("COPY … TO 'file' writes a file; INSERT INTO … SELECT * FROM 'file' reads one")
        }
        Sql::Use(_) => Class::Refused("name tables in full, as shop.public.orders"),
        _ => Class::Refused(OWN_CLIENT),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(sql: &str) -> Parsed {
        read(sql).unwrap().pop().unwrap()
    }

    #[test]
    fn a_semicolon_in_quotes_or_comments_parts_nothing() {
        let sql = "-- first; still\nSELECT ';', \"a;b\" FROM t; ;\n/* ; */\n\nSELECT $$;$$ -- ;\n;";
        let read = read(sql).unwrap();
        let places: Vec<_> = read.iter().map(|s| (s.number, s.line, s.of)).collect();
        assert_eq!(places, [(1, 2, 2), (2, 5, 2)]);
    }

    #[test]
    fn a_mistake_is_named_with_its_statement_and_line() {
        let error = read("SELECT 1;\nSELECT 2;\nSELEC 3").unwrap_err();
        assert!(error.to_string().starts_with("statement 3 (line 3): "), "{error}");
        assert!(error.to_string().contains("Line: 3"), "{error}");
        assert!(read("SELEC 3").unwrap_err().to_string().starts_with("Expected: "), "one needs no number");
        for wrong in ["", "  ;; -- nothing", "SELECT 'open", "SELECT 1 SELECT 2"] {
            assert_eq!(read(wrong).unwrap_err().kind(), ErrorKind::Configuration, "{wrong}");
        }
    }

    #[test]
    fn what_changes_data_needs_leave() {
        for (sql, verb) in [
            ("INSERT INTO t SELECT 1", "INSERT"),
            ("INSERT OVERWRITE t SELECT 1", "INSERT"),
            ("COPY t TO 'x.csv'", "COPY"),
            ("EXPLAIN ANALYZE INSERT INTO t SELECT 1", "EXPLAIN ANALYZE INSERT"),
            ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'", "EXPLAIN ANALYZE COPY"),
        ] {
            let statement = one(sql);
            assert!(statement.changes(), "{sql}");
            let error = statement.check(Access::Read).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{verb} changes data")), "{sql}: {error}");
            assert!(error.hint().unwrap().contains("--write"));
            statement.check(Access::Write).unwrap();
        }
        for sql in [
            "SELECT 1",
            "VALUES (1)",
            "EXPLAIN INSERT INTO t SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "EXPLAIN FORMAT tree SELECT 1",
            "SHOW TABLES",
            "SHOW COLUMNS FROM t",
            "SHOW CATALOGS",
            "SHOW SCHEMAS",
            "DESCRIBE t",
            "DESCRIBE SELECT 1",
            "DESC t",
        ] {
            let statement = one(sql);
            assert!(statement.gives_rows() && !statement.changes(), "{sql}");
            statement.check(Access::Read).unwrap();
        }
    }

    #[test]
    fn what_dxt_does_not_run_is_refused_with_the_way_out() {
        for (sql, verb) in [
            ("CREATE TABLE t AS SELECT 1", "CREATE TABLE"),
            ("CREATE OR REPLACE TABLE t AS SELECT 1", "CREATE OR REPLACE TABLE"),
            ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x.csv'", "CREATE EXTERNAL TABLE"),
            ("DROP TABLE t", "DROP TABLE"),
            ("DELETE FROM t", "DELETE"),
            ("UPDATE t SET a = 1", "UPDATE"),
            ("TRUNCATE TABLE t", "TRUNCATE"),
            ("BEGIN", "BEGIN"),
            ("PREPARE p AS SELECT 1", "PREPARE"),
            ("EXPLAIN DROP TABLE t", "EXPLAIN DROP TABLE"),
        ] {
            for access in [Access::Read, Access::Write] {
                let error = one(sql).check(access).unwrap_err();
                assert_eq!(error.to_string(), format!("{verb} is no statement that dxt runs"), "{sql}");
                assert!(error.hint().is_some());
            }
        }
    }

    proptest! {
        #[test]
        fn statements_are_found_where_they_are(
            texts in prop::collection::vec(
                prop::sample::select(vec!["SELECT 1", "SELECT ';'", "SELECT 'it''s' -- a; b\n", "/* ; */ SELECT \"a;\" FROM t", "SHOW TABLES"]),
                1..6,
            ),
            gap in prop::sample::select(vec!["", " ", "\n", "\n\n;"]),
        ) {
            let sql: String = texts.iter().map(|text| format!("{text}{gap};")).collect();
            let read = read(&sql).unwrap();
            prop_assert_eq!(read.len(), texts.len());
            for (statement, text) in read.iter().zip(&texts) {
                prop_assert_eq!(statement.ast.to_string(), one(text).ast.to_string());
            }
        }
    }
}
