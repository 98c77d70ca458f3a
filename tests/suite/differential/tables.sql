-- Three tables of the same columns, filled from lists of awkward values that repeat and are combined in different ways.
-- `u` is text with a collation of its own: what is compared or sorted by it comes in another order than that of bytes.
CREATE FUNCTION pick(list anyarray, i bigint) RETURNS anyelement LANGUAGE sql IMMUTABLE AS
    'SELECT list[1 + i % array_length(list, 1)]';

CREATE TABLE a (
    id integer PRIMARY KEY,
    k integer,
    s smallint,
    n bigint,
    d numeric(12, 2),
    w numeric(30, 10),
    f double precision,
    t text,
    u text COLLATE "und-x-icu",
    day date,
    at timestamp,
    tz timestamptz,
    ok boolean
);
CREATE TABLE b (LIKE a INCLUDING ALL);
CREATE TABLE c (LIKE a INCLUDING ALL);

CREATE FUNCTION made(rows integer, step integer) RETURNS SETOF a LANGUAGE sql AS $$
    SELECT i::integer,
        pick('{1, 2, NULL, 3, -3, 2147483647, 0, 2, 5, -2147483648, 7, 3, -1}'::integer[], i * step),
        pick('{1, -7, 0, 32767, NULL, 2, -32768, 3, -3, 10, 7}'::smallint[], i * step + i / 7),
        pick('{0, 9223372036854775807, -1, NULL, 9007199254740993, -9223372036854775808, 1, 2147483648, 9007199254740992,
               -9223372036854775807, 1, 42, -2147483649, 9223372036854775806, 7, -42, 3}'::bigint[], i * step),
        pick('{1.00, -0.01, 9999999999.99, NULL, 0.00, 2.50, -1.05, 10.10, 0.01, -9999999999.99, 2.50, 100.00, 3.33, -2.50,
               0.10, 7.00, 1.05, -7.77, 19.99}'::numeric(12, 2)[], i * step),
        pick('{1.5, -0.0000000001, 12345678901234567890.0123456789, NULL, 0, 1, 2.5}'::numeric(30, 10)[], i * step),
        pick('{0.5, -2.5, 0, NULL, 1, 1000000000, -0.25}'::double precision[], i + i / 5 * step),
        pick(ARRAY['', 'a', 'A', NULL, 'ab', 'Ab', 'ä', 'Ä', 'z', 'Z', 'ß', 'ss', 'é', 'a ', ' a', 'a%b', 'a_b', E'a\\b',
                   '10', '9', '日本', '😀', '''', '"', 'B', 'b', 'AB', 'İ', 'ı', 'aa', '-1'], i * step),
        pick(ARRAY['a', 'B', 'b', 'A', NULL, 'ä', 'Z', 'z', '', 'é', 'E', 'e', 'aB', 'Ab', 'ab', '_', 'ß', 'a-b', 'a b', '日',
                   'ÀB', 'x', 'X'], i * step + i / 3)::text,
        pick('{2024-02-29, 1970-01-01, NULL, 1969-12-31, 9999-12-31, 0001-01-01, 2024-12-31, 2025-01-01, 1582-10-10, 2000-02-29,
               1899-12-31, 2024-03-31, 2024-02-29}'::date[], i * step),
        pick('{2024-03-31 01:30:00, 1970-01-01 00:00:00, 2024-02-29 00:00:00, NULL, 1969-12-31 23:59:59.999999,
               2024-10-27 02:30:00, 2250-01-01 00:00:00.000001, 1700-06-15 12:00:00, 2024-03-31 02:30:00,
               2024-12-31 23:59:59.999999, 2024-03-30 23:00:00}'::timestamp[], i * step),
        pick('{2024-03-31 01:30:00+00, 2024-03-31 03:30:00+02, NULL, 1970-01-01 12:00:00-12, 2024-03-30 23:00:00-01,
               2025-01-01 13:59:59.5+14, 2024-12-31 23:59:59.5+00}'::timestamptz[], i * step),
        pick('{t, f, t, NULL, f}'::boolean[], i + i / 3 * step)
    FROM generate_series(1, rows::bigint) i
$$;
INSERT INTO a SELECT * FROM made(89, 1);
INSERT INTO b SELECT * FROM made(61, 2);
INSERT INTO c SELECT * FROM made(23, 5);
ANALYZE a, b, c;
