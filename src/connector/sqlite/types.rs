//! SQLite's declared types and dxt's.
//!
//! SQLite keeps the text of a column's declared type and derives an affinity from it; any column may hold any value.
//! dxt takes the declared type at its word and refuses the values that disagree with it.
//!
//! | declared type (any case) | DXT type | what is stored there |
//! | --- | --- | --- |
//! | `TINYINT` | int8 | integer |
//! | `SMALLINT`, `INT2` | int16 | integer |
//! | `INT4`, `MEDIUMINT` | int32 | integer |
//! | `INT`, `INTEGER`, `BIGINT`, `INT8` | int64 | integer |
//! | `TEXT_UNSIGNED(64)` | uint64 | text of 20 digits, padded with zeros: its order is the numbers' order |
//! | `BOOLEAN`, `BOOL` | bool | integer 0 or 1 |
//! | `FLOAT4` | float32 | real |
//! | `REAL`, `DOUBLE`, `DOUBLE PRECISION`, `FLOAT`, `FLOAT8` | float64 | real |
//! | `DECIMAL(p,s)`, `NUMERIC(p,s)` | decimal(p,s) | integer or real: exact to 15 digits |
//! | `TEXT_DECIMAL(p,s)` | decimal(p,s) | text with exactly s digits after the point |
//! | `DECIMAL`, `NUMERIC` | string | integer, real or text; each is read as its shortest exact text |
//! | `DATE` | date | text `YYYY-MM-DD` |
//! | `TIME(f)` | time | text `HH:MM:SS.ffffff` |
//! | `TIMESTAMP(f)`, `DATETIME(f)`, `TIMESTAMP WITHOUT TIME ZONE` | timestamp | text `YYYY-MM-DD HH:MM:SS.ffffff` |
//! | `TIMESTAMPTZ(f)`, `TIMESTAMP WITH TIME ZONE` | timestamp_tz | the same in UTC, with `+00:00` |
//! | `JSON_TEXT`, `JSON` | json | text |
//! | `UUID_TEXT`, `UUID` | uuid | text in its canonical form; other forms and blobs of 16 bytes are read, too |
//! | `BLOB` | binary | blob |
//! | `TEXT`, `CHAR(n)`, `VARCHAR(n)`, `CLOB` … | string | text |
//! | none, as views' and queries' expressions | by the values | one storage class: its type; else string |
//! | any other | by affinity | integer int64, text string, blob binary, real float64, numeric string |
//!
//! `f` is the number of digits of a second's fraction, 6 where it is not given. Written are: int8 `TINYINT`, int16 and
//! uint8 `SMALLINT`, int32 and uint16 `INT4`, int64 and uint32 `BIGINT`, uint64 `TEXT_UNSIGNED(64)`, float32 `FLOAT4`,
//! float64 `DOUBLE`, decimals to 15 digits `DECIMAL(p,s)` and wider ones `TEXT_DECIMAL(p,s)` (SQLite's numbers have no
//! more digits), uuid `UUID_TEXT`, json, array and object `JSON_TEXT`, and the others under their own names. SQLite
//! has no NaN (refused) and no negative zero (stored as 0.0).

use crate::connector::TypeMapper;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

/// The connector's kind, as native types name it.
pub const SYSTEM: &str = "sqlite";

/// Decimal digits that every REAL keeps.
pub const EXACT_DIGITS: u8 = 15;

/// What SQLite makes of values on their way into a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// The affinity of a declared type, by SQLite's rules in their order.
    pub fn of(declared: &str) -> Self {
        let text = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if has(&["BLOB"]) || text.trim().is_empty() {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// A declared type that has this affinity and says nothing else.
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Text => "TEXT",
            Self::Blob => "BLOB",
            Self::Real => "REAL",
            Self::Numeric => "NUMERIC",
        }
    }
}

/// SQLite's types as [`TypeMapper`].
#[derive(Debug, Clone, Copy)]
pub struct SqliteTypes;

/// A declared type taken apart: its words in upper case, one blank between them, and its arguments.
struct Spelling {
    base: String,
    arguments: Vec<i64>,
}

/// Words that end a type in a column's definition and begin a constraint.
const CONSTRAINTS: [&str; 15] = [
    "AS",
    "CHECK",
    "COLLATE",
    "CONSTRAINT",
    "DEFAULT",
    "DEFERRABLE",
    "GENERATED",
    "KEY",
    "NOT",
    "NULL",
    "ON",
    "PRIMARY",
    "REFERENCES",
    "UNIQUE",
    "ALWAYS",
];

impl Spelling {
    /// `None` where the text is not words followed by at most two numbers in parentheses, and so cannot stand in DDL.
    fn parse(text: &str) -> Option<Self> {
        let (words, arguments) = match text.trim().split_once('(') {
            None => (text.trim(), Vec::new()),
            Some((words, rest)) => {
                let inner = rest.strip_suffix(')')?;
                (words, inner.split(',').map(|n| n.trim().parse().ok()).collect::<Option<Vec<i64>>>()?)
            }
        };
        let words: Vec<String> = words.split_ascii_whitespace().map(str::to_ascii_uppercase).collect();
        let word = |w: &String| {
            w.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !CONSTRAINTS.contains(&w.as_str())
        };
        (!words.is_empty() && words.iter().all(word) && arguments.len() <= 2)
            .then(|| Self { base: words.join(" "), arguments })
    }

    /// The digits of a second's fraction, in the steps that Arrow has.
    fn precision(&self) -> Option<u8> {
        match self.arguments.as_slice() {
            [] => Some(6),
            [0] => Some(0),
            [1..=3] => Some(3),
            [4..=6] => Some(6),
            [7..=9] => Some(9),
            _ => None,
        }
    }

    fn decimal(&self) -> Option<DxtType> {
        let (precision, scale) = match self.arguments.as_slice() {
            [p] => (*p, 0),
            [p, s] => (*p, *s),
            _ => return None,
        };
        ((1..=76).contains(&precision) && (0..=precision).contains(&scale))
            .then_some(DxtType::Decimal { precision: precision as u8, scale: scale as i8 })
    }
}

/// Whether a type's text may stand in DDL as it is.
pub fn is_spelling(native: &str) -> bool {
    Spelling::parse(native).is_some()
}

fn unreadable(native: &str) -> Error {
    Error::new(ErrorKind::TypeMapping, format!("SQLite's declared type {native} has parameters that dxt cannot hold"))
        .with_hint("declare the field's `dtype` in the pipeline; `dtype: string` reads any value as text")
}

impl TypeMapper for SqliteTypes {
    fn from_native(&self, native: &str) -> Result<DxtType> {
        if let Some(spelling) = Spelling::parse(native) {
            let precision = || spelling.precision().ok_or_else(|| unreadable(native));
            let known = match spelling.base.as_str() {
                "TINYINT" => Some(DxtType::Int8),
                "SMALLINT" | "INT2" => Some(DxtType::Int16),
                "INT4" | "MEDIUMINT" => Some(DxtType::Int32),
                "INT" | "INTEGER" | "BIGINT" | "INT8" => Some(DxtType::Int64),
                "TEXT_UNSIGNED" => Some(DxtType::Uint64),
                "BOOLEAN" | "BOOL" => Some(DxtType::Bool),
                "FLOAT4" => Some(DxtType::Float32),
                "REAL" | "DOUBLE" | "DOUBLE PRECISION" | "FLOAT" | "FLOAT8" => Some(DxtType::Float64),
                "DECIMAL" | "NUMERIC" if spelling.arguments.is_empty() => Some(DxtType::String),
                "DECIMAL" | "NUMERIC" | "TEXT_DECIMAL" => Some(spelling.decimal().ok_or_else(|| unreadable(native))?),
                "DATE" => Some(DxtType::Date),
                "TIME" => Some(DxtType::Time { precision: precision()? }),
                "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => {
                    Some(DxtType::Timestamp { precision: precision()? })
                }
                "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Some(DxtType::TimestampTz { precision: precision()? }),
                "JSON" | "JSON_TEXT" => Some(DxtType::Json),
                "UUID" | "UUID_TEXT" => Some(DxtType::Uuid),
                _ => None,
            };
            if let Some(dtype) = known {
                return Ok(dtype);
            }
        }
        Ok(match Affinity::of(native) {
            Affinity::Integer => DxtType::Int64,
            Affinity::Text | Affinity::Numeric => DxtType::String,
            Affinity::Blob => DxtType::Binary,
            Affinity::Real => DxtType::Float64,
        })
    }

    fn to_native(&self, field: &DxtField) -> Result<String> {
        if let Some(native) = field.native_in(SYSTEM)
            && is_spelling(native)
            && self.from_native(native).is_ok_and(|dtype| dtype == field.dtype)
            && keeps_digits(native, &field.dtype)
        {
            return Ok(native.to_string());
        }
        let timed = |name: &str, precision: u8| match precision {
            4..=6 => name.to_string(),
            other => format!("{name}({other})"),
        };
        Ok(match &field.dtype {
            DxtType::Int8 => "TINYINT".into(),
            DxtType::Int16 | DxtType::Uint8 => "SMALLINT".into(),
            DxtType::Int32 | DxtType::Uint16 => "INT4".into(),
            DxtType::Int64 | DxtType::Uint32 => "BIGINT".into(),
            DxtType::Uint64 => "TEXT_UNSIGNED(64)".into(),
            DxtType::Float32 => "FLOAT4".into(),
            DxtType::Float64 => "DOUBLE".into(),
            DxtType::Decimal { precision, scale } => decimal_native(&field.name, *precision, *scale)?,
            DxtType::String => "TEXT".into(),
            DxtType::Bool => "BOOLEAN".into(),
            DxtType::Date => "DATE".into(),
            DxtType::Time { precision } => timed("TIME", *precision),
            DxtType::Timestamp { precision } => timed("TIMESTAMP", *precision),
            DxtType::TimestampTz { precision } => timed("TIMESTAMPTZ", *precision),
            DxtType::Binary => "BLOB".into(),
            DxtType::Uuid => "UUID_TEXT".into(),
            DxtType::Json | DxtType::Array(_) | DxtType::Object(_) => "JSON_TEXT".into(),
        })
    }
}

/// A DECIMAL of more than 15 digits is not reused for a new table: its NUMERIC affinity would round values.
fn keeps_digits(native: &str, dtype: &DxtType) -> bool {
    match dtype {
        DxtType::Decimal { precision, .. } => *precision <= EXACT_DIGITS || Affinity::of(native) == Affinity::Text,
        _ => true,
    }
}

fn decimal_native(name: &str, precision: u8, scale: i8) -> Result<String> {
    // A negative scale counts zeros before the point: as many more digits, and none after it.
    let (precision, scale) = if scale < 0 {
        (precision.saturating_add(scale.unsigned_abs()), 0)
    } else {
        (precision.max(scale.unsigned_abs()), scale)
    };
    if precision > 76 {
        let message = format!("field {name}: SQLite columns of dxt hold decimals of at most 76 digits");
        return Err(Error::new(ErrorKind::TypeMapping, message).with_hint("cast the field to string"));
    }
    let base = if precision <= EXACT_DIGITS { "DECIMAL" } else { "TEXT_DECIMAL" };
    Ok(format!("{base}({precision},{scale})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(native: &str) -> DxtType {
        SqliteTypes.from_native(native).unwrap()
    }

    fn written(dtype: DxtType) -> String {
        SqliteTypes.to_native(&DxtField::new("x", dtype)).unwrap()
    }

    #[test]
    fn declared_types_are_read_in_any_case_and_spacing() {
        assert_eq!(read("double  Precision"), DxtType::Float64);
        assert_eq!(read("decimal( 10 , 2 )"), DxtType::Decimal { precision: 10, scale: 2 });
        assert_eq!(read("NUMERIC(5)"), DxtType::Decimal { precision: 5, scale: 0 });
        assert_eq!(read("numeric"), DxtType::String);
        assert_eq!(read("timestamp with time zone"), DxtType::TimestampTz { precision: 6 });
        assert_eq!(read("DATETIME(2)"), DxtType::Timestamp { precision: 3 });
        assert_eq!(read("varchar(20)"), DxtType::String);
        assert_eq!(read("Bool"), DxtType::Bool);
    }

    #[test]
    fn unknown_types_follow_their_affinity() {
        assert_eq!(read("UNSIGNED BIG INT"), DxtType::Int64);
        assert_eq!(read("CHARINT"), DxtType::Int64);
        assert_eq!(read("NATIVE CHARACTER(70)"), DxtType::String);
        assert_eq!(read("MY_BLOB"), DxtType::Binary);
        assert_eq!(read("DOUBLE-ish!"), DxtType::Float64);
        assert_eq!(read("STRING"), DxtType::String);
        assert_eq!(Affinity::of("STRING"), Affinity::Numeric);
    }

    #[test]
    fn parameters_beyond_dxt_are_refused() {
        for native in ["DECIMAL(77,2)", "DECIMAL(2,3)", "DECIMAL(5,-1)", "TIMESTAMP(12)"] {
            assert_eq!(SqliteTypes.from_native(native).unwrap_err().kind(), ErrorKind::TypeMapping, "{native}");
        }
    }

    #[test]
    fn every_written_type_reads_as_a_type_that_holds_it() {
        let same = [
            DxtType::Int8,
            DxtType::Int16,
            DxtType::Int32,
            DxtType::Int64,
            DxtType::Uint64,
            DxtType::Float32,
            DxtType::Float64,
            DxtType::String,
            DxtType::Bool,
            DxtType::Date,
            DxtType::Binary,
            DxtType::Uuid,
            DxtType::Json,
            DxtType::Decimal { precision: 15, scale: 3 },
            DxtType::Decimal { precision: 16, scale: 3 },
            DxtType::Time { precision: 9 },
            DxtType::Timestamp { precision: 0 },
            DxtType::Timestamp { precision: 6 },
            DxtType::TimestampTz { precision: 9 },
        ];
        for dtype in same {
            assert_eq!(read(&written(dtype.clone())), dtype);
        }
        assert_eq!(read(&written(DxtType::Uint32)), DxtType::Int64);
        assert_eq!(written(DxtType::Decimal { precision: 7, scale: -2 }), "DECIMAL(9,0)");
        assert_eq!(written(DxtType::Decimal { precision: 38, scale: 10 }), "TEXT_DECIMAL(38,10)");
        assert_eq!(written(DxtType::Array(Box::new(DxtType::Int8))), "JSON_TEXT");
    }

    #[test]
    fn a_native_type_is_kept_only_while_it_still_fits() {
        let kept = DxtField::new("x", DxtType::Int64).native(SYSTEM, "Integer");
        assert_eq!(SqliteTypes.to_native(&kept).unwrap(), "Integer");
        let cast = DxtField::new("x", DxtType::Int16).native(SYSTEM, "Integer");
        assert_eq!(SqliteTypes.to_native(&cast).unwrap(), "SMALLINT");
        let wide = DxtField::new("x", DxtType::Decimal { precision: 20, scale: 2 }).native(SYSTEM, "DECIMAL(20,2)");
        assert_eq!(SqliteTypes.to_native(&wide).unwrap(), "TEXT_DECIMAL(20,2)");
        let odd = DxtField::new("x", DxtType::String).native(SYSTEM, "TEXT NOT NULL DEFAULT 'x'");
        assert_eq!(SqliteTypes.to_native(&odd).unwrap(), "TEXT");
    }
}
