-- The relation that a quoted name means now, by the search path where it has no schema.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
       pg_catalog.current_setting('server_version_num')::int AS version,
       pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS lockable
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass($1::text)
