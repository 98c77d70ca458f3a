//! Pipelines as YAML, for `dxt discover` and `dxt init`: what is printed loads again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::infer;
use crate::error::{ErrorKind, Result, ResultExt};
use crate::model::LoadMode;

/// A pipeline to print.
#[derive(Debug, Clone, Serialize)]
pub struct PipelineDraft {
    /// The version of the format: 1.
    pub version: u8,
    /// The pipeline's name.
    pub name: String,
    /// Connections by name: a URL or a map. Printed as they are, so that `${VAR}` keeps its meaning and passwords can
    /// stay outside; a `${` that is no variable must be written `$${` by who makes them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub connections: BTreeMap<String, Value>,
    /// The source of every stream that names no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<DraftEnd>,
    /// The target of every stream that names no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<DraftEnd>,
    /// What is moved.
    pub streams: Vec<DraftStream>,
}

impl PipelineDraft {
    /// An empty pipeline.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            version: 1,
            name: name.into(),
            connections: BTreeMap::new(),
            source: None,
            target: None,
            streams: Vec::new(),
        }
    }
}

/// A stream to print.
#[derive(Debug, Clone, Serialize)]
pub struct DraftStream {
    /// Its id; [`stream_id`] makes one of any name.
    pub id: String,
    /// Where rows come from.
    pub source: DraftEnd,
    /// Where they go.
    pub target: DraftEnd,
    /// How they are written; without it, appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<DraftLoad>,
}

/// A source or a target to print: a text where it has a value only, else a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DraftEnd {
    /// The connection's name.
    pub connection: Option<String>,
    /// A relation's name or a path, as it is: [`to_yaml`] escapes it.
    pub value: Option<String>,
    /// Whether `value` is a path. A relation whose name would be taken for SQL is printed with its type.
    pub is_file: bool,
}

impl DraftEnd {
    /// A default: the connection only.
    pub fn connection(name: impl Into<String>) -> Self {
        Self { connection: Some(name.into()), ..Self::default() }
    }

    /// A relation of the default connection, as [`crate::model::RelationName`] prints it.
    pub fn relation(name: impl Into<String>) -> Self {
        Self { value: Some(name.into()), ..Self::default() }
    }

    /// A path of the default connection.
    pub fn file(path: impl Into<String>) -> Self {
        Self { value: Some(path.into()), is_file: true, ..Self::default() }
    }
}

impl Serialize for DraftEnd {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Full<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            connection: Option<&'a str>,
            #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
            kind: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            value: Option<Cow<'a, str>>,
        }
        let like_sql = !self.is_file && self.value.as_deref().is_some_and(infer::begins_with_query);
        match (&self.connection, &self.value) {
            (None, Some(value)) if !like_sql => serializer.serialize_str(&escaped(value)),
            (connection, value) => Full {
                connection: connection.as_deref(),
                kind: like_sql.then_some("relation"),
                value: value.as_deref().map(escaped),
            }
            .serialize(serializer),
        }
    }
}

/// How a stream is written, to print.
#[derive(Debug, Clone, Serialize)]
pub struct DraftLoad {
    /// The load mode.
    pub mode: LoadMode,
    /// The fields that name a row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upsert_keys: Vec<String>,
}

/// A pipeline as YAML.
///
/// # Errors
/// Pipeline execution: the values have no form in YAML, which none of the types here can cause.
pub fn to_yaml(draft: &PipelineDraft) -> Result<String> {
    serde_yaml::to_string(draft).during(ErrorKind::Pipeline, || "printing a pipeline as YAML".into())
}

/// A stream's id for a relation or file of any name: what an id cannot have becomes `_`. `public.orders` stays.
pub fn stream_id(name: &str) -> String {
    let mut id: String =
        name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' }).collect();
    while id.contains("..") {
        id = id.replace("..", "._");
    }
    if id.is_empty() || id.starts_with('.') {
        id.insert(0, '_');
    }
    while id.len() > 200 {
        id.pop();
    }
    id
}

/// A text in which `${` is no variable.
fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains("${") { Cow::Owned(text.replace("${", "$${")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_any_name_is_valid() {
        for name in ["public.orders", "", "..", "../../etc/passwd", "a b/c", "日本", "\"x\"", "...", &"é".repeat(300)]
        {
            let id = stream_id(name);
            assert_eq!(infer::id_fault(&id), None, "{name} → {id}");
        }
        assert_eq!(stream_id("public.orders"), "public.orders");
    }
}
