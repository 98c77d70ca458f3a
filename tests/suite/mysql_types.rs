//! MySQL's types: whole on every way, or an error that names column and value.

use crate::support::{Kind, Ran, System, env, mysql, python};

const TYPES: &str = "
CREATE TABLE src (
    id INT NOT NULL PRIMARY KEY,
    t1 TINYINT(1), t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, su SMALLINT UNSIGNED, m MEDIUMINT, mu MEDIUMINT UNSIGNED,
    i INT, iu INT UNSIGNED, b BIGINT, bu BIGINT UNSIGNED, d1 DECIMAL(5,2), d2 DECIMAL(65,30), d3 DECIMAL(65,0),
    f FLOAT, d DOUBLE, b1 BIT(1), b64 BIT(64), y YEAR, da DATE, dt0 DATETIME, dt2 DATETIME(2), dt6 DATETIME(6),
    ts0 TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, ti0 TIME, ti6 TIME(6), c CHAR(5), vc VARCHAR(20), tx TEXT, lt LONGTEXT,
    e ENUM('x','it''s','a,b'), st SET('x','y','z'), j JSON, bi BINARY(3), vb VARBINARY(5), bl BLOB, g GEOMETRY
) CHARACTER SET utf8mb4;
INSERT INTO src (id) VALUES (1);
INSERT INTO src VALUES (2, 1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295,
    -9223372036854775808, 18446744073709551615, -999.99, -99999999999999999999999999999999999.123456789012345678901234567890,
    99999999999999999999999999999999999999999999999999999999999999999, 3.4028234e38, -1.7976931348623157e308, b'1',
    18446744073709551615, 2155, '9999-12-31', '9999-12-31 23:59:59', '1000-01-01 00:00:00.12', '0001-01-01 00:00:00.000001',
    '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999', '00:00:00', '23:59:59.999999', 'ab', 'it''s \\\\ \\t ä🦀 ', '', 'x\\0y',
    'it''s', 'x,z', '{\"a\": [1, 1.10], \"a\": 2}', x'000102', x'', x'00ff5c0a', ST_GeomFromText('POINT(1 2)', 4326));
INSERT INTO src (id, t1, f, d, b1, b64, y, dt2, vc, e, st, j, bi, bl) VALUES (3, 0, 0.1, 5e-324, b'0', 0, 0,
    '2024-02-29 12:34:56.70', 'NULL', 'a,b', '', 'null', x'202020', x'');";

const NAMES: &str =
    "t1 t tu s su m mu i iu b bu d1 d2 d3 f d b1 b64 y da dt0 dt2 dt6 ts0 ts6 ti0 ti6 c vc tx lt e st j bi vb bl g";

fn copy(system: &System, from: &str, to: &str, rest: &str) -> Ran {
    let url = env("DXT_TEST_MYSQL_URL");
    let schema = system.schema();
    system.project.run(&format!(
        "version: 1\nname: p\nconnections: {{sys: '{url}'}}\nstreams:\n  - id: s\n    \
         source: {{connection: sys, value: {schema}.{from}}}\n    target: {{connection: sys, value: {schema}.{to}}}\n{rest}"
    ))
}

/// All values as the server itself has them, byte for byte.
fn bytes(system: &System, table: &str) -> String {
    let columns = NAMES.split(' ').map(|name| match name {
        "f" => "f + 0e0".to_string(),
        // HEX of a number is that of a whole one.
        "d" | "d1" | "d2" | "d3" => name.to_string(),
        name => format!("HEX({name})"),
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    system.sql(&format!("SELECT id, {columns} FROM {table} ORDER BY id"))
}

fn types(system: &System, table: &str) -> String {
    system.sql(&format!(
        "SELECT column_name, column_type FROM information_schema.columns \
         WHERE table_schema = database() AND table_name = '{table}' ORDER BY ordinal_position"
    ))
}

#[track_caller]
fn message(ran: Ran) -> String {
    ran.exits(1).stream("s")["error"]["report"].as_str().expect("an error").to_string()
}

#[test]
fn every_type_comes_back_in_its_own_type_from_a_copy_by_either_method() {
    for method in ["load_data", "insert"] {
        let system = System::new(Kind::Mysql);
        system.sql(TYPES);
        let ran =
            copy(&system, "src", "dst", &format!("    load: {{mode: append, options: {{load_method: {method}}}}}\n"));
        assert_eq!(ran.exits(0).counts("s"), [3, 3, 0, 0]);
        assert_eq!(bytes(&system, "dst"), bytes(&system, "src"), "{method}");
        assert_eq!(types(&system, "dst"), types(&system, "src"));
        // Again by key: every value is found to be the same.
        let upsert = "    load: {mode: upsert, upsert_keys: [id]}\n";
        system.sql("ALTER TABLE dst ADD PRIMARY KEY (id)");
        assert_eq!(copy(&system, "src", "dst", upsert).exits(0).counts("s"), [3, 0, 0, 3]);
        // And of what differs in a single byte or bit each is found.
        system.sql(
            "UPDATE dst SET vc = 'IT''S \\\\ \\t ä🦀 ', d = -1.7976931348623155e308, g = ST_GeomFromText('POINT(1 2)', 0) WHERE id = 2",
        );
        assert_eq!(copy(&system, "src", "dst", upsert).exits(0).counts("s"), [3, 0, 1, 2]);
        assert_eq!(bytes(&system, "dst"), bytes(&system, "src"), "{method}");
    }
}

#[test]
fn values_in_parquet_are_those_of_the_server() {
    let system = System::new(Kind::Mysql);
    system.sql(TYPES);
    system.project.run(&system.unload("src", "")).exits(0);
    let read = "
import sys, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
row = [r for r in table.to_pylist() if r['id'] == 2][0]
for name in sys.argv[2].split(','):
    print(name, table.schema.field(name).type, row[name], sep='|')
";
    let names = "t1,tu,mu,bu,d1,d2,d3,f,b1,b64,y,da,dt0,dt2,dt6,ts6,ti6,c,e,st,j,bi,g";
    let out = python(read, &[&system.project.path("back.parquet").to_string_lossy(), names]);
    // MySQL keeps JSON in a form of its own, MariaDB the text.
    let mariadb = mysql("SELECT version()").contains("MariaDB");
    let json = if mariadb { "{\"a\": [1, 1.10], \"a\": 2}" } else { "{\"a\": 2}" };
    let json = format!("j|extension<arrow.json>|{json}");
    let expected = [
        "t1|bool|True",
        "tu|uint8|255",
        "mu|uint32|16777215",
        "bu|uint64|18446744073709551615",
        "d1|decimal128(5, 2)|-999.99",
        "d2|decimal256(65, 30)|-99999999999999999999999999999999999.123456789012345678901234567890",
        "d3|decimal256(65, 0)|99999999999999999999999999999999999999999999999999999999999999999",
        "f|float|3.4028234663852886e+38",
        "b1|uint64|1",
        "b64|uint64|18446744073709551615",
        "y|uint16|2155",
        "da|date32[day]|9999-12-31",
        "dt0|timestamp[ms]|9999-12-31 23:59:59",
        "dt2|timestamp[ms]|1000-01-01 00:00:00.120000",
        "dt6|timestamp[us]|0001-01-01 00:00:00.000001",
        "ts6|timestamp[us, tz=UTC]|2038-01-19 03:14:07.999999+00:00",
        "ti6|time64[us]|23:59:59.999999",
        "c|string|ab",
        "e|string|it's",
        "st|string|x,z",
        json.as_str(),
        "bi|binary|b'\\x00\\x01\\x02'",
    ];
    for (line, expected) in out.lines().zip(expected) {
        assert_eq!(line, expected);
    }
    // SRID 4326, then WKB of a point, little-endian.
    assert!(
        out.lines().last().unwrap().starts_with("g|binary|b'\\xe6\\x10\\x00\\x00\\x01\\x01\\x00\\x00\\x00"),
        "{out}"
    );
}

#[test]
fn zero_dates_are_an_error_that_names_them_or_null_or_text_as_the_pipeline_has_it() {
    let system = System::new(Kind::Mysql);
    system.sql(
        "CREATE TABLE src (id INT PRIMARY KEY, d DATE NOT NULL, at DATETIME(3));
         INSERT INTO src VALUES (1, '2024-02-29', NULL), (2, '0000-00-00', '2024-00-10 01:02:03')",
    );
    let error = message(copy(&system, "src", "refused", "    load: {mode: append}\n"));
    assert!(error.contains("column d") && error.contains("0000-00-00") && error.contains("zero_dates"), "{error}");
    // As NULL, and a condition takes them for that.
    let null = format!(
        "version: 1\nname: p\nconnections: {{sys: '{}'}}\nstreams:\n  - id: s\n    \
         source: {{connection: sys, value: {}.src, options: {{zero_dates: 'null'}}}}\n    \
         target: {{connection: sys, value: {}.nulls}}\n    criteria: {{where: \"d IS NULL AND at IS NULL\"}}\n    load: {{mode: append}}\n",
        env("DXT_TEST_MYSQL_URL"),
        system.schema(),
        system.schema()
    );
    assert_eq!(system.project.run(&null).exits(0).counts("s"), [1, 1, 0, 0]);
    assert_eq!(system.rows("nulls"), ["2|NULL|NULL"]);
    // As text, which its own type takes again.
    let text = "    fields: [id, {id: d, dtype: string}, {id: at, dtype: string}]\n    load: {mode: append}\n";
    copy(&system, "src", "texts", text).exits(0);
    assert_eq!(system.rows("texts"), ["1|2024-02-29|NULL", "2|0000-00-00|2024-00-10 01:02:03.000"]);
    assert!(types(&system, "texts").contains("d|date"));
}

#[test]
fn times_beyond_a_day_are_an_error_or_text() {
    let system = System::new(Kind::Mysql);
    system.sql(
        "CREATE TABLE src (id INT, t TIME(6)); INSERT INTO src VALUES (1, '-838:59:59.000000'), (2, '25:00:00.5')",
    );
    let error = message(copy(&system, "src", "refused", "    load: {mode: append}\n"));
    assert!(error.contains("column t") && error.contains("-838:59:59"), "{error}");
    copy(&system, "src", "texts", "    fields: [id, {id: t, dtype: string}]\n    load: {mode: append}\n").exits(0);
    assert_eq!(system.rows("texts"), ["1|-838:59:59.000000", "2|25:00:00.500000"]);
    assert!(types(&system, "texts").contains("t|time(6)"));
}

#[test]
fn a_tinyint_of_one_digit_is_a_bool_unless_it_is_read_as_a_number() {
    let system = System::new(Kind::Mysql);
    system.sql("CREATE TABLE src (id INT, flag TINYINT(1)); INSERT INTO src VALUES (1, 1), (2, 7)");
    let error = message(copy(&system, "src", "refused", "    load: {mode: append}\n"));
    assert!(error.contains("column flag") && error.contains('7') && error.contains("int8"), "{error}");
    let number = "    fields: [id, {id: flag, dtype: int32}]\n    load: {mode: append}\n";
    copy(&system, "src", "numbers", number).exits(0);
    assert_eq!(system.rows("numbers"), ["1|1", "2|7"]);
    // A column of that kind takes any small number, too.
    system.sql("CREATE TABLE flags (id INT, flag TINYINT(1))");
    copy(&system, "src", "flags", number).exits(0);
    assert_eq!(system.rows("flags"), ["1|1", "2|7"]);
}

#[test]
fn mariadbs_own_types_keep_their_kind() {
    if !mysql("SELECT version()").contains("MariaDB") {
        return;
    }
    let system = System::new(Kind::Mysql);
    system.sql(
        "CREATE TABLE src (id INT, u UUID, a INET6);
         INSERT INTO src VALUES (1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2001:db8::ff00:42:8329'), (2, NULL, NULL)",
    );
    copy(&system, "src", "dst", "    load: {mode: append}\n").exits(0);
    assert_eq!(system.rows("dst"), system.rows("src"));
    assert_eq!(types(&system, "dst"), types(&system, "src"));
    system.project.run(&system.unload("src", "")).exits(0);
    let name = format!("sys.{}.src", system.schema());
    let sql = format!("SELECT id FROM {name} WHERE u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'");
    assert_eq!(system.project.dxt(&["query", &sql, "p.yaml", "--format", "csv"]).exits(0).out, "id\n1\n");
}

#[test]
fn texts_of_other_character_sets_are_read_and_written_as_text() {
    let system = System::new(Kind::Mysql);
    system.sql(
        "CREATE TABLE src (id INT, a VARCHAR(20) CHARACTER SET latin1, b VARCHAR(20) CHARACTER SET utf16, c TEXT CHARACTER SET cp1251);
         INSERT INTO src VALUES (1, 'äöü', '日本🦀', 'привет');
         CREATE TABLE dst LIKE src",
    );
    for method in ["load_data", "insert"] {
        let rest = format!("    load: {{mode: replace, options: {{load_method: {method}}}}}\n");
        copy(&system, "src", "dst", &rest).exits(0);
        assert_eq!(system.rows("dst"), ["1|äöü|日本🦀|привет"]);
        // A letter that the target's character set does not have is no question mark.
        system.sql(
            "UPDATE src SET b = '日'; CREATE TABLE IF NOT EXISTS narrow (id INT, b VARCHAR(20) CHARACTER SET latin1)",
        );
        let rest = format!("    fields: [id, b]\n    load: {{mode: append, options: {{load_method: {method}}}}}\n");
        let error = message(copy(&system, "src", "narrow", &rest));
        assert!(error.contains("日") && error.contains("column b"), "{error}");
        assert!(system.rows("narrow").is_empty());
        system.sql("UPDATE src SET b = '日本🦀'");
    }
}
