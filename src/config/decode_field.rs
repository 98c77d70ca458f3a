//! Fields as written, in all four forms: an id; an id with a type; names of source and target as texts; full objects.

use std::collections::BTreeMap;

use super::findings::{Findings, Mark};
use super::node::{Core, Node, Value};
use super::read::{self, Fields, Given};
use crate::model::{FieldSource, FieldSpec, FieldTarget, Generator, TypeName, nearest};

/// A field and the places of what the checks look at.
#[derive(Debug, Clone)]
pub(super) struct RawField {
    pub spec: FieldSpec,
    pub mark: Mark,
    /// Where keys stand, and whether they are wrong.
    pub places: Vec<(&'static str, Mark, bool)>,
}

const KEYS: [&str; 8] = ["id", "dtype", "precision", "scale", "nullable", "source", "target", "metadata"];

/// Other systems' names of types, for the hint.
const ALIASES: [(&str, &str); 27] = [
    ("int", "int32"),
    ("integer", "int32"),
    ("tinyint", "int8"),
    ("smallint", "int16"),
    ("bigint", "int64"),
    ("long", "int64"),
    ("short", "int16"),
    ("real", "float32"),
    ("float", "float64"),
    ("double", "float64"),
    ("numeric", "decimal"),
    ("number", "decimal"),
    ("varchar", "string"),
    ("char", "string"),
    ("text", "string"),
    ("str", "string"),
    ("utf8", "string"),
    ("boolean", "bool"),
    ("datetime", "timestamp"),
    ("timestamptz", "timestamp_tz"),
    ("bytea", "binary"),
    ("bytes", "binary"),
    ("blob", "binary"),
    ("jsonb", "json"),
    ("struct", "object"),
    ("guid", "uuid"),
    ("uniqueidentifier", "uuid"),
];

/// The list of a stream's fields. A field that is wrong stays in the list as `None`.
pub(super) fn list(node: &Node, findings: &mut Findings) -> Option<Vec<Option<RawField>>> {
    let Value::List(items) = &node.value else {
        findings.add(
            node.mark,
            format!("fields must be a list, not {}", node.describe()),
            "begin each field with `- `",
        );
        return None;
    };
    Some(items.iter().map(|item| decode(item, findings)).collect())
}

fn decode(node: &Node, findings: &mut Findings) -> Option<RawField> {
    if let Value::Scalar(_) = &node.value {
        let spec = FieldSpec::new(read::text(node, "a field", findings)?);
        return Some(RawField { spec, mark: node.mark, places: Vec::new() });
    }
    let fields = Fields::open(node, "a field", &KEYS, findings)?;
    let id = fields.text("id", findings);
    if matches!(id, Given::Absent | Given::Cleared(_)) {
        findings.add(node.mark, "a field has no id", "add `id:` with the field's name");
    }
    let dtype = fields.get("dtype", |node| dtype(node, findings));
    let precision = fields.number("precision", 0, i128::from(u8::MAX), findings);
    let scale = fields.number("scale", i128::from(i8::MIN), i128::from(i8::MAX), findings);
    let nullable = fields.flag("nullable", findings);
    let source = fields.get("source", |node| source(node, findings));
    let target = fields.get("target", |node| target(node, findings));
    let metadata = fields.get("metadata", |node| metadata(node, findings));

    let mut places = Vec::new();
    let mut place = |key, mark: Option<Mark>, broken| places.extend(mark.map(|mark| (key, mark, broken)));
    place("field.id", id.mark(), id.is_broken());
    place("field.dtype", dtype.mark(), dtype.is_broken());
    place("field.precision", precision.mark(), precision.is_broken());
    place("field.scale", scale.mark(), scale.is_broken());
    place("field.source", source.mark(), source.is_broken());
    place("field.target", target.mark(), target.is_broken());
    place("field.metadata", metadata.mark(), metadata.is_broken());

    let (generator, metadata) = metadata.value().unwrap_or_default();
    let spec = FieldSpec {
        id: id.value()?,
        dtype: dtype.value(),
        source: source.value(),
        target: target.value().unwrap_or_default(),
        nullable: nullable.value(),
        precision: precision.value().and_then(|n| u8::try_from(n).ok()),
        scale: scale.value().and_then(|n| i8::try_from(n).ok()),
        generator,
        metadata,
    };
    Some(RawField { spec, mark: node.mark, places })
}

fn dtype(node: &Node, findings: &mut Findings) -> Option<TypeName> {
    let word = read::text(node, "dtype", findings)?;
    if let Some(found) = TypeName::parse(&word) {
        return Some(found);
    }
    let lower = word.to_lowercase();
    let bare = lower.split('(').next().unwrap_or_default().trim();
    let known: Vec<&str> = TypeName::ALL.iter().map(|(name, _)| *name).collect();
    let alias = ALIASES.iter().find(|(other, _)| *other == bare).map(|(_, name)| *name);
    let near = alias.or_else(|| known.iter().find(|k| **k == bare).copied()).or_else(|| nearest(bare, &known));
    let hint = match near {
        Some("decimal") if word.contains('(') => "write `dtype: decimal, precision: …, scale: …`".to_string(),
        Some(name) => format!("did you mean {name}?"),
        None => format!("known types: {}", known.join(", ")),
    };
    findings.add(node.mark, format!("unknown dtype {}", node.describe()), hint);
    None
}

fn source(node: &Node, findings: &mut Findings) -> Option<FieldSource> {
    if let Value::Scalar(_) = &node.value {
        return read::text(node, "source", findings).map(FieldSource::Column);
    }
    let fields = Fields::open(node, "source", &["name", "expression"], findings)?;
    let name = fields.text("name", findings);
    let expression = fields.text("expression", findings);
    if name.is_broken() || expression.is_broken() {
        return None;
    }
    match (name.value(), expression.value()) {
        (Some(name), None) => Some(FieldSource::Column(name)),
        (None, Some(expression)) => Some(FieldSource::Expression(expression)),
        (both, _) => {
            let has = if both.is_some() { "both name and expression" } else { "neither name nor expression" };
            let hint = "write `{name: column}` for a column, or `{expression: \"SQL\"}`";
            findings.add(node.mark, format!("a field's source has {has}"), hint);
            None
        }
    }
}

fn target(node: &Node, findings: &mut Findings) -> Option<FieldTarget> {
    if let Value::Scalar(_) = &node.value {
        return Some(FieldTarget { name: Some(read::text(node, "target", findings)?), native_type: None });
    }
    let fields = Fields::open(node, "target", &["name", "type"], findings)?;
    let name = fields.text("name", findings);
    let native_type = fields.text("type", findings);
    if name.is_broken() || native_type.is_broken() {
        return None;
    }
    Some(FieldTarget { name: name.value(), native_type: native_type.value() })
}

type Metadata = (Option<Generator>, BTreeMap<String, serde_json::Value>);

fn metadata(node: &Node, findings: &mut Findings) -> Option<Metadata> {
    let Value::Map(entries) = &node.value else {
        findings.add(node.mark, format!("metadata must be a map, not {}", node.describe()), "write `{name: value}`");
        return None;
    };
    let by_dxt = node
        .entry("generated_by")
        .is_some_and(|e| matches!(&e.value.value, Value::Scalar(s) if s.text == "dxt" && s.core() == Core::Text));
    let generator = match node.entry("generator").map(|e| &e.value) {
        Some(word) if by_dxt => Some(read::word(word, "generator", &Generator::ALL, findings)?),
        Some(word) => {
            let hint = "add `generated_by: dxt`, or give the key another name";
            findings.add(word.mark, "metadata has a generator without `generated_by: dxt`", hint);
            return None;
        }
        None if by_dxt => {
            let known: Vec<&str> = Generator::ALL.iter().map(|(name, _)| *name).collect();
            let hint = format!("add `generator:` with one of {}", known.join(", "));
            findings.add(node.mark, "metadata has `generated_by: dxt` without a generator", hint);
            return None;
        }
        None => None,
    };
    let rest = entries.iter().filter(|e| !(by_dxt && (e.key == "generated_by" || e.key == "generator")));
    Some((generator, rest.map(|e| (e.key.clone(), e.value.to_json())).collect()))
}
