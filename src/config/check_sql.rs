//! The checks of SQL that dxt itself runs: whether it can be read. What it names is known when the source is.

use datafusion::common::DataFusionError;
use datafusion::sql::parser::{DFParser, DFParserBuilder};
use datafusion::sql::sqlparser::parser::ParserError;

use super::check::{Key, Site};
use super::findings::Findings;
use crate::model::{FieldSource, SourceKind};

const HINT: &str = "the SQL is DataFusion's dialect, much like PostgreSQL's";

pub(super) fn run(site: &Site<'_>, findings: &mut Findings) {
    let mut report = |keys: &[Key], what: String, fault: Option<String>| {
        if let Some(fault) = fault {
            site.report_of(findings, keys, format!("{what}: {fault}"), HINT);
        }
    };
    if let SourceKind::Query(sql) = &site.stream.source.kind
        && !site.broken("source.kind")
        && !site.broken("source.value")
        && !sql.trim().is_empty()
    {
        let fault = DFParser::parse_sql(sql).err().map(|e| shown(&e));
        report(&[("source.value", None), ("source", None)], "the query cannot be read".into(), fault);
    }
    if let Some(filter) = site.stream.criteria.as_ref().and_then(|c| c.filter.as_ref()) {
        report(&[("criteria", None)], format!("criteria `{filter}`"), expression(filter));
    }
    for (i, field) in site.stream.fields.iter().enumerate() {
        if let Some(FieldSource::Expression(sql)) = &field.source
            && !site.field_broken("field.source", i)
        {
            let keys = [("field.source", Some(i)), ("field", Some(i))];
            report(&keys, format!("field {}: expression `{sql}`", field.id), expression(sql));
        }
    }
}

/// Why a text is no expression.
fn expression(sql: &str) -> Option<String> {
    let parsed = DFParserBuilder::new(sql).build().and_then(|mut parser| parser.parse_into_expr());
    parsed.err().map(|e| shown(&e))
}

/// The parser's own words, without the names of the layers around them.
fn shown(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::SQL(cause, _) => match cause.as_ref() {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply".into(),
        },
        other => other.strip_backtrace(),
    }
}
