//! Connections: a URL, or a map of fields with `type` or `url`.

use std::path::PathBuf;

use super::decode::Cx;
use super::findings::{Finding, Mark};
use super::node::{Entry, Node, Value};
use super::read::{self, shown};
use crate::error::Error;
use crate::model::{ConnectionConfig, Options, Secret};

/// A connection of a file's `connections`.
#[derive(Debug, Clone)]
pub(super) struct RawConnection {
    pub name: String,
    /// Where its name stands.
    pub mark: Mark,
    /// Where its keys stand.
    pub keys: Vec<(String, Mark)>,
    /// The connection; `None` where it is wrong.
    pub config: Option<ConnectionConfig>,
    /// Missing variables of a project's connection: they count only if the pipeline uses it.
    pub pending: Vec<Finding>,
}

impl RawConnection {
    pub fn decode(entry: &Entry, pending: Vec<Finding>, cx: &mut Cx<'_>) -> Self {
        Self {
            name: entry.key.clone(),
            mark: entry.key_mark,
            keys: key_marks(&entry.value),
            config: decode(&entry.key, &entry.value, cx),
            pending,
        }
    }
}

/// The keys of a connection's map and of its options, with their places.
pub(super) fn key_marks(node: &Node) -> Vec<(String, Mark)> {
    let Value::Map(entries) = &node.value else {
        return Vec::new();
    };
    let options = node.entry("options").and_then(|o| match &o.value.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    });
    entries.iter().chain(options.into_iter().flatten()).map(|e| (e.key.clone(), e.key_mark)).collect()
}

/// What a connection of the given name is. `None`: something is wrong and reported.
pub(super) fn decode(name: &str, node: &Node, cx: &mut Cx<'_>) -> Option<ConnectionConfig> {
    if node.is_broken() {
        return None;
    }
    match &node.value {
        // What is no URL may be a password that stands in the wrong place: it is not shown.
        Value::Scalar(scalar) if scalar.text.contains("://") => from_url(name, &scalar.text, node.mark, cx),
        Value::Map(entries) => from_map(name, node, entries, cx),
        _ => {
            let message = format!("connection {} must be a URL or a map", shown(name));
            let hint = "write `sqlite:///./shop.db`, or `{type: file, path: ./data/}`";
            cx.findings.add(node.mark, message, hint);
            None
        }
    }
}

/// A connection by its URL alone.
pub(super) fn from_url(name: &str, url: &str, mark: Mark, cx: &mut Cx<'_>) -> Option<ConnectionConfig> {
    let (word, _) = kind_of_url(url, mark, cx)?;
    Some(ConnectionConfig { kind: word, ..ConnectionConfig::from_url(name, url, cx.base(mark)) })
}

fn from_map(name: &str, node: &Node, entries: &[Entry], cx: &mut Cx<'_>) -> Option<ConnectionConfig> {
    let mut config = ConnectionConfig {
        name: name.to_string(),
        kind: String::new(),
        url: None,
        fields: Options::new(),
        options: Options::new(),
        base_dir: PathBuf::from(cx.base(node.mark)),
    };
    let (mut named, mut by_url, mut wrong) = (None, None, false);
    for entry in entries {
        let value = &entry.value;
        match entry.key.as_str() {
            "type" => match read::text(value, "type", &mut cx.findings).map(|t| (cx.registry.factory(&t), t)) {
                Some((Ok(factory), text)) => named = Some((kind_word(&text), factory.kind)),
                Some((Err(error), _)) => {
                    report(&error, &value.describe(), value.mark, cx);
                    wrong = true;
                }
                None => wrong = true,
            },
            "url" => match &value.value {
                Value::Scalar(scalar) if scalar.text.contains("://") => {
                    by_url = kind_of_url(&scalar.text, value.mark, cx);
                    wrong |= by_url.is_none();
                    config.url = Some(Secret::new(scalar.text.clone()));
                }
                _ => {
                    cx.findings.add(value.mark, "url must be a URL", "write `scheme://…`, as in `sqlite:///./shop.db`");
                    wrong = true;
                }
            },
            "options" => match &value.value {
                _ if value.is_null() => {}
                Value::Map(options) => {
                    config.options.extend(options.iter().map(|o| (o.key.clone(), o.value.to_json())))
                }
                _ => {
                    cx.findings.add(value.mark, "options must be a map", "write `{name: value}`");
                    wrong = true;
                }
            },
            key => {
                config.fields.insert(key.to_string(), value.to_json());
            }
        }
    }
    if wrong {
        return None;
    }
    match (named, by_url) {
        (Some((_, kind)), Some((_, scheme))) if kind != scheme => {
            let message = format!("connection {}: type is {kind}, and the URL is one of {scheme}", shown(name));
            cx.findings.add(node.mark, message, "remove type: it follows from the URL");
            return None;
        }
        (Some((word, _)), _) | (None, Some((word, _))) => config.kind = word,
        (None, None) => {
            let message = format!("connection {} has neither type nor url", shown(name));
            let hint = format!("add `type:` with one of {}, or `url:`", cx.registry.kinds().join(", "));
            cx.findings.add(node.mark, message, hint);
            return None;
        }
    }
    Some(config)
}

/// The type as a connection keeps it: as written, since one connector's schemes may mean different things to it (`s3`
/// and `gs` are both files), but without case and driver.
fn kind_word(text: &str) -> String {
    text.split('+').next().unwrap_or_default().to_lowercase()
}

/// The type that a URL's scheme says, as written and as the connector's kind. Nothing of the URL but a well-formed
/// scheme gets into a message.
fn kind_of_url(url: &str, mark: Mark, cx: &mut Cx<'_>) -> Option<(String, &'static str)> {
    let scheme = url.split("://").next().unwrap_or_default();
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    if scheme.is_empty() || !scheme.chars().all(word) {
        cx.findings.add(
            mark,
            "this URL does not begin with a scheme",
            "write `scheme://…`, as in `sqlite:///./shop.db`",
        );
        return None;
    }
    match cx.registry.factory(scheme) {
        Ok(factory) => Some((kind_word(scheme), factory.kind)),
        Err(error) => {
            report(&error, &format!("`{}`", shown(scheme)), mark, cx);
            None
        }
    }
}

/// Reports a type that no connector has, as it may be shown.
fn report(error: &Error, word: &str, mark: Mark, cx: &mut Cx<'_>) {
    let known = || format!("known types: {}", cx.registry.kinds().join(", "));
    let hint = error.hint().map_or_else(known, str::to_string);
    cx.findings.add(mark, format!("unknown connection type {word}"), hint);
}
