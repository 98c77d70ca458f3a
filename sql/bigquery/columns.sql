SELECT column_name, data_type, is_nullable, 0
FROM {dataset}.INFORMATION_SCHEMA.COLUMNS
WHERE table_name = {table}
ORDER BY ordinal_position
