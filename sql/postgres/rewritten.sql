-- Of these tables, one that is not now what it is in this transaction's snapshot. After TRUNCATE, a rewrite or another
-- table in its place, the snapshot sees none of its rows or but some. pg_class is read by the snapshot; the function is not.
SELECT asked.oid::regclass::text
FROM unnest($1::oid[]) AS asked(oid)
LEFT JOIN pg_catalog.pg_class AS seen ON seen.oid = asked.oid
WHERE seen.oid IS NULL
   OR (seen.relkind IN ('r', 'm') AND seen.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(seen.oid)
       AND seen.relfilenode <> 0)
LIMIT 1
