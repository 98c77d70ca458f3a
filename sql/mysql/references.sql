-- Foreign keys that refer to a table, and its own; and whether a DELETE, or an UPDATE, here changes rows there.
SELECT DISTINCT k.constraint_name, k.table_schema, k.table_name,
       k.referenced_table_schema = ? AND k.referenced_table_name = ?,
       r.delete_rule NOT IN ('RESTRICT', 'NO ACTION'), r.update_rule NOT IN ('RESTRICT', 'NO ACTION')
FROM information_schema.key_column_usage AS k
JOIN information_schema.referential_constraints AS r
  ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
WHERE k.referenced_table_name IS NOT NULL
  AND (k.referenced_table_schema = ? AND k.referenced_table_name = ? OR k.table_schema = ? AND k.table_name = ?)
