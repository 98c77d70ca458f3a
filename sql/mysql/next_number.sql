-- The next number that a table would give out.
SELECT t.auto_increment FROM information_schema.tables AS t WHERE t.table_schema = ? AND t.table_name = ?
