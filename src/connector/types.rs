//! The type mapper of systems that have no types of their own: DXT's, by their names.

use super::TypeMapper;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

/// DXT types under their own names, such as `int64` and `decimal(12,2)`.
#[derive(Debug)]
pub struct DxtTypes;

impl TypeMapper for DxtTypes {
    fn from_native(&self, native: &str) -> Result<DxtType> {
        let plain = [
            DxtType::Int8,
            DxtType::Int16,
            DxtType::Int32,
            DxtType::Int64,
            DxtType::Uint8,
            DxtType::Uint16,
            DxtType::Uint32,
            DxtType::Uint64,
            DxtType::Float32,
            DxtType::Float64,
            DxtType::String,
            DxtType::Bool,
            DxtType::Date,
            DxtType::Time { precision: 6 },
            DxtType::Timestamp { precision: 6 },
            DxtType::TimestampTz { precision: 6 },
            DxtType::Binary,
            DxtType::Uuid,
            DxtType::Json,
        ];
        let decimal = || {
            let (precision, scale) = native.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            Some(DxtType::Decimal { precision: precision.trim().parse().ok()?, scale: scale.trim().parse().ok()? })
        };
        plain.into_iter().find(|t| t.to_string() == native).or_else(decimal).ok_or_else(|| {
            Error::new(ErrorKind::TypeMapping, format!("dxt has no type {native}"))
                .with_hint("write a type's name, such as int64, string or decimal(12,2)")
        })
    }

    fn to_native(&self, field: &DxtField) -> Result<String> {
        Ok(field.dtype.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_types_name_is_read_back_as_the_type() {
        for dtype in [
            DxtType::Int8,
            DxtType::Uuid,
            DxtType::Json,
            DxtType::Decimal { precision: 12, scale: 2 },
            DxtType::Time { precision: 6 },
        ] {
            assert_eq!(DxtTypes.from_native(&dtype.to_string()).unwrap(), dtype);
        }
        assert!(DxtTypes.from_native("varchar").is_err());
    }
}
