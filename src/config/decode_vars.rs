//! Variables as declared: `vars: {day: {type: date, default: 2026-01-01}, region: string}`.

use super::findings::{Findings, Mark};
use super::node::{Entry, Value};
use super::read::{self, Fields, Given, shown};
use crate::model::{TypeName, param_fault};

/// A variable that a file declares.
#[derive(Debug, Clone)]
pub(super) struct RawVar {
    pub name: String,
    pub dtype: Option<TypeName>,
    pub default: Option<(String, Mark)>,
}

/// Types that a value on a command line can have.
const TYPES: [(&str, TypeName); 18] = [
    ("string", TypeName::String),
    ("bool", TypeName::Bool),
    ("int8", TypeName::Int8),
    ("int16", TypeName::Int16),
    ("int32", TypeName::Int32),
    ("int64", TypeName::Int64),
    ("uint8", TypeName::Uint8),
    ("uint16", TypeName::Uint16),
    ("uint32", TypeName::Uint32),
    ("uint64", TypeName::Uint64),
    ("float32", TypeName::Float32),
    ("float64", TypeName::Float64),
    ("decimal", TypeName::Decimal),
    ("date", TypeName::Date),
    ("time", TypeName::Time),
    ("timestamp", TypeName::Timestamp),
    ("timestamp_tz", TypeName::TimestampTz),
    ("uuid", TypeName::Uuid),
];

/// The variables of a file.
pub(super) fn list(fields: &Fields<'_>, findings: &mut Findings) -> Given<Vec<RawVar>> {
    fields.get("vars", |node| match &node.value {
        Value::Map(entries) => Some(entries.iter().filter_map(|entry| one(entry, findings)).collect()),
        _ => {
            let message = format!("vars must be a map of names, not {}", node.describe());
            findings.add(node.mark, message, "write `vars: {day: {type: date, default: 2026-01-31}}`");
            None
        }
    })
}

fn one(entry: &Entry, findings: &mut Findings) -> Option<RawVar> {
    let Entry { key, key_mark, value } = entry;
    if let Some(fault) = param_fault(key) {
        findings.add(*key_mark, format!("the variable {}: {fault}", shown(key)), "rename it, such as `day`");
        return None;
    }
    let name = key.clone();
    match &value.value {
        _ if value.is_null() => Some(RawVar { name, dtype: None, default: None }),
        // The short form is the type alone.
        Value::Scalar(_) => {
            let dtype = read::word(value, "type", &TYPES, findings)?;
            Some(RawVar { name, dtype: Some(dtype), default: None })
        }
        _ => {
            let fields = Fields::open(value, "a variable", &["type", "default", "description"], findings)?;
            let dtype = fields.word("type", &TYPES, findings);
            fields.text("description", findings);
            let default = fields.get("default", |node| match &node.value {
                Value::Scalar(scalar) => Some(scalar.text.clone()),
                _ => {
                    let message = format!("default must be one value, not {}", node.describe());
                    findings.add(node.mark, message, "write it as `--var` would give it");
                    None
                }
            });
            let default = match default {
                // A wrong type says nothing about the default.
                Given::Is(text, mark) if !dtype.is_broken() => Some((text, mark)),
                _ => None,
            };
            Some(RawVar { name, dtype: dtype.value(), default })
        }
    }
}
