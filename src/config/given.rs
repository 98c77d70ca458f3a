//! Values that are given to variables from outside, and the variables that a pipeline's SQL names without having one.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Key;
use super::findings::Findings;
use super::infer;
use super::places::Places;
use crate::error::{Diagnostic, Error, Position, Result};
use crate::model::{Pipeline, SourceKind, nearest};
use crate::plan::params::{self, Text};

/// Values by the names of variables, as a command line gives them.
pub type VarValues = BTreeMap<String, String>;

/// A variable without a value that a stream's SQL names.
#[derive(Debug, Clone)]
pub(super) struct Unbound {
    /// The stream's index in the pipeline.
    pub stream: usize,
    /// Whether the pipeline declares the variable, so that its name is right.
    pub declared: bool,
    pub diagnostic: Diagnostic,
}

/// Gives a pipeline the values of its variables. What they do not fit is in `findings`; `used` gets the names of those
/// that the pipeline's SQL names.
pub(super) fn give(
    pipeline: &mut Pipeline,
    places: &Places,
    given: &VarValues,
    used: &mut BTreeSet<String>,
    findings: &mut Findings,
) -> Vec<Unbound> {
    let declared: BTreeSet<String> = pipeline.params.keys().cloned().collect();
    let mut names = Vec::new();
    for (i, stream) in pipeline.streams.iter().enumerate() {
        for text in params::texts(stream) {
            let (sql, key): (_, Key) = match text {
                Text::Query(sql) => (sql, ("source.value", None)),
                Text::Criteria(sql) => (sql, ("criteria", None)),
                Text::Expression(field, sql) => (sql, ("field.source", Some(field))),
            };
            let is_query = matches!(stream.source.kind, SourceKind::Query(_)) && key.0 == "source.value";
            for named in params::named(sql) {
                let at = match &stream.sql_position {
                    Some(at) if is_query => Some(at.within(named.line, named.column)),
                    _ => position(places, i, &[key, ("field", key.1), ("source", None)], findings),
                };
                names.push((i, named.name, at));
            }
        }
        if let SourceKind::Sql(sql) = &stream.source.kind {
            for named in params::named(sql) {
                if declared.contains(&named.name) || given.contains_key(&named.name) {
                    used.insert(named.name.clone());
                    let at = match &stream.sql_position {
                        Some(at) => Some(at.within(named.line, named.column)),
                        None => position(places, i, &[("source.value", None), ("source", None)], findings),
                    };
                    let whose = infer::stream_of(&stream.id);
                    let message = format!(
                        "{whose}: ${} stands in SQL that the source runs as it is: dxt binds nothing there",
                        named.name
                    );
                    let hint = "write `type: query`, or put the condition into `criteria: {where: …}`, which reaches the source around the SQL";
                    findings.add_at(at, message, Some(hint.into()));
                }
            }
        }
    }
    for (name, value) in given {
        let is_named = names.iter().any(|(_, named, _)| named == name);
        if is_named || declared.contains(name) {
            let param = pipeline.params.entry(name.clone()).or_default();
            param.value = Some(value.clone());
            let checked = param.dtype.map_or(Ok(()), |dtype| params::check(name, value, dtype));
            if let Err(error) = checked {
                findings.add_at(None, format!("--var {name}: {error}"), error.hint().map(str::to_string));
            }
        }
    }
    used.extend(names.iter().map(|(_, name, _)| name.clone()));
    let lacks = |name: &str| pipeline.params.get(name).is_none_or(|param| param.value.is_none());
    let mut unbound: Vec<Unbound> = Vec::new();
    for (stream, name, position) in names.into_iter().filter(|(_, name, _)| lacks(name)) {
        let whose = infer::stream_of(&pipeline.streams[stream].id);
        let known: Vec<&str> = pipeline.params.keys().map(String::as_str).collect();
        let hint = match nearest(&name, &known).filter(|near| *near != name) {
            Some(near) => format!("did you mean ${near}? Else give it by `--var {name}=…`"),
            None => format!("give it by `--var {name}=…`, or a default by `vars: {{{name}: {{default: …}}}}`"),
        };
        let message = format!("{whose}: the variable ${name} has no value");
        let diagnostic = Diagnostic { position, message, hint: Some(hint) };
        unbound.push(Unbound { stream, declared: declared.contains(&name), diagnostic });
    }
    unbound
}

fn position(places: &Places, stream: usize, keys: &[Key], findings: &Findings) -> Option<Position> {
    let places = places.streams.get(stream)?;
    let mark = keys.iter().find_map(|(key, item)| places.get(key, *item)).unwrap_or(places.mark);
    Some(findings.position(mark))
}

/// What is wrong with values that no SQL names.
pub(super) fn unused(given: &VarValues, used: &BTreeSet<String>) -> Vec<Diagnostic> {
    let known: Vec<&str> = used.iter().map(String::as_str).collect();
    let unused = given.keys().filter(|name| !used.contains(*name));
    unused
        .map(|name| {
            let hint = match nearest(name, &known) {
                Some(near) => format!("did you mean {near}?"),
                None if known.is_empty() => {
                    format!("write ${name} in the SQL of a query, a condition or an expression")
                }
                None => format!("variables here: {}", known.join(", ")),
            };
            Diagnostic { position: None, message: format!("--var {name}: no SQL names ${name}"), hint: Some(hint) }
        })
        .collect()
}

/// Checks that a SQL text names each of the variables that it is given.
///
/// # Errors
/// Configuration: it does not.
pub(crate) fn check_used(given: &VarValues, sql: &str) -> Result<()> {
    let used = params::named(sql).into_iter().map(|named| named.name).collect();
    let unused = unused(given, &used);
    if unused.is_empty() { Ok(()) } else { Err(Error::configuration(unused)) }
}
