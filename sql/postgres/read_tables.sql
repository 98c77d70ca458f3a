-- Tables that a statement reads, those behind views included: this session has locked them to prepare it.
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
  AND c.relkind IN ('r', 'p') AND n.nspname <> 'pg_catalog'
