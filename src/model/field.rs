//! Fields of a stream as a pipeline declares them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TypeName;

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldSource {
    /// A column of the source, by its exact name.
    Column(String),
    /// A SQL expression over the source's columns, in DataFusion's dialect.
    Expression(String),
}

/// What the target calls the field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FieldTarget {
    /// The column's name; the field's id where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The column's type in the target's own words, for a target that is created: `varchar(20)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_type: Option<String>,
}

/// Values that dxt makes itself, the same for all rows of one run except `Uuid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// When the run began, as timestamp_tz.
    CurrentTimestamp,
    /// The day when the run began, as date, in UTC.
    CurrentDate,
    /// A new random UUID for each row, as string.
    Uuid,
    /// The run's id, as string.
    RunId,
    /// The pipeline's name.
    Pipeline,
    /// The stream's id.
    Stream,
}

impl Generator {
    /// Every generator by its name in YAML.
    pub const ALL: [(&'static str, Self); 6] = [
        ("current_timestamp", Self::CurrentTimestamp),
        ("current_date", Self::CurrentDate),
        ("uuid", Self::Uuid),
        ("run_id", Self::RunId),
        ("pipeline", Self::Pipeline),
        ("stream", Self::Stream),
    ];
}

/// One field of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// The field's name in the buffer, unique in its stream.
    pub id: String,
    /// Its type; the source's where it is not given.
    pub dtype: Option<TypeName>,
    /// Where the value comes from; the column named as the id where it is not given.
    pub source: Option<FieldSource>,
    /// What the target calls it.
    pub target: FieldTarget,
    /// `false`: a NULL is an error before commit, and a created target says NOT NULL.
    pub nullable: Option<bool>,
    /// Digits of a decimal, or fractional digits of a time or timestamp.
    pub precision: Option<u8>,
    /// Digits of a decimal after the point.
    pub scale: Option<i8>,
    /// A value that dxt makes (`metadata: {generated_by: dxt, generator: …}`).
    pub generator: Option<Generator>,
    /// The rest of the metadata, for people and other tools.
    pub metadata: BTreeMap<String, serde_json::Value>,
}

impl FieldSpec {
    /// A field that takes the column of its name as it is.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            dtype: None,
            source: None,
            target: FieldTarget::default(),
            nullable: None,
            precision: None,
            scale: None,
            generator: None,
            metadata: BTreeMap::new(),
        }
    }

    /// The target column's name.
    pub fn target_name(&self) -> &str {
        self.target.name.as_deref().unwrap_or(&self.id)
    }
}
