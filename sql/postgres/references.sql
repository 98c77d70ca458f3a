-- Foreign keys of other tables that refer to a table, and what a DELETE would do to their rows.
SELECT k.conname::text, k.conrelid::regclass::text, k.confdeltype::text
FROM pg_catalog.pg_constraint AS k
WHERE k.contype = 'f' AND k.confrelid = $1 AND k.conrelid <> $1
ORDER BY k.conrelid::regclass::text COLLATE "C", k.conname
