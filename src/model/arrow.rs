//! DXT types as Arrow types and back: the one table of that mapping.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{DxtField, DxtSchema, DxtType};
use crate::error::{Error, ErrorKind, Result};

/// The zone of every timestamp_tz, spelled as Arrow arrays of dxt spell it.
pub const UTC: &str = "UTC";

fn unit(precision: u8) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn digits(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

impl DxtType {
    /// The Arrow type that holds values of this type in batches, buffers and plans.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Uint8 => DataType::UInt8,
            Self::Uint16 => DataType::UInt16,
            Self::Uint32 => DataType::UInt32,
            Self::Uint64 => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } if *precision <= 38 => DataType::Decimal128(*precision, *scale),
            Self::Decimal { precision, scale } => DataType::Decimal256(*precision, *scale),
            Self::String | Self::Json => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time { precision } => match unit(*precision) {
                u @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(u),
                u => DataType::Time64(u),
            },
            Self::Timestamp { precision } => DataType::Timestamp(unit(*precision), None),
            Self::TimestampTz { precision } => DataType::Timestamp(unit(*precision), Some(UTC.into())),
            Self::Binary => DataType::Binary,
            Self::Array(item) => DataType::List(Arc::new(Field::new("item", item.to_arrow(), true))),
            Self::Object(fields) => DataType::Struct(fields.iter().map(|f| Arc::new(f.to_arrow())).collect()),
        }
    }

    /// The DXT type of an Arrow type, whatever its physical layout (views, dictionaries, large offsets).
    ///
    /// # Errors
    /// Type mapping: intervals, durations, maps, unions and the like have no DXT type.
    pub fn from_arrow(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::UInt8 => Self::Uint8,
            DataType::UInt16 => Self::Uint16,
            DataType::UInt32 => Self::Uint32,
            DataType::UInt64 => Self::Uint64,
            DataType::Float16 | DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => Self::Decimal { precision: *p, scale: *s },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Self::String,
            DataType::Boolean => Self::Bool,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(u) | DataType::Time64(u) => Self::Time { precision: digits(u) },
            DataType::Timestamp(u, None) => Self::Timestamp { precision: digits(u) },
            DataType::Timestamp(u, Some(_)) => Self::TimestampTz { precision: digits(u) },
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Binary
            }
            DataType::Dictionary(_, value) => Self::from_arrow(value)?,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Self::Array(Box::new(Self::from_arrow(item.data_type())?)),
            DataType::Struct(fields) => {
                Self::Object(fields.iter().map(|f| DxtField::from_arrow(f)).collect::<Result<_>>()?)
            }
            other => {
                return Err(Error::new(ErrorKind::TypeMapping, format!("dxt has no type for Arrow's {other}"))
                    .with_hint("cast the column in the source's SQL, or leave it out with `fields`"));
            }
        })
    }
}

impl DxtField {
    /// The Arrow field, without metadata.
    pub fn to_arrow(&self) -> Field {
        Field::new(&self.name, self.dtype.to_arrow(), self.nullable)
    }

    /// The DXT field of an Arrow field.
    ///
    /// # Errors
    /// Type mapping, naming the field: see [`DxtType::from_arrow`].
    pub fn from_arrow(field: &Field) -> Result<Self> {
        let dtype = match field.metadata().get("ARROW:extension:name").map(String::as_str) {
            Some("arrow.json") => DxtType::Json,
            _ => DxtType::from_arrow(field.data_type()).map_err(|e| e.context(format!("field {}", field.name())))?,
        };
        Ok(Self::new(field.name(), dtype).nullable(field.is_nullable()))
    }
}

impl DxtSchema {
    /// The Arrow schema in which batches of these fields come.
    pub fn to_arrow(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.iter().map(DxtField::to_arrow).collect::<Vec<_>>()))
    }

    /// The DXT schema of an Arrow schema.
    ///
    /// # Errors
    /// Type mapping, naming the field.
    pub fn from_arrow(schema: &Schema) -> Result<Self> {
        Ok(Self::new(schema.fields().iter().map(|f| DxtField::from_arrow(f)).collect::<Result<_>>()?))
    }
}
