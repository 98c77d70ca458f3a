//! Sources and targets with their defaults merged, and what follows from the connection where the type is not written.

use super::decode::Cx;
use super::decode_end::{Content, EndType, RawConnectionRef, RawEnd};
use super::findings::Mark;
use super::infer;
use super::places::StreamPlaces;
use super::read::Given;
use super::resolve::{Connections, options_over};
use crate::connector::Addressing;
use crate::model::{RelationName, Source, SourceKind, Target, TargetKind};

impl RawEnd {
    /// This end where it says something, else the default. A type and options belong to a connection: those of the
    /// default do not reach an end that names another one.
    pub fn over(self, default: &Self) -> Self {
        let own_connection = !self.connection.is_absent();
        let own_query = matches!(self.kind, Given::Is(EndType::Query, _));
        let own_sql = matches!(self.content, Given::Is(Content::Sql(_), _));
        let no_sql = matches!(default.kind, Given::Is(EndType::Relation | EndType::File, _));
        Self {
            given: self.given.or(default.given.clone()),
            connection: self.connection.or(default.connection.clone()),
            kind: if own_connection || (own_sql && no_sql) { self.kind } else { self.kind.or(default.kind.clone()) },
            content: self.content.or(default.content.clone()),
            sql: self.sql,
            options: if own_connection || own_query {
                self.options
            } else {
                options_over(self.options, &default.options)
            },
        }
    }
}

/// What both sides share: the connection's name, how it is addressed, and where the end stands.
struct End {
    connection: String,
    addressing: Option<Addressing>,
    /// A stream with an id, for messages: `stream orders`.
    whose: String,
    /// Where the stream itself names the end.
    own: Option<Mark>,
}

fn end(
    raw: &RawEnd,
    keys: [&'static str; 4],
    id: &str,
    connections: &mut Connections,
    places: &mut StreamPlaces,
    cx: &Cx<'_>,
) -> End {
    let [side, connection_key, kind_key, content_key] = keys;
    places.note(connection_key, &raw.connection);
    places.note(kind_key, &raw.kind);
    places.note(content_key, &raw.content);
    let mut end =
        End { connection: String::new(), addressing: None, whose: infer::stream_of(id), own: places.get(side, None) };
    if let Given::Is(reference, mark) = &raw.connection {
        end.connection = connections.name_of(reference, *mark);
        let factory = connections.named(&end.connection).and_then(|c| cx.registry.factory(&c.kind).ok());
        end.addressing = factory.map(|f| f.capabilities.addressing);
    }
    end
}

/// An end without a connection whose name begins with one, as names in SQL do: `warehouse.orders`.
fn qualified(mut raw: RawEnd, connections: &mut Connections, cx: &Cx<'_>) -> RawEnd {
    let Given::Is(Content::Value { text, shown }, mark) = &raw.content else { return raw };
    let Some((first, rest)) = text.split_once('.').filter(|(_, rest)| !rest.is_empty()) else { return raw };
    let none = matches!(raw.connection, Given::Absent | Given::Cleared(_));
    if !none || !connections.has(first) || matches!(raw.kind, Given::Is(EndType::Query, _)) {
        return raw;
    }
    let factory = connections.named(first).and_then(|config| cx.registry.factory(&config.kind).ok());
    let is_files = factory.is_some_and(|factory| factory.capabilities.addressing == Addressing::Files);
    // A path stands in double quotes there.
    let path = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|_| is_files);
    let content = Content::Value { text: path.unwrap_or(rest).to_string(), shown: shown.clone() };
    raw.connection = Given::Is(RawConnectionRef::Name(first.to_string()), *mark);
    raw.content = Given::Is(content, *mark);
    raw
}

/// Reports a target in a SQL file that is a connection's name: at the top of a YAML file that would be one.
fn connection_alone(raw: &RawEnd, id: &str, connections: &Connections, cx: &mut Cx<'_>) {
    let Given::Is(Content::Value { text, .. }, mark) = &raw.content else { return };
    if raw.given.mark() == Some(*mark) && cx.is_sql(*mark) && connections.has(text) {
        let message = format!("{}: target {text} is a connection, and names no table", infer::stream_of(id));
        let hint = format!("write `target: {{connection: {text}, value: …}}`, with the table or file as the value");
        cx.findings.add(*mark, message, hint);
    }
}

/// The source of a stream; a placeholder where it is wrong, with `source.kind` broken in `places`.
pub(super) fn source(
    raw: RawEnd,
    id: &str,
    connections: &mut Connections,
    places: &mut StreamPlaces,
    cx: &mut Cx<'_>,
) -> Source {
    let keys = ["source", "source.connection", "source.type", "source.value"];
    let raw = qualified(raw, connections, cx);
    let end = end(&raw, keys, id, connections, places, cx);
    let kind = source_kind(&raw, &end, places.mark, cx);
    if kind.is_none() {
        places.breaks("source.kind");
    }
    let kind = kind.unwrap_or_else(|| SourceKind::Query(String::new()));
    Source { connection: end.connection, kind, options: raw.options.value().unwrap_or_default() }
}

fn source_kind(raw: &RawEnd, end: &End, stream: Mark, cx: &mut Cx<'_>) -> Option<SourceKind> {
    let kind = match raw.kind.as_ref() {
        Given::Broken(_) => return None,
        kind => kind.value().copied(),
    };
    let needs_connection = kind != Some(EndType::Query);
    let (content, mark) = content(raw, "source", end, needs_connection, stream, cx)?;
    match (kind, content) {
        (Some(EndType::Query), Content::Sql(sql) | Content::Value { text: sql, .. }) => {
            Some(SourceKind::Query(sql.clone()))
        }
        (Some(EndType::Sql), Content::Sql(sql) | Content::Value { text: sql, .. }) | (None, Content::Sql(sql)) => {
            Some(SourceKind::Sql(sql.clone()))
        }
        (Some(EndType::Relation | EndType::File), Content::Sql(_)) => {
            let message = format!("{}: a source of type relation or file takes a value, not SQL", end.whose);
            cx.findings.add(mark, message, "write `type: sql`, or `value:` with a name in the place of the SQL");
            None
        }
        (Some(EndType::File), Content::Value { text: path, .. }) => Some(SourceKind::File(path.clone())),
        (Some(EndType::Relation), Content::Value { text, shown }) => {
            relation(text, shown, mark, end, cx).map(SourceKind::Relation)
        }
        (None, Content::Value { text, shown }) => match end.addressing? {
            Addressing::Files => Some(SourceKind::File(text.clone())),
            _ if infer::begins_with_query(text) => Some(SourceKind::Sql(text.clone())),
            _ => relation(text, shown, mark, end, cx).map(SourceKind::Relation),
        },
    }
}

/// The target of a stream; a placeholder where it is wrong, with `target.kind` broken in `places`.
pub(super) fn target(
    raw: RawEnd,
    id: &str,
    connections: &mut Connections,
    places: &mut StreamPlaces,
    cx: &mut Cx<'_>,
) -> Target {
    let keys = ["target", "target.connection", "target.type", "target.value"];
    let raw = qualified(raw, connections, cx);
    connection_alone(&raw, id, connections, cx);
    let end = end(&raw, keys, id, connections, places, cx);
    let kind = target_kind(&raw, &end, places.mark, cx);
    if kind.is_none() {
        places.breaks("target.kind");
    }
    let kind = kind.unwrap_or_else(|| TargetKind::File(String::new()));
    Target { connection: end.connection, kind, options: raw.options.value().unwrap_or_default() }
}

fn target_kind(raw: &RawEnd, end: &End, stream: Mark, cx: &mut Cx<'_>) -> Option<TargetKind> {
    let kind = match raw.kind.as_ref() {
        Given::Broken(_) => return None,
        kind => kind.value().copied(),
    };
    let (content, mark) = content(raw, "target", end, true, stream, cx)?;
    let (text, shown) = match content {
        Content::Value { text, shown } => (text, shown.as_str()),
        Content::Sql(text) => (text, "SQL"),
    };
    match (kind, end.addressing) {
        (Some(EndType::File), _) => Some(TargetKind::File(text.clone())),
        (Some(_), _) => relation(text, shown, mark, end, cx).map(TargetKind::Relation),
        (None, Some(Addressing::Files)) => Some(TargetKind::File(text.clone())),
        (None, Some(_)) => relation(text, shown, mark, end, cx).map(TargetKind::Relation),
        (None, None) => None,
    }
}

/// What an end reads or writes. Reports where that, or the connection, is missing.
fn content<'a>(
    raw: &'a RawEnd,
    side: &str,
    end: &End,
    needs_connection: bool,
    stream: Mark,
    cx: &mut Cx<'_>,
) -> Option<(&'a Content, Mark)> {
    if raw.given.is_broken() {
        return None;
    }
    let at = end.own.unwrap_or(stream);
    if matches!(raw.content, Given::Absent | Given::Cleared(_)) {
        let example = if side == "source" { "orders" } else { "orders_copy" };
        let (message, hint) = match end.own {
            None => (format!("{}: {side} is missing", end.whose), format!("add `{side}: {example}`")),
            Some(_) => (format!("{}: {side} has no value", end.whose), format!("add `value: {example}`")),
        };
        cx.findings.add(at, message, hint);
        return None;
    }
    if needs_connection && !raw.content.is_broken() && matches!(raw.connection, Given::Absent | Given::Cleared(_)) {
        let mut hint =
            format!("name one: `{side}: {{connection: …, value: …}}`, or for all streams at the top of the file");
        if side == "source" {
            hint += "; SQL across connections takes `type: query`";
        }
        cx.findings.add(at, format!("{}: {side} has no connection", end.whose), hint);
        return None;
    }
    match &raw.content {
        Given::Is(content, mark) => Some((content, *mark)),
        _ => None,
    }
}

fn relation(text: &str, shown: &str, mark: Mark, end: &End, cx: &mut Cx<'_>) -> Option<RelationName> {
    match RelationName::parse(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let why = error.message().rsplit_once("name: ").map_or("", |(_, why)| why);
            let message = format!("{shown} is not a relation's name: {why}");
            let hint = error.hint().unwrap_or("write `table` or `schema.table`");
            cx.findings.add(mark, format!("{}: {message}", end.whose), hint);
            None
        }
    }
}
