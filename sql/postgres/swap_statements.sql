-- The statements that build a table aside ($2, quoted) with all that the target ($1) is, and put it into its place.
-- Steps: 1 before the rows come, 2 after them, 3 while the target is locked. $3 begins the names of what is aside.
WITH target AS (
    SELECT c.*, n.nspname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
           pg_catalog.format('%I', c.relname) AS bare
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = $1
), columns AS (
    SELECT a.*, pg_catalog.format('%I', a.attname) AS name FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
), indexes AS (
    SELECT i.*, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
           pg_catalog.format('%I', c.relname) AS bare,
           pg_catalog.format('%I', $3 || row_number() OVER (ORDER BY i.indexrelid)) AS aside,
           n.nspname, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
           pg_catalog.format('CREATE %sINDEX %I ON %I.%I USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
                             c.relname, n.nspname, t.relname) AS head
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN target AS t ON t.oid = i.indrelid
    WHERE NOT i.indisexclusion
), constraints AS (
    SELECT k.*, pg_catalog.format('%I', k.conname) AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition,
           CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END
           || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END AS deferral
    FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = $1
), sequences AS (
    SELECT s.oid, s.relowner, s.relacl, d.deptype, c.name AS column, c.attidentity, q.*,
           pg_catalog.format('%I.%I', n.nspname, s.relname) AS name, pg_catalog.format('%I', s.relname) AS bare,
           pg_catalog.format('%I.%I', n.nspname, $3 || 'seq' || c.attnum) AS aside
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
    JOIN columns AS c ON c.attnum = d.refobjsubid
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = $1
      AND d.deptype IN ('a', 'i')
), acls AS (
    -- What is granted, and to whom a table or sequence that is made here is granted by default.
    SELECT 'TABLE'::text AS kind, t.name, t.relowner AS owner, t.relacl AS acl, 'r'::"char" AS type FROM target AS t
    UNION ALL
    SELECT 'SEQUENCE', s.name, s.relowner, s.relacl, 'S'::"char" FROM sequences AS s WHERE s.deptype = 'i'
), grantees AS (
    SELECT l.kind, l.name, a.grantee FROM acls AS l, LATERAL pg_catalog.aclexplode(l.acl) AS a
    UNION
    SELECT l.kind, l.name, a.grantee FROM acls AS l
    JOIN pg_catalog.pg_default_acl AS d ON d.defaclobjtype = l.type
     AND d.defaclrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
     AND d.defaclnamespace IN (0, (SELECT relnamespace FROM target)),
    LATERAL pg_catalog.aclexplode(d.defaclacl) AS a
    UNION
    SELECT l.kind, l.name, l.owner FROM acls AS l
)
SELECT step, statement FROM (
    SELECT 1 AS step, 1 AS place, '' AS name,
           pg_catalog.format('CREATE %sTABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS EXCLUDING IDENTITY)%s%s%s',
               CASE t.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, $2::text, t.name,
               (SELECT pg_catalog.format(' USING %I', m.amname) FROM pg_catalog.pg_am AS m WHERE m.oid = t.relam),
               (SELECT ' WITH (' || pg_catalog.string_agg(o.option, ', ') || ')' FROM (
                   SELECT pg_catalog.format('%s=%L', p.option_name, p.option_value) AS option
                   FROM pg_catalog.pg_options_to_table(t.reloptions) AS p
                   UNION ALL
                   SELECT pg_catalog.format('toast.%s=%L', p.option_name, p.option_value)
                   FROM pg_catalog.pg_class AS s, pg_catalog.pg_options_to_table(s.reloptions) AS p
                   WHERE s.oid = t.reltoastrelid) AS o),
               (SELECT pg_catalog.format(' TABLESPACE %I', s.spcname) FROM pg_catalog.pg_tablespace AS s
                WHERE s.oid = t.reltablespace)) AS statement
    FROM target AS t
    UNION ALL
    SELECT 1, 2, s.column,
           pg_catalog.format('ALTER TABLE %s ALTER COLUMN %s ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %s START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s %s)',
               $2::text, s.column, CASE s.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, s.aside, s.seqstart,
               s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
    FROM sequences AS s WHERE s.deptype = 'i'
    UNION ALL
    SELECT 1, 3, c.name,
           pg_catalog.format('ALTER TABLE %s ALTER COLUMN %s SET STATISTICS %s', $2::text, c.name, c.attstattarget)
    FROM columns AS c WHERE c.attstattarget >= 0
    UNION ALL
    SELECT 1, 4, c.name,
           pg_catalog.format('ALTER TABLE %s ALTER COLUMN %s SET (%s)', $2::text, c.name,
               (SELECT pg_catalog.string_agg(pg_catalog.format('%s=%s', p.option_name, p.option_value), ', ')
                FROM pg_catalog.pg_options_to_table(c.attoptions) AS p))
    FROM columns AS c WHERE c.attoptions IS NOT NULL
    UNION ALL
    -- Keys that the load leaves to the sequence go on after those that were given.
    SELECT 1, 5, s.column, pg_catalog.format('SELECT pg_catalog.setval(%L, last_value, is_called) FROM %s', s.aside, s.name)
    FROM sequences AS s WHERE s.deptype = 'i'
    UNION ALL
    -- An index whose definition does not begin as it must has no statement: the comparison of both tables will name it.
    SELECT 2, 1, i.relname,
           pg_catalog.format('CREATE %sINDEX %s ON %s USING %s', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
               i.aside, $2::text, pg_catalog.substr(i.definition, pg_catalog.length(i.head) + 1))
    FROM indexes AS i WHERE pg_catalog.starts_with(i.definition, i.head)
    UNION ALL
    SELECT 2, 2, i.relname,
           pg_catalog.format('ALTER INDEX %I.%s ALTER COLUMN %s SET STATISTICS %s', i.nspname, i.aside, a.attnum, a.attstattarget)
    FROM indexes AS i JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indexrelid AND a.attstattarget >= 0
    UNION ALL
    SELECT 2, 3, k.conname,
           pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %s %s USING INDEX %s%s', $2::text, i.aside,
               CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, i.aside, k.deferral)
    FROM constraints AS k JOIN indexes AS i ON i.indexrelid = k.conindid WHERE k.contype IN ('p', 'u')
    UNION ALL
    SELECT 2, 4, k.conname, pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %s %s', $2::text, k.name, k.definition)
    FROM constraints AS k WHERE k.contype = 'f' AND k.confrelid <> $1
    UNION ALL
    SELECT 2, 5, '', pg_catalog.format('ANALYZE %s', $2::text)
    UNION ALL
    SELECT 2, 6, '', pg_catalog.format('ALTER TABLE %s OWNER TO %I', $2::text, pg_catalog.pg_get_userbyid(t.relowner))
    FROM target AS t WHERE pg_catalog.pg_get_userbyid(t.relowner) <> current_user
    UNION ALL
    SELECT 3, 1, '', pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', t.name) FROM target AS t
    UNION ALL
    SELECT 3, 2, s.column, pg_catalog.format('ALTER SEQUENCE %s OWNED BY %s.%s', s.name, $2::text, s.column)
    FROM sequences AS s WHERE s.deptype = 'a'
    UNION ALL
    -- Others may have gone on with the old one meanwhile.
    SELECT 3, 3, s.column,
           pg_catalog.format('SELECT pg_catalog.setval(%L, o.last_value, o.is_called) FROM %s AS o, %s AS n WHERE (%s o.last_value::numeric, o.is_called) > (%s n.last_value::numeric, n.is_called)',
               s.aside, s.name, s.aside, CASE WHEN s.seqincrement < 0 THEN '-' ELSE '' END,
               CASE WHEN s.seqincrement < 0 THEN '-' ELSE '' END)
    FROM sequences AS s WHERE s.deptype = 'i'
    UNION ALL
    SELECT 3, 4, '', pg_catalog.format('DROP TABLE %s', t.name) FROM target AS t
    UNION ALL
    SELECT 3, 5, '', pg_catalog.format('ALTER TABLE %s RENAME TO %s', $2::text, t.bare) FROM target AS t
    UNION ALL
    SELECT 3, 6, i.relname, pg_catalog.format('ALTER INDEX %I.%s RENAME TO %s', i.nspname, i.aside, i.bare) FROM indexes AS i
    UNION ALL
    SELECT 3, 7, s.column, pg_catalog.format('ALTER SEQUENCE %s RENAME TO %s', s.aside, s.bare)
    FROM sequences AS s WHERE s.deptype = 'i'
    UNION ALL
    SELECT 3, 8, k.conname, pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %s %s', t.name, k.name, k.definition)
    FROM constraints AS k, target AS t WHERE k.contype = 'x' OR (k.contype = 'f' AND k.confrelid = $1)
    UNION ALL
    SELECT 3, 9, g.tgname, pg_catalog.pg_get_triggerdef(g.oid) FROM pg_catalog.pg_trigger AS g
    WHERE g.tgrelid = $1 AND NOT g.tgisinternal
    UNION ALL
    SELECT 3, 10, g.tgname,
           pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', t.name,
               CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname)
    FROM pg_catalog.pg_trigger AS g, target AS t WHERE g.tgrelid = $1 AND NOT g.tgisinternal AND g.tgenabled <> 'O'
    UNION ALL
    SELECT 3, 11, p.polname,
           pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, t.name,
               CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
               CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
               (SELECT pg_catalog.string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r)) END, ', ')
                FROM unnest(p.polroles) AS r),
               ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
               ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    FROM pg_catalog.pg_policy AS p, target AS t WHERE p.polrelid = $1
    UNION ALL
    SELECT 3, 12, '', pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name) FROM target AS t WHERE t.relrowsecurity
    UNION ALL
    SELECT 3, 13, '', pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.name) FROM target AS t WHERE t.relforcerowsecurity
    UNION ALL
    SELECT 3, 14, '',
           pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', t.name,
               CASE t.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
               ELSE 'USING INDEX ' || (SELECT i.bare FROM indexes AS i WHERE i.indisreplident) END)
    FROM target AS t WHERE t.relreplident <> 'd'
    UNION ALL
    SELECT 3, 15, '', pg_catalog.format('ALTER TABLE %s CLUSTER ON %s', t.name, i.bare)
    FROM target AS t, indexes AS i WHERE i.indisclustered
    UNION ALL
    SELECT 3, 16, x.stxname, pg_catalog.pg_get_statisticsobjdef(x.oid) FROM pg_catalog.pg_statistic_ext AS x WHERE x.stxrelid = $1
    UNION ALL
    SELECT 3, 17, x.stxname,
           pg_catalog.format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, x.stxname, pg_catalog.to_jsonb(x) ->> 'stxstattarget')
    FROM pg_catalog.pg_statistic_ext AS x JOIN pg_catalog.pg_namespace AS n ON n.oid = x.stxnamespace
    WHERE x.stxrelid = $1 AND (pg_catalog.to_jsonb(x) ->> 'stxstattarget')::int >= 0
    UNION ALL
    SELECT 3, 18, x.stxname,
           pg_catalog.format('ALTER STATISTICS %I.%I OWNER TO %I', n.nspname, x.stxname, pg_catalog.pg_get_userbyid(x.stxowner))
    FROM pg_catalog.pg_statistic_ext AS x JOIN pg_catalog.pg_namespace AS n ON n.oid = x.stxnamespace
    WHERE x.stxrelid = $1 AND pg_catalog.pg_get_userbyid(x.stxowner) <> current_user
    UNION ALL
    -- What default privileges give is taken first, then what was there is granted.
    SELECT 3, 19, g.name,
           pg_catalog.format('REVOKE ALL ON %s %s FROM %s', g.kind, g.name,
               pg_catalog.string_agg(CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END, ', '
                          ORDER BY g.grantee))
    FROM grantees AS g GROUP BY g.kind, g.name
    UNION ALL
    -- In the order in which they were made, which is the order in which a dump shows them.
    SELECT 3, 20, pg_catalog.lpad(min(a.place)::text, 6, '0'),
           pg_catalog.format('GRANT %s ON %s %s TO %s%s', pg_catalog.string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type COLLATE "C"), l.kind, l.name,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM acls AS l,
         LATERAL pg_catalog.aclexplode(COALESCE(l.acl, pg_catalog.acldefault(CASE l.kind WHEN 'TABLE' THEN 'r' ELSE 's' END::"char", l.owner)))
                 WITH ORDINALITY AS a(grantor, grantee, privilege_type, is_grantable, place)
    GROUP BY l.name, l.kind, a.grantee, a.is_grantable
    UNION ALL
    SELECT 3, 21, c.name || pg_catalog.lpad(min(a.place)::text, 6, '0'),
           pg_catalog.format('GRANT %s ON TABLE %s TO %s%s',
               pg_catalog.string_agg(pg_catalog.format('%s (%s)', a.privilege_type, c.name), ', ' ORDER BY a.privilege_type COLLATE "C"), t.name,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM target AS t, columns AS c, LATERAL pg_catalog.aclexplode(c.attacl)
             WITH ORDINALITY AS a(grantor, grantee, privilege_type, is_grantable, place)
    GROUP BY t.name, c.name, a.grantee, a.is_grantable
    UNION ALL
    SELECT 3, 22, '', pg_catalog.format('COMMENT ON TABLE %s IS %L', t.name, pg_catalog.obj_description($1, 'pg_class'))
    FROM target AS t WHERE pg_catalog.obj_description($1, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 3, 23, i.relname, pg_catalog.format('COMMENT ON INDEX %s IS %L', i.name, pg_catalog.obj_description(i.indexrelid, 'pg_class'))
    FROM (SELECT i.indexrelid, c.relname, pg_catalog.format('%I.%I', t.nspname, c.relname) AS name
          FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid, target AS t
          WHERE i.indrelid = $1) AS i
    WHERE pg_catalog.obj_description(i.indexrelid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 3, 24, k.conname, pg_catalog.format('COMMENT ON CONSTRAINT %s ON %s IS %L', k.name, t.name, pg_catalog.obj_description(k.oid, 'pg_constraint'))
    FROM constraints AS k, target AS t
    WHERE k.contype NOT IN ('c', 'n', 't') AND pg_catalog.obj_description(k.oid, 'pg_constraint') IS NOT NULL
    UNION ALL
    SELECT 3, 25, g.tgname, pg_catalog.format('COMMENT ON TRIGGER %I ON %s IS %L', g.tgname, t.name, pg_catalog.obj_description(g.oid, 'pg_trigger'))
    FROM pg_catalog.pg_trigger AS g, target AS t
    WHERE g.tgrelid = $1 AND NOT g.tgisinternal AND pg_catalog.obj_description(g.oid, 'pg_trigger') IS NOT NULL
    UNION ALL
    SELECT 3, 26, p.polname, pg_catalog.format('COMMENT ON POLICY %I ON %s IS %L', p.polname, t.name, pg_catalog.obj_description(p.oid, 'pg_policy'))
    FROM pg_catalog.pg_policy AS p, target AS t
    WHERE p.polrelid = $1 AND pg_catalog.obj_description(p.oid, 'pg_policy') IS NOT NULL
    UNION ALL
    SELECT 3, 27, s.name, pg_catalog.format('COMMENT ON SEQUENCE %s IS %L', s.name, pg_catalog.obj_description(s.oid, 'pg_class'))
    FROM sequences AS s WHERE s.deptype = 'i' AND pg_catalog.obj_description(s.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 3, 28, x.stxname, pg_catalog.format('COMMENT ON STATISTICS %I.%I IS %L', n.nspname, x.stxname, pg_catalog.obj_description(x.oid, 'pg_statistic_ext'))
    FROM pg_catalog.pg_statistic_ext AS x JOIN pg_catalog.pg_namespace AS n ON n.oid = x.stxnamespace
    WHERE x.stxrelid = $1 AND pg_catalog.obj_description(x.oid, 'pg_statistic_ext') IS NOT NULL
) AS s
ORDER BY step, place, name
