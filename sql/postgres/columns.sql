-- Columns in order. A view's and a foreign table's NOT NULL is no promise; a domain may have a default and a NOT NULL
-- of its own. A type outside of pg_catalog is spelled with its schema, whatever the search path: the spelling is read by
-- other sessions. Printed: its cast to text is not its own text (char(n) loses blanks, inet gains a mask, or a user has
-- made the cast). Rounds: the type whose input rounds or cuts what it is given without a word, where the column's own type
-- says nothing of it: a domain's base with its modifier, interval(0), timetz(0), money.
SELECT a.attname::text AS name,
       CASE WHEN n.nspname = 'pg_catalog' OR NOT pg_catalog.pg_type_is_visible(e.oid) THEN ''
            ELSE pg_catalog.quote_ident(n.nspname) || '.' END
         || pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       (a.attnotnull OR t.typnotnull) AND c.relkind IN ('r', 'p', 'm') AS required,
       a.attgenerated <> '' AS generated,
       a.attidentity = 'a' AS always_identity,
       a.attgenerated = '' AND (a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL) AS has_default,
       COALESCE(l.collisdeterministic, true) AS deterministic,
       EXISTS (SELECT FROM pg_catalog.pg_cast AS k
               WHERE k.castsource = b.oid AND k.casttarget = 'pg_catalog.text'::regtype AND k.castmethod = 'f'
                 AND k.castsource NOT IN ('pg_catalog.bool'::regtype, 'pg_catalog.name'::regtype,
                                          'pg_catalog."char"'::regtype, 'pg_catalog.xml'::regtype)) AS printed,
       CASE WHEN e.oid IN ('pg_catalog.interval'::regtype, 'pg_catalog.timetz'::regtype) AND a.atttypmod <> -1
              OR e.oid = 'pg_catalog.money'::regtype THEN pg_catalog.format_type(e.oid, a.atttypmod)
            WHEN t.typtype = 'd' AND b.typtypmod <> -1 AND b.oid NOT IN ('pg_catalog.bit'::regtype, 'pg_catalog.varbit'::regtype)
              THEN pg_catalog.format_type(b.oid, b.typtypmod) END AS rounds,
       a.attcollation NOT IN (0, 'pg_catalog."default"'::regcollation) AS collated
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type AS i ON i.oid = t.typelem AND i.typarray = t.oid
JOIN pg_catalog.pg_type AS e ON e.oid = COALESCE(i.oid, t.oid)
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.typnamespace
CROSS JOIN LATERAL (WITH RECURSIVE base AS (
                      SELECT t.oid, t.typbasetype, t.typtypmod
                      UNION ALL
                      SELECT p.oid, p.typbasetype, CASE WHEN base.typtypmod <> -1 THEN base.typtypmod ELSE p.typtypmod END
                      FROM base JOIN pg_catalog.pg_type AS p ON p.oid = base.typbasetype)
                    SELECT base.oid, base.typtypmod FROM base WHERE base.typbasetype = 0) AS b
LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
