-- The fields, in order, whose type this database does not have, or not for a column (record and other pseudo-types).
SELECT f.field, f.type
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS f(field, type, position)
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = pg_catalog.to_regtype(f.type)
WHERE t.oid IS NULL OR t.typtype = 'p'
ORDER BY f.position
