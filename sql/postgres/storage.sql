-- Whether rows can be told apart by their place in a relation's files, those of its partitions and children included; the
-- blocks of the largest file, and the bytes of all. Asked of the files: statistics may be old. Who may read some columns
-- only may not read the place (nor is that asked of partitions: a query through their parent needs no right on them).
WITH RECURSIVE tree(oid) AS (
    SELECT $1::oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
)
SELECT current_setting('server_version_num')::int4 >= 140000
           AND pg_catalog.has_column_privilege($1::oid, 'ctid', 'SELECT')
           AND bool_and(c.relkind = 'p' OR c.relkind IN ('r', 'm') AND a.amname = 'heap') AS by_place,
       COALESCE(max(pg_catalog.pg_relation_size(c.oid)), 0) / current_setting('block_size')::int8 AS blocks,
       COALESCE(sum(pg_catalog.pg_table_size(c.oid)), 0)::int8 AS bytes
FROM tree
JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid
LEFT JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
