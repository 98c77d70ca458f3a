//! What PostgreSQL's types are in the other systems: the table in the docs of `connector/postgres/types.rs`, tried.

/// A type with one value of it, and what the others make of it.
pub struct Readable {
    pub native: &'static str,
    pub value: &'static str,
    /// As SQLite's `quote()` writes it: texts in quotes, blobs as `X'…'`.
    pub sqlite: &'static str,
    /// In CSV, and in JSON but for its syntax.
    pub text: &'static str,
    /// The Arrow type that a reader of Parquet finds; parted by `|` where there are two ways.
    pub arrow: &'static str,
}

const fn row(
    native: &'static str,
    value: &'static str,
    sqlite: &'static str,
    text: &'static str,
    arrow: &'static str,
) -> Readable {
    Readable { native, value, sqlite, text, arrow }
}

pub const READABLE: &[Readable] = &[
    row("smallint", "-32768", "-32768", "-32768", "int16"),
    row("integer", "2147483647", "2147483647", "2147483647", "int32"),
    row("bigint", "9223372036854775807", "9223372036854775807", "9223372036854775807", "int64"),
    row("oid", "4294967295", "4294967295", "4294967295", "uint32"),
    row("real", "0.5", "0.5", "0.5", "float"),
    row("double precision", "2.25", "2.25", "2.25", "double"),
    row("numeric(12,2)", "9999999999.99", "9999999999.99", "9999999999.99", "decimal128(12, 2)"),
    row("numeric(5,-2)", "1200", "1200", "1200", "decimal128(7, 0)"),
    row(
        "numeric(40,2)",
        "'12345678901234567890.5'",
        "'12345678901234567890.50'",
        "12345678901234567890.50",
        "decimal256(40, 2)",
    ),
    row("numeric", "'1.00'", "'1.00'", "1.00", "string"),
    row("boolean", "true", "1", "true", "bool"),
    row("text", "'ä\"b'", "'ä\"b'", "ä\"b", "string"),
    row("character varying(5)", "'ab'", "'ab'", "ab", "string"),
    row("character(4)", "'ab'", "'ab  '", "ab  ", "string"),
    row("name", "'n'", "'n'", "n", "string"),
    row("public.citext", "'Ab'", "'Ab'", "Ab", "string"),
    row("bytea", r"'\x00ff'", "X'00FF'", r"\x00ff", "binary"),
    row("date", "'2024-02-29'", "'2024-02-29'", "2024-02-29", "date32[day]"),
    row(
        "timestamp without time zone",
        "'2024-02-29 12:34:56.789'",
        "'2024-02-29 12:34:56.789000'",
        "2024-02-29 12:34:56.789",
        "timestamp[us]",
    ),
    row(
        "timestamp(3) without time zone",
        "'2024-02-29 12:34:56.789'",
        "'2024-02-29 12:34:56.789'",
        "2024-02-29 12:34:56.789",
        "timestamp[ms]",
    ),
    row(
        "timestamp with time zone",
        "'2024-02-29 12:34:56.5+02'",
        "'2024-02-29 10:34:56.500000+00:00'",
        "2024-02-29 10:34:56.500+00:00",
        "timestamp[us, tz=UTC]",
    ),
    row("time without time zone", "'12:34:56.789'", "'12:34:56.789000'", "12:34:56.789", "time64[us]"),
    row("time with time zone", "'12:34:56+05:30'", "'12:34:56+05:30'", "12:34:56+05:30", "string"),
    row("interval", "'1 mon -2 days 03:04:05'", "'1 mon -2 days +03:04:05'", "1 mon -2 days +03:04:05", "string"),
    row(
        "uuid",
        "'00112233-4455-6677-8899-aabbccddeeff'",
        "'00112233-4455-6677-8899-aabbccddeeff'",
        "00112233-4455-6677-8899-aabbccddeeff",
        "string|extension<arrow.uuid>",
    ),
    row("json", r#"'{"a":  [true]}'"#, r#"'{"a":  [true]}'"#, r#"{"a":  [true]}"#, "extension<arrow.json>|string"),
    row("jsonb", r#"'{"a":[null]}'"#, r#"'{"a": [null]}'"#, r#"{"a": [null]}"#, "extension<arrow.json>|string"),
    row("xml", "'<a/>'", "'<a/>'", "<a/>", "string"),
    row("§.mood", "'a,b'", "'a,b'", "a,b", "string"),
    row("§.positive", "5", "'5'", "5", "string"),
    row("int4range", "'[1,10)'", "'[1,10)'", "[1,10)", "string"),
    row("int4multirange", "'{[1,3),[5,)}'", "'{[1,3),[5,)}'", "{[1,3),[5,)}", "string"),
    row("inet", "'10.0.0.1'", "'10.0.0.1'", "10.0.0.1", "string"),
    row("cidr", "'10.0.0.0/8'", "'10.0.0.0/8'", "10.0.0.0/8", "string"),
    row("macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:03'", "08:00:2b:01:02:03", "string"),
    row("bit(3)", "B'101'", "'101'", "101", "string"),
    row("money", "'-1234.50'", "'-$1,234.50'", "-$1,234.50", "string"),
    row("regclass", "'§.named'", "'§.named'", "§.named", "string"),
    row("public.hstore", r#"'a=>1'"#, r#"'"a"=>"1"'"#, r#""a"=>"1""#, "string"),
    row("public.ltree", "'Top.A'", "'Top.A'", "Top.A", "string"),
    row("tsvector", "'cat:1A'", "'''cat'':1A'", "'cat':1A", "string"),
    row("point", "'(1.5,-0)'", "'(1.5,-0)'", "(1.5,-0)", "string"),
    row("circle", "'<(1,2),3>'", "'<(1,2),3>'", "<(1,2),3>", "string"),
    row("§.pair", "ROW(1, 'x,y')", r#"'(1,"x,y")'"#, r#"(1,"x,y")"#, "string"),
];

/// Prints for each format and column the value and the NULL; of Parquet the type, too.
pub const READ: &str = r#"
import csv, datetime, decimal, json, sys, uuid
import pyarrow.parquet as pq
def text(v):
    if isinstance(v, bool): return str(v).lower()
    if isinstance(v, bytes): return "\\x" + v.hex()
    if isinstance(v, (dict, list)): return json.dumps(v)
    if isinstance(v, datetime.datetime):
        millis = v.microsecond // 1000
        return v.strftime("%Y-%m-%d %H:%M:%S") + (f".{millis:03}" if millis else "") + ("+00:00" if v.tzinfo else "")
    if isinstance(v, datetime.time): return v.isoformat("milliseconds")
    return str(v)
rows = list(csv.reader(open("out.csv", newline="")))
for c, v, n in zip(rows[0], rows[1], rows[2]): print("csv", c, v, n == "", "", sep="\t")
full, empty = [json.loads(line, parse_int=str, parse_float=str) for line in open("out.jsonl")]
for c, v in full.items(): print("json", c, text(v), empty[c] is None, "", sep="\t")
table = pq.read_table("out.parquet")
for f in table.schema:
    v, n = table[f.name].to_pylist()
    print("parquet", f.name, text(v), n is None, f.type, sep="\t")
"#;
