//! What every system that speaks SQL shares: a table provider that turns a scan into one remote SELECT, and filters
//! into that system's SQL where they mean the same there.
//!
//! A SQL connector gives a [`Dialect`] and a [`RemoteSource`]; [`RemoteTable`] does the rest.

pub mod causes;
pub mod federate;
mod filter;
mod keys;
pub mod literal;
mod open;
pub mod parts;
mod scan;
mod table;
mod target;
pub mod url;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, RelationName};

pub use federate::Terms;
pub use open::Open;
pub use scan::{RemoteScanExec, Size};
pub use table::RemoteTable;
pub use target::check_columns;

/// A comparison that a filter may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Comparison {
    /// What an operator of DataFusion compares, where it compares.
    pub fn of(op: Operator) -> Option<Self> {
        Some(match op {
            Operator::Eq => Self::Eq,
            Operator::NotEq => Self::NotEq,
            Operator::Lt => Self::Lt,
            Operator::LtEq => Self::LtEq,
            Operator::Gt => Self::Gt,
            Operator::GtEq => Self::GtEq,
            _ => return None,
        })
    }

    /// The operator in every SQL.
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
        }
    }
}

/// A condition in the remote system's SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The condition.
    pub sql: String,
    /// Whether it keeps exactly the rows that DataFusion would keep; else it keeps those and perhaps more, and
    /// DataFusion filters again.
    pub exact: bool,
}

/// How one system writes SQL.
pub trait Dialect: Debug + Send + Sync {
    /// An identifier in quotes.
    fn quote(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    /// A relation's name, each part in quotes.
    fn relation(&self, name: &RelationName) -> String {
        name.parts.iter().map(|p| self.quote(p)).collect::<Vec<_>>().join(".")
    }

    /// The item of a select list that gives a field in the form the connector's decoder takes, such as `"x"` or
    /// `"x"::text AS "x"`.
    fn select(&self, field: &DxtField) -> String {
        self.quote(&field.name)
    }

    /// A SELECT that gives some rows only. More of them do no harm: DataFusion keeps as many as it wants.
    fn limited(&self, sql: String, rows: usize) -> String {
        format!("{sql} LIMIT {rows}")
    }

    /// `field op value` in this system's SQL; `None` where it would not mean the same there (a collation, a zone, a
    /// type that is compared otherwise). `value` is never NULL and has the field's Arrow type or one that DataFusion
    /// compares with it.
    fn compare(&self, field: &DxtField, op: Comparison, value: &ScalarValue) -> Option<Pushed>;

    /// `field IS NULL`, or where it is `negated` `IS NOT NULL`, in this system's SQL; of no row both, of each row one.
    fn is_null(&self, field: &DxtField, negated: bool) -> Pushed {
        let not = if negated { "NOT " } else { "" };
        Pushed { sql: format!("{} IS {not}NULL", self.quote(&field.name)), exact: true }
    }

    /// `field IN (values)` in this system's SQL; `None` where it is best put as comparisons.
    fn one_of(&self, field: &DxtField, values: &[&ScalarValue]) -> Option<Pushed> {
        let _ = (field, values);
        None
    }

    /// The system's expressions, where parts of a plan may run there.
    fn terms(&self) -> Option<&dyn Terms> {
        None
    }

    /// `field LIKE pattern` in this system's SQL: letters as they are, `%` and `_`, a backslash before what is none of
    /// these. `None` where it would not mean the same there.
    fn like(&self, field: &DxtField, pattern: &str) -> Option<Pushed> {
        let _ = (field, pattern);
        None
    }
}

/// One SELECT for a remote system.
#[derive(Debug, Clone)]
pub struct RemoteQuery {
    /// The text.
    pub sql: String,
    /// What its columns are, in order (never empty). [`RemoteSource::locator`], where given, follows as one more column.
    pub fields: Vec<DxtField>,
    /// Rows per batch at most.
    pub batch_size: usize,
}

/// Runs SELECTs on one system.
pub trait RemoteSource: Any + Debug + Send + Sync {
    /// The system's SQL.
    fn dialect(&self) -> &dyn Dialect;

    /// The connection and dataset for plans and errors: `shop.public.orders`. Never a secret.
    fn label(&self) -> String;

    /// A select item that tells rows apart in errors, such as SQLite's rowid; it is added behind the fields.
    fn locator(&self) -> Option<String> {
        None
    }

    /// The tables that a scan reads, spelled as [`Loader::locks_out`](crate::connector::Loader::locks_out) spells them.
    fn reads(&self) -> &[String] {
        &[]
    }

    /// About how much a scan without conditions reads.
    fn size(&self) -> Size {
        Size::UNKNOWN
    }

    /// What sources have in common that one statement can read: a name for one login to one database, the same for all
    /// of them in a process. `None` where each is read by itself.
    fn server(&self) -> Option<String> {
        None
    }

    /// A source for statements that read what this and `others` read, all of one server.
    fn joined(&self, others: &[Arc<dyn RemoteSource>]) -> Option<Arc<dyn RemoteSource>> {
        let _ = others;
        None
    }

    /// Conditions that split a scan into parts to be read at once: each row meets exactly one. None: it is read as a
    /// whole, as is a scan with a limit.
    fn parts(&self) -> &[String] {
        &[]
    }

    /// Starts the query of one part. Batches have exactly the Arrow schema of `query.fields`; they close by rows (`batch_size`) and
    /// by bytes (about 2 MB). The stream must fail where the remote side ends without its end marker, and must stop
    /// the remote query when it is dropped.
    fn open(&self, query: RemoteQuery, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream>;
}

/// The user's SELECT as an item of a FROM clause. `alias` names it: `AS dxt_source`.
///
/// # Errors
/// Configuration: it is empty, or holds a NUL.
pub fn subquery(sql: &str, alias: &str) -> Result<String> {
    let sql = sql.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    if sql.trim().is_empty() {
        return Err(Error::new(ErrorKind::Configuration, "the source's SQL is empty"));
    }
    if sql.contains('\0') {
        return Err(Error::new(ErrorKind::Configuration, "the source's SQL has a NUL character"));
    }
    // On lines of its own: the last line may end in a comment.
    Ok(format!("(\n{sql}\n) {alias}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_stands_in_a_from_clause_whatever_its_end() {
        let subquery = |sql| subquery(sql, "AS dxt_source");
        assert_eq!(subquery("SELECT 1 ;\n ;").unwrap(), "(\nSELECT 1\n) AS dxt_source");
        assert_eq!(subquery("SELECT 1 -- one").unwrap(), "(\nSELECT 1 -- one\n) AS dxt_source");
        assert_eq!(subquery(" ; ").unwrap_err().kind(), ErrorKind::Configuration);
    }
}
