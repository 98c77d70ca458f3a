-- Foreign keys that refer to a table, with what a DELETE and an UPDATE there would do to their rows, and the columns of both.
SELECT k.conname::text,
       pg_catalog.format('%I.%I', n.nspname, c.relname),
       k.confdeltype::text,
       k.confupdtype::text,
       k.conrelid = k.confrelid,
       ARRAY(SELECT a.attname::text
             FROM unnest(k.conkey) WITH ORDINALITY AS p(attnum, position)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum
             ORDER BY p.position),
       ARRAY(SELECT a.attname::text
             FROM unnest(k.confkey) WITH ORDINALITY AS p(attnum, position)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = p.attnum
             ORDER BY p.position)
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.confrelid = $1
ORDER BY k.conrelid::regclass::text COLLATE "C", k.conname
