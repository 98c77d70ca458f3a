-- MariaDB's json is text that is checked.
SELECT k.check_clause
FROM information_schema.check_constraints AS k
WHERE k.constraint_schema = ? AND k.table_name = ? AND k.check_clause LIKE 'json\_valid(%'
