SELECT CAST(table_schema AS varchar), CAST(table_name AS varchar),
    CASE table_type WHEN 'VIEW' THEN CAST('view' AS varchar) ELSE CAST('table' AS varchar) END
FROM information_schema.tables
WHERE table_schema <> 'information_schema'
ORDER BY table_schema, table_name
