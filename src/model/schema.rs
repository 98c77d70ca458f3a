//! The DXT schema: what travels beside the plan and in a buffer's manifest.
//!
//! Arrow's field metadata is dropped by casts and most expressions, so it cannot carry native types and keys.

use serde::{Deserialize, Serialize};

use super::DxtType;

/// A type as one system spells it, such as `varchar(20)` of `postgres`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NativeType {
    /// The connector's kind, such as `postgres`.
    pub system: String,
    /// The type's own spelling, with its modifiers.
    pub name: String,
}

/// One column: its name, type, and what is known of it beyond the type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DxtField {
    /// The column's name, spelled as the system spells it.
    pub name: String,
    /// Its type.
    pub dtype: DxtType,
    /// Whether NULL may occur.
    pub nullable: bool,
    /// The type in the system that it comes from; its own loader may rebuild it exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeType>,
    /// Whether the system makes the value itself (a generated column) and refuses others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
    /// Whether the system has a default for a column that a load leaves out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_default: bool,
}

impl DxtField {
    /// A nullable field without a native type.
    pub fn new(name: impl Into<String>, dtype: DxtType) -> Self {
        Self { name: name.into(), dtype, nullable: true, native: None, generated: false, has_default: false }
    }

    /// The same field, nullable or not.
    pub fn nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// The same field with the type's spelling in `system`.
    pub fn native(mut self, system: &str, name: impl Into<String>) -> Self {
        self.native = Some(NativeType { system: system.into(), name: name.into() });
        self
    }

    /// The native spelling, where it is one of `system`.
    pub fn native_in(&self, system: &str) -> Option<&str> {
        self.native.as_ref().filter(|n| n.system == system).map(|n| n.name.as_str())
    }
}

/// The columns of a dataset in their order, and its primary key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DxtSchema {
    /// Columns in order.
    pub fields: Vec<DxtField>,
    /// Names of the primary key's columns; empty where there is none or it is not known.
    #[serde(default)]
    pub primary_key: Vec<String>,
}

impl DxtSchema {
    /// A schema without a key.
    pub fn new(fields: Vec<DxtField>) -> Self {
        Self { fields, primary_key: Vec::new() }
    }

    /// The field with exactly this name.
    pub fn field(&self, name: &str) -> Option<&DxtField> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// All names in order.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|f| f.name.as_str()).collect()
    }
}
