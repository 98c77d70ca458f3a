-- Whether a schema has the ledger of loads, whether that is dxt's, and what this user may do there.
SELECT c.oid IS NOT NULL,
    (SELECT count(*) FROM pg_catalog.pg_attribute AS a
     WHERE a.attrelid = c.oid AND NOT a.attisdropped
       AND a.attname IN ('pipeline', 'stream', 'run_id', 'target', 'rows', 'loaded_at', 'dxt')) = 7,
    coalesce(pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'INSERT'), false),
    pg_catalog.has_schema_privilege(n.oid, 'CREATE')
FROM pg_catalog.pg_namespace AS n
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'dxt_loads'
WHERE n.nspname = $1
