-- The columns of a query, in the order asked: how their types and modifiers are spelled, with the schema where they are
-- outside of pg_catalog; whether any collation could take unlike texts for equal; whether the cast to text is not the
-- type's own text; and the domain of the table's column that is selected as it is, of which the result has the base.
SELECT CASE WHEN n.nspname = 'pg_catalog' OR NOT pg_catalog.pg_type_is_visible(e.oid) THEN ''
            ELSE pg_catalog.quote_ident(n.nspname) || '.' END
         || pg_catalog.format_type(r.oid, r.modifier) AS type,
       EXISTS (SELECT FROM pg_catalog.pg_collation WHERE NOT collisdeterministic) AS loose,
       EXISTS (SELECT FROM pg_catalog.pg_cast AS k
               WHERE k.castsource = r.oid AND k.casttarget = 'pg_catalog.text'::regtype AND k.castmethod = 'f'
                 AND k.castsource NOT IN ('pg_catalog.bool'::regtype, 'pg_catalog.name'::regtype,
                                          'pg_catalog."char"'::regtype, 'pg_catalog.xml'::regtype)) AS printed,
       (SELECT pg_catalog.format_type(d.oid, NULL)
        FROM pg_catalog.pg_attribute AS a
        JOIN pg_catalog.pg_type AS d ON d.oid = a.atttypid AND d.typtype = 'd'
        WHERE a.attrelid = r.relation AND a.attnum = r.attribute) AS domain
FROM unnest($1::oid[], $2::int4[], $3::oid[], $4::int2[])
       WITH ORDINALITY AS r(oid, modifier, relation, attribute, position)
JOIN pg_catalog.pg_type AS t ON t.oid = r.oid
LEFT JOIN pg_catalog.pg_type AS i ON i.oid = t.typelem AND i.typarray = t.oid
JOIN pg_catalog.pg_type AS e ON e.oid = COALESCE(i.oid, t.oid)
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.typnamespace
ORDER BY r.position
