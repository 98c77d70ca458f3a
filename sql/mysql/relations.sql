-- What the user can read, without the server's own and without tables that dxt builds aside.
SELECT t.table_schema, t.table_name, t.table_type
FROM information_schema.tables AS t
WHERE t.table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
  AND t.table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')
  AND t.table_name NOT LIKE 'dxt\_aside\_%'
ORDER BY CAST(t.table_schema AS BINARY), CAST(t.table_name AS BINARY)
