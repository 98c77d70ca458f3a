SELECT CAST(column_name AS varchar), CAST(data_type AS varchar), CAST(is_nullable AS varchar)
FROM {catalog}information_schema.columns
WHERE table_schema = {schema} AND table_name = {table}
ORDER BY ordinal_position
