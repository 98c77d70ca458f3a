-- The relation that a quoted name means now, by the search path where it has no schema. Bytes are those of its files, and rows
-- those of a block when it was last looked at, where it was.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
       pg_catalog.current_setting('server_version_num')::int AS version,
       pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS lockable,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) END AS bytes,
       CASE WHEN c.relkind IN ('r', 'm') AND c.reltuples > 0 AND c.relpages > 0
            THEN pg_catalog.pg_relation_size(c.oid)::float8 / pg_catalog.current_setting('block_size')::float8
                 * c.reltuples / c.relpages END AS rows
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass($1::text)
