-- Indexes that hold a key unique for all rows, by plain columns and by the equality that `=` has for them, the primary
-- key first; and whether ON CONFLICT can go by it: not where children that inherit have rows of the same key.
SELECT i.indisprimary,
       ARRAY(SELECT a.attname::text
             FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, position)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.position <= i.indnkeyatts
             ORDER BY k.position) AS columns,
       i.indimmediate AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS h
                                      JOIN pg_catalog.pg_class AS c ON c.oid = h.inhparent AND c.relkind = 'r'
                                      WHERE h.inhparent = i.indrelid)
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT i.indisexclusion
  AND NOT EXISTS (
      SELECT FROM unnest(i.indkey, i.indcollation, i.indclass) WITH ORDINALITY AS k(attnum, coll, class, position)
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      JOIN pg_catalog.pg_opclass AS o ON o.oid = k.class
      WHERE k.position <= i.indnkeyatts AND (k.coll <> a.attcollation OR NOT o.opcdefault))
ORDER BY i.indisprimary DESC, i.indexrelid
