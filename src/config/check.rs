//! The checks that every pipeline passes, from YAML or built in code: what holds together beyond single keys.

use std::collections::HashMap;
use std::sync::Arc;

use super::check_stream;
use super::findings::Findings;
use super::infer;
use super::places::{Places, StreamPlaces};
use crate::buffer::ParquetBuffer;
use crate::connector::{Connector, Factory, Registry};
use crate::error::{Position, Result};
use crate::model::{BufferFormat, ConnectionConfig, LoadMode, Pipeline, SourceKind, Stream, nearest};

/// Names that SQL gives another meaning.
const RESERVED: [&str; 3] = ["buffer", "information_schema", "dxt"];

/// Checks a pipeline that was built in code. One that comes from [`super::load`] has passed.
///
/// # Errors
/// Configuration: everything that is wrong, at once.
pub fn check(pipeline: &Pipeline, registry: &Registry) -> Result<()> {
    let mut findings = Findings::default();
    run(pipeline, registry, &Places::default(), &mut findings);
    findings.finish()
}

/// Checks with the places of a file for the findings.
pub(super) fn run(pipeline: &Pipeline, registry: &Registry, places: &Places, findings: &mut Findings) {
    let name_place = places.name.or(places.pipeline).map(|mark| findings.position(mark));
    // A name that is missing or wrong in a file has been reported where it was read.
    if let Some(fault) =
        infer::id_fault(&pipeline.name).filter(|_| !pipeline.name.is_empty() || places.pipeline.is_none())
    {
        let message = format!("the pipeline's name cannot be the name of a folder: {fault}");
        findings.add_at(name_place.clone(), message, Some(ID_HINT.into()));
    }
    let used = |name: &str| {
        is_used(&pipeline.streams, name) || pipeline.buffer.connection.as_deref().is_some_and(|held| held == name)
    };
    let connectors = run_connections(&pipeline.connections, &used, registry, places, findings);
    check_buffer(pipeline, places, findings);
    if pipeline.streams.is_empty() && places.pipeline.is_none() {
        findings.add_at(None, "the pipeline has no streams", Some("add one".into()));
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (i, stream) in pipeline.streams.iter().enumerate() {
        let places_of = places.streams.get(i);
        let site = Site { stream, pipeline, registry, connectors: &connectors, places: places_of, all_places: places };
        if !site.broken("id") {
            check_id(&site, i, &mut seen, findings);
        }
        check_stream::run(&site, findings);
        check_target(&site, i, findings);
    }
}

/// The buffer's place is one that can hold it. Nothing is asked of it.
fn check_buffer(pipeline: &Pipeline, places: &Places, findings: &mut Findings) {
    if pipeline.buffer.format != BufferFormat::Parquet {
        return;
    }
    let position = places.buffer.or(places.pipeline).map(|mark| findings.position(mark));
    let known: Vec<&str> = pipeline.connections.iter().map(|c| c.name.as_str()).collect();
    match &pipeline.buffer.connection {
        // A connection that is wrong has been reported where it stands.
        Some(name)
            if places.connections_broken
                || places.connections.contains_key(name) && !known.contains(&name.as_str()) => {}
        Some(name) if !known.contains(&name.as_str()) => {
            let (message, _) = unknown_connection(name, &known);
            let hint = "a buffer's connection is one of the pipeline's file connections";
            findings.add_at(position, message, Some(hint.into()));
        }
        _ => {
            if let Err(error) = ParquetBuffer::open(&pipeline.buffer, &pipeline.connections) {
                findings.add_at(position, error.to_string(), error.hint().map(str::to_string));
            }
        }
    }
}

/// Of two streams with one target, one that replaces would throw the other's rows away.
fn check_target(site: &Site<'_>, index: usize, findings: &mut Findings) {
    let target = &site.stream.target;
    let same = |other: &&Stream| other.target.connection == target.connection && other.target.kind == target.kind;
    let replaces = |stream: &Stream| stream.load.mode == LoadMode::Replace;
    let Some(first) = site.pipeline.streams[..index].iter().find(same) else { return };
    if site.broken("target.value") || !(replaces(first) || replaces(site.stream)) {
        return;
    }
    let message = format!("streams {} and {} have one target, and one of them replaces it", first.id, site.stream.id);
    site.report(
        findings,
        &[("target.value", None), ("target", None), ("id", None)],
        message,
        "give them targets of their own, or append",
    );
}

fn check_id<'a>(site: &Site<'a>, index: usize, seen: &mut HashMap<&'a str, usize>, findings: &mut Findings) {
    let id = site.stream.id.as_str();
    let at = [("id", None)];
    if let Some(fault) = infer::id_fault(id) {
        let message = format!("the stream's id cannot be the name of a folder: {fault}");
        site.report(findings, &at, message, ID_HINT);
        return;
    }
    let first = *seen.entry(id).or_insert(index);
    if first != index {
        let place = site.all_places.streams.get(first);
        let line = place.map(|p| format!(" (line {})", p.mark.line)).unwrap_or_default();
        let hint = format!("rename this stream or the first one{line}");
        site.report(findings, &at, format!("duplicate stream id {id}"), hint);
    }
}

const ID_HINT: &str = "use letters, digits, `_`, `-` and `.`, the dot not at the beginning";

/// The message and the hint for a name that no connection has.
pub(super) fn unknown_connection(name: &str, known: &[&str]) -> (String, String) {
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => format!("add `connections: {{{name}: …}}`, or write a URL in its place"),
        None => format!("known connections: {}; or write a URL in its place", known.join(", ")),
    };
    (format!("unknown connection {name}"), hint)
}

/// Whether a stream reads or writes a connection. A query names its connections within its SQL.
pub(super) fn is_used(streams: &[Stream], name: &str) -> bool {
    let lower = name.to_lowercase();
    streams.iter().any(|stream| match &stream.source.kind {
        _ if stream.target.connection == name => true,
        SourceKind::Query(sql) => sql.to_lowercase().contains(&lower),
        _ => stream.source.connection == name,
    })
}

/// The connectors of the connections that are used and right, by name.
pub(super) type Connectors = HashMap<String, Arc<dyn Connector>>;

/// Checks the names of connections, and asks the connectors whether they take those that are used. Gives those that do:
/// making one may cost, as a client of a store does.
pub(super) fn run_connections(
    connections: &[ConnectionConfig],
    used: &dyn Fn(&str) -> bool,
    registry: &Registry,
    places: &Places,
    findings: &mut Findings,
) -> Connectors {
    let mut connectors = Connectors::new();
    let mut names: Vec<&str> = Vec::new();
    for name in places.connections.keys().map(String::as_str).chain(connections.iter().map(|c| c.name.as_str())) {
        let mark = places.connections.get(name).map(|p| p.mark);
        let position = mark.map(|mark| findings.position(mark));
        if names.contains(&name) {
            if mark.is_none() {
                findings.add_at(None, format!("duplicate connection {name}"), Some("rename one of them".into()));
            }
            continue;
        }
        names.push(name);
        if RESERVED.iter().any(|r| r.eq_ignore_ascii_case(name)) {
            let message = format!("the connection name {name} is reserved");
            findings.add_at(
                position,
                message,
                Some(format!("rename it: SQL names other things by {}", RESERVED.join(", "))),
            );
        } else if let Some(message) = infer::connection_fault(name) {
            findings.add_at(position, message, Some("rename it: queries name tables by it".into()));
        }
    }
    for config in connections {
        if places.connections.get(&config.name).map_or_else(|| used(&config.name), |p| p.check) {
            let connector = check_connection(config, registry, places, findings);
            connectors.extend(connector.map(|connector| (config.name.clone(), connector)));
        }
    }
    connectors
}

/// Asks the connector whether it takes the connection's fields and options.
fn check_connection(
    config: &ConnectionConfig,
    registry: &Registry,
    places: &Places,
    findings: &mut Findings,
) -> Option<Arc<dyn Connector>> {
    let error = match registry.connect(config) {
        Ok(connector) => return Some(connector),
        Err(error) => error,
    };
    let place = places.connections.get(&config.name);
    // The connector's error names a key; it stands somewhere in the connection's map.
    let says = |key: &str| {
        let message = error.message();
        message.ends_with(&format!("unknown option {key}")) || message.contains(&format!("{key} must be "))
    };
    let mark = place.map(|p| p.keys.iter().find(|(key, _)| says(key)).map_or(p.mark, |(_, mark)| *mark));
    let position = mark.map(|mark| findings.position(mark));
    findings.add_at(position, error.to_string(), error.hint().map(str::to_string));
    None
}

/// A stream under check, and where its parts stand.
pub(super) struct Site<'a> {
    pub stream: &'a Stream,
    pub pipeline: &'a Pipeline,
    pub registry: &'a Registry,
    pub connectors: &'a Connectors,
    pub places: Option<&'a StreamPlaces>,
    pub all_places: &'a Places,
}

/// A key of a stream; the index where it is one of a list.
pub(super) type Key = (&'static str, Option<usize>);

impl<'a> Site<'a> {
    /// Whether a key is wrong already and nothing follows from it.
    pub fn broken(&self, key: &'static str) -> bool {
        self.places.is_some_and(|p| p.is_broken(key, None))
    }

    /// Whether a field's key is wrong already.
    pub fn field_broken(&self, key: &'static str, index: usize) -> bool {
        self.places.is_some_and(|p| p.is_broken(key, Some(index)))
    }

    /// The position of the first of `keys` that the file has; else the stream's.
    fn position(&self, keys: &[Key], findings: &Findings) -> Option<Position> {
        let Some(places) = self.places else {
            return self.stream.position.clone();
        };
        let mark = keys.iter().find_map(|(key, item)| places.get(key, *item)).unwrap_or(places.mark);
        Some(findings.position(mark))
    }

    /// Notes a finding as it is.
    pub fn report(&self, findings: &mut Findings, keys: &[Key], message: impl Into<String>, hint: impl Into<String>) {
        let position = self.position(keys, findings);
        findings.add_at(position, message, Some(hint.into()));
    }

    /// Notes a finding under the stream's id: a default may be wrong for one of many streams.
    pub fn report_of(&self, findings: &mut Findings, keys: &[Key], message: impl AsRef<str>, hint: impl Into<String>) {
        let whose = infer::stream_of(&self.stream.id);
        self.report(findings, keys, format!("{whose}: {}", message.as_ref()), hint);
    }

    /// The kind of system that a connection is; `None` where it is unknown or wrong, which is reported here or has been.
    pub fn factory(&self, name: &str, key: &'static str, findings: &mut Findings) -> Option<&'a Factory> {
        if self.broken(key) {
            return None;
        }
        let Some(config) = self.pipeline.connection(name) else {
            if !self.all_places.connections.contains_key(name) && !self.all_places.connections_broken {
                let mut known: Vec<&str> = self.pipeline.connections.iter().map(|c| c.name.as_str()).collect();
                known.extend(
                    self.all_places
                        .connections
                        .keys()
                        .map(String::as_str)
                        .filter(|n| self.pipeline.connection(n).is_none()),
                );
                let (message, hint) = unknown_connection(name, &known);
                self.report(findings, &[(key, None)], message, hint);
            }
            return None;
        };
        // An unknown kind is reported with the connection.
        self.registry.factory(&config.kind).ok()
    }
}
