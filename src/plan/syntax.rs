//! The SQL of a pipeline, parsed before anything is connected to: what does not parse is found with all the rest.

use datafusion::common::config::Dialect;
use datafusion::execution::SessionStateBuilder;

use crate::error::{Diagnostic, Error, Result};
use crate::model::{FieldSource, Pipeline, SourceKind};

/// Parses every condition, expression and query that DataFusion will run. A source's own SQL is for the source to judge.
///
/// # Errors
/// Configuration: all that does not parse, each at its stream.
pub fn check(pipeline: &Pipeline) -> Result<()> {
    let state = SessionStateBuilder::new().build();
    let mut findings = Vec::new();
    for stream in &pipeline.streams {
        let mut finding = |what: String, problem: String| {
            findings.push(Diagnostic {
                position: stream.position.clone(),
                message: format!("stream {}: {what} does not parse: {problem}", stream.id),
                hint: Some("it is DataFusion's SQL, much like PostgreSQL's".into()),
            });
        };
        let expression =
            |sql: &str| state.sql_to_expr(sql, &Dialect::Generic).err().map(|e| Error::from(e).to_string());
        if let Some(condition) = stream.criteria.as_ref().and_then(|c| c.filter.as_deref())
            && let Some(problem) = expression(condition)
        {
            finding(format!("criteria `{condition}`"), problem);
        }
        for field in &stream.fields {
            if let Some(FieldSource::Expression(sql)) = &field.source
                && let Some(problem) = expression(sql)
            {
                finding(format!("the expression of field {}", field.id), problem);
            }
        }
        if let SourceKind::Query(sql) = &stream.source.kind
            && let Err(e) = state.sql_to_statement(sql, &Dialect::Generic)
        {
            finding("the source's query".into(), Error::from(e).to_string());
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Error::configuration(findings)) }
}
