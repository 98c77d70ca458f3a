-- All that a table is besides its rows, one property a row, so that two tables can be compared.
WITH acls AS (
    SELECT 'table'::text AS thing, COALESCE(c.relacl, pg_catalog.acldefault('r', c.relowner)) AS acl
    FROM pg_catalog.pg_class AS c WHERE c.oid = $1
    UNION ALL
    SELECT 'column ' || a.attname, a.attacl FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'sequence ' || s.relname, COALESCE(s.relacl, pg_catalog.acldefault('s', s.relowner))
    FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = $1
      AND d.deptype IN ('a', 'i')
)
SELECT 'table' AS property,
       pg_catalog.concat_ws(' ', n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner), c.relpersistence,
           c.reloptions::text, t.reloptions::text, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relam,
           c.reltablespace, c.reloftype, pg_catalog.obj_description(c.oid, 'pg_class')) AS value
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
WHERE c.oid = $1
UNION ALL
SELECT 'column ' || a.attname,
       pg_catalog.concat_ws(' ', row_number() OVER (ORDER BY a.attnum),
           pg_catalog.format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.attidentity, a.attgenerated,
           a.attstorage, pg_catalog.to_jsonb(a) ->> 'attcompression', COALESCE(a.attstattarget, -1),
           a.attoptions::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description($1, a.attnum))
FROM pg_catalog.pg_attribute AS a
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
-- A CHECK that was not valid for older rows is, once all rows are new.
SELECT 'constraint ' || k.conname,
       pg_catalog.concat_ws(' ', CASE k.contype WHEN 'c' THEN
               pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '')
               ELSE pg_catalog.pg_get_constraintdef(k.oid) END,
           pg_catalog.obj_description(k.oid, 'pg_constraint'))
FROM pg_catalog.pg_constraint AS k
WHERE k.conrelid = $1 AND k.contype <> 't'
UNION ALL
SELECT 'index ' || c.relname,
       pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(c.oid), i.indisprimary, i.indisexclusion, i.indimmediate,
           i.indisclustered, i.indisreplident, i.indisvalid, c.reltablespace,
           pg_catalog.obj_description(c.oid, 'pg_class'),
           (SELECT pg_catalog.string_agg(a.attnum || '=' || a.attstattarget, ',' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attstattarget >= 0))
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = $1
UNION ALL
SELECT 'trigger ' || g.tgname,
       pg_catalog.concat_ws(' ', pg_catalog.pg_get_triggerdef(g.oid), g.tgenabled,
           pg_catalog.obj_description(g.oid, 'pg_trigger'))
FROM pg_catalog.pg_trigger AS g
WHERE g.tgrelid = $1 AND NOT g.tgisinternal
UNION ALL
SELECT 'policy ' || p.polname,
       pg_catalog.concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::text,
           pg_catalog.pg_get_expr(p.polqual, p.polrelid), '|', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
           pg_catalog.obj_description(p.oid, 'pg_policy'))
FROM pg_catalog.pg_policy AS p
WHERE p.polrelid = $1
UNION ALL
SELECT 'statistics ' || x.stxname,
       pg_catalog.concat_ws(' ', pg_catalog.pg_get_statisticsobjdef(x.oid), pg_catalog.pg_get_userbyid(x.stxowner),
           COALESCE((pg_catalog.to_jsonb(x) ->> 'stxstattarget')::int, -1),
           pg_catalog.obj_description(x.oid, 'pg_statistic_ext'))
FROM pg_catalog.pg_statistic_ext AS x
WHERE x.stxrelid = $1
UNION ALL
SELECT 'sequence ' || s.relname,
       pg_catalog.concat_ws(' ', d.deptype, a.attname, q.seqtypid, q.seqstart, q.seqincrement, q.seqmin, q.seqmax,
           q.seqcache, q.seqcycle, pg_catalog.pg_get_userbyid(s.relowner), s.relpersistence,
           pg_catalog.obj_description(s.oid, 'pg_class'))
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = $1
  AND d.deptype IN ('a', 'i')
UNION ALL
SELECT 'rule ' || r.rulename, pg_catalog.pg_get_ruledef(r.oid) FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = $1
UNION ALL
SELECT 'grants on ' || l.thing,
       pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.grantor, a.grantee, a.privilege_type, a.is_grantable), ','
                             ORDER BY a.grantee, a.privilege_type COLLATE "C")
FROM acls AS l, LATERAL pg_catalog.aclexplode(l.acl) AS a
GROUP BY l.thing
ORDER BY 1, 2
