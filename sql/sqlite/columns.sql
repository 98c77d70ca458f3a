-- A table's columns in order; hidden: 1 of a virtual table, 2 and 3 generated.
SELECT name, type, "notnull", dflt_value IS NOT NULL AS has_default, pk, hidden
FROM pragma_table_xinfo(?1, 'main')
ORDER BY cid
