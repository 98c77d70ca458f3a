//! MySQL's and MariaDB's types as DXT types and back.

use super::client::Server;
use crate::connector::TypeMapper;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

/// The connector's kind, and the system of its native types.
pub(super) const SYSTEM: &str = "mysql";

/// Digits of a decimal, and of its fraction in both products.
const DECIMAL_DIGITS: u8 = 65;
const DECIMAL_SCALE: i8 = 30;

/// A native type as far as dxt tells types apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MyType {
    /// `tinyint(1)`.
    Bool,
    /// Bits (24 for mediumint), and whether it has no sign.
    Int(u8, bool),
    /// Precision, scale, and whether it has no sign.
    Decimal(u8, u8, bool),
    /// Whether it has limits of its own: `float(7,2)`.
    Float(bool),
    Double(bool),
    Bit(u8),
    Year,
    Date,
    /// Digits of a second's fraction.
    Time(u8),
    Datetime(u8),
    Timestamp(u8),
    Char,
    /// varchar and the texts.
    Text,
    /// Its members, in order.
    Enum(Vec<String>),
    Set(Vec<String>),
    Json,
    /// Bytes, padded with zeros.
    Binary(u32),
    Varbinary,
    Blob,
    Geometry,
    /// MariaDB's.
    Uuid,
    /// MariaDB's addresses.
    Inet,
}

impl MyType {
    /// Reads a spelling: a column's `COLUMN_TYPE`, or one that people write. `None` where it is none.
    pub(super) fn parse(native: &str) -> Option<Self> {
        let native = native.trim();
        let end = native.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(native.len());
        let word = native[..end].to_lowercase();
        let rest = native[end..].trim_start();
        let (inside, rest) = match rest.strip_prefix('(') {
            Some(inner) => {
                let close = closing(inner)?;
                (Some(&inner[..close]), inner[close + 1..].to_lowercase())
            }
            None => (None, rest.to_lowercase()),
        };
        let numbers = || -> Option<Vec<u32>> {
            inside.map_or(Some(Vec::new()), |text| text.split(',').map(|n| n.trim().parse().ok()).collect())
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let unsigned = words.contains(&"unsigned") || words.contains(&"zerofill");
        let small = |default: u32, most: u32| -> Option<u8> {
            let given = numbers()?.first().copied().unwrap_or(default);
            u8::try_from(given).ok().filter(|n| u32::from(*n) <= most)
        };
        Some(match word.as_str() {
            "bool" | "boolean" => Self::Bool,
            "tinyint" if numbers()? == [1] && !unsigned => Self::Bool,
            "tinyint" | "int1" => Self::Int(8, unsigned),
            "smallint" | "int2" => Self::Int(16, unsigned),
            "mediumint" | "int3" | "middleint" => Self::Int(24, unsigned),
            "int" | "integer" | "int4" => Self::Int(32, unsigned),
            "bigint" | "int8" => Self::Int(64, unsigned),
            "serial" => Self::Int(64, true),
            "decimal" | "dec" | "numeric" | "fixed" => {
                let numbers = numbers()?;
                let (precision, scale) = (numbers.first().map_or(10, |p| *p), numbers.get(1).map_or(0, |s| *s));
                let precision = u8::try_from(precision).ok().filter(|p| (1..=DECIMAL_DIGITS).contains(p))?;
                Self::Decimal(precision, u8::try_from(scale).ok().filter(|s| *s <= precision)?, unsigned)
            }
            // `float(30)` chooses the width, `float(7,2)` rounds.
            "float" => match numbers()?.as_slice() {
                [] => Self::Float(false),
                [bits] => {
                    if *bits <= 24 {
                        Self::Float(false)
                    } else {
                        Self::Double(false)
                    }
                }
                _ => Self::Float(true),
            },
            "double" | "real" => Self::Double(inside.is_some()),
            "bit" => Self::Bit(small(1, 64)?),
            "year" => Self::Year,
            "date" => Self::Date,
            "time" => Self::Time(small(0, 6)?),
            "datetime" => Self::Datetime(small(0, 6)?),
            "timestamp" => Self::Timestamp(small(0, 6)?),
            "char" | "nchar" | "character" if words.first() != Some(&"varying") => Self::Char,
            "character" | "varchar" | "nvarchar" | "varchar2" => Self::Text,
            "tinytext" | "text" | "mediumtext" | "longtext" | "long" | "clob" => Self::Text,
            "enum" => Self::Enum(members(inside?)?),
            "set" => Self::Set(members(inside?)?),
            "json" => Self::Json,
            "binary" => Self::Binary(numbers()?.first().copied().unwrap_or(1)),
            "varbinary" => Self::Varbinary,
            "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Blob,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Self::Geometry,
            "uuid" => Self::Uuid,
            "inet6" | "inet4" => Self::Inet,
            _ => return None,
        })
    }

    /// The DXT type that holds every value of it.
    pub(super) fn dtype(&self) -> DxtType {
        match self {
            Self::Bool => DxtType::Bool,
            Self::Int(8, false) => DxtType::Int8,
            Self::Int(8, true) => DxtType::Uint8,
            Self::Int(16, false) => DxtType::Int16,
            Self::Int(16, true) | Self::Year => DxtType::Uint16,
            Self::Int(24 | 32, false) => DxtType::Int32,
            Self::Int(24 | 32, true) => DxtType::Uint32,
            Self::Int(_, false) => DxtType::Int64,
            Self::Int(_, true) | Self::Bit(_) => DxtType::Uint64,
            Self::Decimal(precision, scale, _) => {
                DxtType::Decimal { precision: *precision, scale: i8::try_from(*scale).unwrap_or(i8::MAX) }
            }
            Self::Float(_) => DxtType::Float32,
            Self::Double(_) => DxtType::Float64,
            Self::Date => DxtType::Date,
            Self::Time(digits) => DxtType::Time { precision: units(*digits) },
            Self::Datetime(digits) => DxtType::Timestamp { precision: units(*digits) },
            Self::Timestamp(digits) => DxtType::TimestampTz { precision: units(*digits) },
            Self::Char | Self::Text | Self::Enum(_) | Self::Set(_) | Self::Inet => DxtType::String,
            Self::Json => DxtType::Json,
            Self::Binary(_) | Self::Varbinary | Self::Blob | Self::Geometry => DxtType::Binary,
            Self::Uuid => DxtType::Uuid,
        }
    }

    /// The native type of a field that the field still fits, if any.
    pub(super) fn of(field: &DxtField) -> Option<Self> {
        Self::parse(field.native_in(SYSTEM)?).filter(|native| native.dtype() == field.dtype)
    }

    /// Whether it holds text as such.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Char | Self::Text)
    }
}

/// Where the parenthesis ends that has begun, past texts in quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            ')' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The members of an enum or set, as `COLUMN_TYPE` spells them: quotes are doubled, a backslash is itself.
fn members(list: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut rest = list.trim();
    loop {
        rest = rest.strip_prefix('\'')?;
        let mut member = String::new();
        loop {
            let at = rest.find('\'')?;
            member += &rest[..at];
            rest = &rest[at + 1..];
            match rest.strip_prefix('\'') {
                Some(more) => {
                    member.push('\'');
                    rest = more;
                }
                None => break,
            }
        }
        all.push(member);
        rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return rest.is_empty().then_some(all),
        }
    }
}

/// The fewest fractional digits that DXT counts in and that hold `digits`.
fn units(digits: u8) -> u8 {
    match digits {
        0 => 0,
        1..=3 => 3,
        _ => 6,
    }
}

/// Whether a field brings the text of a column's own type, as a field that its source read with `dtype: string` does. The
/// column takes all that it gave: zero dates, times beyond a day.
pub(super) fn is_text_of(field: &DxtField, native: &str) -> bool {
    let Some(column) = MyType::parse(native).filter(|column| column.dtype() != DxtType::String) else { return false };
    // Bytes have no text, and what a number's text loses is nothing that a number could not bring.
    let carried = matches!(column, MyType::Date | MyType::Time(_) | MyType::Datetime(_) | MyType::Timestamp(_));
    if field.dtype != DxtType::String || !carried {
        return false;
    }
    match (field.native_in(SYSTEM).and_then(MyType::parse), column) {
        (Some(MyType::Time(own)), MyType::Time(column))
        | (Some(MyType::Datetime(own)), MyType::Datetime(column))
        | (Some(MyType::Timestamp(own)), MyType::Timestamp(column)) => own <= column,
        (own, column) => own == Some(column),
    }
}

/// The type mapper of MySQL and MariaDB.
///
/// What a column is when it is read, whole or as an error that names column and value:
///
/// | MySQL, MariaDB | DXT | notes |
/// | --- | --- | --- |
/// | `tinyint(1)`, `bool` | bool | 0 and 1; another value is an error, and read by `dtype: int8` |
/// | `tinyint` … `bigint`, signed and `unsigned` | int8, int16, int32 (`mediumint`, too), int64; uint8 … uint64 | |
/// | `decimal(p,s)`, to 65 digits | decimal(p,s) | |
/// | `float`, `double` | float32, float64 | |
/// | `bit(n)` | uint64 | |
/// | `year` | uint16 | |
/// | `date`, `datetime(n)` | date, timestamp of 0, 3 or 6 digits | zero dates are an error; `options: {zero_dates: null}` of the source reads them as NULL, `dtype: string` as text |
/// | `timestamp(n)` | timestamp_tz | sessions run in UTC |
/// | `time(n)` | time | before 0 or from 24 h on an error; `dtype: string` reads `-838:59:59` |
/// | `char(n)`, `varchar(n)`, `text` … | string | `char` comes without blanks at its end, as the server gives it |
/// | `enum`, `set` | string, with its members as the native type | |
/// | `json`, and MariaDB's `longtext` that is checked by `json_valid` | json | |
/// | `binary`, `varbinary`, `blob` … | binary | |
/// | `geometry` and its kinds | binary | as it is stored: SRID in four bytes, then WKB |
/// | MariaDB's `uuid`; `inet6`, `inet4` | uuid; string | |
///
/// In MySQL these keep their native type: a table that dxt creates has it. A column's character set and collation stay
/// behind, as the other product may not have them: texts of tables that dxt creates are utf8mb4, compared by their bytes,
/// blanks at the end included.
///
/// | DXT, in a table that dxt creates | MySQL |
/// | --- | --- |
/// | int8 … int64, uint8 … uint64 | `tinyint` … `bigint`, `tinyint unsigned` … `bigint unsigned` |
/// | float32, float64, bool | `float`, `double`, `tinyint(1)` |
/// | decimal(p,s), to 65 digits and 30 of them behind the point | `decimal(p,s)` |
/// | string | `longtext`; as a key `varchar`, as long as an index can have it |
/// | date, time | `date`, `time(n)`; microseconds at most |
/// | timestamp, timestamp_tz | `datetime(n)`; an instant is written in UTC. (`timestamp` ends with the year 2038: `target: {type: timestamp(6)}` asks for it) |
/// | binary | `longblob` |
/// | uuid | `uuid` from MariaDB 10.7 on, else `char(36)` |
/// | json, array, object | `json` in MariaDB, which keeps the text; `longtext` in MySQL, whose `json` drops double keys and digits |
#[derive(Debug)]
pub struct MysqlTypes;

impl TypeMapper for MysqlTypes {
    fn is_text(&self, native: &str) -> bool {
        MyType::parse(native).is_none_or(|native| native.is_text())
    }

    fn from_native(&self, native: &str) -> Result<DxtType> {
        from_native(native).map(|native| native.dtype())
    }

    fn to_native(&self, field: &DxtField) -> Result<String> {
        to_native(field, &Server { mariadb: false, version: (8, 0, 0) })
    }
}

/// A spelling as a type.
///
/// # Errors
/// Type mapping: it is none.
pub(super) fn from_native(native: &str) -> Result<MyType> {
    MyType::parse(native).ok_or_else(|| {
        Error::new(ErrorKind::TypeMapping, format!("dxt knows no type {native} of MySQL"))
            .with_hint("write it as SHOW COLUMNS does: `varchar(20)`, `decimal(12,2)`, `bigint unsigned`")
    })
}

/// The type in which a server holds a field: the field's own where it has one.
///
/// # Errors
/// Type mapping: the server has none.
pub(super) fn to_native(field: &DxtField, server: &Server) -> Result<String> {
    let own = field.native_in(SYSTEM).filter(|native| match MyType::parse(native) {
        Some(MyType::Uuid) => server.has_uuid() && field.dtype == DxtType::Uuid,
        Some(MyType::Inet) => server.mariadb && server.version >= (10, 10, 0) && field.dtype == DxtType::String,
        Some(native_type) => native_type.dtype() == field.dtype || is_text_of(field, native),
        None => false,
    });
    if let Some(own) = own {
        return Ok(own.to_string());
    }
    let sized = |name: &str, precision: u8| match precision.min(6) {
        0 => name.to_string(),
        digits => format!("{name}({digits})"),
    };
    Ok(match &field.dtype {
        DxtType::Int8 => "tinyint".into(),
        DxtType::Int16 => "smallint".into(),
        DxtType::Int32 => "int".into(),
        DxtType::Int64 => "bigint".into(),
        DxtType::Uint8 => "tinyint unsigned".into(),
        DxtType::Uint16 => "smallint unsigned".into(),
        DxtType::Uint32 => "int unsigned".into(),
        DxtType::Uint64 => "bigint unsigned".into(),
        DxtType::Float32 => "float".into(),
        DxtType::Float64 => "double".into(),
        DxtType::Decimal { precision, scale } => {
            // A negative scale leaves out zeros that are written here.
            let digits = i16::from(*precision) - i16::from(*scale).min(0);
            let scale = (*scale).max(0);
            if digits > i16::from(DECIMAL_DIGITS) || scale > DECIMAL_SCALE {
                let what = format!(
                    "field {}: MySQL's decimals have {DECIMAL_DIGITS} digits, {DECIMAL_SCALE} of them behind the point, and \
                     the field is {}",
                    field.name, field.dtype
                );
                return Err(Error::new(ErrorKind::TypeMapping, what)
                    .with_hint("give the field another precision and scale, or `dtype: string`"));
            }
            format!("decimal({digits},{scale})")
        }
        DxtType::String => "longtext".into(),
        DxtType::Bool => "tinyint(1)".into(),
        DxtType::Date => "date".into(),
        DxtType::Time { precision } => sized("time", *precision),
        DxtType::Timestamp { precision } | DxtType::TimestampTz { precision } => sized("datetime", *precision),
        DxtType::Binary => "longblob".into(),
        DxtType::Uuid if server.has_uuid() => "uuid".into(),
        DxtType::Uuid => "char(36)".into(),
        DxtType::Json | DxtType::Array(_) | DxtType::Object(_) if server.mariadb => "json".into(),
        DxtType::Json | DxtType::Array(_) | DxtType::Object(_) => "longtext".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARIADB: Server = Server { mariadb: true, version: (10, 11, 6) };
    const MYSQL: Server = Server { mariadb: false, version: (8, 0, 36) };

    #[test]
    fn spellings_of_both_products_are_read() {
        for (native, expected) in [
            ("tinyint(1)", "bool"),
            ("tinyint(4)", "int8"),
            ("tinyint(1) unsigned", "uint8"),
            ("tinyint", "int8"),
            ("mediumint(8) unsigned", "uint32"),
            ("int(11)", "int32"),
            ("int unsigned", "uint32"),
            ("int(10) unsigned zerofill", "uint32"),
            ("bigint(20) unsigned", "uint64"),
            ("decimal(65,30)", "decimal(65,30)"),
            ("decimal(10,0) unsigned", "decimal(10,0)"),
            ("NUMERIC", "decimal(10,0)"),
            ("float", "float32"),
            ("float(53)", "float64"),
            ("double(7,2)", "float64"),
            ("double precision", "float64"),
            ("bit(10)", "uint64"),
            ("year(4)", "uint16"),
            ("datetime(2)", "timestamp(3)"),
            ("datetime", "timestamp(0)"),
            ("timestamp(6)", "timestamp_tz"),
            ("time(6)", "time"),
            ("character varying(20)", "string"),
            ("varchar(20) CHARACTER SET latin1", "string"),
            ("enum('a','b''c','x,y)')", "string"),
            ("varbinary(4)", "binary"),
            ("geometrycollection", "binary"),
            ("uuid", "uuid"),
            ("inet6", "string"),
            ("json", "json"),
        ] {
            assert_eq!(MysqlTypes.from_native(native).unwrap().to_string(), expected, "{native}");
        }
        for native in ["", "vector(3)", "varchar2x", "enum(a)", "decimal(66,0)", "time(9)", "int("] {
            assert_eq!(MysqlTypes.from_native(native).unwrap_err().kind(), ErrorKind::TypeMapping, "{native}");
        }
    }

    #[test]
    fn members_keep_quotes_commas_and_case() {
        let of = |native| MyType::parse(native).unwrap();
        let texts = |all: &[&str]| all.iter().map(|t| t.to_string()).collect::<Vec<_>>();
        assert_eq!(of("enum('A','b''c','x,y)')"), MyType::Enum(texts(&["A", "b'c", "x,y)"])));
        assert_eq!(of("set('','ä')"), MyType::Set(texts(&["", "ä"])));
    }

    #[test]
    fn every_type_is_stored_as_one_that_is_read_as_it_or_holds_it() {
        let types = [DxtType::Int8, DxtType::Uint64, DxtType::Float32, DxtType::Bool, DxtType::Date, DxtType::Binary];
        let more = [DxtType::Decimal { precision: 65, scale: 30 }, DxtType::Time { precision: 3 }, DxtType::String];
        for dtype in types.into_iter().chain(more) {
            let native = to_native(&DxtField::new("x", dtype.clone()), &MYSQL).unwrap();
            assert_eq!(MysqlTypes.from_native(&native).unwrap(), dtype, "{native}");
        }
        let native = |dtype, server| to_native(&DxtField::new("x", dtype), server).unwrap();
        assert_eq!(native(DxtType::TimestampTz { precision: 6 }, &MYSQL), "datetime(6)");
        assert_eq!(native(DxtType::Timestamp { precision: 9 }, &MYSQL), "datetime(6)");
        assert_eq!(
            (native(DxtType::Uuid, &MARIADB), native(DxtType::Uuid, &MYSQL)),
            ("uuid".into(), "char(36)".into())
        );
        assert_eq!(
            (native(DxtType::Json, &MARIADB), native(DxtType::Json, &MYSQL)),
            ("json".into(), "longtext".into())
        );
        assert_eq!(native(DxtType::Decimal { precision: 5, scale: -2 }, &MYSQL), "decimal(7,0)");
        for (precision, scale) in [(66, 0), (60, 31)] {
            let field = DxtField::new("x", DxtType::Decimal { precision, scale });
            assert_eq!(to_native(&field, &MYSQL).unwrap_err().kind(), ErrorKind::TypeMapping);
        }
    }

    #[test]
    fn a_native_type_is_kept_as_long_as_the_field_still_is_of_it() {
        let field = |native: &str, dtype| DxtField::new("x", dtype).native(SYSTEM, native);
        assert_eq!(to_native(&field("varchar(20)", DxtType::String), &MYSQL).unwrap(), "varchar(20)");
        assert_eq!(to_native(&field("varchar(20)", DxtType::Int64), &MYSQL).unwrap(), "bigint");
        assert_eq!(to_native(&field("date", DxtType::String), &MYSQL).unwrap(), "date");
        assert_eq!(to_native(&field("int", DxtType::String), &MYSQL).unwrap(), "longtext");
        assert_eq!(to_native(&field("uuid", DxtType::Uuid), &MYSQL).unwrap(), "char(36)");
        assert_eq!(
            to_native(&field("timestamp(6)", DxtType::TimestampTz { precision: 6 }), &MYSQL).unwrap(),
            "timestamp(6)"
        );
        assert!(is_text_of(&field("time", DxtType::String), "time(3)"));
        assert!(!is_text_of(&field("time(3)", DxtType::String), "time"));
        assert!(!is_text_of(&field("date", DxtType::String), "varchar(9)"));
    }
}
