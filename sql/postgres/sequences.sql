-- Sequences that columns of a table own, serial and identity, with their bounds; and whether this user can see and set
-- them.
SELECT a.attname::text AS column,
       pg_catalog.format('%I.%I', n.nspname, s.relname) AS name,
       q.seqincrement AS increment,
       q.seqmin AS least,
       q.seqmax AS greatest,
       pg_catalog.has_sequence_privilege(s.oid, 'SELECT') AND pg_catalog.has_sequence_privilege(s.oid, 'UPDATE') AS ours
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = $1
  AND d.deptype IN ('a', 'i')
  AND COALESCE(NULLIF(t.typbasetype, 0), t.oid) IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
ORDER BY a.attnum
