-- The relation of a name, what it is, and whether its engine has transactions; about how many rows it has, and the bytes
-- of its pages. NULL of an engine: a view.
SELECT t.table_type, t.engine, COALESCE(e.transactions = 'YES', 0), t.table_rows, t.data_length
FROM information_schema.tables AS t
LEFT JOIN information_schema.engines AS e ON e.engine = t.engine
WHERE t.table_schema = ? AND t.table_name = ?
