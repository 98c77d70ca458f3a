SELECT database, name, if(endsWith(engine, 'View'), 'view', 'table'), toInt64(count() OVER ())
FROM system.tables
WHERE database NOT IN ('system', 'information_schema', 'INFORMATION_SCHEMA') AND NOT is_temporary
ORDER BY database, name
