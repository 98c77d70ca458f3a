-- How types and their modifiers are spelled, in the order asked; and whether any collation could take unlike texts for
-- equal.
SELECT pg_catalog.format_type(t.oid, t.modifier) AS type,
       EXISTS (SELECT FROM pg_catalog.pg_collation WHERE NOT collisdeterministic) AS loose
FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS t(oid, modifier, position)
ORDER BY t.position
