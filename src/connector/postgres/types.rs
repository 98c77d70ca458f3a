//! PostgreSQL's types as DXT types and back.

use crate::connector::TypeMapper;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtType};

/// The connector's kind, and the system of its native types.
pub(super) const SYSTEM: &str = "postgres";

/// A native type as far as dxt tells types apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PgType {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// Precision and scale, where declared.
    Numeric(Option<(u16, i16)>),
    Text,
    /// Characters at most, where declared.
    Varchar(Option<u32>),
    /// Characters, padded with blanks.
    Char(Option<u32>),
    Name,
    Json,
    Jsonb,
    Bytea,
    Date,
    /// Fractional digits of a second.
    Time(u8),
    Timestamp(u8),
    TimestampTz(u8),
    Uuid,
    /// Of elements that have a decoder. How many dimensions there are is no part of the type.
    Array(Box<PgType>),
    /// All that is carried as text.
    Other,
}

impl PgType {
    /// Reads a spelling: that of `format_type`, or one that people write (`varchar(20)`, `timestamptz`).
    pub(super) fn parse(native: &str) -> Self {
        // So spelled where the search path has another type of the name before it.
        let native = native.strip_prefix("pg_catalog.").unwrap_or(native);
        if let Some(element) = element(native) {
            let element = Self::parse(element);
            return if element.element_oid().is_some() { Self::Array(Box::new(element)) } else { Self::Other };
        }
        let Some((base, args)) = split(native) else {
            return Self::Other;
        };
        let first = args.first().copied();
        let digits = u8::try_from(first.unwrap_or(6).clamp(0, 6)).unwrap_or(6);
        let length = first.and_then(|n| u32::try_from(n).ok());
        match base.as_str() {
            "boolean" | "bool" => Self::Bool,
            "smallint" | "int2" | "smallserial" | "serial2" => Self::Int2,
            "integer" | "int" | "int4" | "serial" | "serial4" => Self::Int4,
            "bigint" | "int8" | "bigserial" | "serial8" => Self::Int8,
            "oid" => Self::Oid,
            "real" | "float4" => Self::Float4,
            "float" if first.is_some_and(|bits| bits <= 24) => Self::Float4,
            "double precision" | "float8" | "float" => Self::Float8,
            "numeric" | "decimal" | "dec" => Self::Numeric(match args.as_slice() {
                [] => None,
                [p, rest @ ..] => {
                    let scale = rest.first().copied().unwrap_or(0);
                    u16::try_from(*p).ok().zip(i16::try_from(scale).ok())
                }
            }),
            "text" => Self::Text,
            "character varying" | "varchar" => Self::Varchar(length),
            "character" | "char" => Self::Char(Some(length.unwrap_or(1))),
            "bpchar" => Self::Char(length),
            "name" => Self::Name,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "bytea" => Self::Bytea,
            "date" => Self::Date,
            "time" | "time without time zone" => Self::Time(digits),
            "timestamp" | "timestamp without time zone" => Self::Timestamp(digits),
            "timestamptz" | "timestamp with time zone" => Self::TimestampTz(digits),
            "uuid" => Self::Uuid,
            _ => Self::Other,
        }
    }

    /// The DXT type that holds every value of it.
    pub(super) fn dtype(&self) -> DxtType {
        match self {
            Self::Bool => DxtType::Bool,
            Self::Int2 => DxtType::Int16,
            Self::Int4 => DxtType::Int32,
            Self::Int8 => DxtType::Int64,
            Self::Oid => DxtType::Uint32,
            Self::Float4 => DxtType::Float32,
            Self::Float8 => DxtType::Float64,
            Self::Numeric(Some((precision, scale))) => decimal(*precision, *scale).unwrap_or(DxtType::String),
            Self::Json | Self::Jsonb => DxtType::Json,
            Self::Bytea => DxtType::Binary,
            Self::Uuid => DxtType::Uuid,
            Self::Date => DxtType::Date,
            Self::Time(digits) => DxtType::Time { precision: units(*digits) },
            Self::Timestamp(digits) => DxtType::Timestamp { precision: units(*digits) },
            Self::TimestampTz(digits) => DxtType::TimestampTz { precision: units(*digits) },
            Self::Array(element) => DxtType::Array(Box::new(element.dtype())),
            Self::Numeric(None) | Self::Text | Self::Varchar(_) | Self::Char(_) | Self::Name | Self::Other => {
                DxtType::String
            }
        }
    }

    /// The native type of a field that the field still fits, if any.
    pub(super) fn of(field: &DxtField) -> Option<Self> {
        let native = Self::parse(field.native_in(SYSTEM)?);
        (native.dtype() == field.dtype).then_some(native)
    }

    /// Whether binary COPY of it can be decoded; else it is read as text.
    pub(super) fn is_binary(&self) -> bool {
        match self {
            Self::Numeric(Some((precision, scale))) => decimal(*precision, *scale).is_some(),
            Self::Numeric(None) | Self::Other => false,
            _ => true,
        }
    }

    /// The oid by which an array of it names its elements in binary, where they have a decoder. These are the same in
    /// every database.
    pub(super) fn element_oid(&self) -> Option<u32> {
        self.is_binary().then_some(())?;
        Some(match self {
            Self::Bool => 16,
            Self::Bytea => 17,
            Self::Name => 19,
            Self::Int8 => 20,
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Text => 25,
            Self::Oid => 26,
            Self::Json => 114,
            Self::Float4 => 700,
            Self::Float8 => 701,
            Self::Char(_) => 1042,
            Self::Varchar(_) => 1043,
            Self::Date => 1082,
            Self::Time(_) => 1083,
            Self::Timestamp(_) => 1114,
            Self::TimestampTz(_) => 1184,
            Self::Numeric(_) => 1700,
            Self::Uuid => 2950,
            Self::Jsonb => 3802,
            Self::Array(_) | Self::Other => return None,
        })
    }

    /// Whether it holds text as such, so that the order of its bytes can be had by `COLLATE "C"`.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Varchar(_) | Self::Char(_) | Self::Name)
    }
}

/// The element's spelling in that of an array: `integer` in `integer[]`, `integer[3]` and `integer[][]`.
fn element(native: &str) -> Option<&str> {
    let (element, size) = native.trim_end().strip_suffix(']')?.rsplit_once('[')?;
    let is_size = size.chars().all(|c| c.is_ascii_digit() || c == ' ');
    is_size.then(|| self::element(element).unwrap_or(element.trim_end()))
}

/// Splits `timestamp(3) with time zone` into its name in lower case and its numbers; `None` where it is anything else.
fn split(native: &str) -> Option<(String, Vec<i64>)> {
    if native.contains(['"', '[', '.']) {
        return None;
    }
    let (head, tail) = native.split_once('(').unwrap_or((native, ""));
    let (numbers, tail) = if tail.is_empty() { ("", "") } else { tail.split_once(')')? };
    let args = numbers.split(',').map(str::trim).filter(|n| !n.is_empty()).map(|n| n.parse::<i64>().ok());
    let words: Vec<String> = head.split_whitespace().chain(tail.split_whitespace()).map(str::to_lowercase).collect();
    Some((words.join(" "), args.collect::<Option<_>>()?))
}

/// Whether a field brings the text of a column's own type, as a field that its source read with `dtype: string` does. The
/// column takes all that it gave, as it neither rounds nor cuts it: infinities, 24:00, bounds of arrays.
pub(super) fn is_text_of(field: &DxtField, native: &str) -> bool {
    let column = PgType::parse(native);
    if field.dtype != DxtType::String || column.dtype() == DxtType::String {
        return false;
    }
    let Some(own) = field.native_in(SYSTEM).map(PgType::parse) else { return false };
    match (own, column) {
        (PgType::Numeric(Some((_, own))), PgType::Numeric(Some((_, column)))) => own <= column,
        (PgType::Time(own), PgType::Time(column))
        | (PgType::Timestamp(own), PgType::Timestamp(column))
        | (PgType::TimestampTz(own), PgType::TimestampTz(column)) => own <= column,
        (own, column) => own == column,
    }
}

/// Whether every value of a field fits a column made of the type `base` without being rounded or cut.
pub(super) fn is_within(field: &DxtField, base: &str) -> bool {
    match (PgType::parse(base), &field.dtype) {
        (PgType::Numeric(Some((_, most))), DxtType::Decimal { scale, .. }) => i16::from(*scale) <= most,
        (PgType::Numeric(Some((_, most))), dtype) => most >= 0 && dtype.is_integer(),
        (
            PgType::Time(most) | PgType::Timestamp(most) | PgType::TimestampTz(most),
            DxtType::Time { precision } | DxtType::Timestamp { precision } | DxtType::TimestampTz { precision },
        ) => *precision <= most,
        _ => false,
    }
}

/// The decimal of a `numeric(p,s)`; `None` past 76 digits.
fn decimal(precision: u16, scale: i16) -> Option<DxtType> {
    // A negative scale rounds to tens: those digits are still written. A scale past the precision is all fraction.
    let digits = i32::from(precision) - i32::from(scale).min(0);
    let scale = i32::from(scale).max(0);
    let precision = u8::try_from(digits.max(scale)).ok().filter(|p| (1..=76).contains(p))?;
    Some(DxtType::Decimal { precision, scale: i8::try_from(scale).ok()? })
}

/// The fewest fractional digits that DXT counts in and that hold `digits`.
fn units(digits: u8) -> u8 {
    match digits {
        0 => 0,
        1..=3 => 3,
        _ => 6,
    }
}

/// The type mapper of PostgreSQL.
///
/// What a column is when it is read, and what a target of another system that dxt creates makes of it:
///
/// | PostgreSQL | DXT | Arrow, Parquet | SQLite | CSV, JSON |
/// | --- | --- | --- | --- | --- |
/// | `smallint`, `integer`, `bigint` | int16, int32, int64 | int16, int32, int64 | integer | number |
/// | `oid` | uint32 | uint32 | integer | number |
/// | `real`, `double precision` | float32, float64 | float, double | real | number |
/// | `numeric(p,s)`, to 76 digits | decimal(p,s) | decimal128, past 38 digits decimal256 | to 15 digits a number, else text `1.50` | number |
/// | `numeric(5,-2)` | decimal(7,0): the digits that it rounds away are written | decimal128 | number | number |
/// | `numeric`, and past 76 digits | string, as no decimal has its bounds | string | text | text |
/// | `boolean` | bool | bool | 1, 0 | `true`, `false` |
/// | `text`, `varchar(n)`, `char(n)`, `name` | string; char with its blanks | string | text | text |
/// | `bytea` | binary | binary | blob | `\x00ff` |
/// | `date` | date | date32 | `2024-02-29`; years 1 to 9999 | `2024-02-29`; 44 BC is `-0043-03-15` |
/// | `time(p)` | time of 0, 3 or 6 digits | time32, time64 | `12:34:56.789000` | `12:34:56.789` |
/// | `timestamp(p)` | timestamp of 0, 3 or 6 digits | timestamp | `2024-02-29 12:34:56.789000` | `2024-02-29 12:34:56.789` |
/// | `timestamptz(p)` | timestamp_tz, in UTC | timestamp, UTC | the same with `+00:00` | the same with `+00:00` |
/// | `uuid` | uuid | arrow.uuid | `UUID_TEXT` | text |
/// | `json`, `jsonb` | json, its text as it is | arrow.json | text | text; in JSON its value |
/// | enums, domains, composite types | string, with the type's name | string | text: `ok`, `5`, `(1,"x,y")` | text |
/// | arrays of the types above but an unbounded `numeric` | array, of one dimension that begins at 1 | list | JSON | JSON |
/// | other arrays | string | string | `{1,NULL,3}` | text |
/// | `interval`, `timetz` | string | string | `1 mon -2 days +03:04:05`, `12:34:56+05:30` | text |
/// | ranges, multiranges | string | string | `[1,10)`, `{[1,3),[5,)}` | text |
/// | `inet`, `cidr`, `macaddr`, `macaddr8` | string | string | `10.0.0.1`, `10.0.0.0/8` | text |
/// | `bit(n)`, `varbit` | string | string | `101` | text |
/// | `money` | string, as under lc_monetary C | string | `-$1,234.50` | text |
/// | `xml`, `jsonpath`, `tsvector`, `tsquery`, `hstore`, `ltree` | string | string | as psql shows it | text |
/// | `point`, `line`, `lseg`, `box`, `path`, `polygon`, `circle` | string | string | `(1.5,-0)` | text |
/// | `regclass` and the like | string, with the schema (of a view or SQL as the source: by the user's search path) | string | `shop.orders` | text |
/// | all others: `xid`, `pg_lsn`, `"char"`, … | string | string | as psql shows it | text |
///
/// Strings that are not `text`, `varchar`, `char`, `name` or `uuid` travel as text with the native type beside them, and
/// come back as that type. Each row is tried against a server (`tests/suite/postgres_types`), each type with NULL and
/// its edges; pgvector's types against a server that has them.
///
/// `dtype: string` reads any column as PostgreSQL's own text. That carries what Arrow's type cannot hold, and is an
/// error otherwise: infinite dates and timestamps, timestamps past 294247-01-10, the time 24:00, NaN in a
/// `numeric(p,s)`, an array of several dimensions or with another lower bound. In PostgreSQL the field keeps its type all the same: a table that dxt creates has the native one, and
/// a column that is there and of the same type takes the text as it is. `target: {type: text}` makes it text there.
///
/// Types outside of `pg_catalog` are named with their schema (`public.mood`), and a target's database must have them. A
/// domain's name is known of a column, not of a result: SQL as a source gives its base type, and the log says so. A
/// column's collation stays behind, as another database may not have it.
///
/// | DXT, in a table that dxt creates | PostgreSQL |
/// | --- | --- |
/// | int8, int16, uint8 | `smallint` |
/// | int32, uint16 | `integer` |
/// | int64, uint32 | `bigint` |
/// | uint64 | `numeric(20,0)` |
/// | float32, float64 | `real`, `double precision` |
/// | decimal(p,s) | `numeric(p,s)` |
/// | string, bool, date, binary, uuid | `text`, `boolean`, `date`, `bytea`, `uuid` |
/// | time, timestamp, timestamp_tz | `time`, `timestamp`, `timestamptz`; microseconds at most |
/// | array of one of the above | its array: `bigint[]`, `numeric(12,2)[]` |
/// | json, object, array of arrays or of objects | `json`, as `jsonb` would drop double keys and their order |
///
/// Rows travel as binary COPY where each column of the load is one of these, in the type that is read of it (a `numeric`
/// or text with its own limits, which are checked value by value): `boolean`, the integers, `oid`, `real`, `double
/// precision`, `numeric(p,s)`, `text`, `varchar`, `char(n)`, `name`, `"char"`, `json`, `jsonb`, `bytea`, `date`, `time`,
/// `timestamp`, `timestamptz`, `uuid`, and arrays of them. Otherwise all of the load travels as text COPY: for
/// `numeric` without bounds, whose binary form ends at 12000 digits, and for all that is carried as text.
///
/// A column that comes from PostgreSQL keeps its own type as long as its DXT type is still that of its native type.
#[derive(Debug, Clone, Copy)]
pub struct PostgresTypes;

impl TypeMapper for PostgresTypes {
    fn is_text(&self, native: &str) -> bool {
        PgType::parse(native).is_text()
    }

    fn from_native(&self, native: &str) -> Result<DxtType> {
        check_spelling(native)?;
        Ok(PgType::parse(native).dtype())
    }

    fn to_native(&self, field: &DxtField) -> Result<String> {
        if let Some(native) = field.native_in(SYSTEM)
            && (PgType::of(field).is_some() || is_text_of(field, native))
        {
            check_spelling(native)?;
            return Ok(native.to_string());
        }
        // Read as text at the pipeline's wish, it fills such a column still.
        if field.dtype == DxtType::String && field.native_in(SYSTEM).map(PgType::parse) == Some(PgType::Uuid) {
            return Ok("uuid".into());
        }
        Ok(match &field.dtype {
            DxtType::Int8 | DxtType::Int16 | DxtType::Uint8 => "smallint".into(),
            DxtType::Int32 | DxtType::Uint16 => "integer".into(),
            DxtType::Int64 | DxtType::Uint32 => "bigint".into(),
            DxtType::Uint64 => "numeric(20,0)".into(),
            DxtType::Float32 => "real".into(),
            DxtType::Float64 => "double precision".into(),
            DxtType::Decimal { precision, scale } if *scale < 0 => {
                format!("numeric({},0)", i32::from(*precision) - i32::from(*scale))
            }
            DxtType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
            DxtType::String => "text".into(),
            DxtType::Bool => "boolean".into(),
            DxtType::Date => "date".into(),
            DxtType::Time { precision } => with_digits("time", *precision, "without"),
            DxtType::Timestamp { precision } => with_digits("timestamp", *precision, "without"),
            DxtType::TimestampTz { precision } => with_digits("timestamp", *precision, "with"),
            DxtType::Binary => "bytea".into(),
            DxtType::Uuid => "uuid".into(),
            DxtType::Array(item) if !matches!(**item, DxtType::Array(_) | DxtType::Object(_)) => {
                self.to_native(&DxtField::new(&field.name, item.as_ref().clone()))? + "[]"
            }
            DxtType::Json | DxtType::Array(_) | DxtType::Object(_) => "json".into(),
        })
    }
}

/// Spelled as the catalog will spell it.
fn with_digits(name: &str, precision: u8, zone: &str) -> String {
    match units(precision) {
        6 => format!("{name} {zone} time zone"),
        digits => format!("{name}({digits}) {zone} time zone"),
    }
}

/// Refuses what cannot be a type's name, as the text goes into DDL as it stands.
fn check_spelling(native: &str) -> Result<()> {
    let wrong = || {
        Error::new(ErrorKind::TypeMapping, format!("`{native}` is not the name of a PostgreSQL type"))
            .with_hint("write the type alone, such as varchar(20) or numeric(12,2)")
    };
    let (mut depth, mut quoted) = (0u32, false);
    for c in native.chars() {
        match c {
            '\0' => return Err(wrong()),
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or_else(wrong)?,
            ',' | '-' if depth > 0 => {}
            '_' | '.' | ' ' | '[' | ']' => {}
            c if c.is_alphanumeric() => {}
            _ => return Err(wrong()),
        }
    }
    if quoted || depth > 0 || native.trim().is_empty() || native.contains("--") { Err(wrong()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dtype(native: &str) -> String {
        PostgresTypes.from_native(native).unwrap().to_string()
    }

    fn native(field: DxtField) -> String {
        PostgresTypes.to_native(&field).unwrap()
    }

    #[test]
    fn spellings_of_the_server_and_of_people_mean_the_same() {
        for (server, person, expected) in [
            ("character varying(20)", "VARCHAR(20)", "string"),
            ("timestamp(3) without time zone", "timestamp(3)", "timestamp(3)"),
            ("timestamp with time zone", "timestamptz", "timestamp_tz"),
            ("double precision", "float8", "float64"),
            ("numeric(12,2)", "decimal( 12 , 2 )", "decimal(12,2)"),
            ("integer", "serial", "int32"),
            ("uuid", "UUID", "uuid"),
        ] {
            assert_eq!(dtype(server), expected, "{server}");
            assert_eq!(PgType::parse(server), PgType::parse(person), "{person}");
        }
    }

    #[test]
    fn a_numeric_is_a_decimal_only_where_it_is_bounded() {
        assert_eq!(dtype("numeric"), "string");
        assert_eq!(dtype("numeric(5,-2)"), "decimal(7,0)");
        assert_eq!(dtype("numeric(3,5)"), "decimal(5,5)");
        assert_eq!(dtype("numeric(76)"), "decimal(76,0)");
        assert_eq!(dtype("numeric(77)"), "string");
        assert_eq!(dtype("numeric(76,-1)"), "string");
    }

    #[test]
    fn types_without_a_decoder_are_text() {
        assert_eq!(PgType::parse("pg_catalog.text"), PgType::Text);
        for name in [
            "numeric[]",
            "public.mood",
            "public.mood[]",
            "inet[]",
            "\"integer\"[]",
            "\"a[]\"",
            "int2vector",
            "interval",
            "time with time zone",
            "\"integer\"",
            "money",
            "bit(3)",
        ] {
            assert_eq!(dtype(name), "string", "{name}");
            assert!(!PgType::parse(name).is_binary(), "{name}");
        }
    }

    #[test]
    fn an_array_of_a_type_with_a_decoder_is_an_array_whatever_its_dimensions() {
        for (server, person, expected) in [
            ("integer[]", "int4[]", "array<int32>"),
            ("integer[]", "integer[3][ ]", "array<int32>"),
            ("character varying(20)[]", "VARCHAR(20)[]", "array<string>"),
            ("numeric(12,2)[]", "decimal(12,2) []", "array<decimal(12,2)>"),
            ("timestamp(3) with time zone[]", "timestamptz(3)[]", "array<timestamp_tz(3)>"),
        ] {
            assert_eq!(dtype(server), expected, "{server}");
            assert_eq!(PgType::parse(server), PgType::parse(person), "{person}");
            assert!(PgType::parse(server).is_binary());
        }
    }

    #[test]
    fn lists_of_scalars_are_stored_as_arrays_and_others_as_json() {
        let list = |item| DxtType::Array(Box::new(item));
        for (item, expected) in [
            (DxtType::Int64, "bigint[]"),
            (DxtType::Uint64, "numeric(20,0)[]"),
            (DxtType::Decimal { precision: 12, scale: 2 }, "numeric(12,2)[]"),
            (DxtType::TimestampTz { precision: 6 }, "timestamp with time zone[]"),
            (DxtType::Json, "json[]"),
            (list(DxtType::Int64), "json"),
            (DxtType::Object(Vec::new()), "json"),
        ] {
            assert_eq!(native(DxtField::new("a", list(item))), expected);
        }
    }

    #[test]
    fn the_text_of_a_column_creates_a_column_of_its_type() {
        for name in ["date", "integer[]", "numeric(5,2)", "jsonb"] {
            assert_eq!(native(DxtField::new("a", DxtType::String).native(SYSTEM, name)), name);
        }
        let field = |name| DxtField::new("a", DxtType::String).native(SYSTEM, name);
        assert!(is_text_of(&field("timestamptz"), "timestamp with time zone"));
        // What the server would round, and what is text anyway.
        assert!(!is_text_of(&field("timestamp"), "timestamp(0) without time zone"));
        assert!(!is_text_of(&field("integer"), "text") && !is_text_of(&field("interval"), "interval"));
        assert!(!is_text_of(&DxtField::new("a", DxtType::String), "integer[]"));
    }

    #[test]
    fn a_native_type_is_kept_while_the_dtype_fits_it() {
        let field = DxtField::new("a", DxtType::String).native(SYSTEM, "character varying(20)");
        assert_eq!(native(field), "character varying(20)");
        let cast = DxtField::new("a", DxtType::Int64).native(SYSTEM, "character varying(20)");
        assert_eq!(native(cast), "bigint");
        let text = DxtField::new("a", DxtType::String).native(SYSTEM, "uuid");
        assert_eq!(native(text), "uuid");
        assert_eq!(native(DxtField::new("a", DxtType::Uuid)), "uuid");
        let foreign = DxtField::new("a", DxtType::String).native("sqlite", "VARCHAR(20)");
        assert_eq!(native(foreign), "text");
    }

    #[test]
    fn a_columns_own_text_keeps_its_type_and_fills_columns_that_hold_it() {
        let text = |native: &str| DxtField::new("a", DxtType::String).native(SYSTEM, native);
        assert_eq!(native(text("date")), "date");
        for (from, to, taken) in [
            ("date", "date", true),
            ("timestamp(3) without time zone", "timestamp without time zone", true),
            ("timestamp without time zone", "timestamp(3) without time zone", false),
            ("timestamp with time zone", "timestamp without time zone", false),
            ("numeric(10,2)", "numeric(12,4)", true),
            ("numeric(10,2)", "numeric(12,1)", false),
            ("integer", "bigint", false),
            ("bytea", "bytea", true),
        ] {
            assert_eq!(is_text_of(&text(from), to), taken, "{from} into {to}");
        }
        assert!(!is_text_of(&DxtField::new("a", DxtType::String), "date"), "a text of unknown origin");
        assert!(!is_text_of(&DxtField::new("a", DxtType::Date).native(SYSTEM, "date"), "date"), "a date is no text");
    }

    #[test]
    fn finer_time_than_microseconds_is_stored_as_microseconds() {
        assert_eq!(native(DxtField::new("a", DxtType::Timestamp { precision: 9 })), "timestamp without time zone");
        assert_eq!(native(DxtField::new("a", DxtType::TimestampTz { precision: 3 })), "timestamp(3) with time zone");
    }

    #[test]
    fn text_that_could_leave_the_column_list_is_no_type() {
        for text in ["int); DROP TABLE x; --", "int, b int", "int DEFAULT 'x'", "", "\"open", "int)", "a--b"] {
            assert_eq!(PostgresTypes.from_native(text).unwrap_err().kind(), ErrorKind::TypeMapping, "{text}");
        }
        assert!(PostgresTypes.from_native("\"odd (type\"").is_ok());
        assert!(PostgresTypes.from_native("geography(Point,4326)").is_ok());
    }
}
