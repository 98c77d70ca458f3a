-- Columns in order. A view's and a foreign table's NOT NULL is no promise; a domain may have a default and a NOT NULL
-- of its own.
SELECT a.attname::text AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       (a.attnotnull OR t.typnotnull) AND c.relkind IN ('r', 'p', 'm') AS required,
       a.attgenerated <> '' AS generated,
       a.attidentity = 'a' AS always_identity,
       a.attgenerated = '' AND (a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL) AS has_default,
       COALESCE(l.collisdeterministic, true) AS deterministic
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
