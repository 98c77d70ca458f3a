-- Unique keys by columns, the primary key first. A part of a column, an expression or a column that takes NULL holds no
-- row unique by its columns' values.
SELECT s.index_name, s.column_name, s.sub_part IS NULL AND s.column_name IS NOT NULL, s.nullable = 'YES'
FROM information_schema.statistics AS s
WHERE s.table_schema = ? AND s.table_name = ? AND s.non_unique = 0
ORDER BY s.index_name <> 'PRIMARY', CAST(s.index_name AS BINARY), s.seq_in_index
