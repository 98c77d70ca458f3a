-- Of a table that had rows before, those of this transaction.
SELECT {columns}
FROM {target}
WHERE xmin = pg_catalog.pg_current_xact_id()::xid
