//! Every type of PostgreSQL with its edges. `§` is the test's schema.

/// One column: its type as the catalog spells it, and its values as SQL.
pub struct Case {
    pub native: &'static str,
    pub values: &'static [&'static str],
    /// Read by `dtype: string`, as Arrow's type does not hold these values.
    pub text: bool,
    /// The first version of the server that has it.
    pub since: u32,
}

const fn own(native: &'static str, values: &'static [&'static str]) -> Case {
    Case { native, values, text: false, since: 0 }
}

const fn since(since: u32, native: &'static str, values: &'static [&'static str]) -> Case {
    Case { native, values, text: false, since }
}

const fn text(native: &'static str, values: &'static [&'static str]) -> Case {
    Case { native, values, text: true, since: 0 }
}

/// Types that the tests make for themselves.
pub const TYPES: &str = r#"
CREATE TYPE §.mood AS ENUM ('ok', 'it''s', '"q"', 'with space', 'a,b', 'back\slash', '{}');
CREATE DOMAIN §.small AS integer CHECK (VALUE > -1000);
CREATE DOMAIN §.positive AS §.small CHECK (VALUE > 0);
CREATE DOMAIN §.email AS text COLLATE "C" CHECK (VALUE LIKE '%@%' OR VALUE = '');
CREATE DOMAIN §.padded AS bpchar;
CREATE DOMAIN §.more_padded AS §.padded;
CREATE TYPE §.pair AS (a integer, b text);
CREATE TYPE §.nest AS (p §.pair, l integer[], c char(3), m §.mood);
CREATE TYPE §."Odd ""type" AS ENUM ('a');
CREATE TYPE §.floatrange AS RANGE (subtype = float8);
CREATE TYPE §.loud AS ENUM ('x', 'y');
CREATE FUNCTION §.shout(§.loud) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'not a label' $$;
CREATE CAST (§.loud AS text) WITH FUNCTION §.shout(§.loud);
CREATE TABLE §.named (id integer);
"#;

/// The domains with the types that they are made of.
pub const DOMAINS: &[(&str, &str)] =
    &[("§.padded", "bpchar"), ("§.more_padded", "bpchar"), ("§.positive", "integer"), ("§.email", "text")];

pub const CASES: &[Case] = &[
    own("smallint", &["-32768", "32767", "0"]),
    own("integer", &["-2147483648", "2147483647", "0"]),
    own("bigint", &["-9223372036854775808", "9223372036854775807", "0"]),
    own("real", &["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "'1e-45'", "'3.4028235e38'", "'1.1754944e-38'", "0.1"]),
    own(
        "double precision",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "'5e-324'",
            "'1e-307'",
            "'2.2250738585072014e-308'",
            "'1.7976931348623157e308'",
            "0.1",
        ],
    ),
    own("numeric(12,2)", &["-9999999999.99", "9999999999.99", "0", "1", "0.01"]),
    own("numeric(38,37)", &["'-9.' || repeat('9', 37)", "'0.' || repeat('0', 36) || '1'"]),
    own("numeric(38,0)", &["repeat('9', 38)", "'-' || repeat('9', 38)"]),
    own("numeric(76,38)", &["repeat('9', 38) || '.' || repeat('9', 38)", "'-0.' || repeat('0', 37) || '1'", "0"]),
    own("numeric(76,0)", &["repeat('9', 76)", "'-' || repeat('9', 76)"]),
    own("numeric(76,76)", &["'0.' || repeat('9', 76)"]),
    since(15, "numeric(5,-2)", &["1200", "-9999900", "0"]),
    since(15, "numeric(3,5)", &["0.00999", "-0.00001"]),
    own("numeric(100,50)", &["repeat('9', 50) || '.' || repeat('9', 50)", "1", "'NaN'"]),
    own("numeric(1000,1000)", &["'0.' || repeat('9', 1000)"]),
    own(
        "numeric",
        &[
            "'NaN'",
            "'1.0'",
            "'1.00'",
            "'-0.000'",
            "repeat('9', 1000)",
            "'1e-1000'",
            "'1e2000'",
            "'12345678901234567890.12345678901234567890'",
        ],
    ),
    since(14, "numeric", &["'Infinity'", "'-Infinity'"]),
    text("numeric(10,2)", &["'NaN'", "'-99999999.99'", "'1.50'"]),
    text("numeric(50,2)", &["'NaN'", "'1.50'"]),
    Case { since: 15, ..text("numeric(5,-2)", &["'NaN'", "1200"]) },
    own("boolean", &["true", "false"]),
    own(
        "text",
        &[
            "''",
            "' '",
            r"E'a\tb\nc\rd\\e\bf\x01'",
            "'it''s'",
            r#"'"q"'"#,
            "'😀日本ä'",
            r"'\N'",
            r"'\.'",
            r"E'x\n\\.\ny'",
            r"E'\\'",
            r"E'\r\n'",
            "'NULL'",
            "repeat('wide ', 20000)",
        ],
    ),
    own("character varying", &["''", "'ab  '", r"'\N'"]),
    own("character varying(5)", &["''", "'ab  '", "'äö日😀'", "'     '"]),
    own("character(5)", &["''", "'ab'", "'äö日😀'", r"E'\\\t'"]),
    own("bpchar", &["''", "'ab  '", "'  '"]),
    own("name", &["repeat('n', 63)", "''", "'é'"]),
    own(r#""char""#, &["'a'", "''", r"'\200'", r"'\377'", r"E'\\'", r"E'\t'"]),
    own("§.padded", &["''", "'ab  '", "'ab'"]),
    own("§.more_padded", &["'ab  '"]),
    own("public.citext", &["'Ä'", "'ABC'", "''"]),
    own("bytea", &[r"'\x'", r"'\x00ff5c0a'", "decode(repeat('00ff', 5000), 'hex')"]),
    text("bytea", &[r"'\x'", r"'\x00ff5c0a'"]),
    own("date", &["'4713-01-01 BC'", "'0001-12-31 BC'", "'0001-01-01'", "'2000-02-29'", "'5874897-12-31'"]),
    text("date", &["'infinity'", "'-infinity'", "'4714-11-24 BC'", "'2024-02-29'"]),
    own(
        "timestamp without time zone",
        &[
            "'4713-01-01 00:00 BC'",
            "'0001-12-31 23:59:59.999999 BC'",
            "'1969-12-31 23:59:59.999999'",
            "'294246-12-31 23:59:59.999999'",
        ],
    ),
    text(
        "timestamp without time zone",
        &["'infinity'", "'-infinity'", "'294276-12-31 23:59:59.999999'", "'2024-02-29'"],
    ),
    own("timestamp(0) without time zone", &["'2024-02-29 12:34:56'", "'0044-03-15 12:00 BC'"]),
    own("timestamp(2) without time zone", &["'2024-02-29 12:34:56.78'"]),
    text("timestamp(3) without time zone", &["'infinity'", "'2024-02-29 12:34:56.789'"]),
    own(
        "timestamp with time zone",
        &[
            "'4713-01-01 00:00+00 BC'",
            "'1969-12-31 23:59:59.999999+00'",
            "'2024-02-29 12:00:00+05:30'",
            "'294246-12-31 23:59:59.999999+00'",
        ],
    ),
    own("timestamp(1) with time zone", &["'2024-02-29 12:34:56.7+00'"]),
    text("timestamp with time zone", &["'infinity'", "'-infinity'", "'294276-12-31 23:59:59.999999+00'"]),
    own("time without time zone", &["'00:00'", "'23:59:59.999999'"]),
    own("time(2) without time zone", &["'12:34:56.78'"]),
    own("time(0) without time zone", &["'12:34:56'"]),
    text("time without time zone", &["'24:00'", "'00:00:00.000001'"]),
    text("time(0) without time zone", &["'24:00'"]),
    own("time with time zone", &["'00:00+15:59:59'", "'24:00-15:59:59'", "'12:00:00.123456+05:30:15'"]),
    own("time(3) with time zone", &["'12:00:00.123-01'"]),
    own(
        "interval",
        &[
            "'0'",
            "'1 mon -2 days 03:04:05.678901'",
            "'-1 year 2 mons -3 days 04:05:06'",
            "'-178000000 years'",
            "'178000000 years 2147483647 days'",
            "'-00:00:00.000001'",
        ],
    ),
    own("interval(3)", &["'1.234 seconds'"]),
    own("interval year to month", &["'-1 year -1 month'"]),
    own("interval day to second(2)", &["'1 day 00:00:01.23'"]),
    own("uuid", &["'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-ffff-4fff-8fff-0123456789ab'"]),
    text("uuid", &["'FFFFFFFF-ffff-4fff-8fff-0123456789ab'"]),
    own(
        "json",
        &[
            r#"'{"a": 1, "a": 2}'"#,
            "'  [1,  2 ] '",
            r#"'"\u00e4"'"#,
            "'null'",
            "'1e400'",
            r#"E'{"k":\n\t"v"}'"#,
            "'12345678901234567890.000'",
        ],
    ),
    own("jsonb", &[r#"'{"a": 1.00, "b": 12345678901234567890123456789.0001}'"#, "'null'", "'[]'", r#"'"x"'"#]),
    own("jsonpath", &["'$.a[*] ? (@ > 1)'"]),
    own(
        "xml",
        &[
            "'<a>b</a>'",
            "XMLPARSE(CONTENT 'text only')",
            "XMLPARSE(CONTENT '<a/><b/>')",
            "''",
            r#"'<?xml version="1.0" encoding="UTF-8"?><a>ä</a>'"#,
        ],
    ),
    own("§.mood", &["'ok'", "'it''s'", r#"'"q"'"#, "'with space'", "'a,b'", r"'back\slash'", "'{}'"]),
    own(r#"§."Odd ""type""#, &["'a'"]),
    own("§.loud", &["'x'", "'y'"]),
    own("§.positive", &["1", "2147483647"]),
    own("§.email", &["'a@b'", "''"]),
    // Ordinary arrays; those with other bounds or dimensions have a case of their own below.
    own("smallint[]", &["'{}'", "'{1,NULL,-3}'"]),
    own("integer[]", &["'{}'", "'{1,NULL,-2147483648}'", "'{NULL}'"]),
    own("bigint[]", &["'{9223372036854775807,NULL}'"]),
    own("real[]", &["'{NaN,-0,Infinity,1e-45}'"]),
    own("double precision[]", &["'{NaN,-0,-Infinity,5e-324}'"]),
    own("numeric(10,2)[]", &["'{1,NULL,-0.01}'"]),
    own("numeric[]", &["'{1.0,1.00,NULL,NaN}'"]),
    own("boolean[]", &["'{t,f,NULL}'"]),
    own("text[]", &[r#"'{"",NULL,"NULL","a b","q\"","b\\s","{x}",",",日本}'"#, "'{}'"]),
    own("character varying(3)[]", &["'{abc,\"a \",NULL}'"]),
    own("character(3)[]", &["'{abc,a,NULL}'"]),
    own("bytea[]", &[r#"'{"\\x00ff","\\x",NULL}'"#]),
    own("date[]", &["'{2024-02-29,NULL,\"0001-12-31 BC\"}'"]),
    own("time without time zone[]", &["'{12:34:56.789,NULL}'"]),
    own("timestamp without time zone[]", &["'{\"2024-02-29 12:00:00.000001\",NULL}'"]),
    own("timestamp with time zone[]", &["'{\"2024-02-29 12:00:00+02\",NULL}'"]),
    own("uuid[]", &["'{00000000-0000-0000-0000-00000000000f,NULL}'"]),
    own("jsonb[]", &[r#"ARRAY['{"a": "\"q\""}', NULL]::jsonb[]"#]),
    own("json[]", &[r#"ARRAY['{"a":  1}', NULL]::json[]"#]),
    own("interval[]", &["'{\"1 mon -1 days\",NULL}'"]),
    own("inet[]", &["'{::1,10.0.0.0/8,NULL}'"]),
    own("cidr[]", &["'{10.0.0.0/8,NULL}'"]),
    own("macaddr[]", &["'{08:00:2b:01:02:03,NULL}'"]),
    own("time with time zone[]", &["'{12:00:00+05:30,NULL}'"]),
    own("xml[]", &["ARRAY['<a>\"q\"</a>'::xml, NULL]"]),
    own("public.citext[]", &["'{Ab,NULL,\"a b\"}'"]),
    own("bit(3)[]", &["'{101,NULL}'"]),
    own("bit varying[]", &["'{1,NULL,10101}'"]),
    own("money[]", &["ARRAY[1.5::money, NULL]"]),
    own("public.hstore[]", &["ARRAY['\"a\"=>\"1,2\"'::public.hstore, NULL]"]),
    own("public.ltree[]", &["'{Top.Science,NULL}'"]),
    own("tsvector[]", &["ARRAY['''a'':1A ''b c'':3'::tsvector, NULL]"]),
    own("point[]", &["ARRAY['(1.5,-0)'::point, NULL]"]),
    own("polygon[]", &["ARRAY['((0,0),(1,1))'::polygon, NULL]"]),
    own("§.mood[]", &["ARRAY['it''s', NULL, 'a,b', '{}']::§.mood[]"]),
    own("§.pair[]", &["ARRAY[ROW(1, 'a,\"b\"'), NULL, ROW(NULL, NULL)]::§.pair[]"]),
    own("§.positive[]", &["'{1,NULL}'"]),
    text("integer[]", &["'[2:3]={1,2}'", "'{{1,2},{3,NULL}}'", "'[0:0][-1:0]={{1,2}}'", "'{{{1}}}'", "'{1}'"]),
    text("text[]", &["'[-5:-4]={a,NULL}'", r#"'{{"a b","\\"},{NULL,"NULL"}}'"#]),
    text("date[]", &["'{infinity,-infinity,NULL}'", "'{{2024-02-29}}'"]),
    own("int4range", &["'[1,10)'", "'empty'", "'(,)'", "'[1,)'", "'(,5)'"]),
    own("int8range", &["'[-9223372036854775808,9223372036854775807)'"]),
    own("numrange", &["'[1.0,1.00]'", "'(,)'", "'empty'"]),
    own("tsrange", &["'[2024-01-01 00:00,infinity]'", "'(,)'"]),
    own("tstzrange", &["'[2024-01-01 00:00+00,)'"]),
    own("daterange", &["'[2024-01-01,infinity)'", "'empty'"]),
    own("§.floatrange", &["'[-0,NaN)'"]),
    own("int4range[]", &["'{\"[1,2)\",empty,NULL}'"]),
    since(14, "int4multirange", &["'{}'", "'{[1,3),[5,)}'"]),
    since(14, "nummultirange", &["'{[1.0,2.00]}'"]),
    since(14, "datemultirange", &["'{(,2024-01-01),[2025-01-01,)}'"]),
    own("inet", &["'10.0.0.1'", "'10.0.0.1/8'", "'::1'", "'fe80::1/64'"]),
    own("cidr", &["'10.0.0.0/8'", "'2001:db8::/32'", "'10.0.0.1/32'"]),
    own("macaddr", &["'08:00:2b:01:02:03'"]),
    own("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    own("bit(5)", &["B'10101'", "B'00000'"]),
    own("bit varying", &["B''", "B'1'"]),
    own("bit varying(8)", &["B'10101010'"]),
    own("money", &["'-$92233720368547758.08'", "'$92233720368547758.07'", "0"]),
    own("oid", &["0", "4294967295"]),
    own("xid", &["'4294967295'"]),
    own("xid8", &["'18446744073709551615'"]),
    own("cid", &["'4294967295'"]),
    own("tid", &["'(4294967295,65535)'"]),
    own("pg_lsn", &["'FFFFFFFF/FFFFFFFF'", "'0/0'"]),
    own("pg_snapshot", &["'10:20:10,14,15'"]),
    own("txid_snapshot", &["'10:20:10,14,15'"]),
    own("int2vector", &["'1 2 -3'", "''"]),
    own("oidvector", &["'1 4294967295'"]),
    own("regclass", &["'pg_class'", "'§.named'", "'-'", "'4294967295'"]),
    own("regtype", &["'integer'", "'§.mood'"]),
    own("regproc", &["'now'"]),
    own("regprocedure", &["'sum(integer)'"]),
    own("regoperator", &["'+(integer,integer)'"]),
    own("regrole", &["'dxt'"]),
    own("regnamespace", &["'§'"]),
    own("regconfig", &["'english'"]),
    own("regdictionary", &["'simple'"]),
    own("regcollation", &["'\"C\"'"]),
    own("public.hstore", &[r#"'"a"=>"1", "b"=>NULL'"#, "''", r#"'"q\"q"=>"=>,"'"#]),
    own("public.ltree", &["'Top.Science'", "''"]),
    own("public.lquery", &["'*{2}.a|b'"]),
    own("tsvector", &["''", r"'''a'':1A,2B ''b c'':3 ''it''''s'''"]),
    own("tsquery", &["'''a'' & !''b c'':*A | d <2> e'"]),
    own("point", &["'(1.5,-0)'", "'(NaN,Infinity)'", "'(1e-307,0.1)'"]),
    own("line", &["'{1,-1,0.1}'"]),
    own("lseg", &["'[(0,0),(1,0.1)]'"]),
    own("box", &["'(1,1),(0,0)'", "'(-0,0.1),(-1,-1)'"]),
    own("box[]", &["'{(1,1),(0,0);(2,2),(1,1)}'"]),
    own("path", &["'((0,0),(1,1))'", "'[(0,0),(1,1)]'"]),
    own("polygon", &["'((0,0),(1,1),(2,0))'"]),
    own("circle", &["'<(0,0),0>'", "'<(1,2),Infinity>'"]),
    own("§.pair", &["ROW(NULL, NULL)", "ROW(1, 'x,\"y\" (z)')", "ROW(NULL, '')"]),
    own(
        "§.nest",
        &[
            "ROW(ROW(1, E'a\\\\b\\nc'), ARRAY[1, NULL], 'a', 'it''s')::§.nest",
            "ROW(NULL, NULL, NULL, NULL)::§.nest",
            "ROW(ROW(NULL, NULL), '[2:2]={7}', '', 'ok')::§.nest",
        ],
    ),
];

/// What only a server with pgvector has.
pub const VECTORS: &[Case] = &[
    own("vector(3)", &["'[1,-0,1e-38]'", "'[0.1,3.4028235e38,-1e-45]'"]),
    own("vector", &["'[0.1]'", "array_fill(0.25::real, ARRAY[2000])"]),
    own("halfvec(2)", &["'[1,-65504]'"]),
    own("sparsevec(5)", &["'{1:1,5:-2.5}/5'", "'{}/5'"]),
    own("vector[]", &["ARRAY['[1,2]'::vector, NULL]"]),
];
