//! Types of files: a file has dxt's own types, so that its native spelling is dxt's.
//!
//! | DXT | Parquet | Arrow IPC | CSV, JSON lines |
//! | --- | --- | --- | --- |
//! | uuid | `FIXED_LEN_BYTE_ARRAY(16)` with the logical type `UUID` and Arrow's extension `arrow.uuid` | `FixedSizeBinary(16)`, `arrow.uuid` | `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11` |
//! | json | text with the logical type `JSON` and `arrow.json` | `Utf8`, `arrow.json` | its text; in JSON lines the value itself |
//! | binary | `BYTE_ARRAY` | `Binary` | `\x00ff` |
//!
//! uuid and json are named so at any depth of arrays and objects, and read as such where another writer named them. 16
//! bytes without that name are binary. Text files name no types: a column of theirs is a uuid by `dtype: uuid`, which takes
//! upper case, braces and missing hyphens, too.

use super::format::Format;
use crate::connector::TypeMapper;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType, TypeName};

/// The kind of file connections, as native types name it.
pub const KIND: &str = "file";

/// dxt's own spelling, both ways: `int64`, `decimal(12,2)`, `timestamp(3)`, `array<string>`.
#[derive(Debug)]
pub struct FileTypes;

impl TypeMapper for FileTypes {
    fn from_native(&self, native: &str) -> Result<DxtType> {
        let wrong = || {
            Error::new(ErrorKind::TypeMapping, format!("files have no type {native}"))
                .with_hint("types of files are dxt's own, such as int64, decimal(12,2), string, timestamp(3)")
        };
        let text = native.trim().to_ascii_lowercase();
        if let Some(inner) = text.strip_prefix("array<").and_then(|t| t.strip_suffix('>')) {
            return Ok(DxtType::Array(Box::new(self.from_native(inner)?)));
        }
        let (name, numbers) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')').ok_or_else(wrong)?),
            None => (text.as_str(), ""),
        };
        let numbers: Vec<i16> = match numbers {
            "" => Vec::new(),
            text => text.split(',').map(|n| n.trim().parse().map_err(|_| wrong())).collect::<Result<_>>()?,
        };
        let precision = match numbers[..] {
            [] => 6,
            [p @ 0..=9] => (p as u8).div_ceil(3) * 3,
            _ => u8::MAX,
        };
        let name = TypeName::parse(name).ok_or_else(wrong)?;
        let timed = precision <= 9;
        Ok(match (name, &numbers[..]) {
            (TypeName::Decimal, [p @ 1..=76]) => DxtType::Decimal { precision: *p as u8, scale: 0 },
            (TypeName::Decimal, [p @ 1..=76, s @ -76..=76]) if s <= p => {
                DxtType::Decimal { precision: *p as u8, scale: *s as i8 }
            }
            (TypeName::Time, _) if timed => DxtType::Time { precision },
            (TypeName::Timestamp, _) if timed => DxtType::Timestamp { precision },
            (TypeName::TimestampTz, _) if timed => DxtType::TimestampTz { precision },
            (TypeName::Int8, []) => DxtType::Int8,
            (TypeName::Int16, []) => DxtType::Int16,
            (TypeName::Int32, []) => DxtType::Int32,
            (TypeName::Int64, []) => DxtType::Int64,
            (TypeName::Uint8, []) => DxtType::Uint8,
            (TypeName::Uint16, []) => DxtType::Uint16,
            (TypeName::Uint32, []) => DxtType::Uint32,
            (TypeName::Uint64, []) => DxtType::Uint64,
            (TypeName::Float32, []) => DxtType::Float32,
            (TypeName::Float64, []) => DxtType::Float64,
            (TypeName::String, []) => DxtType::String,
            (TypeName::Bool, []) => DxtType::Bool,
            (TypeName::Date, []) => DxtType::Date,
            (TypeName::Binary, []) => DxtType::Binary,
            (TypeName::Uuid, []) => DxtType::Uuid,
            (TypeName::Json, []) => DxtType::Json,
            _ => return Err(wrong()),
        })
    }

    fn to_native(&self, field: &DxtField) -> Result<String> {
        Ok(field.dtype.to_string())
    }
}

/// The type in which a file of `format` holds values of `dtype`, as it comes back when it is read. Only a wider or
/// plainer type stands in for another.
///
/// # Errors
/// Type mapping: the format cannot hold it.
pub fn stored(dtype: &DxtType, format: Format) -> Result<DxtType> {
    match format {
        Format::Parquet => in_parquet(dtype),
        // Files of text hold whatever has a text; Arrow holds everything.
        _ => Ok(dtype.clone()),
    }
}

fn in_parquet(dtype: &DxtType) -> Result<DxtType> {
    Ok(match dtype {
        // Parquet counts no whole seconds; readers but Arrow's would see bare numbers.
        DxtType::Time { precision: 0 } => DxtType::Time { precision: 3 },
        DxtType::Timestamp { precision: 0 } => DxtType::Timestamp { precision: 3 },
        DxtType::TimestampTz { precision: 0 } => DxtType::TimestampTz { precision: 3 },
        DxtType::Decimal { precision, scale } if *scale < 0 => {
            let precision = i16::from(*precision) - i16::from(*scale);
            match u8::try_from(precision) {
                Ok(precision) if precision <= 76 => DxtType::Decimal { precision, scale: 0 },
                _ => {
                    return Err(Error::new(ErrorKind::TypeMapping, format!("Parquet cannot hold {dtype}"))
                        .with_hint("give the field a precision of at most 76 and a scale from 0"));
                }
            }
        }
        DxtType::Array(item) => DxtType::Array(Box::new(in_parquet(item)?)),
        DxtType::Object(fields) if fields.is_empty() => {
            return Err(Error::new(ErrorKind::TypeMapping, "Parquet cannot hold an object without fields")
                .with_hint("declare the field as json"));
        }
        DxtType::Object(fields) => {
            let fields = fields.iter().map(|f| {
                let dtype = in_parquet(&f.dtype).map_err(|e| e.context(format!("field {}", f.name)))?;
                Ok(DxtField { dtype, ..f.clone() })
            });
            DxtType::Object(fields.collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_comes_back() {
        for text in
            ["int8", "uint64", "decimal(12,2)", "decimal(5,-2)", "timestamp", "timestamp_tz(9)", "time(0)", "uuid"]
        {
            assert_eq!(FileTypes.from_native(text).unwrap().to_string(), text);
        }
        assert_eq!(FileTypes.from_native("array<decimal(4,1)>").unwrap().to_string(), "array<decimal(4,1)>");
        for text in ["varchar(20)", "decimal(99,2)", "decimal", "int64(3)", "timestamp(12)", "decimal(2,5)"] {
            assert_eq!(FileTypes.from_native(text).unwrap_err().kind(), ErrorKind::TypeMapping, "{text}");
        }
    }

    #[test]
    fn parquet_takes_wider_types_for_what_it_lacks() {
        let stored = |dtype| stored(&dtype, Format::Parquet).unwrap().to_string();
        assert_eq!(stored(DxtType::Timestamp { precision: 0 }), "timestamp(3)");
        assert_eq!(stored(DxtType::Decimal { precision: 5, scale: -2 }), "decimal(7,0)");
        assert_eq!(stored(DxtType::Array(Box::new(DxtType::Json))), "array<json>");
        assert!(super::stored(&DxtType::Object(vec![]), Format::Parquet).is_err());
    }
}
