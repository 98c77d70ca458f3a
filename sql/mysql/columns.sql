-- Columns in order. DEFAULT_GENERATED is MySQL's word for a default that is an expression, not for a generated column.
-- Nobody but the server fills the period columns of a table that keeps its history, and a column that is invisible is none
-- of those that `*` means.
SELECT c.column_name, c.column_type, c.is_nullable = 'YES',
       (c.extra LIKE '%GENERATED%' AND c.extra NOT LIKE '%DEFAULT_GENERATED%') OR c.extra LIKE '%PERSISTENT%',
       c.extra LIKE '%auto_increment%' OR c.column_default IS NOT NULL AND c.column_default <> 'NULL',
       c.character_set_name, c.collation_name
FROM information_schema.columns AS c
WHERE c.table_schema = ? AND c.table_name = ? AND c.extra NOT LIKE '%INVISIBLE%'
ORDER BY c.ordinal_position
