//! The types of dxt: few, exact, and independent of any system.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::DxtField;

/// The name of a type as it stands in YAML (`dtype: decimal`), without its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeName {
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float32,
    Float64,
    Decimal,
    String,
    Bool,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Binary,
    Uuid,
    Json,
    Array,
    Object,
}

impl TypeName {
    /// Every name, in the order of the documentation.
    pub const ALL: [(&'static str, Self); 22] = [
        ("int8", Self::Int8),
        ("int16", Self::Int16),
        ("int32", Self::Int32),
        ("int64", Self::Int64),
        ("uint8", Self::Uint8),
        ("uint16", Self::Uint16),
        ("uint32", Self::Uint32),
        ("uint64", Self::Uint64),
        ("float32", Self::Float32),
        ("float64", Self::Float64),
        ("decimal", Self::Decimal),
        ("string", Self::String),
        ("bool", Self::Bool),
        ("date", Self::Date),
        ("time", Self::Time),
        ("timestamp", Self::Timestamp),
        ("timestamp_tz", Self::TimestampTz),
        ("binary", Self::Binary),
        ("uuid", Self::Uuid),
        ("json", Self::Json),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    /// The type with this name, exactly as written.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }

    /// The name as in YAML.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, t)| *t == self).map(|(n, _)| *n).unwrap_or("string")
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A type with its parameters. Time, timestamp and timestamp_tz count whole units: precision is the number of
/// fractional digits of a second that the type holds (0, 3, 6 or 9; 6 is the default).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DxtType {
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float32,
    Float64,
    /// Exact decimal: `precision` digits (1 to 76), `scale` of them after the point.
    Decimal {
        precision: u8,
        scale: i8,
    },
    String,
    Bool,
    /// Days, proleptic Gregorian.
    Date,
    Time {
        precision: u8,
    },
    /// A wall clock's time, without a zone.
    Timestamp {
        precision: u8,
    },
    /// An instant, kept in UTC.
    TimestampTz {
        precision: u8,
    },
    Binary,
    /// 16 bytes, whose order is that of their text.
    Uuid,
    /// Text that is JSON.
    Json,
    Array(Box<DxtType>),
    Object(Vec<DxtField>),
}

impl DxtType {
    /// The name without parameters.
    pub fn name(&self) -> TypeName {
        match self {
            Self::Int8 => TypeName::Int8,
            Self::Int16 => TypeName::Int16,
            Self::Int32 => TypeName::Int32,
            Self::Int64 => TypeName::Int64,
            Self::Uint8 => TypeName::Uint8,
            Self::Uint16 => TypeName::Uint16,
            Self::Uint32 => TypeName::Uint32,
            Self::Uint64 => TypeName::Uint64,
            Self::Float32 => TypeName::Float32,
            Self::Float64 => TypeName::Float64,
            Self::Decimal { .. } => TypeName::Decimal,
            Self::String => TypeName::String,
            Self::Bool => TypeName::Bool,
            Self::Date => TypeName::Date,
            Self::Time { .. } => TypeName::Time,
            Self::Timestamp { .. } => TypeName::Timestamp,
            Self::TimestampTz { .. } => TypeName::TimestampTz,
            Self::Binary => TypeName::Binary,
            Self::Uuid => TypeName::Uuid,
            Self::Json => TypeName::Json,
            Self::Array(_) => TypeName::Array,
            Self::Object(_) => TypeName::Object,
        }
    }

    /// Whether it is a whole number of any width.
    pub fn is_integer(&self) -> bool {
        matches!(
            self,
            Self::Int8
                | Self::Int16
                | Self::Int32
                | Self::Int64
                | Self::Uint8
                | Self::Uint16
                | Self::Uint32
                | Self::Uint64
        )
    }

    /// Whether values of the type have an order that a watermark can follow.
    pub fn is_ordered(&self) -> bool {
        !matches!(self, Self::Bool | Self::Binary | Self::Json | Self::Array(_) | Self::Object(_))
    }
}

impl fmt::Display for DxtType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Time { precision } | Self::Timestamp { precision } | Self::TimestampTz { precision }
                if *precision != 6 =>
            {
                write!(f, "{}({precision})", self.name())
            }
            Self::Array(item) => write!(f, "array<{item}>"),
            Self::Object(fields) => {
                let inner: Vec<_> = fields.iter().map(|x| format!("{}: {}", x.name, x.dtype)).collect();
                write!(f, "object<{}>", inner.join(", "))
            }
            other => f.write_str(other.name().as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_manifests_are_known_by_their_names() {
        // Those that are written stay readable: a buffer may be loaded by a later dxt.
        for (json, dtype) in [
            ("\"string\"", DxtType::String),
            ("\"uuid\"", DxtType::Uuid),
            ("{\"decimal\":{\"precision\":12,\"scale\":2}}", DxtType::Decimal { precision: 12, scale: 2 }),
            ("{\"array\":\"uuid\"}", DxtType::Array(Box::new(DxtType::Uuid))),
        ] {
            assert_eq!(serde_json::to_string(&dtype).unwrap(), json);
            assert_eq!(serde_json::from_str::<DxtType>(json).unwrap(), dtype);
        }
    }

    #[test]
    fn every_name_is_read_as_its_type() {
        for (name, of) in TypeName::ALL {
            assert_eq!(TypeName::parse(name), Some(of));
            assert_eq!(of.to_string(), name);
        }
    }
}
