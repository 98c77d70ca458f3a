-- The tables that this transaction has written to, by itself or by triggers.
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND c.relkind IN ('r', 'p')
  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
