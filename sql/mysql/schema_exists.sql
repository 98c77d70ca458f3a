SELECT count(*) FROM information_schema.schemata AS s WHERE s.schema_name = ?
