-- What hangs on a table and could not follow when another takes its place, and what of it could not be built again.
WITH target AS (
    SELECT c.*, y.typarray FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_type AS y ON y.oid = c.reltype
    WHERE c.oid = $1
), own AS (
    SELECT 'pg_catalog.pg_class'::regclass AS class, t.oid FROM target AS t
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass, i.indexrelid FROM pg_catalog.pg_index AS i, target AS t
        WHERE i.indrelid IN (t.oid, t.reltoastrelid)
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass, t.reltoastrelid FROM target AS t
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass, d.objid FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = $1
          AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    UNION ALL SELECT 'pg_catalog.pg_type'::regclass, y FROM target AS t, unnest(ARRAY[t.reltype, t.typarray]) AS y
    -- Before 14 these have types, too, which go with them.
    UNION ALL SELECT 'pg_catalog.pg_type'::regclass, y.oid FROM pg_catalog.pg_type AS y
        WHERE y.typrelid IN (SELECT t.reltoastrelid FROM target AS t WHERE t.reltoastrelid <> 0
                             UNION ALL
                             SELECT d.objid FROM pg_catalog.pg_depend AS d
                             JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
                             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid
                               AND d.refobjid = $1 AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))
    UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, k.oid FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = $1
    UNION ALL SELECT 'pg_catalog.pg_attrdef'::regclass, d.oid FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = $1
    UNION ALL SELECT 'pg_catalog.pg_trigger'::regclass, g.oid FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = $1
    UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, p.oid FROM pg_catalog.pg_policy AS p WHERE p.polrelid = $1
    UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::regclass, x.oid FROM pg_catalog.pg_statistic_ext AS x
        WHERE x.stxrelid = $1
)
SELECT blocker FROM (
    -- The triggers of another table's foreign key are left out, as the key itself is named.
    SELECT CASE WHEN r.ev_class IS DISTINCT FROM $1 AND r.ev_class IS NOT NULL
                THEN pg_catalog.pg_describe_object('pg_catalog.pg_class'::regclass, r.ev_class, 0)
                ELSE pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) END AS blocker
    FROM pg_catalog.pg_depend AS d
    JOIN own AS o ON o.class = d.refclassid AND o.oid = d.refobjid
    LEFT JOIN pg_catalog.pg_rewrite AS r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
    WHERE d.deptype <> 'x' AND d.classid <> 'pg_catalog.pg_trigger'::regclass
      AND NOT EXISTS (SELECT FROM own WHERE own.class = d.classid AND own.oid = d.objid)
    UNION ALL
    SELECT 'the extension behind ' || pg_catalog.pg_describe_object(d.classid, d.objid, 0)
    FROM pg_catalog.pg_depend AS d JOIN own AS o ON o.class = d.classid AND o.oid = d.objid
    WHERE d.deptype IN ('e', 'x')
    UNION ALL
    SELECT 'the table that it inherits from' FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = $1
    UNION ALL
    SELECT 'the type that it is a table of' FROM target AS t WHERE t.reloftype <> 0
    UNION ALL
    SELECT 'the session that it is temporary in' FROM target AS t WHERE t.relpersistence = 't'
    UNION ALL
    SELECT 'a subscription' FROM pg_catalog.pg_subscription_rel AS s WHERE s.srrelid = $1
    UNION ALL
    SELECT 'a security label' FROM pg_catalog.pg_seclabel AS l JOIN own AS o ON o.class = l.classoid AND o.oid = l.objoid
    UNION ALL
    SELECT 'a grant that ' || pg_catalog.pg_get_userbyid(a.grantor) || ' made, who does not own it'
    FROM target AS t,
         LATERAL (SELECT t.relacl AS acl UNION ALL
                  SELECT c.attacl FROM pg_catalog.pg_attribute AS c WHERE c.attrelid = $1 AND NOT c.attisdropped) AS l,
         LATERAL pg_catalog.aclexplode(l.acl) AS a
    WHERE a.grantor <> t.relowner
    UNION ALL
    SELECT 'the invalid index ' || i.indexrelid::regclass::text FROM pg_catalog.pg_index AS i
    WHERE i.indrelid = $1 AND NOT i.indisvalid
    UNION ALL
    SELECT 'the tablespace of the index ' || i.oid::regclass::text
    FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
    WHERE x.indrelid = $1 AND i.reltablespace <> 0
    UNION ALL
    SELECT 'its owner ' || pg_catalog.pg_get_userbyid(t.relowner) || ', whose rights this user does not have'
    FROM target AS t WHERE NOT pg_catalog.pg_has_role(t.relowner, 'USAGE')
) AS b
GROUP BY blocker
ORDER BY blocker COLLATE "C"
