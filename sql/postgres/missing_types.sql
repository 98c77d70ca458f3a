-- The fields, in order, whose type this database does not have.
SELECT f.field, f.type
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS f(field, type, position)
WHERE pg_catalog.to_regtype(f.type) IS NULL
ORDER BY f.position
