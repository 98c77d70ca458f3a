-- Tables that a statement reads, those behind views included: this session has locked them to prepare it. With them all
-- that they are partitions of, and all that are partitions of them.
WITH RECURSIVE read AS (
    SELECT c.oid
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
      AND c.relkind IN ('r', 'p', 'f', 'm') AND c.relnamespace <> 'pg_catalog'::regnamespace
), below AS (
    SELECT oid FROM read
    UNION SELECT i.inhrelid FROM below JOIN pg_catalog.pg_inherits AS i ON i.inhparent = below.oid
), above AS (
    SELECT oid FROM read
    UNION SELECT i.inhparent FROM above JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = above.oid
)
SELECT n.nspname::text, c.relname::text, c.relkind::text, c.oid
FROM (SELECT oid FROM below UNION SELECT oid FROM above) AS all_of
JOIN pg_catalog.pg_class AS c ON c.oid = all_of.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
