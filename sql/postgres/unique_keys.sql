-- Indexes that hold a key unique for all rows, by plain columns and by the equality that `=` has for them, the primary
-- key first.
SELECT i.indisprimary,
       ARRAY(SELECT a.attname::text
             FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, position)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.position <= i.indnkeyatts
             ORDER BY k.position) AS columns,
       i.indimmediate
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT i.indisexclusion
  AND NOT EXISTS (
      SELECT FROM unnest(i.indkey, i.indcollation, i.indclass) WITH ORDINALITY AS k(attnum, coll, class, position)
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      JOIN pg_catalog.pg_opclass AS o ON o.oid = k.class
      WHERE k.position <= i.indnkeyatts AND (k.coll <> a.attcollation OR NOT o.opcdefault))
ORDER BY i.indisprimary DESC, i.indexrelid
