//! DXT types as Arrow types and back: the one table of that mapping.
//!
//! A uuid is `FixedSizeBinary(16)`, json is `Utf8`. In plans and batches of dxt that is all there is to see of them: a
//! `FixedSizeBinary(16)` there is a uuid always, and other binary is `Binary`. Files that others read, or have written, name the two by
//! Arrow's canonical extension types, `arrow.uuid` and `arrow.json`, in the metadata of their fields, at any depth.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{DxtField, DxtSchema, DxtType};
use crate::error::{Error, ErrorKind, Result};

/// The zone of every timestamp_tz, spelled as Arrow arrays of dxt spell it.
pub const UTC: &str = "UTC";

/// The key of a field's metadata that names its extension type.
const EXTENSION: &str = "ARROW:extension:name";
const UUID: &str = "arrow.uuid";
const JSON: &str = "arrow.json";

/// Whether an Arrow type of a plan is that of uuid.
pub fn is_uuid(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeBinary(16))
}

/// Whose schema a type stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A plan's or a batch's of dxt.
    Plan,
    /// A file's: 16 bytes are a uuid only where its field says so.
    File,
}

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
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Array(item) => DataType::List(Arc::new(Field::new("item", item.to_arrow(), true))),
            Self::Object(fields) => DataType::Struct(fields.iter().map(|f| Arc::new(f.to_arrow())).collect()),
        }
    }

    /// The DXT type of an Arrow type in a plan, whatever its physical layout (views, dictionaries, large offsets).
    ///
    /// # Errors
    /// Type mapping: intervals, durations, maps, unions and the like have no DXT type.
    pub fn from_arrow(data_type: &DataType) -> Result<Self> {
        Self::of(data_type, Origin::Plan)
    }

    fn of(data_type: &DataType, origin: Origin) -> Result<Self> {
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
            DataType::FixedSizeBinary(16) if origin == Origin::Plan => Self::Uuid,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Binary
            }
            DataType::Dictionary(_, value) => Self::of(value, origin)?,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Self::Array(Box::new(Self::of_field(item, origin)?)),
            DataType::Struct(fields) => {
                Self::Object(fields.iter().map(|f| DxtField::of(f, origin)).collect::<Result<_>>()?)
            }
            other => {
                return Err(Error::new(ErrorKind::TypeMapping, format!("dxt has no type for Arrow's {other}"))
                    .with_hint("cast the column in the source's SQL, or leave it out with `fields`"));
            }
        })
    }

    /// The type of a field, which may name it by an extension.
    fn of_field(field: &Field, origin: Origin) -> Result<Self> {
        let dtype = Self::of(field.data_type(), origin)?;
        Ok(match (field.metadata().get(EXTENSION).map(String::as_str), &dtype) {
            (Some(JSON), Self::String) => Self::Json,
            // An extension that does not fit the type beside it says nothing.
            (Some(UUID), Self::Binary) if is_uuid(field.data_type()) => Self::Uuid,
            _ => dtype,
        })
    }

    /// The name of Arrow's canonical extension type for the type, where there is one.
    fn extension(&self) -> Option<&'static str> {
        match self {
            Self::Uuid => Some(UUID),
            Self::Json => Some(JSON),
            _ => None,
        }
    }

    /// As [`DxtType::to_arrow`], with the extension types of items and members named.
    fn to_file_arrow(&self) -> DataType {
        match self {
            Self::Array(item) => DataType::List(Arc::new(named(item, "item", true))),
            Self::Object(fields) => DataType::Struct(fields.iter().map(|f| Arc::new(f.to_file_arrow())).collect()),
            flat => flat.to_arrow(),
        }
    }
}

/// A field that names its extension type.
fn named(dtype: &DxtType, name: &str, nullable: bool) -> Field {
    let field = Field::new(name, dtype.to_file_arrow(), nullable);
    match dtype.extension() {
        Some(extension) => field.with_metadata([(EXTENSION.to_string(), extension.to_string())].into()),
        None => field,
    }
}

impl DxtField {
    /// The Arrow field, without metadata.
    pub fn to_arrow(&self) -> Field {
        Field::new(&self.name, self.dtype.to_arrow(), self.nullable)
    }

    fn to_file_arrow(&self) -> Field {
        named(&self.dtype, &self.name, self.nullable)
    }

    /// The DXT field of an Arrow field in a plan.
    ///
    /// # Errors
    /// Type mapping, naming the field: see [`DxtType::from_arrow`].
    pub fn from_arrow(field: &Field) -> Result<Self> {
        Self::of(field, Origin::Plan)
    }

    fn of(field: &Field, origin: Origin) -> Result<Self> {
        let dtype = DxtType::of_field(field, origin).map_err(|e| e.context(format!("field {}", field.name())))?;
        Ok(Self::new(field.name(), dtype).nullable(field.is_nullable()))
    }
}

impl DxtSchema {
    /// The Arrow schema in which batches of these fields come.
    pub fn to_arrow(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.iter().map(DxtField::to_arrow).collect::<Vec<_>>()))
    }

    /// The Arrow schema of a file of these fields: it names extension types, which batches do not.
    pub fn to_file_arrow(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.iter().map(DxtField::to_file_arrow).collect::<Vec<_>>()))
    }

    /// The DXT schema of a plan's or a table provider's Arrow schema, where 16 bytes are a uuid.
    ///
    /// # Errors
    /// Type mapping, naming the field.
    pub fn from_arrow(schema: &Schema) -> Result<Self> {
        Self::of(schema, Origin::Plan)
    }

    /// The DXT schema of a file's Arrow schema, where 16 bytes are a uuid only if their field says so.
    ///
    /// # Errors
    /// Type mapping, naming the field.
    pub fn from_file_arrow(schema: &Schema) -> Result<Self> {
        Self::of(schema, Origin::File)
    }

    fn of(schema: &Schema, origin: Origin) -> Result<Self> {
        Ok(Self::new(schema.fields().iter().map(|f| DxtField::of(f, origin)).collect::<Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> DxtSchema {
        let list = |item| DxtType::Array(Box::new(item));
        DxtSchema::new(vec![
            DxtField::new("u", DxtType::Uuid),
            DxtField::new("j", DxtType::Json),
            DxtField::new("b", DxtType::Binary),
            DxtField::new("us", list(DxtType::Uuid)),
            DxtField::new("o", DxtType::Object(vec![DxtField::new("js", list(DxtType::Json))])),
        ])
    }

    #[test]
    fn a_file_names_extension_types_at_any_depth_and_gives_them_back() {
        let file = schema().to_file_arrow();
        assert_eq!(file.field(0).metadata().get(EXTENSION).map(String::as_str), Some("arrow.uuid"));
        assert_eq!(file.field(1).metadata().get(EXTENSION).map(String::as_str), Some("arrow.json"));
        assert!(file.field(2).metadata().is_empty());
        let DataType::List(item) = file.field(3).data_type() else { panic!("{file}") };
        assert_eq!(item.metadata().get(EXTENSION).map(String::as_str), Some("arrow.uuid"));
        assert_eq!(DxtSchema::from_file_arrow(&file).unwrap(), schema());
    }

    #[test]
    fn a_plan_has_no_metadata_and_its_sixteen_bytes_are_a_uuid() {
        let plan = schema().to_arrow();
        assert!(plan.fields().iter().all(|f| f.metadata().is_empty()));
        assert_eq!(DxtSchema::from_arrow(&plan).unwrap().fields[0].dtype, DxtType::Uuid);
        assert_eq!(DxtType::from_arrow(&DataType::FixedSizeBinary(4)).unwrap(), DxtType::Binary);
    }

    #[test]
    fn sixteen_bytes_of_a_file_are_binary_unless_their_field_says_uuid() {
        let bytes = |size, extension: &str| {
            let field = Field::new("x", DataType::FixedSizeBinary(size), true);
            let field = field.with_metadata([(EXTENSION.to_string(), extension.to_string())].into());
            DxtSchema::from_file_arrow(&Schema::new(vec![field])).unwrap().fields[0].dtype.clone()
        };
        assert_eq!(bytes(16, "arrow.uuid"), DxtType::Uuid);
        assert_eq!(bytes(16, "someone.hash"), DxtType::Binary);
        assert_eq!(bytes(20, "arrow.uuid"), DxtType::Binary);
    }
}
