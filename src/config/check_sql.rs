//! The checks of SQL that dxt itself runs: whether it can be read. What it names is known when the source is.

use datafusion::common::DataFusionError;
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::ParserError;

use super::check::{Key, Site};
use super::findings::Findings;
use super::infer;
use crate::model::{FieldSource, SourceKind};

const HINT: &str = "the SQL is DataFusion's dialect, much like PostgreSQL's";

pub(super) fn run(site: &Site<'_>, findings: &mut Findings) {
    query(site, findings);
    let mut report = |keys: &[Key], what: String, fault: Option<String>| {
        if let Some(fault) = fault {
            site.report_of(findings, keys, format!("{what}: {fault}"), HINT);
        }
    };
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

/// The query of a source: one SELECT.
fn query(site: &Site<'_>, findings: &mut Findings) {
    let SourceKind::Query(sql) = &site.stream.source.kind else { return };
    if site.broken("source.kind") || site.broken("source.value") || sql.trim().is_empty() {
        return;
    }
    let keys = [("source.value", None), ("source", None)];
    let text = match DFParser::parse_sql(sql) {
        Ok(statements) if statements.len() == 1 && statements.iter().all(reads) => return,
        Ok(_) => "the query is not one SELECT".to_string(),
        Err(error) => format!("the query cannot be read: {}", shown(&error)),
    };
    // In a SQL file the place of the SQL is known, and so is that of the fault.
    let Some(at) = &site.stream.sql_position else { return site.report_of(findings, &keys, text, HINT) };
    let (message, line, column) = match fault_place(&text) {
        Some(place) => place,
        None if text.ends_with("found: EOF") => {
            let last = sql.rsplit('\n').next().unwrap_or_default();
            (text.as_str(), sql.matches('\n').count() + 1, last.chars().count() + 1)
        }
        None => (text.as_str(), 1, 1),
    };
    let message = format!("{}: {message}", infer::stream_of(&site.stream.id));
    findings.add_at(Some(at.within(line, column)), message, Some(HINT.into()));
}

/// Whether a statement is a query that changes nothing, by its first words.
fn reads(statement: &Statement) -> bool {
    let Statement::Statement(statement) = statement else { return false };
    match statement.as_ref() {
        ast::Statement::Query(query) => !matches!(
            query.body.as_ref(),
            ast::SetExpr::Insert(_) | ast::SetExpr::Update(_) | ast::SetExpr::Delete(_) | ast::SetExpr::Merge(_)
        ),
        _ => false,
    }
}

/// A parser's message without the place at its end, and that place: line and column from 1.
fn fault_place(text: &str) -> Option<(&str, usize, usize)> {
    let (message, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((message, line.parse().ok()?, column.parse().ok()?))
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
